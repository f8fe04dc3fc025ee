//! Following a path through a JSON text without building anything of it.
//!
//! What is beside the path is passed over: of strings only their ends matter, of objects and lists within others only their
//! brackets. So depth costs no stack, and a mistake beside the path may go unseen.

use std::borrow::Cow;

use super::{Path, Step};

/// The part of a JSON text that a path leads to.
pub(super) fn follow<'a>(text: &'a str, path: &Path) -> Option<&'a str> {
    let mut part = text.trim_matches(WHITE);
    for step in path.steps() {
        part = match step {
            Step::Key(key) => member(part, key)?,
            Step::Place(place) => element(part, *place)?,
        };
    }
    // An outermost value has to be whole too.
    (value_end(part)? == part.len()).then_some(part)
}

const WHITE: [char; 4] = [' ', '\t', '\n', '\r'];

/// The value of a key; if the key comes twice, the last one counts, as in a row of a file.
fn member<'a>(object: &'a str, wanted: &str) -> Option<&'a str> {
    let mut rest = object.strip_prefix('{')?.trim_start_matches(WHITE);
    let mut found = None;
    if rest.starts_with('}') {
        return None;
    }
    loop {
        let key = string_end(rest)?;
        let after = rest[key..].trim_start_matches(WHITE).strip_prefix(':')?.trim_start_matches(WHITE);
        let end = value_end(after)?;
        if unquoted(&rest[..key]).as_deref() == Some(wanted) {
            found = Some(&after[..end]);
        }
        rest = after[end..].trim_start_matches(WHITE);
        if let Some(after) = rest.strip_prefix('}') {
            return found.filter(|_| after.is_empty());
        }
        rest = rest.strip_prefix(',')?.trim_start_matches(WHITE);
    }
}

/// An element of a list, counted from 0; from its end where the place is negative.
fn element(list: &str, place: i64) -> Option<&str> {
    let mut rest = list.strip_prefix('[')?.trim_start_matches(WHITE);
    let mut elements = Vec::new();
    if rest.starts_with(']') {
        return None;
    }
    loop {
        let end = value_end(rest)?;
        elements.push(&rest[..end]);
        rest = rest[end..].trim_start_matches(WHITE);
        if let Some(after) = rest.strip_prefix(']') {
            after.is_empty().then_some(())?;
            break;
        }
        rest = rest.strip_prefix(',')?.trim_start_matches(WHITE);
    }
    let at = usize::try_from(place.unsigned_abs()).ok()?;
    let at = if place < 0 { elements.len().checked_sub(at)? } else { at };
    elements.get(at).copied()
}

/// Where the value ends that a text begins with.
fn value_end(text: &str) -> Option<usize> {
    match text.as_bytes().first()? {
        b'"' => string_end(text),
        b'{' | b'[' => nested_end(text),
        _ => {
            let end = text.find(|c: char| WHITE.contains(&c) || matches!(c, ',' | ']' | '}' | ':' | '"' | '{' | '[')).unwrap_or(text.len());
            is_plain(&text[..end]).then_some(end)
        }
    }
}

/// Whether this is a number, a boolean or null.
fn is_plain(word: &str) -> bool {
    matches!(word, "true" | "false" | "null") || is_number(word.strip_prefix('-').unwrap_or(word))
}

/// Whether this is a number without its sign: no zero before a digit, and digits on both sides of a point.
fn is_number(word: &str) -> bool {
    let has_needless_zero = word.starts_with('0') && word[1..].starts_with(|c: char| c.is_ascii_digit());
    let rest = after_digits(word).and_then(after_fraction).and_then(after_exponent);
    rest == Some("") && !has_needless_zero
}

/// What comes after the digits at the beginning; `None`: there are none.
fn after_digits(text: &str) -> Option<&str> {
    let rest = text.trim_start_matches(|c: char| c.is_ascii_digit());
    (rest.len() < text.len()).then_some(rest)
}

fn after_fraction(text: &str) -> Option<&str> {
    text.strip_prefix('.').map_or(Some(text), after_digits)
}

fn after_exponent(text: &str) -> Option<&str> {
    let Some(exponent) = text.strip_prefix(['e', 'E']) else { return Some(text) };
    after_digits(exponent.strip_prefix(['+', '-']).unwrap_or(exponent))
}

/// Where the string ends that a text begins with, its closing quote included.
fn string_end(text: &str) -> Option<usize> {
    let bytes = text.as_bytes();
    if bytes.first() != Some(&b'"') {
        return None;
    }
    let mut at = 1;
    loop {
        match bytes.get(at)? {
            b'"' => return Some(at + 1),
            b'\\' => at += 2,
            _ => at += 1,
        }
    }
}

/// Where the object or list ends that a text begins with.
fn nested_end(text: &str) -> Option<usize> {
    let bytes = text.as_bytes();
    let (mut at, mut open) = (0, Vec::new());
    loop {
        match bytes.get(at)? {
            b'"' => {
                at += string_end(&text[at..])?;
                continue;
            }
            b'{' => open.push(b'}'),
            b'[' => open.push(b']'),
            close @ (b'}' | b']') => (open.pop()? == *close).then_some(())?,
            _ => {}
        }
        at += 1;
        if open.is_empty() {
            return Some(at);
        }
    }
}

/// The text of a JSON string; `None` when an escape in it is wrong.
pub(super) fn unquoted(string: &str) -> Option<Cow<'_, str>> {
    let inside = string.strip_prefix('"')?.strip_suffix('"')?;
    if !inside.contains('\\') {
        return Some(inside.into());
    }
    let mut text = String::with_capacity(inside.len());
    let mut chars = inside.chars();
    while let Some(c) = chars.next() {
        if c != '\\' {
            text.push(c);
            continue;
        }
        text.push(match chars.next()? {
            'b' => '\u{8}',
            'f' => '\u{c}',
            'n' => '\n',
            'r' => '\r',
            't' => '\t',
            'u' => escaped(&mut chars)?,
            same @ ('"' | '\\' | '/') => same,
            _ => return None,
        });
    }
    Some(text.into())
}

/// The character of `\uXXXX`, or of two of them that are a pair of surrogates.
fn escaped(chars: &mut std::str::Chars<'_>) -> Option<char> {
    let unit = |chars: &mut std::str::Chars<'_>| {
        let digits: String = chars.by_ref().take(4).collect();
        u16::from_str_radix(&digits, 16).ok().filter(|_| digits.len() == 4)
    };
    let first = unit(chars)?;
    if !(0xD800..0xDC00).contains(&first) {
        return char::from_u32(u32::from(first));
    }
    (chars.next()? == '\\' && chars.next()? == 'u').then_some(())?;
    char::decode_utf16([first, unit(chars)?]).next()?.ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const DOCUMENT: &str = r#" {"a": {"b": [1, -2.5e3, "x,]}\"y", null, []]}, "a.b": "\u00e9\ud83d\ude00\n", "twice": 1, "twice": {"z":true} , "\u0061c":false} "#;

    fn found(path: &str) -> Option<&'static str> {
        follow(DOCUMENT, &Path::parse(path).unwrap())
    }

    #[test]
    fn parts_are_found_as_they_are_written() {
        for (path, wanted) in [
            ("$.a.b[0]", Some("1")),
            ("$.a.b[1]", Some("-2.5e3")),
            ("$.a.b[2]", Some(r#""x,]}\"y""#)),
            ("$.a.b[3]", Some("null")),
            ("$.a.b[-1]", Some("[]")),
            ("$.a.b[-5]", Some("1")),
            ("$.a.b[5]", None),
            ("$.a.b[-6]", None),
            ("$.a.b[-1][0]", None),
            ("$.a", Some(r#"{"b": [1, -2.5e3, "x,]}\"y", null, []]}"#)),
            ("$.twice.z", Some("true")),
            ("$.ac", Some("false")),
            ("$.a.b.c", None),
            ("$.nope", None),
            ("$", Some(DOCUMENT.trim())),
        ] {
            assert_eq!(found(path), wanted, "{path}");
        }
        assert_eq!(unquoted(found("$['a.b']").unwrap()).as_deref(), Some("é😀\n"));
    }

    #[test]
    fn what_is_no_json_leads_nowhere() {
        for text in
            ["", "{", r#"{"a"}"#, r#"{"a":}"#, r#"{"a":1"#, r#"{"a":1,}"#, r#"{a:1}"#, "[1", "hello", r#"{"a" 1}"#, r#"{"a":x}"#, r#""a\"#]
        {
            for path in ["$.a", "$[0]"] {
                assert_eq!(follow(text, &Path::parse(path).unwrap()), None, "{text}");
            }
        }
        for text in ["nul", "{]", r#"{"a":[1}}"#, "01", "1.", "-.5", "-inf", "1e", "+1", "1 2", "- 1"] {
            assert_eq!(follow(text, &Path::parse("$").unwrap()), None, "{text}");
        }
        for text in [r#"{"a":1} x"#, r#"{"a":01}"#, r#"{"a":-inf}"#, r#"{"a":1}}"#, "[1] 2", "[1]]"] {
            for path in ["$.a", "$[0]"] {
                assert_eq!(follow(text, &Path::parse(path).unwrap()), None, "{text}");
            }
        }
        for number in ["0", "-0", "10.50", "-1e5", "2E+07", "0.0e-0"] {
            assert_eq!(follow(number, &Path::parse("$").unwrap()), Some(number));
        }
        for string in [r#""\x""#, r#""\u12""#, r#""\ud83d""#, r#""\ud83dx""#] {
            assert_eq!(unquoted(string), None, "{string}");
        }
    }

    #[test]
    fn depth_does_not_matter() {
        let deep = format!(r#"{{"a":{}{},"b":7}}"#, "[".repeat(100_000), "]".repeat(100_000));
        assert_eq!(follow(&deep, &Path::parse("$.b").unwrap()), Some("7"));
    }
}

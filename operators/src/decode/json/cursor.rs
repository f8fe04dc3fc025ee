//! A strict JSON tokenizer over one line.
//!
//! Why not serde_json: a column needs the *text* of a number (a decimal must be exact, `1.0` is no bigint), the raw text of a
//! `json` column, and to go on from any place in a line, where the learned-layout scanner wants a value it has no step for.
//! What counts as well-formed is what serde_json accepts; a test compares the two on random text.
//!
//! Lines are valid UTF-8 before they get here.

use std::borrow::Cow;

/// What is wrong with the text, and where.
pub(crate) type Syntax = String;

/// Arrays and objects may be nested this deep, so that no line can exhaust the stack.
const MAX_DEPTH: usize = 128;

/// A place in a line.
#[derive(Clone, Debug)]
pub(crate) struct Cursor<'a> {
    text: &'a str,
    at: usize,
    depth: usize,
}

impl<'a> Cursor<'a> {
    pub(crate) fn new(text: &'a str) -> Self {
        Cursor { text, at: 0, depth: 0 }
    }

    /// A cursor before a value of an object.
    pub(crate) fn inside_object(text: &'a str) -> Self {
        Cursor { text, at: 0, depth: 1 }
    }

    /// How many bytes have been read.
    pub(crate) fn position(&self) -> usize {
        self.at
    }

    /// The next byte that is not space.
    pub(crate) fn peek(&mut self) -> Option<u8> {
        self.skip_space();
        self.byte()
    }

    /// The text from `start` to here.
    pub(crate) fn since(&self, start: usize) -> &'a str {
        &self.text[start..self.at]
    }

    /// Reads one byte, if it is the next one after space.
    pub(crate) fn eat(&mut self, token: u8) -> bool {
        let found = self.peek() == Some(token);
        self.at += usize::from(found);
        found
    }

    /// Reads one byte that must come next.
    pub(crate) fn expect(&mut self, token: u8) -> Result<(), Syntax> {
        if self.eat(token) { Ok(()) } else { Err(self.expected(&format!("`{}`", char::from(token)))) }
    }

    /// Checks that nothing but space is left.
    pub(crate) fn end(&mut self) -> Result<(), Syntax> {
        match self.peek() {
            None => Ok(()),
            Some(_) => Err(self.expected("the end of the line")),
        }
    }

    /// Opens an array or object; each is closed by [`Cursor::leave`].
    pub(crate) fn enter(&mut self, open: u8) -> Result<(), Syntax> {
        self.expect(open)?;
        self.depth += 1;
        if self.depth > MAX_DEPTH {
            return Err(format!("arrays and objects are nested more than {MAX_DEPTH} deep"));
        }
        Ok(())
    }

    /// Marks the end of an array or object whose last byte has been read.
    pub(crate) fn leave(&mut self) {
        self.depth -= 1;
    }

    /// Reads what stands between two items: true when another item follows, false when `close` was read.
    pub(crate) fn more(&mut self, close: u8) -> Result<bool, Syntax> {
        if self.eat(b',') {
            return Ok(true);
        }
        if self.eat(close) {
            return Ok(false);
        }
        Err(self.expected(&format!("`,` or `{}`", char::from(close))))
    }

    /// Reads a string. Borrowed unless it has escapes.
    pub(crate) fn string(&mut self) -> Result<Cow<'a, str>, Syntax> {
        let start = self.open_string()?;
        let stop = self.find_special()?;
        if self.text.as_bytes()[stop] == b'"' {
            self.at = stop + 1;
            return Ok(Cow::Borrowed(&self.text[start..stop]));
        }
        self.at = start;
        self.unescaped().map(Cow::Owned)
    }

    /// Reads `true`, `false` or `null`.
    pub(crate) fn word(&mut self, word: &str) -> Result<(), Syntax> {
        self.skip_space();
        if !self.text[self.at..].starts_with(word) {
            return Err(self.expected("a value"));
        }
        self.at += word.len();
        Ok(())
    }

    /// Reads a number and gives its text.
    pub(crate) fn number(&mut self) -> Result<&'a str, Syntax> {
        self.skip_space();
        let start = self.at;
        self.at += usize::from(self.byte() == Some(b'-'));
        match self.byte() {
            Some(b'0') => self.at += 1,
            _ => self.digits()?,
        }
        if self.byte() == Some(b'.') {
            self.at += 1;
            self.digits()?;
        }
        if matches!(self.byte(), Some(b'e' | b'E')) {
            self.at += 1;
            self.at += usize::from(matches!(self.byte(), Some(b'+' | b'-')));
            self.digits()?;
        }
        Ok(self.since(start))
    }

    /// Reads over any value and gives its text.
    pub(crate) fn skip_value(&mut self) -> Result<&'a str, Syntax> {
        self.skip_space();
        let start = self.at;
        match self.byte() {
            Some(b'"') => self.skip_string()?,
            Some(b'{') => self.skip_items(b'{', b'}')?,
            Some(b'[') => self.skip_items(b'[', b']')?,
            Some(b't') => self.word("true")?,
            Some(b'f') => self.word("false")?,
            Some(b'n') => self.word("null")?,
            Some(b'-' | b'0'..=b'9') => drop(self.number()?),
            _ => return Err(self.expected("a value")),
        }
        Ok(self.since(start))
    }

    fn skip_items(&mut self, open: u8, close: u8) -> Result<(), Syntax> {
        self.enter(open)?;
        if !self.eat(close) {
            loop {
                if open == b'{' {
                    self.string()?;
                    self.expect(b':')?;
                }
                self.skip_value()?;
                if !self.more(close)? {
                    break;
                }
            }
        }
        self.leave();
        Ok(())
    }

    fn skip_string(&mut self) -> Result<(), Syntax> {
        self.open_string()?;
        loop {
            self.at = self.find_special()?;
            if self.text.as_bytes()[self.at] == b'"' {
                self.at += 1;
                return Ok(());
            }
            match self.text.as_bytes().get(self.at + 1) {
                Some(b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't') => self.at += 2,
                Some(b'u') => {
                    self.at += 2;
                    self.hex_digits()?;
                }
                _ => return Err(self.bad_escape()),
            }
        }
    }

    fn skip_space(&mut self) {
        while matches!(self.byte(), Some(b' ' | b'\t' | b'\r' | b'\n')) {
            self.at += 1;
        }
    }

    fn byte(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn digits(&mut self) -> Result<(), Syntax> {
        let start = self.at;
        while matches!(self.byte(), Some(b'0'..=b'9')) {
            self.at += 1;
        }
        if self.at == start { Err(self.expected("a digit")) } else { Ok(()) }
    }

    fn open_string(&mut self) -> Result<usize, Syntax> {
        if self.peek() != Some(b'"') {
            return Err(self.expected("a string"));
        }
        self.at += 1;
        Ok(self.at)
    }

    /// The place of the next quote or backslash; what is before it may stand in a string as it is.
    fn find_special(&mut self) -> Result<usize, Syntax> {
        let rest = &self.text.as_bytes()[self.at..];
        let Some(length) = memchr::memchr2(b'"', b'\\', rest) else {
            return Err("the line ends inside a string".to_owned());
        };
        match rest[..length].iter().position(|&byte| byte < 0x20) {
            None => Ok(self.at + length),
            Some(control) => Err(format!("control character at byte {} of the line, inside a string", self.at + control + 1)),
        }
    }

    fn unescaped(&mut self) -> Result<String, Syntax> {
        let mut out = String::new();
        loop {
            let stop = self.find_special()?;
            out.push_str(&self.text[self.at..stop]);
            self.at = stop;
            if self.byte() == Some(b'"') {
                self.at += 1;
                return Ok(out);
            }
            out.push(self.escape()?);
        }
    }

    fn escape(&mut self) -> Result<char, Syntax> {
        let plain = match self.text.as_bytes().get(self.at + 1) {
            Some(b'"') => '"',
            Some(b'\\') => '\\',
            Some(b'/') => '/',
            Some(b'b') => '\u{8}',
            Some(b'f') => '\u{c}',
            Some(b'n') => '\n',
            Some(b'r') => '\r',
            Some(b't') => '\t',
            Some(b'u') => return self.unicode_escape(),
            _ => return Err(self.bad_escape()),
        };
        self.at += 2;
        Ok(plain)
    }

    /// `\u00e9`, or the two halves of a surrogate pair.
    fn unicode_escape(&mut self) -> Result<char, Syntax> {
        self.at += 2;
        let first = self.hex_digits()?;
        let code = match first {
            0xD800..=0xDBFF if self.text[self.at..].starts_with("\\u") => {
                self.at += 2;
                let second = self.hex_digits()?;
                let low = second.wrapping_sub(0xDC00);
                if low < 0x400 { 0x10000 + ((first - 0xD800) << 10) + low } else { first }
            }
            _ => first,
        };
        char::from_u32(code).ok_or_else(|| format!("half a surrogate pair before byte {} of the line", self.at + 1))
    }

    fn hex_digits(&mut self) -> Result<u32, Syntax> {
        let digits = self.text.as_bytes().get(self.at..self.at + 4).unwrap_or_default();
        let mut code = 0;
        for &digit in digits {
            code = code * 16 + char::from(digit).to_digit(16).ok_or_else(|| self.bad_escape())?;
        }
        if digits.is_empty() {
            return Err("the line ends inside a string".to_owned());
        }
        self.at += 4;
        Ok(code)
    }

    fn bad_escape(&self) -> Syntax {
        format!("bad escape at byte {} of the line", self.at + 1)
    }

    #[cold]
    pub(crate) fn expected(&self, what: &str) -> Syntax {
        match self.text[self.at..].chars().next() {
            Some(found) => format!("expected {what} at byte {} of the line, found `{}`", self.at + 1, shown(found)),
            None => format!("expected {what}, but the line ends"),
        }
    }
}

/// A character as a message has it: quotes as they are, and what cannot be seen by its escape.
fn shown(character: char) -> String {
    match character {
        '"' | '\'' => character.to_string(),
        other => other.escape_debug().to_string(),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde::de::IgnoredAny;

    use super::*;

    fn accepts(text: &str) -> bool {
        let mut cursor = Cursor::new(text);
        cursor.skip_value().is_ok() && cursor.end().is_ok()
    }

    #[test]
    fn strings_unescape() {
        let text = r#""a\"\\\/\b\f\n\r\t\u00e9\ud83d\ude00é""#;
        assert_eq!(Cursor::new(text).string().unwrap(), "a\"\\/\u{8}\u{c}\n\r\té😀é");
        for bad in [r#""\ud83d""#, r#""\ud83d\u0041""#, r#""\ude00""#, r#""\x""#, r#""\u12""#, r#""\u12g4""#, "\"\u{1}\"", "\"abc"] {
            assert!(Cursor::new(bad).string().is_err(), "{bad}");
        }
    }

    #[test]
    fn messages_say_where() {
        let message = |text: &str| Cursor::new(text).skip_value().unwrap_err();
        assert_eq!(message(r#"{"a" 1}"#), "expected `:` at byte 6 of the line, found `1`");
        assert_eq!(message(r#"{"a":1"#), "expected `,` or `}`, but the line ends");
        assert_eq!(message(r#"[1 2]"#), "expected `,` or `]` at byte 4 of the line, found `2`");
        assert_eq!(message(r#"-x"#), "expected a digit at byte 2 of the line, found `x`");
    }

    #[test]
    fn deep_nesting_is_refused_and_not_a_crash() {
        assert!(accepts(&format!("{}{}", "[".repeat(128), "]".repeat(128))));
        assert!(!accepts(&"[".repeat(1_000_000)));
    }

    proptest! {
        #[test]
        fn well_formed_is_what_serde_json_says(text in "[\\[\\]{}:,\"\\\\a1e.+0-9 truefalsn-]{0,24}") {
            prop_assert_eq!(accepts(&text), serde_json::from_str::<IgnoredAny>(&text).is_ok(), "{}", text);
        }

        #[test]
        fn numbers_are_what_serde_json_says(text in "-?[0-9]{0,3}(\\.[0-9]{0,2})?([eE][+-]?[0-9]{0,2})?") {
            let ours = accepts(&text);
            prop_assert_eq!(ours, serde_json::from_str::<IgnoredAny>(&text).is_ok(), "{}", text);
        }

        #[test]
        fn strings_are_what_serde_json_says(text in "\"([a-zé\"\\\\/bu]|\\\\u[dD][89c-eC-E][0-9]{2}|\\\\[\"nrt]){0,8}\"?") {
            let (ours, theirs) = (Cursor::new(&text).string().ok(), serde_json::Deserializer::from_str(&text).into_iter::<String>().next());
            if let Some(Ok(theirs)) = theirs {
                prop_assert_eq!(ours.as_deref(), Some(theirs.as_str()));
            } else {
                prop_assert_eq!(ours, None);
            }
        }
    }
}

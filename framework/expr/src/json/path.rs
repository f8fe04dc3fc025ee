//! Paths into JSON: `$.a.b`, `$['a b'][0]`, as SQL has them, without wildcards and filters.

/// Where a part of a JSON text is, from its outermost value inwards.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Path {
    steps: Vec<Step>,
}

/// One step inwards.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// Into an object.
    Key(String),
    /// Into a list, from 0; a negative one from its end.
    Place(i64),
}

impl Path {
    /// A path of one step.
    pub(crate) fn of(step: Step) -> Path {
        Path { steps: vec![step] }
    }

    /// The steps in order.
    pub(crate) fn steps(&self) -> &[Step] {
        &self.steps
    }

    /// Reads a path; the error says what is wrong with it.
    pub(crate) fn parse(text: &str) -> Result<Path, String> {
        let wrong = || format!("`{text}` is not a JSON path; write it like '$.a.b[0]' or '$[''a key'']'");
        // SQL's modes differ in errors only, and there are none here.
        let mut rest = text.trim();
        rest = rest.strip_prefix("lax ").or_else(|| rest.strip_prefix("strict ")).unwrap_or(rest).trim_start();
        rest = rest.strip_prefix('$').ok_or_else(wrong)?;
        let mut steps = Vec::new();
        while !rest.is_empty() {
            let (step, after) = step(rest).ok_or_else(wrong)?;
            steps.push(step);
            rest = after;
        }
        Ok(Path { steps })
    }
}

/// The step at the beginning and what comes after it.
fn step(rest: &str) -> Option<(Step, &str)> {
    if let Some(name) = rest.strip_prefix('.') {
        if name.starts_with('"') {
            let (key, after) = quoted(name)?;
            return Some((Step::Key(key), after));
        }
        let end = name.find(|c: char| !(c.is_alphanumeric() || c == '_' || c == '-')).unwrap_or(name.len());
        return (end > 0).then(|| (Step::Key(name[..end].to_owned()), &name[end..]));
    }
    let inside = rest.strip_prefix('[')?.trim_start();
    if inside.starts_with(['\'', '"']) {
        let (key, after) = quoted(inside)?;
        return Some((Step::Key(key), after.trim_start().strip_prefix(']')?));
    }
    let (place, after) = inside.split_once(']')?;
    Some((Step::Place(place.trim().parse().ok()?), after))
}

/// A quoted key and what comes after its closing quote; a backslash takes the next character as it is.
fn quoted(text: &str) -> Option<(String, &str)> {
    let mut chars = text.char_indices();
    let (_, quote) = chars.next()?;
    let mut key = String::new();
    while let Some((at, c)) = chars.next() {
        match c {
            '\\' => key.push(chars.next()?.1),
            c if c == quote => return Some((key, &text[at + quote.len_utf8()..])),
            c => key.push(c),
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_keys_and_places() {
        let key = |name: &str| Step::Key(name.to_owned());
        for (text, steps) in [
            ("$", vec![]),
            ("$.a.b-c_1", vec![key("a"), key("b-c_1")]),
            ("lax $.a[0][-1]", vec![key("a"), Step::Place(0), Step::Place(-1)]),
            ("$['a b'].\"c.d\"[ 'it\\'s' ]", vec![key("a b"), key("c.d"), key("it's")]),
            ("$.größe", vec![key("größe")]),
        ] {
            assert_eq!(Path::parse(text).unwrap().steps(), steps, "{text}");
        }
        for text in ["", "a", "$a", "$.", "$..a", "$.*", "$[", "$[1", "$[a]", "$['a", "$['a'", "$.a b"] {
            assert!(Path::parse(text).is_err(), "{text}");
        }
    }
}

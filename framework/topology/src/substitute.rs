//! `${NAME}` and `${NAME:-default}` in the strings of the file.
//!
//! Done on the parsed tree and not on the raw text, so that a value can't change the structure of the file and places stay
//! right. A string in which something was replaced takes the type of its key. Values are not looked at again.

use std::collections::BTreeMap;
use std::ops::Range;

use millstream_api::Diagnostic;
use millstream_api::diagnostic::{Key, Part};

use crate::report::Problems;
use crate::tree::{Item, Table, Value};

/// Replaces in all strings below `table`; `path` leads to it.
pub(crate) fn substitute(table: &mut Table, env: &BTreeMap<String, String>, path: &mut Vec<Key>, problems: &mut Problems) {
    for field in &mut table.fields {
        path.push(Key::Name(field.key.clone()));
        substitute_item(&mut field.item, env, path, problems);
        path.pop();
    }
}

fn substitute_item(item: &mut Item, env: &BTreeMap<String, String>, path: &mut Vec<Key>, problems: &mut Problems) {
    match &mut item.value {
        Value::Table(table) => substitute(table, env, path, problems),
        Value::List(items) => {
            for (index, item) in items.iter_mut().enumerate() {
                path.push(Key::Index(index));
                substitute_item(item, env, path, problems);
                path.pop();
            }
        }
        Value::Text(text) if text.contains("${") => match expand(text, env) {
            Ok(Expanded { text: new, replaced }) => {
                *text = new;
                item.untyped = replaced;
            }
            Err(mistakes) => {
                item.broken = true;
                for Mistake { code, message, range, help } in mistakes {
                    let mut diagnostic = Diagnostic::error(code, message).help(help);
                    diagnostic.path.clone_from(path);
                    diagnostic.part = Part::Text(range);
                    problems.push(diagnostic);
                }
            }
        },
        _ => {}
    }
}

#[derive(Debug, PartialEq)]
struct Expanded {
    text: String,
    /// Whether any variable was put in; `$${` alone does not make a text lose its type.
    replaced: bool,
}

#[derive(Debug, PartialEq)]
struct Mistake {
    code: &'static str,
    message: String,
    range: Range<usize>,
    help: String,
}

fn expand(text: &str, env: &BTreeMap<String, String>) -> Result<Expanded, Vec<Mistake>> {
    let (mut out, mut replaced, mut mistakes) = (String::new(), false, Vec::new());
    let mut at = 0;
    while let Some(found) = text[at..].find("${") {
        let start = at + found;
        if text[at..start].ends_with('$') {
            // `$${` stands for `${`.
            out.push_str(&text[at..start - 1]);
            out.push_str("${");
            at = start + 2;
            continue;
        }
        out.push_str(&text[at..start]);
        let Some(length) = text[start..].find('}') else {
            mistakes.push(malformed(start..text.len(), "`${` is not closed by `}`".to_owned()));
            at = text.len();
            break;
        };
        at = start + length + 1;
        match value(&text[start + 2..at - 1], env) {
            Ok(value) => {
                out.push_str(value);
                replaced = true;
            }
            Err((code, message, help)) => mistakes.push(Mistake { code, message, range: start..at, help }),
        }
    }
    out.push_str(&text[at..]);
    if mistakes.is_empty() { Ok(Expanded { text: out, replaced }) } else { Err(mistakes) }
}

fn malformed(range: Range<usize>, message: String) -> Mistake {
    Mistake { code: "bad-variable", message, range, help: HELP.to_owned() }
}

const HELP: &str = "write ${NAME} or ${NAME:-default}; $${ stands for ${ itself";

/// The value of what stands between the braces.
fn value<'a>(inside: &'a str, env: &'a BTreeMap<String, String>) -> Result<&'a str, (&'static str, String, String)> {
    let (name, default) = match inside.split_once(":-") {
        Some((name, default)) => (name, Some(default)),
        None => (inside, None),
    };
    let is_name =
        name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_') && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
    if !is_name {
        return Err(("bad-variable", format!("`{name}` is not the name of a variable"), HELP.to_owned()));
    }
    let given = env.get(name).map(String::as_str);
    match (given, default) {
        // As in a shell, `:-` also stands in for an empty value.
        (Some("") | None, Some(default)) => Ok(default),
        (Some(value), _) => Ok(value),
        (None, None) => {
            Err(("variable-not-set", format!("the variable `{name}` is not set"), format!("set it, or give a default: ${{{name}:-value}}")))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn env() -> BTreeMap<String, String> {
        [("N", "4"), ("EMPTY", ""), ("B", "${N}")].map(|(k, v)| (k.to_owned(), v.to_owned())).into()
    }

    #[test]
    fn variables_defaults_and_escapes() {
        for (text, expected, replaced) in [
            ("${N}", "4", true),
            ("a${N}b${M:-7}", "a4b7", true),
            ("${EMPTY:-x}${EMPTY}", "x", true),
            ("$${N} $N }", "${N} $N }", false),
            ("ü$${ü} ${B}", "ü${ü} ${N}", true),
            ("${M:-}", "", true),
        ] {
            assert_eq!(expand(text, &env()), Ok(Expanded { text: expected.to_owned(), replaced }), "{text}");
        }
    }

    #[test]
    fn all_mistakes_of_a_text_are_found() {
        let mistakes = expand("${M} ${1x} ${N} ${N", &env()).unwrap_err();
        let found: Vec<(&str, Range<usize>)> = mistakes.iter().map(|m| (m.code, m.range.clone())).collect();
        assert_eq!(found, [("variable-not-set", 0..4), ("bad-variable", 5..10), ("bad-variable", 16..19)]);
        assert_eq!(mistakes[0].help, "set it, or give a default: ${M:-value}");
    }
}

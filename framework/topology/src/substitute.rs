//! `${NAME}`, `${NAME:-default}` and `${file:PATH}` in the strings of the file.
//!
//! Done on the parsed tree and not on the raw text, so that a value can't change the structure of the file and places stay
//! right. A string in which something was replaced takes the type of its key. Values are not looked at again.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::ops::Range;
use std::path::Path;

use millstream_api::Diagnostic;
use millstream_api::diagnostic::{Key, Part};

use crate::report::Problems;
use crate::secret;
use crate::tree::{Item, Table, Value};

/// What texts are replaced from.
#[derive(Clone, Copy)]
pub(crate) struct Outside<'a> {
    pub env: &'a BTreeMap<String, String>,
    /// Where the paths of secrets start.
    pub folder: &'a Path,
    /// Whether no path may be looked at, because a test stands in the place of sources and sinks. Any text then does for a secret.
    pub replaced: bool,
}

/// Replaces in all strings of the file. What came from a file is not shown by `problems`.
pub(crate) fn substitute(root: &mut Table, outside: Outside<'_>, problems: &mut Problems) {
    substitute_table(root, outside, &mut Vec::new(), problems);
}

/// Replaces in all strings below `table`; `path` leads to it.
fn substitute_table(table: &mut Table, outside: Outside<'_>, path: &mut Vec<Key>, problems: &mut Problems) {
    for field in &mut table.fields {
        path.push(Key::Name(field.key.clone()));
        substitute_item(&mut field.item, outside, path, problems);
        path.pop();
    }
}

fn substitute_item(item: &mut Item, outside: Outside<'_>, path: &mut Vec<Key>, problems: &mut Problems) {
    match &mut item.value {
        Value::Table(table) => substitute_table(table, outside, path, problems),
        Value::List(items) => {
            for (index, item) in items.iter_mut().enumerate() {
                path.push(Key::Index(index));
                substitute_item(item, outside, path, problems);
                path.pop();
            }
        }
        Value::Text(text) if text.contains("${") => match expand(text, outside) {
            Ok(Expanded { text: new, replaced, secrets }) => {
                secrets.iter().for_each(|secret| problems.hide(secret, path));
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
    /// What came from files.
    secrets: Vec<String>,
}

#[derive(Debug, PartialEq)]
struct Mistake {
    code: &'static str,
    message: String,
    range: Range<usize>,
    help: String,
}

fn expand(text: &str, outside: Outside<'_>) -> Result<Expanded, Vec<Mistake>> {
    let (mut out, mut replaced, mut secrets, mut mistakes) = (String::new(), false, Vec::new(), Vec::new());
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
        match value(&text[start + 2..at - 1], outside) {
            Ok(value) => {
                out.push_str(&value);
                replaced = true;
                // Only a secret is read, everything else is there already.
                secrets.extend(match value {
                    Cow::Owned(secret) => Some(secret),
                    Cow::Borrowed(_) => None,
                });
            }
            Err((code, message, help)) => mistakes.push(Mistake { code, message, range: start..at, help }),
        }
    }
    out.push_str(&text[at..]);
    if mistakes.is_empty() { Ok(Expanded { text: out, replaced, secrets }) } else { Err(mistakes) }
}

fn malformed(range: Range<usize>, message: String) -> Mistake {
    Mistake { code: "bad-variable", message, range, help: HELP.to_owned() }
}

const HELP: &str = "write ${NAME}, ${NAME:-default} or ${file:PATH}; $${ stands for ${ itself";

/// The value of what stands between the braces, of which the first `}` is the end.
fn value<'a>(inside: &'a str, outside: Outside<'a>) -> Result<Cow<'a, str>, (&'static str, String, String)> {
    if let Some(path) = inside.strip_prefix("file:") {
        return secret_in(path, outside);
    }
    let (name, default) = match inside.split_once(":-") {
        Some((name, default)) => (name, Some(default)),
        None => (inside, None),
    };
    let is_name =
        name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_') && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
    if !is_name {
        let message = if name.is_empty() { "no variable is named".to_owned() } else { format!("`{name}` is not the name of a variable") };
        return Err(("bad-variable", message, HELP.to_owned()));
    }
    if default.is_some_and(|default| default.contains("${")) {
        // The first `}` would end it, and the rest would be left standing as text.
        let help = "set the variable, or let the default be plain text".to_owned();
        return Err(("bad-variable", format!("the default of `{name}` cannot have a `${{` in it"), help));
    }
    let given = outside.env.get(name).map(String::as_str);
    match (given, default) {
        // As in a shell, `:-` also stands in for an empty value.
        (Some("") | None, Some(default)) => Ok(default.into()),
        (Some(value), _) => Ok(value.into()),
        (None, None) => {
            Err(("variable-not-set", format!("the variable `{name}` is not set"), format!("set it, or give a default: ${{{name}:-value}}")))
        }
    }
}

fn secret_in<'a>(path: &str, outside: Outside<'_>) -> Result<Cow<'a, str>, (&'static str, String, String)> {
    if outside.replaced {
        return Ok(Cow::Borrowed("secret"));
    }
    let found = secret::read(&outside.folder.join(path)).map_err(|why| {
        let help = "the path is relative to the topology's folder; the file holds the secret and nothing else".to_owned();
        ("cannot-read-secret", format!("the secret in `{path}` cannot be read: {why}"), help)
    });
    found.map(Cow::Owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outside<'a>(env: &'a BTreeMap<String, String>, folder: &'a Path, replaced: bool) -> Outside<'a> {
        Outside { env, folder, replaced }
    }

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
            let expanded = Expanded { text: expected.to_owned(), replaced, secrets: Vec::new() };
            assert_eq!(expand(text, outside(&env(), Path::new("."), false)), Ok(expanded), "{text}");
        }
    }

    #[test]
    fn all_mistakes_of_a_text_are_found() {
        let mistakes = expand("${M} ${1x} ${N} ${N", outside(&env(), Path::new("."), false)).unwrap_err();
        let found: Vec<(&str, Range<usize>)> = mistakes.iter().map(|m| (m.code, m.range.clone())).collect();
        assert_eq!(found, [("variable-not-set", 0..4), ("bad-variable", 5..10), ("bad-variable", 16..19)]);
        assert_eq!(mistakes[0].help, "set it, or give a default: ${M:-value}");
    }

    #[test]
    fn a_default_is_plain_text_whether_it_is_needed_or_not() {
        for text in ["${M:-a${N}}", "${N:-a${N}}", "${M:-$${N}", "${M:-${file:token}}"] {
            let mistakes = expand(text, outside(&env(), Path::new("."), false)).unwrap_err();
            assert_eq!((mistakes.len(), mistakes[0].code), (1, "bad-variable"), "{text}");
        }
    }

    #[test]
    fn a_secret_is_read_from_its_file_unless_no_path_may_be_looked_at() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("token"), "${N}abc\n").unwrap();
        let expanded = expand("Bearer ${file:token}", outside(&env(), folder.path(), false)).unwrap();
        assert_eq!((expanded.text.as_str(), &expanded.secrets[..]), ("Bearer ${N}abc", &["${N}abc".to_owned()][..]));
        let in_a_test = expand("Bearer ${file:none}", outside(&env(), folder.path(), true)).unwrap();
        assert_eq!((in_a_test.text.as_str(), in_a_test.secrets.len()), ("Bearer secret", 0));
        let mistakes = expand("${file:none}", outside(&env(), folder.path(), false)).unwrap_err();
        assert_eq!((mistakes[0].code, mistakes[0].range.clone()), ("cannot-read-secret", 0..12));
    }
}

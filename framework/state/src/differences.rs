//! In what the meanings of two states differ, in the user's words.

use std::collections::{BTreeMap, BTreeSet};

use millstream_api::meaning::Meaning;

type Parts = BTreeMap<String, String>;

/// Why state of the one would be something else in the other; `None`: it means the same.
pub(crate) fn differences(old: &Meaning, new: &Meaning) -> Option<String> {
    let mut found = Vec::new();
    let options: Vec<String> = changed(&old.options, &new.options).into_iter().map(quoted).collect();
    if !options.is_empty() {
        found.push(format!("has another {}", options.join(", ")));
    }
    // Of other options it is a matter of course.
    let sent =
        new.sends.iter().filter(|_| options.is_empty()).filter(|(column, text)| old.sends.get(*column).is_some_and(|old| old != *text));
    found.extend(sent.map(|(column, _)| format!("calculates `{column}` in another way, and could not withdraw what it has sent")));
    found.extend(of_reads(&old.reads, &new.reads));
    // What is read stands in the rows as well, and is said once.
    let is_said = |name: &str| !found.is_empty() && (old.reads.contains_key(name) || new.reads.contains_key(name));
    let none = Parts::new();
    found.extend(of_rows(old.rows.as_ref().unwrap_or(&none), new.rows.as_ref().unwrap_or(&none), is_said));
    found.extend(of_streams(&old.streams, &new.streams));
    (!found.is_empty()).then(|| found.join(", and "))
}

fn of_reads(old: &Parts, new: &Parts) -> Vec<String> {
    let came = columns(new.keys().filter(|name| !old.contains_key(*name))).map(|columns| format!("reads {columns} as well"));
    let gone = columns(old.keys().filter(|name| !new.contains_key(*name))).map(|columns| format!("no longer reads {columns}"));
    gone.into_iter().chain(came).chain(other_types(old, new, |_| true)).collect()
}

/// Columns that nobody needs any more are left out of rows.
fn of_rows(old: &Parts, new: &Parts, is_said: impl Fn(&str) -> bool) -> Vec<String> {
    let came = columns(new.keys().filter(|name| !old.contains_key(*name) && !is_said(name)));
    let came = came.map(|columns| format!("reads {columns} as well, which the rows of its state do not have"));
    came.into_iter().chain(other_types(old, new, |name| !is_said(name))).collect()
}

fn other_types(old: &Parts, new: &Parts, is_asked: impl Fn(&str) -> bool) -> Vec<String> {
    let both = old.iter().filter(|(name, _)| is_asked(name)).filter_map(|(name, old)| Some((name, old, new.get(name)?)));
    both.filter(|(_, old, new)| !fits(old, new))
        .map(|(name, old, new)| format!("reads the column `{name}` as {new}, and it was {old}"))
        .collect()
}

/// `the columns a, b`; `None`: there are none.
fn columns<'a>(names: impl Iterator<Item = &'a String>) -> Option<String> {
    let names: Vec<String> = names.map(|name| quoted(name)).collect();
    let noun = if names.len() == 1 { "the column" } else { "the columns" };
    (!names.is_empty()).then(|| format!("{noun} {}", names.join(", ")))
}

fn of_streams(old: &Parts, new: &Parts) -> Vec<String> {
    let say = |name: &str| match (old.get(name).map(String::as_str), new.get(name).map(String::as_str)) {
        (Some(old), Some(new)) if name.ends_with("windows") => format!("reads windows of {new}, which were {old}"),
        (Some("yes"), None) => format!("no longer reads rows with {name}"),
        (None, Some("yes")) => format!("reads rows with {name}"),
        (None, Some(new)) => format!("reads {name} ({new})"),
        (Some(_), None) => format!("no longer reads {name}"),
        (Some(_), Some(_)) => format!("has another {name}"),
        (None, None) => String::new(),
    };
    changed(old, new).into_iter().map(say).collect()
}

/// Whether values of the old type are values of the new one.
fn fits(old: &str, new: &str) -> bool {
    old == new || old.strip_suffix(" not null") == Some(new)
}

fn changed<'a>(old: &'a Parts, new: &'a Parts) -> Vec<&'a str> {
    names(old, new).into_iter().filter(|name| old.get(*name) != new.get(*name)).collect()
}

fn names<'a>(old: &'a Parts, new: &'a Parts) -> BTreeSet<&'a str> {
    old.keys().chain(new.keys()).map(String::as_str).collect()
}

/// Names of parts that are not keys of the file stand in brackets, and are words.
fn quoted(name: &str) -> String {
    match name.strip_prefix('(').and_then(|name| name.strip_suffix(')')) {
        Some(words) => words.to_owned(),
        None => format!("`{name}`"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parts(parts: &[(&str, &str)]) -> Parts {
        parts.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    }

    fn said(old: &Meaning, new: &Meaning) -> String {
        differences(old, new).unwrap_or_default()
    }

    #[test]
    fn what_differs_is_named() {
        let of = |options: &[(&str, &str)]| Meaning { options: parts(options), ..Meaning::default() };
        assert_eq!(said(&of(&[("by", "[a]"), ("n", "2")]), &of(&[("by", "[b]"), ("n", "3")])), "has another `by`, `n`");
        assert_eq!(said(&of(&[("(order of rows)", "a")]), &of(&[("(order of rows)", "b")])), "has another order of rows");
        assert_eq!(said(&of(&[("n", "2")]), &of(&[("n", "2")])), "");
        let of = |streams: &[(&str, &str)]| Meaning { streams: parts(streams), ..Meaning::default() };
        assert_eq!(said(&of(&[("windows", "1m")]), &of(&[("windows", "1h")])), "reads windows of 1h, which were 1m");
        assert_eq!(said(&of(&[]), &of(&[("event time", "yes")])), "reads rows with event time");
    }

    #[test]
    fn columns_are_named_once_and_may_become_nullable() {
        let of =
            |reads: &[(&str, &str)], rows: &[(&str, &str)]| Meaning { reads: parts(reads), rows: Some(parts(rows)), ..Meaning::default() };
        let old = of(&[("id", "bigint not null")], &[("id", "bigint not null"), ("c", "string")]);
        assert_eq!(said(&old, &of(&[("id", "bigint")], &[("id", "bigint"), ("c", "string")])), "");
        let new = of(&[("id", "string")], &[("id", "string"), ("c", "string")]);
        assert_eq!(said(&old, &new), "reads the column `id` as string, and it was bigint not null");
        let more = of(&[("id", "bigint not null")], &[("id", "bigint not null"), ("c", "string"), ("x", "int")]);
        assert_eq!(said(&old, &more), "reads the column `x` as well, which the rows of its state do not have");
        assert_eq!(
            said(&of(&[], &[("c", "string")]), &of(&[], &[("c", "string not null")])),
            "reads the column `c` as string not null, and it was string"
        );
    }

    #[test]
    fn what_was_sent_must_be_withdrawn_as_it_was_and_may_become_more() {
        let of = |sends: &[(&str, &str)]| Meaning { sends: parts(sends), ..Meaning::default() };
        assert_eq!(said(&of(&[("n", "count ( * )")]), &of(&[("m", "sum ( a )"), ("n", "count ( * )")])), "");
        let other = said(&of(&[("n", "a + 1")]), &of(&[("n", "a + 2")]));
        assert_eq!(other, "calculates `n` in another way, and could not withdraw what it has sent");
    }
}

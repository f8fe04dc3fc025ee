//! The functions as a list for people: what each is called, how it is called, and what it gives in one sentence.
//!
//! Made from what an expression is resolved with, so that it cannot name what is not there.

use datafusion_expr::ScalarUDF;
use millstream_api::diagnostic::nearest;

use crate::absent::why_not;
use crate::functions::{AGGREGATE, OverGroups, names, scalar_groups};
use crate::shorthands::SHORTHANDS;

/// A function that an expression may call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FunctionDoc {
    /// What it is about.
    pub group: &'static str,
    /// Its names, the usual one first.
    pub names: Vec<&'static str>,
    /// How it is called; several ways for some.
    pub calls: Vec<&'static str>,
    /// What it gives.
    pub text: String,
}

/// All functions, by group and name.
pub fn functions() -> Vec<FunctionDoc> {
    let mut all: Vec<FunctionDoc> = Vec::new();
    for (group, functions) in scalar_groups() {
        let mut described: Vec<FunctionDoc> = functions.iter().map(|function| scalar(group, function)).collect();
        described.sort_by_key(|function| function.names[0]);
        all.extend(described);
    }
    all.extend(shorthands());
    all.extend(AGGREGATE.iter().map(aggregate));
    all
}

/// What to do about a name that no function has.
pub fn advice(name: &str) -> Option<String> {
    let known = functions();
    let known = known.iter().flat_map(|function| function.names.iter().copied());
    why_not(name).map(str::to_owned).or_else(|| nearest(name, known).map(|near| format!("did you mean `{near}`?")))
}

fn scalar(group: &'static str, function: &'static ScalarUDF) -> FunctionDoc {
    let documentation = function.documentation();
    let call = documentation.map_or(function.name(), |documentation| documentation.syntax_example.as_str());
    let text = match OURS.iter().find(|(name, _)| *name == function.name()) {
        Some((_, text)) => (*text).to_owned(),
        None => documentation.map(|documentation| first_sentence(&documentation.description)).unwrap_or_default(),
    };
    FunctionDoc { group, names: names(function).collect(), calls: vec![call], text }
}

fn first_sentence(description: &str) -> String {
    let line = description.trim().lines().map(str::trim).take_while(|line| !line.is_empty()).collect::<Vec<_>>().join(" ");
    let sentence = match line.split_once(". ") {
        Some((sentence, _)) => format!("{sentence}."),
        None => line,
    };
    let plain = without_links(&sentence).replace(" _", " ");
    ["_ ", "_.", "_;"].iter().fold(plain, |plain, end| plain.replace(end, &end[1..]))
}

/// Without marks: `[text](address)` as its text.
fn without_links(sentence: &str) -> String {
    let mut parts = sentence.split('[');
    let mut plain = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        match part.split_once("](").and_then(|(text, rest)| Some((text, rest.split_once(')')?.1))) {
            Some((text, after)) => plain.extend([text, after]),
            None => plain.extend(["[", part]),
        }
    }
    plain.replace('`', "")
}

/// Those of several forms once.
fn shorthands() -> Vec<FunctionDoc> {
    let mut all: Vec<FunctionDoc> = Vec::new();
    for (name, template, call) in SHORTHANDS {
        match all.last_mut().filter(|last| last.names[0] == name) {
            Some(last) => last.calls.push(call),
            None => all.push(FunctionDoc {
                group: "shorthands",
                names: vec![name],
                calls: vec![call],
                text: format!("Short for `{template}`."),
            }),
        }
    }
    all
}

fn aggregate((names, call, text): &OverGroups) -> FunctionDoc {
    FunctionDoc { group: "aggregate functions", names: names.to_vec(), calls: vec![call], text: (*text).to_owned() }
}

/// Where DataFusion says something that is not so here, or says too little.
const OURS: [(&str, &str); 23] = [
    ("array_length", "Returns the number of items of a list."),
    ("array_sort", "Sorts a list."),
    ("array_to_string", "Joins the items of a list to one text."),
    ("concat", "Concatenates texts, leaving out nulls."),
    ("date_bin", "Returns the start of the interval that holds the time."),
    ("date_part", "Returns a part of a time as a number, as `extract(part from time)`."),
    ("decode", "Returns the bytes of a text in hex, base64 or base64pad."),
    ("digest", "Returns the digest of a text or bytes, as bytes."),
    ("encode", "Writes a text or bytes as text in hex, base64 or base64pad."),
    ("from_unixtime", "Makes a timestamp of seconds since 1970."),
    ("json_exists", "Returns whether a path leads to something."),
    ("json_part", "Returns what is at a key or place of an object or list, as JSON."),
    ("json_part_as_text", "Returns what is at a key or place of an object or list, texts without their quotes."),
    ("json_query", "Returns the object or list at a path, as JSON."),
    ("json_value", "Returns the text, number or boolean at a path, as text."),
    ("named_struct", "Makes a struct of names and values."),
    ("regexp_instr", "Returns the place of a match of a regular expression."),
    ("regexp_match", "Returns the groups of the first match of a regular expression, as a list."),
    ("regexp_replace", "Replaces the first match of a regular expression, with the flag 'g' all; `$1` or `\\1` is its first group."),
    ("to_timestamp", "Reads a text as a time, or makes one of seconds since 1970."),
    ("to_timestamp_micros", "Makes a timestamp of microseconds since 1970."),
    ("to_timestamp_millis", "Makes a timestamp of milliseconds since 1970."),
    ("to_timestamp_seconds", "Makes a timestamp of seconds since 1970."),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_function_says_what_it_gives_in_plain_words() {
        for function in functions() {
            let FunctionDoc { calls, text, .. } = &function;
            assert!(text.ends_with('.') && !calls.is_empty(), "{function:?}");
            assert!(!["](", " _", "_ ", "Arrow", "DataFusion", "<TZ>"].iter().any(|foreign| text.contains(foreign)), "{text}");
        }
    }

    #[test]
    fn what_is_said_here_is_said_of_functions_that_are_there() {
        let known: Vec<&str> = functions().iter().map(|function| function.names[0]).collect();
        let gone: Vec<&str> = OURS.iter().map(|(name, _)| *name).filter(|name| !known.contains(name)).collect();
        assert!(gone.is_empty(), "{gone:?}");
    }

    #[test]
    fn a_name_that_no_function_has_is_told_what_to_write() {
        assert_eq!(advice("lowr").as_deref(), Some("did you mean `lower`?"));
        assert_eq!(advice("max_by").as_deref(), Some("write `last_value(x order by y nulls first)`"));
        assert_eq!(advice("frobnicate"), None);
    }
}

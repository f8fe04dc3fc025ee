//! The walk over the JSON Schema: what it finds, and what it takes for granted.

use millstream_api::time::{DurationText, SizeText};
use schemars::{JsonSchema, schema_for};
use serde::Deserialize;

use super::*;
use crate::tree;

#[derive(Debug, Deserialize, JsonSchema)]
#[expect(dead_code, reason = "only its schema is looked at")]
struct Options {
    /// Where it is.
    ///
    /// More about it.
    path: String,
    count: Option<std::num::NonZeroUsize>,
    ratio: Option<f64>,
    small: Option<u16>,
    flag: Option<bool>,
    by: Option<Vec<String>>,
    wait: Option<DurationText>,
    size: Option<SizeText>,
    mode: Option<Mode>,
    emit: Option<Emit>,
    shape: Option<Form>,
    words: Option<std::collections::BTreeMap<String, String>>,
    inner: Option<Inner>,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum Mode {
    /// Documented variants become `oneOf`.
    Tumble,
    /// Another.
    Hop,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[expect(dead_code, reason = "only its schema is looked at")]
enum Emit {
    Close,
    Every(DurationText),
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(tag = "kind", rename_all = "snake_case")]
#[expect(dead_code, reason = "only its schema is looked at")]
enum Form {
    Round { radius: i64 },
    Square { side: i64, tilted: Option<bool> },
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "only its schema is looked at")]
struct Inner {
    by: String,
    #[serde(default)]
    delay: DurationText,
}

/// The JSON that comes of a TOML table, or its mistakes.
fn read(toml: &str, untyped: bool) -> Result<Json, Vec<String>> {
    let mut table = tree::parse(toml, tree::Syntax::Toml).unwrap();
    table.fields.iter_mut().for_each(|field| field.item.untyped = untyped);
    let mut problems = Problems::default();
    let schema = schema_for!(Options);
    let read = Reader::new(Vec::new(), &mut problems).read_table(Schema::root(&schema), &table);
    let report = problems.into_report("f", toml, &table);
    let shown = report.entries().iter().map(|entry| match &entry.help {
        Some(help) => format!("{}: {}; {help}", entry.code, entry.message),
        None => format!("{}: {}", entry.code, entry.message),
    });
    read.ok_or_else(|| shown.collect())
}

/// The only mistake of a table that has `path`.
fn mistake(toml: &str) -> String {
    let mistakes = read(&format!("path = \"p\"\n{toml}"), false).unwrap_err();
    assert_eq!(mistakes.len(), 1, "{mistakes:?}");
    mistakes[0].clone()
}

#[test]
fn right_values_pass_as_they_are() {
    let toml = "path = \"p\"\ncount = 3\nratio = 2\nflag = false\nby = [\"a\"]\nwait = \"1h30m\"\nsize = \"2GiB\"\nmode = \"hop\"\n\
                emit = { every = \"5s\" }\nshape = { kind = \"square\", side = 2 }\nwords = { B = \"x\", a = \"y\" }\ninner.by = \"t\"\n";
    let json = read(toml, false).unwrap();
    assert_eq!(
        json.to_string(),
        r#"{"path":"p","count":3,"ratio":2,"flag":false,"by":["a"],"wait":"1h30m","size":"2GiB","mode":"hop","emit":{"every":"5s"},"shape":{"kind":"square","side":2},"words":{"B":"x","a":"y"},"inner":{"by":"t"}}"#
    );
    assert!(read("path = \"p\"\nemit = \"close\"\n", false).is_ok());
}

#[test]
fn text_from_outside_takes_the_type_of_its_key() {
    let toml = "path = \"7\"\ncount = \" 3\"\nratio = \"2.5\"\nflag = \"true\"\nby = '[\"a\", \"b\"]'\nwait = \"1s\"\nmode = \"hop\"\n\
                emit = '{\"every\": \"5s\"}'\ninner = '{\"by\": \"t\"}'\n";
    let json = read(toml, true).unwrap();
    assert_eq!(
        json.to_string(),
        r#"{"path":"7","count":3,"ratio":2.5,"flag":true,"by":["a","b"],"wait":"1s","mode":"hop","emit":{"every":"5s"},"inner":{"by":"t"}}"#
    );
    let mistakes = read("path = \"p\"\ncount = \"many\"\nby = \"[1]\"\nflag = \"yes\"\n", true).unwrap_err();
    assert_eq!(
        mistakes,
        [
            "wrong-type: `count` must be a whole number, not \"many\"",
            "wrong-type: item 1 of `by` must be text, not a whole number",
            "wrong-type: `flag` must be true or false, not \"yes\""
        ]
    );
    assert_eq!(mistake("count = \"3\""), "wrong-type: `count` must be a whole number, not \"3\"");
}

#[test]
fn each_mistake_says_what_would_be_right() {
    const DURATION: &str = "bad-duration: `?` is not a duration; write it like \"250ms\", \"10s\" or \"1h30m\"";
    const UNITS: &str = "whole numbers, each with one of the units us, ms, s, m, h, d and w behind it, up to about 290,000 years";
    for (toml, expected) in [
        ("pth = 1", "unknown-key: `pth` is not a key here; did you mean `path`?"),
        ("count = 0", "bad-value: `count` must be at least 1, not 0"),
        ("small = 70000", "bad-value: `small` must be at most 65535, not 70000"),
        ("ratio = nan", "bad-value: `ratio` must be finite, not NaN"),
        ("by = \"a\"", "wrong-type: `by` must be a list, not \"a\"; write by = [\"a\"]"),
        ("by = [\"a\", 1]", "wrong-type: item 2 of `by` must be text, not a whole number"),
        ("wait = 5", "wrong-type: `wait` must be a duration like \"10s\", not a whole number; write wait = \"5s\""),
        ("inner = { by = [\"a\"] }", "wrong-type: `by` must be text, not a list; write by = \"a\""),
        ("count = 3.5", "wrong-type: `count` must be a whole number, not 3.5"),
        ("wait = \"2 Minutes\"", &format!("{DURATION}; write \"2m\"").replace('?', "2 Minutes")),
        ("wait = \"5\"", &format!("{DURATION}; {UNITS}").replace('?', "5")),
        ("wait = \"-8h\"", "bad-duration: `-8h` is negative, and no duration is; write \"8h\""),
        ("mode = \"hopp\"", "bad-value: `mode` cannot be `hopp`; did you mean `hop`? there are tumble, hop"),
        ("mode = 1", "wrong-type: `mode` must be text, not a whole number"),
        ("emit = 1", "wrong-type: `emit` must be \"close\" or a table { every = … }, not a whole number"),
        ("emit = \"never\"", "bad-value: `emit` cannot be `never`; it must be close, or a table { every = … }"),
        ("emit = { every = \"x\" }", &format!("{DURATION}; {UNITS}").replace('?', "x")),
        ("shape = { side = 1 }", "missing-key: `shape` lacks the key `kind`; it is one of round, square"),
        ("shape = { kind = \"squar\", side = 1 }", "bad-value: `kind` cannot be `squar`; did you mean `square`? there are round, square"),
        ("shape = { kind = \"round\", side = 1, radius = 1 }", "unknown-key: `side` is not a key here; the keys here are kind, radius"),
        ("inner = {}", "missing-key: `inner` lacks the key `by`; add by = …"),
        ("inner = { by = \"a\", dely = \"1s\" }", "unknown-key: `dely` is not a key here; did you mean `delay`?"),
        ("words = { a = 1 }", "wrong-type: `a` must be text, not a whole number"),
    ] {
        assert_eq!(mistake(toml), expected);
    }
    assert!(mistake("size = \"5\"").starts_with("bad-size: `5` is not a size"));
}

#[test]
fn all_mistakes_come_in_one_go() {
    let mistakes = read("count = 0\nby = [1]\ninner = { delay = 1 }\n", false).unwrap_err();
    let codes: Vec<&str> = mistakes.iter().filter_map(|mistake| mistake.split(':').next()).collect();
    assert_eq!(codes, ["missing-key", "bad-value", "wrong-type", "missing-key", "wrong-type"]);
    assert_eq!(mistakes[0], "missing-key: the topology lacks the key `path`; path: Where it is.");
}

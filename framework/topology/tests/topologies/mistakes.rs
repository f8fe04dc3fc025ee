//! Wrong topologies: every mistake in one go, each at its place, and no panic whatever the file holds.

use crate::support::{check_with, registry, report};
use expect_test::expect;
use proptest::prelude::*;

/// Two dozen lines with a mistake in every other one.
const ALL_WRONG: &str = r#"nam = "x"
[runtime]
workers = 0
[sources.s]
type = "feed"
columns = ["a bigint", "b bigimt", 7]
[sources.t]
type = "feed"
columns = ["a bigint"]
time = { by = "a", max_dely = "1s" }
[operators.s]
type = "pas"
input = "t"
[operators.p]
type = "pass"
inputs = ["t"]
[operators."a b"]
type = "gather"
input = "tt"
parallelism = 2
[operators.u]
type = "merge"
inputs = []
[operators.z]
type = "pair"
left = "t"
[sinks.d]
type = "drain"
input = "p"
[sinks.e]
input = "d"
"#;

#[test]
fn all_mistakes_of_a_file_come_in_one_go() {
    expect![[r#"
        t.toml: error[missing-key]: the topology lacks the key `name`
        help: name: identifies the topology's state, views and metrics: name = "late-departures"

        t.toml:1:1: error[unknown-key]: `nam` is not a key here
        1 | nam = "x"
          | ^^^
        help: did you mean `name`?

        t.toml:3:11: error[bad-value]: `workers` must be at least 1, not 0
        3 | workers = 0
          |           ^

        t.toml:6:36: error[wrong-type]: item 3 of `columns` must be text, not a whole number
        6 | columns = ["a bigint", "b bigimt", 7]
          |                                    ^

        t.toml:10:20: error[unknown-key]: `max_dely` is not a key here
        10 | time = { by = "a", max_dely = "1s" }
           |                    ^^^^^^^^
        help: did you mean `max_delay`?

        t.toml:11:12: error[duplicate-name]: `s` is the name of a source as well
        11 | [operators.s]
           |            ^
        help: sources, operators and sinks share their names; rename one of the two

        t.toml:12:9: error[unknown-type]: there is no operator type `pas`
        12 | type = "pas"
           |         ^^^
        help: did you mean `pass`? there are broken, cut, gather, merge, pair, pass

        t.toml:16:1: error[wrong-inputs]: `pass` does not read its streams by `inputs`
        16 | inputs = ["t"]
           | ^^^^^^
        help: it reads one stream: input = "a"

        t.toml:17:12: error[bad-name]: `a b` cannot be a name
        17 | [operators."a b"]
           |            ^^^^^
        help: a name begins with a letter or `_`, goes on with letters, digits, `_` and `-`, and has no two `_` in a row

        t.toml:19:10: error[unknown-stream]: `a b` reads `tt`, which is not defined
        19 | input = "tt"
           |          ^^
        help: did you mean `t`? defined here: s, t, s, p, a b, u, z

        t.toml:23:10: error[wrong-inputs]: `u` reads no stream
        23 | inputs = []
           |          ^^
        help: name one at least

        t.toml:24:12: error[missing-key]: `z` lacks the key `right`
        24 | [operators.z]
           |            ^
        help: right: the name of the stream that it reads

        t.toml:30:8: error[missing-key]: `e` lacks the key `type`
        30 | [sinks.e]
           |        ^
        help: type: what kind of sink it is; there are drain

        t.toml:31:10: error[reads-sink]: `e` reads `d`, which is a sink
        31 | input = "d"
           |          ^
        help: sinks define no stream; read the one that the sink reads

    "#]]
    .assert_eq(&report(ALL_WRONG).render());
}

const SOURCE: &str = "name = \"n\"\n[sources.s]\ntype = \"feed\"\ncolumns = [\"a bigint\", \"at timestamp\"]\n";

fn with_source(rest: &str) -> String {
    report(&format!("{SOURCE}{rest}")).render()
}

#[test]
fn cycles() {
    let shown = with_source(
        "[operators.a]\ntype = \"pass\"\ninput = \"c\"\n[operators.b]\ntype = \"merge\"\ninputs = [\"s\", \"a\"]\n\
         [operators.c]\ntype = \"pass\"\ninput = \"b\"\n[operators.own]\ntype = \"pass\"\ninput = \"own\"\n[sinks.d]\ntype = \"drain\"\ninput = \"c\"\n",
    );
    expect![[r#"
        t.toml:7:10: error[cycle]: `a` reads what it writes itself: a → b → c → a
        7 | input = "c"
          |          ^
        help: a stream cannot depend on itself; one of these must read another stream

        t.toml:16:10: error[cycle]: `own` reads what it writes itself: own → own
        16 | input = "own"
           |          ^^^
        help: a stream cannot depend on itself; one of these must read another stream

    "#]]
    .assert_eq(&shown);
}

#[test]
fn a_failed_node_hides_nothing_and_has_no_followers() {
    let shown = with_source(
        "[operators.w]\ntype = \"cut\"\ninput = \"s\"\nsize = \"1h\"\n[operators.g]\ntype = \"gather\"\ninput = \"w\"\nby = [\"nope\"]\n\
         [operators.h]\ntype = \"gather\"\ninput = \"s\"\nparallelism = 2\n[sinks.d]\ntype = \"drain\"\ninput = \"g\"\n[sinks.e]\ntype = \"drain\"\ninput = \"h.lat\"\n",
    );
    expect![[r#"
        t.toml:7:10: error[no-event-time]: `s` has no event time
        7 | input = "s"
          |          ^

        t.toml:16:15: error[bad-parallelism]: `h` can have at most 1 subtask: it has no key
        16 | parallelism = 2
           |               ^
        help: leave `parallelism` out

        t.toml:22:10: error[unknown-stream]: `e` reads `h.lat`, which `h` does not define
        22 | input = "h.lat"
           |          ^^^^^
        help: did you mean `h.late`? it defines h, h.late

    "#]]
    .assert_eq(&shown);
}

#[test]
fn event_time_must_be_a_timestamp_of_the_source() {
    let time = |by: &str| report(&format!("{SOURCE}time = {{ by = \"{by}\" }}\n[sinks.d]\ntype = \"drain\"\ninput = \"s\"\n"));
    let codes = |by: &str| time(by).entries().iter().map(|entry| entry.code).collect::<Vec<_>>();
    assert!(codes("at").is_empty());
    assert_eq!(codes("att"), ["unknown-column"]);
    assert_eq!(codes("a"), ["type-mismatch"]);
    let shown = time("a").render();
    assert!(shown.starts_with("t.toml:5:16: error[type-mismatch]: event time must be a timestamp, `a` is bigint\n"), "{shown}");
}

#[test]
fn warnings_do_not_stop_a_topology() {
    let shown = with_source(
        "[operators.p]\ntype = \"pass\"\ninput = \"s\"\n[operators.g]\ntype = \"gather\"\ninput = \"s\"\nby = [\"a\"]\n[sinks.d]\ntype = \"drain\"\ninput = \"g.late\"\nwarn = true\n",
    );
    expect![[r#"
        t.toml:5:12: warning[unread-stream]: nothing reads `p`
        5 | [operators.p]
          |            ^
        help: add a sink that reads it, or leave it out

        t.toml:8:12: warning[unread-stream]: nothing reads `g`
        8 | [operators.g]
          |            ^
        help: add a sink that reads it, or leave it out

        t.toml:12:8: warning[drained]: the rows are gone
        12 | [sinks.d]
           |        ^

    "#]]
    .assert_eq(&shown);
}

#[test]
fn a_broken_operator_is_said_to_be_broken() {
    let shown = with_source("[operators.b]\ntype = \"broken\"\ninput = \"s\"\n[sinks.d]\ntype = \"drain\"\ninput = \"b\"\n");
    expect![[r#"
        t.toml:5:12: error[internal]: the node type `broken` plans another number of inputs than it reads
        5 | [operators.b]
          |            ^
        help: this is a mistake in the operator's code, not in the topology

    "#]]
    .assert_eq(&shown);
}

#[test]
fn files_that_are_no_topology() {
    expect![[r#"
        t.toml:2:5: error[syntax]: this is not TOML: extra `=`, expected nothing
        2 | b = = 2
          |     ^

    "#]]
    .assert_eq(&report("a = 1\nb = = 2\n").render());
    let after_mark = report("\u{feff}nam = 1\n").render();
    assert!(after_mark.contains("t.toml:1:1: error[unknown-key]"), "{after_mark}");
    let empty: Vec<&str> = report("").entries().iter().map(|entry| entry.code).collect();
    assert_eq!(empty, ["missing-key"]);
    let no_nodes: Vec<&str> = report("name = \"n\"").entries().iter().map(|entry| entry.code).collect();
    assert_eq!(no_nodes, ["no-nodes"]);
    let wrong: Vec<&str> = report("name = 1\nsources = 2\nsinks.d = 3").entries().iter().map(|entry| entry.code).collect();
    assert_eq!(wrong, ["wrong-type", "wrong-type", "wrong-type"]);
}

#[test]
fn a_file_that_is_not_there() {
    let path = std::path::Path::new("no/such/file.toml");
    let outcome = millstream_topology::load(path, &std::collections::BTreeMap::new(), &[], &registry());
    assert!(outcome.topology.is_none());
    assert!(outcome.report.render().starts_with("no/such/file.toml: error[cannot-read]: the topology cannot be read: "));
    let yaml = millstream_topology::load(std::path::Path::new("t.YAML"), &std::collections::BTreeMap::new(), &[], &registry());
    assert!(yaml.report.render().starts_with("t.YAML: error[cannot-read]: "), "{}", yaml.report.render());
}

/// A file with everything in it, to be disturbed.
const WHOLE: &str = r#"name = "n"
[runtime]
workers = "${W:-2}"
linger = "10ms"
[sources."s"]
type = "feed"
columns = ["a bigint", "at timestamp", 'ü string']
time = { by = "at", max_delay = "1h", on_null = "skip" }
[operators.w]
type = "cut"
input = "s"
size = """
1h"""
[operators]
m = { type = "merge", inputs = ["w", "w"] }
[operators.g]
type = "gather"
input = "m"
by = ["a", "window_start"]
[sinks.d]
type = "drain"
input = "g"
[[tests]]
steps = [{ send = "s" }]
"#;

fn disturbed() -> impl Strategy<Value = String> {
    let pieces =
        ["\"", "'", "[", "]", "{", "}", "=", ".", "\n", "#", "ü", "\\", "${", "}", "1", "[[", "\"\"\"", "input", "s", "w", "\u{0}", ","];
    let change = (0..WHOLE.chars().count(), 0usize..12, prop::sample::select(pieces.to_vec()));
    prop::collection::vec(change, 1..4).prop_map(|changes| {
        let mut text: Vec<char> = WHOLE.chars().collect();
        for (at, length, piece) in changes {
            let at = at.min(text.len());
            let end = (at + length).min(text.len());
            text.splice(at..end, piece.chars());
        }
        text.into_iter().collect()
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn no_disturbed_file_makes_it_panic(text in disturbed(), set in "[a-z.\"=]{0,12}") {
        let outcome = check_with(&text, &[("MILLSTREAM__SINKS__D__INPUT", "w"), ("MILLSTREAM__X__", "")], &[&set]);
        prop_assert!(outcome.topology.is_none() || outcome.report.errors() == 0);
        prop_assert_eq!(outcome.report.render().is_empty(), outcome.report.entries().is_empty());
    }

    #[test]
    fn no_text_makes_it_panic(text in "(?s).{0,200}") {
        let outcome = check_with(&text, &[], &[]);
        prop_assert!(outcome.topology.is_none());
        outcome.report.render();
    }
}

#[test]
fn a_character_that_cannot_be_seen_is_named() {
    for (name, text, place) in [
        ("t.toml", "name = \"a\0b\"\n", "t.toml:1:10"),
        ("t.toml", "name = \"x\"\n# \u{1b}[31m\n", "t.toml:2:3"),
        ("t.yaml", "name: \"a\0b\"\n", "t.yaml:1:9"),
    ] {
        let outcome = millstream_topology::load_text(name, text, std::path::Path::new("."), &Default::default(), &[], &registry());
        let shown = outcome.report.render();
        assert!(shown.starts_with(&format!("{place}: error[syntax]: here stands a character that cannot be seen, U+00")), "{shown}");
        assert!(!shown.contains(['\0', '\u{1b}']), "a terminal must not be driven by it: {shown:?}");
    }
    let report = check_with("[[]\n\u{7}", &[], &[]).report.render();
    assert!(report.contains("this is not TOML"), "what is wrong before it comes first: {report}");
}

#[test]
fn a_file_in_another_encoding_is_told_by_its_first_byte_that_is_no_utf_8() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("latin.toml");
    std::fs::write(&path, b"name = \"n\"\n# gr\xfc\xdfe\n").unwrap();
    let outcome = millstream_topology::load(&path, &std::collections::BTreeMap::new(), &[], &registry());
    let entry = &outcome.report.entries()[0];
    assert_eq!(entry.message, "the topology is not text in UTF-8: line 2, column 5 has the byte 0xfc");
    assert_eq!(entry.help.as_deref(), Some("save it as UTF-8"));
}

//! The topologies: operators of every type, with every option, between sources that tests feed and sinks that keep what they get.
//!
//! A case is text as in a file, without its sources and sinks: each operator, and each side stream that is named, has a sink.

/// Sources, by the word with which operators name them.
const SOURCES: [(&str, &str); 3] = [
    (
        "bids",
        r#"
[sources.bids]
type   = "script"
time   = { by = "at", max_delay = "10s" }
schema = { id = "bigint not null", k = "string", v = "bigint", tags = "list<string>", at = "timestamp not null" }
"#,
    ),
    (
        "offers",
        r#"
[sources.offers]
type   = "script"
time   = { by = "at", max_delay = "10s" }
schema = { id = "bigint not null", k = "string", w = "bigint", at = "timestamp not null" }
"#,
    ),
    (
        "cities",
        r#"
[sources.cities]
type   = "script"
schema = { k = "string", city = "string" }
"#,
    ),
];

/// A topology.
pub struct Case {
    pub name: &'static str,
    pub text: String,
}

/// All of them.
pub fn cases() -> Vec<Case> {
    let fixed = [
        ("row by row", include_str!("cases/row_by_row.toml"), &["bad.rejected", "shifted.late"][..]),
        ("windows", include_str!("cases/windows.toml"), &["tumbling.late"]),
        ("aggregates at the close", include_str!("cases/at_the_close.toml"), &["tumbling_sums.late", "session_sums.late"]),
        ("early rows", include_str!("cases/early.toml"), &[]),
        ("running aggregates", include_str!("cases/running.toml"), &[]),
        ("first rows", include_str!("cases/top.toml"), &["tumbling_top.late"]),
        ("views", include_str!("cases/views.toml"), &[]),
        ("one row of each key", include_str!("cases/one_of_each.toml"), &["first_within.late", "last_within.late"]),
    ];
    let mut cases: Vec<Case> = fixed.into_iter().map(|(name, operators, sides)| case(name, operators.to_owned(), sides)).collect();
    cases.extend(JOINS.iter().map(|joined| joins(joined, joined.kinds)));
    cases
}

/// The join of a case with this kind alone.
pub fn join(mode: &str, kind: &str) -> Case {
    let joined = JOINS.iter().find(|joined| joined.mode == mode).unwrap_or_else(|| panic!("there is no case with a join in mode {mode}"));
    joins(joined, &[kind])
}

fn case(name: &'static str, operators: String, sides: &[&str]) -> Case {
    let sources = SOURCES.iter().filter(|(word, _)| operators.contains(&format!("\"{word}\""))).map(|(_, text)| *text);
    let sinks = streams(&operators).into_iter().chain(sides.iter().copied());
    let sinks = sinks.map(|stream| format!("[sinks.{}_rows]\ntype  = \"collect\"\ninput = \"{stream}\"\n", stream.replace('.', "_")));
    let text = format!("name = \"inventory\"\n{}{operators}\n{}", sources.collect::<String>(), sinks.collect::<String>());
    Case { name, text }
}

/// The operators whose rows are looked at: all but windows that others read, for which windows would be another thing with a second reader.
fn streams(operators: &str) -> Vec<&str> {
    let blocks = operators.split("[operators.").skip(1).filter_map(|block| block.split_once(']'));
    let is_read = |name: &str| operators.contains(&format!("= \"{name}\"\n"));
    blocks.filter(|(name, options)| !(options.contains("\"window\"") && is_read(name))).map(|(name, _)| name).collect()
}

const ALL_KINDS: &[&str] = &["inner", "left", "right", "full", "semi", "anti"];
/// Of modes in which the right side is asked and never speaks by itself.
const ONE_SIDED: &[&str] = &["inner", "left", "semi", "anti"];

/// Joins of a mode.
struct Joined {
    name: &'static str,
    mode: &'static str,
    kinds: &'static [&'static str],
    /// What stands before them.
    streams: &'static str,
    options: &'static str,
    /// Of joins whose rows are of both sides.
    columns: &'static str,
}

/// One join for each kind; rows that come too late are those of the first.
fn joins(joined: &Joined, kinds: &[&str]) -> Case {
    let text = kinds.iter().map(|kind| {
        let (mode, options) = (joined.mode, joined.options.trim_start_matches('\n'));
        // The others have the columns of the left side.
        let columns = if matches!(*kind, "semi" | "anti") { "" } else { joined.columns };
        format!("[operators.{kind}]\ntype = \"join\"\nmode = \"{mode}\"\nkind = \"{kind}\"\n{options}{columns}\n")
    });
    let late = ["left", "right"].map(|side| format!("{}.late_{side}", kinds[0]));
    let sides: Vec<&str> = late.iter().map(String::as_str).filter(|_| matches!(joined.mode, "window" | "interval" | "as_of")).collect();
    case(joined.name, format!("{}\n{}", joined.streams, text.collect::<String>()), &sides)
}

const JOINS: [Joined; 6] = [PAIRED_WINDOWS, INTERVAL, AS_OF, LOOKUP, CHANGES, UPDATING];

const PAIRED_WINDOWS: Joined = Joined {
    name: "join in windows",
    mode: "window",
    kinds: ALL_KINDS,
    streams: r#"
[operators.bid_windows]
type  = "window"
input = "bids"
kind  = "hop"
size  = "20s"
slide = "10s"

[operators.offer_windows]
type  = "window"
input = "offers"
kind  = "hop"
size  = "20s"
slide = "10s"
"#,
    options: r#"
left  = "bid_windows"
right = "offer_windows"
on    = "left.k = right.k and v <> w"
"#,
    columns: "columns = [\"left.id as bid\", \"right.id as offer\", \"v\", \"w\", \"window_start\"]\n",
};

const INTERVAL: Joined = Joined {
    name: "join in an interval",
    mode: "interval",
    kinds: ALL_KINDS,
    streams: "",
    options: r#"
left   = "bids"
right  = "offers"
before = "6s"
after  = "4s"
on     = "left.k is not distinct from right.k"
"#,
    columns: "columns = [\"left.id as bid\", \"right.id as offer\", \"left.k as k\", \"v + w as both\"]\n",
};

const AS_OF: Joined = Joined {
    name: "join as of a version",
    mode: "as_of",
    kinds: ONE_SIDED,
    streams: "",
    options: r#"
left  = "bids"
right = "offers"
on    = "left.k = right.k"
"#,
    columns: "columns = [\"left.id as bid\", \"right.id as offer\", \"v\", \"w\"]\n",
};

const LOOKUP: Joined = Joined {
    name: "join with a table",
    mode: "lookup",
    kinds: ONE_SIDED,
    streams: "",
    options: r#"
left  = "bids"
right = "cities"
on    = "bids.k = cities.k"
"#,
    columns: "columns = [\"left.*\", \"city\"]\n",
};

const CHANGES: Joined = Joined {
    name: "join of rows that stay",
    mode: "changes",
    kinds: ALL_KINDS,
    streams: "",
    options: r#"
left      = "bids"
right     = "offers"
on        = "left.k = right.k and v > w"
state_ttl = "1h"
"#,
    columns: "columns = [\"left.id as bid\", \"right.id as offer\", \"v\", \"w\"]\n",
};

const UPDATING: Joined = Joined {
    name: "join of streams that change",
    mode: "changes",
    kinds: ALL_KINDS,
    streams: r#"
[operators.totals]
type    = "aggregate"
input   = "bids"
by      = ["k"]
compute = ["count(*) as n", "sum(v) as total"]

[operators.offered]
type    = "aggregate"
input   = "offers"
by      = ["k"]
compute = ["count(*) as offers"]
"#,
    options: r#"
left    = "totals"
right   = "offered"
on      = "left.k = right.k"
"#,
    columns: "",
};

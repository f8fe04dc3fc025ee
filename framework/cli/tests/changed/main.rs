//! A topology that changes between two runs: which nodes keep their state, and that they go on with it rightly.
#![expect(clippy::unwrap_used, clippy::panic, reason = "helpers of tests fail the test")]
#![cfg(unix)]

#[path = "../command/mod.rs"]
mod command;

mod plans;
mod runs;

/// A topology with a node of every kind that keeps rows, and of those that keep sums; `rate` is a line of its source.
fn topology(rate: &str) -> String {
    format!(
        r#"
name = "m"

[runtime]
workers = 2
linger  = "1ms"

[checkpoint]
store         = "file:./state"
interval      = "50ms"
restart_delay = "10ms"

[sources.o]
type   = "file"
path   = "in.ndjson"
format = "json"
{rate}
schema = {{ id = "bigint", c = "string", cents = "bigint", note = "string", at = "timestamp" }}
time   = {{ by = "at", max_delay = "1m" }}

[sources.r]
type   = "file"
path   = "right.ndjson"
format = "json"
{rate}
schema = {{ id = "bigint", word = "string", more = "string", at = "timestamp" }}
time   = {{ by = "at", max_delay = "1m" }}

[operators.n]
type    = "aggregate"
input   = "o"
by      = ["c"]
compute = ["count(*) as n"]

[operators.l]
type    = "aggregate"
input   = "o"
by      = ["c"]
compute = ["last_value(id) as l", "string_agg(c, ',') as s"]

[operators.t]
type  = "top_n"
input = "o"
by    = ["c"]
order = ["cents"]
n     = 2

[operators.d]
type   = "deduplicate"
input  = "o"
by     = ["id / 2 % 900 as k"]
keep   = "last"
within = "1m"

[operators.w]
type  = "window"
input = "o"
kind  = "hop"
size  = "10m"
slide = "5m"

[operators.sums]
type    = "aggregate"
input   = "w"
by      = ["c"]
compute = ["sum(cents) as cents", "count(*) as n"]

[operators.best]
type  = "top_n"
input = "w"
by    = ["c"]
order = ["cents desc"]
n     = 3

[operators.near]
type    = "join"
left    = "o"
right   = "r"
mode    = "interval"
before  = "2m"
after   = "5m"
kind    = "full"
on      = "left.id = right.id"
columns = ["left.id as a", "c", "word"]

[operators.valid]
type    = "join"
left    = "o"
right   = "r"
mode    = "as_of"
kind    = "left"
on      = "left.id % 10 = right.id % 10"
columns = ["left.id as a", "word"]

[operators.pairs]
type    = "join"
left    = "o"
right   = "r"
mode    = "changes"
on      = "left.id = right.id"
columns = ["left.id as a", "c", "word"]

[operators.table]
type    = "join"
left    = "o"
right   = "r2"
mode    = "lookup"
on      = "left.id % 100 = right.id"
columns = ["left.id as a", "word"]

[sources.r2]
type   = "file"
path   = "table.ndjson"
format = "json"
schema = {{ id = "bigint", word = "string", more = "string" }}

[operators.wr]
type  = "window"
input = "r"
kind  = "hop"
size  = "10m"
slide = "5m"

[operators.both]
type    = "join"
left    = "w"
right   = "wr"
mode    = "window"
on      = "left.id = right.id"
columns = ["left.id as a", "c", "word", "window_start"]

[sinks]
s_n     = {{ type = "file", input = "n", path = "n.ndjson", changes = true }}
s_l     = {{ type = "file", input = "l", path = "l.ndjson", changes = true }}
s_t     = {{ type = "file", input = "t", path = "t.ndjson", changes = true, columns = ["c", "cents"] }}
s_d     = {{ type = "file", input = "d", path = "d.ndjson", columns = ["id", "c"] }}
s_sums  = {{ type = "file", input = "sums", path = "sums.ndjson" }}
s_best  = {{ type = "file", input = "best", path = "best.ndjson", columns = ["c", "cents", "window_start"] }}
s_near  = {{ type = "file", input = "near", path = "near.ndjson" }}
s_valid = {{ type = "file", input = "valid", path = "valid.ndjson" }}
s_pairs = {{ type = "file", input = "pairs", path = "pairs.ndjson" }}
s_table = {{ type = "file", input = "table", path = "table_out.ndjson" }}
s_both  = {{ type = "file", input = "both", path = "both.ndjson" }}
s_post  = {{ type = "http", input = "sums", url = "http://127.0.0.1:9/", timeout = "1s" }}
"#
    )
}

/// The topology with a part exchanged.
fn with(text: &str, from: &str, to: &str) -> String {
    assert!(text.contains(from), "{from}");
    text.replace(from, to)
}

/// What makes all of the state's neighbours others: readers of everything, late rows, another order of columns and a new one.
fn with_other_neighbours(text: &str) -> String {
    let text = with(
        text,
        "{ id = \"bigint\", c = \"string\", cents = \"bigint\", note = \"string\", at = \"timestamp\" }",
        "{ note = \"string\", at = \"timestamp\", cents = \"bigint\", new = \"string\", c = \"string\", id = \"bigint\" }",
    );
    let text = with(
        &text,
        "{ id = \"bigint\", word = \"string\", more = \"string\", at",
        "{ at = \"timestamp\", more = \"string\", word = \"string\", id = \"bigint\" }\n#",
    );
    let readers = [
        "o",
        "r",
        "sums.late",
        "best.late",
        "near.late_left",
        "near.late_right",
        "valid.late_left",
        "both.late_left",
        "both.late_right",
        "d.late",
    ];
    let readers: Vec<String> =
        readers.iter().enumerate().map(|(number, input)| format!("z{number} = {{ type = \"discard\", input = \"{input}\" }}\n")).collect();
    format!("{text}{}", readers.concat())
}

//! A topology that changes between two runs: which nodes keep their state, and that they go on with it rightly.
#![expect(clippy::unwrap_used, reason = "helpers of tests fail the test")]
#![cfg(unix)]

#[path = "../command/mod.rs"]
mod command;

mod plans;
mod runs;

/// A topology with a node of every kind that keeps rows, and of those that keep sums; `rate` is a line of its source.
fn topology(rate: &str) -> String {
    include_str!("topology.toml").replace("# rate", rate)
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

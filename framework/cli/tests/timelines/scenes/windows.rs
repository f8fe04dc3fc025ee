//! Windows of every kind, early rows, and streams that change.

use serde_json::json;

use super::{Scene, Shape, Sink, Step, send, source, ticks};

/// Rows with a key, counted in each of their windows.
fn counted(max_delay: &str, windows: &str, counts: &str) -> String {
    let rows = source("rows", "k = \"string\"", &format!("by = \"t\", max_delay = \"{max_delay}\""));
    format!(
        r#"{rows}
        [operators.windows]
        type  = "window"
        input = "rows"
        {windows}
        [operators.counts]
        type    = "aggregate"
        input   = "windows"
        compute = ["count(*) as n"]
        {counts}
        "#
    )
}

const TUMBLE: &str = "kind = \"tumble\"\nsize = \"10s\"";
const OUT: Sink = Sink { name: "out", input: "counts", shape: Shape::Bar, columns: &["n"] };
const LATE: Sink = Sink { name: "late", input: "counts.late", shape: Shape::Late, columns: &[] };

pub fn late_rows() -> Scene {
    Scene {
        name: "late-rows",
        title: "Windows of 10 s, max_delay = 4 s: the row of 8 s comes too late, that of 13 s does not",
        topology: counted("4s", TUMBLE, ""),
        sources: &["rows"],
        watermark_of: "counts",
        sinks: &[OUT, LATE],
        axis: (0, 30),
        steps: [ticks("rows", &[3, 7, 12, 6, 16, 13, 8, 21]), vec![Step::End]].into_iter().flatten().collect(),
    }
}

pub fn sessions() -> Scene {
    Scene {
        name: "sessions",
        title: "Sessions with a gap of 5 s, max_delay = 6 s: the row of 10 s makes two sessions one",
        topology: counted("6s", "kind = \"session\"\ngap = \"5s\"", "by = [\"k\"]"),
        sources: &["rows"],
        watermark_of: "counts",
        sinks: &[OUT, LATE],
        axis: (0, 35),
        steps: [ticks("rows", &[3, 7, 13, 10, 20, 12, 26]), vec![Step::End]].into_iter().flatten().collect(),
    }
}

pub fn early_rows() -> Scene {
    Scene {
        name: "early-rows",
        title: "emit = { every = \"5s\" }: what is known so far every 5 s of the clock, and the final row at the close",
        topology: counted("2s", TUMBLE, "emit = { every = \"5s\" }"),
        sources: &["rows"],
        watermark_of: "counts",
        sinks: &[OUT],
        axis: (0, 20),
        steps: [
            ticks("rows", &[3, 7]),
            vec![Step::Advance("5s")],
            ticks("rows", &[6, 11]),
            vec![Step::Advance("5s")],
            ticks("rows", &[13]),
            vec![Step::End],
        ]
        .into_iter()
        .flatten()
        .collect(),
    }
}

pub fn updating() -> Scene {
    Scene {
        name: "updating",
        title: "A running count for each k, and how many k have each count: an update withdraws the old row",
        topology: r#"
            [sources.rows]
            type   = "script"
            schema = { t = "timestamp", k = "string" }
            [operators.counts]
            type    = "aggregate"
            input   = "rows"
            by      = ["k"]
            compute = ["count(*) as n"]
            [operators.histogram]
            type    = "aggregate"
            input   = "counts"
            by      = ["n"]
            compute = ["count(*) as keys"]
        "#
        .to_owned(),
        sources: &["rows"],
        watermark_of: "rows",
        sinks: &[Sink { name: "out", input: "histogram", shape: Shape::Text, columns: &["n", "keys"] }],
        axis: (0, 10),
        steps: vec![
            send("rows", 1, "a", json!({ "k": "a" })),
            send("rows", 3, "b", json!({ "k": "b" })),
            send("rows", 5, "a", json!({ "k": "a" })),
            send("rows", 7, "b", json!({ "k": "b" })),
            Step::End,
        ],
    }
}

//! Windows of every kind, early rows, and streams that change.

use serde_json::json;

use super::{Scene, Shape, Sink, Step, send, ticks};

pub fn late_rows() -> Scene {
    Scene {
        name: "late-rows",
        title: "Windows of 10 s, max_delay = 4 s: the row of 8 s comes too late, that of 13 s does not",
        topology: r#"
            name = "late-rows"
            [sources.rows]
            type   = "script"
            schema = { t = "timestamp", k = "string" }
            time   = { by = "t", max_delay = "4s" }
            [operators.windows]
            type  = "window"
            input = "rows"
            kind  = "tumble"
            size  = "10s"
            [operators.counts]
            type    = "aggregate"
            input   = "windows"
            compute = ["count(*) as n"]
            [sinks.out]
            type  = "collect"
            input = "counts"
            [sinks.late]
            type  = "collect"
            input = "counts.late"
        "#,
        sources: &["rows"],
        watermark_of: "counts",
        sinks: &[Sink { name: "out", shape: Shape::Bar, columns: &["n"] }, Sink { name: "late", shape: Shape::Late, columns: &[] }],
        axis: (0, 30),
        steps: [ticks("rows", &[3, 7, 12, 6, 16, 13, 8, 21]), vec![Step::End]].into_iter().flatten().collect(),
    }
}

pub fn sessions() -> Scene {
    Scene {
        name: "sessions",
        title: "Sessions with a gap of 5 s, max_delay = 6 s: the row of 10 s makes two sessions one",
        topology: r#"
            name = "sessions"
            [sources.rows]
            type   = "script"
            schema = { t = "timestamp", k = "string" }
            time   = { by = "t", max_delay = "6s" }
            [operators.windows]
            type  = "window"
            input = "rows"
            kind  = "session"
            gap   = "5s"
            [operators.counts]
            type    = "aggregate"
            input   = "windows"
            by      = ["k"]
            compute = ["count(*) as n"]
            [sinks.out]
            type  = "collect"
            input = "counts"
            [sinks.late]
            type  = "collect"
            input = "counts.late"
        "#,
        sources: &["rows"],
        watermark_of: "counts",
        sinks: &[Sink { name: "out", shape: Shape::Bar, columns: &["n"] }, Sink { name: "late", shape: Shape::Late, columns: &[] }],
        axis: (0, 35),
        steps: [ticks("rows", &[3, 7, 13, 10, 20, 12, 26]), vec![Step::End]].into_iter().flatten().collect(),
    }
}

pub fn early_rows() -> Scene {
    Scene {
        name: "early-rows",
        title: "emit = { every = \"5s\" }: what is known so far every 5 s of the clock, and the final row at the close",
        topology: r#"
            name = "early-rows"
            [sources.rows]
            type   = "script"
            schema = { t = "timestamp", k = "string" }
            time   = { by = "t", max_delay = "2s" }
            [operators.windows]
            type  = "window"
            input = "rows"
            kind  = "tumble"
            size  = "10s"
            [operators.counts]
            type    = "aggregate"
            input   = "windows"
            compute = ["count(*) as n"]
            emit    = { every = "5s" }
            [sinks.out]
            type  = "collect"
            input = "counts"
        "#,
        sources: &["rows"],
        watermark_of: "counts",
        sinks: &[Sink { name: "out", shape: Shape::Bar, columns: &["n"] }],
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
            name = "updating"
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
            [sinks.out]
            type  = "collect"
            input = "histogram"
        "#,
        sources: &["rows"],
        watermark_of: "rows",
        sinks: &[Sink { name: "out", shape: Shape::Text, columns: &["n", "keys"] }],
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

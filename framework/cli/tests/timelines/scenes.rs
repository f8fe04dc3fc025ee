//! What is sent to which topology. Times are seconds of one minute.

use serde_json::{Value, json};

/// A topology and what is sent to it.
pub struct Scene {
    /// The file's name.
    pub name: &'static str,
    pub title: &'static str,
    pub topology: &'static str,
    /// The sources, in the order of their colours.
    pub sources: &'static [&'static str],
    /// The node whose watermark is drawn.
    pub watermark_of: &'static str,
    pub sinks: &'static [Sink],
    /// The first and the last second of the axis.
    pub axis: (u32, u32),
    pub steps: Vec<Step>,
}

/// A `collect` sink and how its rows are drawn.
pub struct Sink {
    pub name: &'static str,
    pub shape: Shape,
    /// The columns that are shown.
    pub columns: &'static [&'static str],
}

/// How a row that comes out is drawn.
#[derive(Clone, Copy, PartialEq)]
pub enum Shape {
    /// A bar from `window_start` to `window_end`.
    Bar,
    /// A point at `t`.
    Point,
    /// A cross at `t`: it was late.
    Late,
    /// Text only: the row has no event time.
    Text,
}

/// One step.
pub enum Step {
    Send { source: &'static str, seconds: u32, label: String, row: Value },
    Advance(&'static str),
    End,
}

fn send(source: &'static str, seconds: u32, label: &str, columns: Value) -> Step {
    let mut row = json!({ "t": format!("2024-01-01T00:00:{seconds:02}Z") });
    row.as_object_mut().unwrap().extend(columns.as_object().unwrap().clone());
    Step::Send { source, seconds, label: label.to_owned(), row }
}

/// Rows of one source without columns that matter.
fn ticks(source: &'static str, seconds: &[u32]) -> Vec<Step> {
    seconds.iter().map(|second| send(source, *second, "", json!({ "k": "a" }))).collect()
}

/// All scenes, in the order of the page.
pub fn all() -> Vec<Scene> {
    vec![late_rows(), sessions(), early_rows(), updating(), window_join(), interval_join(), as_of_join(), changes_join()]
}

fn late_rows() -> Scene {
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

fn sessions() -> Scene {
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

fn early_rows() -> Scene {
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

fn updating() -> Scene {
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

/// Two sources of the same shape.
macro_rules! left_and_right {
    ($name:literal, $time:literal, $rest:literal) => {
        concat!(
            "name = \"",
            $name,
            "\"\n[sources.orders]\ntype = \"script\"\nschema = { t = \"timestamp\", k = \"string\", item = \"string\" }\ntime = ",
            $time,
            "\n[sources.prices]\ntype = \"script\"\nschema = { t = \"timestamp\", k = \"string\", price = \"bigint\" }\ntime = ",
            $time,
            "\n",
            $rest
        )
    };
}

fn order(seconds: u32, key: &str) -> Step {
    send("orders", seconds, key, json!({ "k": key, "item": "x" }))
}

fn price(seconds: u32, key: &str, price: i64) -> Step {
    send("prices", seconds, &format!("{key} = {price}"), json!({ "k": key, "price": price }))
}

fn window_join() -> Scene {
    Scene {
        name: "join-window",
        title: "A left join of rows in the same 10 s: what has no match is said when the window closes",
        topology: left_and_right!(
            "join-window",
            "{ by = \"t\" }",
            r#"
            [operators.order_windows]
            type  = "window"
            input = "orders"
            kind  = "tumble"
            size  = "10s"
            [operators.price_windows]
            type  = "window"
            input = "prices"
            kind  = "tumble"
            size  = "10s"
            [operators.joined]
            type    = "join"
            left    = "order_windows"
            right   = "price_windows"
            mode    = "window"
            kind    = "left"
            on      = "left.k = right.k"
            columns = ["left.k as k", "price", "left.window_start as window_start", "left.window_end as window_end"]
            [sinks.out]
            type  = "collect"
            input = "joined"
            "#
        ),
        sources: &["orders", "prices"],
        watermark_of: "joined",
        sinks: &[Sink { name: "out", shape: Shape::Bar, columns: &["k", "price"] }],
        axis: (0, 30),
        steps: vec![
            order(2, "a"),
            price(4, "a", 7),
            order(6, "b"),
            order(14, "c"),
            price(12, "b", 9),
            order(13, "b"),
            order(21, "a"),
            price(22, "a", 8),
            Step::End,
        ],
    }
}

fn interval_join() -> Scene {
    Scene {
        name: "join-interval",
        title: "A left join of orders with prices of the 5 s before: an order without one is said when none can come",
        topology: left_and_right!(
            "join-interval",
            "{ by = \"t\", max_delay = \"2s\" }",
            r#"
            [operators.joined]
            type    = "join"
            left    = "orders"
            right   = "prices"
            mode    = "interval"
            before  = "5s"
            after   = "0s"
            kind    = "left"
            on      = "left.k = right.k"
            columns = ["left.t as t", "left.k as k", "price"]
            [sinks.out]
            type  = "collect"
            input = "joined"
            [sinks.late]
            type  = "collect"
            input = "joined.late_left"
            "#
        ),
        sources: &["orders", "prices"],
        watermark_of: "joined",
        sinks: &[
            Sink { name: "out", shape: Shape::Point, columns: &["k", "price"] },
            Sink { name: "late", shape: Shape::Late, columns: &[] },
        ],
        axis: (0, 25),
        steps: vec![
            price(2, "a", 7),
            order(4, "a"),
            order(9, "a"),
            price(8, "a", 8),
            price(13, "b", 9),
            order(15, "b"),
            order(6, "b"),
            order(14, "c"),
            price(20, "a", 6),
            Step::End,
        ],
    }
}

fn as_of_join() -> Scene {
    Scene {
        name: "join-as-of",
        title: "Orders with the price as of their time: an order waits until no older price can come any more",
        topology: left_and_right!(
            "join-as-of",
            "{ by = \"t\", max_delay = \"3s\" }",
            r#"
            [operators.joined]
            type    = "join"
            left    = "orders"
            right   = "prices"
            mode    = "as_of"
            kind    = "left"
            on      = "left.k = right.k"
            columns = ["left.t as t", "left.k as k", "price"]
            [sinks.out]
            type  = "collect"
            input = "joined"
            "#
        ),
        sources: &["orders", "prices"],
        watermark_of: "joined",
        sinks: &[Sink { name: "out", shape: Shape::Point, columns: &["k", "price"] }],
        axis: (0, 25),
        steps: vec![
            price(2, "a", 7),
            order(5, "a"),
            price(8, "a", 9),
            price(6, "a", 8),
            order(7, "a"),
            order(12, "b"),
            price(13, "a", 5),
            order(20, "a"),
            price(22, "a", 4),
            Step::End,
        ],
    }
}

fn changes_join() -> Scene {
    Scene {
        name: "join-changes",
        title: "A left join of streams that change: the row without a match is withdrawn when a match comes",
        topology: left_and_right!(
            "join-changes",
            "{ by = \"t\" }",
            r#"
            [operators.joined]
            type    = "join"
            left    = "orders"
            right   = "prices"
            mode    = "changes"
            kind    = "left"
            on      = "left.k = right.k"
            columns = ["left.k as k", "price"]
            [sinks.out]
            type  = "collect"
            input = "joined"
            "#
        ),
        sources: &["orders", "prices"],
        watermark_of: "joined",
        sinks: &[Sink { name: "out", shape: Shape::Text, columns: &["k", "price"] }],
        axis: (0, 20),
        steps: vec![order(2, "a"), price(5, "a", 7), order(8, "b"), price(12, "a", 8), price(14, "b", 9), Step::End],
    }
}

//! Joins, in each mode.

use serde_json::json;

use super::{Scene, Shape, Sink, Step, send, source};

/// Orders and prices, and a left join of them with these options.
fn joined(event_time: &str, mode: &str) -> String {
    let orders = source("orders", "k = \"string\", item = \"string\"", event_time);
    let prices = source("prices", "k = \"string\", price = \"bigint\"", event_time);
    format!(
        r#"{orders}{prices}
        [operators.joined]
        type  = "join"
        kind  = "left"
        on    = "left.k = right.k"
        {mode}
        "#
    )
}

fn order(seconds: u32, key: &str) -> Step {
    send("orders", seconds, key, json!({ "k": key, "item": "x" }))
}

fn price(seconds: u32, key: &str, price: i64) -> Step {
    send("prices", seconds, &format!("{key} = {price}"), json!({ "k": key, "price": price }))
}

pub fn window_join() -> Scene {
    Scene {
        name: "join-window",
        title: "A left join of rows in the same 10 s: what has no match is said when the window closes",
        topology: joined(
            r#"by = "t""#,
            r#"
            mode    = "window"
            left    = "order_windows"
            right   = "price_windows"
            columns = ["left.k as k", "price", "left.window_start as window_start", "left.window_end as window_end"]
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
            "#,
        ),
        sources: &["orders", "prices"],
        watermark_of: "joined",
        sinks: &[Sink { name: "out", input: "joined", shape: Shape::Bar, columns: &["k", "price"] }],
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

pub fn interval_join() -> Scene {
    Scene {
        name: "join-interval",
        title: "A left join of orders with prices of the 5 s before: an order without one is said when none can come",
        topology: joined(
            r#"by = "t", max_delay = "2s""#,
            r#"
            mode    = "interval"
            left    = "orders"
            right   = "prices"
            before  = "5s"
            after   = "0s"
            columns = ["left.t as t", "left.k as k", "price"]
            "#,
        ),
        sources: &["orders", "prices"],
        watermark_of: "joined",
        sinks: &[
            Sink { name: "out", input: "joined", shape: Shape::Point, columns: &["k", "price"] },
            Sink { name: "late", input: "joined.late_left", shape: Shape::Late, columns: &[] },
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

pub fn as_of_join() -> Scene {
    Scene {
        name: "join-as-of",
        title: "Orders with the price as of their time: an order waits until no older price can come any more",
        topology: joined(
            r#"by = "t", max_delay = "3s""#,
            r#"
            mode    = "as_of"
            left    = "orders"
            right   = "prices"
            columns = ["left.t as t", "left.k as k", "price"]
            "#,
        ),
        sources: &["orders", "prices"],
        watermark_of: "joined",
        sinks: &[Sink { name: "out", input: "joined", shape: Shape::Point, columns: &["k", "price"] }],
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

pub fn changes_join() -> Scene {
    Scene {
        name: "join-changes",
        title: "A left join of streams that change: the row without a match is withdrawn when a match comes",
        topology: joined(
            r#"by = "t""#,
            r#"
            mode    = "changes"
            left    = "orders"
            right   = "prices"
            columns = ["left.k as k", "price"]
            "#,
        ),
        sources: &["orders", "prices"],
        watermark_of: "joined",
        sinks: &[Sink { name: "out", input: "joined", shape: Shape::Text, columns: &["k", "price"] }],
        axis: (0, 20),
        steps: vec![order(2, "a"), price(5, "a", 7), order(8, "b"), price(12, "a", 8), price(14, "b", 9), Step::End],
    }
}

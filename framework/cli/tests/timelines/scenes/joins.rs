//! Joins, in each mode.

use serde_json::json;

use super::{Scene, Shape, Sink, Step, send};

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

pub fn window_join() -> Scene {
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

pub fn interval_join() -> Scene {
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

pub fn as_of_join() -> Scene {
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

pub fn changes_join() -> Scene {
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

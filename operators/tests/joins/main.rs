//! Joins as part of a small topology: two sources, a checkpoint in mid-stream, a crash, and back at another parallelism.

#![expect(clippy::unwrap_used, reason = "helpers of tests fail the test")]

mod lookup;
#[path = "../support/mod.rs"]
mod support;
mod times;

use expect_test::{Expect, expect};
use millstream_testkit::Script;

const SOURCES: &str = r#"
name = "script"
[sources.bids]
type = "script"
time = { by = "at", max_delay = "10s" }
schema = { item = "string", price = "bigint", at = "timestamp not null" }
[sources.items]
type = "script"
time = { by = "at", max_delay = "10s" }
schema = { name = "string", seller = "string not null", at = "timestamp not null" }
"#;

const BIDS: [&str; 7] = ["hat 5 1", "coat 9 3", "- 2 4", "hat 7 8", "hat 1 23", "coat 4 2", "shoe 6 27"];
const ITEMS: [&str; 5] = ["hat ann 2", "shoe bob 9", "- eve 5", "hat cid 12", "coat ann 31"];

fn start(operators: &str, settings: &[&str], seed: u64) -> Script {
    support::start(&format!("{SOURCES}{operators}"), settings, seed)
}

/// Rows as `item price second` or `name seller second`; `-` is null.
fn rows(source: &str, rows: &[&str]) -> String {
    let line = |row: &&str| {
        let parts: Vec<&str> = row.split(' ').collect();
        let name = if parts[0] == "-" { "null".to_owned() } else { format!("\"{}\"", parts[0]) };
        let time = millstream_api::time::rfc3339(parts[2].parse::<i64>().unwrap() * 1_000_000);
        match source {
            "bids" => format!("{{\"item\": {name}, \"price\": {}, \"at\": \"{time}\"}}\n", parts[1]),
            _ => format!("{{\"name\": {name}, \"seller\": \"{}\", \"at\": \"{time}\"}}\n", parts[1]),
        }
    };
    rows.iter().map(line).collect()
}

/// Whatever the order in which the sources speak, and with a crash in the middle: the rows are the same.
fn crashed_in_mid_stream(operators: &str, sink: &str, expected: &Expect) {
    let mut straight = start(operators, &["runtime.workers=1"], 0);
    straight.send("bids", &rows("bids", &BIDS)).unwrap();
    straight.send("items", &rows("items", &ITEMS)).unwrap();
    straight.end().unwrap();
    expected.assert_eq(&straight.rows(sink).unwrap());
    assert!(straight.ledger().balances(), "{:?}", straight.ledger());
    for seed in 1..9 {
        // Keyed state in memory and on disk, from each to each.
        let [before, after] = [seed % 2, seed / 2 % 2].map(|disk| format!("runtime.state={}", ["memory", "disk"][disk as usize]));
        let mut script = start(operators, &["runtime.workers=2", "runtime.mailbox=1", &before], seed);
        script.send_only("items", &rows("items", &ITEMS[..3])).unwrap();
        script.send_only("bids", &rows("bids", &BIDS[..4])).unwrap();
        script.turns(seed as usize * 4).unwrap();
        script.checkpoint().unwrap();
        script.send("bids", &rows("bids", &BIDS[4..])).unwrap();
        script.send("items", &rows("items", &ITEMS[3..])).unwrap();
        script.crash_and_restore(&["runtime.workers=3", "runtime.batch_rows=2", &after]).unwrap();
        script.end().unwrap();
        assert_eq!(script.rows(sink).unwrap(), straight.rows(sink).unwrap(), "seed {seed}");
        assert!(script.ledger().balances(), "seed {seed}: {:?}", script.ledger());
    }
}

const WINDOWS: &str = "
[operators.bid_windows]
type = 'window'
input = 'bids'
kind = 'tumble'
size = '10s'
[operators.item_windows]
type = 'window'
input = 'items'
kind = 'tumble'
size = '10s'
[operators.both]
type = 'join'
left = 'bid_windows'
right = 'item_windows'
mode = 'window'
kind = 'full'
on = 'item = name'
columns = ['item', 'price', 'name', 'seller', 'window_start']
[sinks.out]
type = 'collect'
input = 'both'
[sinks.late]
type = 'collect'
input = 'both.late_left'
";

#[test]
fn full_join_of_windows() {
    crashed_in_mid_stream(
        WINDOWS,
        "out",
        &expect![[r#"
        {"item":"coat","price":9,"name":null,"seller":null,"window_start":"1970-01-01T00:00:00Z"}
        {"item":"hat","price":1,"name":null,"seller":null,"window_start":"1970-01-01T00:00:20Z"}
        {"item":"hat","price":5,"name":"hat","seller":"ann","window_start":"1970-01-01T00:00:00Z"}
        {"item":"hat","price":7,"name":"hat","seller":"ann","window_start":"1970-01-01T00:00:00Z"}
        {"item":"shoe","price":6,"name":null,"seller":null,"window_start":"1970-01-01T00:00:20Z"}
        {"item":null,"price":2,"name":null,"seller":null,"window_start":"1970-01-01T00:00:00Z"}
        {"item":null,"price":null,"name":"coat","seller":"ann","window_start":"1970-01-01T00:00:30Z"}
        {"item":null,"price":null,"name":"hat","seller":"cid","window_start":"1970-01-01T00:00:10Z"}
        {"item":null,"price":null,"name":"shoe","seller":"bob","window_start":"1970-01-01T00:00:00Z"}
        {"item":null,"price":null,"name":null,"seller":"eve","window_start":"1970-01-01T00:00:00Z"}
    "#]],
    );
}

#[test]
fn the_window_of_a_side_that_has_no_row_is_null() {
    // The condition on windows is asked of pairs, in which both sides have one.
    let on = "on = 'item = name and left.window_start = right.window_start'";
    let columns = "columns = ['item', 'name', 'left.window_start as ls', 'right.window_end as re', 'window_end']";
    let operators =
        WINDOWS.replace("on = 'item = name'", on).replace("columns = ['item', 'price', 'name', 'seller', 'window_start']", columns);
    crashed_in_mid_stream(
        &operators,
        "out",
        &expect![[r#"
        {"item":"coat","name":null,"ls":"1970-01-01T00:00:00Z","re":null,"window_end":"1970-01-01T00:00:10Z"}
        {"item":"hat","name":"hat","ls":"1970-01-01T00:00:00Z","re":"1970-01-01T00:00:10Z","window_end":"1970-01-01T00:00:10Z"}
        {"item":"hat","name":"hat","ls":"1970-01-01T00:00:00Z","re":"1970-01-01T00:00:10Z","window_end":"1970-01-01T00:00:10Z"}
        {"item":"hat","name":null,"ls":"1970-01-01T00:00:20Z","re":null,"window_end":"1970-01-01T00:00:30Z"}
        {"item":"shoe","name":null,"ls":"1970-01-01T00:00:20Z","re":null,"window_end":"1970-01-01T00:00:30Z"}
        {"item":null,"name":"coat","ls":null,"re":"1970-01-01T00:00:40Z","window_end":"1970-01-01T00:00:40Z"}
        {"item":null,"name":"hat","ls":null,"re":"1970-01-01T00:00:20Z","window_end":"1970-01-01T00:00:20Z"}
        {"item":null,"name":"shoe","ls":null,"re":"1970-01-01T00:00:10Z","window_end":"1970-01-01T00:00:10Z"}
        {"item":null,"name":null,"ls":"1970-01-01T00:00:00Z","re":null,"window_end":"1970-01-01T00:00:10Z"}
        {"item":null,"name":null,"ls":null,"re":"1970-01-01T00:00:10Z","window_end":"1970-01-01T00:00:10Z"}
    "#]],
    );
    // Nor has the other kinds' missing side one.
    for (kind, column, start) in [("left", "right.window_end as bound", "20"), ("right", "left.window_start as bound", "00")] {
        let operators = WINDOWS
            .replace("kind = 'full'", &format!("kind = '{kind}'"))
            .replace("columns = ['item', 'price', 'name', 'seller', 'window_start']", &format!("columns = ['window_start', '{column}']"));
        let mut script = start_with_one_of_each(&operators);
        script.end().unwrap();
        let expected = format!("{{\"window_start\":\"1970-01-01T00:00:{start}Z\",\"bound\":null}}\n");
        assert_eq!(script.rows("out").unwrap(), expected);
    }
}

/// With a bid and an item that are no pair.
fn start_with_one_of_each(operators: &str) -> Script {
    let mut script = start(operators, &[], 0);
    script.send("bids", &rows("bids", &BIDS[6..])).unwrap();
    script.send("items", &rows("items", &ITEMS[1..2])).unwrap();
    script
}

#[test]
fn bids_too_late_for_their_window() {
    crashed_in_mid_stream(
        WINDOWS,
        "late",
        &expect![[r#"
        {"item":"coat","price":4,"at":"1970-01-01T00:00:02Z"}
    "#]],
    );
}

const HIGHEST: &str = "
[operators.highest]
type = 'aggregate'
input = 'bids'
by = ['item']
compute = ['max(price) as price']
[operators.offers]
type = 'join'
left = 'items'
right = 'highest'
mode = 'changes'
kind = 'left'
on = 'name = item and price > 5'
columns = ['name', 'seller', 'price']
[sinks.out]
type = 'collect'
input = 'offers'
";

#[test]
fn left_join_with_a_running_aggregate() {
    crashed_in_mid_stream(
        HIGHEST,
        "out",
        &expect![[r#"
        {"name":"coat","seller":"ann","price":9}
        {"name":"hat","seller":"ann","price":7}
        {"name":"hat","seller":"cid","price":7}
        {"name":"shoe","seller":"bob","price":6}
        {"name":null,"seller":"eve","price":null}
    "#]],
    );
}

#[test]
fn anti_join_where_null_equals_null() {
    let operators = "
[operators.unsold]
type = 'join'
left = 'items'
right = 'bids'
mode = 'changes'
kind = 'anti'
on = '(name is not distinct from item) and price <> 6'
columns = ['name', 'seller']
[sinks.out]
type = 'collect'
input = 'unsold'
";
    crashed_in_mid_stream(
        operators,
        "out",
        &expect![[r#"
        {"name":"shoe","seller":"bob"}
    "#]],
    );
}

#[test]
fn inner_join_of_rows_windowed_again() {
    let operators = "
[operators.sold]
type = 'join'
left = 'bids'
right = 'items'
mode = 'changes'
on = 'item = name'
columns = ['item', 'price', 'seller']
[operators.windows]
type = 'window'
input = 'sold'
kind = 'tumble'
size = '10s'
[operators.counts]
type = 'aggregate'
input = 'windows'
by = ['item']
compute = ['count(*) as n', 'sum(price) as sum']
[sinks.out]
type = 'collect'
input = 'counts'
";
    let mut script = start(operators, &["runtime.workers=2"], 1);
    script.send("items", &rows("items", &["hat ann 2", "coat bob 3"])).unwrap();
    script.send("bids", &rows("bids", &["hat 5 1", "hat 7 8", "coat 9 14"])).unwrap();
    script.end().unwrap();
    expect![[r#"
        {"item":"coat","n":1,"sum":9,"window_start":"1970-01-01T00:00:10Z","window_end":"1970-01-01T00:00:20Z"}
        {"item":"hat","n":2,"sum":12,"window_start":"1970-01-01T00:00:00Z","window_end":"1970-01-01T00:00:10Z"}
    "#]]
    .assert_eq(&script.rows("out").unwrap());
    assert!(script.ledger().balances(), "{:?}", script.ledger());
}

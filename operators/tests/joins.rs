//! Joins as part of a small topology: two sources, a checkpoint in mid-stream, a crash, and back at another parallelism.

#![expect(clippy::unwrap_used, clippy::panic, reason = "helpers of tests fail the test")]

use expect_test::{Expect, expect};
use millstream_api::Registry;
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
    let mut registry = Registry::new();
    millstream_operators::register(&mut registry);
    Script::start(registry, &format!("{SOURCES}{operators}"), settings, seed).unwrap_or_else(|e| panic!("{e}"))
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
on = 'name is not distinct from item'
columns = ['name', 'seller']
[sinks.out]
type = 'collect'
input = 'unsold'
";
    crashed_in_mid_stream(operators, "out", &expect![[r#""#]]);
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

/// Joins of bids with the items of about their time.
fn near(kind: &str) -> String {
    format!(
        "
[operators.near]
type = 'join'
left = 'bids'
right = 'items'
mode = 'interval'
before = '5s'
after = '8s'
kind = '{kind}'
on = 'item = name'
columns = ['item', 'price', 'bids.at as at', 'seller', 'items.at as offered']
[sinks.out]
type = 'collect'
input = 'near'
[sinks.late]
type = 'collect'
input = 'near.late_left'
"
    )
}

#[test]
fn full_join_of_rows_near_each_other() {
    crashed_in_mid_stream(
        &near("full"),
        "out",
        &expect![[r#"
        {"item":"coat","price":9,"at":"1970-01-01T00:00:03Z","seller":null,"offered":null}
        {"item":"hat","price":1,"at":"1970-01-01T00:00:23Z","seller":null,"offered":null}
        {"item":"hat","price":5,"at":"1970-01-01T00:00:01Z","seller":"ann","offered":"1970-01-01T00:00:02Z"}
        {"item":"hat","price":7,"at":"1970-01-01T00:00:08Z","seller":"cid","offered":"1970-01-01T00:00:12Z"}
        {"item":"shoe","price":6,"at":"1970-01-01T00:00:27Z","seller":null,"offered":null}
        {"item":null,"price":2,"at":"1970-01-01T00:00:04Z","seller":null,"offered":null}
        {"item":null,"price":null,"at":null,"seller":"ann","offered":"1970-01-01T00:00:31Z"}
        {"item":null,"price":null,"at":null,"seller":"bob","offered":"1970-01-01T00:00:09Z"}
        {"item":null,"price":null,"at":null,"seller":"eve","offered":"1970-01-01T00:00:05Z"}
    "#]],
    );
}

#[test]
fn bids_behind_their_own_watermark_take_no_part() {
    crashed_in_mid_stream(
        &near("inner"),
        "late",
        &expect![[r#"
        {"item":"coat","price":4,"at":"1970-01-01T00:00:02Z"}
    "#]],
    );
}

#[test]
fn rows_without_a_partner_do_not_come_late_for_the_next_window() {
    let operators = format!(
        "{}
[operators.windows]
type = 'window'
input = 'near'
kind = 'tumble'
size = '10s'
[operators.counted]
type = 'aggregate'
input = 'windows'
compute = ['count(*) as rows', 'count(seller) as pairs']
[sinks.counts]
type = 'collect'
input = 'counted'
[sinks.too_late]
type = 'collect'
input = 'counted.late'
",
        near("full")
    );
    crashed_in_mid_stream(
        &operators,
        "counts",
        &expect![[r#"
        {"rows":1,"pairs":1,"window_start":"1970-01-01T00:00:10Z","window_end":"1970-01-01T00:00:20Z"}
        {"rows":1,"pairs":1,"window_start":"1970-01-01T00:00:30Z","window_end":"1970-01-01T00:00:40Z"}
        {"rows":2,"pairs":0,"window_start":"1970-01-01T00:00:20Z","window_end":"1970-01-01T00:00:30Z"}
        {"rows":5,"pairs":3,"window_start":"1970-01-01T00:00:00Z","window_end":"1970-01-01T00:00:10Z"}
    "#]],
    );
    crashed_in_mid_stream(&operators, "too_late", &expect![[""]]);
}

const VERSIONS: &str = "
[operators.sold]
type = 'join'
left = 'bids'
right = 'items'
mode = 'as_of'
kind = 'left'
on = 'item = name'
columns = ['item', 'price', 'bids.at as at', 'seller']
[sinks.out]
type = 'collect'
input = 'sold'
";

#[test]
fn bids_with_the_offer_of_their_time() {
    crashed_in_mid_stream(
        VERSIONS,
        "out",
        &expect![[r#"
        {"item":"coat","price":9,"at":"1970-01-01T00:00:03Z","seller":null}
        {"item":"hat","price":1,"at":"1970-01-01T00:00:23Z","seller":"cid"}
        {"item":"hat","price":5,"at":"1970-01-01T00:00:01Z","seller":null}
        {"item":"hat","price":7,"at":"1970-01-01T00:00:08Z","seller":"ann"}
        {"item":"shoe","price":6,"at":"1970-01-01T00:00:27Z","seller":"bob"}
        {"item":null,"price":2,"at":"1970-01-01T00:00:04Z","seller":null}
    "#]],
    );
}

const SELLERS: &str = "
[sources.sellers]
type = 'script'
schema = { seller = 'string', city = 'string' }
[operators.windows]
type = 'window'
input = 'items'
kind = 'tumble'
size = '10s'
[operators.known]
type = 'join'
left = 'windows'
right = 'sellers'
mode = 'lookup'
kind = 'left'
on = 'left.seller = right.seller'
columns = ['name', 'left.seller as seller', 'city', 'window_start as start']
[operators.counted]
type = 'aggregate'
input = 'known'
by = ['city']
compute = ['count(*) as offers']
[sinks.counts]
type = 'collect'
input = 'counted'
";

const CITIES: &str = r#"{"seller": "ann", "city": "Ulm"}
{"seller": "bob", "city": "Bonn"}
{"seller": null, "city": "nowhere"}
{"seller": "ann", "city": "Rom"}
"#;

fn sellers(settings: &[&str], seed: u64) -> Script {
    let mut script = start(SELLERS, settings, seed);
    script.send("items", &rows("items", &ITEMS[..3])).unwrap();
    assert_eq!(script.rows("counts").unwrap(), "", "the table is not whole");
    script.send("sellers", CITIES).unwrap();
    script
}

#[test]
fn offers_in_windows_with_the_city_of_a_table() {
    let mut straight = sellers(&["runtime.workers=2"], 0);
    straight.end_source("sellers").unwrap();
    straight.send("items", &rows("items", &ITEMS[3..])).unwrap();
    straight.end().unwrap();
    expect![[r#"
        {"city":"Bonn","offers":1,"window_start":"1970-01-01T00:00:00Z","window_end":"1970-01-01T00:00:10Z"}
        {"city":"Rom","offers":1,"window_start":"1970-01-01T00:00:00Z","window_end":"1970-01-01T00:00:10Z"}
        {"city":"Rom","offers":1,"window_start":"1970-01-01T00:00:30Z","window_end":"1970-01-01T00:00:40Z"}
        {"city":"Ulm","offers":1,"window_start":"1970-01-01T00:00:00Z","window_end":"1970-01-01T00:00:10Z"}
        {"city":"Ulm","offers":1,"window_start":"1970-01-01T00:00:30Z","window_end":"1970-01-01T00:00:40Z"}
        {"city":null,"offers":1,"window_start":"1970-01-01T00:00:00Z","window_end":"1970-01-01T00:00:10Z"}
        {"city":null,"offers":1,"window_start":"1970-01-01T00:00:10Z","window_end":"1970-01-01T00:00:20Z"}
    "#]]
    .assert_eq(&straight.rows("counts").unwrap());
    assert!(straight.ledger().balances(), "{:?}", straight.ledger());
    for seed in 1..9 {
        let mut script = start(SELLERS, &["runtime.workers=2", "runtime.mailbox=1"], seed);
        let (first, rest) = CITIES.split_at(CITIES.find('\n').unwrap() + 1);
        script.send("sellers", first).unwrap();
        script.send_only("items", &rows("items", &ITEMS[..3])).unwrap();
        script.turns(seed as usize).unwrap();
        script.send_only("sellers", rest).unwrap();
        if seed % 2 == 0 {
            // The barrier comes while the table is being read, and the rest of it is sent again.
            script.checkpoint_until_end("sellers").unwrap();
        } else {
            script.end_source("sellers").unwrap();
            script.checkpoint().unwrap();
        }
        script.send("items", &rows("items", &ITEMS[3..4])).unwrap();
        script.crash_and_restore(&["runtime.workers=3", "runtime.batch_rows=2"]).unwrap();
        script.send("items", &rows("items", &ITEMS[4..])).unwrap();
        script.end().unwrap();
        assert_eq!(script.rows("counts").unwrap(), straight.rows("counts").unwrap(), "seed {seed}");
    }
}

#[test]
fn a_stop_while_the_table_is_read_leaves_the_rows_in_state() {
    let mut script = sellers(&[], 0);
    script.halt().unwrap();
    assert_eq!(script.rows("counts").unwrap(), "");
    let ledger = script.ledger();
    assert!(ledger.balances(), "{ledger:?}");
    let known = ledger.node("known").unwrap();
    assert_eq!((known.rows_in, known.fates.taken, known.in_state), (7, 1, 6), "a row of the table can never be found");
}

#[test]
fn a_drain_reads_the_table_to_its_end() {
    let mut script = sellers(&[], 0);
    script.drain().unwrap();
    assert_eq!(script.rows("counts").unwrap(), "", "the table is not whole yet");
    script.end_source("sellers").unwrap();
    assert!(script.run().is_over());
    expect![[r#"
        {"city":"Bonn","offers":1,"window_start":"1970-01-01T00:00:00Z","window_end":"1970-01-01T00:00:10Z"}
        {"city":"Rom","offers":1,"window_start":"1970-01-01T00:00:00Z","window_end":"1970-01-01T00:00:10Z"}
        {"city":"Ulm","offers":1,"window_start":"1970-01-01T00:00:00Z","window_end":"1970-01-01T00:00:10Z"}
        {"city":null,"offers":1,"window_start":"1970-01-01T00:00:00Z","window_end":"1970-01-01T00:00:10Z"}
    "#]]
    .assert_eq(&script.rows("counts").unwrap());
}

#[test]
fn a_table_that_does_not_fit_is_said_to_be_too_great() {
    let mut script = start(SELLERS, &["runtime.memory=64KiB"], 0);
    let rows: String = (0..2_000).map(|n| format!("{{\"seller\": \"number {n} of very many\", \"city\": \"Ulm\"}}\n")).collect();
    let error = script.send("sellers", &rows).unwrap_err();
    assert!(error.message().starts_with("known: keyed state") && error.message().contains("runtime.memory = \"64KiB\""), "{error}");
    assert!(error.help_text().unwrap().starts_with("raise runtime.memory"));
}

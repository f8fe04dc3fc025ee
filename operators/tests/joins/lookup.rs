//! Joins with a table that is read to its end first.

use expect_test::expect;
use millstream_testkit::Script;

use crate::{ITEMS, rows, start};

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
        script.end_source("sellers").unwrap();
        script.checkpoint().unwrap();
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

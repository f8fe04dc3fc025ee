//! Runs a case in virtual time: cut in one way from beginning to end, or with crashes in mid-stream and back at another parallelism.

use millstream_api::error::row_as_json;
use millstream_api::time::rfc3339;
use millstream_testkit::Script;
use serde_json::{Value, json};

use crate::cases::Case;
use crate::in_place::{Cut, Rows, shipped};

/// In how many parts rows are sent; the clock goes on between them.
const PARTS: usize = 5;

/// A run that nothing disturbs; `seed` says who gets its turn when.
pub fn straight(case: &Case, cut: Cut, seed: u64) -> Rows {
    let mut script = start(case, cut, seed);
    let input = Input::of(&script);
    input.table(&mut script);
    (0..PARTS).for_each(|part| input.part(&mut script, part, seed));
    finish(case, script)
}

/// A run with checkpoints in the middle of some rows, so that all but the first write what has changed, more rows, a crash, and back with
/// another cut; then once more in the same way, and back with the first cut.
pub fn restored(case: &Case, cuts: [Cut; 2], seed: u64) -> Rows {
    let mut script = start(case, cuts[0], seed);
    let input = Input::of(&script);
    input.table(&mut script);
    let before = 2 + seed as usize % (PARTS - 2);
    input.checkpointed(&mut script, 0..before, seed);
    input.part(&mut script, before, seed);
    script.advance("3s").unwrap();
    script.crash_and_restore(&cuts[1].settings().each_ref().map(String::as_str)).unwrap();
    input.checkpointed(&mut script, before + 1..PARTS, seed);
    script.crash_and_restore(&cuts[0].settings().each_ref().map(String::as_str)).unwrap();
    finish(case, script)
}

fn start(case: &Case, cut: Cut, seed: u64) -> Script {
    let settings = cut.settings();
    let started = Script::start(shipped(), &case.text, &settings.each_ref().map(String::as_str), seed);
    started.unwrap_or_else(|e| panic!("{}: {e}", case.name))
}

fn finish(case: &Case, mut script: Script) -> Rows {
    script.end().unwrap();
    assert!(script.ledger().balances(), "{}: {:?}", case.name, script.ledger());
    let of = |kind: &str| -> Vec<String> {
        script.topology().nodes.iter().filter(|node| node.kind == kind).map(|node| node.name.clone()).collect()
    };
    let (kept, views) = (of("collect"), of("view"));
    let mut rows: Rows = kept.into_iter().map(|sink| (sink.clone(), script.rows(&sink).unwrap())).collect();
    rows.extend(views.into_iter().map(|view| (view.clone(), shown(&mut script, &view))));
    rows
}

/// The rows that readers of a view see, sorted.
fn shown(script: &mut Script, view: &str) -> String {
    let records = script.run().views().get(view).unwrap().rows().unwrap().1;
    let mut rows: Vec<String> = (0..records.num_rows()).map(|row| row_as_json(&records, row) + "\n").collect();
    rows.sort();
    rows.concat()
}

/// What is sent: the sources of the case that are there.
struct Input {
    streams: Vec<(&'static str, Vec<Value>)>,
    table: bool,
}

impl Input {
    fn of(script: &Script) -> Input {
        let topology = script.topology();
        let streams = [("bids", bids()), ("offers", offers())];
        Input {
            streams: streams.into_iter().filter(|(name, _)| topology.node(name).is_some()).collect(),
            table: topology.node("cities").is_some(),
        }
    }

    /// Sends the table, which is read to its end before anything is looked up.
    fn table(&self, script: &mut Script) {
        if self.table {
            script.send("cities", &lines(&cities())).unwrap();
            script.end_source("cities").unwrap();
        }
    }

    /// Sends parts of all streams with a checkpoint after each, while some of its rows are on their way.
    fn checkpointed(&self, script: &mut Script, parts: std::ops::Range<usize>, seed: u64) {
        for part in parts {
            self.part(script, part, seed);
            script.checkpoint().unwrap();
        }
    }

    /// Sends a part of all streams, gives some turns, so that what follows comes in the middle, and lets the clock go on now and then.
    fn part(&self, script: &mut Script, part: usize, seed: u64) {
        for (name, rows) in &self.streams {
            let bound = |part: usize| rows.len() * part / PARTS;
            script.send_only(name, &lines(&rows[bound(part)..bound(part + 1)])).unwrap();
        }
        script.turns((seed as usize * 13 + part * 7) % 60).unwrap();
        if (seed as usize + part).is_multiple_of(3) {
            script.advance("5s").unwrap();
        }
    }
}

fn lines(rows: &[Value]) -> String {
    rows.iter().map(|row| format!("{row}\n")).collect()
}

fn time(second: i64) -> String {
    rfc3339(second.max(0) * 1_000_000)
}

/// Roughly in order; some are more than ten seconds late.
fn bids() -> Vec<Value> {
    let row = |i: i64| {
        let place = i as usize;
        let second = i * 3 + [0, 4, -6, 1, -24, 2][place % 6];
        let key = [json!("a"), json!("b"), json!(null), json!("c"), json!("a")][place % 5].clone();
        let tags = [json!(["x", "y"]), json!([]), json!(null), json!(["z", null]), json!(["x"])][place * 2 % 5].clone();
        let value = if place % 13 == 4 { json!(null) } else { json!(i * 7 % 11 - 2) };
        json!({ "id": i, "k": key, "v": value, "tags": tags, "at": time(second) })
    };
    (0..48).map(row).collect()
}

fn offers() -> Vec<Value> {
    let row = |i: i64| {
        let place = i as usize;
        let key = [json!("a"), json!("b"), json!(null), json!("d")][place % 4].clone();
        json!({ "id": i, "k": key, "w": i * 5 % 7, "at": time(i * 6 + [0, -5, 4, -30][place * 3 % 4]) })
    };
    (0..24).map(row).collect()
}

fn cities() -> Vec<Value> {
    let rows = [(json!("a"), "Ulm"), (json!("b"), "Bonn"), (json!(null), "nowhere"), (json!("a"), "Rom"), (json!("e"), "Ems")];
    rows.into_iter().map(|(key, city)| json!({ "k": key, "city": city })).collect()
}

//! Windows of every kind in small topologies, against a model that knows all rows at once and goes row by row: out of order,
//! late, with allowed lateness, read by an aggregate, by `top_n` and one by one; cut in batches and subtasks in many ways, with
//! a checkpoint, a crash and a restore at another parallelism on the way.

#![expect(clippy::unwrap_used, reason = "helpers of tests fail the test")]

mod early;
mod lateness;
#[path = "../support/mod.rs"]
mod support;

use std::collections::BTreeMap;

use expect_test::expect;
use millstream_api::time::rfc3339;
use millstream_testkit::Script;
use proptest::prelude::*;
use serde_json::{Value, json};

const MAX_DELAY: i64 = 10;

const SOURCE: &str = r#"
name = "script"
[sources.rides]
type = "script"
time = { by = "at", max_delay = "10s" }
schema = { car = "string", km = "bigint", at = "timestamp not null" }
"#;

fn start(operators: &str, settings: &[&str], seed: u64) -> Script {
    support::start(&format!("{SOURCE}{operators}"), settings, seed)
}

/// A row: car, kilometres, second.
type Row = (&'static str, i64, i64);

fn lines(rows: &[Row]) -> String {
    let line = |(car, km, second): &Row| format!("{}\n", json!({ "car": car, "km": km, "at": at(*second) }));
    rows.iter().map(line).collect()
}

fn at(second: i64) -> String {
    rfc3339(second * 1_000_000)
}

/// The rows of a sink, sorted.
fn rows_of(script: &Script, sink: &str) -> Vec<String> {
    let mut rows: Vec<String> = script.rows(sink).unwrap().lines().map(str::to_owned).collect();
    rows.sort();
    rows
}

/// All lengths in seconds.
#[derive(Clone, Copy, Debug)]
enum Kind {
    Hop { size: i64, slide: i64, offset: i64 },
    Cumulate { size: i64, step: i64, offset: i64 },
    Session { gap: i64 },
}

impl Kind {
    fn keys(self) -> String {
        match self {
            Kind::Hop { size, slide, offset } if size == slide => format!("kind = 'tumble'\nsize = '{size}s'\noffset = '{offset}s'"),
            Kind::Hop { size, slide, offset } => format!("kind = 'hop'\nsize = '{size}s'\nslide = '{slide}s'\noffset = '{offset}s'"),
            Kind::Cumulate { size, step, offset } => {
                format!("kind = 'cumulate'\nsize = '{size}s'\nstep = '{step}s'\noffset = '{offset}s'")
            }
            Kind::Session { gap } => format!("kind = 'session'\ngap = '{gap}s'"),
        }
    }

    /// The windows of an instant, unless they are sessions.
    fn windows(self, time: i64) -> Vec<(i64, i64)> {
        let all: Vec<(i64, i64)> = match self {
            Kind::Hop { size, slide, offset } => (-99..99).map(|n| (n * slide + offset, n * slide + offset + size)).collect(),
            Kind::Cumulate { size, step, offset } => {
                let of_start = |start: i64| (1..=size / step).map(move |k| (start, start + k * step));
                (-99..99).flat_map(|n| of_start(n * size + offset)).collect()
            }
            Kind::Session { .. } => Vec::new(),
        };
        all.into_iter().filter(|(start, end)| *start <= time && time < *end).collect()
    }
}

/// Rows by their window's start and end.
type Taken = BTreeMap<(i64, i64), Vec<Row>>;

/// Which rows are in which window, by the watermark just before each row; and those that are in none.
fn model(kind: Kind, lateness: i64, rows: &[Row]) -> (Taken, Vec<Row>) {
    model_by(kind, rows, |_, watermark| watermark - lateness)
}

/// The same, with up to where windows have closed for a row, by its place and the watermark just before it.
fn model_by(kind: Kind, rows: &[Row], closed_up_to: impl Fn(usize, i64) -> i64) -> (Taken, Vec<Row>) {
    let (mut taken, mut late) = (Taken::new(), Vec::new());
    let mut by_car: BTreeMap<&str, Vec<Row>> = BTreeMap::new();
    let mut watermark = i64::MIN / 2;
    for (place, row) in rows.iter().enumerate() {
        let closed = closed_up_to(place, watermark);
        let open: Vec<_> = kind.windows(row.2).into_iter().filter(|(_, end)| *end > closed).collect();
        match kind {
            Kind::Session { .. } if row.2 >= closed => by_car.entry(row.0).or_default().push(*row),
            _ if open.is_empty() => late.push(*row),
            _ => open.into_iter().for_each(|window| taken.entry(window).or_default().push(*row)),
        }
        watermark = watermark.max(row.2 - MAX_DELAY);
    }
    if let Kind::Session { gap } = kind {
        for mut rows in by_car.into_values() {
            rows.sort_by_key(|row| row.2);
            for session in rows.chunk_by(|one, next| next.2 - one.2 < gap) {
                taken.entry((session[0].2, session[session.len() - 1].2 + gap)).or_default().extend(session);
            }
        }
    }
    (taken, late)
}

fn bounds((start, end): (i64, i64)) -> String {
    format!(r#""window_start":"{}","window_end":"{}""#, at(start), at(end))
}

fn sums(taken: &Taken) -> Vec<String> {
    let mut found = Vec::new();
    for (window, rows) in taken {
        let mut cars: BTreeMap<&str, (i64, i64)> = BTreeMap::new();
        for (car, km, _) in rows {
            let (rides, total) = cars.entry(car).or_default();
            (*rides, *total) = (*rides + 1, *total + km);
        }
        let line =
            |(car, (rides, total)): (&str, (i64, i64))| format!(r#"{{"car":"{car}","rides":{rides},"total":{total},{}}}"#, bounds(*window));
        found.extend(cars.into_iter().map(line));
    }
    found.sort();
    found
}

fn singles(taken: &Taken, wanted: impl Fn(&[Row]) -> Vec<Row>) -> Vec<String> {
    let line = |(car, km, second): Row, window| format!(r#"{{"car":"{car}","km":{km},"at":"{}",{}}}"#, at(second), bounds(window));
    let mut found: Vec<String> = taken.iter().flat_map(|(window, rows)| wanted(rows).into_iter().map(|row| line(row, *window))).collect();
    found.sort();
    found
}

fn longest(rows: &[Row]) -> Vec<Row> {
    let mut rows = rows.to_vec();
    rows.sort_by_key(|(car, km, second)| (-km, *second, *car));
    rows.truncate(2);
    rows
}

fn late_rows(late: &[Row]) -> Vec<String> {
    let mut found: Vec<String> =
        late.iter().map(|(car, km, second)| format!(r#"{{"car":"{car}","km":{km},"at":"{}"}}"#, at(*second))).collect();
    found.sort();
    found
}

#[derive(Clone, Debug)]
struct Case {
    kind: Kind,
    lateness: i64,
    rows: Vec<Row>,
    /// How many rows have come when a checkpoint is taken, and how many when all dies.
    checkpoint: usize,
    crash: usize,
    workers: [usize; 2],
    batch_rows: usize,
    /// How long rows wait for others, in batches and to be put together.
    linger: &'static str,
    seed: u64,
}

/// Runs a topology over the rows of a case, with a crash on the way.
fn run(case: &Case, operators: &str) -> Script {
    let batch_rows = format!("runtime.batch_rows={}", case.batch_rows);
    let linger = format!("runtime.linger={}", case.linger);
    let [before, after] = case.workers.map(|workers| format!("runtime.workers={workers}"));
    let mut script = start(operators, &[&before, &batch_rows, &linger], case.seed);
    let (checkpoint, crash) = (case.checkpoint.min(case.rows.len()), case.crash.min(case.rows.len()));
    let (checkpoint, crash) = (checkpoint.min(crash), crash.max(checkpoint));
    script.send("rides", &lines(&case.rows[..checkpoint])).unwrap();
    script.checkpoint().unwrap();
    script.send("rides", &lines(&case.rows[checkpoint..crash])).unwrap();
    script.crash_and_restore(&[&after]).unwrap();
    script.send("rides", &lines(&case.rows[crash..])).unwrap();
    script.end().unwrap();
    assert!(script.ledger().balances(), "{:?}", script.ledger());
    script
}

fn kinds() -> impl Strategy<Value = Kind> {
    let hop = (1i64..25).prop_flat_map(|size| (Just(size), 1..=size)).prop_flat_map(|(size, slide)| (Just(size), Just(slide), 0..slide));
    prop_oneof![
        hop.prop_map(|(size, slide, offset)| Kind::Hop { size, slide, offset }),
        (1i64..25, 0i64..25).prop_map(|(size, offset)| Kind::Hop { size, slide: size, offset: offset % size }),
        (1i64..8, 1i64..5, 0i64..30).prop_map(|(step, steps, offset)| Kind::Cumulate {
            size: step * steps,
            step,
            offset: offset % (step * steps)
        }),
        (1i64..15).prop_map(|gap| Kind::Session { gap }),
    ]
}

fn cases() -> impl Strategy<Value = Case> {
    let row = (prop::sample::select(vec!["a", "b", "c"]), -5i64..6, 0i64..80);
    let lateness = prop_oneof![Just(0i64), 1i64..20];
    let batches = (prop::sample::select(vec![1usize, 3, 8192]), prop::sample::select(vec!["0s", "1h"]));
    let cut = (0usize..30, 0usize..30, [1usize..4, 1usize..4], batches, 0u64..1000);
    (kinds(), lateness, prop::collection::vec(row, 0..30), cut).prop_map(|(kind, lateness, mut rows, cut)| {
        // Roughly in order, so that the watermark rises on the way.
        let count = rows.len() as i64;
        rows.iter_mut().enumerate().for_each(|(i, row)| row.2 = row.2 / 2 + i as i64 * 60 / count.max(1));
        let (checkpoint, crash, workers, (batch_rows, linger), seed) = cut;
        Case { kind, lateness, rows, checkpoint, crash, workers, batch_rows, linger, seed }
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn aggregates_are_those_of_the_model(case in cases()) {
        let operators = format!(
            "[operators.windows]\ntype = 'window'\ninput = 'rides'\n{}\n\
             [operators.sums]\ntype = 'aggregate'\ninput = 'windows'\nby = ['car']\n\
             compute = ['count(*) as rides', 'sum(km) as total']\nallowed_lateness = '{}s'\n\
             [sinks.out]\ntype = 'collect'\ninput = 'sums'\n[sinks.late]\ntype = 'collect'\ninput = 'sums.late'\n",
            case.kind.keys(),
            case.lateness,
        );
        let script = run(&case, &operators);
        let (taken, late) = model(case.kind, case.lateness, &case.rows);
        prop_assert_eq!(rows_of(&script, "out"), sums(&taken));
        prop_assert_eq!(rows_of(&script, "late"), late_rows(&late));
    }

    #[test]
    fn early_rows_leave_what_the_final_ones_are(case in cases()) {
        let operators = format!(
            "[operators.windows]\ntype = 'window'\ninput = 'rides'\n{}\n\
             [operators.sums]\ntype = 'aggregate'\ninput = 'windows'\nby = ['car']\nemit = {{ every = '5s' }}\n\
             compute = ['count(*) as rides', 'sum(km) as total']\nhaving = 'total > 0'\nallowed_lateness = '{}s'\n\
             [sinks.out]\ntype = 'collect'\ninput = 'sums'\n",
            case.kind.keys(),
            case.lateness,
        );
        let settings = [format!("runtime.batch_rows={}", case.batch_rows), format!("runtime.workers={}", case.workers[0])];
        let mut script = start(&operators, &[&settings[0], &settings[1]], case.seed);
        for (place, row) in case.rows.iter().enumerate() {
            script.send("rides", &lines(&[*row])).unwrap();
            script.advance("2s").unwrap();
            if place == case.checkpoint {
                script.checkpoint().unwrap();
            }
            if place == case.crash {
                script.crash_and_restore(&["runtime.workers=2"]).unwrap();
            }
        }
        script.end().unwrap();
        let mut expected = sums(&model(case.kind, case.lateness, &case.rows).0);
        expected.retain(|row| serde_json::from_str::<Value>(row).unwrap()["total"].as_i64().unwrap() > 0);
        prop_assert_eq!(rows_of(&script, "out"), expected);
    }

    #[test]
    fn single_rows_and_rankings_are_those_of_the_model(case in cases()) {
        if matches!(case.kind, Kind::Session { .. }) {
            return Ok(());
        }
        let operators = format!(
            "[operators.windows]\ntype = 'window'\ninput = 'rides'\n{0}\n\
             [operators.same]\ntype = 'window'\ninput = 'rides'\n{0}\n\
             [operators.longest]\ntype = 'top_n'\ninput = 'same'\norder = ['km desc', 'at', 'car']\nn = 2\n\
             [sinks.out]\ntype = 'collect'\ninput = 'windows'\n[sinks.late]\ntype = 'collect'\ninput = 'windows.late'\n\
             [sinks.longest_rows]\ntype = 'collect'\ninput = 'longest'\n",
            case.kind.keys(),
        );
        let script = run(&case, &operators);
        let (taken, late) = model(case.kind, 0, &case.rows);
        prop_assert_eq!(rows_of(&script, "out"), singles(&taken, <[Row]>::to_vec));
        prop_assert_eq!(rows_of(&script, "late"), late_rows(&late));
        prop_assert_eq!(rows_of(&script, "longest_rows"), singles(&taken, longest));
    }
}

const HOURS: i64 = 3600;

/// 2026-03-28T00:00:00Z, the day before clocks are set forward in Berlin.
const SPRING: i64 = 1_774_656_000;

#[test]
fn days_are_those_of_the_zone() {
    let operators = "
[operators.windows]
type = 'window'
input = 'rides'
kind = 'tumble'
size = '1d'
timezone = 'Europe/Berlin'
[operators.days]
type = 'aggregate'
input = 'windows'
compute = ['count(*) as rides']
[operators.growing]
type = 'window'
input = 'rides'
kind = 'cumulate'
size = '1d'
step = '12h'
timezone = 'Europe/Berlin'
[operators.halves]
type = 'aggregate'
input = 'growing'
compute = ['count(*) as rides']
[sinks.out]
type = 'collect'
input = 'days'
[sinks.halves_rows]
type = 'collect'
input = 'halves'
";
    let mut script = start(operators, &["runtime.workers=2"], 3);
    let hours = [0, 22, 23, 24, 45, 46, 60];
    script.send("rides", &lines(&hours.map(|hour| ("a", 1, SPRING + hour * HOURS)))).unwrap();
    script.end().unwrap();
    expect![[r#"
        {"rides":2,"window_start":"2026-03-27T23:00:00Z","window_end":"2026-03-28T23:00:00Z"}
        {"rides":2,"window_start":"2026-03-29T22:00:00Z","window_end":"2026-03-30T22:00:00Z"}
        {"rides":3,"window_start":"2026-03-28T23:00:00Z","window_end":"2026-03-29T22:00:00Z"}
    "#]]
    .assert_eq(&script.rows("out").unwrap());
    expect![[r#"
        {"rides":1,"window_start":"2026-03-27T23:00:00Z","window_end":"2026-03-28T11:00:00Z"}
        {"rides":1,"window_start":"2026-03-29T22:00:00Z","window_end":"2026-03-30T10:00:00Z"}
        {"rides":2,"window_start":"2026-03-27T23:00:00Z","window_end":"2026-03-28T23:00:00Z"}
        {"rides":2,"window_start":"2026-03-28T23:00:00Z","window_end":"2026-03-29T11:00:00Z"}
        {"rides":2,"window_start":"2026-03-29T22:00:00Z","window_end":"2026-03-30T22:00:00Z"}
        {"rides":3,"window_start":"2026-03-28T23:00:00Z","window_end":"2026-03-29T22:00:00Z"}
    "#]]
    .assert_eq(&script.rows("halves_rows").unwrap());
}

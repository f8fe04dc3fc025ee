//! `deduplicate`, `event_time` and aggregates of changing streams in small topologies, against models that know all rows at once;
//! cut in batches and subtasks in many ways, with a checkpoint, a crash and a restore at another parallelism on the way.

#![expect(clippy::unwrap_used, clippy::panic, reason = "helpers of tests fail the test")]

use std::collections::BTreeMap;

use expect_test::expect;
use millstream_api::Registry;
use millstream_api::time::rfc3339;
use millstream_testkit::Script;
use proptest::prelude::*;
use serde_json::{Value, json};

const TIMED: &str = "
[sources.events]
type = 'script'
time = { by = 'at', max_delay = '10s' }
schema = { k = 'bigint', id = 'bigint not null', at = 'timestamp not null' }
";

const UNTIMED: &str = "
[sources.events]
type = 'script'
schema = { k = 'bigint', id = 'bigint not null', at = 'timestamp not null' }
";

/// A row: key and second; its number is its place.
type Row = (Option<i64>, i64);

fn start(source: &str, operators: &str, settings: &[&str], seed: u64) -> Script {
    let mut registry = Registry::new();
    millstream_operators::register(&mut registry);
    Script::start(registry, &format!("name = 'script'\n{source}{operators}"), settings, seed).unwrap_or_else(|e| panic!("{e}"))
}

fn to_json(place: usize, &(key, second): &Row) -> Value {
    json!({ "k": key, "id": place, "at": rfc3339(second * 1_000_000) })
}

fn lines(rows: &[Row], from: usize) -> String {
    rows.iter().enumerate().map(|(i, row)| format!("{}\n", to_json(from + i, row))).collect()
}

/// The rows of a sink, sorted.
fn rows_of(script: &Script, sink: &str) -> Vec<Value> {
    sorted(script.rows(sink).unwrap().lines().map(|line| serde_json::from_str(line).unwrap()).collect())
}

fn sorted(mut rows: Vec<Value>) -> Vec<Value> {
    rows.sort_by_key(|row| {
        row.as_object().unwrap().iter().map(|(name, value)| (name.clone(), value.to_string())).collect::<BTreeMap<_, _>>()
    });
    rows
}

/// How a run is cut and disturbed.
#[derive(Clone, Debug)]
struct Disturbance {
    seed: u64,
    workers: [usize; 2],
    batch_rows: usize,
    turns: usize,
    /// After how many per cent of the rows there is a checkpoint.
    checkpoint: usize,
}

fn disturbance() -> impl Strategy<Value = Disturbance> {
    (0..1000u64, [1..4usize, 1..4usize], 1..5usize, 0..40usize, 0..100usize)
        .prop_map(|(seed, workers, batch_rows, turns, checkpoint)| Disturbance { seed, workers, batch_rows, turns, checkpoint })
}

fn rows() -> impl Strategy<Value = Vec<Row>> {
    proptest::collection::vec((proptest::option::weighted(0.9, 0..4i64), 0..60i64), 0..40)
}

/// Runs rows through a topology to their end, with a crash on the way.
fn disturbed(source: &str, operators: &str, rows: &[Row], how: &Disturbance) -> Script {
    let settings = |workers: usize| [format!("runtime.workers={workers}"), format!("runtime.batch_rows={}", how.batch_rows)];
    let [first, second] = how.workers.map(settings);
    let mut script = start(source, operators, &first.each_ref().map(String::as_str), how.seed);
    let (before, after) = rows.split_at(rows.len() * how.checkpoint / 100);
    script.send_only("events", &lines(before, 0)).unwrap();
    script.turns(how.turns).unwrap();
    script.checkpoint().unwrap();
    script.send("events", &lines(after, before.len())).unwrap();
    script.crash_and_restore(&second.each_ref().map(String::as_str)).unwrap();
    script.end().unwrap();
    assert!(script.ledger().balances(), "{:?}", script.ledger());
    script
}

/// Rows with the watermark just before each.
fn judged(rows: &[Row]) -> Vec<(usize, Row, i64)> {
    let mut watermark = i64::MIN;
    let judge = |(place, row): (usize, &Row)| {
        let before = watermark;
        watermark = watermark.max(row.1 - 10);
        (place, *row, before)
    };
    rows.iter().enumerate().map(judge).collect()
}

fn deduplicate(options: &str, late: bool) -> String {
    let late = if late { "[sinks.too_late]\ntype = 'collect'\ninput = 'unique.late'\n" } else { "" };
    format!(
        "
[operators.passing]
type = 'filter'
input = 'events'
where = 'id >= 0'
[operators.unique]
type = 'deduplicate'
input = 'passing'
by = ['k']
{options}
[sinks.out]
type = 'collect'
input = 'unique'
{late}"
    )
}

/// The rows that are kept of those that are not late, each key being remembered for so many seconds.
fn within(rows: &[Row], seconds: i64, last: bool) -> (Vec<Value>, Vec<Value>) {
    let (mut in_time, late): (Vec<_>, Vec<_>) = judged(rows).into_iter().partition(|(_, (_, at), watermark)| at >= watermark);
    in_time.sort_by_key(|(place, (_, at), _)| (*at, *place));
    let mut periods: BTreeMap<Option<i64>, Vec<(i64, Value)>> = BTreeMap::new();
    for (place, row, _) in in_time {
        let of_key = periods.entry(row.0).or_default();
        match of_key.last_mut().filter(|(start, _)| row.1 < start + seconds) {
            None => of_key.push((row.1, to_json(place, &row))),
            Some((_, kept)) if last => *kept = to_json(place, &row),
            Some(_) => {}
        }
    }
    let kept = periods.into_values().flatten().map(|(_, row)| row).collect();
    (sorted(kept), sorted(late.iter().map(|(place, row, _)| to_json(*place, row)).collect()))
}

/// One row of each key: the first one by this order.
fn first_by<K: Ord>(rows: &[Row], order: impl Fn(usize, &Row, i64) -> K) -> Vec<Value> {
    let mut by_order = judged(rows);
    by_order.sort_by_key(|(place, row, watermark)| order(*place, row, *watermark));
    let mut kept: BTreeMap<Option<i64>, Value> = BTreeMap::new();
    by_order.iter().for_each(|(place, row, _)| {
        kept.entry(row.0).or_insert_with(|| to_json(*place, row));
    });
    sorted(kept.into_values().collect())
}

const SHIFTED: &str = "
[operators.shifted]
type = 'select'
input = 'events'
columns = [\"id\", \"case k when 0 then at when 1 then at - interval '1 second' when 2 then at - interval '2 seconds' \
    when 3 then at - interval '3 seconds' end as then\"]
[operators.retimed]
type = 'event_time'
input = 'shifted'
by = 'then'
max_delay = '2s'
on_bad_row = 'skip'
[operators.windows]
type = 'window'
input = 'retimed'
kind = 'tumble'
size = '5s'
[operators.counts]
type = 'aggregate'
input = 'windows'
compute = ['array_agg(id) as ids']
[sinks.out]
type = 'collect'
input = 'counts'
[sinks.too_late]
type = 'collect'
input = 'retimed.late'
";

proptest! {
    #![proptest_config(ProptestConfig { cases: 32, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_key_is_remembered_for_as_long_as_said(rows in rows(), how in disturbance(), seconds in 1..30i64, last in any::<bool>()) {
        let keep = if last { "last" } else { "first" };
        let script = disturbed(TIMED, &deduplicate(&format!("keep = '{keep}'\nwithin = '{seconds}s'"), true), &rows, &how);
        let (kept, late) = within(&rows, seconds, last);
        prop_assert_eq!(rows_of(&script, "out"), kept);
        prop_assert_eq!(rows_of(&script, "too_late"), late);
    }

    #[test]
    fn without_within_every_key_has_one_row(rows in rows(), how in disturbance()) {
        let first = disturbed(TIMED, &deduplicate("", false), &rows, &how);
        // A row that is late is judged with those of its own watermark.
        prop_assert_eq!(rows_of(&first, "out"), first_by(&rows, |place, row, watermark| (watermark.max(row.1), row.1, place)));
        let last = disturbed(TIMED, &deduplicate("keep = 'last'", false), &rows, &how);
        prop_assert_eq!(rows_of(&last, "out"), first_by(&rows, |place, row, _| std::cmp::Reverse((row.1, place))));
    }

    #[test]
    fn without_event_time_the_place_in_the_source_counts(rows in rows(), how in disturbance()) {
        let first = disturbed(UNTIMED, &deduplicate("", false), &rows, &how);
        prop_assert_eq!(rows_of(&first, "out"), first_by(&rows, |place, _, _| place));
        let last = disturbed(UNTIMED, &deduplicate("keep = 'last'", false), &rows, &how);
        prop_assert_eq!(rows_of(&last, "out"), first_by(&rows, |place, _, _| std::cmp::Reverse(place)));
    }

    #[test]
    fn a_new_time_may_lie_behind_the_old_one_by_max_delay(rows in rows(), how in disturbance()) {
        let script = disturbed(TIMED, SHIFTED, &rows, &how);
        let (mut windows, mut late) = (BTreeMap::<i64, Vec<(i64, usize)>>::new(), Vec::new());
        for (place, (key, at), watermark) in judged(&rows) {
            let Some(shift) = key else { continue };
            let then = at - shift;
            if then < at.max(watermark) - 2 {
                late.push(json!({ "id": place, "then": rfc3339(then * 1_000_000) }));
            } else {
                windows.entry(then.div_euclid(5) * 5).or_default().push((then, place));
            }
        }
        let of_window = |(start, mut rows): (i64, Vec<(i64, usize)>)| {
            rows.sort_unstable();
            let ids: Vec<usize> = rows.into_iter().map(|(_, place)| place).collect();
            json!({ "ids": ids, "window_start": rfc3339(start * 1_000_000), "window_end": rfc3339((start + 5) * 1_000_000) })
        };
        prop_assert_eq!(rows_of(&script, "out"), sorted(windows.into_iter().map(of_window).collect()));
        prop_assert_eq!(rows_of(&script, "too_late"), sorted(late));
    }

    #[test]
    fn behind_a_source_without_time_it_is_the_time_of_the_source(rows in rows(), how in disturbance()) {
        let windows = |input: &str| format!("
[operators.windows]
type = 'window'
input = '{input}'
kind = 'tumble'
size = '5s'
[operators.counts]
type = 'aggregate'
input = 'windows'
by = ['k']
compute = ['array_agg(id) as ids']
[sinks.out]
type = 'collect'
input = 'counts'
[sinks.too_late]
type = 'collect'
input = 'counts.late'
");
        let between = "
[operators.passing]
type = 'filter'
input = 'events'
where = 'id >= 0'
[operators.retimed]
type = 'event_time'
input = 'passing'
by = 'at'
max_delay = '10s'
";
        let here = disturbed(TIMED, &windows("events"), &rows, &how);
        let there = disturbed(UNTIMED, &format!("{between}{}", windows("retimed")), &rows, &how);
        prop_assert_eq!(rows_of(&here, "out"), rows_of(&there, "out"));
        prop_assert_eq!(rows_of(&here, "too_late"), rows_of(&there, "too_late"));
    }
}

#[test]
fn a_row_is_judged_when_the_watermark_has_passed_it() {
    let mut script = start(TIMED, &deduplicate("keep = 'last'", false), &[], 3);
    script.send("events", &lines(&[(Some(1), 20), (Some(1), 30)], 0)).unwrap();
    assert_eq!(script.rows("out").unwrap(), "", "the watermark is 20: there may be more rows at 20");
    script.send("events", &lines(&[(Some(2), 31)], 2)).unwrap();
    expect![[r#"
        {"k":1,"id":0,"at":"1970-01-01T00:00:20Z"}
    "#]]
    .assert_eq(&script.rows("out").unwrap());
    // It is later than no other: the watermark has passed it already.
    script.send("events", &lines(&[(Some(1), 5), (Some(1), 50)], 3)).unwrap();
    expect![[r#"
        {"k":1,"id":1,"at":"1970-01-01T00:00:30Z"}
        {"k":2,"id":2,"at":"1970-01-01T00:00:31Z"}
    "#]]
    .assert_eq(&script.rows("out").unwrap());
}

#[test]
fn keys_leave_the_state_with_the_watermark() {
    let mut script = start(TIMED, &deduplicate("within = '30s'", true), &["runtime.workers=2"], 3);
    let mut most = [0usize; 2];
    for round in 0..40i64 {
        let rows: Vec<Row> = (0..50).map(|i| (Some((round * 50 + i) * 1_000_003), round * 50 + i)).collect();
        script.send("events", &lines(&rows, 0)).unwrap();
        let half = &mut most[usize::from(round >= 20)];
        *half = (*half).max(script.ledger().node("unique").unwrap().state_bytes);
    }
    assert!(most[1] <= most[0] + most[0] / 4, "{most:?}");
}

#[test]
fn rows_that_wait_are_in_state_at_a_halt() {
    let mut script = start(TIMED, &deduplicate("within = '30s'\nkeep = 'last'", true), &[], 3);
    script.send("events", &lines(&[(Some(1), 0), (Some(1), 5), (Some(2), 40), (Some(2), 41)], 0)).unwrap();
    script.halt().unwrap();
    assert_eq!(script.rows("out").unwrap(), "{\"k\":1,\"id\":1,\"at\":\"1970-01-01T00:00:05Z\"}\n");
    assert!(script.ledger().balances());
    assert_eq!(script.ledger().node("unique").unwrap().in_state, 2);
}

/// A node behind the counts by key, and what reads it.
const BETWEEN: [&str; 5] = [
    "[operators.between]\ntype = 'filter'\ninput = 'counts'\nwhere = 'n % 3 <> 0 or k is null'\n",
    "[operators.between]\ntype = 'select'\ninput = 'counts'\ncolumns = ['k % 2 as k', 'n * 2 as n', 'latest', 'least']\n",
    "[operators.between]\ntype = 'top_n'\ninput = 'counts'\norder = ['n desc', 'k']\nn = 2\n",
    "[operators.between]\ntype = 'union'\ninputs = ['counts', 'counts']\n",
    "[operators.between]\ntype = 'join'\nleft = 'counts'\nright = 'sums'\nmode = 'changes'\nkind = 'left'\non = 'counts.n = sums.of'\n\
     columns = ['counts.k', 'total as n', 'latest', 'least']\n",
];

const BEHIND: [&str; 3] = [
    "[operators.last]\ntype = 'aggregate'\ninput = 'between'\nby = ['k % 2 as odd']\ncompute = ['min(n) as least', 'max(latest) as most', \
     'median(n) as middle', 'stddev_pop(n) as spread', 'variance(n) as variance', 'avg(n) as mean', 'sum(n) as total', \
     'count(distinct n) as kinds', 'bool_or(n > 2) as many']\n",
    "[operators.last]\ntype = 'aggregate'\ninput = 'between'\ncompute = ['first_value(n) as first', 'last_value(latest) as last', \
     'array_agg(n) as all', 'array_agg(distinct least) as different', 'count(*) as rows', \
     \"string_agg(cast(k as string), ',') filter (where n > 1) as keys\"]\n",
    "[operators.last]\ntype = 'top_n'\ninput = 'between'\nby = ['n']\norder = ['latest desc', 'k']\nn = 1\nrank_as = 'rank'\n",
];

fn changing(between: usize, behind: usize) -> String {
    let sums = "[operators.sums]\ntype = 'aggregate'\ninput = 'events'\nby = ['id % 3 as of']\ncompute = ['sum(k) as total']\n";
    let sums = if between == 4 { sums } else { "" };
    format!(
        "[operators.counts]\ntype = 'aggregate'\ninput = 'events'\nby = ['k']\n\
         compute = ['count(*) as n', 'max(at) as latest', 'min(id) as least']\n{sums}{}{}[sinks.out]\ntype = 'collect'\ninput = 'last'\n",
        BETWEEN[between], BEHIND[behind]
    )
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, failure_persistence: None, ..ProptestConfig::default() })]

    /// What is left of all changes is the answer over the input so far, as it is given to one who sees it at once.
    #[test]
    fn a_changing_input_is_followed_after_every_row(rows in rows(), between in 0..5usize, behind in 0..3usize, how in disturbance()) {
        let topology = changing(between, behind);
        let at_once = |rows: &[Row]| {
            let mut script = start(TIMED, &topology, &["runtime.workers=1"], 0);
            script.send_only("events", &lines(rows, 0)).unwrap();
            script.end().unwrap();
            rows_of(&script, "out")
        };
        let settings = [format!("runtime.workers={}", how.workers[0]), format!("runtime.batch_rows={}", how.batch_rows)];
        let mut script = start(TIMED, &topology, &settings.each_ref().map(String::as_str), how.seed);
        for (place, row) in rows.iter().enumerate().take(10) {
            script.send("events", &lines(&[*row], place)).unwrap();
            prop_assert_eq!(rows_of(&script, "out"), at_once(&rows[..=place]), "after row {}", place);
        }
        prop_assert_eq!(rows_of(&disturbed(TIMED, &topology, &rows, &how), "out"), at_once(&rows));
    }
}

#[test]
fn a_group_is_forgotten_after_its_time_and_starts_anew() {
    let topology = "
[operators.counts]
type = 'aggregate'
input = 'events'
by = ['k']
compute = ['count(*) as n', 'max(id) as latest']
state_ttl = '10s'
[operators.by_count]
type = 'aggregate'
input = 'counts'
by = ['n']
compute = ['count(*) as keys', 'array_agg(latest) as ids']
state_ttl = '5s'
[sinks.out]
type = 'collect'
input = 'by_count'
";
    let mut script = start(TIMED, topology, &[], 3);
    script.send("events", &lines(&[(Some(1), 0), (Some(1), 0), (Some(2), 0)], 0)).unwrap();
    let full = script.ledger().node("counts").unwrap().state_bytes;
    script.checkpoint().unwrap();
    script.crash_and_restore(&["runtime.workers=3"]).unwrap();
    script.advance("9s").unwrap();
    // The old row of the key was forgotten behind: nothing is withdrawn, and the group of its new row starts anew.
    script.send("events", &lines(&[(Some(1), 0)], 3)).unwrap();
    assert_eq!(script.ledger().node("by_count").unwrap().fates.expired, 1);
    script.advance("1s").unwrap();
    script.send("events", &lines(&[(Some(2), 0)], 4)).unwrap();
    // What was sent for groups that were forgotten stands beside what they started anew with.
    expect![[r#"
        {"n":1,"keys":1,"ids":[2]}
        {"n":1,"keys":1,"ids":[4]}
        {"n":2,"keys":1,"ids":[1]}
        {"n":3,"keys":1,"ids":[3]}
    "#]]
    .assert_eq(&script.rows("out").unwrap());
    script.advance("20s").unwrap();
    assert!(script.ledger().balances());
    assert!(script.ledger().node("counts").unwrap().state_bytes <= full, "what is forgotten takes no room");
}

#[test]
fn a_key_is_a_new_one_after_its_time() {
    let mut script = start(UNTIMED, &deduplicate("state_ttl = '10s'", false), &[], 3);
    script.send("events", &lines(&[(Some(1), 0), (Some(2), 0)], 0)).unwrap();
    script.advance("6s").unwrap();
    script.send("events", &lines(&[(Some(1), 0)], 2)).unwrap();
    script.advance("4s").unwrap();
    // A duplicate does not make its key stay longer.
    script.send("events", &lines(&[(Some(1), 0), (Some(3), 0)], 3)).unwrap();
    let ids: Vec<Value> = rows_of(&script, "out").iter().map(|row| row["id"].clone()).collect();
    assert_eq!(ids, [0, 1, 3, 4]);
    assert_eq!(script.ledger().node("unique").unwrap().fates.filtered, 1);
}

/// Two sources that meet; the first may be ahead of the second by ten seconds.
const MEETING: &str = "
[sources.events]
type = 'script'
time = { by = 'at', max_ahead = '10s' }
schema = { k = 'bigint', id = 'bigint not null', at = 'timestamp not null' }
[sources.slow]
type = 'script'
time = { by = 'at', idle_after = '5s' }
schema = { k = 'bigint', id = 'bigint not null', at = 'timestamp not null' }
[operators.both]
type = 'union'
inputs = ['events', 'slow']
[sinks.out]
type = 'collect'
input = 'both'
";

fn seconds(times: &[i64]) -> String {
    lines(&times.iter().map(|second| (None, *second)).collect::<Vec<_>>(), 0)
}

fn read_from(script: &Script, source: &str) -> u64 {
    script.ledger().node(source).unwrap().rows_in
}

#[test]
fn a_source_that_is_too_far_ahead_waits_for_the_slowest() {
    let mut script = start(MEETING, "", &[], 3);
    script.send("events", &seconds(&[0, 100, 200, 300, 400])).unwrap();
    assert_eq!(read_from(&script, "events"), 1, "nobody knows yet where the other one begins");
    script.send("slow", &seconds(&[95])).unwrap();
    assert_eq!(read_from(&script, "events"), 3, "200 is too far ahead of 95, and was found so when it was read");
    // Barriers get through a source that waits, and what waited goes on after a crash.
    script.checkpoint().unwrap();
    script.crash_and_restore(&["runtime.workers=2"]).unwrap();
    assert_eq!(read_from(&script, "events"), 3, "counters are in the checkpoint");
    script.send("slow", &seconds(&[195])).unwrap();
    assert_eq!(read_from(&script, "events"), 4);
    // Who is idle holds nobody up.
    script.advance("5s").unwrap();
    assert_eq!(read_from(&script, "events"), 5);
    script.end().unwrap();
    assert!(script.ledger().balances());
}

#[test]
fn who_waits_can_be_stopped_and_who_ends_holds_nobody_up() {
    let mut script = start(MEETING, "", &[], 3);
    script.send("events", &seconds(&[0, 100, 200])).unwrap();
    script.end().unwrap();
    assert_eq!(read_from(&script, "events"), 3);
    let mut script = start(MEETING, "", &[], 3);
    script.send("events", &seconds(&[0, 100, 200])).unwrap();
    script.halt().unwrap();
    assert_eq!((read_from(&script, "events"), script.rows("out").unwrap().lines().count()), (1, 1));
}

#[test]
fn a_split_that_was_idle_is_judged_at_the_watermark_that_went_on_without_it() {
    let windows = "
[operators.windows]
type = 'window'
input = 'both'
kind = 'tumble'
size = '10s'
[operators.counts]
type = 'aggregate'
input = 'windows'
compute = ['array_agg(id) as ids']
[sinks.counted]
type = 'collect'
input = 'counts'
[sinks.too_late]
type = 'collect'
input = 'counts.late'
";
    let mut script = start(MEETING, windows, &["sources.events.time.max_ahead=1h"], 3);
    script.send("slow", &seconds(&[0])).unwrap();
    script.send("events", &seconds(&[1, 25])).unwrap();
    assert_eq!(script.rows("counted").unwrap(), "", "the slow one holds the watermark");
    script.advance("5s").unwrap();
    let first = "{\"ids\":[0,0],\"window_start\":\"1970-01-01T00:00:00Z\",\"window_end\":\"1970-01-01T00:00:10Z\"}\n";
    assert_eq!(script.rows("counted").unwrap(), first);
    // It comes back: a closed window never reopens, and it holds the watermark again.
    script.send("slow", &seconds(&[5, 26])).unwrap();
    script.send("events", &seconds(&[50])).unwrap();
    assert_eq!(script.rows("too_late").unwrap(), "{\"k\":null,\"id\":0,\"at\":\"1970-01-01T00:00:05Z\"}\n");
    assert_eq!(script.rows("counted").unwrap(), first);
    script.end().unwrap();
    assert_eq!(script.rows("counted").unwrap().lines().count(), 3);
}

#[test]
fn a_ranking_is_forgotten_after_its_time() {
    let topology = "
[operators.counts]
type = 'aggregate'
input = 'events'
by = ['k']
compute = ['count(*) as n']
[operators.most]
type = 'top_n'
input = 'counts'
by = ['n']
order = ['k']
n = 1
state_ttl = '10s'
[sinks.out]
type = 'collect'
input = 'most'
";
    let mut script = start(TIMED, topology, &[], 3);
    script.send("events", &lines(&[(Some(1), 0), (Some(2), 0)], 0)).unwrap();
    script.checkpoint().unwrap();
    script.crash_and_restore(&["runtime.workers=3"]).unwrap();
    script.advance("10s").unwrap();
    // Both rows with the count 1 are forgotten: the second does not move up, and nothing is withdrawn.
    script.send("events", &lines(&[(Some(1), 0), (Some(3), 0)], 2)).unwrap();
    expect![[r#"
        {"k":1,"n":1}
        {"k":1,"n":2}
        {"k":3,"n":1}
    "#]]
    .assert_eq(&script.rows("out").unwrap());
    assert_eq!(script.ledger().node("most").unwrap().fates.expired, 1);
    assert!(script.ledger().balances());
}

/// A join of which one side changes.
const FORGETFUL: &str = "
[operators.counts]
type = 'aggregate'
input = 'events'
by = ['k']
compute = ['count(*) as n']
[operators.pairs]
type = 'join'
left = 'counts'
right = 'slow'
mode = 'changes'
kind = 'left'
on = 'counts.k = slow.k'
columns = ['counts.k', 'n', 'slow.id']
state_ttl = '10s'
[sinks.paired]
type = 'collect'
input = 'pairs'
";

#[test]
fn rows_of_a_join_are_forgotten_one_by_one() {
    let mut script = start(MEETING, FORGETFUL, &["sources.events.time.max_ahead=1h"], 3);
    let row = |k: i64, id: usize| format!("{}\n", to_json(id, &(Some(k), 0)));
    script.send("slow", &row(1, 7)).unwrap();
    script.advance("6s").unwrap();
    script.send("events", &row(1, 0)).unwrap();
    assert_eq!(script.rows("paired").unwrap(), "{\"k\":1,\"n\":1,\"id\":7}\n");
    script.advance("4s").unwrap();
    // The right row is forgotten. The left row had its partner, so that it is not one that stands alone: nothing is withdrawn
    // that was not sent, and the new row finds nobody.
    script.send("events", &row(1, 1)).unwrap();
    assert_eq!(script.rows("paired").unwrap(), "{\"k\":1,\"n\":1,\"id\":7}\n{\"k\":1,\"n\":2,\"id\":null}\n");
    script.advance("10s").unwrap();
    script.send("events", &row(1, 2)).unwrap();
    assert_eq!(script.ledger().node("pairs").unwrap().fates.expired, 1, "the withdrawal of a row that was forgotten");
    assert!(script.ledger().balances());
}

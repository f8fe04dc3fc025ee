//! `state = "disk"`: keys leave memory after every batch and come back, and nothing of that shows in what a topology computes.
//!
//! The same disturbances with and without disk are in the other tests of this folder; here is what is about the disk itself.

#![expect(clippy::unwrap_used, reason = "helpers of tests fail the test")]

mod support;

use millstream_api::time::rfc3339;
use millstream_testkit::Script;
use proptest::prelude::*;
use serde_json::json;

/// A node of every type whose keys may leave memory, `TTL` standing for how long they live. The totals live on: so others get
/// withdrawals of rows that they have forgotten.
const NODES: &str = "
name = 'script'
[sources.rows]
type = 'script'
schema = { k = 'string', v = 'double', at = 'timestamp not null' }
[operators.totals]
type = 'aggregate'
input = 'rows'
by = ['k']
compute = ['count(*) as n', 'sum(v) as total', 'max(v) as most', 'array_agg(v) as all_of_them']
[operators.again]
type = 'aggregate'
input = 'totals'
by = ['n', 'k is null as without']
compute = ['count(*) as keys', 'min(most) as least']
TTL
[operators.at_ticks]
type = 'aggregate'
input = 'rows'
by = ['k']
compute = ['count(*) as n', 'max(v) as most']
having = 'n <> 2'
emit = { every = '3s' }
[operators.again_at_ticks]
type = 'aggregate'
input = 'totals'
by = ['n']
compute = ['count(*) as keys']
emit = { every = '2s' }
[operators.first]
type = 'deduplicate'
input = 'rows'
by = ['k', 'v']
TTL
[operators.last]
type = 'deduplicate'
input = 'rows'
by = ['k']
keep = 'last'
TTL
[operators.two]
type = 'top_n'
input = 'totals'
by = ['n']
order = ['total desc', 'k']
n = 2
TTL
[operators.pairs]
type = 'join'
mode = 'changes'
kind = 'full'
left = 'totals'
right = 'first'
on = 'totals.n = first.v'
columns = ['totals.k as k', 'n', 'total', 'first.k as other']
TTL
[operators.renamed]
type = 'select'
input = 'rows'
columns = ['k as key', 'v as value']
[operators.all]
type = 'join'
mode = 'changes'
kind = 'left'
left = 'rows'
right = 'renamed'
on = 'rows.k = renamed.key and rows.v < renamed.value'
columns = ['k', 'v', 'value']
TTL
";

const SINKS: [&str; 9] = ["totals", "again", "at_ticks", "again_at_ticks", "first", "last", "two", "pairs", "all"];

fn start(state: &str, ttl: &str, workers: usize) -> Script {
    let sinks: String = SINKS.iter().map(|name| format!("[sinks.out_{name}]\ntype = 'collect'\ninput = '{name}'\n")).collect();
    let text = format!("{}{sinks}", NODES.replace("TTL", ttl));
    let settings = [format!("runtime.state={state}"), format!("runtime.workers={workers}"), "runtime.batch_rows=3".to_owned()];
    support::start(&text, &settings.each_ref().map(String::as_str), 7)
}

/// A row: key, value, and by how many seconds the clock goes on behind it.
type Row = (Option<&'static str>, i8, u8);

fn line(place: usize, &(key, value, _): &Row) -> String {
    format!("{}\n", json!({ "k": key, "v": f64::from(value), "at": rfc3339(place as i64 * 1_000_000) }))
}

/// Sends rows one by one, as the clock says; back from a checkpoint where `crash` says so.
fn played(state: &str, ttl: &str, rows: &[Row], crash: Option<usize>) -> Script {
    let mut script = start(state, ttl, 2);
    for (place, row) in rows.iter().enumerate() {
        if crash == Some(place) {
            script.checkpoint().unwrap();
            script.crash_and_restore(&["runtime.workers=3"]).unwrap();
        }
        script.send("rows", &line(place, row)).unwrap();
        if row.2 > 0 {
            script.advance(&format!("{}s", row.2)).unwrap();
        }
    }
    script
}

fn all_rows(script: &Script) -> Vec<String> {
    SINKS.iter().map(|name| script.rows(&format!("out_{name}")).unwrap()).collect()
}

fn fates(script: &Script) -> Vec<(String, u64, u64, u64)> {
    let ledger = script.ledger();
    let rows = ledger.rows.iter().filter(|row| !row.node.starts_with("out_"));
    rows.map(|row| (row.node.clone(), row.fates.taken, row.fates.expired, row.fates.filtered)).collect()
}

fn rows() -> impl Strategy<Value = Vec<Row>> {
    let key = prop_oneof![Just(None), Just(Some("a")), Just(Some("b")), Just(Some("a key that is longer than a view"))];
    let wait = prop_oneof![3 => Just(0u8), 1 => 1..15u8];
    proptest::collection::vec((key, 0..4i8, wait), 1..30)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(12))]
    #[test]
    fn what_is_computed_is_what_is_in_memory(rows in rows(), crash in proptest::option::of(0..20usize)) {
        let (mut memory, mut disk) = (played("memory", "", &rows, None), played("disk", "", &rows, crash));
        // A restart takes some of the clock's time, by which ticks come.
        [&mut memory, &mut disk].into_iter().for_each(|script| script.advance("10s").unwrap());
        prop_assert_eq!(all_rows(&disk), all_rows(&memory));
        prop_assert_eq!(fates(&disk), fates(&memory));
    }
}

#[test]
fn keys_are_forgotten_by_the_clock_on_disk_as_in_memory() {
    let ttl = "state_ttl = '10s'";
    let some: [Row; 9] = [
        (Some("a"), 1, 4),
        (Some("b"), 2, 4),
        (Some("a"), 3, 7),
        // `b` is forgotten, `a` is not.
        (Some("b"), 1, 0),
        (Some("a"), 1, 11),
        // Both are, and nobody has asked for them since.
        (None, 2, 3),
        (Some("a"), 2, 30),
        (Some("a"), 2, 0),
        (None, 2, 0),
    ];
    let (memory, disk) = (played("memory", ttl, &some, None), played("disk", ttl, &some, None));
    assert_eq!(all_rows(&disk), all_rows(&memory));
    assert_eq!(fates(&disk), fates(&memory));
    assert!(fates(&memory).iter().any(|(_, _, expired, _)| *expired > 0), "rows that were forgotten are withdrawn");
}

#[test]
fn keys_leave_memory_and_come_back() {
    let some: Vec<Row> = (0..20).map(|i| (Some(["a", "b"][i % 2]), (i % 3) as i8, 0)).collect();
    let mut script = played("disk", "", &some, None);
    for node in script.run().observe().nodes.iter().filter(|node| SINKS.contains(&node.node.as_str())) {
        let disk = node.disk.unwrap_or_else(|| panic!("{} is not on disk", node.node));
        assert!(disk.keys > 0 && disk.lookups > 0 && disk.evictions >= 10, "{}: {disk:?}", node.node);
    }
    let in_memory = played("memory", "", &some, None).run().observe();
    assert!(in_memory.nodes.iter().all(|node| node.disk.is_none()));
}

/// A node of every type of whose keys event time ends something, or that keeps rows of windows.
const TIMED: &str = "
name = 'script'
[sources.rows]
type = 'script'
schema = { k = 'string', v = 'bigint', at = 'timestamp not null' }
time = { by = 'at', max_delay = '5s' }
[sources.others]
type = 'script'
schema = { k = 'string', v = 'bigint', at = 'timestamp not null' }
time = { by = 'at', max_delay = '1s' }
[operators.gaps]
type = 'window'
input = 'rows'
kind = 'session'
gap = '8s'
[operators.sessions]
type = 'aggregate'
input = 'gaps'
by = ['k']
compute = ['count(*) as n', 'array_agg(v) as all_of_them']
allowed_lateness = '3s'
[operators.early_sessions]
type = 'aggregate'
input = 'gaps'
by = ['k']
compute = ['count(*) as n', 'sum(v) as total']
having = 'total <> 2'
allowed_lateness = '3s'
emit = { every = '3s' }
[operators.first]
type = 'deduplicate'
input = 'rows'
by = ['k']
within = '9s'
[operators.last]
type = 'deduplicate'
input = 'rows'
by = ['k', 'v']
keep = 'last'
within = '12s'
[operators.hops]
type = 'window'
input = 'rows'
kind = 'hop'
size = '20s'
slide = '5s'
[operators.other_hops]
type = 'window'
input = 'others'
kind = 'hop'
size = '20s'
slide = '5s'
[operators.two]
type = 'top_n'
input = 'hops'
by = ['k']
order = ['v desc']
n = 2
rank_as = 'rank'
[operators.early]
type = 'aggregate'
input = 'hops'
by = ['k']
compute = ['count(*) as n', 'sum(v) as total']
having = 'total <> 2'
allowed_lateness = '2s'
emit = { every = '3s' }
[operators.early_of_ranks]
type = 'aggregate'
input = 'two'
by = ['rank']
compute = ['count(*) as n', 'max(v) as most']
emit = { every = '3s' }
[operators.growing]
type = 'window'
input = 'others'
kind = 'cumulate'
size = '30s'
step = '10s'
[operators.early_of_growing]
type = 'aggregate'
input = 'growing'
by = ['k', 'v']
compute = ['count(*) as n']
emit = { every = '3s' }
";

/// The joins over the same: their names, modes and kinds.
const JOINS: [(&str, &str, &str); 8] = [
    ("i_inner", "interval", "inner"),
    ("i_left", "interval", "left"),
    ("i_right", "interval", "right"),
    ("i_full", "interval", "full"),
    ("i_semi", "interval", "semi"),
    ("i_anti", "interval", "anti"),
    ("w_full", "window", "full"),
    ("w_anti", "window", "anti"),
];

/// A row: whether it is one of the others, its key, value, by how many seconds it is behind its place, and by how many the clock goes on
/// behind it.
type TimedRow = (bool, Option<&'static str>, i64, i64, u8);

fn start_timed(state: &str) -> Script {
    let join = |(name, mode, kind): &(&str, &str, &str)| {
        let inputs = if *mode == "window" { ["hops", "other_hops"] } else { ["rows", "others"] };
        let how = if *mode == "window" { "" } else { "before = '6s'\nafter = '4s'\n" };
        let [left, right] = inputs;
        let columns =
            if matches!(*kind, "semi" | "anti") { "'left.k as k', 'left.v as v'" } else { "'left.k as k', 'left.v as v', 'right.v as w'" };
        format!(
            "[operators.{name}]\ntype = 'join'\nmode = '{mode}'\nkind = '{kind}'\nleft = '{left}'\nright = '{right}'\n{how}\
             on = 'left.k = right.k and left.v <= right.v'\ncolumns = [{columns}]\n"
        )
    };
    let joins: String = JOINS.iter().map(join).collect();
    let sinks: String = timed_sinks().map(|name| format!("[sinks.out_{name}]\ntype = 'collect'\ninput = '{name}'\n")).collect();
    let settings = [format!("runtime.state={state}"), "runtime.workers=2".to_owned(), "runtime.batch_rows=3".to_owned()];
    support::start(&[TIMED, &joins, &sinks].concat(), &settings.each_ref().map(String::as_str), 7)
}

fn timed_sinks() -> impl Iterator<Item = &'static str> {
    let joins = JOINS.iter().map(|(name, ..)| *name);
    ["sessions", "first", "last", "two", "early", "early_of_ranks", "early_of_growing", "early_sessions"].into_iter().chain(joins)
}

fn timed_rows() -> impl Strategy<Value = Vec<TimedRow>> {
    let key = prop_oneof![Just(None), Just(Some("a")), Just(Some("b")), Just(Some("a key that is longer than a view"))];
    let wait = prop_oneof![2 => Just(0u8), 1 => 1..5u8];
    proptest::collection::vec((any::<bool>(), key, 0..3i64, 0..9i64, wait), 1..40)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(5))]
    #[test]
    fn what_event_time_ends_leaves_at_the_same_moment(rows in timed_rows(), crash in proptest::option::of(0..30usize)) {
        let [mut memory, mut disk] = ["memory", "disk"].map(start_timed);
        for (place, (is_other, key, value, behind, wait)) in rows.iter().enumerate() {
            if crash == Some(place) {
                disk.checkpoint().unwrap();
                disk.crash_and_restore(&["runtime.workers=3"]).unwrap();
            }
            let at = rfc3339(((place as i64 * 2 - behind).max(0)) * 1_000_000);
            let source = if *is_other { "others" } else { "rows" };
            let line = format!("{}\n", json!({ "k": key, "v": value, "at": at }));
            for script in [&mut memory, &mut disk] {
                script.send(source, &line).unwrap();
                script.advance(&format!("{wait}s")).unwrap();
            }
            // After a restart a source says its watermark with its next row: until then windows stay open that were about to close.
            for name in timed_sinks().filter(|_| crash.is_none_or(|crash| place < crash)) {
                let of = |script: &Script| script.rows(&format!("out_{name}")).unwrap();
                prop_assert_eq!(of(&disk), of(&memory), "{} behind row {}", name, place);
            }
        }
        for script in [&mut memory, &mut disk] {
            script.end().unwrap();
        }
        for name in timed_sinks() {
            let of = |script: &Script| script.rows(&format!("out_{name}")).unwrap();
            prop_assert_eq!(of(&disk), of(&memory), "{}", name);
        }
        prop_assert_eq!(fates(&disk), fates(&memory));
    }
}

#[test]
fn rows_of_a_key_that_lives_for_ever_leave_the_disk() {
    let mut script = start_timed("disk");
    let mut kept = Vec::new();
    for place in 0..120 {
        for source in ["rows", "others"] {
            script.send(source, &format!("{}\n", json!({ "k": "a", "v": 1, "at": rfc3339(place * 1_000_000) }))).unwrap();
        }
        let snapshot = script.run().checkpoint().unwrap();
        let state = snapshot.state("i_inner", &(0..128)).unwrap();
        kept.push(["left", "right"].map(|side| state.get(side).map(|rows| rows.num_rows()).sum::<usize>()));
    }
    // Rows of one second, and so many seconds wait: what the interval and the delays of both sources add up to.
    let [early, late] = [20..40, 100..120].map(|places| kept[places].iter().map(|[left, right]| left + right).max().unwrap());
    assert!(early > 20 && late == early && late < 40, "{early} rows, then {late}: {kept:?}");
}

//! A source that is idle now and then: its rows come on several ways, and none that is in order there is late, whichever way is faster.

use millstream_testkit::Script;

use crate::{Row, lines, start};

const NOW_AND_THEN: &str = "
[sources.events]
type = 'script'
time = { by = 'at', idle_after = '5s' }
schema = { k = 'bigint', id = 'bigint not null', at = 'timestamp not null' }
";

const ROUNDS: i64 = 6;

/// Sends rows in the order of their times, in bursts between which the source is idle, and ends.
fn bursts(operators: &str, settings: &[&str], seed: u64) -> Script {
    let mut script = start(NOW_AND_THEN, operators, settings, seed);
    for round in 0..ROUNDS {
        // The number of rows and which keys they have differs, so that each subtask is left out of some bursts.
        let rows: Vec<Row> = (0..1 + round % 4).map(|row| (Some((round * 5 + row * 3) % 7), round * 100 + row)).collect();
        script.send("events", &lines(&rows, round as usize * 10)).unwrap();
        script.advance("5s").unwrap();
    }
    script.end().unwrap();
    assert!(script.ledger().balances(), "{:?}", script.ledger());
    script
}

fn no_row_is_late(operators: &str, node: &str) {
    let one_by_one = bursts(operators, &["runtime.workers=1"], 0).rows("out").unwrap();
    assert!(one_by_one.lines().count() >= 10, "{one_by_one}");
    for seed in 1..40 {
        let script = bursts(operators, &["runtime.workers=2", "runtime.mailbox=1", "runtime.batch_rows=2"], seed);
        let late = script.ledger().node(node).unwrap().fates.late;
        assert_eq!((late, script.rows("out").unwrap()), (0, one_by_one.clone()), "seed {seed}");
    }
}

#[test]
fn over_the_subtasks_of_a_node() {
    no_row_is_late(
        "
[operators.shown]
type = 'select'
input = 'events'
columns = ['k', 'id']
[operators.windows]
type = 'window'
input = 'shown'
kind = 'tumble'
size = '10s'
[operators.counts]
type = 'aggregate'
input = 'windows'
by = ['k']
compute = ['array_agg(id) as ids']
[sinks.out]
type = 'collect'
input = 'counts'
",
        "counts",
    );
}

#[test]
fn over_a_short_and_a_long_way_that_meet() {
    no_row_is_late(
        "
[operators.one]
type = 'filter'
input = 'events'
where = 'id >= 0'
[operators.two]
type = 'filter'
input = 'one'
where = 'id >= 0'
[operators.pairs]
type = 'join'
mode = 'interval'
left = 'events'
right = 'two'
on = 'left.k = right.k'
before = '1s'
after = '1s'
columns = ['left.k', 'left.id', 'right.id as other']
[sinks.out]
type = 'collect'
input = 'pairs'
",
        "pairs",
    );
}

/// A source that is never idle meets one that is: what the first one has let pass is judged so, and only that.
#[test]
fn where_another_source_goes_on_its_watermark_judges_the_same_on_all_ways() {
    let operators = "
[sources.busy]
type = 'script'
time = { by = 'at' }
schema = { k = 'bigint', id = 'bigint not null', at = 'timestamp not null' }
[operators.both]
type = 'union'
inputs = ['events', 'busy']
[operators.all]
type = 'union'
inputs = ['both', 'events']
[operators.windows]
type = 'window'
input = 'all'
kind = 'tumble'
size = '10s'
[operators.counts]
type = 'aggregate'
input = 'windows'
compute = ['count(*) as rows']
[sinks.out]
type = 'collect'
input = 'counts'
";
    let run = |workers: &str, seed: u64| {
        let mut script = start(NOW_AND_THEN, operators, &[workers, "runtime.mailbox=1"], seed);
        script.send("events", &lines(&[(Some(1), 5)], 0)).unwrap();
        script.advance("5s").unwrap();
        script.send("busy", &lines(&[(Some(2), 30)], 0)).unwrap();
        // Behind the watermark of the other one the first, in order the rest; both come on two ways.
        script.send("events", &lines(&[(Some(3), 25), (Some(1), 40), (Some(2), 55), (Some(3), 70)], 1)).unwrap();
        script.send("busy", &lines(&[(Some(2), 90)], 1)).unwrap();
        script.end().unwrap();
        (script.rows("out").unwrap(), script.ledger().node("counts").unwrap().fates.late)
    };
    let (rows, late) = run("runtime.workers=1", 0);
    assert_eq!(late, 2);
    for seed in 1..40 {
        assert_eq!(run("runtime.workers=2", seed), (rows.clone(), late), "seed {seed}");
    }
}

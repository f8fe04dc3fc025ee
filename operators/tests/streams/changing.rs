//! Streams that change: followed after every row, and forgotten key by key after a time.

use expect_test::expect;
use proptest::prelude::*;
use serde_json::Value;

use crate::meeting::MEETING;
use crate::{Row, TIMED, UNTIMED, deduplicate, disturbance, disturbed, lines, rows, rows_of, start, to_json};

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
     'count(distinct n) as kinds', 'bool_or(n > 2) as many', 'bit_and(n) as common', 'bit_xor(n) as odd_bits', \
     'regr_sxy(n, k) as products']\n",
    "[operators.last]\ntype = 'aggregate'\ninput = 'between'\ncompute = ['first_value(n) as first', 'last_value(latest) as last', \
     'array_agg(n) as all', 'array_agg(k order by n desc, least) as ranked', 'array_agg(distinct least) as different', 'count(*) as rows', \
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

//! A row of overlapping windows comes once for each of them to whoever reads single rows. These copies share time and place, so ties
//! go by all columns: who is first, and in which order rows are collected, does not depend on which copy comes first.

use std::collections::BTreeMap;

use millstream_api::time::rfc3339;
use proptest::prelude::*;
use serde_json::{Value, json};

use super::support::{disturbance, rows_of, sorted};
use super::{Row, TIMED, disturbed, judged, rows};

/// All read single rows of windows but `by_place`, for which the place in the source travels with the rows.
const ONE_BY_ONE: &str = "
[operators.windows]
type = 'window'
input = 'events'
kind = 'hop'
size = '10s'
slide = '4s'
[operators.first]
type = 'deduplicate'
input = 'windows'
by = ['k']
[operators.last]
type = 'deduplicate'
input = 'windows'
by = ['k']
keep = 'last'
[operators.all]
type = 'aggregate'
input = 'windows'
windowed = false
by = ['k']
compute = ['array_agg(window_start) as starts']
[operators.by_place]
type = 'deduplicate'
input = 'events'
by = ['k']
[sinks.places]
type = 'collect'
input = 'by_place'
[operators.again]
type = 'window'
input = 'windows'
kind = 'tumble'
size = '1000s'
[operators.in_one]
type = 'aggregate'
input = 'again'
by = ['k']
compute = ['count(*) as copies']
[operators.highest]
type = 'top_n'
input = 'again'
by = ['k']
order = ['k']
n = 1
[sinks.firsts]
type = 'collect'
input = 'first'
[sinks.lasts]
type = 'collect'
input = 'last'
[sinks.lists]
type = 'collect'
input = 'all'
[sinks.counts]
type = 'collect'
input = 'in_one'
[sinks.tops]
type = 'collect'
input = 'highest'
";

/// A row in one of its windows: its time, place, the start of the window, and the watermark before the row.
type Copied = (i64, usize, i64, i64);

/// The copies of the rows of each key, of those windows that are open.
fn copies(rows: &[Row]) -> BTreeMap<Option<i64>, Vec<Copied>> {
    let mut copies: BTreeMap<Option<i64>, Vec<Copied>> = BTreeMap::new();
    for (place, (key, at), watermark) in judged(rows) {
        let last = at.div_euclid(4) * 4;
        let open = [last - 8, last - 4, last].into_iter().filter(|start| start + 10 > at.max(watermark));
        open.for_each(|start| copies.entry(key).or_default().push((at, place, start, watermark)));
    }
    copies.values_mut().for_each(|copies| copies.sort_unstable());
    copies
}

fn stamp(second: i64) -> String {
    rfc3339(second * 1_000_000)
}

fn to_json(key: Option<i64>, &(at, place, start, _): &Copied) -> Value {
    json!({ "k": key, "id": place, "at": stamp(at), "window_start": stamp(start), "window_end": stamp(start + 10) })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 32, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn copies_of_a_row_go_by_all_columns(rows in rows(), how in disturbance()) {
        let script = disturbed(TIMED, ONE_BY_ONE, &rows, &how);
        let copies = copies(&rows);
        let each = |pick: &dyn Fn(Option<i64>, &[Copied]) -> Value| sorted(copies.iter().map(|(key, of_key)| pick(*key, of_key)).collect());
        let first = |key, of_key: &[Copied]| {
            let first = of_key.iter().min_by_key(|(at, place, start, watermark)| (*at.max(watermark), *at, *place, *start));
            first.map_or(Value::Null, |first| to_json(key, first))
        };
        let last = |key, of_key: &[Copied]| of_key.last().map_or(Value::Null, |last| to_json(key, last));
        let starts = |key, of_key: &[Copied]| {
            json!({ "k": key, "starts": of_key.iter().map(|(_, _, start, _)| stamp(*start)).collect::<Vec<_>>() })
        };
        let bounds = |mut row: Value| {
            (row["window_start"], row["window_end"]) = (stamp(0).into(), stamp(1000).into());
            row
        };
        let count = |key, of_key: &[Copied]| bounds(json!({ "k": key, "copies": of_key.len() }));
        prop_assert_eq!(rows_of(&script, "firsts"), each(&first));
        prop_assert_eq!(rows_of(&script, "lasts"), each(&last));
        prop_assert_eq!(rows_of(&script, "lists"), each(&starts));
        prop_assert_eq!(rows_of(&script, "counts"), each(&count));
        let top = |key, of_key: &[Copied]| of_key.first().map_or(Value::Null, |first| bounds(to_json(key, first)));
        prop_assert_eq!(rows_of(&script, "tops"), each(&top));
    }
}

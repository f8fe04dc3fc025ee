//! What the models of aggregates per window have in common: the steps of a run, and the rows of a window from its input.

use std::collections::BTreeMap;

use millstream_api::time::rfc3339;
use proptest::prelude::*;
use serde_json::{Value, json};

use super::harness::{Row, as_read};

/// What happens to an aggregate.
#[derive(Clone, Debug)]
pub(super) enum Step {
    Rows(Vec<Row>),
    Watermark(i64),
    Restore(usize),
}

/// The rows of a window, by its end and start, of all rows that are in it.
pub(super) fn results((end, start): (i64, i64), rows: &[Row]) -> Vec<Value> {
    let mut groups: BTreeMap<Option<i64>, Vec<&Row>> = BTreeMap::new();
    rows.iter().for_each(|row| groups.entry(row.key).or_default().push(row));
    let mut results: Vec<Value> = groups
        .into_iter()
        .filter(|(_, rows)| rows.len() >= 2)
        .map(|(key, mut rows)| {
            rows.sort_by_key(|row| (row.time, row.position));
            let values: Vec<i64> = rows.iter().filter_map(|row| row.value).collect();
            let sum: Option<i64> = (!values.is_empty()).then(|| values.iter().sum());
            let mut distinct = values.clone();
            distinct.sort_unstable();
            let median = distinct.get(distinct.len() / 2).map(|&upper| {
                let lower = if distinct.len() % 2 == 1 { upper } else { distinct[distinct.len() / 2 - 1] };
                (upper + lower) as f64 / 2.0
            });
            distinct.dedup();
            let positive: Vec<i64> = values.iter().copied().filter(|v| *v > 0).collect();
            as_read(&json!({
                "key": key,
                "n": rows.len(),
                "total": sum,
                "mean": sum.map(|sum| sum as f64 / values.len() as f64),
                "least": values.iter().min(),
                "greatest": values.iter().max(),
                "first": rows[0].value,
                "last": rows[rows.len() - 1].position,
                "all": rows.iter().map(|row| row.value).collect::<Vec<_>>(),
                "kinds": distinct.len(),
                "positive": (!positive.is_empty()).then(|| positive.iter().sum::<i64>()),
                "middle": median,
                "window_start": rfc3339(start),
                "window_end": rfc3339(end),
            }))
        })
        .collect();
    results.sort_by_key(Value::to_string);
    results
}

/// The functions that the models know.
pub(super) const COMPUTE: [&str; 11] = [
    "count(*) as n",
    "sum(v) as total",
    "avg(v) as mean",
    "min(v) as least",
    "max(v) as greatest",
    "first_value(v) as first",
    "last_value(id) as last",
    "array_agg(v) as all",
    "count(distinct v) as kinds",
    "sum(v) filter (where v > 0) as positive",
    "median(v) as middle",
];

/// The functions of which a group keeps each value, so that nothing is put together before the route.
const KEEPING: [&str; 3] = ["all", "kinds", "middle"];

/// The functions, or only those of which rows are put together.
pub(super) fn compute(combines: bool) -> Vec<&'static str> {
    let name = |item: &'static str| item.rsplit(' ').next().unwrap_or_default();
    COMPUTE.into_iter().filter(|item| !combines || !KEEPING.contains(&name(item))).collect()
}

/// Leaves of results only those of the functions of which rows are put together.
pub(super) fn combinable(rows: &mut [Value]) {
    let results = rows.iter_mut().filter_map(Value::as_object_mut);
    results.for_each(|row| KEEPING.iter().for_each(|name| _ = row.remove(*name)));
    rows.sort_by_key(Value::to_string);
}

fn row() -> impl Strategy<Value = Row> {
    let mark = prop_oneof![4 => Just(None), 1 => (0i64..60).prop_map(Some)];
    (-60i64..60, prop::option::of(0i64..4), prop::option::of(-5i64..6), mark).prop_map(|(time, key, value, behind)| Row {
        time,
        key,
        value,
        mark: behind.map_or(i64::MIN, |behind| time + 1 + behind),
        weight: 1,
        position: 0,
        window: None,
    })
}

/// Steps of any kind; watermarks may fall, and rows are not numbered.
pub(super) fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        6 => prop::collection::vec(row(), 0..12).prop_map(Step::Rows),
        3 => (-80i64..80).prop_map(Step::Watermark),
        1 => (1usize..4).prop_map(Step::Restore),
    ];
    prop::collection::vec(step, 0..16)
}

//! Running aggregates against a model: after every batch the rows sent, with all changes applied, are those of a query over
//! all rows so far.

use std::collections::BTreeMap;

use millstream_api::Stream;
use millstream_api::options::OnBadRow;
use proptest::prelude::*;
use serde_json::{Value, json};

use super::harness::{Harness, Row, as_read, input, json_rows};
use crate::aggregate::MAIN;

#[derive(Clone, Debug)]
struct Case {
    updating: bool,
    /// Whether withdrawals may come before their rows, so that only the end is judged.
    overtaking: bool,
    grouped: bool,
    parallelism: usize,
    batches: Vec<Vec<Row>>,
    restore_after: Vec<(usize, usize)>,
}

const COMPUTE: [&str; 12] = [
    "count(*) as n",
    "count(v) as values",
    "sum(v) as total",
    "avg(v) as mean",
    "count(distinct v) as kinds",
    "sum(distinct cast(v as double)) as kinds_total",
    "bool_and(v > 0) as positive",
    "min(v) as least",
    "last_value(id) as last",
    "array_agg(v) filter (where v > 0) as all",
    "median(v) as middle",
    "max(v) - min(v) + count(*) as span",
];

/// By event time and position; rows that can be withdrawn by their columns, nulls last.
fn order(case: &Case, row: &Row) -> [(bool, i64); 3] {
    let column = |value: Option<i64>| (value.is_none(), value.unwrap_or_default());
    match case.updating {
        true => [column(row.key), column(row.value), (false, row.position)],
        false => [(false, row.time), (false, row.position), (false, 0)],
    }
}

fn query(case: &Case, rows: &[Row]) -> Vec<String> {
    let mut groups: BTreeMap<Option<i64>, Vec<&Row>> = BTreeMap::new();
    rows.iter().for_each(|row| groups.entry(row.key.filter(|_| case.grouped)).or_default().push(row));
    let results = groups.into_iter().filter(|(_, rows)| rows.len() % 3 != 0).map(|(key, mut rows)| {
        rows.sort_by_key(|row| order(case, row));
        let mut values: Vec<i64> = rows.iter().filter_map(|row| row.value).collect();
        let positive: Vec<i64> = values.iter().copied().filter(|v| *v > 0).collect();
        values.sort_unstable();
        let some = |value: Value| if values.is_empty() { Value::Null } else { value };
        let sum: i64 = values.iter().sum();
        let mut kinds = values.clone();
        kinds.dedup();
        let mut result = json!({
            "n": rows.len(),
            "values": values.len(),
            "total": some(json!(sum)),
            "mean": some(json!(sum as f64 / values.len() as f64)),
            "kinds": kinds.len(),
            "kinds_total": some(json!(kinds.iter().sum::<i64>() as f64)),
            "positive": some(json!(values.iter().all(|v| *v > 0))),
        });
        if case.grouped {
            result["k"] = json!(key);
        }
        result["least"] = json!(values.first());
        result["last"] = json!(rows[rows.len() - 1].position);
        result["all"] = if positive.is_empty() { Value::Null } else { json!(positive) };
        let middle = |upper: i64| {
            let lower = if values.len() % 2 == 1 { upper } else { values[values.len() / 2 - 1] };
            (upper + lower) as f64 / 2.0
        };
        result["middle"] = json!(values.get(values.len() / 2).map(|upper| middle(*upper)));
        let range = values.last().zip(values.first()).map(|(most, least)| most - least);
        result["span"] = json!(range.map(|range| range + rows.len() as i64));
        sorted(as_read(&result))
    });
    let mut results: Vec<String> = results.collect();
    results.sort();
    results
}

/// The row with its keys in order, as text.
fn sorted(row: Value) -> String {
    let Value::Object(fields) = row else { panic!("not a row") };
    let fields: BTreeMap<String, Value> = fields.into_iter().collect();
    serde_json::to_string(&fields).unwrap()
}

/// Applies what was sent to the rows that stand; a withdrawn row must be there.
fn apply(harness: &mut Harness, standing: &mut BTreeMap<String, i64>, strict: bool) -> Result<(), TestCaseError> {
    for (port, batch) in std::mem::take(&mut harness.sent) {
        prop_assert_eq!(port, MAIN);
        for (row, weight) in json_rows(&batch).into_iter().zip(batch.weights().unwrap()) {
            let count = standing.entry(sorted(row.clone())).or_default();
            *count += i64::from(*weight);
            prop_assert!(!strict || (0..=1).contains(count), "{} times {}", count, row);
        }
    }
    standing.retain(|_, count| *count != 0);
    Ok(())
}

fn check(case: &Case) -> Result<(), TestCaseError> {
    let stream = Stream { updating: case.updating, event_time: !case.updating, from_source: !case.updating, ..input(None) };
    let by: &[&str] = if case.grouped { &["k"] } else { &[] };
    let options = json!({ "by": by, "compute": COMPUTE, "having": "n % 3 <> 0" });
    let mut harness = Harness::new(options, stream, OnBadRow::Fail, if case.grouped { case.parallelism } else { 1 });
    let (mut rows, mut standing): (Vec<Row>, _) = (Vec::new(), BTreeMap::new());
    let mut owed: Vec<Row> = Vec::new();
    for (i, batch) in case.batches.iter().enumerate() {
        harness.batch(batch);
        for row in batch {
            let (to, from) = if row.weight > 0 { (&mut rows, &mut owed) } else { (&mut owed, &mut rows) };
            match from.iter().position(|other| other.position == row.position) {
                Some(found) => drop(from.remove(found)),
                None => to.push(row.clone()),
            }
        }
        apply(&mut harness, &mut standing, !case.overtaking)?;
        if !case.overtaking {
            prop_assert_eq!(standing.keys().cloned().collect::<Vec<_>>(), query(case, &rows));
        }
        for (_, parallelism) in case.restore_after.iter().filter(|(after, _)| *after == i) {
            harness.crash_and_restore(if case.grouped { *parallelism } else { 1 });
        }
    }
    prop_assert!(owed.is_empty());
    prop_assert_eq!(standing.into_iter().collect::<Vec<_>>(), query(case, &rows).into_iter().map(|row| (row, 1)).collect::<Vec<_>>());
    prop_assert_eq!(harness.fates.taken, case.batches.iter().map(|b| b.len() as u64).sum::<u64>());
    prop_assert_eq!(harness.rows_in_state(), 0);
    Ok(())
}

fn cases() -> impl Strategy<Value = Case> {
    let row = (-9i64..9, prop::option::of(0i64..4), prop::option::of(-5i64..6), prop::option::of(0usize..40), any::<u16>());
    let rows = prop::collection::vec(row, 0..40);
    let restore = prop::collection::vec((0usize..8, 1usize..4), 0..3);
    (rows, 1usize..9, any::<[bool; 3]>(), 1usize..4, restore).prop_map(
        |(rows, per_batch, [updating, overtaking, grouped], parallelism, restore_after)| {
            let mut changes: Vec<(u16, Row)> = Vec::new();
            let mut standing: Vec<Row> = Vec::new();
            for (position, (time, key, value, withdraws, shuffle)) in rows.into_iter().enumerate() {
                match withdraws.filter(|place| updating && *place < standing.len()) {
                    Some(place) => changes.push((shuffle, Row { weight: -1, ..standing.remove(place) })),
                    None => {
                        let row = Row { time, key, value, mark: i64::MIN, weight: 1, position: position as i64, window: None };
                        standing.push(row.clone());
                        changes.push((shuffle, row));
                    }
                }
            }
            let overtaking = overtaking && updating;
            if overtaking {
                changes.sort_by_key(|(shuffle, _)| *shuffle);
            }
            let rows: Vec<Row> = changes.into_iter().map(|(_, row)| row).collect();
            Case {
                updating,
                overtaking,
                grouped,
                parallelism,
                batches: rows.chunks(per_batch).map(<[Row]>::to_vec).collect(),
                restore_after,
            }
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn equal_the_model(case in cases()) {
        check(&case)?;
    }
}

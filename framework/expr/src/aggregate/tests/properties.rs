//! Every function on random rows: however they are divided, ordered and merged, the result is that of all rows at once.

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, BooleanArray, Decimal128Array, Float64Array, Int64Array, RecordBatch, StringViewArray, UInt32Array,
};
use arrow::datatypes::{DataType, Decimal128Type, Field, Float64Type, Int64Type, Schema, SchemaRef};
use millstream_api::Batch;
use millstream_api::batch::{Hidden, Origin};
use proptest::prelude::*;

use super::model::{Row, Wanted, double, result};
use crate::aggregate::{Aggregate, BoundAggregate, Groups, RowOrder};

const FUNCTIONS: [&str; 29] = [
    "count(*)",
    "count(i)",
    "count(distinct i)",
    "count(distinct t)",
    "approx_distinct(i)",
    "sum(i)",
    "sum(distinct i)",
    "avg(i)",
    "sum(f)",
    "avg(f)",
    "sum(d)",
    "min(i)",
    "max(distinct i)",
    "min(f)",
    "max(d)",
    "min(t)",
    "max(t)",
    "max(b)",
    "bool_and(b)",
    "bool_or(b)",
    "first_value(i)",
    "last_value(t)",
    "array_agg(i)",
    "array_agg(distinct t)",
    "string_agg(distinct t, '-')",
    "string_agg(t, '-')",
    "stddev(i)",
    "var_pop(i)",
    "median(i)",
];
const MORE: [&str; 14] = [
    "median(d)",
    "approx_percentile_cont(i, 0.9)",
    "bit_and(i)",
    "bit_or(i)",
    "bit_xor(i)",
    "bit_xor(distinct i)",
    "array_agg(i order by t desc)",
    "string_agg(t, '-' order by b nulls first, i)",
    "string_agg(distinct t, '-') within group (order by t)",
    "last_value(i order by d)",
    "regr_count(i, f)",
    "covar_samp(i, f)",
    "corr(i, f)",
    "regr_slope(i, f)",
];
/// Their last digits may depend on how rows are divided.
const ROUNDED: [&str; 5] = ["stddev", "var", "cov", "corr", "regr_slope"];
const CANNOT_RETRACT: [&str; 2] = ["approx_distinct(i)", "approx_percentile_cont(i, 0.9)"];

const GROUPS: usize = 4;

fn schema() -> SchemaRef {
    let field = |name: &str, data_type: DataType| Field::new(name, data_type, true);
    Arc::new(Schema::new(vec![
        field("i", DataType::Int64),
        field("f", DataType::Float64),
        field("d", DataType::Decimal128(20, 2)),
        field("t", DataType::Utf8View),
        field("b", DataType::Boolean),
        field("p", DataType::Boolean),
    ]))
}

fn batch(rows: &[Row]) -> Batch {
    let decimals: Decimal128Array = rows.iter().map(|row| row.decimal).collect();
    let columns: Vec<ArrayRef> = vec![
        Arc::new(rows.iter().map(|row| row.int).collect::<Int64Array>()),
        Arc::new(rows.iter().map(|row| row.float.map(double)).collect::<Float64Array>()),
        Arc::new(decimals.with_data_type(DataType::Decimal128(20, 2))),
        Arc::new(rows.iter().map(|row| row.text.as_deref()).collect::<StringViewArray>()),
        Arc::new(rows.iter().map(|row| row.truth).collect::<BooleanArray>()),
        Arc::new(rows.iter().map(|row| row.passes).collect::<BooleanArray>()),
    ];
    let hidden = Hidden {
        times: Some(rows.iter().map(|row| Some(row.tie / 3)).collect()),
        origin: Some(Origin { split: UInt32Array::from_value(1, rows.len()), position: rows.iter().map(|row| Some(row.tie)).collect() }),
        ..Hidden::default()
    };
    Batch::new(RecordBatch::try_new(schema(), columns).unwrap(), hidden).unwrap()
}

/// Accumulators and what they are to be told.
struct Part<'a> {
    bound: &'a BoundAggregate,
    groups: Box<dyn Groups>,
}

impl<'a> Part<'a> {
    fn new(bound: &'a BoundAggregate) -> Self {
        Part { bound, groups: bound.groups().unwrap() }
    }

    fn change(&mut self, rows: &[Row], retract: bool) {
        let batch = batch(rows);
        let arguments = self.bound.arguments(batch.records()).unwrap();
        assert!(arguments.bad.is_empty());
        let ids: Vec<usize> = rows.iter().map(|row| row.group).collect();
        let order = RowOrder::of(&batch).unwrap();
        match retract {
            true => self.groups.retract(&arguments, &ids, GROUPS, Some(&order)).unwrap(),
            false => self.groups.update(&arguments, &ids, GROUPS, Some(&order)).unwrap(),
        }
    }

    /// Takes in another's state, by way of what a snapshot would keep; only groups that have rows are written.
    fn merge(&mut self, other: &mut Part, keep: &[usize]) {
        let state = other.groups.state().unwrap();
        let indices = UInt32Array::from_iter_values(keep.iter().map(|&group| group as u32));
        let state: Vec<ArrayRef> = state.iter().map(|column| arrow::compute::take(column, &indices, None).unwrap()).collect();
        let of_these = other.groups.state_at(keep).unwrap();
        state.iter().zip(&of_these).for_each(|(all, some)| assert_eq!(all.to_data(), some.to_data()));
        self.groups.merge(&of_these, keep, GROUPS).unwrap();
    }
}

fn same(values: &ArrayRef, row: usize, bad: bool, wanted: &Wanted) -> bool {
    match wanted {
        Wanted::Bad => bad,
        _ if bad => false,
        Wanted::Null => values.is_null(row),
        _ if values.is_null(row) => false,
        Wanted::Int(v) => values.as_primitive::<Int64Type>().value(row) == *v,
        Wanted::Decimal(v) => values.as_primitive::<Decimal128Type>().value(row) == *v,
        Wanted::Double(v) => values.as_primitive::<Float64Type>().value(row).to_bits() == v.to_bits(),
        Wanted::Near(v) => {
            let found = values.as_primitive::<Float64Type>().value(row);
            (found - v).abs() <= 1e-9 * v.abs().max(1.0)
        }
        Wanted::Text(v) => values.as_string_view().value(row) == v,
        Wanted::Truth(v) => values.as_boolean().value(row) == *v,
        Wanted::Ints(v) => values.as_list::<i32>().value(row).as_primitive::<Int64Type>().iter().eq(v.iter().copied()),
        Wanted::Texts(v) => values.as_list::<i32>().value(row).as_string_view().iter().eq(v.iter().map(Option::as_deref)),
    }
}

fn check(text: &str, groups: &mut dyn Groups, rows: &[Row]) -> Result<(), TestCaseError> {
    let evaluated = groups.evaluate().unwrap();
    prop_assert_eq!(evaluated.values.len(), GROUPS);
    for group in 0..GROUPS {
        let of_group: Vec<Row> = rows.iter().filter(|row| row.group == group).cloned().collect();
        let wanted = result(text, &of_group);
        let bad = evaluated.bad.iter().any(|value| value.row == group);
        prop_assert!(
            same(&evaluated.values, group, bad, &wanted),
            "{} of group {}: {:?}, bad {}, but {:?}",
            text,
            group,
            evaluated.values.slice(group, 1),
            bad,
            wanted
        );
    }
    let some = groups.evaluate_at(&[2, 0]).unwrap();
    let indices = UInt32Array::from(vec![2, 0]);
    prop_assert_eq!(some.values.to_data(), arrow::compute::take(&evaluated.values, &indices, None).unwrap().to_data());
    Ok(())
}

/// The functions with and without a filter; `retracting`: those that can take rows back.
fn aggregates(functions: &[&str], retracting: bool) -> Vec<(String, BoundAggregate)> {
    let filtered = functions.iter().map(|function| format!("{function} filter (where p)"));
    let all = functions.iter().map(|function| (*function).to_owned()).chain(filtered);
    all.filter_map(|text| {
        let plain = Aggregate::parse(&format!("{text} as x"), &schema()).unwrap();
        let aggregate = if retracting { plain.retracting()? } else { plain };
        let bound = aggregate.bind(&schema()).unwrap();
        let types: Vec<DataType> = bound.groups().unwrap().state().unwrap().iter().map(|column| column.data_type().clone()).collect();
        let declared: Vec<DataType> = aggregate.state_fields().iter().map(|field| field.data_type().clone()).collect();
        assert_eq!(types, declared, "{text}");
        Some((text, bound))
    })
    .collect()
}

fn all(retracting: bool) -> Vec<(String, BoundAggregate)> {
    aggregates(&[FUNCTIONS.as_slice(), &MORE].concat(), retracting)
}

#[test]
fn all_but_estimates_take_rows_back() {
    let found: Vec<String> = all(true).into_iter().map(|(text, _)| text).collect();
    let missing = [FUNCTIONS.as_slice(), &MORE].concat().into_iter().filter(|text| !found.contains(&(*text).to_owned()));
    assert_eq!(missing.collect::<Vec<_>>(), CANNOT_RETRACT);
}

fn rows() -> impl Strategy<Value = Vec<Row>> {
    let int = prop_oneof![8 => -9i64..9, 1 => any::<i64>()];
    let text = prop_oneof![Just(String::new()), "[a-c]{1,2}", "[a-c]{13,16}"];
    let columns = (
        0..GROUPS - 1,
        prop::option::of(int),
        prop::option::of(any::<i64>().prop_map(|units| (units >> 1) as f64 as i64)),
        prop::option::of(-10i128.pow(17)..10i128.pow(17)),
        prop::option::of(text),
        any::<Option<bool>>(),
        any::<Option<bool>>(),
        any::<u32>(),
    );
    prop::collection::vec(columns, 0..40).prop_map(|rows| {
        let mut rows: Vec<Row> = rows
            .into_iter()
            .map(|(group, int, float, decimal, text, truth, passes, tie)| Row {
                group,
                int,
                float,
                decimal,
                text,
                truth,
                passes,
                tie: i64::from(tie),
            })
            .collect();
        let mut ties: Vec<i64> = Vec::new();
        rows.retain(|row| {
            !ties.contains(&row.tie) && {
                ties.push(row.tie);
                true
            }
        });
        rows
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 150, failure_persistence: None, ..ProptestConfig::default() })]

    /// Rows go to several accumulators, in pieces; their states are merged, also into one that has rows of its own.
    #[test]
    fn divided_and_merged_it_is_the_same(rows in rows(), pieces in prop::collection::vec((0usize..3, 1usize..9), 1..12)) {
        for (text, bound) in &all(false) {
            let mut parts: Vec<Part> = (0..3).map(|_| Part::new(bound)).collect();
            let mut rest = rows.as_slice();
            for (part, length) in pieces.iter().cycle() {
                let (piece, after) = rest.split_at((*length).min(rest.len()));
                parts[*part].change(piece, false);
                rest = after;
                if rest.is_empty() {
                    break;
                }
            }
            let [first, second, third] = parts.as_mut_slice() else { panic!("three parts") };
            // What is read from an accumulator leaves it as it is.
            second.groups.evaluate().unwrap();
            for part in [&mut *second, third] {
                let keep: Vec<usize> = if part.groups.total() == 0 { Vec::new() } else { (0..GROUPS).collect() };
                first.merge(part, &keep);
                first.merge(&mut Part::new(bound), &[]);
            }
            let mut restored = Part::new(bound);
            let keep: Vec<usize> = (0..first.groups.total()).collect();
            restored.merge(first, &keep);
            if first.groups.total() == GROUPS {
                check(text, first.groups.as_mut(), &rows)?;
                check(text, restored.groups.as_mut(), &rows)?;
                let mut backwards = Part::new(bound);
                backwards.change(&rows.iter().rev().cloned().collect::<Vec<_>>(), false);
                if !ROUNDED.iter().any(|name| text.starts_with(name)) {
                    let at_once = backwards.groups.evaluate().unwrap().values;
                    prop_assert_eq!(at_once.to_data(), first.groups.evaluate().unwrap().values.to_data(), "at once: {}", text);
                }
                let (before, after) = (first.groups.evaluate().unwrap(), restored.groups.evaluate().unwrap());
                prop_assert_eq!(before.values.to_data(), after.values.to_data(), "restored: {}", text);
                restored.groups.clear(&[0, 2]).unwrap();
                restored.change(&rows.iter().filter(|row| row.group == 0).cloned().collect::<Vec<_>>(), false);
                let others: Vec<Row> = rows.iter().filter(|row| row.group != 2).cloned().collect();
                check(text, restored.groups.as_mut(), &others)?;
            }
        }
    }

    /// Rows come and go, withdrawals now and then before their rows.
    #[test]
    fn withdrawn_it_never_was(rows in rows(), leaves in prop::collection::vec(any::<bool>(), 40), early in any::<bool>()) {
        for (text, bound) in &all(true) {
            let gone: Vec<Row> = rows.iter().zip(&leaves).filter(|(_, leaves)| **leaves).map(|(row, _)| row.clone()).collect();
            let stays: Vec<Row> = rows.iter().zip(&leaves).filter(|(_, leaves)| !**leaves).map(|(row, _)| row.clone()).collect();
            let mut part = Part::new(bound);
            if early {
                part.change(&gone, true);
                part.change(&rows, false);
            } else {
                part.change(&rows, false);
                part.change(&gone, true);
            }
            check(text, part.groups.as_mut(), &stays)?;
            let mut restored = Part::new(bound);
            restored.merge(&mut part, &(0..GROUPS).collect::<Vec<_>>());
            check(text, restored.groups.as_mut(), &stays)?;
            restored.groups.clear(&[1, 0]).unwrap();
            let others: Vec<Row> = stays.iter().filter(|row| row.group > 1).cloned().collect();
            check(text, restored.groups.as_mut(), &others)?;
            prop_assert!((0..2).all(|group| restored.groups.is_empty(group)), "{}", text);
            let again: Vec<Row> = stays.iter().filter(|row| row.group <= 1).cloned().collect();
            restored.change(&again, false);
            let mut third = Part::new(bound);
            third.merge(&mut restored, &(0..GROUPS).collect::<Vec<_>>());
            check(text, third.groups.as_mut(), &stays)?;
            restored.change(&stays, true);
            prop_assert!((0..GROUPS).all(|group| restored.groups.is_empty(group)), "{}", text);
            part.change(&stays, true);
            prop_assert!((0..GROUPS).all(|group| part.groups.is_empty(group)), "{}", text);
        }
    }
}

//! The functions, said as simply as possible over all rows of a group at once.

use std::collections::{BTreeMap, BTreeSet};

/// A row of the input. `tie` is its position, which is also its event time divided by three.
#[derive(Clone, Debug)]
pub(super) struct Row {
    pub(super) group: usize,
    pub(super) int: Option<i64>,
    /// In units of 2^-30, so that sums are exact in 128 bits.
    pub(super) float: Option<i64>,
    pub(super) decimal: Option<i128>,
    pub(super) text: Option<String>,
    pub(super) truth: Option<bool>,
    pub(super) passes: Option<bool>,
    pub(super) tie: i64,
}

/// Of a double in the input.
pub(super) fn double(units: i64) -> f64 {
    units as f64 / (1u64 << 30) as f64
}

/// A result, comparable with what an accumulator gives.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Wanted {
    Null,
    Bad,
    Int(i64),
    Decimal(i128),
    /// To the last bit.
    Double(f64),
    /// To 1e-9.
    Near(f64),
    Text(String),
    Truth(bool),
    Ints(Vec<Option<i64>>),
    Texts(Vec<Option<String>>),
}

fn or_null<T>(value: Option<T>, wanted: impl Fn(T) -> Wanted) -> Wanted {
    value.map_or(Wanted::Null, wanted)
}

/// What the aggregate `text` gives for these rows, all of one group.
pub(super) fn result(text: &str, rows: &[Row]) -> Wanted {
    let rows: Vec<&Row> = match text.contains(" filter ") {
        true => rows.iter().filter(|row| row.passes == Some(true)).collect(),
        false => rows.iter().collect(),
    };
    let call = text.split(" filter ").next().unwrap_or(text);
    let ints: Vec<i64> = rows.iter().filter_map(|row| row.int).collect();
    let floats: Vec<i64> = rows.iter().filter_map(|row| row.float).collect();
    let decimals: Vec<i128> = rows.iter().filter_map(|row| row.decimal).collect();
    let texts: Vec<&String> = rows.iter().filter_map(|row| row.text.as_ref()).collect();
    let truths: Vec<bool> = rows.iter().filter_map(|row| row.truth).collect();
    let distinct: BTreeSet<i64> = ints.iter().copied().collect();
    let doubles: Vec<f64> = ints.iter().map(|&v| v as f64).collect();
    let int_sum: i128 = ints.iter().map(|&v| i128::from(v)).sum();
    let float_sum: i128 = floats.iter().map(|&v| i128::from(v)).sum();
    let some = |empty: bool, wanted: Wanted| if empty { Wanted::Null } else { wanted };
    match call {
        "count(*)" => Wanted::Int(rows.len() as i64),
        "count(i)" => Wanted::Int(ints.len() as i64),
        "count(distinct i)" | "approx_distinct(i)" => Wanted::Int(distinct.len() as i64),
        "count(distinct t)" => Wanted::Int(texts.iter().collect::<BTreeSet<_>>().len() as i64),
        "sum(i)" => some(ints.is_empty(), i64::try_from(int_sum).map_or(Wanted::Bad, Wanted::Int)),
        "sum(distinct i)" => {
            let sum: i128 = distinct.iter().map(|&v| i128::from(v)).sum();
            some(distinct.is_empty(), i64::try_from(sum).map_or(Wanted::Bad, Wanted::Int))
        }
        "avg(i)" => some(ints.is_empty(), Wanted::Double(int_sum as f64 / ints.len() as f64)),
        "sum(f)" => some(floats.is_empty(), Wanted::Double(float_sum as f64 / (1u64 << 30) as f64)),
        "avg(f)" => some(floats.is_empty(), Wanted::Near(float_sum as f64 / (1u64 << 30) as f64 / floats.len() as f64)),
        "sum(d)" => some(decimals.is_empty(), Wanted::Decimal(decimals.iter().sum())),
        "min(i)" => or_null(ints.iter().min(), |&v| Wanted::Int(v)),
        "max(distinct i)" => or_null(ints.iter().max(), |&v| Wanted::Int(v)),
        "min(f)" => or_null(floats.iter().min(), |&v| Wanted::Double(double(v))),
        "max(d)" => or_null(decimals.iter().max(), |&v| Wanted::Decimal(v)),
        "min(t)" => or_null(texts.iter().min(), |v| Wanted::Text((*v).clone())),
        "max(t)" => or_null(texts.iter().max(), |v| Wanted::Text((*v).clone())),
        "max(b)" | "bool_or(b)" => or_null(truths.iter().max(), |&v| Wanted::Truth(v)),
        "bool_and(b)" => or_null(truths.iter().min(), |&v| Wanted::Truth(v)),
        "first_value(i)" => or_null(rows.iter().min_by_key(|row| row.tie).and_then(|row| row.int), Wanted::Int),
        "last_value(t)" => or_null(rows.iter().max_by_key(|row| row.tie).and_then(|row| row.text.clone()), Wanted::Text),
        "array_agg(i)" => {
            let ordered: BTreeMap<i64, Option<i64>> = rows.iter().map(|row| (row.tie, row.int)).collect();
            some(ordered.is_empty(), Wanted::Ints(ordered.into_values().collect()))
        }
        "array_agg(distinct t)" => {
            let values = in_order_of_first_rows(&rows, |row| Some(row.text.clone()));
            some(values.is_empty(), Wanted::Texts(values))
        }
        "string_agg(distinct t, '-')" => {
            let values = in_order_of_first_rows(&rows, |row| row.text.clone());
            some(values.is_empty(), Wanted::Text(values.join("-")))
        }
        "string_agg(t, '-')" => {
            let ordered: BTreeMap<i64, String> = rows.iter().filter_map(|row| Some((row.tie, row.text.clone()?))).collect();
            some(ordered.is_empty(), Wanted::Text(ordered.into_values().collect::<Vec<_>>().join("-")))
        }
        "stddev(i)" => variance(&doubles, 1).map_or(Wanted::Null, |v| Wanted::Near(v.sqrt())),
        "var_pop(i)" => variance(&doubles, 0).map_or(Wanted::Null, Wanted::Near),
        "median(i)" => quantile(doubles, 0.5),
        "approx_percentile_cont(i, 0.9)" => quantile(doubles, 0.9),
        "median(d)" => {
            let mut sorted = decimals.clone();
            sorted.sort_unstable();
            let upper = sorted.get(sorted.len() / 2).copied();
            or_null(upper, |upper| {
                let lower = if sorted.len() % 2 == 1 { upper } else { sorted[sorted.len() / 2 - 1] };
                Wanted::Decimal((upper + lower) * 5)
            })
        }
        other => panic!("the model does not know {other}"),
    }
}

/// Each value once, in the order of the first row that has it.
fn in_order_of_first_rows<T: Ord>(rows: &[&Row], value: impl Fn(&Row) -> Option<T>) -> Vec<T> {
    let mut first: BTreeMap<T, i64> = BTreeMap::new();
    for row in rows {
        if let Some(value) = value(row) {
            let tie = first.entry(value).or_insert(row.tie);
            *tie = row.tie.min(*tie);
        }
    }
    let mut values: Vec<(i64, T)> = first.into_iter().map(|(value, tie)| (tie, value)).collect();
    values.sort_by_key(|(tie, _)| *tie);
    values.into_iter().map(|(_, value)| value).collect()
}

fn variance(values: &[f64], less: usize) -> Option<f64> {
    let divisor = values.len().checked_sub(less).filter(|divisor| *divisor > 0)?;
    let mean = values.iter().sum::<f64>() / values.len() as f64;
    Some(values.iter().map(|v| (v - mean) * (v - mean)).sum::<f64>() / divisor as f64)
}

fn quantile(mut values: Vec<f64>, fraction: f64) -> Wanted {
    values.sort_by(f64::total_cmp);
    if values.is_empty() {
        return Wanted::Null;
    }
    let position = fraction * (values.len() - 1) as f64;
    let (below, above) = (values[position.floor() as usize], values[position.ceil() as usize]);
    Wanted::Near(below + (above - below) * position.fract())
}

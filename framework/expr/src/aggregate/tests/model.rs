//! The functions, said as simply as possible over all rows of a group at once.

use std::cmp::Ordering;
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
        other => of_bits_order_and_pairs(other, &rows, &ints, &texts),
    }
}

/// Functions of bits, those that say an order, and those of two numbers.
fn of_bits_order_and_pairs(call: &str, rows: &[&Row], ints: &[i64], texts: &[&String]) -> Wanted {
    let some = |empty: bool, wanted: Wanted| if empty { Wanted::Null } else { wanted };
    match call {
        "bit_and(i)" => or_null(ints.iter().copied().reduce(|a, b| a & b), Wanted::Int),
        "bit_or(i)" => or_null(ints.iter().copied().reduce(|a, b| a | b), Wanted::Int),
        "bit_xor(i)" => or_null(ints.iter().copied().reduce(|a, b| a ^ b), Wanted::Int),
        "bit_xor(distinct i)" => or_null(ints.iter().copied().collect::<BTreeSet<i64>>().into_iter().reduce(|a, b| a ^ b), Wanted::Int),
        "array_agg(i order by t desc)" => {
            let ordered = ordered(rows, |a, b| nulls_last(&a.text, &b.text, |a, b| b.cmp(a)));
            some(ordered.is_empty(), Wanted::Ints(ordered.iter().map(|row| row.int).collect()))
        }
        "string_agg(t, '-' order by b nulls first, i)" => {
            let ordered = ordered(rows, |a, b| a.truth.cmp(&b.truth).then(nulls_last(&a.int, &b.int, Ord::cmp)));
            let texts: Vec<String> = ordered.iter().filter_map(|row| row.text.clone()).collect();
            some(texts.is_empty(), Wanted::Text(texts.join("-")))
        }
        "string_agg(distinct t, '-') within group (order by t)" => {
            let texts: BTreeSet<&str> = texts.iter().map(|text| text.as_str()).collect();
            some(texts.is_empty(), Wanted::Text(texts.into_iter().collect::<Vec<_>>().join("-")))
        }
        "last_value(i order by d)" => {
            let ordered = ordered(rows, |a, b| nulls_last(&a.decimal, &b.decimal, Ord::cmp));
            or_null(ordered.last().and_then(|row| row.int), Wanted::Int)
        }
        "regr_count(i, f)" => Wanted::Int(pairs(rows).len() as i64),
        "covar_samp(i, f)" => or_null(products(rows).filter(|p| p.count > 1.0), |p| Wanted::Near(p.sxy / (p.count - 1.0))),
        "corr(i, f)" => {
            or_null(products(rows).filter(|p| p.sxx > 0.0 && p.syy > 0.0), |p| Wanted::Near(p.sxy / (p.sxx.sqrt() * p.syy.sqrt())))
        }
        "regr_slope(i, f)" => or_null(products(rows).filter(|p| p.sxx > 0.0), |p| Wanted::Near(p.sxy / p.sxx)),
        other => panic!("the model does not know {other}"),
    }
}

/// The rows by `order`, what that leaves equal by position.
fn ordered<'a>(rows: &[&'a Row], order: impl Fn(&Row, &Row) -> Ordering) -> Vec<&'a Row> {
    let mut rows = rows.to_vec();
    rows.sort_by(|a, b| order(a, b).then(a.tie.cmp(&b.tie)));
    rows
}

fn nulls_last<T>(a: &Option<T>, b: &Option<T>, order: impl Fn(&T, &T) -> Ordering) -> Ordering {
    match (a, b) {
        (Some(a), Some(b)) => order(a, b),
        _ => a.is_none().cmp(&b.is_none()),
    }
}

/// `i` and `f` of the rows that have both.
fn pairs(rows: &[&Row]) -> Vec<(f64, f64)> {
    rows.iter().filter_map(|row| Some((row.int? as f64, double(row.float?)))).collect()
}

/// Sums of squares and products of the deviations of pairs.
struct Products {
    count: f64,
    syy: f64,
    sxx: f64,
    sxy: f64,
}

fn products(rows: &[&Row]) -> Option<Products> {
    let pairs = pairs(rows);
    let count = pairs.len() as f64;
    let means = |side: fn(&(f64, f64)) -> f64| pairs.iter().map(side).sum::<f64>() / count;
    let (y, x) = (means(|pair| pair.0), means(|pair| pair.1));
    let sum = |of: fn(f64, f64) -> f64| pairs.iter().map(|pair| of(pair.0 - y, pair.1 - x)).sum();
    (!pairs.is_empty()).then(|| Products { count, syy: sum(|y, _| y * y), sxx: sum(|_, x| x * x), sxy: sum(|y, x| y * x) })
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

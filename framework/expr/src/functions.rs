//! Which functions an expression may call.
//!
//! Listed one by one: what is not meant to be there is not, above all nothing that reads the clock or rolls dice, since the
//! same input must give the same output.

use std::collections::BTreeMap;
use std::sync::{Arc, LazyLock};

use datafusion_expr::ScalarUDF;
use datafusion_expr::planner::ExprPlanner;
use datafusion_functions::{core, crypto, datetime, encoding, math, regex, string, unicode};
use datafusion_functions_nested as nested;

use crate::adapted::adapted;
use crate::bounded::{UNBOUNDED, bounded};
use crate::formats::Template;
use crate::json;
use crate::syntax::Syntax;
use crate::time_text::time_format;

/// What functions are about, and these.
pub(crate) type Group = (&'static str, Vec<Arc<ScalarUDF>>);

/// Functions of one value each for one row.
static GROUPS: LazyLock<[Group; 7]> = LazyLock::new(|| {
    [
        ("nulls and choices", core_functions()),
        ("numbers", math_functions()),
        ("text", text_functions()),
        ("digests and bytes", bytes_functions()),
        ("times", time_functions()),
        ("lists", nested_functions()),
        ("JSON", json::functions()),
    ]
});

/// The same, by the names they can be called by.
static SCALAR: LazyLock<BTreeMap<&str, &Arc<ScalarUDF>>> = LazyLock::new(|| {
    let all = GROUPS.iter().flat_map(|(_, functions)| functions);
    all.flat_map(|function| names(function).map(move |name| (name, function))).collect()
});

/// All names that a function can be called by, its own first.
pub(crate) fn names(function: &ScalarUDF) -> impl Iterator<Item = &str> {
    std::iter::once(function.name()).chain(function.aliases().iter().map(String::as_str))
}

/// A function over groups of rows, which [`crate::aggregate`] has: its names, how it is called, what it gives.
pub(crate) type OverGroups = (&'static [&'static str], &'static str, &'static str);

/// Known here so that one in the wrong place is called what it is.
pub(crate) const AGGREGATE: [OverGroups; 32] = [
    (&["approx_distinct", "approx_count_distinct"], "approx_distinct(x)", "About how many different values there are."),
    (&["approx_median"], "approx_median(x)", "About the value that half of the others do not exceed."),
    (&["approx_percentile_cont"], "approx_percentile_cont(x, share)", "About the value that this share of the others does not exceed."),
    (&["array_agg"], "array_agg([distinct] x [order by y])", "All values as a list, nulls among them."),
    (&["avg", "mean"], "avg([distinct] x)", "The mean."),
    (&["bit_and"], "bit_and(x)", "The bits that all integers have."),
    (&["bit_or"], "bit_or(x)", "The bits that any integer has."),
    (&["bit_xor"], "bit_xor([distinct] x)", "The bits that an odd number of integers has."),
    (&["bool_and", "every"], "bool_and(condition)", "Whether all are true."),
    (&["bool_or", "some"], "bool_or(condition)", "Whether any is true."),
    (&["corr"], "corr(y, x)", "How two numbers go together, from -1 to 1."),
    (&["count"], "count(*), count([distinct] x)", "How many rows there are, or how many values that are not null."),
    (&["covar_pop"], "covar_pop(y, x)", "The covariance of all there is."),
    (&["covar_samp", "covar"], "covar_samp(y, x)", "The covariance of a sample."),
    (&["first_value"], "first_value(x [order by y])", "The value of the first row, by event time unless it says otherwise."),
    (&["last_value"], "last_value(x [order by y])", "The value of the last row, by event time unless it says otherwise."),
    (&["max"], "max(x)", "The greatest value."),
    (&["median"], "median([distinct] x)", "The value in the middle, or the mean of the two there."),
    (&["min"], "min(x)", "The least value."),
    (&["regr_avgx"], "regr_avgx(y, x)", "The mean of x where both are there."),
    (&["regr_avgy"], "regr_avgy(y, x)", "The mean of y where both are there."),
    (&["regr_count"], "regr_count(y, x)", "How many pairs there are."),
    (&["regr_intercept"], "regr_intercept(y, x)", "Where the straight line through all pairs is at x = 0."),
    (&["regr_r2"], "regr_r2(y, x)", "How much of y the straight line explains, from 0 to 1."),
    (&["regr_slope"], "regr_slope(y, x)", "How the straight line through all pairs rises."),
    (&["regr_sxx", "regr_sxy", "regr_syy"], "regr_sxy(y, x)", "Sums of squares and products of how far pairs are from their means."),
    (&["stddev", "stddev_samp"], "stddev([distinct] x)", "The standard deviation of a sample."),
    (&["stddev_pop"], "stddev_pop([distinct] x)", "The standard deviation of all there is."),
    (&["string_agg", "listagg"], "string_agg([distinct] x, separator [order by y])", "All texts as one, without nulls."),
    (&["sum"], "sum([distinct] x)", "The sum."),
    (&["var_pop"], "var_pop([distinct] x)", "The variance of all there is."),
    (&["variance", "var", "var_samp"], "variance([distinct] x)", "The variance of a sample."),
];

/// What turns syntax such as `extract`, `substring … from`, `a[1]` and `s['x']` into function calls.
static PLANNERS: LazyLock<Vec<Arc<dyn ExprPlanner>>> = LazyLock::new(|| {
    vec![
        Arc::new(core::planner::CoreFunctionPlanner::default()),
        Arc::new(nested::planner::NestedFunctionPlanner),
        Arc::new(nested::planner::FieldAccessPlanner),
        Arc::new(Syntax),
    ]
});

/// The scalar function of this name (in lower case).
pub(crate) fn scalar(name: &str) -> Option<&'static Arc<ScalarUDF>> {
    SCALAR.get(name).copied()
}

/// All scalar functions, by what they are about.
pub(crate) fn scalar_groups() -> &'static [Group] {
    GROUPS.as_slice()
}

/// Whether this (in lower case) is the name of an aggregate function.
pub(crate) fn is_aggregate(name: &str) -> bool {
    aggregate_names().any(|known| known == name)
}

/// The names of all scalar functions.
pub(crate) fn scalar_names() -> impl Iterator<Item = &'static str> {
    SCALAR.keys().copied()
}

/// The names of all aggregate functions.
pub(crate) fn aggregate_names() -> impl Iterator<Item = &'static str> {
    AGGREGATE.iter().flat_map(|(names, ..)| names.iter().copied())
}

/// The planners of syntax that is not written as a call.
pub(crate) fn planners() -> &'static [Arc<dyn ExprPlanner>] {
    &PLANNERS
}

fn core_functions() -> Vec<Arc<ScalarUDF>> {
    vec![
        core::coalesce(),
        core::greatest(),
        core::least(),
        core::nullif(),
        core::nvl(),
        core::nvl2(),
        core::overlay(),
        core::named_struct(),
    ]
}

fn math_functions() -> Vec<Arc<ScalarUDF>> {
    let skipped = ["random"];
    math::functions().into_iter().filter(|f| !skipped.contains(&f.name())).map(adapted).collect()
}

fn text_functions() -> Vec<Arc<ScalarUDF>> {
    let skipped = ["uuid"];
    let all = string::functions().into_iter().chain(unicode::functions()).chain(regex::functions());
    all.filter(|f| !skipped.contains(&f.name())).map(within_bounds).map(adapted).collect()
}

/// Digests, and bytes as text.
fn bytes_functions() -> Vec<Arc<ScalarUDF>> {
    crypto::functions().into_iter().chain(encoding::functions()).map(adapted).collect()
}

fn time_functions() -> Vec<Arc<ScalarUDF>> {
    let skipped =
        ["now", "current_date", "current_time", "make_time", "to_char", "to_time", "to_unixtime", "to_local_time", "to_timestamp_nanos"];
    let all = datetime::functions().into_iter().filter(|f| !skipped.contains(&f.name())).map(adapted);
    let formats = ["to_char", "date_format"].into_iter().filter_map(|name| Some(time_format(name, Template::of(name)?)));
    all.chain(formats).collect()
}

fn nested_functions() -> Vec<Arc<ScalarUDF>> {
    let all = [
        nested::array_compact::array_compact_udf(),
        nested::array_has::array_has_udf(),
        nested::array_has::array_has_all_udf(),
        nested::array_has::array_has_any_udf(),
        nested::cardinality::cardinality_udf(),
        nested::concat::array_append_udf(),
        nested::concat::array_concat_udf(),
        nested::concat::array_prepend_udf(),
        nested::except::array_except_udf(),
        nested::extract::array_any_value_udf(),
        nested::extract::array_element_udf(),
        nested::extract::array_pop_back_udf(),
        nested::extract::array_pop_front_udf(),
        nested::extract::array_slice_udf(),
        nested::flatten::flatten_udf(),
        nested::length::array_length_udf(),
        nested::make_array::make_array_udf(),
        nested::min_max::array_max_udf(),
        nested::min_max::array_min_udf(),
        nested::position::array_position_udf(),
        nested::remove::array_remove_all_udf(),
        nested::reverse::array_reverse_udf(),
        nested::set_ops::array_distinct_udf(),
        nested::set_ops::array_intersect_udf(),
        nested::set_ops::array_union_udf(),
        nested::sort::array_sort_udf(),
        nested::string::array_to_string_udf(),
        nested::string::string_to_array_udf(),
    ];
    all.into_iter().map(within_bounds).map(adapted).collect()
}

fn within_bounds(function: Arc<ScalarUDF>) -> Arc<ScalarUDF> {
    if UNBOUNDED.contains(&function.name()) { bounded(function) } else { function }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_reads_the_clock_or_rolls_dice() {
        for (name, function) in SCALAR.iter() {
            assert_eq!(function.signature().volatility, datafusion_expr::Volatility::Immutable, "{name}");
        }
    }

    #[test]
    fn every_function_is_documented() {
        let page = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/expressions.md");
        let text = std::fs::read_to_string(page).unwrap_or_default();
        let names = SCALAR
            .values()
            .map(|function| function.name())
            .chain(aggregate_names())
            .chain(crate::shorthands::SHORTHANDS.map(|(name, ..)| name));
        let missing: Vec<&str> =
            names.filter(|name| !text.contains(&format!("`{name}`")) && !text.contains(&format!("`{name}("))).collect();
        assert!(missing.is_empty(), "not in docs/expressions.md: {missing:?}");
    }

    #[test]
    fn no_name_is_both_scalar_and_aggregate() {
        assert_eq!(aggregate_names().filter(|name| scalar(name).is_some()).count(), 0);
    }
}

//! Which functions an expression may call.
//!
//! Listed one by one: what is not meant to be there is not, above all nothing that reads the clock or rolls dice, since the
//! same input must give the same output.

use std::collections::BTreeMap;
use std::sync::{Arc, LazyLock};

use datafusion_expr::ScalarUDF;
use datafusion_expr::planner::ExprPlanner;
use datafusion_functions::{core, datetime, math, regex, string, unicode};
use datafusion_functions_nested as nested;

use crate::adapted::adapted;
use crate::bounded::{UNBOUNDED, bounded};
use crate::formats::Template;
use crate::json;
use crate::syntax::Syntax;
use crate::time_text::time_format;

/// Functions of one value each for one row, by the names they can be called by.
static SCALAR: LazyLock<BTreeMap<String, Arc<ScalarUDF>>> = LazyLock::new(|| {
    let mut named = BTreeMap::new();
    for function in scalar_functions() {
        for name in std::iter::once(function.name()).chain(function.aliases().iter().map(String::as_str)) {
            named.insert(name.to_owned(), Arc::clone(&function));
        }
    }
    for name in ["to_char", "date_format"] {
        if let Some(template) = Template::of(name) {
            named.insert(name.to_owned(), time_format(name, template));
        }
    }
    named
});

/// Functions over groups of rows, which [`crate::aggregate`] has: known here so that one in the wrong place is called what it is.
const AGGREGATE: [&str; 43] = [
    "approx_count_distinct",
    "approx_distinct",
    "approx_median",
    "approx_percentile_cont",
    "array_agg",
    "avg",
    "bit_and",
    "bit_or",
    "bit_xor",
    "bool_and",
    "bool_or",
    "corr",
    "count",
    "covar",
    "covar_pop",
    "covar_samp",
    "every",
    "first_value",
    "last_value",
    "listagg",
    "max",
    "mean",
    "median",
    "min",
    "regr_avgx",
    "regr_avgy",
    "regr_count",
    "regr_intercept",
    "regr_r2",
    "regr_slope",
    "regr_sxx",
    "regr_sxy",
    "regr_syy",
    "some",
    "stddev",
    "stddev_pop",
    "stddev_samp",
    "string_agg",
    "sum",
    "var",
    "var_pop",
    "var_samp",
    "variance",
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
    SCALAR.get(name)
}

/// Whether this (in lower case) is the name of an aggregate function.
pub(crate) fn is_aggregate(name: &str) -> bool {
    AGGREGATE.contains(&name)
}

/// The names of all scalar functions.
pub(crate) fn scalar_names() -> impl Iterator<Item = &'static str> {
    SCALAR.keys().map(String::as_str)
}

/// The names of all aggregate functions.
pub(crate) fn aggregate_names() -> impl Iterator<Item = &'static str> {
    AGGREGATE.into_iter()
}

/// The planners of syntax that is not written as a call.
pub(crate) fn planners() -> &'static [Arc<dyn ExprPlanner>] {
    &PLANNERS
}

/// Why a function that SQL knows is not here.
pub(crate) fn why_not(name: &str) -> Option<&'static str> {
    Some(match name {
        "now" | "current_timestamp" | "current_date" | "current_time" | "localtimestamp" | "localtime" | "today" => {
            "there is no wall clock in expressions: the same input must give the same output; use a column, or window_end"
        }
        "random" | "rand" | "uuid" | "gen_random_uuid" => "there is no randomness in expressions: the same input must give the same output",
        "tumble" | "hop" | "session" | "cumulate" => "windows are made by an operator of type `window`",
        "row_number" | "rank" | "dense_rank" => "ranks are made by an operator of type `top_n`, with `rank_as`",
        "lag" | "lead" | "nth_value" | "ntile" => "there are no window functions",
        "arg_max" | "max_by" => "write `last_value(x order by y nulls first)`",
        "arg_min" | "min_by" => "write `first_value(x order by y)`",
        "collect_list" => "write `array_agg(x)`, with `filter (where x is not null)` to leave nulls out",
        "collect_set" => "write `array_agg(distinct x)`",
        "group_concat" => "write `string_agg(x, ',')`",
        "percentile_cont" => "write `median(x)`, or `approx_percentile_cont(x, 0.95)`",
        "unnest" => "lists become rows by an operator of type `unnest`",
        _ => return None,
    })
}

fn scalar_functions() -> Vec<Arc<ScalarUDF>> {
    let mut all = core_functions();
    all.extend(math_functions());
    all.extend(text_functions());
    all.extend(time_functions());
    all.extend(nested_functions());
    all.extend(json::functions());
    all
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

fn time_functions() -> Vec<Arc<ScalarUDF>> {
    let skipped = ["now", "current_date", "current_time", "make_time", "to_time", "to_unixtime", "to_local_time", "to_timestamp_nanos"];
    datetime::functions().into_iter().filter(|f| !skipped.contains(&f.name())).map(adapted).collect()
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

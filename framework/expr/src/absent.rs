//! Functions of other engines that are not here: why, or what to write in their place.

const NO_CLOCK: &str = "there is no wall clock in expressions: the same input must give the same output; use a column, or window_end";
const NO_DICE: &str =
    "there is no randomness in expressions: the same input must give the same output; `md5(concat_ws('/', a, b))` makes a key of columns";
const NO_MAP: &str = "there are no maps: aggregate by the key, and each key has a row";
const QUANTILE: &str = "write `median(x)`, or `approx_percentile_cont(x, 0.95)`";
const OF_ITEMS: &str = "the items become rows by an operator of type `unnest`, and one of type `aggregate` computes over these";

/// Why a function that SQL knows is not here.
pub(crate) fn why_not(name: &str) -> Option<&'static str> {
    of_rows(name).or_else(|| of_groups(name)).or_else(|| of_other_operators(name))
}

/// Functions of one row.
fn of_rows(name: &str) -> Option<&'static str> {
    Some(match name {
        "now" | "current_timestamp" | "current_date" | "current_time" | "localtimestamp" | "localtime" | "today" | "proctime" => NO_CLOCK,
        "random" | "rand" | "rand_integer" | "uuid" | "uuidv4" | "gen_random_uuid" | "generate_uuid" | "newid" => NO_DICE,
        "array_sum" | "list_sum" | "array_avg" | "list_avg" | "array_mean" => OF_ITEMS,
        "base64" | "to_base64" => "write `encode(x, 'base64pad')`",
        "unbase64" | "from_base64" => "write `cast(decode(x, 'base64') as string)`",
        "hex" => "write `encode(x, 'hex')` of text or bytes, `to_hex(n)` of an integer",
        "unhex" | "from_hex" => "write `decode(x, 'hex')`",
        "sha" | "sha1" => "there are `md5`, `sha224`, `sha256`, `sha384` and `sha512`",
        "sha2" => "write `encode(sha256(x), 'hex')`",
        "ucase" => "write `upper(x)`",
        "lcase" => "write `lower(x)`",
        "isnull" => "write `x is null`",
        "isnotnull" => "write `x is not null`",
        "element_at" => "write `l[1]` for the first item of a list",
        "size" => "write `cardinality(l)`",
        "date_add" | "adddate" | "dateadd" => "write `ts + interval '1 day'`, or `timestampadd(day, n, ts)`",
        "date_sub" | "subdate" | "datesub" => "write `ts - interval '1 day'`, or `timestampadd(day, -n, ts)`",
        _ => return None,
    })
}

/// Aggregate functions.
fn of_groups(name: &str) -> Option<&'static str> {
    Some(match name {
        "any_value" | "arbitrary" | "first" | "earliest" | "earliest_by_offset" => "write `first_value(x)`",
        "last" | "latest" | "latest_by_offset" => "write `last_value(x)`",
        "arg_max" | "max_by" => "write `last_value(x order by y nulls first)`",
        "arg_min" | "min_by" => "write `first_value(x order by y)`",
        "collect_list" | "collect" => "write `array_agg(x)`, with `filter (where x is not null)` to leave nulls out",
        "collect_set" => "write `array_agg(distinct x)`",
        "group_concat" => "write `string_agg(x, ',')`",
        "count_if" | "countif" => "write `count(*) filter (where condition)`",
        "sum_if" | "sumif" => "write `sum(x) filter (where condition)`",
        "avg_if" | "avgif" => "write `avg(x) filter (where condition)`",
        "count_distinct" => "write `count(distinct x)`",
        "percentile_cont" | "percentile_disc" | "percentile" | "quantile" => QUANTILE,
        "histogram" | "map_agg" | "object_agg" | "json_object_agg" | "jsonb_object_agg" => NO_MAP,
        _ => return None,
    })
}

/// What is not a function but an operator of a topology.
fn of_other_operators(name: &str) -> Option<&'static str> {
    Some(match name {
        "tumble" | "hop" | "session" | "cumulate" => "windows are made by an operator of type `window`",
        "row_number" | "rank" | "dense_rank" => "ranks are made by an operator of type `top_n`, with `rank_as`",
        "topk" | "topkdistinct" | "approx_top_k" | "top_k" => "the greatest of a group are found by an operator of type `top_n`",
        "mode" => "count by the value in an operator of type `aggregate`, and take the greatest count by one of type `top_n`",
        "lag" => "there are no window functions; `examples/recipes/previous.toml` finds the row before by an `as_of` join",
        "lead" | "nth_value" | "ntile" => "there are no window functions",
        "unnest" | "explode" => "lists become rows by an operator of type `unnest`",
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::functions::{aggregate_names, scalar, scalar_names};
    use crate::shorthands::SHORTHANDS;

    #[test]
    fn nothing_is_called_absent_that_is_there() {
        let there = scalar_names().chain(aggregate_names()).chain(SHORTHANDS.map(|(name, ..)| name));
        let contradicted: Vec<&str> = there.filter(|name| why_not(name).is_some()).collect();
        assert!(contradicted.is_empty(), "{contradicted:?}");
    }

    /// Words before an opening bracket, in what is quoted.
    fn called(advice: &str) -> BTreeSet<&str> {
        let quoted = advice.split('`').skip(1).step_by(2);
        quoted.flat_map(|code| code.split('(').rev().skip(1).filter_map(|before| before.split([' ', '(', ',']).next_back())).collect()
    }

    #[test]
    fn advice_names_functions_that_are_there() {
        let mut seen = 0;
        for advice in [NO_DICE, QUANTILE]
            .into_iter()
            .chain(["hex", "from_base64", "sha2", "ucase", "size", "first", "max_by", "collect"].map(|name| why_not(name).unwrap_or("")))
        {
            for name in called(advice).into_iter().filter(|name| !name.is_empty() && *name != "cast" && *name != "filter") {
                let shorthand = SHORTHANDS.iter().any(|(known, ..)| *known == name);
                assert!(scalar(name).is_some() || aggregate_names().any(|known| known == name) || shorthand, "{name}: {advice}");
                seen += 1;
            }
        }
        assert!(seen > 8, "{seen}");
    }
}

//! What an item of `compute` may look like, and what is said of one that is wrong.

use arrow::datatypes::{DataType, Field, Schema};
use millstream_api::types::{SqlName, timestamp_type};

use crate::aggregate::Aggregate;

fn schema() -> Schema {
    Schema::new(vec![
        Field::new("i", DataType::Int32, false),
        Field::new("n", DataType::Int64, true),
        Field::new("f", DataType::Float32, true),
        Field::new("d", DataType::Decimal128(10, 2), true),
        Field::new("t", DataType::Utf8View, true),
        Field::new("b", DataType::Boolean, true),
        Field::new("at", timestamp_type(), true),
        Field::new("l", DataType::new_list(DataType::Int64, true), true),
    ])
}

fn typed(text: &str) -> String {
    let aggregate = Aggregate::parse(text, &schema()).unwrap_or_else(|error| panic!("{text}: {error:?}"));
    let field = aggregate.field();
    let null = if field.is_nullable() { "" } else { " not null" };
    format!("{} {}{null}", field.name(), SqlName(field.data_type()))
}

fn mistake(text: &str) -> String {
    let error = Aggregate::parse(text, &schema()).expect_err(text);
    let place = error.span.map_or("all of it", |span| &text[span]);
    format!("{} at `{place}`: {}", error.code, error.message)
}

#[test]
fn results_have_the_types_that_sql_users_expect() {
    for (text, wanted) in [
        ("count(*) as x", "x bigint not null"),
        ("COUNT(DISTINCT t) FILTER (WHERE b) AS x", "x bigint not null"),
        ("count(1) as x", "x bigint not null"),
        ("sum(i) as x", "x bigint not null"),
        ("sum(i) filter (where b) as x", "x bigint"),
        ("sum(n) as x", "x bigint"),
        ("sum(f) as x", "x double"),
        ("sum(d) as x", "x decimal(38,2)"),
        ("avg(i) as x", "x double not null"),
        ("mean(d) as x", "x decimal(14,6)"),
        ("min(t) as x", "x string"),
        ("max(distinct at) as x", "x timestamp"),
        ("max(f) as x", "x real"),
        ("first_value(l) as x", "x list<bigint>"),
        ("array_agg(i) as x", "x list<int> not null"),
        ("string_agg(t, ', ') as x", "x string"),
        ("stddev(i) as x", "x double"),
        ("var_pop(i) as x", "x double not null"),
        ("median(n) as x", "x double"),
        ("median(d) as x", "x decimal(11,3)"),
        ("approx_percentile_cont(n, 0.95) as x", "x double"),
        ("approx_distinct(t) as x", "x bigint not null"),
        ("bool_and(n > 3) as x", "x boolean"),
        ("approx_median(i) as x", "x double not null"),
        ("bit_xor(i) as x", "x bigint not null"),
        ("corr(n, d) as x", "x double"),
        ("regr_count(i, n) as x", "x bigint not null"),
        ("array_agg(i order by at desc nulls first, n) as x", "x list<int> not null"),
        ("listagg(t, ',') within group (order by lower(t)) as x", "x string"),
        ("(sum((n + 1) * (i - 2))) as \"the-sum\"", "the-sum bigint"),
    ] {
        assert_eq!(typed(text), wanted, "{text}");
    }
}

#[test]
fn of_intervals_there_is_advice() {
    for (text, wanted) in [
        ("sum(at - at) as s", "it takes a number: write `sum(extract(epoch from x))` for seconds"),
        (
            "max(at - at) as s",
            "it takes a value that has an order: write `last_value(x order by extract(epoch from x) nulls first)` for the longest interval",
        ),
    ] {
        let error = Aggregate::parse(text, &schema()).expect_err(text);
        assert_eq!(error.help.as_deref(), Some(wanted), "{text}");
    }
    for text in ["sum(extract(epoch from (at - at))) as s", "last_value(at - at order by extract(epoch from (at - at)) nulls first) as s"] {
        typed(text);
    }
}

#[test]
fn mistakes_are_placed_in_the_whole_text() {
    for (text, wanted) in [
        ("count(*)", "missing-name at `all of it`: `count(*)` has no name"),
        ("sum(x) as s", "unknown-column at `x`: there is no column `x`"),
        ("sum(n) / count(*) as r", "not-an-aggregate at `all of it`: `sum(n) / count(*)` is not a call of an aggregate function"),
        ("lower(t) as r", "not-an-aggregate at `all of it`: `lower(t)` is not a call of an aggregate function"),
        ("sum(max(n)) as s", "aggregate-not-allowed at `max`: `max` cannot stand inside `sum`"),
        ("sum(t) as s", "type-mismatch at `t`: `sum` does not take a value of type string"),
        ("avg(at) as s", "type-mismatch at `at`: `avg` does not take a value of type timestamp"),
        ("max(l) as s", "type-mismatch at `l`: `max` does not take a value of type list<bigint>"),
        ("bool_or(n) as s", "type-mismatch at `n`: `bool_or` does not take a value of type bigint"),
        ("sum(n) filter (where i + 1) as s", "not-boolean at `i + 1`: `i + 1` is bigint, and a condition must be boolean"),
        ("sum(*) as s", "wrong-arguments at `sum`: `sum(*)` does not have the arguments of `sum`"),
        ("sum() as s", "wrong-arguments at `sum`: `sum()` does not have the arguments of `sum`"),
        ("sum(n, i) as s", "wrong-arguments at `sum`: `sum(n, i)` does not have the arguments of `sum`"),
        ("count(distinct *) as s", "wrong-arguments at `count`: `count(DISTINCT *)` does not have the arguments of `count`"),
        ("first_value(distinct n) as s", "wrong-arguments at `first_value`: `first_value` has no `distinct`"),
        ("approx_percentile_cont(n, 95) as s", "bad-value at `95`: `95` is not a share between 0 and 1"),
        ("approx_percentile_cont(n, i) as s", "bad-value at `i`: `i` must be a constant double"),
    ] {
        assert_eq!(mistake(text), wanted, "{text}");
    }
    for (text, wanted) in [
        ("sum(n order by i) as s", "wrong-arguments at `sum`: the order of rows makes no difference to `sum`"),
        ("array_agg(n order by x) as s", "unknown-column at `x`: there is no column `x`"),
        ("array_agg(n order by sum(i)) as s", "aggregate-not-allowed at `sum`: `sum` cannot stand inside `array_agg`"),
        (
            "array_agg(n limit 3) as s",
            "wrong-arguments at `array_agg`: an aggregate function takes arguments, `distinct`, `order by` and `filter (where …)`, nothing else",
        ),
        ("corr(n) as s", "wrong-arguments at `corr`: `corr(n)` does not have the arguments of `corr`"),
        ("corr(distinct n, i) as s", "wrong-arguments at `corr`: `corr` has no `distinct`"),
        ("regr_slope(n, t) as s", "type-mismatch at `t`: `regr_slope` does not take a value of type string"),
        ("bit_and(f) as s", "type-mismatch at `f`: `bit_and` does not take a value of type real"),
        (
            "approx_percentile_cont(n) as s",
            "wrong-arguments at `approx_percentile_cont`: `approx_percentile_cont(n)` does not have the arguments of `approx_percentile_cont`",
        ),
    ] {
        assert_eq!(mistake(text), wanted, "{text}");
    }
}

#[test]
fn it_knows_what_it_reads_and_needs() {
    let parse = |text: &str| Aggregate::parse(text, &schema()).unwrap();
    let sum = parse("sum(n + i) filter (where b) as s");
    assert_eq!(sum.columns().iter().collect::<Vec<_>>(), ["b", "i", "n"]);
    assert_eq!(sum.text(), "sum(n + i) filter (where b)");
    assert!(sum.retracting().is_some() && !sum.ordered());
    let ordered = parse("array_agg(n order by t, i) as s");
    assert_eq!(ordered.columns().iter().collect::<Vec<_>>(), ["i", "n", "t"]);
    assert!(parse("array_agg(n) as s").ordered() && parse("array_agg(distinct n) as s").ordered());
    let (most, about) = (parse("max(n) as s"), parse("approx_distinct(n) as s"));
    assert!(!most.keeps_values() && most.retracting().is_some_and(|most| most.keeps_values()));
    assert!(about.retracting().is_none() && about.retractable_alternative() == Some("count(distinct x)"));
}

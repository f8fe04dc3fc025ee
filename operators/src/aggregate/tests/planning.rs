//! What the plan says, and what it refuses.

use millstream_api::diagnostic::{Key, Severity};
use millstream_api::options::OnBadRow;
use millstream_api::plan::{Columns, Make, Parallelism, Plan, Route, WindowUse};
use millstream_api::stream::{Judge, WindowKind, Windowed};
use millstream_api::types::sql_type;
use millstream_api::{Diagnostic, Stream};
use serde_json::{Value, json};

use super::harness::{input, plan};
use crate::testing::{schema, stream, timed};

fn hop() -> WindowKind {
    WindowKind::hop(10, 4, 0)
}

/// As the `window` node gives it.
fn windowed() -> Stream {
    let columns = schema("k bigint, v bigint, id bigint not null, window_start timestamp not null, window_end timestamp not null");
    let windowed = Some(Windowed { windows: hop(), judge: Judge::Reader, explicit: false });
    Stream { windowed, ..timed(columns) }
}

fn planned(options: Value, stream: Stream) -> Plan {
    plan(options, stream, OnBadRow::Fail).unwrap()
}

fn columns(stream: &Stream) -> Vec<String> {
    let text = |field: &std::sync::Arc<arrow::datatypes::Field>| {
        let null = if field.is_nullable() { "" } else { " not null" };
        format!("{} {}{null}", field.name(), sql_type(field))
    };
    stream.schema.fields().iter().map(text).collect()
}

fn mistakes(options: Value, stream: Stream) -> Vec<String> {
    let found = plan(options, stream, OnBadRow::Fail).map(|plan| plan.warnings).unwrap_or_else(|found| found);
    let path = |diagnostic: &Diagnostic| {
        let step = |key: &Key| match key {
            Key::Name(name) => name.clone(),
            Key::Index(index) => index.to_string(),
        };
        diagnostic.path.iter().map(step).collect::<Vec<_>>().join(".")
    };
    found.0.iter().map(|d| format!("{} {}: {}", d.code, path(d), d.message)).collect()
}

/// The columns that are read when these of each output are.
fn required(plan: &Plan, outputs: [&[&str]; 3]) -> Vec<String> {
    let Make::Operator(factory) = &plan.make else { panic!("not an operator") };
    let outputs: Vec<Columns> = outputs.iter().map(|names| names.iter().map(|name| (*name).to_owned()).collect()).collect();
    factory.required(&outputs).remove(0).into_iter().collect()
}

#[test]
fn per_window_it_has_keys_results_and_bounds() {
    let plan = planned(json!({ "by": ["k"], "compute": ["count(*) as n", "sum(v) as s", "avg(id) as a"] }), windowed());
    let names: Vec<_> = plan.outputs.iter().map(|output| output.side.as_deref()).collect();
    assert_eq!(names, [None, Some("late"), Some("rejected")]);
    let main = &plan.outputs[0].stream;
    assert_eq!(
        columns(main),
        [
            "k bigint",
            "n bigint not null",
            "s bigint",
            "a double not null",
            "window_start timestamp not null",
            "window_end timestamp not null"
        ]
    );
    assert!(main.event_time && !main.updating && !main.from_source);
    assert_eq!(main.windowed, Some(Windowed { windows: hop(), judge: Judge::Done, explicit: true }));
    assert_eq!(main.unique_key.as_deref().unwrap(), ["k", "window_start", "window_end"]);
    let late = &plan.outputs[1].stream;
    assert_eq!(columns(late), ["k bigint", "v bigint", "id bigint not null"]);
    assert!(late.windowed.is_none() && late.event_time);
    assert_eq!(plan.inputs[0].windows, WindowUse::Judges);
    assert!(!plan.inputs[0].origin);
    let Route::Key(key) = &plan.inputs[0].route else { panic!("not routed") };
    assert_eq!(key.text(), "k");
    assert_eq!(plan.parallelism, Parallelism::Any);
}

#[test]
fn json_stays_json_where_it_is_picked() {
    let compute = json!(["last_value(j) as a", "max(j) filter (where v > 0) as b", "array_agg(j) as c", "string_agg(j, ',') as d"]);
    let plan = planned(json!({ "by": ["j"], "compute": compute }), stream(schema("j json not null, v bigint")));
    assert_eq!(
        columns(&plan.outputs[0].stream),
        ["j json not null", "a json not null", "b json", "c list<string> not null", "d string not null"]
    );
}

#[test]
fn running_it_is_updating() {
    let plan = planned(json!({ "by": ["k"], "compute": ["max(v) as most"] }), stream(schema("k string, v bigint not null")));
    let main = &plan.outputs[0].stream;
    assert_eq!(columns(main), ["k string", "most bigint not null"]);
    assert!(main.updating && !main.event_time && main.windowed.is_none());
    assert_eq!((main.unique_key.as_deref().unwrap(), main.most_rows), (&["k".to_owned()][..], None));
    let global = planned(json!({ "compute": ["max(v) as most"] }), stream(schema("v bigint")));
    assert!(matches!(global.parallelism, Parallelism::One(_)));
    assert!(matches!(global.inputs[0].route, Route::Any));
    assert_eq!(global.outputs[0].stream.most_rows, Some(1));
    let rows = planned(json!({ "by": ["k", "window_start"], "compute": ["count(*) as n"], "windowed": false }), windowed());
    assert_eq!(rows.inputs[0].windows, WindowUse::Reads);
    assert_eq!(columns(&rows.outputs[0].stream), ["k bigint", "window_start timestamp not null", "n bigint not null"]);
}

#[test]
fn only_what_is_needed_is_read() {
    let options = json!({
        "by": ["k"],
        "compute": ["sum(v) as s", "max(id) as m", "first_value(v) as f"],
        "having": "m > 3",
    });
    let plan = planned(options.clone(), windowed());
    assert_eq!(required(&plan, [&["k"], &[], &[]]), ["id", "k"]);
    assert_eq!(required(&plan, [&["s"], &[], &[]]), ["id", "k", "v"]);
    assert_eq!(required(&plan, [&[], &["v"], &["raw"]]), ["id", "k", "v"]);
    assert!(plan.inputs[0].origin);
    let reshaped = planned(options, Stream { from_source: false, ..windowed() });
    assert_eq!(required(&reshaped, [&["f"], &[], &[]]), ["id", "k", "v"], "all columns decide which row is first");
    assert!(!reshaped.inputs[0].origin);
}

#[test]
fn the_window_may_be_named_as_a_key() {
    let plan = planned(json!({ "by": ["k", "window_start", "window_end"], "compute": ["count(*) as n"] }), windowed());
    assert_eq!(columns(&plan.outputs[0].stream)[..2], ["k bigint", "n bigint not null"]);
    let Route::Key(key) = &plan.inputs[0].route else { panic!("not routed") };
    assert_eq!(key.text(), "k");
    assert_eq!(
        mistakes(json!({ "compute": ["max(window_end) as n"] }), windowed()),
        ["unknown-column compute.0: there is no column `window_end`"]
    );
}

#[test]
fn all_mistakes_are_found_in_one_go() {
    let options = json!({
        "by": ["nope", "v + 1", "k", "v as k"],
        "compute": ["count(*)", "sum(x) as s", "1 + sum(v)"],
        "having": "max(y) > 0",
    });
    assert_eq!(
        mistakes(options, windowed()),
        [
            "unknown-column by.0: there is no column `nope`",
            "missing-name by.1: `v + 1` has no name",
            "missing-name compute.0: `count(*)` has no name",
            "unknown-column compute.1: there is no column `x`",
            "unknown-column having: there is no column `y`",
        ]
    );
    // What stands beside functions is looked at once the keys are right.
    assert_eq!(
        mistakes(json!({ "by": ["k"], "compute": ["v as w", "count(*) + 1", "sum(z) as s"] }), windowed()),
        [
            "unknown-column compute.2: there is no column `z`",
            "not-an-aggregate compute.0: `v` need not be the same in all rows of a group",
            "missing-name compute.1: `count(*) + 1` has no name",
        ]
    );
}

#[test]
fn columns_must_not_be_there_twice() {
    assert_eq!(
        mistakes(json!({ "by": ["k"], "compute": ["sum(v) as k", "max(v) as m", "min(v) as m"] }), input(None)),
        [
            "duplicate-column compute.0: the column `k` would be there twice",
            "duplicate-column compute.2: the column `m` would be there twice"
        ]
    );
    assert_eq!(
        mistakes(json!({ "compute": ["max(v) as window_end"] }), windowed()),
        ["duplicate-column compute.0: a windowed aggregate has a column `window_end` of its own"]
    );
    assert!(mistakes(json!({ "compute": ["max(v) as window_end"] }), input(None)).is_empty());
}

#[test]
fn inputs_that_do_not_fit_are_refused() {
    let updating = || Stream { updating: true, ..stream(schema("k bigint, v bigint")) };
    assert_eq!(
        mistakes(json!({ "by": ["k"], "compute": ["sum(v) as s", "approx_distinct(v) as m"] }), updating()),
        ["cannot-retract compute.1: rows of `input` can be withdrawn, and `approx_distinct` cannot take one back"]
    );
    assert!(mistakes(json!({ "by": ["k"], "compute": ["count(distinct v) as n", "max(v) as m"] }), updating()).is_empty());
    assert_eq!(
        mistakes(json!({ "compute": ["sum(v) as s"] }), Stream { updating: true, ..windowed() }),
        ["updating-input input: `input` is updating: its rows can be withdrawn, so that no window could ever close"]
    );
    assert_eq!(
        mistakes(json!({ "compute": ["sum(v) as s"] }), Stream { event_time: false, ..windowed() }),
        ["no-event-time input: `input` is windowed but has no event time"]
    );
    assert_eq!(
        mistakes(json!({ "compute": ["sum(v) as s"], "windowed": true, "allowed_lateness": "1s" }), input(None)),
        [
            "not-windowed windowed: `input` is not windowed",
            "not-windowed allowed_lateness: a running aggregate has no windows that could stay open 1s longer"
        ]
    );
    assert_eq!(mistakes(json!({}), input(None)), ["missing-key compute: an aggregate has neither `by` nor `compute`"]);
}

#[test]
fn emit_must_suit_the_form() {
    assert_eq!(
        mistakes(json!({ "compute": ["sum(v) as s"], "emit": "change" }), windowed()),
        ["bad-value emit: emit = \"change\" is not possible: this aggregate is per window"]
    );
    assert_eq!(
        mistakes(json!({ "compute": ["sum(v) as s"], "emit": "close" }), input(None)),
        ["bad-value emit: emit = \"close\" is not possible: this aggregate is a running aggregate"]
    );
    let never = mistakes(json!({ "compute": ["sum(v) as s"], "emit": { "every": "0s" } }), windowed());
    assert_eq!(never, ["bad-value emit.every: `every` cannot be 0"]);
    let other = mistakes(json!({ "compute": ["sum(v) as s"], "emit": "often" }), input(None));
    assert!(other[0].starts_with("bad-value emit: unknown variant `often`, expected one of `close`, `change`, `every`"), "{other:?}");
}

#[test]
fn only_a_running_aggregate_forgets_after_a_time() {
    let options = || json!({ "by": ["k"], "compute": ["count(*) as n"], "state_ttl": "1h" });
    assert_eq!(mistakes(options(), windowed()), ["bad-value state_ttl: a windowed aggregate forgets its groups when their window closes"]);
    let planned = plan(options(), Stream { bounded: false, ..input(None) }, OnBadRow::Fail).unwrap();
    assert!(planned.warnings.0.is_empty());
    assert_eq!(planned.bound.as_deref(), Some("one group for each key that was seen in the last 1h"));
}

#[test]
fn expressions_are_over_keys_functions_and_the_window() {
    let compute =
        ["sum(v) / count(*) as mean", "max(id) as last", "k + count(*) as x", "extract(epoch from window_end - window_start) as s"];
    let plan = planned(json!({ "by": ["k"], "compute": compute, "having": "count(distinct v) > 1 and mean > 0" }), windowed());
    let expected = ["k bigint", "mean bigint", "last bigint not null", "x bigint", "s double not null"];
    assert_eq!(columns(&plan.outputs[0].stream)[..5], expected);
    assert_eq!(required(&plan, [&["s"], &[], &[]]), ["k", "v"], "what `having` needs, and nothing else");
    assert_eq!(required(&plan, [&["last"], &[], &[]]), ["id", "k", "v"]);
    assert_eq!(mistakes(json!({ "compute": ["count(*) as n"], "having": "v > 1" }), input(None)).len(), 1);
    assert_eq!(
        mistakes(json!({ "compute": ["window_end as e", "count(*) as n"] }), input(None))[0],
        "unknown-column compute.0: there is no column `window_end`"
    );
    let updating = || Stream { updating: true, ..stream(schema("k bigint, v bigint")) };
    assert_eq!(
        mistakes(json!({ "compute": ["1 + approx_distinct(v) as n"], "having": "approx_distinct(k) > 1" }), updating()),
        [
            "cannot-retract compute.0: rows of `input` can be withdrawn, and `approx_distinct` cannot take one back",
            "cannot-retract having: rows of `input` can be withdrawn, and `approx_distinct` cannot take one back",
        ]
    );
}

#[test]
fn having_is_over_the_output() {
    assert!(
        mistakes(json!({ "by": ["k as key"], "compute": ["count(*) as n"], "having": "n > 1 and key is not null" }), windowed()).is_empty()
    );
    assert_eq!(
        mistakes(json!({ "by": ["k"], "compute": ["count(*) as n"], "having": "v > 1" }), windowed()),
        ["not-an-aggregate having: `v` need not be the same in all rows of a group"]
    );
    assert_eq!(mistakes(json!({ "compute": ["count(*) as n"], "having": "n + 1" }), windowed()).len(), 1);
}

#[test]
fn state_that_nothing_bounds_is_a_warning() {
    let unbounded = Stream { bounded: false, ..input(None) };
    let warned = |stream: Stream| plan(json!({ "by": ["k"], "compute": ["count(*) as n"] }), stream, OnBadRow::Fail).unwrap().warnings;
    let found = warned(unbounded);
    assert_eq!((found.0[0].code, found.0[0].severity), ("unbounded-state", Severity::Warning));
    assert!(warned(input(None)).0.is_empty());
}

#[test]
fn functions_that_keep_values_are_a_warning_where_nothing_bounds_them() {
    let computes = json!({ "compute": ["count(*) as n", "count(distinct k) as keys", "median(v) as middle"] });
    let planned = |stream: Stream| plan(computes.clone(), stream, OnBadRow::Fail).unwrap();
    let endless = planned(Stream { bounded: false, ..input(None) });
    let places: Vec<&[Key]> = endless.warnings.0.iter().map(|warning| warning.path.as_slice()).collect();
    let at = |index| [Key::Name("compute".to_owned()), Key::Index(index)];
    assert_eq!(places, [at(1).as_slice(), at(2).as_slice()]);
    assert_eq!(endless.bound, None);

    let ends = planned(input(None));
    assert!(ends.warnings.0.is_empty());
    assert_eq!(ends.bound.as_deref(), Some("one group; the values of its rows, for count(distinct k), median(v)"));
    let windows = planned(Stream { bounded: false, ..windowed() });
    assert_eq!(
        windows.bound.as_deref(),
        Some("one group in each window that is open; the values of its rows, for count(distinct k), median(v)")
    );
}

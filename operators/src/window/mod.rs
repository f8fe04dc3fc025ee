//! `window`: says which windows rows are in.
//!
//! Mostly it does nothing at run time: an aggregate behind it knows the windows from the plan, computes them from event time
//! and judges lateness itself, and rows pass through untouched. Only where a reader wants to see the windows, the plan asks
//! for *explicit* ones: then each row leaves once for each of its windows (see [`expand`]), and if the reader does not
//! judge lateness, it is judged here. `kinds` and `length` read the keys: which belong to which kind, and what a length means.

mod expand;
mod kinds;
mod length;

use std::sync::Arc;

use arrow::datatypes::{Field, Schema, SchemaRef};
use millstream_api::plan::{Columns, InputPlan, Inputs, Make, OperatorContext, OperatorFactory, OutputPlan, Plan, WindowUse};
use millstream_api::registry::{InputKeys, NodeOptions, Role};
use millstream_api::stream::{Judge, WindowKind, Windowed};
use millstream_api::time::DurationText;
use millstream_api::types::timestamp_type;
use millstream_api::{Batch, Diagnostic, Diagnostics, Operator, Output, Result, Stream};
use schemars::JsonSchema;
use serde::Deserialize;

use self::expand::Expand;
use self::length::Length;
use crate::columns::places;

const MAIN: usize = 0;
const LATE: usize = 1;

/// The columns that a window adds.
const WINDOW_START: &str = "window_start";
const WINDOW_END: &str = "window_end";

fn is_bound(name: &str) -> bool {
    name == WINDOW_START || name == WINDOW_END
}

/// Divides a stream into windows of event time, for an `aggregate` or another reader.
///
/// A window `[start, end)` closes when the watermark reaches its end. Windows start at multiples of `slide` (of `size` for
/// `tumble` and `cumulate`) since 1970-01-01T00:00Z, plus `offset`. The stream gets the columns `window_start` and
/// `window_end`. Behind other windows (of an aggregate that is windowed again) it takes their place, and its columns that of
/// theirs.
///
/// An aggregate behind it decides row by row which windows are still open. Any other reader sees a row once for each window
/// that is open by the row's own watermark; a row without an open window goes to the stream `NAME.late`, with the columns it
/// came with.
///
/// A session lasts as long as the rows of a key follow each other at less than `gap`, and ends `gap` after its last row. It
/// has no bounds before a key is known, so only an `aggregate` can read it, directly or through `filter` and `select`; the
/// two columns are those of the aggregate.
///
/// With `timezone` a length in `d` or `w` is days of that zone, which have 23 or 25 hours where its clocks change.
///
/// ```toml
/// [operators.hourly]
/// type  = "window"
/// input = "departures"
/// kind  = "tumble"
/// size  = "1h"
///
/// [operators.last_ten_seconds]
/// type  = "window"
/// input = "bids"
/// kind  = "hop"
/// size  = "10s"
/// slide = "2s"
///
/// [operators.visits]
/// type  = "window"
/// input = "clicks"
/// kind  = "session"
/// gap   = "30m"
///
/// [operators.so_far_today]
/// type     = "window"
/// input    = "sales"
/// kind     = "cumulate"
/// size     = "1d"
/// step     = "1h"
/// timezone = "Europe/Berlin"
/// ```
#[derive(Clone, Debug, Deserialize, JsonSchema)]
pub struct WindowOptions {
    /// `tumble`: each instant is in one window. `hop`: windows overlap, each instant is in size ÷ slide of them. `session`:
    /// rows of a key that follow each other. `cumulate`: windows that start together and grow by `step` up to `size`.
    pub kind: Kind,
    /// Length of a window; of the longest ones for `cumulate`. Not for `session`.
    pub size: Option<Length>,
    /// Of hop windows: from the start of one to the start of the next. It need not divide `size`, but cannot be greater.
    pub slide: Option<Length>,
    /// Of sessions: rows of a key that are this far apart, or further, are two sessions.
    pub gap: Option<Length>,
    /// Of cumulate windows: how much longer each is than the one before. It must divide `size`; where `size` is days of a
    /// `timezone` and `step` is not, the last window of a day ends with the day.
    pub step: Option<Length>,
    /// Shifts all windows: with `size = "1d"`, `offset = "5h"` days begin at 05:00 UTC, or by the clocks of `timezone`. Less
    /// than `slide` (`size` for tumble and cumulate), and not negative: a day shifted by −8 hours is one shifted by `"16h"`.
    pub offset: Option<DurationText>,
    /// A zone of the IANA database, for example `Europe/Berlin`: `d` and `w` are days of it. `h` never is.
    pub timezone: Option<String>,
}

/// The kinds of windows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// Windows that follow each other without gap or overlap.
    Tumble,
    /// Windows of one length that start every `slide`.
    Hop,
    /// Rows of a key that follow each other at less than `gap`.
    Session,
    /// Windows that start together and grow by `step`.
    Cumulate,
}

impl NodeOptions for WindowOptions {
    const KIND: &'static str = "window";
    const ROLE: Role = Role::Operator;
    const INPUTS: InputKeys = InputKeys::One;

    fn plan(self, inputs: &Inputs<'_>) -> Result<Plan, Diagnostics> {
        let (name, input) = &inputs.streams[0];
        let input = &input.row_by_row();
        let mut found = Diagnostics(unfit_input(name, input));
        let windows = kinds::windows(&self, &mut found);
        let Some(windows) = windows.filter(|_| !found.has_errors()) else {
            return Err(found);
        };
        let late = Stream { windowed: None, ..input.clone() };
        let outputs = vec![OutputPlan::main(windowed(input, windows.clone())), OutputPlan::side("late", late)];
        let factory = WindowFactory { windows, input: input.schema.clone() };
        Ok(Plan { warnings: found, ..Plan::new(vec![InputPlan::any(WindowUse::Reads)], outputs, Make::Operator(Arc::new(factory))) })
    }
}

fn unfit_input(name: &str, input: &Stream) -> Vec<Diagnostic> {
    let mut found = Vec::new();
    if input.updating {
        found.push(
            Diagnostic::error(
                "updating-input",
                format!("`{name}` is updating: its rows can be withdrawn, so that no window could ever close"),
            )
            .key("input")
            .help("put the window before the node that makes it updating"),
        );
    } else if !input.event_time {
        found.push(
            Diagnostic::error("no-event-time", format!("`{name}` has no event time"))
                .key("input")
                .help("give its source one, for example time = { by = \"created_at\", max_delay = \"1m\" }"),
        );
    }
    for column in [WINDOW_START, WINDOW_END] {
        if input.windowed.is_none() && input.schema.column_with_name(column).is_some() {
            found.push(
                Diagnostic::error("duplicate-column", format!("`{name}` has a column `{column}` already, which the window would add"))
                    .key("input")
                    .help(format!("rename it or leave it out with a `select` before: columns = [\"* except ({column})\"]")),
            );
        }
    }
    found
}

fn windowed(input: &Stream, windows: WindowKind) -> Stream {
    let bounds = [WINDOW_START, WINDOW_END].map(|name| Arc::new(Field::new(name, timestamp_type(), false)));
    let aligned = windows.aligned();
    let bounds = bounds.into_iter().filter(|_| aligned.is_some());
    // Those of windows that are replaced.
    let replaced = |name: &str| input.windowed.is_some() && is_bound(name);
    let kept = input.schema.fields().iter().filter(|field| !replaced(field.name())).cloned();
    let fields: Vec<_> = kept.chain(bounds).collect();
    let mut unique_key = input.unique_key.clone().filter(|key| !key.iter().any(|name| replaced(name)));
    if aligned.is_some_and(|windows| !windows.tumbles()) {
        // A row is in several windows: only together with the window it is one of a kind.
        unique_key.iter_mut().for_each(|key| key.extend([WINDOW_START, WINDOW_END].map(str::to_owned)));
    }
    let windowed = Some(Windowed { windows, judge: Judge::Reader, explicit: false });
    Stream { schema: Arc::new(Schema::new(fields)), windowed, unique_key, ..input.clone() }
}

struct WindowFactory {
    windows: WindowKind,
    input: SchemaRef,
}

impl OperatorFactory for WindowFactory {
    fn required(&self, outputs: &[Columns]) -> Vec<Columns> {
        let kept = outputs[MAIN].iter().filter(|name| self.input.column_with_name(name).is_some() && !is_bound(name));
        vec![kept.chain(&outputs[LATE]).cloned().collect()]
    }

    fn make(&self, context: &OperatorContext) -> Result<Box<dyn Operator>> {
        let shape = &context.outputs[MAIN];
        if let (Some(windows), true) = (self.windows.aligned(), shape.explicit_windows || shape.judge) {
            return Ok(Box::new(Expand::new(windows, context)?));
        }
        Ok(Box::new(Pass { places: places(&context.inputs[0].schema, &shape.schema)? }))
    }
}

/// Rows pass through: whoever reads them knows the windows from the plan.
struct Pass {
    places: Vec<usize>,
}

impl Operator for Pass {
    fn on_batch(&mut self, _: usize, batch: Batch, out: &mut Output) -> Result<()> {
        out.fates().passed += batch.rows() as u64;
        let mut hidden = batch.hidden().clone();
        hidden.windows = None;
        out.emit(MAIN, batch.project(&self.places)?.with_hidden(hidden)?);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use millstream_api::operator::Fates;
    use serde_json::{Value, json};

    use super::*;
    use crate::testing::{Node, at, batch, ints, marked, rows, schema, stream, timed, times};

    fn mistakes(options: Value) -> Vec<(&'static str, String, String)> {
        Node::mistakes::<WindowOptions>(options, vec![timed(schema("a bigint"))])
    }

    #[test]
    fn rows_pass_when_the_reader_knows_the_windows() {
        let node = Node::plan::<WindowOptions>(json!({ "kind": "tumble", "size": "10s" }), vec![timed(schema("a bigint, b bigint"))]);
        let planned = &node.plan.outputs[0].stream;
        assert_eq!(planned.windowed.as_ref().unwrap().windows, WindowKind::hop(10_000_000, 10_000_000, 0));
        let mut node = node.reading(0, &["b"]);
        node.watermark(i64::MAX - 1);
        let input = marked(at(batch(&[("a", ints([Some(1)])), ("b", ints([Some(2)]))]), &[5]), &[7]);
        let (out, fates) = node.run(0, input);
        assert_eq!(rows(&out, 0), [r#"{"b":2}"#]);
        assert_eq!(times(&out, 0), [5]);
        assert_eq!(out[0].1.hidden().marks.as_ref().unwrap().values().as_ref(), &[7]);
        assert_eq!(fates, Fates { passed: 1, ..Fates::default() });
    }

    #[test]
    fn bad_windows_are_refused_with_a_reason() {
        let code_and_message = |options: Value| {
            let found = mistakes(options);
            assert_eq!(found.len(), 1, "{found:?}");
            assert_eq!(found[0].0, "bad-window");
            found[0].2.clone()
        };
        let slide = json!({ "kind": "hop", "size": "10s", "slide": "11s" });
        assert_eq!(code_and_message(slide), "`slide` (11s) is greater than `size` (10s): rows between two windows would be in none");
        assert_eq!(code_and_message(json!({ "kind": "hop", "size": "10s" })), "hop windows need a `slide`");
        assert_eq!(code_and_message(json!({ "kind": "tumble", "size": "10s", "slide": "5s" })), "tumble windows have no `slide`");
        assert_eq!(code_and_message(json!({ "kind": "tumble", "size": "0s" })), "a window cannot have the size 0");
        assert_eq!(code_and_message(json!({ "kind": "hop", "size": "1s", "slide": "0s" })), "`slide` cannot be 0");
        assert_eq!(code_and_message(json!({ "kind": "tumble" })), "tumble windows need a `size`");
        assert_eq!(code_and_message(json!({ "kind": "session" })), "session windows need a `gap`");
        assert_eq!(code_and_message(json!({ "kind": "session", "gap": "0s" })), "`gap` cannot be 0");
        assert_eq!(code_and_message(json!({ "kind": "session", "gap": "1s", "size": "1s" })), "session windows have no `size`");
        assert_eq!(code_and_message(json!({ "kind": "session", "gap": "1s", "timezone": "UTC" })), "session windows have no `timezone`");
        assert_eq!(code_and_message(json!({ "kind": "tumble", "size": "1s", "gap": "1s" })), "tumble windows have no `gap`");
        assert_eq!(code_and_message(json!({ "kind": "cumulate", "size": "1h" })), "cumulate windows need a `step`");
        let step = |step: &str| json!({ "kind": "cumulate", "size": "1h", "step": step });
        assert_eq!(code_and_message(step("2h")), "`step` (2h) is greater than `size` (1h)");
        assert_eq!(code_and_message(step("25m")), "`size` (1h) is not a multiple of `step` (25m)");
        let zone = |zone: &str, slide: &str| json!({ "kind": "hop", "size": "2d", "slide": slide, "timezone": zone });
        assert_eq!(code_and_message(zone("Europe/Berln", "1d")), "there is no time zone `Europe/Berln`");
        let message = "`size` is days of UTC and `slide` (6h) is hours, which do not divide every day";
        assert_eq!(code_and_message(zone("UTC", "6h")), message);
        let offset = json!({ "kind": "tumble", "size": "10s", "offset": "10s" });
        assert_eq!(code_and_message(offset), "`offset` (10s) must be less than `size` (10s)");
    }

    #[test]
    fn lengths_in_days_are_days_of_the_zone_and_hours_never_are() {
        let said = |options: Value| {
            let plan = Node::plan::<WindowOptions>(options, vec![timed(schema("a bigint"))]).plan;
            let windows = plan.outputs[0].stream.windowed.as_ref().unwrap().windows.to_string();
            (windows, plan.warnings.0.iter().map(|warning| warning.code).collect::<Vec<_>>())
        };
        let tumble = |size: &str| json!({ "kind": "tumble", "size": size, "timezone": "Europe/Berlin", "offset": "5h" });
        assert_eq!(said(tumble("1w")), ("windows of 7d in Europe/Berlin shifted by 5h".into(), vec![]));
        assert_eq!(said(tumble("24h")), ("windows of 1d shifted by 5h".into(), vec!["unused-key"]));
        let cumulate = |size: &str, step: &str| json!({ "kind": "cumulate", "size": size, "step": step, "timezone": "UTC" });
        assert_eq!(said(cumulate("2d", "1d")), ("windows of up to 2d that grow by 1d in UTC".into(), vec![]));
        assert_eq!(said(cumulate("1d", "1h")), ("windows of up to 1d that grow by 1h in UTC".into(), vec![]));
        assert_eq!(said(cumulate("4h", "1h")).1, ["unused-key"]);
    }

    #[test]
    fn a_session_has_no_bounds_before_a_key_is_known() {
        let node = Node::plan::<WindowOptions>(json!({ "kind": "session", "gap": "10s" }), vec![timed(schema("a bigint"))]);
        let stream = &node.plan.outputs[0].stream;
        assert_eq!(stream.schema.fields().len(), 1);
        assert_eq!(stream.windowed.as_ref().unwrap().windows, WindowKind::Session { gap: 10_000_000 });
    }

    #[test]
    fn inputs_that_cannot_be_windowed_are_refused() {
        let codes = |input: Stream| -> Vec<&str> {
            let found = Node::mistakes::<WindowOptions>(json!({ "kind": "tumble", "size": "1s" }), vec![input]);
            found.iter().map(|(code, _, _)| *code).collect()
        };
        assert_eq!(codes(stream(schema("a bigint"))), ["no-event-time"]);
        assert_eq!(codes(Stream { updating: true, ..stream(schema("a bigint")) }), ["updating-input"]);
        assert_eq!(codes(timed(schema("window_start bigint, window_end bigint"))), ["duplicate-column", "duplicate-column"]);
    }

    #[test]
    fn windows_take_the_place_of_other_windows_and_of_their_columns() {
        let before = Windowed { windows: WindowKind::hop(1_000_000, 1_000_000, 0), judge: Judge::Done, explicit: true };
        let key = ["a", "window_start", "window_end"].map(str::to_owned).to_vec();
        let input = timed(schema("a bigint, window_start timestamp, n bigint, window_end timestamp"));
        let input = Stream { windowed: Some(before), unique_key: Some(key), ..input };
        let options = json!({ "kind": "tumble", "size": "10s" });
        let node = Node::plan::<WindowOptions>(options, vec![input.clone()]);
        let outputs = &node.plan.outputs;
        let names = |schema: &SchemaRef| schema.fields().iter().map(|field| field.name().clone()).collect::<Vec<_>>();
        assert_eq!(names(&outputs[MAIN].stream.schema), ["a", "n", "window_start", "window_end"]);
        assert_eq!(names(&outputs[LATE].stream.schema), names(&input.schema), "late rows have what they came with");
        assert_eq!(outputs[MAIN].stream.unique_key, None, "the windows that told them apart are gone");
        let node = node.shaped(|shape| shape.explicit_windows = true);
        let mut node = node.reading(0, &["a", "window_start"]).reading(1, &["a"]);
        let (out, _) = node.run(0, at(batch(&[("a", ints([Some(1)]))]), &[12_000_000]));
        assert_eq!(rows(&out, 0), [r#"{"a":1,"window_start":"1970-01-01T00:00:10Z"}"#]);
    }

    #[test]
    fn a_key_needs_the_window_only_when_windows_overlap() {
        let keyed = Stream { unique_key: Some(vec!["a".into()]), ..timed(schema("a bigint")) };
        let key =
            |options: Value| Node::plan::<WindowOptions>(options, vec![keyed.clone()]).plan.outputs[0].stream.unique_key.clone().unwrap();
        assert_eq!(key(json!({ "kind": "tumble", "size": "1s" })), ["a"]);
        assert_eq!(key(json!({ "kind": "hop", "size": "2s", "slide": "1s" })), ["a", "window_start", "window_end"]);
    }
}

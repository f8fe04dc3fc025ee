//! `window`: says which windows rows are in.
//!
//! Mostly it does nothing at run time: an aggregate behind it knows the windows from the plan, computes them from event time
//! and judges lateness itself, and rows pass through untouched. Only where a reader wants to see the windows, the plan asks
//! for *explicit* ones: then each row leaves once for each of its windows (see [`expand`]), and if the reader does not
//! judge lateness, it is judged here.

mod expand;

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
use crate::columns::places;

const MAIN: usize = 0;
const LATE: usize = 1;

/// The columns that a window adds.
const WINDOW_START: &str = "window_start";
const WINDOW_END: &str = "window_end";

/// Divides a stream into windows of event time, for an `aggregate` or another reader.
///
/// A window `[start, end)` closes when the watermark reaches its end. Windows start at multiples of `slide` (of `size` for
/// `tumble`) since 1970-01-01T00:00Z, plus `offset`. The stream gets the columns `window_start` and `window_end`.
///
/// An aggregate behind it decides row by row which windows are still open. Any other reader sees a row once for each window
/// that is open by the row's own watermark; a row without an open window goes to the stream `NAME.late`, with the columns it
/// came with.
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
/// ```
#[derive(Clone, Debug, Deserialize, JsonSchema)]
pub struct WindowOptions {
    /// `tumble`: each instant is in one window. `hop`: windows overlap, each instant is in size ÷ slide of them.
    pub kind: Kind,
    /// Length of a window.
    pub size: DurationText,
    /// Of hop windows: from the start of one to the start of the next. It need not divide `size`, but cannot be greater.
    pub slide: Option<DurationText>,
    /// Shifts all windows: with `size = "1d"`, `offset = "5h"` days begin at 05:00 UTC. Less than `slide` (`size` for tumble).
    #[serde(default)]
    pub offset: DurationText,
}

/// The kinds of windows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// Windows that follow each other without gap or overlap.
    Tumble,
    /// Windows of one length that start every `slide`.
    Hop,
}

impl NodeOptions for WindowOptions {
    const KIND: &'static str = "window";
    const ROLE: Role = Role::Operator;
    const INPUTS: InputKeys = InputKeys::One;

    fn plan(self, inputs: &Inputs<'_>) -> Result<Plan, Diagnostics> {
        let (name, input) = &inputs.streams[0];
        let mut found = Diagnostics(unfit_input(name, input));
        let windows = found.ok(self.windows());
        let Some(windows) = windows.filter(|_| !found.has_errors()) else {
            return Err(found);
        };
        let late = Stream { windowed: None, ..input.clone() };
        let outputs = vec![OutputPlan::main(windowed(input, windows.clone())), OutputPlan::side("late", late)];
        let factory = WindowFactory { windows, input: input.schema.clone() };
        Ok(Plan::new(vec![InputPlan::any(WindowUse::Reads)], outputs, Make::Operator(Arc::new(factory))))
    }
}

/// A row in more windows than this would keep a pipeline busy for hours with its results alone.
const MOST_WINDOWS_OF_A_ROW: i64 = 1_000_000;

impl WindowOptions {
    fn windows(&self) -> Result<WindowKind, Diagnostics> {
        let mut found = Diagnostics::default();
        let bad = |key: &str, message: String| Diagnostic::error("bad-window", message).key(key);
        let slide = match (self.kind, self.slide) {
            (Kind::Tumble, None) => self.size,
            (Kind::Hop, Some(slide)) => slide,
            (Kind::Tumble, Some(_)) => {
                found.push(
                    bad("slide", "tumble windows have no `slide`".into()).on_key().help("for overlapping windows write kind = \"hop\""),
                );
                self.size
            }
            (Kind::Hop, None) => {
                found.push(
                    bad("kind", "hop windows need a `slide`".into()).help("add for example slide = \"1m\", or use kind = \"tumble\""),
                );
                self.size
            }
        };
        if self.size.micros() == 0 {
            found.push(bad("size", "a window cannot have the size 0".into()).help("write it like size = \"1h\""));
        } else if slide.micros() == 0 {
            found.push(bad("slide", "`slide` cannot be 0".into()).help("write it like slide = \"1m\""));
        } else if slide > self.size {
            let message = format!("`slide` ({slide}) is greater than `size` ({}): rows between two windows would be in none", self.size);
            found.push(bad("slide", message).help("make `slide` at most `size`; filter the rows that are not wanted"));
        } else if self.offset >= slide {
            let of = if self.kind == Kind::Tumble { "size" } else { "slide" };
            let message = format!("`offset` ({}) must be less than `{of}` ({slide})", self.offset);
            found.push(bad("offset", message).help("windows repeat, so that a smaller offset gives the same windows"));
        }
        if found.0.is_empty() && self.size.micros() / slide.micros() > MOST_WINDOWS_OF_A_ROW {
            let message = format!(
                "each row would be in {} windows: `size` is {} and `slide` {slide}",
                self.size.micros() / slide.micros(),
                self.size
            );
            found.push(bad("slide", message).help(format!("a row can be in {MOST_WINDOWS_OF_A_ROW} windows at most: make `slide` longer")));
        }
        found.into_result(WindowKind::Hop { size: self.size.micros(), slide: slide.micros(), offset: self.offset.micros() })
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
        if input.schema.column_with_name(column).is_some() {
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
    let fields: Vec<_> = input.schema.fields().iter().cloned().chain(bounds).collect();
    let WindowKind::Hop { size, slide, .. } = windows;
    let mut unique_key = input.unique_key.clone();
    if slide < size {
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
        let is_input = |name: &&String| self.input.column_with_name(name).is_some();
        vec![outputs[MAIN].iter().chain(&outputs[LATE]).filter(is_input).cloned().collect()]
    }

    fn make(&self, context: &OperatorContext) -> Result<Box<dyn Operator>> {
        let shape = &context.outputs[MAIN];
        if shape.explicit_windows || shape.judge {
            return Ok(Box::new(Expand::new(&self.windows, context)?));
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
        assert_eq!(planned.windowed.as_ref().unwrap().windows, WindowKind::Hop { size: 10_000_000, slide: 10_000_000, offset: 0 });
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
        let offset = json!({ "kind": "tumble", "size": "10s", "offset": "10s" });
        assert_eq!(code_and_message(offset), "`offset` (10s) must be less than `size` (10s)");
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
    fn a_key_needs_the_window_only_when_windows_overlap() {
        let keyed = Stream { unique_key: Some(vec!["a".into()]), ..timed(schema("a bigint")) };
        let key =
            |options: Value| Node::plan::<WindowOptions>(options, vec![keyed.clone()]).plan.outputs[0].stream.unique_key.clone().unwrap();
        assert_eq!(key(json!({ "kind": "tumble", "size": "1s" })), ["a"]);
        assert_eq!(key(json!({ "kind": "hop", "size": "2s", "slide": "1s" })), ["a", "window_start", "window_end"]);
    }
}

//! What is sent to which topology: [`windows`] and running aggregates, [`joins`]. Times are seconds of one minute.

mod joins;
mod windows;

use joins::{as_of_join, changes_join, interval_join, window_join};
use serde_json::{Value, json};
use windows::{early_rows, late_rows, sessions, updating};

/// A topology and what is sent to it.
pub struct Scene {
    /// The file's name.
    pub name: &'static str,
    pub title: &'static str,
    /// Its sources and operators.
    pub topology: String,
    /// The sources, in the order of their colours.
    pub sources: &'static [&'static str],
    /// The node whose watermark is drawn.
    pub watermark_of: &'static str,
    pub sinks: &'static [Sink],
    /// The first and the last second of the axis.
    pub axis: (u32, u32),
    pub steps: Vec<Step>,
}

/// A `collect` sink and how its rows are drawn.
pub struct Sink {
    pub name: &'static str,
    /// The stream that it reads.
    pub input: &'static str,
    pub shape: Shape,
    /// The columns that are shown.
    pub columns: &'static [&'static str],
}

/// How a row that comes out is drawn.
#[derive(Clone, Copy, PartialEq)]
pub enum Shape {
    /// A bar from `window_start` to `window_end`.
    Bar,
    /// A point at `t`.
    Point,
    /// A cross at `t`: it was late.
    Late,
    /// Text only: the row has no event time.
    Text,
}

impl Scene {
    /// The topology as in a file.
    pub fn text(&self) -> String {
        let sink = |sink: &Sink| format!("[sinks.{}]\ntype = \"collect\"\ninput = \"{}\"\n", sink.name, sink.input);
        format!("name = \"{}\"\n{}\n{}", self.name, self.topology, self.sinks.iter().map(sink).collect::<String>())
    }
}

/// One step.
pub enum Step {
    Send { source: &'static str, seconds: u32, label: String, row: Value },
    Advance(&'static str),
    End,
}

/// A source of rows with a time `t` and other columns; `event_time` is what its `time` says.
fn source(name: &str, columns: &str, event_time: &str) -> String {
    format!("[sources.{name}]\ntype = \"script\"\nschema = {{ t = \"timestamp\", {columns} }}\ntime = {{ {event_time} }}\n")
}

fn send(source: &'static str, seconds: u32, label: &str, columns: Value) -> Step {
    let mut row = json!({ "t": format!("2024-01-01T00:00:{seconds:02}Z") });
    row.as_object_mut().unwrap().extend(columns.as_object().unwrap().clone());
    Step::Send { source, seconds, label: label.to_owned(), row }
}

/// Rows of one source without columns that matter.
fn ticks(source: &'static str, seconds: &[u32]) -> Vec<Step> {
    seconds.iter().map(|second| send(source, *second, "", json!({ "k": "a" }))).collect()
}

/// All scenes, in the order of the page.
pub fn all() -> Vec<Scene> {
    vec![late_rows(), sessions(), early_rows(), updating(), window_join(), interval_join(), as_of_join(), changes_join()]
}

//! Runs a scene and notes what came of each step.

use arrow::array::AsArray;
use arrow::datatypes::Int8Type;
use millstream_api::Registry;
use millstream_api::error::row_as_json;
use millstream_testkit::Script;
use serde_json::Value;

use crate::scenes::{Scene, Step};

/// What came of one step.
pub struct Played {
    /// Where the watermark is now, in seconds; none before the first and after the end.
    pub watermark: Option<f64>,
    /// What came out, with the index of its sink.
    pub out: Vec<(usize, Out)>,
}

/// A row that came out.
pub struct Out {
    pub row: Value,
    /// +1, or -1 when it is withdrawn.
    pub weight: i8,
}

/// Plays all steps.
pub fn play(scene: &Scene) -> Vec<Played> {
    let mut registry = Registry::new();
    millstream_operators::register(&mut registry);
    // One row a batch and one subtask each: every step is seen by itself.
    let settings = ["runtime.workers=1", "runtime.batch_rows=1"];
    let mut script = Script::start(registry, &scene.text(), &settings, 1).unwrap();
    let mut seen = vec![0; scene.sinks.len()];
    let step = |step: &Step| {
        match step {
            Step::Send { source, row, .. } => script.send(source, &row.to_string()).unwrap(),
            Step::Advance(duration) => script.advance(duration).unwrap(),
            Step::End => script.end().unwrap(),
        }
        let mut out = Vec::new();
        for (index, sink) in scene.sinks.iter().enumerate() {
            let rows = rows(&mut script, sink.name);
            out.extend(rows.into_iter().skip(seen[index]).inspect(|_| seen[index] += 1).map(|row| (index, row)));
        }
        Played { watermark: watermark(&mut script, scene.watermark_of), out }
    };
    scene.steps.iter().map(step).collect()
}

/// All rows that a sink has got, in the order in which they came.
fn rows(script: &mut Script, sink: &str) -> Vec<Out> {
    let records = script.run().views().get(sink).unwrap().rows().unwrap().1;
    let last = records.num_columns() - 1;
    let weights = records.column(last).as_primitive::<Int8Type>().clone();
    let visible = records.project(&(0..last).collect::<Vec<_>>()).unwrap();
    let row = |row: usize| Out { row: serde_json::from_str(&row_as_json(&visible, row)).unwrap(), weight: weights.value(row) };
    (0..visible.num_rows()).map(row).collect()
}

/// The watermark that a node has got, in seconds.
fn watermark(script: &mut Script, node: &str) -> Option<f64> {
    let observation = script.run().observe();
    let node = observation.nodes.into_iter().find(|observed| observed.node == node).unwrap();
    let text = serde_json::to_value(node.watermark).unwrap();
    text.as_str().filter(|text| *text != "end").map(seconds)
}

/// The seconds of a time of a scene: all are within an hour of 2024.
pub fn seconds(time: &str) -> f64 {
    let (minutes, seconds) = (&time[14..16], time[17..].trim_end_matches('Z'));
    let before = if time.starts_with("2023") { 3600.0 } else { 0.0 };
    minutes.parse::<f64>().unwrap() * 60.0 + seconds.parse::<f64>().unwrap() - before
}

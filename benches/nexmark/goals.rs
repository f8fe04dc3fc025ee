//! What is to be reached, in million events for each second of CPU time.

use crate::arguments::Mode;

/// The queries that have goals, in the order in which they are shown, and how people know them.
pub const QUERIES: [(&str, &str); 6] = [
    ("q1", "q1: map"),
    ("q2", "q2: filter"),
    ("q3", "q3: join"),
    ("q5_counts", "q5: counts in hops"),
    ("q5", "q5: hot items"),
    ("q8", "q8: join in windows"),
];

/// From files: five times what programs written by hand reach that read with serde.
const FROM_FILES: [f64; 6] = [11.0, 11.0, 10.0, 10.0, 9.0, 9.0];

/// From memory, with one worker: five times the best of the same.
const FROM_MEMORY: [f64; 6] = [65.0, 70.0, 65.0, 45.0, 40.0, 50.0];

/// How long a result may take, at 10,000 events in a second, in 99 of 100 cases.
pub const LATENCY_MS: f64 = 20.0;

/// The goal of a query; `None` where there is none.
pub fn goal(query: &str, mode: Mode) -> Option<f64> {
    let index = QUERIES.iter().position(|(name, _)| *name == query)?;
    match mode {
        Mode::Ndjson | Mode::Merged => Some(FROM_FILES[index]),
        Mode::Memory => Some(FROM_MEMORY[index]),
        Mode::Live | Mode::Made => None,
    }
}

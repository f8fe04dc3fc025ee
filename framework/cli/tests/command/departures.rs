//! A file of departures and their sums for each hour, with checkpoints.

use std::fmt::Write;

use super::Folder;

/// Sums for each hour over a file of which a row is 5 minutes and 7 seconds, read as `rate` says. `checkpoint` are the lines of its table.
pub fn hourly(checkpoint: &str, rate: &str) -> String {
    format!(
        r#"
name = "hourly"

[runtime]
workers = 2
linger  = "1ms"

[checkpoint]
{checkpoint}

[sources.departures]
type   = "file"
path   = "in.ndjson"
format = "json"
{rate}
schema = {{ carrier = "string not null", departed = "timestamp", delay = "bigint" }}
time   = {{ by = "departed", max_delay = "30m" }}

[operators.hourly]
type  = "window"
input = "departures"
kind  = "tumble"
size  = "1h"

[operators.flights]
type    = "aggregate"
input   = "hourly"
by      = ["carrier"]
compute = ["count(*) as n", "sum(delay) as delay"]

[sinks.archive]
type  = "file"
input = "flights"
path  = "out.ndjson"
"#
    )
}

/// How many departures there are.
pub const ROWS: usize = 3_000;

/// A folder with the departures and a topology.
pub fn folder(topology: &str) -> Folder {
    let mut text = String::new();
    for row in 0..ROWS {
        let seconds = row * 307;
        let (day, hour, minute, second) = (seconds / 86_400 + 1, seconds / 3_600 % 24, seconds / 60 % 60, seconds % 60);
        let carrier = ["UA", "AA", "DL", "WN", "B6"][row * 7 % 5];
        let time = format!("2013-01-{day:02}T{hour:02}:{minute:02}:{second:02}Z");
        writeln!(text, "{{\"carrier\":\"{carrier}\",\"departed\":\"{time}\",\"delay\":{}}}", row % 60).unwrap();
    }
    Folder::with(&[("topology.toml", topology), ("in.ndjson", &text)])
}

/// The lines of a file, sorted.
pub fn lines(folder: &Folder, name: &str) -> Vec<String> {
    let mut lines: Vec<String> = folder.read(name).lines().map(str::to_owned).collect();
    lines.sort_unstable();
    lines
}

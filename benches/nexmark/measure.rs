//! One measurement: a query, where its events come from, how many workers.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::{Duration, Instant};

use millstream_api::Registry;
use millstream_runtime::{Job, Outcome, RunOptions};
use millstream_topology::load_text;
use rustix::time::{ClockId, clock_gettime};
use serde::{Deserialize, Serialize};

use crate::query::Query;
use crate::{Mode, discard, memory};

/// What a run cost.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Figures {
    /// The query.
    pub query: String,
    /// `memory` or `ndjson`.
    pub mode: String,
    /// `runtime.workers`.
    pub workers: usize,
    /// Rows that the query read.
    pub events: u64,
    /// Rows of the result.
    pub rows_out: i64,
    /// Checksum of the result.
    pub checksum: String,
    /// Wall-clock time, in seconds.
    pub seconds: f64,
    /// User and system time of all threads, in seconds.
    pub cpu_seconds: f64,
    /// The most memory that was resident, in MiB.
    pub peak_mib: f64,
}

impl Figures {
    /// Million events for each second of wall-clock time.
    pub fn per_second(&self) -> f64 {
        self.events as f64 / self.seconds / 1e6
    }

    /// Million events for each second of CPU time.
    pub fn per_cpu_second(&self) -> f64 {
        self.events as f64 / self.cpu_seconds / 1e6
    }

    /// The medians of several runs of the same.
    ///
    /// # Errors
    /// When the runs gave different results.
    pub fn median(runs: Vec<Figures>) -> Result<Figures, String> {
        let Some(first) = runs.first().cloned() else { return Err("no runs".to_owned()) };
        if let Some(other) = runs.iter().find(|run| run.checksum != first.checksum || run.rows_out != first.rows_out) {
            return Err(format!("{} gave {} and then {}", first.query, first.checksum, other.checksum));
        }
        let middle = |of: fn(&Figures) -> f64| {
            let mut values: Vec<f64> = runs.iter().map(of).collect();
            values.sort_by(f64::total_cmp);
            values[values.len() / 2]
        };
        Ok(Figures { seconds: middle(|f| f.seconds), cpu_seconds: middle(|f| f.cpu_seconds), peak_mib: middle(|f| f.peak_mib), ..first })
    }
}

/// Where events come from: all of them from memory, or each type from its file.
const EVENT_SOURCES: [&str; 4] = ["nexmark", "person", "auction", "bid"];

/// Runs the query in this process.
///
/// # Errors
/// When the topology is wrong or fails.
#[expect(clippy::disallowed_methods, reason = "a benchmark measures real time")]
pub fn measure_here(query: Query, mode: Mode, workers: usize, events: u64, data: &Path) -> Result<Figures, String> {
    // What a query reads beside the events lies beside it.
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../config/nexmark");
    let mut registry = Registry::new();
    millstream_operators::register(&mut registry);
    registry.add::<memory::MemoryOptions>();
    registry.add::<discard::DiscardOptions>();
    if mode == Mode::Memory {
        memory::prepare(&query.kinds(), events).map_err(|e| e.to_string())?;
    }
    let cpu_before = if mode == Mode::Memory { cpu_time() } else { Duration::ZERO };
    let started = Instant::now();
    let text = query.topology(mode, workers, events, data)?;
    let outcome = load_text("bench.toml", &text, &folder, &BTreeMap::new(), &[], &registry);
    let topology = outcome.topology.ok_or_else(|| outcome.report.render())?;
    let job = Job::prepare(topology, RunOptions::default()).map_err(|f| f.error.to_string())?;
    let report = job.run();
    let (seconds, cpu) = (started.elapsed(), cpu_time() - cpu_before);
    if let Outcome::Failed(failure) = report.outcome {
        return Err(failure.error.to_string());
    }
    let total = discard::total();
    Ok(Figures {
        query: query.name.to_owned(),
        mode: if mode == Mode::Memory { "memory" } else { "ndjson" }.to_owned(),
        workers,
        events: EVENT_SOURCES.iter().filter_map(|source| report.ledger.node(source)).map(|row| row.rows_in).sum(),
        rows_out: total.rows,
        checksum: format!("{:016x}", total.sum),
        seconds: seconds.as_secs_f64(),
        cpu_seconds: cpu.as_secs_f64(),
        peak_mib: peak_mib(),
    })
}

/// User and system time of this process so far.
fn cpu_time() -> Duration {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    Duration::new(time.tv_sec.unsigned_abs(), u32::try_from(time.tv_nsec).unwrap_or(0))
}

/// The most memory of this process that was resident, as Linux counts it; 0 elsewhere.
fn peak_mib() -> f64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    line.and_then(|line| line.split_whitespace().next()?.parse::<f64>().ok()).unwrap_or(0.0) / 1024.0
}

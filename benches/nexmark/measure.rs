//! One measurement: a query, where its events come from, how many workers.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::{Duration, Instant};

use millstream_api::Registry;
use millstream_runtime::{Job, Outcome, RunOptions};
use millstream_topology::load_text;
use rustix::time::{ClockId, clock_gettime};
use serde::{Deserialize, Serialize};

use crate::{Mode, QUERIES, discard, input, memory};

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

const BID_SCHEMA: &str = r#"{ auction = "bigint not null", bidder = "bigint not null", price = "bigint not null", channel = "string not null", url = "string not null", date_time = "timestamp(ms) not null", extra = "string not null" }"#;

fn topology(query: &str, mode: Mode, workers: usize, events: u64, data: &Path) -> Result<String, String> {
    let (_, operators) = QUERIES.iter().find(|(name, _)| *name == query).ok_or_else(|| format!("there is no query `{query}`"))?;
    let operators = operators.replace("{bid}", "bids");
    let source = match mode {
        Mode::Memory => "type = \"memory\"".to_owned(),
        Mode::Ndjson => {
            let path = std::path::absolute(input::bids_path(data, events)).map_err(|e| e.to_string())?;
            format!("type = \"file\"\nformat = \"json\"\npath = \"{}\"\nschema = {BID_SCHEMA}", path.display())
        }
    };
    Ok(format!(
        "name = \"{query}\"\nruntime = {{ workers = {workers} }}\n\n[sources.bids]\ntime = {{ by = \"date_time\" }}\n{source}\n\n{operators}\n\
         [sinks.out]\ntype = \"discard\"\ninput = \"result\"\n"
    ))
}

/// Runs the query in this process.
///
/// # Errors
/// When the topology is wrong or fails.
#[expect(clippy::disallowed_methods, reason = "a benchmark measures real time")]
pub fn measure_here(query: &str, mode: Mode, workers: usize, events: u64, data: &Path) -> Result<Figures, String> {
    let mut registry = Registry::new();
    millstream_operators::register(&mut registry);
    registry.add::<memory::MemoryOptions>();
    registry.add::<discard::DiscardOptions>();
    if mode == Mode::Memory {
        memory::prepare(events).map_err(|e| e.to_string())?;
    }
    let cpu_before = if mode == Mode::Memory { cpu_time() } else { Duration::ZERO };
    let started = Instant::now();
    let text = topology(query, mode, workers, events, data)?;
    let outcome = load_text("bench.toml", &text, Path::new("."), &BTreeMap::new(), &[], &registry);
    let topology = outcome.topology.ok_or_else(|| outcome.report.render())?;
    let job = Job::prepare(topology, RunOptions::default()).map_err(|f| f.error.to_string())?;
    let report = job.run();
    let (seconds, cpu) = (started.elapsed(), cpu_time() - cpu_before);
    if let Outcome::Failed(failure) = report.outcome {
        return Err(failure.error.to_string());
    }
    let total = discard::total();
    Ok(Figures {
        query: query.to_owned(),
        mode: if mode == Mode::Memory { "memory" } else { "ndjson" }.to_owned(),
        workers,
        events: report.ledger.node("bids").map_or(0, |row| row.rows_in),
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

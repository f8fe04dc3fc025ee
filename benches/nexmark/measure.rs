//! One measurement, in this process.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::{Duration, Instant};

use millstream_api::Registry;
use millstream_runtime::checkpoint::Fit;
use millstream_runtime::checkpoint::open_store;
use millstream_runtime::{CheckpointStatus, Checkpoints, Job, Outcome, Report, RunOptions};
use millstream_topology::{Topology, load_text};
use rustix::time::{ClockId, clock_gettime};

use crate::arguments::{Arguments, Mode};
use crate::case::Case;
use crate::figures::{Figures, Latency};
use crate::{discard, input, live, memory};

/// Runs the query and says what it cost.
///
/// # Errors
/// When the topology is wrong or fails.
#[expect(clippy::disallowed_methods, reason = "a benchmark measures real time")]
pub fn measure_here(case: &Case<'_>, arguments: &Arguments) -> Result<Figures, String> {
    let made = match case.mode {
        Mode::Memory => memory::prepare(case.events).map(|()| case.events),
        Mode::Live => memory::prepare_live(arguments.seconds),
        Mode::Ndjson | Mode::Merged | Mode::Made => Ok(case.events),
    };
    let made = made.map_err(|e| e.to_string())?;
    // Reading files is measured from the start of the process, with all that it takes to begin.
    let cpu_before = if matches!(case.mode, Mode::Memory | Mode::Live) { cpu_time() } else { Duration::ZERO };
    let system_before = system_time();
    let started = Instant::now();
    let (report, checkpoints) = run(case, arguments, None)?;
    let (seconds, cpu) = (started.elapsed(), cpu_time() - cpu_before);
    let system = system_time() - system_before;
    let of_read_types: u64 = case.query.kinds().into_iter().map(|kind| input::before(kind, made)).sum();
    let events = if matches!(case.mode, Mode::Ndjson | Mode::Made) { of_read_types } else { made };
    let read: u64 = sources(case.mode).iter().filter_map(|source| report.ledger.node(source)).map(|row| row.rows_in).sum();
    if read != events {
        return Err(format!("{read} events were read of {events}: remove the files of {} and begin again", arguments.data.display()));
    }
    let total = discard::total();
    Ok(Figures {
        query: case.query.name.to_owned(),
        mode: case.mode.name().to_owned(),
        workers: case.workers,
        // Whoever has started this process knows.
        cores: None,
        checkpoints: case.interval.map(str::to_owned),
        events,
        events_read: of_read_types,
        rows_out: total.rows,
        checksum: format!("{:016x}", total.sum),
        seconds: seconds.as_secs_f64(),
        cpu_seconds: cpu.as_secs_f64(),
        system_seconds: system,
        checkpoints_written: checkpoints.completed,
        checkpoint_bytes: checkpoints.written_bytes,
        peak_mib: peak_mib(),
        latency: Latency::of(live::taken()),
    })
}

/// The names of those whose rows are events.
fn sources(mode: Mode) -> &'static [&'static str] {
    match mode {
        Mode::Memory | Mode::Live | Mode::Made => &["nexmark"],
        Mode::Merged => &["events"],
        Mode::Ndjson => &["person", "auction", "bid"],
    }
}

/// Runs the query, its result into `discard` or into a file. How checkpoints went stands beside what came of it.
///
/// # Errors
/// When the topology is wrong or fails.
pub fn run(case: &Case<'_>, arguments: &Arguments, result: Option<&Path>) -> Result<(Report, CheckpointStatus), String> {
    let checkpoints = std::path::absolute(arguments.data.join(format!("checkpoints-{}", std::process::id()))).map_err(|e| e.to_string())?;
    // State of a run that lasts may be large; whoever measures says how large.
    let mut text = format!("name = \"{}\"\nruntime = {{ workers = {}, memory = \"64GiB\" }}\n\n", case.query.name, case.workers);
    if let Some(interval) = case.interval {
        text.push_str(&format!("[checkpoint]\nstore = \"file:{}\"\ninterval = \"{interval}\"\n\n", checkpoints.display()));
    }
    text.push_str(&case.query.topology(case.mode, case.events, &arguments.data, result)?);
    let report = run_text(&text);
    if checkpoints.exists() {
        std::fs::remove_dir_all(&checkpoints).map_err(|e| format!("{}: {e}", checkpoints.display()))?;
    }
    report
}

fn run_text(text: &str) -> Result<(Report, CheckpointStatus), String> {
    // What a query reads beside the events lies beside it.
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../config/nexmark");
    let mut registry = Registry::new();
    millstream_operators::register(&mut registry);
    registry.add::<memory::MemoryOptions>();
    registry.add::<discard::DiscardOptions>();
    let outcome = load_text("bench.toml", text, &folder, &BTreeMap::new(), &[], &registry);
    let topology = outcome.topology.ok_or_else(|| outcome.report.render())?;
    let options = RunOptions { checkpoints: checkpoints(&topology)?, ..RunOptions::default() };
    let job = Job::prepare(topology, options).map_err(|f| f.error.to_string())?;
    let handle = job.handle();
    let report = job.run();
    match report.outcome {
        Outcome::Failed(failure) => Err(failure.error.to_string()),
        _ => Ok((report, handle.checkpoints().unwrap_or_default())),
    }
}

/// A new store, if the topology wants one.
fn checkpoints(topology: &Topology) -> Result<Option<Checkpoints>, String> {
    let (Some(settings), Some(store)) = (&topology.checkpoint, open_store(topology).map_err(|e| e.to_string())?) else { return Ok(None) };
    Ok(Some(Checkpoints { settings: settings.clone(), store, from: None, fit: Fit::default(), amend: None, next: 1 }))
}

/// User and system time of this process so far.
fn cpu_time() -> Duration {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    Duration::new(time.tv_sec.unsigned_abs(), u32::try_from(time.tv_nsec).unwrap_or(0))
}

/// The system's part of it, in seconds, as Linux counts it in hundredths; 0 elsewhere.
fn system_time() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    // The name of the program is in brackets and may have blanks; the number is the thirteenth behind it.
    let behind_name = stat.rsplit_once(')').map_or("", |(_, rest)| rest);
    behind_name.split_whitespace().nth(12).and_then(|ticks| ticks.parse::<f64>().ok()).unwrap_or(0.0) / 100.0
}

/// The most memory of this process that was resident, as Linux counts it; 0 elsewhere.
fn peak_mib() -> f64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    line.and_then(|line| line.split_whitespace().next()?.parse::<f64>().ok()).unwrap_or(0.0) / 1024.0
}

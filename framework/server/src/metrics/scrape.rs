//! What metrics are read from: one look at everything.

use millstream_runtime::{CheckpointStatus, Observation};
use rustix::time::{ClockId, clock_gettime};

use crate::health::Phase;
use crate::routes::State;

/// One look at the run, its views and the process.
pub struct Scrape {
    pub topology: String,
    pub phase: Phase,
    /// None before all nodes are made.
    pub run: Option<Observation>,
    /// None without checkpoints.
    pub checkpoints: Option<CheckpointStatus>,
    pub views: Vec<ViewSize>,
    pub followers: usize,
    pub cpu_seconds: f64,
    /// Where the system says it.
    pub resident_bytes: Option<u64>,
}

/// How large a view is.
pub struct ViewSize {
    pub name: String,
    pub version: u64,
    pub rows: usize,
    pub size_bytes: usize,
}

impl Scrape {
    /// Looks.
    pub fn of(state: &State) -> Scrape {
        let views = state.views.names().into_iter().filter_map(|name| {
            // A view that cannot be read says so to those that read it.
            let snapshot = state.views.get(&name)?.snapshot().ok()?;
            Some(ViewSize { name, version: snapshot.version, rows: snapshot.len(), size_bytes: snapshot.size_bytes() })
        });
        let run = state.info.runs.run();
        Scrape {
            topology: state.info.topology.clone(),
            phase: state.info.health.phase(),
            run: run.as_ref().map(|run| run.observe()),
            checkpoints: run.and_then(|run| run.checkpoints()),
            views: views.collect(),
            followers: state.followers.count(),
            cpu_seconds: cpu_seconds(),
            resident_bytes: resident_bytes(),
        }
    }
}

/// Time that all threads of the process have had.
fn cpu_seconds() -> f64 {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    time.tv_sec as f64 + time.tv_nsec as f64 / 1e9
}

/// Memory that the process has now, from Linux's `/proc`.
fn resident_bytes() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let kibibytes = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?.trim().strip_suffix("kB")?;
    Some(kibibytes.trim().parse::<u64>().ok()? * 1024)
}

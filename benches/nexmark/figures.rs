//! What a measurement gives.

use serde::{Deserialize, Serialize};

/// What a run cost.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Figures {
    /// The query.
    pub query: String,
    /// `memory`, `ndjson`, `merged`, `live` or `made`.
    pub mode: String,
    /// `runtime.workers`.
    pub workers: usize,
    /// The number of cores that it was kept on; absent where the system placed its threads.
    pub cores: Option<usize>,
    /// The time between checkpoints; absent without.
    pub checkpoints: Option<String>,
    /// Events of the input.
    pub events: u64,
    /// Those among them that are of a type that the query reads.
    pub events_read: u64,
    /// Rows of the result.
    pub rows_out: i64,
    /// Checksum of the result.
    pub checksum: String,
    /// Wall-clock time, in seconds.
    pub seconds: f64,
    /// User and system time of all threads, in seconds.
    pub cpu_seconds: f64,
    /// Of that the system's, in hundredths as it counts them.
    #[serde(default)]
    pub system_seconds: f64,
    /// How many checkpoints were written, with the last one at the end.
    #[serde(default)]
    pub checkpoints_written: u64,
    /// How many bytes they have written.
    #[serde(default)]
    pub checkpoint_bytes: u64,
    /// The most memory that was resident, in MiB.
    pub peak_mib: f64,
    /// How long results took; absent where events came as fast as they were taken.
    pub latency: Option<Latency>,
}

/// From when the event that made a result was due until the sink had it, over all results with an event time.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct Latency {
    /// How many results there were.
    pub results: usize,
    /// Half of them within, in milliseconds.
    pub p50_ms: f64,
    /// 99 % of them within, in milliseconds.
    pub p99_ms: f64,
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

    /// Whether both gave the same rows.
    pub fn has_result_of(&self, other: &Figures) -> bool {
        (self.rows_out, &self.checksum) == (other.rows_out, &other.checksum)
    }

    /// What came out, for messages.
    pub fn result(&self) -> String {
        let Figures { mode, workers, rows_out, checksum, .. } = self;
        format!("{rows_out} rows with the checksum {checksum} ({mode}, workers: {workers})")
    }

    /// The medians of several runs of the same.
    ///
    /// # Errors
    /// When the runs gave different results.
    pub fn median(runs: Vec<Figures>) -> Result<Figures, String> {
        let Some(first) = runs.first().cloned() else { return Err("no runs".to_owned()) };
        if let Some(other) = runs.iter().find(|run| !run.has_result_of(&first)) {
            return Err(format!("two runs of {} differ: {} and {}", first.query, first.result(), other.result()));
        }
        let middle = |of: fn(&Figures) -> f64| {
            let mut values: Vec<f64> = runs.iter().map(of).collect();
            values.sort_by(f64::total_cmp);
            values[values.len() / 2]
        };
        let of_counts = |of: fn(&Figures) -> u64| {
            let mut values: Vec<u64> = runs.iter().map(of).collect();
            values.sort_unstable();
            values[values.len() / 2]
        };
        Ok(Figures {
            seconds: middle(|f| f.seconds),
            cpu_seconds: middle(|f| f.cpu_seconds),
            system_seconds: middle(|f| f.system_seconds),
            checkpoints_written: of_counts(|f| f.checkpoints_written),
            checkpoint_bytes: of_counts(|f| f.checkpoint_bytes),
            peak_mib: middle(|f| f.peak_mib),
            ..first
        })
    }
}

impl Latency {
    /// Of these times; `None` when there are none.
    pub fn of(mut micros: Vec<u32>) -> Option<Latency> {
        micros.sort_unstable();
        let within = |share: f64| {
            let index = (micros.len() as f64 * share) as usize;
            micros.get(index.min(micros.len().saturating_sub(1))).map(|micros| f64::from(*micros) / 1000.0)
        };
        Some(Latency { results: micros.len(), p50_ms: within(0.5)?, p99_ms: within(0.99)? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_of_latencies_are_of_those_that_there_are() {
        assert!(Latency::of(vec![]).is_none());
        let one = Latency::of(vec![7000]).unwrap();
        assert_eq!((one.results, one.p50_ms, one.p99_ms), (1, 7.0, 7.0));
        let many = Latency::of((1..=1000).rev().map(|i| i * 1000).collect()).unwrap();
        assert_eq!((many.results, many.p50_ms, many.p99_ms), (1000, 501.0, 991.0));
    }
}

//! Sums at one moment, and what two of them say of the time between.

use millstream_api::time::ClockTime;

use super::Recent;
use crate::ledger::Counters;
use crate::meter::{HeldCount, Times};

/// All sums of a run at one moment.
#[derive(Clone, Debug)]
pub(super) struct Sample {
    pub at: ClockTime,
    /// By node and subtask.
    pub nodes: Vec<Vec<Sums>>,
    /// By edge and sending subtask.
    pub edges: Vec<Vec<HeldCount>>,
}

/// The sums of a subtask.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sums {
    rows_in: u64,
    rows_out: u64,
    bytes_in: u64,
    times: Times,
    reading_micros: u64,
}

impl Sums {
    pub fn of(counters: &Counters, at: ClockTime) -> Sums {
        let Counters { rows_in, rows_out, bytes_in, reading_micros, .. } = *counters;
        Sums { rows_in, rows_out, bytes_in, times: counters.times.until(at), reading_micros }
    }
}

impl Sample {
    /// Microseconds between an earlier sample and this one.
    pub fn since(&self, earlier: &Sample) -> u64 {
        u64::try_from(self.at.0.saturating_sub(earlier.at.0)).unwrap_or(0)
    }

    /// Rates and shares of each subtask of a node since an earlier sample.
    pub fn subtasks(&self, earlier: &Sample, node: usize) -> Vec<Recent> {
        let micros = self.since(earlier) as f64;
        let pairs = self.nodes[node].iter().zip(&earlier.nodes[node]);
        pairs.map(|(now, before)| recent(now, before, micros)).collect()
    }

    /// The share of the time in which an edge has held up its senders, in per cent: the mean of the senders.
    pub fn held_percent(&self, earlier: &Sample, edge: usize) -> f64 {
        let micros = self.since(earlier) as f64;
        let shares = self.edges[edge].iter().zip(&earlier.edges[edge]).map(|(now, before)| percent(now.micros, before.micros, micros));
        mean(shares)
    }
}

fn recent(now: &Sums, before: &Sums, micros: f64) -> Recent {
    let rate = |now: u64, before: u64| if micros > 0.0 { tenths(now.saturating_sub(before) as f64 * 1e6 / micros) } else { 0.0 };
    Recent {
        rows_in_per_second: rate(now.rows_in, before.rows_in),
        rows_out_per_second: rate(now.rows_out, before.rows_out),
        bytes_in_per_second: rate(now.bytes_in, before.bytes_in),
        busy_percent: percent(now.times.busy, before.times.busy, micros),
        held_percent: percent(now.times.held, before.times.held, micros),
        ready_percent: percent(now.times.ready, before.times.ready, micros),
        waiting_percent: percent(now.times.waiting, before.times.waiting, micros),
        reading_percent: percent(now.reading_micros, before.reading_micros, micros),
    }
}

/// What the subtasks of a node do together: rates are summed, shares are their mean.
pub(super) fn together(subtasks: &[Recent]) -> Recent {
    let sum = |part: fn(&Recent) -> f64| tenths(subtasks.iter().map(part).sum());
    let mean = |part: fn(&Recent) -> f64| mean(subtasks.iter().map(part));
    Recent {
        rows_in_per_second: sum(|r| r.rows_in_per_second),
        rows_out_per_second: sum(|r| r.rows_out_per_second),
        bytes_in_per_second: sum(|r| r.bytes_in_per_second),
        busy_percent: mean(|r| r.busy_percent),
        held_percent: mean(|r| r.held_percent),
        ready_percent: mean(|r| r.ready_percent),
        waiting_percent: mean(|r| r.waiting_percent),
        reading_percent: mean(|r| r.reading_percent),
    }
}

/// To a tenth: more would be noise.
fn tenths(number: f64) -> f64 {
    (number * 10.0).round() / 10.0
}

/// Two clocks that were read one after the other may say a little more than all.
fn percent(now: u64, before: u64, micros: f64) -> f64 {
    if micros <= 0.0 {
        return 0.0;
    }
    let share = now.saturating_sub(before) as f64 / micros;
    tenths(share.min(1.0) * 100.0)
}

fn mean(shares: impl Iterator<Item = f64>) -> f64 {
    let (sum, count) = shares.fold((0.0, 0), |(sum, count), share| (sum + share, count + 1));
    if count == 0 { 0.0 } else { tenths(sum / f64::from(count)) }
}

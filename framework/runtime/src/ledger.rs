//! What became of every row: counted by each subtask, summed for each node, balanced at the end.

use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use millstream_api::EventTime;
use millstream_api::operator::Fates;
use millstream_api::requests::{RequestCounts, Requests};
use millstream_api::source::Position;
use millstream_state::TaskCounts;
use millstream_state::disk::DiskCounts;

use crate::meter::Times;

/// What one subtask has counted so far.
#[derive(Clone, Copy, Debug)]
pub struct Counters {
    /// Rows that came in.
    pub rows_in: u64,
    /// Rows that were sent on the node's own streams; `late` and `rejected` are counted as fates.
    pub rows_out: u64,
    /// Batches that came in.
    pub batches_in: u64,
    /// Batches that were sent on the node's own streams.
    pub batches_out: u64,
    /// Memory of the rows that came in, in bytes.
    pub bytes_in: u64,
    /// What became of the rows that came in.
    pub fates: Fates,
    /// Of the rows taken: those that would still change a result that has not been sent, at a stop.
    pub in_state: u64,
    /// Memory of the state, in bytes.
    pub state_bytes: usize,
    /// Its keys on disk.
    pub disk: DiskCounts,
    /// The subtask's watermark.
    pub watermark: EventTime,
    /// The least watermark at which an operator would send something of what it holds.
    pub waits_for: Option<EventTime>,
    /// Of a source that waits because of `time.max_ahead`: the node of the source that it waits for.
    pub ahead_of: Option<usize>,
    /// How its time was spent.
    pub times: Times,
    /// How long the reading thread of a source has been at work, in microseconds.
    pub reading_micros: u64,
}

impl Default for Counters {
    fn default() -> Self {
        Counters {
            rows_in: 0,
            rows_out: 0,
            batches_in: 0,
            batches_out: 0,
            bytes_in: 0,
            fates: Fates::default(),
            in_state: 0,
            state_bytes: 0,
            disk: DiskCounts::default(),
            watermark: EventTime::MIN,
            waits_for: None,
            ahead_of: None,
            times: Times::default(),
            reading_micros: 0,
        }
    }
}

/// The counters of a subtask, shared with whoever wants to see them.
#[derive(Clone, Debug, Default)]
pub struct Stats(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    counters: Mutex<Counters>,
    splits: Mutex<Vec<SplitState>>,
    requests: OnceLock<Requests>,
}

/// Where a split of a source stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SplitState {
    /// Its name.
    pub split: String,
    /// The place after the rows that were sent last.
    pub position: Option<Position>,
    /// The greatest event time that was read.
    pub greatest: EventTime,
    /// Whether it waits for input, longer than `idle_after`.
    pub idle: bool,
    /// Whether it is read to its end.
    pub ended: bool,
}

impl Stats {
    /// Counters that go on from a checkpoint.
    pub fn starting(counts: TaskCounts, watermark: EventTime) -> Self {
        let TaskCounts { rows_in, rows_out, batches_in, fates } = counts;
        let stats = Stats::default();
        stats.update(|c| *c = Counters { rows_in, rows_out, batches_in, fates, watermark, ..Counters::default() });
        stats
    }

    /// What a checkpoint keeps of the counters.
    pub fn counts(&self) -> TaskCounts {
        let Counters { rows_in, rows_out, batches_in, fates, .. } = self.get();
        TaskCounts { rows_in, rows_out, batches_in, fates }
    }

    /// Changes the counters.
    pub fn update(&self, change: impl FnOnce(&mut Counters)) {
        change(&mut self.0.counters.lock().unwrap_or_else(PoisonError::into_inner));
    }

    /// Changes where the splits of a source stand.
    pub fn update_splits(&self, change: impl FnOnce(&mut Vec<SplitState>)) {
        change(&mut self.0.splits.lock().unwrap_or_else(PoisonError::into_inner));
    }

    /// Where the splits of a source stand.
    pub fn splits(&self) -> Vec<SplitState> {
        self.0.splits.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Where the subtask notes how its requests went, if it sends or answers any.
    pub fn set_requests(&self, requests: Option<Requests>) {
        if let Some(requests) = requests {
            // A subtask is made once.
            let _ = self.0.requests.set(requests);
        }
    }

    /// How its requests went.
    pub fn requests(&self) -> Option<RequestCounts> {
        self.0.requests.get().map(Requests::get)
    }

    /// The counters now.
    pub fn get(&self) -> Counters {
        *self.0.counters.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A node's line of the ledger.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LedgerRow {
    /// The node.
    pub node: String,
    /// Rows that came in.
    pub rows_in: u64,
    /// What became of them. `taken` is without those in state.
    pub fates: Fates,
    /// Rows that were in state at a stop.
    pub in_state: u64,
    /// Rows that were sent.
    pub rows_out: u64,
    /// Memory of the state, in bytes.
    pub state_bytes: usize,
}

impl LedgerRow {
    /// Whether every row that came in has one fate.
    pub fn balances(&self) -> bool {
        self.fates.total() + self.in_state == self.rows_in
    }
}

/// The ledger of a run, a line for each node in the order of the topology.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ledger {
    /// The lines.
    pub rows: Vec<LedgerRow>,
}

impl Ledger {
    /// Sums the subtasks of each node.
    pub fn new<'a>(nodes: impl IntoIterator<Item = (&'a str, Vec<Counters>)>) -> Self {
        Ledger { rows: nodes.into_iter().map(|(node, subtasks)| line(node, &subtasks)).collect() }
    }

    /// Whether all lines balance.
    pub fn balances(&self) -> bool {
        self.rows.iter().all(LedgerRow::balances)
    }

    /// The line of a node.
    pub fn node(&self, name: &str) -> Option<&LedgerRow> {
        self.rows.iter().find(|row| row.node == name)
    }
}

fn line(node: &str, subtasks: &[Counters]) -> LedgerRow {
    let mut row = LedgerRow { node: node.to_owned(), rows_in: 0, fates: Fates::default(), in_state: 0, rows_out: 0, state_bytes: 0 };
    for counters in subtasks {
        row.rows_in += counters.rows_in;
        row.fates.add(&counters.fates);
        row.in_state += counters.in_state;
        row.rows_out += counters.rows_out;
        row.state_bytes += counters.state_bytes;
    }
    row.fates.taken = row.fates.taken.saturating_sub(row.in_state);
    row
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_in_state_are_no_longer_counted_as_taken() {
        let stats = Stats::default();
        stats.update(|c| {
            c.rows_in = 10;
            c.fates.taken = 8;
            c.fates.late = 2;
            c.in_state = 3;
        });
        let ledger = Ledger::new([("delays", vec![stats.get(), Counters::default()])]);
        assert_eq!(ledger.rows[0].fates.taken, 5);
        assert!(ledger.balances());
        stats.update(|c| c.rows_in = 11);
        assert!(!Ledger::new([("delays", vec![stats.get()])]).balances());
    }
}

//! What can be seen of checkpoints from outside, kept over restarts of the run.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use millstream_api::message::CheckpointId;
use millstream_api::time::ClockTime;
use serde::Serialize;

use super::restarts::Read;

/// How checkpoints have gone so far.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct CheckpointStatus {
    /// The newest one that exists and was written by this run.
    pub newest: Option<CheckpointId>,
    /// When it was written: microseconds since 1970.
    pub written_at_us: Option<i64>,
    /// How long it took from its beginning until it existed.
    pub duration_us: Option<i64>,
    /// Of that, how long it took until all tasks had come to its barrier.
    pub alignment_us: Option<i64>,
    /// How many bytes it has written: what an earlier one has of its state it only names.
    pub bytes: Option<u64>,
    /// How many bytes all of them have written.
    pub written_bytes: u64,
    /// How many this run has written.
    pub completed: u64,
    /// How many have failed.
    pub failed: u64,
    /// Why the last one that failed did.
    pub last_failure: Option<String>,
    /// How often the run went on from one by itself after a failure.
    pub restarts: u64,
}

/// The shared [`CheckpointStatus`] of a run.
#[derive(Clone, Default)]
pub struct Shared(Arc<Mutex<(CheckpointStatus, Read)>>);

impl Shared {
    /// As it is now.
    pub fn get(&self) -> CheckpointStatus {
        self.locked().0.clone()
    }

    /// What the newest one has of what sources have read.
    pub fn covered(&self) -> Read {
        self.locked().1.clone()
    }

    /// Notes one that was written.
    pub fn completed(&self, id: CheckpointId, began: ClockTime, whole: ClockTime, written: ClockTime, bytes: u64, read: Read) {
        let (status, covered) = &mut *self.locked();
        *covered = read;
        status.newest = Some(id);
        status.written_at_us = Some(written.0);
        status.duration_us = Some(written.0 - began.0);
        status.alignment_us = Some(whole.0 - began.0);
        status.bytes = Some(bytes);
        status.written_bytes += bytes;
        status.completed += 1;
    }

    /// Notes one that has failed.
    pub fn failed(&self, why: String) {
        let (status, _) = &mut *self.locked();
        status.failed += 1;
        status.last_failure = Some(why);
    }

    /// Notes that the run goes on from the last one.
    pub fn restarted(&self) {
        self.locked().0.restarts += 1;
    }

    fn locked(&self) -> MutexGuard<'_, (CheckpointStatus, Read)> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

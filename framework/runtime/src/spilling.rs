//! Keys or panes of one subtask that leave memory: when, and what the disk is told.
//!
//! They leave when their state has grown beyond the subtask's share of `runtime.memory`, all together. Keys come back one by one, panes
//! when their window closes (`millstream_state::disk`). When they do so cannot show in what the node computes.

use std::ops::Range;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use millstream_api::plan::Spills;
use millstream_api::state::picked::gathered;
use millstream_api::state::{ColdPanes, ColdState, StateEntries, StateReader, StateWriter};
use millstream_api::time::ClockTime;
use millstream_api::{Operator, Output, Result};
use millstream_state::JobSnapshot;
use millstream_state::disk::{DiskCounts, DiskPanes, DiskSnapshot, DiskState, OnDisk, Scratch};
use millstream_topology::{Node, StorePlace, Topology};

/// Of `runtime.memory`, the part that keys of nodes on disk may take. As much again is needed while they are written; and there
/// may be nodes that stay in memory.
const KEYS_PART: usize = 3;

/// The part that blocks of the store which are read again may take.
const CACHE_PART: usize = 8;

/// Of a subtask's share, the part that panes may take at a barrier and still stay in memory: each checkpoint has all of it.
const STAYS_PART: usize = 8;

/// Of a subtask's share, the part that is read back at once of panes, and of keys that are due.
const READ_PART: usize = 8;

/// The same in a test, in bytes: so little that windows are read in several parts.
const READ_BYTES_IN_TEST: usize = 4096;

/// How a run uses the disk for keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DiskUse {
    /// As far as `runtime.memory` does not suffice, beside the store of checkpoints.
    Run,
    /// After each batch, so that a test sees keys leave and come back as often as can be; away from the places of a run.
    Test,
}

/// When keys leave memory.
#[derive(Clone, Copy)]
enum Share {
    /// When their state takes more than this.
    Bytes(usize),
    Always,
}

/// The place on disk of a run's nodes; there only when some node needs one.
pub struct Disk {
    scratch: Arc<Scratch>,
    share: Share,
}

/// The keys or panes of one subtask.
pub struct Spilling {
    state: Arc<Mutex<dyn OnDisk>>,
    cold: Cold,
    share: Share,
    /// What the operator kept in memory when its keys had just left.
    stays_bytes: usize,
}

/// What an operator asks for what is not in memory.
enum Cold {
    Keys(Arc<Mutex<dyn ColdState>>),
    Panes(Arc<Mutex<dyn ColdPanes>>),
}

impl Disk {
    /// Opens a folder for the state of the topology's nodes; `None`: none of them goes to disk.
    ///
    /// # Errors
    /// When it can't be used.
    pub fn open(topology: &Topology, how: DiskUse) -> Result<Option<Disk>> {
        let subtasks: usize = topology.nodes.iter().filter(|node| node.on_disk).map(|node| node.parallelism).sum();
        if subtasks == 0 {
            return Ok(None);
        }
        let memory = topology.runtime.memory.bytes();
        let (folder, share) = match how {
            DiskUse::Run => (folder(topology), Share::Bytes(memory / KEYS_PART / subtasks)),
            DiskUse::Test => (temporary(topology), Share::Always),
        };
        Ok(Some(Disk { scratch: Scratch::open(&folder, memory / CACHE_PART)?, share }))
    }

    /// The keys of one subtask of a node.
    ///
    /// # Errors
    /// When the disk can't be written to.
    pub fn subtask(&self, node: &Node, key_groups: u16, checkpoints: bool) -> Result<Option<Spilling>> {
        if !node.on_disk {
            return Ok(None);
        }
        let spilling = |state, cold| Some(Spilling { state, cold, share: self.share, stays_bytes: 0 });
        let part_bytes = match self.share {
            Share::Bytes(share) => share / READ_PART,
            Share::Always => READ_BYTES_IN_TEST,
        };
        if !node.plan.spills_panes.is_empty() {
            let panes = Arc::new(Mutex::new(DiskPanes::new(&self.scratch, node.plan.spills_panes, part_bytes, checkpoints)?));
            return Ok(spilling(panes.clone(), Cold::Panes(panes)));
        }
        let Some(spills) = &node.plan.spills else { return Ok(None) };
        // Of what nobody reads there is nothing to say at ticks, so the keys would never be asked for.
        let is_read = node.outputs.first().is_some_and(|output| output.shape.read);
        let spills = Spills { at_ticks: spills.at_ticks && is_read, ..*spills };
        let keys = Arc::new(Mutex::new(DiskState::new(&self.scratch, &spills, key_groups, part_bytes, checkpoints)?));
        Ok(spilling(keys.clone(), Cold::Keys(keys)))
    }
}

/// Beside the store of checkpoints, where there is one on this machine; so that it is found again and emptied after a crash.
fn folder(topology: &Topology) -> PathBuf {
    match topology.checkpoint.as_ref().map(|settings| settings.store.place(&topology.folder)) {
        Some(StorePlace::Folder(folder)) => {
            let mut name = folder.into_os_string();
            name.push(".scratch");
            name.into()
        }
        _ => temporary(topology),
    }
}

/// A place that nobody else uses.
fn temporary(topology: &Topology) -> PathBuf {
    static NUMBER: AtomicU64 = AtomicU64::new(0);
    let number = NUMBER.fetch_add(1, Ordering::Relaxed);
    std::env::temp_dir().join(format!("millstream-{}-{}-{number}", topology.name, std::process::id()))
}

impl Spilling {
    /// Gives an operator what it asks for what is not in memory.
    pub fn connect(&self, output: &mut Output) {
        match &self.cold {
            Cold::Keys(keys) => output.set_cold_state(keys.clone()),
            Cold::Panes(panes) => output.set_cold_panes(panes.clone()),
        }
    }

    /// Takes keys out of a checkpoint; what stays in memory is the result.
    pub(crate) fn load(&self, from: &JobSnapshot, node: &str, groups: &Range<u16>, now: ClockTime) -> Result<StateReader> {
        self.locked().load(from, node, groups, now)
    }

    /// The operator is done with what came: its keys leave memory if there are too many. The memory of all.
    ///
    /// # Errors
    /// When the disk can't be written to.
    pub fn after(&mut self, operator: &mut dyn Operator, now: ClockTime) -> Result<usize> {
        let bytes = operator.state_bytes() + self.locked().memory_bytes();
        let is_full = match self.share {
            Share::Always => true,
            // What does not leave must not have the keys leave again and again.
            Share::Bytes(share) => bytes > share.max(2 * self.stays_bytes),
        };
        if !is_full {
            return Ok(bytes);
        }
        self.evict(operator, now)?;
        Ok(self.stays_bytes)
    }

    /// A barrier is about to be answered: panes leave memory unless they are few, since each checkpoint would have all of them that
    /// are in memory, and has those on disk once.
    pub(crate) fn before_barrier(&mut self, operator: &mut dyn Operator, now: ClockTime) -> Result<()> {
        let is_small = match self.share {
            Share::Always => false,
            Share::Bytes(share) => operator.state_bytes() <= self.stays_bytes + share / STAYS_PART,
        };
        match self.cold {
            Cold::Panes(_) if !is_small => self.evict(operator, now),
            _ => Ok(()),
        }
    }

    fn evict(&mut self, operator: &mut dyn Operator, now: ClockTime) -> Result<()> {
        let mut state = StateWriter::new();
        operator.snapshot(&mut state)?;
        operator.forget_keys()?;
        self.locked().evict(gathered(&state.into_entries())?, now)?;
        let of_disk = self.locked().memory_bytes();
        self.stays_bytes = operator.state_bytes() + of_disk;
        Ok(())
    }

    /// A barrier has come: what stays in memory of what the operator wrote, and the rest.
    pub(crate) fn snapshot(&self, entries: StateEntries, now: ClockTime) -> Result<(StateEntries, DiskSnapshot)> {
        self.locked().snapshot(gathered(&entries)?, now)
    }

    /// What can be seen of it.
    pub fn counts(&self) -> DiskCounts {
        self.locked().counts()
    }

    fn locked(&self) -> MutexGuard<'_, dyn OnDisk + 'static> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The part of a checkpoint that a subtask begins with, from memory or to disk.
pub(crate) fn restored(
    spilling: Option<&Spilling>,
    from: Option<&JobSnapshot>,
    node: &str,
    groups: &Range<u16>,
    now: ClockTime,
) -> Result<Option<StateReader>> {
    let Some(from) = from else { return Ok(None) };
    match spilling {
        Some(spilling) => spilling.load(from, node, groups, now).map(Some),
        None => from.state(node, groups).map(Some),
    }
}

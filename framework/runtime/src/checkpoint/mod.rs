//! Durable checkpoints of a run.
//!
//! - [`coordinator`]: what is decided: pure
//! - [`driver`]: the thread that asks it, writes to the store and tells the actors
//! - [`status`]: what can be seen of it from outside
//! - [`restarts`]: whether a run that has failed goes on from the last one
//!
//! The way of a checkpoint: the coordinator gives the sources an order; each notes where it stands and sends a barrier; every
//! task hands in a snapshot when the barrier has come on all its inputs, and sends it on; once all have, the snapshots are
//! written and then the manifest, which makes the checkpoint exist; only then sinks are told to make visible what they have
//! prepared. A crash between any two of these steps loses nothing: before the manifest the last checkpoint counts, after it
//! a sink finds in its state what it still has to make visible.

pub mod coordinator;
pub mod driver;
pub mod restarts;
pub mod status;

use std::collections::BTreeSet;
use std::sync::Arc;

use millstream_api::error::{ErrorKind, Result};
use millstream_api::message::CheckpointId;
use millstream_api::plan::Make;
use millstream_api::time::Clock;
pub use millstream_state::wanted::Fit;
use millstream_state::{JobSnapshot, NodeRecord, Store, TaskId};
use millstream_topology::{CheckpointSettings, Node, StorePlace, Topology};

use self::coordinator::Pace;
use self::driver::Run;
pub use self::status::CheckpointStatus;
use self::status::Shared;

/// Changes a checkpoint for a topology or for input that is no longer as it was.
pub type Amend = Arc<dyn Fn(&mut JobSnapshot) + Send + Sync>;

/// Where a run keeps its checkpoints, and where it begins.
pub struct Checkpoints {
    /// How often they are taken, how many are kept, what a failure leads to.
    pub settings: CheckpointSettings,
    /// The store, held by this run.
    pub store: Store,
    /// The checkpoint to go on from; empty once its state is taken back.
    pub from: Option<(CheckpointId, JobSnapshot)>,
    /// What of checkpoints is given back, after the topology has changed.
    pub fit: Fit,
    /// What the run changes in the checkpoint with which it begins, since its input has changed: the same whenever it goes on from there again.
    pub amend: Option<(CheckpointId, Amend)>,
    /// The number of the first checkpoint of the run: greater than any in the store.
    pub next: CheckpointId,
}

impl Checkpoints {
    /// Makes `id` the checkpoint to go on from (`None`: begin anew), or one after it that is there although it was said to have
    /// failed, and looks after what numbers are taken.
    ///
    /// # Errors
    /// When it cannot be read, or the store is no longer this run's: sinks must not be set back under the hands of another.
    pub fn reload(&mut self, id: Option<CheckpointId>) -> Result<()> {
        self.store.check_held()?;
        let later = self.store.checkpoints()?.into_iter().rev().take_while(|later| id.is_none_or(|id| *later > id));
        let mut from = None;
        for later in later {
            match self.read(later) {
                // Of its parts or its manifest only half was written: it is none.
                Err(error) if error.kind() == ErrorKind::State => self.store.give_up(later)?,
                read => {
                    from = Some((later, read?));
                    break;
                }
            }
        }
        self.from = match (from, id) {
            (None, Some(id)) => Some((id, self.read(id)?)),
            (from, _) => from,
        };
        self.next = self.store.numbers()?.last().map_or(1, |last| last + 1).max(self.next);
        Ok(())
    }

    /// The state to go on from is in the tasks now: what was read of it need not stay in memory.
    pub(crate) fn taken_back(&mut self) {
        self.from = self.from.take().map(|(id, _)| (id, JobSnapshot::default()));
    }

    fn read(&self, id: CheckpointId) -> Result<JobSnapshot> {
        let mut snapshot = self.store.read(&self.store.manifest(id)?)?;
        self.fit.apply(id, &mut snapshot)?;
        if let Some((amended, amend)) = &self.amend
            && *amended == id
        {
            amend(&mut snapshot);
        }
        Ok(snapshot)
    }

    pub(crate) fn driven(
        &self,
        topology: &Topology,
        tasks: BTreeSet<TaskId>,
        sources: BTreeSet<TaskId>,
        clock: Arc<dyn Clock>,
        status: Shared,
    ) -> Run {
        let feeding: BTreeSet<&str> = topology.nodes.iter().filter(|node| node.feeds_table).map(|node| node.name.as_str()).collect();
        Run {
            store: self.store.clone(),
            retain: self.settings.retain.get(),
            pace: Pace {
                interval: self.settings.interval.duration(),
                min_pause: self.settings.min_pause.duration(),
                timeout: self.settings.timeout.duration(),
                tolerable_failures: self.settings.tolerable_failures,
            },
            topology: topology.name.clone(),
            key_groups: topology.runtime.key_groups.get(),
            nodes: node_records(topology),
            tasks,
            tables: sources.iter().filter(|source| feeding.contains(source.node.as_str())).cloned().collect(),
            sources,
            next: self.next,
            clock,
            status,
        }
    }
}

/// The nodes of a topology as checkpoints know them.
pub fn node_records(topology: &Topology) -> Vec<NodeRecord> {
    let record = |node: &Node| {
        let mut state: Vec<String> = node.plan.state.iter().map(|state| state.name.to_owned()).collect();
        // What a sink notes of what it has written is no state that a plan declares. A view notes nothing beside its rows.
        if matches!(&node.plan.make, Make::Sink(factory) if factory.two_phase() && !factory.is_view()) {
            state.push("written".to_owned());
        }
        state.sort();
        NodeRecord {
            name: node.name.clone(),
            kind: node.kind.clone(),
            role: node.role.name().to_owned(),
            parallelism: node.parallelism,
            state,
            signature: node.signature.map(|signature| format!("{signature:016x}")).unwrap_or_default(),
            meaning: Some(node.meaning.clone()),
        }
    };
    topology.nodes.iter().map(record).collect()
}

/// Opens the store of a topology; `None`: it has no `[checkpoint]`.
///
/// # Errors
/// When the store cannot be opened.
pub fn open_store(topology: &Topology) -> Result<Option<Store>> {
    let Some(settings) = &topology.checkpoint else { return Ok(None) };
    open(&settings.store.place(&topology.folder), settings.store.text()).map(Some)
}

/// Opens a store; makes its folder if that is not there. `text` is how messages call it.
///
/// # Errors
/// When it cannot be opened.
pub fn open(place: &StorePlace, text: &str) -> Result<Store> {
    match place {
        StorePlace::Folder(folder) => Store::open(folder, text),
        StorePlace::Bucket { bucket, prefix } => Store::open_bucket(bucket, prefix, text),
    }
}

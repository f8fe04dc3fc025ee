//! Where a run begins: at a checkpoint, or anew.
//!
//! Nothing is decided silently. Whatever would lose state, take back what sinks have written or send it again is listed, and
//! needs a word from the user.

use std::fmt::Write;
use std::sync::Arc;

use millstream_api::error::{Error, ErrorKind, Result};
use millstream_api::message::CheckpointId;
use millstream_api::plan::Make;
use millstream_api::time::rfc3339;
use millstream_runtime::Checkpoints;
use millstream_runtime::checkpoint::{Amend, node_records, open_store};
use millstream_state::compare::{Change, compare, lost_splits};
use millstream_state::wanted::{Fit, Wanted};
use millstream_state::{Finished, JobSnapshot, Manifest, Store};
use millstream_topology::{CheckpointSettings, Topology};

use crate::args::Run;
use crate::since::Changed;

/// What a run does about checkpoints.
pub enum Beginning {
    /// The topology has none.
    Without,
    /// It runs with them.
    With(Box<Resumed>),
    /// No row is left to be read, and the text says why: only what sinks may not have made visible is left to be done.
    Finished(Box<Resumed>, String),
}

/// A run with checkpoints.
pub struct Resumed {
    /// What is said before it starts.
    pub notes: Vec<String>,
    /// Held until the run is over.
    store: Store,
    settings: CheckpointSettings,
    from: Option<(CheckpointId, JobSnapshot)>,
    /// What of checkpoints is given back.
    fit: Fit,
    /// What is changed in the one to go on from.
    amend: Option<(CheckpointId, Amend)>,
    next: CheckpointId,
    /// Checkpoints that the run leaves behind for good.
    given_up: Vec<CheckpointId>,
}

impl Resumed {
    /// Gives up what the run leaves behind, and hands over what it needs. After that there is no way back.
    ///
    /// # Errors
    /// When the store cannot be written.
    pub fn begin(&mut self) -> Result<Checkpoints> {
        self.given_up.iter().try_for_each(|id| self.store.give_up(*id))?;
        let (store, settings) = (self.store.clone(), self.settings.clone());
        let (fit, amend) = (self.fit.clone(), self.amend.clone());
        Ok(Checkpoints { settings, store, from: self.from.take(), fit, amend, next: self.next })
    }
}

/// Looks into the store of a topology.
///
/// # Errors
/// When the store cannot be used, or something needs a word from the user.
pub fn resume(topology: &Topology, args: &Run) -> Result<Beginning> {
    let (Some(settings), Some(store)) = (&topology.checkpoint, open_store(topology)?) else {
        return Ok(Beginning::Without);
    };
    let store = store.take(&format!("process {}, {}", std::process::id(), topology.name))?;
    let there = store.checkpoints()?;
    let next = store.numbers()?.last().map_or(1, |last| last + 1);
    store.remove_interrupted()?;
    let mut resumed = Resumed {
        notes: Vec::new(),
        store,
        settings: settings.clone(),
        from: None,
        fit: Fit::default(),
        amend: None,
        next,
        given_up: Vec::new(),
    };
    let Some(id) = args.from.or(there.last().copied()).filter(|_| !args.fresh) else {
        if !there.is_empty() {
            resumed.notes.push(format!("begins anew; {} of runs before removed", counted(there.len(), "checkpoint")));
        }
        resumed.given_up = there;
        return Ok(Beginning::With(Box::new(resumed)));
    };
    let manifest = resumed.store.manifest(id)?;
    belongs(topology, &manifest, &resumed.store)?;
    if let Some(why) = manifest.finished
        && !args.keep_serving
    {
        return finished(topology, args, &manifest, why, resumed);
    }
    resumed.given_up = there.into_iter().filter(|other| *other > id).collect();
    go_back(topology, args, id, &mut resumed)?;
    let mut snapshot = resumed.store.read(&manifest)?;
    let (fit, amend) = fit(topology, args, &manifest, &snapshot, &mut resumed.notes)?;
    fit.apply(id, &mut snapshot)?;
    amend(&mut snapshot);
    (resumed.fit, resumed.amend) = (fit, Some((id, amend)));
    resumed.notes.push(format!("goes on from checkpoint {id}, taken {}", rfc3339(manifest.taken_at)));
    resumed.from = Some((id, snapshot));
    Ok(Beginning::With(Box::new(resumed)))
}

fn belongs(topology: &Topology, manifest: &Manifest, store: &Store) -> Result<()> {
    if manifest.topology != topology.name {
        let message = format!(
            "checkpoint {} in {} is of the topology `{}`, not of `{}`",
            manifest.checkpoint,
            store.place(),
            manifest.topology,
            topology.name
        );
        return Err(state_error(message).help("give each topology a `store` of its own, or begin anew with --fresh"));
    }
    let key_groups = topology.runtime.key_groups.get();
    if manifest.key_groups != key_groups {
        let message = format!(
            "checkpoint {} has its keys in {} groups, and runtime.key_groups is {key_groups}",
            manifest.checkpoint, manifest.key_groups
        );
        return Err(state_error(message).help(format!("set key_groups = {}; it is fixed by the first checkpoint", manifest.key_groups)));
    }
    Ok(())
}

/// No row follows. But the run before may have died when the last checkpoint was there and sinks had not made it visible.
fn finished(topology: &Topology, args: &Run, manifest: &Manifest, why: Finished, mut resumed: Resumed) -> Result<Beginning> {
    let id = manifest.checkpoint;
    let how = match why {
        Finished::Ended => "all its inputs were read to their ends",
        Finished::Drained => "it was drained",
    };
    if args.from.is_some() {
        return Err(state_error(format!("nothing follows checkpoint {id}: {how}")).help("--fresh runs it again from the beginning"));
    }
    let mut snapshot = resumed.store.read(manifest)?;
    let changes = compare(&manifest.nodes, &node_records(topology));
    changes.iter().filter(|change| change.loses()).for_each(|change| snapshot.remove(change.node()));
    let came = Changed::of(topology, &snapshot, &[])?.input;
    resumed.from = Some((id, snapshot));
    let mut why = format!("{} has finished: {how} (checkpoint {id}); --fresh runs it again from the beginning", topology.name);
    came.iter().for_each(|what| why.push_str(&format!("\n  {what}")));
    Ok(Beginning::Finished(Box::new(resumed), why))
}

/// Going back to an older checkpoint takes back what came after it, as far as that can be taken back.
fn go_back(topology: &Topology, args: &Run, id: CheckpointId, resumed: &mut Resumed) -> Result<()> {
    if resumed.given_up.is_empty() {
        return Ok(());
    }
    let later = resumed.given_up.iter().map(u64::to_string).collect::<Vec<_>>().join(", ");
    let mut text = format!("checkpoint {id} is not the newest; going back gives up {later}, and of what came after it");
    for node in &topology.nodes {
        if let Make::Sink(factory) = &node.plan.make {
            let what = match (factory.two_phase(), factory.is_view()) {
                (true, _) => "is cut back",
                (_, true) => "is set back",
                _ => "is sent again",
            };
            let _ = write!(text, "\n  what `{}` ({}) has given out {what}", node.name, node.kind);
        }
    }
    match args.yes {
        true => {
            resumed.notes.push(text);
            Ok(())
        }
        false => Err(state_error(text).help("add --yes to go back")),
    }
}

/// What of a checkpoint fits the topology, and what is read anew since its input has changed.
fn fit(topology: &Topology, args: &Run, manifest: &Manifest, snapshot: &JobSnapshot, notes: &mut Vec<String>) -> Result<(Fit, Amend)> {
    let changes = compare(&manifest.nodes, &node_records(topology));
    let lost: Vec<String> = changes.iter().filter(|change| change.loses()).map(|change| change.node().to_owned()).collect();
    let mut losses: Vec<String> = changes.iter().filter(|change| change.loses()).map(Change::to_string).collect();
    let mut input = Changed::of(topology, snapshot, &lost)?;
    losses.append(&mut input.losses);
    for node in &topology.nodes {
        if let Make::Source(factory) = &node.plan.make
            && !snapshot.has_ended(&node.name)
            && !input.anew.contains(&node.name)
        {
            let lost = lost_splits(manifest, &node.name, &factory.splits()?);
            losses.extend(
                lost.iter().map(|split| format!("`{}` no longer reads {split}, and forgets the place up to which it was read", node.name)),
            );
        }
    }
    if !losses.is_empty() && !args.allow_dropped_state {
        let text = format!("the topology or its input has changed since checkpoint {}:\n  {}", manifest.checkpoint, losses.join("\n  "));
        return Err(state_error(text).help("--allow-dropped-state goes on without it; --fresh begins anew"));
    }
    let wanted = topology.nodes.iter().filter_map(|node| Some((node.name.clone(), Wanted::of(&node.meaning)?))).collect();
    notes.extend(losses);
    notes.append(&mut input.notes);
    notes.extend(going_on_behind(topology, &lost));
    notes.extend(changes.iter().filter(|change| matches!(change, Change::New(_))).map(Change::to_string));
    let amend = Arc::new(move |snapshot: &mut JobSnapshot| input.apply(snapshot));
    Ok((Fit { of: manifest.checkpoint, lost, wanted }, amend))
}

/// Sinks that keep what they have written, behind nodes that start empty.
fn going_on_behind(topology: &Topology, lost: &[String]) -> Vec<String> {
    let mut empty: Vec<Option<&str>> = Vec::with_capacity(topology.nodes.len());
    let mut notes = Vec::new();
    for node in &topology.nodes {
        let before = node.inputs.iter().find_map(|input| empty[input.node]);
        let is_lost = lost.contains(&node.name);
        if let (Make::Sink(factory), Some(before)) = (&node.plan.make, before.filter(|_| !is_lost))
            && factory.two_phase()
        {
            notes.push(format!(
                "`{}` goes on behind the rows that it has written: what `{before}`, which starts empty, gives again stands there twice",
                node.name
            ));
        }
        empty.push(if is_lost { Some(node.name.as_str()) } else { before });
    }
    notes
}

fn state_error(message: impl Into<String>) -> Error {
    Error::new(ErrorKind::State, message)
}

/// `1 checkpoint`, `2 checkpoints`.
pub fn counted(number: usize, noun: &str) -> String {
    if number == 1 { format!("1 {noun}") } else { format!("{number} {noun}s") }
}

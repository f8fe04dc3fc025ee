//! When a checkpoint begins, when it is whole, and what follows from its success or failure: plain decisions without clocks,
//! threads or stores.
//!
//! Whoever drives it reports what has happened and carries out the [`Action`]s it is given, in order, until there are none.
//! At most one checkpoint is under way, but for a stop: its own begins at once and replaces the one under way, and the barriers
//! of both follow each other on every edge.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use millstream_api::error::{Error, ErrorKind};
use millstream_api::message::CheckpointId;
use millstream_api::time::ClockTime;
use millstream_state::{Finished, JobSnapshot, TaskId, TaskSnapshot};

/// How often, how long, how many.
#[derive(Clone, Copy, Debug)]
pub struct Pace {
    /// Between the beginnings of two checkpoints.
    pub interval: Duration,
    /// Between the end of one and the beginning of the next, at least.
    pub min_pause: Duration,
    /// How long one may take.
    pub timeout: Duration,
    /// How many may fail one after the other.
    pub tolerable_failures: u32,
}

/// What is to be done.
#[derive(Debug)]
pub enum Action {
    /// Give all sources the order to send a barrier, and then perhaps to halt.
    Begin {
        /// The checkpoint's number.
        id: CheckpointId,
        /// Whether no row may follow in this run.
        halt: bool,
    },
    /// Write this checkpoint and report with [`Coordinator::written`].
    Write {
        /// Its number.
        id: CheckpointId,
        /// When it began.
        began: ClockTime,
        /// All of it.
        snapshot: JobSnapshot,
        /// Whether no row can follow it, ever.
        finished: Option<Finished>,
    },
    /// Tell all sinks that this checkpoint exists.
    Commit(CheckpointId),
    /// Tell whoever cares that a checkpoint has failed, which the run outlives.
    Tolerate(CheckpointId, Error),
    /// End the run.
    Fail(CheckpointId, Error),
}

struct UnderWay {
    id: CheckpointId,
    began: ClockTime,
    parts: BTreeMap<TaskId, TaskSnapshot>,
    halt: bool,
}

/// The state of all that.
pub struct Coordinator {
    pace: Pace,
    tasks: BTreeSet<TaskId>,
    sources: BTreeSet<TaskId>,
    /// The sources of tables that are read to their end first.
    tables: BTreeSet<TaskId>,
    next: CheckpointId,
    under_way: Option<UnderWay>,
    /// Being written: when it began, and whether it is the last one.
    writing: Option<(CheckpointId, bool)>,
    ended: BTreeMap<TaskId, TaskSnapshot>,
    due: ClockTime,
    /// The least number that somebody has asked for.
    wanted: Option<CheckpointId>,
    failed_in_a_row: u32,
    stop: Stop,
    drained: bool,
    commit: Option<CheckpointId>,
    failure: Option<(CheckpointId, Error)>,
    /// The last checkpoint is written or the run has failed: there is nothing left to decide.
    over: bool,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Stop {
    No,
    Asked,
    Begun,
}

impl Coordinator {
    /// For a run of these tasks, some of which are sources. Its checkpoints begin with `next`.
    pub fn new(pace: Pace, tasks: BTreeSet<TaskId>, sources: BTreeSet<TaskId>, next: CheckpointId, now: ClockTime) -> Self {
        Coordinator {
            pace,
            tasks,
            sources,
            tables: BTreeSet::new(),
            next,
            under_way: None,
            writing: None,
            ended: BTreeMap::new(),
            due: now.plus(pace.interval),
            wanted: None,
            failed_in_a_row: 0,
            stop: Stop::No,
            drained: false,
            commit: None,
            failure: None,
            over: false,
        }
    }

    /// These sources feed tables of lookups.
    #[must_use]
    pub fn with_tables(self, tables: BTreeSet<TaskId>) -> Self {
        Coordinator { tables, ..self }
    }

    /// A task has come to the barrier of checkpoint `id`.
    pub fn part(&mut self, id: CheckpointId, task: TaskId, snapshot: TaskSnapshot) {
        if let Some(under_way) = self.under_way.as_mut().filter(|under_way| under_way.id == id) {
            under_way.parts.insert(task, snapshot);
        }
    }

    /// A task cannot take part in checkpoint `id`, because the run was stopped while it read a table.
    pub fn cut_off(&mut self, id: CheckpointId, task: &TaskId) {
        if let Some(under_way) = self.under_way.take_if(|under_way| under_way.id == id) {
            let message = format!("the run was stopped while `{}` still read its table", task.node);
            let error = Error::new(ErrorKind::State, message).help("the next run goes on from the checkpoint before, if there is one");
            self.failed(id, error, under_way.halt);
        }
    }

    /// A task is over.
    pub fn ended(&mut self, task: TaskId, snapshot: TaskSnapshot) {
        self.ended.insert(task, snapshot);
    }

    /// Somebody wants a checkpoint now. The number of the one that will be it.
    pub fn want(&mut self) -> CheckpointId {
        self.wanted = Some(self.next);
        self.next
    }

    /// Whether a checkpoint that somebody wants can still come.
    pub fn is_over(&self) -> bool {
        self.over || self.stop == Stop::Begun
    }

    /// The run is to stop, with a last checkpoint.
    pub fn stop(&mut self) {
        if self.stop == Stop::No {
            self.stop = Stop::Asked;
        }
    }

    /// The run is to end as if its inputs had.
    pub fn drain(&mut self) {
        self.drained = true;
    }

    /// What came of writing a checkpoint.
    pub fn written(&mut self, result: Result<(), Error>, now: ClockTime) {
        let Some((id, last)) = self.writing.take() else { return };
        self.due = self.due.max(now.plus(self.pace.min_pause));
        match result {
            Ok(()) => {
                self.failed_in_a_row = 0;
                self.commit = Some(id);
                self.over |= last;
            }
            Err(error) => self.failed(id, error, last),
        }
    }

    /// When to ask again for actions, if nothing happens before.
    pub fn deadline(&self) -> Option<ClockTime> {
        match &self.under_way {
            _ if self.over || self.stop == Stop::Asked => None,
            Some(under_way) => Some(under_way.began.plus(self.pace.timeout)),
            None if self.can_begin() => Some(self.due),
            None => None,
        }
    }

    /// The next thing to do.
    pub fn next_action(&mut self, now: ClockTime) -> Option<Action> {
        if let Some(id) = self.commit.take() {
            return Some(Action::Commit(id));
        }
        if let Some((id, error)) = self.failure.take() {
            return Some(if self.over { Action::Fail(id, error) } else { Action::Tolerate(id, error) });
        }
        if self.over || self.writing.is_some() {
            return None;
        }
        if self.stop == Stop::Asked {
            self.stop = Stop::Begun;
            return Some(self.begin(now, true));
        }
        if let Some(write) = self.whole(now) {
            return Some(write);
        }
        self.give_up(now);
        if self.failure.is_some() {
            return self.next_action(now);
        }
        let is_due = self.wanted.is_some() || now >= self.due;
        (self.under_way.is_none() && self.can_begin() && is_due).then(|| self.begin(now, false))
    }

    /// Without a source that runs no barrier would come anywhere: then the last checkpoint is all there is to wait for.
    ///
    /// A lookup hands no barrier on before its table is whole. One that comes earlier could hold up the table itself, at a node that
    /// reads from its source and from the lookup.
    fn can_begin(&self) -> bool {
        let runs = |source: &TaskId| !self.ended.contains_key(source);
        self.stop == Stop::No && self.sources.iter().any(runs) && !self.tables.iter().any(runs)
    }

    fn begin(&mut self, now: ClockTime, halt: bool) -> Action {
        let id = self.next;
        self.next += 1;
        self.wanted = None;
        self.due = now.plus(self.pace.interval);
        self.under_way = Some(UnderWay { id, began: now, parts: BTreeMap::new(), halt });
        Action::Begin { id, halt }
    }

    /// The checkpoint under way, when every task has come to its barrier or is over. When all are over it is the last one,
    /// also when none was under way.
    fn whole(&mut self, now: ClockTime) -> Option<Action> {
        let all_ended = self.ended.len() == self.tasks.len();
        let UnderWay { id, began, parts, halt } = match self.under_way.take() {
            None if all_ended => {
                self.next += 1;
                UnderWay { id: self.next - 1, began: now, parts: BTreeMap::new(), halt: false }
            }
            None => return None,
            Some(under_way) => under_way,
        };
        if !self.tasks.iter().all(|task| parts.contains_key(task) || self.ended.contains_key(task)) {
            self.under_way = Some(UnderWay { id, began, parts, halt });
            return None;
        }
        // Where a task has come to the barrier and ended since, it counts as it was at the barrier.
        let is_last = parts.is_empty();
        let finished = is_last.then_some(if self.drained { Finished::Drained } else { Finished::Ended });
        let mut tasks = self.ended.clone();
        tasks.extend(parts);
        self.writing = Some((id, is_last || halt));
        Some(Action::Write { id, began, snapshot: JobSnapshot::new(tasks), finished })
    }

    /// Gives up the checkpoint under way when it has taken too long.
    fn give_up(&mut self, now: ClockTime) {
        let Some(under_way) = self.under_way.take_if(|under_way| now >= under_way.began.plus(self.pace.timeout)) else { return };
        let missing = |task: &&TaskId| !under_way.parts.contains_key(*task) && !self.ended.contains_key(*task);
        let names: BTreeSet<&str> = self.tasks.iter().filter(missing).map(|task| task.node.as_str()).collect();
        let names = names.into_iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ");
        let message = format!("it was not whole after {:?}: its barrier has not come through {names}", self.pace.timeout);
        let error = Error::new(ErrorKind::State, message)
            .help("a slow sink or much work for each row holds barriers up; raise `timeout` in [checkpoint]");
        self.due = self.due.max(now.plus(self.pace.min_pause));
        self.failed(under_way.id, error, under_way.halt);
    }

    fn failed(&mut self, id: CheckpointId, error: Error, last: bool) {
        self.failed_in_a_row += 1;
        // A store that is another's is no failure that the next checkpoint makes up for.
        self.over |= last || self.failed_in_a_row > self.pace.tolerable_failures || error.kind() == ErrorKind::Taken;
        self.failure = Some((id, error));
    }
}

#[cfg(test)]
mod tests;

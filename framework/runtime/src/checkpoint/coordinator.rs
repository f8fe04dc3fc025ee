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
    fn can_begin(&self) -> bool {
        self.stop == Stop::No && self.sources.iter().any(|source| !self.ended.contains_key(source))
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
        self.over |= last || self.failed_in_a_row > self.pace.tolerable_failures;
        self.failure = Some((id, error));
    }
}

#[cfg(test)]
mod tests {
    use millstream_api::EventTime;
    use millstream_state::TaskCounts;

    use super::*;

    const SECOND: i64 = 1_000_000;

    fn at(seconds: i64) -> ClockTime {
        ClockTime(seconds * SECOND)
    }

    fn task(node: &str) -> TaskId {
        TaskId { node: node.to_owned(), subtask: 0 }
    }

    fn part() -> TaskSnapshot {
        let counts = TaskCounts::default();
        TaskSnapshot { watermark: EventTime::MIN, entries: Default::default(), positions: Vec::new(), counts, ended: false }
    }

    /// Sources `a` and `b`, and a sink `c` that reads both. A checkpoint every 10 s, a pause of 3 s, a time-out of 60 s.
    fn coordinator(tolerable_failures: u32) -> Coordinator {
        let seconds = Duration::from_secs;
        let pace = Pace { interval: seconds(10), min_pause: seconds(3), timeout: seconds(60), tolerable_failures };
        Coordinator::new(pace, ["a", "b", "c"].map(task).into(), ["a", "b"].map(task).into(), 5, at(0))
    }

    fn does(coordinator: &mut Coordinator, now: i64) -> Vec<String> {
        std::iter::from_fn(|| coordinator.next_action(at(now)))
            .map(|action| match action {
                Action::Begin { id, halt } => format!("begin {id}{}", if halt { " and halt" } else { "" }),
                Action::Write { id, snapshot, finished, .. } => {
                    let tasks: Vec<&str> = snapshot.tasks().map(|(task, _)| task.node.as_str()).collect();
                    format!("write {id} of {}{}", tasks.join(" "), finished.map_or(String::new(), |why| format!(", {why:?}")))
                }
                Action::Commit(id) => format!("commit {id}"),
                Action::Tolerate(id, error) => format!("tolerate {id}: {}", error.message()),
                Action::Fail(id, error) => format!("fail {id}: {}", error.message()),
            })
            .collect()
    }

    fn parts(coordinator: &mut Coordinator, id: CheckpointId, nodes: &[&str]) {
        nodes.iter().for_each(|node| coordinator.part(id, task(node), part()));
    }

    fn broken() -> Result<(), Error> {
        Err(Error::io("cannot write", "no space"))
    }

    #[test]
    fn a_checkpoint_begins_when_it_is_due_and_is_committed_when_it_is_written() {
        let mut it = coordinator(0);
        assert_eq!(it.deadline(), Some(at(10)));
        assert!(does(&mut it, 9).is_empty());
        assert_eq!(does(&mut it, 10), ["begin 5"]);
        assert_eq!(it.deadline(), Some(at(70)));
        parts(&mut it, 5, &["a", "b"]);
        parts(&mut it, 4, &["c"]);
        assert!(does(&mut it, 12).is_empty());
        parts(&mut it, 5, &["c"]);
        assert_eq!(does(&mut it, 12), ["write 5 of a b c"]);
        it.written(Ok(()), at(18));
        assert_eq!(does(&mut it, 18), ["commit 5"]);
        assert_eq!(it.deadline(), Some(at(21)), "the pause counts where the interval has passed");
        assert_eq!(does(&mut it, 21), ["begin 6"]);
    }

    #[test]
    fn one_that_is_wanted_begins_at_once_and_after_the_one_under_way() {
        let mut it = coordinator(0);
        assert_eq!(it.want(), 5);
        assert_eq!(does(&mut it, 1), ["begin 5"]);
        assert_eq!(it.want(), 6);
        parts(&mut it, 5, &["a", "b", "c"]);
        assert_eq!(does(&mut it, 2), ["write 5 of a b c"]);
        it.written(Ok(()), at(2));
        assert_eq!(does(&mut it, 2), ["commit 5", "begin 6"]);
    }

    #[test]
    fn a_source_that_has_ended_takes_no_part() {
        let mut it = coordinator(0);
        it.ended(task("a"), part());
        assert_eq!(does(&mut it, 10), ["begin 5"]);
        parts(&mut it, 5, &["b", "c"]);
        assert_eq!(does(&mut it, 10), ["write 5 of a b c"]);
        it.written(Ok(()), at(10));
        assert_eq!(does(&mut it, 10), ["commit 5"]);
    }

    #[test]
    fn when_all_have_ended_there_is_a_last_one() {
        let mut it = coordinator(0);
        it.ended(task("a"), part());
        it.ended(task("b"), part());
        assert!(does(&mut it, 100).is_empty(), "no barrier would come anywhere");
        assert_eq!(it.deadline(), None);
        it.ended(task("c"), part());
        assert_eq!(does(&mut it, 100), ["write 5 of a b c, Ended"]);
        it.written(Ok(()), at(100));
        assert_eq!(does(&mut it, 200), ["commit 5"]);
        assert!(it.is_over());
    }

    #[test]
    fn one_under_way_when_the_sources_end_is_finished_first() {
        let mut it = coordinator(0);
        assert_eq!(does(&mut it, 10), ["begin 5"]);
        parts(&mut it, 5, &["a"]);
        let _ = ["a", "b", "c"].map(|node| it.ended(task(node), part()));
        assert_eq!(does(&mut it, 11), ["write 5 of a b c"], "`a` has sent its barrier, so it is not the end");
        it.written(Ok(()), at(11));
        assert_eq!(does(&mut it, 11), ["commit 5", "write 6 of a b c, Ended"]);
        let mut it = coordinator(0);
        it.drain();
        let _ = ["a", "b", "c"].map(|node| it.ended(task(node), part()));
        assert_eq!(does(&mut it, 1), ["write 5 of a b c, Drained"]);
    }

    #[test]
    fn a_stop_takes_the_place_of_what_is_under_way() {
        let mut it = coordinator(0);
        assert_eq!(does(&mut it, 10), ["begin 5"]);
        parts(&mut it, 5, &["a", "b"]);
        it.stop();
        it.stop();
        assert_eq!(does(&mut it, 11), ["begin 6 and halt"]);
        parts(&mut it, 5, &["c"]);
        parts(&mut it, 6, &["a", "b", "c"]);
        assert_eq!(does(&mut it, 12), ["write 6 of a b c"]);
        it.written(Ok(()), at(13));
        assert_eq!(does(&mut it, 1_000), ["commit 6"]);
    }

    #[test]
    fn failures_are_tolerated_as_far_as_they_may_be() {
        let mut it = coordinator(1);
        assert_eq!(does(&mut it, 10), ["begin 5"]);
        parts(&mut it, 5, &["a"]);
        let said = "it was not whole after 60s: its barrier has not come through `b`, `c`";
        assert_eq!(does(&mut it, 70), [format!("tolerate 5: {said}")]);
        assert_eq!(does(&mut it, 73), ["begin 6"]);
        parts(&mut it, 6, &["a", "b", "c"]);
        assert_eq!(does(&mut it, 74), ["write 6 of a b c"]);
        it.written(Ok(()), at(74));
        assert_eq!(does(&mut it, 74), ["commit 6"]);
        for (id, expected) in [(7, "tolerate 7: cannot write: no space"), (8, "fail 8: cannot write: no space")] {
            it.want();
            assert_eq!(does(&mut it, 75), [format!("begin {id}")]);
            parts(&mut it, id, &["a", "b", "c"]);
            assert_eq!(does(&mut it, 75), [format!("write {id} of a b c")]);
            it.written(broken(), at(75));
            assert_eq!(does(&mut it, 75), [expected]);
        }
        assert!(does(&mut it, 1_000).is_empty());
    }

    #[test]
    fn a_stop_while_a_table_is_read_has_no_last_one() {
        let mut it = coordinator(0);
        it.stop();
        assert_eq!(does(&mut it, 1), ["begin 5 and halt"]);
        parts(&mut it, 5, &["a", "b"]);
        it.cut_off(5, &task("c"));
        it.cut_off(5, &task("c"));
        assert_eq!(does(&mut it, 1), ["fail 5: the run was stopped while `c` still read its table"]);
    }

    #[test]
    fn the_last_one_may_not_fail() {
        let mut it = coordinator(9);
        it.stop();
        assert_eq!(does(&mut it, 1), ["begin 5 and halt"]);
        parts(&mut it, 5, &["a", "b", "c"]);
        assert_eq!(does(&mut it, 1), ["write 5 of a b c"]);
        it.written(broken(), at(1));
        assert_eq!(does(&mut it, 1), ["fail 5: cannot write: no space"]);
    }
}

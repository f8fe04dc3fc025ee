//! The running aggregate: one row for each group, withdrawn and replaced whenever it changes.
//!
//! What was sent for a group is not kept: it is evaluated once more before the group changes, which gives the same row, so
//! that it can be withdrawn by its equal. That holds across a restore too, as every state evaluates to the same result after it.

mod results;
mod saved;

use arrow::array::{BooleanArray, UInt32Array};
use hashbrown::HashMap;
use millstream_api::plan::OperatorContext;
use millstream_api::state::{StateReader, StateWriter};
use millstream_api::time::ClockTime;
use millstream_api::{Batch, Operator, Output, Progress, Result};
use millstream_expr::{BoundAggregate, Groups, Interner};

pub(super) use self::results::Rows;
use super::MAIN;
use super::pane::Evaluations;
use super::pending::Pending;
use super::plan::Design;
use super::program::Program;
use super::state::Layout;
use crate::changed::ChangedKeys;
use crate::ttl::Ttl;

/// The name of the state.
pub(super) const GROUPS: &str = "groups";

/// One subtask.
pub(super) struct Running {
    program: Program,
    layout: Layout,
    read: bool,
    interner: Interner,
    groups: Vec<Box<dyn Groups>>,
    /// Rows in each group; below zero while a withdrawal has overtaken its row.
    counts: Vec<i64>,
    /// The batch in which each group was last touched, by its number.
    touched_in: Vec<u64>,
    batch: u64,
    ttl: Option<Ttl>,
    /// Which groups have changed since they were last written, and how these are divided.
    changed: ChangedKeys,
    key_groups: u16,
    /// What is to be said at the next tick, where rows are not sent with each batch.
    pending: Option<Pending>,
}

impl Running {
    /// A subtask without state.
    pub(super) fn new(design: &Design, context: &OperatorContext, rejected_port: usize) -> Result<Self> {
        let program = Program::new(design, context, rejected_port)?;
        let read = context.outputs[MAIN].read;
        Ok(Running {
            layout: Layout::new(&program, context.key_groups),
            read,
            interner: Interner::new(program.key_types())?,
            groups: program.aggregates().iter().map(BoundAggregate::groups).collect::<Result<_>>()?,
            counts: Vec::new(),
            touched_in: Vec::new(),
            batch: 0,
            ttl: design.state_ttl.map(Ttl::new),
            changed: ChangedKeys::default(),
            key_groups: context.key_groups,
            pending: design.every.filter(|_| read).map(|every| Pending::new(every, context.key_groups)),
            program,
        })
    }

    /// The groups of these rows, each once, in the order of their first row.
    fn touched(&mut self, ids: &[usize]) -> Vec<usize> {
        self.batch += 1;
        self.touched_in.resize(self.interner.total(), 0);
        let mut touched = Vec::new();
        for &id in ids {
            if self.touched_in[id] != self.batch {
                self.touched_in[id] = self.batch;
                touched.push(id);
            }
        }
        touched
    }

    fn change(&mut self, rows: &Evaluations, ids: &[usize], weights: Option<&[i8]>) -> Result<()> {
        let total = self.interner.total();
        let Some(weights) = weights.filter(|weights| weights.iter().any(|&weight| weight < 0)) else {
            for (groups, arguments) in self.groups.iter_mut().zip(&rows.arguments) {
                groups.update(arguments, ids, total, rows.order.as_ref())?;
            }
            ids.iter().for_each(|&id| self.counts[id] += 1);
            return Ok(());
        };
        for come in [true, false] {
            let indices: UInt32Array = (0..weights.len() as u32).filter(|&row| (weights[row as usize] > 0) == come).map(Some).collect();
            let ids: Vec<usize> = indices.values().iter().map(|&row| ids[row as usize]).collect();
            let rows = rows.take(&indices)?;
            for (groups, arguments) in self.groups.iter_mut().zip(&rows.arguments) {
                match come {
                    true => groups.update(arguments, &ids, total, rows.order.as_ref())?,
                    false => groups.retract(arguments, &ids, total, rows.order.as_ref())?,
                }
            }
            ids.iter().for_each(|&id| self.counts[id] += if come { 1 } else { -1 });
        }
        Ok(())
    }

    /// Whether nothing is left of a group. One with as many withdrawals as rows may still wait for rows that were overtaken.
    fn is_empty(&self, group: usize) -> bool {
        self.counts[group] == 0 && self.groups.iter().all(|groups| groups.is_empty(group))
    }

    /// Lets go of groups of which nothing is left; the others stay for another while.
    fn drop_empty(&mut self, touched: &[usize], out: &mut Output) -> Result<()> {
        self.changed.touch(touched);
        let (empty, left): (Vec<usize>, Vec<usize>) = touched.iter().partition(|&&group| self.is_empty(group));
        if let Some(ttl) = &mut self.ttl {
            empty.iter().for_each(|&group| ttl.leave(group));
            left.iter().for_each(|&group| ttl.touch(group, out.now()));
            ttl.set_timer(out);
        }
        self.release(empty)
    }

    /// Gives the numbers of groups up. What is still to be said of a group needs its key.
    fn release(&mut self, mut groups: Vec<usize>) -> Result<()> {
        if let Some(pending) = &self.pending {
            groups.retain(|&group| !pending.contains(group));
        }
        if !self.program.key_types().is_empty() {
            self.changed.give_up(&groups, |groups| self.interner.columns(groups))?;
            self.interner.release(&groups);
        }
        Ok(())
    }

    /// Says what has changed since the last tick, of the groups in memory.
    fn say(&mut self, out: &mut Output) -> Result<()> {
        let Some(pending) = &mut self.pending else { return Ok(()) };
        let (groups, before) = pending.take(&self.program)?;
        let after = self.rows_of(&groups)?;
        self.send(&before, &after.rows, out)?;
        let empty = groups.into_iter().filter(|&group| self.is_empty(group)).collect();
        self.release(empty)
    }

    /// The same of all groups; those on disk come one after the other.
    fn tick(&mut self, out: &mut Output) -> Result<()> {
        self.pending.iter_mut().for_each(Pending::begin_tick);
        self.say(out)
    }

    /// Forgets the groups that have not been touched for long enough.
    fn forget_due(&mut self, out: &mut Output) -> Result<()> {
        let Some(ttl) = &mut self.ttl else { return Ok(()) };
        let due = ttl.take_due(out.now());
        ttl.set_timer(out);
        if self.pending.as_ref().is_some_and(|pending| due.iter().any(|&group| pending.contains(group))) {
            self.tick(out)?;
        }
        due.iter().for_each(|&group| self.counts[group] = 0);
        self.groups.iter_mut().try_for_each(|groups| groups.clear(&due))?;
        self.release(due)
    }

    /// Which rows are withdrawals of rows that were forgotten; `None`: none. Without `state_ttl` such a row may still come.
    fn forgotten(&self, ids: &[usize], weights: Option<&[i8]>) -> Option<BooleanArray> {
        let weights = weights.filter(|weights| self.ttl.is_some() && weights.contains(&-1))?;
        let mut counts: HashMap<usize, i64> = HashMap::new();
        let remains = ids.iter().zip(weights).map(|(&id, &weight)| {
            let count = counts.entry(id).or_insert(self.counts[id]);
            let there = weight > 0 || *count > 0;
            *count += if there { i64::from(weight) } else { 0 };
            there
        });
        Some(BooleanArray::from(remains.collect::<Vec<_>>())).filter(|remains| remains.false_count() > 0)
    }

    /// Takes rows in: their groups' numbers, each once.
    fn take(&mut self, batch: &Batch, rows: Evaluations, mut ids: Vec<usize>, out: &mut Output) -> Result<Vec<usize>> {
        let touched = self.touched(&ids);
        let had: Vec<bool> = touched.iter().map(|&group| self.counts[group] > 0).collect();
        let before = self.rows_of(&touched)?;
        match self.forgotten(&ids, batch.weights()) {
            None => self.change(&rows, &ids, batch.weights())?,
            Some(remains) => {
                let indices: UInt32Array = (0..remains.len() as u32).filter(|&row| remains.value(row as usize)).map(Some).collect();
                ids = indices.values().iter().map(|&row| ids[row as usize]).collect();
                out.fates().taken -= remains.false_count() as u64;
                out.fates().expired += remains.false_count() as u64;
                self.change(&rows.take(&indices)?, &ids, batch.filter(&remains)?.weights())?;
            }
        }
        let after = self.rows_of(&touched)?;
        self.report(&before, &after, &touched, &had, out)?;
        match &mut self.pending {
            Some(pending) => pending.note(&touched, &before.rows, out)?,
            None if self.read => self.send(&before.rows, &after.rows, out)?,
            None => {}
        }
        Ok(touched)
    }
}

impl Operator for Running {
    fn on_batch(&mut self, _: usize, batch: Batch, out: &mut Output) -> Result<()> {
        let (batch, rows) = self.program.evaluate(batch, out)?;
        if let Some(state) = out.fetch(&rows.keys, rows.rows)? {
            self.take_back(&state)?;
        }
        self.forget_due(out)?;
        out.fates().taken += rows.rows as u64;
        let mut ids = Vec::new();
        self.interner.intern(&rows.keys, rows.rows, &mut ids)?;
        self.counts.resize(self.interner.total(), 0);
        let touched = self.take(&batch, rows, ids, out)?;
        self.drop_empty(&touched, out)
    }

    fn on_timer(&mut self, _: ClockTime, out: &mut Output) -> Result<()> {
        self.forget_due(out)?;
        if self.pending.as_ref().is_some_and(|pending| pending.is_due(out.now())) {
            self.tick(out)?;
        }
        Ok(())
    }

    fn resume(&mut self, out: &mut Output) -> Result<Progress> {
        let Some(pending) = &mut self.pending else { return Ok(Progress::Done) };
        match pending.cold.next(out)? {
            None => {
                pending.ask(out);
                Ok(Progress::Done)
            }
            Some(state) => {
                self.take_back(&state)?;
                self.say(out)?;
                Ok(Progress::More)
            }
        }
    }

    fn on_end(&mut self, _: usize, out: &mut Output) -> Result<()> {
        self.tick(out)
    }

    fn snapshot(&mut self, state: &mut StateWriter) -> Result<()> {
        self.changed.all_written(self.interner.total());
        self.save((0..self.counts.len()).collect(), state)
    }

    fn note_changes(&mut self) -> bool {
        self.changed.begin();
        true
    }

    fn snapshot_changes(&mut self, state: &mut StateWriter) -> Result<()> {
        let changed = self.changed.take(self.key_groups, |groups| self.interner.columns(groups), state)?;
        self.save(changed, state)
    }

    fn restore(&mut self, state: &StateReader) -> Result<()> {
        self.take_back(state)?;
        self.pending.iter_mut().for_each(|pending| pending.cold.note());
        Ok(())
    }

    fn forget_keys(&mut self) -> Result<()> {
        self.interner = Interner::new(self.program.key_types())?;
        self.groups = self.program.aggregates().iter().map(BoundAggregate::groups).collect::<Result<_>>()?;
        (self.counts, self.touched_in) = (Vec::new(), Vec::new());
        self.ttl = self.ttl.as_ref().map(Ttl::emptied);
        self.pending = self.pending.as_ref().map(Pending::emptied);
        self.changed = ChangedKeys::default();
        Ok(())
    }

    fn can_forget_keys(&self) -> bool {
        true
    }

    fn state_bytes(&self) -> usize {
        let groups: usize = self.groups.iter().map(|groups| groups.size_bytes()).sum();
        let ttl = self.ttl.as_ref().map_or(0, Ttl::size_bytes);
        self.interner.size_bytes()
            + groups
            + ttl
            + self.changed.size_bytes()
            + self.pending.as_ref().map_or(0, Pending::size_bytes)
            + self.counts.capacity() * size_of::<i64>() * 2
    }
}

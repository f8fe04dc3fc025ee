//! Groups of one window or slice: their keys and one accumulator per aggregate function.

use std::ops::Range;

use arrow::array::{ArrayRef, UInt32Array};
use arrow::datatypes::DataType;
use millstream_api::Result;
use millstream_expr::{Arguments, BoundAggregate, Evaluated, Groups, Interner, RowOrder};

use crate::changed::{ChangedGroups, PaneChanges};

/// Keys and arguments of rows, evaluated.
pub(super) struct Evaluations {
    pub(super) keys: Vec<ArrayRef>,
    pub(super) arguments: Vec<Arguments>,
    pub(super) order: Option<RowOrder>,
    pub(super) rows: usize,
}

impl Evaluations {
    /// Those of the rows at `indices`.
    pub(super) fn take(&self, indices: &UInt32Array) -> Result<Evaluations> {
        let order = match &self.order {
            Some(order) => Some(order.take(indices)?),
            None => None,
        };
        Ok(Evaluations {
            keys: self.keys.iter().map(|key| Ok(arrow::compute::take(key, indices, None)?)).collect::<Result<_>>()?,
            arguments: self.arguments.iter().map(|arguments| arguments.take(indices)).collect::<Result<_>>()?,
            order,
            rows: indices.len(),
        })
    }

    /// Those of a run of rows, without a copy.
    pub(super) fn slice(&self, run: &Range<usize>) -> Result<Evaluations> {
        let (start, rows) = (run.start, run.len());
        let order = match &self.order {
            Some(order) => Some(order.slice(start, rows)?),
            None => None,
        };
        Ok(Evaluations {
            keys: self.keys.iter().map(|key| key.slice(start, rows)).collect(),
            arguments: self.arguments.iter().map(|arguments| arguments.slice(start, rows)).collect(),
            order,
            rows,
        })
    }
}

/// Groups with their accumulators.
pub(super) struct Pane {
    interner: Interner,
    groups: Vec<Box<dyn Groups>>,
    /// The group of each row of the batch at hand; kept for its memory.
    ids: Vec<usize>,
    /// Rows taken, of which no window has closed yet.
    pub(super) rows: u64,
    /// Rows of each group, where they are counted.
    counts: Vec<i64>,
    /// What [`size_bytes`](Pane::size_bytes) gave after the last change.
    pub(super) measured_bytes: usize,
    /// What checkpoints have of it.
    pub(super) changes: PaneChanges,
}

impl Pane {
    /// A pane without groups.
    pub(super) fn new(key_types: &[DataType], aggregates: &[BoundAggregate]) -> Result<Self> {
        let groups = aggregates.iter().map(BoundAggregate::groups).collect::<Result<_>>()?;
        let (ids, counts) = (Vec::new(), Vec::new());
        let (interner, changes) = (Interner::new(key_types)?, PaneChanges::default());
        Ok(Pane { interner, groups, ids, rows: 0, counts, measured_bytes: 0, changes })
    }

    /// Takes rows in.
    pub(super) fn update(&mut self, rows: &Evaluations) -> Result<()> {
        self.interner.intern(&rows.keys, rows.rows, &mut self.ids)?;
        let total = self.interner.total();
        for (groups, arguments) in self.groups.iter_mut().zip(&rows.arguments) {
            groups.update(arguments, &self.ids, total, rows.order.as_ref())?;
        }
        self.rows += rows.rows as u64;
        self.note();
        Ok(())
    }

    /// Takes rows in and counts those of each group.
    pub(super) fn update_counted(&mut self, rows: &Evaluations) -> Result<()> {
        self.update(rows)?;
        self.count(std::iter::repeat(&1));
        Ok(())
    }

    /// Counts rows of the groups at hand, one number after the other.
    pub(super) fn count<'r>(&mut self, rows: impl IntoIterator<Item = &'r i64>) {
        self.counts.resize(self.interner.total(), 0);
        self.ids.iter().zip(rows).for_each(|(&id, rows)| self.counts[id] += rows);
    }

    /// The number of rows to be put down with a group: where they are not counted all of the pane's rows with the first one, since only
    /// their sum over all subtasks matters.
    pub(super) fn rows_of(&self, group: usize) -> i64 {
        match self.counts.get(group) {
            Some(rows) => *rows,
            None if group == 0 => self.rows as i64,
            None => 0,
        }
    }

    /// The rows of each group, as [`update_counted`](Pane::update_counted) has counted them.
    pub(super) fn counts(&self) -> &[i64] {
        &self.counts
    }

    /// Merges the groups of another pane, which stays as it is. Its rows are not counted here, only those of its groups.
    pub(super) fn merge(&mut self, other: &mut Pane) -> Result<()> {
        let (keys, states) = other.state()?;
        self.merge_state(&keys, &states, other.len())?;
        if !other.counts.is_empty() {
            self.count(&other.counts);
        }
        Ok(())
    }

    /// Merges what [`state`](Pane::state) gave.
    pub(super) fn merge_state(&mut self, keys: &[ArrayRef], states: &[Vec<ArrayRef>], rows: usize) -> Result<()> {
        self.interner.intern(keys, rows, &mut self.ids)?;
        let total = self.interner.total();
        for (groups, state) in self.groups.iter_mut().zip(states) {
            groups.merge(state, &self.ids, total)?;
        }
        self.note();
        Ok(())
    }

    /// Keys and states of all groups, a row for each.
    pub(super) fn state(&mut self) -> Result<(Vec<ArrayRef>, Vec<Vec<ArrayRef>>)> {
        let states = self.groups.iter_mut().map(|groups| groups.state()).collect::<Result<_>>()?;
        Ok((self.interner.all_columns()?, states))
    }

    /// Keys and states of some groups.
    pub(super) fn state_of(&mut self, groups: &[usize]) -> Result<(Vec<ArrayRef>, Vec<Vec<ArrayRef>>)> {
        let states = self.groups.iter_mut().map(|state| state.state_at(groups)).collect::<Result<_>>()?;
        Ok((self.keys_of(groups)?, states))
    }

    /// The keys of some groups.
    pub(super) fn keys_of(&self, groups: &[usize]) -> Result<Vec<ArrayRef>> {
        self.interner.columns(groups)
    }

    /// Notes that the groups of the rows at hand have changed, and the first one, with which the number of rows is put down.
    fn note(&mut self) {
        self.changes.touch(&self.ids);
        self.changes.touch(&[0]);
    }

    /// All groups have been written for a checkpoint.
    pub(super) fn all_written(&mut self) {
        self.changes.all_written(self.len());
    }

    /// The groups that have changed since they were last written; `None`: all are to be written.
    pub(super) fn take_changed(&mut self) -> Option<ChangedGroups> {
        self.changes.take(self.len())
    }

    /// Keys and results of all groups, a row for each.
    pub(super) fn results(&mut self) -> Result<(Vec<ArrayRef>, Vec<Evaluated>)> {
        let results = self.groups.iter_mut().map(|groups| groups.evaluate()).collect::<Result<_>>()?;
        Ok((self.interner.all_columns()?, results))
    }

    /// How many groups there are.
    pub(super) fn len(&self) -> usize {
        self.interner.total()
    }

    /// Memory in bytes.
    pub(super) fn size_bytes(&self) -> usize {
        let groups: usize = self.groups.iter().map(|groups| groups.size_bytes()).sum();
        let numbers = self.ids.capacity() * size_of::<usize>() + self.counts.capacity() * size_of::<i64>();
        self.interner.size_bytes() + groups + numbers + self.changes.size_bytes()
    }
}

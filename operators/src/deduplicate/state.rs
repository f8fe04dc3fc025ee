//! A snapshot: rows that wait, and keys that are remembered with the row of each, by the key group of their keys.
//!
//! A row that waits is written once. It may stand in checkpoints longer than it waits, so up to where rows were judged stands there too.

use std::sync::Arc;

use arrow::array::{ArrayRef, Int64Array, RecordBatch};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use millstream_api::key_group::key_groups;
use millstream_api::state::picked::records_of;
use millstream_api::state::{StateReader, StateWriter};
use millstream_api::time::ClockTime;
use millstream_api::{EventTime, Result};

use super::intake::{RELEASE, number};
use super::judge::Judge;
use super::operator::Deduplicate;
use super::pending::is_passed;
use crate::columns::{Constant, records};
use crate::floors::Floors;
use crate::saved::check_types;
use crate::top_n::rankings::Saved;

/// The names of the pieces.
pub(super) const KEYS: &str = "keys";
pub(super) const PENDING: &str = "pending";

/// The column of [`KEYS`] that says until when a key is remembered.
pub(super) const UNTIL: &str = "until";

/// How many columns of [`KEYS`] are numbers: until when a key is remembered, and when it was last touched.
const NUMBERS: usize = 2;

/// What the numbers are where nothing is forgotten.
struct Constants {
    for_ever: Constant,
    zeros: Constant,
}

impl Default for Constants {
    fn default() -> Constants {
        Constants { for_ever: Constant::new(i64::MAX), zeros: Constant::new(0) }
    }
}

impl Deduplicate {
    /// Writes all state; it stays as it is.
    pub(super) fn save(&mut self, state: &mut StateWriter) -> Result<()> {
        self.keys.changed.all_written(self.keys.total());
        self.save_keys(&self.keys.all(), state)?;
        self.save_pending(self.pending.all(), state)?;
        self.pending.all_written();
        Ok(())
    }

    /// Writes the keys that have changed since it was written last, and the rows that have come since and wait.
    pub(super) fn save_changes(&mut self, state: &mut StateWriter) -> Result<()> {
        let mut changed = self.keys.changed.take(self.key_groups, |keys| self.judge.keys(keys), state)?;
        changed.retain(|&id| self.keys.until(id).is_some());
        self.save_keys(&changed, state)?;
        self.save_pending(self.pending.not_written(), state)?;
        self.pending.all_written();
        Ok(())
    }

    fn save_pending<'a>(&self, runs: impl Iterator<Item = &'a RecordBatch>, state: &mut StateWriter) -> Result<()> {
        for run in runs {
            let groups = key_groups(&self.intake.keys(run)?, run.num_rows(), self.key_groups)?;
            state.put_keyed(PENDING, &groups, run)?;
        }
        if self.event_time {
            Floors::default().write(self.groups.clone(), self.watermark.0, state)?;
        }
        Ok(())
    }

    fn save_keys(&self, ids: &[usize], state: &mut StateWriter) -> Result<()> {
        if ids.is_empty() {
            return Ok(());
        }
        match &self.judge {
            Judge::First(_) => self.put_keys(ids, self.judge.keys(ids)?, Vec::new(), &mut Constants::default(), state),
            // Keys that end with event time end in the order of their numbers where they do so together.
            Judge::Last(rankings) if self.within.is_some() => {
                let Saved { groups, keys, kept, .. } = rankings.save(ids.iter().copied())?;
                self.put_keys(&groups, keys, kept, &mut Constants::default(), state)
            }
            Judge::Last(rankings) => {
                let mut constants = Constants::default();
                rankings.share(ids.iter().copied()).try_for_each(|saved| {
                    let Saved { groups, keys, kept, .. } = saved?;
                    self.put_keys(&groups, keys, kept, &mut constants, state)
                })
            }
        }
    }

    /// Writes keys by their numbers and columns, with the row of each if there is one.
    fn put_keys(
        &self,
        ids: &[usize],
        keys: Vec<ArrayRef>,
        rows: Vec<ArrayRef>,
        constants: &mut Constants,
        state: &mut StateWriter,
    ) -> Result<()> {
        let groups = key_groups(&keys, ids.len(), self.key_groups)?;
        let until = match self.within {
            Some(_) => Arc::new(ids.iter().map(|&id| self.keys.until(id)).collect::<Int64Array>()),
            None => constants.for_ever.of(ids.len()),
        };
        let touched = match self.keys.are_touched() {
            true => Arc::new(ids.iter().map(|&id| Some(self.keys.touched_at(id))).collect::<Int64Array>()),
            false => constants.zeros.of(ids.len()),
        };
        let numbers: [ArrayRef; NUMBERS] = [until, touched];
        let columns = numbers.into_iter().chain(keys).chain(rows).collect();
        state.put_keyed(KEYS, &groups, &records_of(&self.keys_schema(), columns)?)
    }

    /// Takes back what [`save`](Deduplicate::save) wrote.
    pub(super) fn load(&mut self, state: &StateReader) -> Result<()> {
        let floors = Floors::read(state);
        for saved in state.entries().get(PENDING).into_iter().flatten() {
            check_types(&saved.records.schema(), self.intake.kept())?;
            let release = number(&saved.records, RELEASE);
            let waits = floors.not_past(saved, |row, floor| is_passed(release.value(row), EventTime(floor)))?;
            self.pending.push(waits.records)?;
        }
        for saved in state.get(KEYS) {
            check_types(&saved.schema(), &self.keys_schema())?;
            let (keys, rows) = saved.columns()[NUMBERS..].split_at(self.intake.key_types().len());
            let ids = self.judge.numbers(keys, saved.num_rows())?;
            self.cold.came_back(ids.len() as u64);
            for (row, &id) in ids.iter().enumerate() {
                self.keys.restore(id, number(saved, 0).value(row));
                self.keys.touch(id, ClockTime(number(saved, 1).value(row)));
            }
            if let Judge::Last(rankings) = &mut self.judge {
                rankings.change(&ids, &ids, records(self.intake.kept(), rows.to_vec(), ids.len())?, |_| 1)?;
            }
        }
        Ok(())
    }

    fn keys_schema(&self) -> SchemaRef {
        let numbers = [UNTIL, "touched"].map(|name| Field::new(name, DataType::Int64, false));
        let keys = self.intake.key_types().iter().enumerate().map(|(i, key)| Field::new(format!("k{i}"), key.clone(), true));
        let rows = self.intake.kept().fields().iter().map(|field| field.as_ref().clone());
        let rows = rows.filter(|_| matches!(self.judge, Judge::Last(_)));
        Arc::new(Schema::new(numbers.into_iter().chain(keys).chain(rows).collect::<Vec<_>>()))
    }
}

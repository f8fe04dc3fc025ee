//! `count(distinct x)`, `sum(distinct x)` …: an aggregate that is told of a value when it first comes into a group, and of
//! its leaving when as many rows with it were withdrawn as had come.
//!
//! Not for functions in whose result the order of rows shows: these are in [`super::first_seen`] and [`super::standing`].

mod members;

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, Int64Array, UInt32Array};
use arrow::compute::take;
use arrow::datatypes::{DataType, Int64Type};
use millstream_api::Result;

use self::members::Members;
use super::collect::full_list_of;
use super::interner::Interner;
use super::rows::{each, grow, reset};
use super::{Arguments, Groups, RowOrder};
use crate::scalar::Evaluated;

/// The distinct values of each group, and the accumulators of these.
pub(super) struct Distinct {
    /// Numbers pairs of group and value.
    pairs: Interner,
    /// Rows of each pair; below zero when a withdrawal has overtaken its row.
    counts: Vec<i64>,
    /// The group of each pair.
    group_of: Vec<u32>,
    /// The pairs of each group, once somebody has asked for those of some.
    members: Option<Members>,
    inner: Box<dyn Groups>,
    /// How many values each group has that came more or less often than they were withdrawn.
    values: Vec<usize>,
    total: usize,
}

impl Distinct {
    pub(super) fn new(value: &DataType, inner: Box<dyn Groups>) -> Result<Self> {
        let pairs = Interner::new(&[DataType::Int64, value.clone()])?;
        Ok(Distinct { pairs, counts: Vec::new(), group_of: Vec::new(), members: None, inner, values: Vec::new(), total: 0 })
    }

    /// Changes the counts of pairs by `weights` and tells the inner accumulators what came and what went.
    fn change(&mut self, values: &ArrayRef, groups: &[usize], total: usize, weight: impl Fn(usize) -> i64) -> Result<()> {
        self.total = self.total.max(total);
        grow(&mut self.values, total);
        let group_column: ArrayRef = Arc::new(Int64Array::from_iter_values(groups.iter().map(|&group| group as i64)));
        let mut pairs = Vec::new();
        self.pairs.intern(&[group_column, values.clone()], groups.len(), &mut pairs)?;
        grow(&mut self.counts, self.pairs.total());
        grow(&mut self.group_of, self.pairs.total());
        let (mut came, mut went, mut gone) = (Vec::new(), Vec::new(), Vec::new());
        for (row, &pair) in pairs.iter().enumerate() {
            let before = self.counts[pair];
            self.group_of[pair] = groups[row] as u32;
            self.counts[pair] += weight(row);
            match (before > 0, self.counts[pair] > 0) {
                (false, true) => came.push(row as u32),
                (true, false) => went.push(row as u32),
                _ => {}
            }
            match (before, self.counts[pair]) {
                (0, 0) => {}
                (0, _) => {
                    self.values[groups[row]] += 1;
                    self.members.iter_mut().for_each(|members| members.add(groups[row], pair));
                }
                (_, 0) => {
                    self.values[groups[row]] -= 1;
                    self.members.iter_mut().for_each(|members| members.remove(groups[row], pair));
                    gone.push(pair);
                }
                _ => {}
            }
        }
        self.tell(values, groups, came, true)?;
        self.tell(values, groups, went, false)?;
        gone.sort_unstable();
        gone.dedup();
        gone.retain(|&pair| self.counts[pair] == 0);
        self.pairs.release(&gone);
        Ok(())
    }

    fn tell(&mut self, values: &ArrayRef, groups: &[usize], rows: Vec<u32>, come: bool) -> Result<()> {
        // Also without rows: the inner accumulators must know of all groups.
        if rows.is_empty() && (!come || self.inner.total() >= self.total) {
            return Ok(());
        }
        let groups: Vec<usize> = rows.iter().map(|&row| groups[row as usize]).collect();
        let values = take(values, &UInt32Array::from(rows), None)?;
        let arguments = Arguments { values: vec![values], ..Arguments::default() };
        match come {
            true => self.inner.update(&arguments, &groups, self.total, None),
            false => self.inner.retract(&arguments, &groups, self.total, None),
        }
    }

    /// The pairs of each group: looked for now, and kept from now on.
    fn members(&mut self) -> &mut Members {
        let Distinct { members, counts, group_of, .. } = self;
        members.get_or_insert_with(|| {
            let mut found = Members::default();
            let there = (0..counts.len()).filter(|&pair| counts[pair] != 0);
            there.for_each(|pair| found.add(group_of[pair] as usize, pair));
            found
        })
    }

    /// Pairs as lists of values and counts: so many of them, one after the other, for each list.
    fn lists(&self, pairs: &[usize], lengths: &[usize]) -> Result<Vec<ArrayRef>> {
        let counts: Int64Array = pairs.iter().map(|&pair| Some(self.counts[pair])).collect();
        let values = self.pairs.columns(pairs)?.swap_remove(1);
        Ok(vec![full_list_of(values, lengths)?, full_list_of(Arc::new(counts), lengths)?])
    }

    fn change_rows(&mut self, arguments: &Arguments, groups: &[usize], total: usize, weight: i64) -> Result<()> {
        let part = arguments.taking_part();
        if part.is_none() {
            return self.change(&arguments.values[0], groups, total, |_| weight);
        }
        let (mut rows, mut kept) = (Vec::new(), Vec::new());
        each(groups, part.as_ref(), |row, group| {
            rows.push(row as u32);
            kept.push(group);
        });
        self.change(&take(&arguments.values[0], &UInt32Array::from(rows), None)?, &kept, total, |_| weight)
    }
}

impl Groups for Distinct {
    fn update(&mut self, arguments: &Arguments, groups: &[usize], total: usize, _: Option<&RowOrder>) -> Result<()> {
        self.change_rows(arguments, groups, total, 1)
    }

    fn retract(&mut self, arguments: &Arguments, groups: &[usize], total: usize, _: Option<&RowOrder>) -> Result<()> {
        self.change_rows(arguments, groups, total, -1)
    }

    fn is_empty(&self, group: usize) -> bool {
        self.values.get(group).is_none_or(|&values| values == 0)
    }

    fn merge(&mut self, state: &[ArrayRef], groups: &[usize], total: usize) -> Result<()> {
        let (values, counts) = (state[0].as_list::<i32>(), state[1].as_list::<i32>());
        let mut of_value = Vec::with_capacity(values.values().len());
        for (row, &group) in groups.iter().enumerate() {
            of_value.extend(std::iter::repeat_n(group, values.value_length(row) as usize));
        }
        let (from, length) = (values.value_offsets()[0] as usize, of_value.len());
        let (values, counts) = (values.values().slice(from, length), counts.values().slice(from, length));
        let counts = counts.as_primitive::<Int64Type>();
        self.change(&values, &of_value, total, |row| counts.value(row))
    }

    fn state(&mut self) -> Result<Vec<ArrayRef>> {
        let there = (0..self.counts.len()).filter(|&pair| self.counts[pair] != 0);
        let mut pairs: Vec<(u32, usize)> = there.map(|pair| (self.group_of[pair], pair)).collect();
        pairs.sort_unstable();
        let mut lengths = vec![0; self.total];
        pairs.iter().for_each(|(group, _)| lengths[*group as usize] += 1);
        let pairs: Vec<usize> = pairs.into_iter().map(|(_, pair)| pair).collect();
        self.lists(&pairs, &lengths)
    }

    fn state_at(&mut self, groups: &[usize]) -> Result<Vec<ArrayRef>> {
        let members = self.members();
        let (mut pairs, mut lengths) = (Vec::new(), Vec::with_capacity(groups.len()));
        for &group in groups {
            let before = pairs.len();
            pairs.extend(members.of(group));
            pairs[before..].sort_unstable();
            lengths.push(pairs.len() - before);
        }
        self.lists(&pairs, &lengths)
    }

    fn evaluate_at(&mut self, groups: &[usize]) -> Result<Evaluated> {
        self.inner.evaluate_at(groups)
    }

    fn clear(&mut self, groups: &[usize]) -> Result<()> {
        if groups.is_empty() {
            return Ok(());
        }
        reset(&mut self.values, groups);
        let members = self.members();
        let mut gone = Vec::new();
        for &group in groups {
            let from = gone.len();
            gone.extend(members.of(group));
            gone[from..].iter().for_each(|&pair| members.remove(group, pair));
        }
        gone.iter().for_each(|&pair| self.counts[pair] = 0);
        self.pairs.release(&gone);
        self.inner.clear(groups)
    }

    fn total(&self) -> usize {
        self.total
    }

    fn size_bytes(&self) -> usize {
        let of_pairs = self.counts.capacity() * size_of::<i64>() + self.group_of.capacity() * size_of::<u32>();
        let members = self.members.as_ref().map_or(0, Members::size_bytes);
        self.pairs.size_bytes() + of_pairs + members + self.inner.size_bytes()
    }
}

//! The rows of groups as they were and as they are, and what is sent and reported of the difference.

use arrow::array::{Int8Array, RecordBatch, UInt32Array};
use arrow::compute::concat_batches;
use hashbrown::HashSet;
use millstream_api::batch::Hidden;
use millstream_api::{Batch, Output, Result};
use millstream_expr::Evaluated;

use super::Running;
use crate::aggregate::MAIN;
use crate::aggregate::program::{Finished, differences};

/// Rows of groups.
pub(in crate::aggregate) struct Rows {
    pub(in crate::aggregate) records: RecordBatch,
    /// For each group asked for, the place of its row in `records`.
    pub(in crate::aggregate) places: Vec<Option<u32>>,
}

/// Rows of the groups that a batch touches, before the bad and the unwanted ones are taken out and after.
pub(super) struct Made {
    pub(super) rows: Rows,
    finished: Finished,
}

impl Running {
    /// The rows of these groups as they are now.
    pub(super) fn rows_of(&mut self, touched: &[usize]) -> Result<Made> {
        let present: Vec<usize> = touched.iter().copied().filter(|&group| self.counts[group] > 0).collect();
        let results: Vec<Evaluated> = self.groups.iter_mut().map(|groups| groups.evaluate_at(&present)).collect::<Result<_>>()?;
        let finished = self.program.finish(self.interner.columns(&present)?, results, None, present.len())?;
        let (records, wanted) = self.program.wanted(&finished)?;
        let (mut result, mut place) = (0, 0);
        let places = touched.iter().map(|&group| {
            let present = self.counts[group] > 0;
            let sent = present && wanted.as_ref().is_none_or(|wanted| wanted.value(result));
            result += usize::from(present);
            place += u32::from(sent);
            sent.then(|| place - 1)
        });
        Ok(Made { rows: Rows { places: places.collect(), records }, finished })
    }

    /// Withdraws the rows of before that are no longer right and sends those of now.
    pub(super) fn send(&self, before: &Rows, after: &Rows, out: &mut Output) -> Result<()> {
        let differs = differences(&before.records, &after.records)?;
        let offset = before.records.num_rows() as u32;
        let (mut indices, mut weights): (Vec<u32>, Vec<i8>) = (Vec::new(), Vec::new());
        for (&old, &new) in before.places.iter().zip(&after.places) {
            if let (Some(old), Some(new)) = (old, new)
                && !differs(old as usize, new as usize)
            {
                continue;
            }
            if let Some(old) = old {
                indices.push(old);
                weights.push(-1);
            }
            if let Some(new) = new {
                indices.push(offset + new);
                weights.push(1);
            }
        }
        let all = Batch::plain(concat_batches(self.program.output(), [&before.records, &after.records])?);
        let rows = all.take(&UInt32Array::from(indices))?;
        let hidden = Hidden { weights: Some(Int8Array::from(weights)), ..Hidden::default() };
        out.emit(MAIN, rows.with_hidden(hidden)?);
        Ok(())
    }

    /// Reports the results that have become bad.
    pub(super) fn report(&self, before: &Made, after: &Made, touched: &[usize], had: &[bool], out: &mut Output) -> Result<()> {
        if after.finished.bad.is_empty() {
            return Ok(());
        }
        let present: Vec<usize> = touched.iter().zip(had).filter(|(_, had)| **had).map(|(&group, _)| group).collect();
        let was_bad: HashSet<usize> = before.finished.bad.iter().map(|value| present[value.row]).collect();
        let present: Vec<usize> = touched.iter().copied().filter(|&group| self.counts[group] > 0).collect();
        let new = after.finished.bad.iter().filter(|value| !was_bad.contains(&present[value.row])).cloned();
        self.program.report(&after.finished, &new.collect::<Vec<_>>(), out)
    }
}

//! From what a source has read to what its readers get: event times and marks, bad rows, positions, watermarks.

use std::convert::Infallible;

use arrow::array::{Int64Array, UInt32Array};
use millstream_api::batch::{Hidden, Origin};
use millstream_api::message::Item;
use millstream_api::options::OnBadRow;
use millstream_api::plan::rejected_records;
use millstream_api::source::{Position, SourcePart, SourceRows};
use millstream_api::time::ClockTime;
use millstream_api::{BadRow, Batch, Error, Result};

use super::SourceTask;
use crate::event_time::{Timed, timed, without_rows};
use crate::suspect::days_ahead;

impl SourceTask {
    pub(super) fn rows(&mut self, rows: SourceRows, now: ClockTime) -> Result<()> {
        self.are_planned(&rows)?;
        let split = rows.split;
        if let Some(silent) = self.silent.get_mut(split as usize) {
            *silent = 0;
        }
        let count = rows.bad.len() + rows.parts.iter().map(|part| part.records.num_rows()).sum::<usize>();
        let bytes: usize = rows.parts.iter().map(|part| Batch::plain(part.records.clone()).size_bytes()).sum();
        self.parts.stats.update(|c| {
            c.rows_in += count as u64;
            c.batches_in += 1;
            c.bytes_in += bytes as u64;
        });
        self.parts.pace.passed(count as u64);
        self.tell_of(&rows.bad, now);
        self.bad_rows(rows.bad, self.parts.on_bad_row, now)?;
        self.watermarks.begin(split as usize);
        for part in rows.parts {
            self.part(split, part, now)?;
        }
        self.note_position(split as usize, rows.position);
        self.warn_of_ahead(split, now);
        self.report();
        self.send_watermark(now)
    }

    /// Rows of a split or stream that the source's plan does not have would be lost, or come twice after a restart.
    fn are_planned(&self, rows: &SourceRows) -> Result<()> {
        let (splits, streams) = (self.parts.splits.len(), self.parts.ports.len());
        if rows.split as usize >= splits {
            return Err(Error::internal(format!("rows of split {} of a source with {splits}", rows.split)));
        }
        match rows.parts.iter().find(|part| part.output >= streams) {
            Some(part) => Err(Error::internal(format!("rows for stream {} of a source with {streams}", part.output))),
            None => Ok(()),
        }
    }

    /// All rows with the right time will be late behind one that is far ahead: said once, since most of the following are ahead as well.
    fn warn_of_ahead(&mut self, split: u32, now: ClockTime) {
        let Some((greatest, ..)) = self.watermarks.standing(split as usize).filter(|_| !self.said_ahead) else { return };
        if let Some(days) = days_ahead(greatest, now) {
            self.said_ahead = true;
            let (node, split) = (&self.parts.id.node, self.split_name(split));
            tracing::warn!(
                "`{node}`, split {split}: an event time is {greatest}, {days} days ahead of this machine's clock; rows that are further \
                 behind it than `max_delay` are late"
            );
        }
    }

    fn note_position(&mut self, split: usize, position: Position) {
        if let Some(split) = self.parts.splits.get_mut(split) {
            split.position = Some(position);
        }
        self.note_standing(split);
    }

    /// Tells whoever looks at the run where a split stands.
    pub(super) fn note_standing(&self, index: usize) {
        let (Some(split), Some((greatest, idle, ended))) = (self.parts.splits.get(index), self.watermarks.standing(index)) else { return };
        self.parts.stats.update_splits(|splits| {
            if let Some(state) = splits.get_mut(index) {
                state.position.clone_from(&split.position);
                (state.greatest, state.idle, state.ended) = (greatest, idle, ended);
            }
        });
    }

    fn part(&mut self, split: u32, part: SourcePart, now: ClockTime) -> Result<()> {
        let SourcePart { output, records, first_row, weights } = part;
        let Some(port) = self.parts.ports.get(output) else { return Ok(()) };
        let rows = records.num_rows();
        let origin = port.origin.then(|| Origin {
            split: UInt32Array::from_value(split, rows),
            position: Int64Array::from_iter_values(first_row..first_row + rows as i64),
        });
        let read = port.read;
        let hidden = Hidden { weights, origin, ..Hidden::default() };
        let batch = match &port.time {
            None => Batch::new(records, hidden)?,
            Some(time) => {
                let Timed { times, bad, without } = timed(time, &records)?;
                let gone = bad.iter().map(|(row, _)| *row).chain(without.iter().copied()).collect::<Vec<_>>();
                let place = |row: usize| format!("{}: row {} of {}", self.parts.id.node, first_row + row as i64, self.split_name(split));
                let bad: Vec<_> = bad.into_iter().map(|(row, reason)| BadRow::of_row(reason, place(row), &records, row)).collect();
                let null = without.iter().map(|&row| BadRow::of_row("the event time is null", place(row), &records, row)).collect();
                self.tell_of(&bad, now);
                self.bad_rows(bad, self.parts.on_bad_row, now)?;
                self.bad_rows(null, self.parts.on_null, now)?;
                let times = Some(Int64Array::new(times.values().clone(), None));
                without_rows(Batch::new(records, Hidden { times, ..hidden })?, &gone)?
            }
        };
        let marks = batch.hidden().times.as_ref().and_then(|times| self.watermarks.read(split as usize, times));
        if self.watermarks.slowest().is_some() {
            self.wake(now)?;
        }
        let kept = batch.rows();
        self.parts.stats.update(|c| {
            c.fates.passed += kept as u64;
            c.rows_out += kept as u64;
            c.batches_out += u64::from(kept > 0);
        });
        if kept > 0 && read {
            let batch = batch.with_hidden(Hidden { marks, ..batch.hidden().clone() })?;
            self.parts.outbox.push(output, batch, now)?;
        }
        Ok(())
    }

    fn split_name(&self, split: u32) -> &str {
        self.parts.splits.get(split as usize).map_or("", |split| split.split.as_str())
    }

    /// Says why bad rows are left out, where nobody is given them. A row without event time is not bad by itself.
    fn tell_of(&mut self, bad: &[BadRow], now: ClockTime) {
        let [first, ..] = bad else { return };
        let is_given = self.parts.on_bad_row == OnBadRow::Reject && self.parts.outbox.is_read(self.parts.rejected_port);
        if is_given || self.parts.on_bad_row == OnBadRow::Fail {
            return;
        }
        if let Ok(Some(said)) = self.left_out.note(bad.len() as u64, || Ok::<_, Infallible>(first.clone()), now) {
            tracing::warn!("`{}`: {said}", self.parts.id.node);
        }
    }

    fn bad_rows(&mut self, bad: Vec<BadRow>, policy: OnBadRow, now: ClockTime) -> Result<()> {
        if bad.is_empty() {
            return Ok(());
        }
        let count = bad.len() as u64;
        match policy {
            OnBadRow::Fail => match bad.into_iter().next() {
                Some(first) => Err(first.into_error()),
                None => Ok(()),
            },
            OnBadRow::Skip => {
                self.parts.stats.update(|c| c.fates.skipped += count);
                Ok(())
            }
            OnBadRow::Reject => {
                self.parts.stats.update(|c| c.fates.rejected += count);
                self.parts.outbox.push(self.parts.rejected_port, Batch::plain(rejected_records(&bad, &self.parts.rejected_schema)?), now)
            }
        }
    }

    pub(super) fn send_watermark(&mut self, now: ClockTime) -> Result<()> {
        let watermark = self.watermarks.watermark();
        if watermark > self.sent_watermark {
            self.sent_watermark = watermark;
            self.parts.stats.update(|c| c.watermark = watermark);
            self.parts.outbox.control(&Item::Watermark(watermark), now)?;
        }
        Ok(())
    }
}

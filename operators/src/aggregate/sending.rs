//! Rows of sessions, piece by piece: of those that have closed, and at a tick of the clock of those that have changed.

use arrow::array::{AsArray, BooleanArray, Int64Array};
use arrow::compute::filter;
use arrow::datatypes::Int64Type;
use millstream_api::batch::Windows;
use millstream_api::{Output, Progress, Result};
use millstream_expr::Evaluated;

use super::MAIN;
use super::early_sessions::Now;
use super::sessions::Sessions;
use super::timeline::Closed;
use super::windowed::of_windows;

/// Sessions whose rows are being sent.
pub(super) struct Sending {
    sessions: Vec<Closed>,
    sent: usize,
    /// Whether they have closed, so that these are their last rows.
    last: bool,
    /// The keys that have no other sessions.
    idle: Vec<usize>,
}

impl Sending {
    /// Sessions that have closed, and the keys that have no others.
    pub(super) fn closed(sessions: Vec<Closed>, idle: Vec<usize>) -> Sending {
        Sending { sessions, sent: 0, last: true, idle }
    }

    /// Sessions that are open, and have changed.
    pub(super) fn changed(sessions: Vec<Closed>) -> Sending {
        Sending { sessions, sent: 0, last: false, idle: Vec::new() }
    }
}

impl Sessions {
    /// Sends rows of sessions until all are sent or the output is full.
    pub(super) fn send(&mut self, out: &mut Output) -> Result<Progress> {
        while let Some(mut sending) = self.sending.pop_front() {
            while sending.sent < sending.sessions.len() {
                if out.is_full() {
                    self.sending.push_front(sending);
                    return Ok(Progress::More);
                }
                let piece = sending.sent..sending.sessions.len().min(sending.sent + self.batch_rows);
                self.send_piece(&sending.sessions[piece.clone()], sending.last, out)?;
                sending.sent = piece.end;
            }
            if !self.program.key_types().is_empty() {
                self.changed.give_up(&sending.idle, |keys| self.interner.columns(keys))?;
                self.interner.release(&sending.idle);
            }
            // Only where nothing waits to be sent: it knows its sessions by their slots.
            if self.sending.is_empty() {
                self.tidy()?;
            }
        }
        Ok(Progress::Done)
    }

    fn send_piece(&mut self, sessions: &[Closed], last: bool, out: &mut Output) -> Result<()> {
        let slots: Vec<usize> = sessions.iter().map(|session| session.slot).collect();
        let keys: Vec<usize> = sessions.iter().map(|session| session.key).collect();
        let results: Vec<Evaluated> = self.groups.iter_mut().map(|groups| groups.evaluate_at(&slots)).collect::<Result<_>>()?;
        let bound = |of: fn(&Closed) -> i64| Int64Array::from_iter_values(sessions.iter().map(of));
        let windows = Windows { start: bound(|session| session.start), end: bound(|session| session.end) };
        let finished = self.program.finish(self.interner.columns(&keys)?, results, Some(&windows), sessions.len())?;
        // A result that is bad now may be right in the end, so it is reported then.
        if last {
            self.program.report(&finished, &finished.bad, out)?;
        }
        if !self.main_read {
            return Ok(());
        }
        let (records, wanted) = self.program.wanted(&finished)?;
        let windows = match &wanted {
            None => windows,
            Some(wanted) => Windows { start: filtered(&windows.start, wanted)?, end: filtered(&windows.end, wanted)? },
        };
        let Some(early) = &mut self.early else {
            out.emit(MAIN, of_windows(records, windows)?);
            return Ok(());
        };
        let now = Now {
            slots: &slots,
            records,
            windows: &windows,
            places: places(slots.len(), wanted.as_ref()),
            last,
            watermark: self.watermark.minus(self.lateness),
        };
        if let Some(changes) = early.replace(now)? {
            out.emit(MAIN, changes);
        }
        Ok(())
    }
}

/// The place of each of so many rows among those that are wanted.
fn places(rows: usize, wanted: Option<&BooleanArray>) -> Vec<Option<usize>> {
    let mut next = 0..;
    (0..rows).map(|row| if wanted.is_none_or(|wanted| wanted.value(row)) { next.next() } else { None }).collect()
}

fn filtered(instants: &Int64Array, wanted: &BooleanArray) -> Result<Int64Array> {
    Ok(filter(instants, wanted)?.as_primitive::<Int64Type>().clone())
}

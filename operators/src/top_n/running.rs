//! The updating form: the first rows of each key, kept right as rows come and go.

use arrow::array::Int8Array;
use millstream_api::batch::Hidden;
use millstream_api::plan::OperatorContext;
use millstream_api::state::{StateReader, StateWriter};
use millstream_api::time::ClockTime;
use millstream_api::{Batch, Operator, Output, Result};

use super::MAIN;
use super::plan::Design;
use super::program::Program;
use super::rankings::{Keep, Place, Rankings};
use super::state::Layout;
use crate::changed::ChangedKeys;
use crate::ttl::Ttl;

/// The name of the state.
pub(super) const ROWS: &str = "rows";

/// Rows of a running form are in no window.
const NO_WINDOW: (i64, i64) = (0, 0);

/// One subtask.
pub(super) struct Running {
    program: Program,
    layout: Layout,
    rankings: Rankings,
    /// Whether a row with another rank is another row.
    ranked: bool,
    /// Whether rows of equal order are equal.
    by_value: bool,
    read: bool,
    ttl: Option<Ttl>,
    /// Which keys have changed since they were last written, and how these are divided.
    changed: ChangedKeys,
    key_groups: u16,
}

/// What is to be sent.
#[derive(Default)]
struct Changes {
    places: Vec<Place>,
    ranks: Vec<i64>,
    weights: Vec<i8>,
}

/// The first rows of several keys, one key after the other.
struct Firsts {
    places: Vec<Place>,
    /// Where those of each key end.
    ends: Vec<usize>,
}

impl Firsts {
    fn iter(&self) -> impl Iterator<Item = &[Place]> {
        let starts = std::iter::once(0).chain(self.ends.iter().copied());
        starts.zip(&self.ends).map(|(start, &end)| &self.places[start..end])
    }
}

impl Changes {
    fn push(&mut self, place: Place, rank: usize, weight: i8) {
        self.places.push(place);
        self.ranks.push(rank as i64 + 1);
        self.weights.push(weight);
    }
}

impl Running {
    /// A subtask without state.
    pub(super) fn new(design: &Design, context: &OperatorContext) -> Result<Self> {
        let program = Program::new(design, context, false)?;
        Ok(Running {
            layout: Layout::new(&program, context.key_groups),
            rankings: rankings(&program, design.state_ttl.is_some())?,
            ttl: design.state_ttl.map(Ttl::new),
            ranked: program.ranked(),
            by_value: design.keep == Keep::All,
            read: context.outputs[MAIN].read,
            changed: ChangedKeys::default(),
            key_groups: context.key_groups,
            program,
        })
    }

    fn firsts(&self, touched: &[usize]) -> Firsts {
        let (mut places, mut ends) = (Vec::with_capacity(touched.len()), Vec::with_capacity(touched.len()));
        for &group in touched {
            self.rankings.add_first(group, &mut places);
            ends.push(places.len());
        }
        Firsts { places, ends }
    }

    /// Withdraws the rows that are no longer right, then sends those that are new.
    fn compare(&self, before: &[Place], after: &[Place], changes: &mut Changes) {
        let (gone, come) = if self.ranked { self.moved(before, after) } else { self.exchanged(before, after) };
        gone.into_iter().for_each(|rank| changes.push(before[rank], rank, -1));
        come.into_iter().for_each(|rank| changes.push(after[rank], rank, 1));
    }

    /// The ranks at which another row is now.
    fn moved(&self, before: &[Place], after: &[Place]) -> (Vec<usize>, Vec<usize>) {
        let stays = |rank: &usize| before.get(*rank).zip(after.get(*rank)).is_some_and(|(&old, &new)| self.same(old, new));
        let other = |places: &[Place]| (0..places.len()).filter(|rank| !stays(rank)).collect();
        (other(before), other(after))
    }

    /// The ranks in `before` of rows that have left, and those in `after` of rows that have come. Both are in order.
    fn exchanged(&self, before: &[Place], after: &[Place]) -> (Vec<usize>, Vec<usize>) {
        let (mut gone, mut come) = (Vec::new(), Vec::new());
        let (mut old, mut new) = (0, 0);
        while old < before.len() && new < after.len() {
            let (left, right) = (before[old], after[new]);
            if self.same(left, right) {
                old += 1;
                new += 1;
            } else if self.rankings.order(left) < self.rankings.order(right) {
                gone.push(old);
                old += 1;
            } else {
                come.push(new);
                new += 1;
            }
        }
        gone.extend(old..before.len());
        come.extend(new..after.len());
        (gone, come)
    }

    fn same(&self, old: Place, new: Place) -> bool {
        old == new || (self.by_value && self.rankings.order(old) == self.rankings.order(new))
    }

    /// Forgets the keys that have not been touched for long enough.
    fn forget_due(&mut self, out: &mut Output) -> Result<()> {
        let Some(ttl) = &mut self.ttl else { return Ok(()) };
        let due = ttl.take_due(out.now());
        ttl.set_timer(out);
        self.rankings.clear(&due);
        if due.is_empty() { Ok(()) } else { self.tidy(&due) }
    }

    /// Lets go of the keys of which no row is left.
    fn tidy(&mut self, touched: &[usize]) -> Result<()> {
        self.changed.touch(touched);
        let empty: Vec<usize> = touched.iter().copied().filter(|&group| self.rankings.is_empty(group)).collect();
        self.changed.give_up(&empty, |keys| self.rankings.keys(keys))?;
        self.rankings.tidy(touched)
    }

    fn save(&self, keys: impl Iterator<Item = usize>, state: &mut StateWriter) -> Result<()> {
        let rows = self.rankings.share(keys);
        match &self.ttl {
            Some(ttl) => self.layout.write(ROWS, rows, Some(&|group| ttl.touched_at(group)), state),
            None => self.layout.write(ROWS, rows, None, state),
        }
    }

    /// The keys that have rows stay for another while. Settles withdrawals of rows that were forgotten.
    fn touch(&mut self, touched: &[usize], out: &mut Output) {
        let Some(ttl) = &mut self.ttl else { return };
        for &group in touched {
            match self.rankings.is_empty(group) {
                true => ttl.leave(group),
                false => ttl.touch(group, out.now()),
            }
        }
        ttl.set_timer(out);
        let forgotten = self.rankings.take_forgotten();
        out.fates().taken -= forgotten;
        out.fates().expired += forgotten;
    }

    fn send(&self, changes: Changes, out: &mut Output) -> Result<()> {
        let records = self.program.rows(&self.rankings, &changes.places, &changes.ranks, NO_WINDOW)?;
        let hidden = Hidden { weights: Some(Int8Array::from(changes.weights)), ..Hidden::default() };
        out.emit(MAIN, Batch::new(records, hidden)?);
        Ok(())
    }
}

impl Operator for Running {
    fn on_batch(&mut self, _: usize, batch: Batch, out: &mut Output) -> Result<()> {
        let rows = self.program.evaluate(batch, out)?;
        if let Some(state) = out.fetch(&rows.keys, rows.batch.rows())? {
            self.restore(&state)?;
        }
        self.forget_due(out)?;
        out.fates().taken += rows.batch.rows() as u64;
        let ids = self.rankings.number(&rows.keys, rows.batch.rows())?;
        let touched = self.rankings.touched(&ids);
        let before = self.firsts(&touched);
        let weights = rows.batch.weights();
        self.rankings.change(&ids, &touched, rows.kept, |row| weights.map_or(1, |weights| i64::from(weights[row])))?;
        if self.read {
            let mut changes = Changes::default();
            let after = self.firsts(&touched);
            before.iter().zip(after.iter()).for_each(|(before, after)| self.compare(before, after, &mut changes));
            self.send(changes, out)?;
        }
        self.touch(&touched, out);
        self.tidy(&touched)
    }

    fn on_timer(&mut self, _: ClockTime, out: &mut Output) -> Result<()> {
        self.forget_due(out)
    }

    fn snapshot(&mut self, state: &mut StateWriter) -> Result<()> {
        self.changed.all_written(self.rankings.total());
        self.save(0..self.rankings.total(), state)
    }

    fn note_changes(&mut self) -> bool {
        self.changed.begin();
        true
    }

    fn snapshot_changes(&mut self, state: &mut StateWriter) -> Result<()> {
        let changed = self.changed.take(self.key_groups, |keys| self.rankings.keys(keys), state)?;
        self.save(changed.into_iter(), state)
    }

    fn restore(&mut self, state: &StateReader) -> Result<()> {
        for records in state.get(ROWS) {
            for rows in self.layout.read(records)? {
                rows.load(&mut self.rankings, |id, at| {
                    if let Some(ttl) = &mut self.ttl {
                        ttl.touch(id, ClockTime(at));
                    }
                })?;
            }
        }
        Ok(())
    }

    fn forget_keys(&mut self) -> Result<()> {
        self.rankings = rankings(&self.program, self.ttl.is_some())?;
        self.ttl = self.ttl.as_ref().map(Ttl::emptied);
        self.changed = ChangedKeys::default();
        Ok(())
    }

    fn state_bytes(&self) -> usize {
        self.rankings.size_bytes() + self.changed.size_bytes() + self.ttl.as_ref().map_or(0, Ttl::size_bytes)
    }
}

/// Rankings without rows, of which keys are forgotten or not.
fn rankings(program: &Program, forgets: bool) -> Result<Rankings> {
    let rankings = program.rankings()?;
    Ok(if forgets { rankings.forgetful() } else { rankings })
}

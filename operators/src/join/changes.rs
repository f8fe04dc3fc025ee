//! Mode `changes`: both sides are kept, and each batch changes the result by what it changes in one of them.
//!
//! What a batch changes is summed up for each row first: a row that comes and goes in it changes nothing. Then the changed
//! rows look for their partners on the other side, key by key, and what that changes in the result is collected and sent,
//! withdrawals first. The result is a function of the rows that are there, so that the order of coming cannot show in it:
//! pairs with the product of their weights, and rows by themselves while the weights of their partners do not sum up to more
//! than zero.

mod saved;

use arrow::array::{Array, ArrayRef, AsArray, Int8Array};
use arrow::compute::filter;
use hashbrown::HashMap;
use millstream_api::batch::Hidden;
use millstream_api::state::{StateReader, StateWriter};
use millstream_api::time::ClockTime;
use millstream_api::{Batch, Operator, Output, Progress, Result};
use millstream_expr::Interner;

use super::factory::Told;
use super::pairs::{Keys, Pairs, Picked, Rows};
use super::plan::Design;
use super::probe::{NO_KEY, numbers, unused};
use super::store::Store;
use super::times::{Times, kept, kept_columns, later};
use super::{Kind, MAIN};
use crate::changed::ChangedKeys;
use crate::narrow::Narrow;
use crate::ttl::Ttl;

/// One subtask.
pub(super) struct Changes {
    kind: Kind,
    narrow: [Narrow; 2],
    keys: [Keys; 2],
    interner: Interner,
    stores: [Store; 2],
    pairs: Pairs,
    work: Option<Work>,
    /// Whether rows of the result have event time, so that time and mark are kept with each row, as its last columns.
    event_time: bool,
    updating: bool,
    read: bool,
    /// When rows of each side are forgotten.
    ttls: Option<[Ttl; 2]>,
    /// Which keys have changed since they were last written, and how these are divided.
    changed: ChangedKeys,
    key_groups: u16,
    batch_rows: usize,
}

/// A batch whose changes are not all sent yet.
struct Work {
    side: usize,
    /// Rows whose weight was touched.
    touched: Vec<u32>,
    /// What really changed: rows by key, of each key those that became less first.
    deltas: Vec<(u32, i64)>,
    /// How many of them are joined.
    joined: usize,
    /// Changes of the result that are found.
    found: Vec<Change>,
    /// How many of them are sent, and how often the next one.
    sent: (usize, i64),
}

/// A change of the result: a row of each side, or of one.
struct Change {
    rows: [Option<u32>; 2],
    weight: i64,
}

/// Changes that go out together.
struct NextChanges {
    /// Of which sides they have rows.
    sides: [bool; 2],
    rows: [Vec<u32>; 2],
    weights: Vec<i8>,
}

impl Changes {
    /// A subtask without state.
    pub(super) fn new(design: &Design, told: Told<'_>) -> Result<Self> {
        let context = &told.kept;
        let keys = [Keys::new(design, context, 0)?, Keys::new(design, context, 1)?];
        let store = |side: usize| Store::new(&kept(&context.inputs[side].schema, design.event_time));
        Ok(Changes {
            kind: design.kind,
            interner: Interner::new(&keys[0].types)?,
            keys,
            stores: [store(0)?, store(1)?],
            pairs: Pairs::new(design, context)?,
            work: None,
            event_time: design.event_time,
            updating: design.updating,
            read: context.outputs[MAIN].read,
            ttls: design.state_ttl.map(|ttl| [Ttl::new(ttl), Ttl::new(ttl)]),
            changed: ChangedKeys::default(),
            key_groups: context.key_groups,
            batch_rows: context.batch_rows.max(1),
            narrow: told.narrow,
        })
    }

    /// Changes the weights of a side's rows by those of a batch.
    fn take(&mut self, side: usize, batch: &Batch, keys: &[ArrayRef], out: &mut Output) -> Result<Work> {
        let ids = numbers(&mut self.interner, &self.keys[side], keys, batch.rows())?;
        self.changed.touch(&ids.iter().copied().filter(|&key| key != NO_KEY).collect::<Vec<_>>());
        let store = &mut self.stores[side];
        let rows = store.convert(&kept_columns(batch, self.event_time), batch.rows())?;
        let mut before: Vec<(u32, i64)> = Vec::new();
        for (row, &key) in ids.iter().enumerate() {
            if key == NO_KEY && !self.kind.alone(side) {
                continue;
            }
            let id = store.entry(rows.row(row).data(), key);
            let entry = store.get_mut(id);
            if !std::mem::replace(&mut entry.touched, true) {
                before.push((id, entry.weight));
            }
            let weight = batch.weights().map_or(1, |weights| i64::from(weights[row]));
            if self.ttls.is_some() && weight < 0 && entry.weight <= 0 && key != NO_KEY {
                // The row was forgotten. Where none is, it may still come.
                out.fates().taken -= 1;
                out.fates().expired += 1;
                continue;
            }
            entry.weight += weight;
        }
        let touched = before.iter().map(|(id, _)| *id).collect();
        let mut deltas: Vec<(u32, i64)> = before.iter().map(|&(id, before)| (id, store.get(id).weight - before)).collect();
        deltas.retain(|(_, delta)| *delta != 0);
        deltas.sort_by_key(|&(id, delta)| (store.get(id).key, delta > 0));
        Ok(Work { side, touched, deltas, joined: 0, found: Vec::new(), sent: (0, 0) })
    }

    /// Sends what the work at hand changes, until it is done or the output is full.
    fn go_on(&mut self, out: &mut Output) -> Result<Progress> {
        let Some(mut work) = self.work.take() else { return Ok(Progress::Done) };
        loop {
            while work.sent.0 < work.found.len() {
                if out.is_full() {
                    self.work = Some(work);
                    return Ok(Progress::More);
                }
                self.send(&mut work, out)?;
            }
            if work.joined == work.deltas.len() {
                self.forget(&work, out)?;
                return Ok(Progress::Done);
            }
            (work.found, work.sent) = (Vec::new(), (0, 0));
            self.join(&mut work, out)?;
        }
    }

    /// Finds what the next changed rows change in the result: those of whole keys, unless a key has very many pairs.
    fn join(&mut self, work: &mut Work, out: &mut Output) -> Result<()> {
        let (own, other) = (&self.stores[work.side], &self.stores[1 - work.side]);
        let first = work.joined;
        let mut pairs: Vec<(usize, u32)> = Vec::new();
        while let Some(&(id, _)) = work.deltas.get(work.joined) {
            let key = own.get(id).key;
            let new_key = work.joined == first || own.get(work.deltas[work.joined - 1].0).key != key;
            if pairs.len() >= 64 * self.batch_rows || (new_key && pairs.len() >= self.batch_rows) {
                break;
            }
            pairs.extend(other.of_key(key).iter().map(|&partner| (work.joined, partner)));
            work.joined += 1;
        }
        let pairs = self.fulfilling(work, pairs, out)?;
        self.count(work, first, &pairs);
        work.found.sort_by_key(|change| (change.weight > 0, change.rows.map(|row| row.is_some())));
        Ok(())
    }

    /// The pairs (of a change of this batch and a row of the other side) that fulfil the condition.
    fn fulfilling(&self, work: &Work, pairs: Vec<(usize, u32)>, out: &mut Output) -> Result<Vec<(usize, u32)>> {
        if !self.pairs.conditional() {
            return Ok(pairs);
        }
        let mut fulfilling = Vec::new();
        for piece in pairs.chunks(self.batch_rows) {
            let own = self.stores[work.side].rows(piece.iter().map(|(change, _)| work.deltas[*change].0))?;
            let other = self.stores[1 - work.side].rows(piece.iter().map(|(_, id)| *id))?;
            let from = if work.side == 0 { [&own, &other] } else { [&other, &own] };
            let mask = self.pairs.fulfil(&Picked { from, rows: [Rows::All, Rows::All], window: None }, out)?;
            let holds = |row: usize| mask.as_ref().is_none_or(|mask| mask.value(row));
            fulfilling.extend(piece.iter().enumerate().filter(|(row, _)| holds(*row)).map(|(_, pair)| *pair));
        }
        Ok(fulfilling)
    }

    /// What pairs change in the result, and how many partners each row has now.
    fn count(&mut self, work: &mut Work, first: usize, pairs: &[(usize, u32)]) {
        let (kind, side) = (self.kind, work.side);
        let row = |own: Option<u32>, other: Option<u32>| if side == 0 { [own, other] } else { [other, own] };
        let mut partners = vec![0i64; work.joined - first];
        let mut others: Vec<(u32, i64)> = Vec::new();
        let mut place: HashMap<u32, usize> = HashMap::new();
        for &(change, other) in pairs {
            let (own, delta) = work.deltas[change];
            let entry = self.stores[1 - side].get_mut(other);
            partners[change - first] += entry.weight;
            if kind.counts(1 - side) {
                place.entry(other).or_insert_with(|| {
                    others.push((other, entry.partners));
                    others.len() - 1
                });
                entry.partners += delta;
            }
            if kind.pairs() {
                work.found.push(Change { rows: row(Some(own), Some(other)), weight: delta * entry.weight });
            }
        }
        for (index, &partners) in partners.iter().enumerate() {
            let (own, delta) = work.deltas[first + index];
            if kind.counts(side) {
                let entry = self.stores[side].get_mut(own);
                // A partner that was forgotten is not found any more; what was sent because of it stands.
                let partners = if self.ttls.is_some() && entry.weight != delta { entry.partners } else { partners };
                entry.partners = partners;
                if (partners > 0) != kind.alone(side) {
                    work.found.push(Change { rows: row(Some(own), None), weight: delta });
                }
            }
        }
        for (other, before) in others {
            let entry = self.stores[1 - side].get(other);
            let sent = |partners: i64| i64::from((partners > 0) != kind.alone(1 - side));
            let weight = entry.weight * (sent(entry.partners) - sent(before));
            work.found.push(Change { rows: row(None, Some(other)), weight });
        }
        work.found.retain(|change| change.weight != 0);
    }

    /// Sends the next changes that are found, as many as make a batch.
    fn send(&self, work: &mut Work, out: &mut Output) -> Result<()> {
        let next = self.next_changes(work);
        if self.read { self.emit(next, out) } else { Ok(()) }
    }

    /// The next changes that have rows of the same sides, as many as make a batch.
    fn next_changes(&self, work: &mut Work) -> NextChanges {
        let form = |change: &Change| change.rows.map(|row| row.is_some());
        let sides = form(&work.found[work.sent.0]);
        let mut rows: [Vec<u32>; 2] = [Vec::new(), Vec::new()];
        let mut weights: Vec<i8> = Vec::new();
        while let Some(change) = work.found.get(work.sent.0).filter(|change| form(change) == sides)
            && weights.len() < self.batch_rows
        {
            let copies = (change.weight.abs() - work.sent.1).min((self.batch_rows - weights.len()) as i64);
            for (rows, row) in rows.iter_mut().zip(change.rows) {
                rows.extend(row.into_iter().flat_map(|row| std::iter::repeat_n(row, copies as usize)));
            }
            weights.resize(weights.len() + copies as usize, if change.weight < 0 { -1 } else { 1 });
            work.sent = match work.sent.1 + copies {
                all if all == change.weight.abs() => (work.sent.0 + 1, 0),
                some => (work.sent.0, some),
            };
        }
        NextChanges { sides, rows, weights }
    }

    fn emit(&self, NextChanges { sides, rows, weights }: NextChanges, out: &mut Output) -> Result<()> {
        let from = [self.stores[0].rows(rows[0].iter().copied())?, self.stores[1].rows(rows[1].iter().copied())?];
        let picked =
            Picked { from: [&from[0], &from[1]], rows: sides.map(|there| if there { Rows::All } else { Rows::None }), window: None };
        let (records, remains) = self.pairs.result(&picked, out)?;
        let kept = |array: &dyn Array| -> Result<ArrayRef> {
            Ok(match &remains {
                Some(remains) => filter(array, remains)?,
                None => arrow::array::make_array(array.to_data()),
            })
        };
        let mut hidden = Hidden::default();
        if self.updating {
            hidden.weights = Some(kept(&Int8Array::from(weights))?.as_primitive().clone());
        }
        if self.event_time {
            let (times, marks) = later(from.each_ref().map(Times::of), out.watermark());
            hidden.times = Some(kept(&times)?.as_primitive().clone());
            hidden.marks = marks.map(|marks| Ok::<_, millstream_api::Error>(kept(&marks)?.as_primitive().clone())).transpose()?;
        }
        out.emit(MAIN, Batch::new(records, hidden)?);
        Ok(())
    }

    /// Lets go of the rows of which nothing is left, and of their keys.
    fn forget(&mut self, work: &Work, out: &mut Output) -> Result<()> {
        let mut gone = Vec::new();
        for &id in &work.touched {
            let entry = self.stores[work.side].get_mut(id);
            entry.touched = false;
            let goes = entry.weight == 0 || entry.key == NO_KEY;
            gone.extend(goes.then_some(id));
            if let Some(ttls) = &mut self.ttls {
                match goes {
                    true => ttls[work.side].leave(id as usize),
                    false => ttls[work.side].touch(id as usize, out.now()),
                }
            }
        }
        self.remove(work.side, &gone)?;
        self.ttls.iter().flatten().for_each(|ttl| ttl.set_timer(out));
        Ok(())
    }

    /// Forgets the rows that have not come again for long enough.
    fn forget_due(&mut self, out: &mut Output) -> Result<()> {
        for side in [0, 1] {
            let Some(ttls) = &mut self.ttls else { break };
            let due: Vec<u32> = ttls[side].take_due(out.now()).into_iter().map(|id| id as u32).collect();
            ttls[side].set_timer(out);
            self.remove(side, &due)?;
        }
        Ok(())
    }

    /// Takes rows of a side out, and their keys where no row is left.
    fn remove(&mut self, side: usize, ids: &[u32]) -> Result<()> {
        let keys: Vec<usize> = ids.iter().map(|&id| self.stores[side].get(id).key).filter(|&key| key != NO_KEY).collect();
        ids.iter().for_each(|&id| self.stores[side].remove(id));
        self.changed.touch(&keys);
        let unused = unused(&self.keys[0], keys, |key| self.stores.iter().all(|store| store.of_key(key).is_empty()));
        self.changed.give_up(&unused, |keys| self.interner.columns(keys))?;
        self.interner.release(&unused);
        Ok(())
    }
}

impl Operator for Changes {
    fn on_batch(&mut self, input: usize, batch: Batch, out: &mut Output) -> Result<()> {
        let (batch, keys) = self.keys[input].of_kept(&batch, &self.narrow[input], out)?;
        if let Some(state) = out.fetch(&keys, batch.rows())? {
            self.restore(&state)?;
        }
        self.forget_due(out)?;
        out.fates().taken += batch.rows() as u64;
        self.work = Some(self.take(input, &batch, &keys, out)?);
        self.go_on(out).map(|_| ())
    }

    fn on_timer(&mut self, _: ClockTime, out: &mut Output) -> Result<()> {
        self.forget_due(out)
    }

    fn resume(&mut self, out: &mut Output) -> Result<Progress> {
        self.go_on(out)
    }

    fn snapshot(&mut self, state: &mut StateWriter) -> Result<()> {
        self.changed.all_written(self.interner.total());
        [0, 1].into_iter().try_for_each(|side| self.save(side, &self.stores[side].live(), state))
    }

    fn note_changes(&mut self) -> bool {
        self.changed.begin();
        true
    }

    fn snapshot_changes(&mut self, state: &mut StateWriter) -> Result<()> {
        let changed = self.changed.take(self.key_groups, |keys| self.interner.columns(keys), state)?;
        [0, 1].into_iter().try_for_each(|side| self.save(side, &self.stores[side].live_of(&changed), state))
    }

    fn restore(&mut self, state: &StateReader) -> Result<()> {
        [0, 1].into_iter().try_for_each(|side| self.load(side, state))
    }

    fn forget_keys(&mut self) -> Result<()> {
        self.interner = Interner::new(&self.keys[0].types)?;
        self.stores = [self.stores[0].emptied()?, self.stores[1].emptied()?];
        self.ttls = self.ttls.as_ref().map(|ttls| ttls.each_ref().map(Ttl::emptied));
        self.changed = ChangedKeys::default();
        Ok(())
    }

    fn state_bytes(&self) -> usize {
        let ttls: usize = self.ttls.iter().flatten().map(Ttl::size_bytes).sum();
        self.interner.size_bytes() + self.changed.size_bytes() + ttls + self.stores.iter().map(Store::size_bytes).sum::<usize>()
    }
}

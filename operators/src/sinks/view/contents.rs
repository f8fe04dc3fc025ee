//! What a view holds: a pure table of rows as bytes, without locks, Arrow or time. Its sink alone has it; what readers see of
//! it is in [`table`](super::table).
//!
//! Rows are in the order of their keys; a view without a key gives each row a key of its own that rises with arrival.
//!
//! Of an insert-only stream the row of a key is the one with the greatest [`Rank`]. Of an updating stream each key has the
//! rows that came and were not withdrawn: by the plan there is at most one in the end, but changes of different routing keys
//! overtake each other, so that for a moment there can be two, or a withdrawal whose row is still to come (a *debt*).

mod saved;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use self::saved::Changed;
pub(super) use self::saved::Kept;

/// What decides which rows a view keeps.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Rules {
    /// Whether rows are withdrawn.
    pub(super) updating: bool,
    /// How old a row may become, in microseconds of event time.
    pub(super) retain_us: Option<i64>,
    /// How many rows there may be.
    pub(super) max_rows: Option<usize>,
}

/// A row or key, in Arrow's row format; shared with those that read.
pub(super) type Bytes = Arc<[u8]>;

/// How new a row is. Rows of one rank are ordered by their bytes, which is by their columns.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Rank {
    /// Event time; 0 where there is none.
    pub(super) time: i64,
    /// Split and position in it, or without event time the other way round; 0 where rows do not come from a source.
    pub(super) place: (u32, i64),
}

impl Rank {
    pub(super) fn new(time: Option<i64>, place: Option<(u32, i64)>) -> Self {
        match (time, place) {
            (Some(time), place) => Rank { time, place: place.unwrap_or_default() },
            // By position first, so that the position stands where the time would.
            (None, Some((split, position))) => Rank { time: position, place: (split, 0) },
            (None, None) => Rank { time: 0, place: (0, 0) },
        }
    }
}

/// A row with its rank. Two are equal, so that one withdraws the other, when both are.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Held {
    pub(super) rank: Rank,
    pub(super) row: Bytes,
}

/// A row that comes or is withdrawn.
#[derive(Clone, Debug)]
pub(super) struct Change {
    /// None: the view has no key.
    pub(super) key: Option<Bytes>,
    pub(super) held: Held,
    pub(super) is_withdrawn: bool,
}

/// A change of what readers see: the row of a key before and after.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Shown {
    pub(super) key: Bytes,
    pub(super) before: Option<Bytes>,
    pub(super) after: Option<Bytes>,
}

impl Shown {
    /// About how much memory it takes.
    pub(super) fn size_bytes(&self) -> usize {
        let rows = [&self.before, &self.after].into_iter().flatten();
        size_of::<Shown>() + self.key.len() + rows.map(|row| row.len()).sum::<usize>()
    }
}

/// What came of a batch.
#[derive(Debug)]
pub(super) struct Applied {
    /// How many of its rows were older than the view reaches back.
    pub(super) expired: u64,
    /// How the view looks different now, in the order of the keys.
    pub(super) shown: Vec<Shown>,
}

/// What a view holds.
#[derive(Debug, Default)]
pub(super) struct Contents {
    rules: Rules,
    version: u64,
    /// Keys that the batch has touched, each time with the row that was to be seen before.
    touched: Vec<(Bytes, Option<Bytes>)>,
    /// The greatest event time so far, from which age is counted.
    newest: Option<i64>,
    arrivals: u64,
    /// The rows of each key, in the order of arrival; nearly always one.
    rows: BTreeMap<Bytes, Vec<Held>>,
    /// Where equal rows are, for views without a key of updating streams.
    by_row: HashMap<Held, Vec<Bytes>>,
    /// All rows from the oldest to the newest; only where old ones leave.
    by_age: BTreeSet<(Held, Bytes)>,
    /// How often a row was withdrawn that is still to come.
    debts: HashMap<Held, u64>,
    /// What rows and keys take, in bytes.
    bytes: usize,
    changed: Changed,
}

impl Contents {
    pub(super) fn new(rules: Rules) -> Self {
        Contents { rules, ..Contents::default() }
    }

    /// How many batches there have been.
    pub(super) fn version(&self) -> u64 {
        self.version
    }

    /// All rows that are to be seen with their keys, in order.
    pub(super) fn visible(&self) -> impl Iterator<Item = (Bytes, Bytes)> {
        self.rows.iter().filter_map(|(key, held)| Some((key.clone(), held.last()?.row.clone())))
    }

    /// The row of a key.
    fn get(&self, key: &[u8]) -> Option<&Bytes> {
        self.rows.get(key)?.last().map(|held| &held.row)
    }

    /// Applies a batch of changes as the next version.
    pub(super) fn apply(&mut self, changes: impl Iterator<Item = Change>) -> Applied {
        let mut expired = 0;
        for change in changes {
            self.newest = self.newest.max(Some(change.held.rank.time));
            if self.is_old(change.held.rank) {
                expired += 1;
            } else if !self.rules.updating {
                self.insert(change);
            } else if change.is_withdrawn {
                self.withdraw(change);
            } else {
                self.add(change);
            }
        }
        self.drop_old();
        self.version += 1;
        Applied { expired, shown: self.take_shown() }
    }

    /// Notes how a key looks before it is changed.
    fn touch(&mut self, key: &Bytes) {
        let before = self.get(key).cloned();
        self.changed.note(key, || before.is_some());
        self.touched.push((key.clone(), before));
    }

    /// How the touched keys look different from before the batch.
    fn take_shown(&mut self) -> Vec<Shown> {
        let mut touched = std::mem::take(&mut self.touched);
        // Stable: the first of a key is how it was before the batch.
        touched.sort_by(|(a, _), (b, _)| a.cmp(b));
        touched.dedup_by(|(later, _), (first, _)| later == first);
        let shown = touched.drain(..).filter_map(|(key, before)| {
            let after = self.get(&key).cloned();
            (before != after).then_some(Shown { key, before, after })
        });
        let shown = shown.collect();
        self.touched = touched;
        shown
    }

    fn is_old(&self, rank: Rank) -> bool {
        let horizon = self.rules.retain_us.zip(self.newest).map(|(retain, newest)| newest.saturating_sub(retain));
        horizon.is_some_and(|horizon| rank.time < horizon)
    }

    /// A row of an insert-only stream: takes the place of the key's older one.
    fn insert(&mut self, change: Change) {
        let key = change.key.unwrap_or_else(|| self.next_arrival());
        match self.rows.get(&key).and_then(|held| held.last()) {
            Some(old) if *old > change.held => return,
            Some(old) => {
                self.by_age.remove(&(old.clone(), key.clone()));
            }
            None => {}
        }
        self.touch(&key);
        self.note_age(&change.held, &key);
        self.bytes += cost(&key, &change.held);
        if let Some(old) = self.rows.insert(key.clone(), vec![change.held]) {
            self.bytes -= old.iter().map(|held| cost(&key, held)).sum::<usize>();
        }
    }

    /// A row of an updating stream comes.
    fn add(&mut self, change: Change) {
        let new = change.held;
        if let Some(&count) = self.debts.get(&new) {
            self.note_debts();
            match count {
                1 => self.debts.remove(&new),
                _ => self.debts.insert(new, count - 1),
            };
            return;
        }
        let key = match change.key {
            Some(key) => key,
            None => {
                let key = self.next_arrival();
                self.by_row.entry(new.clone()).or_default().push(key.clone());
                key
            }
        };
        self.touch(&key);
        self.note_age(&new, &key);
        self.push(key, new);
    }

    fn push(&mut self, key: Bytes, held: Held) {
        self.bytes += cost(&key, &held);
        self.rows.entry(key).or_default().push(held);
    }

    /// A row of an updating stream is withdrawn: only its equal leaves.
    fn withdraw(&mut self, change: Change) {
        let key = match change.key {
            Some(key) => Some(key),
            None => self.by_row.get(&change.held).and_then(|keys| keys.last().cloned()),
        };
        if !key.is_some_and(|key| self.remove(&key, &change.held)) {
            self.note_debts();
            *self.debts.entry(change.held).or_default() += 1;
        }
    }

    /// Removes one row of a key that is equal to `gone`; false when there is none.
    fn remove(&mut self, key: &Bytes, gone: &Held) -> bool {
        let Some(place) = self.rows.get(key).and_then(|held| held.iter().rposition(|held| held == gone)) else { return false };
        self.touch(key);
        let Some(held) = self.rows.get_mut(key) else { return false };
        held.remove(place);
        self.bytes -= cost(key, gone);
        let is_last = !held.contains(gone);
        if held.is_empty() {
            self.rows.remove(key);
            self.changed.forget(key);
        }
        if is_last {
            self.by_age.remove(&(gone.clone(), key.clone()));
        }
        if let Some(keys) = self.by_row.get_mut(gone) {
            match keys.last() {
                Some(last) if last == key => drop(keys.pop()),
                _ => keys.retain(|other| other != key),
            }
            if keys.is_empty() {
                self.by_row.remove(gone);
            }
        }
        true
    }

    fn next_arrival(&mut self) -> Bytes {
        self.arrivals += 1;
        self.arrivals.to_be_bytes().as_slice().into()
    }

    fn note_age(&mut self, held: &Held, key: &Bytes) {
        if self.rules.retain_us.is_some() || self.rules.max_rows.is_some() {
            self.by_age.insert((held.clone(), key.clone()));
        }
    }

    /// Lets the oldest rows leave until the rules are kept.
    fn drop_old(&mut self) {
        while let Some((oldest, key)) = self.by_age.first().cloned() {
            let is_one_too_many = self.rules.max_rows.is_some_and(|max| self.rows.len() > max);
            if !is_one_too_many && !self.is_old(oldest.rank) {
                break;
            }
            while self.remove(&key, &oldest) {}
            self.by_age.remove(&(oldest, key));
        }
        if self.rules.retain_us.is_some() && self.debts.keys().any(|withdrawn| self.is_old(withdrawn.rank)) {
            // Their rows are older as well and will not be let in.
            self.note_debts();
            let mut debts = std::mem::take(&mut self.debts);
            debts.retain(|withdrawn, _| !self.is_old(withdrawn.rank));
            self.debts = debts;
        }
    }

    /// How far the view has come: its version, and the event time from which age is counted.
    pub(super) fn progress(&self) -> (u64, Option<i64>) {
        (self.version, self.newest)
    }

    /// Takes back what [`progress`](Contents::progress) gave.
    pub(super) fn restore_progress(&mut self, version: u64, newest: Option<i64>) {
        self.version = version;
        self.newest = newest;
    }

    /// Memory in bytes, without what readers share.
    pub(super) fn size_bytes(&self) -> usize {
        self.bytes + self.changed.size_bytes()
    }
}

/// What a row takes: its bytes and those of its key with their counts of owners, and the places that it has here.
fn cost(key: &Bytes, held: &Held) -> usize {
    key.len() + held.row.len() + 2 * 16 + size_of::<(Bytes, Held)>()
}

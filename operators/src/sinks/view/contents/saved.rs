//! What a view holds to a checkpoint and back: all of it, or what has changed since the last one.
//!
//! What changes is known by its key. Debts have none of their own and are few, so they count as one key, which is empty as no other is.

use std::collections::HashMap;
use std::collections::hash_map::Entry;

use super::{Bytes, Contents, Held};

/// Equal rows of one key, for a checkpoint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in super::super) struct Kept {
    /// The key, or the number of arrival; of debts it is empty.
    pub(in super::super) key: Bytes,
    pub(in super::super) held: Held,
    /// How many there are; a debt is negative.
    pub(in super::super) count: i64,
}

/// Which keys have other rows than were last written.
#[derive(Debug, Default)]
pub(super) struct Changed {
    is_noting: bool,
    /// Each with whether something was written of it.
    keys: HashMap<Bytes, bool>,
    bytes: usize,
}

impl Changed {
    /// A key is about to change; `is_there`: whether it has rows.
    pub(super) fn note(&mut self, key: &Bytes, is_there: impl FnOnce() -> bool) {
        if self.is_noting
            && let Entry::Vacant(vacant) = self.keys.entry(key.clone())
        {
            self.bytes += key.len() + size_of::<(Bytes, bool)>();
            vacant.insert(is_there());
        }
    }

    /// A key has no rows any more. If nothing was written of it nobody need know that it was there: keys that come and go between two
    /// checkpoints take no room.
    pub(super) fn forget(&mut self, key: &Bytes) {
        if self.keys.get(key) == Some(&false) {
            self.keys.remove(key);
            self.bytes -= key.len() + size_of::<(Bytes, bool)>();
        }
    }

    fn take(&mut self) -> HashMap<Bytes, bool> {
        self.bytes = 0;
        std::mem::take(&mut self.keys)
    }

    /// Memory in bytes.
    pub(super) fn size_bytes(&self) -> usize {
        self.bytes
    }
}

impl Contents {
    /// Begins to note what changes.
    pub(in super::super) fn note_changes(&mut self) {
        self.changed.is_noting = true;
    }

    /// Debts are about to change.
    pub(super) fn note_debts(&mut self) {
        self.changed.note(&Bytes::default(), || !self.debts.is_empty());
    }

    /// Everything, for a checkpoint.
    pub(in super::super) fn kept(&mut self) -> Vec<Kept> {
        self.changed.take();
        self.rows.iter().flat_map(|(key, held)| rows_of(key, held)).chain(self.kept_debts()).collect()
    }

    /// What has changed since it was given last: the keys of which what was given before does not hold any more, and all that there is of
    /// the changed ones.
    pub(in super::super) fn kept_changes(&mut self) -> (Vec<Bytes>, Vec<Kept>) {
        let (mut gone, mut kept) = (Vec::new(), Vec::new());
        for (key, was_written) in self.changed.take() {
            match self.rows.get_key_value(&key) {
                Some((key, held)) => kept.extend(rows_of(key, held)),
                None if key.is_empty() => kept.extend(self.kept_debts()),
                None => {}
            }
            gone.extend(was_written.then_some(key));
        }
        (gone, kept)
    }

    fn kept_debts(&self) -> impl Iterator<Item = Kept> {
        self.debts.iter().map(|(withdrawn, count)| Kept {
            key: Bytes::default(),
            held: withdrawn.clone(),
            count: -i64::try_from(*count).unwrap_or(i64::MAX),
        })
    }

    /// Takes back a part of what was given.
    pub(in super::super) fn restore(&mut self, kept: Kept, has_key: bool) {
        if kept.count < 0 {
            self.debts.insert(kept.held, kept.count.unsigned_abs());
            return;
        }
        if !has_key {
            let arrival = <[u8; 8]>::try_from(kept.key.as_ref()).map_or(0, u64::from_be_bytes);
            self.arrivals = self.arrivals.max(arrival);
            if self.rules.updating {
                // In the order of arrival, whatever that of the checkpoint: the last one is withdrawn first.
                let keys = self.by_row.entry(kept.held.clone()).or_default();
                keys.insert(keys.partition_point(|key| *key < kept.key), kept.key.clone());
            }
        }
        self.note_age(&kept.held, &kept.key);
        self.push(kept.key, kept.held);
    }
}

/// The rows of a key.
fn rows_of<'a>(key: &'a Bytes, held: &'a [Held]) -> impl Iterator<Item = Kept> + 'a {
    held.iter().map(|held| Kept { key: key.clone(), held: held.clone(), count: 1 })
}

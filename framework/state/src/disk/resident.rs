//! The keys of one subtask that are in memory: which of them may have changed, and which are on disk as well.
//!
//! All keys leave memory together, so they lie one behind the other in one piece of memory and none is ever taken out.

use hashbrown::HashTable;
use hashbrown::hash_table::Entry;
use millstream_api::key_group::group_of_hash;
use xxhash_rust::xxh3::xxh3_64;

/// Behind these bytes of a key on disk are its canonical ones; they are its group, so that groups lie together.
pub(super) const GROUP_BYTES: usize = 2;

/// Keys, numbered in the order in which they came.
pub(super) struct Resident {
    key_groups: u16,
    table: HashTable<u32>,
    slots: Vec<Slot>,
    bytes: Vec<u8>,
    /// When what is on disk of each key is due, where that is known; the least number stands for nothing.
    due: Vec<i64>,
    /// When the first row of what was written of each key is, likewise.
    first_due: Vec<i64>,
    /// Of rows that are due up to this instant the operator has let go.
    asked: i64,
}

/// What is known of a key.
#[derive(Clone, Copy)]
pub(super) struct Slot {
    start: usize,
    length: u32,
    pub(super) group: u16,
    /// Whether rows of it have come since it was written.
    pub(super) dirty: bool,
    /// Whether rows of it have come since the operator said what has changed.
    pub(super) touched: bool,
    pub(super) on_disk: bool,
}

impl Resident {
    /// No keys.
    pub(super) fn new(key_groups: u16) -> Resident {
        Resident {
            key_groups,
            table: HashTable::new(),
            slots: Vec::new(),
            bytes: Vec::new(),
            due: Vec::new(),
            first_due: Vec::new(),
            asked: i64::MIN,
        }
    }

    /// The number of a key, by its canonical bytes, and whether it is a new one.
    pub(super) fn number(&mut self, canonical: &[u8]) -> (u32, bool) {
        let Resident { key_groups, table, slots, bytes, .. } = self;
        let canonical_of = |slot: &Slot| slot.start + GROUP_BYTES..slot.start + slot.length as usize;
        let hash = xxh3_64(canonical);
        let is_same = |&number: &u32| bytes[canonical_of(&slots[number as usize])] == *canonical;
        let rehash = |&number: &u32| xxh3_64(&bytes[canonical_of(&slots[number as usize])]);
        match table.entry(hash, is_same, rehash) {
            Entry::Occupied(found) => (*found.get(), false),
            Entry::Vacant(vacant) => {
                let number = slots.len() as u32;
                vacant.insert(number);
                let group = group_of_hash(hash, *key_groups);
                let length = (canonical.len() + GROUP_BYTES) as u32;
                slots.push(Slot { start: bytes.len(), length, group, dirty: false, touched: false, on_disk: false });
                bytes.extend_from_slice(&group.to_be_bytes());
                bytes.extend_from_slice(canonical);
                (number, true)
            }
        }
    }

    /// The number of a key, if it is here.
    pub(super) fn find(&self, canonical: &[u8]) -> Option<u32> {
        let is_same = |&number: &u32| self.key(number)[GROUP_BYTES..] == *canonical;
        self.table.find(xxh3_64(canonical), is_same).copied()
    }

    /// Notes when what is on disk of a key is due.
    pub(super) fn set_due(&mut self, number: u32, due: Option<i64>) {
        put(&mut self.due, number, due, self.slots.len());
    }

    /// Notes when the first row of what was written of a key is due: before that it stays as it is written.
    pub(super) fn set_first_due(&mut self, number: u32, due: Option<i64>) {
        put(&mut self.first_due, number, due, self.slots.len());
    }

    /// The operator lets go of all that is due up to this instant.
    pub(super) fn asked_up_to(&mut self, until: i64) {
        self.asked = self.asked.max(until);
    }

    /// Whether the state of a key may be another one than on disk.
    pub(super) fn is_dirty(&self, number: u32) -> bool {
        self.slot(number).dirty || at(&self.first_due, number).is_some_and(|due| due <= self.asked)
    }

    /// When what is on disk of a key is due.
    pub(super) fn due(&self, number: u32) -> Option<i64> {
        at(&self.due, number)
    }

    /// What is known of a key.
    pub(super) fn slot(&self, number: u32) -> Slot {
        self.slots[number as usize]
    }

    /// The same, to be changed.
    pub(super) fn slot_mut(&mut self, number: u32) -> &mut Slot {
        &mut self.slots[number as usize]
    }

    /// A key as it is on disk: its group, then its canonical bytes.
    pub(super) fn key(&self, number: u32) -> &[u8] {
        let slot = &self.slots[number as usize];
        &self.bytes[slot.start..slot.start + slot.length as usize]
    }

    /// The numbers of the keys that may have changed, in the order in which keys are on disk.
    pub(super) fn dirty(&self) -> Vec<u32> {
        let mut dirty: Vec<u32> = (0..self.slots.len() as u32).filter(|&number| self.is_dirty(number)).collect();
        dirty.sort_unstable_by(|&a, &b| self.key(a).cmp(self.key(b)));
        dirty
    }

    /// The numbers of the keys of which the operator has not said what has changed, in the order in which keys are on disk.
    pub(super) fn touched(&self) -> Vec<u32> {
        let mut touched: Vec<u32> = (0..self.slots.len() as u32).filter(|&number| self.slot(number).touched).collect();
        touched.sort_unstable_by(|&a, &b| self.key(a).cmp(self.key(b)));
        touched
    }

    /// The operator has said of all keys what has changed, and keeps with them what it said.
    pub(super) fn all_said(&mut self) {
        for slot in self.slots.iter_mut().filter(|slot| slot.touched) {
            (slot.touched, slot.dirty) = (false, true);
        }
    }

    /// How many keys there are.
    pub(super) fn len(&self) -> usize {
        self.slots.len()
    }

    /// Lets go of all keys and of their memory.
    pub(super) fn clear(&mut self) {
        *self = Resident { asked: self.asked, ..Resident::new(self.key_groups) };
    }

    /// Memory in bytes.
    pub(super) fn size_bytes(&self) -> usize {
        self.table.allocation_size()
            + self.slots.capacity() * size_of::<Slot>()
            + self.bytes.capacity()
            + (self.due.capacity() + self.first_due.capacity()) * size_of::<i64>()
    }
}

/// Puts down an instant of one of so many keys.
fn put(instants: &mut Vec<i64>, number: u32, instant: Option<i64>, keys: usize) {
    let place = number as usize;
    if instants.len() <= place {
        instants.resize(keys.max(place + 1), i64::MIN);
    }
    instants[place] = instant.unwrap_or(i64::MIN);
}

/// The instant of a key, where it is known.
fn at(instants: &[i64], number: u32) -> Option<i64> {
    instants.get(number as usize).copied().filter(|instant| *instant != i64::MIN)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_numbered_once_and_lie_on_disk_by_group() {
        let mut resident = Resident::new(8);
        let names: Vec<String> = (0..100).map(|n| format!("key {n}")).collect();
        for (expected, name) in names.iter().enumerate() {
            assert_eq!(resident.number(name.as_bytes()), (expected as u32, true));
            resident.slot_mut(expected as u32).dirty = expected % 2 == 0;
        }
        assert_eq!(resident.number(b"key 7"), (7, false));
        assert_eq!((resident.find(b"key 7"), resident.find(b"key")), (Some(7), None));
        resident.set_due(7, Some(-5));
        assert_eq!((resident.due(7), resident.due(6), resident.due(99)), (Some(-5), None, None));
        assert_eq!((resident.is_dirty(6), resident.is_dirty(7)), (true, false));
        resident.set_first_due(7, Some(-9));
        resident.asked_up_to(-9);
        assert!(resident.is_dirty(7), "one of its rows is gone");
        resident.set_first_due(7, None);
        let dirty = resident.dirty();
        assert_eq!(dirty.len(), 50);
        assert!(dirty.is_sorted_by_key(|&number| resident.slot(number).group));
        assert_eq!(&resident.key(7)[GROUP_BYTES..], b"key 7");
        [8, 9].into_iter().for_each(|number| resident.slot_mut(number).touched = true);
        assert_eq!(resident.touched().len(), 2);
        resident.all_said();
        assert_eq!((resident.touched().len(), resident.dirty().len()), (0, 51));
        resident.clear();
        assert_eq!((resident.len(), resident.size_bytes()), (0, 0));
    }
}

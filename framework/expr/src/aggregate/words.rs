//! A map from 64-bit keys to numbers: a plain array while the keys lie close together, as ids that count up do, else a
//! hash table. It never goes back: a table that became a hash table stays one.

use hashbrown::HashTable;
use hashbrown::hash_table::Entry;

/// The map.
pub(super) struct WordTable {
    places: Places,
    len: usize,
}

enum Places {
    /// The number of key `base + i` is in slot `i`.
    Direct {
        base: i64,
        slots: Vec<u32>,
    },
    Hashed(HashTable<(i64, usize)>),
}

/// A slot without a number.
const NONE: u32 = u32::MAX;
/// An array may have so many slots for each key in it, and this many more: about what a hash table takes.
const SLOTS_PER_KEY: usize = 8;
const SLACK_SLOTS: usize = 8192;

impl WordTable {
    /// An empty map.
    pub(super) fn new() -> Self {
        WordTable { places: Places::Direct { base: 0, slots: Vec::new() }, len: 0 }
    }

    /// An empty map for keys that are far apart; no room need be made.
    pub(super) fn hashed() -> Self {
        WordTable { places: Places::Hashed(HashTable::new()), len: 0 }
    }

    /// Makes room for keys from `least` to `greatest` and numbers below `numbers`.
    pub(super) fn prepare(&mut self, least: i64, greatest: i64, numbers: usize) {
        let Places::Direct { base, slots } = &mut self.places else { return };
        let (from, to) = match slots.len() {
            0 => (least, greatest),
            length => (least.min(*base), greatest.max(base.saturating_add(length as i64 - 1))),
        };
        let span = from.abs_diff(to).saturating_add(1);
        if span > (self.len * SLOTS_PER_KEY + SLACK_SLOTS) as u64 || numbers >= NONE as usize {
            return self.hash();
        }
        if from < *base || slots.is_empty() {
            let before = if slots.is_empty() { 0 } else { base.abs_diff(from) as usize };
            slots.splice(0..0, std::iter::repeat_n(NONE, before));
            *base = from;
        }
        slots.resize(span as usize, NONE);
    }

    /// The number of a key that room was made for; a new key is given `next`.
    #[inline]
    pub(super) fn number(&mut self, word: i64, next: impl FnOnce() -> usize) -> usize {
        match &mut self.places {
            Places::Direct { base, slots } => direct(&mut slots[word.wrapping_sub(*base) as usize], &mut self.len, next),
            Places::Hashed(table) => hashed(table, word, &mut self.len, next),
        }
    }

    /// Adds the numbers of keys that room was made for; each new key is given `next`.
    pub(super) fn number_all(&mut self, words: &[i64], numbers: &mut Vec<usize>, mut next: impl FnMut(i64) -> usize) {
        let len = &mut self.len;
        match &mut self.places {
            Places::Direct { base, slots } => {
                let slots = slots.as_mut_slice();
                numbers.extend(words.iter().map(|&word| direct(&mut slots[word.wrapping_sub(*base) as usize], len, || next(word))));
            }
            Places::Hashed(table) => numbers.extend(words.iter().map(|&word| hashed(table, word, len, || next(word)))),
        }
    }

    /// Forgets a key.
    pub(super) fn remove(&mut self, word: i64) {
        match &mut self.places {
            Places::Direct { base, slots } => {
                let slot = usize::try_from(word.wrapping_sub(*base)).ok().and_then(|i| slots.get_mut(i));
                if let Some(slot) = slot.filter(|slot| **slot != NONE) {
                    *slot = NONE;
                    self.len -= 1;
                }
            }
            Places::Hashed(table) => {
                if let Ok(found) = table.find_entry(hash_word(word), |&(other, _)| other == word) {
                    found.remove();
                    self.len -= 1;
                }
            }
        }
    }

    /// Memory in bytes.
    pub(super) fn size_bytes(&self) -> usize {
        match &self.places {
            Places::Direct { slots, .. } => slots.capacity() * size_of::<u32>(),
            Places::Hashed(table) => table.allocation_size(),
        }
    }

    fn hash(&mut self) {
        let Places::Direct { base, slots } = &self.places else { return };
        let mut table = HashTable::with_capacity(self.len);
        for (i, &number) in slots.iter().enumerate().filter(|(_, number)| **number != NONE) {
            let word = base.wrapping_add(i as i64);
            table.insert_unique(hash_word(word), (word, number as usize), |&(other, _)| hash_word(other));
        }
        self.places = Places::Hashed(table);
    }
}

#[inline]
fn direct(slot: &mut u32, len: &mut usize, next: impl FnOnce() -> usize) -> usize {
    if *slot == NONE {
        *slot = next() as u32;
        *len += 1;
    }
    *slot as usize
}

#[inline]
fn hashed(table: &mut HashTable<(i64, usize)>, word: i64, len: &mut usize, next: impl FnOnce() -> usize) -> usize {
    match table.entry(hash_word(word), |&(other, _)| other == word, |&(other, _)| hash_word(other)) {
        Entry::Occupied(found) => found.get().1,
        Entry::Vacant(vacant) => {
            let number = next();
            vacant.insert((word, number));
            *len += 1;
            number
        }
    }
}

/// A folded multiplication: all bits of the key reach all bits that the table looks at.
pub(super) fn hash_word(word: i64) -> u64 {
    let product = u128::from(word as u64 ^ 0x9e37_79b9_7f4a_7c15) * 0xd6e8_feb8_6659_fd93;
    (product >> 64) as u64 ^ product as u64
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    fn number(table: &mut WordTable, known: &mut BTreeMap<i64, usize>, word: i64) {
        let next = known.len();
        let expected = *known.entry(word).or_insert(next);
        table.prepare(word, word, next + 1);
        assert_eq!(table.number(word, || next), expected, "{word}");
    }

    #[test]
    fn keys_keep_their_numbers_when_the_array_grows_and_when_it_is_given_up() {
        let (mut table, mut known) = (WordTable::new(), BTreeMap::new());
        for word in (0..500).flat_map(|i| [1_000_000 + i, 1_000_000 - 3 * i, 1_000_000 + 7 * i]) {
            number(&mut table, &mut known, word);
        }
        assert!(matches!(table.places, Places::Direct { .. }));
        for word in [i64::MIN, i64::MAX, 0, -1, 1_000_003] {
            number(&mut table, &mut known, word);
        }
        assert!(matches!(table.places, Places::Hashed(_)));
        for word in known.keys().copied().collect::<Vec<_>>() {
            number(&mut table, &mut known, word);
        }
    }

    #[test]
    fn what_is_removed_is_new_again() {
        for far in [0, i64::MAX] {
            let mut table = WordTable::new();
            table.prepare(-5, far.max(5), 3);
            assert_eq!([table.number(-5, || 0), table.number(5, || 1)], [0, 1]);
            table.remove(-5);
            table.remove(4);
            assert_eq!([table.number(-5, || 7), table.number(5, || 8)], [7, 1]);
        }
    }
}

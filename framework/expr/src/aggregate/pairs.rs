//! Pairs of 64-bit keys to numbers. Mostly both fit 32 bits, as ids and the numbers of groups do: then a pair is looked up as
//! one word, in a table that holds it, and not by way of its number.

use arrow::array::{Array, Int64Array};
use hashbrown::HashTable;
use hashbrown::hash_table::Entry;

use super::interner::set_at;
use super::words::{WordTable, hash_word};

/// The map, and the pairs by their numbers.
pub(super) struct Pairs {
    packed: WordTable,
    /// The numbers of pairs that are not in `packed`.
    others: HashTable<usize>,
    pairs: Vec<Pair>,
}

/// Two words and which of them are null.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Pair {
    words: [i64; 2],
    nulls: [bool; 2],
}

impl Pairs {
    /// An empty map.
    pub(super) fn new() -> Self {
        Pairs { packed: WordTable::hashed(), others: HashTable::new(), pairs: Vec::new() }
    }

    /// Adds the numbers of pairs; each new pair is given `next`.
    pub(super) fn number_all(
        &mut self,
        first: &Int64Array,
        second: &Int64Array,
        numbers: &mut Vec<usize>,
        mut next: impl FnMut() -> usize,
    ) {
        let Pairs { packed, others, pairs } = self;
        let mut new = |pair: Pair, pairs: &mut Vec<Pair>| {
            let number = next();
            set_at(pairs, number, pair);
            number
        };
        let word = |column: &Int64Array, row: usize| if column.is_null(row) { 0 } else { column.value(row) };
        for row in 0..first.len() {
            let words = [word(first, row), word(second, row)];
            let pair = Pair { words, nulls: [first.is_null(row), second.is_null(row)] };
            if let Some(word) = pair.packed() {
                numbers.push(packed.number(word, || new(pair, pairs)));
                continue;
            }
            let entry = others.entry(pair.hash(), |&number| pairs[number] == pair, |&number| pairs[number].hash());
            numbers.push(match entry {
                Entry::Occupied(found) => *found.get(),
                Entry::Vacant(vacant) => {
                    let number = new(pair, pairs);
                    vacant.insert(number);
                    number
                }
            });
        }
    }

    /// The first or second words of these pairs.
    pub(super) fn column(&self, column: usize, numbers: &[usize]) -> Int64Array {
        let word = |pair: &Pair| (!pair.nulls[column]).then_some(pair.words[column]);
        numbers.iter().map(|&number| word(&self.pairs[number])).collect()
    }

    /// Forgets a pair.
    pub(super) fn remove(&mut self, number: usize) {
        let pair = self.pairs[number];
        match pair.packed() {
            Some(word) => self.packed.remove(word),
            None => {
                if let Ok(found) = self.others.find_entry(pair.hash(), |&other| other == number) {
                    found.remove();
                }
            }
        }
    }

    /// Memory in bytes.
    pub(super) fn size_bytes(&self) -> usize {
        self.packed.size_bytes() + self.others.allocation_size() + self.pairs.capacity() * size_of::<Pair>()
    }
}

impl Pair {
    /// Both as one word, where they fit.
    #[inline]
    fn packed(&self) -> Option<i64> {
        let [high, low] = self.words;
        let fit = i64::from(high as i32) == high && i64::from(low as i32) == low && self.nulls == [false; 2];
        fit.then_some(high << 32 | i64::from(low as u32))
    }

    fn hash(&self) -> u64 {
        let nulls = i64::from(self.nulls[1]) << 32 ^ i64::from(self.nulls[0]) << 33;
        hash_word(self.words[0]).rotate_left(5) ^ hash_word(self.words[1] ^ nulls)
    }
}

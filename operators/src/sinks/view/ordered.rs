//! An ordered map of bytes that can be copied at any time at the price of a few pointers.
//!
//! Entries lie in sorted chunks that copies share; a chunk is copied when it is changed while somebody holds it. So a reader of
//! millions of rows holds up the writer for microseconds, and a map that nobody reads is changed in place.

use std::sync::Arc;

use super::contents::Bytes;

/// Entries of a chunk, at most.
const CHUNK: usize = 256;

/// Key and row.
type Entry = (Bytes, Bytes);

/// The map. No chunk is empty, and all keys of a chunk are less than those of the next.
#[derive(Clone, Debug, Default)]
pub(super) struct Ordered {
    chunks: Vec<Arc<Vec<Entry>>>,
    len: usize,
    size_bytes: usize,
}

impl Ordered {
    /// How many entries there are.
    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// Bytes of all keys and rows, and what it takes to hold them.
    pub(super) fn size_bytes(&self) -> usize {
        self.size_bytes
    }

    /// The row of a key.
    pub(super) fn get(&self, key: &[u8]) -> Option<&Bytes> {
        let chunk = self.chunks.get(self.chunk_of(key)?)?;
        chunk.binary_search_by(|(other, _)| other.as_ref().cmp(key)).ok().map(|at| &chunk[at].1)
    }

    /// Gives a key a row.
    pub(super) fn insert(&mut self, key: Bytes, row: Bytes) {
        self.size_bytes += cost(&key, &row);
        let Some(place) = self.chunk_of(&key) else {
            self.len += 1;
            match self.chunks.first_mut() {
                Some(first) if first.len() < CHUNK => Arc::make_mut(first).insert(0, (key, row)),
                _ => self.chunks.insert(0, Arc::new(vec![(key, row)])),
            }
            return;
        };
        let is_last = place + 1 == self.chunks.len();
        let chunk = Arc::make_mut(&mut self.chunks[place]);
        match chunk.binary_search_by(|(other, _)| other.cmp(&key)) {
            Ok(at) => {
                self.size_bytes -= cost(&key, &chunk[at].1);
                chunk[at].1 = row;
            }
            Err(at) => {
                self.len += 1;
                if chunk.len() < CHUNK {
                    chunk.insert(at, (key, row));
                    return;
                }
                // Keys that rise fill chunk after chunk; others leave room on both sides.
                let mut rest = if is_last && at == CHUNK { Vec::new() } else { chunk.split_off(CHUNK / 2) };
                match at.checked_sub(chunk.len()) {
                    Some(at) => rest.insert(at, (key, row)),
                    None => chunk.insert(at, (key, row)),
                }
                self.chunks.insert(place + 1, Arc::new(rest));
            }
        }
    }

    /// Takes a key out.
    pub(super) fn remove(&mut self, key: &[u8]) {
        let Some(place) = self.chunk_of(key) else { return };
        let Ok(at) = self.chunks[place].binary_search_by(|(other, _)| other.as_ref().cmp(key)) else { return };
        let chunk = Arc::make_mut(&mut self.chunks[place]);
        let (key, row) = chunk.remove(at);
        self.len -= 1;
        self.size_bytes -= cost(&key, &row);
        if chunk.is_empty() {
            self.chunks.remove(place);
        } else if chunk.len() < CHUNK / 4 {
            self.join_with_next(place);
        }
    }

    /// Lets the next chunk's entries into a small one, if both leave room to grow.
    fn join_with_next(&mut self, place: usize) {
        if self.chunks.get(place + 1).is_some_and(|next| self.chunks[place].len() + next.len() <= CHUNK / 2) {
            let next = self.chunks.remove(place + 1);
            Arc::make_mut(&mut self.chunks[place]).extend(next.iter().cloned());
        }
    }

    /// The chunk in which a key is, if it is anywhere; `None` for keys before all others.
    fn chunk_of(&self, key: &[u8]) -> Option<usize> {
        self.chunks.partition_point(|chunk| chunk[0].0.as_ref() <= key).checked_sub(1)
    }

    /// Rows by their places in the order of the keys.
    pub(super) fn places(&self) -> Places<'_> {
        let starts = self.chunks.iter().scan(0, |start, chunk| {
            let this = *start;
            *start += chunk.len();
            Some(this)
        });
        Places { starts: starts.collect(), ordered: self }
    }
}

/// What an entry takes: its bytes with their counts of owners, and two pointers.
fn cost(key: &Bytes, row: &Bytes) -> usize {
    key.len() + row.len() + 2 * 16 + size_of::<Entry>()
}

/// See [`Ordered::places`].
pub(super) struct Places<'a> {
    /// The place of each chunk's first entry.
    starts: Vec<usize>,
    ordered: &'a Ordered,
}

impl Places<'_> {
    /// The row at a place.
    pub(super) fn row(&self, place: usize) -> Option<&Bytes> {
        let chunk = self.starts.partition_point(|start| *start <= place).checked_sub(1)?;
        self.ordered.chunks[chunk].get(place - self.starts[chunk]).map(|(_, row)| row)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    fn bytes(number: u16) -> Bytes {
        number.to_be_bytes().as_slice().into()
    }

    fn entries(map: &Ordered) -> Vec<Bytes> {
        let places = map.places();
        (0..map.len()).map(|place| places.row(place).unwrap().clone()).collect()
    }

    /// Runs of keys to insert (`Some(row)`) or take out, from a start with a step, so that chunks fill and drain.
    fn runs() -> impl Strategy<Value = Vec<(u16, u16, u16, Option<u16>)>> {
        let run = (0u16..3000, 1u16..5, 1u16..900, proptest::option::weighted(0.6, 0u16..9));
        proptest::collection::vec(run, 1..12)
    }

    proptest! {
        #[test]
        fn it_is_a_sorted_map_whose_copies_do_not_change(runs in runs()) {
            let (mut map, mut model) = (Ordered::default(), BTreeMap::new());
            let mut copies = Vec::new();
            for (start, step, count, row) in runs {
                for key in (0..count).map(|i| bytes(start.wrapping_add(i.wrapping_mul(step)))) {
                    match row {
                        Some(row) => {
                            map.insert(key.clone(), bytes(row));
                            model.insert(key, bytes(row));
                        }
                        None => {
                            map.remove(&key);
                            model.remove(&key);
                        }
                    }
                }
                prop_assert!(map.chunks.iter().all(|chunk| (1..=CHUNK).contains(&chunk.len())));
                prop_assert_eq!(map.size_bytes(), model.iter().map(|(key, row)| cost(key, row)).sum::<usize>());
                copies.push((map.clone(), model.clone()));
            }
            for (map, model) in copies {
                prop_assert_eq!(entries(&map), model.values().cloned().collect::<Vec<_>>());
                prop_assert!(model.iter().all(|(key, row)| map.get(key) == Some(row)));
                prop_assert!((0..4000).map(bytes).all(|key| map.get(&key) == model.get(&key)));
                prop_assert!(map.places().row(map.len()).is_none());
            }
        }
    }

    #[test]
    fn rising_keys_fill_their_chunks() {
        let mut map = Ordered::default();
        (0..1024).for_each(|key| map.insert(bytes(key), bytes(0)));
        assert_eq!(map.chunks.len(), 1024 / CHUNK);
    }
}

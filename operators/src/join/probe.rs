//! Rows of one side against the rows of the other that have the same key, in pieces of bounded size.

use arrow::array::{Array, ArrayRef, BooleanArray, UInt32Array};
use arrow::compute::filter;
use millstream_api::Result;
use millstream_expr::Interner;

use super::pairs::Keys;

/// The number of no key.
pub(super) const NO_KEY: usize = usize::MAX;

/// Rows by key.
pub(super) struct Index {
    /// Where the rows of each key begin in `rows`; one more than there are keys.
    starts: Vec<u32>,
    rows: Vec<u32>,
}

impl Index {
    /// The index of rows with these numbers of keys, of which there are `total`.
    pub(super) fn new(ids: &[usize], total: usize) -> Index {
        let mut starts = vec![0u32; total + 1];
        ids.iter().filter(|id| **id != NO_KEY).for_each(|id| starts[id + 1] += 1);
        for key in 0..total {
            starts[key + 1] += starts[key];
        }
        let mut next = starts.clone();
        let mut rows = vec![0; starts[total] as usize];
        for (row, &id) in ids.iter().enumerate().filter(|(_, id)| **id != NO_KEY) {
            rows[next[id] as usize] = row as u32;
            next[id] += 1;
        }
        Index { starts, rows }
    }

    /// Memory in bytes.
    pub(super) fn size_bytes(&self) -> usize {
        (self.starts.capacity() + self.rows.capacity()) * size_of::<u32>()
    }

    /// The rows of a key.
    pub(super) fn of(&self, id: usize) -> &[u32] {
        match (self.starts.get(id), self.starts.get(id.wrapping_add(1))) {
            (Some(&start), Some(&end)) => &self.rows[start as usize..end as usize],
            _ => &[],
        }
    }
}

/// The number of each row's key; [`NO_KEY`] where it equals no other.
pub(super) fn numbers(interner: &mut Interner, keys: &Keys, columns: &[ArrayRef], rows: usize) -> Result<Vec<usize>> {
    let mut ids = Vec::new();
    if columns.iter().all(|column| column.null_count() == 0) {
        interner.intern(columns, rows, &mut ids)?;
        return Ok(ids);
    }
    let with_key: BooleanArray = (0..rows).map(|row| Some(keys.can_match(columns, row))).collect();
    let columns: Vec<ArrayRef> = columns.iter().map(|column| Ok(filter(column, &with_key)?)).collect::<Result<_>>()?;
    interner.intern(&columns, with_key.true_count(), &mut ids)?;
    let mut next = ids.into_iter();
    Ok(with_key.values().iter().map(|with_key| if with_key { next.next().unwrap_or(NO_KEY) } else { NO_KEY }).collect())
}

/// Forgets those of these keys that `is_unused`; their numbers will be given to others.
pub(super) fn release(interner: &mut Interner, keys: &Keys, candidates: Vec<usize>, is_unused: impl Fn(usize) -> bool) {
    interner.release(&unused(keys, candidates, is_unused));
}

/// Those of these keys that `is_unused`, each once: their numbers may be given to others.
pub(super) fn unused(keys: &Keys, mut candidates: Vec<usize>, is_unused: impl Fn(usize) -> bool) -> Vec<usize> {
    if keys.types.is_empty() {
        return Vec::new();
    }
    candidates.sort_unstable();
    candidates.dedup();
    candidates.retain(|&key| is_unused(key));
    candidates
}

/// Goes through rows and, for each, through the rows of the other side with the same key.
pub(super) struct Probe {
    ids: Vec<usize>,
    row: usize,
    /// How many of the other side's rows with this row's key are done.
    done: usize,
}

impl Probe {
    /// Over rows with these numbers of keys.
    pub(super) fn new(ids: Vec<usize>) -> Probe {
        Probe { ids, row: 0, done: 0 }
    }

    /// The next pairs, at most `limit`, of rows that are not to be skipped; none when all are done.
    pub(super) fn next(&mut self, index: &Index, limit: usize, skip: impl Fn(usize) -> bool) -> Option<[UInt32Array; 2]> {
        let room = limit.min(self.ids.len().saturating_sub(self.row));
        let (mut own, mut other) = (Vec::with_capacity(room), Vec::with_capacity(room));
        while self.row < self.ids.len() && own.len() < limit {
            let found = index.of(self.ids[self.row]);
            let rest = if skip(self.row) { &[] } else { &found[self.done..] };
            // Mostly a key has one row there.
            if let [only] = rest {
                own.push(self.row as u32);
                other.push(*only);
                (self.row, self.done) = (self.row + 1, 0);
                continue;
            }
            let taken = rest.len().min(limit - own.len());
            own.resize(own.len() + taken, self.row as u32);
            other.extend_from_slice(&rest[..taken]);
            if taken == rest.len() {
                (self.row, self.done) = (self.row + 1, 0);
            } else {
                self.done += taken;
            }
        }
        (!own.is_empty()).then(|| [UInt32Array::from(own), UInt32Array::from(other)])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pairs_come_in_pieces_and_rows_without_a_key_find_nothing() {
        let index = Index::new(&[1, NO_KEY, 0, 1], 2);
        assert_eq!((index.of(0), index.of(1), index.of(7)), (&[2][..], &[0, 3][..], &[][..]));
        assert!(index.of(NO_KEY).is_empty());
        let mut probe = Probe::new(vec![1, NO_KEY, 1, 0]);
        let mut pairs = Vec::new();
        while let Some([own, other]) = probe.next(&index, 2, |_| false) {
            assert!(own.len() <= 2);
            pairs.extend(own.values().iter().copied().zip(other.values().iter().copied()));
        }
        assert_eq!(pairs, [(0, 0), (0, 3), (2, 0), (2, 3), (3, 2)]);
        let mut probe = Probe::new(vec![1, 0]);
        let [own, _] = probe.next(&index, 9, |row| row == 0).unwrap();
        assert_eq!(own.values().as_ref(), [1]);
    }
}

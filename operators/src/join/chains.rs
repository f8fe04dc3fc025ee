//! Which rows have a key, where rows only come: a list through the rows of each key, the newest first.
//!
//! A row costs four bytes and a key four, and adding a row is two writes. Rows are numbered in the order in which they are added.

use millstream_api::error::ErrorKind;
use millstream_api::{Error, Result};

/// No row.
pub(super) const END: u32 = u32::MAX;

/// Rows by key.
#[derive(Default)]
pub(super) struct Chains {
    /// Of each key.
    newest: Vec<u32>,
    /// Of each row, the row of its key that came before it.
    before: Vec<u32>,
}

impl Chains {
    /// Adds rows by the numbers of their keys, of which there are `total`.
    ///
    /// # Errors
    /// When there are more rows than there are numbers.
    pub(super) fn add(&mut self, keys: impl ExactSizeIterator<Item = usize>, total: usize) -> Result<()> {
        let rows = self.before.len();
        if rows + keys.len() >= END as usize {
            let message = "a join in mode \"changes\" has more than four billion rows of one side in one subtask";
            return Err(Error::new(ErrorKind::Limit, message).help("raise its `parallelism`, or forget rows with a `state_ttl`"));
        }
        self.newest.resize(total.max(self.newest.len()), END);
        for (row, key) in (rows as u32..).zip(keys) {
            self.before.push(std::mem::replace(&mut self.newest[key], row));
        }
        Ok(())
    }

    /// The newest row of a key; [`END`] if it has none.
    pub(super) fn newest(&self, key: usize) -> u32 {
        self.newest.get(key).copied().unwrap_or(END)
    }

    /// The row of the same key before this one; [`END`] if there is none.
    pub(super) fn before(&self, row: u32) -> u32 {
        self.before.get(row as usize).copied().unwrap_or(END)
    }

    /// Memory in bytes.
    pub(super) fn size_bytes(&self) -> usize {
        (self.newest.capacity() + self.before.capacity()) * size_of::<u32>()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rows_of_a_key_are_found_newest_first() {
        let mut chains = Chains::default();
        chains.add([1, 0, 1].into_iter(), 2).unwrap();
        chains.add([1, 4].into_iter(), 5).unwrap();
        let of = |key: usize| -> Vec<u32> {
            let rows = std::iter::successors(Some(chains.newest(key)), |row| Some(chains.before(*row)));
            rows.take_while(|row| *row != END).collect()
        };
        assert_eq!([0, 1, 2, 4, 9].map(of), [vec![1], vec![3, 2, 0], vec![], vec![4], vec![]]);
    }
}

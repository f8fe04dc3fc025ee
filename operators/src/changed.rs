//! Which keys of an operator have another state than was last written for a checkpoint, by their numbers.
//!
//! It costs a flag for each key, and a look at it for each that a batch touches. Nothing is noted before somebody asks for it.

mod panes;

use arrow::array::ArrayRef;
use millstream_api::Result;
use millstream_api::state::StateWriter;

pub(crate) use self::panes::{ChangedGroups, PaneChanges};

/// The keys that may have changed.
#[derive(Debug, Default)]
pub(crate) struct ChangedKeys {
    is_noting: bool,
    /// What is known of each key.
    keys: Vec<Known>,
    /// Those that may have changed, in the order in which they did; a number that was given up may be among them.
    changed: Vec<usize>,
    /// The columns of keys that were written and whose numbers were given up since, and how many keys these are.
    gone: Vec<(Vec<ArrayRef>, usize)>,
    gone_bytes: usize,
}

/// What is known of a key.
#[derive(Clone, Copy, Debug, Default)]
struct Known {
    is_changed: bool,
    /// Whether something was written of it that may still hold.
    is_written: bool,
}

impl ChangedKeys {
    /// Begins to note.
    pub(crate) fn begin(&mut self) {
        self.is_noting = true;
    }

    /// These keys may have changed.
    pub(crate) fn touch(&mut self, ids: &[usize]) {
        if !self.is_noting {
            return;
        }
        for &id in ids {
            if self.keys.len() <= id {
                self.keys.resize(id + 1, Known::default());
            }
            if !std::mem::replace(&mut self.keys[id].is_changed, true) {
                self.changed.push(id);
            }
        }
        // Keys that come and go again and again have their numbers here again and again.
        if self.changed.len() > 2 * self.keys.len() {
            self.tidy();
        }
    }

    /// Each number once, and none that was given up.
    fn tidy(&mut self) {
        self.changed.sort_unstable();
        self.changed.dedup();
        self.changed.retain(|&id| self.keys[id].is_changed);
    }

    /// The numbers of these keys are about to be given up; `columns` are those of keys.
    pub(crate) fn give_up(&mut self, ids: &[usize], columns: impl FnOnce(&[usize]) -> Result<Vec<ArrayRef>>) -> Result<()> {
        if !self.is_noting {
            return Ok(());
        }
        let mut written = Vec::new();
        for &id in ids {
            if let Some(known) = self.keys.get_mut(id)
                && std::mem::take(known).is_written
            {
                written.push(id);
            }
        }
        if !written.is_empty() {
            let columns = columns(&written)?;
            self.gone_bytes += columns.iter().map(|column| column.get_array_memory_size()).sum::<usize>();
            self.gone.push((columns, written.len()));
        }
        Ok(())
    }

    /// All keys, of which there are no more than `total`, have been written.
    pub(crate) fn all_written(&mut self, total: usize) {
        if self.is_noting {
            self.changed.clear();
            self.gone = Vec::new();
            self.gone_bytes = 0;
            self.keys.clear();
            self.keys.resize(total, Known { is_changed: false, is_written: true });
        }
    }

    /// Writes which keys are gone, and gives those that are to be written now.
    pub(crate) fn take(
        &mut self,
        key_groups: u16,
        columns: impl FnOnce(&[usize]) -> Result<Vec<ArrayRef>>,
        state: &mut StateWriter,
    ) -> Result<Vec<usize>> {
        for (keys, count) in std::mem::take(&mut self.gone) {
            state.put_gone(&keys, count, key_groups)?;
        }
        self.gone_bytes = 0;
        let (changed, before) = self.take_changed();
        state.put_gone(&columns(&before)?, before.len(), key_groups)?;
        Ok(changed)
    }

    /// Those that are to be written now, and those of them of which something was written before.
    pub(crate) fn take_changed(&mut self) -> (Vec<usize>, Vec<usize>) {
        self.tidy();
        let changed = std::mem::take(&mut self.changed);
        let before = changed.iter().copied().filter(|&id| self.keys[id].is_written).collect();
        changed.iter().for_each(|&id| self.keys[id] = Known { is_changed: false, is_written: true });
        (changed, before)
    }

    /// Memory in bytes.
    pub(crate) fn size_bytes(&self) -> usize {
        self.keys.capacity() * size_of::<Known>() + self.changed.capacity() * size_of::<usize>() + self.gone_bytes
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{AsArray, Int64Array};
    use millstream_api::state::GONE;

    use super::*;

    fn columns(ids: &[usize]) -> Result<Vec<ArrayRef>> {
        Ok(vec![Arc::new(ids.iter().map(|&id| Some(id as i64 * 10)).collect::<Int64Array>())])
    }

    /// The keys that changed, and those that are gone.
    fn taken(keys: &mut ChangedKeys) -> (Vec<usize>, Vec<i64>) {
        let mut state = StateWriter::new();
        let changed = keys.take(8, columns, &mut state).unwrap();
        let key = |bytes: &[u8]| i64::from_le_bytes(bytes[1..9].try_into().unwrap());
        let entries = state.into_entries();
        let gone = entries.get(GONE).into_iter().flatten();
        (changed, gone.flat_map(|rows| rows.records.column(0).as_binary::<i32>().iter().flatten().map(key).collect::<Vec<_>>()).collect())
    }

    #[test]
    fn what_was_written_before_is_gone_and_what_is_new_is_not() {
        let mut keys = ChangedKeys::default();
        keys.touch(&[0, 1]);
        assert_eq!(taken(&mut keys), (vec![], vec![]), "nobody has asked");
        keys.begin();
        keys.touch(&[1, 0, 1]);
        assert_eq!(taken(&mut keys), (vec![0, 1], vec![]));
        keys.touch(&[4, 1]);
        assert_eq!(taken(&mut keys), (vec![1, 4], vec![10]));
        assert_eq!(taken(&mut keys), (vec![], vec![]));
    }

    #[test]
    fn keys_that_come_and_go_take_no_more_room_than_their_numbers() {
        let mut keys = ChangedKeys::default();
        keys.begin();
        for _ in 0..1_000 {
            keys.touch(&[0, 1, 2]);
            keys.give_up(&[0, 1], columns).unwrap();
        }
        assert!(keys.changed.len() <= 6, "{}", keys.changed.len());
        assert_eq!(taken(&mut keys), (vec![2], vec![]));
    }

    #[test]
    fn a_number_that_is_given_up_may_be_of_another_key() {
        let mut keys = ChangedKeys::default();
        keys.begin();
        keys.touch(&[0, 1, 2]);
        keys.give_up(&[2], columns).unwrap();
        keys.all_written(2);
        keys.touch(&[1]);
        keys.give_up(&[1, 7], columns).unwrap();
        keys.touch(&[1]);
        assert_eq!(taken(&mut keys), (vec![1], vec![10]), "of the key before, not of the new one");
        keys.touch(&[0]);
        keys.give_up(&[0], columns).unwrap();
        assert_eq!(taken(&mut keys), (vec![], vec![0]));
        keys.give_up(&[0], columns).unwrap();
        assert_eq!(taken(&mut keys), (vec![], vec![]), "it is said once");
    }
}

//! Writing and reading a node's state.
//!
//! Keyed state is split by [key group](crate::key_group) when it is written, so that it can be restored at another
//! parallelism: a subtask is given exactly the groups it owns. Other state is written once per subtask and given to all
//! subtasks of the node at a restore. State is Arrow batches; names are those that the node's plan declares.

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::ops::Range;

use arrow::array::{ArrayRef, RecordBatch, UInt32Array};
use arrow::compute::take_record_batch;

use crate::error::{Error, Result};

/// One named piece of a node's state, declared by its plan.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StateDecl {
    /// Its name, unique in the node.
    pub name: &'static str,
    /// Whether it is written by key group.
    pub keyed: bool,
}

/// Keys of one subtask whose state is on disk, not in memory.
///
/// The runtime has one for each subtask of a node that says in its plan that its keys may leave memory
/// ([`Plan::spills`](crate::plan::Plan::spills)) and that the file wants on disk. The node asks for keys through
/// [`Output::fetch`](crate::operator::Output::fetch).
pub trait ColdState: Send + Debug {
    /// Notes that these keys are about to be read or changed. The state of those that are on disk and not in memory, as the
    /// node has written it; from now on it counts as being in memory.
    ///
    /// # Errors
    /// When the disk cannot be read.
    fn fetch(&mut self, keys: &[ArrayRef], rows: usize) -> Result<Option<StateReader>>;
}

/// The columns of a key among those of rows of state that may leave memory: those that are called `k0`, `k1` and so on.
pub fn key_columns(records: &RecordBatch) -> Vec<ArrayRef> {
    (0..).map_while(|place| records.column_by_name(&format!("k{place}")).cloned()).collect()
}

/// What one subtask wrote: batches by name and key group (`None`: not keyed).
pub type StateEntries = BTreeMap<(String, Option<u16>), Vec<RecordBatch>>;

/// Takes the state of one subtask at a barrier.
#[derive(Debug, Default)]
pub struct StateWriter {
    entries: StateEntries,
}

impl StateWriter {
    /// An empty snapshot.
    pub fn new() -> Self {
        StateWriter::default()
    }

    /// Writes rows of keyed state; `groups` is the key group of each. May be called several times for a name; rows of one
    /// group keep their order.
    pub fn put_keyed(&mut self, name: &str, groups: &[u16], records: &RecordBatch) -> Result<()> {
        if groups.len() != records.num_rows() {
            return Err(Error::internal(format!("state `{name}`: {} key groups for {} rows", groups.len(), records.num_rows())));
        }
        let mut order: Vec<u32> = (0..groups.len() as u32).collect();
        order.sort_by_key(|&row| groups[row as usize]);
        let sorted = take_record_batch(records, &UInt32Array::from(order.clone()))?;
        let mut from = 0;
        for run in order.chunk_by(|&a, &b| groups[a as usize] == groups[b as usize]) {
            let group = groups[run[0] as usize];
            self.entries.entry((name.to_owned(), Some(group))).or_default().push(sorted.slice(from, run.len()));
            from += run.len();
        }
        Ok(())
    }

    /// Writes state of this subtask that has no key.
    pub fn put(&mut self, name: &str, records: RecordBatch) {
        self.entries.entry((name.to_owned(), None)).or_default().push(records);
    }

    /// For the runtime: what was written.
    pub fn into_entries(self) -> StateEntries {
        self.entries
    }
}

/// Gives a fresh subtask the state that is its own.
#[derive(Debug, Default)]
pub struct StateReader {
    entries: StateEntries,
}

impl StateReader {
    /// The part of a node's state (the entries of all its subtasks, joined) for a subtask that owns `groups`.
    pub fn new(mut entries: StateEntries, groups: &Range<u16>) -> Self {
        entries.retain(|(_, group), _| group.is_none_or(|g| groups.contains(&g)));
        StateReader { entries }
    }

    /// Everything, by name and key group.
    pub fn entries(&self) -> &StateEntries {
        &self.entries
    }

    /// The batches of a name, in rising order of key group and, within one, in the order of writing.
    pub fn get<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a RecordBatch> + 'a {
        self.entries.iter().filter(move |((n, _), _)| n == name).flat_map(|(_, batches)| batches)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{AsArray, Int64Array};
    use arrow::datatypes::{DataType, Field, Int64Type, Schema};

    use super::*;

    #[test]
    fn a_subtask_gets_its_own_groups_in_order() {
        let schema = Arc::new(Schema::new(vec![Field::new("v", DataType::Int64, false)]));
        let records = RecordBatch::try_new(schema, vec![Arc::new(Int64Array::from(vec![10, 11, 12, 13]))]).unwrap();
        let mut writer = StateWriter::new();
        writer.put_keyed("keys", &[7, 3, 7, 90], &records).unwrap();
        writer.put("all", records.slice(0, 1));
        let reader = StateReader::new(writer.into_entries(), &(0..64));
        let values: Vec<i64> = reader.get("keys").flat_map(|b| b.column(0).as_primitive::<Int64Type>().values().to_vec()).collect();
        assert_eq!(values, [11, 10, 12]);
        assert_eq!(reader.get("all").count(), 1);
    }
}

//! State without the columns of rows that its node does not need any more, because a reader of it is gone.
//!
//! Such columns are left out whenever state is read, whatever the checkpoint says of itself: its older pieces may have columns that a run
//! in between did not need either.

use std::collections::BTreeSet;

use arrow::array::RecordBatch;
use millstream_api::error::Result;
use millstream_api::meaning::{COLUMN_OF_ROW, Meaning};
use millstream_api::message::CheckpointId;
use millstream_api::state::StateEntries;

use crate::snapshot::JobSnapshot;

/// The columns that rows of a node's state are to have.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wanted {
    columns: BTreeSet<String>,
}

impl Wanted {
    /// Those of a node, which may be none: a reader that counts rows needs no column. `None`: the node does not say which its rows have.
    pub fn of(meaning: &Meaning) -> Option<Wanted> {
        meaning.rows.as_ref().map(|rows| Wanted { columns: rows.keys().cloned().collect() })
    }

    /// State without further ones.
    ///
    /// # Errors
    /// Only internal ones.
    pub(crate) fn cut(&self, mut entries: StateEntries) -> Result<StateEntries> {
        for (name, rows) in &mut entries {
            for rows in rows {
                rows.records = self.without_others(name, &rows.records)?;
            }
        }
        Ok(entries)
    }

    fn without_others(&self, name: &str, records: &RecordBatch) -> Result<RecordBatch> {
        let is_wanted = |field: &str| match field.strip_prefix(COLUMN_OF_ROW) {
            // Of a node with two inputs the state of each is called after its side, and so are its columns.
            Some(column) => self.columns.contains(column) || self.columns.contains(&format!("{name}.{column}")),
            None => true,
        };
        let fields = records.schema_ref().fields();
        let places: Vec<usize> = (0..fields.len()).filter(|&place| is_wanted(fields[place].name())).collect();
        Ok(if places.len() == fields.len() { records.clone() } else { records.project(&places)? })
    }
}

/// How checkpoints of a topology that has changed since are given back.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Fit {
    /// The checkpoint to go on from: those after it are of the topology as it is now.
    pub of: CheckpointId,
    /// Nodes whose state is not given back.
    pub lost: Vec<String>,
    /// Of nodes the columns of rows that are wanted.
    pub wanted: Vec<(String, Wanted)>,
}

impl Fit {
    /// What of this checkpoint is given back.
    ///
    /// # Errors
    /// Only internal ones.
    pub fn apply(&self, id: CheckpointId, snapshot: &mut JobSnapshot) -> Result<()> {
        if id <= self.of {
            self.lost.iter().for_each(|node| snapshot.remove(node));
        }
        self.wanted.iter().try_for_each(|(node, wanted)| snapshot.cut(node, wanted))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{ArrayRef, Int64Array};
    use arrow::datatypes::{DataType, Field, Schema};
    use millstream_api::EventTime;
    use millstream_api::state::StateRows;

    use super::*;
    use crate::snapshot::{TaskCounts, TaskId, TaskSnapshot};

    fn entries(name: &str, columns: &[&str]) -> StateEntries {
        let schema = Schema::new(columns.iter().map(|column| Field::new(*column, DataType::Int64, true)).collect::<Vec<_>>());
        let values = (0..columns.len()).map(|column| Arc::new(Int64Array::from(vec![column as i64])) as ArrayRef).collect();
        let records = RecordBatch::try_new(Arc::new(schema), values).unwrap();
        StateEntries::from([(name.to_owned(), vec![StateRows { groups: None, records }])])
    }

    fn left(rows: &[&str], name: &str, columns: &[&str]) -> Vec<String> {
        let rows = rows.iter().map(|row| ((*row).to_owned(), "bigint".to_owned())).collect();
        let wanted = Wanted::of(&Meaning { rows: Some(rows), ..Meaning::default() }).unwrap();
        let cut = wanted.cut(entries(name, columns)).unwrap();
        cut[name][0].records.schema().fields().iter().map(|field| field.name().clone()).collect()
    }

    #[test]
    fn what_is_lost_stays_lost_when_a_run_goes_on_again() {
        let empty = TaskSnapshot {
            watermark: EventTime::MIN,
            entries: StateEntries::new(),
            pieces: None,
            positions: Vec::new(),
            counts: TaskCounts::default(),
            ended: false,
        };
        let of = |node: &str| (TaskId { node: node.to_owned(), subtask: 0 }, empty.clone());
        let all = JobSnapshot::new([of("a"), of("b")].into());
        let fit = Fit { of: 4, lost: vec!["a".to_owned()], wanted: Vec::new() };
        for (id, is_there) in [(3, false), (4, false), (5, true)] {
            let mut snapshot = all.clone();
            fit.apply(id, &mut snapshot).unwrap();
            assert_eq!((snapshot.has("a"), snapshot.has("b")), (is_there, true), "{id}");
        }
    }

    #[test]
    fn columns_of_rows_that_are_not_wanted_are_left_out() {
        assert_eq!(left(&["a"], "rows", &["n0", "k0", "c.a", "c.b", "order"]), ["n0", "k0", "c.a", "order"]);
        assert_eq!(left(&["left.a", "right.b"], "right", &["time", "c.a", "c.b", "k0"]), ["time", "c.b", "k0"]);
        assert_eq!(left(&[], "rows", &["n0", "c.a"]), ["n0"], "a row may be wanted without any column");
        assert!(Wanted::of(&Meaning::default()).is_none(), "what a node does not say stays as it is");
    }
}

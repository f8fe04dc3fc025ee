//! Writing and reading a node's state.
//!
//! Keyed state is written with the [key group](crate::key_group) of each row, so that it can be restored at another
//! parallelism: a subtask is given exactly the groups it owns. Other state is written once per subtask and given to all
//! subtasks of the node at a restore. State is Arrow batches; names are those that the node's plan declares. Rows are not sorted by
//! their groups: at a barrier the whole pipeline would wait for that. For the same reason rows that lie among others can be written as
//! their [places](picked).

pub mod gone;
pub mod picked;

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::ops::Range;
use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, BooleanArray, Int64Array, RecordBatch};
use arrow::buffer::ScalarBuffer;
use arrow::compute::filter_record_batch;
use arrow::datatypes::{DataType, Field, Int64Type, Schema};

use crate::error::{Error, Result};
use crate::time::EventTime;

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

    /// Of keys that are on disk and not in memory those of which something is [due](crate::plan::Due) up to this instant, a few at a
    /// time.
    ///
    /// # Errors
    /// When the disk cannot be read or written to.
    fn fetch_due(&mut self, until: EventTime) -> Result<DueKeys>;

    /// Of keys that are on disk and not in memory those that were fetched since this was last asked until nothing came: some of them
    /// after the others. Those in memory count as asked for.
    ///
    /// # Errors
    /// When the disk cannot be read or written to.
    fn fetch_touched(&mut self) -> Result<Option<StateReader>>;
}

/// Keys on disk of which something is due.
#[derive(Debug, Default)]
pub struct DueKeys {
    /// The next ones, as the node has written them; from now on they count as being in memory. `None`: all have come.
    pub back: Option<StateReader>,
    /// How many rows were in keys that were [dropped](crate::plan::Then::IsDropped).
    pub dropped_rows: u64,
    /// Nothing of what is on disk then is due before this instant; `None`: nothing is there.
    pub next: Option<EventTime>,
}

/// Under this name a subtask that goes on from a checkpoint is told of its keys that are on disk, where event time ends something of
/// them: one row, of the columns `n0`, the first instant at which something is due, and `n2`, how many rows they have. Where rows
/// of state have a column `n2` that is the number of rows that they stand for.
pub const KEYS_ON_DISK: &str = "(keys on disk)";

/// Which pane rows of state are of, by two numbers whose meaning is the node's own; panes lie on disk in their order.
pub type PaneKey = (i64, i64);

/// Of panes that are read back from disk: keys that together fit into memory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PanePart {
    /// Their key groups.
    pub groups: Range<u16>,
    /// Of these groups the keys that their hash puts in this place …
    pub place: u32,
    /// … of so many.
    pub places: u32,
}

/// Who takes rows of a state of this name.
pub type TakeRows<'t> = dyn FnMut(&str, StateRows) -> Result<()> + 't;

/// Panes of one subtask whose groups are on disk, not in memory: what has come to the same window or slice.
///
/// They are not looked up when rows come: what comes later begins anew in memory, as a partial result, and all that is there of a pane
/// is merged when its window closes. So nothing is read for a row. The runtime has one for each subtask of a node that says in its plan
/// that its panes may leave memory ([`Plan::spills_panes`](crate::plan::Plan::spills_panes)) and that the file wants on disk. Such a
/// node lets go of all panes when told ([`Operator::forget_keys`](crate::Operator::forget_keys)). Rows of their state have the pane
/// in the columns `n0` and `n1`, in `n2` how many rows they stand for, and the key in `k0`, `k1` and so on.
pub trait ColdPanes: Send + Debug {
    /// Puts groups beside those that panes have on disk: rows of the state that may leave memory, by key group.
    ///
    /// # Errors
    /// When the disk cannot be written to.
    fn add(&mut self, state: StateEntries) -> Result<()>;

    /// The parts in which these panes are to be read, each of which fits into memory.
    fn parts(&self, panes: &[PaneKey]) -> Vec<PanePart>;

    /// What panes have of a part, some rows after the other, with the name of their state. Of a key there may be several rows.
    ///
    /// # Errors
    /// When the disk cannot be read, or `take` says so.
    fn read(&mut self, panes: &[PaneKey], part: &PanePart, take: &mut TakeRows<'_>) -> Result<()>;

    /// Lets go of panes.
    ///
    /// # Errors
    /// When the disk cannot be written to.
    fn remove(&mut self, panes: &[PaneKey]) -> Result<()>;
}

/// The panes of rows of state that may leave memory, one for each row: the columns `n0` and `n1`.
pub fn pane_columns(records: &RecordBatch) -> Option<[&Int64Array; 2]> {
    let number = |name: &str| records.column_by_name(name)?.as_primitive_opt::<Int64Type>();
    Some([number("n0")?, number("n1")?])
}

/// Under this name a subtask that goes on from a checkpoint is told of the panes that are on disk: rows of [`panes_on_disk`].
pub const PANES_ON_DISK: &str = "(panes on disk)";

/// Panes and how many rows each stands for, in the form in which they are written.
///
/// # Errors
/// Only internal ones.
pub fn panes_on_disk(panes: impl IntoIterator<Item = (PaneKey, u64)>) -> Result<RecordBatch> {
    let (mut first, mut second, mut rows) = (Vec::new(), Vec::new(), Vec::new());
    for ((a, b), count) in panes {
        first.push(a);
        second.push(b);
        rows.push(count as i64);
    }
    let schema = Schema::new(["n0", "n1", "n2"].map(|name| Field::new(name, DataType::Int64, false)).to_vec());
    let columns = [first, second, rows].map(|numbers| Arc::new(Int64Array::from(numbers)) as ArrayRef);
    Ok(RecordBatch::try_new(Arc::new(schema), columns.to_vec())?)
}

/// The columns of a key among those of rows of state that may leave memory: those that are called `k0`, `k1` and so on.
pub fn key_columns(records: &RecordBatch) -> Vec<ArrayRef> {
    (0..).map_while(|place| records.column_by_name(&format!("k{place}")).cloned()).collect()
}

/// Rows of one name, as a subtask wrote them. Columns may be [`picked`].
#[derive(Clone, Debug, PartialEq)]
pub struct StateRows {
    /// The key group of each row; `None`: the state is not keyed.
    pub groups: Option<ScalarBuffer<u16>>,
    /// The rows.
    pub records: RecordBatch,
}

impl StateRows {
    /// Some rows that follow each other.
    #[must_use]
    pub fn slice(&self, from: usize, rows: usize) -> StateRows {
        StateRows { groups: self.groups.as_ref().map(|groups| groups.slice(from, rows)), records: self.records.slice(from, rows) }
    }

    /// The rows that are `wanted`, by their groups, copied out of what they lie among; rows that are not keyed always are.
    ///
    /// # Errors
    /// When there is not one group for each row.
    pub fn of_groups(&self, wanted: impl Fn(u16) -> bool) -> Result<StateRows> {
        let Some(groups) = self.groups.as_ref().filter(|groups| !groups.iter().all(|&group| wanted(group))) else {
            return self.gathered();
        };
        let mask: BooleanArray = groups.iter().map(|&group| Some(wanted(group))).collect();
        self.filter(&mask)?.gathered()
    }

    /// The rows that the mask has.
    ///
    /// # Errors
    /// When it has not one value for each row.
    pub fn filter(&self, mask: &BooleanArray) -> Result<StateRows> {
        let chosen = |groups: &ScalarBuffer<u16>| -> ScalarBuffer<u16> {
            groups.iter().zip(mask.values().iter()).filter(|(_, chosen)| *chosen).map(|(group, _)| *group).collect()
        };
        Ok(StateRows { groups: self.groups.as_ref().map(chosen), records: filter_record_batch(&self.records, mask)? })
    }
}

pub use self::gone::{GONE, GONE_GROUPS, GONE_PANES};

/// What one subtask wrote, by name, in the order of writing.
pub type StateEntries = BTreeMap<String, Vec<StateRows>>;

/// Takes the state of one subtask at a barrier. Columns are shared, not copied.
#[derive(Debug, Default)]
pub struct StateWriter {
    entries: StateEntries,
}

impl StateWriter {
    /// An empty snapshot.
    pub fn new() -> Self {
        StateWriter::default()
    }

    /// Writes rows of keyed state; `groups` is the key group of each. May be called several times for a name; rows keep their order.
    ///
    /// # Errors
    /// When there is not one group for each row.
    pub fn put_keyed(&mut self, name: &str, groups: &[u16], records: &RecordBatch) -> Result<()> {
        if groups.len() != records.num_rows() {
            return Err(Error::internal(format!("state `{name}`: {} key groups for {} rows", groups.len(), records.num_rows())));
        }
        if !groups.is_empty() {
            self.add(name, StateRows { groups: Some(groups.to_vec().into()), records: records.clone() });
        }
        Ok(())
    }

    /// Writes state of this subtask that has no key.
    pub fn put(&mut self, name: &str, records: RecordBatch) {
        self.add(name, StateRows { groups: None, records });
    }

    fn add(&mut self, name: &str, rows: StateRows) {
        self.entries.entry(name.to_owned()).or_default().push(rows);
    }

    /// For the runtime: makes sure that a node has written only what its plan declares. State under any other name would not be
    /// taken for its own, nor be asked for where the topology has changed.
    ///
    /// # Errors
    /// An internal one that names what is not `declared`.
    pub fn check_names<'a>(&self, declared: impl Iterator<Item = &'a str> + Clone) -> Result<()> {
        let is_declared = |name: &str| gone::is_gone(name) || declared.clone().any(|declared| declared == name);
        let Some(name) = self.entries.keys().find(|name| !is_declared(name)) else { return Ok(()) };
        let names = declared.map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ");
        let declares = if names.is_empty() { "no state".to_owned() } else { format!("only {names}") };
        Err(Error::internal(format!("the node has written state `{name}`, and its plan declares {declares}")))
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
    ///
    /// # Errors
    /// When some rows have not one group for each.
    pub fn new(mut entries: StateEntries, groups: &Range<u16>) -> Result<Self> {
        for rows in entries.values_mut() {
            for rows in rows.iter_mut() {
                *rows = rows.of_groups(|group| groups.contains(&group))?;
            }
            rows.retain(|rows| rows.groups.is_none() || rows.records.num_rows() > 0);
        }
        Ok(StateReader { entries })
    }

    /// Everything, by name.
    pub fn entries(&self) -> &StateEntries {
        &self.entries
    }

    /// The batches of a name in the order of writing, those of one subtask after those of another.
    pub fn get<'a>(&'a self, name: &str) -> impl Iterator<Item = &'a RecordBatch> + use<'a> {
        self.entries.get(name).into_iter().flatten().map(|rows| &rows.records)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_subtask_gets_its_own_groups_in_order() {
        let schema = Arc::new(Schema::new(vec![Field::new("v", DataType::Int64, false)]));
        let records = RecordBatch::try_new(schema, vec![Arc::new(Int64Array::from(vec![10, 11, 12, 13]))]).unwrap();
        let mut writer = StateWriter::new();
        writer.put_keyed("keys", &[7, 3, 7, 90], &records).unwrap();
        writer.put("all", records.slice(0, 1));
        let reader = StateReader::new(writer.into_entries(), &(0..64)).unwrap();
        let values: Vec<i64> = reader.get("keys").flat_map(|b| b.column(0).as_primitive::<Int64Type>().values().to_vec()).collect();
        assert_eq!(values, [10, 11, 12]);
        assert_eq!(reader.get("all").count(), 1);
    }

    #[test]
    fn state_that_was_not_declared_is_a_mistake_that_names_it() {
        let records = RecordBatch::new_empty(Arc::new(Schema::empty()));
        let mut writer = StateWriter::new();
        writer.put("sums", records.clone());
        writer.put(GONE, records);
        assert!(writer.check_names(["keys", "sums"].into_iter()).is_ok());
        let message = |declared: &[&str]| writer.check_names(declared.iter().copied()).unwrap_err().message().to_owned();
        assert_eq!(message(&["keys", "sum"]), "the node has written state `sums`, and its plan declares only `keys`, `sum`");
        assert_eq!(message(&[]), "the node has written state `sums`, and its plan declares no state");
    }
}

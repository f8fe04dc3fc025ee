//! Sums by key in memory, of which only changes are written, against a model that keeps every checkpoint: those that are written, fail,
//! or are never heard of again; and what they write.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use arrow::array::{ArrayRef, AsArray, Int64Array, RecordBatch};
use arrow::datatypes::{DataType, Field, Int64Type, Schema};
use millstream_api::EventTime;
use millstream_api::key_group::key_groups;
use millstream_api::plan::Spills;
use millstream_api::state::StateWriter;
use millstream_api::time::ClockTime;
use proptest::prelude::*;
use tempfile::TempDir;

use super::*;
use crate::disk::{DiskState, OnDisk, Scratch};
use crate::pieces::Pieces;
use crate::snapshot::{JobSnapshot, TaskCounts, TaskId, TaskSnapshot};
use crate::{Manifest, Store};

const GROUPS: u16 = 8;
const NODE: &str = "totals";
const STATE: &str = "sums";

/// One subtask. A sum of zero is a key that is gone.
#[derive(Default)]
struct Node {
    sums: BTreeMap<i64, i64>,
    changed: BTreeSet<i64>,
    written: BTreeSet<i64>,
    changes: Changes,
}

fn column(values: impl Iterator<Item = i64>) -> ArrayRef {
    Arc::new(Int64Array::from_iter_values(values))
}

impl Node {
    fn take(&mut self, rows: &[(i64, i64)]) {
        for (key, value) in rows {
            *self.sums.entry(*key).or_default() += value;
            self.changed.insert(*key);
        }
        self.sums.retain(|_, sum| *sum != 0);
    }

    fn state_bytes(&self) -> usize {
        self.sums.len() * 16
    }

    fn snapshot(&mut self) -> JobSnapshot {
        let mut state = StateWriter::new();
        let all = self.changes.wants_all(self.state_bytes());
        let wanted: Vec<i64> = if all { self.sums.keys().copied().collect() } else { self.changed.iter().copied().collect() };
        if !all {
            let gone: Vec<i64> = wanted.iter().copied().filter(|key| self.written.contains(key)).collect();
            state.put_gone(&[column(gone.iter().copied())], gone.len(), GROUPS).unwrap();
        }
        let rows: Vec<(i64, i64)> = wanted.iter().filter_map(|key| Some((*key, *self.sums.get(key)?))).collect();
        let columns = vec![column(rows.iter().map(|row| row.0)), column(rows.iter().map(|row| row.1))];
        let groups = key_groups(&columns[..1], rows.len(), GROUPS).unwrap();
        let schema = Schema::new(["k0", "sum"].map(|name| Field::new(name, DataType::Int64, false)).to_vec());
        state.put_keyed(STATE, &groups, &RecordBatch::try_new(Arc::new(schema), columns).unwrap()).unwrap();
        self.written.extend(&wanted);
        self.changed.clear();
        let entries = state.into_entries();
        let pieces = if all { self.changes.all(entries) } else { self.changes.changed(entries) };
        let snapshot = TaskSnapshot {
            watermark: EventTime::MIN,
            entries: StateEntries::new(),
            pieces: Some(Pieces::InMemory(Arc::new(pieces))),
            positions: Vec::new(),
            counts: TaskCounts::default(),
            ended: false,
        };
        JobSnapshot::new([(TaskId { node: NODE.to_owned(), subtask: 0 }, snapshot)].into())
    }
}

fn about(id: u64) -> Manifest {
    let (topology, written_by) = ("t".to_owned(), "test".to_owned());
    let (nodes, tasks) = (Vec::new(), Vec::new());
    Manifest { topology, checkpoint: id, taken_at: 0, written_by, key_groups: GROUPS, finished: None, nodes, tasks }
}

fn sums(entries: &StateEntries) -> BTreeMap<i64, i64> {
    let mut sums = BTreeMap::new();
    for rows in entries.get(STATE).into_iter().flatten() {
        let number = |column: usize| rows.records.column(column).as_primitive::<Int64Type>().values().to_vec();
        for (key, sum) in number(0).into_iter().zip(number(1)) {
            assert_eq!(sums.insert(key, sum), None, "{key} is there twice");
        }
    }
    sums
}

struct Place {
    folder: TempDir,
    store: Store,
}

impl Place {
    fn new() -> Place {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(&folder.path().join("store"), "file:store").unwrap();
        Place { folder, store }
    }

    fn write(&self, id: u64, node: &mut Node) -> u64 {
        let written = self.store.write(about(id), &node.snapshot(), &|| Ok(())).unwrap();
        self.store.tidy(id, 2).unwrap();
        written.bytes
    }

    fn read(&self, id: u64) -> JobSnapshot {
        self.store.read(&self.store.manifest(id).unwrap()).unwrap()
    }

    fn in_memory(&self, id: u64) -> BTreeMap<i64, i64> {
        let read = self.read(id);
        let state = read.state(NODE, &(0..GROUPS)).unwrap();
        sums(state.entries())
    }

    /// The same, taken to disk.
    fn on_disk(&self, id: u64) -> BTreeMap<i64, i64> {
        let scratch = Scratch::open(&self.folder.path().join("scratch"), 0).unwrap();
        let spills = Spills::keys(&[STATE], None);
        let mut disk = DiskState::new(&scratch, &spills, GROUPS, 1, true).unwrap();
        disk.load(&self.read(id), NODE, &(0..GROUPS), ClockTime(0)).unwrap();
        let (_, all) = disk.snapshot(StateEntries::new(), ClockTime(0)).unwrap();
        sums(&Pieces::OnDisk(Arc::new(all)).together(&(0..GROUPS)).unwrap())
    }
}

#[derive(Clone, Debug)]
enum Step {
    Rows(Vec<(i64, i64)>),
    Checkpoint,
    /// A checkpoint whose state was handed in and of which nobody hears again.
    Lost,
    /// One that cannot be written.
    Fails,
    /// Back to the last checkpoint.
    Crash,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => prop::collection::vec((0..20i64, -2..3i64), 1..12).prop_map(Step::Rows),
        4 => Just(Step::Checkpoint),
        1 => Just(Step::Lost),
        1 => Just(Step::Fails),
        1 => Just(Step::Crash),
    ]
}

fn fails(store: &Path, id: u64) {
    // A file where a folder is to be.
    std::fs::write(store.join(format!("{id:020}-pieces")), "").unwrap();
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]
    #[test]
    fn every_checkpoint_has_all_there_was(steps in prop::collection::vec(step(), 1..50)) {
        let place = Place::new();
        let mut node = Node::default();
        let mut checkpoints: Vec<(u64, BTreeMap<i64, i64>)> = Vec::new();
        for (id, step) in (1..).zip(steps) {
            match step {
                Step::Rows(rows) => node.take(&rows),
                Step::Lost => drop(node.snapshot()),
                Step::Fails => {
                    fails(&place.folder.path().join("store"), id);
                    // A checkpoint of changes without any writes no piece, and is none that fails.
                    if place.store.write(about(id), &node.snapshot(), &|| Ok(())).is_ok() {
                        checkpoints.push((id, node.sums.clone()));
                    }
                    std::fs::remove_file(place.folder.path().join("store").join(format!("{id:020}-pieces"))).unwrap();
                }
                Step::Checkpoint => {
                    place.write(id, &mut node);
                    checkpoints.push((id, node.sums.clone()));
                }
                Step::Crash => {
                    let sums = checkpoints.last().map(|(id, _)| place.in_memory(*id)).unwrap_or_default();
                    node = Node { sums, ..Node::default() };
                }
            }
            for (id, model) in checkpoints.iter().rev().take(1) {
                prop_assert_eq!(&place.in_memory(*id), model);
            }
        }
        for (id, model) in checkpoints.iter().rev().take(2) {
            prop_assert_eq!(&place.in_memory(*id), model);
            prop_assert_eq!(&place.on_disk(*id), model);
        }
    }
}

fn many(keys: std::ops::Range<i64>) -> Vec<(i64, i64)> {
    keys.map(|key| (key, 1)).collect()
}

#[test]
fn a_checkpoint_writes_what_has_changed() {
    let place = Place::new();
    let mut node = Node::default();
    node.take(&many(0..50_000));
    let all = place.write(1, &mut node);
    node.take(&many(100..200));
    let some = place.write(2, &mut node);
    assert!(some * 50 < all, "{some} of {all}");
    let none = place.write(3, &mut node);
    assert!(none < some, "{none} of {some}");
    node.take(&many(50_000..100_000));
    assert!(place.write(4, &mut node) > all / 2);
    assert_eq!(place.in_memory(4), node.sums);
}

#[test]
fn what_a_task_that_is_over_has_is_written_once() {
    let place = Place::new();
    let mut node = Node::default();
    node.take(&many(0..50_000));
    place.write(1, &mut node);
    node.take(&many(0..100));
    for first in [2, 4] {
        let last = node.snapshot();
        let write = |id| place.store.write(about(id), &last, &|| Ok(())).unwrap().bytes;
        let (all, again) = (write(first), write(first + 1));
        assert!(2 * again < all, "{again} of {all}");
        place.store.tidy(first + 1, 1).unwrap();
        assert_eq!(place.in_memory(first + 1), node.sums);
        // The other one is of all that there is.
        node.changes = Changes::default();
    }
}

#[test]
fn changes_that_no_checkpoint_takes_do_not_pile_up() {
    let mut node = Node::default();
    let place = Place::new();
    node.take(&many(0..10_000));
    place.write(1, &mut node);
    let mut bases = 0;
    for _ in 0..40 {
        bases += usize::from(node.changes.wants_all(node.state_bytes()));
        node.take(&many(0..1_000));
        drop(node.snapshot());
        let kept: usize = node.changes.locked().pieces.iter().map(|piece| piece.bytes).sum();
        assert!(kept < 2 * node.state_bytes(), "{kept}");
    }
    assert!(bases > 0);
    place.write(2, &mut node);
    assert_eq!(place.in_memory(2), node.sums);
}

#[test]
fn a_chain_of_which_much_is_replaced_is_begun_anew() {
    let place = Place::new();
    let mut node = Node::default();
    for id in 1..=40 {
        node.take(&many(0..50_000));
        place.write(id, &mut node);
    }
    let folders = std::fs::read_dir(place.folder.path().join("store")).unwrap();
    let pieces = folders.filter(|entry| entry.as_ref().unwrap().file_name().to_string_lossy().ends_with("-pieces")).count();
    assert!(pieces < 20, "{pieces}");
    assert_eq!(place.in_memory(40), node.sums);
}

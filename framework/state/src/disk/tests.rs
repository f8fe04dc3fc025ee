//! Sums by key over a disk, against a model that has them all in memory: rows, evictions, checkpoints, crashes, restores at
//! another parallelism; and what checkpoints write and leave behind.

use std::collections::BTreeMap;
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, Int64Array, RecordBatch, StringViewArray};
use arrow::datatypes::{DataType, Field, Int64Type, Schema};
use millstream_api::EventTime;
use millstream_api::key_group::{key_groups, owned_groups, owner};
use millstream_api::plan::Spills;
use millstream_api::state::{ColdState, StateEntries, StateReader, StateWriter};
use millstream_api::time::ClockTime;
use proptest::prelude::*;
use tempfile::TempDir;

use super::{DiskState, OnDisk, Scratch};
use crate::pieces::Pieces;
use crate::snapshot::{JobSnapshot, TaskCounts, TaskId, TaskSnapshot};
use crate::{Manifest, Store};

const GROUPS: u16 = 8;
const SPILLS: Spills = Spills { state: &["sums"], forgotten_after: None, due: None, at_ticks: false, notes_panes: false };
const NODE: &str = "totals";

/// What an operator does: the sums of keys that are in memory. A sum of zero is a key that is gone.
#[derive(Default)]
struct Sums(BTreeMap<String, i64>);

fn key_column<'k>(keys: impl Iterator<Item = &'k str>) -> ArrayRef {
    Arc::new(StringViewArray::from_iter_values(keys))
}

impl Sums {
    fn take(&mut self, rows: &[(String, i64)], disk: &mut DiskState) {
        let keys = key_column(rows.iter().map(|(key, _)| key.as_str()));
        if let Some(state) = disk.fetch(&[keys], rows.len()).unwrap() {
            self.restore(&state);
        }
        for (key, value) in rows {
            *self.0.entry(key.clone()).or_default() += value;
        }
        self.0.retain(|_, sum| *sum != 0);
    }

    fn snapshot(&self) -> StateEntries {
        let keys = key_column(self.0.keys().map(String::as_str));
        let sums: ArrayRef = Arc::new(self.0.values().copied().collect::<Int64Array>());
        let groups = key_groups(std::slice::from_ref(&keys), self.0.len(), GROUPS).unwrap();
        let schema = Schema::new(vec![Field::new("k0", DataType::Utf8View, true), Field::new("sum", DataType::Int64, true)]);
        let mut writer = StateWriter::new();
        if !self.0.is_empty() {
            writer.put_keyed("sums", &groups, &RecordBatch::try_new(Arc::new(schema), vec![keys, sums]).unwrap()).unwrap();
        }
        writer.into_entries()
    }

    fn restore(&mut self, state: &StateReader) {
        for batch in state.get("sums") {
            let (keys, sums) = (batch.column(0).as_string_view(), batch.column(1).as_primitive::<Int64Type>());
            for (key, sum) in keys.iter().flatten().zip(sums.values()) {
                assert_eq!(self.0.insert(key.to_owned(), *sum), None, "{key} was in memory already");
            }
        }
    }
}

/// Some subtasks of one node on one disk.
struct Node {
    subtasks: Vec<(Sums, DiskState)>,
}

impl Node {
    fn new(folder: &Path, parallelism: usize, from: Option<&JobSnapshot>) -> Node {
        let scratch = Scratch::open(folder, 0).unwrap();
        let subtask = |index: usize| {
            let mut disk = DiskState::new(&scratch, &SPILLS, GROUPS, 1, true).unwrap();
            let groups = owned_groups(index, parallelism, GROUPS);
            from.iter().for_each(|from| {
                let in_memory = disk.load(from, NODE, &groups, ClockTime(0)).unwrap();
                assert_eq!(in_memory.get("sums").count(), 0, "all of it is on disk");
            });
            (Sums::default(), disk)
        };
        Node { subtasks: (0..parallelism).map(subtask).collect() }
    }

    fn take(&mut self, rows: &[(String, i64)]) {
        let keys = key_column(rows.iter().map(|(key, _)| key.as_str()));
        let groups = key_groups(&[keys], rows.len(), GROUPS).unwrap();
        let parallelism = self.subtasks.len();
        for (index, (sums, disk)) in self.subtasks.iter_mut().enumerate() {
            let own = rows.iter().zip(&groups).filter(|(_, group)| owner(**group, parallelism, GROUPS) == index);
            sums.take(&own.map(|(row, _)| row.clone()).collect::<Vec<_>>(), disk);
        }
    }

    fn evict(&mut self) {
        for (sums, disk) in &mut self.subtasks {
            disk.evict(std::mem::take(sums).snapshot(), ClockTime(0)).unwrap();
        }
    }

    fn snapshot(&mut self) -> JobSnapshot {
        let parts = self.subtasks.iter_mut().enumerate().map(|(subtask, (sums, disk))| {
            let (entries, pieces) = disk.snapshot(sums.snapshot(), ClockTime(0)).unwrap();
            let (watermark, counts) = (EventTime::MIN, TaskCounts::default());
            let pieces = Some(Pieces::OnDisk(Arc::new(pieces)));
            let snapshot = TaskSnapshot { watermark, entries, pieces, positions: Vec::new(), counts, ended: false };
            (TaskId { node: NODE.to_owned(), subtask }, snapshot)
        });
        JobSnapshot::new(parts.collect())
    }
}

fn in_memory(snapshot: &JobSnapshot, groups: &Range<u16>) -> BTreeMap<String, i64> {
    let mut sums = Sums::default();
    sums.restore(&snapshot.state(NODE, groups).unwrap());
    sums.0
}

fn about(id: u64) -> Manifest {
    let (topology, written_by) = ("t".to_owned(), "test".to_owned());
    let (nodes, tasks) = (Vec::new(), Vec::new());
    Manifest { topology, checkpoint: id, taken_at: 0, written_by, key_groups: GROUPS, finished: None, nodes, tasks }
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

    fn node(&self, parallelism: usize, from: Option<&JobSnapshot>) -> Node {
        Node::new(&self.folder.path().join("scratch"), parallelism, from)
    }

    fn read(&self, id: u64) -> JobSnapshot {
        self.store.read(&self.store.manifest(id).unwrap()).unwrap()
    }

    fn write(&self, id: u64, node: &mut Node) -> u64 {
        let written = self.store.write(about(id), &node.snapshot(), &|| Ok(())).unwrap();
        self.store.tidy(id, 2).unwrap();
        written.bytes
    }

    fn piece_folders(&self) -> Vec<String> {
        let entries = std::fs::read_dir(self.folder.path().join("store")).unwrap();
        let mut names: Vec<String> = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.retain(|name| name.ends_with("-pieces"));
        names.sort();
        names
    }
}

#[derive(Clone, Debug)]
enum Step {
    Rows(Vec<(u8, i64)>),
    Evict,
    Checkpoint,
    /// A checkpoint whose parts were handed in and that was never written.
    Lost,
    /// Back to the last checkpoint, with so many subtasks.
    Crash(usize),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => prop::collection::vec((0..20u8, -2..3i64), 1..12).prop_map(Step::Rows),
        2 => Just(Step::Evict),
        2 => Just(Step::Checkpoint),
        1 => Just(Step::Lost),
        1 => (1..4usize).prop_map(Step::Crash),
    ]
}

fn named(rows: &[(u8, i64)]) -> Vec<(String, i64)> {
    rows.iter().map(|(key, value)| (format!("key {key}"), *value)).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]
    #[test]
    fn keys_come_back_as_they_were(steps in prop::collection::vec(step(), 1..40)) {
        let place = Place::new();
        let (mut node, mut model) = (place.node(2, None), BTreeMap::new());
        let mut checkpoints: Vec<(u64, BTreeMap<String, i64>)> = Vec::new();
        for step in steps {
            match step {
                Step::Rows(rows) => {
                    let rows = named(&rows);
                    node.take(&rows);
                    rows.iter().for_each(|(key, value)| *model.entry(key.clone()).or_default() += value);
                    model.retain(|_, sum| *sum != 0);
                }
                Step::Evict => node.evict(),
                Step::Lost => drop(node.snapshot()),
                Step::Checkpoint => {
                    let id = checkpoints.len() as u64 + 1;
                    place.write(id, &mut node);
                    checkpoints.push((id, model.clone()));
                }
                Step::Crash(parallelism) => {
                    drop(node);
                    let from = checkpoints.last().map(|(id, _)| place.read(*id));
                    node = place.node(parallelism, from.as_ref());
                    model = checkpoints.last().map(|(_, model)| model.clone()).unwrap_or_default();
                }
            }
            prop_assert_eq!(&in_memory(&node.snapshot(), &(0..GROUPS)), &model);
        }
        // Whatever was written since, the older of the two that are kept is still whole.
        for (id, model) in checkpoints.iter().rev().take(2) {
            prop_assert_eq!(&in_memory(&place.read(*id), &(0..GROUPS)), model);
        }
    }
}

fn many(keys: Range<usize>) -> Vec<(String, i64)> {
    keys.map(|key| (format!("a key with a rather long name {key:08}"), 1)).collect()
}

#[test]
fn a_checkpoint_writes_what_has_changed_and_keeps_what_it_needs() {
    let place = Place::new();
    let mut node = place.node(1, None);
    node.take(&many(0..20_000));
    node.evict();
    let all = place.write(1, &mut node);
    node.take(&many(100..200));
    let some = place.write(2, &mut node);
    assert!(some * 50 < all, "{some} of {all}");
    let none = place.write(3, &mut node);
    assert!(none < some, "{none} of {some}");
    assert_eq!(place.store.numbers().unwrap(), [2, 3]);
    assert_eq!(place.piece_folders().len(), 2, "the first one's are still needed: {:?}", place.piece_folders());
    let sums = in_memory(&place.read(3), &(0..GROUPS));
    assert_eq!((sums.len(), sums.values().sum::<i64>()), (20_000, 20_100));
}

#[test]
fn a_chain_that_has_grown_is_begun_anew_and_the_old_one_goes() {
    let place = Place::new();
    let mut node = place.node(1, None);
    for id in 1..=40 {
        node.take(&many(0..20_000));
        place.write(id, &mut node);
    }
    assert!(place.piece_folders().len() < 30, "{:?}", place.piece_folders());
    let sums = in_memory(&place.read(40), &(0..GROUPS));
    assert_eq!((sums.len(), sums.values().sum::<i64>()), (20_000, 800_000));
}

#[test]
fn what_a_failed_checkpoint_has_written_is_in_the_next_one() {
    let place = Place::new();
    let mut node = place.node(1, None);
    node.take(&many(0..10));
    place.write(1, &mut node);
    node.take(&many(5..20));
    // A file where a folder is to be.
    std::fs::write(place.folder.path().join("store/00000000000000000002"), "").unwrap();
    assert!(place.store.write(about(2), &node.snapshot(), &|| Ok(())).is_err());
    place.write(3, &mut node);
    let sums = in_memory(&place.read(3), &(0..GROUPS));
    assert_eq!((sums.len(), sums.values().sum::<i64>()), (20, 25));
}

#[test]
fn keys_that_are_old_enough_leave_the_disk() {
    let place = Place::new();
    let scratch = Scratch::open(&place.folder.path().join("scratch"), 0).unwrap();
    let spills = Spills { forgotten_after: Some("10s".parse().unwrap()), ..SPILLS };
    let mut disk = DiskState::new(&scratch, &spills, GROUPS, 1, false).unwrap();
    let mut sums = Sums::default();
    let at = |second: usize| ClockTime(second as i64 * 1_000_000);
    for second in 0..60 {
        sums.take(&many(second * 100..(second + 1) * 100), &mut disk);
        disk.evict(std::mem::take(&mut sums).snapshot(), at(second)).unwrap();
        assert!(disk.counts().keys <= 1_400, "{} keys after {second} s", disk.counts().keys);
    }
    assert_eq!(disk.counts().evictions, 60);
}

#[test]
fn the_folder_is_emptied_at_the_start_and_gone_at_the_end() {
    let folder = tempfile::tempdir().unwrap();
    let scratch = folder.path().join("scratch");
    std::fs::create_dir_all(scratch.join("1234567/keys")).unwrap();
    std::fs::write(scratch.join("another file"), "").unwrap();
    let open = Scratch::open(&scratch, 0).unwrap();
    assert!(scratch.exists() && !scratch.join("1234567").exists());
    drop(open);
    let left: Vec<_> = std::fs::read_dir(&scratch).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(left, ["another file"]);
    std::fs::remove_dir_all(&scratch).unwrap();
    drop(Scratch::open(&scratch, 0).unwrap());
    assert!(!scratch.exists());
    std::fs::write(&scratch, "a file").unwrap();
    let error = Scratch::open(&scratch, 0).unwrap_err();
    assert!(error.message().starts_with("cannot use ") && error.message().contains("scratch"), "{error}");
}

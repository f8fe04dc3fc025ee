//! Sums by pane and key over a disk, against a model that has them all: what comes in several times, parts, removed panes, checkpoints,
//! crashes, restores at another parallelism; and what checkpoints write and leave behind.

use std::collections::BTreeMap;
use std::path::Path;

use arrow::array::{ArrayRef, AsArray, Int64Array, RecordBatch};
use arrow::datatypes::{DataType, Field, Int64Type, Schema};
use millstream_api::EventTime;
use millstream_api::key_group::{key_groups, owned_groups, owner};
use proptest::prelude::*;
use tempfile::TempDir;

use super::*;
use crate::snapshot::{TaskCounts, TaskId, TaskSnapshot};
use crate::{Manifest, Store};

const GROUPS: u16 = 8;
const NAME: &str = "panes";
const NODE: &str = "hourly";
const NOW: ClockTime = ClockTime(0);

/// The sum of each key of each pane.
type Sums = BTreeMap<(PaneKey, i64), i64>;

/// Rows of panes: of each its pane, key and value.
fn rows(of: &[(PaneKey, i64, i64)]) -> StateRows {
    let column = |values: Vec<i64>| -> ArrayRef { Arc::new(Int64Array::from(values)) };
    let number = |number: fn(&(PaneKey, i64, i64)) -> i64| column(of.iter().map(number).collect());
    let columns = vec![number(|row| row.0.0), number(|row| row.0.1), column(vec![1; of.len()]), number(|row| row.1), number(|row| row.2)];
    let schema = Schema::new(["n0", "n1", "n2", "k0", "sum"].map(|name| Field::new(name, DataType::Int64, false)).to_vec());
    let groups = key_groups(&columns[3..4], of.len(), GROUPS).unwrap();
    StateRows { groups: Some(groups.into()), records: RecordBatch::try_new(Arc::new(schema), columns).unwrap() }
}

fn entries(of: &[(PaneKey, i64, i64)]) -> StateEntries {
    StateEntries::from([(NAME.to_owned(), vec![rows(of)])])
}

fn sum(rows: &StateRows, sums: &mut Sums) {
    let column = |place: usize| rows.records.column(place).as_primitive::<Int64Type>().values().to_vec();
    for (((first, second), key), value) in column(0).into_iter().zip(column(1)).zip(column(3)).zip(column(4)) {
        *sums.entry(((first, second), key)).or_default() += value;
    }
}

struct Place {
    folder: TempDir,
    store: Store,
}

/// Some subtasks of one node on one disk.
struct Node(Vec<DiskPanes>);

impl Place {
    fn new() -> Place {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(&folder.path().join("store"), "file:store").unwrap();
        Place { folder, store }
    }

    fn scratch(&self) -> std::path::PathBuf {
        self.folder.path().join("scratch")
    }

    fn read(&self, id: u64) -> JobSnapshot {
        self.store.read(&self.store.manifest(id).unwrap()).unwrap()
    }

    fn write(&self, id: u64, node: &mut Node) -> u64 {
        let (topology, written_by) = ("t".to_owned(), "test".to_owned());
        let (nodes, tasks) = (Vec::new(), Vec::new());
        let about = Manifest { topology, checkpoint: id, taken_at: 0, written_by, key_groups: GROUPS, finished: None, nodes, tasks };
        let written = self.store.write(about, &node.snapshot(), &|| Ok(())).unwrap();
        self.store.tidy(id, 2).unwrap();
        written.bytes
    }
}

impl Node {
    fn new(folder: &Path, parallelism: usize, from: Option<&JobSnapshot>) -> Node {
        let scratch = Scratch::open(folder, 0).unwrap();
        let subtask = |index: usize| {
            let mut panes = DiskPanes::new(&scratch, &[NAME], 200, true).unwrap();
            if let Some(from) = from {
                let told = panes.load(from, NODE, &owned_groups(index, parallelism, GROUPS), NOW).unwrap();
                let known: Vec<PaneKey> = told.get(PANES_ON_DISK).flat_map(pane_list).collect();
                assert_eq!(known, panes.panes.keys().copied().collect::<Vec<_>>());
                assert_eq!(told.get(NAME).count(), 0, "all of it is on disk");
            }
            panes
        };
        Node((0..parallelism).map(subtask).collect())
    }

    fn each_with_own(&mut self, of: &[(PaneKey, i64, i64)], mut to: impl FnMut(&mut DiskPanes, StateEntries)) {
        let parallelism = self.0.len();
        let all = rows(of);
        for (index, panes) in self.0.iter_mut().enumerate() {
            let own = all.of_groups(|group| owner(group, parallelism, GROUPS) == index).unwrap();
            to(panes, StateEntries::from([(NAME.to_owned(), vec![own])]));
        }
    }

    fn snapshot(&mut self) -> JobSnapshot {
        let parts = self.0.iter_mut().enumerate().map(|(subtask, panes)| {
            let (entries, pieces) = panes.snapshot(StateEntries::new(), NOW).unwrap();
            let (watermark, counts) = (EventTime::MIN, TaskCounts::default());
            let pieces = Some(Pieces::OnDisk(Arc::new(pieces)));
            let snapshot = TaskSnapshot { watermark, entries, pieces, positions: Vec::new(), counts, ended: false };
            (TaskId { node: NODE.to_owned(), subtask }, snapshot)
        });
        JobSnapshot::new(parts.collect())
    }

    /// What reading these panes part by part gives. No key is in two parts.
    fn read(&mut self, panes: &[PaneKey]) -> Sums {
        let mut all = Sums::new();
        for subtask in &mut self.0 {
            let parts = subtask.parts(panes);
            for part in parts {
                let mut of_part = Sums::new();
                let mut take = |_: &str, rows: StateRows| {
                    sum(&rows, &mut of_part);
                    Ok(())
                };
                subtask.read(panes, &part, &mut take).unwrap();
                of_part.into_iter().for_each(|(key, sum)| assert!(all.insert(key, sum).is_none(), "{key:?} is in two parts"));
            }
        }
        all
    }
}

fn pane_list(records: &RecordBatch) -> Vec<PaneKey> {
    let [first, second] = millstream_api::state::pane_columns(records).unwrap();
    first.values().iter().copied().zip(second.values().iter().copied()).collect()
}

fn in_memory(snapshot: &JobSnapshot) -> Sums {
    let mut sums = Sums::new();
    let state = snapshot.state(NODE, &(0..GROUPS)).unwrap();
    state.entries().get(NAME).into_iter().flatten().for_each(|rows| sum(rows, &mut sums));
    sums
}

#[derive(Clone, Debug)]
enum Step {
    /// Groups leave memory.
    Evict(Vec<(PaneKey, i64, i64)>),
    /// A window closes: these panes are read and let go of.
    Remove(Vec<PaneKey>),
    Checkpoint,
    /// A checkpoint whose parts were handed in and that was never written.
    Lost,
    /// Back to the last checkpoint, with so many subtasks.
    Crash(usize),
}

fn pane() -> impl Strategy<Value = PaneKey> {
    (-2..3i64, 0..2i64)
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => prop::collection::vec((pane(), 0..12i64, -2..3i64), 1..12).prop_map(Step::Evict),
        2 => prop::collection::vec(pane(), 1..4).prop_map(Step::Remove),
        2 => Just(Step::Checkpoint),
        1 => Just(Step::Lost),
        1 => (1..4usize).prop_map(Step::Crash),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]
    #[test]
    fn panes_are_read_as_they_were_written(steps in prop::collection::vec(step(), 1..40)) {
        let place = Place::new();
        let (mut node, mut model) = (Node::new(&place.scratch(), 2, None), Sums::new());
        let mut checkpoints: Vec<(u64, Sums)> = Vec::new();
        for step in steps {
            match step {
                Step::Evict(of) => {
                    node.each_with_own(&of, |panes, entries| panes.evict(entries, NOW).unwrap());
                    of.iter().for_each(|(pane, key, value)| *model.entry((*pane, *key)).or_default() += value);
                }
                Step::Remove(gone) => {
                    let mut wanted = model.clone();
                    wanted.retain(|(pane, _), _| gone.contains(pane));
                    let listed: Vec<PaneKey> = gone.iter().copied().collect::<BTreeSet<_>>().into_iter().collect();
                    prop_assert_eq!(node.read(&listed), wanted);
                    node.0.iter_mut().for_each(|panes| panes.remove(&gone).unwrap());
                    model.retain(|(pane, _), _| !gone.contains(pane));
                }
                Step::Lost => drop(node.snapshot()),
                Step::Checkpoint => {
                    let id = checkpoints.len() as u64 + 1;
                    place.write(id, &mut node);
                    checkpoints.push((id, model.clone()));
                }
                Step::Crash(parallelism) => {
                    drop(node);
                    let from = checkpoints.last().map(|(id, _)| place.read(*id));
                    node = Node::new(&place.scratch(), parallelism, from.as_ref());
                    model = checkpoints.last().map(|(_, model)| model.clone()).unwrap_or_default();
                }
            }
            prop_assert_eq!(&in_memory(&node.snapshot()), &model);
        }
        // Whatever was written since, the older of the two that are kept is still whole.
        for (id, model) in checkpoints.iter().rev().take(2) {
            prop_assert_eq!(&in_memory(&place.read(*id)), model);
        }
    }
}

#[test]
fn of_what_was_noted_in_memory_that_which_holds_comes_to_disk() {
    let key = |key: i64| -> ArrayRef { Arc::new(Int64Array::from(vec![key])) };
    let piece = |panes: &[PaneKey], groups: &[(PaneKey, i64)], of: &[(PaneKey, i64, i64)]| {
        let mut writer = StateWriter::new();
        writer.put_gone_panes(panes.iter().copied()).unwrap();
        groups.iter().for_each(|(pane, gone)| writer.put_gone_groups(*pane, &[key(*gone)], 1, GROUPS).unwrap());
        writer.into_entries().into_iter().chain(entries(of)).collect::<StateEntries>()
    };
    let pieces = vec![
        piece(&[], &[], &[((0, 1), 7, 10), ((0, 1), 8, 20), ((0, 2), 7, 30), ((5, 5), 7, 40)]),
        piece(&[(5, 5)], &[((0, 1), 7), ((0, 2), 8)], &[((0, 1), 7, 11), ((5, 5), 8, 41)]),
        piece(&[(0, 2)], &[((0, 1), 8)], &[]),
    ];
    let snapshot = TaskSnapshot {
        watermark: EventTime::MIN,
        entries: StateEntries::new(),
        pieces: Some(Pieces::Kept(Arc::new(pieces))),
        positions: Vec::new(),
        counts: TaskCounts::default(),
        ended: false,
    };
    let from = JobSnapshot::new([(TaskId { node: NODE.to_owned(), subtask: 0 }, snapshot)].into());
    let expected = Sums::from([(((0, 1), 7), 11), (((5, 5), 8), 41)]);
    assert_eq!(in_memory(&from), expected);
    let place = Place::new();
    assert_eq!(Node::new(&place.scratch(), 2, Some(&from)).read(&[(0, 1), (0, 2), (5, 5)]), expected);
}

fn many(pane: PaneKey, keys: Range<i64>) -> Vec<(PaneKey, i64, i64)> {
    keys.map(|key| (pane, key, 1)).collect()
}

#[test]
fn a_checkpoint_writes_what_is_new_and_forgets_what_is_gone() {
    let place = Place::new();
    let mut node = Node::new(&place.scratch(), 1, None);
    node.0[0].evict(entries(&many((0, 0), 0..20_000)), NOW).unwrap();
    let all = place.write(1, &mut node);
    node.0[0].evict(entries(&many((1, 1), 0..100)), NOW).unwrap();
    let some = place.write(2, &mut node);
    assert!(some * 20 < all, "{some} of {all}");
    node.0[0].remove(&[(0, 0)]).unwrap();
    let gone = place.write(3, &mut node);
    assert!(gone * 20 < all, "{gone} of {all}");
    assert_eq!(in_memory(&place.read(2)).len(), 20_100);
    assert_eq!(in_memory(&place.read(3)).len(), 100);
    assert_eq!(node.0[0].counts().keys, 100);
}

#[test]
fn a_chain_is_begun_anew_so_that_closed_windows_leave_the_store() {
    let place = Place::new();
    let mut node = Node::new(&place.scratch(), 1, None);
    let mut largest = 0;
    for id in 1..=60 {
        node.0[0].evict(entries(&many((id, id), 0..20_000)), NOW).unwrap();
        node.0[0].remove(&[(id - 1, id - 1)]).unwrap();
        place.write(id as u64, &mut node);
        largest = largest.max(place.store.manifest(id as u64).unwrap().tasks[0].pieces.iter().map(|piece| piece.bytes).sum());
    }
    assert!(largest < 16 << 20, "{largest} bytes for one window of 20,000 keys");
    assert_eq!(in_memory(&place.read(60)).len(), 20_000);
    assert_eq!(node.0[0].counts().keys, 20_000);
}

#[test]
fn what_is_large_is_read_in_parts_that_are_small() {
    let place = Place::new();
    let scratch = Scratch::open(&place.scratch(), 0).unwrap();
    for (part_bytes, least) in [(usize::MAX, 1), (200_000, 6), (4_000, 200)] {
        let mut panes = DiskPanes::new(&scratch, &[NAME], part_bytes, false).unwrap();
        panes.add(entries(&many((0, 0), 0..20_000))).unwrap();
        let parts = panes.parts(&[(0, 0)]);
        assert!(parts.len() >= least, "{} parts", parts.len());
        let (mut all, mut largest) = (0, 0);
        for part in &parts {
            let mut count = 0;
            let mut take = |_: &str, rows: StateRows| {
                count += rows.records.num_rows();
                Ok(())
            };
            panes.read(&[(0, 0)], part, &mut take).unwrap();
            all += count;
            largest = largest.max(count);
        }
        assert_eq!(all, 20_000);
        assert!(largest <= 2 * 20_000 / parts.len() || parts.len() == 1, "{largest} rows in one of {} parts", parts.len());
    }
}

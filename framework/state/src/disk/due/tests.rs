//! Instants by key over a disk, which go when event time has passed them, against a model that has them all in memory: what comes back and
//! what is dropped, among evictions, barriers, crashes and restores at another parallelism.

use std::collections::BTreeMap;
use std::path::Path;

use arrow::array::ArrayRef;
use arrow::datatypes::{DataType, Field, Schema};
use millstream_api::key_group::{key_groups, owned_groups, owner};
use millstream_api::plan::Spills;
use millstream_api::state::{ColdState, StateReader, StateWriter};
use millstream_api::time::ClockTime;
use proptest::prelude::*;

use super::*;
use crate::disk::OnDisk;
use crate::pieces::Pieces;
use crate::snapshot::{JobSnapshot, TaskCounts, TaskId, TaskSnapshot};

const GROUPS: u16 = 8;
const NODE: &str = "sessions";
/// So long behind its instant a row goes.
const AFTER: i64 = 3;
const NOW: ClockTime = ClockTime(0);

/// What an operator does: instants of keys that are in memory.
#[derive(Default)]
struct Instants(BTreeMap<i64, Vec<i64>>);

fn columns(rows: &[(i64, i64)]) -> [ArrayRef; 2] {
    let column = |of: fn(&(i64, i64)) -> i64| -> ArrayRef { Arc::new(rows.iter().map(|row| Some(of(row))).collect::<Int64Array>()) };
    [column(|row| row.0), column(|row| row.1)]
}

impl Instants {
    fn add(&mut self, rows: &[(i64, i64)]) {
        rows.iter().for_each(|&(key, at)| self.0.entry(key).or_default().push(at));
    }

    fn restore(&mut self, state: &StateReader) {
        for batch in state.get("at") {
            let [keys, at] = [0, 1].map(|column| batch.column(column).as_primitive::<Int64Type>().values().to_vec());
            self.add(&keys.into_iter().zip(at).collect::<Vec<_>>());
        }
    }

    /// Those that go, with their keys.
    fn take_past(&mut self, until: i64) -> Vec<(i64, i64)> {
        let mut past = Vec::new();
        for (key, all) in &mut self.0 {
            past.extend(all.iter().filter(|at| **at + AFTER <= until).map(|at| (*key, *at)));
            all.retain(|at| at + AFTER > until);
        }
        self.0.retain(|_, all| !all.is_empty());
        past
    }

    fn count(&self) -> u64 {
        self.0.values().map(|all| all.len() as u64).sum()
    }

    fn all(&self) -> Vec<(i64, i64)> {
        sorted(self.0.iter().flat_map(|(key, all)| all.iter().map(|at| (*key, *at))).collect())
    }

    fn snapshot(&self) -> StateEntries {
        let rows = self.all();
        let columns = columns(&rows);
        let groups = key_groups(&columns[..1], rows.len(), GROUPS).unwrap();
        let schema = Schema::new(["k0", "at"].map(|name| Field::new(name, DataType::Int64, false)).to_vec());
        let mut writer = StateWriter::new();
        writer.put_keyed("at", &groups, &RecordBatch::try_new(Arc::new(schema), columns.to_vec()).unwrap()).unwrap();
        writer.into_entries()
    }
}

/// Some subtasks of one node on one disk.
struct Node {
    then: Then,
    subtasks: Vec<(Instants, DiskState)>,
    /// How many rows are on disk, as the operator of each subtask knows.
    on_disk: Vec<u64>,
    /// What has gone.
    past: Vec<(i64, i64)>,
    dropped: u64,
}

impl Node {
    fn new(folder: &Path, then: Then, parallelism: usize, from: Option<&JobSnapshot>) -> Node {
        let scratch = Scratch::open(folder, 0).unwrap();
        let spills = Spills::due(&["at"], Due { column: "at", after_micros: [AFTER, 0], then });
        let subtask = |index: usize| {
            // As little comes back at once as can be.
            let mut disk = DiskState::new(&scratch, &spills, GROUPS, 1, true).unwrap();
            let groups = owned_groups(index, parallelism, GROUPS);
            let told = from.map(|from| told(&disk.load(from, NODE, &groups, NOW).unwrap()).map_or(0, |(_, rows)| rows));
            ((Instants::default(), disk), told.unwrap_or_default())
        };
        let (subtasks, on_disk) = (0..parallelism).map(subtask).unzip();
        Node { then, subtasks, on_disk, past: Vec::new(), dropped: 0 }
    }

    fn take(&mut self, rows: &[(i64, i64)]) {
        let groups = key_groups(&columns(rows)[..1], rows.len(), GROUPS).unwrap();
        let parallelism = self.subtasks.len();
        for (index, (instants, disk)) in self.subtasks.iter_mut().enumerate() {
            let before = instants.count();
            let own = rows.iter().zip(&groups).filter(|(_, group)| owner(**group, parallelism, GROUPS) == index);
            let own: Vec<(i64, i64)> = own.map(|(row, _)| *row).collect();
            if let Some(state) = disk.fetch(&columns(&own)[..1], own.len()).unwrap() {
                instants.restore(&state);
                self.on_disk[index] -= instants.count() - before;
            }
            instants.add(&own);
        }
    }

    fn watermark(&mut self, until: i64, evicts: bool) {
        for ((instants, disk), on_disk) in self.subtasks.iter_mut().zip(&mut self.on_disk) {
            self.past.extend(instants.take_past(until));
            loop {
                let due = disk.fetch_due(EventTime(until)).unwrap();
                self.dropped += due.dropped_rows;
                *on_disk -= due.dropped_rows;
                let Some(state) = due.back else {
                    assert!(due.next.is_none_or(|next| next.0 > until));
                    break;
                };
                let before = instants.count();
                instants.restore(&state);
                *on_disk -= instants.count() - before;
                let past = instants.take_past(until);
                assert!(!past.is_empty(), "what comes back is due");
                self.past.extend(past);
                if evicts {
                    *on_disk += instants.count();
                    disk.evict(std::mem::take(instants).snapshot(), NOW).unwrap();
                }
            }
        }
    }

    fn evict(&mut self) {
        for ((instants, disk), on_disk) in self.subtasks.iter_mut().zip(&mut self.on_disk) {
            *on_disk += instants.count();
            disk.evict(std::mem::take(instants).snapshot(), NOW).unwrap();
        }
    }

    fn snapshot(&mut self) -> JobSnapshot {
        let parts = self.subtasks.iter_mut().enumerate().map(|(subtask, (instants, disk))| {
            let (entries, pieces) = disk.snapshot(instants.snapshot(), NOW).unwrap();
            let (watermark, counts) = (EventTime::MIN, TaskCounts::default());
            let pieces = Some(Pieces::OnDisk(Arc::new(pieces)));
            let snapshot = TaskSnapshot { watermark, entries, pieces, positions: Vec::new(), counts, ended: false };
            (TaskId { node: NODE.to_owned(), subtask }, snapshot)
        });
        JobSnapshot::new(parts.collect())
    }

    /// All that a checkpoint has, without what is past and on disk until the last of its key is.
    fn all(&mut self, until: i64) -> Vec<(i64, i64)> {
        let mut all = Instants::default();
        all.restore(&self.snapshot().state(NODE, &(0..GROUPS)).unwrap());
        assert!(all.take_past(until).is_empty() || self.then == Then::IsDropped);
        all.all()
    }
}

/// What is told at the start: when the first is due, and how many rows there are.
fn told(state: &StateReader) -> Option<(i64, u64)> {
    let number = |records: &RecordBatch, column: usize| records.column(column).as_primitive::<Int64Type>().value(0);
    state.get(KEYS_ON_DISK).map(|records| (number(records, 0), number(records, 2).unsigned_abs())).next()
}

/// The rows of keys that are on disk and not in memory.
fn rows_on_disk(disk: &DiskState) -> u64 {
    let entries = disk.index.as_ref().unwrap().up_to(i64::MAX, &disk.scratch).map(Result::unwrap);
    entries.filter(|(entry, _)| disk.is_on_disk_only(entry)).map(|(_, rows)| rows).sum()
}

fn sorted(mut rows: Vec<(i64, i64)>) -> Vec<(i64, i64)> {
    rows.sort_unstable();
    rows
}

#[derive(Clone, Debug)]
enum Step {
    Rows(Vec<(i64, i64)>),
    Watermark(i64, bool),
    Evict,
    Barrier,
    /// At this parallelism.
    Crash(usize),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => prop::collection::vec((0..12i64, 0..20i64), 1..12).prop_map(Step::Rows),
        3 => (0..8i64, any::<bool>()).prop_map(|(by, evicts)| Step::Watermark(by, evicts)),
        2 => Just(Step::Evict),
        2 => Just(Step::Barrier),
        1 => (1..4usize).prop_map(Step::Crash),
    ]
}

fn check(then: Then, steps: &[Step]) {
    let folder = tempfile::tempdir().unwrap();
    let mut node = Node::new(&folder.path().join("0"), then, 2, None);
    let (mut model, mut past, mut until, mut runs) = (Instants::default(), Vec::new(), 0, 0);
    for step in steps {
        let on_disk: Vec<u64> = node.subtasks.iter().map(|(_, disk)| rows_on_disk(disk)).collect();
        assert_eq!(node.on_disk, on_disk);
        match step {
            Step::Rows(rows) => {
                // None is past when it comes.
                let rows: Vec<(i64, i64)> = rows.iter().map(|(key, ahead)| (*key, until + ahead)).collect();
                model.add(&rows);
                node.take(&rows);
            }
            Step::Watermark(by, evicts) => {
                until += by;
                past.extend(model.take_past(until));
                node.watermark(until, *evicts);
            }
            Step::Evict => node.evict(),
            Step::Barrier => assert_eq!(node.all(until), model.all()),
            Step::Crash(parallelism) => {
                let snapshot = node.snapshot();
                let (past, dropped) = (std::mem::take(&mut node.past), node.dropped);
                runs += 1;
                node = Node { past, dropped, ..Node::new(&folder.path().join(runs.to_string()), then, *parallelism, Some(&snapshot)) };
                node.watermark(until, false);
            }
        }
    }
    assert_eq!(node.all(until), model.all());
    node.watermark(i64::MAX, true);
    past.extend(model.take_past(i64::MAX));
    node.evict();
    assert_eq!(node.subtasks.iter().map(|(_, disk)| disk.counts().keys).sum::<u64>(), 0);
    match then {
        Then::ComesBack => assert_eq!((sorted(node.past), node.dropped), (sorted(past), 0)),
        // What is past is on disk until the last of its key is; so after a crash it may go once more.
        Then::IsDropped if steps.iter().any(|step| matches!(step, Step::Crash(_))) => {
            assert!(node.past.len() as u64 + node.dropped >= past.len() as u64);
        }
        Then::IsDropped => assert_eq!(node.past.len() as u64 + node.dropped, past.len() as u64),
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn what_is_due_comes_back_once(steps in prop::collection::vec(step(), 1..30)) {
        check(Then::ComesBack, &steps);
    }

    #[test]
    fn what_is_past_is_dropped(steps in prop::collection::vec(step(), 1..30)) {
        check(Then::IsDropped, &steps);
    }
}

#[test]
fn what_is_on_disk_is_told_at_the_start() {
    let folder = tempfile::tempdir().unwrap();
    let mut node = Node::new(&folder.path().join("before"), Then::ComesBack, 1, None);
    node.take(&[(1, 50), (2, 10), (2, 70)]);
    node.evict();
    let snapshot = node.snapshot();
    let scratch = Scratch::open(&folder.path().join("after"), 0).unwrap();
    let spills = Spills::due(&["at"], Due { column: "at", after_micros: [AFTER, 0], then: Then::ComesBack });
    let mut disk = DiskState::new(&scratch, &spills, GROUPS, 1, true).unwrap();
    assert_eq!(told(&disk.load(&snapshot, NODE, &(0..GROUPS), NOW).unwrap()), Some((10 + AFTER, 3)));
    assert_eq!(disk.fetch_due(EventTime(12)).unwrap().next, Some(EventTime(13)));
}

#[test]
fn at_the_end_all_goes_without_marks() {
    let folder = tempfile::tempdir().unwrap();
    let mut node = Node::new(folder.path(), Then::IsDropped, 1, None);
    let rows: Vec<(i64, i64)> = (0..20_000).map(|key| (key, key % 7)).collect();
    node.take(&rows);
    node.evict();
    let bytes = |node: &Node| node.subtasks[0].1.disk_bytes();
    assert!(bytes(&node) > 0);
    node.watermark(i64::MAX, false);
    assert_eq!((node.dropped, node.on_disk[0], node.subtasks[0].1.counts().keys), (20_000, 0, 0));
    assert_eq!(bytes(&node), 0, "nothing of them is left, and nothing says that they are gone");
}

//! Sums by key over a disk, of which those that have changed are said at ticks, against a model that has them all in memory: among
//! evictions, barriers, and crashes.

use std::collections::BTreeMap;
use std::path::Path;

use arrow::array::{ArrayRef, AsArray, Int64Array, RecordBatch};
use arrow::datatypes::{DataType, Field, Int64Type, Schema};
use millstream_api::EventTime;
use millstream_api::key_group::key_groups;
use millstream_api::plan::Spills;
use millstream_api::state::{ColdState, StateEntries, StateWriter};
use millstream_api::time::ClockTime;
use proptest::prelude::*;

use super::*;
use crate::disk::OnDisk;
use crate::pieces::Pieces;
use crate::snapshot::{JobSnapshot, TaskCounts, TaskId, TaskSnapshot};

const GROUPS: u16 = 8;
const NODE: &str = "sums";
const NOW: ClockTime = ClockTime(0);

/// The sum of each key, and the one that was said last.
type Sums = BTreeMap<i64, (i64, i64)>;

fn column(values: impl Iterator<Item = i64>) -> ArrayRef {
    Arc::new(Int64Array::from_iter_values(values))
}

fn entries(sums: &Sums) -> StateEntries {
    let columns = [column(sums.keys().copied()), column(sums.values().map(|(sum, _)| *sum)), column(sums.values().map(|(_, said)| *said))];
    let groups = key_groups(&columns[..1], sums.len(), GROUPS).unwrap();
    let schema = Schema::new(["k0", "sum", "said"].map(|name| Field::new(name, DataType::Int64, false)).to_vec());
    let mut writer = StateWriter::new();
    writer.put_keyed("sums", &groups, &RecordBatch::try_new(Arc::new(schema), columns.to_vec()).unwrap()).unwrap();
    writer.into_entries()
}

fn restore(sums: &mut Sums, state: &StateReader) {
    for records in state.get("sums") {
        let [keys, sum, said] = [0, 1, 2].map(|column| records.column(column).as_primitive::<Int64Type>().values());
        sums.extend(keys.iter().zip(sum.iter().zip(said)).map(|(key, (sum, said))| (*key, (*sum, *said))));
    }
}

/// Says what has changed.
fn said(sums: &mut Sums) -> BTreeMap<i64, i64> {
    let changed = sums.iter_mut().filter(|(_, (sum, said))| sum != said);
    let say = |(key, (sum, said)): (&i64, &mut (i64, i64))| {
        *said = *sum;
        (*key, *sum)
    };
    changed.map(say).collect()
}

struct Node {
    sums: Sums,
    disk: DiskState,
}

impl Node {
    fn new(folder: &Path, from: Option<&JobSnapshot>) -> Node {
        let spills = Spills { at_ticks: true, ..Spills::keys(&["sums"], None) };
        // As little comes back at once as can be.
        let mut disk = DiskState::new(&Scratch::open(folder, 0).unwrap(), &spills, GROUPS, 1, true).unwrap();
        from.iter().for_each(|from| drop(disk.load(from, NODE, &(0..GROUPS), NOW).unwrap()));
        Node { sums: Sums::new(), disk }
    }

    fn take(&mut self, rows: &[(i64, i64)]) {
        let keys = column(rows.iter().map(|(key, _)| *key));
        if let Some(state) = self.disk.fetch(&[keys], rows.len()).unwrap() {
            restore(&mut self.sums, &state);
        }
        rows.iter().for_each(|(key, value)| self.sums.entry(*key).or_default().0 += value);
    }

    fn tick(&mut self, evicts: bool) -> BTreeMap<i64, i64> {
        let mut all = said(&mut self.sums);
        while let Some(state) = self.disk.fetch_touched().unwrap() {
            restore(&mut self.sums, &state);
            for (key, sum) in said(&mut self.sums) {
                assert_eq!(all.insert(key, sum), None, "said once");
            }
            if evicts {
                self.evict();
            }
        }
        all
    }

    fn evict(&mut self) {
        self.disk.evict(entries(&std::mem::take(&mut self.sums)), NOW).unwrap();
    }

    fn snapshot(&mut self) -> JobSnapshot {
        let (entries, pieces) = self.disk.snapshot(entries(&self.sums), NOW).unwrap();
        let (watermark, counts) = (EventTime::MIN, TaskCounts::default());
        let pieces = Some(Pieces::OnDisk(Arc::new(pieces)));
        let snapshot = TaskSnapshot { watermark, entries, pieces, positions: Vec::new(), counts, ended: false };
        JobSnapshot::new(BTreeMap::from([(TaskId { node: NODE.to_owned(), subtask: 0 }, snapshot)]))
    }
}

#[derive(Clone, Debug)]
enum Step {
    Rows(Vec<(i64, i64)>),
    /// Whether keys leave memory between its pieces.
    Tick(bool),
    Evict,
    Barrier,
    Crash,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => prop::collection::vec((0..12i64, -2..3i64), 1..8).prop_map(Step::Rows),
        3 => any::<bool>().prop_map(Step::Tick),
        3 => Just(Step::Evict),
        1 => Just(Step::Barrier),
        1 => Just(Step::Crash),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn what_has_changed_is_said_once(steps in prop::collection::vec(step(), 1..40)) {
        let folder = tempfile::tempdir().unwrap();
        let mut node = Node::new(&folder.path().join("0"), None);
        let (mut model, mut runs) = (Sums::new(), 0);
        for step in &steps {
            match step {
                Step::Rows(rows) => {
                    rows.iter().for_each(|(key, value)| model.entry(*key).or_default().0 += value);
                    node.take(rows);
                }
                Step::Tick(evicts) => prop_assert_eq!(node.tick(*evicts), said(&mut model)),
                Step::Evict => node.evict(),
                Step::Barrier => {
                    let mut all = Sums::new();
                    restore(&mut all, &node.snapshot().state(NODE, &(0..GROUPS)).unwrap());
                    prop_assert_eq!(&all, &model);
                }
                Step::Crash => {
                    let snapshot = node.snapshot();
                    runs += 1;
                    node = Node::new(&folder.path().join(runs.to_string()), Some(&snapshot));
                }
            }
        }
        prop_assert_eq!(node.tick(false), said(&mut model));
        prop_assert_eq!(node.tick(false), BTreeMap::new());
    }
}

//! Drives subtasks of a join the way the runtime does: routed by key group, resumed while there is more to say, crashed and
//! restored at another parallelism.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use arrow::array::{Int8Array, Int64Array, RecordBatch, UInt32Array};
use millstream_api::batch::{Hidden, Origin};
use millstream_api::key_group::{key_groups, owned_groups, owner};
use millstream_api::operator::Fates;
use millstream_api::options::OnBadRow;
use millstream_api::plan::{Columns, Inputs, Make, OperatorContext, Plan, Route, Shape};
use millstream_api::registry::{NodeOptions, read};
use millstream_api::state::{StateEntries, StateReader, StateWriter};
use millstream_api::time::ClockTime;
use millstream_api::{Batch, Diagnostics, EventTime, Operator, Output, Progress, Stream};
use serde_json::Value;

use crate::encode::json::row_text;
use crate::join::JoinOptions;
use crate::testing::Checkpointed;
use crate::testing::cold::ColdKeys;

const KEY_GROUPS: u16 = 16;

/// A row of either side as the models see it.
#[derive(Clone, Debug)]
pub(super) struct Row {
    pub(super) side: usize,
    pub(super) key: Option<i64>,
    pub(super) value: i64,
    pub(super) time: i64,
    pub(super) mark: i64,
    pub(super) weight: i8,
}

/// The split that a row comes from, where that matters.
pub(super) fn split(row: &Row) -> u32 {
    (row.value % 2) as u32
}

/// Plans a join of these two streams, called `orders` and `users`.
pub(super) fn plan(options: Value, streams: [Stream; 2]) -> Result<Plan, Diagnostics> {
    let [left, right] = streams;
    let streams = vec![("orders".into(), left), ("users".into(), right)];
    let inputs = Inputs { name: "node", streams, on_bad_row: OnBadRow::Fail, folder: PathBuf::from(".") };
    read::<JoinOptions>(options)?.plan(&inputs)
}

/// All subtasks of a join.
pub(super) struct Harness {
    plan: Plan,
    streams: [Stream; 2],
    /// The columns of each side that flow.
    flowing: [Vec<usize>; 2],
    subtasks: Vec<(Box<dyn Operator>, Output)>,
    /// What checkpoints have of each, where it notes what changes.
    checkpointed: Vec<Option<Checkpointed>>,
    /// Where keys are that have left memory, of each subtask: all of them do after each call.
    cold: Vec<Option<Arc<Mutex<ColdKeys>>>>,
    /// Whether they do, and whether they do in this run.
    may_spill: bool,
    spills: bool,
    watermark: EventTime,
    now: ClockTime,
    /// What has been promised to those who read the result.
    promised: EventTime,
    /// Rows that have come, by side.
    came: [i64; 2],
    sent: Vec<(usize, Batch)>,
    pub(super) fates: Fates,
}

impl Harness {
    pub(super) fn new(options: Value, streams: [Stream; 2], parallelism: usize) -> Harness {
        let plan = plan(options, streams.clone()).unwrap();
        let mut harness = Harness {
            plan,
            streams,
            flowing: [Vec::new(), Vec::new()],
            subtasks: Vec::new(),
            checkpointed: Vec::new(),
            cold: Vec::new(),
            may_spill: false,
            spills: false,
            watermark: EventTime::MIN,
            now: ClockTime(0),
            promised: EventTime::MIN,
            came: [0; 2],
            sent: Vec::new(),
            fates: Fates::default(),
        };
        harness.start(parallelism, &StateEntries::new());
        harness
    }

    /// From here on keys leave memory, if they may.
    pub(super) fn spill(&mut self) {
        self.may_spill = self.plan.spills.is_some();
        self.spills = self.may_spill;
        self.start(self.subtasks.len(), &StateEntries::new());
    }

    fn start(&mut self, parallelism: usize, entries: &StateEntries) {
        let Make::Operator(factory) = &self.plan.make else { panic!("not an operator") };
        let all: Vec<Columns> = self.plan.outputs.iter().map(|output| crate::columns::names(&output.stream.schema)).collect();
        let shape = |schema| Shape { schema, explicit_windows: false, judge: false, origin: false, read: true };
        let required = factory.required(&all);
        for (side, names) in required.iter().enumerate() {
            let schema = &self.streams[side].schema;
            self.flowing[side] = (0..schema.fields().len()).filter(|&i| names.contains(schema.field(i).name())).collect();
        }
        let inputs: Vec<Shape> = self
            .streams
            .iter()
            .zip(&self.flowing)
            .map(|(stream, places)| shape(Arc::new(stream.schema.project(places).unwrap())))
            .collect();
        let outputs: Vec<Shape> = self.plan.outputs.iter().map(|output| shape(output.stream.schema.clone())).collect();
        (self.subtasks, self.cold) = (0..parallelism)
            .map(|subtask| {
                let context = OperatorContext {
                    node: "node".into(),
                    subtask,
                    parallelism,
                    key_groups: KEY_GROUPS,
                    batch_rows: 4,
                    on_bad_row: OnBadRow::Fail,
                    inputs: inputs.clone(),
                    outputs: outputs.clone(),
                };
                let mut operator = factory.make(&context).unwrap();
                let reader = StateReader::new(entries.clone(), &owned_groups(subtask, parallelism, KEY_GROUPS)).unwrap();
                let mut own = reader.entries().clone();
                let cold = self.spills.then(|| ColdKeys::loaded(&self.plan, &mut own));
                operator.restore(&StateReader::new(own, &(0..KEY_GROUPS)).unwrap()).unwrap();
                let mut out = Output::new(3);
                out.set_times(self.now, self.watermark);
                cold.iter().for_each(|cold| out.set_cold_state(cold.clone()));
                ((operator, out), cold)
            })
            .unzip();
        let noted = |(operator, _): &mut (Box<dyn Operator>, Output)| Checkpointed::begin(operator.as_mut(), &self.plan);
        self.checkpointed = self.subtasks.iter_mut().map(|subtask| if self.spills { None } else { noted(subtask) }).collect();
    }

    /// Whether all subtasks note what changes.
    pub(super) fn notes(&self) -> bool {
        self.checkpointed.iter().all(Option::is_some)
    }

    /// One more checkpoint: how much of state that is noted was written, as [`Checkpointed::written`] counts it.
    pub(super) fn checkpoint(&mut self) -> (usize, usize) {
        let mut written = (0, 0);
        for ((operator, _), checkpointed) in self.subtasks.iter_mut().zip(&mut self.checkpointed) {
            let checkpointed = checkpointed.as_mut().unwrap();
            checkpointed.take(operator.as_mut());
            let (gone, rows) = checkpointed.written();
            written = (written.0 + gone, written.1 + rows);
        }
        written
    }

    /// Takes a snapshot of all subtasks, lets them go and starts others from it.
    pub(super) fn restart(&mut self, parallelism: usize) {
        let mut entries = StateEntries::new();
        for cold in self.cold.iter().flatten() {
            cold.lock().unwrap().entries().into_iter().for_each(|(name, rows)| entries.entry(name).or_default().extend(rows));
        }
        for ((operator, _), checkpointed) in self.subtasks.iter_mut().zip(&mut self.checkpointed) {
            let mut writer = StateWriter::new();
            let written = match checkpointed {
                Some(checkpointed) => checkpointed.take(operator.as_mut()),
                None => operator.snapshot(&mut writer).map(|()| writer.into_entries()).unwrap(),
            };
            written.into_iter().for_each(|(name, rows)| entries.entry(name).or_default().extend(rows));
        }
        let in_state = self.rows_in_state();
        // Back in memory, or to disk again.
        self.spills = self.may_spill && parallelism != 2;
        self.start(parallelism, &entries);
        // On disk there may be rows that are past.
        assert!(self.rows_in_state() == in_state || self.may_spill);
    }

    /// The same, and the topology has changed in between.
    pub(super) fn replan(&mut self, options: Value, streams: [Stream; 2], parallelism: usize) {
        self.plan = plan(options, streams.clone()).unwrap();
        self.streams = streams;
        self.restart(parallelism);
    }

    /// Hands over rows of one side as one batch, cut up by key.
    pub(super) fn rows(&mut self, rows: &[Row]) {
        let side = rows[0].side;
        let stream = &self.streams[side];
        let keys = Int64Array::from(rows.iter().map(|row| row.key).collect::<Vec<_>>());
        let values = Int64Array::from(rows.iter().map(|row| row.value).collect::<Vec<_>>());
        let records = RecordBatch::try_new(stream.schema.clone(), vec![Arc::new(keys), Arc::new(values)]).unwrap();
        let numbers = |of: fn(&Row) -> i64| Int64Array::from(rows.iter().map(of).collect::<Vec<_>>());
        let first = self.came[side];
        self.came[side] += rows.len() as i64;
        let origin = || Origin {
            split: rows.iter().map(split).collect::<Vec<_>>().into(),
            position: Int64Array::from_iter_values(first..self.came[side]),
        };
        let hidden = Hidden {
            origin: self.plan.inputs[side].origin.then(origin),
            times: stream.event_time.then(|| numbers(|row| row.time)),
            marks: stream.event_time.then(|| numbers(|row| row.mark)),
            weights: stream.updating.then(|| Int8Array::from(rows.iter().map(|row| row.weight).collect::<Vec<_>>())),
            ..Hidden::default()
        };
        let parallelism = self.subtasks.len();
        let groups = match &self.plan.inputs[side].route {
            Route::Key(key) => key_groups(&key.bind(&records.schema()).unwrap()(&records).unwrap(), rows.len(), KEY_GROUPS).unwrap(),
            _ => vec![0; rows.len()],
        };
        let batch = Batch::new(records, hidden).unwrap().project(&self.flowing[side]).unwrap();
        for subtask in 0..parallelism {
            let own = (0..rows.len() as u32).filter(|&row| owner(groups[row as usize], parallelism, KEY_GROUPS) == subtask);
            let own = UInt32Array::from_iter_values(own);
            if !own.is_empty() {
                let batch = batch.take(&own).unwrap();
                self.on(subtask, |operator, out| operator.on_batch(side, batch, out).unwrap());
            }
        }
        if self.came[side] % 2 == 0 {
            let subtasks = self.subtasks.iter_mut().zip(&mut self.checkpointed);
            subtasks.for_each(|((operator, _), checkpointed)| {
                checkpointed.iter_mut().for_each(|checkpointed| drop(checkpointed.take(operator.as_mut())));
            });
        }
    }

    pub(super) fn watermark(&mut self, watermark: EventTime) {
        self.watermark = watermark;
        for subtask in 0..self.subtasks.len() {
            self.subtasks[subtask].1.set_times(self.now, watermark);
            self.on(subtask, |operator, out| operator.on_watermark(watermark, out).unwrap());
        }
        self.promised = self.subtasks.iter().map(|(operator, _)| operator.outgoing_watermark(watermark)).min().unwrap();
    }

    /// Lets the wall clock go on, and fires the timers that are due then.
    pub(super) fn clock(&mut self, now: i64) {
        self.now = ClockTime(now);
        for subtask in 0..self.subtasks.len() {
            self.subtasks[subtask].1.set_times(self.now, self.watermark);
            if self.subtasks[subtask].1.take_timer().is_some_and(|at| at <= self.now) {
                self.on(subtask, |operator, out| operator.on_timer(out.now(), out).unwrap());
            }
        }
    }

    /// No more rows of this side come.
    pub(super) fn end(&mut self, side: usize) {
        (0..self.subtasks.len()).for_each(|subtask| self.on(subtask, |operator, out| operator.on_end(side, out).unwrap()));
    }

    fn on(&mut self, subtask: usize, call: impl FnOnce(&mut Box<dyn Operator>, &mut Output)) {
        let (operator, out) = &mut self.subtasks[subtask];
        call(operator, out);
        loop {
            let sent = out.take_batches();
            // What is full after 3 rows is given at most one more piece of 4.
            assert!(sent.iter().filter(|(port, _)| *port == 0).map(|(_, batch)| batch.rows()).sum::<usize>() <= 6);
            for (port, batch) in &sent {
                let planned = &self.plan.outputs[*port].stream;
                assert_eq!(batch.schema().fields(), planned.schema.fields());
                assert_eq!(batch.times().is_some(), planned.event_time);
                let times = batch.times().filter(|_| *port == 0).unwrap_or_default();
                for (row, time) in times.iter().enumerate() {
                    let marked = batch.judged_at(row, EventTime::MIN) > EventTime(*time);
                    assert!(marked || EventTime(*time) >= self.promised, "{time} is behind {}", self.promised.0);
                }
                assert!(planned.updating || batch.weights().is_none_or(|weights| !weights.contains(&-1)));
            }
            self.sent.extend(sent);
            let progress = operator.resume(out).unwrap();
            if let Some(cold) = self.cold[subtask].as_ref().filter(|_| progress == Progress::Done || operator.can_forget_keys()) {
                cold.lock().unwrap().evict(operator.as_mut());
            }
            if progress == Progress::Done {
                self.sent.extend(out.take_batches());
                break;
            }
        }
        self.fates.add(&out.take_fates());
    }

    pub(super) fn rows_in_state(&self) -> u64 {
        self.subtasks.iter().map(|(operator, _)| operator.rows_in_state()).sum()
    }

    pub(super) fn state_bytes(&self) -> usize {
        self.subtasks.iter().map(|(operator, _)| operator.state_bytes()).sum()
    }

    /// What was sent to a port with all changes applied: rows as text with their event time, and how many there are.
    pub(super) fn applied(&self, port: usize) -> BTreeMap<String, i64> {
        let mut rows: BTreeMap<String, i64> = BTreeMap::new();
        for (_, batch) in self.sent.iter().filter(|(of, _)| *of == port) {
            for row in 0..batch.rows() {
                let time = batch.times().map(|times| format!(" @{}", times[row])).unwrap_or_default();
                let text = format!("{}{time}", row_text(batch.records(), row).unwrap());
                *rows.entry(text).or_default() += batch.weights().map_or(1, |weights| i64::from(weights[row]));
            }
        }
        rows.retain(|_, count| *count != 0);
        rows
    }
}

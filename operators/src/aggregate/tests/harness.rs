//! Drives subtasks of an aggregate the way the runtime does: routed by key group, resumed while there is more to say,
//! crashed and restored at another parallelism.

use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use arrow::array::{ArrayRef, Int64Array, RecordBatch, UInt32Array, new_null_array};
use arrow::datatypes::{DataType, Field, Schema};
use millstream_api::batch::{Hidden, Origin, Windows};
use millstream_api::key_group::{key_groups, owned_groups, owner};
use millstream_api::operator::Fates;
use millstream_api::options::OnBadRow;
use millstream_api::plan::{Columns, Inputs, Make, OperatorContext, Plan, Shape};
use millstream_api::registry::{NodeOptions, read};
use millstream_api::state::{StateEntries, StateReader, StateWriter};
use millstream_api::stream::{Judge, WindowKind, Windowed};
use millstream_api::time::ClockTime;
use millstream_api::{Batch, Combiner, Diagnostics, EventTime, Operator, Output, Progress, Stream};
use serde_json::Value;

use super::on_disk::Panes;
use crate::aggregate::AggregateOptions;
use crate::encode::json::row_text;
use crate::testing::cold::ColdKeys;
use crate::testing::{Checkpointed, schema};

pub(super) const KEY_GROUPS: u16 = 16;

/// A row as the models see it.
#[derive(Clone, Debug)]
pub(super) struct Row {
    pub(super) time: i64,
    pub(super) key: Option<i64>,
    pub(super) value: Option<i64>,
    pub(super) mark: i64,
    pub(super) weight: i8,
    /// Its place in the input.
    pub(super) position: i64,
    pub(super) window: Option<(i64, i64)>,
}

/// The stream of these rows.
pub(super) fn input(windows: Option<(WindowKind, bool)>) -> Stream {
    let windowed = windows.map(|(windows, explicit)| Windowed { windows, judge: Judge::Reader, explicit });
    let columns = schema("k bigint, v bigint, id bigint not null");
    Stream { event_time: true, from_source: true, windowed, ..Stream::plain(columns) }
}

/// Plans the aggregate of these options.
pub(super) fn plan(options: Value, stream: Stream, on_bad_row: OnBadRow) -> Result<Plan, Diagnostics> {
    let inputs = Inputs { name: "node", streams: vec![("input".into(), stream)], on_bad_row, folder: PathBuf::from(".") };
    read::<AggregateOptions>(options)?.plan(&inputs)
}

/// All subtasks of an aggregate.
pub(super) struct Harness {
    plan: Plan,
    stream: Stream,
    on_bad_row: OnBadRow,
    subtasks: Vec<(Box<dyn Operator>, Output)>,
    /// What checkpoints have of each, where it notes what changes.
    checkpointed: Vec<Option<Checkpointed>>,
    /// Where panes are that have left memory, of each subtask: all of them do now and then.
    cold: Vec<Option<Arc<Mutex<Panes>>>>,
    /// The same of keys.
    cold_keys: Vec<Option<Arc<Mutex<ColdKeys>>>>,
    /// Whether they do, and whether they do in this run.
    may_spill: bool,
    spills: bool,
    /// How often subtasks were called.
    calls: usize,
    /// Whether rows are put together before they are routed, and what does so.
    combines: bool,
    combiner: Option<Box<dyn Combiner>>,
    watermark: EventTime,
    pub(super) sent: Vec<(usize, Batch)>,
    pub(super) fates: Fates,
}

impl Harness {
    pub(super) fn new(options: Value, stream: Stream, on_bad_row: OnBadRow, parallelism: usize) -> Harness {
        let plan = plan(options, stream.clone(), on_bad_row).unwrap();
        let mut harness = Harness {
            plan,
            stream,
            on_bad_row,
            subtasks: Vec::new(),
            checkpointed: Vec::new(),
            cold: Vec::new(),
            cold_keys: Vec::new(),
            may_spill: false,
            spills: false,
            calls: 0,
            combines: false,
            combiner: None,
            watermark: EventTime::MIN,
            sent: Vec::new(),
            fates: Fates::default(),
        };
        harness.start(parallelism, StateEntries::new());
        harness
    }

    /// From here on rows are put together before they are routed.
    pub(super) fn combine(&mut self) {
        self.combines = true;
        self.start(self.subtasks.len(), StateEntries::new());
    }

    /// From here on panes or keys leave memory after every other call.
    pub(super) fn spill(&mut self) {
        (self.may_spill, self.spills) = (true, true);
        self.start(self.subtasks.len(), StateEntries::new());
    }

    fn start(&mut self, parallelism: usize, entries: StateEntries) {
        let Make::Operator(factory) = &self.plan.make else { panic!("not an operator") };
        let shape = |stream: &Stream, schema: Arc<Schema>| Shape {
            schema,
            explicit_windows: stream.windowed.as_ref().is_some_and(|w| w.explicit),
            judge: false,
            origin: self.plan.inputs[0].origin,
            read: true,
        };
        let outputs: Vec<Shape> = self.plan.outputs.iter().map(|o| shape(&o.stream, o.stream.schema.clone())).collect();
        let needed: Vec<Columns> = outputs.iter().map(|o| crate::columns::names(&o.schema)).collect();
        let required = factory.required(&needed).remove(0);
        let fields = self.stream.schema.fields().iter().filter(|field| required.contains(field.name())).cloned();
        let physical = Arc::new(Schema::new(fields.collect::<Vec<_>>()));
        let context = |subtask| OperatorContext {
            node: "node".into(),
            subtask,
            parallelism,
            key_groups: KEY_GROUPS,
            batch_rows: 2,
            on_bad_row: self.on_bad_row,
            inputs: vec![shape(&self.stream, physical.clone())],
            outputs: outputs.clone(),
        };
        self.combiner = self.combines.then(|| factory.combiner(0, &context(0)).unwrap().unwrap());
        self.cold_keys.clear();
        (self.subtasks, self.cold) = (0..parallelism)
            .map(|subtask| {
                let mut operator = factory.make(&context(subtask)).unwrap();
                let mut out = Output::new(3);
                let reader = StateReader::new(entries.clone(), &owned_groups(subtask, parallelism, KEY_GROUPS)).unwrap();
                let mut own = reader.entries().clone();
                let cold = (self.spills && !self.plan.spills_panes.is_empty()).then(|| Panes::loaded(&self.plan, &mut own));
                cold.iter().for_each(|cold| out.set_cold_panes(cold.clone()));
                let cold_keys = (self.spills && self.plan.spills.is_some()).then(|| ColdKeys::loaded(&self.plan, &mut own));
                cold_keys.iter().for_each(|cold| out.set_cold_state(cold.clone()));
                self.cold_keys.push(cold_keys);
                operator.restore(&StateReader::new(own, &(0..KEY_GROUPS)).unwrap()).unwrap();
                ((operator, out), cold)
            })
            .unzip();
        // Of what leaves memory the store knows what changes.
        let (plan, notes) = (&self.plan, !self.spills);
        let begin = |operator: &mut Box<dyn Operator>| if notes { Checkpointed::begin(operator.as_mut(), plan) } else { None };
        self.checkpointed = self.subtasks.iter_mut().map(|(operator, _)| begin(operator)).collect();
        self.stream.schema = physical;
    }

    /// Hands over one batch, routed by its key `k`.
    pub(super) fn batch(&mut self, rows: &[Row]) {
        let batch = to_batch(rows, &self.stream);
        let rest = match &mut self.combiner {
            Some(combiner) => combiner.add(batch, self.watermark).unwrap(),
            None => Some(batch),
        };
        if let Some(rest) = rest.filter(|rest| rest.rows() > 0) {
            let key = rest.records().column_by_name("k").cloned();
            let key = key.unwrap_or_else(|| new_null_array(&DataType::Int64, rest.rows()));
            self.route(&rest, &[key]);
        }
        if rows.len().is_multiple_of(2) {
            let subtasks = self.subtasks.iter_mut().zip(&mut self.checkpointed);
            subtasks.for_each(|((operator, _), checkpointed)| {
                checkpointed.iter_mut().for_each(|checkpointed| drop(checkpointed.take(operator.as_mut())));
            });
        }
    }

    /// Hands over what the combiner holds.
    fn send_combined(&mut self) {
        let Some(combiner) = &mut self.combiner else { return };
        if let Some(partial) = combiner.take().unwrap() {
            let keys = combiner.keys(&partial);
            self.route(&partial, &keys);
        }
    }

    fn route(&mut self, batch: &Batch, keys: &[ArrayRef]) {
        let groups = key_groups(keys, batch.rows(), KEY_GROUPS).unwrap();
        let parallelism = self.subtasks.len();
        for subtask in 0..parallelism {
            let of_subtask = |row: &u32| owner(groups[*row as usize], parallelism, KEY_GROUPS) == subtask;
            let indices: UInt32Array = (0..batch.rows() as u32).filter(of_subtask).map(Some).collect();
            let part = batch.take(&indices).unwrap();
            self.call(subtask, |operator, out| match part.is_partial() {
                true => operator.on_partial(0, part.clone(), out).unwrap(),
                false => operator.on_batch(0, part.clone(), out).unwrap(),
            });
        }
    }

    pub(super) fn watermark(&mut self, watermark: i64) {
        if self.combiner.as_ref().and_then(|combiner| combiner.due()).is_some_and(|due| due.0 <= watermark) {
            self.send_combined();
        }
        self.watermark = EventTime(watermark);
        for subtask in 0..self.subtasks.len() {
            self.call(subtask, |operator, out| operator.on_watermark(EventTime(watermark), out).unwrap());
        }
    }

    /// A tick of the clock.
    pub(super) fn tick(&mut self) {
        for subtask in 0..self.subtasks.len() {
            self.call(subtask, |operator, out| operator.on_timer(ClockTime(0), out).unwrap());
        }
    }

    fn call(&mut self, subtask: usize, call: impl Fn(&mut dyn Operator, &mut Output)) {
        let (operator, out) = &mut self.subtasks[subtask];
        out.set_times(ClockTime(0), self.watermark);
        call(operator.as_mut(), out);
        self.sent.extend(out.take_batches());
        while operator.resume(out).unwrap() == Progress::More {
            self.sent.extend(out.take_batches());
            if let Some(cold) = self.cold_keys[subtask].as_ref().filter(|_| operator.can_forget_keys()) {
                cold.lock().unwrap().evict(operator.as_mut());
            }
        }
        self.sent.extend(out.take_batches());
        self.fates.add(&out.take_fates());
        self.calls += 1;
        if let Some(cold) = self.cold_keys[subtask].as_ref().filter(|_| self.calls.is_multiple_of(2)) {
            cold.lock().unwrap().evict(operator.as_mut());
        }
        if let Some(cold) = self.cold[subtask].as_ref().filter(|_| self.calls.is_multiple_of(2)) {
            cold.lock().unwrap().evict(operator.as_mut());
        }
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

    /// Takes a snapshot, lets all subtasks die and starts others from it.
    pub(super) fn crash_and_restore(&mut self, parallelism: usize) {
        self.send_combined();
        let mut entries = StateEntries::new();
        for cold in self.cold.iter().flatten() {
            let (name, rows) = cold.lock().unwrap().rows();
            entries.entry(name.to_owned()).or_default().extend(rows);
        }
        for cold in self.cold_keys.iter().flatten() {
            cold.lock().unwrap().entries().into_iter().for_each(|(name, rows)| entries.entry(name).or_default().extend(rows));
        }
        for ((operator, _), checkpointed) in self.subtasks.iter_mut().zip(&mut self.checkpointed) {
            let mut writer = StateWriter::new();
            let written = match checkpointed {
                Some(checkpointed) => checkpointed.take(operator.as_mut()),
                None => operator.snapshot(&mut writer).map(|()| writer.into_entries()).unwrap(),
            };
            for (name, rows) in written {
                let declared = self.plan.state.iter().find(|declared| declared.name == name).unwrap_or_else(|| panic!("{name}"));
                assert!(rows.iter().all(|rows| rows.groups.is_some() == declared.keyed), "{name}");
                entries.entry(name).or_default().extend(rows);
            }
        }
        // Back in memory, or to disk again.
        self.spills = self.may_spill && parallelism != 2;
        self.start(parallelism, entries);
    }

    /// A stop: nothing stays on the way.
    pub(super) fn halt(&mut self) {
        self.send_combined();
    }

    pub(super) fn rows_in_state(&self) -> u64 {
        self.subtasks.iter().map(|(operator, _)| operator.rows_in_state()).sum()
    }

    pub(super) fn state_bytes(&self) -> usize {
        self.subtasks.iter().map(|(operator, _)| operator.state_bytes()).sum()
    }

    /// The rows sent to a port, as JSON, with the hidden columns of each batch checked against its schema.
    pub(super) fn rows(&self, port: usize) -> Vec<Value> {
        let of_port = self.sent.iter().filter(|(p, _)| *p == port);
        of_port.flat_map(|(_, batch)| json_rows(batch)).collect()
    }
}

/// A value as it is after it was written and read: serde_json reads some doubles one unit in the last place off.
pub(super) fn as_read(value: &Value) -> Value {
    serde_json::from_str(&value.to_string()).unwrap()
}

pub(super) fn json_rows(batch: &Batch) -> Vec<Value> {
    (0..batch.rows()).map(|row| serde_json::from_str(&row_text(batch.records(), row).unwrap()).unwrap()).collect()
}

/// Rows as the stream's physical columns and hidden ones.
fn to_batch(rows: &[Row], stream: &Stream) -> Batch {
    let column = |field: &Arc<Field>| -> ArrayRef {
        assert_eq!(field.data_type(), &DataType::Int64);
        let of = |row: &Row| match field.name().as_str() {
            "k" => row.key,
            "v" => row.value,
            _ => Some(row.position),
        };
        Arc::new(rows.iter().map(of).collect::<Int64Array>())
    };
    let columns = stream.schema.fields().iter().map(column).collect();
    let ints = |of: fn(&Row) -> i64| -> Int64Array { rows.iter().map(of).map(Some).collect() };
    let marked = rows.iter().any(|row| row.mark != i64::MIN);
    let hidden = Hidden {
        times: stream.event_time.then(|| ints(|row| row.time)),
        marks: marked.then(|| ints(|row| row.mark)),
        weights: stream.updating.then(|| rows.iter().map(|row| row.weight).collect::<Vec<i8>>().into()),
        windows: stream
            .windowed
            .as_ref()
            .is_some_and(|w| w.explicit)
            .then(|| Windows { start: ints(|row| row.window.unwrap().0), end: ints(|row| row.window.unwrap().1) }),
        origin: stream.from_source.then(|| Origin { split: UInt32Array::from_value(0, rows.len()), position: ints(|row| row.position) }),
        counts: None,
    };
    let records: RecordBatch = crate::columns::records(&stream.schema, columns, rows.len()).unwrap();
    Batch::new(records, hidden).unwrap()
}

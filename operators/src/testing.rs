//! For the unit tests of node types: plans a node, makes one subtask of it and drives it directly.

pub(crate) mod cold;

use std::path::PathBuf;
use std::sync::Arc;

use arrow::array::{ArrayRef, Int64Array, RecordBatch, StringViewArray};
use arrow::datatypes::{Field, Schema, SchemaRef};
use millstream_api::batch::Hidden;
use millstream_api::operator::Fates;
use millstream_api::options::OnBadRow;
use millstream_api::plan::{Columns, Inputs, Make, OperatorContext, Plan, Shape, SinkContext};
use millstream_api::registry::{InputKeys, NodeOptions, read};
use millstream_api::state::gone::{is_gone, together};
use millstream_api::state::{StateEntries, StateReader, StateWriter};
use millstream_api::time::ClockTime;
use millstream_api::view::Views;
use millstream_api::{Batch, Diagnostics, Error, EventTime, Operator, Output, Progress, Sink, Stream};
use serde_json::Value;

use crate::decode::schema::{ColumnSpec, arrow_schema};
use crate::encode::json;

/// A schema from `name type, name type`.
pub(crate) fn schema(text: &str) -> SchemaRef {
    let column = |column: &str| {
        let (name, data_type) = column.trim().split_once(' ').unwrap();
        ColumnSpec::parse(name, data_type).unwrap()
    };
    arrow_schema(&text.split(',').map(column).collect::<Vec<_>>())
}

pub(crate) fn stream(schema: SchemaRef) -> Stream {
    Stream { from_source: true, ..Stream::plain(schema) }
}

pub(crate) fn timed(schema: SchemaRef) -> Stream {
    Stream { event_time: true, ..stream(schema) }
}

pub(crate) fn ints<const N: usize>(values: [Option<i64>; N]) -> ArrayRef {
    Arc::new(Int64Array::from(values.to_vec()))
}

pub(crate) fn texts<const N: usize>(values: [&str; N]) -> ArrayRef {
    Arc::new(StringViewArray::from(values.to_vec()))
}

/// Rows of nullable columns without hidden ones.
pub(crate) fn batch(columns: &[(&str, ArrayRef)]) -> Batch {
    let fields: Vec<Field> = columns.iter().map(|(name, array)| Field::new(*name, array.data_type().clone(), true)).collect();
    let arrays = columns.iter().map(|(_, array)| array.clone()).collect();
    Batch::plain(RecordBatch::try_new(Arc::new(Schema::new(fields)), arrays).unwrap())
}

/// The batch with these event times.
pub(crate) fn at(batch: Batch, times: &[i64]) -> Batch {
    let hidden = Hidden { times: Some(Int64Array::from(times.to_vec())), ..batch.hidden().clone() };
    batch.with_hidden(hidden).unwrap()
}

/// The batch with these lateness marks.
pub(crate) fn marked(batch: Batch, marks: &[i64]) -> Batch {
    let hidden = Hidden { marks: Some(Int64Array::from(marks.to_vec())), ..batch.hidden().clone() };
    batch.with_hidden(hidden).unwrap()
}

/// The batch with these weights.
pub(crate) fn weighed(batch: Batch, weights: &[i8]) -> Batch {
    let hidden = Hidden { weights: Some(weights.to_vec().into()), ..batch.hidden().clone() };
    batch.with_hidden(hidden).unwrap()
}

/// The rows sent to a port, as JSON.
pub(crate) fn rows(batches: &[(usize, Batch)], port: usize) -> Vec<String> {
    let of_port = batches.iter().filter(|(p, _)| *p == port);
    of_port.flat_map(|(_, batch)| record_rows(batch.records())).collect()
}

/// The rows of a record batch as JSON.
pub(crate) fn record_rows(records: &RecordBatch) -> Vec<String> {
    (0..records.num_rows()).map(|row| json::row_text(records, row).unwrap()).collect()
}

/// The event times sent to a port.
pub(crate) fn times(batches: &[(usize, Batch)], port: usize) -> Vec<i64> {
    batches.iter().filter(|(p, _)| *p == port).flat_map(|(_, batch)| batch.times().unwrap().to_vec()).collect()
}

/// A planned node with one subtask, made when it is first run.
pub(crate) struct Node {
    pub(crate) plan: Plan,
    streams: Vec<Stream>,
    policy: OnBadRow,
    shapes: Vec<Shape>,
    made: Option<Box<dyn Operator>>,
    pub(crate) out: Output,
}

fn inputs<O: NodeOptions>(streams: &[Stream]) -> Inputs<'static> {
    let named = streams.iter().enumerate().map(|(i, stream)| (if i == 0 { "input".into() } else { format!("input_{i}") }, stream.clone()));
    assert_eq!(O::INPUTS == InputKeys::None, streams.is_empty());
    Inputs { name: "node", streams: named.collect(), on_bad_row: OnBadRow::Fail, folder: PathBuf::from(".") }
}

impl Node {
    pub(crate) fn plan<O: NodeOptions>(options: Value, streams: Vec<Stream>) -> Node {
        let plan = read::<O>(options).unwrap().plan(&inputs::<O>(&streams)).unwrap();
        let shapes = plan.outputs.iter().map(|output| Shape {
            schema: output.stream.schema.clone(),
            explicit_windows: false,
            judge: false,
            origin: false,
            read: true,
        });
        Node { shapes: shapes.collect(), plan, streams, policy: OnBadRow::Fail, made: None, out: Output::new(1000) }
    }

    /// What is wrong with these options: code, key path and message of each mistake.
    pub(crate) fn mistakes<O: NodeOptions>(options: Value, streams: Vec<Stream>) -> Vec<(&'static str, String, String)> {
        let found: Diagnostics = match read::<O>(options).and_then(|options| options.plan(&inputs::<O>(&streams))) {
            Ok(plan) => plan.warnings,
            Err(found) => found,
        };
        found.0.into_iter().map(|d| (d.code, format!("{:?}", d.path), d.message)).collect()
    }

    pub(crate) fn with_policy(mut self, policy: OnBadRow) -> Node {
        self.policy = policy;
        self
    }

    /// As if only these columns of the output were read.
    pub(crate) fn reading(mut self, port: usize, names: &[&str]) -> Node {
        let schema = &self.plan.outputs[port].stream.schema;
        let places: Vec<usize> = (0..schema.fields().len()).filter(|&i| names.contains(&schema.field(i).name().as_str())).collect();
        self.shapes[port].schema = Arc::new(schema.project(&places).unwrap());
        self
    }

    pub(crate) fn shaped(mut self, change: impl Fn(&mut Shape)) -> Node {
        self.shapes.iter_mut().take(1).for_each(change);
        self
    }

    /// The columns needed of the inputs; side streams are not read.
    pub(crate) fn required(&self) -> Vec<Columns> {
        let Make::Operator(factory) = &self.plan.make else { panic!("not an operator") };
        factory.required(&self.needed())
    }

    fn needed(&self) -> Vec<Columns> {
        let main = std::iter::once(crate::columns::names(&self.shapes[0].schema));
        main.chain(self.shapes[1..].iter().map(|_| Columns::new())).collect()
    }

    /// Makes the subtask, with only the needed columns in the inputs. A batch that has more is cut down before it is handed over.
    pub(crate) fn made(mut self) -> Node {
        let Make::Operator(factory) = &self.plan.make else { panic!("not an operator") };
        let inputs = self.streams.iter().zip(self.required()).map(|(stream, names)| {
            let places: Vec<usize> = (0..stream.schema.fields().len()).filter(|&i| names.contains(stream.schema.field(i).name())).collect();
            let schema = Arc::new(stream.schema.project(&places).unwrap());
            Shape { schema, explicit_windows: false, judge: false, origin: false, read: true }
        });
        let context = OperatorContext {
            node: "node".into(),
            subtask: 0,
            parallelism: 1,
            key_groups: 128,
            batch_rows: 4,
            on_bad_row: self.policy,
            inputs: inputs.collect(),
            outputs: self.shapes.clone(),
        };
        self.made = Some(factory.make(&context).unwrap());
        self.streams.iter_mut().zip(&context.inputs).for_each(|(stream, shape)| stream.schema = shape.schema.clone());
        self
    }

    /// Hands over a batch and resumes until the node is done.
    pub(crate) fn run(&mut self, input: usize, batch: Batch) -> (Vec<(usize, Batch)>, Fates) {
        self.try_run(input, batch).unwrap()
    }

    pub(crate) fn fail(mut self, input: usize, batch: Batch) -> Error {
        self.try_run(input, batch).unwrap_err()
    }

    /// Memory of the state of the subtask.
    pub(crate) fn state_bytes(&self) -> usize {
        self.made.as_ref().map_or(0, |operator| operator.state_bytes())
    }

    pub(crate) fn watermark(&mut self, watermark: i64) {
        self.out.set_times(ClockTime(0), EventTime(watermark));
    }

    fn try_run(&mut self, input: usize, batch: Batch) -> Result<(Vec<(usize, Batch)>, Fates), Error> {
        if self.made.is_none() {
            let fresh = Node {
                plan: Plan::new(Vec::new(), Vec::new(), self.plan.make.clone()),
                streams: self.streams.clone(),
                policy: self.policy,
                shapes: self.shapes.clone(),
                made: None,
                out: Output::new(1),
            }
            .made();
            self.made = fresh.made;
            self.streams = fresh.streams;
        }
        let places = crate::columns::places(&batch.schema(), &self.streams[input].schema)?;
        let batch = batch.project(&places)?;
        let sent = self.call(|operator, out| operator.on_batch(input, batch, out))?;
        Ok((sent, self.out.take_fates()))
    }

    /// Hands over a watermark and resumes until the node is done.
    pub(crate) fn pass(&mut self, watermark: EventTime) -> Vec<(usize, Batch)> {
        self.out.set_times(ClockTime(0), watermark);
        self.call(|operator, out| operator.on_watermark(watermark, out)).unwrap()
    }

    fn call(&mut self, call: impl FnOnce(&mut dyn Operator, &mut Output) -> Result<(), Error>) -> Result<Vec<(usize, Batch)>, Error> {
        let operator = self.made.as_mut().unwrap();
        call(operator.as_mut(), &mut self.out)?;
        let mut sent = self.out.take_batches();
        while operator.resume(&mut self.out)? == Progress::More {
            sent.extend(self.out.take_batches());
        }
        sent.extend(self.out.take_batches());
        for (port, batch) in &sent {
            assert_eq!(batch.schema().fields(), self.shapes[*port].schema.fields(), "port {port}");
        }
        Ok(sent)
    }

    /// The subtask notes what changes from now on.
    pub(crate) fn note(&mut self) -> Checkpointed {
        Checkpointed::begin(self.made.as_mut().unwrap().as_mut(), &self.plan).unwrap()
    }

    /// One more checkpoint: how much was written, as [`Checkpointed::written`] counts it.
    pub(crate) fn checkpoint(&mut self, checkpoints: &mut Checkpointed) -> (usize, usize) {
        checkpoints.take(self.made.as_mut().unwrap().as_mut());
        checkpoints.written()
    }

    /// One more checkpoint, and the same node as another run has it that goes on from there.
    pub(crate) fn restored(mut self, mut checkpoints: Checkpointed) -> Node {
        let entries = checkpoints.take(self.made.as_mut().unwrap().as_mut());
        self.with_state(entries)
    }

    /// The same of a subtask that notes nothing.
    pub(crate) fn restarted(mut self) -> Node {
        let mut state = StateWriter::new();
        self.made.as_mut().unwrap().snapshot(&mut state).unwrap();
        self.with_state(state.into_entries())
    }

    fn with_state(self, entries: StateEntries) -> Node {
        let mut node = self.made();
        node.made.as_mut().unwrap().restore(&StateReader::new(entries, &(0..128)).unwrap()).unwrap();
        node
    }

    /// How many rows of what came in would still change a result.
    pub(crate) fn rows_in_state(&self) -> u64 {
        self.made.as_ref().map_or(0, |operator| operator.rows_in_state())
    }
}

/// Plans a sink over a stream and makes it, with all that it requires flowing.
pub(crate) fn sink<O: NodeOptions>(options: Value, stream: Stream, folder: &std::path::Path, views: &Views) -> Box<dyn Sink> {
    started(make_sink::<O>(options, stream, folder, views, false))
}

/// The same in a topology with checkpoints.
pub(crate) fn committing_sink<O: NodeOptions>(options: Value, stream: Stream, folder: &std::path::Path, views: &Views) -> Box<dyn Sink> {
    started(make_sink::<O>(options, stream, folder, views, true))
}

fn started(mut sink: Box<dyn Sink>) -> Box<dyn Sink> {
    sink.start().unwrap();
    sink
}

/// A sink before it is given back what there was.
pub(crate) fn make_sink<O: NodeOptions>(
    options: Value,
    stream: Stream,
    folder: &std::path::Path,
    views: &Views,
    checkpoints: bool,
) -> Box<dyn Sink> {
    make_sink_by::<O>(OnBadRow::Fail, options, stream, folder, views, checkpoints)
}

/// The same with this policy for what it cannot write.
pub(crate) fn make_sink_by<O: NodeOptions>(
    on_bad_row: OnBadRow,
    options: Value,
    stream: Stream,
    folder: &std::path::Path,
    views: &Views,
    checkpoints: bool,
) -> Box<dyn Sink> {
    let named = Inputs { name: "sink", streams: vec![("input".into(), stream.clone())], on_bad_row, folder: folder.into() };
    let plan = read::<O>(options).unwrap().plan(&named).unwrap();
    let Make::Sink(factory) = &plan.make else { panic!("not a sink") };
    let names = factory.required();
    let places: Vec<usize> = (0..stream.schema.fields().len()).filter(|&i| names.contains(stream.schema.field(i).name())).collect();
    let schema = Arc::new(stream.schema.project(&places).unwrap());
    let input = Shape { schema, explicit_windows: false, judge: false, origin: plan.inputs[0].origin, read: true };
    let (node, views) = ("sink".to_owned(), views.clone());
    factory.make(&SinkContext { node, subtask: 0, input, on_bad_row, views, checkpoints }).unwrap()
}

/// What checkpoints have of one subtask that notes what changes, as a store would have it.
pub(crate) struct Checkpointed {
    pieces: Vec<StateEntries>,
    names: &'static [&'static str],
}

impl Checkpointed {
    /// Begins with all state; `None`: the subtask notes nothing.
    pub(crate) fn begin(operator: &mut dyn Operator, plan: &Plan) -> Option<Checkpointed> {
        let names = plan.noted();
        if names.is_empty() || !operator.note_changes() {
            return None;
        }
        let mut state = StateWriter::new();
        operator.snapshot(&mut state).unwrap();
        Some(Checkpointed::of(state, names))
    }

    /// Begins with all state, of which that of these names is noted.
    pub(crate) fn of(all: StateWriter, names: &'static [&'static str]) -> Checkpointed {
        Checkpointed { pieces: vec![all.into_entries()], names }
    }

    /// One more checkpoint. All that it has.
    pub(crate) fn take(&mut self, operator: &mut dyn Operator) -> StateEntries {
        let mut changes = StateWriter::new();
        operator.snapshot_changes(&mut changes).unwrap();
        self.add(changes)
    }

    /// One more checkpoint, which has these changes. All that it has.
    pub(crate) fn add(&mut self, changes: StateWriter) -> StateEntries {
        // What is not noted stands for itself.
        self.pieces.iter_mut().for_each(|piece| piece.retain(|name, _| is_gone(name) || self.names.contains(&name.as_str())));
        self.pieces.push(changes.into_entries());
        together(self.pieces.clone()).unwrap()
    }

    /// What the last checkpoint has written of state that is noted: how many keys, groups and panes that are gone, and how many rows.
    pub(crate) fn written(&self) -> (usize, usize) {
        let count = |wanted: &dyn Fn(&str) -> bool| {
            let rows = self.pieces.last().unwrap().iter().filter(|(name, _)| wanted(name)).flat_map(|(_, rows)| rows);
            rows.map(|rows| rows.records.num_rows()).sum()
        };
        (count(&is_gone), count(&|name| self.names.contains(&name)))
    }
}

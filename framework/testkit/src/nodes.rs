//! Two node types for tests: the source `script`, fed by the test, and the sink `collect`, which keeps what it gets.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use arrow::array::{ArrayRef, Int8Array, RecordBatch};
use arrow::compute::concat_batches;
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use millstream_api::message::CheckpointId;
use millstream_api::operator::Fates;
use millstream_api::plan::{
    Columns, InputPlan, Inputs, Make, OutputPlan, Parallelism, Plan, SinkContext, SinkFactory, SourceContext, SourceFactory, WindowUse,
};
use millstream_api::registry::{InputKeys, NodeOptions, Registry, Role};
use millstream_api::sink::Finish;
use millstream_api::source::{Next, Position, Source, SourcePart, SourceRows};
use millstream_api::state::{StateReader, StateWriter};
use millstream_api::types::ColumnType;
use millstream_api::view::{Snapshot, View};
use millstream_api::{BadRow, Batch, Diagnostic, Diagnostics, Error, Result, Sink, Stream};
use millstream_runtime::feed::Feed;
use millstream_state::JobSnapshot;
use millstream_topology::Topology;
use schemars::JsonSchema;
use serde::Deserialize;

/// Adds both types to a registry.
pub fn register(registry: &mut Registry) {
    registry.add::<ScriptOptions>();
    registry.add::<CollectOptions>();
}

/// A source whose rows a test sends.
#[derive(Debug, Deserialize, JsonSchema)]
pub struct ScriptOptions {
    /// Columns and their types.
    pub schema: serde_json::Map<String, serde_json::Value>,
}

impl NodeOptions for ScriptOptions {
    const KIND: &'static str = "script";
    const ROLE: Role = Role::Source;
    const INPUTS: InputKeys = InputKeys::None;

    fn plan(self, inputs: &Inputs<'_>) -> Result<Plan, Diagnostics> {
        let mut fields = Vec::new();
        for (name, text) in &self.schema {
            let column = ColumnType::parse(text.as_str().unwrap_or_default())
                .map_err(|e| Diagnostic::error("bad-type", e).key("schema").key(name.clone()))?;
            fields.push(Field::new(name, column.data_type, column.nullable));
        }
        let stream = Stream { from_source: true, ..Stream::plain(Arc::new(Schema::new(fields))) };
        let make = Make::Source(Arc::new(ScriptFactory(inputs.name.to_owned())));
        Ok(Plan::new(Vec::new(), vec![OutputPlan::main(stream)], make))
    }
}

/// Makes a source whose rows come from a [`ScriptFeed`].
pub(crate) struct ScriptFactory(pub String);

impl SourceFactory for ScriptFactory {
    fn splits(&self) -> Result<Vec<String>> {
        Ok(vec![self.0.clone()])
    }

    fn make(&self, _: &SourceContext) -> Result<Box<dyn Source>> {
        Ok(Box::new(Unfed))
    }
}

/// Stands where a feed of the test takes over.
struct Unfed;

impl Source for Unfed {
    fn next(&mut self, _: Duration) -> Result<Next> {
        Err(Error::internal("a script source runs in a script only"))
    }
}

/// What was sent in one go.
#[derive(Clone, Debug)]
pub struct SentRows {
    /// Which of the source's streams.
    pub port: usize,
    /// The rows, with all columns of the stream.
    pub records: RecordBatch,
    /// Of an updating stream: whether each row comes (1) or goes (−1).
    pub weights: Option<Int8Array>,
    /// What could not be read as rows.
    pub bad: Vec<BadRow>,
}

/// What a test has sent to a source, kept so that it can be sent again after a crash.
#[derive(Clone, Debug, Default)]
pub struct Sent(Arc<Mutex<VecDeque<SentRows>>>, Arc<Mutex<bool>>);

impl Sent {
    /// Sends rows of the first stream.
    pub fn push(&self, records: RecordBatch) {
        self.push_rows(SentRows { port: 0, records, weights: None, bad: Vec::new() });
    }

    /// Sends rows.
    pub fn push_rows(&self, rows: SentRows) {
        locked(&self.0).push_back(rows);
    }

    /// Says that no more rows come.
    pub fn end(&self) {
        *locked(&self.1) = true;
    }

    fn get(&self, index: usize) -> Option<SentRows> {
        locked(&self.0).get(index).cloned()
    }

    fn has_ended(&self) -> bool {
        *locked(&self.1)
    }

    /// Rows of a stream that were sent before those of `index`.
    fn rows_before(&self, port: usize, index: usize) -> usize {
        locked(&self.0).iter().take(index).filter(|sent| sent.port == port).map(|sent| sent.records.num_rows()).sum()
    }
}

/// Hands a source's task what the test has sent, from some index on.
pub struct ScriptFeed {
    /// What was sent.
    pub sent: Sent,
    /// The next one.
    pub index: usize,
    /// The columns that the topology wants of each stream.
    pub schemas: Vec<SchemaRef>,
}

impl ScriptFeed {
    /// The feed of a source, going on where a checkpoint has left it.
    ///
    /// # Errors
    /// Only when there is no such source.
    pub fn new(topology: &Topology, node: &str, sent: Sent, checkpoint: Option<&JobSnapshot>) -> Result<Self> {
        let source = topology.node(node).ok_or_else(|| Error::internal(format!("no source `{node}`")))?;
        let schemas = source.outputs.iter().map(|output| output.shape.schema.clone()).collect();
        let read = checkpoint.map(|snapshot| snapshot.positions(node)).unwrap_or_default();
        let index = read.first().and_then(|split| split.position.as_ref()?.0.parse().ok()).unwrap_or(0);
        Ok(ScriptFeed { sent, index, schemas })
    }
}

impl Feed for ScriptFeed {
    fn poll(&mut self) -> Result<Next> {
        let Some(SentRows { port, records, weights, bad }) = self.sent.get(self.index) else {
            return Ok(if self.sent.has_ended() { Next::End } else { Next::Nothing });
        };
        let schema = self.schemas.get(port).ok_or_else(|| Error::internal(format!("rows were sent to port {port}")))?;
        let wanted: Result<Vec<usize>, _> = schema.fields().iter().map(|field| records.schema().index_of(field.name())).collect();
        let first_row = self.sent.rows_before(port, self.index) as i64;
        let parts = vec![SourcePart { output: port, records: records.project(&wanted?)?, first_row, weights }];
        self.index += 1;
        Ok(Next::Rows(SourceRows { split: 0, parts, bad, position: Position(self.index.to_string()) }))
    }
}

/// A sink that keeps every row, with its weight.
#[derive(Debug, Deserialize, JsonSchema)]
pub struct CollectOptions {}

impl NodeOptions for CollectOptions {
    const KIND: &'static str = "collect";
    const ROLE: Role = Role::Sink;
    const INPUTS: InputKeys = InputKeys::One;

    fn plan(self, inputs: &Inputs<'_>) -> Result<Plan, Diagnostics> {
        let columns = inputs.schema(0).fields().iter().map(|f| f.name().clone()).collect();
        let mut plan = Plan::new(vec![InputPlan::any(WindowUse::Reads)], Vec::new(), Make::Sink(Arc::new(CollectFactory(columns))));
        plan.parallelism = Parallelism::One("rows are kept in one place");
        Ok(plan)
    }
}

/// Makes sinks that keep the rows of these columns.
pub(crate) struct CollectFactory(pub Columns);

impl SinkFactory for CollectFactory {
    fn required(&self) -> Columns {
        self.0.clone()
    }

    fn blocks(&self) -> bool {
        false
    }

    fn make(&self, context: &SinkContext) -> Result<Box<dyn Sink>> {
        let mut fields: Vec<_> = context.input.schema.fields().iter().cloned().collect();
        fields.push(Arc::new(Field::new("_weight", DataType::Int8, false)));
        let kept = Arc::new(Kept { schema: Arc::new(Schema::new(fields)), batches: Mutex::default() });
        context.views.publish(&context.node, kept.clone());
        Ok(Box::new(Collect(kept)))
    }
}

/// What a `collect` sink has got, in order, with the column `_weight`.
pub struct Kept {
    schema: SchemaRef,
    batches: Mutex<Vec<RecordBatch>>,
}

impl View for Kept {
    fn schema(&self) -> SchemaRef {
        self.schema.clone()
    }

    fn key(&self) -> Vec<String> {
        Vec::new()
    }

    fn version(&self) -> u64 {
        locked(&self.batches).len() as u64
    }

    fn snapshot(&self) -> Result<Snapshot> {
        let batches = locked(&self.batches);
        Ok(Snapshot::new(batches.len() as u64, Arc::new(concat_batches(&self.schema, batches.iter())?)))
    }

    fn lookup(&self, _: &[&str]) -> Result<(u64, RecordBatch)> {
        Err(Error::internal("collected rows have no key"))
    }
}

struct Collect(Arc<Kept>);

impl Sink for Collect {
    fn write(&mut self, batch: Batch, fates: &mut Fates) -> Result<()> {
        fates.taken += batch.rows() as u64;
        let weights = batch.hidden().weights.clone().unwrap_or_else(|| Int8Array::from_value(1, batch.rows()));
        let columns: Vec<ArrayRef> = batch.records().columns().iter().cloned().chain([Arc::new(weights) as ArrayRef]).collect();
        locked(&self.0.batches).push(RecordBatch::try_new(self.0.schema.clone(), columns)?);
        Ok(())
    }

    fn prepare(&mut self, _: CheckpointId, state: &mut StateWriter) -> Result<()> {
        state.put("rows", self.0.rows()?.1);
        Ok(())
    }

    fn restore(&mut self, state: &StateReader) -> Result<()> {
        locked(&self.0.batches).extend(state.get("rows").cloned());
        Ok(())
    }

    fn finish(&mut self, _: Finish) -> Result<()> {
        Ok(())
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What was sent to each source, by its name.
pub type AllSent = BTreeMap<String, Sent>;

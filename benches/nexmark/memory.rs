//! A source whose batches are made before it is asked for them.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use arrow::array::RecordBatch;
use millstream_api::plan::{Inputs, Make, OutputPlan, Plan, SourceContext, SourceFactory};
use millstream_api::registry::{InputKeys, NodeOptions, Role};
use millstream_api::source::{Next, Position, Source, SourcePart, SourceRows};
use millstream_api::{Diagnostics, Error, Result, Stream};
use millstream_operators::nexmark::generate::{Kind, generate_batches};
use schemars::JsonSchema;
use serde::Deserialize;

/// The bids of this process; a node's options can't carry them.
static BIDS: OnceLock<Vec<RecordBatch>> = OnceLock::new();

/// Rows of a batch.
const BATCH_ROWS: u64 = 8192;

/// Makes the bids among `events` events, in batches of about [`BATCH_ROWS`].
///
/// # Errors
/// When they can't be made.
pub fn prepare(events: u64) -> Result<usize> {
    let made = generate_batches(Kind::Bid, 0, events, BATCH_ROWS * 50 / 46)?;
    let rows = made.iter().map(RecordBatch::num_rows).sum();
    let _ = BIDS.set(made);
    Ok(rows)
}

/// Hands over what [`prepare`] has made.
#[derive(Debug, Deserialize, JsonSchema)]
pub struct MemoryOptions {}

impl NodeOptions for MemoryOptions {
    const KIND: &'static str = "memory";
    const ROLE: Role = Role::Source;
    const INPUTS: InputKeys = InputKeys::None;

    fn plan(self, _: &Inputs<'_>) -> Result<Plan, Diagnostics> {
        let stream = Stream { from_source: true, ..Stream::plain(Kind::Bid.schema()) };
        Ok(Plan::new(Vec::new(), vec![OutputPlan::main(stream)], Make::Source(Arc::new(MemoryFactory))))
    }
}

struct MemoryFactory;

impl SourceFactory for MemoryFactory {
    fn splits(&self) -> Result<Vec<String>> {
        Ok(vec!["memory".to_owned()])
    }

    fn make(&self, context: &SourceContext) -> Result<Box<dyn Source>> {
        let batches = BIDS.get().ok_or_else(|| Error::internal("no batches were made"))?;
        let schema = Kind::Bid.schema();
        let columns = context.outputs[0].schema.fields().iter().map(|f| schema.index_of(f.name())).collect::<Result<_, _>>()?;
        Ok(Box::new(Memory { batches, columns, next: 0, rows: 0 }))
    }
}

struct Memory {
    batches: &'static [RecordBatch],
    columns: Vec<usize>,
    next: usize,
    rows: i64,
}

impl Source for Memory {
    fn next(&mut self, _: Duration) -> Result<Next> {
        let Some(batch) = self.batches.get(self.next) else { return Ok(Next::End) };
        self.next += 1;
        let first_row = self.rows;
        self.rows += batch.num_rows() as i64;
        let parts = vec![SourcePart { output: 0, records: batch.project(&self.columns)?, first_row, weights: None }];
        Ok(Next::Rows(SourceRows { split: 0, parts, bad: Vec::new(), position: Position(self.next.to_string()) }))
    }
}

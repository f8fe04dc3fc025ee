//! A source whose batches are made before it is asked for them.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use millstream_api::plan::{Inputs, Make, OutputPlan, Plan, SourceContext, SourceFactory};
use millstream_api::registry::{InputKeys, NodeOptions, Role};
use millstream_api::source::{Next, Position, Source, SourcePart, SourceRows};
use millstream_api::{Diagnostics, Error, Result, Stream};
use millstream_operators::nexmark::generate::{Generator, Kind};
use schemars::JsonSchema;
use serde::Deserialize;

/// The events of this process; a node's options can't carry them.
static PARTS: OnceLock<Vec<SourcePart>> = OnceLock::new();

/// How many events there are for this many rows of the type that there is most of.
const BATCH_EVENTS: u64 = 8192 * 50 / 46;

/// Makes those of some types among `events` events, in batches of about 8192 rows of all columns, in the order of their numbers.
///
/// # Errors
/// When they can't be made.
pub fn prepare(kinds: &[Kind], events: u64) -> Result<()> {
    let wanted: Vec<_> = kinds.iter().map(|kind| (*kind, kind.schema())).collect();
    let mut generator = Generator::new(0, 0, &wanted)?;
    let mut parts = Vec::new();
    while generator.next_event() < events {
        parts.extend(generator.until((generator.next_event() + BATCH_EVENTS).min(events))?);
    }
    let _ = PARTS.set(parts);
    Ok(())
}

/// Hands over what [`prepare`] has made.
#[derive(Debug, Deserialize, JsonSchema)]
pub struct MemoryOptions {}

impl NodeOptions for MemoryOptions {
    const KIND: &'static str = "memory";
    const ROLE: Role = Role::Source;
    const INPUTS: InputKeys = InputKeys::None;

    fn plan(self, _: &Inputs<'_>) -> Result<Plan, Diagnostics> {
        let stream = |kind: Kind| Stream { from_source: true, ..Stream::plain(kind.schema()) };
        let outputs = Kind::ALL.map(|kind| OutputPlan::side(kind.name(), stream(kind)));
        Ok(Plan::new(Vec::new(), outputs.into(), Make::Source(Arc::new(MemoryFactory))))
    }
}

struct MemoryFactory;

impl SourceFactory for MemoryFactory {
    fn splits(&self) -> Result<Vec<String>> {
        Ok(vec!["memory".to_owned()])
    }

    fn make(&self, context: &SourceContext) -> Result<Box<dyn Source>> {
        let parts = PARTS.get().ok_or_else(|| Error::internal("no batches were made"))?;
        let columns = Kind::ALL.iter().zip(&context.outputs).map(|(kind, shape)| {
            let schema = kind.schema();
            shape.schema.fields().iter().map(|field| schema.index_of(field.name())).collect::<Result<_, _>>()
        });
        Ok(Box::new(Memory { parts, columns: columns.collect::<Result<_, _>>()?, next: 0 }))
    }
}

struct Memory {
    parts: &'static [SourcePart],
    /// Of each stream, those that are wanted.
    columns: Vec<Vec<usize>>,
    next: usize,
}

impl Source for Memory {
    fn next(&mut self, _: Duration) -> Result<Next> {
        let Some(part) = self.parts.get(self.next) else { return Ok(Next::End) };
        self.next += 1;
        let records = part.records.project(&self.columns[part.output])?;
        let parts = vec![SourcePart { output: part.output, records, first_row: part.first_row, weights: None }];
        Ok(Next::Rows(SourceRows { split: 0, parts, bad: Vec::new(), position: Position(self.next.to_string()) }))
    }
}

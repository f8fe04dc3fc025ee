//! A source whose batches are made before it is asked for them: all types of events in the order of their numbers, whether or not
//! the query reads them.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use arrow::array::{ArrayRef, AsArray, RecordBatch};
use arrow::datatypes::TimestampMicrosecondType;
use millstream_api::plan::{Inputs, Make, OutputPlan, Plan, SourceContext, SourceFactory};
use millstream_api::registry::{InputKeys, NodeOptions, Role};
use millstream_api::source::{Next, Position, Source, SourcePart, SourceRows};
use millstream_api::{Diagnostics, Error, Result, Stream};
use millstream_operators::nexmark::generate::{Generator, Kind};
use schemars::JsonSchema;
use serde::Deserialize;

use crate::live;

/// The events of this process; a node's options can't carry them.
static EVENTS: OnceLock<Events> = OnceLock::new();

struct Events {
    /// Events by their numbers: of each chunk a part for each type of which there are any. They are handed over together, since none of them
    /// is late because of the others.
    chunks: Vec<Vec<SourcePart>>,
    /// Whether they are handed over when they are due, not as fast as they are taken.
    live: bool,
}

/// What the generator makes for a second of event time.
const EVENTS_PER_SECOND: u64 = 10_000;

/// How many events there are for this many rows of the type that there is most of.
const BATCH_EVENTS: u64 = 8192 * 50 / 46;

/// Makes `events` events of all types, in batches of about 8192 bids of all columns, in the order of their numbers.
///
/// # Errors
/// When they can't be made.
pub fn prepare(events: u64) -> Result<()> {
    make(events, BATCH_EVENTS, false)
}

/// Makes those of some seconds, to be handed over when they are due, a batch for each millisecond: as rows come to a source that
/// reads what has arrived. Gives their number.
///
/// # Errors
/// When they can't be made.
pub fn prepare_live(seconds: u64) -> Result<u64> {
    let events = seconds.saturating_mul(EVENTS_PER_SECOND);
    make(events, EVENTS_PER_SECOND / 1000, true).map(|()| events)
}

fn make(events: u64, batch_events: u64, live: bool) -> Result<()> {
    let mut generator = Generator::new(0, 0, &Kind::ALL.map(|kind| (kind, kind.schema())))?;
    let mut chunks = Vec::new();
    while generator.next_event() < events {
        let parts = generator.until((generator.next_event() + batch_events).min(events))?;
        chunks.push(parts.into_iter().map(compact).collect::<Result<_>>()?);
    }
    let _ = EVENTS.set(Events { chunks, live });
    Ok(())
}

/// The generator's buffers have room for more text than there is; all of them are kept here.
fn compact(part: SourcePart) -> Result<SourcePart> {
    let columns = part.records.columns().iter().map(|column| match column.as_string_view_opt() {
        Some(texts) => Arc::new(texts.gc()) as ArrayRef,
        None => column.clone(),
    });
    let records = RecordBatch::try_new(part.records.schema(), columns.collect())?;
    Ok(SourcePart { records, ..part })
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
        let events = EVENTS.get().ok_or_else(|| Error::internal("no batches were made"))?;
        let columns = Kind::ALL.iter().zip(&context.outputs).map(|(kind, shape)| {
            let schema = kind.schema();
            shape.schema.fields().iter().map(|field| schema.index_of(field.name())).collect::<Result<_, _>>()
        });
        Ok(Box::new(Memory { events, columns: columns.collect::<Result<_, _>>()?, next: 0 }))
    }
}

struct Memory {
    events: &'static Events,
    /// Of each stream, those that are wanted.
    columns: Vec<Vec<usize>>,
    next: usize,
}

impl Source for Memory {
    fn next(&mut self, wait: Duration) -> Result<Next> {
        let Some(chunk) = self.events.chunks.get(self.next) else { return Ok(Next::End) };
        if self.events.live && !is_due(chunk, wait) {
            return Ok(Next::Nothing);
        }
        self.next += 1;
        let wanted = |part: &SourcePart| {
            let records = part.records.project(&self.columns[part.output])?;
            Ok(SourcePart { output: part.output, records, first_row: part.first_row, weights: None })
        };
        let parts = chunk.iter().map(wanted).collect::<Result<_>>()?;
        Ok(Next::Rows(SourceRows { split: 0, parts, bad: Vec::new(), position: Position(self.next.to_string()) }))
    }
}

/// Whether these events are due, after waiting for them, at most so long.
fn is_due(chunk: &[SourcePart], wait: Duration) -> bool {
    let last = |part: &SourcePart| {
        part.records.column_by_name("date_time")?.as_primitive_opt::<TimestampMicrosecondType>()?.values().last().copied()
    };
    let Some(last) = chunk.iter().filter_map(last).max() else { return true };
    live::start(last);
    let left = live::until(last);
    std::thread::sleep(left.min(wait));
    left <= wait
}

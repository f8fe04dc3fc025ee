//! Node types of these tests: a source that counts, an operator that fails when told, a sink that says what it saw.

#![allow(dead_code, reason = "each test binary uses its own part of this module")]
#![expect(clippy::panic, clippy::unwrap_used, reason = "helpers of tests fail the test")]

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use arrow::array::{AsArray, Int64Array, RecordBatch};
use arrow::datatypes::{DataType, Field, Int64Type, Schema, SchemaRef};
use millstream_api::message::CheckpointId;
use millstream_api::operator::{Fates, Progress};
use millstream_api::plan::{
    Columns, InputPlan, Inputs, Make, OperatorContext, OperatorFactory, OutputPlan, Plan, SinkContext, SinkFactory, SourceContext,
    SourceFactory, WindowUse,
};
use millstream_api::registry::{InputKeys, NodeOptions, Registry, Role};
use millstream_api::sink::Finish;
use millstream_api::source::{Next, Position, Source, SourcePart, SourceRows};
use millstream_api::state::StateWriter;
use millstream_api::{Batch, Diagnostics, Error, Operator, Output, Result, Sink, Stream};
use millstream_topology::{Topology, load_text};
use schemars::JsonSchema;
use serde::Deserialize;

pub fn registry() -> Registry {
    let mut registry = Registry::new();
    registry.add::<Numbers>();
    registry.add::<Pass>();
    registry.add::<Watch>();
    registry
}

pub fn topology(text: &str) -> Topology {
    let outcome = load_text("t.toml", text, std::path::Path::new("."), &Default::default(), &[], &registry());
    let report = outcome.report.render();
    outcome.topology.unwrap_or_else(|| panic!("{report}"))
}

fn schema() -> SchemaRef {
    Arc::new(Schema::new(vec![Field::new("n", DataType::Int64, false)]))
}

/// Batches of ten rows that count from 0.
#[derive(Deserialize, JsonSchema)]
pub struct Numbers {
    /// How many batches; absent: without end.
    batches: Option<i64>,
}

impl NodeOptions for Numbers {
    const KIND: &'static str = "numbers";
    const ROLE: Role = Role::Source;
    const INPUTS: InputKeys = InputKeys::None;

    fn plan(self, _: &Inputs<'_>) -> Result<Plan, Diagnostics> {
        let stream = Stream { from_source: true, bounded: self.batches.is_some(), ..Stream::plain(schema()) };
        Ok(Plan::new(vec![], vec![OutputPlan::main(stream)], Make::Source(Arc::new(NumbersFactory(self.batches.unwrap_or(i64::MAX))))))
    }
}

struct NumbersFactory(i64);

impl SourceFactory for NumbersFactory {
    fn splits(&self) -> Result<Vec<String>> {
        Ok(vec!["numbers".into()])
    }

    fn make(&self, context: &SourceContext) -> Result<Box<dyn Source>> {
        let read = context.positions.first().map_or(0, |(_, position)| position.0.parse().unwrap());
        Ok(Box::new(Counting { next: read, batches: self.0 }))
    }

    fn size_hint(&self) -> Option<u64> {
        self.0.try_into().ok()
    }

    fn progress(&self, _: u32, position: &Position) -> Option<u64> {
        position.0.parse().ok()
    }
}

struct Counting {
    next: i64,
    batches: i64,
}

impl Source for Counting {
    fn next(&mut self, _: Duration) -> Result<Next> {
        if self.next == self.batches {
            return Ok(Next::End);
        }
        let first = self.next * 10;
        self.next += 1;
        let records = RecordBatch::try_new(schema(), vec![Arc::new(Int64Array::from_iter_values(first..first + 10))])?;
        let parts = vec![SourcePart { output: 0, records, first_row: first, weights: None }];
        Ok(Next::Rows(SourceRows { split: 0, parts, bad: vec![], position: Position(self.next.to_string()) }))
    }
}

/// Hands rows on, unless told to fail.
#[derive(Deserialize, JsonSchema)]
pub struct Pass {
    /// Fails at this number.
    fail_at: Option<i64>,
    /// Panics at this number.
    panic_at: Option<i64>,
}

impl NodeOptions for Pass {
    const KIND: &'static str = "pass";
    const ROLE: Role = Role::Operator;
    const INPUTS: InputKeys = InputKeys::One;

    fn plan(self, inputs: &Inputs<'_>) -> Result<Plan, Diagnostics> {
        let output = OutputPlan::main(inputs.streams[0].1.clone());
        let make = Make::Operator(Arc::new(PassFactory { fail_at: self.fail_at, panic_at: self.panic_at }));
        Ok(Plan::new(vec![InputPlan::any(WindowUse::Passes)], vec![output], make))
    }
}

#[derive(Clone)]
struct PassFactory {
    fail_at: Option<i64>,
    panic_at: Option<i64>,
}

impl OperatorFactory for PassFactory {
    fn required(&self, _: &[Columns]) -> Vec<Columns> {
        vec![["n".to_owned()].into()]
    }

    fn make(&self, _: &OperatorContext) -> Result<Box<dyn Operator>> {
        Ok(Box::new(self.clone()))
    }
}

impl Operator for PassFactory {
    fn on_batch(&mut self, _: usize, batch: Batch, out: &mut Output) -> Result<()> {
        let numbers = batch.records().column(0).as_primitive::<Int64Type>().values().to_vec();
        if let Some(n) = self.fail_at.filter(|n| numbers.contains(n)) {
            return Err(Error::internal("this number is not liked").at(format!("row {n}")));
        }
        if self.panic_at.is_some_and(|n| numbers.contains(&n)) {
            panic!("this number is feared{}", "!".repeat(PANICS.fetch_add(1, Ordering::Relaxed)));
        }
        out.fates().passed += batch.rows() as u64;
        out.emit(0, batch);
        Ok(())
    }
}

/// How many panics there were: the message of each is another one.
static PANICS: AtomicUsize = AtomicUsize::new(0);

/// What all `watch` sinks of a test have seen, by name.
pub static SEEN: Mutex<Vec<(String, Saw)>> = Mutex::new(Vec::new());

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Saw {
    Finish(Finish),
    Drop,
}

pub fn seen(sink: &str) -> Vec<Saw> {
    SEEN.lock().unwrap().iter().filter(|(name, _)| name == sink).map(|(_, saw)| *saw).collect()
}

/// What a `watch` sink of this name does when it finishes.
pub static ON_FINISH: Mutex<Vec<(String, millstream_runtime::Handle)>> = Mutex::new(Vec::new());

/// Notes how it ends.
#[derive(Deserialize, JsonSchema)]
pub struct Watch {
    /// Whether it wants a thread of its own.
    #[serde(default)]
    blocks: bool,
    /// Whether it writes a batch in pieces.
    pieces: Option<Pieces>,
}

/// How a sink writes that does not write a batch in one go.
#[derive(Clone, Copy, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum Pieces {
    /// A row at a time; the last row of a batch waits for a flush.
    Small,
    /// It is never done.
    Endless,
}

impl NodeOptions for Watch {
    const KIND: &'static str = "watch";
    const ROLE: Role = Role::Sink;
    const INPUTS: InputKeys = InputKeys::One;

    fn plan(self, _: &Inputs<'_>) -> Result<Plan, Diagnostics> {
        Ok(Plan::new(vec![InputPlan::any(WindowUse::Reads)], vec![], Make::Sink(Arc::new(self))))
    }
}

impl SinkFactory for Watch {
    fn required(&self) -> Columns {
        ["n".to_owned()].into()
    }

    fn blocks(&self) -> bool {
        self.blocks
    }

    fn make(&self, context: &SinkContext) -> Result<Box<dyn Sink>> {
        Ok(Box::new(Watching { name: context.node.clone(), rows: 0, pieces: self.pieces, left: 0, buffered: 0 }))
    }
}

struct Watching {
    name: String,
    rows: u64,
    pieces: Option<Pieces>,
    /// Rows of a batch that is written in pieces, and those that wait for a flush.
    left: u64,
    buffered: u64,
}

impl Sink for Watching {
    fn write(&mut self, batch: Batch, fates: &mut Fates) -> Result<()> {
        self.rows += batch.rows() as u64;
        match self.pieces {
            None => fates.taken += batch.rows() as u64,
            Some(_) => (self.left, self.buffered) = (self.left + batch.rows() as u64 - 1, self.buffered + 1),
        }
        Ok(())
    }

    fn resume(&mut self, fates: &mut Fates) -> Result<Progress> {
        match (self.pieces, self.left) {
            (Some(Pieces::Endless), _) => Ok(Progress::More),
            (_, 0) => Ok(Progress::Done),
            _ => {
                self.left -= 1;
                fates.taken += 1;
                Ok(Progress::More)
            }
        }
    }

    fn flush(&mut self) -> Result<()> {
        self.left += std::mem::take(&mut self.buffered);
        Ok(())
    }

    fn prepare(&mut self, _: CheckpointId, _: &mut StateWriter) -> Result<()> {
        assert_eq!((self.left, self.buffered), (0, 0), "a barrier overtakes rows");
        Ok(())
    }

    fn finish(&mut self, how: Finish) -> Result<()> {
        assert_eq!((self.left, self.buffered), (0, 0), "the end overtakes rows");
        SEEN.lock().unwrap().push((self.name.clone(), Saw::Finish(how)));
        ON_FINISH.lock().unwrap().iter().filter(|(name, _)| *name == self.name).for_each(|(_, handle)| handle.stop());
        Ok(())
    }
}

impl Drop for Watching {
    fn drop(&mut self) {
        SEEN.lock().unwrap().push((self.name.clone(), Saw::Drop));
    }
}

//! A topology, step by step: send rows, look at rows, take a checkpoint, crash, come back.
//!
//! Sources are of type `script`, sinks that are looked at of type `collect`. Rows are JSON, one object a line, with times as
//! RFC 3339. What a sink has got is shown with all changes applied, sorted, so that it does not depend on the order of
//! unrelated rows.

use std::collections::BTreeMap;
use std::io::Cursor;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use arrow::array::{AsArray, RecordBatch};
use arrow::datatypes::{Int8Type, SchemaRef};
use arrow::json::ReaderBuilder;
use millstream_api::error::row_as_json;
use millstream_api::registry::Registry;
use millstream_api::time::DurationText;
use millstream_api::{Error, Result, Source};
use millstream_runtime::feed::Feed;
use millstream_runtime::ledger::Ledger;
use millstream_runtime::task::Order;
use millstream_runtime::wake::WakeSlot;
use millstream_state::JobSnapshot;
use millstream_topology::{Topology, load_text};

use crate::nodes::{AllSent, ScriptFeed, Sent};
use crate::virtual_run::VirtualRun;

/// A topology under test.
pub struct Script {
    registry: Registry,
    text: String,
    settings: Vec<String>,
    seed: u64,
    sent: AllSent,
    checkpoint: Option<JobSnapshot>,
    topology: Topology,
    run: VirtualRun,
}

impl Script {
    /// Starts the topology in `text` with these `--set` settings. `registry` has the types under test; `script` and
    /// `collect` are added. Rows do not linger unless a setting says so.
    ///
    /// # Errors
    /// When the topology is wrong: the message is what `check` prints.
    pub fn start(mut registry: Registry, text: &str, settings: &[&str], seed: u64) -> Result<Script> {
        crate::nodes::register(&mut registry);
        let settings: Vec<String> = std::iter::once("runtime.linger=0s").chain(settings.iter().copied()).map(str::to_owned).collect();
        let sent = AllSent::default();
        let (topology, run, sent) = start(&registry, text, &settings, seed, sent, None)?;
        Ok(Script { registry, text: text.to_owned(), settings, seed, sent, checkpoint: None, topology, run })
    }

    /// Sends rows to a source and lets everything come to rest.
    ///
    /// # Errors
    /// When there is no such source, a row does not fit it, or a node fails.
    pub fn send(&mut self, source: &str, rows: &str) -> Result<()> {
        self.send_only(source, rows)?;
        self.run.run()
    }

    /// Sends rows to a source without letting anything happen yet, so that a checkpoint comes in their middle.
    ///
    /// # Errors
    /// As [`send`](Script::send).
    pub fn send_only(&mut self, source: &str, rows: &str) -> Result<()> {
        let node = self.topology.node(source).ok_or_else(|| Error::internal(format!("no source `{source}`")))?;
        let batches = read_json(rows, &node.outputs[0].stream.schema)?;
        let sent = self.sent.entry(source.to_owned()).or_default();
        batches.into_iter().for_each(|batch| sent.push(batch));
        self.run.wake_sources();
        Ok(())
    }

    /// Says that no more rows come from any source, and lets everything come to rest.
    ///
    /// # Errors
    /// When a node fails.
    pub fn end(&mut self) -> Result<()> {
        self.sent.values().for_each(Sent::end);
        self.run.wake_sources();
        self.run.run()
    }

    /// Says that no more rows come from one source, and lets everything come to rest.
    ///
    /// # Errors
    /// When a node fails.
    pub fn end_source(&mut self, source: &str) -> Result<()> {
        self.sent.entry(source.to_owned()).or_default().end();
        self.run.wake_sources();
        self.run.run()
    }

    /// Stops as Ctrl-C does: windows stay open.
    ///
    /// # Errors
    /// When a node fails.
    pub fn halt(&mut self) -> Result<()> {
        self.run.order(Order::Halt);
        self.run.run()
    }

    /// Stops as `--drain` does: every row comes out.
    ///
    /// # Errors
    /// When a node fails.
    pub fn drain(&mut self) -> Result<()> {
        self.run.order(Order::Drain);
        self.run.run()
    }

    /// Lets the wall clock go on: `"5s"`.
    ///
    /// # Errors
    /// When the duration can't be read or a node fails.
    pub fn advance(&mut self, duration: &str) -> Result<()> {
        let duration: DurationText = duration.parse().map_err(Error::internal)?;
        self.run.advance(Duration::from_micros(duration.micros().unsigned_abs()))
    }

    /// Gives some turns, so that what follows comes in the middle of something.
    ///
    /// # Errors
    /// When a node fails.
    pub fn turns(&mut self, turns: usize) -> Result<()> {
        for _ in 0..turns {
            self.run.step()?;
        }
        Ok(())
    }

    /// Takes a checkpoint where everything is now.
    ///
    /// # Errors
    /// When a node fails, or a source has ended.
    pub fn checkpoint(&mut self) -> Result<()> {
        self.checkpoint = Some(self.run.checkpoint()?);
        Ok(())
    }

    /// Dies without warning and comes back from the last checkpoint (else empty) with other settings; what was sent after it
    /// is sent again.
    ///
    /// # Errors
    /// When a node can't be restored or fails.
    pub fn crash_and_restore(&mut self, settings: &[&str]) -> Result<()> {
        self.settings.extend(settings.iter().map(|s| (*s).to_owned()));
        let sent = std::mem::take(&mut self.sent);
        self.seed += 1;
        (self.topology, self.run, self.sent) =
            start(&self.registry, &self.text, &self.settings, self.seed, sent, self.checkpoint.as_ref())?;
        self.run.run()
    }

    /// What a `collect` sink has got, with all changes applied: rows as JSON, sorted.
    ///
    /// # Errors
    /// When there is no such sink, or a row is withdrawn more often than it came.
    pub fn rows(&self, sink: &str) -> Result<String> {
        let view = self.run.views().get(sink).ok_or_else(|| Error::internal(format!("no sink `{sink}`")))?;
        applied(&view.rows()?.1)
    }

    /// The ledger so far.
    pub fn ledger(&self) -> Ledger {
        self.run.ledger()
    }

    /// The run itself.
    pub fn run(&mut self) -> &mut VirtualRun {
        &mut self.run
    }

    /// The topology.
    pub fn topology(&self) -> &Topology {
        &self.topology
    }
}

fn load(registry: &Registry, text: &str, settings: &[String]) -> Result<Topology> {
    let outcome = load_text("script.toml", text, Path::new("."), &BTreeMap::new(), settings, registry);
    outcome.topology.ok_or_else(|| Error::internal(outcome.report.render()))
}

fn start(
    registry: &Registry,
    text: &str,
    settings: &[String],
    seed: u64,
    mut sent: AllSent,
    checkpoint: Option<&JobSnapshot>,
) -> Result<(Topology, VirtualRun, AllSent)> {
    let topology = load(registry, text, settings)?;
    let mut feed = |node: &str, _: Box<dyn Source>, _: WakeSlot| {
        let sent = sent.entry(node.to_owned()).or_default().clone();
        Ok(Box::new(ScriptFeed::new(&topology, node, sent, checkpoint)?) as Box<dyn Feed>)
    };
    let run = VirtualRun::new(&topology, seed, Arc::default(), checkpoint, &mut feed)?;
    Ok((topology, run, sent))
}

/// Rows from JSON lines, one batch for each line so that every cut between rows can be reached.
fn read_json(rows: &str, schema: &SchemaRef) -> Result<Vec<RecordBatch>> {
    let reader = ReaderBuilder::new(Arc::clone(schema)).with_batch_size(1).build(Cursor::new(rows))?;
    Ok(reader.collect::<Result<_, _>>()?)
}

/// The rows of a `collect` sink that are left once all changes are applied, as JSON, sorted.
///
/// # Errors
/// When a row is withdrawn more often than it came.
pub fn applied(records: &RecordBatch) -> Result<String> {
    let last = records.num_columns() - 1;
    let weights = records.column(last).as_primitive::<Int8Type>();
    let visible = records.project(&(0..last).collect::<Vec<_>>())?;
    let mut left: BTreeMap<String, i64> = BTreeMap::new();
    for row in 0..records.num_rows() {
        *left.entry(row_as_json(&visible, row)).or_default() += i64::from(weights.value(row));
    }
    let mut text = String::new();
    for (row, count) in left {
        if count < 0 {
            return Err(Error::internal(format!("withdrawn more often than it came: {row}")));
        }
        (0..count).for_each(|_| text.extend([row.as_str(), "\n"]));
    }
    Ok(text)
}

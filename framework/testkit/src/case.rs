//! Runs a test of a file: its steps in order, over a topology in which every source and sink is replaced.
//!
//! A source is fed with what the test sends. A sink keeps its rows, unless it only publishes a view. Everything runs in this
//! thread, in virtual time, with one order of turns, so a test gives the same on every machine and every day.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{AsArray, RecordBatch, UInt32Array};
use arrow::datatypes::Int8Type;
use millstream_api::plan::Make;
use millstream_api::{Error, Result, Source};
use millstream_runtime::feed::Feed;
use millstream_runtime::task::Order;
use millstream_runtime::wake::WakeSlot;
use millstream_state::JobSnapshot;
use millstream_topology::Topology;
use millstream_topology::cases::{Action, Case, Cell, Expect, Step, cells};

use crate::clock::ManualClock;
use crate::compare::{ActualRow, Comparison};
use crate::nodes::{AllSent, CollectFactory, ScriptFactory, ScriptFeed, SentRows};
use crate::virtual_run::VirtualRun;

/// A step that went wrong.
#[derive(Debug)]
pub struct StepFailure {
    /// Its index among the steps of the test.
    pub step: usize,
    /// How.
    pub why: Why,
}

/// How a step went wrong.
#[derive(Debug)]
pub enum Why {
    /// Other rows are there than those expected. The test goes on.
    Rows(Comparison),
    /// The run failed. The test ends.
    Failed(Error),
}

/// Runs a test. No failure: it has passed.
pub fn run_case(case: &mut Case) -> Vec<StepFailure> {
    replace(&mut case.topology);
    let mut failures = Vec::new();
    let mut run = match CaseRun::start(&case.topology) {
        Ok(run) => run,
        Err(error) => return vec![StepFailure { step: 0, why: Why::Failed(error) }],
    };
    for (step, Step { action, .. }) in case.steps.iter().enumerate() {
        match run.step(action) {
            Ok(None) => {}
            Ok(Some(comparison)) => failures.push(StepFailure { step, why: Why::Rows(comparison) }),
            Err(error) => {
                failures.push(StepFailure { step, why: Why::Failed(error) });
                break;
            }
        }
    }
    failures
}

/// Puts what the test feeds and reads in the place of sources and sinks.
fn replace(topology: &mut Topology) {
    for node in &mut topology.nodes {
        let make = match &node.plan.make {
            Make::Source(_) => {
                // Pace is for replaying what is read; what a test sends is there at once.
                node.source.iter_mut().for_each(|source| (source.rate, source.replay_speed) = (None, None));
                Some(Make::Source(Arc::new(ScriptFactory(node.name.clone()))))
            }
            Make::Sink(factory) if !factory.is_view() => {
                node.parallelism = 1;
                Some(Make::Sink(Arc::new(CollectFactory(factory.required()))))
            }
            _ => None,
        };
        node.plan.make = make.unwrap_or_else(|| node.plan.make.clone());
    }
}

/// How many rows of each node were looked at.
type Seen = BTreeMap<String, usize>;

/// A test under way.
struct CaseRun<'a> {
    topology: &'a Topology,
    sent: AllSent,
    clock: Arc<ManualClock>,
    /// None between a crash and the return.
    run: Option<VirtualRun>,
    seen: Seen,
    checkpoint: Option<(JobSnapshot, Seen)>,
}

impl<'a> CaseRun<'a> {
    fn start(topology: &'a Topology) -> Result<Self> {
        let mut run = CaseRun { topology, sent: AllSent::new(), clock: Arc::default(), run: None, seen: Seen::new(), checkpoint: None };
        run.restore()?;
        Ok(run)
    }

    /// Does a step. An expectation that does not hold gives what was compared.
    fn step(&mut self, action: &Action) -> Result<Option<Comparison>> {
        match action {
            Action::Send { node, port, records, weights, bad } => {
                let (records, weights) = (records.clone(), weights.clone());
                let rows = SentRows { port: *port, records, weights, bad: bad.clone() };
                self.sent.entry(node.clone()).or_default().push_rows(rows);
                self.settle()?;
            }
            Action::End(node) => {
                self.sent.entry(node.clone()).or_default().end();
                self.settle()?;
            }
            Action::Advance(duration) => match &mut self.run {
                Some(run) => run.advance(*duration)?,
                None => self.clock.advance(*duration),
            },
            Action::Idle(node) => {
                let run = self.running()?;
                run.order_source(node, Order::Idle);
                run.run()?;
            }
            Action::Expect(expect) => return self.expect(expect),
            Action::Checkpoint => self.checkpoint = Some((self.running()?.checkpoint()?, self.seen.clone())),
            Action::Crash => self.run = None,
            Action::Restore => self.restore()?,
        }
        Ok(None)
    }

    fn running(&mut self) -> Result<&mut VirtualRun> {
        self.run.as_mut().ok_or_else(|| Error::internal("the topology has crashed and was not restored"))
    }

    /// Lets everything happen that needs no time. What is sent to a topology that has crashed waits for its return.
    fn settle(&mut self) -> Result<()> {
        match &mut self.run {
            Some(run) => {
                run.wake_sources();
                run.run()
            }
            None => Ok(()),
        }
    }

    /// Starts from the last checkpoint, else empty.
    fn restore(&mut self) -> Result<()> {
        let (snapshot, seen) = self.checkpoint.clone().unzip();
        let (topology, sent) = (self.topology, &mut self.sent);
        let mut feed = |node: &str, _: Box<dyn Source>, _: WakeSlot| {
            let sent = sent.entry(node.to_owned()).or_default().clone();
            Ok(Box::new(ScriptFeed::new(topology, node, sent, snapshot.as_ref())?) as Box<dyn Feed>)
        };
        let mut run = VirtualRun::new(topology, SEED, self.clock.clone(), snapshot.as_ref(), &mut feed)?;
        run.run()?;
        self.run = Some(run);
        self.seen = seen.unwrap_or_default();
        Ok(())
    }

    fn expect(&mut self, expect: &Expect) -> Result<Option<Comparison>> {
        let seen = self.seen.get(&expect.node).copied().unwrap_or_default();
        let run = self.running()?;
        let view = run.views().get(&expect.node).ok_or_else(|| Error::internal(format!("nothing keeps the rows of `{}`", expect.node)))?;
        let (_, records) = view.rows()?;
        let actual = if expect.is_view {
            actual_rows(&records, expect)?
        } else if expect.updating && !expect.as_changes {
            actual_rows(&applied(&records)?, expect)?
        } else {
            actual_rows(&records.slice(seen, records.num_rows() - seen), expect)?
        };
        self.seen.insert(expect.node.clone(), records.num_rows());
        let comparison = Comparison::new(expect, actual);
        Ok((!comparison.holds).then_some(comparison))
    }
}

/// The order of turns is drawn from this; the results do not depend on it.
const SEED: u64 = 1;

/// The rows as they are compared.
fn actual_rows(records: &RecordBatch, expect: &Expect) -> Result<Vec<ActualRow>> {
    let weight = expect.as_changes.then_some(WEIGHT);
    let names = expect.columns.iter().map(String::as_str).chain(weight);
    let columns: Vec<Option<Vec<Cell>>> =
        names.map(|name| records.column_by_name(name).map(|column| cells(column)).transpose()).collect::<Result<_>>()?;
    Ok((0..records.num_rows()).map(|row| columns.iter().map(|cells| cells.as_ref().map(|cells| cells[row].clone())).collect()).collect())
}

/// The name under which a sink that keeps rows keeps their weights.
const WEIGHT: &str = millstream_topology::cases::WEIGHT;

/// The rows that are left once all changes are applied, in the order of their coming.
fn applied(records: &RecordBatch) -> Result<RecordBatch> {
    let last = records.num_columns() - 1;
    let weights = records.column(last).as_primitive::<Int8Type>();
    let columns: Vec<Vec<Cell>> = records.columns()[..last].iter().map(|column| cells(column)).collect::<Result<_>>()?;
    let text = |row: usize| columns.iter().map(|cells| cells[row].to_string()).collect::<Vec<_>>().join(",");
    let mut left: BTreeMap<String, Left> = BTreeMap::new();
    for row in 0..records.num_rows() {
        let left = left.entry(text(row)).or_default();
        match weights.value(row) {
            1 => left.rows.push(row as u32),
            _ => left.withdrawn += 1,
        }
    }
    let mut kept = Vec::new();
    for (text, Left { rows, withdrawn }) in left {
        match rows.get(withdrawn..) {
            Some(rest) => kept.extend_from_slice(rest),
            None => return Err(Error::internal(format!("a row was withdrawn more often than it came: {text}"))),
        }
    }
    kept.sort_unstable();
    Ok(arrow::compute::take_record_batch(records, &UInt32Array::from(kept))?)
}

/// Equal rows: which came, and how many of them were withdrawn.
#[derive(Default)]
struct Left {
    rows: Vec<u32>,
    withdrawn: usize,
}

//! What a node says of itself at `check`.
//!
//! Planning goes over the graph twice. Forward: each node's options are turned into a [`Plan`] from the streams it reads,
//! which gives the streams it defines. Backward: each node is asked which columns of its inputs it needs for the columns
//! that are needed of it. Only then is the physical shape of every stream known, and factories make subtasks for it.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch, RecordBatchOptions, StringViewArray};
use arrow::datatypes::{Field, Schema, SchemaRef};

use crate::combine::Combiner;
use crate::diagnostic::Diagnostics;
use crate::error::{BadRow, Error, Result};
use crate::meaning::Matters;
use crate::operator::Operator;
use crate::options::OnBadRow;
pub use crate::sink::Delivery;
use crate::sink::Sink;
use crate::source::{Position, Since, Source, SplitStand};
pub use crate::spills::{Due, Spills, Then};
use crate::state::StateDecl;
use crate::stream::Stream;
use crate::view::Views;
pub use crate::window::WindowUse;

/// A set of column names of one stream.
pub type Columns = BTreeSet<String>;

/// The streams a node reads and what it may know of its surroundings while planning.
pub struct Inputs<'a> {
    /// The node's name.
    pub name: &'a str,
    /// The streams it reads, in the order of its input keys, with their names.
    pub streams: Vec<(String, Stream)>,
    /// What the node does with bad rows.
    pub on_bad_row: OnBadRow,
    /// Paths in options are relative to this folder: the one of the topology file.
    pub folder: PathBuf,
}

impl Inputs<'_> {
    /// The schema of input `index`.
    pub fn schema(&self, index: usize) -> &SchemaRef {
        &self.streams[index].1.schema
    }
}

/// A stream that a node defines.
#[derive(Clone, Debug)]
pub struct OutputPlan {
    /// `None` for the stream under the node's own name, else the part after the dot: `late`, `rejected`.
    pub side: Option<String>,
    /// Its properties.
    pub stream: Stream,
}

impl OutputPlan {
    /// The stream under the node's own name.
    pub fn main(stream: Stream) -> Self {
        OutputPlan { side: None, stream }
    }

    /// A side stream.
    pub fn side(name: &str, stream: Stream) -> Self {
        OutputPlan { side: Some(name.to_owned()), stream }
    }
}

/// The columns of every `.rejected` stream.
pub fn rejected_schema() -> SchemaRef {
    let text = |name: &str| Field::new(name, arrow::datatypes::DataType::Utf8View, false);
    Arc::new(Schema::new(vec![text("reason"), text("place"), text("raw")]))
}

/// Bad rows as rows of a `.rejected` stream of which these columns flow.
///
/// # Errors
/// Only internal ones.
pub fn rejected_records(rows: &[BadRow], flowing: &SchemaRef) -> Result<RecordBatch> {
    let text = |name: &str| -> Result<ArrayRef> {
        let part: fn(&BadRow) -> &str = match name {
            "reason" => |row| &row.reason,
            "place" => |row| &row.place,
            "raw" => |row| &row.raw,
            other => return Err(Error::internal(format!("bad rows have no column `{other}`"))),
        };
        Ok(Arc::new(StringViewArray::from_iter_values(rows.iter().map(part))))
    };
    let columns = flowing.fields().iter().map(|field| text(field.name())).collect::<Result<_>>()?;
    let options = RecordBatchOptions::new().with_row_count(Some(rows.len()));
    Ok(RecordBatch::try_new_with_options(flowing.clone(), columns, &options)?)
}

/// How rows find the subtask of a node that reads them.
#[derive(Clone)]
pub enum Route {
    /// Any subtask will do: subtask to subtask where both sides have as many, else in turn.
    Any,
    /// By the key group of these values.
    Key(Arc<dyn KeyExpressions>),
    /// To all subtasks.
    Broadcast,
}

/// The expressions of a key, as the sender of a routed edge needs them.
pub trait KeyExpressions: Send + Sync {
    /// How to show the route: `carrier, lower(origin)`.
    fn text(&self) -> String;

    /// The columns that the key is made of.
    fn columns(&self) -> Columns;

    /// Binds the key to the physical columns of the stream. The result gives one array per key expression; a row on which
    /// an expression fails has null there, and is judged by the receiver.
    fn bind(&self, schema: &Schema) -> Result<KeyValues>;
}

/// Computes the key columns of a batch.
pub type KeyValues = Box<dyn Fn(&RecordBatch) -> Result<Vec<ArrayRef>> + Send>;

/// How a node reads one of its inputs.
#[derive(Clone)]
pub struct InputPlan {
    /// How rows find the right subtask.
    pub route: Route,
    /// What it does with windows.
    pub windows: WindowUse,
    /// Whether it orders by split and position, so that these must travel with the rows.
    pub origin: bool,
}

impl InputPlan {
    /// An input of which any subtask may have any row.
    pub fn any(windows: WindowUse) -> Self {
        InputPlan { route: Route::Any, windows, origin: false }
    }
}

/// How many subtasks a node may have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Parallelism {
    /// Any number: `parallelism`, else `runtime.workers`.
    Any,
    /// One only; the reason is shown when `parallelism` asks for more.
    One(&'static str),
}

/// A planned node.
#[derive(Clone)]
pub struct Plan {
    /// The streams it defines; the index is the port of [`crate::operator::Output::emit`]. Sinks have none.
    pub outputs: Vec<OutputPlan>,
    /// One for each of [`Inputs::streams`].
    pub inputs: Vec<InputPlan>,
    /// The input that is read to its end before any other is looked at: a table to look things up in. Its stream is bounded.
    /// What the others send waits for credit meanwhile.
    pub reads_first: Option<usize>,
    /// How many subtasks.
    pub parallelism: Parallelism,
    /// Whether rows must come in the order of their source, so that the nodes between them and the source have one subtask.
    pub in_order: bool,
    /// State that it keeps.
    pub state: Vec<StateDecl>,
    /// Whether keys may leave memory for disk, and what of the state belongs to them.
    pub spills: Option<Spills>,
    /// The names of the state of which checkpoints may have only what has changed ([`Operator::note_changes`], [`Sink::note_changes`]).
    /// Where none is named it is what belongs to keys that may leave memory.
    pub changes: &'static [&'static str],
    /// The names of the keyed state whose panes may leave memory for disk: see [`ColdPanes`](crate::state::ColdPanes).
    pub spills_panes: &'static [&'static str],
    /// What keeps its state from growing for ever, for `check --explain`: `windows that are open`. `None`: nothing, or there is no state.
    pub bound: Option<String>,
    /// Things to warn of.
    pub warnings: Diagnostics,
    /// The files that it reads.
    pub reads: Vec<PathBuf>,
    /// The file that it puts in the place of what is there; no other node may read or write it.
    pub writes: Option<PathBuf>,
    /// What makes its subtasks.
    pub make: Make,
}

impl Plan {
    /// A plan without state or warnings.
    pub fn new(inputs: Vec<InputPlan>, outputs: Vec<OutputPlan>, make: Make) -> Self {
        Plan {
            outputs,
            inputs,
            reads_first: None,
            parallelism: Parallelism::Any,
            in_order: false,
            state: Vec::new(),
            spills: None,
            changes: &[],
            spills_panes: &[],
            bound: None,
            warnings: Diagnostics::default(),
            reads: Vec::new(),
            writes: None,
            make,
        }
    }

    /// Whether something of its keyed state may leave memory for disk.
    pub fn can_leave_memory(&self) -> bool {
        self.spills.is_some() || !self.spills_panes.is_empty()
    }

    /// The names of the state of which checkpoints may have only what has changed.
    pub fn noted(&self) -> &'static [&'static str] {
        match &self.spills {
            Some(spills) if self.changes.is_empty() => spills.state,
            _ => self.changes,
        }
    }
}

/// The three kinds of nodes.
#[derive(Clone)]
pub enum Make {
    /// Rows come from outside.
    Source(Arc<dyn SourceFactory>),
    /// Rows in, rows out.
    Operator(Arc<dyn OperatorFactory>),
    /// Rows go outside.
    Sink(Arc<dyn SinkFactory>),
}

/// The physical shape of a stream: which of its columns flow, and which hidden ones.
#[derive(Clone, Debug)]
pub struct Shape {
    /// The columns that some reader needs, in the order of the stream's schema.
    pub schema: SchemaRef,
    /// Whether each row of a windowed stream carries its window, in the hidden column. Decided for `window` nodes by
    /// their readers.
    pub explicit_windows: bool,
    /// Whether the `window` node itself must judge lateness.
    pub judge: bool,
    /// Whether split and position travel along.
    pub origin: bool,
    /// Whether anybody reads the stream at all; rows for a stream nobody reads need not be made.
    pub read: bool,
}

/// What a factory of operators is told.
pub struct OperatorContext {
    /// The node's name.
    pub node: String,
    /// Which subtask it is, from 0.
    pub subtask: usize,
    /// How many there are.
    pub parallelism: usize,
    /// `runtime.key_groups`.
    pub key_groups: u16,
    /// `runtime.batch_rows`: a good size for a batch.
    pub batch_rows: usize,
    /// What to do with bad rows.
    pub on_bad_row: OnBadRow,
    /// The physical shape of each input.
    pub inputs: Vec<Shape>,
    /// The physical shape of each output.
    pub outputs: Vec<Shape>,
}

/// Makes the subtasks of an operator node.
pub trait OperatorFactory: Send + Sync {
    /// The columns needed of each input, when these are needed of each output.
    fn required(&self, outputs: &[Columns]) -> Vec<Columns>;

    /// What matters to its state when these columns are needed of each output. `None`: all options, and all that flows into it, as it flows.
    fn matters(&self, _outputs: &[Columns]) -> Option<Matters> {
        None
    }

    /// A fresh subtask. Emits on each port batches with exactly the columns of that output's shape.
    fn make(&self, context: &OperatorContext) -> Result<Box<dyn Operator>>;

    /// Aggregates on the sender's side of an input, before rows are divided among subtasks; `None`: it would change the answer.
    /// `context` is that of any subtask.
    fn combiner(&self, input: usize, context: &OperatorContext) -> Result<Option<Box<dyn Combiner>>> {
        let _ = (input, context);
        Ok(None)
    }
}

/// What a factory of sources is told.
pub struct SourceContext {
    /// The node's name.
    pub node: String,
    /// `runtime.batch_rows`: rows of a batch, at most.
    pub batch_rows: usize,
    /// `runtime.workers`: how many threads it may use for decoding, at most.
    pub workers: usize,
    /// The physical shape of each output.
    pub outputs: Vec<Shape>,
    /// Where to go on, by split; none at the start.
    pub positions: Vec<(u32, Position)>,
}

/// Makes the one subtask of a source node.
pub trait SourceFactory: Send + Sync {
    /// The names of its splits, sorted. Every source has at least one.
    fn splits(&self) -> Result<Vec<String>>;

    /// A fresh reader over all splits.
    fn make(&self, context: &SourceContext) -> Result<Box<dyn Source>>;

    /// What has become of its input since it stood there, for a run that is about to go on.
    fn since(&self, _: &[SplitStand]) -> Result<Since> {
        Ok(Since::default())
    }

    /// Whether a run that starts anew is given the same rows again (files that stay as they are), so that a failure loses
    /// none for good.
    fn repeats(&self) -> bool {
        false
    }

    /// Whether those who hand rows to it are told that these were taken only when a checkpoint covers them
    /// ([`Door::covered`](crate::source::Door::covered)), so that they send again what a failure loses. Such a source needs checkpoints.
    fn acknowledges(&self) -> bool {
        false
    }

    /// How many rows or bytes there are to read in all, where that is known: for progress.
    fn size_hint(&self) -> Option<u64> {
        None
    }

    /// How many of the rows or bytes of [`size_hint`](SourceFactory::size_hint) lie before a position of this split.
    fn progress(&self, split: u32, position: &Position) -> Option<u64> {
        let _ = (split, position);
        None
    }
}

/// What a factory of sinks is told.
pub struct SinkContext {
    /// The node's name.
    pub node: String,
    /// Which subtask it is, from 0.
    pub subtask: usize,
    /// The physical shape of its input.
    pub input: Shape,
    /// What to do with bad rows.
    pub on_bad_row: OnBadRow,
    /// Where a view makes itself known.
    pub views: Views,
    /// Whether there are checkpoints: then [`prepare`](Sink::prepare) and [`commit`](Sink::commit) say what may be seen, and
    /// all has been committed when [`finish`](Sink::finish) is called.
    pub checkpoints: bool,
}

/// Makes the subtasks of a sink node.
pub trait SinkFactory: Send + Sync {
    /// The columns that it needs.
    fn required(&self) -> Columns;

    /// Whether it blocks (files, sockets) and so wants a thread of its own.
    fn blocks(&self) -> bool {
        true
    }

    /// Whether it only publishes a view of its rows (see [`SinkContext::views`]). Tests in the file run such a sink as it is and
    /// put a reader of their own in the place of any other.
    fn is_view(&self) -> bool {
        false
    }

    /// What it has given out when a run does not come to its end.
    fn delivery(&self) -> Delivery {
        Delivery::Immediate
    }

    /// Whether it may be unable to write a row, and then follows [`SinkContext::on_bad_row`]; else `check` warns of that key.
    fn has_bad_rows(&self) -> bool {
        true
    }

    /// Whether it writes in two phases: what can be seen of it is what checkpoints cover, and going back to an older one cuts it back.
    fn two_phase(&self) -> bool {
        false
    }

    /// The columns that it writes, in order. `None`: as they flow.
    fn writes(&self) -> Option<Vec<String>> {
        None
    }

    /// What matters to its state. `None`: all options and the columns that it needs.
    fn matters(&self) -> Option<Matters> {
        None
    }

    /// A fresh subtask.
    fn make(&self, context: &SinkContext) -> Result<Box<dyn Sink>>;
}

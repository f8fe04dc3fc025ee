//! `view`: a materialised view, a table that follows a stream and can be read at any time.
//!
//! The sink turns batches into rows of bytes and applies each to the [`contents`], which say what looks different now. That is
//! applied under one lock to the [`table`] that readers share ([`reader`]), so that every read is of one version; or it waits for
//! its checkpoint ([`pending`]). What the view holds in the end does not depend on how rows were divided into batches. `plan` has
//! the options, `rows` the form of rows as bytes, `ordered` the map in which the table keeps them.

mod contents;
mod ordered;
mod pending;
mod plan;
mod reader;
mod rows;
mod table;

use std::sync::Arc;

use arrow::array::AsArray;
use arrow::array::{ArrayRef, BinaryArray, Int64Array, RecordBatch, UInt32Array};
use arrow::datatypes::{DataType, Field, Int64Type, Schema, UInt32Type};
use millstream_api::message::CheckpointId;
use millstream_api::operator::Fates;
use millstream_api::plan::{Columns, Delivery, SinkContext, SinkFactory};
use millstream_api::sink::Finish;
use millstream_api::state::{StateReader, StateWriter};
use millstream_api::view::Views;
use millstream_api::{Batch, Result, Sink};

pub use self::plan::ViewOptions;

use self::contents::{Applied, Change, Contents, Held, Kept, Rank};
use self::pending::Pending;
use self::plan::Settings;
use self::reader::{Reader, Shared};
use self::rows::RowFormat;

/// The state with the rows that are kept.
const ROWS: &str = "rows";

/// The state with one row that says how far the view has come.
const PROGRESS: &str = "progress";

/// A view is in one subtask, so its keys need no key groups.
const ONE_GROUP: u16 = 1;

struct ViewFactory {
    settings: Settings,
}

impl SinkFactory for ViewFactory {
    fn required(&self) -> Columns {
        self.settings.required.clone()
    }

    fn writes(&self) -> Option<Vec<String>> {
        Some(self.settings.columns.clone())
    }

    fn blocks(&self) -> bool {
        false
    }

    fn delivery(&self) -> Delivery {
        Delivery::Held
    }

    fn is_view(&self) -> bool {
        true
    }

    fn two_phase(&self) -> bool {
        self.settings.committed
    }

    fn has_bad_rows(&self) -> bool {
        false
    }

    fn make(&self, context: &SinkContext) -> Result<Box<dyn Sink>> {
        let format = Arc::new(RowFormat::new(&context.input.schema, &self.settings.columns, &self.settings.key)?);
        let shared = Arc::new(Shared::default());
        let contents = Contents::new(self.settings.rules);
        let pending = (self.settings.committed && context.checkpoints).then(Pending::default);
        let (name, views) = (context.node.clone(), context.views.clone());
        Ok(Box::new(ViewSink { name, views, format, contents, shared, pending, by_position: self.settings.by_position }))
    }
}

struct ViewSink {
    name: String,
    /// Where it makes itself known.
    views: Views,
    format: Arc<RowFormat>,
    contents: Contents,
    /// What readers see.
    shared: Arc<Shared>,
    /// What they do not see yet, where they see only what checkpoints cover.
    pending: Option<Pending>,
    /// Whether rows of one time are ordered by their place in the source.
    by_position: bool,
}

impl Sink for ViewSink {
    fn write(&mut self, batch: Batch, fates: &mut Fates) -> Result<()> {
        let rows = self.format.rows(batch.records())?;
        let keys = self.format.keys(batch.records())?;
        let weights = batch.weights();
        let by_position = self.by_position;
        let changes = (0..batch.rows()).map(|row| Change {
            key: keys.as_ref().map(|keys| keys.row(row).as_ref().into()),
            held: Held { row: rows.row(row).as_ref().into(), rank: rank(&batch, row, by_position) },
            is_withdrawn: weights.is_some_and(|weights| weights[row] < 0),
        });
        let Applied { expired, shown } = self.contents.apply(changes);
        fates.expired += expired;
        fates.taken += batch.rows() as u64 - expired;
        match &mut self.pending {
            Some(pending) => pending.push(shown),
            None => self.shared.apply(self.contents.version(), shown),
        }
        Ok(())
    }

    fn prepare(&mut self, checkpoint: CheckpointId, state: &mut StateWriter) -> Result<()> {
        let kept = self.contents.kept();
        self.put(checkpoint, kept, state)
    }

    fn note_changes(&mut self) -> bool {
        self.contents.note_changes();
        true
    }

    fn prepare_changes(&mut self, checkpoint: CheckpointId, state: &mut StateWriter) -> Result<()> {
        let (gone, kept) = self.contents.kept_changes();
        let keys: ArrayRef = Arc::new(BinaryArray::from_iter_values(&gone));
        state.put_gone(&[keys], gone.len(), ONE_GROUP)?;
        self.put(checkpoint, kept, state)
    }

    fn state_bytes(&self) -> usize {
        self.contents.size_bytes()
    }

    fn commit(&mut self, checkpoint: CheckpointId) -> Result<()> {
        if let Some((version, shown)) = self.pending.as_mut().and_then(|pending| pending.commit(checkpoint)) {
            self.shared.apply(version, shown);
        }
        Ok(())
    }

    fn restore(&mut self, state: &StateReader) -> Result<()> {
        for records in state.get(ROWS) {
            from_state(records).for_each(|kept| self.contents.restore(kept, self.format.has_key()));
        }
        for records in state.get(PROGRESS).filter(|records| records.num_rows() > 0) {
            let number = |column: usize| records.column(column).as_primitive::<Int64Type>().iter().next().flatten();
            self.contents.restore_progress(number(0).unwrap_or_default() as u64, number(1));
        }
        self.shared.reset(self.contents.version(), self.contents.visible());
        Ok(())
    }

    /// Not before: a view that is brought back must not be seen empty, and the one that it takes the place of is there as long.
    fn start(&mut self) -> Result<()> {
        self.views.publish(&self.name, Arc::new(Reader::new(self.format.clone(), self.shared.clone())));
        Ok(())
    }

    fn finish(&mut self, _: Finish) -> Result<()> {
        Ok(())
    }
}

impl ViewSink {
    /// Writes these rows, and how far the view has come.
    fn put(&mut self, checkpoint: CheckpointId, kept: Vec<Kept>, state: &mut StateWriter) -> Result<()> {
        if let Some(pending) = &mut self.pending {
            pending.close(checkpoint, self.contents.version());
        }
        if !kept.is_empty() {
            state.put(ROWS, to_state(kept)?);
        }
        state.put(PROGRESS, progress_to_state(self.contents.progress())?);
        Ok(())
    }
}

/// How new a row is; rows of one time are ordered by their place in the source if `by_position`.
fn rank(batch: &Batch, row: usize, by_position: bool) -> Rank {
    let place = batch.hidden().origin.as_ref().filter(|_| by_position);
    let place = place.map(|origin| (origin.split.value(row), origin.position.value(row)));
    Rank::new(batch.times().map(|times| times[row]), place)
}

/// One row of state for each row that is kept, for each withdrawal without its row yet.
fn to_state(kept: Vec<Kept>) -> Result<RecordBatch> {
    let bytes = |of: fn(&Kept) -> &[u8]| Arc::new(BinaryArray::from_iter_values(kept.iter().map(of))) as ArrayRef;
    let numbers = |of: fn(&Kept) -> i64| Arc::new(Int64Array::from_iter_values(kept.iter().map(of))) as ArrayRef;
    let columns: Vec<(&str, ArrayRef)> = vec![
        ("k0", bytes(|kept| &kept.key)),
        ("row", bytes(|kept| &kept.held.row)),
        ("count", numbers(|kept| kept.count)),
        ("time", numbers(|kept| kept.held.rank.time)),
        ("position", numbers(|kept| kept.held.rank.place.1)),
        ("split", Arc::new(UInt32Array::from_iter_values(kept.iter().map(|kept| kept.held.rank.place.0)))),
    ];
    let fields: Vec<Field> = columns.iter().map(|(name, array)| Field::new(*name, array.data_type().clone(), false)).collect();
    Ok(RecordBatch::try_new(Arc::new(Schema::new(fields)), columns.into_iter().map(|(_, array)| array).collect())?)
}

fn progress_to_state((version, newest): (u64, Option<i64>)) -> Result<RecordBatch> {
    let field = |name: &str| Field::new(name, DataType::Int64, true);
    let columns: Vec<ArrayRef> = vec![Arc::new(Int64Array::from(vec![version as i64])), Arc::new(Int64Array::from(vec![newest]))];
    Ok(RecordBatch::try_new(Arc::new(Schema::new(vec![field("version"), field("newest")])), columns)?)
}

fn from_state(records: &RecordBatch) -> impl Iterator<Item = Kept> + '_ {
    debug_assert_eq!(records.column(0).data_type(), &DataType::Binary);
    let bytes = |column: usize| records.column(column).as_binary::<i32>();
    let number = |column: usize| records.column(column).as_primitive::<Int64Type>();
    (0..records.num_rows()).map(move |row| Kept {
        key: bytes(0).value(row).into(),
        count: number(2).value(row),
        held: Held {
            row: bytes(1).value(row).into(),
            rank: Rank {
                time: number(3).value(row),
                place: (records.column(5).as_primitive::<UInt32Type>().value(row), number(4).value(row)),
            },
        },
    })
}

#[cfg(test)]
mod tests;

//! From bytes to columns: what every source and test that reads JSON lines or CSV shares.
//!
//! A [`Block`] is a piece of one input that starts and ends where a record does. A [`Decode`] turns it into batches and bad
//! rows, in order, saying after each where it stands. Decoders keep nothing between blocks that could change what they give
//! (only guesses that make them faster), so blocks may be decoded on any thread in any order.
//!
//! Nothing here opens a file. Modules in reading order:
//!
//! - [`schema`]: what the user declares
//! - [`column`], [`strings`]: what is being built
//! - [`text`], [`number`], [`instant`]: single values
//! - [`marks`]: where a scanner must stop
//! - [`json`], [`csv`], [`debezium`]: the formats; `csv_scan`: the usual records of CSV; [`csv_keys`]: its keys in the file
//! - [`infer`]: a schema from sample rows
//! - [`seam`]: what fuzz targets call

pub(crate) mod column;
pub(crate) mod csv;
pub(crate) mod csv_keys;
mod csv_scan;
pub(crate) mod debezium;
pub(crate) mod infer;
pub(crate) mod instant;
pub(crate) mod json;
pub(crate) mod marks;
pub(crate) mod number;
pub mod schema;
#[doc(hidden)]
pub mod seam;
pub(crate) mod strings;
pub(crate) mod text;

use std::sync::Arc;

use arrow::array::{Int8Array, RecordBatch, RecordBatchOptions};
use arrow::datatypes::SchemaRef;
use millstream_api::error::{BadRow, Result};

use self::column::{ColumnSet, Mismatch};
use self::schema::ColumnSpec;

/// A piece of one input; starts where a record starts and ends where one ends.
#[derive(Clone, Debug)]
pub(crate) struct Block {
    /// The bytes.
    pub(crate) bytes: Vec<u8>,
    /// For CSV: how many fields a record has and which of them are wanted.
    pub(crate) header: Option<Arc<csv::Header>>,
}

/// Rows of a block and where in it they end.
#[derive(Debug)]
pub(crate) struct Decoded {
    /// The good rows.
    pub(crate) records: RecordBatch,
    /// Of a format that says changes: whether each row comes (1) or goes (−1).
    pub(crate) weights: Option<Int8Array>,
    /// The bad ones.
    pub(crate) bad: Vec<BadRecord>,
    /// The bytes of the block up to the end of these rows.
    pub(crate) end_bytes: usize,
    /// Lines of the block up to there.
    pub(crate) end_lines: u64,
}

/// A record that is no row.
///
/// Blocks may be decoded before it is known where they stand, so it only knows its place in its own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct BadRecord {
    /// What is wrong with it.
    pub(crate) reason: String,
    /// Lines of the block before it.
    pub(crate) line: u64,
    /// Its text.
    pub(crate) raw: String,
}

impl BadRecord {
    /// As a bad row of the input that is called `name`, when the first line of the block has this number there.
    pub(crate) fn placed(self, name: &str, first_line: u64) -> BadRow {
        BadRow { reason: self.reason, place: format!("{name}:{}", first_line + self.line), raw: self.raw }
    }
}

/// About how many bytes are looked at before they are decoded, so that they are still in the core's nearest cache.
const PIECE_BYTES: usize = 16 << 10;

/// Turns blocks into batches.
pub(crate) trait Decode: Send {
    /// All rows of a block, in batches of at most the rows that the decoder was made for, counting bad ones.
    fn decode(&mut self, block: &Block) -> Result<Vec<Decoded>>;
}

/// Collects the rows of one block into batches; the part of a decoder that does not depend on the format.
#[derive(Debug)]
pub(crate) struct Batches {
    columns: ColumnSet,
    schema: SchemaRef,
    batch_rows: usize,
    /// Bytes and lines of the block before.
    before: (usize, u64),
    /// Whether rows have weights.
    changes: bool,
}

impl Batches {
    /// For rows of these columns, `batch_rows` to a batch at most.
    pub(crate) fn new(specs: &[ColumnSpec], batch_rows: usize) -> Result<Self> {
        Ok(Batches {
            columns: ColumnSet::from_specs(specs)?,
            schema: schema::arrow_schema(specs),
            batch_rows: batch_rows.max(1),
            before: (0, 0),
            changes: false,
        })
    }

    /// The same for rows that come and go. The rows of one record stay together, so that a batch may have one row more.
    pub(crate) fn of_changes(specs: &[ColumnSpec], batch_rows: usize) -> Result<Self> {
        Ok(Batches { changes: true, ..Batches::new(specs, batch_rows)? })
    }

    /// Begins a block.
    pub(crate) fn begin<'a>(&'a mut self, block: &'a Block) -> BlockRows<'a> {
        let rows = self.rows_of_batch(block.bytes.len());
        BlockRows { batches: self, block, rows, seen: 0, good: 0, weights: Vec::new(), bad: Vec::new(), line: 0, done: Vec::new() }
    }

    /// How many rows to put into a batch of a block of so many bytes. They are spread evenly, as far as the lines of the block before tell,
    /// because a batch of few rows costs nearly as much as one of many.
    fn rows_of_batch(&self, bytes: usize) -> usize {
        let (bytes_before, lines_before) = self.before;
        let lines = bytes as f64 * lines_before as f64 / bytes_before.max(1) as f64;
        let batches = (lines / self.batch_rows as f64).ceil();
        // A little more, as lines differ.
        if batches > 1.0 { self.batch_rows.min((lines / batches * 1.02).ceil() as usize) } else { self.batch_rows }
    }
}

/// The rows of the block that is being decoded.
pub(crate) struct BlockRows<'a> {
    batches: &'a mut Batches,
    block: &'a Block,
    /// Rows of a batch.
    rows: usize,
    /// Rows since the last batch, good and bad.
    seen: usize,
    /// The good ones of them …
    good: usize,
    /// … and their weights, where rows have some.
    weights: Vec<i8>,
    bad: Vec<BadRecord>,
    /// Lines read.
    line: u64,
    done: Vec<Decoded>,
}

impl BlockRows<'_> {
    /// The columns to write to.
    pub(crate) fn columns(&mut self) -> &mut ColumnSet {
        &mut self.batches.columns
    }

    /// How many rows more the batch takes.
    pub(crate) fn room(&self) -> usize {
        self.rows - self.seen
    }

    /// Ends `rows` records of a line each that have been written, the last of which stops at byte `end` of the block.
    pub(crate) fn end_good_rows(&mut self, rows: usize, end: usize) -> Result<()> {
        self.good += rows;
        self.seen += rows;
        self.line += rows as u64;
        if self.seen >= self.rows { self.flush(end) } else { Ok(()) }
    }

    /// Goes over a record that is no row: `lines` lines of nothing.
    pub(crate) fn skip(&mut self, lines: u64) {
        self.line += lines;
    }

    /// Ends a record of `lines` lines that stops at byte `end` of the block. `written` says whether its row is complete; if it
    /// is not, what it has written is taken back and it is a bad row with `raw` as its text.
    pub(crate) fn end_row(&mut self, written: Result<(), Mismatch>, raw: &[u8], lines: u64, end: usize) -> Result<()> {
        self.end_rows(written.map(|()| &[1][..]), raw, lines, end)
    }

    /// The same for a record of several rows (or none) with these weights, which is good or bad as a whole.
    pub(crate) fn end_rows(&mut self, written: Result<&[i8], Mismatch>, raw: &[u8], lines: u64, end: usize) -> Result<()> {
        match written {
            Ok(weights) => {
                if self.batches.changes {
                    self.weights.extend_from_slice(weights);
                }
                self.good += weights.len();
                self.seen += weights.len();
            }
            Err(reason) => {
                self.batches.columns.truncate(self.good);
                self.bad.push(BadRecord { reason, line: self.line, raw: String::from_utf8_lossy(raw).into_owned() });
                self.seen += 1;
            }
        }
        self.line += lines;
        if self.seen >= self.rows { self.flush(end) } else { Ok(()) }
    }

    /// Ends the block.
    pub(crate) fn finish(mut self) -> Result<Vec<Decoded>> {
        let end = self.block.bytes.len();
        self.batches.before = (end, self.line);
        if self.seen > 0 {
            self.flush(end)?;
        } else if let Some(last) = self.done.last_mut() {
            (last.end_bytes, last.end_lines) = (end, self.line);
        }
        Ok(std::mem::take(&mut self.done))
    }

    fn flush(&mut self, end: usize) -> Result<()> {
        let columns = &mut self.batches.columns;
        let options = RecordBatchOptions::new().with_row_count(Some(columns.len));
        let arrays = columns.finish()?;
        let records = RecordBatch::try_new_with_options(self.batches.schema.clone(), arrays, &options)?;
        let weights = std::mem::take(&mut self.weights);
        let weights = self.batches.changes.then(|| Int8Array::from(weights));
        self.done.push(Decoded { records, weights, bad: std::mem::take(&mut self.bad), end_bytes: end, end_lines: self.line });
        (self.seen, self.good) = (0, 0);
        Ok(())
    }
}

/// A decoder may be dropped in the middle of a block only when the run has failed; the next block finds it empty either way.
impl Drop for BlockRows<'_> {
    fn drop(&mut self) {
        self.batches.columns.truncate(0);
    }
}

//! From bytes to columns: what every source and test that reads JSON lines or CSV shares.
//!
//! A [`Block`] is a piece of one input that starts and ends where a record does. A [`Decode`] turns it into batches and bad
//! rows, in order, saying after each where it stands. Decoders keep nothing between blocks that could change what they give
//! (only guesses that make them faster), so blocks may be decoded on any thread in any order.
//!
//! Nothing here opens a file. Modules in reading order: [`schema`] is what the user declares, [`column`] what is being built,
//! [`text`] and [`instant`] single values, [`json`] and [`csv`] the formats, [`csv_keys`] the keys of csv, [`infer`] a schema from sample rows.

pub(crate) mod column;
pub(crate) mod csv;
pub(crate) mod csv_keys;
pub(crate) mod infer;
pub(crate) mod instant;
pub(crate) mod json;
pub mod schema;
pub(crate) mod text;

use std::sync::Arc;

use arrow::array::{RecordBatch, RecordBatchOptions};
use arrow::datatypes::SchemaRef;
use millstream_api::error::{BadRow, Result};

use self::column::{ColumnSet, Mismatch};
use self::schema::ColumnSpec;

/// A piece of one input; starts where a record starts and ends where one ends.
#[derive(Clone, Debug)]
pub(crate) struct Block {
    /// The bytes.
    pub(crate) bytes: Vec<u8>,
    /// What to call the input in places: `departures.ndjson`.
    pub(crate) name: Arc<str>,
    /// The number of the first line, from 1.
    pub(crate) first_line: u64,
    /// How many lines there are.
    pub(crate) lines: usize,
    /// For CSV: how many fields a record has and which of them are wanted.
    pub(crate) header: Option<Arc<csv::Header>>,
}

/// Rows of a block and where in it they end.
#[derive(Debug)]
pub(crate) struct Decoded {
    /// The good rows.
    pub(crate) records: RecordBatch,
    /// The bad ones.
    pub(crate) bad: Vec<BadRow>,
    /// The bytes of the block up to the end of these rows.
    pub(crate) end_bytes: usize,
    /// Lines of the block up to there.
    pub(crate) end_lines: u64,
}

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
}

impl Batches {
    /// For rows of these columns, `batch_rows` to a batch at most.
    pub(crate) fn new(specs: &[ColumnSpec], batch_rows: usize) -> Result<Self> {
        Ok(Batches { columns: ColumnSet::from_specs(specs)?, schema: schema::arrow_schema(specs), batch_rows: batch_rows.max(1) })
    }

    /// Begins a block. Its rows are spread evenly, because a batch of few rows costs nearly as much as one of many.
    pub(crate) fn begin<'a>(&'a mut self, block: &'a Block) -> BlockRows<'a> {
        let batches = block.lines.div_ceil(self.batch_rows).max(1);
        let rows = block.lines.div_ceil(batches).max(1);
        BlockRows { batches: self, block, rows, seen: 0, bad: Vec::new(), line: 0, done: Vec::new() }
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
    bad: Vec<BadRow>,
    /// Lines read.
    line: u64,
    done: Vec<Decoded>,
}

impl BlockRows<'_> {
    /// The columns to write to.
    pub(crate) fn columns(&mut self) -> &mut ColumnSet {
        &mut self.batches.columns
    }

    /// Goes over a record that is no row: `lines` lines of nothing.
    pub(crate) fn skip(&mut self, lines: u64) {
        self.line += lines;
    }

    /// Ends a record of `lines` lines that stops at byte `end` of the block. `written` says whether its row is complete; if it
    /// is not, what it has written is taken back and it is a bad row with `raw` as its text.
    pub(crate) fn end_row(&mut self, written: Result<(), Mismatch>, raw: &[u8], lines: u64, end: usize) -> Result<()> {
        if let Err(reason) = written {
            self.batches.columns.truncate(self.seen - self.bad.len());
            let place = format!("{}:{}", self.block.name, self.block.first_line + self.line);
            self.bad.push(BadRow { reason, place, raw: String::from_utf8_lossy(raw).into_owned() });
        }
        self.line += lines;
        self.seen += 1;
        if self.seen == self.rows { self.flush(end) } else { Ok(()) }
    }

    /// Ends the block.
    pub(crate) fn finish(mut self) -> Result<Vec<Decoded>> {
        let end = self.block.bytes.len();
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
        self.done.push(Decoded { records, bad: std::mem::take(&mut self.bad), end_bytes: end, end_lines: self.line });
        self.seen = 0;
        Ok(())
    }
}

/// A decoder may be dropped in the middle of a block only when the run has failed; the next block finds it empty either way.
impl Drop for BlockRows<'_> {
    fn drop(&mut self) {
        self.batches.columns.truncate(0);
    }
}

//! The running part of the `file` source.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use millstream_api::Source;
use millstream_api::error::{Error, Result};
use millstream_api::plan::{SourceContext, SourceFactory};
use millstream_api::source::{Next, Position, SourcePart, SourceRows};

use super::blocks::{BlockReader, Framing};
use super::paths::InputFile;
use super::pipeline::{Came, DecodedBlock, Pipeline};
use super::position::FilePosition;
use crate::decode::csv::{CsvDecoder, Dialect};
use crate::decode::json::JsonDecoder;
use crate::decode::schema::{ColumnSpec, flowing};
use crate::decode::{Decode, Decoded};

/// Large enough that handing it over costs nothing and its batches have thousands of rows, small enough to stay in a core's cache
/// between reading and decoding.
const BLOCK_BYTES: usize = 1 << 20;

/// The files are one split.
const SPLIT: u32 = 0;

/// How the files are written, resolved.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Format {
    Json,
    Csv(Dialect),
}

impl Format {
    /// How files are cut into records.
    pub(crate) fn framing(&self, all: &[ColumnSpec], wanted: &[ColumnSpec]) -> Framing {
        match self {
            Format::Json => Framing::Lines,
            Format::Csv(dialect) => Framing::Csv { dialect: dialect.clone(), all: all.to_vec(), wanted: wanted.to_vec() },
        }
    }

    /// What turns records into rows.
    pub(crate) fn decoder(&self, wanted: &[ColumnSpec], batch_rows: usize) -> Result<Box<dyn Decode>> {
        Ok(match self {
            Format::Json => Box::new(JsonDecoder::new(wanted, batch_rows)?),
            Format::Csv(dialect) => Box::new(CsvDecoder::new(wanted, dialect.clone(), batch_rows)?),
        })
    }
}

/// Makes readers of the files that were there when the topology was planned.
#[derive(Debug)]
pub(crate) struct FileFactory {
    path: String,
    files: Arc<[InputFile]>,
    format: Format,
    columns: Vec<ColumnSpec>,
    block_bytes: usize,
}

impl FileFactory {
    pub(crate) fn new(path: String, files: Vec<InputFile>, format: Format, columns: Vec<ColumnSpec>) -> Self {
        FileFactory { path, files: files.into(), format, columns, block_bytes: BLOCK_BYTES }
    }

    /// The same with blocks of another size; for tests, where files are small.
    #[cfg(test)]
    pub(crate) fn with_block_bytes(self, block_bytes: usize) -> Self {
        FileFactory { block_bytes, ..self }
    }

    /// The columns that are asked for, in the order of the shape.
    fn wanted(&self, context: &SourceContext) -> Result<Vec<ColumnSpec>> {
        let shape = context.outputs.first().ok_or_else(|| Error::internal("a file source without an output"))?;
        flowing(&self.columns, &shape.schema)
    }
}

impl SourceFactory for FileFactory {
    fn splits(&self) -> Result<Vec<String>> {
        Ok(vec![self.path.clone()])
    }

    fn repeats(&self) -> bool {
        true
    }

    fn make(&self, context: &SourceContext) -> Result<Box<dyn Source>> {
        let wanted = self.wanted(context)?;
        let position = context.positions.iter().find(|(split, _)| *split == SPLIT);
        let position = position.map(|(_, position)| FilePosition::from_position(position)).transpose()?;
        let framing = self.format.framing(&self.columns, &wanted);
        let reader = BlockReader::new(self.files.clone(), framing, self.block_bytes, position.as_ref())?;
        let decoders = (0..context.workers.max(1)).map(|_| self.format.decoder(&wanted, context.batch_rows));
        let pipeline = Pipeline::start(reader, decoders.collect::<Result<_>>()?)?;
        let rows = position.map_or(0, |position| position.rows);
        Ok(Box::new(FileSource { state: State::Reading(pipeline), pending: VecDeque::new(), rows }))
    }

    fn size_hint(&self) -> Option<u64> {
        Some(self.files.iter().map(|file| file.size_bytes).sum())
    }

    fn progress(&self, _: u32, position: &Position) -> Option<u64> {
        let position = FilePosition::from_position(position).ok()?;
        let before: u64 = self.files.iter().take_while(|file| *file.name != *position.file).map(|file| file.size_bytes).sum();
        Some(before.saturating_add(position.offset))
    }
}

/// Hands on what the pipeline decodes.
#[derive(Debug)]
struct FileSource {
    state: State,
    /// Batches of the block that came last.
    pending: VecDeque<PlacedBatch>,
    /// Good rows of the split so far.
    rows: i64,
}

#[derive(Debug)]
enum State {
    Reading(Pipeline),
    /// All is read; the threads are gone.
    Ended,
}

/// A batch and the place after it.
#[derive(Debug)]
struct PlacedBatch {
    decoded: Decoded,
    name: Arc<str>,
    offset: u64,
    line: u64,
}

impl Source for FileSource {
    fn next(&mut self, wait: Duration) -> Result<Next> {
        loop {
            if let Some(batch) = self.pending.pop_front() {
                return self.rows_of(batch).map(Next::Rows);
            }
            let came = match &mut self.state {
                State::Reading(pipeline) => pipeline.next(wait)?,
                State::Ended => return Ok(Next::End),
            };
            match came {
                Came::Rows(block) => self.pending.extend(placed(block)),
                Came::Nothing => return Ok(Next::Nothing),
                Came::End => {
                    self.state = State::Ended;
                    return Ok(Next::SplitEnd(SPLIT));
                }
            }
        }
    }
}

impl FileSource {
    fn rows_of(&mut self, batch: PlacedBatch) -> Result<SourceRows> {
        let first_row = self.rows;
        self.rows += batch.decoded.records.num_rows() as i64;
        let position = FilePosition { file: batch.name.to_string(), offset: batch.offset, line: batch.line, rows: self.rows };
        Ok(SourceRows {
            split: SPLIT,
            parts: vec![SourcePart { output: 0, records: batch.decoded.records, first_row }],
            bad: batch.decoded.bad,
            position: position.to_position()?,
        })
    }
}

fn placed(block: DecodedBlock) -> impl Iterator<Item = PlacedBatch> {
    let DecodedBlock { name, offset, first_line, batches } = block;
    batches.into_iter().map(move |decoded| PlacedBatch {
        name: name.clone(),
        offset: offset + decoded.end_bytes as u64,
        line: first_line + decoded.end_lines,
        decoded,
    })
}

//! Where rows stand: known only once decoded blocks are in order again.
//!
//! The decoders count lines by the way, of several blocks at a time. The line at which a block starts is that of the block before it
//! and its lines, so the numbers are put together here, on the thread that takes the blocks in order.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{Int8Array, RecordBatch};
use millstream_api::error::BadRow;

use super::blocks::FirstLine;
use super::position::Place;
use super::reading::Mark;
use crate::decode::Decoded;

/// Rows, and where they stand.
#[derive(Debug)]
pub(crate) struct PlacedBatch {
    pub(crate) split: u32,
    /// The good rows.
    pub(crate) records: RecordBatch,
    /// Of a format that says changes: whether each comes (1) or goes (−1).
    pub(crate) weights: Option<Int8Array>,
    /// The bad ones.
    pub(crate) bad: Vec<BadRow>,
    /// The name of the file.
    pub(crate) name: Arc<str>,
    /// The place after these rows.
    pub(crate) end: Place,
    /// Which file it is, where files are followed.
    pub(crate) mark: Option<Box<Mark>>,
}

/// The rows of a block of text.
#[derive(Debug)]
pub(crate) struct DecodedText {
    pub(crate) split: u32,
    pub(crate) batches: Vec<Decoded>,
    /// The name of the file.
    pub(crate) name: Arc<str>,
    /// The byte of the text at which the block starts.
    pub(crate) offset: u64,
    pub(crate) first_line: FirstLine,
    /// How many lines it has.
    pub(crate) lines: u64,
    /// Which file it is, where files are followed.
    pub(crate) mark: Option<Box<Mark>>,
}

/// The line at which the next block of each split starts.
#[derive(Debug, Default)]
pub(crate) struct Lines(BTreeMap<u32, u64>);

impl Lines {
    /// Says of the rows of a block where they stand. To be asked in the order of the blocks.
    pub(crate) fn place(&mut self, text: DecodedText) -> impl Iterator<Item = PlacedBatch> {
        let DecodedText { split, batches, name, offset, first_line, lines, mark } = text;
        let next = self.0.entry(split).or_insert(1);
        let first_line = match first_line {
            FirstLine::At(line) => line,
            FirstLine::Next => *next,
        };
        *next = first_line + lines;
        batches.into_iter().map(move |decoded| PlacedBatch {
            split,
            records: decoded.records,
            weights: decoded.weights,
            bad: decoded.bad.into_iter().map(|bad| bad.placed(&name, first_line)).collect(),
            name: name.clone(),
            end: Place::Text { offset: offset + decoded.end_bytes as u64, line: first_line + decoded.end_lines },
            mark: mark.clone(),
        })
    }
}

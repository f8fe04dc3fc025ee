//! How groups of panes lie on disk: in blocks of rows of one pane and key group.
//!
//! ```text
//! key := first second group number   first, second: the pane, 8 bytes each, in the order of numbers
//!                                    group: its key group, 2 bytes; number: of the block, 8 bytes; all big-endian
//! ```
//!
//! So a pane is a range of keys, and a key group of it one within. Blocks are never changed: what comes to a pane later is in
//! blocks of its own.

use arrow::array::{AsArray, RecordBatch};
use arrow::compute::interleave_record_batch;
use arrow::datatypes::Int64Type;
use millstream_api::error::{Error, Result};
use millstream_api::state::{PaneKey, StateRows, pane_columns};

use super::codec::{self, Form};

/// Where the group stands in a key.
pub(super) const GROUP_AT: usize = 16;

/// Rows that are put in order at once, so that what is made of them on the way is small beside them.
const ROWS_AT_ONCE: usize = 4096;

/// A block that has so many bytes gets no further row.
const BLOCK_BYTES: usize = 256 * 1024;

/// The keys of all blocks of a pane begin with it.
pub(super) fn pane_prefix((first, second): PaneKey) -> [u8; GROUP_AT] {
    let mut prefix = [0; GROUP_AT];
    for (bytes, number) in prefix.chunks_exact_mut(8).zip([first, second]) {
        bytes.copy_from_slice(&ordered(number));
    }
    prefix
}

/// A number as bytes that are in its order.
pub(super) fn ordered(number: i64) -> [u8; 8] {
    // The sign bit turned round, so that negative numbers come first.
    (number ^ i64::MIN).to_be_bytes()
}

/// The keys of all blocks of a key group of a pane begin with it.
pub(super) fn group_prefix(pane: PaneKey, group: u16) -> [u8; GROUP_AT + 2] {
    let mut prefix = [0; GROUP_AT + 2];
    prefix[..GROUP_AT].copy_from_slice(&pane_prefix(pane));
    prefix[GROUP_AT..].copy_from_slice(&group.to_be_bytes());
    prefix
}

/// The key of a block.
pub(super) fn key(pane: PaneKey, group: u16, number: u64) -> [u8; GROUP_AT + 10] {
    let mut key = [0; GROUP_AT + 10];
    key[..GROUP_AT + 2].copy_from_slice(&group_prefix(pane, group));
    key[GROUP_AT + 2..].copy_from_slice(&number.to_be_bytes());
    key
}

/// The group of a block, by its key.
pub(super) fn group_of(key: &[u8]) -> Result<u16> {
    let group = key.get(GROUP_AT..).and_then(|key| key.first_chunk());
    group.map(|group| u16::from_be_bytes(*group)).ok_or_else(|| Error::internal("a block on disk has no group"))
}

/// Where a row is to be: its pane, by its place among all of them, and its group; and where it is: which batch and row.
type Place = (u32, u16, u32, u32);

/// Rows in the order in which they are to lie on disk.
pub(super) struct Ordered<'r> {
    batches: Vec<&'r RecordBatch>,
    panes: Vec<PaneKey>,
    order: Vec<Place>,
}

/// Rows of one pane and group.
pub(super) struct Block<'b> {
    pub(super) pane: PaneKey,
    pub(super) group: u16,
    /// As they are on disk.
    pub(super) value: &'b [u8],
    /// How many they are.
    pub(super) count: usize,
    /// How many rows of the node's input they stand for.
    pub(super) stands_for: u64,
}

/// Some rows in order.
pub(super) struct Chunk {
    panes: Vec<PaneKey>,
    pub(super) groups: Vec<u16>,
    pub(super) records: RecordBatch,
}

impl<'r> Ordered<'r> {
    /// Rows of one name.
    pub(super) fn new(rows: &'r [StateRows]) -> Result<Ordered<'r>> {
        let mut panes: Vec<PaneKey> = Vec::new();
        for rows in rows {
            panes.extend(keys(rows)?.map(|(pane, _)| pane));
            panes.dedup();
        }
        panes.sort_unstable();
        panes.dedup();
        let mut order: Vec<Place> = Vec::with_capacity(rows.iter().map(|rows| rows.records.num_rows()).sum());
        for (batch, rows) in rows.iter().enumerate() {
            let mut known = (PaneKey::default(), None);
            for (row, (pane, group)) in keys(rows)?.enumerate() {
                if known.1.is_none() || known.0 != pane {
                    known = (pane, panes.binary_search(&pane).ok());
                }
                order.push((known.1.unwrap_or_default() as u32, group, batch as u32, row as u32));
            }
        }
        order.sort_unstable();
        Ok(Ordered { batches: rows.iter().map(|rows| &rows.records).collect(), panes, order })
    }

    /// How many rows there are.
    pub(super) fn len(&self) -> usize {
        self.order.len()
    }

    /// All rows, some after the other.
    pub(super) fn chunks(&self) -> impl Iterator<Item = Result<Chunk>> + '_ {
        self.order.chunks(ROWS_AT_ONCE).map(|places| {
            let indices: Vec<(usize, usize)> = places.iter().map(|&(_, _, batch, row)| (batch as usize, row as usize)).collect();
            Ok(Chunk {
                panes: places.iter().map(|(pane, ..)| self.panes[*pane as usize]).collect(),
                groups: places.iter().map(|(_, group, ..)| *group).collect(),
                records: interleave_record_batch(&self.batches, &indices)?,
            })
        })
    }
}

/// The pane and the key group of each row.
fn keys(rows: &StateRows) -> Result<impl Iterator<Item = (PaneKey, u16)> + '_> {
    let keys = pane_columns(&rows.records).zip(rows.groups.as_ref());
    let ([first, second], groups) = keys.ok_or_else(|| Error::internal("rows of panes without pane or key group"))?;
    let panes = first.values().iter().copied().zip(second.values().iter().copied());
    Ok(panes.zip(groups.iter().copied()))
}

impl Chunk {
    /// Gives `take` the rows in blocks, `place` being that of their state's name. How many bytes they have.
    pub(super) fn blocks(&self, place: usize, form: &Form, take: &mut dyn FnMut(Block<'_>) -> Result<()>) -> Result<usize> {
        let rows = form.rows(&self.records)?;
        let stand_for = stand_for(&self.records)?;
        let (mut from, mut bytes, mut value) = (0, 0, Vec::new());
        codec::begin(0, &mut value);
        for row in 0..self.groups.len() {
            codec::add(place, rows.row(row).data(), &mut value);
            let next = row + 1;
            let goes_on = next < self.groups.len() && self.panes[next] == self.panes[row] && self.groups[next] == self.groups[row];
            if goes_on && value.len() < BLOCK_BYTES {
                continue;
            }
            let stands_for = stand_for[from..next].iter().sum::<i64>().unsigned_abs();
            take(Block { pane: self.panes[row], group: self.groups[row], value: &value, count: next - from, stands_for })?;
            bytes += value.len();
            from = next;
            codec::begin(0, &mut value);
        }
        Ok(bytes)
    }
}

/// How many rows of the node's input each row stands for.
fn stand_for(records: &RecordBatch) -> Result<Vec<i64>> {
    let column = records.column_by_name("n2").and_then(|column| column.as_primitive_opt::<Int64Type>().cloned());
    column.map(|column| column.values().to_vec()).ok_or_else(|| Error::internal("rows of panes without their number"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_in_the_order_of_panes_and_groups() {
        let numbers = [i64::MIN, -5, -1, 0, 1, 7, i64::MAX];
        let mut before: Option<[u8; GROUP_AT + 10]> = None;
        for first in numbers {
            for second in numbers {
                for (group, number) in [(0, 0), (0, 300), (1, 7), (300, 1)] {
                    let key = key((first, second), group, number);
                    assert!(before.is_none_or(|before| before < key));
                    assert!(key.starts_with(&pane_prefix((first, second))) && key.starts_with(&group_prefix((first, second), group)));
                    before = Some(key);
                }
            }
        }
    }
}

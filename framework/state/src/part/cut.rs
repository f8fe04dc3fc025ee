//! Entries into parts: as many rows as fit, one part after the other, so that what is made of state on its way to a store is small
//! beside it.

use millstream_api::error::Result;
use millstream_api::state::{StateEntries, StateRows};

use super::buffer::Buffer;
use super::columns::size;
use super::encode;

/// A part is full when it has so many bytes. A row is never cut: a part with a larger one is larger.
pub const PART_BYTES: usize = 16 << 20;

/// Gives `take` all entries as parts of about `full_bytes`, one after the other.
///
/// # Errors
/// When `take` says so, and internal ones.
pub fn each(entries: &StateEntries, full_bytes: usize, take: &mut dyn FnMut(&[u8]) -> Result<()>) -> Result<()> {
    let (mut part, mut bytes, mut buffer) = (Vec::new(), 0, Buffer::default());
    for (name, rows) in entries.iter().flat_map(|(name, rows)| rows.iter().map(move |rows| (name.as_str(), rows))) {
        for (piece, piece_bytes) in pieces(rows, full_bytes) {
            if bytes + piece_bytes > full_bytes && !part.is_empty() {
                encode(&part, &mut buffer)?;
                part.clear();
                take(buffer.bytes())?;
                bytes = 0;
            }
            part.push((name, piece));
            bytes += piece_bytes;
        }
    }
    if part.is_empty() {
        return Ok(());
    }
    encode(&part, &mut buffer)?;
    take(buffer.bytes())
}

/// About the bytes that these entries need.
pub fn size_of_entries(entries: &StateEntries) -> usize {
    entries.values().flatten().map(|rows| size(&rows.records)).sum()
}

/// Rows in pieces of which each fits into a part, with the size of each.
fn pieces(rows: &StateRows, full_bytes: usize) -> Vec<(StateRows, usize)> {
    let (mut left, mut done) = (vec![(rows.clone(), usize::MAX)], Vec::new());
    while let Some((piece, whole_bytes)) = left.pop() {
        let (bytes, count) = (size(&piece.records), piece.records.num_rows());
        // Where half of the rows need as much as all of them, more cuts do not help.
        if bytes <= full_bytes || count < 2 || bytes >= whole_bytes {
            done.push((piece, bytes));
        } else {
            left.push((piece.slice(count / 2, count - count / 2), bytes));
            left.push((piece.slice(0, count / 2), bytes));
        }
    }
    done
}

//! How much memory a batch holds, and letting go of what its rows no longer need.
//!
//! Strings and bytes travel as views into shared buffers. A selective filter keeps a few views and with them whole buffers,
//! so a batch's memory is that of the buffers it retains, not that of its rows; and where the rows need little of it they
//! are copied out.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch, RecordBatchOptions};
use arrow::buffer::Buffer;
use arrow::datatypes::DataType;

use crate::error::Result;

/// Buffers below this are not worth looking at.
const SMALL_BYTES: usize = 64 << 10;

/// Rows are copied out when they need less than this part of what they retain.
const WORTH_A_COPY: usize = 4;

/// Bytes that the columns retain. A buffer that several columns share is counted once; one that several batches share, in each.
pub(crate) fn retained_bytes(records: &RecordBatch) -> usize {
    let mut seen: Vec<*const u8> = Vec::new();
    records.columns().iter().map(|column| fixed_bytes(column) + unseen_bytes(view_buffers(column), &mut seen)).sum()
}

/// The same rows, with strings and bytes copied out of buffers of which they need little.
pub(crate) fn compacted(records: RecordBatch) -> Result<RecordBatch> {
    let wasteful = |column: &ArrayRef| {
        let retained = unseen_bytes(view_buffers(column), &mut Vec::new());
        retained > SMALL_BYTES && used_bytes(column) < retained / WORTH_A_COPY
    };
    if !records.columns().iter().any(wasteful) {
        return Ok(records);
    }
    let copy = |column: &ArrayRef| -> ArrayRef {
        match column.data_type() {
            DataType::Utf8View if wasteful(column) => Arc::new(column.as_string_view().gc()),
            DataType::BinaryView if wasteful(column) => Arc::new(column.as_binary_view().gc()),
            _ => column.clone(),
        }
    };
    let options = RecordBatchOptions::new().with_row_count(Some(records.num_rows()));
    let columns = records.columns().iter().map(copy).collect();
    Ok(RecordBatch::try_new_with_options(records.schema(), columns, &options)?)
}

/// Everything but the buffers of views: rows only, not what a slice shares with others.
fn fixed_bytes(column: &ArrayRef) -> usize {
    column.to_data().get_slice_memory_size().unwrap_or_else(|_| column.get_array_memory_size())
}

fn view_buffers(column: &ArrayRef) -> &[Buffer] {
    match column.data_type() {
        DataType::Utf8View => column.as_string_view().data_buffers(),
        DataType::BinaryView => column.as_binary_view().data_buffers(),
        _ => &[],
    }
}

fn unseen_bytes(buffers: &[Buffer], seen: &mut Vec<*const u8>) -> usize {
    let mut bytes = 0;
    for buffer in buffers {
        if !seen.contains(&buffer.as_ptr()) {
            seen.push(buffer.as_ptr());
            bytes += buffer.len();
        }
    }
    bytes
}

fn used_bytes(column: &ArrayRef) -> usize {
    match column.data_type() {
        DataType::Utf8View => column.as_string_view().total_buffer_bytes_used(),
        DataType::BinaryView => column.as_binary_view().total_buffer_bytes_used(),
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use arrow::array::{BooleanArray, StringViewArray};
    use arrow::datatypes::{Field, Schema};

    use crate::Batch;

    use super::*;

    fn long_texts(rows: usize) -> Batch {
        let schema = Arc::new(Schema::new(vec![Field::new("t", DataType::Utf8View, false)]));
        let texts = StringViewArray::from_iter_values((0..rows).map(|i| format!("{i:0100}")));
        Batch::plain(RecordBatch::try_new(schema, vec![Arc::new(texts)]).unwrap())
    }

    #[test]
    fn a_few_rows_do_not_hold_the_buffers_of_many() {
        let many = long_texts(10_000);
        assert!(many.size_bytes() >= 10_000 * 116);
        let few = many.filter(&(0..10_000).map(|i| Some(i % 1_000 == 0)).collect::<BooleanArray>()).unwrap();
        assert_eq!(few.rows(), 10);
        assert!(few.size_bytes() < 10_000, "{}", few.size_bytes());
        assert_eq!(few.records().column(0).as_string_view().value(9), format!("{:0100}", 9_000));
    }

    #[test]
    fn buffers_that_are_needed_stay_shared() {
        let many = long_texts(10_000);
        let half = many.filter(&(0..10_000).map(|i| Some(i % 2 == 0)).collect::<BooleanArray>()).unwrap();
        assert_eq!(
            half.records().column(0).as_string_view().data_buffers()[0].as_ptr(),
            many.records().column(0).as_string_view().data_buffers()[0].as_ptr()
        );
    }
}

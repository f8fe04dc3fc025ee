//! A growing column of values of any type, addressed by position: what first_value, array_agg and their like keep.
//!
//! Values stay in Arrow arrays; nothing is boxed. Arrays of like size are joined, so that many small batches cost a
//! logarithmic number of copies and leave few arrays.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, new_empty_array};
use arrow::compute::{concat, interleave};
use arrow::datatypes::DataType;
use millstream_api::Result;

/// Values at positions from 0 on.
pub(super) struct Store {
    chunks: Vec<ArrayRef>,
    /// The position of each chunk's first value.
    starts: Vec<usize>,
    len: usize,
    data_type: DataType,
}

impl Store {
    pub(super) fn new(data_type: DataType) -> Self {
        Store { chunks: Vec::new(), starts: Vec::new(), len: 0, data_type }
    }

    /// How many values there are; the position of the next.
    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// The type of the values.
    pub(super) fn data_type(&self) -> &DataType {
        &self.data_type
    }

    /// Adds values at the end.
    pub(super) fn push(&mut self, values: &ArrayRef) -> Result<()> {
        if values.is_empty() {
            return Ok(());
        }
        self.starts.push(self.len);
        self.len += values.len();
        self.chunks.push(owned(values));
        while let [.., before, last] = self.chunks.as_slice()
            && before.len() <= 2 * last.len()
        {
            let joined = owned(&concat(&[before.as_ref(), last.as_ref()])?);
            self.chunks.truncate(self.chunks.len() - 2);
            self.starts.pop();
            self.chunks.push(joined);
        }
        Ok(())
    }

    /// The values at these positions.
    pub(super) fn take(&self, positions: &[usize]) -> Result<ArrayRef> {
        if positions.is_empty() {
            return Ok(new_empty_array(&self.data_type));
        }
        let chunks: Vec<&dyn Array> = self.chunks.iter().map(AsRef::as_ref).collect();
        let places: Vec<(usize, usize)> = positions.iter().map(|&position| self.place(position)).collect();
        Ok(interleave(&chunks, &places)?)
    }

    /// Memory in bytes.
    pub(super) fn size_bytes(&self) -> usize {
        self.chunks.iter().map(|chunk| chunk.get_array_memory_size()).sum()
    }

    fn place(&self, position: usize) -> (usize, usize) {
        let chunk = self.starts.partition_point(|&start| start <= position) - 1;
        (chunk, position - self.starts[chunk])
    }
}

/// The values without the rest of the batch they came in: views would keep all of its text alive.
fn owned(values: &ArrayRef) -> ArrayRef {
    match values.data_type() {
        DataType::Utf8View => Arc::new(values.as_string_view().gc()),
        DataType::BinaryView => Arc::new(values.as_binary_view().gc()),
        _ => values.clone(),
    }
}

#[cfg(test)]
mod tests {
    use arrow::array::StringViewArray;

    use super::*;

    #[test]
    fn positions_stay_while_chunks_are_joined() {
        let mut store = Store::new(DataType::Utf8View);
        for i in 0..100 {
            let values: ArrayRef = Arc::new(StringViewArray::from(vec![format!("a text that is not inlined {i}")]));
            store.push(&values).unwrap();
        }
        assert!(store.chunks.len() <= 8, "{}", store.chunks.len());
        let taken = store.take(&[99, 0, 57]).unwrap();
        let texts: Vec<&str> = taken.as_string_view().iter().flatten().collect();
        assert_eq!(texts, ["a text that is not inlined 99", "a text that is not inlined 0", "a text that is not inlined 57"]);
        assert_eq!(store.take(&[]).unwrap().len(), 0);
    }
}

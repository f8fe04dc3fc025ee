//! Texts of a column under construction, end to end.
//!
//! A text that many rows in a row have is kept once, with their number. So what a scanner knows to be the same in all of its lines
//! costs nothing for a line.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, StringArray, StringViewArray, UInt32Array};
use arrow::buffer::{Buffer, NullBuffer, OffsetBuffer};
use arrow::compute::take;
use millstream_api::error::Result;

/// Values of varying length, end to end.
#[derive(Debug)]
pub(crate) struct Bytes {
    pub(crate) data: Vec<u8>,
    /// The start of each value and the end of the last; so one more than there are values.
    offsets: Vec<i32>,
}

impl Bytes {
    pub(crate) fn new() -> Self {
        Bytes { data: Vec::new(), offsets: vec![0] }
    }

    /// How many values there are.
    pub(crate) fn len(&self) -> usize {
        self.offsets.len() - 1
    }

    /// Adds a value. Offsets are 32 bits wide; a batch is far smaller, since it is of one block or of one record.
    pub(crate) fn push(&mut self, value: &[u8]) {
        self.data.extend_from_slice(value);
        self.close();
    }

    /// Ends the value whose bytes were written to `data`.
    pub(crate) fn close(&mut self) {
        self.offsets.push(self.data.len() as i32);
    }

    /// Adds values without a byte.
    pub(crate) fn push_empty(&mut self, count: usize) {
        self.offsets.resize(self.offsets.len() + count, self.data.len() as i32);
    }

    /// Cuts it back to as many values, if there are more.
    pub(crate) fn truncate(&mut self, values: usize) {
        self.offsets.truncate(values + 1);
        self.data.truncate(self.offsets.last().map_or(0, |&end| end as usize));
    }

    /// The value at this place.
    fn value(&self, index: usize) -> Option<&[u8]> {
        let ends = self.offsets.get(index..index + 2)?;
        self.data.get(ends[0] as usize..ends[1] as usize)
    }

    /// Takes the values; the next ones find as much room as these needed, and a little more.
    pub(crate) fn take(&mut self) -> (OffsetBuffer<i32>, Buffer) {
        let (data, offsets) = (with_some_more(self.data.len()), with_some_more(self.offsets.len()));
        let mut fresh = Bytes { data: Vec::with_capacity(data), offsets: Vec::with_capacity(offsets) };
        fresh.offsets.push(0);
        let full = std::mem::replace(self, fresh);
        (OffsetBuffer::new(full.offsets.into()), Buffer::from_vec(full.data))
    }
}

/// Room for as many and a little more: the next batch is hardly as long to the row, and to grow means to copy all there is.
pub(crate) fn with_some_more(length: usize) -> usize {
    length + length / 8
}

/// Texts, each of a row or of several in a row.
#[derive(Debug)]
pub(crate) struct Strings {
    values: Bytes,
    /// The values that stand for several rows, rising.
    runs: Vec<Run>,
    /// How many more rows there are than values.
    more: usize,
}

/// A value that stands for several rows.
#[derive(Debug)]
struct Run {
    value: usize,
    rows: usize,
}

impl Strings {
    pub(crate) fn new() -> Self {
        Strings { values: Bytes::new(), runs: Vec::new(), more: 0 }
    }

    /// How many rows there are.
    #[inline(always)]
    pub(crate) fn len(&self) -> usize {
        self.values.len() + self.more
    }

    /// Adds a row.
    #[inline(always)]
    pub(crate) fn push(&mut self, value: &[u8]) {
        self.values.push(value);
    }

    /// Adds rows of the same value.
    pub(crate) fn push_same(&mut self, value: &[u8], rows: usize) {
        if rows > 1 {
            self.runs.push(Run { value: self.values.len(), rows });
            self.more += rows - 1;
        }
        if rows > 0 {
            self.values.push(value);
        }
    }

    /// Whether each of the last `rows` rows, added one by one, is this value.
    pub(crate) fn end_with_only(&self, value: &[u8], rows: usize) -> bool {
        let end = self.values.len();
        (end.saturating_sub(rows)..end).all(|index| self.values.value(index) == Some(value))
    }

    /// Cuts it back to `rows` rows, if there are more.
    pub(crate) fn truncate(&mut self, rows: usize) {
        while let Some(run) = self.runs.last_mut() {
            let before = run.value + self.more + 1 - run.rows;
            if rows >= before + run.rows {
                break;
            }
            self.more += 1;
            self.more -= run.rows;
            if rows > before + 1 {
                run.rows = rows - before;
                self.more += run.rows - 1;
                break;
            }
            self.runs.pop();
        }
        self.values.truncate(rows - self.more.min(rows));
    }

    /// Takes all rows as an Arrow array.
    pub(crate) fn finish(&mut self, nulls: Option<NullBuffer>) -> Result<ArrayRef> {
        let (offsets, data) = self.values.take();
        // Without nulls, which are added below: to make views of values of which some are null takes several times as long.
        let values = StringViewArray::from(&StringArray::try_new(offsets, data, None)?);
        if self.runs.is_empty() && nulls.is_none() {
            return Ok(Arc::new(values));
        }
        let mut rows: Vec<u32> = Vec::with_capacity(values.len() + self.more);
        let mut next = 0;
        for run in self.runs.drain(..) {
            rows.extend(next as u32..run.value as u32);
            rows.resize(rows.len() + run.rows, run.value as u32);
            next = run.value + 1;
        }
        rows.extend(next as u32..values.len() as u32);
        self.more = 0;
        Ok(take(&values, &UInt32Array::try_new(rows.into(), nulls)?, None)?)
    }
}

#[cfg(test)]
mod tests {
    use arrow::array::AsArray;
    use proptest::prelude::*;

    use super::*;

    #[derive(Clone, Debug)]
    enum Step {
        Push(String),
        Same(String, usize),
        Truncate(usize),
        Finish,
    }

    fn step() -> impl Strategy<Value = Step> {
        let text = || prop_oneof![Just("b".to_owned()), "[a-c]{0,14}"];
        prop_oneof![
            4 => text().prop_map(Step::Push),
            4 => (text(), 0usize..5).prop_map(|(text, rows)| Step::Same(text, rows)),
            2 => (0usize..20).prop_map(Step::Truncate),
            1 => Just(Step::Finish),
        ]
    }

    proptest! {
        #[test]
        fn rows_are_those_of_a_list(steps in prop::collection::vec(step(), 0..40)) {
            let (mut strings, mut list) = (Strings::new(), Vec::new());
            for step in steps.into_iter().chain([Step::Finish]) {
                match step {
                    Step::Push(text) => {
                        strings.push(text.as_bytes());
                        prop_assert!(strings.end_with_only(text.as_bytes(), 1));
                        list.push(text);
                    }
                    Step::Same(text, rows) => {
                        strings.push_same(text.as_bytes(), rows);
                        list.extend(std::iter::repeat_n(text, rows));
                    }
                    Step::Truncate(rows) => {
                        strings.truncate(rows);
                        list.truncate(rows);
                    }
                    Step::Finish => {
                        let valid: Vec<bool> = list.iter().map(|text| text != "b").collect();
                        let nulls = valid.contains(&false).then(|| valid.into());
                        let array = strings.finish(nulls).unwrap();
                        let found: Vec<_> = array.as_string_view().iter().map(|text| text.map(str::to_owned)).collect();
                        let expected: Vec<_> = list.drain(..).map(|text| (text != "b").then_some(text)).collect();
                        prop_assert_eq!(found, expected);
                    }
                }
                prop_assert_eq!(strings.len(), list.len());
            }
        }
    }
}

//! `discard`: reads every value of every row and throws it away.
//!
//! For benchmarks: a sink that looked at nothing would let a pipeline get away with computing nothing. The [`Checksum`] says
//! whether two runs gave the same rows; it depends neither on their order nor on how they were divided into batches and
//! subtasks, and a row that is withdrawn takes its part away again.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch};
use arrow::datatypes::{
    DataType, Date32Type, Decimal128Type, Float32Type, Float64Type, Int8Type, Int16Type, Int32Type, Int64Type, TimeUnit,
    TimestampMicrosecondType,
};
use arrow::row::{RowConverter, SortField};
use millstream_api::operator::Fates;
use millstream_api::plan::{Columns, Delivery, InputPlan, Inputs, Make, Plan, SinkContext, SinkFactory, WindowUse};
use millstream_api::registry::{InputKeys, NodeOptions, Role};
use millstream_api::sink::Finish;
use millstream_api::{Batch, Diagnostics, Result, Sink};
use schemars::JsonSchema;
use serde::Deserialize;
use xxhash_rust::xxh3::xxh3_64;

use crate::columns;

/// Reads rows and throws them away.
///
/// Every column is read. At the end the number of rows and a checksum of all values are logged (level info): equal rows give
/// equal checksums in whatever order they come, so that two runs can be compared.
///
/// ```toml
/// [sinks.nowhere]
/// type  = "discard"
/// input = "big_bids"
/// ```
#[derive(Clone, Debug, Deserialize, JsonSchema)]
pub struct DiscardOptions {}

impl NodeOptions for DiscardOptions {
    const KIND: &'static str = "discard";
    const ROLE: Role = Role::Sink;
    const INPUTS: InputKeys = InputKeys::One;

    fn plan(self, inputs: &Inputs<'_>) -> Result<Plan, Diagnostics> {
        let factory = DiscardFactory { columns: columns::names(inputs.schema(0)) };
        Ok(Plan::new(vec![InputPlan::any(WindowUse::Reads)], Vec::new(), Make::Sink(Arc::new(factory))))
    }
}

struct DiscardFactory {
    columns: Columns,
}

impl SinkFactory for DiscardFactory {
    fn required(&self) -> Columns {
        self.columns.clone()
    }

    fn blocks(&self) -> bool {
        false
    }

    fn delivery(&self) -> Delivery {
        Delivery::Held
    }

    fn has_bad_rows(&self) -> bool {
        false
    }

    fn make(&self, context: &SinkContext) -> Result<Box<dyn Sink>> {
        Ok(Box::new(Discard { node: context.node.clone(), subtask: context.subtask, checksum: Checksum::default() }))
    }
}

struct Discard {
    node: String,
    subtask: usize,
    checksum: Checksum,
}

impl Sink for Discard {
    fn write(&mut self, batch: Batch, fates: &mut Fates) -> Result<()> {
        self.checksum.add(&batch)?;
        fates.taken += batch.rows() as u64;
        Ok(())
    }

    fn finish(&mut self, _: Finish) -> Result<()> {
        let Checksum { rows, sum } = self.checksum;
        tracing::info!(node = self.node, subtask = self.subtask, rows, checksum = format!("{sum:016x}"), "discarded");
        Ok(())
    }
}

/// The number of rows and a checksum of their values. Those of several subtasks are added up.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Checksum {
    /// Rows less those withdrawn.
    pub rows: i64,
    /// The sum of the rows' hashes, each times the row's weight.
    pub sum: u64,
}

impl Checksum {
    /// Adds the rows of a batch.
    ///
    /// # Errors
    /// Only when a column has a type that no stream has.
    pub fn add(&mut self, batch: &Batch) -> Result<()> {
        let mut hashes = [0; ROWS_AT_ONCE];
        for first in (0..batch.rows()).step_by(ROWS_AT_ONCE) {
            let rows = ROWS_AT_ONCE.min(batch.rows() - first);
            let hashes = &mut hashes[..rows];
            row_hashes(&batch.records().slice(first, rows), hashes)?;
            self.add_hashes(hashes, batch.weights().map(|weights| &weights[first..first + rows]));
        }
        Ok(())
    }

    fn add_hashes(&mut self, hashes: &[u64], weights: Option<&[i8]>) {
        match weights {
            None => {
                self.rows += hashes.len() as i64;
                self.sum = hashes.iter().fold(self.sum, |sum, hash| sum.wrapping_add(*hash));
            }
            Some(weights) => {
                for (hash, weight) in hashes.iter().zip(weights) {
                    self.rows += i64::from(*weight);
                    self.sum = self.sum.wrapping_add(hash.wrapping_mul(i64::from(*weight) as u64));
                }
            }
        }
    }
}

impl std::ops::AddAssign for Checksum {
    fn add_assign(&mut self, other: Self) {
        self.rows += other.rows;
        self.sum = self.sum.wrapping_add(other.sum);
    }
}

/// So few that their hashes stay in the nearest cache while one column after the other is read.
const ROWS_AT_ONCE: usize = 1024;

/// One hash a row over all its columns, in their order.
fn row_hashes(records: &RecordBatch, hashes: &mut [u64]) -> Result<()> {
    hashes.fill(0);
    records.columns().iter().try_for_each(|column| mix_column(column, hashes))
}

/// Takes the values of a column into the hashes of its rows. A value must give the same in every batch, whether or not there
/// are nulls beside it.
fn mix_column(column: &ArrayRef, hashes: &mut [u64]) -> Result<()> {
    macro_rules! numbers {
        ($type:ty, $bits:expr) => {
            column
                .as_primitive::<$type>()
                .values()
                .iter()
                .zip(hashes.iter_mut())
                .for_each(|(value, hash)| *hash = mixed(*hash, $bits(*value)))
        };
    }
    let before = column.nulls().map(|_| hashes.to_vec());
    match column.data_type() {
        DataType::Int8 => numbers!(Int8Type, |v| v as u64),
        DataType::Int16 => numbers!(Int16Type, |v| v as u64),
        DataType::Int32 => numbers!(Int32Type, |v| v as u64),
        DataType::Int64 => numbers!(Int64Type, |v| v as u64),
        DataType::Date32 => numbers!(Date32Type, |v| v as u64),
        DataType::Timestamp(TimeUnit::Microsecond, _) => numbers!(TimestampMicrosecondType, |v| v as u64),
        DataType::Float32 => numbers!(Float32Type, |v: f32| u64::from(v.to_bits())),
        DataType::Float64 => numbers!(Float64Type, |v: f64| v.to_bits()),
        DataType::Decimal128(_, _) => numbers!(Decimal128Type, |v: i128| (v as u64) ^ ((v >> 64) as u64).rotate_left(32)),
        DataType::Utf8View => {
            let texts = column.as_string_view().iter();
            hashes.iter_mut().zip(texts).for_each(|(hash, text)| *hash = mixed(*hash, xxh3_64(text.unwrap_or_default().as_bytes())));
        }
        _ => return mix_rows(column, hashes),
    }
    if let (Some(before), Some(nulls)) = (before, column.nulls()) {
        let null_rows = (0..hashes.len()).filter(|&row| nulls.is_null(row));
        null_rows.for_each(|row| hashes[row] = mixed(before[row], NULL));
    }
    Ok(())
}

/// Any other type, by Arrow's row format, which has nulls in it.
fn mix_rows(column: &ArrayRef, hashes: &mut [u64]) -> Result<()> {
    let converter = RowConverter::new(vec![SortField::new(column.data_type().clone())])?;
    let rows = converter.convert_columns(std::slice::from_ref(column))?;
    rows.iter().zip(hashes).for_each(|(row, hash)| *hash = mixed(*hash, xxh3_64(row.as_ref())));
    Ok(())
}

/// What stands for null among the hashes of values.
const NULL: u64 = 0x9e37_79b9_7f4a_7c15;

/// Takes a value into a hash: not commutative, so that columns with exchanged values differ. The two halves of a product of all bits with a
/// constant are joined, as wyhash and foldhash do.
fn mixed(hash: u64, value: u64) -> u64 {
    let product = u128::from(hash.rotate_left(23) ^ value ^ 0x9e37_79b9_7f4a_7c15) * 0xbf58_476d_1ce4_e5b9;
    product as u64 ^ (product >> 64) as u64
}

#[cfg(test)]
mod tests {
    use arrow::array::{BooleanArray, Float64Array};

    use super::*;
    use crate::testing::{batch, ints, texts, weighed};

    fn checksum(batches: &[Batch]) -> Checksum {
        let mut sum = Checksum::default();
        batches.iter().for_each(|batch| sum.add(batch).unwrap());
        sum
    }

    fn rows() -> Batch {
        let bools: ArrayRef = Arc::new(BooleanArray::from(vec![Some(true), None, Some(false)]));
        let doubles: ArrayRef = Arc::new(Float64Array::from(vec![Some(0.5), Some(0.0), None]));
        batch(&[("a", ints([Some(1), Some(2), None])), ("b", texts(["x", "", "a longer text than twelve"])), ("c", bools), ("d", doubles)])
    }

    #[test]
    fn order_and_batches_do_not_matter_but_every_value_does() {
        let whole = checksum(&[rows()]);
        assert_eq!(whole.rows, 3);
        assert_eq!(checksum(&[rows().slice(2, 1), rows().slice(0, 2)]), whole);
        let (mut first, rest) = (checksum(&[rows().slice(0, 1)]), checksum(&[rows().slice(1, 2)]));
        first += rest;
        assert_eq!(first, whole);
        for column in 0..4 {
            let mut columns = rows().records().columns().to_vec();
            columns[column] = arrow::array::new_null_array(columns[column].data_type(), 3);
            let changed = rows().with_records(RecordBatch::try_new(rows().schema(), columns).unwrap()).unwrap();
            assert_ne!(checksum(&[changed]), whole, "column {column}");
        }
    }

    #[test]
    fn a_value_counts_the_same_beside_a_null() {
        let mut apart = checksum(&[rows().slice(0, 1)]);
        apart += checksum(&[rows().slice(1, 1)]);
        apart += checksum(&[rows().slice(2, 1)]);
        assert_eq!(apart, checksum(&[rows()]));
        assert_ne!(checksum(&[batch(&[("a", ints([None]))])]).sum, checksum(&[batch(&[("a", ints([Some(0)]))])]).sum);
    }

    #[test]
    fn exchanged_values_of_two_columns_differ() {
        let pair = |a, b| checksum(&[batch(&[("a", ints([Some(a)])), ("b", ints([Some(b)]))])]);
        assert_ne!(pair(1, 2), pair(2, 1));
        assert_ne!(pair(0, 0), Checksum { rows: 1, sum: 0 });
    }

    #[test]
    fn what_is_withdrawn_does_not_count() {
        let changes = weighed(rows(), &[1, 1, 1]);
        let back = weighed(rows().slice(1, 1), &[-1]);
        let left = checksum(&[rows().slice(0, 1), rows().slice(2, 1)]);
        assert_eq!(checksum(&[changes, back]), left);
    }
}

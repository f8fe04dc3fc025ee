//! Columns under construction: values of one type, appended row by row from text.
//!
//! Arrow's builders cannot take a row back, but a row that turns out bad halfway must leave nothing behind, and the
//! learned-layout scanner gives up in the middle of a row as a matter of course. So a column here is plain vectors that can be
//! [cut back](Column::truncate), turned into Arrow arrays without a copy when a batch is full.
//!
//! Nothing here knows where the text comes from; JSON and CSV each decide what text means null.

use std::ops::Range;
use std::sync::Arc;

use arrow::array::{
    ArrayRef, BinaryArray, BinaryViewArray, BooleanArray, BooleanBufferBuilder, Date32Array, Decimal128Array, Float32Array, Float64Array,
    Int16Array, Int32Array, Int64Array, IntervalMonthDayNanoArray, ListArray, StringArray, StringViewArray, StructArray,
    TimestampMicrosecondArray,
};
use arrow::buffer::{NullBuffer, OffsetBuffer};
use arrow::datatypes::{DataType, Field, FieldRef, Fields, IntervalMonthDayNano, IntervalUnit, TimeUnit};
use hashbrown::HashMap;
use millstream_api::error::{Error, Result};
use millstream_api::types::{SqlName, TimestampForm, UTC, is_json};

use super::instant::LastDate;
use super::schema::ColumnSpec;
use super::strings::{Bytes, Strings, with_some_more};

/// Why a value does not fit its column; names the column.
pub(crate) type Mismatch = String;

/// The values of a column; a row that is null has some value, too.
///
/// With `repr(u8)` a byte of its own says which of these it is, which is asked for each value that is read. Otherwise it would stand
/// in the capacity of a vector, as one that no vector can have, which takes longer to tell.
#[derive(Debug)]
#[repr(u8)]
pub(crate) enum Values {
    Boolean(BooleanBufferBuilder),
    Int16(Vec<i16>),
    Int32(Vec<i32>),
    Int64(Vec<i64>),
    Float32(Vec<f32>),
    Float64(Vec<f64>),
    Decimal(Vec<i128>, u8, i8),
    Date(Vec<i32>),
    Timestamp(Vec<i64>, TimestampForm),
    Interval(Vec<IntervalMonthDayNano>),
    String(Strings),
    /// Raw JSON text of any kind.
    Json(Bytes),
    Binary(Bytes),
    List {
        field: FieldRef,
        offsets: Vec<i32>,
        item: Box<Column>,
    },
    Struct(Fields, ColumnSet),
}

/// One column under construction.
#[derive(Debug)]
pub(crate) struct Column {
    /// Its name, for messages: `a`, `a.b` for a field of a struct, `a[]` for the items of a list.
    pub(crate) path: String,
    pub(crate) nullable: bool,
    pub(crate) values: Values,
    /// Of a column of timestamps as text: what the last one has taught.
    pub(crate) last_date: LastDate,
    /// The type, for messages.
    data_type: DataType,
    /// The rows that are null, as ranges that rise and do not touch: a value that is not null costs nothing here, and a long run of
    /// nulls costs little. Where lines of several kinds are mixed, there are such runs: a kind has no values of some columns.
    nulls: Vec<Range<usize>>,
}

impl Column {
    /// An empty column for a column of the schema.
    pub(crate) fn new(spec: &ColumnSpec) -> Result<Self> {
        let column_type = &spec.column_type;
        let mut column = Column::of(&spec.name, &spec.field())?;
        if let Values::Timestamp(_, form) = &mut column.values {
            *form = column_type.timestamp;
        }
        Ok(column)
    }

    fn of(path: &str, field: &Field) -> Result<Self> {
        let data_type = field.data_type();
        let values = match data_type {
            DataType::Boolean => Values::Boolean(BooleanBufferBuilder::new(0)),
            DataType::Int16 => Values::Int16(Vec::new()),
            DataType::Int32 => Values::Int32(Vec::new()),
            DataType::Int64 => Values::Int64(Vec::new()),
            DataType::Float32 => Values::Float32(Vec::new()),
            DataType::Float64 => Values::Float64(Vec::new()),
            DataType::Decimal128(precision, scale) => Values::Decimal(Vec::new(), *precision, *scale),
            DataType::Date32 => Values::Date(Vec::new()),
            DataType::Timestamp(_, _) => Values::Timestamp(Vec::new(), TimestampForm::Rfc3339),
            DataType::Interval(IntervalUnit::MonthDayNano) => Values::Interval(Vec::new()),
            DataType::Utf8View if is_json(field) => Values::Json(Bytes::new()),
            DataType::Utf8View => Values::String(Strings::new()),
            DataType::BinaryView => Values::Binary(Bytes::new()),
            DataType::List(field) => {
                let item = Column::of(&format!("{path}[]"), field)?;
                Values::List { field: field.clone(), offsets: vec![0], item: Box::new(item) }
            }
            DataType::Struct(fields) => {
                let columns = fields.iter().map(|f| Column::of(&format!("{path}.{}", f.name()), f));
                let names = fields.iter().map(|f| f.name().clone());
                Values::Struct(fields.clone(), ColumnSet::new(names, columns.collect::<Result<_>>()?))
            }
            other => return Err(Error::internal(format!("no decoder for a column of type {}", SqlName(other)))),
        };
        let (path, last_date) = (path.to_owned(), LastDate::default());
        Ok(Column { path, nullable: field.is_nullable(), values, last_date, data_type: data_type.clone(), nulls: Vec::new() })
    }

    /// How many rows it has.
    pub(crate) fn len(&self) -> usize {
        match &self.values {
            Values::Boolean(v) => v.len(),
            Values::Int16(v) => v.len(),
            Values::Int32(v) | Values::Date(v) => v.len(),
            Values::Int64(v) | Values::Timestamp(v, _) => v.len(),
            Values::Float32(v) => v.len(),
            Values::Float64(v) => v.len(),
            Values::Decimal(v, _, _) => v.len(),
            Values::Interval(v) => v.len(),
            Values::String(v) => v.len(),
            Values::Json(v) | Values::Binary(v) => v.len(),
            Values::List { offsets, .. } => offsets.len() - 1,
            Values::Struct(_, columns) => columns.len,
        }
    }

    /// Adds a row that is null, if the column may be null.
    pub(crate) fn append_null(&mut self) -> Result<(), Mismatch> {
        if !self.nullable {
            return Err(format!("`{}` is null, but the column is `not null`", self.path));
        }
        self.append_filler();
        Ok(())
    }

    /// Adds a null, also to a column that may not be null: its value is hidden because a struct around it is null.
    pub(crate) fn append_filler(&mut self) {
        self.append_fillers(1);
    }

    /// Adds as many nulls.
    pub(crate) fn append_fillers(&mut self, count: usize) {
        let (start, rows) = (self.len(), self.len() + count);
        match self.nulls.last_mut() {
            Some(last) if last.end == start => last.end = rows,
            _ => self.nulls.push(start..rows),
        }
        match &mut self.values {
            Values::Boolean(v) => v.append_n(count, false),
            Values::Int16(v) => v.resize(rows, 0),
            Values::Int32(v) | Values::Date(v) => v.resize(rows, 0),
            Values::Int64(v) | Values::Timestamp(v, _) => v.resize(rows, 0),
            Values::Float32(v) => v.resize(rows, 0.0),
            Values::Float64(v) => v.resize(rows, 0.0),
            Values::Decimal(v, _, _) => v.resize(rows, 0),
            Values::Interval(v) => v.resize(rows, IntervalMonthDayNano::ZERO),
            Values::String(v) => v.push_same(b"", count),
            Values::Json(v) | Values::Binary(v) => v.push_empty(count),
            Values::List { offsets, item, .. } => offsets.resize(rows + 1, item.len() as i32),
            Values::Struct(_, columns) => columns.append_fillers(count),
        }
    }

    /// Cuts it back to `rows` rows, if it has more.
    pub(crate) fn truncate(&mut self, rows: usize) {
        if rows >= self.len() {
            return self.truncate_struct(rows);
        }
        while self.nulls.pop_if(|last| last.start >= rows).is_some() {}
        if let Some(last) = self.nulls.last_mut() {
            last.end = last.end.min(rows);
        }
        match &mut self.values {
            Values::Boolean(v) => v.truncate(rows),
            Values::Int16(v) => v.truncate(rows),
            Values::Int32(v) | Values::Date(v) => v.truncate(rows),
            Values::Int64(v) | Values::Timestamp(v, _) => v.truncate(rows),
            Values::Float32(v) => v.truncate(rows),
            Values::Float64(v) => v.truncate(rows),
            Values::Decimal(v, _, _) => v.truncate(rows),
            Values::Interval(v) => v.truncate(rows),
            Values::String(v) => v.truncate(rows),
            Values::Json(v) | Values::Binary(v) => v.truncate(rows),
            Values::List { offsets, item, .. } => {
                offsets.truncate(rows + 1);
                item.truncate(offsets.last().map_or(0, |&end| end as usize));
            }
            Values::Struct(_, columns) => columns.truncate(rows),
        }
    }

    /// A row that failed inside a list or struct has left items behind although the column itself is no longer than before.
    fn truncate_struct(&mut self, rows: usize) {
        match &mut self.values {
            Values::List { offsets, item, .. } => item.truncate(offsets.last().map_or(0, |&end| end as usize)),
            Values::Struct(_, columns) => columns.truncate(rows),
            _ => {}
        }
    }

    /// Takes all rows as an Arrow array and leaves the column empty.
    pub(crate) fn finish(&mut self) -> Result<ArrayRef> {
        let nulls = self.take_nulls();
        Ok(match &mut self.values {
            Values::Boolean(v) => Arc::new(BooleanArray::new(v.finish(), nulls)),
            Values::Int16(v) => Arc::new(Int16Array::try_new(take(v).into(), nulls)?),
            Values::Int32(v) => Arc::new(Int32Array::try_new(take(v).into(), nulls)?),
            Values::Int64(v) => Arc::new(Int64Array::try_new(take(v).into(), nulls)?),
            Values::Float32(v) => Arc::new(Float32Array::try_new(take(v).into(), nulls)?),
            Values::Float64(v) => Arc::new(Float64Array::try_new(take(v).into(), nulls)?),
            Values::Decimal(v, precision, scale) => {
                Arc::new(Decimal128Array::try_new(take(v).into(), nulls)?.with_precision_and_scale(*precision, *scale)?)
            }
            Values::Date(v) => Arc::new(Date32Array::try_new(take(v).into(), nulls)?),
            Values::Timestamp(v, _) => Arc::new(TimestampMicrosecondArray::try_new(take(v).into(), nulls)?.with_timezone(UTC)),
            Values::Interval(v) => Arc::new(IntervalMonthDayNanoArray::try_new(take(v).into(), nulls)?),
            Values::String(v) => v.finish(nulls)?,
            Values::Json(v) => {
                let (offsets, data) = v.take();
                Arc::new(StringViewArray::from(&StringArray::try_new(offsets, data, nulls)?))
            }
            Values::Binary(v) => {
                let (offsets, data) = v.take();
                Arc::new(BinaryViewArray::from(&BinaryArray::try_new(offsets, data, nulls)?))
            }
            Values::List { field, offsets, item } => {
                let full = std::mem::replace(offsets, vec![0]);
                Arc::new(ListArray::try_new(field.clone(), OffsetBuffer::new(full.into()), item.finish()?, nulls)?)
            }
            Values::Struct(fields, columns) => Arc::new(StructArray::try_new(fields.clone(), columns.finish()?, nulls)?),
        })
    }

    fn take_nulls(&mut self) -> Option<NullBuffer> {
        if self.nulls.is_empty() {
            return None;
        }
        let rows = self.len();
        let mut valid = BooleanBufferBuilder::new(rows);
        for nulls in self.nulls.drain(..) {
            valid.append_n(nulls.start - valid.len(), true);
            valid.append_n(nulls.len(), false);
        }
        valid.append_n(rows - valid.len(), true);
        Some(NullBuffer::new(valid.finish()))
    }

    /// The message for a value of the wrong kind; `found` is its text, shown as it stands in the input.
    #[cold]
    pub(crate) fn mismatch(&self, found: &str) -> Mismatch {
        let found = millstream_api::error::shortened(found);
        let kind = match &self.values {
            Values::Timestamp(_, TimestampForm::Epoch(unit)) => {
                format!("timestamp as an integer of {} in the years 1 to 9999", unit_word(*unit))
            }
            Values::Timestamp(_, TimestampForm::Rfc3339) => "timestamp as RFC 3339 text".to_owned(),
            Values::Binary(_) => "bytes as hexadecimal text".to_owned(),
            _ => SqlName(&self.data_type).to_string(),
        };
        format!("`{}`: expected {kind}, found {found}", self.path)
    }
}

/// What is counted.
fn unit_word(unit: TimeUnit) -> &'static str {
    match unit {
        TimeUnit::Second => "seconds",
        TimeUnit::Millisecond => "milliseconds",
        TimeUnit::Microsecond => "microseconds",
        TimeUnit::Nanosecond => "nanoseconds",
    }
}

/// Takes the vector and leaves one with room for as many and a little more, since batches differ.
fn take<T>(values: &mut Vec<T>) -> Vec<T> {
    let room = with_some_more(values.len());
    std::mem::replace(values, Vec::with_capacity(room))
}

/// The columns of a row or of a struct, found by name.
#[derive(Debug)]
pub(crate) struct ColumnSet {
    pub(crate) columns: Vec<Column>,
    /// How many rows are complete.
    pub(crate) len: usize,
    index: HashMap<String, usize>,
    names: Vec<String>,
}

impl ColumnSet {
    /// Empty columns with their names.
    pub(crate) fn new(names: impl IntoIterator<Item = String>, columns: Vec<Column>) -> Self {
        let names: Vec<String> = names.into_iter().collect();
        let index = names.iter().enumerate().map(|(i, name)| (name.clone(), i)).collect();
        ColumnSet { columns, len: 0, index, names }
    }

    /// The columns of these specifications.
    pub(crate) fn from_specs(specs: &[ColumnSpec]) -> Result<Self> {
        let columns = specs.iter().map(Column::new).collect::<Result<_>>()?;
        Ok(ColumnSet::new(specs.iter().map(|spec| spec.input_name().to_owned()), columns))
    }

    /// The column of this name; `guess` is the one that is likely.
    pub(crate) fn find(&self, name: &str, guess: usize) -> Option<usize> {
        match self.names.get(guess) {
            Some(likely) if likely == name => Some(guess),
            _ => self.index.get(name).copied(),
        }
    }

    /// How the input calls a column.
    pub(crate) fn name(&self, column: usize) -> Option<&str> {
        self.names.get(column).map(String::as_str)
    }

    /// Ends a row: columns that it did not name are null.
    pub(crate) fn end_row(&mut self) -> Result<(), Mismatch> {
        for column in &mut self.columns {
            if column.len() == self.len {
                if !column.nullable {
                    return Err(format!("`{}` is missing, but the column is `not null`", column.path));
                }
                column.append_filler();
            }
        }
        self.len += 1;
        Ok(())
    }

    fn append_fillers(&mut self, count: usize) {
        self.columns.iter_mut().for_each(|column| column.append_fillers(count));
        self.len += count;
    }

    /// Cuts it back to `rows` rows, and columns of an incomplete row with it.
    pub(crate) fn truncate(&mut self, rows: usize) {
        self.len = self.len.min(rows);
        self.columns.iter_mut().for_each(|column| column.truncate(rows));
    }

    /// Takes all rows as Arrow arrays and leaves the columns empty.
    pub(crate) fn finish(&mut self) -> Result<Vec<ArrayRef>> {
        self.len = 0;
        self.columns.iter_mut().map(Column::finish).collect()
    }
}

#[cfg(test)]
mod tests {
    use arrow::array::Array;

    use super::*;

    #[test]
    fn a_row_taken_back_leaves_nothing_behind() {
        let spec = ColumnSpec::parse("a", "list<struct<b: string, c: int not null>>").unwrap();
        let mut column = Column::new(&spec).unwrap();
        column.append_null().unwrap();
        if let Values::List { item, .. } = &mut column.values {
            item.append_filler();
        }
        column.truncate(1);
        column.append_null().unwrap();
        column.truncate(1);
        let array = column.finish().unwrap();
        assert_eq!((array.len(), array.null_count()), (1, 1));
        assert_eq!(array.data_type(), &spec.column_type.data_type);
        assert_eq!(column.len(), 0);
    }

    #[test]
    fn a_column_that_may_not_be_null_says_so() {
        let mut column = Column::new(&ColumnSpec::parse("a", "int not null").unwrap()).unwrap();
        assert_eq!(column.append_null().unwrap_err(), "`a` is null, but the column is `not null`");
        let mut set = ColumnSet::from_specs(&[ColumnSpec::parse("a", "int not null").unwrap()]).unwrap();
        assert_eq!(set.end_row().unwrap_err(), "`a` is missing, but the column is `not null`");
    }
}

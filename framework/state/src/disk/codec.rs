//! The state of one key as bytes: the rows of each name, in Arrow's row format.
//!
//! ```text
//! value := at row*             at: when it left memory, as 8 bytes: microseconds of the wall clock; or, where event time ends
//!                              something of keys, when that is
//! row   := name length bytes   name: which state, as 1 byte; length: 4 bytes
//! ```
//!
//! Numbers are little-endian. Nothing of it outlives a run, so there is no version. Rows of many keys are converted at once, so
//! that a key costs no more than its bytes.

use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::{DataType, Schema, SchemaRef};
use arrow::row::{Row, RowConverter, RowParser, SortField};
use millstream_api::error::{Error, ErrorKind, Result};
use millstream_api::state::{StateEntries, StateWriter};

/// How rows of one name become bytes.
#[derive(Clone)]
pub(super) struct Form {
    pub(super) schema: SchemaRef,
    converter: Arc<RowConverter>,
}

/// The names of the state that leaves memory, and the form of the rows of each, once one has been seen.
#[derive(Clone)]
pub(super) struct Codec {
    names: Vec<&'static str>,
    forms: Vec<Option<Form>>,
}

impl Codec {
    /// No rows have been seen yet.
    pub(super) fn new(names: &[&'static str]) -> Codec {
        Codec { names: names.to_vec(), forms: vec![None; names.len()] }
    }

    /// Which of the names this is; `None`: it stays in memory.
    pub(super) fn place(&self, name: &str) -> Option<usize> {
        self.names.iter().position(|known| *known == name)
    }

    /// The name at a place.
    pub(super) fn name(&self, place: usize) -> &'static str {
        self.names[place]
    }

    /// The form of rows of a name; the first ones decide it.
    pub(super) fn form(&mut self, place: usize, records: &RecordBatch) -> Result<&Form> {
        let form = &mut self.forms[place];
        if let Some(known) = form
            && !have_same_types(&known.schema, records.schema_ref())
        {
            return Err(Error::new(ErrorKind::State, "the state is of other columns or of another key than the file has now")
                .help("run with --fresh to start without the old state"));
        }
        if let Some(form) = form {
            return Ok(form);
        }
        Ok(form.insert(Form::new(records.schema())?))
    }
}

impl Form {
    fn new(schema: SchemaRef) -> Result<Form> {
        let fields = schema.fields().iter().map(|field| SortField::new(field.data_type().clone())).collect();
        Ok(Form { converter: Arc::new(RowConverter::new(fields)?), schema })
    }

    /// Rows as bytes.
    pub(super) fn rows(&self, records: &RecordBatch) -> Result<arrow::row::Rows> {
        Ok(self.converter.convert_columns(records.columns())?)
    }
}

fn have_same_types(one: &Schema, other: &Schema) -> bool {
    let types = |schema: &Schema| -> Vec<DataType> { schema.fields().iter().map(|field| field.data_type().clone()).collect() };
    types(one) == types(other)
}

/// Begins a value.
pub(super) fn begin(at: i64, value: &mut Vec<u8>) {
    value.clear();
    value.extend_from_slice(&at.to_le_bytes());
}

/// Adds a row to a value.
pub(super) fn add(place: usize, row: &[u8], value: &mut Vec<u8>) {
    value.push(place as u8);
    value.extend_from_slice(&(row.len() as u32).to_le_bytes());
    value.extend_from_slice(row);
}

/// The instant with which a value begins.
pub(super) fn at(value: &[u8]) -> Option<i64> {
    value.first_chunk().map(|bytes| i64::from_le_bytes(*bytes))
}

/// Values that were found, copied one behind the other: as it is found each of them holds the block of the file that it is in.
#[derive(Default)]
pub(super) struct Found {
    bytes: Vec<u8>,
    /// The key group of each, and where it ends.
    values: Vec<(u16, usize)>,
}

impl Found {
    /// Adds one.
    pub(super) fn add(&mut self, group: u16, value: &[u8]) {
        self.bytes.extend_from_slice(value);
        self.values.push((group, self.bytes.len()));
    }

    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.values.len()
    }

    /// How many bytes they have.
    pub(super) fn size_bytes(&self) -> usize {
        self.bytes.len()
    }

    /// Their rows; `None`: there are none.
    pub(super) fn decode(&self, codec: &Codec) -> Result<Option<StateEntries>> {
        if self.values.is_empty() {
            return Ok(None);
        }
        let mut from = 0;
        let values = self.values.iter().map(|&(group, end)| (group, &self.bytes[std::mem::replace(&mut from, end)..end]));
        decode(codec, values).map(Some)
    }
}

/// The rows of these keys (each with its group and value), as the node has written them.
pub(super) fn decode<'v>(codec: &Codec, values: impl Iterator<Item = (u16, &'v [u8])>) -> Result<StateEntries> {
    let parsers: Vec<Option<RowParser>> = codec.forms.iter().map(|form| form.as_ref().map(|form| form.converter.parser())).collect();
    let mut rows: Vec<Vec<Row<'_>>> = parsers.iter().map(|_| Vec::new()).collect();
    let mut groups: Vec<Vec<u16>> = vec![Vec::new(); parsers.len()];
    for (group, value) in values {
        let mut rest = value.get(size_of::<i64>()..).ok_or_else(broken)?;
        while let Some((&place, behind)) = rest.split_first() {
            let (length, behind) = behind.split_first_chunk::<4>().ok_or_else(broken)?;
            let (row, behind) = behind.split_at_checked(u32::from_le_bytes(*length) as usize).ok_or_else(broken)?;
            let place = usize::from(place);
            let parser = parsers.get(place).and_then(Option::as_ref).ok_or_else(broken)?;
            rows[place].push(parser.parse(row));
            groups[place].push(group);
            rest = behind;
        }
    }
    let mut writer = StateWriter::new();
    for (place, rows) in rows.into_iter().enumerate().filter(|(_, rows)| !rows.is_empty()) {
        let Some(form) = &codec.forms[place] else { return Err(broken()) };
        let columns = form.converter.convert_rows(rows)?;
        writer.put_keyed(codec.name(place), &groups[place], &RecordBatch::try_new(form.schema.clone(), columns)?)?;
    }
    Ok(writer.into_entries())
}

fn broken() -> Error {
    Error::internal("state on disk is not as it was written")
}

#[cfg(test)]
mod tests {
    use arrow::array::{ArrayRef, Float64Array, Int64Array, ListArray, StringViewArray};
    use arrow::datatypes::{Field, Int64Type};

    use super::*;

    #[test]
    fn rows_come_back_bit_for_bit() {
        let lists = ListArray::from_iter_primitive::<Int64Type, _, _>([Some(vec![Some(1), None]), None, Some(vec![])]);
        let columns: Vec<ArrayRef> = vec![
            Arc::new(Int64Array::from(vec![Some(i64::MIN), None, Some(7)])),
            Arc::new(Float64Array::from(vec![-0.0, f64::from_bits(f64::NAN.to_bits() | 5), f64::NEG_INFINITY])),
            Arc::new(StringViewArray::from(vec![Some(""), None, Some("a text that is longer than a view holds by itself")])),
            Arc::new(lists),
        ];
        let fields = columns.iter().enumerate().map(|(i, c)| Field::new(format!("c{i}"), c.data_type().clone(), true));
        let records = RecordBatch::try_new(Arc::new(Schema::new(fields.collect::<Vec<_>>())), columns).unwrap();
        let mut codec = Codec::new(&["left", "right"]);
        let rows = codec.form(1, &records).unwrap().rows(&records).unwrap();
        let mut value = Vec::new();
        begin(9, &mut value);
        rows.iter().for_each(|row| add(1, row.data(), &mut value));
        assert_eq!(at(&value), Some(9));
        let entries = decode(&codec, [(3, value.as_slice())].into_iter()).unwrap();
        assert_eq!(entries["right"][0].groups.as_deref(), Some(&[3u16; 3][..]));
        let back = &entries["right"][0].records;
        // Not by value: a NaN is not equal to itself.
        assert_eq!(format!("{:?}", back.columns()), format!("{:?}", records.columns()));
        let bits = |records: &RecordBatch| -> Vec<u64> {
            let column = records.column(1).as_any().downcast_ref::<Float64Array>().unwrap();
            column.values().iter().map(|v| v.to_bits()).collect()
        };
        assert_eq!(bits(back), bits(&records));
        assert!(decode(&codec, [(3, &value[..value.len() - 1])].into_iter()).is_err());
        assert!(codec.form(1, &records.project(&[0]).unwrap()).is_err());
    }
}

//! The state of one subtask as bytes, and back: as parts, each of a bounded size.
//!
//! ```text
//! part    := magic section* index length checksum magic
//! section := one Arrow IPC stream: rows of one name and schema, batches joined unless they are large
//! index   := JSON: of each section its name, where it stands, and how its columns and batches are restored
//! ```
//!
//! Sections begin at multiples of 64 bytes. What is in a part stands for itself: rows are cut into parts wherever one is full.
//! - [`buffer`]: where its bytes are put together
//! - [`columns`]: what of a batch is written
//! - [`cut`]: entries into parts

mod buffer;
mod columns;
mod cut;

use std::io::Cursor;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch, UInt16Array};
use arrow::compute::concat_batches;
use arrow::datatypes::{DataType, Field, Schema, UInt16Type};
use arrow::ipc::reader::StreamReader;
use arrow::ipc::writer::StreamWriter;
use millstream_api::error::{Error, ErrorKind, Result};
use millstream_api::state::{StateEntries, StateRows};
use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::xxh3_64;

pub use self::buffer::Buffer;
use self::columns::{Twin, rows, shortened, size, spread, tight, twins, with_twins, without_twins};
pub use self::cut::{PART_BYTES, each, size_of_entries};

/// The first and last bytes of a part. The digit is the version of this format.
const MAGIC: &[u8; 8] = b"MSSTATE2";

/// The same in the format before this one.
const MAGIC_OF_1: &[u8; 8] = b"MSSTATE1";

/// Batches of this size on the average are written one by one.
const LARGE_BYTES: usize = 64 * 1024;

/// Behind the index: its length, the checksum, the magic.
const TAIL_BYTES: usize = 4 + CHECKED_BYTES;

/// What the checksum does not cover: itself, the magic.
const CHECKED_BYTES: usize = 8 + 8;

/// Where a section begins is a multiple of this, so that its columns lie in memory as Arrow wants them.
const ALIGNMENT: usize = 64;

/// The last column of a section with keys.
const GROUP: &str = "(group)";

/// One Arrow IPC stream of a part.
#[derive(Debug, Serialize, Deserialize)]
struct Section {
    name: String,
    offset: usize,
    length: usize,
    /// Whether the last column is the key group of each row.
    keyed: bool,
    /// Columns that are not in the stream.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    twins: Vec<Twin>,
    /// How many rows each batch had.
    rows: Vec<usize>,
}

/// Rows of some names as one part. Those of one name and schema stand together.
///
/// # Errors
/// Only internal ones: a type that Arrow IPC cannot hold.
pub fn encode(entries: &[(&str, StateRows)], part: &mut Buffer) -> Result<()> {
    part.begin(entries.iter().map(|(_, rows)| size(&rows.records) + 1024).sum::<usize>() + 1024);
    part.add(MAGIC);
    let mut index = Vec::new();
    let together = |a: &(&str, StateRows), b: &(&str, StateRows)| {
        a.0 == b.0 && a.1.groups.is_some() == b.1.groups.is_some() && a.1.records.schema_ref() == b.1.records.schema_ref()
    };
    for entries in entries.chunk_by(together) {
        index.push(write_section(entries, part)?);
    }
    let index = serde_json::to_vec(&index).map_err(Error::internal)?;
    part.add(&index);
    let length = u32::try_from(index.len()).map_err(|_| Error::internal("the index of a part is longer than 4 GiB"))?;
    part.add(&length.to_le_bytes());
    part.add(&xxh3_64(part.bytes()).to_le_bytes());
    part.add(MAGIC);
    Ok(())
}

fn write_section(entries: &[(&str, StateRows)], part: &mut Buffer) -> Result<Section> {
    let (name, first) = &entries[0];
    let all = entries.iter().map(|(_, rows)| rows.gathered()).collect::<Result<Vec<_>>>()?;
    let twins = twins(&all.iter().map(|rows| &rows.records).collect::<Vec<_>>());
    let counts = all.iter().map(|rows| rows.records.num_rows()).collect();
    let written = all.iter().map(|rows| with_groups(without_twins(&rows.records, &twins)?, rows)).collect::<Result<_>>()?;
    let written = join_small(written)?.iter().map(tight).collect::<Result<_>>()?;
    let written = shortened(written)?;
    part.pad(ALIGNMENT);
    let offset = part.len();
    let mut writer = StreamWriter::try_new(&mut *part, written[0].schema_ref())?;
    written.iter().try_for_each(|records| writer.write(records))?;
    writer.finish()?;
    drop(writer);
    let (length, keyed) = (part.len() - offset, first.groups.is_some());
    Ok(Section { name: (*name).to_owned(), offset, length, keyed, twins, rows: counts })
}

/// Joins batches that are small: each that is written costs some hundred bytes. Large ones are not copied once more for that.
fn join_small(batches: Vec<RecordBatch>) -> Result<Vec<RecordBatch>> {
    let bytes: usize = batches.iter().map(size).sum();
    match batches.len() == 1 || bytes / batches.len() >= LARGE_BYTES {
        true => Ok(batches),
        false => Ok(vec![concat_batches(batches[0].schema_ref(), &batches)?]),
    }
}

/// The columns and behind them, where there are keys, the group of each row.
fn with_groups(records: RecordBatch, of: &StateRows) -> Result<RecordBatch> {
    let Some(groups) = &of.groups else { return Ok(records) };
    let group = Arc::new(Field::new(GROUP, DataType::UInt16, false));
    let schema = records.schema();
    let fields: Vec<Arc<Field>> = schema.fields().iter().cloned().chain([group]).collect();
    let groups: ArrayRef = Arc::new(UInt16Array::new(groups.clone(), None));
    let columns = records.columns().iter().cloned().chain([groups]).collect();
    let schema = Arc::new(Schema::new_with_metadata(fields, schema.metadata().clone()));
    Ok(RecordBatch::try_new_with_options(schema, columns, &rows(records.num_rows()))?)
}

/// The checksum that a part says it has.
pub fn checksum(bytes: &[u8]) -> Option<u64> {
    let (_, tail) = bytes.split_last_chunk::<CHECKED_BYTES>()?;
    tail.first_chunk().map(|sum| u64::from_le_bytes(*sum))
}

/// What [`encode`] was given.
///
/// # Errors
/// When the bytes are none of its, or were damaged. Never panics, whatever they are.
pub fn decode(bytes: &[u8]) -> Result<StateEntries> {
    let index_end = bytes.len().checked_sub(TAIL_BYTES).ok_or_else(|| damaged("it is too short"))?;
    let (body, tail) = bytes.split_at(index_end);
    if body.starts_with(MAGIC_OF_1) {
        let message = "its format is version 1, and this Millstream reads version 2";
        return Err(Error::new(ErrorKind::State, message).help("go on from it with the Millstream that wrote it"));
    }
    if !body.starts_with(MAGIC) || !tail.ends_with(MAGIC) {
        return Err(damaged("it does not begin and end as a part of a checkpoint does"));
    }
    if checksum(bytes) != Some(xxh3_64(&bytes[..bytes.len() - CHECKED_BYTES])) {
        return Err(damaged("its checksum does not fit its bytes"));
    }
    let index_bytes = tail.first_chunk().map(|length| u32::from_le_bytes(*length) as usize).unwrap_or_default();
    let index_start = index_end.checked_sub(index_bytes).ok_or_else(|| damaged("its index is longer than the part"))?;
    let index: Vec<Section> = serde_json::from_slice(&body[index_start..]).map_err(|error| damaged(&format!("its index: {error}")))?;
    let mut entries = StateEntries::new();
    for section in index {
        let end = section.offset.checked_add(section.length);
        let stream = end.and_then(|end| body.get(section.offset..end)).ok_or_else(|| damaged("its index points outside"))?;
        let rows = read_section(&section, stream)?;
        entries.entry(section.name).or_default().extend(rows);
    }
    Ok(entries)
}

fn read_section(section: &Section, stream: &[u8]) -> Result<Vec<StateRows>> {
    let reader = StreamReader::try_new(Cursor::new(stream), None).map_err(unreadable)?;
    let batches = reader.map(|batch| spread(&batch.map_err(unreadable)?)).collect::<Result<Vec<_>>>()?;
    cut_apart(batches, &section.rows)?.into_iter().map(|records| as_rows(section, records)).collect()
}

/// Batches with so many rows each, as they were before some were joined.
fn cut_apart(batches: Vec<RecordBatch>, counts: &[usize]) -> Result<Vec<RecordBatch>> {
    if batches.iter().map(RecordBatch::num_rows).eq(counts.iter().copied()) {
        return Ok(batches);
    }
    let first = batches.first().ok_or_else(|| damaged("its index counts rows where there are none"))?;
    let records = concat_batches(first.schema_ref(), &batches)?;
    let mut from = 0usize;
    let cut = counts.iter().map(|&count| {
        let end = from.checked_add(count).filter(|end| *end <= records.num_rows());
        let end = end.ok_or_else(|| damaged("its index counts more rows than there are"))?;
        let start = std::mem::replace(&mut from, end);
        Ok(records.slice(start, count))
    });
    cut.collect()
}

fn as_rows(section: &Section, mut records: RecordBatch) -> Result<StateRows> {
    let mut groups = None;
    if section.keyed {
        let place = records.num_columns().checked_sub(1).ok_or_else(|| damaged("it has no key groups"))?;
        let column = records.remove_column(place);
        let column = column.as_primitive_opt::<UInt16Type>().filter(|column| column.null_count() == 0);
        groups = Some(column.ok_or_else(|| damaged("its key groups are none"))?.values().clone());
    }
    let records = with_twins(&records, &section.twins)?.ok_or_else(|| damaged("its index names columns that are not there"))?;
    Ok(StateRows { groups, records })
}

fn unreadable(error: arrow::error::ArrowError) -> Error {
    damaged(&error.to_string())
}

fn damaged(how: &str) -> Error {
    Error::new(ErrorKind::State, format!("damaged: {how}"))
}

#[cfg(test)]
mod tests {
    use arrow::array::{
        Decimal128Array, Int64Array, ListArray, ListBuilder, StringViewArray, StringViewBuilder, TimestampMicrosecondArray,
    };
    use arrow::datatypes::Int64Type;
    use millstream_api::state::StateWriter;
    use proptest::prelude::*;

    use super::*;

    fn records(names: &[Option<String>]) -> RecordBatch {
        let numbers = Int64Array::from_iter_values(0..names.len() as i64);
        let lists = ListArray::from_iter_primitive::<Int64Type, _, _>(
            names.iter().map(|name| name.as_ref().map(|n| vec![Some(n.len() as i64), None])),
        );
        let schema = Schema::new(vec![
            Field::new("name", DataType::Utf8View, true),
            Field::new("n", DataType::Int64, false),
            Field::new("l", lists.data_type().clone(), true),
        ]);
        let names = StringViewArray::from_iter(names.iter().map(Option::as_deref));
        RecordBatch::try_new(Arc::new(schema), vec![Arc::new(names), Arc::new(numbers), Arc::new(lists)]).unwrap()
    }

    fn without_columns(count: usize) -> RecordBatch {
        RecordBatch::try_new_with_options(Arc::new(Schema::empty()), vec![], &rows(count)).unwrap()
    }

    fn encode_all(entries: &StateEntries) -> Vec<u8> {
        let all: Vec<(&str, StateRows)> =
            entries.iter().flat_map(|(name, rows)| rows.iter().map(move |rows| (name.as_str(), rows.clone()))).collect();
        let mut part = Buffer::default();
        encode(&all, &mut part).unwrap();
        part.bytes().to_vec()
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn state_comes_back_as_it_was_written(
            rows in prop::collection::vec((prop::option::of("[a-zß]{0,40}"), 0u16..128), 0..80),
            again in prop::collection::vec(0u16..4, 0..5),
        ) {
            let mut writer = StateWriter::new();
            let (names, groups): (Vec<Option<String>>, Vec<u16>) = rows.into_iter().unzip();
            writer.put_keyed("sums", &groups, &records(&names)).unwrap();
            writer.put("all", records(&names));
            writer.put("all", records(&names).project(&[1]).unwrap());
            writer.put("none", without_columns(again.len()));
            writer.put_keyed("sums", &again, &records(&vec![Some("x".to_owned()); again.len()])).unwrap();
            let entries = writer.into_entries();
            prop_assert_eq!(decode(&encode_all(&entries)).unwrap(), entries);
        }

        #[test]
        fn any_damage_is_found(place in 0usize..10_000, bit in 0u8..8, cut in 0usize..10_000) {
            let mut writer = StateWriter::new();
            writer.put("all", records(&[Some("a".to_owned()), None]));
            let bytes = encode_all(&writer.into_entries());
            let mut flipped = bytes.clone();
            let place = place % bytes.len();
            flipped[place] ^= 1 << bit;
            prop_assert!(decode(&flipped).is_err());
            prop_assert!(decode(&bytes[..cut % bytes.len()]).is_err());
        }
    }

    #[test]
    fn large_batches_come_back_apart_as_small_ones_do() {
        let many: Vec<Option<String>> = (0..30_000).map(|n| Some(format!("a string that does not fit into a view {n}"))).collect();
        let all = records(&many);
        let mut writer = StateWriter::new();
        (0..3).for_each(|part| writer.put("parts", all.slice(part * 10_000, 10_000)));
        writer.put("parts", records(&many[..2]));
        let entries = writer.into_entries();
        let bytes = encode_all(&entries);
        assert_eq!(decode(&bytes).unwrap(), entries);
        assert!(bytes.len() < 4_000_000 && bytes.capacity() < 2 * bytes.len(), "{} of {}", bytes.len(), bytes.capacity());
    }

    #[test]
    fn what_is_there_many_times_over_is_written_once() {
        let rows = 10_000;
        let name = |i: i64| format!("a key that does not fit into a view {i}");
        let key: ArrayRef = Arc::new(StringViewArray::from_iter_values((0..rows).map(name)));
        let (one, null) =
            (Int64Array::from_value(1, rows as usize), TimestampMicrosecondArray::new_null(rows as usize).with_timezone("UTC"));
        let decimal = Decimal128Array::from_value(i128::MAX / 3, rows as usize).with_precision_and_scale(38, 2).unwrap();
        let columns: Vec<ArrayRef> = vec![Arc::new(one), key.clone(), Arc::new(null), key.clone(), Arc::new(decimal)];
        let fields = columns.iter().enumerate().map(|(i, c)| Field::new(format!("c{i}"), c.data_type().clone(), i == 2));
        let records = RecordBatch::try_new(Arc::new(Schema::new(fields.collect::<Vec<_>>())), columns).unwrap();
        let mut writer = StateWriter::new();
        writer.put_keyed("keys", &[5; 4_000], &records.slice(0, 4_000)).unwrap();
        writer.put_keyed("keys", &[6; 6_000], &records.slice(4_000, 6_000)).unwrap();
        let entries = writer.into_entries();
        let bytes = encode_all(&entries);
        let needed = rows as usize * (2 + 16 + 42);
        assert!(bytes.len() < needed + 40_000, "{} for {needed}", bytes.len());
        assert_eq!(decode(&bytes).unwrap(), entries);
    }

    #[test]
    fn entries_are_cut_into_parts_of_a_bounded_size() {
        let many: Vec<Option<String>> = (0..30_000).map(|n| Some(format!("a string that does not fit into a view {n}"))).collect();
        let mut writer = StateWriter::new();
        writer.put_keyed("sums", &(0..30_000).map(|row| row as u16 % 128).collect::<Vec<_>>(), &records(&many)).unwrap();
        writer.put("all", records(&many[..3]));
        let entries = writer.into_entries();
        let (mut parts, mut back) = (0, StateEntries::new());
        each(&entries, 100_000, &mut |bytes| {
            assert!(bytes.len() < 110_000, "{}", bytes.len());
            parts += 1;
            decode(bytes)?.into_iter().for_each(|(name, rows)| back.entry(name).or_default().extend(rows));
            Ok(())
        })
        .unwrap();
        assert!(parts > 10 && parts < 60, "{parts}");
        let joined = |entries: &StateEntries| {
            let (groups, batches): (Vec<Vec<u16>>, Vec<RecordBatch>) =
                entries["sums"].iter().map(|rows| (rows.groups.as_ref().unwrap().to_vec(), rows.records.clone())).unzip();
            (groups.concat(), concat_batches(batches[0].schema_ref(), &batches).unwrap())
        };
        assert_eq!(joined(&back), joined(&entries));
        assert_eq!(back["all"], entries["all"]);
    }

    #[test]
    fn strings_in_lists_do_not_carry_those_of_their_neighbours() {
        let mut lists = ListBuilder::new(StringViewBuilder::new());
        for row in 0..10_000 {
            lists.append_value((0..row % 3).map(|n| Some(format!("a string that does not fit into a view {row} {n}"))));
        }
        let lists: ArrayRef = Arc::new(lists.finish());
        let schema = Arc::new(Schema::new(vec![Field::new("l", lists.data_type().clone(), true)]));
        let records = RecordBatch::try_new(schema, vec![lists]).unwrap().slice(500, 10);
        let mut writer = StateWriter::new();
        writer.put("one", records.clone());
        let bytes = encode_all(&writer.into_entries());
        assert!(bytes.len() < 8_000, "{}", bytes.len());
        assert_eq!(decode(&bytes).unwrap()["one"][0].records, records);
    }

    #[test]
    fn a_slice_does_not_carry_the_strings_of_its_neighbours() {
        let many: Vec<Option<String>> = (0..10_000).map(|n| Some(format!("a string that does not fit into a view {n}"))).collect();
        let mut writer = StateWriter::new();
        writer.put("one", records(&many).slice(5, 1));
        assert!(encode_all(&writer.into_entries()).len() < 8_000);
    }
}

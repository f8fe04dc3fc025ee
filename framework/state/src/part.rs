//! The state of one subtask as bytes, and back.
//!
//! ```text
//! part    := magic section* index length checksum magic
//! section := one Arrow IPC stream: the batches of one name and schema, joined unless they are large
//! index   := JSON: of each section its name, where it stands, and how many rows belong to which key group
//! ```
//!
//! Small batches are joined before they are written, since a hundred key groups would otherwise repeat padding a hundred times; the
//! index cuts them apart again exactly where they were, however they are written.

use std::io::Cursor;

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch, RecordBatchOptions};
use arrow::compute::concat_batches;
use arrow::datatypes::{DataType, SchemaRef};
use arrow::ipc::reader::StreamReader;
use arrow::ipc::writer::StreamWriter;
use millstream_api::error::{Error, ErrorKind, Result};
use millstream_api::state::StateEntries;
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use xxhash_rust::xxh3::xxh3_64;

/// The first and last bytes of a part. The digit is the version of this format.
const MAGIC: &[u8; 8] = b"MSSTATE1";

/// Batches of this size on the average are written one by one.
const LARGE_BYTES: usize = 128 * 1024;

/// Behind the index: its length, the checksum, the magic.
const TAIL_BYTES: usize = 4 + 8 + 8;

/// One Arrow IPC stream of a part.
#[derive(Debug, Serialize, Deserialize)]
struct Section {
    name: String,
    offset: usize,
    length: usize,
    /// The batches that were joined, in order: key group (none: not keyed) and number of rows.
    runs: Vec<(Option<u16>, usize)>,
}

/// The entries of one subtask as bytes.
///
/// # Errors
/// Only internal ones: a type that Arrow IPC cannot hold.
pub fn encode(entries: &StateEntries) -> Result<Vec<u8>> {
    let mut bytes = MAGIC.to_vec();
    let mut index = Vec::new();
    for (name, batches) in joined(entries) {
        let offset = bytes.len();
        let runs = batches.iter().map(|(group, batch)| (*group, batch.num_rows())).collect();
        let records = few(batches.into_iter().map(|(_, batch)| without_slack(batch)).collect::<Result<_>>()?)?;
        // All at once: to grow by doubling would copy a large state several times.
        bytes.reserve(records.iter().map(size).sum());
        let mut writer = StreamWriter::try_new(&mut bytes, &records[0].schema())?;
        records.iter().try_for_each(|records| writer.write(records))?;
        writer.finish()?;
        drop(writer);
        index.push(Section { name: name.to_owned(), offset, length: bytes.len() - offset, runs });
    }
    let index = serde_json::to_vec(&index).map_err(Error::internal)?;
    bytes.extend_from_slice(&index);
    let length = u32::try_from(index.len()).map_err(|_| Error::internal("the index of a part is longer than 4 GiB"))?;
    bytes.extend_from_slice(&length.to_le_bytes());
    bytes.extend_from_slice(&xxh3_64(&bytes).to_le_bytes());
    bytes.extend_from_slice(MAGIC);
    Ok(bytes)
}

/// Joins batches that are small: each that is written costs some hundred bytes. Large ones are not copied once more for that.
fn few(batches: Vec<RecordBatch>) -> Result<Vec<RecordBatch>> {
    let bytes: usize = batches.iter().map(size).sum();
    match batches.len() == 1 || bytes / batches.len() >= LARGE_BYTES {
        true => Ok(batches),
        false => Ok(vec![concat_batches(&batches[0].schema(), &batches)?]),
    }
}

/// About the bytes of a batch, as a slice may share them with others.
fn size(records: &RecordBatch) -> usize {
    let own = |column: &ArrayRef| match column.data_type() {
        DataType::Utf8View => column.as_string_view().data_buffers().iter().map(|buffer| buffer.len()).sum(),
        DataType::BinaryView => column.as_binary_view().data_buffers().iter().map(|buffer| buffer.len()).sum(),
        _ => 0usize,
    };
    let sliced = |column: &ArrayRef| column.to_data().get_slice_memory_size().unwrap_or(0);
    records.columns().iter().map(|column| sliced(column) + own(column)).sum()
}

type Run<'a> = (Option<u16>, &'a RecordBatch);

/// The batches of each name in order, apart where their schemas differ.
fn joined(entries: &StateEntries) -> Vec<(&str, Vec<Run<'_>>)> {
    let mut sections: Vec<(&str, Vec<Run<'_>>)> = Vec::new();
    for ((name, group), batches) in entries {
        for batch in batches {
            match sections.last_mut() {
                Some((last, runs)) if last == name && runs[0].1.schema() == batch.schema() => runs.push((*group, batch)),
                _ => sections.push((name, vec![(*group, batch)])),
            }
        }
    }
    sections
}

/// The same rows without bytes of strings that belong to none of them: views share the buffers of what they were cut from.
fn without_slack(records: &RecordBatch) -> Result<RecordBatch> {
    let tight = |column: &ArrayRef| -> ArrayRef {
        match column.data_type() {
            DataType::Utf8View => Arc::new(column.as_string_view().gc()),
            DataType::BinaryView => Arc::new(column.as_binary_view().gc()),
            _ => column.clone(),
        }
    };
    let columns = records.columns().iter().map(tight).collect();
    Ok(RecordBatch::try_new_with_options(records.schema(), columns, &rows(records.num_rows()))?)
}

fn rows(count: usize) -> RecordBatchOptions {
    RecordBatchOptions::new().with_row_count(Some(count))
}

/// What [`encode`] was given.
///
/// # Errors
/// When the bytes are none of its, or were damaged. Never panics, whatever they are.
pub fn decode(bytes: &[u8]) -> Result<StateEntries> {
    let index_end = bytes.len().checked_sub(TAIL_BYTES).ok_or_else(|| damaged("it is too short"))?;
    let (body, tail) = bytes.split_at(index_end);
    if !body.starts_with(MAGIC) || !tail.ends_with(MAGIC) {
        return Err(damaged("it does not begin and end as a part of a checkpoint does"));
    }
    let checksum = u64::from_le_bytes(fixed(&tail[4..12])?);
    if xxh3_64(&bytes[..bytes.len() - 16]) != checksum {
        return Err(damaged("its checksum does not fit its bytes"));
    }
    let index_bytes = u32::from_le_bytes(fixed(&tail[..4])?) as usize;
    let index_start = index_end.checked_sub(index_bytes).ok_or_else(|| damaged("its index is longer than the part"))?;
    let index: Vec<Section> = serde_json::from_slice(&body[index_start..]).map_err(|error| damaged(&format!("its index: {error}")))?;
    let mut entries = StateEntries::new();
    for section in index {
        let end = section.offset.checked_add(section.length);
        let stream = end.and_then(|end| body.get(section.offset..end)).ok_or_else(|| damaged("its index points outside"))?;
        read_section(&section, stream, &mut entries)?;
    }
    Ok(entries)
}

fn read_section(section: &Section, stream: &[u8], entries: &mut StateEntries) -> Result<()> {
    let reader = StreamReader::try_new(Cursor::new(stream), None).map_err(unreadable)?;
    let schema: SchemaRef = reader.schema();
    let batches = reader.collect::<Result<Vec<_>, _>>().map_err(unreadable)?;
    let records = concat_batches(&schema, &batches)?;
    let mut from = 0usize;
    for &(group, count) in &section.runs {
        let end = from.checked_add(count).filter(|end| *end <= records.num_rows());
        let end = end.ok_or_else(|| damaged("its index counts more rows than there are"))?;
        entries.entry((section.name.clone(), group)).or_default().push(records.slice(from, count));
        from = end;
    }
    Ok(())
}

fn fixed<const N: usize>(bytes: &[u8]) -> Result<[u8; N]> {
    bytes.try_into().map_err(|_| damaged("it is too short"))
}

fn unreadable(error: arrow::error::ArrowError) -> Error {
    damaged(&error.to_string())
}

fn damaged(how: &str) -> Error {
    Error::new(ErrorKind::State, format!("damaged: {how}"))
}

#[cfg(test)]
mod tests {
    use arrow::array::{Int64Array, ListArray, StringViewArray};
    use arrow::datatypes::{Field, Int64Type, Schema};
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
            prop_assert_eq!(decode(&encode(&entries).unwrap()).unwrap(), entries);
        }

        #[test]
        fn any_damage_is_found(place in 0usize..10_000, bit in 0u8..8, cut in 0usize..10_000) {
            let mut writer = StateWriter::new();
            writer.put("all", records(&[Some("a".to_owned()), None]));
            let bytes = encode(&writer.into_entries()).unwrap();
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
        let bytes = encode(&entries).unwrap();
        assert_eq!(decode(&bytes).unwrap(), entries);
        assert!(bytes.len() < 4_000_000 && bytes.capacity() < 2 * bytes.len(), "{} of {}", bytes.len(), bytes.capacity());
    }

    #[test]
    fn a_slice_does_not_carry_the_strings_of_its_neighbours() {
        let many: Vec<Option<String>> = (0..10_000).map(|n| Some(format!("a string that does not fit into a view {n}"))).collect();
        let mut writer = StateWriter::new();
        writer.put("one", records(&many).slice(5, 1));
        assert!(encode(&writer.into_entries()).unwrap().len() < 4_000);
    }
}

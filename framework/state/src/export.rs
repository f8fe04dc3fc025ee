//! State as text: what a checkpoint holds of a node, row by row, for people and other programs.

use std::io::Write;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, BooleanArray, RecordBatch, StringArray, UInt16Array};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Field, Schema};
use arrow::json::WriterBuilder;
use arrow::json::writer::LineDelimited;
use millstream_api::error::{Error, ErrorKind, Result};
use millstream_api::state::{StateEntries, StateRows};

/// Writes the rows of all entries (of one state name, if that is given, and with this value in one of their columns) as JSON
/// lines: the state's name, the key group, then the columns as the node has written them. How many that were.
///
/// # Errors
/// When `out` cannot be written.
pub fn json_lines(entries: &StateEntries, name: Option<&str>, value: Option<&str>, limit: usize, out: &mut dyn Write) -> Result<usize> {
    let mut written = 0;
    for (entry, all) in entries.iter().filter(|(entry, _)| name.is_none_or(|name| name == *entry)) {
        for rows in all {
            let records = with_place(entry, &matching(rows, value)?)?;
            let rows = records.num_rows().min(limit - written);
            if rows > 0 {
                let mut writer = WriterBuilder::new().with_explicit_nulls(true).build::<_, LineDelimited>(&mut *out);
                let result = writer.write(&records.slice(0, rows)).and_then(|()| writer.finish());
                result.map_err(|cause| Error::io("cannot write state", cause))?;
                written += rows;
            }
        }
    }
    Ok(written)
}

/// The rows that have this text as the value of a column.
fn matching(rows: &StateRows, value: Option<&str>) -> Result<StateRows> {
    let Some(value) = value else { return Ok(rows.clone()) };
    let mut mask = vec![false; rows.records.num_rows()];
    for column in rows.records.columns() {
        // A column that has no text (a list, say) cannot be asked for.
        let Ok(texts) = cast(column, &DataType::Utf8) else { continue };
        let texts = texts.as_any().downcast_ref::<StringArray>().ok_or_else(|| Error::internal("a cast to text gave none"))?;
        texts.iter().zip(&mut mask).for_each(|(text, mask)| *mask |= text == Some(value));
    }
    rows.filter(&BooleanArray::from(mask))
}

fn with_place(name: &str, StateRows { groups, records }: &StateRows) -> Result<RecordBatch> {
    let rows = records.num_rows();
    let groups = match groups {
        Some(groups) => UInt16Array::new(groups.clone(), None),
        None => UInt16Array::new_null(rows),
    };
    let field = |name: &str, data_type: DataType| Arc::new(Field::new(name, data_type, true));
    let fields = [field("state", DataType::Utf8), field("key_group", DataType::UInt16)];
    let columns: [ArrayRef; 2] = [Arc::new(StringArray::from(vec![name; rows])), Arc::new(groups)];
    let schema = Schema::new(fields.into_iter().chain(records.schema().fields().iter().cloned()).collect::<Vec<_>>());
    RecordBatch::try_new(Arc::new(schema), columns.into_iter().chain(records.columns().iter().cloned()).collect())
        .map_err(|cause| Error::new(ErrorKind::State, format!("cannot show state `{name}`: {cause}")))
}

#[cfg(test)]
mod tests {
    use arrow::array::{BinaryArray, Int64Array, StringViewArray};
    use millstream_api::state::StateWriter;

    use super::*;

    fn entries() -> StateEntries {
        let fields = ["k0", "n", "b"].iter().zip([DataType::Utf8View, DataType::Int64, DataType::Binary]);
        let schema = Schema::new(fields.map(|(name, data_type)| Field::new(*name, data_type, true)).collect::<Vec<_>>());
        let columns: Vec<ArrayRef> = vec![
            Arc::new(StringViewArray::from(vec![Some("UA"), None, Some("AA")])),
            Arc::new(Int64Array::from(vec![1, 2, 3])),
            Arc::new(BinaryArray::from(vec![b"\x01" as &[u8]; 3])),
        ];
        let mut writer = StateWriter::new();
        writer.put_keyed("panes", &[7, 7, 3], &RecordBatch::try_new(Arc::new(schema), columns).unwrap()).unwrap();
        writer.put("none", RecordBatch::new_empty(Arc::new(Schema::empty())));
        writer.into_entries()
    }

    fn lines(name: Option<&str>, value: Option<&str>, limit: usize) -> String {
        let mut out = Vec::new();
        json_lines(&entries(), name, value, limit, &mut out).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn rows_come_as_json_lines_with_their_place() {
        let all = lines(None, None, usize::MAX);
        assert_eq!(
            all,
            "{\"state\":\"panes\",\"key_group\":7,\"k0\":\"UA\",\"n\":1,\"b\":\"01\"}\n\
             {\"state\":\"panes\",\"key_group\":7,\"k0\":null,\"n\":2,\"b\":\"01\"}\n\
             {\"state\":\"panes\",\"key_group\":3,\"k0\":\"AA\",\"n\":3,\"b\":\"01\"}\n"
        );
        assert_eq!(lines(None, None, 2).lines().count(), 2);
        assert_eq!(lines(Some("other"), None, 9), "");
        assert_eq!(lines(Some("panes"), Some("UA"), 9).lines().count(), 1);
        assert_eq!(lines(None, Some("2"), 9).lines().count(), 1);
    }
}

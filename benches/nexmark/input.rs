//! The input files: events of each type as JSON, one object a line, times as epoch milliseconds.

use std::fs::{self, File};
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

use arrow::array::{AsArray, RecordBatch};
use arrow::datatypes::{Int64Type, TimestampMicrosecondType};
use millstream_operators::nexmark::generate::{Kind, generate_batches};

/// Where those of this type among `events` events lie.
pub fn path(data: &Path, kind: Kind, events: u64) -> PathBuf {
    data.join(format!("{}-{events}.ndjson", kind.name()))
}

/// Writes the files that are not there.
///
/// # Errors
/// When one can't be written.
pub fn write(data: &Path, events: u64) -> Result<(), String> {
    Kind::ALL.into_iter().try_for_each(|kind| write_kind(data, kind, events))
}

fn write_kind(data: &Path, kind: Kind, events: u64) -> Result<(), String> {
    let path = path(data, kind, events);
    if path.exists() {
        return Ok(());
    }
    let failed = |e: std::io::Error| format!("{}: {e}", path.display());
    fs::create_dir_all(data).map_err(failed)?;
    let partial = path.with_extension("partial");
    let mut file = BufWriter::with_capacity(1 << 20, File::create(&partial).map_err(failed)?);
    for first in (0..events).step_by(100_000) {
        let end = (first + 100_000).min(events);
        for batch in generate_batches(kind, first, end, 10_000).map_err(|e| e.to_string())? {
            write_batch(&batch, &mut file).map_err(failed)?;
        }
    }
    file.flush().map_err(failed)?;
    fs::rename(&partial, &path).map_err(failed)
}

fn write_batch(batch: &RecordBatch, file: &mut impl Write) -> std::io::Result<()> {
    let text = |value: &str| serde_json::Value::from(value).to_string();
    for row in 0..batch.num_rows() {
        for (index, field) in batch.schema().fields().iter().enumerate() {
            let column = batch.column(index);
            let start = if index == 0 { "{" } else { "," };
            write!(file, "{start}\"{}\":", field.name())?;
            if let Some(numbers) = column.as_primitive_opt::<Int64Type>() {
                write!(file, "{}", numbers.value(row))?;
            } else if let Some(times) = column.as_primitive_opt::<TimestampMicrosecondType>() {
                write!(file, "{}", times.value(row) / 1000)?;
            } else {
                write!(file, "{}", text(column.as_string_view().value(row)))?;
            }
        }
        writeln!(file, "}}")?;
    }
    Ok(())
}

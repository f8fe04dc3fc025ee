//! The input files: events as JSON, one object a line, times as epoch milliseconds. Each type in a file of its own, and all of them
//! in one, in the order of their numbers and with their type first.

use std::fs::{self, File};
use std::io::{BufWriter, Read, Write};
use std::path::{Path, PathBuf};

use arrow::array::{AsArray, RecordBatch};
use arrow::datatypes::{Int64Type, TimestampMicrosecondType};
use millstream_operators::nexmark::generate::{Generator, Kind};

/// After how many events the types repeat: 1 person, 3 auctions, 46 bids.
const CYCLE: u64 = 50;

/// How many events are made before they are written.
const CHUNK: u64 = 2000 * CYCLE;

/// How much of a file is written at a time.
const WRITE_BYTES: usize = 1 << 20;

/// How many events of this type have a number below `event`.
pub fn before(kind: Kind, event: u64) -> u64 {
    let (first, count) = match kind {
        Kind::Person => (0, 1),
        Kind::Auction => (1, 3),
        Kind::Bid => (4, 46),
    };
    event / CYCLE * count + (event % CYCLE).saturating_sub(first).min(count)
}

/// Where those of this type among `events` events lie.
pub fn path(data: &Path, kind: Kind, events: u64) -> PathBuf {
    data.join(format!("{}-{events}.ndjson", kind.name()))
}

/// Where all of `events` events lie.
pub fn merged_path(data: &Path, events: u64) -> PathBuf {
    data.join(format!("events-{events}.ndjson"))
}

/// Writes the files of single types.
///
/// # Errors
/// When one can't be written.
pub fn write_by_type(data: &Path, events: u64) -> Result<(), String> {
    Kind::ALL.into_iter().try_for_each(|kind| {
        write_file(&path(data, kind, events), events, &[kind], |batches, file| {
            batches.iter().try_for_each(|batch| (0..batch.num_rows()).try_for_each(|row| write_row(batch, row, None, file)))
        })
    })
}

/// Writes the file of all types.
///
/// # Errors
/// When it can't be written.
pub fn write_merged(data: &Path, events: u64) -> Result<(), String> {
    write_file(&merged_path(data, events), events, &Kind::ALL, |batches, file| {
        let rows = batches.iter().map(RecordBatch::num_rows).sum::<usize>() as u64;
        let mut next = [0; 3];
        for event in 0..rows {
            let kind = Kind::ALL.into_iter().find(|kind| before(*kind, event + 1) > before(*kind, event)).unwrap_or(Kind::Bid);
            write_row(&batches[kind as usize], next[kind as usize], Some(kind), file)?;
            next[kind as usize] += 1;
        }
        Ok(())
    })
}

/// Removes the file of all types, and what there may be of it when writing it has failed.
///
/// # Errors
/// When it is there and can't be removed.
pub fn remove_merged(data: &Path, events: u64) -> Result<(), String> {
    let path = merged_path(data, events);
    for path in [partial_path(&path), path] {
        match fs::remove_file(&path) {
            Err(e) if e.kind() != std::io::ErrorKind::NotFound => return Err(format!("{}: {e}", path.display())),
            _ => {}
        }
    }
    Ok(())
}

/// Where a file is written before it is whole.
fn partial_path(path: &Path) -> PathBuf {
    path.with_extension("partial")
}

/// Writes a file from chunks of events that begin with a cycle; one batch for each type. One that is there is only copied.
fn write_file(
    path: &Path,
    events: u64,
    kinds: &[Kind],
    mut write: impl FnMut(&[RecordBatch], &mut BufWriter<File>) -> std::io::Result<()>,
) -> Result<(), String> {
    let failed = |e: std::io::Error| format!("{}: {e}", path.display());
    if path.exists() {
        return write_anew(path).map_err(failed);
    }
    fs::create_dir_all(path.parent().unwrap_or(Path::new("."))).map_err(failed)?;
    let partial = partial_path(path);
    let mut file = BufWriter::with_capacity(WRITE_BYTES, File::create(&partial).map_err(failed)?);
    let wanted: Vec<_> = kinds.iter().map(|kind| (*kind, kind.schema())).collect();
    let mut generator = Generator::new(0, 0, &wanted).map_err(|e| e.to_string())?;
    while generator.next_event() < events {
        let parts = generator.until((generator.next_event() + CHUNK).min(events)).map_err(|e| e.to_string())?;
        let mut batches: Vec<RecordBatch> = kinds.iter().map(|kind| RecordBatch::new_empty(kind.schema())).collect();
        for part in parts {
            let place = kinds.iter().position(|kind| *kind as usize == part.output).unwrap_or(0);
            batches[place] = part.records;
        }
        write(&batches, &mut file).map_err(failed)?;
    }
    let file = file.into_inner().map_err(|e| failed(e.into_error()))?;
    file.sync_all().and_then(|()| fs::rename(&partial, path)).map_err(failed)
}

/// Puts a copy in the place of a file. What has lain in the system's cache for a while lies there in small pages, and takes up to three
/// times as long to copy out as when it has just been written in large pieces: which of the two a measurement met would be chance.
fn write_anew(path: &Path) -> std::io::Result<()> {
    let partial = partial_path(path);
    let (mut old, mut copy) = (File::open(path)?, File::create(&partial)?);
    let mut piece = vec![0; WRITE_BYTES];
    loop {
        let length = old.read(&mut piece)?;
        if length == 0 {
            // Else it would be written to disk while somebody measures.
            copy.sync_all()?;
            return fs::rename(&partial, path);
        }
        copy.write_all(&piece[..length])?;
    }
}

/// One event as a line, with its type first if that is to be told.
fn write_row(batch: &RecordBatch, row: usize, kind: Option<Kind>, file: &mut impl Write) -> std::io::Result<()> {
    let text = |value: &str| serde_json::Value::from(value).to_string();
    write!(file, "{{")?;
    if let Some(kind) = kind {
        write!(file, "\"type\":\"{}\",", kind.name())?;
    }
    for (index, field) in batch.schema().fields().iter().enumerate() {
        let column = batch.column(index);
        let comma = if index == 0 { "" } else { "," };
        write!(file, "{comma}\"{}\":", field.name())?;
        if let Some(numbers) = column.as_primitive_opt::<Int64Type>() {
            write!(file, "{}", numbers.value(row))?;
        } else if let Some(times) = column.as_primitive_opt::<TimestampMicrosecondType>() {
            write!(file, "{}", times.value(row) / 1000)?;
        } else {
            write!(file, "{}", text(column.as_string_view().value(row)))?;
        }
    }
    writeln!(file, "}}")
}

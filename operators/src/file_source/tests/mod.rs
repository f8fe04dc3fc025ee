//! Whole files through the source: order, threads, positions, failures.

mod copies;
mod follow;
mod packed;
mod parquet;
mod renamed;
mod text;
mod together;

use std::io::Write;
use std::path::Path;
use std::time::Duration;

use arrow::array::{AsArray, RecordBatch};
use arrow::datatypes::{Int64Type, Schema};
use flate2::write::GzEncoder;
use millstream_api::diagnostic::Diagnostics;
use millstream_api::error::BadRow;
use millstream_api::options::OnBadRow;
use millstream_api::plan::{Inputs, Make, Plan, Shape, SourceContext, SourceFactory};
use millstream_api::registry::{NodeOptions, read};
use millstream_api::source::{Next, Position};
use millstream_api::{Error, Source};

use super::FileSourceOptions;
use super::compression::Compression;
use super::formats::{Format, TextFormat};
use super::paths::{InputFile, list};
use super::reader::FileFactory;
use crate::decode::csv::Dialect;
use crate::decode::schema::{ColumnSpec, arrow_schema};

const FOREVER: Duration = Duration::from_secs(600);

/// A file with these bytes, and the folder that it is in.
pub(super) fn input_file(bytes: &[u8], name: &str) -> (tempfile::TempDir, InputFile) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(name);
    std::fs::write(&path, bytes).unwrap();
    let file = InputFile::new(&path, name).unwrap();
    (folder, file)
}

/// A text, packed.
pub(super) fn gzip(text: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(text).unwrap();
    encoder.finish().unwrap()
}

fn plan(folder: &Path, options: serde_json::Value) -> Result<Plan, Diagnostics> {
    let inputs = Inputs { name: "in", streams: Vec::new(), on_bad_row: OnBadRow::Fail, folder: folder.to_owned() };
    read::<FileSourceOptions>(options)?.plan(&inputs)
}

pub(super) fn json() -> Format {
    Format::Text(TextFormat::Json, Compression::Auto)
}

fn csv() -> Format {
    Format::Text(TextFormat::Csv(Dialect { header: true, delimiter: b',', quote: b'"', null_text: String::new() }), Compression::Auto)
}

/// Columns `n bigint` and `t string`.
fn columns() -> Vec<ColumnSpec> {
    [("n", "bigint"), ("t", "string")].map(|(name, text)| ColumnSpec::parse(name, text).unwrap()).to_vec()
}

/// A factory whose blocks are far smaller than the files.
pub(super) fn factory(folder: &Path, path: &str, format: Format) -> FileFactory {
    FileFactory::new(folder.to_owned(), path.to_owned(), list(folder, path).unwrap_or_default(), format, columns()).with_block_bytes(100)
}

fn context(schema: &Schema, workers: usize, batch_rows: usize) -> SourceContext {
    let shape = Shape { schema: schema.clone().into(), explicit_windows: false, judge: false, origin: false, read: true };
    SourceContext { node: "in".to_owned(), batch_rows, workers, outputs: vec![shape], positions: Vec::new() }
}

/// Everything a source said.
#[derive(Debug, Default)]
pub(super) struct Read {
    pub(super) numbers: Vec<i64>,
    bad: Vec<BadRow>,
    /// After each batch: how many rows there had been, and the position.
    pub(super) stands: Vec<(usize, usize, Position)>,
    rows: Vec<usize>,
}

fn read_all(source: &mut dyn Source) -> Result<Read, Error> {
    let mut all = Read::default();
    loop {
        match source.next(FOREVER)? {
            Next::Rows(rows) => {
                let records: &RecordBatch = &rows.parts[0].records;
                all.rows.push(records.num_rows() + rows.bad.len());
                all.numbers.extend(records.column(0).as_primitive::<Int64Type>().values());
                all.bad.extend(rows.bad);
                all.stands.push((all.numbers.len(), all.bad.len(), rows.position));
            }
            Next::Nothing => {}
            Next::SplitEnd(split) => assert_eq!(split, 0),
            Next::End => return Ok(all),
            Next::Closed => panic!("files have no door"),
        }
    }
}

pub(super) fn read_with(factory: &FileFactory, workers: usize, batch_rows: usize) -> Read {
    let context = context(&arrow_schema(&columns()), workers, batch_rows);
    read_all(&mut *factory.make(&context).unwrap()).unwrap()
}

/// What a run reads that goes on from there, row by row.
pub(super) fn read_from(factory: &FileFactory, position: &Position) -> Read {
    let context = SourceContext { positions: vec![(0, position.clone())], ..context(&arrow_schema(&columns()), 1, 1) };
    read_all(&mut *factory.make(&context).unwrap()).unwrap()
}

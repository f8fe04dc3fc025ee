//! `file`: one file in JSON lines, CSV or Parquet.
//!
//! The file is written under a temporary name in its own folder and renamed into place when all rows are in it and on disk: a
//! reader sees nothing or a complete file. A run that fails drops the sink, and with it the temporary file. With checkpoints
//! the file grows with each of them. Modules in reading order: here the options and their plan, [`contents`] how rows become
//! bytes, [`parquet`] and [`debezium`] the same for these formats, [`packing`] how they are packed, [`ending`] what names say of all
//! that, [`mod@publish`] how a file comes to its name, [`commits`] how it
//! grows.

mod commits;
mod contents;
mod debezium;
mod ending;
mod packing;
mod parquet;
mod publish;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow::datatypes::Schema;

use millstream_api::operator::Fates;
use millstream_api::plan::{Columns, Delivery, InputPlan, Inputs, Make, Parallelism, Plan, SinkContext, SinkFactory, WindowUse};
use millstream_api::registry::{InputKeys, NodeOptions, Role};
use millstream_api::sink::Finish;
use millstream_api::{Batch, Diagnostic, Diagnostics, Error, Result, Sink, Stream};
use schemars::JsonSchema;
use serde::Deserialize;

use self::commits::CommittedFile;
use self::contents::{Contents, Text};
use self::debezium::Events;
use self::packing::{Compression, Packer, Packing};
use self::parquet::Parquet;
use self::publish::{cannot, publish, temporary};
use super::columns::{Picked, Projection};

/// Writes rows to a file.
///
/// Without checkpoints the file appears when the input has ended or the run is stopped, complete, in place of one of the same
/// name; a run that fails leaves nothing. With checkpoints it grows: each one appends the rows that it covers, and after a crash
/// the file is cut back to the last one, so that a reader never sees a row that could be taken back. Parquet is then a part for
/// each checkpoint that has rows, `STEM-7.parquet`. A run that begins anew takes the place of what an earlier one has left; a file
/// of somebody else's that is named like a part, such as `STEM-2024.parquet`, ends it before. Rows that wait for a checkpoint are in
/// files with names of the form `.NAME.7.pending`. The folder is made if it is not there. Rows are in the order in which they came.
///
/// No new file is begun by time or size: with checkpoints JSON and CSV are one file that grows. Nobody else may rotate it: a file that
/// was moved or cut ends the run, since what a checkpoint covers is no longer there.
///
/// In JSON each row is an object on a line of its own, with a null for each column that is null. In CSV a null is an empty
/// field and an empty text is `""`. In both a timestamp is RFC 3339 in UTC, a decimal has all its digits, bytes are
/// hexadecimal; a double that is not finite is null in JSON, and `NaN`, `inf` or `-inf` in CSV. Parquet has types of its own for
/// all of them, but none for an `interval`. Its row groups have up to 1,048,576 rows and about 64 MiB, which are held in memory.
///
/// With `debezium` the changes of a stream are events such as `{"before":null,"after":{"carrier":"UA","flights":3},"op":"c"}`, with
/// the `op` `c`, `u` or `d`. Where the stream has a key, and its columns are written, a key has one event for each batch: the row of
/// before and the row of after. Without, a change of a row is two events, `d` and `c`.
///
/// ```toml
/// [sinks.archive]
/// type   = "file"
/// input  = "delays"
/// path   = "out/delays.ndjson"
/// format = "json"
/// ```
#[derive(Clone, Debug, Deserialize, JsonSchema)]
pub struct FileSinkOptions {
    /// Where to write, relative to the folder of the topology file.
    pub path: String,
    /// `json` (one object a line), `csv`, `parquet` or `debezium`. Default: by the end of `path`, `json` if it has none.
    pub format: Option<FileFormat>,
    /// Of csv: whether the first line has the names of the columns. Default: true.
    pub header: Option<bool>,
    /// Of csv: what stands between two fields, one ASCII character. Default: `","`, and a tab where `path` ends in `.tsv`.
    pub delimiter: Option<char>,
    /// How the file is packed; of parquet its pages. Default: by the end of `path` (`.gz`, `.zst`), of parquet `zstd`.
    pub compression: Option<Compression>,
    /// The columns to write, in this order. Default: all.
    pub columns: Option<Vec<String>>,
    /// Writes the changes of an updating stream, with a last column `_weight`: 1 for a row that comes, -1 for one that is
    /// withdrawn. Without it an updating input is an error.
    #[serde(default)]
    pub changes: bool,
}

/// How a file is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum FileFormat {
    /// One object a line.
    Json,
    /// Comma-separated values after RFC 4180.
    Csv,
    /// Columns in row groups (Apache Parquet).
    Parquet,
    /// Change events as Debezium writes them, one JSON object a line.
    Debezium,
}

impl NodeOptions for FileSinkOptions {
    const KIND: &'static str = "file";
    const ROLE: Role = Role::Sink;
    const INPUTS: InputKeys = InputKeys::One;

    fn plan(self, inputs: &Inputs<'_>) -> Result<Plan, Diagnostics> {
        let mut found = Diagnostics::default();
        let path = found.ok(target(&self.path, &inputs.folder));
        let encoding = found.ok(self.encoding());
        let is_debezium = matches!(encoding, Some(Encoding::Debezium { .. }));
        let picked = Picked::new(self.columns, inputs).and_then(|picked| picked.appended(self.changes || is_debezium, inputs));
        let (Some(path), Some(encoding), Some(picked)) = (path, encoding, found.ok(picked)) else {
            return Err(found);
        };
        if matches!(encoding, Encoding::Parquet(_)) {
            parquet::check(picked.names(), inputs.schema(0))?;
        }
        let encoding = match encoding {
            Encoding::Debezium { packing, .. } => Encoding::Debezium { key: known_key(&inputs.streams[0].1, &picked), packing },
            other => other,
        };
        let writes = Some(path.clone());
        let factory = FileSinkFactory { path, encoding, picked };
        let plan = Plan::new(vec![InputPlan::any(WindowUse::Reads)], Vec::new(), Make::Sink(Arc::new(factory)));
        Ok(Plan { parallelism: Parallelism::One("a file is written by one"), writes, ..plan })
    }
}

/// The key of a stream, if all of it is written.
fn known_key(stream: &Stream, picked: &Picked) -> Vec<String> {
    let key = stream.unique_key.clone().filter(|key| key.iter().all(|name| picked.names().contains(name)));
    key.unwrap_or_default()
}

impl FileSinkOptions {
    fn encoding(&self) -> Result<Encoding, Diagnostics> {
        let mut found = Diagnostics::default();
        let Some(format) = found.ok(self.resolved_format()) else { return Err(found) };
        let keys = [("header", self.header.is_some()), ("delimiter", self.delimiter.is_some())];
        for (key, _) in keys.into_iter().filter(|(_, is_set)| *is_set && format != FileFormat::Csv) {
            let message = format!("`{key}` is a key of csv, and this file is {}", format.name());
            let help = "write format = \"csv\", or leave the key out";
            found.push(Diagnostic::error("bad-value", message).key(key).on_key().help(help));
        }
        if format == FileFormat::Debezium && self.changes {
            let message = "`changes` means nothing for debezium: its events say themselves what comes and goes";
            found.push(Diagnostic::error("bad-value", message).key("changes").on_key().help("leave it out"));
        }
        let encoding = match format {
            FileFormat::Parquet => found.ok(self.page_packing()).map(Encoding::Parquet),
            FileFormat::Debezium => found.ok(self.packing(format)).map(|packing| Encoding::Debezium { key: Vec::new(), packing }),
            FileFormat::Json => found.ok(self.packing(format)).map(Encoding::Json),
            FileFormat::Csv => {
                let (packing, delimiter) = (found.ok(self.packing(format)), found.ok(self.resolved_delimiter()));
                let header = self.header.unwrap_or(true);
                packing.zip(delimiter).map(|(packing, delimiter)| Encoding::Csv { header, delimiter, packing })
            }
        };
        match encoding {
            Some(encoding) => found.into_result(encoding),
            None => Err(found),
        }
    }
}

impl FileFormat {
    /// How names of such files end.
    fn ending(self) -> &'static str {
        match self {
            FileFormat::Json | FileFormat::Debezium => "ndjson",
            FileFormat::Csv => "csv",
            FileFormat::Parquet => "parquet",
        }
    }

    fn name(self) -> &'static str {
        match self {
            FileFormat::Json => "json",
            FileFormat::Csv => "csv",
            FileFormat::Parquet => "parquet",
            FileFormat::Debezium => "debezium",
        }
    }
}

fn target(path: &str, folder: &Path) -> Result<PathBuf, Diagnostic> {
    let full = folder.join(path);
    if path.ends_with(['/', '\\']) || full.file_name().is_none() || full.is_dir() {
        let message = format!("`{path}` is a folder, and this sink writes one file");
        return Err(Diagnostic::error("bad-path", message).key("path").help("give the file's name, for example \"out/rows.ndjson\""));
    }
    // A rename would put a file in the place of `/dev/null`.
    if full.exists() && !full.is_file() {
        let message = format!("`{path}` is not a plain file, and this sink would replace it");
        let help = "to print rows use a sink of the type `stdout`, to drop them `discard`";
        return Err(Diagnostic::error("bad-path", message).key("path").help(help));
    }
    Ok(full)
}

#[derive(Clone, Debug)]
enum Encoding {
    Json(Packing),
    Csv {
        header: bool,
        delimiter: u8,
        packing: Packing,
    },
    Parquet(Compression),
    /// The columns that tell rows apart, if that is known.
    Debezium {
        key: Vec<String>,
        packing: Packing,
    },
}

impl Encoding {
    /// An empty file with these columns; without `has_header` its rows follow those of another one.
    fn contents(&self, path: &Path, schema: &Arc<Schema>, has_header: bool) -> Result<Box<dyn Contents>> {
        let failed = |cause| cannot("create", path, cause);
        let file = temporary(path).map_err(failed)?;
        Ok(match self {
            Encoding::Json(packing) => Box::new(Text::json(Packer::new(file, *packing).map_err(failed)?)),
            Encoding::Csv { header, delimiter, packing } => {
                let packer = Packer::new(file, *packing).map_err(failed)?;
                Box::new(Text::csv(packer, *delimiter, (*header && has_header).then_some(schema)))
            }
            Encoding::Parquet(compression) => Box::new(Parquet::new(file, schema, *compression)?),
            Encoding::Debezium { key, packing } => Box::new(Events::new(Packer::new(file, *packing).map_err(failed)?, schema, key)?),
        })
    }
}

struct FileSinkFactory {
    path: PathBuf,
    encoding: Encoding,
    picked: Picked,
}

impl SinkFactory for FileSinkFactory {
    fn required(&self) -> Columns {
        self.picked.required()
    }

    fn writes(&self) -> Option<Vec<String>> {
        Some(self.picked.names().to_vec())
    }

    fn delivery(&self) -> Delivery {
        Delivery::Whole
    }

    fn two_phase(&self) -> bool {
        true
    }

    fn has_bad_rows(&self) -> bool {
        false
    }

    fn make(&self, context: &SinkContext) -> Result<Box<dyn Sink>> {
        let projection = self.picked.bind(&context.input.schema)?;
        if context.checkpoints {
            return Ok(Box::new(CommittedFile::new(self.path.clone(), self.encoding.clone(), projection)));
        }
        let contents = self.encoding.contents(&self.path, projection.schema(), true)?;
        Ok(Box::new(FileSink { path: self.path.clone(), projection, contents: Some(contents) }))
    }
}

struct FileSink {
    path: PathBuf,
    projection: Projection,
    /// Gone once it is published.
    contents: Option<Box<dyn Contents>>,
}

impl Sink for FileSink {
    fn write(&mut self, batch: Batch, fates: &mut Fates) -> Result<()> {
        let contents = self.contents.as_mut().ok_or_else(|| Error::internal("a row after the end of a file"))?;
        contents.write(&self.projection.records(&batch)?).map_err(|cause| cause.about(&self.path))?;
        fates.taken += batch.rows() as u64;
        Ok(())
    }

    fn finish(&mut self, _: Finish) -> Result<()> {
        let Some(contents) = self.contents.take() else { return Ok(()) };
        let file = contents.close().map_err(|cause| cause.about(&self.path))?;
        publish(file, &self.path)
    }
}

#[cfg(test)]
mod tests {
    use millstream_api::view::Views;
    use serde_json::json;

    use super::*;
    use crate::testing::{Node, batch, ints, schema, sink, stream, texts, weighed};

    fn rows() -> Batch {
        batch(&[("name", texts(["UA", "a,b"])), ("n", ints([Some(1), None]))])
    }

    fn input() -> Stream {
        stream(schema("name string, n bigint"))
    }

    fn names_in(folder: &Path) -> Vec<String> {
        let entries = std::fs::read_dir(folder).unwrap();
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
    }

    #[test]
    fn a_file_appears_when_it_is_complete() {
        let folder = tempfile::tempdir().unwrap();
        let out = folder.path().join("deep/er");
        let mut file = sink::<FileSinkOptions>(json!({ "path": "deep/er/rows.ndjson" }), input(), folder.path(), &Views::default());
        let mut fates = Fates::default();
        file.write(rows(), &mut fates).unwrap();
        assert!(!out.join("rows.ndjson").exists());
        file.finish(Finish::Halt).unwrap();
        drop(file);
        assert_eq!(names_in(&out), ["rows.ndjson"]);
        let text = std::fs::read_to_string(out.join("rows.ndjson")).unwrap();
        assert_eq!(text, "{\"name\":\"UA\",\"n\":1}\n{\"name\":\"a,b\",\"n\":null}\n");
        assert_eq!(fates.taken, 2);
    }

    #[test]
    fn a_failed_run_leaves_nothing_and_the_old_file_alone() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("rows.csv"), "old").unwrap();
        let mut file = sink::<FileSinkOptions>(json!({ "path": "rows.csv" }), input(), folder.path(), &Views::default());
        file.write(rows(), &mut Fates::default()).unwrap();
        drop(file);
        assert_eq!(names_in(folder.path()), ["rows.csv"]);
        assert_eq!(std::fs::read_to_string(folder.path().join("rows.csv")).unwrap(), "old");
    }

    #[test]
    fn an_empty_input_gives_an_empty_file_with_a_header() {
        let folder = tempfile::tempdir().unwrap();
        let options = json!({ "path": "rows.csv", "delimiter": ";", "columns": ["n", "name"] });
        sink::<FileSinkOptions>(options, input(), folder.path(), &Views::default()).finish(Finish::End).unwrap();
        assert_eq!(std::fs::read_to_string(folder.path().join("rows.csv")).unwrap(), "n;name\n");
    }

    #[test]
    fn changes_are_written_with_their_weight_when_asked_for() {
        let folder = tempfile::tempdir().unwrap();
        let updating = Stream { updating: true, ..input() };
        let options = json!({ "path": "rows", "format": "csv", "header": false, "changes": true, "columns": ["n"] });
        let mut file = sink::<FileSinkOptions>(options, updating.clone(), folder.path(), &Views::default());
        let numbers = rows().project(&[1]).unwrap();
        file.write(weighed(numbers.clone(), &[1, -1]), &mut Fates::default()).unwrap();
        file.write(numbers, &mut Fates::default()).unwrap();
        file.finish(Finish::End).unwrap();
        assert_eq!(std::fs::read_to_string(folder.path().join("rows")).unwrap(), "1,1\n,-1\n1,1\n,1\n");
        let found = Node::mistakes::<FileSinkOptions>(json!({ "path": "rows" }), vec![updating]);
        assert_eq!(found[0].0, "updating-input");
    }

    #[test]
    fn mistakes_are_found_in_one_go() {
        let options = json!({ "path": "out/", "format": "json", "delimiter": ";", "columns": ["nam", "n", "n"] });
        let found = Node::mistakes::<FileSinkOptions>(options, vec![input()]);
        let codes: Vec<&str> = found.iter().map(|(code, _, _)| *code).collect();
        assert_eq!(codes, ["bad-path", "bad-value", "unknown-column", "duplicate-column"]);
        let found = Node::mistakes::<FileSinkOptions>(json!({ "path": "a.csv", "delimiter": "\"" }), vec![input()]);
        assert_eq!(found[0].2, "'\"' cannot stand between fields");
    }

    #[cfg(unix)]
    #[test]
    fn a_device_is_not_replaced() {
        let found = Node::mistakes::<FileSinkOptions>(json!({ "path": "/dev/null" }), vec![input()]);
        assert_eq!((found[0].0, found[0].2.as_str()), ("bad-path", "`/dev/null` is not a plain file, and this sink would replace it"));
    }
}

//! `file`: one file in JSON lines or CSV.
//!
//! The file is written under a temporary name in its own folder and renamed into place when all rows are in it and on disk: a
//! reader sees nothing or a complete file. A run that fails drops the sink, and with it the temporary file.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use millstream_api::operator::Fates;
use millstream_api::plan::{Columns, Delivery, InputPlan, Inputs, Make, Parallelism, Plan, SinkContext, SinkFactory, WindowUse};
use millstream_api::registry::{InputKeys, NodeOptions, Role};
use millstream_api::sink::Finish;
use millstream_api::{Batch, Diagnostic, Diagnostics, Error, Result, Sink};
use schemars::JsonSchema;
use serde::Deserialize;
use tempfile::NamedTempFile;

use super::columns::{Picked, Projection};
use crate::encode::{csv, json};

/// Writes rows to a file.
///
/// The file appears when the input has ended or the run is stopped, complete, in place of one of the same name; a run that
/// fails leaves nothing. Its folder is made if it is not there. Rows are in the order in which they came.
///
/// In JSON each row is an object on a line of its own, with a null for each column that is null. In CSV a null is an empty
/// field and an empty text is `""`. In both a timestamp is RFC 3339 in UTC, a decimal has all its digits, bytes are
/// hexadecimal; a double that is not finite is null in JSON, and `NaN`, `inf` or `-inf` in CSV.
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
    /// `json` (one object a line) or `csv`. Default: by the end of `path`, `json` if it says nothing.
    pub format: Option<FileFormat>,
    /// Of csv: whether the first line has the names of the columns. Default: true.
    pub header: Option<bool>,
    /// Of csv: what stands between two fields, one ASCII character. Default: `","`.
    pub delimiter: Option<char>,
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
}

impl NodeOptions for FileSinkOptions {
    const KIND: &'static str = "file";
    const ROLE: Role = Role::Sink;
    const INPUTS: InputKeys = InputKeys::One;

    fn plan(self, inputs: &Inputs<'_>) -> Result<Plan, Diagnostics> {
        let mut found = Diagnostics::default();
        let path = found.ok(target(&self.path, &inputs.folder));
        let encoding = found.ok(self.encoding());
        let picked = Picked::new(self.columns, inputs).and_then(|picked| picked.appended(self.changes, inputs));
        let (Some(path), Some(encoding), Some(picked)) = (path, encoding, found.ok(picked)) else {
            return Err(found);
        };
        let writes = Some(path.clone());
        let factory = FileSinkFactory { path, encoding, picked };
        let plan = Plan::new(vec![InputPlan::any(WindowUse::Reads)], Vec::new(), Make::Sink(Arc::new(factory)));
        Ok(Plan { parallelism: Parallelism::One("a file is written by one"), writes, ..plan })
    }
}

impl FileSinkOptions {
    fn encoding(&self) -> Result<Encoding, Diagnostics> {
        let by_name = || {
            let extension = Path::new(&self.path).extension();
            if extension.is_some_and(|e| e.eq_ignore_ascii_case("csv")) { FileFormat::Csv } else { FileFormat::Json }
        };
        let mut found = Diagnostics::default();
        if self.format.unwrap_or_else(by_name) == FileFormat::Csv {
            let delimiter = self.delimiter.unwrap_or(',');
            if !delimiter.is_ascii() || matches!(delimiter, '"' | '\n' | '\r') {
                let message = format!("{delimiter:?} cannot stand between fields");
                found.push(
                    Diagnostic::error("bad-value", message).key("delimiter").help("use one ASCII character such as ',', ';' or '\\t'"),
                );
            }
            return found.into_result(Encoding::Csv { header: self.header.unwrap_or(true), delimiter: delimiter as u8 });
        }
        for (key, is_set) in [("header", self.header.is_some()), ("delimiter", self.delimiter.is_some())] {
            if is_set {
                let message = format!("`{key}` is a key of csv, and this file is json");
                found.push(Diagnostic::error("bad-value", message).key(key).on_key().help("write format = \"csv\", or leave the key out"));
            }
        }
        found.into_result(Encoding::Json)
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

#[derive(Clone, Copy, Debug)]
enum Encoding {
    Json,
    Csv { header: bool, delimiter: u8 },
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

    fn delivery(&self) -> Delivery {
        Delivery::Whole
    }

    fn make(&self, context: &SinkContext) -> Result<Box<dyn Sink>> {
        let projection = self.picked.bind(&context.input.schema)?;
        let mut buffer = Vec::new();
        if let Encoding::Csv { header: true, delimiter } = self.encoding {
            csv::write_header(projection.schema(), delimiter, &mut buffer);
        }
        let file = temporary(&self.path).map_err(|cause| cannot("create", &self.path, cause))?;
        Ok(Box::new(FileSink { path: self.path.clone(), encoding: self.encoding, projection, buffer, file: Some(file) }))
    }
}

/// A file beside the one that is to be, so that it can be renamed; removed when it is dropped.
fn temporary(path: &Path) -> std::io::Result<NamedTempFile> {
    let folder = path.parent().unwrap_or(Path::new("."));
    std::fs::create_dir_all(folder)?;
    let prefix = format!(".{}.", path.file_name().unwrap_or_default().to_string_lossy());
    let mut builder = tempfile::Builder::new();
    builder.prefix(&prefix).suffix(".tmp");
    // As any other new file, not only for its owner as temporary files are.
    #[cfg(unix)]
    let builder = builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o666));
    builder.tempfile_in(folder)
}

fn cannot(what: &str, path: &Path, cause: std::io::Error) -> Error {
    Error::io(format!("cannot {what} {}", path.display()), cause)
}

/// Bytes that are collected before they are written.
const BUFFER_BYTES: usize = 1 << 18;

struct FileSink {
    path: PathBuf,
    encoding: Encoding,
    projection: Projection,
    buffer: Vec<u8>,
    /// Gone once it is published.
    file: Option<NamedTempFile>,
}

impl FileSink {
    fn write_buffer(&mut self) -> Result<()> {
        let file = self.file.as_mut().ok_or_else(|| Error::internal("a row after the end of a file"))?;
        file.write_all(&self.buffer).map_err(|cause| cannot("write", &self.path, cause))?;
        self.buffer.clear();
        Ok(())
    }
}

impl Sink for FileSink {
    fn write(&mut self, batch: Batch, fates: &mut Fates) -> Result<()> {
        let records = self.projection.records(&batch)?;
        match self.encoding {
            Encoding::Json => json::write_rows(&records, &mut self.buffer)?,
            Encoding::Csv { delimiter, .. } => csv::write_rows(&records, delimiter, &mut self.buffer)?,
        }
        if self.buffer.len() >= BUFFER_BYTES {
            self.write_buffer()?;
        }
        fates.taken += batch.rows() as u64;
        Ok(())
    }

    fn finish(&mut self, _: Finish) -> Result<()> {
        self.write_buffer()?;
        let Some(file) = self.file.take() else { return Ok(()) };
        file.as_file().sync_all().map_err(|cause| cannot("write", &self.path, cause))?;
        file.persist(&self.path).map_err(|error| cannot("publish", &self.path, error.error))?;
        sync_folder(&self.path).map_err(|cause| cannot("publish", &self.path, cause))
    }
}

/// Makes a rename durable: it is a change of the folder. Not every system can open a folder; those need no such thing.
fn sync_folder(path: &Path) -> std::io::Result<()> {
    #[cfg(unix)]
    std::fs::File::open(path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new(".")))?.sync_all()?;
    #[cfg(not(unix))]
    let _ = path;
    Ok(())
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

    fn input() -> millstream_api::Stream {
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
        let updating = millstream_api::Stream { updating: true, ..input() };
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

    #[cfg(unix)]
    #[test]
    fn a_folder_that_cannot_be_made_is_an_error_of_the_world_outside() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("file"), "").unwrap();
        let path = folder.path().join("file/rows.ndjson");
        let cause = temporary(&path).unwrap_err();
        assert!(cannot("create", &path, cause).message().contains("cannot create "));
    }
}

//! The options of the `file` source and its plan.

use std::sync::Arc;

use millstream_api::Stream;
use millstream_api::diagnostic::{Diagnostic, Diagnostics, nearest};
use millstream_api::error::Error;
use millstream_api::plan::{Inputs, Make, OutputPlan, Plan};
use millstream_api::registry::{InputKeys, NodeOptions, Role};
use schemars::JsonSchema;
use serde::Deserialize;

use super::blocks::{BlockReader, header_names};
use super::paths::{InputFile, list};
use super::reader::{FileFactory, Format};
use crate::decode::csv::Dialect;
use crate::decode::csv_keys::CsvKeys;
use crate::decode::infer::{Inference, Inferred};
use crate::decode::schema::{ColumnSpec, SCHEMA_HELP, SchemaText, arrow_schema};

/// Reads rows from files: JSON lines or CSV. All files are one split, in the order of their names.
///
/// In a folder or glob, names that start with `.` or `_` are left out. Empty lines are skipped; a byte order mark and `\r\n`
/// are understood. A record longer than 64 MiB ends the run.
///
/// A value must be of its column's type exactly: a number is no `string`, `1.0` no `bigint`. A key that is missing is null, one
/// that no column has is left out, and of a key that comes twice the last one counts. A `decimal` is a number or text, `bytes`
/// are hexadecimal text, an `interval` is `"1h30m"` or `"1 day 2 hours"`, `json` is any value, kept as it is written. In CSV an
/// empty field is null and `""` an empty text, and a `list`, `struct` or `json` is JSON text.
///
/// ```toml
/// [sources.departures]
/// type   = "file"
/// path   = "data/departures.ndjson"
/// format = "json"
/// time   = { by = "departed", max_delay = "1h" }
/// schema = { flight = "string", carrier = "string not null", departed = "timestamp", dep_delay = "bigint" }
/// ```
#[derive(Clone, Debug, Deserialize, JsonSchema)]
pub struct FileSourceOptions {
    /// A file, a folder (all files in it and in its folders) or a glob such as `"in/*.ndjson"`, relative to the topology file.
    pub path: String,
    /// How the files are written.
    pub format: FileFormat,
    /// Columns and their types, in order. Default: inferred from the first 1,000 rows.
    pub schema: Option<SchemaText>,
    /// CSV: whether the first record of each file names its columns. Default: true.
    pub header: Option<bool>,
    /// CSV: the character between fields. Default: `,`.
    pub delimiter: Option<String>,
    /// CSV: the character around fields that contain delimiters, quotes or line ends. Default: `"`.
    pub quote: Option<String>,
    /// CSV: what a field without quotes says for null. Default: nothing, so that `a,,b` has a null in the middle.
    pub null_text: Option<String>,
}

/// How files are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum FileFormat {
    /// One JSON object a line.
    Json,
    /// Comma-separated values (RFC 4180).
    Csv,
}

impl NodeOptions for FileSourceOptions {
    const KIND: &'static str = "file";
    const ROLE: Role = Role::Source;
    const INPUTS: InputKeys = InputKeys::None;

    fn plan(self, inputs: &Inputs<'_>) -> Result<Plan, Diagnostics> {
        let (mut errors, mut warnings) = (Diagnostics::default(), Diagnostics::default());
        let format = errors.ok(self.format());
        let files = errors.ok(list(&inputs.folder, &self.path));
        let columns = match (&self.schema, &format, &files) {
            (Some(schema), _, _) => errors.ok(schema.columns_at("schema")),
            (None, Some(format), Some(files)) => errors.ok(infer(files, format, &mut warnings)),
            _ => None,
        };
        let (Some(format), Some(files), Some(columns)) = (format, files, columns) else {
            return Err(errors);
        };
        if let Format::Csv(dialect) = &format {
            errors.ok(check_header(&files, dialect, &columns));
        }
        let stream = Stream { from_source: true, ..Stream::plain(arrow_schema(&columns)) };
        let reads = files.iter().map(|file| file.path.clone()).collect();
        let factory = FileFactory::new(self.path, files, format, columns);
        let mut plan = Plan::new(Vec::new(), vec![OutputPlan::main(stream)], Make::Source(Arc::new(factory)));
        (plan.warnings, plan.reads) = (warnings, reads);
        errors.into_result(plan)
    }

    fn plan_replaced(self, inputs: &Inputs<'_>) -> Result<Plan, Diagnostics> {
        let Some(schema) = &self.schema else {
            return self.plan(inputs).map_err(|mut found| {
                found.0.iter_mut().filter(|one| one.code == "path-not-found").for_each(without_schema);
                found
            });
        };
        let mut errors = Diagnostics::default();
        let format = errors.ok(self.format());
        let columns = errors.ok(schema.columns_at("schema"));
        let (Some(format), Some(columns)) = (format, columns) else {
            return Err(errors);
        };
        let stream = Stream { from_source: true, ..Stream::plain(arrow_schema(&columns)) };
        let factory = FileFactory::new(self.path, Vec::new(), format, columns);
        Ok(Plan::new(Vec::new(), vec![OutputPlan::main(stream)], Make::Source(Arc::new(factory))))
    }
}

/// Says what a test needs, since the columns cannot be inferred.
fn without_schema(diagnostic: &mut Diagnostic) {
    diagnostic.message.push_str(", and there is no `schema`");
    diagnostic.help = Some("tests in the file look at no path; give the source a `schema`, so that its columns are known".to_owned());
}

impl FileSourceOptions {
    fn format(&self) -> Result<Format, Diagnostics> {
        match self.format {
            FileFormat::Json => self.csv_keys().unused("json").map(|()| Format::Json),
            FileFormat::Csv => self.csv_keys().dialect().map(Format::Csv),
        }
    }

    fn csv_keys(&self) -> CsvKeys<'_> {
        CsvKeys {
            header: self.header,
            delimiter: self.delimiter.as_deref(),
            quote: self.quote.as_deref(),
            null_text: self.null_text.as_deref(),
        }
    }
}

/// Looks for the declared columns in the header of the first file, so that a slip shows before the run.
fn check_header(files: &[InputFile], dialect: &Dialect, columns: &[ColumnSpec]) -> Result<(), Diagnostics> {
    let Some(first) = files.first().filter(|_| dialect.header) else {
        return Ok(());
    };
    let names = header_names(first, dialect).map_err(cannot_read)?;
    let missing = columns.iter().filter(|column| !names.is_empty() && !names.contains(&column.name));
    let diagnostic = |column: &ColumnSpec| {
        let help = match nearest(&column.name, names.iter().map(String::as_str)) {
            Some(near) => format!("did you mean `{near}`?"),
            None => format!("it has {}", names.join(", ")),
        };
        Diagnostic::error("missing-column", format!("the header of `{}` has no column `{}`", first.name, column.name))
            .key("schema")
            .key(&column.name)
            .on_key()
            .help(help)
    };
    Diagnostics(missing.map(diagnostic).collect()).into_result(())
}

fn cannot_read(error: Error) -> Diagnostic {
    Diagnostic::error("cannot-read", error.to_string()).key("path")
}

/// The columns that the first rows have.
fn infer(files: &[InputFile], format: &Format, warnings: &mut Diagnostics) -> Result<Vec<ColumnSpec>, Diagnostics> {
    if matches!(format, Format::Csv(dialect) if !dialect.header) {
        let message = "the columns of a csv file without a header have no names";
        return Err(Diagnostic::error("missing-schema", message).key("header").help(SCHEMA_HELP).into());
    }
    let mut inference = Inference::default();
    for file in files {
        if !inference.wants_more() {
            break;
        }
        infer_from(file, format, &mut inference).map_err(cannot_read)?;
    }
    let mixed = if *format == Format::Json { "json" } else { "string" };
    let Inferred { schema, left_out } = inference.finish(mixed);
    if schema.0.is_empty() {
        let message = "no schema can be inferred, because the files have no rows";
        return Err(Diagnostic::error("empty-schema", message).key("path").help(SCHEMA_HELP).into());
    }
    for name in left_out {
        warnings.push(
            Diagnostic::warning("left-out", format!("`{name}` of the input is left out, because it cannot be a column name")).key("path"),
        );
    }
    schema.columns()
}

fn infer_from(file: &InputFile, format: &Format, inference: &mut Inference) -> Result<(), Error> {
    let names = match format {
        Format::Csv(dialect) if dialect.header => header_names(file, dialect)?,
        _ => Vec::new(),
    };
    let mut reader = BlockReader::new([file.clone()].into(), format.framing(&[], &[]), SAMPLE_BLOCK_BYTES, None)?;
    while inference.wants_more()
        && let Some(placed) = reader.next(Vec::new())?
    {
        match format {
            Format::Json => inference.add_json(&placed.block),
            Format::Csv(dialect) => inference.add_csv(&placed.block, &names, dialect),
        }
    }
    Ok(())
}

const SAMPLE_BLOCK_BYTES: usize = 64 << 10;

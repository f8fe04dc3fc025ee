//! The `stdin` source: JSON lines or CSV from standard input.
//!
//! Rows are handed on as soon as their line is complete, whatever the writer's buffers are. The source waits for input with
//! `poll`, so that a stop is not held up by a writer that says nothing, and reads without a thread or a buffer that would keep
//! bytes from a source that comes after it. Modules in reading order: [`framer`] cuts what was read into records, [`reader`]
//! reads.

mod framer;
mod reader;

use std::sync::Arc;

use millstream_api::plan::{Inputs, Make, OutputPlan, Plan};
use millstream_api::registry::{InputKeys, NodeOptions, Role};
use millstream_api::{Diagnostics, Stream};
use schemars::JsonSchema;
use serde::Deserialize;

use self::reader::StdinFactory;
use crate::decode::csv_keys::CsvKeys;
use crate::decode::schema::{SchemaText, arrow_schema};
use crate::file_source::TextFormat;

/// Reads rows from standard input: JSON lines or CSV, as the source `file` reads them.
///
/// The stream ends when the writer closes its end. A row is handed on as soon as its line is complete. What was read cannot
/// be read again, so a run that starts anew has only what comes after. A topology can have one such source.
///
/// ```toml
/// [sources.departures]
/// type   = "stdin"
/// format = "json"
/// time   = { by = "departed", max_delay = "1h", idle_after = "30s" }
/// schema = { flight = "string", carrier = "string not null", departed = "timestamp", dep_delay = "bigint" }
/// ```
#[derive(Clone, Debug, Deserialize, JsonSchema)]
pub struct StdinOptions {
    /// How rows are written.
    #[serde(default)]
    pub format: StdinFormat,
    /// Columns and their types, in order.
    pub schema: SchemaText,
    /// CSV: whether the first record names the columns. Default: true.
    pub header: Option<bool>,
    /// CSV: the character between fields. Default: `,`.
    pub delimiter: Option<String>,
    /// CSV: the character around fields that contain delimiters, quotes or line ends. Default: `"`.
    pub quote: Option<String>,
    /// CSV: what a field without quotes says for null. Default: nothing, so that `a,,b` has a null in the middle.
    pub null_text: Option<String>,
}

/// How rows are written on standard input.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum StdinFormat {
    /// One JSON object a line.
    #[default]
    Json,
    /// Comma-separated values (RFC 4180).
    Csv,
}

impl NodeOptions for StdinOptions {
    const KIND: &'static str = "stdin";
    const ROLE: Role = Role::Source;
    const INPUTS: InputKeys = InputKeys::None;

    fn plan(self, _: &Inputs<'_>) -> Result<Plan, Diagnostics> {
        let mut errors = Diagnostics::default();
        let format = errors.ok(self.format());
        let columns = errors.ok(self.schema.columns_at("schema"));
        let (Some(format), Some(columns)) = (format, columns) else {
            return Err(errors);
        };
        let stream = Stream { from_source: true, ..Stream::plain(arrow_schema(&columns)) };
        let factory = StdinFactory::new(format, columns);
        errors.into_result(Plan::new(Vec::new(), vec![OutputPlan::main(stream)], Make::Source(Arc::new(factory))))
    }
}

impl StdinOptions {
    fn format(&self) -> Result<TextFormat, Diagnostics> {
        let keys = CsvKeys {
            header: self.header,
            delimiter: self.delimiter.as_deref(),
            quote: self.quote.as_deref(),
            null_text: self.null_text.as_deref(),
        };
        match self.format {
            StdinFormat::Json => keys.unused("json").map(|()| TextFormat::Json),
            StdinFormat::Csv => keys.dialect().map(TextFormat::Csv),
        }
    }
}

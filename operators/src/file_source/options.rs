//! The options of the `file` source, and what does not go together among them.

use millstream_api::diagnostic::{Diagnostic, Diagnostics};
use schemars::JsonSchema;
use serde::Deserialize;

use super::compression::Compression;
use super::formats::{Format, TextFormat};
use super::reader::Manner;
use crate::columns::unknown_column;
use crate::decode::csv_keys::CsvKeys;
use crate::decode::schema::{ColumnSpec, SchemaText, arrow_schema};

/// Reads rows from files: JSON lines, CSV or Parquet. All files are one split, in the order of their names.
///
/// In a folder or glob, names that start with `.` or `_` are left out. Of JSON and CSV, empty lines are skipped; a byte order mark
/// and `\r\n` are understood; files may be packed with gzip or zstd. A record longer than 64 MiB ends the run.
///
/// A value must be of its column's type exactly: a number is no `string`, `1.0` no `bigint`. A key that is missing is null, one
/// that no column has is left out, and of a key that comes twice the last one counts. A `decimal` is a number or text, `bytes`
/// are hexadecimal text, an `interval` is `"1h30m"` or `"1 day 2 hours"`, `json` is any value, kept as it is written. In CSV an
/// empty field is null and `""` an empty text, and a `list`, `struct` or `json` is JSON text. A column that a header has more than once
/// cannot be read, as nobody knows which is meant; a `schema` without it reads the others.
///
/// Parquet files have types of their own: a declared one must hold every value of the file's, or at least some exactly (a `bigint` as
/// `smallint`: what does not fit is a bad row). Only the columns that are used are read. A map is a list of its entries.
///
/// `debezium` are the change events of a database table: an updating stream, in which an update withdraws the old row and adds the new
/// one, and so counts as two rows. Events are plain or have a `schema` and a `payload`; a tombstone is skipped. The database must send old
/// rows as a whole (in PostgreSQL, `REPLICA IDENTITY FULL`): an update or deletion without, or with an old row that lacks a column, is a bad row.
/// One that has its key and nulls, as PostgreSQL sends without that setting, looks like a row of nulls: declare `not null` what is, to be told.
///
/// With `follow` the source does not end. A file is known by its number on its file system and by how it begins, so one that was
/// renamed is read on, also by a restart, and the one that comes in its place from its beginning. A last line waits for its end. What
/// is cut short is read from its beginning: rotate by renaming, rows between the last look and a cut are lost. A packed file is read
/// once it has stopped growing; one that is the packed copy of a file that was read is not read again. Whether it is packed its first bytes say,
/// whatever its name.
///
/// Without `follow` a source that was read to its end stays so. A run that goes on from a checkpoint says what has changed of files that were
/// read, and what has come; the table of a `lookup` join is then read anew.
///
/// ```toml
/// [sources.departures]
/// type   = "file"
/// path   = "data/departures.ndjson"
/// format = "json"
/// time   = { by = "departed", max_delay = "1h" }
/// schema = { flight = "string", carrier = "string not null", departed = "timestamp", dep_delay = "bigint" }
/// ```
///
/// ```toml
/// [sources.orders]
/// type   = "file"
/// path   = "orders.ndjson"
/// format = "debezium"
/// key    = ["id"]
/// schema = { id = "bigint not null", customer = "string", cents = "bigint" }
/// ```
#[derive(Clone, Debug, Deserialize, JsonSchema)]
pub struct FileSourceOptions {
    /// A file, a folder (all files in it and in its folders) or a glob such as `"in/*.ndjson"`, relative to the topology file.
    pub path: String,
    /// How the files are written.
    pub format: FileFormat,
    /// Columns and their types, in order. Default: those of a Parquet file, else inferred from the first 1,000 rows.
    pub schema: Option<SchemaText>,
    /// Debezium: the columns of the table's primary key, by which no two rows are equal.
    pub key: Option<Vec<String>>,
    /// JSON and CSV: how the files are packed. Default: as their names say.
    pub compression: Option<Compression>,
    /// JSON and CSV: go on reading as files grow, are rotated or come. Default: false.
    #[serde(default)]
    pub follow: bool,
    /// Each file is a split of its own, with its own watermark, and they are read side by side; 256 at most. Default: false.
    #[serde(default)]
    pub together: bool,
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
    /// Apache Parquet.
    Parquet,
    /// Debezium's change events as JSON, one a line: an updating stream.
    Debezium,
}

impl FileSourceOptions {
    /// How the files are written, resolved.
    ///
    /// # Errors
    /// Keys of another format, and values that they cannot have.
    pub(super) fn resolved_format(&self) -> Result<Format, Diagnostics> {
        let (keys, compression) = (self.csv_keys(), self.compression.unwrap_or_default());
        match self.format {
            FileFormat::Json => keys.unused("json").map(|()| Format::Text(TextFormat::Json, compression)),
            FileFormat::Csv => keys.dialect().map(|dialect| Format::Text(TextFormat::Csv(dialect), compression)),
            FileFormat::Debezium => keys.unused("debezium").map(|()| Format::Text(TextFormat::Debezium, compression)),
            FileFormat::Parquet => {
                let mut errors = Diagnostics::default();
                errors.ok(keys.unused("parquet"));
                if self.compression.is_some() {
                    let help = "leave it out: how its pages are packed, a Parquet file says itself";
                    errors.push(
                        Diagnostic::error("unused-key", "`compression` means nothing for parquet").key("compression").on_key().help(help),
                    );
                }
                errors.into_result(Format::Parquet)
            }
        }
    }

    /// In which order files are read.
    ///
    /// # Errors
    /// When `follow` does not go with the other keys.
    pub(super) fn manner(&self) -> Result<Manner, Diagnostic> {
        let cannot = |message: &str| Diagnostic::error("bad-value", message).key("follow");
        match (self.follow, self.together) {
            (true, true) => Err(cannot("`follow` and `together` cannot both be true")
                .help("followed files are one split; write a source for each file that must keep its own time, and a union of them")),
            (true, false) if self.format == FileFormat::Parquet => {
                Err(cannot("a Parquet file cannot be followed: it is complete when its footer is written").help("leave `follow` out"))
            }
            (true, false) => Ok(Manner::Follow),
            (false, true) => Ok(Manner::Together),
            (false, false) => Ok(Manner::InOrder),
        }
    }

    /// The key of the rows, with these columns.
    ///
    /// # Errors
    /// A key where rows have none, or columns that are not there.
    pub(super) fn unique_key(&self, columns: &[ColumnSpec]) -> Result<Option<Vec<String>>, Diagnostics> {
        let Some(key) = &self.key else { return Ok(None) };
        let mut errors = Diagnostics::default();
        if self.format != FileFormat::Debezium {
            let message = "`key` means something for debezium only, where rows can be withdrawn";
            errors.push(Diagnostic::error("unused-key", message).key("key").on_key().help("leave it out"));
            return Err(errors);
        }
        if key.is_empty() {
            errors.push(Diagnostic::error("empty-list", "`key` names no column").key("key").help("name the columns of the primary key"));
        }
        for (i, name) in key.iter().enumerate().filter(|(_, name)| columns.iter().all(|column| column.name != **name)) {
            errors.push(unknown_column(name, &arrow_schema(columns), "schema").key("key").index(i));
        }
        errors.into_result(Some(key.clone()))
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

//! Failures while a pipeline runs, and rows that are bad by themselves.
//!
//! A [`BadRow`] is data: it follows the node's `on_bad_row`. An [`Error`] ends the run (or, with checkpoints, sends it back to the last one).

use std::fmt;

use arrow::array::RecordBatch;
use arrow::json::WriterBuilder;
use arrow::json::writer::LineDelimited;

/// The result of everything that can fail while running.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Whose fault a failure is, which decides what can help.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ErrorKind {
    /// A row that cannot be processed, in a node whose `on_bad_row` is `fail`.
    BadRow,
    /// The world outside: a file, a disk, a socket.
    Io,
    /// Whoever took the rows wants no more of them: a pipe that was closed.
    Closed,
    /// The world outside has said that it will never do what is asked of it: a service that does not know the token.
    Refused,
    /// A limit that the file sets was reached (memory, rows).
    Limit,
    /// State that cannot be read or written.
    State,
    /// What this run held alone is another's now, or gone: it must not go on.
    Taken,
    /// A mistake in Millstream or in a custom operator.
    Internal,
}

/// A failure while running. The runtime adds node, subtask and the topology's line when it reports one.
#[derive(Clone, Debug)]
pub struct Error {
    kind: ErrorKind,
    message: String,
    place: Option<String>,
    help: Option<String>,
}

impl Error {
    /// A failure of this kind. `message` says what was found and what was expected, in one sentence without a full stop.
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Error { kind, message: message.into(), place: None, help: None }
    }

    /// A mistake of ours: something that the plan has ruled out.
    pub fn internal(message: impl fmt::Display) -> Self {
        Error::new(ErrorKind::Internal, message.to_string())
    }

    /// A failure of the world outside while `doing` something (`"cannot read x.json"`).
    pub fn io(doing: impl fmt::Display, cause: impl fmt::Display) -> Self {
        Error::new(ErrorKind::Io, format!("{doing}: {cause}"))
    }

    /// Where in the data it happened: a file and line, an offset, or the row itself.
    #[must_use]
    pub fn at(mut self, place: impl Into<String>) -> Self {
        self.place = Some(place.into());
        self
    }

    /// What the user can do about it.
    #[must_use]
    pub fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }

    /// Whose fault it is.
    pub fn kind(&self) -> ErrorKind {
        self.kind
    }

    /// What was wrong.
    pub fn message(&self) -> &str {
        &self.message
    }

    /// Where in the data it happened, if that is known.
    pub fn place(&self) -> Option<&str> {
        self.place.as_deref()
    }

    /// What the user can do, if there is something to say.
    pub fn help_text(&self) -> Option<&str> {
        self.help.as_deref()
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)?;
        match &self.place {
            Some(place) => write!(f, " (at {place})"),
            None => Ok(()),
        }
    }
}

impl std::error::Error for Error {}

impl From<arrow::error::ArrowError> for Error {
    /// Arrow kernels fail only when the plan let a wrong type through, so this is an internal error.
    fn from(error: arrow::error::ArrowError) -> Self {
        Error::internal(error)
    }
}

/// A row that cannot be processed: malformed text, an overflow, a division by zero, a bad cast, a missing time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BadRow {
    /// What is wrong with it.
    pub reason: String,
    /// Where it stands: `departures.ndjson:17`, or the row of the batch.
    pub place: String,
    /// The raw text of it, or the row as JSON where there is no raw text.
    pub raw: String,
}

impl BadRow {
    /// A row of which there is no raw text: `raw` is the row as a JSON object of the columns at hand.
    pub fn of_row(reason: impl Into<String>, place: impl Into<String>, records: &RecordBatch, row: usize) -> Self {
        BadRow { reason: reason.into(), place: place.into(), raw: row_as_json(records, row) }
    }

    /// As the failure that ends a run with `on_bad_row = "fail"`.
    pub fn into_error(self) -> Error {
        Error::new(ErrorKind::BadRow, format!("bad row: {}: {}", self.reason, shortened(&self.raw)))
            .at(self.place)
            .help("on_bad_row = \"skip\" leaves such rows out, \"reject\" sends them to the node's stream `.rejected`")
    }
}

/// One row of a batch as a JSON object, nulls included.
pub fn row_as_json(records: &RecordBatch, row: usize) -> String {
    let mut text = Vec::new();
    let mut writer = WriterBuilder::new().with_explicit_nulls(true).build::<_, LineDelimited>(&mut text);
    // Writing to memory fails only for types that JSON can't hold; the row's place is in the message anyway.
    let written = writer.write(&records.slice(row, 1)).and_then(|()| writer.finish());
    drop(writer);
    match written {
        Ok(()) => String::from_utf8_lossy(&text).trim_end().to_owned(),
        Err(_) => String::new(),
    }
}

/// At most 200 characters of a text, for messages.
pub fn shortened(text: &str) -> String {
    match text.char_indices().nth(200) {
        Some((end, _)) => format!("{} …", &text[..end]),
        None => text.to_owned(),
    }
}

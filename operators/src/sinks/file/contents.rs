//! How rows become the bytes of a file.

use std::io::Write;
use std::path::Path;
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::Schema;
use millstream_api::Error;
use tempfile::NamedTempFile;

use super::packing::Packer;
use super::publish::{cannot, without_path};
use crate::encode::{csv, json};

/// A file that is being written. Dropping it removes the file.
pub(super) trait Contents: Send {
    /// Adds rows.
    fn write(&mut self, records: &RecordBatch) -> Result<(), Failure>;

    /// Writes what is left; the file is complete then.
    fn close(self: Box<Self>) -> Result<NamedTempFile, Failure>;
}

/// Why rows could not be written.
pub(super) enum Failure {
    /// The disk.
    Io(String),
    /// Rows that the plan should have kept away.
    Rows(Error),
}

impl Failure {
    /// With the name of the file.
    pub(super) fn about(self, path: &Path) -> Error {
        match self {
            Failure::Io(cause) => cannot("write", path, cause),
            Failure::Rows(error) => error,
        }
    }
}

impl From<std::io::Error> for Failure {
    fn from(cause: std::io::Error) -> Self {
        Failure::Io(without_path(cause).to_string())
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Failure::Rows(error)
    }
}

/// Bytes that are collected before they are written.
pub(super) const BUFFER_BYTES: usize = 1 << 18;

/// JSON lines or CSV.
pub(super) struct Text {
    file: Packer,
    /// Of csv: what stands between fields.
    delimiter: Option<u8>,
    buffer: Vec<u8>,
}

impl Text {
    /// One object a line.
    pub(super) fn json(file: Packer) -> Self {
        Text { file, delimiter: None, buffer: Vec::new() }
    }

    /// Comma-separated values, with the names of these columns in the first line.
    pub(super) fn csv(file: Packer, delimiter: u8, header: Option<&Arc<Schema>>) -> Self {
        let mut buffer = Vec::new();
        if let Some(schema) = header {
            csv::write_header(schema, delimiter, &mut buffer);
        }
        Text { file, delimiter: Some(delimiter), buffer }
    }

    fn write_buffer(&mut self) -> std::io::Result<()> {
        self.file.write_all(&self.buffer)?;
        self.buffer.clear();
        Ok(())
    }
}

impl Contents for Text {
    fn write(&mut self, records: &RecordBatch) -> Result<(), Failure> {
        match self.delimiter {
            None => json::write_rows(records, &mut self.buffer)?,
            Some(delimiter) => csv::write_rows(records, delimiter, &mut self.buffer)?,
        }
        if self.buffer.len() >= BUFFER_BYTES {
            self.write_buffer()?;
        }
        Ok(())
    }

    fn close(mut self: Box<Self>) -> Result<NamedTempFile, Failure> {
        self.write_buffer()?;
        Ok(self.file.finish()?)
    }
}

//! Where the reading of a list of files stands: what a checkpoint keeps of a `file` source.

use millstream_api::error::{Error, ErrorKind, Result};
use millstream_api::source::Position;
use serde::{Deserialize, Serialize};

/// The place of the next record, and what was read before it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct FilePosition {
    /// The name of the file, as in places.
    pub(crate) file: String,
    /// The byte in it at which the next record starts.
    pub(crate) offset: u64,
    /// The line in it, from 1.
    pub(crate) line: u64,
    /// Good rows of the whole split before it.
    pub(crate) rows: i64,
}

impl FilePosition {
    /// As the runtime keeps it.
    pub(crate) fn to_position(&self) -> Result<Position> {
        serde_json::to_string(self).map(Position).map_err(Error::internal)
    }

    /// From what the runtime kept.
    pub(crate) fn from_position(position: &Position) -> Result<Self> {
        serde_json::from_str(&position.0)
            .map_err(|error| Error::new(ErrorKind::State, format!("the position of a file source cannot be read: {error}")))
    }
}

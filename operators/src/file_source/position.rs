//! Where the reading of files stands: what a checkpoint keeps of a split of a `file` source.

use millstream_api::error::{Error, ErrorKind, Result};
use millstream_api::source::Position;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::noted::NotedFile;

/// The place of the next record of files that are read one after the other, and what was read before it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct FilePosition {
    /// The name of the file, as in places.
    pub(crate) file: String,
    /// Where in it.
    #[serde(flatten)]
    pub(crate) place: Place,
    /// Good rows of the whole split before it.
    pub(crate) rows: i64,
    /// The files that the run reads, as they were when it began.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) files: Vec<NotedFile>,
}

/// A place in a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub(crate) enum Place {
    /// In text: the byte at which the next record starts, counted in the text where the file is packed, and its line, from 1.
    Text { offset: u64, line: u64 },
    /// In Parquet: the row group, and the rows of it that were read.
    Rows { row_group: usize, row: usize },
}

/// Where files stand that are followed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct FollowPosition {
    /// Every file that is there and of which something was read.
    pub(crate) files: Vec<FollowedFile>,
    /// Good rows of the whole split.
    pub(crate) rows: i64,
}

/// Where one of them stands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct FollowedFile {
    /// Its name when it was read last.
    pub(crate) file: String,
    /// The name before that one: a file that has it now comes after this one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) former: Option<String>,
    /// Which file it is: its file system …
    pub(crate) device: u64,
    /// … and its number there.
    pub(crate) inode: u64,
    /// How many bytes of its beginning `head_hash` is made of.
    pub(crate) head_bytes: usize,
    /// That it still begins as it did: numbers of files are used again.
    pub(crate) head_hash: u64,
    /// The byte at which the next record starts.
    pub(crate) offset: u64,
    /// Its line, from 1.
    pub(crate) line: u64,
    /// Where it ends, once that is known: of a packed file, which does not grow.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) end: Option<u64>,
}

/// As the runtime keeps it.
pub(crate) fn to_position(stand: &impl Serialize) -> Result<Position> {
    serde_json::to_string(stand).map(Position).map_err(Error::internal)
}

/// From what the runtime kept.
pub(crate) fn from_position<T: DeserializeOwned>(position: &Position) -> Result<T> {
    serde_json::from_str(&position.0).map_err(|error| {
        Error::new(ErrorKind::State, format!("the position of a file source cannot be read: {error}"))
            .help("was it written with other options? start afresh with --fresh")
    })
}

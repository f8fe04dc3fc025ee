//! What a position notes of the files that a run reads, and what has become of them when another run goes on from there.
//!
//! A file that is read to its end is not looked at again, so a change of it would show nowhere. Length, beginning and time of the
//! last change tell a run that goes on what is not as it was, and what is there that was not there before.

use std::fs::File;
use std::time::UNIX_EPOCH;

use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::xxh3_64;

use super::beginning;
use super::paths::InputFile;
use super::position::{FilePosition, Place};

/// Of more files nothing is noted: it would be written with each position.
const MOST_NOTED: usize = 256;

/// How many bytes of its beginning tell that a file is another one.
const HEAD_BYTES: u64 = 1024;

/// A file as it was when a run began.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct NotedFile {
    /// Its name, as in places.
    pub(crate) name: String,
    /// Its length.
    bytes: u64,
    /// A hash of its beginning.
    head: u64,
    /// When it was changed last, in microseconds since 1970.
    changed: i64,
    /// Whether it had been read before the run began.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(crate) read: bool,
}

impl NotedFile {
    /// A file as it is now; `None` when it is no longer there.
    fn of(file: &InputFile) -> Option<NotedFile> {
        let open = File::open(&file.path).ok()?;
        let metadata = open.metadata().ok()?;
        let changed = metadata.modified().ok().and_then(|at| at.duration_since(UNIX_EPOCH).ok());
        let changed = changed.and_then(|since| i64::try_from(since.as_micros()).ok()).unwrap_or_default();
        let (name, bytes) = (file.name.to_string(), metadata.len());
        Some(NotedFile { name, bytes, head: head(&open, bytes)?, changed, read: false })
    }
}

fn head(file: &File, bytes: u64) -> Option<u64> {
    beginning::head(file, bytes.min(HEAD_BYTES) as usize).ok().map(|bytes| xxh3_64(&bytes))
}

/// What positions note of these files, when a run begins that goes on from `position`: of those that were read before, how they
/// were then.
pub(crate) fn note(files: &[InputFile], position: Option<&FilePosition>) -> Vec<NotedFile> {
    let mut noted: Vec<NotedFile> = position.map_or_else(Vec::new, |position| {
        let is_begun = |file: &&NotedFile| file.read || *file.name <= *position.file;
        position.files.iter().filter(is_begun).cloned().collect()
    });
    let came = files.iter().filter(|file| noted.iter().all(|known| *known.name != *file.name)).collect::<Vec<_>>();
    if noted.len() + came.len() > MOST_NOTED {
        return Vec::new();
    }
    noted.extend(came.into_iter().filter_map(NotedFile::of));
    noted.sort_by(|a, b| a.name.as_bytes().cmp(b.name.as_bytes()));
    noted
}

/// The files that a run reads which goes on from `position`: those that were not read by the runs before.
pub(crate) fn unread(files: &[InputFile], position: Option<&FilePosition>) -> Vec<InputFile> {
    let is_read = |file: &&InputFile| position.is_some_and(|position| position.is_read(&file.name));
    files.iter().filter(|file| !is_read(file)).cloned().collect()
}

/// What is otherwise than when a position was written.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Changes {
    /// Files that are not read by a run that goes on from it, and never were.
    pub(crate) unread: Vec<String>,
    /// What is to be said of files that were read and are not as they were.
    pub(crate) changed: Vec<String>,
    /// Files that may be as they were, but were written since; and whether files are gone.
    pub(crate) touched: bool,
}

/// Compares the files that there are now with those of `position`; `ended`: all of them were read to their ends.
pub(crate) fn changes(files: &[InputFile], position: &FilePosition, ended: bool) -> Changes {
    let mut found = Changes::default();
    if position.files.is_empty() {
        return found;
    }
    for file in files {
        let is_current = *file.name == *position.file;
        let Some(known) = position.files.iter().find(|known| *known.name == *file.name) else {
            // An empty file has nothing that could be missed.
            if (ended || *file.name < *position.file) && file.size_bytes > 0 {
                found.unread.push(file.name.to_string());
            }
            continue;
        };
        let is_through = known.read || ended || *known.name < *position.file;
        if !is_through && !is_current {
            continue;
        }
        let open = File::open(&file.path).ok();
        let same_head = open.as_ref().and_then(|open| head(open, known.bytes)) == Some(known.head);
        let same_end = file.size_bytes == known.bytes || (is_current && position.place.is_end_of(file.size_bytes));
        if is_through && !same_end {
            found.changed.push(format!("{} had {} bytes and has {}", file.name, known.bytes, file.size_bytes));
        } else if !same_head {
            found.changed.push(format!("{} no longer begins as it did", file.name));
        }
        found.touched |= NotedFile::of(file).is_none_or(|now| now.changed != known.changed);
    }
    found.touched |= position.files.iter().any(|known| files.iter().all(|file| *file.name != *known.name));
    found
}

impl FilePosition {
    /// Whether a file of this name was read by the runs before.
    pub(crate) fn is_read(&self, name: &str) -> bool {
        self.files.iter().any(|known| known.read && known.name == name)
    }
}

impl Place {
    fn is_end_of(self, bytes: u64) -> bool {
        matches!(self, Place::Text { offset, .. } if offset == bytes)
    }
}

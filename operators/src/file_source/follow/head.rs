//! How a file begins: by that it is known again, as numbers of files are used again.

use std::fs::File;
use std::path::Path;

use xxhash_rust::xxh3::xxh3_64;

use crate::file_source::beginning;
use crate::file_source::paths::InputFile;

/// Of how many bytes at most it is made.
pub(super) const HEAD_BYTES: usize = 1024;

/// How a file begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Head {
    /// How many of its first bytes are meant.
    pub(super) bytes: usize,
    pub(super) hash: u64,
}

impl Head {
    pub(super) fn of(bytes: &[u8]) -> Head {
        Head { bytes: bytes.len(), hash: xxh3_64(bytes) }
    }

    /// Whether a file begins like this.
    pub(super) fn is_of(self, path: &Path) -> bool {
        File::open(path).is_ok_and(|file| self.is_of_open(&file))
    }

    pub(super) fn is_of_open(self, file: &File) -> bool {
        beginning::head(file, self.bytes).is_ok_and(|bytes| Head::of(&bytes) == self)
    }
}

/// How a file that is there begins.
pub(super) fn head_of(file: &InputFile) -> Head {
    let bytes = File::open(&file.path).and_then(|file| beginning::head(&file, HEAD_BYTES));
    Head::of(&bytes.unwrap_or_default())
}

//! One open file, read by several threads.
//!
//! The library reads a [`File`] by way of its one position in it, which two threads would move under each other's hands; here each
//! read says where.

use std::fs::File;
use std::io::{self, BufReader, Read};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use parquet::errors::Result;
use parquet::file::reader::{ChunkReader, Length};

/// An open file.
#[derive(Clone)]
pub(super) struct SharedFile {
    file: Arc<File>,
    length_bytes: u64,
}

/// Reads on from a place.
pub(super) struct From {
    file: Arc<File>,
    at: u64,
}

impl SharedFile {
    pub(super) fn open(path: &Path) -> io::Result<Self> {
        let file = File::open(path)?;
        let length_bytes = file.metadata()?.len();
        Ok(SharedFile { file: Arc::new(file), length_bytes })
    }
}

impl Length for SharedFile {
    fn len(&self) -> u64 {
        self.length_bytes
    }
}

impl ChunkReader for SharedFile {
    type T = BufReader<From>;

    fn get_read(&self, start: u64) -> Result<Self::T> {
        Ok(BufReader::new(From { file: self.file.clone(), at: start }))
    }

    fn get_bytes(&self, start: u64, length: usize) -> Result<Bytes> {
        // Lengths come from the file: a damaged one must not ask for more memory than the file has bytes.
        if start.checked_add(length as u64).is_none_or(|end| end > self.length_bytes) {
            let message = format!("{length} bytes at byte {start} of a file of {} bytes", self.length_bytes);
            return Err(io::Error::new(io::ErrorKind::UnexpectedEof, message).into());
        }
        let mut bytes = vec![0; length];
        self.file.read_exact_at(&mut bytes, start)?;
        Ok(bytes.into())
    }
}

impl Read for From {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let got = self.file.read_at(buffer, self.at)?;
        self.at += got as u64;
        Ok(got)
    }
}

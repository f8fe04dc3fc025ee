//! The bytes of a part while it is made.
//!
//! Memory is taken from the system once and used for all parts of a subtask: to get it anew costs more than to fill it. Parts begin where a
//! disk takes them without a copy.

use crate::blobs::BLOCK_BYTES;

/// Where parts are made, one after the other.
#[derive(Debug, Default)]
pub struct Buffer {
    memory: Vec<u8>,
    /// Where the part begins.
    start: usize,
}

impl Buffer {
    /// Begins a part of about so many bytes. Where it grows beyond them it may come to begin elsewhere, which costs a copy.
    pub(super) fn begin(&mut self, about_bytes: usize) {
        self.memory.clear();
        self.memory.reserve(about_bytes + BLOCK_BYTES);
        self.start = self.memory.as_ptr().align_offset(BLOCK_BYTES).min(BLOCK_BYTES);
        self.memory.resize(self.start, 0);
    }

    /// The part so far.
    pub fn bytes(&self) -> &[u8] {
        &self.memory[self.start..]
    }

    /// How many bytes it has.
    pub(super) fn len(&self) -> usize {
        self.memory.len() - self.start
    }

    pub(super) fn add(&mut self, bytes: &[u8]) {
        self.memory.extend_from_slice(bytes);
    }

    /// Adds zeros up to a multiple of `alignment`.
    pub(super) fn pad(&mut self, alignment: usize) {
        let length = self.len().next_multiple_of(alignment);
        self.memory.resize(self.start + length, 0);
    }
}

impl std::io::Write for Buffer {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.add(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_part_begins_at_a_block_and_stands_alone() {
        let mut buffer = Buffer::default();
        for length in [10, 100_000, 3] {
            buffer.begin(length);
            assert_eq!((buffer.len(), buffer.bytes().as_ptr().align_offset(BLOCK_BYTES)), (0, 0));
            buffer.add(&vec![7; length]);
            buffer.pad(64);
            assert_eq!(buffer.len(), length.next_multiple_of(64));
            assert!(buffer.bytes()[..length].iter().all(|&byte| byte == 7) && buffer.bytes()[length..].iter().all(|&byte| byte == 0));
        }
    }
}

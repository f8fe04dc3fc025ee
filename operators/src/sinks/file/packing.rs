//! The bytes of a file on their way to the disk: as they are, or packed.
//!
//! What a file is given between its opening and its end is one member of gzip, or one frame of zstd. Both formats allow several of
//! them one after the other, so a file to which checkpoints append stays one that any reader unpacks.

use std::io::{Result, Write};

use flate2::write::GzEncoder;
use schemars::JsonSchema;
use serde::Deserialize;
use tempfile::NamedTempFile;

/// How a file is packed; of a Parquet file its pages.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Compression {
    /// Small and fast to read.
    Zstd,
    /// Of parquet only: faster to write, for readers that know nothing else.
    Snappy,
    /// For readers that do not know zstd.
    Gzip,
    /// Not at all.
    None,
}

/// How a file of text is packed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Packing {
    None,
    Gzip,
    Zstd,
}

impl Packing {
    pub(super) fn name(self) -> &'static str {
        match self {
            Packing::None => "none",
            Packing::Gzip => "gzip",
            Packing::Zstd => "zstd",
        }
    }
}

/// A file of text that is being written. Dropping it removes the file.
pub(super) enum Packer {
    None(NamedTempFile),
    Gzip(Box<GzEncoder<NamedTempFile>>),
    Zstd(Box<zstd::Encoder<'static, NamedTempFile>>),
}

impl Packer {
    /// Into an empty file.
    ///
    /// # Errors
    /// When there is no memory for what packs it.
    pub(super) fn new(file: NamedTempFile, packing: Packing) -> Result<Self> {
        Ok(match packing {
            Packing::None => Packer::None(file),
            Packing::Gzip => Packer::Gzip(Box::new(GzEncoder::new(file, flate2::Compression::default()))),
            Packing::Zstd => {
                let mut encoder = zstd::Encoder::new(file, zstd::DEFAULT_COMPRESSION_LEVEL)?;
                encoder.include_checksum(true)?;
                Packer::Zstd(Box::new(encoder))
            }
        })
    }

    /// The file with all that was written to it.
    ///
    /// # Errors
    /// When the rest can't be written.
    pub(super) fn finish(self) -> Result<NamedTempFile> {
        match self {
            Packer::None(file) => Ok(file),
            Packer::Gzip(encoder) => encoder.finish(),
            Packer::Zstd(encoder) => encoder.finish(),
        }
    }
}

impl Write for Packer {
    fn write(&mut self, bytes: &[u8]) -> Result<usize> {
        match self {
            Packer::None(file) => file.write(bytes),
            Packer::Gzip(encoder) => encoder.write(bytes),
            Packer::Zstd(encoder) => encoder.write(bytes),
        }
    }

    fn flush(&mut self) -> Result<()> {
        match self {
            Packer::None(file) => file.flush(),
            Packer::Gzip(encoder) => encoder.flush(),
            Packer::Zstd(encoder) => encoder.flush(),
        }
    }
}

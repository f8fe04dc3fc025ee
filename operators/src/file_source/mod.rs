//! The `file` source: JSON lines, CSV and Parquet from one file, a folder or a glob.
//!
//! All files are one split, read in the byte order of their names, so that event time has one order however many threads
//! decode; unless each is a split of its own (`together`) or they are followed as they grow (`follow`).
//!
//! Modules in reading order:
//!
//! - [`options`], [`plan`]: what the user writes, and how it is planned
//! - [`formats`], [`paths`], [`compression`], [`beginning`]: which files, how they are packed, and what they are; [`headers`]: what those of CSV say
//! - [`sample`]: what the first lines of others say
//! - [`blocks`], [`ranges`], [`parquet`]: what is read at once: text, lines that several threads read, row groups
//! - [`reading`]: which piece is next; [`follow`]: the same where files grow
//! - [`pipeline`]: decodes pieces side by side and puts them back in order; [`alone`]: decodes them where there is one worker
//! - [`placing`], [`position`]: where rows stand, and where to go on; [`noted`], [`since`]: what has become of files that were read
//! - [`reader`]: the source itself

mod alone;
mod beginning;
mod blocks;
mod compression;
mod follow;
mod formats;
mod headers;
mod noted;
mod options;
mod parquet;
mod paths;
mod pipeline;
mod placing;
mod plan;
mod position;
mod ranges;
mod reader;
mod reading;
mod sample;
mod since;
#[cfg(test)]
mod tests;

use std::fmt;

use millstream_api::{Error, Registry};

pub(crate) use blocks::{BYTE_ORDER_MARK, Framing, MAX_RECORD_BYTES, count_lines};
pub use compression::Compression;
pub(crate) use formats::TextFormat;
pub use options::{FileFormat, FileSourceOptions};
pub use plan::IN_SCHEMA;

/// Makes the `file` source known.
pub fn register(registry: &mut Registry) {
    registry.add::<FileSourceOptions>();
}

fn cannot_read(name: &str, cause: impl fmt::Display) -> Error {
    Error::io(format!("cannot read {name}"), cause)
}

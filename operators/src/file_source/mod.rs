//! The `file` source: JSON lines and CSV from one file, a folder or a glob.
//!
//! All files are one split, read in the byte order of their names, so that event time has one order however many threads
//! decode. Modules in reading order: [`options`] is what the user writes and how it is planned, [`paths`] which files,
//! [`blocks`] cuts them, [`pipeline`] decodes the pieces side by side and puts them back in order, [`position`] where to go on.

mod blocks;
mod options;
mod paths;
mod pipeline;
mod position;
mod reader;
#[cfg(test)]
mod tests;

pub(crate) use blocks::{Framing, MAX_RECORD_BYTES, count_lines};
pub use options::{FileFormat, FileSourceOptions};
pub(crate) use reader::Format;

use millstream_api::Registry;

/// Makes the `file` source known.
pub fn register(registry: &mut Registry) {
    registry.add::<FileSourceOptions>();
}

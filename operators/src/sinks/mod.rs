//! The sinks: where rows leave Millstream.
//!
//! - [`mod@file`]: one file, published when it is complete
//! - [`http`]: rows posted to a service
//! - [`stdout`]: JSON lines or a table on standard output
//! - [`view`]: a materialised view that a server reads
//! - [`discard`]: counts rows and throws them away
//! - [`columns`]: which columns a sink writes, and the weight of changes

pub mod columns;
pub mod discard;
pub mod file;
pub mod http;
pub mod stdout;
pub mod view;

use millstream_api::Registry;

/// Makes the sinks known.
pub fn register(registry: &mut Registry) {
    registry.add::<discard::DiscardOptions>();
    registry.add::<file::FileSinkOptions>();
    registry.add::<http::HttpSinkOptions>();
    registry.add::<stdout::StdoutOptions>();
    registry.add::<view::ViewOptions>();
}

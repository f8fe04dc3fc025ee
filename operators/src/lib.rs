//! The sources, operators and sinks that ship with Millstream.
//!
//! One file or folder per node type, each with its options (whose doc comments are the user's documentation), its plan and
//! its running part. They use the public operator API only: whatever they can do, a crate of the user's own can. Modules in
//! reading order:
//!
//! - [`filter`], [`select`], [`union`], [`window`]: operators without state
//! - [`aggregate`]: groups of rows, per window or running
//! - [`join`]: rows of two streams that belong together
//! - [`top_n`]: the first rows of each key, per window or kept right as rows come
//! - [`deduplicate`]: one row of each key
//! - [`event_time`]: gives rows a new event time
//! - [`unnest`]: a list becomes rows
//! - [`nexmark`]: a source that generates the Nexmark benchmark's events
//! - [`file_source`]: a source that reads JSON lines, CSV and Parquet, with [`decode`] for text
//! - [`stdin`]: a source that reads JSON lines and CSV from standard input
//! - [`generate`]: a source of rows that are made up
//! - [`http_source`]: a source to which others post rows
//! - [`sinks`]: `file`, `http`, `stdout`, `view`, `discard`
//! - [`encode`]: columns to JSON, CSV and tables
//! - [`columns`]: columns by name, logical and physical
//! - `late`, `sessions`: rows that came too late, and who cannot read sessions
//! - [`bad_rows`]: the policies for rows on which an expression failed
//! - `order`: rows to byte strings that sort as the rows do; `ttl`: keys that are forgotten after a time;
//!   `changed`: those that have another state than was last written; `cold`: those that are on disk until event time ends something of them;
//!   `stored_windows`: windows that are, until they close; `floors`: up to where state is past; `saved`: what snapshots have in common;
//!   `narrow`: the columns that are kept of rows

pub mod aggregate;
pub mod bad_rows;
mod changed;
mod cold;
pub mod columns;
pub mod decode;
pub mod deduplicate;
pub mod encode;
pub mod event_time;
pub mod file_source;
pub mod filter;
mod floors;
pub mod generate;
pub mod http_source;
pub mod join;
mod late;
mod narrow;
pub mod nexmark;
pub mod select;
mod sessions;
pub mod sinks;
pub mod stdin;
pub mod top_n;
pub mod union;
pub mod unnest;
pub mod window;

mod order;
mod saved;
mod stored_windows;
#[cfg(test)]
mod testing;
mod ttl;

use millstream_api::Registry;

/// Makes all node types of this crate known.
pub fn register(registry: &mut Registry) {
    file_source::register(registry);
    registry.add::<stdin::StdinOptions>();
    registry.add::<http_source::HttpSourceOptions>();
    registry.add::<generate::GenerateOptions>();
    registry.add::<nexmark::NexmarkOptions>();
    registry.add::<filter::FilterOptions>();
    registry.add::<select::SelectOptions>();
    registry.add::<union::UnionOptions>();
    registry.add::<window::WindowOptions>();
    registry.add::<aggregate::AggregateOptions>();
    registry.add::<join::JoinOptions>();
    registry.add::<top_n::TopNOptions>();
    registry.add::<deduplicate::DeduplicateOptions>();
    registry.add::<event_time::EventTimeOptions>();
    registry.add::<unnest::UnnestOptions>();
    sinks::register(registry);
}

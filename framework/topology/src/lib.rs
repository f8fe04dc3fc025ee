//! From a topology file to a checked graph. No I/O beyond reading the file, no async.

mod graph;
mod settings;

pub use graph::{Input, Node, NodeOutput, SourceSettings, Topology};
pub use settings::{RuntimeSettings, ServerSettings};

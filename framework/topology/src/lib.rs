//! From a topology file to a checked graph. No I/O beyond reading the file, no async.
//!
//! Modules in reading order, which is the order in which a file goes through them:
//!
//! - `load`: the way through all of them
//! - `tree`: the file as typed values with places; `place`, `literal`: from a key path to the bytes that are meant
//! - `substitute`, `secret`, `layers`: `${NAME}`, `${file:PATH}`, `MILLSTREAM__…` variables, `--set`
//! - `shape`: values against the JSON Schema of the option structs
//! - `settings`, `checkpoint`, `declare`: the tables that are not nodes, and those that are
//! - `resolve`: names to edges, cycles, order
//! - `plan`: forward over the graph: every node is planned from the streams that it reads; `mend`: one with a mistake as it would be without
//! - `tables`, `files`: lookups that would wait for themselves; files that one node writes and another uses
//! - `windows`, `columns`: backward: who judges lateness, which columns flow
//! - `checked`: everything that is known of a topology, before it is fixed who reads what
//! - `cases`: the tests in the file; `tests_file`: those in a file of their own
//! - `graph`: what is left behind for the runtime; `describe`: the same as text; `draw`: as a drawing; `explain`: what follows from it
//! - `meaning`: whether state fits another version of the graph; `signature`: the same of checkpoints that are older
//! - `report`: all that was found wrong on the way

pub mod cases;
mod checked;
mod checkpoint;
mod columns;
mod declare;
mod describe;
mod draw;
mod explain;
mod files;
mod graph;
mod layers;
mod literal;
mod load;
mod meaning;
mod mend;
mod place;
mod plan;
mod report;
mod resolve;
mod secret;
mod settings;
mod shape;
mod signature;
mod substitute;
mod tables;
mod tests_file;
mod tree;
mod windows;

pub use checkpoint::{CheckpointSettings, StorePlace, StoreText};
pub use describe::describe;
pub use draw::{Drawing, draw};
pub use explain::explain;
pub use graph::{Input, Node, NodeOutput, SourceSettings, Topology};
pub use load::{Outcome, TestsOutcome, load, load_tests, load_text};
pub use report::{Entry, Position, Report};
pub use resolve::is_name;
pub use secret::Secrets;
pub use settings::{RuntimeSettings, ServerSettings};
pub use tree::Syntax;

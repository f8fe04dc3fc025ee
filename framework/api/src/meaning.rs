//! What the meaning of a node's state depends on: state is columns without a meaning of their own, and what they are, the node's options and
//! the columns that it reads say.
//!
//! A node says which of its options and columns matter to its state. What does not, can change while the state is kept: other columns
//! that flow because of its neighbours, their order, options that say what becomes of results. Nothing may be left out that matters:
//! the state would be taken for something that it is not.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::plan::Columns;

/// What the name of a column in state begins with where it is one of a row that came in; behind it is the column's own name.
pub const COLUMN_OF_ROW: &str = "c.";

/// What matters of a node, as its factory says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Matters {
    /// The options that matter, by key. Equal texts mean the same, also after an update of the program.
    pub options: BTreeMap<String, String>,
    /// Of each input the columns that expressions read whose results are in the state.
    pub reads: Vec<Columns>,
    /// What columns are of rows that were sent and may be withdrawn, by column. Further ones may come.
    pub sends: BTreeMap<String, String>,
    /// Of each input the columns that rows of the state have. They stand there in the order of their names, whatever else flows.
    pub rows: Vec<Columns>,
}

impl Matters {
    /// With an option that matters.
    #[must_use]
    pub fn option(mut self, key: &str, text: impl ToString) -> Matters {
        self.options.insert(key.to_owned(), text.to_string());
        self
    }
}

/// The same with types and the streams that are read: where two nodes have equal ones, their state means the same.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Meaning {
    /// The options that matter, by key.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub options: BTreeMap<String, String>,
    /// The columns that are read, with their types. Of a second input the names begin with `right.`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub reads: BTreeMap<String, String>,
    /// The columns that rows of the state have, likewise; they may be none. `None`: the node does not say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rows: Option<BTreeMap<String, String>>,
    /// What columns are of rows that were sent and may be withdrawn.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub sends: BTreeMap<String, String>,
    /// Properties of the streams that are read: `windows`, `event time`, and so on.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub streams: BTreeMap<String, String>,
}

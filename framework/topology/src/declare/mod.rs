//! The nodes of a topology as they are declared: type, options, shared keys and the names of what they read.
//!
//! Each key of a node's table belongs to one of four: `type`, the type's input keys, its own options, the keys that all
//! nodes of its role share (`inputs` and `common` read the second and the last; `node` all of them). A node with a mistake in it
//! stays, so that others may name it.

mod common;
mod inputs;
mod node;

use std::collections::BTreeMap;

use millstream_api::Diagnostic;
use millstream_api::diagnostic::Key;
use millstream_api::registry::{NodeType, Registry, Role};
use serde_json::Value as Json;

pub(crate) use common::Common;
use common::CommonSchemas;
use node::Scope;

use crate::report::Problems;
use crate::resolve::is_name;
use crate::settings::bad_name;
use crate::shape::Reader;
use crate::tree::{Place, Table, Value};

/// The keys at the root of the file.
const ROOT_KEYS: [&str; 8] = ["name", "runtime", "checkpoint", "server", "sources", "operators", "sinks", "tests"];

/// A node of the file.
pub(crate) struct Declaration<'r> {
    pub name: String,
    pub role: Role,
    /// The key paths in the file begin with this.
    pub path: Vec<Key>,
    /// Where its name stands.
    pub place: Place,
    /// Its `type`, as written.
    pub kind: String,
    /// What to plan it with: the type and its options. None when it has a mistake.
    pub options: Option<(&'r NodeType, Json)>,
    /// What to plan it with in place of that, so that what reads it is checked as well: see [`crate::mend`].
    pub mended: Option<(&'r NodeType, Json)>,
    pub common: Common,
    /// What it reads, in the order of its input keys.
    pub inputs: Vec<InputDeclaration>,
}

/// A stream that a node reads, by name.
pub(crate) struct InputDeclaration {
    /// The key path from the root of the file.
    pub path: Vec<Key>,
    pub stream: String,
}

/// All nodes: sources, operators, sinks, each in the order of the file.
pub(crate) fn declare<'r>(root: &Table, registry: &'r Registry, problems: &mut Problems) -> Vec<Declaration<'r>> {
    for field in root.fields.iter().filter(|field| !ROOT_KEYS.contains(&field.key.as_str())) {
        Reader::new(vec![Key::Name(field.key.clone())], problems).unknown(&field.key, ROOT_KEYS.into_iter());
    }
    let common = CommonSchemas::new();
    let mut nodes: Vec<Declaration<'r>> = Vec::new();
    for role in Role::ALL {
        let key = role.section();
        let Some(section) = root.field(key) else { continue };
        let path = vec![Key::Name(key.to_owned())];
        match &section.item.value {
            Value::Table(table) => {
                for field in &table.fields {
                    let path = vec![Key::Name(key.to_owned()), Key::Name(field.key.clone())];
                    let scope = Scope { role, registry, common: common.of(role) };
                    nodes.extend(scope.declare(field, Reader::new(path, problems)));
                }
            }
            other => drop(Reader::new(path, problems).wrong_type("a table of nodes", other)),
        }
    }
    check_names(&nodes, problems);
    nodes
}

fn check_names(nodes: &[Declaration<'_>], problems: &mut Problems) {
    let mut first: BTreeMap<&str, Role> = BTreeMap::new();
    for node in nodes {
        let mut reader = Reader::new(node.path.clone(), problems);
        if !is_name(&node.name) {
            reader.note(bad_name(&node.name).on_key());
        }
        match first.get(node.name.as_str()) {
            None => drop(first.insert(&node.name, node.role)),
            Some(role) => reader.note(
                Diagnostic::error("duplicate-name", format!("`{}` is the name of {} as well", node.name, with_article(*role)))
                    .on_key()
                    .help("sources, operators and sinks share their names; rename one of the two"),
            ),
        }
    }
}

/// A role with its article.
fn with_article(role: Role) -> &'static str {
    match role {
        Role::Source => "a source",
        Role::Operator => "an operator",
        Role::Sink => "a sink",
    }
}

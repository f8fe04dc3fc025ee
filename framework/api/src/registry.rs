//! Which node types there are, and how their options are read.
//!
//! An operator crate has one `pub fn register(registry: &mut Registry)`; a binary calls those it wants in its `main`.
//! Nothing is registered by linking alone.

use std::collections::BTreeMap;
use std::sync::Arc;

use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::diagnostic::{Diagnostic, Diagnostics, Key};
use crate::plan::{Inputs, Plan};

/// Which part of a topology file a node stands in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Role {
    /// `[sources.…]`
    Source,
    /// `[operators.…]`
    Operator,
    /// `[sinks.…]`
    Sink,
}

impl Role {
    /// All of them, in the order of a file.
    pub const ALL: [Role; 3] = [Role::Source, Role::Operator, Role::Sink];

    /// How messages, answers and checkpoints call a node of this role.
    pub const fn name(self) -> &'static str {
        match self {
            Role::Source => "source",
            Role::Operator => "operator",
            Role::Sink => "sink",
        }
    }

    /// The key at the root of a file under which these nodes stand.
    pub const fn section(self) -> &'static str {
        match self {
            Role::Source => "sources",
            Role::Operator => "operators",
            Role::Sink => "sinks",
        }
    }
}

/// The keys that name the streams a node reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum InputKeys {
    /// None: a source.
    None,
    /// `input = "a"`.
    One,
    /// `inputs = ["a", "b"]`.
    Many,
    /// A key of its own for each: `left = "a"`, `right = "b"`.
    Named(&'static [&'static str]),
}

/// The options of a node type: everything in its table but `type`, its input keys and the keys that all nodes of its role
/// share. `#[serde(deny_unknown_fields)]` is not needed: unknown keys are found from the JSON Schema.
///
/// The doc comment of the struct and of each field is the user's documentation.
pub trait NodeOptions: DeserializeOwned + JsonSchema + 'static {
    /// The `type` in the file.
    const KIND: &'static str;
    /// Where it stands.
    const ROLE: Role;
    /// What it reads.
    const INPUTS: InputKeys;

    /// Checks the options against the streams that the node reads and plans it: the only validation there is. Key paths in
    /// diagnostics start inside the node's table.
    ///
    /// # Errors
    /// All mistakes that can be found in one go.
    fn plan(self, inputs: &Inputs<'_>) -> Result<Plan, Diagnostics>;

    /// Plans a source or sink in whose place a test stands: only its streams and the columns that it reads count, subtasks are
    /// never made. A type whose `plan` looks at something outside, such as a path, leaves that out here as far as it can.
    ///
    /// # Errors
    /// As [`plan`](NodeOptions::plan).
    fn plan_replaced(self, inputs: &Inputs<'_>) -> Result<Plan, Diagnostics> {
        self.plan(inputs)
    }
}

type Planner = dyn Fn(Value, &Inputs<'_>) -> Result<Plan, Diagnostics> + Send + Sync;

/// One registered node type.
#[derive(Clone)]
pub struct NodeType {
    /// The `type` in the file.
    pub kind: &'static str,
    /// Where it stands.
    pub role: Role,
    /// What it reads.
    pub inputs: InputKeys,
    /// The JSON Schema of its options.
    pub schema: Schema,
    planner: Arc<Planner>,
    planner_replaced: Arc<Planner>,
}

impl NodeType {
    /// Reads the options (already checked for unknown keys and types) and plans the node.
    ///
    /// # Errors
    /// What the options struct or its plan finds wrong.
    pub fn plan(&self, options: Value, inputs: &Inputs<'_>) -> Result<Plan, Diagnostics> {
        (self.planner)(options, inputs)
    }

    /// The same for a node in whose place a test stands; see [`NodeOptions::plan_replaced`].
    ///
    /// # Errors
    /// As [`plan`](NodeType::plan).
    pub fn plan_replaced(&self, options: Value, inputs: &Inputs<'_>) -> Result<Plan, Diagnostics> {
        (self.planner_replaced)(options, inputs)
    }
}

/// All node types that topologies may use.
#[derive(Clone, Default)]
pub struct Registry {
    types: BTreeMap<(Role, &'static str), NodeType>,
}

impl Registry {
    /// A registry without any type.
    pub fn new() -> Self {
        Registry::default()
    }

    /// Adds a node type. A later one takes the place of an earlier one of the same role and name.
    pub fn add<O: NodeOptions>(&mut self) {
        let node_type = NodeType {
            kind: O::KIND,
            role: O::ROLE,
            inputs: O::INPUTS,
            schema: SchemaGenerator::default().into_root_schema_for::<O>(),
            planner: Arc::new(|options, inputs| read::<O>(options)?.plan(inputs)),
            planner_replaced: Arc::new(|options, inputs| read::<O>(options)?.plan_replaced(inputs)),
        };
        self.types.insert((O::ROLE, O::KIND), node_type);
    }

    /// The type of this role and name.
    pub fn get(&self, role: Role, kind: &str) -> Option<&NodeType> {
        self.types.iter().find(|((r, k), _)| *r == role && *k == kind).map(|(_, node_type)| node_type)
    }

    /// All types, by role and name.
    pub fn types(&self) -> impl Iterator<Item = &NodeType> {
        self.types.values()
    }
}

/// Options from JSON; a failure becomes a diagnostic at the key where it happened.
///
/// # Errors
/// When the value does not have the shape of `T`.
pub fn read<T: DeserializeOwned>(options: Value) -> Result<T, Diagnostics> {
    serde_path_to_error::deserialize(options).map_err(|error| {
        let mut diagnostic = Diagnostic::error("bad-value", error.inner().to_string());
        for segment in error.path() {
            match segment {
                serde_path_to_error::Segment::Seq { index } => diagnostic.path.push(Key::Index(*index)),
                serde_path_to_error::Segment::Map { key } => diagnostic.path.push(Key::Name(key.clone())),
                _ => {}
            }
        }
        diagnostic.into()
    })
}

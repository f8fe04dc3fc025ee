//! The keys that all nodes of a role share.

use std::num::NonZeroUsize;

use millstream_api::options::{OnBadRow, OperatorCommon, SinkCommon, SourceCommon, StateHome, TimeOptions};
use millstream_api::registry::{self, Role};
use schemars::schema_for;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value as Json};

use crate::shape::{Reader, Schema};
use crate::tree::Table;

/// The keys that nodes share, those of all roles in one.
#[derive(Default)]
pub(crate) struct Common {
    pub on_bad_row: OnBadRow,
    pub parallelism: Option<NonZeroUsize>,
    pub description: Option<String>,
    pub time: Option<TimeOptions>,
    /// There is a `time` but it is wrong: the streams have event time, nobody knows which.
    pub time_is_wrong: bool,
    pub rate: Option<NonZeroUsize>,
    /// Where an operator's keyed state is to be, if it says so itself.
    pub state: Option<StateHome>,
}

impl Common {
    /// The shared keys of a node, from the values that could be read of them. What is wrong has its default, so that the node
    /// can be planned all the same.
    pub fn of(role: Role, read: Map<String, Json>, table: &Table, reader: &mut Reader<'_>) -> Common {
        let time_is_wrong = table.field("time").is_some() && !read.contains_key("time");
        let read = Json::Object(read);
        let common = match role {
            Role::Source => shared(read, reader).map(|c: SourceCommon| Common {
                on_bad_row: c.on_bad_row,
                description: c.description,
                time: c.time,
                rate: c.rate,
                ..Common::default()
            }),
            Role::Operator => shared(read, reader).map(|c: OperatorCommon| Common {
                on_bad_row: c.on_bad_row,
                parallelism: c.parallelism,
                description: c.description,
                state: c.state,
                ..Common::default()
            }),
            Role::Sink => shared(read, reader).map(|c: SinkCommon| Common {
                on_bad_row: c.on_bad_row.into(),
                parallelism: c.parallelism,
                description: c.description,
                ..Common::default()
            }),
        };
        Common { time_is_wrong: time_is_wrong && role == Role::Source, ..common.unwrap_or_default() }
    }
}

fn shared<T: DeserializeOwned>(read: Json, reader: &mut Reader<'_>) -> Option<T> {
    match registry::read(read) {
        Ok(common) => Some(common),
        Err(mistakes) => {
            mistakes.0.into_iter().for_each(|diagnostic| reader.note(diagnostic));
            None
        }
    }
}

/// The JSON Schemas of the shared keys.
pub(super) struct CommonSchemas([schemars::Schema; 3]);

impl CommonSchemas {
    pub fn new() -> Self {
        CommonSchemas([schema_for!(SourceCommon), schema_for!(OperatorCommon), schema_for!(SinkCommon)])
    }

    /// Those of one role.
    pub fn of(&self, role: Role) -> Schema<'_> {
        let [source, operator, sink] = &self.0;
        Schema::root(match role {
            Role::Source => source,
            Role::Operator => operator,
            Role::Sink => sink,
        })
    }
}

//! What tests can name: sources to send rows to, streams and sinks to look at.

use std::collections::BTreeMap;

use millstream_api::diagnostic::nearest;
use millstream_api::options::OnBadRow;
use millstream_api::plan::Make;
use millstream_api::registry::Role;
use millstream_api::types::{ColumnType, TimestampForm};
use millstream_api::{Diagnostic, Stream};
use serde_json::Value as Json;

use crate::declare::Declaration;
use crate::plan::Planned;

/// What tests can name: the streams and sinks of a topology of which every node could be planned.
pub(crate) struct Streams<'a> {
    pub nodes: &'a [Declaration<'a>],
    pub planned: &'a [Planned],
}

/// A stream that a test can send rows to.
pub(crate) struct Sender<'a> {
    pub node: &'a Declaration<'a>,
    pub port: usize,
    pub stream: &'a Stream,
    pub on_bad_row: OnBadRow,
}

/// Rows that a test can look at.
pub(crate) struct Seen<'a> {
    /// Of a stream: where it comes from.
    pub place: Option<(usize, usize)>,
    pub stream: &'a Stream,
    /// The columns that can be named.
    pub columns: Vec<String>,
    /// Of a sink: its name.
    pub node: Option<String>,
    pub is_view: bool,
}

pub(crate) type Found<T> = Result<T, Vec<Diagnostic>>;

impl<'a> Streams<'a> {
    fn of_role(&self, role: Role) -> impl Iterator<Item = (&'a Declaration<'a>, &'a Planned)> {
        self.planned.iter().map(|planned| (&self.nodes[planned.declaration], planned)).filter(move |(node, _)| node.role == role)
    }

    pub fn source(&self, key: &str, name: &str) -> Found<&'a Declaration<'a>> {
        let found = self.of_role(Role::Source).find(|(node, _)| node.name == name);
        let known = || self.of_role(Role::Source).map(|(node, _)| node.name.clone()).collect();
        found.map(|(node, _)| node).ok_or_else(|| unknown(key, name, format!("there is no source `{name}`"), known()))
    }

    pub fn timely_source(&self, key: &str, name: &str) -> Found<String> {
        let node = self.source(key, name)?;
        if node.common.time.is_none() {
            let message = format!("`{name}` has no event time, so nothing waits for it");
            return Err(vec![Diagnostic::error("bad-step", message).key(key).help("leave the step out, or give the source a `time`")]);
        }
        Ok(node.name.clone())
    }

    pub fn sender(&self, name: &str) -> Found<Sender<'a>> {
        let mut known = Vec::new();
        for (node, planned) in self.of_role(Role::Source) {
            // The last one is `.rejected`, which the engine makes.
            let own = planned.names.len() - 1;
            for (port, (stream_name, output)) in planned.names.iter().zip(&planned.plan.outputs).take(own).enumerate() {
                if stream_name == name {
                    return Ok(Sender { node, port, stream: &output.stream, on_bad_row: node.common.on_bad_row });
                }
                known.push(stream_name.clone());
            }
        }
        Err(unknown("send", name, format!("there is no source `{name}`"), known))
    }

    /// How the source's schema writes timestamps.
    pub fn forms(&self, node: &Declaration<'_>) -> BTreeMap<String, TimestampForm> {
        let schema = node.options.as_ref().and_then(|(_, options)| options.get("schema")?.as_object());
        let columns = schema.into_iter().flatten();
        let form = |text: &Json| ColumnType::parse(text.as_str()?).ok().map(|column| column.timestamp);
        columns.filter_map(|(name, text)| Some((name.clone(), form(text)?))).collect()
    }

    pub fn seen(&self, key: &str, name: &str) -> Found<Seen<'a>> {
        let mut known = Vec::new();
        for (index, planned) in self.planned.iter().enumerate() {
            let node = &self.nodes[planned.declaration];
            match &planned.plan.make {
                Make::Sink(factory) if node.name == name => {
                    let (writer, port) = planned.inputs[0];
                    let stream = &self.planned[writer].plan.outputs[port].stream;
                    let required = factory.required();
                    let columns = names(stream).filter(|column| required.contains(column)).collect();
                    return Ok(Seen { place: None, stream, columns, node: Some(name.to_owned()), is_view: factory.is_view() });
                }
                _ => {}
            }
            for (port, (stream_name, output)) in planned.names.iter().zip(&planned.plan.outputs).enumerate() {
                if stream_name == name {
                    let stream = &output.stream;
                    let columns = names(stream).collect();
                    return Ok(Seen { place: Some((index, port)), stream, columns, node: None, is_view: false });
                }
                known.push(stream_name.clone());
            }
            known.extend((node.role == Role::Sink).then(|| node.name.clone()));
        }
        Err(vec![unseen(key, name, known)])
    }
}

fn names(stream: &Stream) -> impl Iterator<Item = String> + '_ {
    stream.schema.fields().iter().map(|field| field.name().clone())
}

fn unknown(key: &str, name: &str, message: String, known: Vec<String>) -> Vec<Diagnostic> {
    let help = match nearest(name, known.iter().map(String::as_str)) {
        Some(near) => format!("did you mean `{near}`? there are {}", known.join(", ")),
        None => format!("there are {}", known.join(", ")),
    };
    vec![Diagnostic::error("unknown-stream", message).key(key).text(0..name.len()).help(help)]
}

/// No such stream. The keys `expect_late` and `expect_rejected` name the node.
fn unseen(key: &str, name: &str, known: Vec<String>) -> Diagnostic {
    let side = match key {
        "expect_late" => ".late",
        "expect_rejected" => ".rejected",
        _ => "",
    };
    let known: Vec<String> = known.iter().filter_map(|stream| stream.strip_suffix(side)).map(str::to_owned).collect();
    let name = name.strip_suffix(side).unwrap_or(name);
    let message = match side {
        "" => format!("there is no stream or sink `{name}`"),
        ".late" => format!("`{name}` judges no lateness"),
        _ => format!("`{name}` rejects no rows"),
    };
    let list = if known.is_empty() { "no node here does".to_owned() } else { format!("there are {}", known.join(", ")) };
    let help = match nearest(name, known.iter().map(String::as_str)) {
        Some(near) => format!("did you mean `{near}`? {list}"),
        None => list,
    };
    Diagnostic::error("unknown-stream", message).key(key).text(0..name.len()).help(help)
}

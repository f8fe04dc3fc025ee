//! What the meaning of a node's state depends on, with types: its options, the columns that it needs itself, and what sort of stream it reads.
//!
//! Most node types say what matters to their state ([`Matters`]). For a sink that does not it is all options and the columns that it
//! writes; for an operator all that flows in and out, too, since nobody knows in which form it keeps it.

use std::collections::BTreeMap;

use arrow::datatypes::{Field, Schema};
use millstream_api::meaning::{Matters, Meaning};
use millstream_api::plan::{Columns, Make};
use millstream_api::registry::Role;
use millstream_api::types::SqlName;
use serde_json::Value as Json;
use xxhash_rust::xxh3::xxh3_64;

use crate::columns::Needs;
use crate::graph::{Node, NodeOutput};
use crate::signature::{NEUTRAL, canonical, sorted};

/// Gives every node its meaning; `options` and `needs` are those of each node, in the same order. Nodes without options are left alone.
pub(crate) fn tell(nodes: &mut [Node], options: &[Option<&Json>], needs: &[Vec<Needs>]) {
    let of_node =
        |(node, (options, needs)): (&Node, (&Option<&Json>, &Vec<Needs>))| options.map(|options| meaning(node, nodes, options, needs));
    let meanings: Vec<Option<Meaning>> = nodes.iter().zip(options.iter().zip(needs)).map(of_node).collect();
    for (node, meaning) in nodes.iter_mut().zip(meanings) {
        node.meaning = meaning.unwrap_or_default();
    }
}

fn meaning(node: &Node, nodes: &[Node], options: &Json, needs: &[Needs]) -> Meaning {
    let inputs: Vec<&NodeOutput> = node.inputs.iter().map(|input| &nodes[input.node].outputs[input.port]).collect();
    let said = match &node.plan.make {
        Make::Operator(factory) => factory.matters(&needs.iter().map(|needs| needs.columns.clone()).collect::<Vec<_>>()),
        Make::Sink(factory) => factory.matters(),
        Make::Source(_) => None,
    };
    // Rows of side streams are not kept, and a node that names no columns of rows keeps none at all.
    let keeps = match &said {
        Some(said) if said.rows.is_empty() => &[],
        Some(_) => &needs[..needs.len().min(1)],
        None => needs,
    };
    let mut meaning = match said {
        Some(said) => stated(said, &inputs),
        None => unstated(node, &inputs, options),
    };
    for (index, output) in inputs.iter().enumerate() {
        let prefix = prefix(index, inputs.len());
        let carries_place = places_matter(node, index, keeps) && output.stream.from_source;
        meaning.streams.extend(properties(output, carries_place).map(|(name, value)| (format!("{prefix}{name}"), value)));
    }
    meaning
}

/// What a node has said of itself, with types.
fn stated(said: Matters, inputs: &[&NodeOutput]) -> Meaning {
    let Matters { options, reads, rows, sends } = said;
    let typed = |columns: Vec<Columns>| -> BTreeMap<String, String> {
        let of_input = |(index, columns): (usize, &Columns)| {
            let fields = inputs.get(index).map(|output| output.stream.schema.fields().clone()).unwrap_or_default();
            let wanted = fields.iter().filter(|field| columns.contains(field.name()));
            wanted.map(|field| (format!("{}{}", prefix(index, inputs.len()), field.name()), type_of(field))).collect::<Vec<_>>()
        };
        columns.iter().enumerate().flat_map(of_input).collect()
    };
    Meaning { options, reads: typed(reads), rows: Some(typed(rows)), sends, streams: BTreeMap::new() }
}

/// Of a node that says nothing of itself.
fn unstated(node: &Node, inputs: &[&NodeOutput], options: &Json) -> Meaning {
    let mut meaning = Meaning::default();
    for (key, value) in sorted(options).filter(|(key, _)| !NEUTRAL.contains(key)) {
        let mut text = String::new();
        canonical(value, &mut text);
        // Not the text itself: it stands in checkpoints, and may be a secret.
        meaning.options.insert(key.to_owned(), format!("{:016x}", xxh3_64(text.as_bytes())));
    }
    let own = match &node.plan.make {
        Make::Sink(factory) => Some((factory.required(), factory.writes())),
        _ => None,
    };
    for (index, output) in inputs.iter().enumerate() {
        let prefix = prefix(index, inputs.len());
        let flows = |field: &&Field| own.as_ref().is_none_or(|(own, _)| own.contains(field.name()));
        let fields: Vec<&Field> = output.shape.schema.fields().iter().map(AsRef::as_ref).filter(flows).collect();
        meaning.reads.extend(fields.iter().map(|field| (format!("{prefix}{}", field.name()), type_of(field))));
        let as_they_flow = || fields.iter().map(|field| field.name().clone()).collect();
        let order = own.as_ref().and_then(|(_, writes)| writes.clone()).unwrap_or_else(as_they_flow);
        meaning.streams.insert(format!("{prefix}order of columns"), format!("{order:?}"));
    }
    if let (Role::Operator, Some(main)) = (node.role, node.outputs.first()) {
        meaning.streams.insert("columns that leave".to_owned(), written(&main.shape.schema));
    }
    meaning
}

fn written(schema: &Schema) -> String {
    schema.fields().iter().map(|field| format!("{:?} {}", field.name(), type_of(field))).collect::<Vec<_>>().join(", ")
}

fn prefix(index: usize, inputs: usize) -> &'static str {
    match (index, inputs) {
        (_, 1) => "",
        (0, _) => "left.",
        _ => "right.",
    }
}

/// Whether the places of rows in their source are needed: by the node, or by those to whom it hands rows on that it has kept.
fn places_matter(node: &Node, input: usize, needs: &[Needs]) -> bool {
    let hands_on = || needs.iter().zip(&node.plan.outputs).any(|(needs, output)| needs.origin && output.stream.from_source);
    node.plan.inputs[input].origin || hands_on()
}

fn type_of(field: &Field) -> String {
    let null = if field.is_nullable() { "" } else { " not null" };
    format!("{}{null}", SqlName(field.data_type()))
}

/// What flows into a node, and how the node has to take it.
fn properties(output: &NodeOutput, places: bool) -> impl Iterator<Item = (&'static str, String)> {
    let (stream, shape) = (&output.stream, &output.shape);
    let windows = stream.windowed.as_ref().map(|windowed| ("windows", windowed.windows.to_string()));
    let yes = |name: &'static str, is_so: bool| is_so.then(|| (name, "yes".to_owned()));
    let flags = [
        yes("event time", stream.event_time),
        yes("withdrawals", stream.updating),
        yes("places in the source", places),
        yes("one row for each window", shape.explicit_windows),
    ];
    windows.into_iter().chain(flags.into_iter().flatten())
}

//! The graph for programs: nodes with their streams, and edges.

use arrow::datatypes::Field;
use millstream_api::plan::Route;
use millstream_api::types::sql_type;
use serde_json::{Value, json};

use crate::describe::route_text;
use crate::graph::{Input, Node, NodeOutput, Topology};

/// One object with `name`, `nodes` and `edges`, indented.
pub(super) fn json(topology: &Topology) -> String {
    let edges: Vec<Value> =
        topology.nodes.iter().flat_map(|node| node.inputs.iter().map(move |input| edge(topology, node, input))).collect();
    let nodes: Vec<Value> = topology.nodes.iter().map(node).collect();
    let graph = json!({ "name": topology.name, "nodes": nodes, "edges": edges });
    format!("{graph:#}\n")
}

fn node(node: &Node) -> Value {
    json!({
        "name": node.name,
        "role": node.role.name(),
        "type": node.kind,
        "description": node.description,
        "line": node.line,
        "parallelism": node.parallelism,
        "state": node.plan.state.iter().map(|state| json!({ "name": state.name, "keyed": state.keyed })).collect::<Vec<_>>(),
        "bound": node.plan.bound,
        "streams": node.outputs.iter().map(stream).collect::<Vec<_>>(),
    })
}

fn stream(output: &NodeOutput) -> Value {
    let stream = &output.stream;
    let columns: Vec<Value> = stream.schema.fields().iter().map(|field| column(field, output)).collect();
    json!({
        "name": output.name,
        "read": output.shape.read,
        "event_time": stream.event_time,
        "updating": stream.updating,
        "windows": stream.windowed.as_ref().map(|windowed| windowed.windows.to_string()),
        "key": stream.unique_key,
        "endless": !stream.bounded,
        "columns": columns,
    })
}

fn column(field: &Field, output: &NodeOutput) -> Value {
    json!({
        "name": field.name(),
        "type": sql_type(field),
        "not_null": !field.is_nullable(),
        "read": output.shape.schema.column_with_name(field.name()).is_some(),
    })
}

fn edge(topology: &Topology, reader: &Node, input: &Input) -> Value {
    let writer = &topology.nodes[input.node];
    let key = match &input.route {
        Route::Key(key) => Some(key.text()),
        Route::Any | Route::Broadcast => None,
    };
    json!({
        "from": writer.name,
        "stream": writer.outputs[input.port].name,
        "to": reader.name,
        "route": route_text(&input.route, writer.parallelism, reader),
        "key": key,
    })
}

//! A topology as text, for `check --schemas`: every stream with its columns, every route.

use std::fmt::Write;

use arrow::datatypes::Field;
use millstream_api::plan::{Route, Shape};
use millstream_api::registry::Role;
use millstream_api::stream::{Judge, Windowed};
use millstream_api::types::sql_type;

use crate::graph::{Input, Node, NodeOutput, Topology};

/// The plan of a topology for people to read.
///
/// ```text
/// delays: operator aggregate, line 24, 2 subtasks
///   reads hourly by key carrier
///   defines delays (event time, windows of 1h, key carrier, window_start, window_end)
///     carrier       string not null
///     flights       bigint not null
///     window_start  timestamp not null  not read
/// ```
pub fn describe(topology: &Topology) -> String {
    let mut out = String::new();
    for (index, node) in topology.nodes.iter().enumerate() {
        if index > 0 {
            out.push('\n');
        }
        // Writing to a string can't fail.
        let _ = describe_node(topology, node, &mut out);
    }
    out
}

fn describe_node(topology: &Topology, node: &Node, out: &mut String) -> std::fmt::Result {
    let subtasks = if node.parallelism == 1 { "1 subtask".to_owned() } else { format!("{} subtasks", node.parallelism) };
    writeln!(out, "{}: {} {}, line {}, {subtasks}", node.name, node.role.name(), node.kind, node.line)?;
    if let Some(description) = &node.description {
        writeln!(out, "  {description}")?;
    }
    for input in &node.inputs {
        writeln!(
            out,
            "  reads {} {}",
            stream_name(topology, input),
            route_text(&input.route, topology.nodes[input.node].parallelism, node)
        )?;
    }
    for output in &node.outputs {
        describe_output(node, output, out)?;
    }
    Ok(())
}

pub(crate) fn stream_name<'a>(topology: &'a Topology, input: &Input) -> &'a str {
    &topology.nodes[input.node].outputs[input.port].name
}

/// How rows of a writer with so many subtasks find the right subtask of `node`.
pub(crate) fn route_text(route: &Route, senders: usize, node: &Node) -> String {
    match route {
        Route::Key(key) => format!("by key {}", key.text()),
        Route::Broadcast => "in every subtask".to_owned(),
        Route::Any if senders == node.parallelism => "subtask to subtask".to_owned(),
        Route::Any => "in turn".to_owned(),
    }
}

fn describe_output(node: &Node, output: &NodeOutput, out: &mut String) -> std::fmt::Result {
    let mut properties = Vec::new();
    if output.stream.updating {
        properties.push("updating".to_owned());
    }
    if output.stream.event_time {
        properties.push("event time".to_owned());
    }
    if let Some(windowed) = &output.stream.windowed {
        properties.push(windows(windowed, output.shape.judge));
    }
    if let Some(key) = output.stream.unique_key.as_ref().filter(|key| !key.is_empty()) {
        properties.push(format!("key {}", key.join(", ")));
    }
    if !output.stream.bounded {
        properties.push("endless".to_owned());
    }
    if !output.shape.read {
        properties.push("nobody reads it".to_owned());
    }
    let properties = if properties.is_empty() { String::new() } else { format!(" ({})", properties.join(", ")) };
    writeln!(out, "  defines {}{properties}", output.name)?;
    // The columns of side streams nobody reads would only be in the way.
    if output.shape.read || output.name == node.name || node.role == Role::Source && !output.name.ends_with(".rejected") {
        let fields = output.stream.schema.fields().iter();
        let columns: Vec<_> = fields.map(|field| (field.name().as_str(), column_type(field))).collect();
        describe_columns(&columns, &output.shape, out)?;
    }
    Ok(())
}

fn windows(windowed: &Windowed, judges: bool) -> String {
    let said = windowed.windows.to_string();
    match (judges, windowed.judge) {
        (true, _) => said + ", lateness judged here",
        (false, Judge::Reader) => said + ", lateness judged by the reader",
        (false, Judge::Done) => said,
    }
}

fn describe_columns(columns: &[(&str, String)], shape: &Shape, out: &mut String) -> std::fmt::Result {
    let name_width = columns.iter().map(|(name, _)| name.chars().count()).max().unwrap_or_default();
    let type_width = columns.iter().map(|(_, sql_type)| sql_type.chars().count()).max().unwrap_or_default();
    for (name, sql_type) in columns {
        let unread = shape.read && shape.schema.column_with_name(name).is_none();
        let remark = if unread { "  not read" } else { "" };
        let line = format!("    {name:name_width$}  {sql_type:type_width$}{remark}");
        writeln!(out, "{}", line.trim_end())?;
    }
    Ok(())
}

fn column_type(field: &Field) -> String {
    let not_null = if field.is_nullable() { "" } else { " not null" };
    format!("{}{not_null}", sql_type(field))
}

//! Backward over the graph: which columns of each stream are read, and whether rows must carry their place in the input.

use std::sync::Arc;

use arrow::datatypes::{Schema, SchemaRef};
use millstream_api::Diagnostic;
use millstream_api::options::OnBadRow;
use millstream_api::plan::{Columns, Make, Route};
use millstream_api::stream::{Judge, Stream};

use crate::cases::Tap;
use crate::declare::Declaration;
use crate::plan::{Planned, REJECTED};
use crate::report::Problems;
use crate::windows::WINDOW_COLUMNS;

/// What all readers of a stream need of it.
#[derive(Clone, Default)]
pub(crate) struct Needs {
    pub columns: Columns,
    /// Split and position.
    pub origin: bool,
    /// Whether there is any reader.
    pub read: bool,
}

/// The needs for each stream, by node and port. `taps` are further readers.
pub(crate) fn needs(nodes: &[Declaration<'_>], planned: &[Planned], taps: &[Tap], problems: &mut Problems) -> Vec<Vec<Needs>> {
    let mut needs: Vec<Vec<Needs>> = planned.iter().map(|node| vec![Needs::default(); node.plan.outputs.len()]).collect();
    for tap in taps {
        let needs = &mut needs[tap.place.0][tap.place.1];
        needs.read = true;
        needs.columns.extend(tap.columns.iter().cloned());
    }
    for (index, node) in planned.iter().enumerate().rev() {
        let mut required = required(node, &needs[index]);
        if required.len() != node.inputs.len() {
            let message = format!("the node type `{}` asks for the columns of another number of inputs", nodes[node.declaration].kind);
            let mut diagnostic = Diagnostic::error("internal", message).on_key();
            diagnostic.path.clone_from(&nodes[node.declaration].path);
            problems.push(diagnostic.help("this is a mistake in the operator's code, not in the topology"));
            required.resize_with(node.inputs.len(), Columns::new);
        }
        if nodes[node.declaration].common.on_bad_row == OnBadRow::Reject && shows_raw(node, &needs[index]) {
            // Whoever keeps a rejected row wants to send it again.
            for (columns, (writer, port)) in required.iter_mut().zip(&node.inputs) {
                columns.extend(came_with(&planned[*writer].plan.outputs[*port].stream));
            }
        }
        // Who hands rows on as they came from a source hands on their places, too.
        let passes_origin = needs[index].iter().zip(&node.plan.outputs).any(|(needs, output)| needs.origin && output.stream.from_source);
        for ((input, columns), (writer, port)) in node.plan.inputs.iter().zip(required).zip(&node.inputs) {
            let from_source = planned[*writer].plan.outputs[*port].stream.from_source;
            let needs = &mut needs[*writer][*port];
            needs.read = true;
            needs.origin |= from_source && (input.origin || passes_origin);
            needs.columns.extend(columns);
            if let Route::Key(key) = &input.route {
                needs.columns.extend(key.columns());
            }
        }
        for (needs, time) in needs[index].iter_mut().zip(&node.times) {
            needs.columns.extend(time.iter().flat_map(|time| time.columns().iter().cloned()));
        }
    }
    needs
}

/// Whether somebody reads what rejected rows of an operator were.
fn shows_raw(node: &Planned, needs: &[Needs]) -> bool {
    let rejected = node.plan.outputs.iter().position(|output| output.side.as_deref() == Some(REJECTED));
    rejected.is_some_and(|port| needs[port].columns.contains("raw"))
}

/// The columns of a row that is shown. Windows that follow from its time are none of them: a row would be one for each of its windows, and
/// late for each.
fn came_with(stream: &Stream) -> impl Iterator<Item = String> + '_ {
    let is_unjudged = stream.windowed.as_ref().is_some_and(|windowed| windowed.judge == Judge::Reader);
    let names = stream.schema.fields().iter().map(|field| field.name().clone());
    names.filter(move |name| !(is_unjudged && WINDOW_COLUMNS.contains(&name.as_str())))
}

fn required(node: &Planned, outputs: &[Needs]) -> Vec<Columns> {
    match &node.plan.make {
        Make::Source(_) => Vec::new(),
        Make::Operator(factory) => factory.required(&outputs.iter().map(|needs| needs.columns.clone()).collect::<Vec<_>>()),
        Make::Sink(factory) => vec![factory.required()],
    }
}

/// The columns of `schema` that are in `columns`, in its order.
pub(crate) fn physical(schema: &SchemaRef, columns: &Columns) -> SchemaRef {
    let fields = schema.fields().iter().filter(|field| columns.contains(field.name())).cloned();
    Arc::new(Schema::new_with_metadata(fields.collect::<Vec<_>>(), schema.metadata().clone()))
}

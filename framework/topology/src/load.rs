//! The way from a file to a topology that may run.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use millstream_api::plan::{Plan, Shape};
use millstream_api::registry::{Registry, Role};
use millstream_api::stream::Judge;
use millstream_api::{Diagnostic, Stream};

use crate::columns::{self, Needs};
use crate::declare::{Declaration, declare};
use crate::graph::{Input, Node, NodeOutput, SourceSettings, Topology};
use crate::plan::{Planned, Surroundings, plan};
use crate::report::{Lines, Problems, Report};
use crate::settings::Settings;
use crate::tree::{Place, Table};
use crate::windows::{self, Decision};
use crate::{later, layers, resolve, substitute, tree};

/// What came of reading a topology.
pub struct Outcome {
    /// The topology, if it may run.
    pub topology: Option<Topology>,
    /// All that was found, mistakes and warnings.
    pub report: Report,
}

/// Reads and checks a topology file. `env` are the environment's variables, `sets` the `key=value` of the command line.
pub fn load(path: &Path, env: &BTreeMap<String, String>, sets: &[String], registry: &Registry) -> Outcome {
    let name = path.display().to_string();
    let extension = path.extension().and_then(|extension| extension.to_str()).unwrap_or_default();
    if let Some(diagnostic) = later::file_format(extension) {
        return failed(&name, "", &Table::default(), diagnostic, None);
    }
    match std::fs::read_to_string(path) {
        Ok(text) => {
            let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
            load_text(&name, &text, folder, env, sets, registry)
        }
        Err(error) => {
            let diagnostic = Diagnostic::error("cannot-read", format!("the topology cannot be read: {error}"));
            failed(&name, "", &Table::default(), diagnostic.help("name a file that holds a topology"), None)
        }
    }
}

/// Checks the text of a topology file. `name` is how messages call it, relative paths in it start in `folder`.
pub fn load_text(name: &str, text: &str, folder: &Path, env: &BTreeMap<String, String>, sets: &[String], registry: &Registry) -> Outcome {
    let mut problems = Problems::default();
    // Some editors begin a file with a byte order mark; it is no part of the first line.
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let mut file = match tree::parse(text) {
        Ok(file) => file,
        Err(error) => {
            let diagnostic = Diagnostic { help: error.help, ..Diagnostic::error("syntax", error.message) };
            return failed(name, text, &Table::default(), diagnostic, Some(Place::File(error.span)));
        }
    };
    substitute::substitute(&mut file, env, &mut Vec::new(), &mut problems);
    let root = layers::merge(&file, env, sets, &mut problems);
    let topology = check(&root, Source { name, text, folder }, registry, &mut problems);
    Outcome { topology: topology.filter(|_| !problems.has_errors()), report: problems.into_report(name, text, &root) }
}

fn failed(name: &str, text: &str, root: &Table, diagnostic: Diagnostic, place: Option<Place>) -> Outcome {
    let mut problems = Problems::default();
    match place {
        Some(place) => problems.push_at(diagnostic, place),
        None => problems.push(diagnostic),
    }
    Outcome { topology: None, report: problems.into_report(name, text, root) }
}

struct Source<'a> {
    name: &'a str,
    text: &'a str,
    folder: &'a Path,
}

/// Everything behind the layers. Gives a topology whenever all nodes could be planned; whether it may run is for the problems to say.
fn check(root: &Table, source: Source<'_>, registry: &Registry, problems: &mut Problems) -> Option<Topology> {
    let settings = Settings::read(root, problems);
    let nodes = declare(root, registry, problems);
    if nodes.is_empty() && !problems.has_errors() {
        problems
            .push(Diagnostic::error("no-nodes", "the topology has no nodes").help("add a source and a sink: [sources.NAME], [sinks.NAME]"));
    }
    let graph = resolve::resolve(&nodes, problems);
    let around =
        Surroundings { folder: source.folder, workers: settings.runtime.workers.get(), key_groups: settings.runtime.key_groups.get() };
    let planned = plan(&nodes, &graph, &around, problems);
    // A reader with a misspelt name would make another node look unread.
    if !problems.has("unknown-stream") {
        let has_main = planned.iter().map(|node| (node.declaration, node.has_main())).collect();
        resolve::warn_of_unread(&nodes, &has_main, problems);
    }
    let needs = columns::needs(&nodes, &planned, problems);
    let decisions = windows::decide(&nodes, &planned, &needs, problems);
    if planned.len() < nodes.len() {
        return None;
    }
    let lines = Lines::new(source.text);
    let nodes = planned
        .into_iter()
        .zip(needs.iter().zip(&decisions))
        .map(|(planned, (needs, decisions))| node(&nodes[planned.declaration], planned, needs, decisions, &lines))
        .collect();
    let Settings { name, runtime, server } = settings;
    Some(Topology { name, file: PathBuf::from(source.name), runtime, server, nodes })
}

fn node(declaration: &Declaration<'_>, planned: Planned, needs: &[Needs], decisions: &[Decision], lines: &Lines<'_>) -> Node {
    let Planned { plan, inputs, names, times, parallelism, .. } = planned;
    let outputs = names
        .into_iter()
        .zip(&plan.outputs)
        .zip(needs.iter().zip(decisions))
        .map(|((name, output), (needs, decision))| output_of(name, &output.stream, needs, *decision))
        .collect();
    let routes = plan.inputs.iter().map(|input| input.route.clone());
    Node {
        name: declaration.name.clone(),
        kind: declaration.kind.clone(),
        role: declaration.role,
        line: match &declaration.place {
            Place::File(span) => lines.line(span.start),
            Place::Layer(_) => 1,
        },
        parallelism,
        on_bad_row: declaration.common.on_bad_row,
        description: declaration.common.description.clone(),
        inputs: inputs.into_iter().zip(routes).map(|((node, port), route)| Input { node, port, route }).collect(),
        outputs,
        source: (declaration.role == Role::Source).then(|| source_settings(declaration, times, &plan)),
        plan,
    }
}

fn output_of(name: String, stream: &Stream, needs: &Needs, decision: Decision) -> NodeOutput {
    let mut stream = stream.clone();
    if let Some(windowed) = &mut stream.windowed {
        windowed.explicit = decision.explicit;
        windowed.judge = if decision.judged { Judge::Done } else { Judge::Reader };
    }
    let shape = Shape {
        schema: columns::physical(&stream.schema, &needs.columns),
        explicit_windows: decision.explicit,
        judge: decision.judge,
        origin: needs.origin,
        read: needs.read,
    };
    NodeOutput { name, stream, shape }
}

fn source_settings(declaration: &Declaration<'_>, times: Vec<Option<millstream_expr::Scalar>>, plan: &Plan) -> SourceSettings {
    let time = declaration.common.time.as_ref();
    SourceSettings {
        times,
        max_delay: time.map(|time| time.max_delay).unwrap_or_default(),
        idle_after: time.and_then(|time| time.idle_after),
        on_null: time.map(|time| time.on_null).unwrap_or_default(),
        rate: declaration.common.rate.map(std::num::NonZeroUsize::get),
        // Planning has put it last.
        rejected_port: plan.outputs.len().saturating_sub(1),
    }
}

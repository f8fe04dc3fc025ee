//! A topology of which every node could be planned, before it is fixed which columns flow and who judges lateness.
//!
//! That depends on who reads: a test reads more than the file itself says, so one file gives a topology to run and another one
//! for each of its tests.

use std::path::{Path, PathBuf};

use millstream_api::meaning::Meaning;
use millstream_api::options::{Pace, StateHome};
use millstream_api::plan::{Plan, Shape};
use millstream_api::registry::{Registry, Role};
use millstream_api::stream::Judge;
use millstream_api::time::DurationText;
use millstream_api::{Diagnostic, Stream};

use crate::cases::{Streams, Tap};
use crate::checkpoint;
use crate::columns::{self, Needs};
use crate::declare::{Declaration, declare};
use crate::files::shared_paths;
use crate::graph::{Input, Node, NodeOutput, SourceSettings, Topology};
use crate::meaning;
use crate::plan::{Planned, Surroundings, plan};
use crate::report::{Lines, Problems};
use crate::resolve;
use crate::secret::Secrets;
use crate::settings::Settings;
use crate::signature;
use crate::tables;
use crate::tree::{Place, Table};
use crate::windows::{self, Decision};

/// Where a topology was read from.
#[derive(Clone, Copy)]
pub(crate) struct Source<'a> {
    /// How messages call it.
    pub name: &'a str,
    pub text: &'a str,
    /// Where relative paths start.
    pub folder: &'a Path,
    /// Whether a test stands in the place of sources and sinks: then no path is looked at.
    pub replaced: bool,
}

/// Everything that is known of a topology whose nodes could all be planned.
pub(crate) struct Checked<'r> {
    file: PathBuf,
    folder: PathBuf,
    settings: Settings,
    secrets: Secrets,
    checkpoint_line: usize,
    lines: Vec<usize>,
    pub nodes: Vec<Declaration<'r>>,
    pub planned: Vec<Planned>,
    pub decisions: Vec<Vec<Decision>>,
}

impl<'r> Checked<'r> {
    /// Everything behind the layers. Gives a topology whenever all nodes could be planned; whether it may run is for the
    /// problems to say.
    pub fn check(root: &Table, source: Source<'_>, registry: &'r Registry, problems: &mut Problems) -> Option<Checked<'r>> {
        let mut settings = Settings::read(root, problems);
        if source.replaced {
            // One subtask each, so that the order of rows depends on nothing but the test.
            settings.runtime.workers = std::num::NonZeroUsize::MIN;
            settings.runtime.linger = DurationText::default();
        }
        let nodes = declare(root, registry, problems);
        if nodes.is_empty() && !problems.has_errors() {
            problems.push(
                Diagnostic::error("no-nodes", "the topology has no nodes").help("add a source and a sink: [sources.NAME], [sinks.NAME]"),
            );
        }
        let graph = resolve::resolve(&nodes, problems);
        let around = Surroundings {
            folder: source.folder,
            workers: settings.runtime.workers.get(),
            key_groups: settings.runtime.key_groups.get(),
            replaced: source.replaced,
        };
        let mut planned = plan(&nodes, &graph, &around, problems);
        tables::tables(&nodes, &mut planned, problems);
        if root.field("checkpoint").is_none() {
            checkpoint::refuse_without(&nodes, &planned, problems);
        }
        if !around.replaced {
            shared_paths(&nodes, &planned, problems);
        }
        // A reader with a misspelt name would make another node look unread.
        if !problems.has("unknown-stream") {
            let has_main = planned.iter().map(|node| (node.declaration, node.has_main())).collect();
            resolve::warn_of_unread(&nodes, &has_main, problems);
        }
        let needs = columns::needs(&nodes, &planned, &[], problems);
        let decisions = windows::decide(&nodes, &planned, &needs, problems);
        if planned.len() < nodes.len() || planned.iter().any(|node| node.mended) {
            return None;
        }
        let lines = Lines::new(source.text);
        let checkpoint_line = root.field("checkpoint").map_or(1, |field| line(&field.key_place, &lines));
        let lines = nodes.iter().map(|node| line(&node.place, &lines)).collect();
        let (file, folder) = (PathBuf::from(source.name), source.folder.to_path_buf());
        Some(Checked { file, folder, settings, secrets: problems.secrets().clone(), checkpoint_line, lines, nodes, planned, decisions })
    }

    /// The topology's name.
    pub fn name(&self) -> &str {
        &self.settings.name
    }

    /// What tests can name.
    pub fn streams(&self) -> Streams<'_> {
        Streams { nodes: &self.nodes, planned: &self.planned }
    }

    /// The topology, with these taps as further readers. Neither needs nor decisions can find new mistakes here.
    pub fn topology(&self, taps: &[Tap]) -> Topology {
        let mut unheard = Problems::default();
        let needs = columns::needs(&self.nodes, &self.planned, taps, &mut unheard);
        let planned = self.planned.iter().zip(needs.iter().zip(&self.decisions));
        let mut nodes: Vec<Node> = planned.map(|(planned, (needs, decisions))| self.node(planned.clone(), needs, decisions)).collect();
        let options: Vec<_> =
            self.planned.iter().map(|planned| self.nodes[planned.declaration].options.as_ref().map(|(_, options)| options)).collect();
        meaning::tell(&mut nodes, &options, &needs);
        signature::sign(&mut nodes, &options);
        nodes.extend(taps.iter().map(Tap::node));
        let Settings { name, runtime, checkpoint, server } = self.settings.clone();
        let (file, folder, secrets) = (self.file.clone(), self.folder.clone(), self.secrets.clone());
        Topology { name, file, folder, runtime, checkpoint, checkpoint_line: self.checkpoint_line, server, secrets, nodes }
    }

    fn node(&self, planned: Planned, needs: &[Needs], decisions: &[Decision]) -> Node {
        let Planned { declaration: index, plan, inputs, names, times, parallelism, feeds_table, .. } = planned;
        let declaration = &self.nodes[index];
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
            line: self.lines[index],
            parallelism,
            on_disk: declaration.common.state.unwrap_or(self.settings.runtime.state) == StateHome::Disk && plan.can_leave_memory(),
            on_bad_row: declaration.common.on_bad_row,
            description: declaration.common.description.clone(),
            inputs: inputs.into_iter().zip(routes).map(|((node, port), route)| Input { node, port, route }).collect(),
            outputs,
            feeds_table,
            meaning: Meaning::default(),
            signature: None,
            source: (declaration.role == Role::Source).then(|| source_settings(declaration, times, &plan)),
            plan,
        }
    }
}

fn line(place: &Place, lines: &Lines<'_>) -> usize {
    match place {
        Place::File(span) => lines.line(span.start),
        Place::Layer(_) => 1,
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
        max_ahead: time.and_then(|time| time.max_ahead),
        on_null: time.map(|time| time.on_null).unwrap_or_default(),
        rate: declaration.common.rate.map(std::num::NonZeroUsize::get),
        replay_speed: time.and_then(|time| time.pace.map(|Pace::Event| time.speed.unwrap_or(1.0))),
        // Planning has put it last.
        rejected_port: plan.outputs.len().saturating_sub(1),
    }
}

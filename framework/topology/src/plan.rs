//! Forward over the graph: every node is planned from the streams that it reads.
//!
//! A node that fails is planned without its mistake, if that is possible ([`crate::mend`]). Otherwise it is left out, and so is everything
//! behind it: what they would say of a stream that is not there would only hide the mistake that matters.

use std::collections::{BTreeMap, BTreeSet};
use std::num::NonZeroUsize;
use std::path::Path;

use millstream_api::diagnostic::{Key, nearest};
use millstream_api::options::{OnBadRow, StateHome};
use millstream_api::plan::{Inputs, Make, OutputPlan, Parallelism, Plan, Route, rejected_schema};
use millstream_api::registry::Role;
use millstream_api::types::{SqlName, timestamp_type};
use millstream_api::{Diagnostic, Diagnostics, Stream};
use millstream_expr::Scalar;

use crate::declare::{Declaration, InputDeclaration};
use crate::mend;
use crate::report::Problems;
use crate::resolve::Graph;

/// A node that could be planned.
#[derive(Clone)]
pub(crate) struct Planned {
    /// Its index among the declarations.
    pub declaration: usize,
    pub plan: Plan,
    /// Node (an index of the planned ones) and port of each input.
    pub inputs: Vec<(usize, usize)>,
    /// The full names of its streams.
    pub names: Vec<String>,
    /// Of a source: the event time of each output.
    pub times: Vec<Option<Scalar>>,
    pub parallelism: usize,
    /// Whether it feeds a table that is read first.
    pub feeds_table: bool,
    /// Whether it has a mistake, and this is what it would be without.
    pub mended: bool,
    /// Whether columns of its streams are not known, because of a mistake in it or before it.
    pub has_gaps: bool,
}

impl Planned {
    /// Whether there is a stream under the node's own name.
    pub fn has_main(&self) -> bool {
        self.plan.outputs.iter().any(|output| output.side.is_none())
    }
}

/// What planning needs beside the graph.
pub(crate) struct Surroundings<'a> {
    /// Where relative paths start.
    pub folder: &'a Path,
    /// `runtime.workers`.
    pub workers: usize,
    /// `runtime.key_groups`.
    pub key_groups: u16,
    /// Whether a test stands in the place of sources and sinks.
    pub replaced: bool,
}

/// Plans all nodes that can be planned, in the graph's order.
pub(crate) fn plan(nodes: &[Declaration<'_>], graph: &Graph, around: &Surroundings<'_>, problems: &mut Problems) -> Vec<Planned> {
    let mut forward = Forward {
        nodes,
        around,
        planned: Vec::new(),
        place: vec![None; nodes.len()],
        streams: BTreeMap::new(),
        unknown: BTreeSet::new(),
        problems,
    };
    for index in &graph.order {
        forward.node(*index, &graph.writers[*index]);
    }
    let mut planned = forward.planned;
    keep_order(nodes, &mut planned, problems);
    if !around.replaced {
        warn_of_distance(nodes, &planned, problems);
    }
    planned
}

/// Splits that meet in a node may be far apart in event time: what the fast one brings must be kept until the slow one comes.
fn warn_of_distance(nodes: &[Declaration<'_>], planned: &[Planned], problems: &mut Problems) {
    let mut sources: Vec<BTreeSet<usize>> = Vec::with_capacity(planned.len());
    for (index, node) in planned.iter().enumerate() {
        let declaration = &nodes[node.declaration];
        // Of a table that is looked up no time is compared.
        let timed_inputs = node.inputs.iter().filter(|(writer, _)| !sources[*writer].is_empty()).count();
        let mut of_node: BTreeSet<usize> = node.inputs.iter().flat_map(|(writer, _)| sources[*writer].iter().copied()).collect();
        if declaration.common.time.is_some() {
            of_node.insert(index);
        }
        let splits: usize = of_node.iter().map(|&source| planned[source].plan.outputs[0].stream.splits).sum();
        let free = of_node.iter().map(|&source| &nodes[planned[source].declaration]);
        let free: Vec<&Declaration<'_>> =
            free.filter(|source| source.common.time.as_ref().is_some_and(|t| t.max_ahead.is_none())).collect();
        if timed_inputs > 1
            && splits > 1
            && let Some(first) = free.first()
        {
            let names: Vec<String> = free.iter().map(|source| format!("`{}`", source.name)).collect();
            let message = format!("nothing keeps {} from running far ahead of what it meets in `{}`", names.join(" or "), declaration.name);
            let help = format!("say how far with max_ahead, for example [sources.{}] time = {{ …, max_ahead = \"1h\" }}", first.name);
            let mut diagnostic = Diagnostic::warning("no-max-ahead", message).on_key().help(help);
            diagnostic.path.clone_from(&declaration.path);
            problems.push(diagnostic);
        }
        sources.push(of_node);
    }
}

/// Gives one subtask to every node through which rows come that a reader needs in the order of their source.
fn keep_order(nodes: &[Declaration<'_>], planned: &mut [Planned], problems: &mut Problems) {
    let mut wanted: Vec<Option<usize>> = vec![None; planned.len()];
    for reader in (0..planned.len()).rev() {
        let Some(wanted_by) = (if planned[reader].plan.in_order { Some(reader) } else { wanted[reader] }) else { continue };
        for &(writer, port) in &planned[reader].inputs {
            if planned[writer].plan.outputs[port].stream.from_source && !planned[writer].inputs.is_empty() {
                wanted[writer] = Some(wanted_by);
            }
        }
    }
    for (index, wanted_by) in wanted.iter().enumerate().filter_map(|(index, by)| Some((index, (*by)?))) {
        let node = &nodes[planned[index].declaration];
        planned[index].parallelism = 1;
        if node.common.parallelism.is_some_and(|wanted| wanted.get() > 1) {
            let reader = &nodes[planned[wanted_by].declaration].name;
            let message = format!("`{}` can have at most 1 subtask: `{reader}` needs rows in the order of their source", node.name);
            let mut diagnostic = Diagnostic::error("bad-parallelism", message).key("parallelism").help("leave `parallelism` out");
            diagnostic.path = node.path.iter().cloned().chain(diagnostic.path).collect();
            problems.push(diagnostic);
        }
    }
}

struct Forward<'a, 'r> {
    nodes: &'a [Declaration<'r>],
    around: &'a Surroundings<'a>,
    planned: Vec<Planned>,
    /// Where in `planned` a declaration is.
    place: Vec<Option<usize>>,
    /// Node and port of every stream.
    streams: BTreeMap<String, (usize, usize)>,
    /// Columns that are not known, because of a mistake where they are made.
    unknown: BTreeSet<String>,
    problems: &'a mut Problems,
}

impl Forward<'_, '_> {
    fn node(&mut self, index: usize, writers: &[Option<usize>]) {
        let node = &self.nodes[index];
        // All inputs are looked up, also after one is missing, and of nodes that are wrong themselves.
        let inputs: Vec<Option<(usize, usize)>> =
            node.inputs.iter().zip(writers).map(|(input, writer)| self.input(node, input, (*writer)?)).collect();
        let Some(inputs) = inputs.into_iter().collect::<Option<Vec<_>>>() else { return };
        let described = Inputs {
            name: &node.name,
            streams: node.inputs.iter().zip(&inputs).map(|(input, at)| (input.stream.clone(), self.stream(*at).clone())).collect(),
            on_bad_row: node.common.on_bad_row,
            folder: self.around.folder.to_path_buf(),
        };
        let has_gaps = inputs.iter().any(|(writer, _)| self.planned[*writer].has_gaps);
        let Some((mut plan, unknown)) = self.node_plan(node, &described, has_gaps) else { return };
        let mended = unknown.is_some();
        let has_gaps = has_gaps || unknown.as_ref().is_some_and(|unknown| !unknown.is_empty());
        self.unknown.extend(unknown.into_iter().flatten());
        let warnings = std::mem::take(&mut plan.warnings);
        if !mended {
            self.note(node, warnings);
        }
        if let Some(fault) = fault(node, &plan) {
            return self.note(node, fault.into());
        }
        if let Some(mistake) = stays_in_memory(node, &plan).filter(|_| !mended) {
            self.note(node, mistake.into());
        }
        if let Some(warning) = writes_all(node, &plan) {
            self.note(node, warning.into());
        }
        let times = if node.role == Role::Source { self.event_times(node, &mut plan) } else { Vec::new() };
        let parallelism = self.parallelism(node, &plan);
        let names: Vec<String> = plan.outputs.iter().map(|output| full_name(&node.name, output)).collect();
        for (port, name) in names.iter().enumerate() {
            self.streams.entry(name.clone()).or_insert((self.planned.len(), port));
        }
        self.place[index] = Some(self.planned.len());
        let planned = Planned { declaration: index, plan, inputs, names, times, parallelism, feeds_table: false, mended, has_gaps };
        self.planned.push(planned);
    }

    /// The plan of a node, with its mistakes noted. Where there are some: the plan that it would have without them, and the columns that
    /// this lacks.
    fn node_plan(&mut self, node: &Declaration<'_>, inputs: &Inputs<'_>, has_gaps: bool) -> Option<(Plan, Option<BTreeSet<String>>)> {
        let replaced = self.around.replaced && node.role != Role::Operator;
        let (node_type, options) = node.options.as_ref().or(node.mended.as_ref())?;
        let is_whole = node.options.is_some();
        let planned = match replaced || (!is_whole && node.role == Role::Source) {
            true => node_type.plan_replaced(options.clone(), inputs),
            false => node_type.plan(options.clone(), inputs),
        };
        let mistakes = match planned {
            Ok(plan) => return Some((plan, (!is_whole).then(BTreeSet::new))),
            Err(mistakes) => mistakes,
        };
        let told = mistakes.0.iter().filter(|mistake| is_whole && !has_gaps || mend::counts(mistake, &self.unknown));
        self.note(node, Diagnostics(told.cloned().collect()));
        if node.role == Role::Sink {
            return None;
        }
        let mended = mend::mended(node_type, options, mistakes, inputs)?;
        Some((mended.plan, Some(mended.unknown)))
    }

    fn stream(&self, (node, port): (usize, usize)) -> &Stream {
        &self.planned[node].plan.outputs[port].stream
    }

    fn note(&mut self, node: &Declaration<'_>, mistakes: Diagnostics) {
        for mut diagnostic in mistakes.0 {
            diagnostic.path = node.path.iter().cloned().chain(diagnostic.path).collect();
            self.problems.push(diagnostic);
        }
    }

    /// Where an input comes from; none when its writer failed or has no such stream.
    fn input(&mut self, node: &Declaration<'_>, input: &InputDeclaration, writer: usize) -> Option<(usize, usize)> {
        let planned = &self.planned[self.place[writer]?];
        let found = self.streams.get(&input.stream).copied().filter(|(node, _)| Some(*node) == self.place[writer]);
        if found.is_none() {
            let message = format!("`{}` reads `{}`, which `{}` does not define", node.name, input.stream, self.nodes[writer].name);
            let help = match nearest(&input.stream, planned.names.iter().map(String::as_str)) {
                Some(near) => format!("did you mean `{near}`? it defines {}", planned.names.join(", ")),
                None => format!("it defines {}", planned.names.join(", ")),
            };
            let mut diagnostic = Diagnostic::error("unknown-stream", message).help(help).text(0..input.stream.len());
            diagnostic.path.clone_from(&input.path);
            self.problems.push(diagnostic);
        }
        found
    }

    /// Gives the streams of a source their event time, and the source its stream of rejected rows.
    fn event_times(&mut self, node: &Declaration<'_>, plan: &mut Plan) -> Vec<Option<Scalar>> {
        if node.common.time.as_ref().is_some_and(|time| time.speed.is_some() && time.pace.is_none()) {
            self.note(node, speed_without_pace().into());
        }
        // What cannot be listed now is one, and will be an error of the run.
        let splits = match &plan.make {
            Make::Source(factory) => factory.splits().map_or(1, |splits| splits.len().max(1)),
            _ => 1,
        };
        let mut times = Vec::new();
        for output in &mut plan.outputs {
            output.stream.splits = splits;
            output.stream.event_time = node.common.time.is_some() || node.common.time_is_wrong;
            output.stream.from_source = true;
            let time = node.common.time.as_ref().map(|time| event_time(&time.by, &output.stream));
            times.push(match time.transpose() {
                Ok(time) => {
                    if time.as_ref().is_some_and(|time| time.columns().is_empty()) {
                        self.note(node, watermark_stands(&node.name).into());
                    }
                    time
                }
                Err(mistake) => {
                    if mend::counts(&mistake, &self.unknown) {
                        self.note(node, under(mistake, "time").into());
                    }
                    None
                }
            });
        }
        let rejected = Stream { bounded: plan.outputs.iter().all(|output| output.stream.bounded), ..Stream::plain(rejected_schema()) };
        plan.outputs.push(OutputPlan::side(REJECTED, rejected));
        times.push(None);
        times
    }

    /// How many subtasks a node has. More than there are key groups would have nothing to do.
    fn parallelism(&mut self, node: &Declaration<'_>, plan: &Plan) -> usize {
        let keyed = plan.inputs.iter().any(|input| matches!(input.route, Route::Key(_)));
        let most = if keyed { usize::from(self.around.key_groups) } else { SUBTASKS };
        let (most, why) = match plan.parallelism {
            _ if node.role == Role::Source => (1, "a source reads with one"),
            Parallelism::One(reason) => (1, reason),
            Parallelism::Any if keyed => (most, "there are no more key groups (`runtime.key_groups`)"),
            Parallelism::Any => (most, "more would be of no use"),
        };
        let wanted = node.common.parallelism.map(NonZeroUsize::get);
        if wanted.is_some_and(|wanted| wanted > most) {
            let subtasks = if most == 1 { "1 subtask".to_owned() } else { format!("{most} subtasks") };
            let message = format!("`{}` can have at most {subtasks}: {why}", node.name);
            let help = if most == 1 { "leave `parallelism` out".to_owned() } else { format!("write parallelism = {most} or less") };
            self.note(node, Diagnostic::error("bad-parallelism", message).key("parallelism").help(help).into());
        }
        wanted.unwrap_or(self.around.workers).min(most)
    }
}

/// More subtasks no node has.
const SUBTASKS: usize = 1024;

/// The side stream that every source has.
pub(crate) const REJECTED: &str = "rejected";

fn full_name(node: &str, output: &OutputPlan) -> String {
    match &output.side {
        None => node.to_owned(),
        Some(side) => format!("{node}.{side}"),
    }
}

fn event_time(by: &str, stream: &Stream) -> Result<Scalar, Diagnostic> {
    let scalar = Scalar::parse(by, &stream.schema).map_err(|mistake| mistake.at("by"))?;
    let found = scalar.field().data_type();
    if *found == timestamp_type() {
        return Ok(scalar);
    }
    let message = format!("event time must be a timestamp, `{by}` is {}", SqlName(found));
    let help = "declare the column as timestamp, or as timestamp(s), timestamp(ms) … when it is a number";
    Err(Diagnostic::error("type-mismatch", message).key("by").text(0..by.len()).help(help))
}

/// Event time that no column has a part in.
fn watermark_stands(source: &str) -> Diagnostic {
    let message = format!("every row of `{source}` has the same event time, so that its watermark can never advance");
    let help = "name the column that says when a row happened: no window behind it closes before the input ends";
    Diagnostic::warning("watermark-stands", message).key("time").key("by").help(help)
}

fn speed_without_pace() -> Diagnostic {
    let diagnostic = Diagnostic::error("unused-key", "`speed` means nothing without `pace`").key("time").key("speed").on_key();
    diagnostic.help("write pace = \"event\" beside it, or leave it out")
}

fn under(mut diagnostic: Diagnostic, key: &str) -> Diagnostic {
    diagnostic.path.insert(0, Key::Name(key.to_owned()));
    diagnostic
}

/// State that is wanted on disk and cannot go there.
fn stays_in_memory(node: &Declaration<'_>, plan: &Plan) -> Option<Diagnostic> {
    if node.common.state != Some(StateHome::Disk) || plan.can_leave_memory() {
        return None;
    }
    let (message, help) = if plan.state.iter().any(|state| state.keyed) {
        let bound = plan.bound.as_ref().map_or(String::new(), |bound| format!("what bounds it: {bound}; "));
        let message = format!("the state of `{}` cannot go to disk", node.name);
        (message, format!("{bound}leave `state` out, or see docs/topology.md for what can go there"))
    } else {
        (format!("`{}` has no keyed state", node.name), "leave `state` out".to_owned())
    };
    Some(Diagnostic::error("state-in-memory", message).key("state").help(help))
}

/// A policy for rows that cannot be written, of a sink that can write any.
fn writes_all(node: &Declaration<'_>, plan: &Plan) -> Option<Diagnostic> {
    let Make::Sink(factory) = &plan.make else { return None };
    if node.common.on_bad_row == OnBadRow::Fail || factory.has_bad_rows() {
        return None;
    }
    let message = format!("a sink `{}` can write any row that comes to it: `on_bad_row` does nothing", node.kind);
    Some(Diagnostic::warning("unused-key", message).key("on_bad_row").on_key().help("leave it out"))
}

/// A mistake of a node type's author that would be trouble later on.
fn fault(node: &Declaration<'_>, plan: &Plan) -> Option<Diagnostic> {
    let mut names: Vec<String> = plan.outputs.iter().map(|output| full_name("", output)).collect();
    names.sort();
    let repeated = names.windows(2).any(|pair| pair[0] == pair[1]);
    let made = match plan.make {
        Make::Source(_) => Role::Source,
        Make::Operator(_) => Role::Operator,
        Make::Sink(_) => Role::Sink,
    };
    let what = if made != node.role {
        "makes another kind of node than it is registered for"
    } else if plan.inputs.len() != node.inputs.len() {
        "plans another number of inputs than it reads"
    } else if (node.role == Role::Sink) != plan.outputs.is_empty() {
        "is a sink with streams of its own or defines no stream"
    } else if repeated || (node.role == Role::Source && names.iter().any(|name| name == ".rejected")) {
        "defines a stream twice"
    } else {
        return None;
    };
    let message = format!("the node type `{}` {what}", node.kind);
    Some(Diagnostic::error("internal", message).on_key().help("this is a mistake in the operator's code, not in the topology"))
}

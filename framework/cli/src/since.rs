//! What a run that goes on from a checkpoint does about input that has changed since.
//!
//! A source that was read to its end is over, and with it what it alone feeds: windows have closed, sums are final. So rows that it
//! has since are read only where nobody downstream has drawn a conclusion from the end, or when the user says so. A table of a
//! lookup is another matter: a row finds what is there when it comes. So a table whose files have changed is read anew.

use std::collections::BTreeSet;

use millstream_api::EventTime;
use millstream_api::error::Result;
use millstream_api::plan::Make;
use millstream_api::registry::Role;
use millstream_api::source::{Since, SplitStand};
use millstream_state::{JobSnapshot, SplitSnapshot};
use millstream_topology::{Input, Node, Topology};

/// What has changed, and what is to be done about it.
#[derive(Default)]
pub struct Changed {
    /// What is said before the run begins.
    pub notes: Vec<String>,
    /// What is lost, and needs a word from the user.
    pub losses: Vec<String>,
    /// What is otherwise in the input, and not read by a run that has finished.
    pub input: Vec<String>,
    /// Sources whose places are given up because all of them is read anew.
    pub anew: BTreeSet<String>,
    /// Nodes that were over, and are no longer.
    open: BTreeSet<String>,
    /// Sources of the tables that such lookups had.
    again: BTreeSet<usize>,
    steps: Vec<Step>,
}

enum Step {
    /// The source begins there; at its beginning where there are no splits.
    Read(String, Vec<SplitSnapshot>),
    /// The node was over, and is no longer. Sinks keep what they know.
    Reopen { node: String, keeps_state: bool },
    /// The table of the node comes again.
    Empty(String),
}

impl Changed {
    /// Asks all sources but those whose state is `lost` anyway.
    ///
    /// # Errors
    /// When a source cannot say what splits it has.
    pub fn of(topology: &Topology, snapshot: &JobSnapshot, lost: &[String]) -> Result<Changed> {
        let mut found = Changed::default();
        let mut tables = Vec::new();
        for (index, node) in topology.nodes.iter().enumerate() {
            let Make::Source(factory) = &node.plan.make else { continue };
            if !snapshot.has(&node.name) || lost.contains(&node.name) {
                continue;
            }
            let since = factory.since(&stands(snapshot, &node.name))?;
            let unread = (!since.unread.is_empty()).then(|| format!("`{}` has not read {}", node.name, listed(&since.unread)));
            let changed = since.changed.iter().map(|what| format!("`{}` has read what has changed since: {what}", node.name));
            found.input.extend(unread.into_iter().chain(changed));
            match tables_of(topology, index) {
                Some(_) => tables.extend(since.is_other.then_some(index)),
                None => found.source(topology, snapshot, index, since),
            }
        }
        found.tables(topology, snapshot, &tables);
        Ok(found)
    }

    /// Does it.
    pub fn apply(&self, snapshot: &mut JobSnapshot) {
        for step in &self.steps {
            match step {
                Step::Read(node, splits) => snapshot.read_from(node, splits.clone()),
                Step::Reopen { node, keeps_state } => snapshot.reopen(node, *keeps_state),
                Step::Empty(node) => snapshot.empty(node),
            }
        }
    }

    /// A source whose rows go on to sinks.
    fn source(&mut self, topology: &Topology, snapshot: &JobSnapshot, index: usize, since: Since) {
        let name = &topology.nodes[index].name;
        self.losses.extend(
            since.changed.iter().map(|what| format!("`{name}` has read what has changed since: {what}; what is new in it is not read")),
        );
        if since.unread.is_empty() {
            return;
        }
        let files = listed(&since.unread);
        if !snapshot.has_ended(name) {
            self.losses.push(format!("`{name}` is past {files}, which came later: it is not read"));
            return;
        }
        let reached = downstream(topology, index);
        let answering: BTreeSet<usize> =
            reached.iter().copied().filter(|lookup| answers_on(topology, snapshot, (index, &reached), *lookup)).collect();
        let concludes = |at: &usize| {
            let node = &topology.nodes[*at];
            node.role == Role::Operator && !node.plan.state.is_empty() && !answering.contains(at)
        };
        let concluded: Vec<&str> = reached.iter().filter(|node| concludes(node)).map(|node| topology.nodes[*node].name.as_str()).collect();
        match concluded.is_empty() {
            true => self.notes.push(format!("`{name}` was read to its end, and goes on with what came since: {files}")),
            false => self.losses.push(format!(
                "`{name}` was read to its end, which is final for {}; there is more since: {files}. To read it, what has ended begins anew",
                listed(&concluded)
            )),
        }
        let greatest = snapshot.positions(name).iter().map(|split| split.greatest).max().unwrap_or(EventTime::MIN);
        let on = since.on.into_iter().map(|SplitStand { split, position, ended }| SplitSnapshot { split, position, greatest, ended });
        self.steps.push(Step::Read(name.clone(), on.collect()));
        self.anew.insert(name.clone());
        for at in reached {
            let Node { name, role, .. } = &topology.nodes[at];
            if snapshot.has_ended(name) {
                self.steps.push(Step::Reopen { node: name.clone(), keeps_state: *role == Role::Sink });
                self.open.insert(name.clone());
                self.again.extend(answering.contains(&at).then(|| sources_of(topology, at)).into_iter().flatten());
            }
        }
    }

    /// Tables whose files have changed are read anew, with all sources that they are made of; and those of lookups that were over.
    fn tables(&mut self, topology: &Topology, snapshot: &JobSnapshot, changed: &[usize]) {
        let again = std::mem::take(&mut self.again);
        for source in changed.iter().copied().chain(again) {
            let name = &topology.nodes[source].name;
            if self.anew.contains(name) {
                continue;
            }
            let tables = Tables::of(topology, source);
            if let Some(why) = tables.why_not(topology, |node| snapshot.has_ended(node) && !self.open.contains(node)) {
                self.notes.push(format!("`{name}` has changed since it was read, and what is in its table stays as it was: {why}"));
                continue;
            }
            let names = |nodes: &BTreeSet<usize>| nodes.iter().map(|node| topology.nodes[*node].name.clone()).collect::<Vec<_>>();
            let why = if changed.contains(&source) { "has changed since it was read" } else { "is needed once more" };
            self.notes.push(format!("`{name}` {why}: the table of {} is read anew", listed(&names(&tables.lookups))));
            for source in names(&tables.sources) {
                self.steps.push(Step::Read(source.clone(), Vec::new()));
                self.anew.insert(source);
            }
            self.steps.extend(names(&tables.between).into_iter().map(|node| Step::Reopen { node, keeps_state: false }));
            self.steps.extend(names(&tables.lookups).into_iter().map(Step::Empty));
        }
    }
}

/// Tables that have sources in common.
#[derive(Default)]
struct Tables {
    sources: BTreeSet<usize>,
    /// What makes the tables of the sources.
    between: BTreeSet<usize>,
    /// Who looks rows up.
    lookups: BTreeSet<usize>,
}

impl Tables {
    /// Those that `source` has a part in, and all that have a part in those.
    fn of(topology: &Topology, source: usize) -> Tables {
        let mut found = Tables::default();
        let mut open = vec![source];
        while let Some(source) = open.pop() {
            if found.sources.insert(source) {
                let Some((between, lookups)) = tables_of(topology, source) else { continue };
                found.between.extend(between);
                open.extend(lookups.iter().flat_map(|lookup| sources_of(topology, *lookup)));
                found.lookups.extend(lookups);
            }
        }
        found
    }

    /// Why they cannot be made anew.
    fn why_not(&self, topology: &Topology, is_over: impl Fn(&str) -> bool) -> Option<String> {
        let name = |node: usize| &topology.nodes[node].name;
        if let Some(over) = self.lookups.iter().find(|lookup| is_over(name(**lookup))) {
            return Some(format!("`{}` has ended", name(*over)));
        }
        let elsewhere = self.sources.iter().find(|source| tables_of(topology, **source).is_none());
        elsewhere.map(|source| format!("`{}`, of which it is made too, has other readers", name(*source)))
    }
}

/// Whether a lookup that rows of a source come to takes no notice of the source's end: it answers each row by itself. Where it was over its
/// table is gone, and must be there to be read.
fn answers_on(topology: &Topology, snapshot: &JobSnapshot, (source, reached): (usize, &BTreeSet<usize>), lookup: usize) -> bool {
    let node = &topology.nodes[lookup];
    let Some(table) = node.plan.reads_first.and_then(|first| node.inputs.get(first)) else { return false };
    if table.node == source || reached.contains(&table.node) {
        return false;
    }
    let stays_over = |name: &str| snapshot.has_ended(name) && reached.iter().all(|node| topology.nodes[*node].name != name);
    let can_be_read = |source: usize| Tables::of(topology, source).why_not(topology, stays_over).is_none();
    !snapshot.has_ended(&node.name) || sources_of(topology, lookup).into_iter().all(can_be_read)
}

/// What lies between a source and the lookups whose tables it is a part of, and these; `None`: its rows go elsewhere, too. Rows
/// that it rejects do not count.
fn tables_of(topology: &Topology, source: usize) -> Option<(BTreeSet<usize>, BTreeSet<usize>)> {
    let (mut between, mut lookups) = (BTreeSet::new(), BTreeSet::new());
    let mut open = vec![source];
    while let Some(writer) = open.pop() {
        for (reader, input) in readers(topology, writer) {
            let node = &topology.nodes[reader];
            if node.role == Role::Sink {
                return None;
            }
            if node.plan.reads_first == Some(input) && !node.feeds_table {
                lookups.insert(reader);
            } else if between.insert(reader) {
                open.push(reader);
            }
        }
    }
    (!lookups.is_empty()).then_some((between, lookups))
}

/// Who reads the rows of a node, and by which of its inputs.
fn readers(topology: &Topology, writer: usize) -> impl Iterator<Item = (usize, usize)> + '_ {
    let is_read = move |input: &Input| input.node == writer && !topology.nodes[writer].outputs[input.port].name.ends_with(".rejected");
    let inputs = topology
        .nodes
        .iter()
        .enumerate()
        .flat_map(|(reader, node)| node.inputs.iter().enumerate().map(move |(at, input)| (reader, at, input)));
    inputs.filter(move |(_, _, input)| is_read(input)).map(|(reader, at, _)| (reader, at))
}

/// The sources that the table of a lookup is made of.
fn sources_of(topology: &Topology, lookup: usize) -> Vec<usize> {
    let node = &topology.nodes[lookup];
    let mut open: Vec<usize> = node.plan.reads_first.and_then(|first| node.inputs.get(first)).map(|input| input.node).into_iter().collect();
    let (mut seen, mut found) = (BTreeSet::new(), Vec::new());
    while let Some(at) = open.pop() {
        if seen.insert(at) {
            open.extend(topology.nodes[at].inputs.iter().map(|input| input.node));
            found.extend((topology.nodes[at].role == Role::Source).then_some(at));
        }
    }
    found
}

/// All that a node's rows come to, side streams too.
fn downstream(topology: &Topology, node: usize) -> BTreeSet<usize> {
    let mut found = BTreeSet::new();
    let mut open = vec![node];
    while let Some(writer) = open.pop() {
        let reading = topology.nodes.iter().enumerate().filter(|(_, node)| node.inputs.iter().any(|input| input.node == writer));
        open.extend(reading.map(|(reader, _)| reader).filter(|reader| found.insert(*reader)));
    }
    found
}

fn stands(snapshot: &JobSnapshot, source: &str) -> Vec<SplitStand> {
    let over = snapshot.has_ended(source);
    let stand = |SplitSnapshot { split, position, ended, .. }| SplitStand { split, position, ended: ended || over };
    snapshot.positions(source).into_iter().map(stand).collect()
}

/// What a source leaves behind.
pub struct Left {
    /// Its name.
    pub source: String,
    /// What it leaves.
    pub what: String,
    /// Whether anything is lost by that.
    pub loses: bool,
}

/// The sources that leave some of their input behind when one topology follows another, what they leave, and whether that loses anything.
///
/// # Errors
/// When a source cannot say what splits it has.
pub fn left_behind(old: &Topology, new: &Topology) -> Result<Vec<Left>> {
    let mut found = Vec::new();
    for (index, node) in new.nodes.iter().enumerate() {
        let before = old.nodes.iter().find(|before| before.name == node.name && before.kind == node.kind);
        let (Make::Source(now), Some(Make::Source(before))) = (&node.plan.make, before.map(|before| &before.plan.make)) else { continue };
        let (now, name) = (now.splits()?, &node.name);
        let lost: Vec<String> = before.splits()?.into_iter().filter(|split| !now.contains(split)).collect();
        if lost.is_empty() {
            continue;
        }
        let lost = listed(&lost);
        found.push(match tables_of(new, index).is_some() {
            true => Left { source: name.clone(), what: format!("`{name}` no longer reads {lost}: its table is read anew"), loses: false },
            false => Left {
                source: name.clone(),
                what: format!("`{name}` no longer reads {lost}, and forgets the place up to which it was read"),
                loses: true,
            },
        });
    }
    Ok(found)
}

/// Up to three of them, and how many more there are.
fn listed<T: AsRef<str>>(names: &[T]) -> String {
    const MOST: usize = 3;
    let shown: Vec<String> = names.iter().take(MOST).map(|name| format!("`{}`", name.as_ref())).collect();
    match names.len().saturating_sub(MOST) {
        0 => shown.join(", "),
        more => format!("{} and {more} more", shown.join(", ")),
    }
}

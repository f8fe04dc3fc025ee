//! Taps: where a test looks at a stream, without a change to what the topology computes.

use std::collections::BTreeSet;
use std::sync::Arc;

use millstream_api::diagnostic::Key;
use millstream_api::meaning::Meaning;
use millstream_api::options::OnBadRow;
use millstream_api::plan::{Columns, InputPlan, Make, Plan, Route, SinkContext, SinkFactory, WindowUse};
use millstream_api::registry::Role;
use millstream_api::{Diagnostic, Error, Result, Sink};

use super::read::Draft;
use crate::columns;
use crate::declare::Declaration;
use crate::graph::{Input, Node};
use crate::plan::Planned;
use crate::report::Problems;
use crate::windows::{self, Decision};

/// A stream that a test looks at.
pub(crate) struct Tap {
    /// The stream's name.
    pub stream: String,
    /// The node that defines it, as an index of the planned ones, and its port.
    pub place: (usize, usize),
    /// The columns that the test names.
    pub columns: Columns,
    /// The step that looks at it first.
    path: Vec<Key>,
    key: &'static str,
}

impl Tap {
    pub fn new(stream: &str, place: (usize, usize), path: &[Key], key: &'static str) -> Self {
        Tap { stream: stream.to_owned(), place, columns: Columns::new(), path: path.to_vec(), key }
    }

    /// The name of the node that reads the stream. Names in a file have no spaces.
    pub fn node_name(stream: &str) -> String {
        format!("tap of {stream}")
    }

    /// The node that reads the stream, to be put behind all others.
    pub fn node(&self) -> Node {
        let (node, port) = self.place;
        let factory = Arc::new(Place(self.columns.clone()));
        Node {
            name: Tap::node_name(&self.stream),
            kind: "tap".to_owned(),
            role: Role::Sink,
            line: 1,
            parallelism: 1,
            on_disk: false,
            on_bad_row: OnBadRow::Fail,
            description: None,
            inputs: vec![Input { node, port, route: Route::Any }],
            outputs: Vec::new(),
            feeds_table: false,
            meaning: Meaning::default(),
            signature: None,
            source: None,
            plan: Plan::new(vec![InputPlan::any(WindowUse::Reads)], Vec::new(), Make::Sink(factory)),
        }
    }
}

/// Refuses to look where looking would change what is seen: at windows that rows do not carry, because whoever aggregates the
/// rows works them out.
pub(crate) fn check(
    drafts: &[Draft],
    nodes: &[Declaration<'_>],
    planned: &[Planned],
    decisions: &[Vec<Decision>],
    problems: &mut Problems,
) {
    for tap in drafts.iter().flat_map(|draft| &draft.taps) {
        let mut unheard = Problems::default();
        let needs = columns::needs(nodes, planned, std::slice::from_ref(tap), &mut unheard);
        let tapped = windows::decide(nodes, planned, &needs, &mut unheard);
        let changed = decisions.iter().flatten().zip(tapped.iter().flatten()).any(|(one, other)| one.explicit != other.explicit);
        if changed {
            let named: BTreeSet<&str> =
                tap.columns.iter().map(String::as_str).filter(|name| windows::WINDOW_COLUMNS.contains(name)).collect();
            let what = if named.is_empty() { "windows".to_owned() } else { named.into_iter().collect::<Vec<_>>().join(" and ") };
            let message = format!("the rows of `{}` do not carry {what}: whoever aggregates them works their windows out", tap.stream);
            let mut diagnostic = Diagnostic::error("bad-step", message).help("expect the aggregate's stream, or leave these columns out");
            diagnostic.path.clone_from(&tap.path);
            problems.push(diagnostic.key(tap.key));
        }
    }
}

/// Stands where the runner of a test puts a reader.
struct Place(Columns);

impl SinkFactory for Place {
    fn required(&self) -> Columns {
        self.0.clone()
    }

    fn make(&self, _: &SinkContext) -> Result<Box<dyn Sink>> {
        Err(Error::internal("a tap is replaced by the runner of the test"))
    }
}

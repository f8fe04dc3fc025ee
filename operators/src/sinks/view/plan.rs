//! What the user writes, and what it means for the stream that the view reads.

use std::num::NonZeroUsize;
use std::sync::Arc;

use millstream_api::plan::{Columns, InputPlan, Inputs, Make, Parallelism, Plan, Route, WindowUse};
use millstream_api::registry::{InputKeys, NodeOptions, Role};
use millstream_api::state::StateDecl;
use millstream_api::time::DurationText;
use millstream_api::{Diagnostic, Diagnostics, Stream};
use schemars::JsonSchema;
use serde::Deserialize;

use super::contents::Rules;
use super::{PROGRESS, ROWS, ViewFactory};
use crate::columns;
use crate::sinks::columns::{Picked, known_columns};

/// A materialised view: a table of the stream's rows that can be read while the pipeline runs, at `/views/NAME` if there is
/// a `[server]`.
///
/// With `key` it has one row for each key: the newest by event time, else by position in the source; rows of one time are
/// ordered as everywhere (by their place in the source, else by their columns). Without `key` it has every row. Each batch is
/// applied as one version, and every read is of one version.
///
/// Over an updating stream the view follows the changes: a row leaves when an equal one is withdrawn. `key` must then be
/// unique by the plan, that is, have all columns of the stream's own key.
///
/// ```toml
/// [sinks.board]
/// type   = "view"
/// input  = "delays"
/// key    = ["carrier"]
/// retain = "7d"
/// ```
#[derive(Clone, Debug, Deserialize, JsonSchema)]
pub struct ViewOptions {
    /// The columns that tell rows apart. Without it every row is kept.
    #[serde(default)]
    pub key: Vec<String>,
    /// Rows older than this leave. Age is event time, counted from the newest row that has come.
    pub retain: Option<DurationText>,
    /// At most so many rows are kept; the oldest leave first. For insert-only streams.
    pub max_rows: Option<NonZeroUsize>,
    /// The columns of the view, in this order. Default: all.
    pub columns: Option<Vec<String>>,
    /// What readers see: every batch at once, or only what a checkpoint covers, so that a failure never takes back what was seen.
    #[serde(default)]
    pub read: Read,
}

/// What readers of a view see.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Read {
    /// Every batch at once. After a failure the view is set back to the last checkpoint.
    #[default]
    Newest,
    /// What the newest checkpoint covers; needs `[checkpoint]`.
    Committed,
}

/// What a checked view needs to know.
#[derive(Clone, Debug)]
pub(super) struct Settings {
    pub(super) columns: Vec<String>,
    pub(super) key: Vec<String>,
    pub(super) rules: Rules,
    pub(super) by_position: bool,
    /// Whether readers see only what checkpoints cover.
    pub(super) committed: bool,
    pub(super) required: Columns,
}

impl NodeOptions for ViewOptions {
    const KIND: &'static str = "view";
    const ROLE: Role = Role::Sink;
    const INPUTS: InputKeys = InputKeys::One;

    fn plan(self, inputs: &Inputs<'_>) -> Result<Plan, Diagnostics> {
        let stream = &inputs.streams[0].1.row_by_row();
        let mut found = known_columns("key", &self.key, &inputs.streams[0]);
        let key_is_known = !found.has_errors();
        let picked = found.ok(Picked::new(self.columns.clone(), inputs));
        if let Some(picked) = picked.as_ref().filter(|_| key_is_known) {
            found.0.extend(self.unfit_key(picked, &inputs.streams[0]));
        }
        found.0.extend(self.unfit_bounds(&inputs.streams[0]));
        let Some(picked) = picked.filter(|_| !found.has_errors()) else {
            return Err(found);
        };
        let is_ordered = !stream.updating && (!self.key.is_empty() || self.max_rows.is_some());
        let settings = self.settings(&picked, stream, is_ordered);
        let input = InputPlan { route: Route::Any, windows: WindowUse::Reads, origin: settings.by_position };
        let bound = self.bound(stream);
        let make = Make::Sink(Arc::new(ViewFactory { settings }));
        Ok(Plan {
            parallelism: Parallelism::One("a view is one table"),
            state: [ROWS, PROGRESS].map(|name| StateDecl { name, keyed: false }).into(),
            changes: &[ROWS],
            bound,
            warnings: found,
            ..Plan::new(vec![input], Vec::new(), make)
        })
    }
}

impl ViewOptions {
    /// What keeps its rows from growing in number.
    fn bound(&self, stream: &Stream) -> Option<String> {
        let mut bounds = Vec::new();
        if !self.key.is_empty() {
            bounds.push(format!("one row for each {}", self.key.join(", ")));
        }
        bounds.extend(self.retain.map(|retain| format!("rows of the last {retain} of event time")));
        bounds.extend(self.max_rows.map(|most| format!("{most} rows")));
        if bounds.is_empty() {
            bounds.extend(match stream.most_rows {
                Some(1) => Some("one row".to_owned()),
                Some(most) => Some(format!("{most} rows")),
                None if stream.updating => Some("the rows of its input that are not withdrawn".to_owned()),
                None => stream.bounded.then(|| "every row of an input that ends".to_owned()),
            });
        }
        (!bounds.is_empty()).then(|| bounds.join("; "))
    }

    fn settings(&self, picked: &Picked, stream: &Stream, is_ordered: bool) -> Settings {
        let by_position = is_ordered && stream.from_source;
        let mut required: Columns = picked.required();
        required.extend(self.key.iter().cloned());
        if is_ordered && !by_position {
            // Rows of one time are ordered by all columns of the stream, also those that the view does not show.
            required.extend(columns::names(&stream.schema));
        }
        Settings {
            columns: picked.names().to_vec(),
            key: self.key.clone(),
            rules: Rules {
                updating: stream.updating,
                retain_us: self.retain.map(DurationText::micros),
                max_rows: self.max_rows.map(NonZeroUsize::get),
            },
            by_position,
            committed: self.read == Read::Committed,
            required,
        }
    }

    /// A key that rows of the view could share, or that the view does not show.
    fn unfit_key(&self, picked: &Picked, (name, stream): &(String, Stream)) -> Option<Diagnostic> {
        let diagnostic = |message: String| Diagnostic::error("view-key", message).key("key");
        if let Some(hidden) = self.key.iter().find(|column| !picked.names().contains(column)) {
            return Some(diagnostic(format!("the key column `{hidden}` is not among `columns`")).help("add it to `columns`"));
        }
        if !stream.updating || self.key.is_empty() {
            return None;
        }
        let Some(unique) = &stream.unique_key else {
            let message = format!("`{name}` is updating and has no columns that are unique, so that no key can say which row is withdrawn");
            return Some(diagnostic(message).help("leave `key` out: the view then keeps every row that is not withdrawn"));
        };
        let missing: Vec<&str> = unique.iter().filter(|column| !self.key.contains(column)).map(String::as_str).collect();
        let right: Vec<String> = unique.iter().map(|column| format!("\"{column}\"")).collect();
        (!missing.is_empty()).then(|| {
            let message =
                format!("rows of `{name}` that differ only in {} would share a key, and `{name}` is updating", missing.join(", "));
            diagnostic(message).help(format!("its key is [{}]; name at least these columns", right.join(", ")))
        })
    }

    fn unfit_bounds(&self, (name, stream): &(String, Stream)) -> Vec<Diagnostic> {
        let mut found = Vec::new();
        if self.retain.is_some() && !stream.event_time {
            // A running aggregate has no event time, wherever its rows come from, and `max_rows` is not for streams that update.
            let help = match stream.updating {
                true => "leave it out: with `key` there is one row of each; or aggregate per window, whose rows have a time",
                false => "give the source `time`, or bound the view by `key` or `max_rows`",
            };
            let message = format!("`retain` counts event time, and `{name}` has none");
            found.push(Diagnostic::error("no-event-time", message).key("retain").help(help));
        }
        if self.max_rows.is_some() && stream.updating {
            let message = format!("`{name}` is updating: which rows are left would depend on when others are withdrawn");
            found.push(
                Diagnostic::error("view-bound", message).key("max_rows").help("bound the stream before it is updating, or use `key`"),
            );
        }
        if self.key.is_empty() && self.retain.is_none() && self.max_rows.is_none() && stream.most_rows.is_none() {
            let (message, help) = if stream.updating {
                let message = "this view keeps every row that is not withdrawn, so that only its input bounds its memory";
                // Not by `state_ttl`: what is forgotten is not withdrawn.
                (message, "have keys of which there are only so many; or aggregate per window, and `retain` the windows of a time")
            } else {
                let message = "this view keeps every row, so that its memory grows with the input";
                (message, "`key` keeps one row for each key, `retain` those of a time, `max_rows` the newest")
            };
            found.push(Diagnostic::warning("unbounded-view", message).help(help));
        }
        found
    }
}

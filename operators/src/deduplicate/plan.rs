//! From options to a plan: what the operator gives, how its rows are routed, what it must read.

use std::sync::Arc;

use arrow::datatypes::Schema;
use millstream_api::meaning::Matters;
use millstream_api::plan::{
    Columns, Due, InputPlan, Inputs, Make, OperatorContext, OperatorFactory, OutputPlan, Plan, Route, Spills, Then, WindowUse,
};
use millstream_api::state::StateDecl;
use millstream_api::time::DurationText;
use millstream_api::types::SqlName;
use millstream_api::{Diagnostic, Diagnostics, Operator, Result, Stream};
use millstream_expr::order::comparable;
use millstream_expr::{Scalar, ScalarKey, normal_text};

use super::operator::Deduplicate;
use super::state::{KEYS, PENDING, UNTIL};
use super::{DeduplicateOptions, Keep, LATE, MAIN};
use crate::bad_rows::rejected_output;
use crate::floors::CLOSED;
use crate::order::{Ties, listed};

/// The options, resolved.
#[derive(Clone)]
pub(super) struct Design {
    pub(super) by: Vec<Scalar>,
    pub(super) keep: Keep,
    /// In microseconds.
    pub(super) within: Option<i64>,
    pub(super) state_ttl: Option<DurationText>,
    /// What decides which row is first; nothing where that is the order of coming.
    pub(super) ties: Ties,
    pub(super) event_time: bool,
    /// Whether rows that left are withdrawn.
    pub(super) updating: bool,
}

/// See [`DeduplicateOptions`].
pub(super) fn plan(options: &DeduplicateOptions, inputs: &Inputs<'_>) -> Result<Plan, Diagnostics> {
    let (name, input) = &inputs.streams[0];
    let planner = Planner { options, name, input: &input.row_by_row() };
    let mut found = Diagnostics::default();
    planner.check(&mut found);
    let by = planner.keys(&input.schema, &mut found);
    if found.has_errors() {
        return Err(found);
    }
    Ok(planner.assemble(by, found))
}

struct Planner<'a> {
    options: &'a DeduplicateOptions,
    name: &'a str,
    input: &'a Stream,
}

impl Planner<'_> {
    fn check(&self, found: &mut Diagnostics) {
        let DeduplicateOptions { by, within, state_ttl, .. } = self.options;
        if by.is_empty() {
            let help = "name the columns that duplicates have in common, for example by = [\"id\"]";
            found.push(Diagnostic::error("empty-list", "a `deduplicate` by no columns").key("by").help(help));
        }
        if self.input.updating {
            let message = format!("`{}` is updating: its rows can be withdrawn, also one that was kept", self.name);
            let help = "deduplicate before the node that makes it updating, or use `top_n` with n = 1, which takes rows back";
            found.push(Diagnostic::error("updating-input", message).key("input").help(help));
        }
        if within.is_some() && !self.input.event_time {
            let message = format!("`{}` has no event time by which a key could be forgotten", self.name);
            let help = "give its source one, for example time = { by = \"created_at\" }, or use `state_ttl`, which goes by the wall clock";
            found.push(Diagnostic::error("no-event-time", message).key("within").on_key().help(help));
        }
        if within.is_some() && state_ttl.is_some() {
            let message = "with `within` keys are forgotten already, in event time";
            found.push(Diagnostic::error("bad-value", message).key("state_ttl").on_key().help("leave `state_ttl` out"));
        }
        if within.is_some_and(|within| within.micros() == 0) {
            let message = "a key that is remembered for no time at all has no duplicates";
            found.push(Diagnostic::error("bad-value", message).key("within").help("write a time such as \"1h\", or leave `within` out"));
        }
    }

    fn keys(&self, schema: &Schema, found: &mut Diagnostics) -> Vec<Scalar> {
        let mut keys = Vec::new();
        for (index, text) in self.options.by.iter().enumerate() {
            let key = Scalar::item(text, schema).map_err(|error| error.at("by").index(index));
            let key = key.and_then(|key| match comparable(key.field().data_type()) {
                true => Ok(key),
                false => Err(Diagnostic::error("type-mismatch", format!("{} cannot be a key", SqlName(key.field().data_type())))
                    .key("by")
                    .index(index)
                    .help("use something that can be compared, for example a field of it")),
            });
            keys.extend(found.ok(key));
        }
        keys
    }

    fn assemble(&self, by: Vec<Scalar>, mut warnings: Diagnostics) -> Plan {
        let DeduplicateOptions { keep, within, state_ttl, .. } = *self.options;
        let by_coming = !self.input.event_time && keep == Keep::First;
        let design = Design {
            keep,
            within: within.map(DurationText::micros),
            state_ttl,
            ties: if by_coming { Ties::default() } else { Ties::of(self.input, &self.input.schema) },
            event_time: self.input.event_time,
            updating: keep == Keep::Last && within.is_none(),
            by,
        };
        let input = InputPlan {
            route: Route::Key(Arc::new(ScalarKey(design.by.clone()))),
            windows: if self.input.windowed.is_some() { WindowUse::Reads } else { WindowUse::Passes },
            origin: design.ties.origin,
        };
        self.warn(&design, &mut warnings);
        let (outputs, bound) = (self.outputs(&design), self.bound());
        let state = [KEYS, PENDING, CLOSED].map(|name| StateDecl { name, keyed: true }).to_vec();
        let then = if keep == Keep::First { Then::IsDropped } else { Then::ComesBack };
        let spills = match within {
            Some(_) => Spills::due(&[KEYS], Due { column: UNTIL, after_micros: [0, 0], then }),
            None => Spills::keys(&[KEYS], state_ttl),
        };
        let make = Make::Operator(Arc::new(DeduplicateFactory { design }));
        let plan = Plan::new(vec![input], outputs, make);
        Plan { state, spills: Some(spills), changes: &[KEYS, PENDING], bound, warnings, in_order: by_coming, ..plan }
    }

    fn outputs(&self, design: &Design) -> Vec<OutputPlan> {
        let kept = Stream { windowed: None, ..self.input.clone() };
        let by = || design.by.iter().map(|key| key.as_column().map(str::to_owned)).collect::<Option<Vec<_>>>();
        let unique_key = if design.within.is_none() { by() } else { None };
        let main = Stream { updating: design.updating, unique_key: unique_key.or(self.input.unique_key.clone()), ..kept.clone() };
        let mut outputs = vec![OutputPlan::main(main)];
        outputs.extend(design.within.map(|_| OutputPlan::side("late", kept)));
        outputs.push(rejected_output([self.input]));
        outputs
    }

    /// What keeps its keys from becoming ever more.
    fn bound(&self) -> Option<String> {
        let what = match self.options.keep {
            Keep::First => "each key",
            Keep::Last => "one row for each key",
        };
        match (self.options.within, self.options.state_ttl) {
            (Some(within), _) => Some(format!("{what} that was seen in the last {within} of event time")),
            (None, Some(ttl)) => Some(format!("{what} that was seen in the last {ttl}")),
            (None, None) => self.input.bounded.then(|| format!("{what} of an input that ends")),
        }
    }

    fn warn(&self, design: &Design, warnings: &mut Diagnostics) {
        if self.bound().is_none() {
            let help = match self.input.event_time {
                true => "say how long duplicates may be apart with `within`, or forget keys with `state_ttl`",
                false => "forget keys with `state_ttl`, or give the source event time and use `within`",
            };
            let message = "every key is remembered for ever";
            warnings.push(Diagnostic::warning("unbounded-state", message).key("by").help(help));
        }
        let unordered = design.keep == Keep::First && !self.input.event_time && (!self.input.from_source || self.input.splits > 1);
        if unordered {
            let message =
                format!("the rows of `{}` have no order: which one of a key is the first depends on which one comes first", self.name);
            let help = "give the source event time, for example time = { by = \"created_at\" }";
            warnings.push(Diagnostic::warning("no-order", message).key("input").help(help));
        }
    }
}

impl Design {
    /// The columns that are kept of rows when these are needed of the output.
    pub(super) fn kept(&self, output: &Columns) -> Columns {
        output.union(&self.key_columns()).cloned().collect()
    }

    fn key_columns(&self) -> Columns {
        self.by.iter().flat_map(|key| key.columns().iter().cloned()).collect()
    }
}

struct DeduplicateFactory {
    design: Design,
}

impl OperatorFactory for DeduplicateFactory {
    fn required(&self, outputs: &[Columns]) -> Vec<Columns> {
        let mut columns = self.design.kept(&outputs[MAIN]);
        columns.extend(self.design.ties.columns.iter().cloned());
        if self.design.within.is_some() {
            columns.extend(outputs[LATE].iter().cloned());
        }
        vec![columns]
    }

    fn matters(&self, outputs: &[Columns]) -> Option<Matters> {
        let design = &self.design;
        let mut reads = design.key_columns();
        reads.extend(design.ties.columns.iter().cloned());
        // Where a row is judged when it comes, and the first one stays, it is not kept.
        let keeps_rows = design.event_time || design.keep == Keep::Last;
        let rows = if keeps_rows { design.kept(&outputs[MAIN]) } else { Columns::new() };
        let matters = Matters { reads: vec![reads], rows: vec![rows], ..Matters::default() }
            .option("by", listed(design.by.iter().map(|key| normal_text(key.text()))))
            .option("keep", format!("{:?}", design.keep).to_lowercase())
            .option("within", design.within.map_or_else(String::new, |within| format!("{within} µs")));
        Some(design.ties.matter(matters))
    }

    fn make(&self, context: &OperatorContext) -> Result<Box<dyn Operator>> {
        Ok(Box::new(Deduplicate::new(&self.design, context)?))
    }
}

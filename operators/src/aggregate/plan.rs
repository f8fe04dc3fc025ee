//! From options to a plan: what the aggregate gives, how its rows are routed, what it must read.

use std::sync::Arc;

use arrow::datatypes::{Field, Schema, SchemaRef};
use arrow::row::{RowConverter, SortField};
use millstream_api::plan::{Due, InputPlan, Inputs, Make, OutputPlan, Parallelism, Plan, Route, Spills, Then, WindowUse};
use millstream_api::state::StateDecl;
use millstream_api::stream::{Judge, Windowed as WindowedStream};
use millstream_api::time::DurationText;
use millstream_api::types::SqlName;
use millstream_api::window::WindowKind;
use millstream_api::{Diagnostic, Diagnostics, Result, Stream};
use millstream_expr::{Aggregate, ExprError, Scalar, ScalarKey, doubts, doubts_of_items};

use super::early::SENT;
use super::factory::AggregateFactory;
use super::items::Function;
use super::running::GROUPS;
use super::sessions::{LAST, SESSIONS};
use super::state::DUE;
use super::windowed::PANES;
use super::{AggregateOptions, Emit, WINDOW_END, WINDOW_START, is_bound, window_bounds};
use crate::bad_rows::rejected_output;
use crate::floors::CLOSED;
use crate::order::Ties;
use crate::saved::WATERMARK;

/// The options, resolved.
#[derive(Clone)]
pub(super) struct Design {
    pub(super) by: Vec<Scalar>,
    /// What is accumulated.
    pub(super) functions: Vec<Aggregate>,
    /// What is calculated from keys and functions.
    pub(super) results: Vec<Scalar>,
    pub(super) having: Option<Scalar>,
    /// The windows, unless it is a running aggregate.
    pub(super) windows: Option<WindowKind>,
    /// Whether rows carry their windows, whatever their reader wants.
    pub(super) explicit: bool,
    /// In microseconds.
    pub(super) allowed_lateness: i64,
    /// How often rows are sent that are not final, in microseconds.
    pub(super) every: Option<i64>,
    /// After how long a group of a running aggregate is forgotten.
    pub(super) state_ttl: Option<DurationText>,
    /// What decides which row is first, where a function asks.
    pub(super) ties: Ties,
    /// The columns of the output, in order.
    pub(super) schema: SchemaRef,
    /// Whether it is over windows that `windowed = false` has it leave aside.
    pub(super) leaves_windows: bool,
}

impl Design {
    /// The gap of the sessions that it is to tell apart, in microseconds.
    pub(super) fn sessions_gap(&self) -> Option<i64> {
        match self.windows {
            Some(WindowKind::Session { gap }) if !self.explicit => Some(gap),
            _ => None,
        }
    }
}

/// See [`super::AggregateOptions`].
pub(super) fn plan(options: AggregateOptions, inputs: &Inputs<'_>) -> Result<Plan, Diagnostics> {
    let (name, input) = &inputs.streams[0];
    let windowed = input.windowed.is_some() && options.windowed != Some(false);
    let input = if windowed { input } else { &input.row_by_row() };
    let planner = Planner { name, input, windowed };
    let mut found = Diagnostics::default();
    planner.check_input(&options, &mut found);
    let scope = planner.scope();
    let by = planner.keys(&options.by, &scope, &mut found);
    let items = planner.items(&options.compute, options.having.as_deref(), &scope, &mut found);
    let Some(by) = by else { return Err(found) };
    let Some(calculated) = planner.calculated(&by, &items, &mut found) else { return Err(found) };
    let schema = planner.output_schema(&by, &calculated.fields, &mut found);
    let having = planner.having(&items, &schema, &mut found);
    if found.has_errors() {
        return Err(found);
    }
    planner.warn_of_growth(&options, &items.functions, &mut found);
    found.0.extend(doubts_of_items("compute", &options.compute));
    found.0.extend(options.having.iter().flat_map(|having| doubts("having", having)));
    let functions: Vec<Aggregate> = items.functions.into_iter().map(|function| function.aggregate).collect();
    let ordered = functions.iter().any(Aggregate::ordered);
    let design = Design {
        windows: input.windowed.as_ref().filter(|_| planner.windowed).map(|w| w.windows.clone()),
        explicit: input.windowed.as_ref().is_some_and(|w| w.explicit),
        every: planner.every(&options),
        state_ttl: options.state_ttl,
        allowed_lateness: options.allowed_lateness.unwrap_or_default().micros(),
        ties: Ties::of(input, &scope),
        schema: schema.clone(),
        leaves_windows: input.windowed.is_some() && !planner.windowed,
        by,
        functions,
        results: calculated.results,
        having,
    };
    Ok(planner.assemble(design, schema, ordered, found))
}

pub(super) struct Planner<'a> {
    pub(super) name: &'a str,
    pub(super) input: &'a Stream,
    /// Whether it is an aggregate per window.
    pub(super) windowed: bool,
}

impl Planner<'_> {
    fn every(&self, options: &AggregateOptions) -> Option<i64> {
        match options.emit {
            Some(Emit::Every(every)) => Some(every.micros()),
            _ => None,
        }
    }

    /// Whether rows are told apart by their place in a source. A withdrawal stands at another place than its row.
    fn has_origin(&self) -> bool {
        self.input.from_source && !self.input.updating
    }

    /// The columns that expressions may name. Where windows follow from event time, a row has no single window of its own.
    fn scope(&self) -> SchemaRef {
        let implicit = self.windowed && self.input.windowed.as_ref().is_some_and(|w| !w.explicit);
        if !implicit {
            return self.input.schema.clone();
        }
        let own = self.input.schema.fields().iter().filter(|field| !is_bound(field.name()));
        Arc::new(Schema::new(own.cloned().collect::<Vec<_>>()))
    }

    fn keys(&self, by: &[String], scope: &Schema, found: &mut Diagnostics) -> Option<Vec<Scalar>> {
        let mut keys = Vec::new();
        let mut complete = true;
        for (index, text) in by.iter().enumerate() {
            if self.windowed && is_bound(text.trim()) {
                // Every group has its window anyway; SQL wants it said.
                continue;
            }
            let key = Scalar::item(text, scope).map_err(|error| self.explained(error, "by", Some(index)));
            let key = key.and_then(|key| match RowConverter::supports_fields(&[SortField::new(key.field().data_type().clone())]) {
                true => Ok(key),
                false => Err(Diagnostic::error("type-mismatch", format!("{} cannot be a key", SqlName(key.field().data_type())))
                    .key("by")
                    .index(index)
                    .help("group by something that can be compared, for example a field of it")),
            });
            match found.ok(key) {
                Some(key) => keys.push(key),
                None => complete = false,
            }
        }
        complete.then_some(keys)
    }

    /// The mistake with its place, and with more advice where it is about the window.
    pub(super) fn explained(&self, error: ExprError, key: &str, index: Option<usize>) -> Diagnostic {
        let about_window = self.windowed && error.code == "unknown-column" && error.message.contains("`window_");
        let mut diagnostic = error.at(key);
        if let Some(index) = index {
            diagnostic = diagnostic.index(index);
        }
        if about_window {
            return diagnostic.help(
                "window_start and window_end are columns of the groups, not of their rows: they can stand beside aggregate functions, \
                 not within them or in `by`",
            );
        }
        diagnostic
    }

    /// The mistake of a function that cannot do what the input needs; the caller adds the place.
    pub(super) fn cannot_retract(&self, function: &Aggregate) -> Diagnostic {
        let message = format!("rows of `{}` can be withdrawn, and `{}` cannot take one back", self.name, function.function_name());
        let help = match function.retractable_alternative() {
            Some(other) => format!("write {other}, which is exact, or aggregate before the node that makes the stream updating"),
            None => "aggregate before the node that makes the stream updating".to_owned(),
        };
        Diagnostic::error("cannot-retract", message).help(help)
    }

    fn output_schema(&self, by: &[Scalar], computed: &[Field], found: &mut Diagnostics) -> SchemaRef {
        let mut fields: Vec<Field> = Vec::new();
        let keys = by.iter().enumerate().map(|(index, key)| ("by", index, key.field()));
        let results = computed.iter().enumerate().map(|(index, field)| ("compute", index, field));
        for (key, index, field) in keys.chain(results) {
            if fields.iter().any(|other| other.name() == field.name()) {
                let message = format!("the column `{}` would be there twice", field.name());
                found.push(Diagnostic::error("duplicate-column", message).key(key).index(index).help("give one of them another name"));
            } else if self.windowed && is_bound(field.name()) {
                let message = format!("a windowed aggregate has a column `{}` of its own", field.name());
                found.push(Diagnostic::error("duplicate-column", message).key(key).index(index).help("give it another name"));
            } else {
                fields.push(field.clone());
            }
        }
        fields.extend(window_bounds().into_iter().filter(|_| self.windowed));
        Arc::new(Schema::new(fields))
    }

    fn assemble(&self, design: Design, schema: SchemaRef, ordered: bool, warnings: Diagnostics) -> Plan {
        let key_names: Vec<String> = design.by.iter().map(|key| key.field().name().clone()).collect();
        let input = InputPlan {
            route: if design.by.is_empty() { Route::Any } else { Route::Key(Arc::new(ScalarKey(design.by.clone()))) },
            windows: match (self.windowed, &self.input.windowed) {
                (true, _) => WindowUse::Judges,
                (false, Some(_)) => WindowUse::Reads,
                (false, None) => WindowUse::Passes,
            },
            origin: ordered && self.has_origin(),
        };
        let parallelism = match design.by.is_empty() {
            true => Parallelism::One("without `by` there is one group, which one subtask must have"),
            false => Parallelism::Any,
        };
        let outputs = self.outputs(schema, key_names, &design);
        let bound = self.bound(&design);
        let spills = self.spills(&design);
        let goes_by_panes = self.windowed && !design.by.is_empty() && design.sessions_gap().is_none() && spills.is_none();
        let spills_panes: &[&str] = if goes_by_panes { &[PANES] } else { &[] };
        // Of one group there is nothing to choose from.
        let changes: &[&str] = match design.sessions_gap() {
            None if self.windowed => &[PANES],
            _ if design.by.is_empty() => &[],
            Some(_) => &[SESSIONS],
            None => &[GROUPS],
        };
        let factory = AggregateFactory { design };
        let keyed = |name| StateDecl { name, keyed: true };
        let watermark = StateDecl { name: WATERMARK, keyed: false };
        let state = match factory.design.sessions_gap() {
            Some(_) => vec![keyed(SESSIONS), watermark],
            None if self.windowed => vec![keyed(PANES), keyed(CLOSED), watermark],
            None => vec![keyed(GROUPS)],
        };
        let early = factory.design.every.map(|_| keyed(SENT));
        let state = state.into_iter().chain(early).collect();
        Plan {
            parallelism,
            state,
            spills,
            spills_panes,
            changes,
            bound,
            warnings,
            ..Plan::new(vec![input], outputs, Make::Operator(Arc::new(factory)))
        }
    }

    /// What leaves memory key by key.
    fn spills(&self, design: &Design) -> Option<Spills> {
        let due = |column, after| Due { column, after_micros: [after, 0], then: Then::ComesBack };
        let speaks_at_ticks = design.every.is_some();
        match design.sessions_gap() {
            _ if design.by.is_empty() => None,
            Some(gap) if !speaks_at_ticks => Some(Spills::due(&[SESSIONS], due(LAST, gap))),
            Some(gap) => Some(Spills { at_ticks: true, ..Spills::due(&[SESSIONS, SENT], due(LAST, gap)) }),
            None if !self.windowed && !speaks_at_ticks => Some(Spills::keys(&[GROUPS], design.state_ttl)),
            // What is forgotten by the clock is said before, and so would have to come back before its tick.
            None if !self.windowed && design.state_ttl.is_some() => None,
            None if !self.windowed => Some(Spills { at_ticks: true, ..Spills::keys(&[GROUPS, SENT], None) }),
            None if !speaks_at_ticks => None,
            None => Some(Spills { at_ticks: true, notes_panes: true, ..Spills::due(&[PANES, SENT], due(DUE, 0)) }),
        }
    }

    /// Without windows nothing is ever forgotten, and an input without end goes on for ever.
    fn warn_of_growth(&self, options: &AggregateOptions, functions: &[Function], warnings: &mut Diagnostics) {
        if self.windowed || self.input.bounded {
            return;
        }
        if !options.by.is_empty() && options.state_ttl.is_none() {
            warnings.push(
                Diagnostic::warning("unbounded-state", "a running aggregate keeps every key for ever")
                    .key("by")
                    .help("aggregate per window, by keys of which there are only so many, or with a `state_ttl`"),
            );
        }
        for function in functions.iter().filter(|function| function.aggregate.keeps_values()) {
            let how_long = if self.input.updating { "until it is withdrawn" } else { "for ever in a running aggregate" };
            let message = format!("`{}` keeps each value {how_long}", function.aggregate.text());
            let help = "aggregate per window, or use a function that needs no values, such as approx_distinct or approx_percentile_cont";
            warnings.push(function.mark(Diagnostic::warning("unbounded-state", message)).help(help));
        }
    }

    /// What keeps its groups from growing in number and size.
    fn bound(&self, design: &Design) -> Option<String> {
        let mut bound = match &design.windows {
            Some(WindowKind::Session { .. }) => "one group for each session that is open".to_owned(),
            Some(_) if design.by.is_empty() => "one group in each window that is open".to_owned(),
            Some(_) => "one group for each key in each window that is open".to_owned(),
            None if design.by.is_empty() => "one group".to_owned(),
            None if self.input.bounded => "one group for each key of an input that ends".to_owned(),
            None if let Some(ttl) = design.state_ttl => format!("one group for each key that was seen in the last {ttl}"),
            None => return None,
        };
        let keeping: Vec<&str> = design.functions.iter().filter(|function| function.keeps_values()).map(Aggregate::text).collect();
        if keeping.is_empty() {
            return Some(bound);
        }
        bound.push_str(&format!("; the values of its rows, for {}", keeping.join(", ")));
        (self.windowed || self.input.bounded).then_some(bound)
    }

    fn outputs(&self, schema: SchemaRef, mut key: Vec<String>, design: &Design) -> Vec<OutputPlan> {
        let rejected = rejected_output([self.input]);
        let mut main = Stream { bounded: self.input.bounded, ..Stream::plain(schema) };
        if !self.windowed {
            main.updating = true;
            main.most_rows = key.is_empty().then_some(1);
            main.unique_key = Some(key);
            return vec![OutputPlan::main(main), rejected];
        }
        key.extend([WINDOW_START, WINDOW_END].map(str::to_owned));
        main.event_time = true;
        main.updating = design.every.is_some();
        main.unique_key = Some(key);
        main.windowed = self.input.windowed.as_ref().map(|windowed| WindowedStream {
            windows: windowed.windows.clone(),
            judge: Judge::Done,
            explicit: true,
        });
        let late = Stream { windowed: None, ..self.input.with_schema(self.scope()) };
        vec![OutputPlan::main(main), OutputPlan::side("late", late), rejected]
    }
}

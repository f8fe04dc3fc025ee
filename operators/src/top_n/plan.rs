//! From options to a plan: what the operator gives, how its rows are routed, what it must read.

use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use millstream_api::meaning::Matters;
use millstream_api::plan::{
    Columns, InputPlan, Inputs, Make, OperatorContext, OperatorFactory, OutputPlan, Parallelism, Plan, Route, Spills, WindowUse,
};
use millstream_api::state::StateDecl;
use millstream_api::stream::{Judge, WindowKind, Windowed as WindowedStream};
use millstream_api::time::DurationText;
use millstream_api::types::SqlName;
use millstream_api::{Diagnostic, Diagnostics, Operator, Result, Stream};
use millstream_expr::order::comparable;
use millstream_expr::{OrderItem, Scalar, ScalarKey, normal_text};

use super::rankings::Keep;
use super::running::{ROWS, Running};
use super::windowed::{PANES, Windowed};
use super::{LATE, MAIN, TopNOptions, WINDOW_END, WINDOW_START};
use crate::bad_rows::rejected_output;
use crate::order::{Ties, listed};
use crate::saved::WATERMARK;

/// The options, resolved.
#[derive(Clone)]
pub(super) struct Design {
    pub(super) by: Vec<Scalar>,
    pub(super) order: Vec<OrderItem>,
    pub(super) ties: Ties,
    pub(super) n: usize,
    /// After how long a key is forgotten.
    pub(super) state_ttl: Option<DurationText>,
    /// The name of the column with the rank.
    pub(super) rank: Option<String>,
    pub(super) keep: Keep,
    /// The windows, of a windowed input.
    pub(super) windows: Option<WindowKind>,
    /// Whether rows carry their windows, and the columns of these, whatever their reader wants.
    pub(super) explicit: bool,
}

/// See [`super::TopNOptions`].
pub(super) fn plan(options: &TopNOptions, inputs: &Inputs<'_>) -> Result<Plan, Diagnostics> {
    let (name, input) = &inputs.streams[0];
    let planner = Planner { name, input, state_ttl: options.state_ttl };
    let mut found = Diagnostics::default();
    planner.check_input(&mut found);
    let scope = planner.scope();
    let by = planner.keys(&options.by, &scope, &mut found);
    let order = options.order.iter().enumerate();
    let parsed = |(index, text): (usize, &String)| OrderItem::parse(text, &scope).map_err(|mistake| mistake.at("order").index(index));
    let order = order.filter_map(|item| found.ok(parsed(item))).collect();
    let schema = planner.output_schema(options.rank_as.as_deref(), &mut found);
    if found.has_errors() {
        return Err(found);
    }
    let design = Design {
        by,
        order,
        ties: Ties::of(input, &scope),
        n: usize::try_from(options.n.get()).unwrap_or(usize::MAX),
        state_ttl: options.state_ttl,
        rank: options.rank_as.clone(),
        keep: if input.updating { Keep::All } else { Keep::First },
        windows: input.windowed.as_ref().map(|windowed| windowed.windows.clone()),
        explicit: planner.explicit(),
    };
    Ok(planner.assemble(design, &scope, schema))
}

struct Planner<'a> {
    name: &'a str,
    input: &'a Stream,
    state_ttl: Option<DurationText>,
}

impl Planner<'_> {
    fn check_input(&self, found: &mut Diagnostics) {
        if self.input.windowed.is_none() {
            return;
        }
        if self.state_ttl.is_some() {
            let message = "over windows, rows are forgotten when their window closes";
            found.push(Diagnostic::error("bad-value", message).key("state_ttl").on_key().help("leave `state_ttl` out"));
        }
        found.0.extend(crate::sessions::refused(self.name, self.input, "input"));
        if self.input.updating {
            let message = format!("`{}` is updating: its rows can be withdrawn, so that no window could ever close", self.name);
            let help = "rank per window before the node that makes it updating";
            found.push(Diagnostic::error("updating-input", message).key("input").help(help));
        }
        if !self.input.event_time {
            let message = format!("`{}` is windowed but has no event time", self.name);
            let help = "give its source one, for example time = { by = \"created_at\" }";
            found.push(Diagnostic::error("no-event-time", message).key("input").help(help));
        }
    }

    fn explicit(&self) -> bool {
        self.input.windowed.as_ref().is_none_or(|windowed| windowed.explicit)
    }

    /// The columns that expressions may name. Where windows follow from event time, a row has no single window of its own.
    fn scope(&self) -> SchemaRef {
        if self.explicit() {
            return self.input.schema.clone();
        }
        let own = self.input.schema.fields().iter().filter(|field| !is_bound(field.name()));
        Arc::new(Schema::new(own.cloned().collect::<Vec<_>>()))
    }

    fn keys(&self, by: &[String], scope: &Schema, found: &mut Diagnostics) -> Vec<Scalar> {
        let mut keys = Vec::new();
        for (index, text) in by.iter().enumerate() {
            if self.input.windowed.is_some() && is_bound(text.trim()) {
                // Rows are ranked by window anyway; SQL wants it said.
                continue;
            }
            let key = Scalar::item(text, scope).map_err(|error| error.at("by").index(index));
            let key = key.and_then(|key| match comparable(key.field().data_type()) {
                true => Ok(key),
                false => Err(Diagnostic::error("type-mismatch", format!("{} cannot be a key", SqlName(key.field().data_type())))
                    .key("by")
                    .index(index)
                    .help("rank by something that can be compared, for example a field of it")),
            });
            keys.extend(found.ok(key));
        }
        keys
    }

    fn output_schema(&self, rank: Option<&str>, found: &mut Diagnostics) -> SchemaRef {
        let mut fields: Vec<Field> = self.input.schema.fields().iter().map(|field| field.as_ref().clone()).collect();
        let Some(rank) = rank else { return Arc::new(Schema::new(fields)) };
        // As a name in an expression would be checked.
        if let Err(mut error) = Scalar::item(&format!("1 as \"{rank}\""), &Schema::empty()) {
            error.span = None;
            found.push(error.at("rank_as"));
        } else if self.input.schema.column_with_name(rank).is_some() {
            let message = format!("`{}` has a column `{rank}` already", self.name);
            found.push(Diagnostic::error("duplicate-column", message).key("rank_as").help("give the rank another name"));
        }
        fields.push(Field::new(rank, DataType::Int64, false));
        Arc::new(Schema::new(fields))
    }

    fn assemble(&self, design: Design, scope: &SchemaRef, schema: SchemaRef) -> Plan {
        let windowed = design.windows.is_some();
        let input = InputPlan {
            route: if design.by.is_empty() { Route::Any } else { Route::Key(Arc::new(ScalarKey(design.by.clone()))) },
            windows: if windowed { WindowUse::Judges } else { WindowUse::Passes },
            origin: design.ties.origin,
        };
        let parallelism = match design.by.is_empty() {
            true => Parallelism::One("without `by` there is one ranking, which one subtask must have"),
            false => Parallelism::Any,
        };
        let state = match windowed {
            true => vec![StateDecl { name: PANES, keyed: true }, StateDecl { name: WATERMARK, keyed: false }],
            false => vec![StateDecl { name: ROWS, keyed: true }],
        };
        let (bound, warnings) = (self.bound(&design), self.warnings(&design));
        let has_key = !design.by.is_empty();
        let spills = (has_key && !windowed).then(|| Spills::keys(&[ROWS], design.state_ttl));
        let spills_panes: &[&str] = if has_key && windowed { &[PANES] } else { &[] };
        // Of one ranking there is nothing to choose from; of windows there is.
        let changes: &[&str] = if windowed { &[PANES] } else { &[] };
        let outputs = self.outputs(&design, scope, schema);
        let make = Make::Operator(Arc::new(TopNFactory { design }));
        Plan { parallelism, state, spills, spills_panes, changes, bound, warnings, ..Plan::new(vec![input], outputs, make) }
    }

    fn outputs(&self, design: &Design, scope: &SchemaRef, schema: SchemaRef) -> Vec<OutputPlan> {
        let rejected = rejected_output([self.input]);
        let unique_key = self.unique_key(design);
        let main = Stream { bounded: self.input.bounded, unique_key, ..Stream::plain(schema) };
        let Some(windowed) = &self.input.windowed else {
            let most_rows = design.by.is_empty().then_some(design.n as u64);
            return vec![OutputPlan::main(Stream { updating: true, most_rows, ..main }), rejected];
        };
        let windowed = WindowedStream { windows: windowed.windows.clone(), judge: Judge::Done, explicit: true };
        let main = Stream { event_time: true, windowed: Some(windowed), ..main };
        let late = Stream { windowed: None, ..self.input.with_schema(scope.clone()) };
        vec![OutputPlan::main(main), OutputPlan::side("late", late), rejected]
    }

    /// The columns by which no two rows are the same: the key with the rank, the key alone where there is one row of each, else
    /// what was unique before; each with the window.
    fn unique_key(&self, design: &Design) -> Option<Vec<String>> {
        let by = || design.by.iter().map(|key| key.as_column().map(str::to_owned)).collect::<Option<Vec<_>>>();
        let ranked = match &design.rank {
            _ if design.n == 1 => by(),
            Some(rank) => by().map(|by| by.into_iter().chain([rank.clone()]).collect()),
            None => None,
        };
        let mut key: Vec<String> = ranked.or_else(|| self.input.unique_key.clone())?;
        if design.windows.is_some() {
            let bounds = [WINDOW_START, WINDOW_END].map(str::to_owned);
            if bounds.iter().any(|name| self.input.schema.column_with_name(name).is_none()) {
                return None;
            }
            key.extend(bounds.into_iter().filter(|name| !key.contains(name)).collect::<Vec<_>>());
        }
        Some(key)
    }

    /// What keeps the rows that are kept from becoming ever more.
    fn bound(&self, design: &Design) -> Option<String> {
        let n = design.n;
        let by_key = !design.by.is_empty();
        match (&design.windows, design.keep) {
            (Some(_), _) if by_key => Some(format!("at most {n} rows for each key in each window that is open")),
            (Some(_), _) => Some(format!("at most {n} rows in each window that is open")),
            (None, Keep::First) if !by_key => Some(format!("at most {n} rows")),
            (None, Keep::First) if self.input.bounded => Some(format!("at most {n} rows for each key of an input that ends")),
            (None, Keep::All) if self.input.bounded => Some("all rows of an input that ends".to_owned()),
            (None, keep) if let Some(ttl) = self.state_ttl => {
                let what = if keep == Keep::All { "all rows".to_owned() } else { format!("at most {n} rows") };
                by_key.then(|| format!("{what} of each key that was seen in the last {ttl}"))
            }
            (None, _) => None,
        }
    }

    fn warnings(&self, design: &Design) -> Diagnostics {
        let mut warnings = Diagnostics::default();
        if self.bound(design).is_none() {
            let (message, key) = match design.keep {
                Keep::First | Keep::Last => (format!("the first {} rows of every key are kept for ever", design.n), "by"),
                Keep::All => ("every row that is not withdrawn is kept for ever, since it may move up".to_owned(), "input"),
            };
            let help = "rank per window, by keys of which there are only so many, or with a `state_ttl`";
            warnings.push(Diagnostic::warning("unbounded-state", message).key(key).help(help));
        }
        warnings
    }
}

fn is_bound(name: &str) -> bool {
    name == WINDOW_START || name == WINDOW_END
}

impl Design {
    /// The columns that are kept of rows when these are needed of the output.
    pub(super) fn kept(&self, output: &Columns) -> Columns {
        let computed = |name: &str| self.rank.as_deref() == Some(name) || (!self.explicit && is_bound(name));
        output.iter().filter(|name| !computed(name)).cloned().collect()
    }

    /// The columns by which rows are ranked.
    fn reads(&self) -> Columns {
        let mut columns: Columns = self.ties.columns.iter().cloned().collect();
        columns.extend(self.by.iter().flat_map(|key| key.columns().iter().cloned()));
        columns.extend(self.order.iter().flat_map(|term| term.value().columns().iter().cloned()));
        columns
    }
}

struct TopNFactory {
    design: Design,
}

impl OperatorFactory for TopNFactory {
    fn required(&self, outputs: &[Columns]) -> Vec<Columns> {
        let mut columns = self.design.kept(&outputs[MAIN]);
        columns.extend(self.design.reads());
        if self.design.windows.is_some() {
            columns.extend(outputs[LATE].iter().cloned());
        }
        vec![columns]
    }

    fn matters(&self, outputs: &[Columns]) -> Option<Matters> {
        let design = &self.design;
        let order = design.order.iter().map(OrderItem::written_out);
        let columns = Matters { reads: vec![design.reads()], rows: vec![design.kept(&outputs[MAIN])], ..Matters::default() };
        let matters = columns.option("by", listed(design.by.iter().map(|key| normal_text(key.text())))).option("order", listed(order));
        Some(design.ties.matter(matters.option("n", design.n)))
    }

    fn make(&self, context: &OperatorContext) -> Result<Box<dyn Operator>> {
        Ok(match &self.design.windows {
            Some(windows) => Box::new(Windowed::new(&self.design, windows, context)?),
            None => Box::new(Running::new(&self.design, context)?),
        })
    }
}

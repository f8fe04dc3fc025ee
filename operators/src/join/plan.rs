//! From options to a plan: what the join gives, how its rows are routed, what it must read.

use std::sync::Arc;

use arrow::datatypes::{Field, Schema, SchemaRef};
use millstream_api::plan::{Columns, Due, InputPlan, Inputs, Make, OutputPlan, Parallelism, Plan, Route, Spills, Then, WindowUse};
use millstream_api::state::StateDecl;
use millstream_api::stream::{Judge, WindowKind, Windowed};
use millstream_api::time::DurationText;
use millstream_api::types::timestamp_type;
use millstream_api::{Diagnostic, Diagnostics, Result, Stream};
use millstream_expr::{Condition, JoinScope, Scalar, ScalarKey, Side, doubts, normal_text};

use super::columns::Items;
use super::factory::JoinFactory;
use super::interval::saved::TIME;
use super::{JoinOptions, Kind, Mode, WINDOW_END, WINDOW_START};
use crate::bad_rows::rejected_output;
use crate::floors::CLOSED;
use crate::order::Ties;
use crate::saved::WATERMARK;

/// The names of the rows in state, by side.
pub(super) const ROWS: [&str; 2] = ["left", "right"];

/// The options, resolved.
#[derive(Clone)]
pub(super) struct Design {
    pub(super) mode: Mode,
    pub(super) kind: Kind,
    /// The expressions of the key, of one type on both sides, by side.
    pub(super) keys: [Vec<Scalar>; 2],
    /// For each of them, whether null equals null.
    pub(super) nulls_match: Vec<bool>,
    /// What pairs must fulfil beside equal keys.
    pub(super) rest: Option<Scalar>,
    /// The condition as a text without what means nothing.
    pub(super) on: String,
    /// The columns of the result.
    pub(super) columns: Vec<Scalar>,
    /// The windows of a window join.
    pub(super) windows: Option<WindowKind>,
    /// How far before and after a left row's time the right row's may be, in microseconds.
    pub(super) interval: [i64; 2],
    /// Which of two versions of the same time is the newer one.
    pub(super) ties: Ties,
    /// Whether rows of a side carry their windows, whatever their reader wants.
    pub(super) explicit: [bool; 2],
    /// After how long a row of a `changes` join is forgotten.
    pub(super) state_ttl: Option<DurationText>,
    /// Of a `changes` join: whether rows of both sides only come, and none is ever forgotten.
    pub(super) appends: bool,
    /// Whether rows of the result have event time.
    pub(super) event_time: bool,
    /// Whether rows of the result can be withdrawn.
    pub(super) updating: bool,
}

impl Design {
    /// The columns of the result among these.
    pub(super) fn needed(&self, output: &Columns) -> impl Iterator<Item = &Scalar> {
        self.columns.iter().filter(|column| output.contains(column.field().name()))
    }
}

/// See [`JoinOptions`].
pub(super) fn plan(options: &JoinOptions, inputs: &Inputs<'_>) -> Result<Plan, Diagnostics> {
    let [(left_name, left), (right_name, right)] = inputs.streams.as_slice() else {
        return Err(Diagnostic::error("internal", "a join of other than two streams").into());
    };
    let seen = [left, right].map(|stream| match options.mode {
        Mode::Window | Mode::Lookup => stream.clone(),
        Mode::Interval | Mode::AsOf | Mode::Changes => stream.row_by_row(),
    });
    let planner = Planner { options, names: [left_name, right_name], streams: seen.each_ref() };
    let mut found = Diagnostics::default();
    planner.check(&mut found);
    if found.has_errors() {
        return Err(found);
    }
    let schemas = planner.schemas();
    let shared: Vec<Field> = match options.mode {
        Mode::Window => [WINDOW_START, WINDOW_END].map(|name| Field::new(name, timestamp_type(), false)).to_vec(),
        _ => Vec::new(),
    };
    let optional = [0, 1].map(|side| options.kind.pairs() && options.kind.optional(side));
    let scope = JoinScope::new((left_name, &schemas[0]), (right_name, &schemas[1]), &shared, optional);
    let scope = scope.map_err(|e| Diagnostics::from(e.at("on")))?;
    let condition = match &options.on {
        None => Some(Condition { equalities: Vec::new(), rest: None }),
        Some(text) => found.ok(scope.condition(text).map_err(|error| error.at("on"))),
    };
    let Some(condition) = condition else { return Err(found) };
    let items = Items {
        scope: &scope,
        names: planner.names,
        schemas: [&schemas[0], &schemas[1]],
        kind: options.kind,
        windowed: options.mode == Mode::Window,
        condition: &condition,
    };
    let columns = items.read(options.columns.as_deref())?;
    Ok(planner.assemble(condition, columns, &schemas))
}

/// What is planned from.
pub(super) struct Planner<'a> {
    pub(super) options: &'a JoinOptions,
    pub(super) names: [&'a str; 2],
    pub(super) streams: [&'a Stream; 2],
}

impl Planner<'_> {
    /// The columns of each side that expressions may name. What may be missing in a result may be null there.
    fn schemas(&self) -> [SchemaRef; 2] {
        [0, 1].map(|side| {
            let optional = self.options.kind.optional(side);
            let named = self.streams[side].schema.fields().iter();
            let named = named.filter(|field| self.options.mode != Mode::Window || !is_bound(field.name()));
            let fields = named.map(|field| field.as_ref().clone().with_nullable(optional || field.is_nullable()));
            Arc::new(Schema::new(fields.collect::<Vec<_>>()))
        })
    }

    fn assemble(&self, condition: Condition, columns: Vec<Scalar>, schemas: &[SchemaRef; 2]) -> Plan {
        let kind = self.options.kind;
        let unique_key = self.unique_key(&condition, &columns);
        let (mut keys, mut nulls_match) = ([Vec::new(), Vec::new()], Vec::new());
        for equality in condition.equalities {
            keys[0].push(equality.left);
            keys[1].push(equality.right);
            nulls_match.push(equality.nulls_match);
        }
        let mode = self.options.mode;
        let windowed = mode == Mode::Window;
        let design = Design {
            mode,
            kind,
            keys,
            nulls_match,
            rest: condition.rest,
            on: self.options.on.as_deref().map(normal_text).unwrap_or_default(),
            columns,
            windows: self.streams[0].windowed.as_ref().filter(|_| windowed).map(|w| w.windows.clone()),
            interval: [self.options.before, self.options.after].map(|span| span.unwrap_or_default().micros()),
            ties: self.ties(),
            explicit: self.streams.map(|stream| stream.windowed.as_ref().is_some_and(|w| w.explicit)),
            state_ttl: self.options.state_ttl,
            appends: self.options.state_ttl.is_none() && self.streams.iter().all(|stream| !stream.updating),
            event_time: self.has_event_time(),
            updating: self.is_updating(),
        };
        let outputs = self.outputs(&design, unique_key, schemas);
        let inputs = [0, 1].map(|side| self.input(&design, side)).to_vec();
        let parallelism = match design.keys[0].is_empty() {
            true => {
                Parallelism::One("without an equality between the sides in `on` any two rows may be a pair, so one subtask must have all")
            }
            false => Parallelism::Any,
        };
        let kept = ROWS.iter().filter(|name| mode != Mode::Lookup || **name == ROWS[1]);
        let mut state: Vec<StateDecl> = kept.map(|name| StateDecl { name, keyed: true }).collect();
        state.extend((windowed || mode == Mode::Interval).then_some(StateDecl { name: WATERMARK, keyed: false }));
        state.extend(matches!(mode, Mode::AsOf | Mode::Interval).then_some(StateDecl { name: CLOSED, keyed: true }));
        let reads_first = (mode == Mode::Lookup).then_some(1);
        let spills = match mode {
            Mode::Changes => Some(Spills::keys(&ROWS, design.state_ttl)),
            Mode::Interval => Some(Spills::due(&ROWS, past(&design))),
            _ => None,
        };
        let spills = spills.filter(|_| !design.keys[0].is_empty());
        let spills_panes: &[&str] = if windowed && !design.keys[0].is_empty() { &ROWS } else { &[] };
        // Of mode `changes` the keys can leave memory, and those are noted.
        let changes: &[&str] = if mode == Mode::Changes { &[] } else { &ROWS };
        let (bound, warnings) = (self.bound(), self.warnings());
        let make = Make::Operator(Arc::new(JoinFactory { design }));
        Plan { parallelism, reads_first, state, spills, spills_panes, changes, bound, warnings, ..Plan::new(inputs, outputs, make) }
    }

    /// Whether rows of the result have event time.
    fn has_event_time(&self) -> bool {
        let timed = self.streams.iter().all(|stream| stream.event_time);
        match self.options.mode {
            Mode::Window | Mode::Interval | Mode::AsOf => true,
            Mode::Changes => timed && self.options.kind == Kind::Inner && self.streams.iter().all(|stream| !stream.updating),
            Mode::Lookup => self.streams[0].event_time,
        }
    }

    /// Whether rows of the result can be withdrawn.
    fn is_updating(&self) -> bool {
        let updating = self.streams.iter().any(|stream| stream.updating);
        match self.options.mode {
            Mode::Window | Mode::Interval | Mode::AsOf => false,
            Mode::Changes => updating || !matches!(self.options.kind, Kind::Inner | Kind::Semi),
            Mode::Lookup => self.streams[0].updating,
        }
    }

    /// Versions of the same time go by their place in the source while they still come from it, else by all columns.
    fn ties(&self) -> Ties {
        let (right, as_of) = (self.streams[1], self.options.mode == Mode::AsOf);
        let columns = right.schema.fields().iter().filter(|_| as_of && !right.from_source).map(|field| field.name().clone());
        Ties { times: false, origin: as_of && right.from_source, columns: columns.collect() }
    }

    fn input(&self, design: &Design, side: usize) -> InputPlan {
        let keys = &design.keys[side];
        let windows = match (self.options.mode, &self.streams[side].windowed) {
            (Mode::Window, _) => WindowUse::Judges,
            // What is looked up is added to rows that stay in their windows.
            (Mode::Lookup, _) | (_, None) => WindowUse::Passes,
            (_, Some(_)) => WindowUse::Reads,
        };
        let route = if keys.is_empty() { Route::Any } else { Route::Key(Arc::new(ScalarKey(keys.clone()))) };
        InputPlan { route, windows, origin: side == 1 && design.ties.origin }
    }

    fn outputs(&self, design: &Design, unique_key: Option<Vec<String>>, schemas: &[SchemaRef; 2]) -> Vec<OutputPlan> {
        let schema = Schema::new(design.columns.iter().map(|column| column.field().clone()).collect::<Vec<_>>());
        let bounded = self.streams.iter().all(|stream| stream.bounded);
        let windowed = match self.options.mode {
            Mode::Lookup => self.streams[0].windowed.clone(),
            _ => design.windows.clone().map(|windows| Windowed { windows, judge: Judge::Done, explicit: true }),
        };
        let main = Stream {
            event_time: design.event_time,
            updating: design.updating,
            windowed,
            unique_key,
            bounded,
            ..Stream::plain(Arc::new(schema))
        };
        let mut outputs = vec![OutputPlan::main(main), rejected_output(self.streams)];
        if matches!(design.mode, Mode::Window | Mode::Interval | Mode::AsOf) {
            for (side, name) in ["late_left", "late_right"].into_iter().enumerate() {
                let stream = self.streams[side];
                let came = if design.explicit[side] || design.mode != Mode::Window {
                    stream.schema.clone()
                } else {
                    own_columns(&stream.schema, &schemas[side])
                };
                outputs.push(OutputPlan::side(name, Stream { windowed: None, ..stream.with_schema(came) }));
            }
        }
        outputs
    }

    /// The columns by which no two rows of the result are the same.
    fn unique_key(&self, condition: &Condition, columns: &[Scalar]) -> Option<Vec<String>> {
        let windowed = self.options.mode == Mode::Window;
        let named = |side: Side, key: &[String]| -> Option<Vec<String>> {
            let place = |name: &String| if windowed && is_bound(name) { name.clone() } else { side.column(name) };
            let result = |name: &String| columns.iter().find(|column| column.as_column() == Some(place(name).as_str()));
            key.iter().map(|name| result(name).map(|column| column.field().name().clone())).collect()
        };
        let [left, right] = self.streams.map(|stream| stream.unique_key.as_deref());
        if !self.options.kind.pairs() || self.options.mode == Mode::AsOf {
            return named(Side::Left, left?);
        }
        let one_partner = |key: Option<&[String]>, of: fn(&millstream_expr::Equality) -> &Scalar| {
            let equated = |name: &String| condition.equalities.iter().any(|equality| of(equality).as_column() == Some(name));
            key.is_some_and(|key| key.iter().all(|name| equated(name) || (windowed && is_bound(name))))
        };
        let of_left = || named(Side::Left, left?);
        let of_right = || named(Side::Right, right?);
        let kind = self.options.kind;
        if !kind.alone(1) && one_partner(right, |equality| &equality.right) && left.is_some() {
            return of_left();
        }
        if !kind.alone(0) && one_partner(left, |equality| &equality.left) && right.is_some() {
            return of_right();
        }
        let mut both = of_left()?;
        both.extend(of_right()?);
        both.dedup();
        Some(both)
    }

    fn bound(&self) -> Option<String> {
        let bounded = self.streams.iter().all(|stream| stream.bounded);
        match self.options.mode {
            Mode::Window => Some("rows of windows that are open".to_owned()),
            Mode::Interval => Some("rows whose interval the watermark has not passed".to_owned()),
            Mode::AsOf => {
                self.streams[1].bounded.then(|| "rows that the watermark has not passed, and versions of an input that ends".to_owned())
            }
            Mode::Lookup => Some(format!("the rows of `{}`, which ends", self.names[1])),
            Mode::Changes => match self.options.state_ttl {
                Some(ttl) => Some(format!("rows that came in the last {ttl}")),
                None => bounded.then(|| "all rows of inputs that end".to_owned()),
            },
        }
    }

    fn warnings(&self) -> Diagnostics {
        let mut warnings = Diagnostics(self.options.on.iter().flat_map(|condition| doubts("on", condition)).collect());
        if self.bound().is_some() {
            return warnings;
        }
        let warning = |message: String, key: &'static str, help: &str| Diagnostic::warning("unbounded-state", message).key(key).help(help);
        warnings.push(match self.options.mode {
            Mode::AsOf => warning(
                format!("the newest version of every key of `{}` is kept for ever", self.names[1]),
                "on",
                "join by keys of which there are only so many; or use mode = \"interval\" if versions are valid for some time only",
            ),
            _ => warning(
                "a join in mode \"changes\" keeps every row of both sides for ever".to_owned(),
                "mode",
                "use mode = \"window\" over windowed inputs, aggregate them to rows of which there are only so many, or forget rows with a `state_ttl`",
            ),
        });
        warnings
    }
}

/// When rows of an interval join have no partner any more. Where nobody asks whether they had one nothing follows from that.
fn past(design: &Design) -> Due {
    let [before, after] = design.interval;
    let then = if design.kind.goes_by_time() { Then::IsDropped } else { Then::ComesBack };
    Due { column: TIME, after_micros: [after, before], then }
}

/// The columns of `own` as they are in `came`.
fn own_columns(came: &Schema, own: &Schema) -> SchemaRef {
    let fields = came.fields().iter().filter(|field| own.column_with_name(field.name()).is_some());
    Arc::new(Schema::new(fields.cloned().collect::<Vec<_>>()))
}

/// Whether it is the start or end of a window.
pub(super) fn is_bound(name: &str) -> bool {
    name == WINDOW_START || name == WINDOW_END
}

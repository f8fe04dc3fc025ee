//! From options to a plan: what the join gives, how its rows are routed, what it must read.

use std::sync::Arc;

use arrow::datatypes::{Field, Schema, SchemaRef};
use arrow::row::{RowConverter, SortField};
use millstream_api::plan::{
    Columns, InputPlan, Inputs, Make, OperatorContext, OperatorFactory, OutputPlan, Parallelism, Plan, Route, WindowUse,
};
use millstream_api::state::StateDecl;
use millstream_api::stream::{Judge, WindowKind, Windowed};
use millstream_api::types::{SqlName, timestamp_type};
use millstream_api::{Diagnostic, Diagnostics, Operator, Result, Stream};
use millstream_expr::{Condition, JoinScope, Scalar, ScalarKey, Side};

use super::changes::Changes;
use super::columns::Items;
use super::window::{WATERMARK, WindowJoin};
use super::{JoinOptions, Kind, LATE, MAIN, Mode, WINDOW_END, WINDOW_START};
use crate::bad_rows::rejected_output;

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
    /// The columns of the result.
    pub(super) columns: Vec<Scalar>,
    /// The windows of a window join.
    pub(super) windows: Option<WindowKind>,
    /// Whether rows of a side carry their windows, whatever their reader wants.
    pub(super) explicit: [bool; 2],
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
    let planner = Planner { options, names: [left_name, right_name], streams: [left, right] };
    let mut found = Diagnostics::default();
    planner.check_inputs(&mut found);
    if found.has_errors() {
        return Err(found);
    }
    let schemas = planner.schemas();
    let shared: Vec<Field> = match options.mode {
        Mode::Window => [WINDOW_START, WINDOW_END].map(|name| Field::new(name, timestamp_type(), false)).to_vec(),
        Mode::Changes => Vec::new(),
    };
    let scope = JoinScope::new((left_name, &schemas[0]), (right_name, &schemas[1]), &shared).map_err(|e| Diagnostics::from(e.at("on")))?;
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

struct Planner<'a> {
    options: &'a JoinOptions,
    names: [&'a str; 2],
    streams: [&'a Stream; 2],
}

impl Planner<'_> {
    fn check_inputs(&self, found: &mut Diagnostics) {
        match self.options.mode {
            Mode::Window => self.check_windows(found),
            Mode::Changes => {
                if self.options.on.is_none() {
                    let missing = Diagnostic::error("missing-key", "a join in mode \"changes\" has no condition `on`").key("on");
                    found.push(missing.help("say what a pair is, for example on = \"left.id = right.id\""));
                }
                self.check_storable(found);
            }
        }
    }

    fn check_windows(&self, found: &mut Diagnostics) {
        for (side, stream) in self.streams.iter().enumerate() {
            let name = self.names[side];
            if stream.windowed.is_none() {
                let message = format!("`{name}` is not windowed, and mode = \"window\" pairs rows of the same window");
                let help = "put an operator of type `window` before the join, or use mode = \"changes\"";
                found.push(Diagnostic::error("not-windowed", message).key(ROWS[side]).help(help));
            } else if stream.updating {
                let message = format!("`{name}` is updating: its rows can be withdrawn, so that no window could ever close");
                let help = "join before the node that makes it updating, or use mode = \"changes\"";
                found.push(Diagnostic::error("updating-input", message).key(ROWS[side]).help(help));
            } else if !stream.event_time {
                let message = format!("`{name}` is windowed but has no event time");
                let help = "give its source one, for example time = { by = \"created_at\" }";
                found.push(Diagnostic::error("no-event-time", message).key(ROWS[side]).help(help));
            }
        }
        if let [Some(left), Some(right)] = self.streams.map(|stream| stream.windowed.as_ref())
            && left.windows != right.windows
        {
            let message = format!("`{}` and `{}` do not have the same windows", self.names[0], self.names[1]);
            let help = "give both sides a `window` of the same kind, size, slide and offset";
            found.push(Diagnostic::error("window-mismatch", message).key(ROWS[1]).help(help));
        }
    }

    /// Rows that can be withdrawn are compared as a whole.
    fn check_storable(&self, found: &mut Diagnostics) {
        for (side, stream) in self.streams.iter().enumerate() {
            let odd = |field: &&Arc<Field>| !RowConverter::supports_fields(&[SortField::new(field.data_type().clone())]);
            if let Some(field) = stream.schema.fields().iter().find(odd) {
                let message =
                    format!("`{}` of `{}` is {}, which a join cannot keep", field.name(), self.names[side], SqlName(field.data_type()));
                let help = format!("leave it out with a `select` before the join: columns = [\"* except ({})\"]", field.name());
                found.push(Diagnostic::error("type-mismatch", message).key(ROWS[side]).help(help));
            }
        }
    }

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
        let windowed = self.options.mode == Mode::Window;
        let insert_only = self.streams.iter().all(|stream| !stream.updating);
        let appends = windowed || (insert_only && matches!(kind, Kind::Inner | Kind::Semi));
        let timed = self.streams.iter().all(|stream| stream.event_time);
        let design = Design {
            mode: self.options.mode,
            kind,
            keys,
            nulls_match,
            rest: condition.rest,
            columns,
            windows: self.streams[0].windowed.as_ref().filter(|_| windowed).map(|w| w.windows.clone()),
            explicit: self.streams.map(|stream| stream.windowed.as_ref().is_some_and(|w| w.explicit)),
            event_time: windowed || (insert_only && timed && kind == Kind::Inner),
            updating: !appends,
        };
        let outputs = self.outputs(&design, unique_key, schemas);
        let inputs = [0, 1].map(|side| self.input(&design, side)).to_vec();
        let parallelism = match design.keys[0].is_empty() {
            true => {
                Parallelism::One("without an equality between the sides in `on` any two rows may be a pair, so one subtask must have all")
            }
            false => Parallelism::Any,
        };
        let mut state: Vec<StateDecl> = ROWS.iter().map(|name| StateDecl { name, keyed: true }).collect();
        state.extend(windowed.then_some(StateDecl { name: WATERMARK, keyed: false }));
        let (bound, warnings) = (self.bound(), self.warnings());
        let make = Make::Operator(Arc::new(JoinFactory { design }));
        Plan { parallelism, state, bound, warnings, ..Plan::new(inputs, outputs, make) }
    }

    fn input(&self, design: &Design, side: usize) -> InputPlan {
        let keys = &design.keys[side];
        let windows = match (self.options.mode, &self.streams[side].windowed) {
            (Mode::Window, _) => WindowUse::Judges,
            (Mode::Changes, Some(_)) => WindowUse::Reads,
            (Mode::Changes, None) => WindowUse::Passes,
        };
        let route = if keys.is_empty() { Route::Any } else { Route::Key(Arc::new(ScalarKey(keys.clone()))) };
        InputPlan { route, windows, origin: false }
    }

    fn outputs(&self, design: &Design, unique_key: Option<Vec<String>>, schemas: &[SchemaRef; 2]) -> Vec<OutputPlan> {
        let schema = Schema::new(design.columns.iter().map(|column| column.field().clone()).collect::<Vec<_>>());
        let bounded = self.streams.iter().all(|stream| stream.bounded);
        let windowed = design.windows.clone().map(|windows| Windowed { windows, judge: Judge::Done, explicit: true });
        let main = Stream {
            event_time: design.event_time,
            updating: design.updating,
            windowed,
            unique_key,
            bounded,
            ..Stream::plain(Arc::new(schema))
        };
        let mut outputs = vec![OutputPlan::main(main), rejected_output(self.streams)];
        if design.windows.is_some() {
            for (side, name) in ["late_left", "late_right"].into_iter().enumerate() {
                let stream = self.streams[side];
                let came = if design.explicit[side] { stream.schema.clone() } else { own_columns(&stream.schema, &schemas[side]) };
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
        if !self.options.kind.pairs() {
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
            Mode::Changes => bounded.then(|| "all rows of inputs that end".to_owned()),
        }
    }

    fn warnings(&self) -> Diagnostics {
        let mut warnings = Diagnostics::default();
        if self.options.mode == Mode::Changes && self.bound().is_none() {
            let message = "a join in mode \"changes\" keeps every row of both sides for ever";
            let help = "use mode = \"window\" over windowed inputs, or aggregate them to rows of which there are only so many";
            warnings.push(Diagnostic::warning("unbounded-state", message).key("mode").help(help));
        }
        warnings
    }
}

/// The columns of `own` as they are in `came`.
fn own_columns(came: &Schema, own: &Schema) -> SchemaRef {
    let fields = came.fields().iter().filter(|field| own.column_with_name(field.name()).is_some());
    Arc::new(Schema::new(fields.cloned().collect::<Vec<_>>()))
}

fn is_bound(name: &str) -> bool {
    name == WINDOW_START || name == WINDOW_END
}

struct JoinFactory {
    design: Design,
}

impl OperatorFactory for JoinFactory {
    fn required(&self, outputs: &[Columns]) -> Vec<Columns> {
        let mut joined: Columns = self.design.needed(&outputs[MAIN]).flat_map(|column| column.columns().iter().cloned()).collect();
        joined.extend(self.design.rest.iter().flat_map(|rest| rest.columns().iter().cloned()));
        let of_side = |(index, side): (usize, Side)| {
            let mut columns: Columns = joined.iter().filter_map(|name| side.own_name(name)).map(str::to_owned).collect();
            columns.extend(self.design.keys[index].iter().flat_map(|key| key.columns().iter().cloned()));
            columns.extend(outputs.get(LATE + index).into_iter().flatten().cloned());
            columns
        };
        [Side::Left, Side::Right].into_iter().enumerate().map(of_side).collect()
    }

    fn make(&self, context: &OperatorContext) -> Result<Box<dyn Operator>> {
        Ok(match self.design.mode {
            Mode::Window => Box::new(WindowJoin::new(&self.design, context)?),
            Mode::Changes => Box::new(Changes::new(&self.design, context)?),
        })
    }
}

//! Small node types, so that graphs can be checked without the operators that ship: they plan and never run.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use arrow::datatypes::{Field, Schema, SchemaRef};
use millstream_api::plan::{
    Columns, InputPlan, Inputs, KeyExpressions, KeyValues, Make, OperatorContext, OperatorFactory, OutputPlan, Parallelism, Plan, Route,
    SinkContext, SinkFactory, SourceContext, SourceFactory, WindowUse,
};
use millstream_api::registry::{InputKeys, NodeOptions, Role};
use millstream_api::stream::{Judge, WindowKind, Windowed};
use millstream_api::time::DurationText;
use millstream_api::types::{ColumnType, timestamp_type};
use millstream_api::{Diagnostic, Diagnostics, Error, Operator, Registry, Result, Sink, Source, Stream};
use millstream_topology::{Outcome, Report, Topology, load_text};
use schemars::JsonSchema;
use serde::Deserialize;

/// All of the types here.
pub fn registry() -> Registry {
    let mut registry = Registry::new();
    registry.add::<Feed>();
    registry.add::<Pass>();
    registry.add::<Merge>();
    registry.add::<Cut>();
    registry.add::<Gather>();
    registry.add::<Pair>();
    registry.add::<Drain>();
    registry.add::<Broken>();
    registry
}

/// Checks `text` with these variables and `--set`s.
pub fn check_with(text: &str, env: &[(&str, &str)], sets: &[&str]) -> Outcome {
    let env: BTreeMap<String, String> = env.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    let sets: Vec<String> = sets.iter().map(|set| (*set).to_owned()).collect();
    load_text("t.toml", text, Path::new("."), &env, &sets, &registry())
}

/// The topology of `text`, which must have no mistakes.
#[expect(clippy::panic, reason = "only tests call it")]
pub fn topology(text: &str) -> Topology {
    let Outcome { topology, report } = check_with(text, &[], &[]);
    topology.unwrap_or_else(|| panic!("{}", report.render()))
}

/// What is wrong with `text`, which must not run when there are errors.
pub fn report(text: &str) -> Report {
    let Outcome { topology, report } = check_with(text, &[], &[]);
    assert_eq!(topology.is_none(), report.errors() > 0, "{}", report.render());
    report
}

/// A source of streams with given columns.
#[derive(Deserialize, JsonSchema)]
pub struct Feed {
    /// Columns as `name type`.
    columns: Vec<String>,
    /// Named streams in place of the main one.
    #[serde(default)]
    named: Vec<String>,
}

impl NodeOptions for Feed {
    const KIND: &'static str = "feed";
    const ROLE: Role = Role::Source;
    const INPUTS: InputKeys = InputKeys::None;

    fn plan(self, _: &Inputs<'_>) -> Result<Plan, Diagnostics> {
        let mut found = Diagnostics::default();
        let mut fields = Vec::new();
        for (index, column) in self.columns.iter().enumerate() {
            let (name, data_type) = column.split_once(' ').unwrap_or((column, ""));
            match ColumnType::parse(data_type) {
                Ok(read) => fields.push(Field::new(name, read.data_type, read.nullable)),
                Err(message) => {
                    let place = column.len() - data_type.len()..column.len();
                    found.push(Diagnostic::error("bad-type", message).key("columns").index(index).text(place));
                }
            }
        }
        let stream = Stream::plain(Arc::new(Schema::new(fields)));
        let mut outputs: Vec<OutputPlan> = self.named.iter().map(|name| OutputPlan::side(name, stream.clone())).collect();
        if outputs.is_empty() {
            outputs.push(OutputPlan::main(stream));
        }
        found.into_result(Plan::new(Vec::new(), outputs, Make::Source(Arc::new(NeverRuns))))
    }
}

/// Hands on some columns.
#[derive(Deserialize, JsonSchema)]
pub struct Pass {
    /// The columns; all when absent.
    columns: Option<Vec<String>>,
}

impl NodeOptions for Pass {
    const KIND: &'static str = "pass";
    const ROLE: Role = Role::Operator;
    const INPUTS: InputKeys = InputKeys::One;

    fn plan(self, inputs: &Inputs<'_>) -> Result<Plan, Diagnostics> {
        let input = &inputs.streams[0].1;
        let schema = match &self.columns {
            Some(columns) => Arc::new(Schema::new(fields(&input.schema, columns)?)),
            None => input.schema.clone(),
        };
        let main = OutputPlan::main(input.with_schema(schema));
        Ok(Plan::new(vec![InputPlan::any(WindowUse::Passes)], vec![main], operator(|outputs| vec![outputs[0].clone()])))
    }
}

fn fields(schema: &SchemaRef, columns: &[String]) -> Result<Vec<Field>, Diagnostics> {
    let mut found = Diagnostics::default();
    let fields = columns.iter().enumerate().filter_map(|(index, column)| {
        let field = schema.field_with_name(column).ok().cloned();
        if field.is_none() {
            found.push(Diagnostic::error("unknown-column", format!("there is no column `{column}`")).key("columns").index(index));
        }
        field
    });
    let fields = fields.collect();
    found.into_result(fields)
}

/// Streams into one.
#[derive(Deserialize, JsonSchema)]
pub struct Merge {}

impl NodeOptions for Merge {
    const KIND: &'static str = "merge";
    const ROLE: Role = Role::Operator;
    const INPUTS: InputKeys = InputKeys::Many;

    fn plan(self, inputs: &Inputs<'_>) -> Result<Plan, Diagnostics> {
        let count = inputs.streams.len();
        let stream = inputs.streams[0].1.clone();
        let make = operator(move |outputs| vec![outputs[0].clone(); count]);
        Ok(Plan::new(vec![InputPlan::any(WindowUse::Passes); count], vec![OutputPlan::main(stream)], make))
    }
}

/// Windows.
#[derive(Deserialize, JsonSchema)]
pub struct Cut {
    /// How long.
    size: DurationText,
}

impl NodeOptions for Cut {
    const KIND: &'static str = "cut";
    const ROLE: Role = Role::Operator;
    const INPUTS: InputKeys = InputKeys::One;

    fn plan(self, inputs: &Inputs<'_>) -> Result<Plan, Diagnostics> {
        let (name, input) = &inputs.streams[0];
        if !input.event_time {
            return Err(Diagnostic::error("no-event-time", format!("`{name}` has no event time")).key("input").into());
        }
        let bounds = ["window_start", "window_end"].map(|name| Arc::new(Field::new(name, timestamp_type(), false)));
        let schema = Schema::new(input.schema.fields().iter().cloned().chain(bounds).collect::<Vec<_>>());
        let windows = WindowKind::hop(self.size.micros(), self.size.micros(), 0);
        let windowed = Some(Windowed { windows, judge: Judge::Reader, explicit: false });
        let outputs =
            vec![OutputPlan::main(Stream { schema: Arc::new(schema), windowed, ..input.clone() }), OutputPlan::side("late", input.clone())];
        let own = |column: &&String| !column.starts_with("window_");
        let make = operator(move |outputs| vec![outputs[0].iter().chain(&outputs[1]).filter(own).cloned().collect()]);
        Ok(Plan::new(vec![InputPlan::any(WindowUse::Reads)], outputs, make))
    }
}

/// Rows of a window or of all time, by key.
#[derive(Deserialize, JsonSchema)]
pub struct Gather {
    /// The key.
    #[serde(default)]
    by: Vec<String>,
    /// Whether the first row matters.
    #[serde(default)]
    first: bool,
}

impl NodeOptions for Gather {
    const KIND: &'static str = "gather";
    const ROLE: Role = Role::Operator;
    const INPUTS: InputKeys = InputKeys::One;

    fn plan(self, inputs: &Inputs<'_>) -> Result<Plan, Diagnostics> {
        let input = &inputs.streams[0].1;
        let schema = Arc::new(Schema::new(fields(&input.schema, &self.by)?));
        let windowed = input.windowed.clone().map(|windowed| Windowed { judge: Judge::Done, explicit: true, ..windowed });
        let stream = Stream {
            updating: windowed.is_none(),
            event_time: windowed.is_some(),
            unique_key: Some(self.by.clone()),
            windowed,
            from_source: false,
            ..input.with_schema(schema)
        };
        let late = OutputPlan::side("late", Stream { windowed: None, ..input.clone() });
        let route = if self.by.is_empty() { Route::Any } else { Route::Key(Arc::new(Names(self.by.clone()))) };
        let reads = InputPlan { route, windows: WindowUse::Judges, origin: self.first };
        let by = self.by.clone();
        let make = operator(move |outputs| vec![by.iter().cloned().chain(outputs[1].iter().cloned()).collect()]);
        let mut plan = Plan::new(vec![reads], vec![OutputPlan::main(stream), late], make);
        if self.by.is_empty() {
            plan.parallelism = Parallelism::One("it has no key");
        }
        Ok(plan)
    }
}

/// Two inputs with names.
#[derive(Deserialize, JsonSchema)]
pub struct Pair {}

impl NodeOptions for Pair {
    const KIND: &'static str = "pair";
    const ROLE: Role = Role::Operator;
    const INPUTS: InputKeys = InputKeys::Named(&["left", "right"]);

    fn plan(self, inputs: &Inputs<'_>) -> Result<Plan, Diagnostics> {
        let make = operator(|outputs| vec![outputs[0].clone(), Columns::new()]);
        let stream = Stream { from_source: false, windowed: None, ..inputs.streams[0].1.clone() };
        Ok(Plan::new(vec![InputPlan::any(WindowUse::Reads); 2], vec![OutputPlan::main(stream)], make))
    }
}

/// The end.
#[derive(Deserialize, JsonSchema)]
pub struct Drain {
    /// What is written; all when absent.
    columns: Option<Vec<String>>,
    /// Whether to say that it is one.
    #[serde(default)]
    warn: bool,
}

impl NodeOptions for Drain {
    const KIND: &'static str = "drain";
    const ROLE: Role = Role::Sink;
    const INPUTS: InputKeys = InputKeys::One;

    fn plan(self, inputs: &Inputs<'_>) -> Result<Plan, Diagnostics> {
        let all = || inputs.schema(0).fields().iter().map(|field| field.name().clone()).collect();
        let columns = self.columns.map_or_else(all, Columns::from_iter);
        let mut plan = Plan::new(vec![InputPlan::any(WindowUse::Reads)], Vec::new(), Make::Sink(Arc::new(Ends(columns))));
        plan.parallelism = Parallelism::One("it is one file");
        if self.warn {
            plan.warnings.push(Diagnostic::warning("drained", "the rows are gone").on_key());
        }
        Ok(plan)
    }
}

/// A type whose author made a mistake: an operator that plans no input.
#[derive(Deserialize, JsonSchema)]
pub struct Broken {}

impl NodeOptions for Broken {
    const KIND: &'static str = "broken";
    const ROLE: Role = Role::Operator;
    const INPUTS: InputKeys = InputKeys::One;

    fn plan(self, inputs: &Inputs<'_>) -> Result<Plan, Diagnostics> {
        Ok(Plan::new(Vec::new(), vec![OutputPlan::main(inputs.streams[0].1.clone())], operator(|_| Vec::new())))
    }
}

fn operator(required: impl Fn(&[Columns]) -> Vec<Columns> + Send + Sync + 'static) -> Make {
    Make::Operator(Arc::new(Asks(required)))
}

struct Asks<F>(F);

impl<F: Fn(&[Columns]) -> Vec<Columns> + Send + Sync> OperatorFactory for Asks<F> {
    fn required(&self, outputs: &[Columns]) -> Vec<Columns> {
        self.0(outputs)
    }

    fn make(&self, _: &OperatorContext) -> Result<Box<dyn Operator>> {
        Err(Error::internal("only planned"))
    }
}

struct Ends(Columns);

impl SinkFactory for Ends {
    fn required(&self) -> Columns {
        self.0.clone()
    }

    fn make(&self, _: &SinkContext) -> Result<Box<dyn Sink>> {
        Err(Error::internal("only planned"))
    }
}

struct NeverRuns;

impl SourceFactory for NeverRuns {
    fn splits(&self) -> Result<Vec<String>> {
        Ok(vec!["one".to_owned()])
    }

    fn make(&self, _: &SourceContext) -> Result<Box<dyn Source>> {
        Err(Error::internal("only planned"))
    }
}

struct Names(Vec<String>);

impl KeyExpressions for Names {
    fn text(&self) -> String {
        self.0.join(", ")
    }

    fn columns(&self) -> Columns {
        self.0.iter().cloned().collect()
    }

    fn bind(&self, _: &Schema) -> Result<KeyValues> {
        Err(Error::internal("only planned"))
    }
}

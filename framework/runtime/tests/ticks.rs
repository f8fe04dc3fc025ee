//! Keys on disk of which a node has something to say at its next tick: they are kept only where somebody hears it.

#![expect(clippy::unwrap_used, reason = "helpers of tests fail the test")]

mod common;

use std::collections::BTreeSet;
use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, Int64Array, RecordBatch};
use arrow::datatypes::{DataType, Field, Int64Type, Schema};
use millstream_api::key_group::key_groups;
use millstream_api::plan::{
    Columns, InputPlan, Inputs, Make, OperatorContext, OperatorFactory, OutputPlan, Plan, Route, Spills, WindowUse,
};
use millstream_api::registry::{InputKeys, NodeOptions, Role};
use millstream_api::state::{StateDecl, StateReader, StateWriter};
use millstream_api::time::ClockTime;
use millstream_api::{Batch, Diagnostics, Operator, Output, Result};
use millstream_runtime::spilling::{Disk, DiskUse};
use millstream_topology::{Topology, load_text};
use schemars::JsonSchema;
use serde::Deserialize;

const NUMBERS: &str = "numbers";

/// Keeps numbers, and says at ticks which have come.
#[derive(Deserialize, JsonSchema)]
struct Says {}

impl NodeOptions for Says {
    const KIND: &'static str = "says";
    const ROLE: Role = Role::Operator;
    const INPUTS: InputKeys = InputKeys::One;

    fn plan(self, inputs: &Inputs<'_>) -> Result<Plan, Diagnostics> {
        let stream = || inputs.streams[0].1.clone();
        let input = InputPlan { route: Route::Any, windows: WindowUse::Passes, origin: false };
        let outputs = vec![OutputPlan::main(stream()), OutputPlan::side("late", stream())];
        Ok(Plan {
            state: vec![StateDecl { name: NUMBERS, keyed: true }],
            spills: Some(Spills { at_ticks: true, ..Spills::keys(&[NUMBERS], None) }),
            ..Plan::new(vec![input], outputs, Make::Operator(Arc::new(SaysFactory)))
        })
    }
}

struct SaysFactory;

impl OperatorFactory for SaysFactory {
    fn required(&self, _: &[Columns]) -> Vec<Columns> {
        vec![["n".to_owned()].into()]
    }

    fn make(&self, _: &OperatorContext) -> Result<Box<dyn Operator>> {
        Ok(Box::<Kept>::default())
    }
}

#[derive(Default)]
struct Kept(BTreeSet<i64>);

fn column(numbers: impl IntoIterator<Item = i64>) -> ArrayRef {
    Arc::new(Int64Array::from_iter_values(numbers))
}

impl Operator for Kept {
    fn on_batch(&mut self, _: usize, _: Batch, _: &mut Output) -> Result<()> {
        Ok(())
    }

    fn snapshot(&mut self, state: &mut StateWriter) -> Result<()> {
        let keys = column(self.0.iter().copied());
        let groups = key_groups(std::slice::from_ref(&keys), self.0.len(), 128)?;
        let schema = Schema::new(vec![Field::new("k0", DataType::Int64, false)]);
        state.put_keyed(NUMBERS, &groups, &RecordBatch::try_new(Arc::new(schema), vec![keys])?)
    }

    fn restore(&mut self, state: &StateReader) -> Result<()> {
        state.get(NUMBERS).for_each(|rows| self.0.extend(rows.column(0).as_primitive::<Int64Type>().values()));
        Ok(())
    }

    fn forget_keys(&mut self) -> Result<()> {
        self.0.clear();
        Ok(())
    }
}

fn topology(read: &str) -> Topology {
    let text = format!(
        "name = 't'\n[sources.a]\ntype = 'numbers'\n[operators.b]\ntype = 'says'\ninput = 'a'\nstate = 'disk'\nparallelism = 1\n\
         [sinks.c]\ntype = 'watch'\ninput = '{read}'\n"
    );
    let mut registry = common::registry();
    registry.add::<Says>();
    load_text("t.toml", &text, std::path::Path::new("."), &Default::default(), &[], &registry).topology.unwrap()
}

/// How many keys come back at a tick. A hundred times before it ten of a hundred keys came, and all left memory.
fn come_back_where(read: &str) -> usize {
    let topology = topology(read);
    let node = topology.nodes.iter().find(|node| node.name == "b").unwrap();
    let disk = Disk::open(&topology, DiskUse::Test).unwrap().unwrap();
    let mut spilling = disk.subtask(node, 128, false).unwrap().unwrap();
    let (mut kept, mut out) = (Kept::default(), Output::new(100));
    spilling.connect(&mut out);
    for round in 0..100 {
        let numbers = (0..10).map(|place| (round + place) % 100).collect::<Vec<i64>>();
        if let Some(state) = out.fetch(&[column(numbers.clone())], numbers.len()).unwrap() {
            kept.restore(&state).unwrap();
        }
        kept.0.extend(numbers);
        spilling.after(&mut kept, ClockTime(round)).unwrap();
    }
    assert_eq!(spilling.counts().keys, 100);
    while let Some(state) = out.fetch_touched().unwrap() {
        kept.restore(&state).unwrap();
    }
    kept.0.len()
}

#[test]
fn keys_are_noted_for_the_next_tick_where_somebody_reads_what_is_said() {
    assert_eq!(come_back_where("b"), 100);
    assert_eq!(come_back_where("b.late"), 0, "there is no tick that would empty the list");
}

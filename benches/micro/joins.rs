//! Joins by event time, and with a table: the operators themselves, without edges.

use std::sync::Arc;

use arrow::array::{Int64Array, RecordBatch};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use millstream_api::batch::Hidden;
use millstream_api::operator::Progress;
use millstream_api::options::OnBadRow;
use millstream_api::plan::{Inputs, Make, OperatorContext, Shape};
use millstream_api::registry::{Registry, Role};
use millstream_api::time::ClockTime;
use millstream_api::{Batch, EventTime, Operator, Output, Stream};
use serde_json::json;

use crate::{Measure, Work};

pub const GROUP: &str = "join";

const ROWS: i64 = 8192;
const BATCHES: i64 = 10;

pub fn parts(measure: &mut dyn Measure) {
    let mut registry = Registry::new();
    millstream_operators::register(&mut registry);
    let timed: Vec<[Batch; 2]> = (0..BATCHES).map(|number| [batch(number, "v", true), batch(number, "w", true)]).collect();
    let table: Vec<Batch> = (0..BATCHES).map(|number| batch(number, "w", false)).collect();
    let work = Work::Rows((2 * ROWS * BATCHES) as u64);
    for (name, options) in [
        ("interval", json!({ "mode": "interval", "before": "1s", "after": "1s", "on": "left.k = right.k" })),
        ("interval, left", json!({ "mode": "interval", "before": "1s", "after": "1s", "kind": "left", "on": "left.k = right.k" })),
        ("as of", json!({ "mode": "as_of", "kind": "left", "on": "left.k = right.k" })),
    ] {
        measure.part(GROUP, name, work, &mut || {
            let (mut operator, mut out) = made(&registry, &options, true);
            for pair in &timed {
                for (side, batch) in pair.iter().enumerate() {
                    told(&mut operator, &mut out, |operator, out| operator.on_batch(side, batch.clone(), out).expect("taken"));
                }
                let watermark = EventTime(pair[0].times().map_or(0, |times| times[0]));
                out.set_times(ClockTime(0), watermark);
                told(&mut operator, &mut out, |operator, out| operator.on_watermark(watermark, out).expect("passed"));
            }
        });
    }
    let options = json!({ "mode": "lookup", "on": "left.k = right.k" });
    measure.part(GROUP, "lookup", work, &mut || {
        let (mut operator, mut out) = made(&registry, &options, false);
        for batch in &table {
            told(&mut operator, &mut out, |operator, out| operator.on_batch(1, batch.clone(), out).expect("taken"));
        }
        told(&mut operator, &mut out, |operator, out| operator.on_end(1, out).expect("whole"));
        for [batch, _] in &timed {
            told(&mut operator, &mut out, |operator, out| operator.on_batch(0, batch.clone(), out).expect("taken"));
        }
    });
}

/// Does something, and then what is left of it.
fn told(operator: &mut Box<dyn Operator>, out: &mut Output, mut call: impl FnMut(&mut Box<dyn Operator>, &mut Output)) {
    call(operator, out);
    loop {
        out.take_batches();
        if operator.resume(out).expect("goes on") == Progress::Done {
            return;
        }
    }
}

fn schema(value: &str) -> SchemaRef {
    Arc::new(Schema::new(["k", value].map(|name| Field::new(name, DataType::Int64, false)).to_vec()))
}

/// Ten thousand rows a second, with keys that come about twice in a second and move on slowly.
fn batch(number: i64, value: &str, timed: bool) -> Batch {
    let rows = number * ROWS..(number + 1) * ROWS;
    let times = Int64Array::from_iter_values(rows.clone().map(|i| i * 100));
    let keys = Int64Array::from_iter_values(rows.clone().map(|i| i / 2 + (i * 7919) % 5_000));
    let records = RecordBatch::try_new(schema(value), vec![Arc::new(keys), Arc::new(Int64Array::from_iter_values(rows))]);
    Batch::new(records.expect("a batch"), Hidden { times: timed.then_some(times), ..Hidden::default() }).expect("a batch")
}

fn made(registry: &Registry, options: &serde_json::Value, timed: bool) -> (Box<dyn Operator>, Output) {
    let stream = |value: &str, event_time: bool| Stream { event_time, ..Stream::plain(schema(value)) };
    let streams = vec![("left".to_owned(), stream("v", true)), ("right".to_owned(), stream("w", timed))];
    let inputs = Inputs { name: "bench", streams, on_bad_row: OnBadRow::Fail, folder: ".".into() };
    let plan = registry.get(Role::Operator, "join").expect("a type").plan(options.clone(), &inputs).unwrap_or_else(|e| panic!("{e}"));
    let Make::Operator(factory) = &plan.make else { panic!("an operator") };
    let shape = |schema: SchemaRef, read: bool| Shape { schema, explicit_windows: false, judge: false, origin: false, read };
    let outputs = plan.outputs.iter().enumerate().map(|(port, output)| shape(output.stream.schema.clone(), port == 0)).collect();
    let context = OperatorContext {
        node: "bench".to_owned(),
        subtask: 0,
        parallelism: 1,
        key_groups: 128,
        batch_rows: ROWS as usize,
        on_bad_row: OnBadRow::Fail,
        inputs: vec![shape(schema("v"), true), shape(schema("w"), true)],
        outputs,
    };
    (factory.make(&context).expect("made"), Output::new(2 * ROWS as usize))
}

//! Counts by key in windows of each kind: the operators themselves, without edges.

use std::sync::Arc;

use arrow::array::{Int64Array, RecordBatch, TimestampMicrosecondArray};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use millstream_api::batch::Hidden;
use millstream_api::options::OnBadRow;
use millstream_api::plan::{Inputs, Make, OperatorContext, Plan, Shape};
use millstream_api::registry::{Registry, Role};
use millstream_api::time::ClockTime;
use millstream_api::types::timestamp_type;
use millstream_api::{Batch, EventTime, Operator, Output, Stream};

use crate::{Measure, Work};

pub const GROUP: &str = "count by key and window";

const ROWS: i64 = 8192;
const BATCHES: i64 = 40;

pub fn parts(measure: &mut dyn Measure) {
    let mut registry = Registry::new();
    millstream_operators::register(&mut registry);
    let batches: Vec<Batch> = (0..BATCHES).map(batch).collect();
    for (name, window) in [
        ("tumble 10 s", serde_json::json!({ "kind": "tumble", "size": "10s" })),
        ("hop 10 s by 2 s", serde_json::json!({ "kind": "hop", "size": "10s", "slide": "2s" })),
        ("cumulate 10 s by 2 s", serde_json::json!({ "kind": "cumulate", "size": "10s", "step": "2s" })),
        ("session with a gap of 1 s", serde_json::json!({ "kind": "session", "gap": "1s" })),
    ] {
        measure.part(GROUP, name, Work::Rows((ROWS * BATCHES) as u64), &mut || {
            let mut operator = operator(&registry, &window);
            let mut out = Output::new(usize::MAX);
            for batch in &batches {
                let watermark = EventTime(batch.times().map_or(0, |times| times[0]));
                out.set_times(ClockTime(0), watermark);
                operator.on_batch(0, batch.clone(), &mut out).expect("taken");
                operator.on_watermark(watermark, &mut out).expect("closed");
                out.take_batches();
            }
        });
    }
}

fn schema() -> SchemaRef {
    Arc::new(Schema::new(vec![Field::new("auction", DataType::Int64, false), Field::new("at", timestamp_type(), false)]))
}

/// Ten thousand rows a second, 1,000 keys at a time that move on slowly.
fn batch(number: i64) -> Batch {
    let rows = number * ROWS..(number + 1) * ROWS;
    let times = Int64Array::from_iter_values(rows.clone().map(|i| i * 100));
    let keys = Int64Array::from_iter_values(rows.map(|i| i / 50 + (i * 7919) % 1_000));
    let at = TimestampMicrosecondArray::new(times.values().clone(), None).with_timezone("+00:00");
    let records = RecordBatch::try_new(schema(), vec![Arc::new(keys), Arc::new(at)]).expect("a batch");
    Batch::new(records, Hidden { times: Some(times), ..Hidden::default() }).expect("a batch")
}

fn plan(registry: &Registry, kind: &str, options: serde_json::Value, stream: Stream) -> Plan {
    let inputs = Inputs { name: "bench", streams: vec![("input".to_owned(), stream)], on_bad_row: OnBadRow::Fail, folder: ".".into() };
    registry.get(Role::Operator, kind).expect("a type").plan(options, &inputs).unwrap_or_else(|e| panic!("{e}"))
}

fn operator(registry: &Registry, window: &serde_json::Value) -> Box<dyn Operator> {
    let source = Stream { event_time: true, from_source: true, ..Stream::plain(schema()) };
    let windows = plan(registry, "window", window.clone(), source).outputs.swap_remove(0).stream;
    let aggregate = plan(registry, "aggregate", serde_json::json!({ "by": ["auction"], "compute": ["count(*) as num"] }), windows);
    let Make::Operator(factory) = &aggregate.make else { panic!("an operator") };
    let shape = |schema: SchemaRef| Shape { schema, explicit_windows: false, judge: false, origin: false, read: true };
    let outputs: Vec<Shape> = aggregate.outputs.iter().map(|o| shape(o.stream.schema.clone())).collect();
    factory
        .make(&OperatorContext {
            node: "bench".to_owned(),
            subtask: 0,
            parallelism: 1,
            key_groups: 128,
            batch_rows: ROWS as usize,
            on_bad_row: OnBadRow::Fail,
            inputs: vec![shape(schema())],
            outputs,
        })
        .expect("made")
}

//! Partition of a batch by key among two subtasks, over four integer columns and over strings.

use std::sync::Arc;

use arrow::array::{ArrayRef, Int64Array, RecordBatch, StringViewArray};
use arrow::datatypes::{Field, Schema};
use millstream_api::Batch;
use millstream_api::plan::KeyExpressions;
use millstream_api::time::{ClockTime, DurationText};
use millstream_expr::{Scalar, ScalarKey};
use millstream_runtime::channel::{Channel, EdgeBytes};
use millstream_runtime::lane::{Batching, Lane};
use millstream_runtime::meter::Held;
use millstream_runtime::outbox::{OutEdge, Outbox, Port, Spread};
use millstream_runtime::tap::TapPoint;
use millstream_runtime::wake::WakeSlot;

use crate::{Measure, Work};

pub const GROUP: &str = "exchange by key to two";

const ROWS: i64 = 8192;

pub fn parts(measure: &mut dyn Measure) {
    let numbers = |seed: i64| Arc::new(Int64Array::from_iter_values((0..ROWS).map(|i| (i * 7919 + seed) % 10_007))) as ArrayRef;
    let texts = Arc::new(StringViewArray::from_iter_values((0..ROWS).map(|i| format!("https://www.nexmark.com/{i}/item.htm")))) as ArrayRef;
    for (name, columns) in [
        ("four integers", [numbers(1), numbers(2), numbers(3), numbers(4)]),
        ("with two strings", [numbers(1), numbers(2), texts.clone(), texts]),
    ] {
        let fields: Vec<Field> =
            ["a", "b", "c", "d"].iter().zip(&columns).map(|(n, c)| Field::new(*n, c.data_type().clone(), false)).collect();
        let schema = Arc::new(Schema::new(fields));
        let batch = Batch::plain(RecordBatch::try_new(schema.clone(), columns.to_vec()).expect("a batch"));
        let key = ScalarKey(vec![Scalar::parse("a", &schema).expect("a column")]);
        let channels: Vec<Arc<Channel>> =
            (0..2).map(|_| Channel::new(8, EdgeBytes::new(64 << 20), WakeSlot::default(), WakeSlot::default())).collect();
        let batching = Batching { batch_rows: ROWS as usize, linger: DurationText::default() };
        let lanes = channels.iter().map(|channel| Lane::new(channel.clone(), schema.clone(), batching, None)).collect();
        let spread = Spread::ByKey { values: key.bind(&schema).expect("a key"), key_groups: 128 };
        let mut outbox = Outbox::new(vec![Port {
            edges: vec![OutEdge { spread, lanes, combining: None, held: Held::default() }],
            event_time: false,
            tap: TapPoint::default(),
        }]);
        measure.part(GROUP, name, Work::Rows(ROWS as u64), &mut || {
            outbox.push(0, batch.clone(), ClockTime(0)).expect("pushed");
            outbox.flush(ClockTime(1)).expect("sent");
            for channel in &channels {
                while channel.receive().is_some() {
                    channel.processed();
                }
            }
        });
    }
}

//! A channel with credits: what it costs to send, take and give credit back, for a batch.

use std::hint::black_box;
use std::sync::Arc;

use arrow::array::{Int64Array, RecordBatch};
use arrow::datatypes::{DataType, Field, Schema};
use millstream_api::Batch;
use millstream_api::time::ClockTime;
use millstream_runtime::channel::{Channel, EdgeBytes};
use millstream_runtime::wake::WakeSlot;

use crate::{Measure, Work};

pub const GROUP: &str = "edge";

pub fn parts(measure: &mut dyn Measure) {
    let schema = Arc::new(Schema::new(vec![Field::new("v", DataType::Int64, false)]));
    let records = RecordBatch::try_new(schema, vec![Arc::new(Int64Array::from(vec![1; 8192]))]).expect("a batch");
    let batch = Batch::plain(records);
    let channel = Channel::new(8, EdgeBytes::new(64 << 20), WakeSlot::default(), WakeSlot::default());
    measure.part(GROUP, "send, take, process one batch", Work::Rows(1), &mut || {
        channel.send_batch(batch.clone(), ClockTime(0)).expect("credit");
        black_box(channel.receive());
        channel.processed();
    });
}

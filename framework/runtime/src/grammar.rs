//! Checks what a subtask sends against the [grammar](millstream_api::message) and its plan. On in debug builds and tests.
//!
//! A violation is a mistake in an operator, never in the data; it ends the run with an internal error that names the rule.

use std::collections::BTreeMap;

use arrow::datatypes::SchemaRef;
use millstream_api::message::{CheckpointId, Item};
use millstream_api::{Batch, Error, EventTime, Result};

/// The state of one checked channel.
#[derive(Debug)]
pub struct Checker {
    schema: SchemaRef,
    updating: bool,
    event_time: bool,
    watermark: EventTime,
    barrier: CheckpointId,
    wakings: BTreeMap<u32, u32>,
    ended: bool,
}

impl Checker {
    /// For a channel whose batches have exactly these columns.
    pub fn new(schema: SchemaRef, event_time: bool, updating: bool) -> Self {
        Checker { schema, updating, event_time, watermark: EventTime::MIN, barrier: 0, wakings: BTreeMap::new(), ended: false }
    }

    /// Looks at the next item.
    ///
    /// # Errors
    /// When it may not follow what came before, or a batch is not as planned.
    pub fn check(&mut self, item: &Item) -> Result<()> {
        if self.ended {
            return Err(broken("something follows the last item"));
        }
        match item {
            Item::Batch(batch) => self.check_batch(batch),
            Item::Watermark(watermark) if *watermark < self.watermark => {
                Err(broken(&format!("the watermark falls from {} to {watermark}", self.watermark)))
            }
            Item::Watermark(watermark) => {
                self.watermark = *watermark;
                Ok(())
            }
            Item::Barrier(id) if *id <= self.barrier => Err(broken(&format!("barrier {id} follows barrier {}", self.barrier))),
            Item::Barrier(id) => {
                self.barrier = *id;
                Ok(())
            }
            Item::Idle(idleness) if !idleness.knows_of(&self.wakings) => Err(broken("a source has woken less often than before")),
            Item::Idle(idleness) => {
                self.wakings.clone_from(&idleness.wakings);
                Ok(())
            }
            Item::End | Item::Halt => {
                self.ended = true;
                Ok(())
            }
        }
    }

    fn check_batch(&self, batch: &Batch) -> Result<()> {
        if batch.rows() == 0 {
            return Err(broken("a batch without rows is sent"));
        }
        // Partial results are between a node's combiner and the node itself.
        if batch.is_partial() {
            return Ok(());
        }
        let (found, planned) = (batch.schema(), &self.schema);
        let same = found.fields().len() == planned.fields().len()
            && found.fields().iter().zip(planned.fields()).all(|(f, p)| f.name() == p.name() && f.data_type() == p.data_type());
        if !same {
            return Err(broken(&format!("the batch has the columns {found}, planned are {planned}")));
        }
        if let Some(field) = planned.fields().iter().zip(batch.records().columns()).find(|(f, c)| !f.is_nullable() && c.null_count() > 0) {
            return Err(broken(&format!("null in `{}`, which is planned not null", field.0.name())));
        }
        if batch.times().is_some() != self.event_time {
            return Err(broken(if self.event_time { "event time is planned and missing" } else { "event time is not planned" }));
        }
        if !self.updating && batch.weights().is_some_and(|w| w.contains(&-1)) {
            return Err(broken("a row is withdrawn from an insert-only stream"));
        }
        self.check_times(batch)
    }

    /// No row is behind the watermark unless it says so itself.
    fn check_times(&self, batch: &Batch) -> Result<()> {
        let Some(times) = batch.times() else { return Ok(()) };
        let behind = |row: usize, time: i64| EventTime(time) < self.watermark && batch.judged_at(row, EventTime::MIN) <= EventTime(time);
        match times.iter().enumerate().find(|(row, time)| behind(*row, **time)) {
            Some((_, time)) => {
                Err(broken(&format!("a row at {} follows the watermark {} without a mark", EventTime(*time), self.watermark)))
            }
            None => Ok(()),
        }
    }
}

fn broken(rule: &str) -> Error {
    Error::internal(format!("the stream's grammar is broken: {rule}")).help("this is a mistake in the operator, not in the data")
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{Int8Array, Int64Array, RecordBatch};
    use arrow::datatypes::{DataType, Field, Schema};
    use millstream_api::batch::Hidden;
    use millstream_api::message::Idleness;

    use super::*;

    fn schema() -> SchemaRef {
        Arc::new(Schema::new(vec![Field::new("v", DataType::Int64, false)]))
    }

    fn batch(hidden: Hidden) -> Item {
        let records = RecordBatch::try_new(schema(), vec![Arc::new(Int64Array::from(vec![1]))]).unwrap();
        Item::Batch(Batch::new(records, hidden).unwrap())
    }

    fn at(time: i64, mark: Option<i64>) -> Item {
        batch(Hidden { times: Some(vec![time].into()), marks: mark.map(|m| vec![m].into()), ..Hidden::default() })
    }

    fn message(checker: &mut Checker, item: Item) -> String {
        checker.check(&item).unwrap_err().message().to_owned()
    }

    #[test]
    fn each_rule_is_held() {
        let mut checker = Checker::new(schema(), true, false);
        checker.check(&at(5, None)).unwrap();
        checker.check(&Item::Watermark(EventTime(10))).unwrap();
        checker.check(&at(10, None)).unwrap();
        checker.check(&at(9, Some(10))).unwrap();
        assert!(message(&mut checker, at(9, None)).contains("without a mark"));
        assert!(message(&mut checker, Item::Watermark(EventTime(9))).contains("falls"));
        assert!(message(&mut checker, batch(Hidden::default())).contains("event time is planned and missing"));
        let withdrawn = Hidden { times: Some(vec![11].into()), weights: Some(Int8Array::from(vec![-1])), ..Hidden::default() };
        assert!(message(&mut checker, batch(withdrawn)).contains("insert-only"));
        checker.check(&Item::Barrier(1)).unwrap();
        assert!(message(&mut checker, Item::Barrier(1)).contains("barrier 1 follows barrier 1"));
        checker.check(&Item::End).unwrap();
        assert!(message(&mut checker, Item::Idle(Idleness::default())).contains("follows the last item"));
    }

    #[test]
    fn columns_must_be_as_planned() {
        let other = Arc::new(Schema::new(vec![Field::new("w", DataType::Int64, false)]));
        let mut checker = Checker::new(other, false, false);
        assert!(message(&mut checker, batch(Hidden::default())).contains("planned are"));
    }
}

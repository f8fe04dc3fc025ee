//! What a node does with rows on which an expression failed.
//!
//! Every operator with expressions settles its bad rows here, before it counts or sends the others, so that `on_bad_row`
//! means the same everywhere. Nothing here decides whether a row is bad, and no bad row is dropped without being counted.

use std::cell::RefCell;

use arrow::array::{BooleanArray, Int8Array, RecordBatch};
use arrow::datatypes::SchemaRef;
use millstream_api::batch::Hidden;
use millstream_api::left_out::LeftOut;
use millstream_api::options::OnBadRow;
use millstream_api::plan::{OperatorContext, OutputPlan, rejected_records, rejected_schema};
use millstream_api::time::rfc3339;
use millstream_api::{BadRow, Batch, Output, Result, Stream};
use millstream_expr::BadValue;

use crate::encode::json;

/// The side stream `.rejected` of a node that reads these streams. It is updating where one of them is: a bad row that is
/// withdrawn is withdrawn from it as well.
pub fn rejected_output<'a>(inputs: impl IntoIterator<Item = &'a Stream>) -> OutputPlan {
    let mut rejected = Stream::plain(rejected_schema());
    for input in inputs {
        rejected.updating |= input.updating;
        rejected.bounded &= input.bounded;
    }
    OutputPlan::side("rejected", rejected)
}

/// The policy of one node for its bad rows.
#[derive(Clone, Debug)]
pub struct BadRows {
    node: String,
    policy: OnBadRow,
    rejected_port: usize,
    /// The columns of it that somebody reads.
    flowing: SchemaRef,
    /// Whether anybody does.
    read: bool,
    /// Those that nobody is given.
    left_out: RefCell<LeftOut>,
}

impl BadRows {
    /// The policy of the node of `context`, whose stream `.rejected` has the port `rejected_port`.
    pub fn new(context: &OperatorContext, rejected_port: usize) -> Self {
        let rejected = context.outputs.get(rejected_port);
        BadRows {
            node: context.node.clone(),
            policy: context.on_bad_row,
            rejected_port,
            flowing: rejected.map_or_else(rejected_schema, |shape| shape.schema.clone()),
            read: rejected.is_some_and(|shape| shape.read),
            left_out: RefCell::default(),
        }
    }

    /// Settles the rows of `batch` that are in `bad` (in any order; a row that failed several times counts once, with its
    /// first reason): counts them, and sends them to `.rejected` if the policy says so. The result is true for the rows
    /// that remain; `None` when all do.
    ///
    /// # Errors
    /// The first bad row, if the policy is `fail`.
    pub fn settle(&self, batch: &Batch, bad: &[BadValue], out: &mut Output) -> Result<Option<BooleanArray>> {
        if bad.is_empty() {
            return Ok(None);
        }
        let mut rows: Vec<&BadValue> = bad.iter().collect();
        rows.sort_by_key(|value| value.row);
        rows.dedup_by_key(|value| value.row);
        match self.policy {
            OnBadRow::Fail => return Err(self.describe(batch, rows[0])?.into_error()),
            OnBadRow::Skip => out.fates().skipped += rows.len() as u64,
            OnBadRow::Reject => {
                out.fates().rejected += rows.len() as u64;
                self.reject(batch, &rows, out)?;
            }
        }
        self.tell_of(rows.len(), || self.describe(batch, rows[0]), out)?;
        let mut remains = vec![true; batch.rows()];
        rows.iter().for_each(|value| remains[value.row] = false);
        Ok(Some(BooleanArray::from(remains)))
    }

    /// Settles bad results of an aggregate: rows of this node, not rows that came in, so that nothing is counted. `groups` says
    /// which group and window each result is of.
    ///
    /// # Errors
    /// The first bad result, if the policy is `fail`.
    pub fn settle_results(&self, groups: &RecordBatch, bad: &[BadValue], out: &mut Output) -> Result<()> {
        let described = bad.iter().map(|value| {
            let raw = json::row_text(groups, value.row)?;
            Ok(BadRow { reason: value.reason.clone(), place: format!("result of {} for {raw}", self.node), raw })
        });
        let mut described: Vec<BadRow> = described.collect::<Result<_>>()?;
        if let Some(first) = described.first() {
            self.tell_of(described.len(), || Ok(first.clone()), out)?;
        }
        match self.policy {
            OnBadRow::Fail if !described.is_empty() => return Err(described.swap_remove(0).into_error()),
            OnBadRow::Reject => out.emit(self.rejected_port, Batch::plain(rejected_records(&described, &self.flowing)?)),
            OnBadRow::Fail | OnBadRow::Skip => {}
        }
        Ok(())
    }

    /// Says why rows are left out, where nobody is given them.
    fn tell_of(&self, rows: usize, first: impl FnOnce() -> Result<BadRow>, out: &Output) -> Result<()> {
        if self.policy == OnBadRow::Fail || (self.policy == OnBadRow::Reject && self.read) {
            return Ok(());
        }
        if let Some(said) = self.left_out.borrow_mut().note(rows as u64, first, out.now())? {
            tracing::warn!("`{}`: {said}", self.node);
        }
        Ok(())
    }

    fn reject(&self, batch: &Batch, rows: &[&BadValue], out: &mut Output) -> Result<()> {
        let described: Vec<BadRow> = rows.iter().map(|value| self.describe(batch, value)).collect::<Result<_>>()?;
        let records = rejected_records(&described, &self.flowing)?;
        let weights = batch.weights().map(|weights| Int8Array::from_iter_values(rows.iter().map(|value| weights[value.row])));
        out.emit(self.rejected_port, Batch::new(records, Hidden { weights, ..Hidden::default() })?);
        Ok(())
    }

    /// A bad row in words: its event time is the best there is to find it again once it has left its source.
    fn describe(&self, batch: &Batch, value: &BadValue) -> Result<BadRow> {
        let time = batch.times().map(|times| format!(" with event time {}", rfc3339(times[value.row]))).unwrap_or_default();
        Ok(BadRow {
            reason: value.reason.clone(),
            place: format!("row of {}{time}", self.node),
            raw: json::row_text(batch.records(), value.row)?,
        })
    }
}

#[cfg(test)]
mod tests {
    use millstream_api::options::OnBadRow::{Fail, Reject, Skip};

    use super::*;
    use crate::testing::{at, batch, ints, rows, schema, stream, weighed};

    fn settled(policy: OnBadRow, bad: &[usize]) -> (Result<Option<BooleanArray>>, Output) {
        let rules = BadRows {
            node: "ratio".into(),
            policy,
            rejected_port: 1,
            flowing: rejected_schema(),
            read: true,
            left_out: RefCell::default(),
        };
        let reasons = bad.iter().enumerate().map(|(i, &row)| BadValue { row, reason: format!("reason {i}") });
        let mut out = Output::new(10);
        let batch = weighed(at(batch(&[("a", ints([Some(7), None, Some(9)]))]), &[0, 1, 2]), &[1, -1, 1]);
        (rules.settle(&batch, &reasons.collect::<Vec<_>>(), &mut out), out)
    }

    #[test]
    fn only_what_somebody_reads_is_sent() {
        let flowing = std::sync::Arc::new(rejected_schema().project(&[2]).unwrap());
        let rules = BadRows { node: "ratio".into(), policy: Reject, rejected_port: 1, flowing, read: true, left_out: RefCell::default() };
        let mut out = Output::new(10);
        let bad = [BadValue { row: 0, reason: "reason".into() }];
        rules.settle(&batch(&[("a", ints([Some(7)]))]), &bad, &mut out).unwrap();
        assert_eq!(rows(&out.take_batches(), 1), [r#"{"raw":"{\"a\":7}"}"#]);
    }

    #[test]
    fn a_rejected_row_says_why_and_where_and_may_be_withdrawn() {
        let (remains, mut out) = settled(Reject, &[1, 0, 1]);
        assert_eq!(remains.unwrap().unwrap(), BooleanArray::from(vec![false, false, true]));
        let sent = out.take_batches();
        let expected = [
            r#"{"reason":"reason 1","place":"row of ratio with event time 1970-01-01T00:00:00Z","raw":"{\"a\":7}"}"#,
            r#"{"reason":"reason 0","place":"row of ratio with event time 1970-01-01T00:00:00.000001Z","raw":"{\"a\":null}"}"#,
        ];
        assert_eq!(rows(&sent, 1), expected);
        assert_eq!(sent[0].1.weights(), Some(&[1i8, -1][..]));
        assert_eq!(out.take_fates().rejected, 2);
        let updating = Stream { updating: true, ..stream(schema("a bigint")) };
        assert!(rejected_output([&stream(schema("a bigint")), &updating]).stream.updating);
    }

    #[test]
    fn policies_count_or_fail_at_the_first_row() {
        let (remains, mut out) = settled(Skip, &[2]);
        assert_eq!(remains.unwrap().unwrap().true_count(), 2);
        assert_eq!(out.take_fates().skipped, 1);
        let error = settled(Fail, &[2, 0]).0.unwrap_err();
        assert_eq!(error.message(), "bad row: reason 1: {\"a\":7}");
        assert!(settled(Fail, &[]).0.unwrap().is_none());
    }
}

//! Event time of a source: watermarks of its splits, and which rows are behind them.
//!
//! A split's watermark is the greatest event time read so far minus `max_delay`. Lateness is judged row by row at the split's
//! watermark *just before that row was read*: so a row behind it gets that watermark as a mark, and batch size, workers and
//! timing can't change what is late.

use arrow::array::{Array, AsArray, BooleanArray, Int64Array, RecordBatch};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Int64Type};
use millstream_api::time::{RFC3339_MICROS, beyond_event_time};
use millstream_api::{Batch, EventTime, Result};
use millstream_expr::BoundScalar;

/// One split of a source.
#[derive(Clone, Copy, Debug)]
struct Split {
    greatest: EventTime,
    /// The greatest event time before the rows that are being read.
    before: EventTime,
    ended: bool,
    idle: bool,
}

/// The splits of a source.
#[derive(Clone, Debug)]
pub struct SplitWatermarks {
    splits: Vec<Split>,
    max_delay_micros: i64,
    latest: EventTime,
}

impl SplitWatermarks {
    /// `splits` splits that have read nothing yet.
    pub fn new(splits: usize, max_delay_micros: i64) -> Self {
        let fresh = Split { greatest: EventTime::MIN, before: EventTime::MIN, ended: false, idle: false };
        SplitWatermarks { splits: vec![fresh; splits], max_delay_micros, latest: EventTime::MIN }
    }

    /// The greatest event time that each split has read, for a snapshot.
    pub fn greatest(&self) -> Vec<EventTime> {
        self.splits.iter().map(|split| split.greatest).collect()
    }

    /// Takes back what [`greatest`](SplitWatermarks::greatest) gave.
    pub fn restore(&mut self, split: usize, greatest: EventTime) {
        if let Some(split) = self.splits.get_mut(split) {
            split.greatest = greatest;
        }
    }

    /// The greatest event time of a split, and whether it is idle and has ended.
    pub fn standing(&self, split: usize) -> Option<(EventTime, bool, bool)> {
        self.splits.get(split).map(|split| (split.greatest, split.idle, split.ended))
    }

    /// Takes back the watermark that had been sent: it may be ahead of all splits that run now, because one was idle.
    pub fn restore_sent(&mut self, watermark: EventTime) {
        self.latest = self.latest.max(watermark);
    }

    /// Rows of a split follow, in one or several parts that were read side by side.
    pub fn begin(&mut self, split: usize) {
        if let Some(split) = self.splits.get_mut(split) {
            split.before = split.greatest;
        }
    }

    /// Notes a part of the rows of a split in the order of reading, and gives their marks if any of them is behind. Rows of
    /// one part are not behind those of another one that came along with it: which of them was first is not known. Rows of a
    /// split that was idle are also behind when the watermark has gone on without it.
    pub fn read(&mut self, split: usize, times: &Int64Array) -> Option<Int64Array> {
        let latest = self.latest;
        let state = self.splits.get_mut(split)?;
        state.idle = false;
        let delay = self.max_delay_micros;
        let mut greatest = state.before;
        // Mostly rows come in the order of their times, and then none is behind those before it.
        if let (Some(&first), Some(&last)) = (times.values().first(), times.values().last())
            && EventTime(first) >= greatest.minus(delay).max(latest)
            && times.values().windows(2).fold(true, |rises, pair| rises & (pair[0] <= pair[1]))
        {
            state.greatest = state.greatest.max(greatest).max(EventTime(last));
            return None;
        }
        let mut marks: Vec<i64> = Vec::new();
        for (row, &time) in times.values().iter().enumerate() {
            let watermark = greatest.minus(delay).max(latest);
            if EventTime(time) < watermark {
                marks.resize(row, i64::MIN);
                marks.push(watermark.0);
            }
            greatest = greatest.max(EventTime(time));
        }
        state.greatest = state.greatest.max(greatest);
        (!marks.is_empty()).then(|| {
            marks.resize(times.len(), i64::MIN);
            Int64Array::from(marks)
        })
    }

    /// The split is over: it holds nothing back any more.
    pub fn end(&mut self, split: usize) {
        if let Some(split) = self.splits.get_mut(split) {
            split.ended = true;
        }
    }

    /// A split that runs has waited too long for input. Whether that is news.
    pub fn idle(&mut self, split: usize) -> bool {
        let running = self.splits.get_mut(split).filter(|split| !split.ended && !split.idle);
        running.map(|split| split.idle = true).is_some()
    }

    /// How far the slowest split has come that runs and is not idle.
    pub fn slowest(&self) -> Option<EventTime> {
        self.splits.iter().filter(|split| !split.ended && !split.idle).map(|split| split.greatest).min()
    }

    /// All splits that run have waited too long for input. Whether that is news.
    pub fn all_idle(&mut self) -> bool {
        let mut news = false;
        for split in self.splits.iter_mut().filter(|split| !split.ended && !split.idle) {
            split.idle = true;
            news = true;
        }
        news
    }

    /// The source's watermark: the smallest of the splits that run and are not idle. Never falls; stands when there are none.
    pub fn watermark(&mut self) -> EventTime {
        let running = self.splits.iter().filter(|split| !split.ended && !split.idle);
        if let Some(lowest) = running.map(|split| split.greatest.minus(self.max_delay_micros)).min() {
            self.latest = self.latest.max(lowest);
        }
        self.latest
    }
}

/// Event times of rows.
pub(crate) struct Timed {
    /// One for each row.
    pub(crate) times: Int64Array,
    /// The rows on which the expression failed, with the reasons.
    pub(crate) bad: Vec<(usize, String)>,
    /// The rows that have none.
    pub(crate) without: Vec<usize>,
}

/// Event times, and the rows that have none.
pub(crate) fn timed(time: &BoundScalar, records: &RecordBatch) -> Result<Timed> {
    let evaluated = time.evaluate(records)?;
    let mut times = cast(&evaluated.values, &DataType::Int64)?.as_primitive::<Int64Type>().clone();
    let mut bad: Vec<(usize, String)> = evaluated.bad.into_iter().map(|bad| (bad.row, bad.reason)).collect();
    // One of them would make all rows behind it late.
    if !times.values().iter().all(|time| RFC3339_MICROS.contains(time)) {
        let valid = (0..times.len()).filter(|&row| times.is_valid(row));
        bad.extend(valid.filter_map(|row| Some((row, beyond_event_time(times.value(row))?))));
        bad.sort_by_key(|(row, _)| *row);
        times = times.iter().map(|time| time.filter(|time| RFC3339_MICROS.contains(time))).collect();
    }
    let without = match times.null_count() {
        0 => Vec::new(),
        _ => (0..times.len()).filter(|&row| times.is_null(row) && bad.binary_search_by_key(&row, |(r, _)| *r).is_err()).collect(),
    };
    Ok(Timed { times, bad, without })
}

/// All rows but those that are gone.
pub(crate) fn without_rows(batch: Batch, gone: &[usize]) -> Result<Batch> {
    if gone.is_empty() {
        return Ok(batch);
    }
    let mut mask = vec![true; batch.rows()];
    gone.iter().for_each(|&row| mask[row] = false);
    batch.filter(&BooleanArray::from(mask))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{ArrayRef, TimestampMicrosecondArray};
    use millstream_api::types::UTC;
    use millstream_expr::Scalar;

    use super::*;

    fn read(splits: &mut SplitWatermarks, split: usize, times: &[i64]) -> Option<Vec<i64>> {
        splits.begin(split);
        splits.read(split, &Int64Array::from(times.to_vec())).map(|marks| marks.values().to_vec())
    }

    #[test]
    fn a_time_in_no_year_is_none() {
        let stamps = TimestampMicrosecondArray::from(vec![Some(1), Some(i64::MAX / 2), None, Some(7)]).with_timezone(UTC);
        let records = RecordBatch::try_from_iter([("t", Arc::new(stamps) as ArrayRef)]).unwrap();
        let time = Scalar::parse("t", &records.schema()).unwrap().bind(&records.schema()).unwrap();
        let Timed { times, bad, without } = timed(&time, &records).unwrap();
        assert_eq!(times.iter().collect::<Vec<_>>(), [Some(1), None, None, Some(7)]);
        let reason = "the event time is in the year 148108, and years go from 1 to 9999";
        assert_eq!((bad, without), (vec![(1, reason.to_owned())], vec![2]));
    }

    #[test]
    fn rows_are_judged_at_the_watermark_just_before_them() {
        let mut splits = SplitWatermarks::new(1, 10);
        assert_eq!(read(&mut splits, 0, &[100, 90, 89, 120, 105]), Some(vec![i64::MIN, i64::MIN, 90, i64::MIN, 110]));
        assert_eq!(splits.watermark(), EventTime(110));
        assert_eq!(read(&mut splits, 0, &[110, 130]), None);
    }

    #[test]
    fn the_cut_into_batches_does_not_matter() {
        let times = [5, 50, 3, 39, 60, 49, 50, -7, 90];
        let mut whole = SplitWatermarks::new(1, 10);
        let expected = read(&mut whole, 0, &times).unwrap();
        for size in 1..times.len() {
            let mut cut = SplitWatermarks::new(1, 10);
            let marks: Vec<i64> =
                times.chunks(size).flat_map(|part| read(&mut cut, 0, part).unwrap_or_else(|| vec![i64::MIN; part.len()])).collect();
            assert_eq!(marks, expected);
        }
    }

    #[test]
    fn parts_read_side_by_side_do_not_make_each_other_late() {
        let mut splits = SplitWatermarks::new(1, 0);
        for parts in [[[10, 20], [11, 21]], [[22, 30], [21, 29]]] {
            splits.begin(0);
            assert!(parts.iter().all(|times| splits.read(0, &Int64Array::from(times.to_vec())).is_none()));
        }
        assert_eq!(splits.watermark(), EventTime(30));
        assert_eq!(read(&mut splits, 0, &[29]), Some(vec![30]));
    }

    #[test]
    fn rows_of_a_split_that_was_idle_are_judged_at_the_watermark_that_went_on() {
        let mut splits = SplitWatermarks::new(2, 10);
        read(&mut splits, 0, &[100]);
        assert!(splits.idle(1) && !splits.idle(1));
        assert_eq!((splits.watermark(), splits.slowest()), (EventTime(90), Some(EventTime(100))));
        assert_eq!(read(&mut splits, 1, &[95, 50, 89]), Some(vec![i64::MIN, 90, 90]));
        assert_eq!((splits.watermark(), splits.slowest()), (EventTime(90), Some(EventTime(95))), "it does not fall");
        assert_eq!(read(&mut splits, 0, &[200]), None);
        assert_eq!(splits.watermark(), EventTime(90), "the woken one holds it again");
    }

    #[test]
    fn the_slowest_split_that_runs_holds_the_watermark() {
        let mut splits = SplitWatermarks::new(2, 0);
        read(&mut splits, 0, &[100]);
        assert_eq!(splits.watermark(), EventTime::MIN);
        read(&mut splits, 1, &[40]);
        assert_eq!(splits.watermark(), EventTime(40));
        splits.end(1);
        assert_eq!(splits.watermark(), EventTime(100));
        assert!(splits.all_idle());
        assert!(!splits.all_idle());
        assert_eq!(splits.watermark(), EventTime(100));
    }
}

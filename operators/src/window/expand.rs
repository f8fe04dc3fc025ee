//! Explicit windows: each row once for each of its windows.
//!
//! A row of hop windows can be in very many of them, so rows are expanded piece by piece: when the output is full, the place
//! reached is remembered, inside a row if need be, and the rest follows in [`Operator::resume`].

use std::sync::Arc;

use arrow::array::{ArrayRef, Int64Array, TimestampMicrosecondArray, UInt32Array};
use arrow::datatypes::{Schema, SchemaRef};
use millstream_api::batch::Windows;
use millstream_api::plan::OperatorContext;
use millstream_api::types::UTC;
use millstream_api::window::{Aligned, WindowRange};
use millstream_api::{Batch, Error, EventTime, Operator, Output, Progress, Result};

use super::{LATE, MAIN, WINDOW_END, WINDOW_START};
use crate::columns::{place, records};
use crate::late::LateRows;

/// Sends each row once for each of its windows, or of those that are open.
pub(super) struct Expand {
    windows: Aligned,
    /// Whether windows that are closed for the row are left out.
    judge: bool,
    /// Whether rows carry their window, beside the visible columns.
    explicit: bool,
    columns: Vec<Place>,
    schema: SchemaRef,
    late: LateRows,
    piece_rows: usize,
    rest: Option<Rest>,
}

/// Where a column that leaves comes from.
enum Place {
    Input(usize),
    Start,
    End,
}

/// Rows that are not expanded yet.
struct Rest {
    batch: Batch,
    row: usize,
    /// The numbers of the first and last window of `row` that are left, when it is begun.
    windows: Option<(i64, i64)>,
}

/// A piece of the output under construction.
#[derive(Default)]
struct Piece {
    rows: Vec<u32>,
    starts: Vec<i64>,
    ends: Vec<i64>,
    late: Vec<u32>,
}

impl Expand {
    pub(super) fn new(windows: &Aligned, context: &OperatorContext) -> Result<Self> {
        let (input, shape) = (&context.inputs[0].schema, &context.outputs[MAIN]);
        Ok(Expand {
            windows: windows.clone(),
            judge: shape.judge,
            explicit: shape.explicit_windows,
            columns: shape.schema.fields().iter().map(|field| Place::of(field.name(), input)).collect::<Result<_>>()?,
            schema: shape.schema.clone(),
            late: LateRows::new(context, 0, LATE)?,
            piece_rows: context.batch_rows.max(1),
            rest: None,
        })
    }

    /// Fills a piece up to its size or the end of the rows; counts each row whose windows are known.
    fn next_piece(&self, rest: &mut Rest, out: &mut Output) -> Result<Piece> {
        let times = rest.batch.hidden().times.clone().ok_or_else(|| Error::internal("a windowed stream without event time"))?;
        let mut piece = Piece::default();
        while rest.row < rest.batch.rows() && piece.rows.len() < self.piece_rows {
            let row = rest.row as u32;
            let mut windows = match rest.windows.take() {
                Some((first, last)) => self.windows.from_number(first, last),
                None => match self.windows_of(&rest.batch, rest.row, times.value(rest.row), out) {
                    Some(windows) => windows,
                    None => {
                        piece.late.push(row);
                        rest.row += 1;
                        continue;
                    }
                },
            };
            let room = self.piece_rows - piece.rows.len();
            for (start, end) in windows.by_ref().take(room) {
                piece.rows.push(row);
                piece.starts.push(start);
                piece.ends.push(end);
            }
            if windows.is_empty() {
                rest.row += 1;
            } else {
                rest.windows = windows.numbers();
            }
        }
        Ok(piece)
    }

    /// The windows of a row that it is sent for, and its fate; `None` when it is late for all, which is counted when it is sent.
    fn windows_of(&self, batch: &Batch, row: usize, time: i64, out: &mut Output) -> Option<WindowRange<'_>> {
        let watermark = if self.judge { batch.judged_at(row, out.watermark()) } else { EventTime::MIN };
        let (open, complete) = self.windows.open(time, watermark);
        if open.is_empty() {
            return None;
        }
        let fates = out.fates();
        fates.passed += 1;
        fates.partly_late += u64::from(!complete);
        Some(open)
    }

    fn send(&self, batch: &Batch, piece: Piece, out: &mut Output) -> Result<()> {
        self.late.send(batch, piece.late, out)?;
        if piece.rows.is_empty() {
            return Ok(());
        }
        let passed: Vec<usize> = self.columns.iter().filter_map(Place::input).collect();
        let rows = batch.project(&passed)?.take(&UInt32Array::from(piece.rows))?;
        let mut inputs = rows.records().columns().iter();
        let bound = |instants: &[i64]| Arc::new(TimestampMicrosecondArray::from(instants.to_vec()).with_timezone(UTC)) as ArrayRef;
        let columns: Vec<ArrayRef> = self
            .columns
            .iter()
            .filter_map(|place| match place {
                Place::Input(_) => inputs.next().cloned(),
                Place::Start => Some(bound(&piece.starts)),
                Place::End => Some(bound(&piece.ends)),
            })
            .collect();
        let mut hidden = rows.hidden().clone();
        let windows = Windows { start: Int64Array::from(piece.starts), end: Int64Array::from(piece.ends) };
        hidden.windows = self.explicit.then_some(windows);
        out.emit(MAIN, Batch::new(records(&self.schema, columns, rows.rows())?, hidden)?);
        Ok(())
    }
}

impl Operator for Expand {
    fn on_batch(&mut self, _: usize, batch: Batch, _: &mut Output) -> Result<()> {
        self.rest = Some(Rest { batch, row: 0, windows: None });
        Ok(())
    }

    fn resume(&mut self, out: &mut Output) -> Result<Progress> {
        while let Some(mut rest) = self.rest.take() {
            let piece = self.next_piece(&mut rest, out)?;
            self.send(&rest.batch, piece, out)?;
            if rest.row < rest.batch.rows() {
                self.rest = Some(rest);
                if out.is_full() {
                    return Ok(Progress::More);
                }
            }
        }
        Ok(Progress::Done)
    }
}

impl Place {
    fn of(name: &str, input: &Schema) -> Result<Place> {
        match name {
            WINDOW_START => Ok(Place::Start),
            WINDOW_END => Ok(Place::End),
            name => Ok(Place::Input(place(input, name)?)),
        }
    }

    fn input(&self) -> Option<usize> {
        match self {
            Place::Input(place) => Some(*place),
            Place::Start | Place::End => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use millstream_api::operator::Fates;
    use serde_json::json;

    use super::*;
    use crate::testing::{Node, at, batch, ints, marked, rows, schema, timed};
    use crate::window::WindowOptions;

    fn hop() -> Node {
        let options = json!({ "kind": "hop", "size": "10us", "slide": "4us" });
        Node::plan::<WindowOptions>(options, vec![timed(schema("a bigint"))]).shaped(|shape| {
            shape.explicit_windows = true;
            shape.judge = true;
        })
    }

    fn windows(out: &[(usize, Batch)]) -> Vec<(i64, i64)> {
        let of_batch = |batch: &Batch| {
            let windows = batch.hidden().windows.clone().unwrap();
            windows.start.values().iter().copied().zip(windows.end.values().iter().copied()).collect::<Vec<_>>()
        };
        out.iter().filter(|(port, _)| *port == MAIN).flat_map(|(_, batch)| of_batch(batch)).collect()
    }

    #[test]
    fn a_row_leaves_once_for_each_open_window() {
        let mut node = hop();
        node.watermark(6);
        let (out, fates) = node.run(0, marked(at(batch(&[("a", ints([1, 2, 3].map(Some)))]), &[8, -1, 9]), &[i64::MIN, 7, 15]));
        // 8 and 9 are in [0,10), [4,14), [8,18); the watermark 15 of the last row leaves it only the last of these.
        // -1 is in [-8,2) and [-4,6): both are closed at 7.
        assert_eq!(windows(&out), [(0, 10), (4, 14), (8, 18), (8, 18)]);
        let stamp = |micros: u32| format!("1970-01-01T00:00:00.0000{micros:02}Z");
        let row = |a: u32, from: String, to: u32| format!(r#"{{"a":{a},"window_start":"{from}","window_end":"{}"}}"#, stamp(to));
        let expected = [row(1, "1970-01-01T00:00:00Z".into(), 10), row(1, stamp(4), 14), row(1, stamp(8), 18), row(3, stamp(8), 18)];
        assert_eq!(rows(&out, MAIN), expected);
        assert_eq!(rows(&out, LATE), [r#"{"a":2}"#]);
        assert_eq!(fates, Fates { passed: 2, late: 1, partly_late: 1, ..Fates::default() });
    }

    #[test]
    fn the_output_is_cut_where_it_is_full() {
        let options = json!({ "kind": "hop", "size": "50ms", "slide": "1us" });
        let node = Node::plan::<WindowOptions>(options, vec![timed(schema("a bigint"))]);
        let mut node = node.shaped(|shape| shape.explicit_windows = true).reading(0, &["a"]);
        node.out = Output::new(5);
        let (out, fates) = node.run(0, at(batch(&[("a", ints([1, 2].map(Some)))]), &[0, 1]));
        assert!(out.iter().all(|(_, batch)| batch.rows() <= 4), "no piece is greater than a batch");
        let found = windows(&out);
        assert_eq!(found.len(), 100_000);
        assert_eq!((found[0], found[49_999], found[99_999]), ((-49_999, 1), (0, 50_000), (1, 50_001)));
        assert_eq!(fates.passed, 2);
    }
}

//! Which rows are the first or last of their keys. Rows come here in the order in which they are judged.

use arrow::array::{ArrayRef, Int8Array, RecordBatch};
use arrow::compute::concat_batches;
use hashbrown::HashMap;
use millstream_api::{Batch, EventTime, Output, Result};
use millstream_expr::Interner;

use super::intake::{Intake, TIME, number, take};
use super::keys::Keys;
use super::{Keep, MAIN};
use crate::columns::records;
use crate::top_n::rankings::{self, Place, Rankings};

/// What is known of the keys that are remembered.
pub(super) enum Judge {
    /// The first row of each was sent.
    First(Interner),
    /// The last row so far of each: sent already, or to be sent when its time is over.
    Last(Rankings),
}

impl Judge {
    /// Nothing is known yet.
    pub(super) fn new(keep: Keep, intake: &Intake) -> Result<Judge> {
        Ok(match keep {
            Keep::First => Judge::First(Interner::new(intake.key_types())?),
            Keep::Last => Judge::Last(Rankings::new(rankings::Keep::Last, 1, intake.key_types(), intake.kept().clone())?),
        })
    }

    /// The number of each row's key.
    pub(super) fn numbers(&mut self, keys: &[ArrayRef], rows: usize) -> Result<Vec<usize>> {
        match self {
            Judge::First(interner) => {
                let mut ids = Vec::new();
                interner.intern(keys, rows, &mut ids)?;
                Ok(ids)
            }
            Judge::Last(rankings) => rankings.number(keys, rows),
        }
    }

    /// Lets go of keys that are no longer remembered.
    pub(super) fn forget(&mut self, ids: &[usize]) -> Result<()> {
        match self {
            Judge::First(interner) => {
                interner.release(ids);
                Ok(())
            }
            Judge::Last(rankings) => {
                rankings.clear(ids);
                rankings.tidy(ids)
            }
        }
    }

    /// The columns of keys.
    pub(super) fn keys(&self, ids: &[usize]) -> Result<Vec<ArrayRef>> {
        match self {
            Judge::First(interner) => interner.columns(ids),
            Judge::Last(rankings) => rankings.keys(ids),
        }
    }

    /// Memory in bytes.
    pub(super) fn size_bytes(&self) -> usize {
        match self {
            Judge::First(interner) => interner.size_bytes(),
            Judge::Last(rankings) => rankings.size_bytes(),
        }
    }
}

/// What is sent because of some rows.
pub(super) struct Verdict {
    pub(super) rows: RecordBatch,
    /// Of an updating stream.
    pub(super) weights: Option<Int8Array>,
}

impl Verdict {
    /// Sends it.
    pub(super) fn send(self, intake: &Intake, passed: EventTime, out: &mut Output) -> Result<()> {
        out.emit(MAIN, intake.leave(&self.rows, self.weights, passed)?);
        Ok(())
    }
}

/// The rows that are the first of their keys.
pub(super) fn first(ids: &[usize], rows: &RecordBatch, keys: &mut Keys, out: &Output) -> Result<Verdict> {
    let times = number(rows, TIME);
    let mut firsts = Vec::new();
    for (row, &id) in ids.iter().enumerate() {
        if !keys.remembers(id, times.value(row)) {
            keys.remember(id, times.value(row));
            keys.touch(id, out.now());
            firsts.push(row as u32);
        }
    }
    Ok(Verdict { rows: take(rows, firsts)?, weights: None })
}

/// The changes of an updating stream: for each key whose last row is another now, the one before and the new one.
pub(super) fn newest(ids: &[usize], rows: RecordBatch, rankings: &mut Rankings, keys: &mut Keys, out: &Output) -> Result<Verdict> {
    let schema = rows.schema();
    let touched = rankings.touched(ids);
    let before: Vec<Option<Place>> = touched.iter().map(|&id| rankings.first(id).pop()).collect();
    let gone: Vec<Place> = before.iter().flatten().copied().collect();
    let gone = kept(rankings, &schema, &gone)?;
    rankings.change(ids, &touched, rows, |_| 1)?;
    let (mut come, mut pairs, mut old) = (Vec::new(), Vec::new(), 0);
    for (&id, before) in touched.iter().zip(&before) {
        keys.remember(id, i64::MAX);
        keys.touch(id, out.now());
        let after = rankings.first(id).pop();
        if after != *before {
            pairs.extend(before.map(|_| (0, old, -1i8)));
            pairs.extend(after.map(|_| (1, come.len(), 1)));
            come.extend(after);
        }
        old += usize::from(before.is_some());
    }
    let come = kept(rankings, &schema, &come)?;
    let at = |(side, row, _): &(usize, usize, i8)| (if *side == 0 { *row } else { gone.num_rows() + row }) as u32;
    let places = pairs.iter().map(at).collect();
    let changes = take(&concat_batches(&schema, [&gone, &come])?, places)?;
    rankings.tidy(&touched)?;
    Ok(Verdict { rows: changes, weights: Some(pairs.iter().map(|(_, _, weight)| *weight).collect::<Vec<_>>().into()) })
}

/// The last rows of keys whose time is over because a row of a new time has come.
pub(super) fn last(ids: &[usize], rows: &RecordBatch, rankings: &mut Rankings, keys: &mut Keys) -> Result<Verdict> {
    let times = number(rows, TIME);
    let mut newest: HashMap<usize, u32> = HashMap::new();
    let (mut over, mut over_here) = (Vec::new(), Vec::new());
    for (row, &id) in ids.iter().enumerate() {
        let before = newest.insert(id, row as u32);
        if keys.remembers(id, times.value(row)) {
            continue;
        }
        if keys.until(id).is_some() {
            match before {
                Some(row) => over_here.push(row),
                None => over.push(id),
            }
        }
        keys.remember(id, times.value(row));
    }
    let stored = rows_of(rankings, &rows.schema(), &over)?;
    rankings.clear(&over);
    let mut stays: Vec<(u32, usize)> = newest.into_iter().map(|(id, row)| (row, id)).collect();
    stays.sort_unstable();
    let ids: Vec<usize> = stays.iter().map(|(_, id)| *id).collect();
    keys.changed.touch(&ids);
    rankings.change(&ids, &ids, take(rows, stays.iter().map(|(row, _)| *row).collect())?, |_| 1)?;
    rankings.tidy(&ids)?;
    let all = concat_batches(&rows.schema(), [&stored, &take(rows, over_here)?])?;
    Ok(Verdict { rows: all, weights: None })
}

/// The rows of these keys.
pub(super) fn rows_of(rankings: &Rankings, schema: &arrow::datatypes::SchemaRef, ids: &[usize]) -> Result<RecordBatch> {
    let places: Vec<Place> = ids.iter().flat_map(|&id| rankings.first(id)).collect();
    kept(rankings, schema, &places)
}

fn kept(rankings: &Rankings, schema: &arrow::datatypes::SchemaRef, places: &[Place]) -> Result<RecordBatch> {
    let columns = (0..schema.fields().len()).map(|column| rankings.column(column, places)).collect::<Result<_>>()?;
    // Taking lets go of the strings of other rows.
    let all = Batch::plain(records(schema, columns, places.len())?);
    Ok(all.records().clone())
}

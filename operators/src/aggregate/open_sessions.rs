//! What the aggregate over sessions and its combiner have in common: late rows, accumulators by slot, open sessions as columns.

use arrow::array::{BooleanArray, Int64Array};
use millstream_api::{Batch, Error, EventTime, Result};
use millstream_expr::{BoundAggregate, Groups, Interner};

use super::program::Program;
use super::state::Rows;
use super::timeline::{Session, Timeline};

/// The rows behind their own watermark by more than the allowed lateness; `None`: none is.
pub(super) fn too_late(batch: &Batch, node: EventTime, lateness: i64) -> Result<Option<BooleanArray>> {
    let times = times(batch)?;
    let limit = node.minus(lateness).0;
    if batch.hidden().marks.is_none() && times.iter().all(|&time| time >= limit) {
        return Ok(None);
    }
    let late = |row: usize| times[row] < batch.judged_at(row, node).minus(lateness).0;
    let late: BooleanArray = (0..times.len()).map(|row| Some(late(row))).collect();
    Ok((late.true_count() > 0).then_some(late))
}

/// The rows behind this watermark; `None`: none is.
pub(super) fn behind(batch: &Batch, floor: EventTime) -> Result<Option<BooleanArray>> {
    let times = times(batch)?;
    let are_some = floor > EventTime::MIN && times.iter().any(|&time| time < floor.0);
    Ok(are_some.then(|| times.iter().map(|&time| Some(time < floor.0)).collect()))
}

/// Makes one of the accumulators of sessions that were joined: of so many slots.
pub(super) fn join(groups: &mut [Box<dyn Groups>], joined: Vec<(usize, usize)>, total: usize) -> Result<()> {
    if joined.is_empty() {
        return Ok(());
    }
    let (gone, into): (Vec<usize>, Vec<usize>) = joined.into_iter().unzip();
    groups.iter_mut().try_for_each(|groups| {
        let states = groups.state_at(&gone)?;
        groups.merge(&states, &into, total)
    })
}

/// All sessions that are open as columns.
pub(super) fn columns(timeline: &Timeline, interner: &Interner, groups: &mut [Box<dyn Groups>]) -> Result<Rows> {
    of_sessions(timeline.iter(), interner, groups)
}

/// The open sessions of these keys as columns.
pub(super) fn columns_of(keys: &[usize], timeline: &Timeline, interner: &Interner, groups: &mut [Box<dyn Groups>]) -> Result<Rows> {
    of_sessions(keys.iter().flat_map(|&key| timeline.of(key).iter().map(move |session| (key, session))), interner, groups)
}

/// Sessions as columns: when each began, its last row and how many it has, its key and its states.
fn of_sessions<'a>(
    sessions: impl Iterator<Item = (usize, &'a Session)>,
    interner: &Interner,
    groups: &mut [Box<dyn Groups>],
) -> Result<Rows> {
    let (keys, sessions): (Vec<_>, Vec<_>) = sessions.unzip();
    let number = |of: fn(&Session) -> i64| Int64Array::from_iter_values(sessions.iter().copied().map(of));
    let numbers = [number(|session| session.first), number(|session| session.last), number(|session| session.rows as i64)];
    let slots: Vec<usize> = sessions.iter().map(|session| session.slot).collect();
    let states = groups.iter_mut().map(|groups| groups.state_at(&slots)).collect::<Result<_>>()?;
    Ok(Rows { numbers, keys: interner.columns(&keys)?, states })
}

/// Accumulators without sessions.
pub(super) fn fresh(program: &Program) -> Result<Vec<Box<dyn Groups>>> {
    program.aggregates().iter().map(BoundAggregate::groups).collect()
}

pub(super) fn times(batch: &Batch) -> Result<&[i64]> {
    batch.times().ok_or_else(|| Error::internal("rows of a windowed stream have no event time"))
}

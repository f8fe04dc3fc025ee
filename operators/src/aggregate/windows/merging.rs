//! The rows of a window put together: those of all its panes, which are merged only when somebody looks at them.

use std::collections::BTreeMap;

use millstream_api::window::Window;
use millstream_api::{Error, Result};

use super::{DueWindow, Kind, OpenPanes, PaneKey};
use crate::aggregate::pane::Pane;
use crate::aggregate::program::Program;

impl OpenPanes {
    /// Calls `f` with all rows of a window merged, and lets go of what only it needed. The window must be due.
    pub(in crate::aggregate) fn close<T>(
        &mut self,
        due: DueWindow,
        program: &Program,
        f: impl FnOnce(&mut Pane) -> Result<T>,
    ) -> Result<T> {
        let DueWindow { window, number } = due;
        match &mut self.kind {
            Kind::Explicit => {
                let key = (window.1, window.0);
                let mut pane = self.panes.remove(&key).ok_or_else(|| Error::internal("a window without a pane"))?;
                self.bytes -= pane.measured_bytes;
                note_gone(&mut self.gone, key, &pane);
                f(&mut pane)
            }
            Kind::Implicit { slices, cursor } => {
                let next = slices.next(number);
                let result = match slices.cumulates() {
                    true => {
                        let (result, gone) = gather(&mut self.panes, &mut self.bytes, window, number, next, program, f)?;
                        self.gone.iter_mut().for_each(|all| all.extend(&gone));
                        result
                    }
                    false => merged(&mut self.panes, window, number, program, f)?,
                };
                *cursor = next;
                while let Some(first) = self.panes.first_entry()
                    && slices.numbers(first.key().0).1 < next
                {
                    let (key, pane) = first.remove_entry();
                    self.bytes -= pane.measured_bytes;
                    note_gone(&mut self.gone, key, &pane);
                }
                Ok(result)
            }
        }
    }

    /// Calls `f` with all rows of a window merged, which stays open.
    pub(in crate::aggregate) fn look<T>(&mut self, due: DueWindow, program: &Program, f: impl FnOnce(&mut Pane) -> Result<T>) -> Result<T> {
        let DueWindow { window, number } = due;
        match self.kind {
            Kind::Explicit => f(self.panes.get_mut(&(window.1, window.0)).ok_or_else(|| Error::internal("a window without a pane"))?),
            Kind::Implicit { .. } => merged(&mut self.panes, window, number, program, f),
        }
    }
}

/// Calls `f` with the slices of a window merged.
fn merged<T>(
    panes: &mut BTreeMap<PaneKey, Pane>,
    window: Window,
    number: i64,
    program: &Program,
    f: impl FnOnce(&mut Pane) -> Result<T>,
) -> Result<T> {
    let of_window = panes.range_mut((window.0, i64::MIN)..(window.1, i64::MIN));
    let mut parts: Vec<&mut Pane> = of_window.filter(|((_, first), _)| *first <= number).map(|(_, pane)| pane).collect();
    match parts.as_mut_slice() {
        [only] => f(only),
        parts => {
            let mut merged = program.pane()?;
            parts.iter_mut().try_for_each(|part| merged.merge(part))?;
            f(&mut merged)
        }
    }
}

/// Notes that a pane has gone, if checkpoints have something of it.
fn note_gone(gone: &mut Option<Vec<PaneKey>>, key: PaneKey, pane: &Pane) {
    if let Some(gone) = gone.as_mut().filter(|_| pane.changes.is_written()) {
        gone.push(key);
    }
}

/// Calls `f` with the slices of a window merged, and keeps them so for the next one, which holds them all. So a slice is
/// merged once, however many windows grow over it. Beside what `f` gives the panes of which checkpoints have something that is gone now.
fn gather<T>(
    panes: &mut BTreeMap<PaneKey, Pane>,
    bytes: &mut usize,
    window: Window,
    number: i64,
    next: i64,
    program: &Program,
    f: impl FnOnce(&mut Pane) -> Result<T>,
) -> Result<(T, Vec<PaneKey>)> {
    let mut gone = Some(Vec::new());
    let of_window = panes.range((window.0, i64::MIN)..(window.1, i64::MIN));
    let keys: Vec<PaneKey> = of_window.map(|(key, _)| *key).filter(|(_, first)| *first <= number).collect();
    let mut all = program.pane()?;
    for key in &keys {
        let Some(mut part) = panes.remove(key) else { continue };
        *bytes -= part.measured_bytes;
        note_gone(&mut gone, *key, &part);
        part.changes.none_written();
        // The first part has what was gathered so far: it is taken as it is.
        if all.len() == 0 {
            part.measured_bytes = 0;
            part.rows += all.rows;
            all = part;
        } else {
            all.merge(&mut part)?;
            all.rows += part.rows;
        }
    }
    let result = f(&mut all)?;
    let key = (window.0, next);
    if let Some(mut waiting) = panes.remove(&key) {
        *bytes -= waiting.measured_bytes;
        note_gone(&mut gone, key, &waiting);
        all.merge(&mut waiting)?;
        all.rows += waiting.rows;
    }
    all.measured_bytes = all.size_bytes();
    *bytes += all.measured_bytes;
    panes.insert(key, all);
    Ok((result, gone.unwrap_or_default()))
}

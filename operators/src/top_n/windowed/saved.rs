//! Windows to a snapshot: all of them, or what has changed since they were last written.
//!
//! A window that is new, or of which most has changed, is written whole; of another one the keys whose first rows are others now.

use millstream_api::Result;
use millstream_api::state::StateWriter;

use super::{PANES, Pane, Windowed};
use crate::changed::ChangedGroups;
use crate::top_n::program::Window;
use crate::top_n::state::Layout;

impl Windowed {
    /// Writes all windows.
    pub(super) fn write_all(&mut self, state: &mut StateWriter) -> Result<()> {
        let is_noting = self.gone.is_some();
        self.gone.iter_mut().for_each(Vec::clear);
        for (&(end, start), pane) in &mut self.panes {
            save(&self.layout, (start, end), pane, state)?;
            if is_noting {
                pane.all_written();
            }
        }
        Ok(())
    }

    /// Writes what has changed since windows were last written.
    pub(super) fn write_changes(&mut self, state: &mut StateWriter) -> Result<()> {
        let mut gone = self.gone.replace(Vec::new()).unwrap_or_default();
        for (&(end, start), pane) in &mut self.panes {
            let window = (start, end);
            if let Some(changed) = pane.changes.take(pane.rankings.total()) {
                save_groups(&self.layout, window, pane, changed, state)?;
                continue;
            }
            gone.extend(pane.changes.is_written().then_some(window));
            save(&self.layout, window, pane, state)?;
            pane.all_written();
        }
        state.put_gone_panes(gone)
    }
}

impl Pane {
    fn all_written(&mut self) {
        self.changes.all_written(self.rankings.total());
    }
}

/// Writes a window.
pub(super) fn save(layout: &Layout, window: Window, pane: &Pane, state: &mut StateWriter) -> Result<()> {
    let rows = pane.rankings.save(0..pane.rankings.total())?;
    layout.write_window(PANES, window, pane.last_rows, rows, state)
}

/// Writes keys of a window.
fn save_groups(layout: &Layout, window: Window, pane: &Pane, changed: ChangedGroups, state: &mut StateWriter) -> Result<()> {
    let ChangedGroups { all, written } = changed;
    if all.is_empty() {
        return Ok(());
    }
    state.put_gone_groups(window, &pane.rankings.keys(&written)?, written.len(), layout.key_groups())?;
    layout.write_window(PANES, window, pane.last_rows, pane.rankings.save(all.into_iter())?, state)
}

//! Which groups of one pane, a window or a slice, have changed since checkpoints last had something of it.
//!
//! A pane that is new, or of which most has changed, is written whole; of another one the groups that have changed.

use super::ChangedKeys;

/// What checkpoints have of a pane: nothing at first.
#[derive(Debug, Default)]
pub(crate) struct PaneChanges(Option<Written>);

#[derive(Debug)]
struct Written {
    /// How many groups they have.
    groups: usize,
    changed: ChangedKeys,
}

/// Groups that have changed since they were written.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct ChangedGroups {
    /// Their numbers, rising.
    pub(crate) all: Vec<usize>,
    /// Those of which something was written before.
    pub(crate) written: Vec<usize>,
}

impl PaneChanges {
    /// These groups may have changed.
    pub(crate) fn touch(&mut self, groups: &[usize]) {
        if let Some(written) = &mut self.0 {
            written.changed.touch(groups);
        }
    }

    /// Whether checkpoints have something of it.
    pub(crate) fn is_written(&self) -> bool {
        self.0.is_some()
    }

    /// All groups, so many, have been written for a checkpoint.
    pub(crate) fn all_written(&mut self, groups: usize) {
        let mut changed = ChangedKeys::default();
        changed.begin();
        changed.all_written(groups);
        self.0 = Some(Written { groups, changed });
    }

    /// From now on no checkpoint has anything of it.
    pub(crate) fn none_written(&mut self) {
        self.0 = None;
    }

    /// The groups, of which there are so many now, that have changed since they were last written; `None`: all are to be written,
    /// because that is not much more.
    pub(crate) fn take(&mut self, groups: usize) -> Option<ChangedGroups> {
        let known = self.0.as_mut()?;
        let (all, written) = known.changed.take_changed();
        if 2 * written.len() > known.groups {
            return None;
        }
        known.groups = groups;
        Some(ChangedGroups { all, written })
    }

    /// Memory in bytes.
    pub(crate) fn size_bytes(&self) -> usize {
        self.0.as_ref().map_or(0, |written| written.changed.size_bytes())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_of_a_pane_is_written_when_it_is_new_or_most_of_it_has_changed() {
        let mut pane = PaneChanges::default();
        pane.touch(&[0, 1]);
        assert_eq!((pane.is_written(), pane.take(2)), (false, None));
        pane.all_written(4);
        pane.touch(&[4, 2, 1, 2]);
        assert_eq!(pane.take(5), Some(ChangedGroups { all: vec![1, 2, 4], written: vec![1, 2] }));
        pane.touch(&[0, 1, 4]);
        assert_eq!(pane.take(5), None, "three of five");
        pane.none_written();
        assert_eq!((pane.is_written(), pane.size_bytes()), (false, 0));
    }
}

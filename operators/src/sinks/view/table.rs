//! What readers see of a view: the rows of its newest version, and how the latest versions differ from each other.

use std::collections::VecDeque;
use std::sync::Arc;

use super::contents::{Bytes, Shown};
use super::ordered::Ordered;

/// What the differences that are kept may take, in bytes. Beyond it the oldest are forgotten.
const HISTORY_BYTES: usize = 8 << 20;

/// How many versions' differences are kept, at most.
const HISTORY_VERSIONS: usize = 1024;

/// The table, and its latest history.
#[derive(Debug, Default)]
pub(super) struct Table {
    rows: Ordered,
    version: u64,
    /// Versions in which something has changed, oldest first.
    history: VecDeque<Version>,
    history_bytes: usize,
    /// The history has all changes after this version.
    reaches_back_to: u64,
}

/// How a version differs from the one before.
#[derive(Debug)]
struct Version {
    number: u64,
    changes: Arc<[Shown]>,
    size_bytes: usize,
}

/// What comes after a version.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum After {
    Current(u64),
    Changed(u64, Arc<[Shown]>),
    Gone,
}

impl Table {
    pub(super) fn version(&self) -> u64 {
        self.version
    }

    pub(super) fn rows(&self) -> &Ordered {
        &self.rows
    }

    /// Makes `changes` visible as this version, which must be greater than the last one.
    pub(super) fn apply(&mut self, version: u64, changes: Vec<Shown>) {
        self.version = version;
        for Shown { key, after, .. } in &changes {
            match after {
                Some(row) => self.rows.insert(key.clone(), row.clone()),
                None => self.rows.remove(key),
            }
        }
        self.remember(version, changes);
    }

    fn remember(&mut self, number: u64, changes: Vec<Shown>) {
        if changes.is_empty() {
            return;
        }
        let size_bytes = changes.iter().map(Shown::size_bytes).sum();
        self.history_bytes += size_bytes;
        self.history.push_back(Version { number, changes: changes.into(), size_bytes });
        // The newest is kept whatever its size, or nobody could ever follow.
        while self.history.len() > 1 && (self.history_bytes > HISTORY_BYTES || self.history.len() > HISTORY_VERSIONS) {
            if let Some(oldest) = self.history.pop_front() {
                self.history_bytes -= oldest.size_bytes;
                self.reaches_back_to = oldest.number;
            }
        }
    }

    /// Starts anew with these rows, without history.
    pub(super) fn reset(&mut self, version: u64, rows: impl Iterator<Item = (Bytes, Bytes)>) {
        *self = Table { version, reaches_back_to: version, ..Table::default() };
        rows.for_each(|(key, row)| self.rows.insert(key, row));
    }

    /// The first changes after a version.
    pub(super) fn after(&self, version: u64) -> After {
        if version > self.version || version < self.reaches_back_to {
            return After::Gone;
        }
        let next = self.history.partition_point(|past| past.number <= version);
        match self.history.get(next) {
            Some(next) => After::Changed(next.number, next.changes.clone()),
            None => After::Current(self.version),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bytes(number: usize) -> Bytes {
        number.to_be_bytes().as_slice().into()
    }

    fn comes(key: usize, row: Bytes) -> Vec<Shown> {
        vec![Shown { key: bytes(key), before: None, after: Some(row) }]
    }

    #[test]
    fn versions_without_changes_are_passed_over() {
        let mut table = Table::default();
        table.apply(1, Vec::new());
        table.apply(2, comes(7, bytes(1)));
        table.apply(3, Vec::new());
        assert_eq!(table.after(0), After::Changed(2, comes(7, bytes(1)).into()));
        assert_eq!(table.after(2), After::Current(3));
        assert_eq!(table.after(4), After::Gone, "there is no such version yet");
    }

    #[test]
    fn the_history_is_bounded_in_versions_and_in_bytes_but_has_the_last() {
        let mut table = Table::default();
        (1..=HISTORY_VERSIONS as u64 + 2).for_each(|version| table.apply(version, comes(version as usize, bytes(1))));
        assert_eq!(table.after(1), After::Gone);
        assert!(matches!(table.after(2), After::Changed(3, _)));
        let version = table.version();
        table.apply(version + 1, comes(1, vec![0; HISTORY_BYTES + 1].into()));
        assert_eq!(table.history.len(), 1);
        assert!(matches!(table.after(version), After::Changed(..)));
        table.apply(version + 2, comes(2, bytes(1)));
        assert_eq!((table.history.len(), table.after(version)), (1, After::Gone));
        assert!(table.history_bytes < HISTORY_BYTES);
    }

    #[test]
    fn a_reset_leaves_no_history() {
        let mut table = Table::default();
        table.apply(1, comes(1, bytes(1)));
        table.reset(5, [(bytes(2), bytes(3))].into_iter());
        assert_eq!((table.after(1), table.after(5)), (After::Gone, After::Current(5)));
        assert_eq!(table.rows().get(&bytes(2)), Some(&bytes(3)));
        assert_eq!(table.rows().len(), 1);
    }
}

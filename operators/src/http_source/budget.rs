//! What bounds the memory of requests: bytes are set aside as they come in and given back when their rows are taken further.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Bytes that requests may take up. All clones are one.
#[derive(Clone, Debug)]
pub(super) struct Budget {
    limit: usize,
    used: Arc<AtomicUsize>,
}

impl Budget {
    pub(super) fn new(limit: usize) -> Self {
        Budget { limit, used: Arc::default() }
    }

    /// A part of it, empty so far.
    pub(super) fn part(&self) -> Part {
        Part { budget: self.clone(), bytes: 0 }
    }

    /// Bytes that are set aside.
    #[cfg(test)]
    pub(super) fn used(&self) -> usize {
        self.used.load(Ordering::Acquire)
    }
}

/// What one request takes up, given back when it is dropped.
#[derive(Debug)]
pub(super) struct Part {
    budget: Budget,
    bytes: usize,
}

impl Part {
    /// Sets more bytes aside; false, and nothing is, where they are not there.
    pub(super) fn grow(&mut self, bytes: usize) -> bool {
        let fits = |used: usize| used.checked_add(bytes).filter(|sum| *sum <= self.budget.limit);
        let grown = self.budget.used.fetch_update(Ordering::AcqRel, Ordering::Acquire, fits).is_ok();
        if grown {
            self.bytes += bytes;
        }
        grown
    }
}

impl Drop for Part {
    fn drop(&mut self) {
        self.budget.used.fetch_sub(self.bytes, Ordering::AcqRel);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_given_back_with_their_part() {
        let budget = Budget::new(10);
        let (mut first, mut second) = (budget.part(), budget.part());
        assert!(first.grow(4) && first.grow(2) && second.grow(4));
        assert!(!second.grow(1) && !second.grow(usize::MAX));
        drop(first);
        assert_eq!(budget.used(), 4);
        assert!(second.grow(6));
        drop(second);
        assert_eq!(budget.used(), 0);
    }
}

//! The bound of keyed state in memory: one for all nodes of a run.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use millstream_api::time::SizeText;
use millstream_api::{Error, Result};

/// The memory that all keyed state of a run may take together.
#[derive(Debug)]
pub struct MemoryBudget {
    limit: SizeText,
    used: AtomicUsize,
}

impl MemoryBudget {
    /// A budget of `runtime.memory`.
    pub fn new(limit: SizeText) -> Arc<Self> {
        Arc::new(MemoryBudget { limit, used: AtomicUsize::new(0) })
    }

    /// Notes that a subtask's state has changed its size.
    pub(crate) fn change(&self, before: usize, after: usize) -> Result<()> {
        // Wraps when it shrinks, and comes right again: only sums count.
        let used = self.used.fetch_add(after.wrapping_sub(before), Ordering::Relaxed).wrapping_add(after.wrapping_sub(before));
        if after <= before || used <= self.limit.bytes() {
            return Ok(());
        }
        Err(Error::new(
            millstream_api::error::ErrorKind::Limit,
            format!("keyed state of all nodes is {used} bytes, more than runtime.memory = \"{}\"; {after} of them are here", self.limit),
        )
        .help("raise runtime.memory, use fewer keys or shorter windows, or let keys go to disk with state = \"disk\" where a node can do that"))
    }
}

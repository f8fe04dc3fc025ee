//! Stack for what walks deep expressions recursively.
//!
//! The libraries that parse and plan use some ten kilobytes of stack for each level, and a thread may have no more than two
//! megabytes. An ordinary expression is planned where it is; a deep one, up to the limit of [`crate::nesting`], on a thread of
//! its own that ends with it.

use std::panic::resume_unwind;
use std::thread::{Builder, scope};

/// Up to this depth an expression is planned on any thread's stack.
const SHALLOW_TO_PLAN: usize = 12;

/// Up to this depth an expression is evaluated on any thread's stack: that takes less, and is done for each batch.
const SHALLOW_TO_EVALUATE: usize = 24;

/// For the deepest expression that is accepted, with unoptimised code; only what is touched takes memory.
const STACK_BYTES: usize = 64 << 20;

/// Calls `work`, which plans an expression of this depth, where there is room for it.
pub(crate) fn with_room<T: Send>(depth: usize, work: impl Fn() -> T + Sync) -> T {
    if depth <= SHALLOW_TO_PLAN { work() } else { on_own_stack(work) }
}

/// Calls `work`, which evaluates an expression of this depth, where there is room for it.
pub(crate) fn with_room_to_evaluate<T: Send>(depth: usize, work: impl Fn() -> T + Sync) -> T {
    if depth <= SHALLOW_TO_EVALUATE { work() } else { on_own_stack(work) }
}

fn on_own_stack<T: Send>(work: impl Fn() -> T + Sync) -> T {
    scope(|threads| match Builder::new().name("expression".to_owned()).stack_size(STACK_BYTES).spawn_scoped(threads, &work) {
        Ok(thread) => thread.join().unwrap_or_else(|panic| resume_unwind(panic)),
        // Without a thread to be had, the stack at hand must do.
        Err(_) => work(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_deep_work_gets_a_thread() {
        let here = std::thread::current().id();
        assert_eq!(with_room(1, || std::thread::current().id()), here);
        assert_ne!(with_room(90, || std::thread::current().id()), here);
    }

    #[test]
    #[should_panic(expected = "as it was")]
    fn a_panic_is_handed_on() {
        with_room(90, || panic!("as it was"));
    }
}

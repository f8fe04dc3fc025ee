//! Panics that are expected: a library that is fed with data from outside, and that panics where it should fail.
//!
//! Such a panic is an error like any other, and says nothing that a user could use: it is caught, and must not be printed by the
//! process's panic hook. All other panics are mistakes in the program and must stay visible.

use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind};

thread_local! {
    static EXPECTED: Cell<bool> = const { Cell::new(false) };
}

/// Runs something that may panic because of the data it is given; nothing where it does. What it was at is not used any more after
/// that.
pub fn caught<T>(run: impl FnOnce() -> T) -> Option<T> {
    let before = EXPECTED.replace(true);
    let result = catch_unwind(AssertUnwindSafe(run)).ok();
    EXPECTED.set(before);
    result
}

/// Whether a panic of this thread would be [`caught`] now. For the panic hook of a process, which must not print it then.
pub fn is_expected() -> bool {
    EXPECTED.get()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_runs_inside_is_expected_to_panic() {
        assert!(!is_expected());
        assert_eq!(caught(|| (is_expected(), caught(|| 1))), Some((true, Some(1))));
        assert_eq!(caught(|| -> i32 { std::panic::resume_unwind(Box::new("no")) }), None);
        assert!(!is_expected());
    }
}

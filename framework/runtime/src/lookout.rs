//! The run that can be looked at now: known before there is one, and another after a restart.

use std::sync::{Arc, Mutex, PoisonError};

use crate::handle::Handle;

/// Where whoever wants to look at the run finds it. Cheap to clone: all clones are one.
#[derive(Clone, Default)]
pub struct Lookout(Arc<Mutex<Option<Handle>>>);

impl Lookout {
    /// This is the run now.
    pub fn set(&self, run: Handle) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(run);
    }

    /// The run now; `None` before the first one has been made.
    pub fn run(&self) -> Option<Handle> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

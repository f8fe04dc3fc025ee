//! What a load balancer wants to know: whether the topology is at work.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

/// Where the run stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// Subtasks are being made.
    Starting,
    /// Rows flow.
    Running,
    /// A stop was asked for.
    Stopping,
    /// All inputs have ended; views stay as they are.
    Done,
}

impl Phase {
    /// Its name in the answer.
    pub fn name(self) -> &'static str {
        match self {
            Phase::Starting => "starting",
            Phase::Running => "running",
            Phase::Stopping => "stopping",
            Phase::Done => "done",
        }
    }

    /// Whether views can be relied on to be there.
    pub fn is_ready(self) -> bool {
        matches!(self, Phase::Running | Phase::Done)
    }
}

/// The current [`Phase`], set by the command and read by the server. Cheap to clone: all clones are one.
#[derive(Clone, Debug, Default)]
pub struct Health(Arc<AtomicU8>);

impl Health {
    /// Notes a new phase.
    pub fn set(&self, phase: Phase) {
        self.0.store(phase as u8, Ordering::Relaxed);
    }

    /// The phase that was noted last; [`Phase::Starting`] at first.
    pub fn phase(&self) -> Phase {
        match self.0.load(Ordering::Relaxed) {
            0 => Phase::Starting,
            1 => Phase::Running,
            2 => Phase::Stopping,
            _ => Phase::Done,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_phase_is_read_as_it_was_set() {
        let health = Health::default();
        assert_eq!(health.phase(), Phase::Starting);
        for phase in [Phase::Running, Phase::Stopping, Phase::Done, Phase::Starting] {
            health.clone().set(phase);
            assert_eq!(health.phase(), phase);
        }
    }
}

//! What a load balancer wants to know: whether the topology is at work.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

/// Where the run stands, in the order in which a run goes through them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Phase {
    /// Subtasks are being made.
    Starting,
    /// Rows flow.
    Running,
    /// All inputs have ended; views stay as they are.
    Done,
    /// A stop was asked for.
    Stopping,
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
    /// Notes a phase. A run never goes back: one that stops is not running again because somebody notes that late.
    pub fn set(&self, phase: Phase) {
        self.0.fetch_max(phase as u8, Ordering::Relaxed);
    }

    /// The furthest phase that was noted; [`Phase::Starting`] at first.
    pub fn phase(&self) -> Phase {
        match self.0.load(Ordering::Relaxed) {
            0 => Phase::Starting,
            1 => Phase::Running,
            2 => Phase::Done,
            _ => Phase::Stopping,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn phases_are_read_as_set_and_never_go_back() {
        let health = Health::default();
        for phase in [Phase::Starting, Phase::Running, Phase::Done, Phase::Stopping] {
            health.clone().set(phase);
            assert_eq!(health.phase(), phase);
        }
        health.set(Phase::Running);
        assert_eq!(health.phase(), Phase::Stopping);
    }
}

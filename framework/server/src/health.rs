//! What a load balancer wants to know: whether the topology is at work.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};
use std::task::Waker;

use millstream_api::view::Wakers;

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
    /// The run could not go on.
    Failed,
    /// It has failed and will go on from its last checkpoint; then it is [`Phase::Running`] again.
    Restarting,
}

impl Phase {
    /// All of them, in order.
    pub(crate) const ALL: [Phase; 6] = [Phase::Starting, Phase::Running, Phase::Done, Phase::Stopping, Phase::Failed, Phase::Restarting];

    /// Its name in the answer.
    pub fn name(self) -> &'static str {
        match self {
            Phase::Starting => "starting",
            Phase::Running => "running",
            Phase::Stopping => "stopping",
            Phase::Done => "done",
            Phase::Failed => "failed",
            Phase::Restarting => "restarting",
        }
    }

    /// Whether views can be relied on to be there.
    pub fn is_ready(self) -> bool {
        matches!(self, Phase::Running | Phase::Done)
    }
}

/// The current [`Phase`], set by the command and read by the server. Cheap to clone: all clones are one.
#[derive(Clone, Debug, Default)]
pub struct Health(Arc<Inner>);

#[derive(Debug, Default)]
struct Inner {
    /// The furthest phase; never [`Phase::Restarting`].
    phase: AtomicU8,
    restarting: AtomicBool,
    /// Whether the server is about to go.
    closing: AtomicBool,
    /// Those that wait for the end.
    waiting: Wakers,
}

impl Health {
    /// Notes a phase. A run never goes back, except to run again after a failure: one that stops is not running because somebody
    /// notes that late.
    pub fn set(&self, phase: Phase) {
        self.0.restarting.store(phase == Phase::Restarting, Ordering::Release);
        if phase != Phase::Restarting {
            self.0.phase.fetch_max(phase as u8, Ordering::AcqRel);
        }
        self.0.waiting.wake_all();
    }

    /// The furthest phase that was noted; [`Phase::Starting`] at first.
    pub fn phase(&self) -> Phase {
        let phase = usize::from(self.0.phase.load(Ordering::Acquire));
        match Phase::ALL.get(phase).copied().unwrap_or(Phase::Failed) {
            Phase::Running if self.0.restarting.load(Ordering::Acquire) => Phase::Restarting,
            phase => phase,
        }
    }

    /// Lets those that follow a view end: the server goes.
    pub(crate) fn close(&self) {
        self.0.closing.store(true, Ordering::Release);
        self.0.waiting.wake_all();
    }

    /// Why views will not change any more, if that is so.
    pub(crate) fn over(&self) -> Option<Phase> {
        let closing = self.0.closing.load(Ordering::Acquire);
        Some(self.phase()).filter(|phase| closing || *phase == Phase::Done)
    }

    /// Wakes `waker` when a phase is noted or the server goes.
    pub(crate) fn wake_at_change(&self, waker: &Waker) {
        self.0.waiting.register(waker);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn phases_are_read_as_set_and_never_go_back() {
        let health = Health::default();
        for phase in &Phase::ALL[..5] {
            health.clone().set(*phase);
            assert_eq!(health.phase(), *phase);
        }
        for late in [Phase::Running, Phase::Restarting] {
            health.set(late);
            assert_eq!(health.phase(), Phase::Failed);
        }
    }

    #[test]
    fn a_run_that_goes_on_after_a_failure_is_not_ready_in_between() {
        let health = Health::default();
        for phase in [Phase::Running, Phase::Restarting, Phase::Running, Phase::Restarting, Phase::Stopping] {
            health.set(phase);
            assert_eq!((health.phase(), health.phase().is_ready()), (phase, phase == Phase::Running));
        }
    }

    #[test]
    fn views_are_final_when_all_is_done_or_the_server_goes() {
        let health = Health::default();
        health.set(Phase::Running);
        assert_eq!(health.over(), None);
        health.close();
        assert_eq!(health.over(), Some(Phase::Running));
        let health = Health::default();
        health.set(Phase::Done);
        assert_eq!(health.over(), Some(Phase::Done));
        let health = Health::default();
        health.set(Phase::Stopping);
        assert_eq!(health.over(), None, "what is under way still comes");
    }
}

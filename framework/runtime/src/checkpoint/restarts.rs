//! Whether a run that has failed goes on from the last checkpoint by itself, and after which wait.
//!
//! A fault of the world outside passes; a row that cannot be processed does not, and would make the run fail for ever. So the
//! number of restarts without a checkpoint in between is limited, and even more that of failures that are all the same.

use std::time::Duration;

use millstream_api::error::{Error, ErrorKind};
use millstream_api::message::CheckpointId;

/// How often and how long.
#[derive(Clone, Copy, Debug)]
pub struct Policy {
    /// Restarts without a checkpoint in between.
    pub restarts: u32,
    /// The first wait.
    pub delay: Duration,
    /// The longest wait.
    pub max_delay: Duration,
    /// Failures with the same message at the same place.
    pub same_failures: usize,
}

/// What to do about a failure.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Go on after this wait.
    Restart(Duration),
    /// End the run; the text says why it does not go on, where there is more to say than the failure does.
    GiveUp(Option<String>),
}

/// The failures of a run so far.
#[derive(Debug)]
pub struct Restarts {
    policy: Policy,
    in_a_row: u32,
    newest: Option<CheckpointId>,
    last: Option<String>,
    same: usize,
}

impl Restarts {
    /// None yet.
    pub fn new(policy: Policy) -> Self {
        Restarts { policy, in_a_row: 0, newest: None, last: None, same: 0 }
    }

    /// Judges a failure of `node`, when `newest` is the newest checkpoint of the run.
    pub fn judge(&mut self, node: &str, error: &Error, newest: Option<CheckpointId>) -> Verdict {
        // By the policy of its node a bad row ends the run; to read it again makes it no better.
        // And nobody opens a pipe again that was closed, and to go on against whoever has taken the store would destroy its work.
        if matches!(error.kind(), ErrorKind::BadRow | ErrorKind::Closed | ErrorKind::Taken) {
            return Verdict::GiveUp(None);
        }
        if newest != self.newest {
            (self.newest, self.in_a_row) = (newest, 0);
        }
        let what = told(node, error);
        self.same = if self.last.as_ref() == Some(&what) { self.same + 1 } else { 1 };
        self.last = Some(what);
        if self.same >= self.policy.same_failures && self.policy.restarts > 0 {
            let times = self.same;
            return Verdict::GiveUp(Some(format!("it has failed {times} times at the same place, so it would go on failing")));
        }
        if self.in_a_row >= self.policy.restarts {
            let why = (self.in_a_row > 0).then(|| format!("it was restarted {} times without coming to a checkpoint", self.in_a_row));
            return Verdict::GiveUp(why);
        }
        let doubled = self.policy.delay.saturating_mul(1u32.checked_shl(self.in_a_row).unwrap_or(u32::MAX));
        self.in_a_row += 1;
        Verdict::Restart(doubled.min(self.policy.max_delay))
    }
}

/// What a failure is recognised by.
fn told(node: &str, error: &Error) -> String {
    let text = format!("{node}: {error}");
    match error.kind() {
        // How far it is beyond a limit depends on timing.
        ErrorKind::Limit => text.chars().filter(|c| !c.is_ascii_digit()).collect(),
        _ => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn restarts(restarts: u32, same_failures: usize) -> Restarts {
        let seconds = Duration::from_secs;
        Restarts::new(Policy { restarts, delay: seconds(1), max_delay: seconds(5), same_failures })
    }

    fn wait(seconds: u64) -> Verdict {
        Verdict::Restart(Duration::from_secs(seconds))
    }

    #[test]
    fn waits_double_up_to_a_limit_and_begin_anew_after_a_checkpoint() {
        let mut it = restarts(4, 100);
        let mut fail = |n: u32, newest| it.judge("sink", &Error::io("cannot write", n), newest);
        let waits: Vec<Verdict> = (0..4).map(|n| fail(n, Some(1))).collect();
        assert_eq!(waits, [1, 2, 4, 5].map(wait));
        assert_eq!(fail(4, Some(2)), wait(1));
        for n in 5..8 {
            fail(n, Some(2));
        }
        let said = "it was restarted 4 times without coming to a checkpoint".to_owned();
        assert_eq!(fail(9, Some(2)), Verdict::GiveUp(Some(said)));
    }

    #[test]
    fn the_same_failure_again_and_again_is_not_tried_for_ever() {
        let mut it = restarts(100, 3);
        let poison = || Error::internal("panicked: out of range").at("row 7");
        assert_eq!(it.judge("sums", &poison(), Some(1)), wait(1));
        assert_eq!(it.judge("sums", &poison(), Some(2)), wait(1));
        let said = "it has failed 3 times at the same place, so it would go on failing".to_owned();
        assert_eq!(it.judge("sums", &poison(), Some(3)), Verdict::GiveUp(Some(said)));
        assert_eq!(it.judge("other", &poison(), Some(3)), wait(1), "another node is another place");
        let full = |bytes: u32| Error::new(ErrorKind::Limit, format!("keyed state is {bytes} bytes"));
        let verdicts = [1_000_017, 1_000_333, 1_002_001].map(|bytes| it.judge("sums", &full(bytes), Some(3)));
        assert!(matches!(verdicts[2], Verdict::GiveUp(Some(_))), "however far it is beyond the limit: {verdicts:?}");
    }

    #[test]
    fn a_bad_row_and_no_restarts_end_it_at_once() {
        let bad = Error::new(ErrorKind::BadRow, "bad row");
        assert_eq!(restarts(9, 9).judge("in", &bad, None), Verdict::GiveUp(None));
        let closed = Error::new(ErrorKind::Closed, "closed");
        assert_eq!(restarts(9, 9).judge("out", &closed, None), Verdict::GiveUp(None));
        let taken = Error::new(ErrorKind::Taken, "taken");
        assert_eq!(restarts(9, 9).judge("[checkpoint]", &taken, None), Verdict::GiveUp(None));
        assert_eq!(restarts(0, 1).judge("in", &Error::internal("x"), None), Verdict::GiveUp(None));
    }
}

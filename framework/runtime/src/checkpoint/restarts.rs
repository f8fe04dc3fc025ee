//! Whether a run that has failed goes on from the last checkpoint by itself, and after which wait.
//!
//! A fault of the world outside passes; a row that cannot be processed does not, and would make the run fail for ever. So the
//! number of restarts without a checkpoint in between is limited, and even more that of failures that are all at the same place.
//!
//! The place is the node, and what the error says of it. Where that is nothing it is the stretch of the input between the last
//! checkpoint and what had been read: as long as no checkpoint has all of that, the same row may be to blame, whatever the message says.
//! A fault of the world outside is at the same place only if the message is the same too, and no checkpoint has passed it since.

use std::collections::BTreeMap;
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
    /// Failures at the same place.
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

/// How many rows each source has read, by its name.
pub type Read = BTreeMap<String, u64>;

/// How far the run had come when it failed.
#[derive(Clone, Debug, Default)]
pub struct Progress {
    /// Its newest checkpoint.
    pub newest: Option<CheckpointId>,
    /// What that one has, where it was written by this run.
    pub covered: Read,
    /// What had been read in all.
    pub read: Read,
}

/// The failures of a run so far.
#[derive(Debug)]
pub struct Restarts {
    policy: Policy,
    in_a_row: u32,
    newest: Option<CheckpointId>,
    last: Option<Failed>,
    same: usize,
}

/// What the failure of a checkpoint is said of, as if it were a node.
pub(crate) const CHECKPOINTS: &str = "[checkpoint]";

/// What a failure is recognised by.
#[derive(Debug)]
struct Failed {
    node: String,
    kind: ErrorKind,
    place: Option<String>,
    text: String,
    read: Read,
}

impl Failed {
    fn new(node: &str, error: &Error, read: Read) -> Failed {
        // Numbers are a time, a counter, how far it is beyond a limit.
        let text = error.message().chars().filter(|c| !c.is_ascii_digit()).collect();
        Failed { node: node.to_owned(), kind: error.kind(), place: error.place().map(str::to_owned), text, read }
    }

    /// Whether another one, before which checkpoints had come to have so much, was at the same place.
    fn is_at(&self, other: &Failed, covered: &Read) -> bool {
        let at = |failed: &'_ Failed| (failed.node.clone(), failed.kind, failed.place.clone());
        let may_be_the_same_row = || self.text == other.text || self.place.is_some() || !other.is_passed(covered);
        // What is away in the world outside comes back one day: how long it is waited for is a matter of `restarts` alone.
        is_of_rows(self.kind) && at(self) == at(other) && may_be_the_same_row()
    }

    /// Whether checkpoints have all that had been read.
    fn is_passed(&self, covered: &Read) -> bool {
        self.read.iter().all(|(source, rows)| covered.get(source).is_some_and(|covered| covered >= rows))
    }
}

/// Whether a failure of this kind is rather of rows, or of the state that they have made, than of the world outside.
fn is_of_rows(kind: ErrorKind) -> bool {
    matches!(kind, ErrorKind::Internal | ErrorKind::Limit)
}

impl Restarts {
    /// None yet.
    pub fn new(policy: Policy) -> Self {
        Restarts { policy, in_a_row: 0, newest: None, last: None, same: 0 }
    }

    /// Judges a failure of `node`.
    pub fn judge(&mut self, node: &str, error: &Error, Progress { newest, covered, read }: Progress) -> Verdict {
        // By the policy of its node a bad row ends the run; to read it again makes it no better.
        // Who has refused something for good would only refuse it again.
        // And nobody opens a pipe again that was closed, and to go on against whoever has taken the store would destroy its work.
        if matches!(error.kind(), ErrorKind::BadRow | ErrorKind::Refused | ErrorKind::Closed | ErrorKind::Taken) {
            return Verdict::GiveUp(None);
        }
        // What a node finds not to be as the checkpoint says, it would find again. Of a store another attempt may get more.
        if error.kind() == ErrorKind::State && node != CHECKPOINTS {
            return Verdict::GiveUp(None);
        }
        if newest != self.newest {
            (self.newest, self.in_a_row) = (newest, 0);
        }
        let failed = Failed::new(node, error, read);
        self.same = if self.last.as_ref().is_some_and(|last| failed.is_at(last, &covered)) { self.same + 1 } else { 1 };
        self.last = Some(failed);
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

#[cfg(test)]
mod tests {
    use super::*;

    fn restarts(restarts: u32, same_failures: usize) -> Restarts {
        let seconds = Duration::from_secs;
        Restarts::new(Policy { restarts, delay: seconds(1), max_delay: seconds(5), same_failures })
    }

    fn at(newest: CheckpointId) -> Progress {
        Progress { newest: Some(newest), ..Progress::default() }
    }

    fn wait(seconds: u64) -> Verdict {
        Verdict::Restart(Duration::from_secs(seconds))
    }

    #[test]
    fn waits_double_up_to_a_limit_and_begin_anew_after_a_checkpoint() {
        let mut it = restarts(4, 100);
        let mut fail = |n: u32, newest| it.judge("sink", &Error::io("cannot write", n), at(newest));
        let waits: Vec<Verdict> = (0..4).map(|n| fail(n, 1)).collect();
        assert_eq!(waits, [1, 2, 4, 5].map(wait));
        assert_eq!(fail(4, 2), wait(1));
        for n in 5..8 {
            fail(n, 2);
        }
        let said = "it was restarted 4 times without coming to a checkpoint".to_owned();
        assert_eq!(fail(9, 2), Verdict::GiveUp(Some(said)));
    }

    #[test]
    fn the_same_failure_again_and_again_is_not_tried_for_ever() {
        let mut it = restarts(100, 3);
        let poison = || Error::internal("panicked: out of range").at("row 7");
        assert_eq!(it.judge("sums", &poison(), at(1)), wait(1));
        assert_eq!(it.judge("sums", &poison(), at(2)), wait(1));
        let said = "it has failed 3 times at the same place, so it would go on failing".to_owned();
        assert_eq!(it.judge("sums", &poison(), at(3)), Verdict::GiveUp(Some(said)));
        assert_eq!(it.judge("other", &poison(), at(3)), wait(1), "another node is another place");
        let full = |bytes: u32| Error::new(ErrorKind::Limit, format!("keyed state is {bytes} bytes"));
        let verdicts = [1_000_017, 1_000_333, 1_002_001].map(|bytes| it.judge("sums", &full(bytes), at(3)));
        assert!(matches!(verdicts[2], Verdict::GiveUp(Some(_))), "however far it is beyond the limit: {verdicts:?}");
    }

    fn rows<const N: usize>(rows: [u64; N]) -> Read {
        rows.into_iter().enumerate().map(|(source, rows)| (format!("source {source}"), rows)).collect()
    }

    /// Which of these failures ends the run, each with its message and place, what checkpoints had before it, and what had been read.
    fn ends_at(failures: &[(Error, [u64; 2], [u64; 2])]) -> Option<usize> {
        let mut it = restarts(100, 3);
        let mut judge = |(index, (error, covered, read)): (usize, &(Error, [u64; 2], [u64; 2]))| {
            let progress = Progress { newest: Some(index as u64), covered: rows(*covered), read: rows(*read) };
            it.judge("sums", error, progress)
        };
        failures.iter().enumerate().position(|failure| matches!(judge(failure), Verdict::GiveUp(_)))
    }

    #[test]
    fn a_message_that_changes_does_not_hide_that_it_is_the_same_place() {
        let panic = |text: &str| Error::internal(format!("panicked: {text}"));
        let cut = |covered, reads: [[u64; 2]; 4]| {
            ["dawn", "noon", "dusk", "night"].into_iter().zip(reads).map(|(text, read)| (panic(text), covered, read)).collect::<Vec<_>>()
        };
        // Checkpoints come on the way there, and never past it.
        assert_eq!(ends_at(&cut([10, 70], [[20, 70], [25, 70], [21, 70], [22, 70]])), Some(2));
        let passing = |text, covered, read| (panic(text), covered, read);
        let passed =
            [("dawn", [10, 70], [20, 70]), ("noon", [20, 70], [30, 70]), ("dusk", [40, 71], [50, 80]), ("night", [41, 90], [60, 90])];
        assert_eq!(ends_at(&passed.map(|(text, covered, read)| passing(text, covered, read))), None, "each time they have passed it");
        // What has come into state fails behind any checkpoint.
        let counted = |n: u64| (panic(&format!("at {n} o'clock")), [n, n], [n, n]);
        assert_eq!(ends_at(&[7, 8, 9, 10].map(counted)), Some(2), "numbers do not count");
        let at = |n: u64, place: &str| (panic(&format!("{}", char::from(b'a' + n as u8))).at(place), [n, n], [n, n]);
        assert_eq!(ends_at(&[at(1, "in:7"), at(2, "in:7"), at(3, "in:7")]), Some(2), "the error says where it was");
        assert_eq!(ends_at(&[at(1, "in:7"), at(2, "in:8"), at(3, "in:9")]), None);
    }

    #[test]
    fn what_is_away_is_waited_for_as_often_as_there_are_restarts() {
        let mut it = restarts(9, 3);
        let mut away = |newest| it.judge("sink", &Error::io("cannot write", "connection refused"), at(newest));
        assert!((0..9).all(|_| matches!(away(1), Verdict::Restart(_))));
        assert!(matches!(away(1), Verdict::GiveUp(Some(_))));
        assert_eq!(away(2), wait(1), "a checkpoint has got through");
    }

    #[test]
    fn a_bad_row_and_no_restarts_end_it_at_once() {
        let bad = Error::new(ErrorKind::BadRow, "bad row");
        assert_eq!(restarts(9, 9).judge("in", &bad, Progress::default()), Verdict::GiveUp(None));
        let closed = Error::new(ErrorKind::Closed, "closed");
        assert_eq!(restarts(9, 9).judge("out", &closed, Progress::default()), Verdict::GiveUp(None));
        let refused = Error::new(ErrorKind::Refused, "refused");
        assert_eq!(restarts(9, 9).judge("out", &refused, Progress::default()), Verdict::GiveUp(None));
        let changed = || Error::new(ErrorKind::State, "out.ndjson has 0 bytes, and checkpoints have written 8");
        assert_eq!(restarts(9, 9).judge("out", &changed(), Progress::default()), Verdict::GiveUp(None));
        assert_eq!(restarts(9, 9).judge(CHECKPOINTS, &changed(), Progress::default()), wait(1));
        let taken = Error::new(ErrorKind::Taken, "taken");
        assert_eq!(restarts(9, 9).judge(CHECKPOINTS, &taken, Progress::default()), Verdict::GiveUp(None));
        assert_eq!(restarts(0, 1).judge("in", &Error::internal("x"), Progress::default()), Verdict::GiveUp(None));
    }
}

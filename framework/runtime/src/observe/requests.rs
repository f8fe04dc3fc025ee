//! Requests between a node and the world outside, and what it waits for.

use std::collections::BTreeMap;

use millstream_api::requests::{Awaited, RequestCounts};
use serde::{Deserialize, Serialize};

/// How the requests of a node went since it was started.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RequestsObservation {
    /// Attempts that were answered, by status.
    pub answers: BTreeMap<u16, u64>,
    /// Attempts without an answer.
    pub unanswered: u64,
    /// Attempts after which the same request was to be sent again.
    pub retries: u64,
    /// Rows of requests that were refused.
    pub refused_rows: u64,
    /// The request that is to be sent again, if one is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub awaited: Option<AwaitedObservation>,
}

/// A request that a service has not taken yet.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct AwaitedObservation {
    /// Where it goes.
    pub to: String,
    /// The wall clock when its first attempt had failed, in microseconds since 1970.
    pub since_micros: i64,
    /// How many attempts have failed.
    pub failed: usize,
    /// How many there may be.
    pub attempts: usize,
    /// What came of the last one.
    pub said: String,
}

impl RequestsObservation {
    /// Those of all subtasks together; none when none of them has to do with requests. What is waited for is what has been for longest.
    pub(super) fn of(subtasks: impl Iterator<Item = RequestCounts>) -> Option<RequestsObservation> {
        subtasks.map(RequestsObservation::from).reduce(|mut all, one| {
            one.answers.into_iter().for_each(|(status, count)| *all.answers.entry(status).or_default() += count);
            all.unanswered += one.unanswered;
            all.retries += one.retries;
            all.refused_rows += one.refused_rows;
            all.awaited = all.awaited.into_iter().chain(one.awaited).min_by_key(|awaited| awaited.since_micros);
            all
        })
    }
}

impl From<RequestCounts> for RequestsObservation {
    fn from(counts: RequestCounts) -> Self {
        let RequestCounts { answers, unanswered, retries, refused_rows, awaited } = counts;
        RequestsObservation { answers, unanswered, retries, refused_rows, awaited: awaited.map(AwaitedObservation::from) }
    }
}

impl From<Awaited> for AwaitedObservation {
    fn from(awaited: Awaited) -> Self {
        let Awaited { to, since, failed, attempts, said } = awaited;
        AwaitedObservation { to, since_micros: since.0, failed, attempts, said }
    }
}

impl AwaitedObservation {
    /// As a sentence without a subject: `waits for http://x/: attempt 3 of 10 has failed, the first one 12s ago: the answer was 503`.
    pub fn says(&self, now_micros: i64) -> String {
        let AwaitedObservation { to, since_micros, failed, attempts, said } = self;
        let seconds = now_micros.saturating_sub(*since_micros).max(0) / 1_000_000;
        format!("waits for {to}: attempt {failed} of {attempts} has failed, the first one {seconds} s ago: {said}")
    }
}

#[cfg(test)]
mod tests {
    use millstream_api::time::ClockTime;

    use super::*;

    #[test]
    fn subtasks_are_added_up_and_the_longest_wait_is_said() {
        let counts = |since, status, count| RequestCounts {
            answers: BTreeMap::from([(status, count)]),
            unanswered: 1,
            retries: 2,
            refused_rows: 3,
            awaited: Some(Awaited {
                to: "http://x/".into(),
                since: ClockTime(since),
                failed: 3,
                attempts: 10,
                said: "the answer was 503".into(),
            }),
        };
        assert_eq!(RequestsObservation::of(std::iter::empty()), None);
        let all = RequestsObservation::of([counts(9_000_000, 200, 5), counts(4_000_000, 503, 1)].into_iter()).unwrap();
        assert_eq!((all.answers, all.unanswered, all.retries, all.refused_rows), (BTreeMap::from([(200, 5), (503, 1)]), 2, 4, 6));
        let said = "waits for http://x/: attempt 3 of 10 has failed, the first one 12 s ago: the answer was 503";
        assert_eq!(all.awaited.unwrap().says(16_500_000), said);
    }
}

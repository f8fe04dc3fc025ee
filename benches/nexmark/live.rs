//! Events against the clock, and how long their results take.
//!
//! Event time begins when the first event is asked for, and goes on with the clock: an event is due when its event time has come. A result
//! carries the event time of the event that made it; of a window, its last instant, which is when the event comes that closes it.

use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};

/// Results of the first second are not counted: a process that has just started is not what is measured.
const SETTLING_MICROS: i64 = 1_000_000;

/// When event time began.
struct Start {
    at: Instant,
    event_time: i64,
}

static START: OnceLock<Start> = OnceLock::new();

/// Of the subtasks of this process that have finished.
static MICROS: Mutex<Vec<u32>> = Mutex::new(Vec::new());

/// Ties event time to the clock, at the first call.
#[expect(clippy::disallowed_methods, reason = "a benchmark measures real time")]
pub fn start(event_time: i64) {
    START.get_or_init(|| Start { at: Instant::now(), event_time });
}

/// How long it is until this event time; zero when it has come.
pub fn until(event_time: i64) -> Duration {
    START.get().map_or(Duration::ZERO, |start| {
        let after = Duration::from_micros(u64::try_from(event_time - start.event_time).unwrap_or(0));
        after.saturating_sub(start.at.elapsed())
    })
}

/// Notes results that are there now, by their event times. Nothing when events do not come against the clock.
pub fn note(event_times: &[i64], micros: &mut Vec<u32>) {
    let Some(start) = START.get() else { return };
    let now = i64::try_from(start.at.elapsed().as_micros()).unwrap_or(i64::MAX);
    let since_start = event_times.iter().map(|time| time - start.event_time);
    // The end of the input closes windows whose time has not come.
    micros.extend(since_start.filter(|time| (SETTLING_MICROS..=now).contains(time)).filter_map(|time| u32::try_from(now - time).ok()));
}

/// Adds what a subtask has noted.
pub fn add(micros: &mut Vec<u32>) {
    MICROS.lock().unwrap_or_else(PoisonError::into_inner).append(micros);
}

/// All that was noted.
pub fn taken() -> Vec<u32> {
    std::mem::take(&mut MICROS.lock().unwrap_or_else(PoisonError::into_inner))
}

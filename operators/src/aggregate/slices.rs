//! Slices: the pieces that window bounds cut time into.
//!
//! Within a slice every instant is in the same windows, so a row is aggregated once, into its slice, and a window is the
//! merge of its slices. Windows are told apart by their numbers (see [`Aligned`]); of the windows of a slice those that are
//! open at a watermark are all from one number on.

use millstream_api::EventTime;
use millstream_api::window::{Aligned, Slice, Window};

/// Windows that follow from event time, with what `allowed_lateness` adds before they close.
#[derive(Clone, Debug)]
pub(super) struct Slices {
    windows: Aligned,
    lateness: i64,
}

impl Slices {
    pub(super) fn new(windows: Aligned, lateness: i64) -> Self {
        Slices { windows, lateness }
    }

    /// The slice that an instant is in.
    pub(super) fn at(&self, time: i64) -> Slice {
        self.windows.slice(time)
    }

    /// Whether all windows of a slice are closed for a row judged at `judged`.
    pub(super) fn all_closed(&self, slice: &Slice, judged: EventTime) -> bool {
        closed(slice.last_end, self.lateness, judged)
    }

    /// The first window of the slice that is still open for a row judged at `judged`; `None`: all are closed.
    pub(super) fn first_open(&self, slice: &Slice, judged: EventTime) -> Option<i64> {
        if self.all_closed(slice, judged) {
            return None;
        }
        // Of the windows that are open the first one is the first of those that this instant is in.
        let first = self.windows.numbers(judged.minus(self.lateness).0).0;
        Some(first.clamp(slice.first, slice.last))
    }

    /// Whether a window is closed at this watermark.
    pub(super) fn closed(&self, window: i64, watermark: EventTime) -> bool {
        closed(self.bounds(window).1, self.lateness, watermark)
    }

    /// The bounds of a window.
    pub(super) fn bounds(&self, window: i64) -> Window {
        self.windows.bounds(window)
    }

    /// The window after this one.
    pub(super) fn next(&self, window: i64) -> i64 {
        self.windows.next(window)
    }

    /// The numbers of the windows from one to another.
    pub(super) fn between(&self, first: i64, last: i64) -> impl Iterator<Item = i64> + '_ {
        let next = move |&window: &i64| Some(self.next(window)).filter(|&next| window < next && next <= last);
        std::iter::successors((first <= last).then_some(first), next)
    }

    /// The first and the last window that an instant is in.
    pub(super) fn numbers(&self, time: i64) -> (i64, i64) {
        self.windows.numbers(time)
    }

    /// Whether a window holds all of those before it that start where it does.
    pub(super) fn cumulates(&self) -> bool {
        self.windows.cumulates()
    }
}

/// Whether a window with this end is closed at this watermark.
pub(super) fn closed(end: i64, lateness: i64, watermark: EventTime) -> bool {
    end.saturating_add(lateness) <= watermark.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn open_windows_are_judged_one_by_one() {
        for windows in [Aligned::hop(10, 4, 0), Aligned::cumulate(12, 4, 1)] {
            let slices = Slices::new(windows.clone(), 3);
            for time in -20..20 {
                let slice = slices.at(time);
                for judged in -40..60 {
                    let open = windows.from_number(slice.first, slice.last).find(|(_, end)| end + 3 > judged);
                    let found = slices.first_open(&slice, EventTime(judged)).map(|window| slices.bounds(window));
                    assert_eq!(found, open, "{time} judged at {judged}");
                }
                assert_eq!(slices.first_open(&slice, EventTime::MIN), Some(slice.first));
                assert_eq!(slices.first_open(&slice, EventTime::MAX), None);
            }
        }
    }
}

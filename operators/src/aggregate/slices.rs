//! Slices: the pieces that window bounds cut time into.
//!
//! Within a slice every instant is in the same windows, so a row is aggregated once, into its slice, and a window is the
//! merge of its slices. There are at most two for each `slide`: windows start at its multiples, and end `size mod slide`
//! behind them. All arithmetic saturates at the ends of time.

use millstream_api::EventTime;
use millstream_api::stream::WindowKind;

/// Overlapping or tumbling windows, with what `allowed_lateness` adds before they close.
#[derive(Clone, Debug)]
pub(super) struct Slices {
    kind: WindowKind,
    size: i64,
    slide: i64,
    offset: i64,
    /// Where in a slide the windows end.
    cut: i64,
    lateness: i64,
}

/// A slice `[start, end)` and the windows it is in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Slice {
    pub(super) start: i64,
    pub(super) end: i64,
    /// The start of the first window that it is in.
    pub(super) first_window: i64,
    /// The start of the last window that it is in.
    pub(super) last_window: i64,
}

impl Slice {
    pub(super) fn contains(&self, time: i64) -> bool {
        self.start <= time && time < self.end
    }
}

impl Slices {
    pub(super) fn new(kind: WindowKind, lateness: i64) -> Self {
        let WindowKind::Hop { size, slide, offset } = kind;
        // The plan refuses a slide of 0; a window kind made by hand is not to bring the process down.
        let slide = slide.max(1);
        Slices { kind: WindowKind::Hop { size, slide, offset }, size, slide, offset, cut: size % slide, lateness }
    }

    /// The slice that an instant is in.
    pub(super) fn at(&self, time: i64) -> Slice {
        let window = self.last_window(time);
        let cut = window.saturating_add(self.cut);
        let next = window.saturating_add(self.slide);
        let (start, end) = match self.cut {
            0 => (window, next),
            _ if time < cut => (window, cut),
            _ => (cut, next),
        };
        let first_window = self.last_window(time.saturating_sub(self.size)).saturating_add(self.slide).min(window);
        Slice { start, end, first_window, last_window: window }
    }

    /// The first window of the slice that is still open for a row judged at `judged`; `None`: all are closed.
    pub(super) fn first_open(&self, slice: &Slice, judged: EventTime) -> Option<i64> {
        if !self.closed(slice.first_window, judged) {
            return Some(slice.first_window);
        }
        if self.closed(slice.last_window, judged) {
            return None;
        }
        // The last window that is closed starts at or before `judged - size - lateness`.
        let last_closed = self.last_window(judged.0.saturating_sub(self.size).saturating_sub(self.lateness));
        Some(last_closed.saturating_add(self.slide))
    }

    /// Whether the window that starts at `window` is closed at this watermark.
    pub(super) fn closed(&self, window: i64, watermark: EventTime) -> bool {
        closed(self.end(window), self.lateness, watermark)
    }

    /// The end of the window that starts at `window`.
    pub(super) fn end(&self, window: i64) -> i64 {
        window.saturating_add(self.size)
    }

    /// The start of the window after the one that starts at `window`.
    pub(super) fn next(&self, window: i64) -> i64 {
        window.saturating_add(self.slide)
    }

    /// The start of the last window that an instant is in.
    pub(super) fn last_window(&self, time: i64) -> i64 {
        // In 64 bits, except at the ends of time: this is done for every row that is out of order.
        let near = time.checked_sub(self.offset).and_then(|shifted| time.checked_sub(shifted.rem_euclid(self.slide)));
        near.unwrap_or_else(|| self.kind.last_start(time))
    }

    pub(super) fn size(&self) -> i64 {
        self.size
    }
}

/// Whether a window with this end is closed at this watermark.
pub(super) fn closed(end: i64, lateness: i64, watermark: EventTime) -> bool {
    end.saturating_add(lateness) <= watermark.0
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hop(size: i64, slide: i64, offset: i64) -> Slices {
        Slices::new(WindowKind::Hop { size, slide, offset }, 0)
    }

    #[test]
    fn slices_are_cut_at_all_starts_and_ends_of_windows() {
        for (size, slide, offset) in [(10, 10, 0), (10, 5, 2), (10, 4, 1), (7, 3, 0), (5, 4, 3)] {
            let slices = hop(size, slide, offset);
            for time in -60..60 {
                let slice = slices.at(time);
                assert!(slice.contains(time), "{slice:?} {time}");
                let windows =
                    |t: i64| -> Vec<i64> { (-100..100).map(|n| n * slide + offset).filter(|w| *w <= t && t < w + size).collect() };
                let expected = windows(time);
                assert_eq!((slice.first_window, slice.last_window), (expected[0], expected[expected.len() - 1]), "{size} {slide} {time}");
                assert!((slice.start..slice.end).all(|t| windows(t) == expected));
                assert_ne!(windows(slice.end), expected);
            }
        }
    }

    #[test]
    fn open_windows_are_judged_one_by_one() {
        let slices = Slices::new(WindowKind::Hop { size: 10, slide: 4, offset: 0 }, 3);
        for time in -20..20 {
            let slice = slices.at(time);
            for judged in -40..60 {
                let open = (-30..30).map(|n| n * 4).find(|w| *w <= time && time < w + 10 && w + 13 > judged);
                assert_eq!(slices.first_open(&slice, EventTime(judged)), open, "{time} judged at {judged}");
            }
            assert_eq!(slices.first_open(&slice, EventTime::MIN), Some(slice.first_window));
            assert_eq!(slices.first_open(&slice, EventTime::MAX), None);
        }
    }

    #[test]
    fn the_ends_of_time_do_no_harm() {
        let slices = hop(10, 4, 0);
        for time in [i64::MIN, i64::MIN + 5, i64::MAX - 5, i64::MAX] {
            let slice = slices.at(time);
            assert!(slice.first_window <= slice.last_window, "{slice:?}");
        }
    }
}

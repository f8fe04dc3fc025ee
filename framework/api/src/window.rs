//! The windows of a windowed stream, and which of them an instant is in.
//!
//! Windows that follow from event time alone ([`Aligned`]) are numbered in the order of their starts, which is that of their
//! ends. They cover all of time, so the windows of an instant are those from one number to another, and the windows that are
//! open at a watermark all those from some number on. Every node that places rows does it by these numbers, however its
//! windows are made: that is the only thing that tells the kinds apart.

use std::fmt;

use crate::calendar::{Calendar, DAY};
use crate::time::{DurationText, EventTime};

/// A window's bounds `[start, end)`, in microseconds since 1970.
pub type Window = (i64, i64);

/// The windows of a windowed stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum WindowKind {
    /// They follow from event time.
    Aligned(Aligned),
    /// The rows of a key that follow each other at less than `gap` microseconds are one window. It has no bounds before a key
    /// is known, so only an aggregate can tell.
    Session {
        /// In microseconds.
        gap: i64,
    },
}

/// What a node does with the windows of a windowed input.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WindowUse {
    /// Hands rows on with the windows they came in (filter, select, union): whoever comes next judges lateness.
    Passes,
    /// Judges lateness itself, for each window (aggregate, top_n, window join).
    Judges,
    /// Wants one row for each window that is open; the `window` node judges.
    Reads,
}

impl WindowKind {
    /// Windows `[n·slide + offset, n·slide + offset + size)` for every n, in microseconds; tumbling ones have `slide == size`.
    pub fn hop(size: i64, slide: i64, offset: i64) -> WindowKind {
        WindowKind::Aligned(Aligned::hop(size, slide, offset))
    }

    /// The windows, if they follow from event time.
    pub fn aligned(&self) -> Option<&Aligned> {
        match self {
            WindowKind::Aligned(aligned) => Some(aligned),
            WindowKind::Session { .. } => None,
        }
    }
}

/// Windows that follow from event time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Aligned {
    grid: Grid,
    shape: Shape,
}

/// What time is counted in.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Grid {
    /// Microseconds since 1970-01-01T00:00Z plus an offset.
    Micros { offset: i64 },
    /// Days of a time zone.
    Days { calendar: Calendar },
}

/// The windows, by ticks of the grid.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Shape {
    Hop {
        size: i64,
        slide: i64,
    },
    /// `step` divides `size`.
    Cumulate {
        size: i64,
        step: i64,
    },
    /// Days of a calendar that are cut by a step in microseconds; the last one of a day may be shorter.
    CumulateWithin {
        days: i64,
        step: i64,
    },
}

/// A piece of time in which every instant is in the same windows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Slice {
    /// Its first instant.
    pub start: i64,
    /// The first instant after it.
    pub end: i64,
    /// The number of the first window that it is in.
    pub first: i64,
    /// The number of the last window that it is in.
    pub last: i64,
    /// Where that one ends.
    pub last_end: i64,
}

impl Slice {
    /// A slice that no instant is in.
    pub const NONE: Slice = Slice { start: 0, end: 0, first: 0, last: 0, last_end: 0 };

    /// Whether an instant is in it.
    pub fn contains(&self, time: i64) -> bool {
        self.start <= time && time < self.end
    }
}

impl Aligned {
    /// See [`WindowKind::hop`].
    pub fn hop(size: i64, slide: i64, offset: i64) -> Aligned {
        Aligned { grid: Grid::Micros { offset }, shape: Shape::Hop { size, slide: slide.max(1) } }
    }

    /// Windows that start at multiples of `size` plus `offset` and grow by `step` up to `size`; `step` must divide `size`.
    pub fn cumulate(size: i64, step: i64, offset: i64) -> Aligned {
        Aligned { grid: Grid::Micros { offset }, shape: Shape::Cumulate { size, step: step.max(1) } }
    }

    /// Windows of so many days of a calendar that start every `slide` days.
    pub fn hop_days(days: i64, slide: i64, calendar: Calendar) -> Aligned {
        Aligned { grid: Grid::Days { calendar }, shape: Shape::Hop { size: days, slide: slide.max(1) } }
    }

    /// Windows that grow day by day: `step` must divide `days`.
    pub fn cumulate_days(days: i64, step: i64, calendar: Calendar) -> Aligned {
        Aligned { grid: Grid::Days { calendar }, shape: Shape::Cumulate { size: days, step: step.max(1) } }
    }

    /// Windows that grow by `step` microseconds within so many days of a calendar.
    pub fn cumulate_within_days(days: i64, step: i64, calendar: Calendar) -> Aligned {
        Aligned { grid: Grid::Days { calendar }, shape: Shape::CumulateWithin { days: days.max(1), step: step.max(1) } }
    }

    /// Whether an instant is in one window only.
    pub fn tumbles(&self) -> bool {
        matches!(self.shape, Shape::Hop { size, slide } if size == slide)
    }

    /// Whether a window holds all of those before it that start where it does.
    pub fn cumulates(&self) -> bool {
        !matches!(self.shape, Shape::Hop { .. })
    }

    /// The slice that an instant is in, with its windows.
    pub fn slice(&self, time: i64) -> Slice {
        let (first, last) = self.numbers(time);
        let (last_start, last_end) = self.bounds(last);
        let start = last_start.max(self.bounds(first.saturating_sub(1)).1);
        let end = self.bounds(first).1.min(self.bounds(self.next(last)).0);
        Slice { start, end, first, last, last_end }
    }

    /// The numbers of the first and the last window that an instant is in. The first one is that which ends first after it.
    pub fn numbers(&self, time: i64) -> (i64, i64) {
        match self.shape {
            Shape::Hop { size, slide } => {
                let tick = self.tick(time);
                (clamp(floor(tick - i128::from(size), slide) + 1), clamp(floor(tick, slide)))
            }
            Shape::Cumulate { size, step } => {
                let tick = self.tick(time);
                (clamp(floor(tick, step)), clamp((floor(tick, size) + 1) * i128::from(size / step) - 1))
            }
            Shape::CumulateWithin { days, step } => {
                let period = clamp(floor(self.tick(time), days));
                let (start, end) = (self.instant(i128::from(period) * i128::from(days)), self.period_end(period, days));
                let of_period = period.saturating_mul(most_steps(days, step));
                let steps = |length: i64| length.max(0) / step;
                let first = of_period.saturating_add(steps(time.saturating_sub(start)));
                (first, of_period.saturating_add(steps(end.saturating_sub(start).saturating_sub(1))).max(first))
            }
        }
    }

    /// The bounds of a window. Those of windows that reach past the ends of time are the first and the last instant.
    pub fn bounds(&self, number: i64) -> Window {
        let wide = i128::from(number);
        match self.shape {
            Shape::Hop { size, slide } => {
                let start = wide * i128::from(slide);
                (self.instant(start), self.instant(start + i128::from(size)))
            }
            Shape::Cumulate { size, step } => {
                let end = (wide + 1) * i128::from(step);
                (self.instant(floor(end - i128::from(step), size) * i128::from(size)), self.instant(end))
            }
            Shape::CumulateWithin { days, step } => {
                let most = most_steps(days, step);
                let (period, steps) = (number.div_euclid(most), number.rem_euclid(most));
                let start = self.instant(i128::from(period) * i128::from(days));
                (start, start.saturating_add((steps + 1).saturating_mul(step)).min(self.period_end(period, days)))
            }
        }
    }

    /// The number of the window after this one.
    pub fn next(&self, number: i64) -> i64 {
        if let Shape::CumulateWithin { days, step } = self.shape {
            let most = most_steps(days, step);
            let period = number.div_euclid(most);
            if self.bounds(number).1 >= self.period_end(period, days) {
                return period.saturating_add(1).saturating_mul(most);
            }
        }
        number.saturating_add(1)
    }

    /// The windows of an instant that have not ended at this watermark, first one first; and whether these are all of its
    /// windows.
    pub fn open(&self, time: i64, watermark: EventTime) -> (WindowRange<'_>, bool) {
        let (first, last) = self.numbers(time);
        // Of the windows that end after the watermark the first one is the first that it is in.
        let open = if watermark.0 > time { self.numbers(watermark.0).0 } else { first };
        let ended = open > last || self.bounds(last).1 <= watermark.0;
        (WindowRange { windows: self, number: Some(open.max(first)).filter(|_| !ended), last }, open <= first && !ended)
    }

    fn period_end(&self, period: i64, days: i64) -> i64 {
        self.instant((i128::from(period) + 1) * i128::from(days))
    }

    fn tick(&self, time: i64) -> i128 {
        match &self.grid {
            Grid::Micros { offset } => i128::from(time) - i128::from(*offset),
            Grid::Days { calendar } => i128::from(calendar.day(time)),
        }
    }

    fn instant(&self, tick: i128) -> i64 {
        match &self.grid {
            Grid::Micros { offset } => clamp(tick + i128::from(*offset)),
            Grid::Days { calendar } => calendar.start(clamp(tick)),
        }
    }
}

/// Windows from one number to another.
#[derive(Clone, Debug)]
pub struct WindowRange<'a> {
    windows: &'a Aligned,
    /// The next one, if there is one.
    number: Option<i64>,
    last: i64,
}

impl WindowRange<'_> {
    /// Whether there is none left.
    pub fn is_empty(&self) -> bool {
        self.number.is_none()
    }

    /// The number of the next one, from which [`Aligned::from_number`] goes on.
    pub fn numbers(&self) -> Option<(i64, i64)> {
        self.number.map(|next| (next, self.last))
    }
}

impl Aligned {
    /// The windows from one number to another.
    pub fn from_number(&self, first: i64, last: i64) -> WindowRange<'_> {
        WindowRange { windows: self, number: (first <= last).then_some(first), last }
    }
}

impl Iterator for WindowRange<'_> {
    type Item = Window;

    fn next(&mut self) -> Option<Window> {
        let number = self.number?;
        self.number = Some(self.windows.next(number)).filter(|&next| number < next && next <= self.last);
        Some(self.windows.bounds(number))
    }
}

/// The most steps that so many days can have: the longest day there was had 48 hours.
fn most_steps(days: i64, step: i64) -> i64 {
    days.saturating_add(1).saturating_mul(DAY) / step + 1
}

/// Rounded down, also below zero. In 64 bits where that does, since it is done for every row that is out of order.
fn floor(value: i128, divisor: i64) -> i128 {
    match i64::try_from(value) {
        Ok(near) => i128::from(near.div_euclid(divisor)),
        Err(_) => value.div_euclid(i128::from(divisor)),
    }
}

fn clamp(value: i128) -> i64 {
    i64::try_from(value).unwrap_or(if value < 0 { i64::MIN } else { i64::MAX })
}

impl fmt::Display for WindowKind {
    /// `windows of 1h every 5m`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            WindowKind::Session { gap } => write!(f, "sessions with gaps of less than {}", duration(*gap)),
            WindowKind::Aligned(aligned) => aligned.fmt(f),
        }
    }
}

impl fmt::Display for Aligned {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let length = |ticks: i64| match &self.grid {
            Grid::Micros { .. } => duration(ticks),
            Grid::Days { .. } => duration(ticks.saturating_mul(DAY)),
        };
        match self.shape {
            Shape::Hop { size, slide } if size == slide => write!(f, "windows of {}", length(size))?,
            Shape::Hop { size, slide } => write!(f, "windows of {} every {}", length(size), length(slide))?,
            Shape::Cumulate { size, step } => write!(f, "windows of up to {} that grow by {}", length(size), length(step))?,
            Shape::CumulateWithin { days, step } => write!(f, "windows of up to {} that grow by {}", length(days), duration(step))?,
        }
        let offset = match &self.grid {
            Grid::Micros { offset } => *offset,
            Grid::Days { calendar } => {
                write!(f, " in {calendar}")?;
                calendar.offset()
            }
        };
        if offset == 0 { Ok(()) } else { write!(f, " shifted by {}", duration(offset)) }
    }
}

fn duration(micros: i64) -> DurationText {
    DurationText::from_micros(micros).unwrap_or_default()
}

#[cfg(test)]
mod tests;

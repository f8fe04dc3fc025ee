//! What the plan knows of a stream before a row has flowed.

use arrow::datatypes::SchemaRef;

/// The properties of a stream. They are fixed at `check`, decide which nodes may read it, and are shown by `check --schemas`.
#[derive(Clone, Debug)]
pub struct Stream {
    /// All columns that a reader may name, in order.
    pub schema: SchemaRef,
    /// Whether rows carry event time.
    pub event_time: bool,
    /// Whether a row can be withdrawn.
    pub updating: bool,
    /// Set by `window`, kept and dropped as docs/semantics.md says.
    pub windowed: Option<Windowed>,
    /// Columns of which no two rows (that are not withdrawn) have the same values.
    pub unique_key: Option<Vec<String>>,
    /// Whether rows still come from a source unjoined and unaggregated, so that ties go by split and position.
    pub from_source: bool,
    /// Whether the input ends by itself.
    pub bounded: bool,
}

impl Stream {
    /// An insert-only stream of these columns without event time, windows or keys.
    pub fn plain(schema: SchemaRef) -> Self {
        Stream { schema, event_time: false, updating: false, windowed: None, unique_key: None, from_source: false, bounded: true }
    }

    /// The same properties over other columns. A unique key stays only when all its columns do.
    #[must_use]
    pub fn with_schema(&self, schema: SchemaRef) -> Self {
        let unique_key = self.unique_key.clone().filter(|key| key.iter().all(|name| schema.column_with_name(name).is_some()));
        Stream { schema, unique_key, ..self.clone() }
    }
}

/// How a windowed stream says which windows a row is in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Windowed {
    /// The windows themselves.
    pub windows: WindowKind,
    /// Who decides that a row is too late for a window.
    pub judge: Judge,
    /// Whether each row carries the bounds of its window; otherwise they follow from its event time, and a row of
    /// overlapping windows travels once.
    pub explicit: bool,
}

/// Who judges lateness on a windowed stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Judge {
    /// The first aggregate, top_n or window join that reads it; until then late rows travel along.
    Reader,
    /// It is judged already: every row's window was open.
    Done,
}

/// The windows of a windowed stream; all lengths in microseconds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum WindowKind {
    /// `[n·slide + offset, n·slide + offset + size)` for every n: tumble has `slide == size`.
    Hop {
        /// Length of a window.
        size: i64,
        /// From the start of one to the start of the next; at most `size`.
        slide: i64,
        /// Shift of all windows against 1970-01-01T00:00Z; `0 <= offset < slide`.
        offset: i64,
    },
}

impl WindowKind {
    /// Start of the last window that begins at or before `time`. Floors, so it is right before 1970 too; saturates at the ends of time.
    pub fn last_start(&self, time: i64) -> i64 {
        let WindowKind::Hop { slide, offset, .. } = self;
        let shifted = i128::from(time) - i128::from(*offset);
        let start = shifted.div_euclid(i128::from(*slide)) * i128::from(*slide) + i128::from(*offset);
        i64::try_from(start).unwrap_or(if start < 0 { i64::MIN } else { i64::MAX })
    }

    /// Length of each window in microseconds.
    pub fn size(&self) -> i64 {
        let WindowKind::Hop { size, .. } = self;
        *size
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn windows_floor_before_1970_and_honour_the_offset() {
        let hour = WindowKind::Hop { size: 60, slide: 60, offset: 0 };
        assert_eq!([hour.last_start(0), hour.last_start(59), hour.last_start(-1), hour.last_start(-60)], [0, 0, -60, -60]);
        let shifted = WindowKind::Hop { size: 60, slide: 60, offset: 15 };
        assert_eq!([shifted.last_start(14), shifted.last_start(15)], [-45, 15]);
        assert_eq!(hour.last_start(i64::MIN), i64::MIN);
    }
}

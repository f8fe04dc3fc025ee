//! What the plan knows of a stream before a row has flowed.

use arrow::datatypes::SchemaRef;

use crate::window::Aligned;
pub use crate::window::WindowKind;

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
    /// How many rows there are at a time at most, without those that were withdrawn; `None`: nothing bounds them.
    pub most_rows: Option<u64>,
    /// Whether rows still come from a source unjoined and unaggregated, so that ties go by split and position.
    pub from_source: bool,
    /// How many splits its rows come from, while they come from a source.
    pub splits: usize,
    /// Whether the input ends by itself.
    pub bounded: bool,
}

impl Stream {
    /// An insert-only stream of these columns without event time, windows or keys.
    pub fn plain(schema: SchemaRef) -> Self {
        Stream {
            schema,
            event_time: false,
            updating: false,
            windowed: None,
            unique_key: None,
            most_rows: None,
            from_source: false,
            splits: 1,
            bounded: true,
        }
    }

    /// Whether its windows are sessions of keys that nobody knows yet: only an aggregate can tell them apart.
    pub fn undivided_sessions(&self) -> bool {
        let undivided = |windowed: &Windowed| windowed.judge == Judge::Reader && windowed.windows.aligned().is_none();
        self.windowed.as_ref().is_some_and(undivided)
    }

    /// The stream as a reader of single rows sees it: a row of overlapping windows comes once for each of them, and all of these
    /// share its place in the source.
    #[must_use]
    pub fn row_by_row(&self) -> Self {
        let overlap = self.windowed.as_ref().is_some_and(|windowed| !windowed.windows.aligned().is_some_and(Aligned::tumbles));
        Stream { from_source: self.from_source && !overlap, ..self.clone() }
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

//! What a plan says of keys that may leave memory: which state goes with them, and what is known of them once they are on disk.

use crate::time::DurationText;

/// What leaves memory with a key. A node that says so asks for keys before it looks at them
/// ([`Output::fetch`](crate::operator::Output::fetch)) and lets go of all of them when told
/// ([`Operator::forget_keys`](crate::Operator::forget_keys)); the rest is the runtime's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Spills {
    /// The names of the keyed state that goes. Its rows have the key in columns `k0`, `k1` and so on, and nothing but rows of a
    /// key, its age, or event time where keys are `due` by it, changes what is written of it.
    pub state: &'static [&'static str],
    /// After how long (by the wall clock) without a row a key may be forgotten.
    pub forgotten_after: Option<DurationText>,
    /// Whether event time ends something of a key without a row of it.
    pub due: Option<Due>,
    /// Whether the node says at ticks of the clock what has changed since the one before, and so wants the keys back for which rows came
    /// ([`Output::fetch_touched`](crate::operator::Output::fetch_touched)). Where nobody reads its first stream it has nothing to say, and none
    /// come back.
    pub at_ticks: bool,
    /// Whether the node, while its keys are in memory, notes by panes what of them is [gone](crate::state::gone).
    pub notes_panes: bool,
}

/// When event time ends something of keys that are on disk. Of a node that says so each key has rows of state, and those in memory have
/// nothing that is due.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Due {
    /// The column that has an instant. Rows of a name that has not got it are never due by themselves, and stand for no row of the input.
    pub column: &'static str,
    /// For each name of the state how long behind that instant its rows are due, in microseconds.
    pub after_micros: [i64; 2],
    /// What follows.
    pub then: Then,
}

/// What becomes of a key on disk that is due.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Then {
    /// Once the first of its rows is due the node wants it back ([`Output::fetch_due`](crate::operator::Output::fetch_due)).
    ComesBack,
    /// Once the last of its rows is due it changes nothing any more and is dropped, without a word. Until then it may have rows that
    /// are past.
    IsDropped,
}

impl Spills {
    /// Keys that stay on disk until rows of them come.
    pub fn keys(state: &'static [&'static str], forgotten_after: Option<DurationText>) -> Spills {
        Spills { state, forgotten_after, due: None, at_ticks: false, notes_panes: false }
    }

    /// Keys of which event time ends something.
    pub fn due(state: &'static [&'static str], due: Due) -> Spills {
        Spills { state, forgotten_after: None, due: Some(due), at_ticks: false, notes_panes: false }
    }
}

//! Single parts of the engine, each with the work that it is measured on. Who measures is asked in: `micro` takes the time,
//! `instructions` counts instructions.

#![expect(clippy::expect_used, clippy::panic, reason = "a benchmark that cannot be set up has nothing to measure")]

mod aggregate;
mod decode;
mod edges;
mod encode;
mod exchange;
mod joins;

/// What one run of a part works on.
#[derive(Clone, Copy, Debug)]
pub enum Work {
    /// So many rows.
    Rows(u64),
    /// So many rows, whose text has so many bytes.
    Text {
        /// How many lines.
        rows: u64,
        /// How long they are together.
        bytes: u64,
    },
}

/// Who measures.
pub trait Measure {
    /// Is shown a part, by the name of its group and its own, and runs it as often as it likes.
    fn part(&mut self, group: &str, name: &str, work: Work, run: &mut dyn FnMut());
}

/// The parts of a group.
pub type Parts = fn(&mut dyn Measure);

/// All groups, by name.
pub const GROUPS: [(&str, Parts); 6] = [
    (edges::GROUP, edges::parts),
    (exchange::GROUP, exchange::parts),
    (aggregate::GROUP, aggregate::parts),
    (joins::GROUP, joins::parts),
    (decode::GROUP, decode::parts),
    (encode::GROUP, encode::parts),
];

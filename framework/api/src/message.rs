//! What travels on an edge, and in which order.
//!
//! ```text
//! edge := (Batch | Watermark | Barrier | Idle)* (End | Halt)
//! ```
//!
//! - `Watermark(w)`: no more rows with event time below `w`, except rows that carry a lateness mark of their own.
//!   Watermarks never fall.
//! - `Barrier(n)`: all rows of before belong to checkpoint `n`, none of after does. Numbers rise.
//! - `Idle`: whether this sender is not to hold back the receiver's watermark, and how often the sources behind it have woken:
//!   see [`Idleness`].
//! - `End`: no more rows ever; the same as a watermark of +∞: every window closes.
//! - `Halt`: no more rows in this run; no window closes.
//!
//! After `End` or `Halt` nothing follows. `framework/runtime` wraps every subtask in a checker of this grammar in debug builds.

use std::collections::BTreeMap;

use crate::batch::Batch;
use crate::time::EventTime;

/// The number of a checkpoint. Rises by one with each.
pub type CheckpointId = u64;

/// One item on an edge. See the [module](self) for the grammar.
#[derive(Clone, Debug)]
pub enum Item {
    /// Rows.
    Batch(Batch),
    /// No more rows below this event time.
    Watermark(EventTime),
    /// The line between two checkpoints.
    Barrier(CheckpointId),
    /// Whether to wait for this sender's watermark.
    Idle(Idleness),
    /// The stream is over: every window closes.
    End,
    /// The run is over: windows stay open.
    Halt,
}

/// Whether a sender is idle, and how often the sources behind it have woken.
///
/// Rows of one source may come to a receiver on several ways, and the news that it has woken comes sooner on one than on another. A way
/// that is still idle by its own account holds the watermark all the same once another one has told of a newer waking of a source
/// behind both: the rows that this source has sent may be on it. Otherwise the watermark of the faster way would make
/// them late. So how often a source has woken goes along all ways; it comes on each, since what is not rows goes to all receivers.
///
/// Flink and others leave out idle inputs one by one (`StreamStatus`, `withIdleness`), and let rows be late there.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Idleness {
    /// The sender is not to hold back the receiver's watermark.
    pub is_idle: bool,
    /// How often sources behind the sender have had rows again after they were idle, by the source's number. All that the sender hears of
    /// are among them when it is idle.
    pub wakings: BTreeMap<u32, u32>,
}

impl Idleness {
    /// Whether all sources that the sender knows of have woken as often there as it is known elsewhere.
    pub fn knows_of(&self, wakings: &BTreeMap<u32, u32>) -> bool {
        self.wakings.iter().all(|(source, times)| wakings.get(source).is_none_or(|known| known <= times))
    }

    /// Hears how often sources have woken.
    pub fn hear(&mut self, wakings: &BTreeMap<u32, u32>) {
        for (source, times) in wakings {
            let known = self.wakings.entry(*source).or_default();
            *known = (*known).max(*times);
        }
    }
}

impl Item {
    /// Whether nothing can follow this item.
    pub fn is_last(&self) -> bool {
        matches!(self, Item::End | Item::Halt)
    }
}

//! A channel between two subtasks: one sender, one receiver, credits.
//!
//! A sender may have at most `mailbox` batches that the receiver has not *processed*; the credit comes back when the receiver
//! says so, not when it takes the batch. All channels of one edge of the graph share a byte bound; a channel with nothing in
//! flight may always send one batch, so that a batch greater than the bound gets through, and so that a receiver that waits
//! for a barrier on one channel can't be starved by what waits on another. Hence in flight on an edge are at most
//! `in_flight` bytes plus one batch per channel.
//!
//! Control needs no credit and is bounded all the same: a watermark takes the place of the watermarks since the last rows and of
//! what was said of idleness between them, and of what is said of idleness several times in a row only the last stays; one barrier
//! at most is in flight, and nothing follows the last item.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicI64, AtomicU8, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use millstream_api::message::Item;
use millstream_api::time::ClockTime;
use millstream_api::{Batch, EventTime};

use crate::wake::WakeSlot;

/// An item and the time since when the oldest row behind it has been under way: lingering is counted once on the way, not at
/// each node.
#[derive(Clone, Debug)]
pub struct Sent {
    /// What is sent.
    pub item: Item,
    /// When the first row of it entered the topology.
    pub since: ClockTime,
}

/// The byte bound that all channels of one edge of the graph share.
#[derive(Debug)]
pub struct EdgeBytes {
    limit: usize,
    state: Mutex<EdgeState>,
}

#[derive(Default)]
struct EdgeState {
    used: usize,
    waiting: Vec<WakeSlot>,
}

impl std::fmt::Debug for EdgeState {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "EdgeState {{ used: {}, waiting: {} }}", self.used, self.waiting.len())
    }
}

impl EdgeBytes {
    /// A bound of `limit` bytes.
    pub fn new(limit: usize) -> Arc<Self> {
        Arc::new(EdgeBytes { limit, state: Mutex::default() })
    }

    /// How many bytes may be in flight.
    pub fn limit(&self) -> usize {
        self.limit
    }

    /// Bytes in flight now.
    pub fn used(&self) -> usize {
        locked(&self.state).used
    }

    /// Takes `bytes`, or notes who is to be woken when some come back. `even_if_full`: see the module.
    fn take(&self, bytes: usize, even_if_full: bool, sender: &WakeSlot) -> bool {
        let mut state = locked(&self.state);
        let fits = even_if_full || state.used.saturating_add(bytes) <= self.limit;
        if fits {
            state.used += bytes;
        } else if !state.waiting.iter().any(|slot| slot.is_of_the_same_task(sender)) {
            // Once: a sender that is woken for other things tries again each time.
            state.waiting.push(sender.clone());
        }
        fits
    }

    fn give_back(&self, bytes: usize) {
        let waiting = {
            let mut state = locked(&self.state);
            state.used -= bytes;
            std::mem::take(&mut state.waiting)
        };
        waiting.iter().for_each(WakeSlot::wake);
    }
}

/// One channel. Sender and receiver both hold it in an [`Arc`].
pub struct Channel {
    mailbox: usize,
    edge: Arc<EdgeBytes>,
    sender: WakeSlot,
    receiver: WakeSlot,
    state: Mutex<ChannelState>,
    seen: SeenCells,
}

/// What the receiver has seen of a channel, as it says itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Seen {
    /// The sender's watermark.
    pub watermark: EventTime,
    /// What it makes of the sender.
    pub standing: Standing,
}

/// How a receiver stands to a sender.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// Rows may come; its watermark counts.
    Active,
    /// It is idle, and its watermark does not count.
    Idle,
    /// Its last item has come.
    Over,
}

struct SeenCells {
    watermark: AtomicI64,
    standing: AtomicU8,
}

#[derive(Default)]
struct ChannelState {
    queue: VecDeque<Sent>,
    /// Sizes of the batches not yet processed, oldest first.
    in_flight_bytes: VecDeque<usize>,
    sender_waits: bool,
}

/// How full a channel is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fill {
    /// Batches that the receiver has not processed.
    pub in_flight: usize,
    /// Items that the receiver has not taken.
    pub queued: usize,
}

impl Channel {
    /// A channel of an edge: who sends, who receives.
    pub fn new(mailbox: usize, edge: Arc<EdgeBytes>, sender: WakeSlot, receiver: WakeSlot) -> Arc<Self> {
        let seen = SeenCells { watermark: AtomicI64::new(EventTime::MIN.0), standing: AtomicU8::new(0) };
        Arc::new(Channel { mailbox, edge, sender, receiver, state: Mutex::default(), seen })
    }

    /// How many batches may be in flight.
    pub fn mailbox(&self) -> usize {
        self.mailbox
    }

    /// The bound that it shares with the other channels of its edge.
    pub fn edge(&self) -> &EdgeBytes {
        &self.edge
    }

    /// The receiver notes what it has seen, for whoever looks at the run.
    pub fn note_seen(&self, Seen { watermark, standing }: Seen) {
        self.seen.watermark.store(watermark.0, Ordering::Relaxed);
        let standing = match standing {
            Standing::Active => 0,
            Standing::Idle => 1,
            Standing::Over => 2,
        };
        self.seen.standing.store(standing, Ordering::Relaxed);
    }

    /// What the receiver has noted last.
    pub fn seen(&self) -> Seen {
        let standing = match self.seen.standing.load(Ordering::Relaxed) {
            0 => Standing::Active,
            1 => Standing::Idle,
            _ => Standing::Over,
        };
        Seen { watermark: EventTime(self.seen.watermark.load(Ordering::Relaxed)), standing }
    }

    /// Sends rows, or gives them back when there is no credit: then the sender is woken when there may be.
    pub fn send_batch(&self, batch: Batch, since: ClockTime) -> Result<(), Batch> {
        let bytes = batch.size_bytes();
        {
            let mut state = locked(&self.state);
            if state.in_flight_bytes.len() >= self.mailbox {
                state.sender_waits = true;
                return Err(batch);
            }
            if !self.edge.take(bytes, state.in_flight_bytes.is_empty(), &self.sender) {
                // The bound may be freed by this channel's own receiver too.
                state.sender_waits = true;
                return Err(batch);
            }
            state.in_flight_bytes.push_back(bytes);
            state.queue.push_back(Sent { item: Item::Batch(batch), since });
        }
        self.receiver.wake();
        Ok(())
    }

    /// Sends anything but rows. Needs no credit.
    pub fn send_control(&self, item: Item, since: ClockTime) {
        {
            let mut state = locked(&self.state);
            match item {
                Item::Watermark(_) => replace_watermark(&mut state.queue),
                Item::Idle(_) => _ = state.queue.pop_back_if(|last| matches!(last.item, Item::Idle(_))),
                _ => {}
            }
            state.queue.push_back(Sent { item, since });
        }
        self.receiver.wake();
    }

    /// Takes the next item. A batch keeps its credit until [`processed`](Channel::processed).
    pub fn receive(&self) -> Option<Sent> {
        locked(&self.state).queue.pop_front()
    }

    /// Whether there is something to take.
    pub fn has_items(&self) -> bool {
        !locked(&self.state).queue.is_empty()
    }

    /// The receiver has processed the oldest batch that it had taken: its credit goes back.
    pub fn processed(&self) {
        let (bytes, wake) = {
            let mut state = locked(&self.state);
            (state.in_flight_bytes.pop_front(), std::mem::take(&mut state.sender_waits))
        };
        if let Some(bytes) = bytes {
            self.edge.give_back(bytes);
        }
        if wake {
            self.sender.wake();
        }
    }

    /// How full it is.
    pub fn fill(&self) -> Fill {
        let state = locked(&self.state);
        Fill { in_flight: state.in_flight_bytes.len(), queued: state.queue.len() }
    }
}

/// Takes out what a watermark that follows makes superfluous: watermarks since the last rows, and whether the sender was idle, but for the last
/// word on it. A sender that is idle now was not at the last watermark, which counts: then all stays.
fn replace_watermark(queue: &mut VecDeque<Sent>) {
    let last = queue.pop_back_if(|last| matches!(&last.item, Item::Idle(idleness) if !idleness.is_idle));
    let goes = |before: &mut Sent| matches!(before.item, Item::Watermark(_)) || last.is_some() && matches!(before.item, Item::Idle(_));
    while queue.pop_back_if(goes).is_some() {}
    queue.extend(last);
}

/// The lock, also when a thread has panicked while it held it: all states here are whole between any two statements.
fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use arrow::array::{Int64Array, RecordBatch};
    use arrow::datatypes::{DataType, Field, Schema};
    use millstream_api::EventTime;
    use millstream_api::message::Idleness;

    use super::*;
    use crate::wake::Wake;

    #[derive(Default)]
    struct Count(AtomicUsize);

    impl Wake for Count {
        fn wake(&self) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn counted() -> (WakeSlot, Arc<Count>) {
        let (slot, count) = (WakeSlot::default(), Arc::new(Count::default()));
        slot.set(count.clone());
        (slot, count)
    }

    fn batch(rows: usize) -> Batch {
        let schema = Arc::new(Schema::new(vec![Field::new("v", DataType::Int64, false)]));
        Batch::plain(RecordBatch::try_new(schema, vec![Arc::new(Int64Array::from(vec![1; rows]))]).unwrap())
    }

    const NOW: ClockTime = ClockTime(0);

    #[test]
    fn credit_comes_back_when_processed_not_when_taken() {
        let ((sender, woken), (receiver, _)) = (counted(), counted());
        let channel = Channel::new(2, EdgeBytes::new(1 << 20), sender, receiver);
        assert!(channel.send_batch(batch(1), NOW).is_ok());
        assert!(channel.send_batch(batch(1), NOW).is_ok());
        assert!(channel.send_batch(batch(1), NOW).is_err());
        assert!(channel.receive().is_some());
        assert!(channel.send_batch(batch(1), NOW).is_err());
        assert_eq!(woken.0.load(Ordering::Relaxed), 0);
        channel.processed();
        assert_eq!(woken.0.load(Ordering::Relaxed), 1);
        assert!(channel.send_batch(batch(1), NOW).is_ok());
        assert_eq!(channel.fill(), Fill { in_flight: 2, queued: 2 });
    }

    #[test]
    fn bytes_are_shared_by_the_channels_of_an_edge_and_one_batch_always_fits() {
        let edge = EdgeBytes::new(100);
        let (sender, woken) = counted();
        let channel = |slot: &WakeSlot| Channel::new(8, edge.clone(), slot.clone(), WakeSlot::default());
        let (a, b) = (channel(&sender), channel(&sender));
        assert!(a.send_batch(batch(1000), NOW).is_ok(), "greater than the bound, but alone");
        assert!(b.send_batch(batch(1), NOW).is_ok(), "nothing of this channel is in flight");
        assert!(b.send_batch(batch(1), NOW).is_err());
        a.receive();
        a.processed();
        assert!(woken.0.load(Ordering::Relaxed) >= 1);
        assert!(b.send_batch(batch(1), NOW).is_ok());
        assert_eq!(edge.used(), 16);
    }

    #[test]
    fn a_sender_that_tries_again_waits_once() {
        let edge = EdgeBytes::new(100);
        let (slots, woken): (Vec<WakeSlot>, Vec<Arc<Count>>) = [counted(), counted()].into_iter().unzip();
        let channels = slots.iter().map(|slot| Channel::new(8, edge.clone(), slot.clone(), WakeSlot::default())).collect::<Vec<_>>();
        channels.iter().for_each(|channel| channel.send_batch(batch(100), NOW).unwrap());
        for _ in 0..50 {
            channels.iter().for_each(|channel| assert!(channel.send_batch(batch(1), NOW).is_err()));
        }
        assert_eq!(locked(&edge.state).waiting.len(), 2);
        channels[0].processed();
        assert!(woken.iter().all(|woken| woken.0.load(Ordering::Relaxed) >= 1), "both are told");
        assert_eq!(locked(&edge.state).waiting.len(), 0);
    }

    #[test]
    fn control_takes_the_place_of_control() {
        let channel = Channel::new(1, EdgeBytes::new(100), WakeSlot::default(), WakeSlot::default());
        let send = |items: &[Item]| items.iter().for_each(|item| channel.send_control(item.clone(), NOW));
        let watermark = |watermark: i64| Item::Watermark(EventTime(watermark));
        let idle = |is_idle: bool, times: u32| Item::Idle(Idleness { is_idle, wakings: BTreeMap::from([(0, times)]) });
        let queued = || {
            std::iter::from_fn(|| channel.receive())
                .map(|sent| match sent.item {
                    Item::Watermark(watermark) => format!("watermark {}", watermark.0),
                    Item::Idle(idleness) => format!("{} {:?}", if idleness.is_idle { "idle" } else { "woken" }, idleness.wakings[&0]),
                    _ => "rows".to_owned(),
                })
                .collect::<Vec<_>>()
        };
        send(&[watermark(1), watermark(2), idle(true, 0), idle(true, 0)]);
        assert_eq!(queued(), ["watermark 2", "idle 0"], "the watermark counted before it was idle");
        send(&[watermark(3), idle(true, 0), idle(false, 1), watermark(4)]);
        assert_eq!(queued(), ["woken 1", "watermark 4"]);
        let round = |times: u32| [idle(true, times), idle(false, times + 1), watermark(5 + i64::from(times))];
        (1..100).for_each(|times| send(&round(times)));
        assert_eq!(queued(), ["woken 100", "watermark 104"], "however often it wakes");
        send(&[watermark(105), idle(true, 100), watermark(106), watermark(107)]);
        assert_eq!(queued(), ["watermark 105", "idle 100", "watermark 107"], "nothing is taken from one that is idle now");
        send(&[watermark(200)]);
        channel.send_batch(batch(1), NOW).unwrap();
        send(&[watermark(201)]);
        assert_eq!(queued(), ["watermark 200", "rows", "watermark 201"]);
    }
}

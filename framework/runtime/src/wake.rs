//! How somebody tells a task that there may be something to do.
//!
//! Batches do not ride in actix messages: they lie in the [channel](crate::channel), bounded by credits, and the message says
//! only "look". A flag keeps at most one such message in an actor's mailbox, so the mailbox is bounded by construction, and a
//! stop or a failure report never waits behind data.
//!
//! This is the only module that may call `Addr::do_send`: it ignores the mailbox bound and is silent when the actor is dead,
//! both of which are harmless here and nowhere else.

use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, OnceLock};

use actix::dev::ToEnvelope;
use actix::{Actor, Addr, Handler, Message};

/// Something that can be told to look.
pub trait Wake: Send + Sync {
    /// Says that there may be something to do. Cheap to call again and again.
    fn wake(&self);
}

/// A place for a task's [`Wake`], known before the task is started.
#[derive(Clone, Default)]
pub struct WakeSlot(Arc<OnceLock<Arc<dyn Wake>>>);

impl WakeSlot {
    /// Says who is to be woken. Only the first call counts. A runner wakes each task once after this, so that nothing that
    /// came before is missed.
    pub fn set(&self, wake: Arc<dyn Wake>) {
        let _ = self.0.set(wake);
    }

    /// Whether both are the place for the same task.
    pub fn is_of_the_same_task(&self, other: &WakeSlot) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }

    /// Wakes the task, if it has been started.
    pub fn wake(&self) {
        if let Some(wake) = self.0.get() {
            wake.wake();
        }
    }
}

/// Tells an actor that there may be something to do.
#[derive(Message)]
#[rtype(result = "()")]
pub struct Look;

/// What an actor and those who wake it know of each other: whether it has its turns, and whether a [`Look`] is on its way.
///
/// All changes are exchanges, so that they have an order: who changes it later sees what the other one did before.
#[derive(Debug, Default)]
pub struct Alert(AtomicU8);

/// The actor has its turns: it will ask whether it was woken before it waits.
const RUNNING: u8 = 1;
/// A [`Look`] is in its mailbox.
const TOLD: u8 = 2;
/// Somebody has woken it who did not need to tell it.
const WOKEN: u8 = 4;

impl Alert {
    /// The actor begins a turn, which sees whatever it was woken for before.
    pub fn begin(&self) {
        self.change(|state| (state | RUNNING) & !WOKEN);
    }

    /// The actor wants to wait: from now on it must be told. Whether it was woken since the turn began, and must look again.
    pub fn end(&self) -> bool {
        self.change(|state| state & !(RUNNING | WOKEN)) & WOKEN != 0
    }

    /// The actor has its [`Look`].
    pub fn heard(&self) {
        self.change(|state| state & !TOLD);
    }

    /// Wakes the actor. Whether it is to be sent a [`Look`].
    fn wake(&self) -> bool {
        self.change(|state| if state == 0 { TOLD } else { state | WOKEN }) == 0
    }

    /// What it was before.
    fn change(&self, to: impl Fn(u8) -> u8) -> u8 {
        self.0.fetch_update(Ordering::AcqRel, Ordering::Acquire, |state| Some(to(state))).unwrap_or_else(|state| state)
    }
}

/// Wakes an actor by a [`Look`], of which at most one is under way.
pub struct ActorWake<A: Actor> {
    address: Addr<A>,
    alert: Arc<Alert>,
}

impl<A: Actor> ActorWake<A> {
    /// For this actor, which says in `alert` when it has its turns.
    pub fn new(address: Addr<A>, alert: Arc<Alert>) -> Self {
        ActorWake { address, alert }
    }
}

impl<A> Wake for ActorWake<A>
where
    A: Actor + Handler<Look>,
    A::Context: ToEnvelope<A, Look>,
{
    fn wake(&self) {
        if self.alert.wake() {
            tell(&self.address, Look);
        }
    }
}

/// Sends a message of which the protocol allows one only, so that no bound is needed.
#[expect(clippy::disallowed_methods, reason = "see the module: the message is one of a kind and its loss with a dead actor is harmless")]
pub fn tell<A, M>(address: &Addr<A>, message: M)
where
    A: Actor + Handler<M>,
    A::Context: ToEnvelope<A, M>,
    M: Message + Send,
    M::Result: Send,
{
    address.do_send(message);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_actor_is_told_once_and_not_while_it_has_turns() {
        let alert = Alert::default();
        assert_eq!([alert.wake(), alert.wake()], [true, false]);
        alert.heard();
        alert.begin();
        assert!(!alert.end(), "its turn has seen what it was told of");
        assert!(alert.wake());
        alert.heard();
        alert.begin();
        assert!(!alert.wake());
        assert!(alert.end(), "it was woken during its turn");
        assert!(alert.wake());
    }

    #[test]
    fn a_turn_without_a_look_leaves_the_one_that_is_on_its_way() {
        let alert = Alert::default();
        assert!(alert.wake());
        alert.begin();
        assert!(!alert.end());
        assert!(!alert.wake(), "the look that is on its way is enough");
        alert.heard();
        alert.begin();
        assert!(!alert.end());
        assert!(alert.wake());
    }
}

//! How somebody tells a task that there may be something to do.
//!
//! Batches do not ride in actix messages: they lie in the [channel](crate::channel), bounded by credits, and the message says
//! only "look". A flag keeps at most one such message in an actor's mailbox, so the mailbox is bounded by construction, and a
//! stop or a failure report never waits behind data.
//!
//! This is the only module that may call `Addr::do_send`: it ignores the mailbox bound and is silent when the actor is dead,
//! both of which are harmless here and nowhere else.

use std::sync::atomic::{AtomicBool, Ordering};
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

/// Wakes an actor by a [`Look`], of which at most one is under way.
pub struct ActorWake<A: Actor> {
    address: Addr<A>,
    under_way: Arc<AtomicBool>,
}

impl<A: Actor> ActorWake<A> {
    /// For this actor. The actor clears the flag when it handles a [`Look`], before it looks.
    pub fn new(address: Addr<A>, under_way: Arc<AtomicBool>) -> Self {
        ActorWake { address, under_way }
    }
}

impl<A> Wake for ActorWake<A>
where
    A: Actor + Handler<Look>,
    A::Context: ToEnvelope<A, Look>,
{
    fn wake(&self) {
        if !self.under_way.swap(true, Ordering::AcqRel) {
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

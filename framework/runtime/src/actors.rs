//! Tasks as actix actors, and their supervisor.
//!
//! A [`TaskActor`] gives its task a turn whenever it is told to look, and steps back between two turns so that the other
//! actors of its arbiter have theirs. While it has turns nobody need tell it to look, which across threads costs a call of the
//! system: it asks before it waits. The [`Supervisor`] hears from each task once, when it is over; the first failure
//! ends the others.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

use actix::{Actor, ActorContext, ActorFutureExt, Addr, AsyncContext, Context, Handler, Message, SpawnHandle, WrapFuture};
use millstream_api::Error;
use millstream_api::time::{Clock, ClockTime};
use tokio::sync::oneshot;

use crate::feed::panic_text;
use crate::task::{Order, Task, Turn};
use crate::wake::{ActorWake, Alert, Look, Wake, WakeSlot, tell};

/// One subtask.
pub struct TaskActor {
    index: usize,
    /// None once it is over.
    task: Option<Box<dyn Task>>,
    slot: WakeSlot,
    clock: Arc<dyn Clock>,
    supervisor: Addr<Supervisor>,
    alert: Arc<Alert>,
    turn_under_way: bool,
    timer: Option<(ClockTime, SpawnHandle)>,
}

impl TaskActor {
    /// The actor of task number `index`; tells `supervisor` when it is over.
    pub fn new(index: usize, task: Box<dyn Task>, slot: WakeSlot, clock: Arc<dyn Clock>, supervisor: Addr<Supervisor>) -> Self {
        TaskActor { index, task: Some(task), slot, clock, supervisor, alert: Arc::default(), turn_under_way: false, timer: None }
    }

    fn run(&mut self, context: &mut Context<Self>) {
        self.alert.begin();
        let mut turn = self.turn();
        // What came during the turn has told nobody; what comes after it will.
        if matches!(turn, Turn::Wait(_)) && self.alert.end() {
            self.alert.begin();
            turn = Turn::Again;
        }
        match turn {
            Turn::Again => self.step_back(context),
            Turn::Wait(None) => self.clear_timer(context),
            Turn::Wait(Some(at)) => self.set_timer(at, context),
            Turn::Finished => self.over(None, context),
            Turn::Failed(error) => self.over(Some(error), context),
        }
    }

    fn turn(&mut self) -> Turn {
        let Some(task) = &mut self.task else { return Turn::Wait(None) };
        catch_unwind(AssertUnwindSafe(|| task.turn())).unwrap_or_else(|panic| Turn::Failed(panicked(panic.as_ref())))
    }

    /// Another turn, after the other actors of this arbiter had theirs.
    fn step_back(&mut self, context: &mut Context<Self>) {
        if !std::mem::replace(&mut self.turn_under_way, true) {
            let next = tokio::task::yield_now().into_actor(self).map(|(), actor, context| {
                actor.turn_under_way = false;
                actor.run(context);
            });
            context.spawn(next);
        }
    }

    fn set_timer(&mut self, at: ClockTime, context: &mut Context<Self>) {
        if self.timer.is_some_and(|(set, _)| set == at) {
            return;
        }
        self.clear_timer(context);
        let micros = at.0.saturating_sub(self.clock.now().0).max(0);
        let handle = context.run_later(Duration::from_micros(micros.unsigned_abs()), |actor, context| {
            actor.timer = None;
            actor.run(context);
        });
        self.timer = Some((at, handle));
    }

    fn clear_timer(&mut self, context: &mut Context<Self>) {
        if let Some((_, handle)) = self.timer.take() {
            context.cancel_future(handle);
        }
    }

    fn over(&mut self, failure: Option<Error>, context: &mut Context<Self>) {
        // Dropped before the supervisor hears of it: when the run is over, no file of it is open any more.
        let dropped = catch_unwind(AssertUnwindSafe(|| drop(self.task.take())));
        let failure = failure.or_else(|| Some(panicked(dropped.err()?.as_ref())));
        tell(&self.supervisor, Over { index: self.index, failure });
        context.stop();
    }
}

/// What is said of a task that has panicked.
fn panicked(panic: &(dyn std::any::Any + Send)) -> Error {
    Error::internal(format!("panicked: {}", panic_text(panic)))
}

impl Actor for TaskActor {
    type Context = Context<Self>;

    fn started(&mut self, context: &mut Self::Context) {
        let wake = ActorWake::new(context.address(), self.alert.clone());
        wake.wake();
        self.slot.set(Arc::new(wake));
    }
}

impl Handler<Look> for TaskActor {
    type Result = ();

    fn handle(&mut self, _: Look, context: &mut Self::Context) {
        self.alert.heard();
        if !self.turn_under_way {
            self.run(context);
        }
    }
}

/// Gives the task of a source or sink an order.
#[derive(Message)]
#[rtype(result = "()")]
pub struct Give(pub Order);

impl Handler<Give> for TaskActor {
    type Result = ();

    fn handle(&mut self, Give(order): Give, context: &mut Self::Context) {
        let Some(task) = &mut self.task else { return };
        match catch_unwind(AssertUnwindSafe(|| task.order(order))) {
            Ok(()) => self.run(context),
            Err(panic) => self.over(Some(panicked(panic.as_ref())), context),
        }
    }
}

/// Ends a task at once.
#[derive(Message)]
#[rtype(result = "()")]
pub struct Abort;

impl Handler<Abort> for TaskActor {
    type Result = ();

    fn handle(&mut self, _: Abort, context: &mut Self::Context) {
        if self.task.is_some() {
            self.over(None, context);
        }
    }
}

/// A task is over.
#[derive(Message)]
#[rtype(result = "()")]
pub struct Over {
    index: usize,
    failure: Option<Error>,
}

/// The first failure of a run: which task (`None`: checkpoints as such), and why.
pub type FirstFailure = Option<(Option<usize>, Error)>;

/// The run can't go on, for a reason that no task has.
#[derive(Message)]
#[rtype(result = "()")]
pub struct Fail(pub Error);

/// Waits for all tasks, and ends them all when one fails.
pub struct Supervisor {
    tasks: Vec<Addr<TaskActor>>,
    running: usize,
    failure: FirstFailure,
    done: Option<oneshot::Sender<FirstFailure>>,
}

impl Supervisor {
    /// For a run of `tasks` tasks, to be named by [`Watch`]; says through `done` that all are over.
    pub fn new(tasks: usize, done: oneshot::Sender<FirstFailure>) -> Self {
        Supervisor { tasks: Vec::new(), running: tasks, failure: None, done: Some(done) }
    }

    fn fail(&mut self, task: Option<usize>, error: Error) {
        if self.failure.is_none() {
            self.failure = Some((task, error));
            self.tasks.iter().for_each(|task| tell(task, Abort));
        }
    }
}

impl Actor for Supervisor {
    type Context = Context<Self>;
}

/// Names the tasks of the run.
#[derive(Message)]
#[rtype(result = "()")]
pub struct Watch(pub Vec<Addr<TaskActor>>);

impl Handler<Watch> for Supervisor {
    type Result = ();

    fn handle(&mut self, Watch(tasks): Watch, _: &mut Self::Context) {
        self.tasks = tasks;
        if self.failure.is_some() {
            self.tasks.iter().for_each(|task| tell(task, Abort));
        }
    }
}

impl Handler<Fail> for Supervisor {
    type Result = ();

    fn handle(&mut self, Fail(error): Fail, _: &mut Self::Context) {
        self.fail(None, error);
    }
}

impl Handler<Over> for Supervisor {
    type Result = ();

    fn handle(&mut self, Over { index, failure }: Over, _: &mut Self::Context) {
        self.running = self.running.saturating_sub(1);
        if let Some(error) = failure {
            self.fail(Some(index), error);
        }
        if self.running == 0
            && let Some(done) = self.done.take()
        {
            let _ = done.send(self.failure.take());
        }
    }
}

#[cfg(test)]
mod tests {
    use actix::System;

    use super::*;
    use crate::schedule::Schedule;

    struct Feared;

    impl Task for Feared {
        fn turn(&mut self) -> Turn {
            Turn::Wait(None)
        }

        fn order(&mut self, order: Order) {
            panic!("{order:?} is feared");
        }
    }

    #[test]
    fn a_panic_at_an_order_ends_the_run_like_an_error() {
        let failure = System::new().block_on(async {
            let (done, all_over) = oneshot::channel();
            let supervisor = Supervisor::new(1, done).start();
            let clock = Schedule::system().clock;
            let actor = TaskActor::new(0, Box::new(Feared), WakeSlot::default(), clock, supervisor).start();
            tell(&actor, Give(Order::Commit(3)));
            all_over.await
        });
        let (task, error) = failure.unwrap().unwrap();
        assert_eq!((task, error.message()), (Some(0), "panicked: Commit(3) is feared"));
    }
}

//! Ctrl-C, SIGTERM and SIGHUP: the first one asks for a clean stop, the second one ends the run at once.
//!
//! A thread of its own waits for them, so that they get through whatever the pipeline is doing. It lives as long as the
//! process: once a signal is caught, the system's own reaction to it never comes back.

use std::io;
use std::sync::mpsc::{Receiver, sync_channel};
#[cfg(unix)]
use std::task::Poll;
use std::time::Duration;

use tokio::runtime::{Builder, Runtime};

use crate::status::Status;

/// How long a run that is ended at once may take to remove its temporary files.
const AT_ONCE: Duration = Duration::from_millis(500);

/// What the process has been told so far.
pub struct Signals {
    /// Wakes [`wait`](Signals::wait).
    first: Receiver<()>,
}

impl Signals {
    /// From now on the first signal calls `stop`, on another thread, and the second one `abort`. Whatever has not ended by
    /// itself soon after that, or at a third one, ends with the process.
    ///
    /// # Errors
    /// When the system gives no thread or no handler.
    pub fn watch(stop: impl FnOnce() + Send + 'static, abort: impl FnOnce() + Send + 'static) -> io::Result<Signals> {
        let runtime = Builder::new_current_thread().enable_all().build()?;
        let mut source = Source::new(&runtime)?;
        let (wake, first) = sync_channel(1);
        std::thread::Builder::new().name("millstream-signals".to_owned()).spawn(move || {
            runtime.block_on(source.next());
            stop();
            // Nobody may be waiting, now or ever.
            let _ = wake.try_send(());
            runtime.block_on(source.next());
            abort();
            let _ = runtime.block_on(async { tokio::time::timeout(AT_ONCE, source.next()).await });
            std::process::exit(i32::from(Status::Stopped.number()));
        })?;
        Ok(Signals { first })
    }

    /// Waits for the first signal; returns at once when it has come already.
    pub fn wait(&self) {
        // An error means that the thread is gone, and then nothing more can come.
        let _ = self.first.recv();
    }
}

/// Where signals come from.
#[cfg(unix)]
struct Source {
    interrupt: tokio::signal::unix::Signal,
    terminate: tokio::signal::unix::Signal,
    hang_up: tokio::signal::unix::Signal,
}

#[cfg(unix)]
impl Source {
    fn new(runtime: &Runtime) -> io::Result<Source> {
        use tokio::signal::unix::{SignalKind, signal};
        let _inside = runtime.enter();
        Ok(Source {
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
            hang_up: signal(SignalKind::hangup())?,
        })
    }

    async fn next(&mut self) {
        std::future::poll_fn(|context| {
            let mut come = false;
            for signal in [&mut self.interrupt, &mut self.terminate, &mut self.hang_up] {
                come |= signal.poll_recv(context).is_ready();
            }
            if come { Poll::Ready(()) } else { Poll::Pending }
        })
        .await;
    }
}

/// Where signals come from.
#[cfg(windows)]
struct Source {
    interrupt: tokio::signal::windows::CtrlC,
}

#[cfg(windows)]
impl Source {
    fn new(runtime: &Runtime) -> io::Result<Source> {
        let _inside = runtime.enter();
        Ok(Source { interrupt: tokio::signal::windows::ctrl_c()? })
    }

    async fn next(&mut self) {
        self.interrupt.recv().await;
    }
}

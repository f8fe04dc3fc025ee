//! The connections of an `http` source: a thread of its own that accepts them, bounded in number and time.
//!
//! Who wakes whom: dropping the [`Server`] sends its stop, which ends accepting; connections get a moment to end what they
//! are at, then the thread ends, and the drop returns.

use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use millstream_api::{Error, Result};
use tokio::net::TcpStream;
use tokio::sync::{Semaphore, oneshot};

use super::requests::Desk;

/// How much a listener takes on.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    pub(super) body_bytes: usize,
    pub(super) buffer_bytes: usize,
    pub(super) connections: usize,
    pub(super) timeout: Duration,
}

/// How long requests that are under way may take at a stop.
const STOP_WAIT: Duration = Duration::from_secs(1);

/// How long the system may not be able to accept (too many open files, say) before it is asked again.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Threads that decode bodies.
const DECODERS: usize = 2;

/// Bytes of the head of a request, at most: more than any client needs.
const HEAD_BYTES: usize = 16 << 10;

/// A listener that takes requests. Dropping it stops it.
pub(super) struct Server {
    address: SocketAddr,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Server {
    /// Listens.
    ///
    /// # Errors
    /// When the address cannot be had, with what can be done about it.
    pub(super) fn start(listen: SocketAddr, desk: Desk, limits: Limits) -> Result<Self> {
        let listener = TcpListener::bind(listen).map_err(|cause| cannot_listen(listen, &cause))?;
        let address = listener.local_addr().map_err(|cause| cannot_listen(listen, &cause))?;
        listener.set_nonblocking(true).map_err(|cause| cannot_listen(listen, &cause))?;
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_io()
            .enable_time()
            .max_blocking_threads(DECODERS)
            .build()
            .map_err(|cause| cannot_listen(listen, &cause))?;
        let (stop, stopped) = oneshot::channel();
        let body = move || {
            runtime.block_on(serve(listener, Arc::new(desk), limits, stopped));
            // What has not ended within its moment is cut off.
            runtime.shutdown_background();
        };
        let thread = std::thread::Builder::new().name("http-source".to_owned()).spawn(body);
        let thread = thread.map_err(|cause| Error::io("cannot start a thread", cause))?;
        Ok(Server { address, stop: Some(stop), thread: Some(thread) })
    }

    /// Where it listens, with the port that was given.
    pub(super) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Whether its thread is gone, which it should not be.
    pub(super) fn has_ended(&self) -> bool {
        self.thread.as_ref().is_some_and(JoinHandle::is_finished)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            // A thread that panicked has nothing more to say, but it must be gone.
            drop(thread.join());
        }
    }
}

fn cannot_listen(listen: SocketAddr, cause: &std::io::Error) -> Error {
    let error = Error::io(format!("cannot listen on {listen}"), cause);
    match cause.kind() {
        std::io::ErrorKind::AddrInUse => error.help("another process listens there; change `listen`, or use port 0 for any free one"),
        std::io::ErrorKind::PermissionDenied => error.help("ports below 1024 need rights; change `listen`"),
        std::io::ErrorKind::AddrNotAvailable => error.help("this machine does not have that address; 127.0.0.1 is always there"),
        _ => error,
    }
}

/// Accepts connections until `stopped` is sent or its sender is gone.
async fn serve(listener: TcpListener, desk: Arc<Desk>, limits: Limits, mut stopped: oneshot::Receiver<()>) {
    let Ok(listener) = tokio::net::TcpListener::from_std(listener) else { return };
    let room = Arc::new(Semaphore::new(limits.connections));
    let graceful = GracefulShutdown::new();
    loop {
        let next = async {
            let permit = room.clone().acquire_owned().await;
            (permit, listener.accept().await)
        };
        let (permit, accepted) = tokio::select! {
            _ = &mut stopped => break,
            next = next => next,
        };
        match accepted {
            Ok((stream, _)) => {
                let connection = graceful.watcher();
                let desk = desk.clone();
                tokio::spawn(async move {
                    connect(stream, desk, connection).await;
                    drop(permit);
                });
            }
            Err(_) => tokio::time::sleep(ACCEPT_PAUSE).await,
        }
    }
    drop(listener);
    // Those that are not done by then have lost their sender's patience or never had it.
    let _ = tokio::time::timeout(STOP_WAIT, graceful.shutdown()).await;
}

async fn connect(stream: TcpStream, desk: Arc<Desk>, watcher: hyper_util::server::graceful::Watcher) {
    let timeout = desk.timeout;
    let service = service_fn(move |request| {
        let desk = desk.clone();
        async move { desk.answer(request).await }
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(timeout)
        .max_header_size(HEAD_BYTES)
        .serve_connection(TokioIo::new(stream), service);
    // A connection that breaks is the sender's affair: what it has sent was taken or was not, and it was told.
    let _ = watcher.watch(connection).await;
}

//! Binds a listener, serves it on threads of its own, and stops it.
//!
//! Binding happens in [`Server::start`], on the caller's thread, so that an address in use is known before a pipeline runs.

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::sync::mpsc::{SyncSender, sync_channel};
use std::thread::JoinHandle;
use std::time::Duration;

use actix_web::dev::ServerHandle;
use actix_web::middleware::from_fn;
use actix_web::rt::System;
use actix_web::{App, HttpServer, web};
use millstream_api::secret::Secret;
use millstream_api::time::Clock;
use millstream_api::view::Views;
use millstream_runtime::Lookout;

use crate::access;
use crate::follow::Followers;
use crate::health::Health;
use crate::pages::Pages;
use crate::routes::{self, State};

/// Threads that answer. Bodies are encoded a piece at a time, so that a few are enough for many readers.
const WORKERS: usize = 2;
/// Threads per worker that read whole views.
const READERS: usize = 2;
/// Connections per worker; more wait in the listener's backlog. Bounds what slow readers can hold.
const CONNECTIONS: usize = 256;
/// How long a client may take to send the head of a request.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(5);
/// How long an idle connection is kept.
const KEEP_ALIVE: Duration = Duration::from_secs(30);
/// How long a client may take to close.
const DISCONNECT_TIMEOUT: Duration = Duration::from_secs(1);
/// How long a stop waits for answers that are being sent.
const SHUTDOWN_TIMEOUT_SECONDS: u64 = 1;

/// What the server knows of the topology beside its views.
#[derive(Clone)]
pub struct Info {
    /// The topology's `name`.
    pub topology: String,
    /// Where its run stands.
    pub health: Health,
    /// What clients must show. Without one everybody may read.
    pub token: Option<Secret>,
    /// Where the run is found.
    pub runs: Lookout,
    /// For what is kept only for a time.
    pub clock: Arc<dyn Clock>,
}

/// Why nothing listens.
#[derive(Debug, thiserror::Error)]
pub enum ServerError {
    /// The address cannot be had.
    #[error("cannot listen on {address}: {cause}")]
    Bind {
        /// The address of `server.listen`.
        address: SocketAddr,
        /// What the system says.
        cause: io::Error,
    },
    /// Threads or sockets cannot be set up.
    #[error("cannot start the server: {0}")]
    Start(io::Error),
}

impl ServerError {
    /// What the user can do about it.
    pub fn help(&self) -> Option<&'static str> {
        match self {
            ServerError::Bind { cause, .. } if cause.kind() == io::ErrorKind::AddrInUse => {
                Some("another process listens there; change `listen` in [server], or use port 0 for any free one")
            }
            ServerError::Bind { cause, .. } if cause.kind() == io::ErrorKind::PermissionDenied => {
                Some("ports below 1024 need rights; change `listen` in [server]")
            }
            ServerError::Bind { cause, .. } if cause.kind() == io::ErrorKind::AddrNotAvailable => {
                Some("this machine does not have that address; 127.0.0.1 is always there")
            }
            _ => None,
        }
    }
}

/// A server that listens. Dropping it stops it and waits for its threads.
pub struct Server {
    address: SocketAddr,
    health: Health,
    control: ServerHandle,
    thread: Option<JoinHandle<()>>,
}

impl Server {
    /// Listens on exactly this address (port 0: any free one) and serves `views`, also those published later.
    ///
    /// # Errors
    /// When the address cannot be had or threads cannot be started.
    pub fn start(listen: SocketAddr, views: Views, info: Info) -> Result<Server, ServerError> {
        let bind = |cause| ServerError::Bind { address: listen, cause };
        let listener = TcpListener::bind(listen).map_err(bind)?;
        let address = listener.local_addr().map_err(bind)?;
        let health = info.health.clone();
        let pages = Pages::new(info.clock.clone());
        let state =
            web::Data::new(State { views, info, pages, followers: Followers::default(), checkpoint_under_way: AtomicBool::new(false) });
        let (started, starting) = sync_channel(1);
        let thread = std::thread::Builder::new()
            .name("millstream-server".to_owned())
            .spawn(move || serve(listener, state, &started))
            .map_err(ServerError::Start)?;
        let control = match starting.recv() {
            Ok(result) => result.map_err(ServerError::Start)?,
            Err(_) => return Err(ServerError::Start(io::Error::other("its thread has ended"))),
        };
        Ok(Server { address, health, control, thread: Some(thread) })
    }

    /// Where it listens, with the port that was given.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Tells those that follow a view that it ends, finishes the answers that are being sent (for a second at most) and stops.
    pub fn stop(self) {
        drop(self);
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.health.close();
        // The command is on its way before the future is polled; the thread's end says that it was carried out.
        drop(self.control.stop(true));
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("the server's thread panicked");
        }
    }
}

/// The server's thread: says whether it could start, then serves until it is stopped.
fn serve(listener: TcpListener, state: web::Data<State>, started: &SyncSender<io::Result<ServerHandle>>) {
    System::new().block_on(async move {
        let http = HttpServer::new(move || App::new().app_data(state.clone()).wrap(from_fn(access::check)).configure(routes::configure))
            .workers(WORKERS)
            .worker_max_blocking_threads(READERS)
            .max_connections(CONNECTIONS)
            .client_request_timeout(REQUEST_TIMEOUT)
            .client_disconnect_timeout(DISCONNECT_TIMEOUT)
            .keep_alive(KEEP_ALIVE)
            .shutdown_timeout(SHUTDOWN_TIMEOUT_SECONDS)
            .disable_signals()
            .listen(listener);
        match http.map(HttpServer::run) {
            Ok(server) => {
                // The receiver waits in `Server::start` until this is sent.
                let _ = started.send(Ok(server.handle()));
                if let Err(error) = server.await {
                    tracing::error!(%error, "the server has ended");
                }
            }
            Err(error) => {
                let _ = started.send(Err(error));
            }
        }
    });
}

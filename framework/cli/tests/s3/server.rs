//! A server that speaks the protocol of S3, and a relay before it that can go away.
//!
//! The server is moto's, in whatever Python comes first in PATH. Without it the tests say so and do nothing, unless `S3_REQUIRED` is set.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

/// A server with one bucket, gone with the test.
pub struct Server {
    child: Child,
    pub address: SocketAddr,
}

/// The bucket.
pub const BUCKET: &str = "states";

impl Server {
    /// Starts one; `None`: there is none to be had, and that has been said.
    pub fn start() -> Option<Server> {
        let has_it = Command::new("python3").args(["-c", "import moto.server, flask"]).stderr(Stdio::null()).status();
        if !has_it.is_ok_and(|status| status.success()) {
            let how = "python3 has no moto: `pip install 'moto[server]'` brings a server of S3 to test against";
            assert!(std::env::var_os("S3_REQUIRED").is_none(), "{how}");
            eprintln!("skipped: {how}");
            return None;
        }
        let mut command = Command::new("python3");
        command.args(["-u", "-m", "moto.server", "-H", "127.0.0.1", "-p", "0"]).stdout(Stdio::null()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
        let address = loop {
            let line = lines.next().expect("moto ended before it served").unwrap();
            if let Some((_, address)) = line.split_once("http://") {
                break address.trim().parse().unwrap();
            }
        };
        // It logs each request, and would wait if nobody read that.
        std::thread::spawn(move || lines.for_each(drop));
        let server = Server { child, address };
        assert!(server.request("PUT", &format!("/{BUCKET}")).starts_with("HTTP/1.1 200"));
        Some(server)
    }

    /// A request without a body or a name; the whole answer.
    pub fn request(&self, method: &str, path: &str) -> String {
        let mut connection = TcpStream::connect(self.address).unwrap();
        write!(connection, "{method} {path} HTTP/1.1\r\nHost: {}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n", self.address).unwrap();
        let mut answer = String::new();
        connection.read_to_string(&mut answer).unwrap();
        answer
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Stands between a client and a server, and cuts all connections while it is closed.
pub struct Relay {
    pub address: SocketAddr,
    open: Arc<AtomicBool>,
    refused: Arc<Refused>,
}

/// How many connections were refused while it was closed.
#[derive(Default)]
struct Refused {
    count: Mutex<usize>,
    more: Condvar,
}

impl Relay {
    pub fn to(server: SocketAddr) -> Relay {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let (address, open) = (listener.local_addr().unwrap(), Arc::new(AtomicBool::new(true)));
        let (state, refused) = (open.clone(), Arc::<Refused>::default());
        let refusals = refused.clone();
        std::thread::spawn(move || {
            for client in listener.incoming().map_while(Result::ok) {
                if !state.load(Ordering::SeqCst) {
                    *refusals.count.lock().unwrap() += 1;
                    refusals.more.notify_all();
                } else if let Ok(server) = TcpStream::connect(server) {
                    for (from, to) in [(&client, &server), (&server, &client)] {
                        let (from, to, state) = (from.try_clone().unwrap(), to.try_clone().unwrap(), state.clone());
                        std::thread::spawn(move || pass_on(from, to, &state));
                    }
                }
            }
        });
        Relay { address, open, refused }
    }

    /// Waits until somebody has come in vain so many times: it is closed, and that was noticed.
    pub fn until_refused(&self, times: usize) {
        let count = self.refused.count.lock().unwrap();
        drop(self.refused.more.wait_while(count, |count| *count < times).unwrap());
    }

    pub fn close(&self) {
        self.open.store(false, Ordering::SeqCst);
    }

    pub fn open(&self) {
        self.open.store(true, Ordering::SeqCst);
    }
}

/// Passes bytes on until one side ends or the relay is closed.
fn pass_on(mut from: TcpStream, mut to: TcpStream, open: &AtomicBool) {
    from.set_read_timeout(Some(Duration::from_millis(20))).unwrap();
    let mut bytes = [0; 65_536];
    while open.load(Ordering::SeqCst) {
        match from.read(&mut bytes) {
            Ok(0) => break,
            Ok(count) if to.write_all(&bytes[..count]).is_ok() => {}
            Err(cause) if matches!(cause.kind(), std::io::ErrorKind::WouldBlock | std::io::ErrorKind::TimedOut) => {}
            _ => break,
        }
    }
    // One that is closed already needs no closing.
    let _ = (from.shutdown(Shutdown::Both), to.shutdown(Shutdown::Both));
}

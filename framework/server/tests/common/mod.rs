//! A client of a few lines that hides nothing of the protocol, and views to be read by it.
#![expect(clippy::unwrap_used, reason = "helpers of tests fail the test")]
#![allow(dead_code, reason = "each test file uses a part")]

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::{Arc, Mutex};
use std::task::Waker;
use std::time::Duration;

use arrow::array::{ArrayRef, AsArray, Int64Array, RecordBatch, StringViewArray};
use arrow::datatypes::SchemaRef;
use millstream_api::error::{Error, ErrorKind, Result};
use millstream_api::secret::Secret;
use millstream_api::time::{Clock, ClockTime};
use millstream_api::view::{Changes, Next, Snapshot, View, Views, Wakers};
use millstream_runtime::Lookout;
use millstream_server::{Health, Info, Phase, Server};
use serde_json::Value;

/// Flights per carrier, keyed by `carrier`.
pub struct Board(RecordBatch);

impl Board {
    pub fn new(carriers: &[&str]) -> Board {
        let names: ArrayRef = Arc::new(StringViewArray::from_iter_values(carriers));
        let flights: ArrayRef = Arc::new(Int64Array::from_iter_values(1..=carriers.len() as i64));
        Board(RecordBatch::try_from_iter([("carrier", names), ("flights", flights)]).unwrap())
    }
}

impl View for Board {
    fn schema(&self) -> SchemaRef {
        self.0.schema()
    }

    fn key(&self) -> Vec<String> {
        vec!["carrier".to_owned()]
    }

    fn version(&self) -> u64 {
        5
    }

    fn snapshot(&self) -> Result<Snapshot> {
        Ok(Snapshot::new(5, Arc::new(self.0.clone())))
    }

    fn lookup(&self, key: &[&str]) -> Result<(u64, RecordBatch)> {
        let [carrier] = key else {
            return Err(Error::new(ErrorKind::BadRow, format!("the key has 1 column, but {} values were given", key.len())));
        };
        let at = self.0.column(0).as_string_view().iter().position(|name| name == Some(carrier));
        Ok((5, at.map_or_else(|| self.0.slice(0, 0), |row| self.0.slice(row, 1))))
    }
}

/// A view without a key that tests change: a list of numbers, and all its history since a version.
pub struct Live {
    generation: u64,
    state: Mutex<LiveState>,
    waiting: Wakers,
}

struct LiveState {
    version: u64,
    rows: Vec<i64>,
    /// Of each version from the first that is known: what left and what came.
    history: Vec<(u64, Vec<i64>, Vec<i64>)>,
    reaches_back_to: u64,
}

impl Live {
    pub fn new(generation: u64, version: u64, rows: &[i64]) -> Arc<Live> {
        let state = LiveState { version, rows: rows.to_vec(), history: Vec::new(), reaches_back_to: version };
        Arc::new(Live { generation, state: Mutex::new(state), waiting: Wakers::default() })
    }

    /// The next version.
    pub fn change(&self, removed: &[i64], added: &[i64]) {
        let mut state = self.state.lock().unwrap();
        state.version += 1;
        state.rows.retain(|row| !removed.contains(row));
        state.rows.extend(added);
        let version = state.version;
        state.history.push((version, removed.to_vec(), added.to_vec()));
        drop(state);
        self.waiting.wake_all();
    }

    /// Lets all history go.
    pub fn forget(&self) {
        let mut state = self.state.lock().unwrap();
        state.history.clear();
        state.reaches_back_to = state.version;
    }
}

/// Rows of a [`Live`].
pub fn numbers(rows: &[i64]) -> RecordBatch {
    RecordBatch::try_from_iter([("n", Arc::new(Int64Array::from(rows.to_vec())) as ArrayRef)]).unwrap()
}

impl View for Live {
    fn schema(&self) -> SchemaRef {
        numbers(&[]).schema()
    }

    fn key(&self) -> Vec<String> {
        Vec::new()
    }

    fn generation(&self) -> u64 {
        self.generation
    }

    fn version(&self) -> u64 {
        self.state.lock().unwrap().version
    }

    fn snapshot(&self) -> Result<Snapshot> {
        let state = self.state.lock().unwrap();
        Ok(Snapshot::new(state.version, Arc::new(numbers(&state.rows))))
    }

    fn lookup(&self, _: &[&str]) -> Result<(u64, RecordBatch)> {
        Err(Error::new(ErrorKind::BadRow, "the view has no key"))
    }

    fn changes(&self, after: u64) -> Result<Next> {
        let state = self.state.lock().unwrap();
        if after < state.reaches_back_to || after > state.version {
            return Ok(Next::Gone);
        }
        Ok(match state.history.iter().find(|(version, ..)| *version > after) {
            Some((version, removed, added)) => {
                Next::Changed(Changes { version: *version, removed: numbers(removed), added: numbers(added) })
            }
            None => Next::Current(state.version),
        })
    }

    fn wake_at_next_version(&self, waker: &Waker) {
        self.waiting.register(waker);
    }
}

pub fn server(views: &Views) -> (Server, Health) {
    let health = Health::default();
    (Server::start("127.0.0.1:0".parse().unwrap(), views.clone(), info(&health, None)).unwrap(), health)
}

pub fn info(health: &Health, token: Option<&str>) -> Info {
    Info {
        topology: "late-departures".to_owned(),
        health: health.clone(),
        token: token.map(Secret::new),
        runs: Lookout::default(),
        clock: Arc::new(Standing),
    }
}

/// A clock that stands.
pub struct Standing;

impl Clock for Standing {
    fn now(&self) -> ClockTime {
        ClockTime(0)
    }
}

pub fn board_server() -> Server {
    let views = Views::default();
    views.publish("board", Arc::new(Board::new(&["AA", "B6", "UA"])));
    let (server, health) = server(&views);
    health.set(Phase::Running);
    server
}

/// An answer: status, head in lower case, body.
pub struct Answer {
    pub status: u16,
    pub head: String,
    pub body: String,
}

impl Answer {
    pub fn json(&self) -> Value {
        assert!(self.head.contains("content-type: application/json"), "{}", self.head);
        serde_json::from_str(&self.body).unwrap()
    }
}

/// Sends `request` as it is and reads until the server closes.
pub fn send(address: SocketAddr, request: &[u8]) -> Answer {
    let mut connection = TcpStream::connect(address).unwrap();
    connection.write_all(request).unwrap();
    let mut bytes = Vec::new();
    connection.read_to_end(&mut bytes).unwrap();
    let text = String::from_utf8(bytes).unwrap();
    let (head, body) = text.split_once("\r\n\r\n").unwrap_or((&text, ""));
    let head = head.to_ascii_lowercase();
    let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or(0);
    let body = if head.contains("transfer-encoding: chunked") { unchunked(body) } else { body.to_owned() };
    Answer { status, head, body }
}

/// Joins the chunks of a chunked body.
pub fn unchunked(mut rest: &str) -> String {
    let mut body = String::new();
    while let Some((length, after)) = rest.split_once("\r\n") {
        let length = usize::from_str_radix(length, 16).unwrap();
        body.push_str(&after[..length]);
        rest = &after[length + 2..];
    }
    body
}

pub fn request(address: SocketAddr, method: &str, path: &str) -> Answer {
    send(address, format!("{method} {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").as_bytes())
}

pub fn get(server: &Server, path: &str) -> Answer {
    request(server.address(), "GET", path)
}

/// The events of a view that is followed.
pub struct Events(BufReader<TcpStream>);

/// An event: its name, its id and its data.
#[derive(Debug, PartialEq)]
pub struct Event {
    pub name: String,
    pub id: Option<String>,
    pub data: Value,
}

impl Events {
    /// Follows a view; `head` are further lines of the request.
    pub fn follow(server: &Server, path: &str, head: &str) -> Events {
        let mut connection = TcpStream::connect(server.address()).unwrap();
        // Nothing takes so long; a test that waits for what never comes fails.
        connection.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        connection.write_all(format!("GET {path} HTTP/1.0\r\nHost: localhost\r\n{head}\r\n").as_bytes()).unwrap();
        let mut events = Events(BufReader::new(connection));
        let head = events.lines();
        assert!(head[0].contains(" 200 "), "{head:?}");
        assert!(head.iter().any(|line| line.eq_ignore_ascii_case("content-type: text/event-stream")), "{head:?}");
        events
    }

    /// The lines up to an empty one, or to the end.
    fn lines(&mut self) -> Vec<String> {
        let mut lines = Vec::new();
        loop {
            let mut line = String::new();
            self.0.read_line(&mut line).unwrap();
            let line = line.trim_end();
            if line.is_empty() {
                return lines;
            }
            lines.push(line.to_owned());
        }
    }

    /// The next event; `None` at the end of the connection.
    pub fn next(&mut self) -> Option<Event> {
        loop {
            let lines = self.lines();
            if lines.is_empty() {
                return None;
            }
            let field = |name: &str| lines.iter().find_map(|line| line.strip_prefix(name)).map(str::to_owned);
            if let Some(data) = field("data: ") {
                let data = serde_json::from_str(&data).unwrap();
                return Some(Event { name: field("event: ").unwrap(), id: field("id: "), data });
            }
        }
    }

    /// The next event's name and data.
    pub fn expect(&mut self) -> (String, Value) {
        let event = self.next().unwrap();
        (event.name, event.data)
    }
}

//! A process that dies at any step of a checkpoint, in front of any sink, goes on as if it had not.
//!
//! Random kills (`kill`) seldom hit the moments that matter. Here each is hit: the binary of the tests has failpoints
//! (`framework/state/src/failpoint.rs`), which the one that ships has not.
#![expect(clippy::unwrap_used, reason = "helpers of tests fail the test")]
#![cfg(unix)]

mod command;

use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::unix::process::ExitStatusExt;
use std::process::{ExitStatus, Stdio};
use std::sync::{Arc, Mutex};

use command::Folder;
use command::left::left_behind;
use millstream_state::failpoint::Step;

/// The signal of `abort`.
const ABORTED: Option<i32> = Some(6);

/// The sinks that write in two phases.
const TWO_PHASES: [&str; 5] = ["lines", "text", "columns", "events", "board"];

/// How many rows come in. Slowly enough for some checkpoints on the way.
const ROWS: usize = 900;

/// One sink of each kind.
fn topology(service: SocketAddr) -> String {
    format!(
        r#"
name = "steps"

[runtime]
batch_rows = 32
linger     = "1ms"

[checkpoint]
store    = "file:./state"
interval = "40ms"
retain   = 1

[sources.numbers]
type    = "generate"
columns = ["counter as n", "counter % 50 as k"]
rows    = {ROWS}
rate    = 1500

[operators.sums]
type    = "aggregate"
input   = "numbers"
by      = ["k"]
compute = ["count(*) as c", "sum(n) as s"]

[sinks.lines]
type  = "file"
input = "numbers"
path  = "lines.ndjson"

[sinks.text]
type  = "file"
input = "numbers"
path  = "text.csv"

[sinks.columns]
type  = "file"
input = "numbers"
path  = "rows.parquet"

[sinks.events]
type   = "file"
input  = "sums"
path   = "events.ndjson"
format = "debezium"

[sinks.board]
type  = "view"
input = "sums"
key   = ["k"]
read  = "committed"

[sinks.service]
type  = "http"
input = "numbers"
url   = "http://{service}/"
"#
    )
}

/// Takes what is posted to it, and forgets no request by its key.
#[derive(Clone, Default)]
struct Service(Arc<Mutex<BTreeMap<String, String>>>);

impl Service {
    fn start() -> (Service, SocketAddr) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let (service, address) = (Service::default(), listener.local_addr().unwrap());
        let taking = service.clone();
        std::thread::spawn(move || {
            for connection in listener.incoming().map_while(Result::ok) {
                let taking = taking.clone();
                std::thread::spawn(move || taking.take(&connection));
            }
        });
        (service, address)
    }

    /// Requests of one connection, until it is gone.
    fn take(&self, mut connection: &TcpStream) -> Option<()> {
        let mut reader = BufReader::new(connection.try_clone().ok()?);
        loop {
            let mut head = BTreeMap::new();
            loop {
                let mut line = String::new();
                if reader.read_line(&mut line).ok()? == 0 {
                    return None;
                }
                match line.trim_end().split_once(": ") {
                    Some((name, value)) => drop(head.insert(name.to_ascii_lowercase(), value.to_owned())),
                    None if line == "\r\n" => break,
                    None => {}
                }
            }
            let mut body = vec![0; head["content-length"].parse().ok()?];
            reader.read_exact(&mut body).ok()?;
            let body = String::from_utf8(body).unwrap();
            let before = self.0.lock().unwrap().insert(head["idempotency-key"].clone(), body.clone());
            assert!(before.is_none_or(|before| before == body), "one key, two requests");
            connection.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").ok()?;
        }
    }

    /// All rows that have come, once.
    fn rows(&self) -> BTreeSet<String> {
        self.0.lock().unwrap().values().flat_map(|body| body.lines()).map(str::to_owned).collect()
    }
}

/// What a run has left behind.
#[derive(PartialEq)]
struct Left {
    files: BTreeMap<String, Vec<String>>,
    sent: BTreeSet<String>,
}

struct Place {
    folder: Folder,
    service: Service,
}

impl Place {
    fn new() -> Place {
        let (service, address) = Service::start();
        Place { folder: Folder::with(&[("topology.toml", &topology(address))]), service }
    }

    /// Runs it, perhaps to a failpoint; how it ended and what it said.
    fn run(&self, failpoint: Option<&str>) -> (ExitStatus, String) {
        let mut command = self.folder.command(&["run", "topology.toml"]);
        if let Some(failpoint) = failpoint {
            command.env("MILLSTREAM_FAILPOINT", failpoint);
        }
        let ended = command.stderr(Stdio::piped()).output().unwrap();
        (ended.status, String::from_utf8(ended.stderr).unwrap())
    }

    fn left(&self) -> Left {
        Left { files: left_behind(&self.folder), sent: self.service.rows() }
    }
}

/// The failpoints of a step: at every sink that comes to it, and more than once where a run surely comes there again.
fn failpoints(step: Step) -> Vec<String> {
    let (nodes, times): (Vec<&str>, &[u64]) = match step {
        Step::BeforePrepare | Step::AfterPrepare => (TWO_PHASES.into_iter().chain(["service"]).collect(), &[2]),
        Step::BeforeCommit | Step::AfterCommit => (TWO_PHASES.to_vec(), &[1, 2]),
        Step::BeforeRemoval | Step::AfterRemoval => (Vec::new(), &[1]),
        _ => (Vec::new(), &[1, 2]),
    };
    let at = |times: &u64| -> Vec<String> {
        match nodes.as_slice() {
            [] => vec![format!("{}:{times}", step.name())],
            nodes => nodes.iter().map(|node| format!("{}@{node}:{times}", step.name())).collect(),
        }
    };
    times.iter().flat_map(at).collect()
}

/// Runs that die at these steps, and go on.
fn die_at(steps: &[Step]) {
    let undisturbed = Place::new();
    let (status, said) = undisturbed.run(None);
    assert_eq!(status.code(), Some(0), "{said}");
    let expected = undisturbed.left();
    assert_eq!((expected.files.len(), expected.sent.len()), (5, ROWS), "{:?}", expected.files.keys());
    assert!(expected.files.values().all(|rows| rows.len() >= 50));
    for failpoint in steps.iter().flat_map(|step| failpoints(*step)) {
        let place = Place::new();
        let (status, said) = place.run(Some(&failpoint));
        assert_eq!(status.signal(), ABORTED, "{failpoint} is never reached:\n{said}");
        let (status, said) = place.run(None);
        assert_eq!(status.code(), Some(0), "{failpoint}: {said}");
        let left = place.left();
        for (file, rows) in &expected.files {
            assert!(left.files.get(file) == Some(rows), "{failpoint}: {file} has other rows: {}", left.files[file].len());
        }
        assert!(left.sent == expected.sent, "{failpoint}: a row was not sent");
    }
}

const WRITING: [Step; 4] = [Step::BeforeSnapshot, Step::AfterSnapshot, Step::BeforePart, Step::AfterPart];
const PREPARING: [Step; 2] = [Step::BeforePrepare, Step::AfterPrepare];
const PUBLISHING: [Step; 4] = [Step::BeforeManifest, Step::AfterManifest, Step::BeforeRemoval, Step::AfterRemoval];
const COMMITTING: [Step; 2] = [Step::BeforeCommit, Step::AfterCommit];

#[test]
fn before_and_after_state_is_written() {
    die_at(&WRITING);
}

#[test]
fn before_and_after_a_sink_prepares() {
    die_at(&PREPARING);
}

#[test]
fn before_and_after_a_checkpoint_exists_and_an_old_one_is_removed() {
    die_at(&PUBLISHING);
}

#[test]
fn before_and_after_a_sink_makes_rows_visible() {
    die_at(&COMMITTING);
}

#[test]
fn no_step_is_left_out() {
    let tried: Vec<Step> = [&WRITING[..], &PREPARING, &PUBLISHING, &COMMITTING].concat();
    assert!(Step::ALL.iter().all(|step| tried.contains(step)) && tried.len() == Step::ALL.len());
}

#[test]
fn a_run_without_a_failpoint_knows_nothing_of_them() {
    let place = Place::new();
    let (status, said) = place.run(Some("before-nothing"));
    assert_eq!(status.code(), Some(0), "{said}");
}

/// A table that is read for as long as it takes, while a checkpoint waits.
const LOOKUP: &str = r#"
name = "lookup"

[runtime]
workers    = 1
batch_rows = 32
linger     = "1ms"

[checkpoint]
store    = "file:./state"
interval = "30ms"

[sources.table]
type    = "generate"
columns = ["counter as k", "counter * 2 as twice"]
rows    = 900
rate    = 1500

[sources.orders]
type    = "generate"
columns = ["counter as n", "counter % 1000 as k"]
rows    = 500
rate    = 2000

[operators.joined]
type    = "join"
left    = "orders"
right   = "table"
mode    = "lookup"
kind    = "left"
on      = "orders.k = table.k"
columns = ["n", "twice"]

[sinks.out]
type  = "file"
input = "joined"
path  = "out.csv"
"#;

/// The first checkpoint begins when the table has been read, which then is in the state and must not be counted twice.
#[test]
fn a_crash_behind_a_table_leaves_the_ledger_right() {
    let ledger = |said: &str| -> Vec<String> {
        let lines = said.lines().skip_while(|line| !line.starts_with("node ")).take_while(|line| !line.starts_with("every row"));
        lines.map(str::to_owned).collect()
    };
    let run = |folder: &Folder, failpoint: &str| {
        let mut command = folder.command(&["run", "topology.toml"]);
        let ended = command.env("MILLSTREAM_FAILPOINT", failpoint).stderr(Stdio::piped()).output().unwrap();
        (ended.status, String::from_utf8(ended.stderr).unwrap())
    };
    let folder = || Folder::with(&[("topology.toml", LOOKUP)]);
    let (undisturbed, crashed) = (folder(), folder());
    let (status, expected) = run(&undisturbed, "");
    assert_eq!(status.code(), Some(0), "{expected}");
    let (status, said) = run(&crashed, "after-manifest:1");
    assert_eq!(status.signal(), ABORTED, "{said}");
    let (status, said) = run(&crashed, "");
    assert_eq!(status.code(), Some(0), "{said}");
    assert!(said.contains("goes on from checkpoint 1"), "{said}");
    assert_eq!(ledger(&said), ledger(&expected));
    assert_eq!(ledger(&said).len(), 5);
    assert_eq!(left_behind(&crashed), left_behind(&undisturbed));
}

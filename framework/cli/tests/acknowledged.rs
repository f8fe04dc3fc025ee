//! No row that an `http` source has acknowledged is lost: by a stop never, and with `acknowledge = "checkpoint"` not by a kill either.
//!
//! Senders post rows one by one until they are refused, and note which ones were acknowledged. They are killed or stopped after so many
//! acknowledgements, not after a time.
#![expect(clippy::unwrap_used, clippy::panic, reason = "helpers of tests fail the test")]
#![cfg(unix)]

mod command;

use std::collections::BTreeSet;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

use command::{Folder, Running};

/// Numbers that are posted to a file.
const NUMBERS: &str = r#"
name = "numbers"

[runtime]
linger = "1ms"

[sources.numbers]
type   = "http"
listen = "127.0.0.1:0"
schema = { n = "bigint not null" }

[operators.kept]
type  = "filter"
input = "numbers"
where = "n >= 0"

[sinks.out]
type  = "file"
input = "kept"
path  = "out.ndjson"
"#;

const CHECKPOINTS: &str = r#"
[checkpoint]
store    = "file:./state"
interval = "10ms"
"#;

/// How a row was answered; nothing when it was not.
fn post(address: &str, number: u64) -> Option<u16> {
    let mut connection = TcpStream::connect(address).ok()?;
    let body = format!("{{\"n\":{number}}}");
    write!(connection, "POST / HTTP/1.0\r\ncontent-length: {}\r\n\r\n{body}", body.len()).ok()?;
    let mut answer = String::new();
    connection.read_to_string(&mut answer).ok()?;
    answer.split(' ').nth(1)?.parse().ok()
}

/// Posts every fourth number until one is refused, and says which were acknowledged.
fn sender(address: &str, first: u64, acknowledged: &SyncSender<u64>) {
    for number in (first..).step_by(4) {
        match post(address, number) {
            Some(200) => acknowledged.send(number).unwrap(),
            Some(429) => {}
            None | Some(503) => return,
            Some(other) => panic!("{number} was answered {other}"),
        }
    }
}

/// A run, with four senders whose numbers begin at `first`.
fn start(folder: &Folder, first: u64) -> (Running, Receiver<u64>) {
    let mut running = Running::start(folder.command(&["run", "topology.toml"]));
    let line = running.until("takes rows at http://");
    let address = line.trim_end().split_once("http://").unwrap().1.trim_end_matches('/').to_owned();
    let (acknowledged, numbers) = sync_channel(16);
    for offset in 0..4 {
        let (address, acknowledged) = (address.clone(), acknowledged.clone());
        std::thread::spawn(move || sender(&address, first + offset, &acknowledged));
    }
    (running, numbers)
}

/// The numbers in the file, and whether none came twice.
fn written(folder: &Folder) -> (BTreeSet<u64>, bool) {
    let text = folder.read("out.ndjson");
    let number = |line: &str| serde_json::from_str::<serde_json::Value>(line).unwrap()["n"].as_u64().unwrap();
    let numbers: Vec<u64> = text.lines().map(number).collect();
    let set: BTreeSet<u64> = numbers.iter().copied().collect();
    (set.clone(), set.len() == numbers.len())
}

#[test]
fn a_stop_hands_on_what_was_acknowledged() {
    for checkpoints in ["", CHECKPOINTS] {
        let folder = Folder::with(&[("topology.toml", &format!("{NUMBERS}{checkpoints}"))]);
        let (running, numbers) = start(&folder, 0);
        let mut acknowledged: BTreeSet<u64> = numbers.iter().take(300).collect();
        running.signal("TERM");
        // The senders end when they are refused.
        acknowledged.extend(numbers);
        let ended = running.wait();
        assert_eq!(ended.code, Some(130), "{}", ended.err);
        assert!(ended.err.contains("the sums balance") && !ended.err.contains("had not come further"), "{}", ended.err);
        let (written, once) = written(&folder);
        assert!(once && acknowledged.is_subset(&written), "{:?} are lost", acknowledged.difference(&written));
    }
}

#[test]
fn a_kill_loses_nothing_that_a_checkpoint_acknowledged() {
    let topology = NUMBERS.replace("[operators", "acknowledge = \"checkpoint\"\n\n[operators");
    let folder = Folder::with(&[("topology.toml", &format!("{topology}{CHECKPOINTS}"))]);
    let mut acknowledged = BTreeSet::new();
    for round in 0..6u64 {
        let (running, numbers) = start(&folder, round * 1_000_000);
        acknowledged.extend(numbers.iter().take(20 + 7 * round as usize));
        running.signal("KILL");
        acknowledged.extend(numbers);
        running.wait();
    }
    let (running, numbers) = start(&folder, 6_000_000);
    acknowledged.extend(numbers.iter().take(10));
    running.signal("TERM");
    acknowledged.extend(numbers);
    let ended = running.wait();
    assert_eq!(ended.code, Some(130), "{}", ended.err);
    let (written, once) = written(&folder);
    assert!(once && acknowledged.is_subset(&written), "{:?} are lost", acknowledged.difference(&written));
    assert!((0..7).all(|round| acknowledged.range(round * 1_000_000..).next().is_some_and(|n| n / 1_000_000 == round)));
}

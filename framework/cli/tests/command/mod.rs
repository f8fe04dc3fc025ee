//! The built command in a folder of its own: files in, exit status and text out.

#![allow(dead_code, reason = "each test binary uses its own part of this module")]

pub mod departures;
pub mod left;

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::PathBuf;
use std::process::{Child, ChildStderr, Command, Stdio};

use serde_json::Value;
use tempfile::TempDir;

/// Three flights in two hours, in the order of time.
pub const FLIGHTS: &str = r#"{"carrier":"UA","departed":"2013-01-01T10:17:00Z","delay":2}
{"carrier":"AA","departed":"2013-01-01T10:33:00Z","delay":4}
{"carrier":"UA","departed":"2013-01-01T11:05:00Z","delay":null}
"#;

/// Flights per carrier and hour.
pub const HOURLY: &str = r#"
name = "hourly"

[sources.departures]
type   = "file"
path   = "in.ndjson"
format = "json"
schema = { carrier = "string not null", departed = "timestamp", delay = "bigint" }
time   = { by = "departed" }

[operators.hourly]
type  = "window"
input = "departures"
kind  = "tumble"
size  = "1h"

[operators.flights]
type    = "aggregate"
input   = "hourly"
by      = ["carrier"]
compute = ["count(*) as n"]

[sinks.archive]
type   = "file"
input  = "flights"
path   = "out.ndjson"
format = "json"
"#;

/// Bids without end, counted per channel and second into a file and a view that holds the newest count.
pub const ENDLESS: &str = r#"
name = "endless"

[server]
listen = "127.0.0.1:0"

[sources.auctions]
type = "nexmark"
time = { by = "date_time" }

[operators.seconds]
type  = "window"
input = "auctions.bid"
kind  = "tumble"
size  = "1s"

[operators.bids]
type    = "aggregate"
input   = "seconds"
by      = ["channel"]
compute = ["count(*) as n"]

[sinks.archive]
type   = "file"
input  = "bids"
path   = "out.ndjson"
format = "json"

[sinks.board]
type  = "view"
input = "bids"
key   = ["channel"]
"#;

/// A folder with files, gone with the test.
pub struct Folder(TempDir);

/// How a command ended.
pub struct Ended {
    pub code: Option<i32>,
    pub out: String,
    pub err: String,
}

impl Folder {
    /// A folder that holds these files.
    pub fn with(files: &[(&str, &str)]) -> Folder {
        let folder = Folder(tempfile::tempdir().unwrap());
        for (name, text) in files {
            std::fs::write(folder.path(name), text).unwrap();
        }
        folder
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    pub fn read(&self, name: &str) -> String {
        std::fs::read_to_string(self.path(name)).unwrap()
    }

    /// The names of all files, sorted.
    pub fn names(&self) -> Vec<String> {
        let entries = std::fs::read_dir(self.0.path()).unwrap();
        let mut names: Vec<String> = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    /// `millstream ARGUMENTS` in this folder, with nothing of Millstream in its environment.
    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_millstream"));
        command.args(arguments).current_dir(self.0.path()).stdin(Stdio::null()).env_remove("RUST_LOG");
        for (name, _) in std::env::vars_os() {
            if name.to_string_lossy().starts_with("MILLSTREAM_") {
                command.env_remove(name);
            }
        }
        command
    }

    /// The same, with each checkpoint in its log.
    pub fn telling(&self, arguments: &[&str]) -> Command {
        let mut command = self.command(arguments);
        command.env("RUST_LOG", "warn,millstream_runtime::checkpoint=info");
        command
    }

    /// Runs it to its end.
    pub fn run(&self, arguments: &[&str]) -> Ended {
        end(self.command(arguments))
    }
}

/// Runs a command to its end.
pub fn end(mut command: Command) -> Ended {
    let output = command.output().unwrap();
    let ended = Ended {
        code: output.status.code(),
        out: String::from_utf8(output.stdout).unwrap(),
        err: String::from_utf8(output.stderr).unwrap(),
    };
    assert!(!ended.err.contains("panicked"), "{}", ended.err);
    ended
}

/// A command that runs while the test talks to it. Killed with the test.
pub struct Running {
    child: Child,
    err: BufReader<ChildStderr>,
    said: String,
}

impl Running {
    pub fn start(mut command: Command) -> Running {
        let mut child = command.stderr(Stdio::piped()).spawn().unwrap();
        let err = BufReader::new(child.stderr.take().unwrap());
        Running { child, err, said: String::new() }
    }

    /// Reads what it says until a line holds `part`; that line.
    pub fn until(&mut self, part: &str) -> String {
        loop {
            let mut line = String::new();
            assert!(self.err.read_line(&mut line).unwrap() > 0, "it ended without {part:?}:\n{}", self.said);
            self.said.push_str(&line);
            if line.contains(part) {
                return line;
            }
        }
    }

    /// Reads what it says until it has written so many checkpoints; its log must tell, see [`Folder::telling`].
    pub fn until_checkpoints(&mut self, count: usize) {
        (0..count).for_each(|_| drop(self.until("checkpoint written")));
    }

    /// Where it serves.
    pub fn address(&mut self) -> String {
        let line = self.until("serving on http://");
        line.trim_end().split_once("http://").unwrap().1.to_owned()
    }

    /// Sends a signal by name: `INT`, `TERM`.
    pub fn signal(&self, name: &str) {
        assert!(Command::new("kill").args([&format!("-{name}"), &self.child.id().to_string()]).status().unwrap().success());
    }

    /// Waits for its end; the exit status and all it said.
    pub fn wait(mut self) -> Ended {
        self.err.read_to_string(&mut self.said).unwrap();
        let code = self.child.wait().unwrap().code();
        let mut out = String::new();
        if let Some(mut stdout) = self.child.stdout.take() {
            stdout.read_to_string(&mut out).unwrap();
        }
        Ended { code, out, err: std::mem::take(&mut self.said) }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // After `wait` it is gone already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// `GET path`; status and body.
pub fn get(address: &str, path: &str) -> (u16, Value) {
    let mut connection = TcpStream::connect(address).unwrap();
    write!(connection, "GET {path} HTTP/1.0\r\n\r\n").unwrap();
    let mut answer = String::new();
    connection.read_to_string(&mut answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    (head.split(' ').nth(1).unwrap().parse().unwrap(), serde_json::from_str(body).unwrap())
}

/// The rows of a file of JSON lines, sorted.
pub fn sorted(text: &str) -> Vec<&str> {
    let mut lines: Vec<&str> = text.lines().collect();
    lines.sort_unstable();
    lines
}

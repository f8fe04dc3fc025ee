//! Looking at a run while it runs: on its own terminal, and from outside by `why`, `top` and `tap`.
#![expect(clippy::unwrap_used, reason = "helpers of tests fail the test")]
#![cfg(unix)]

mod command;

use std::fs::File;
use std::io::{BufRead, BufReader, Read, Write};
use std::process::{Child, Command, Stdio};

use command::{ENDLESS, FLIGHTS, Folder, HOURLY, Running, end, get};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{LocalModes, Winsize, tcgetattr, tcsetwinsize};
use serde_json::Value;

/// A command on a terminal of its own.
struct Terminal {
    child: Child,
    master: File,
    slave: File,
    seen: String,
}

impl Terminal {
    fn start(mut command: Command, (columns, lines): (u16, u16)) -> Terminal {
        let master = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
        grantpt(&master).unwrap();
        unlockpt(&master).unwrap();
        let name = ptsname(&master, Vec::new()).unwrap().into_string().unwrap();
        let slave = File::options().read(true).write(true).open(name).unwrap();
        tcsetwinsize(&slave, Winsize { ws_col: columns, ws_row: lines, ws_xpixel: 0, ws_ypixel: 0 }).unwrap();
        let end = || Stdio::from(slave.try_clone().unwrap());
        let child = command.env("TERM", "xterm").stdin(end()).stdout(end()).stderr(end()).spawn().unwrap();
        Terminal { child, master: File::from(master), slave, seen: String::new() }
    }

    /// Reads what it draws until that holds all of `parts`, from here on.
    fn until(&mut self, parts: &[&str]) {
        let start = self.seen.len();
        let mut buffer = [0; 4096];
        while !parts.iter().all(|part| self.seen[start..].contains(part)) {
            let length = self.master.read(&mut buffer).unwrap();
            self.seen.push_str(&String::from_utf8_lossy(&buffer[..length]));
        }
    }

    fn signal(&self, name: &str) {
        assert!(Command::new("kill").args([&format!("-{name}"), &self.child.id().to_string()]).status().unwrap().success());
    }

    fn press(&mut self, keys: &str) {
        self.master.write_all(keys.as_bytes()).unwrap();
    }

    /// Whether keys are read as lines, and echoed.
    fn is_cooked(&self) -> bool {
        tcgetattr(&self.slave).unwrap().local_modes.contains(LocalModes::ICANON | LocalModes::ECHO)
    }

    /// Waits for its end; the exit status and the rest of what it drew.
    fn wait(&mut self) -> (Option<i32>, String) {
        let start = self.seen.len();
        let code = loop {
            // It may wait for its output to be read.
            self.drain();
            if let Some(status) = self.child.try_wait().unwrap() {
                self.drain();
                break status.code();
            }
            std::thread::yield_now();
        };
        (code, self.seen[start..].to_owned())
    }

    fn drain(&mut self) {
        rustix::io::ioctl_fionbio(&self.master, true).unwrap();
        let mut buffer = [0; 4096];
        while let Ok(length) = self.master.read(&mut buffer) {
            self.seen.push_str(&String::from_utf8_lossy(&buffer[..length]));
        }
        rustix::io::ioctl_fionbio(&self.master, false).unwrap();
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A run of [`ENDLESS`] in which rows flow, and its address.
fn endless(folder: &Folder) -> (Running, String) {
    let mut running = Running::start(folder.command(&["run", "topology.toml"]));
    let address = running.address();
    running.until("is running");
    let flows = (0..100_000).any(|_| {
        let (status, body) = get(&address, "/status");
        status == 200 && body["nodes"].as_array().unwrap().iter().any(|node| node["node"] == "bids" && node["rows_out"].as_u64() > Some(0))
    });
    assert!(flows, "no row came");
    (running, format!("http://{address}"))
}

fn folder() -> Folder {
    Folder::with(&[("topology.toml", ENDLESS)])
}

#[test]
fn a_run_draws_itself_over_itself_and_leaves_nothing_behind() {
    let folder = folder();
    let mut terminal = Terminal::start(folder.command(&["run", "topology.toml"]), (100, 30));
    terminal.until(&["endless  ", "rows read", "node ", "busy", "held", "auctions", "archive", "board"]);
    terminal.until(&["rows read"]);
    assert!(terminal.seen.contains("\x1b[7A"), "a block of seven lines is drawn over itself: {:?}", terminal.seen);
    terminal.signal("INT");
    let (code, rest) = terminal.wait();
    assert_eq!(code, Some(130));
    let after = &rest[rest.rfind("\x1b[J").unwrap()..];
    assert!(after.contains("stopping") || after.contains("rows in"), "{rest:?}");
    assert!(rest.contains("every row has one fate"), "{rest:?}");
    assert!(!after.contains("busy"), "the block is gone before the ledger comes: {rest:?}");
}

#[test]
fn a_narrow_terminal_has_no_line_too_long() {
    let folder = folder();
    let mut terminal = Terminal::start(folder.command(&["run", "topology.toml"]), (30, 8));
    // How many rows there are takes the room of what they are called.
    terminal.until(&["rows", "node", "more"]);
    let blocks = terminal.seen.split("\x1b[?2026h").skip(1);
    let lines = blocks.flat_map(|block| block.split("\r\n")).filter_map(|line| line.strip_suffix("\x1b[K"));
    for line in lines {
        let text = line.rsplit(['l', 'A', 'm']).next().unwrap();
        assert!(text.chars().count() <= 30, "{text:?}");
    }
}

#[test]
fn top_is_driven_by_keys_and_gives_the_terminal_back() {
    let folder = folder();
    let (running, url) = endless(&folder);
    let mut terminal = Terminal::start(folder.command(&["top", &url]), (100, 20));
    terminal.until(&["\x1b[?1049h", "auctions", "bids", "sort (flow)"]);
    assert!(!terminal.is_cooked());
    terminal.press("s");
    terminal.until(&["sort (rate)"]);
    terminal.press("ssss");
    terminal.until(&["sort (flow)"]);
    terminal.press("jj");
    terminal.until(&["> bids"]);
    terminal.press("\r");
    terminal.until(&["bids (`aggregate`) has sent", "on the way", "Esc back"]);
    terminal.press("\x1b");
    terminal.until(&["sort (flow)"]);
    terminal.press("q");
    let (code, rest) = terminal.wait();
    assert_eq!(code, Some(0), "{rest}");
    assert!(rest.contains("\x1b[?1049l"), "{rest:?}");
    assert!(terminal.is_cooked());
    let mut terminal = Terminal::start(folder.command(&["top", &url]), (100, 20));
    terminal.until(&["\x1b[?1049h", "sort (flow)"]);
    terminal.signal("TERM");
    let (code, _) = terminal.wait();
    assert!(code == Some(0) && terminal.is_cooked(), "a signal gives it back as well");
    running.signal("INT");
    running.wait();
}

#[test]
fn top_prints_once_where_there_is_no_terminal() {
    let folder = folder();
    let (_running, url) = endless(&folder);
    let ended = folder.run(&["top", &url]);
    assert_eq!(ended.code, Some(0), "{}", ended.err);
    let lines: Vec<&str> = ended.out.lines().collect();
    assert!(lines[0].starts_with("endless  ") && lines[1].starts_with("node "), "{}", ended.out);
    assert_eq!(lines.len(), 2 + 5, "{}", ended.out);
}

#[test]
fn why_asks_a_running_topology() {
    let folder = folder();
    let (_running, url) = endless(&folder);
    let ended = folder.run(&["why", &url, "board"]);
    assert_eq!(ended.code, Some(0), "{}", ended.err);
    assert!(ended.out.starts_with("board (`view`) has written ") && ended.out.contains("on the way"), "{}", ended.out);
    let ended = folder.run(&["why", &url, "bids", "--format", "json"]);
    let why: Value = serde_json::from_str(&ended.out).unwrap();
    assert_eq!((&why["node"], &why["running"], &why["type"]), (&"bids".into(), &true.into(), &"aggregate".into()));
    let ended = folder.run(&["why", &url, "bid"]);
    assert_eq!(ended.code, Some(1));
    assert!(ended.err.contains("there is no node `bid`\nhelp: did you mean `bids`? nodes: auctions, "), "{}", ended.err);
    let ended = folder.run(&["why", "http://127.0.0.1:1", "bids"]);
    assert_eq!(ended.code, Some(1));
    assert!(ended.err.contains("cannot ask http://127.0.0.1:1") && ended.err.contains("help: is the topology running"), "{}", ended.err);
}

#[test]
fn why_explains_a_file() {
    let folder = Folder::with(&[("topology.toml", HOURLY), ("in.ndjson", FLIGHTS)]);
    let ended = folder.run(&["why", "topology.toml", "archive"]);
    assert_eq!(ended.code, Some(0), "{}", ended.err);
    assert!(ended.out.starts_with("archive (`file`) gives a row when flights does\n"), "{}", ended.out);
    assert!(ended.out.contains("the watermark follows\n  departures\n"), "{}", ended.out);
    let ended = folder.run(&["why", "topology.toml", "archiv"]);
    assert_eq!(ended.code, Some(2));
    assert!(ended.err.contains("error: there is no node `archiv`\nhelp: did you mean `archive`?"), "{}", ended.err);
    let ended = folder.run(&["why", "gone.toml", "archive"]);
    assert_eq!(ended.code, Some(2));
}

#[test]
fn tap_shows_rows_as_they_pass() {
    let folder = folder();
    let (_running, url) = endless(&folder);
    let rows = |arguments: &[&str]| {
        let ended = folder.run(&[&["tap", &url], arguments].concat());
        assert_eq!(ended.code, Some(0), "{}", ended.err);
        ended.out.lines().map(|line| serde_json::from_str::<Value>(line).unwrap()).collect::<Vec<_>>()
    };
    let bids = rows(&["bids", "--limit", "5", "--where", "channel = 'Google' and n > 0"]);
    assert_eq!(bids.len(), 5);
    assert!(bids.iter().all(|row| row["channel"] == "Google" && row["n"].is_u64()), "{bids:?}");
    assert_eq!(rows(&["board", "--limit", "3", "--sample", "7"]).len(), 3);
    let fails = |arguments: &[&str], code: i32, parts: &[&str]| {
        let ended = folder.run(&[&["tap", &url], arguments].concat());
        assert_eq!(ended.code, Some(code), "{}", ended.err);
        assert!(parts.iter().all(|part| ended.err.contains(part)), "{}", ended.err);
    };
    fails(&["bid"], 1, &["`bid`", "did you mean `bids`? streams and sinks: "]);
    fails(&["bids", "--where", "chanel = 'x'"], 1, &["chanel", "did you mean `channel`"]);
    fails(&["bids", "--where", "chanel = 'x'"], 1, &["columns that no node reads do not flow"]);
    fails(&["auctions.rejected"], 1, &["nobody reads `auctions.rejected`", "discard"]);
    fails(&["bids", "--sample", "0"], 2, &["--sample"]);
}

#[test]
fn a_tap_that_nobody_reads_holds_nothing_up() {
    let folder = folder();
    let (running, url) = endless(&folder);
    // It writes until the pipe is full, and then stands.
    let mut tap = folder.command(&["tap", &url, "auctions.bid"]).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let address = url.strip_prefix("http://").unwrap();
    let read = || get(address, "/status").1["nodes"][0]["rows_in"].as_u64().unwrap();
    let start = read();
    while read() < start + 200_000 {}
    tap.kill().unwrap();
    tap.wait().unwrap();
    running.signal("INT");
    let ended = running.wait();
    assert!(ended.err.contains("the sums balance"), "{}", ended.err);
}

#[test]
fn a_token_is_asked_for() {
    let text = ENDLESS.replace("listen = \"127.0.0.1:0\"", "listen = \"127.0.0.1:0\"\ntoken = \"sesame\"");
    let folder = Folder::with(&[("topology.toml", &text)]);
    let mut running = Running::start(folder.command(&["run", "topology.toml"]));
    let url = format!("http://{}", running.address());
    running.until("is running");
    let ended = folder.run(&["top", &url]);
    assert_eq!(ended.code, Some(1));
    assert!(ended.err.contains("help: give the token of [server] with --token or in MILLSTREAM_TOKEN"), "{}", ended.err);
    assert_eq!(folder.run(&["top", &url, "--token", "sesame"]).code, Some(0));
    let mut command = folder.command(&["why", &url, "bids"]);
    command.env("MILLSTREAM_TOKEN", "sesame");
    assert_eq!(end(command).code, Some(0));
}

const PRINTED: &str = r#"
name = "printed"
[sources.auctions]
type = "nexmark"
time = { by = "date_time" }
[sinks.screen]
type = "stdout"
input = "auctions.bid"
"#;

#[test]
fn a_reader_of_standard_output_that_has_seen_enough_ends_the_run_in_peace() {
    let folder = Folder::with(&[("topology.toml", PRINTED)]);
    let mut child = folder.command(&["run", "topology.toml"]).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    assert!(lines.next().unwrap().unwrap().starts_with('{'));
    drop(lines);
    let output = child.wait_with_output().unwrap();
    let err = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(0), "{err}");
    assert!(err.ends_with("standard output is closed: the run has ended\n") && !err.contains("error"), "{err}");
}

#[test]
fn a_closed_standard_output_is_an_error_when_another_sink_is_cut_short() {
    let text = format!("{PRINTED}[sinks.copy]\ntype = \"file\"\ninput = \"auctions.bid\"\npath = \"out.ndjson\"\nformat = \"json\"\n");
    let folder = Folder::with(&[("topology.toml", &text)]);
    let mut child = folder.command(&["run", "topology.toml"]).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    drop(child.stdout.take());
    let output = child.wait_with_output().unwrap();
    let err = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{err}");
    assert!(err.contains("cannot write to standard output: its reader has closed it"), "{err}");
}

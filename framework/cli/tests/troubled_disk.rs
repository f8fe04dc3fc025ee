//! Disks that fill up, and stores that go away under a running process.
//!
//! A disk that is full is a small tmpfs, which only root can mount: others skip that part, and say so.
#![expect(clippy::unwrap_used, clippy::print_stderr, reason = "helpers of tests fail the test and say why it was skipped")]
#![cfg(unix)]

mod command;

use std::path::{Path, PathBuf};
use std::process::Command;

use command::{Ended, Folder, Running};

/// Rows with some text, of which a view keeps every one: the state grows with them.
const TOPOLOGY: &str = r#"
name = "numbers"

[runtime]
batch_rows = 64
linger     = "1ms"

[checkpoint]
store             = "file:./store/state"
interval          = "40ms"
restart_delay     = "20ms"
max_restart_delay = "50ms"
restarts          = 10000
same_failures     = 1000

[sources.numbers]
type    = "generate"
columns = ["counter as n", "cast(counter as string) || ' of many rows with the same words' as words"]
rows    = 3000
rate    = 3000

[sinks.all]
type  = "file"
input = "numbers"
path  = "out/all.csv"

[sinks.board]
type     = "view"
input    = "numbers"
key      = ["n"]
max_rows = 10000
"#;

fn folder() -> Folder {
    let folder = Folder::with(&[("topology.toml", TOPOLOGY)]);
    for name in ["store", "out"] {
        std::fs::create_dir(folder.path(name)).unwrap();
    }
    folder
}

/// All rows are in the file, once, in their order.
fn is_whole(folder: &Folder, ended: &Ended) {
    assert_eq!(ended.code, Some(0), "{}", ended.err);
    assert!(ended.err.contains("the sums balance"), "{}", ended.err);
    let text = folder.read("out/all.csv");
    let rows: Vec<String> = text.lines().map(str::to_owned).collect();
    let expected = (0..3000).map(|n| format!("{n},{n} of many rows with the same words"));
    assert_eq!(rows, std::iter::once("n,words".to_owned()).chain(expected).collect::<Vec<_>>());
}

/// A file system of so many bytes in place of a folder, gone with the test.
struct Small(PathBuf);

impl Small {
    fn mount(folder: &Path, bytes: usize) -> Option<Small> {
        let size = format!("size={bytes}");
        let mounted = Command::new("mount").args(["-t", "tmpfs", "-o", &size, "tmpfs"]).arg(folder).output();
        if mounted.is_ok_and(|output| output.status.success()) {
            return Some(Small(folder.to_owned()));
        }
        eprintln!("skipped: only root can mount the small file system that is to be filled");
        None
    }
}

impl Drop for Small {
    fn drop(&mut self) {
        // Lazily: a process that was killed may not be gone yet.
        let _ = Command::new("umount").arg("-l").arg(&self.0).status();
    }
}

/// Takes what is left of a file system.
fn fill(folder: &Path) {
    let zeros = vec![0; 4 << 20];
    // It is meant to fail: then nothing is left.
    assert!(std::fs::write(folder.join("filler"), zeros).is_err());
}

/// The disk of the store, or that of the output, is full from the second checkpoint on, and is cleared when that was noticed.
#[test]
fn a_full_disk_costs_time_and_no_row() {
    for (full, said) in [("store", "store/state/"), ("out", "out/all.csv")] {
        let folder = folder();
        // Room for three checkpoints of all rows: two that are kept and one that is written.
        let Some(_small) = Small::mount(&folder.path(full), 2 << 20) else { return };
        let mut running = Running::start(folder.command(&["run", "topology.toml"]));
        running.until("is running");
        while !std::fs::metadata(folder.path("out/all.csv")).is_ok_and(|file| file.len() > 0) {}
        fill(&folder.path(full));
        let line = running.until("No space left on device");
        assert!(line.contains("cannot write ") && line.contains(said), "{line}");
        running.until("goes on from checkpoint ");
        std::fs::remove_file(folder.path(full).join("filler")).unwrap();
        is_whole(&folder, &running.wait());
    }
}

/// Without its store a run must not go on: nothing would hold back a second one, and there is nothing to go on from.
#[test]
fn a_store_that_is_removed_or_replaced_ends_the_run() {
    let remove = |folder: &Folder| std::fs::remove_dir_all(folder.path("store/state")).unwrap();
    let replace = |folder: &Folder| {
        std::fs::rename(folder.path("store/state"), folder.path("store/away")).unwrap();
        std::fs::create_dir(folder.path("store/state")).unwrap();
        std::fs::write(folder.path("store/state/lock"), "").unwrap();
    };
    let unlock = |folder: &Folder| std::fs::remove_file(folder.path("store/state/lock")).unwrap();
    type Lose = fn(&Folder);
    let ways: [(Lose, &str); 3] = [(remove, "lock is gone"), (replace, "lock is another file now"), (unlock, "lock is gone")];
    for (lose, said) in ways {
        let folder = folder();
        let mut running = Running::start(folder.command(&["run", "topology.toml"]));
        running.until("is running");
        while !std::fs::metadata(folder.path("out/all.csv")).is_ok_and(|file| file.len() > 0) {}
        lose(&folder);
        let ended = running.wait();
        assert_eq!(ended.code, Some(1), "{}", ended.err);
        assert!(ended.err.contains(said) && ended.err.contains("this run holds its store no longer"), "{}", ended.err);
        assert!(!ended.err.contains("goes on from"), "it must not go on by itself: {}", ended.err);
        // Whatever is left of the store, the next run writes every row once.
        is_whole(&folder, &folder.run(&["run", "topology.toml"]));
    }
}

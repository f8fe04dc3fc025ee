//! Whole processes, killed with SIGKILL at random moments until their inputs are done, write what an undisturbed run writes.
//!
//! The short form runs with all other tests. `MILLSTREAM_KILLS=500 cargo test -p millstream-cli --test kill -- --nocapture` goes on
//! until that many runs have been killed over all topologies; docs/performance.md says what came of it.
#![expect(clippy::unwrap_used, reason = "helpers of tests fail the test")]
#![cfg(unix)]

#[path = "../command/mod.rs"]
mod command;

use std::collections::BTreeMap;
use std::fmt::Write;
use std::process::Stdio;
use std::time::Duration;

use command::Folder;
use command::left::left_behind;

/// Kills over all topologies in the short form.
const KILLS: usize = 24;

/// Numbers that look random and are the same in every run (SplitMix64).
struct Random(u64);

impl Random {
    fn below(&mut self, n: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % n
    }
}

/// What every topology has: small batches, checkpoints all the time.
const HEAD: &str = r#"
[runtime]
batch_rows = 64
linger     = "1ms"

[checkpoint]
store         = "file:./state"
interval      = "30ms"
restart_delay = "10ms"
"#;

const WINDOWS: &str = include_str!("windows.toml");
const CHANGES: &str = include_str!("changes.toml");
const TIMES: &str = include_str!("times.toml");
const ENDS: &str = include_str!("ends.toml");
const ZONES: &str = "zone,city\nnorth,A\nsouth,A\neast,B\n";

fn trips() -> String {
    let mut text = String::new();
    for row in 0..6_000u64 {
        let seconds = row * 37 + (row * 7_919 % 41) * 11;
        let (day, hour, minute, second) = (seconds / 86_400 + 1, seconds / 3_600 % 24, seconds / 60 % 60, seconds % 60);
        let (zone, fare) = (["north", "south", "east", "west"][(row * 13 % 4) as usize], (row * 31 % 97) as f64 / 4.0 - 1.0);
        let time = format!("2020-03-{day:02}T{hour:02}:{minute:02}:{second:02}Z");
        let tags = if row % 5 == 0 { "[\"a\",\"b\"]" } else { "[\"c\"]" };
        match row % 501 {
            500 => writeln!(text, "{{\"id\":{row},\"zone\":7}}").unwrap(),
            _ => writeln!(text, "{{\"id\":{row},\"zone\":\"{zone}\",\"at\":\"{time}\",\"fare\":{fare},\"tags\":{tags}}}").unwrap(),
        }
    }
    text
}

fn folder(topology: &str) -> Folder {
    Folder::with(&[("topology.toml", &format!("{topology}{HEAD}")), ("trips.ndjson", &trips()), ("zones.csv", ZONES)])
}

/// Kills of one run until it is left alone.
const KILLS_OF_A_RUN: usize = 40;

/// Runs a topology to its end, killed on the way `most` times at most. How often that was.
fn killed_on_the_way(folder: &Folder, random: &mut Random, most: usize) -> usize {
    let mut kills = 0;
    loop {
        let workers = format!("runtime.workers={}", 1 + random.below(3));
        let state = format!("runtime.state={}", ["memory", "disk"][random.below(2) as usize]);
        let mut command = folder.command(&["run", "topology.toml", "--set", &workers, "--set", &state]);
        let mut child = command.stderr(Stdio::piped()).spawn().unwrap();
        std::thread::sleep(Duration::from_millis(60 + random.below(500)));
        if kills < most && child.try_wait().unwrap().is_none() {
            child.kill().unwrap();
            kills += 1;
            child.wait().unwrap();
            continue;
        }
        let ended = child.wait_with_output().unwrap();
        let said = String::from_utf8_lossy(&ended.stderr).into_owned();
        assert_eq!(ended.status.code(), Some(0), "{said}");
        assert!(said.contains("the sums balance") || said.contains("has finished"), "{said}");
        return kills;
    }
}

#[test]
fn killed_at_any_moment_nothing_is_lost_and_nothing_comes_twice() {
    let wanted = std::env::var("MILLSTREAM_KILLS").map_or(KILLS, |text| text.parse().unwrap());
    let topologies = [WINDOWS, CHANGES, TIMES, ENDS];
    let expected: Vec<BTreeMap<String, Vec<String>>> = topologies
        .iter()
        .map(|topology| {
            let folder = folder(topology);
            let ended = folder.run(&["run", "topology.toml"]);
            assert_eq!(ended.code, Some(0), "{}", ended.err);
            left_behind(&folder)
        })
        .collect();
    assert!(expected.iter().all(|files| !files.is_empty() && files.values().all(|rows| rows.len() > 5)), "each has something to compare");
    let mut random = Random(wanted as u64);
    let (mut kills, mut runs) = ([0; 4], 0);
    while kills.iter().sum::<usize>() < wanted {
        let which = runs % topologies.len();
        let folder = folder(topologies[which]);
        kills[which] += killed_on_the_way(&folder, &mut random, KILLS_OF_A_RUN.min(wanted.div_ceil(topologies.len())));
        let found = left_behind(&folder);
        for (file, rows) in &expected[which] {
            assert!(
                found.get(file) == Some(rows),
                "{file} is another one after {kills:?} kills: {} rows for {}",
                found[file].len(),
                rows.len()
            );
        }
        runs += 1;
        println!("{runs} runs ended, killed {kills:?} times on the way");
    }
}

//! Whole processes, killed with SIGKILL at random moments until their inputs are done, write what an undisturbed run writes.
//!
//! The short form runs with all other tests. `MILLSTREAM_KILLS=500 cargo test -p millstream-cli --test kill -- --nocapture` goes on
//! until that many runs have been killed over all topologies; docs/performance.md says what came of it.
#![expect(clippy::unwrap_used, reason = "helpers of tests fail the test")]
#![cfg(unix)]

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

/// What stands before every topology: small batches, checkpoints all the time.
const HEAD: &str = r#"
[runtime]
batch_rows = 64
linger     = "1ms"

[checkpoint]
store         = "file:./state"
interval      = "30ms"
restart_delay = "10ms"
"#;

/// Windows, aggregates, a table beside the stream, ranks and lists, over a file.
const WINDOWS: &str = r#"
name = "windows"

[sources.trips]
type   = "file"
path   = "trips.ndjson"
format = "json"
rate   = 6000
schema = { id = "bigint not null", zone = "string not null", at = "timestamp", fare = "double", tags = "list<string>" }
time   = { by = "at", max_delay = "10m" }
on_bad_row = "reject"

[operators.good]
type  = "filter"
input = "trips"
where = "fare >= 0"

[operators.named]
type    = "select"
input   = "good"
columns = ["*", "fare * 100 as cents"]

[operators.hops]
type  = "window"
input = "named"
kind  = "hop"
size  = "1h"
slide = "20m"

[operators.sums]
type    = "aggregate"
input   = "hops"
by      = ["zone"]
compute = ["count(*) as n", "sum(cents) as cents", "count(distinct id) as ids", "max(fare) as most", "last_value(id) as last"]

[operators.best]
type  = "top_n"
input = "sums"
by    = []
order = ["cents desc", "zone"]
n     = 3

[operators.single]
type   = "unnest"
input  = "good"
column = "tags"

[operators.tag_hours]
type  = "window"
input = "single"
kind  = "tumble"
size  = "1h"

[operators.tags]
type    = "aggregate"
input   = "tag_hours"
by      = ["tags"]
compute = ["count(*) as n"]

[operators.zone_hours]
type  = "window"
input = "named"
kind  = "tumble"
size  = "1h"

[operators.pairs]
type   = "join"
left   = "zone_hours"
right  = "tag_side"
kind   = "left"
mode   = "window"
on     = "left.id = right.id"
columns = ["left.id", "left.zone", "right.tags"]

[operators.tag_side]
type  = "window"
input = "single"
kind  = "tumble"
size  = "1h"

[operators.all]
type   = "union"
inputs = ["trips.rejected"]

[sinks.out_best]
type  = "file"
input = "best"
path  = "best.ndjson"

[sinks.out_tags]
type  = "file"
input = "tags"
path  = "tags.csv"

[sinks.out_pairs]
type  = "file"
input = "pairs"
path  = "pairs.ndjson"

[sinks.out_rejected]
type  = "file"
input = "all"
path  = "rejected.ndjson"

[sinks.nothing]
type  = "discard"
input = "sums.late"
"#;

/// Streams that change: a running aggregate, a join of two, the first rows of a key, a view.
const CHANGES: &str = r#"
name = "changes"

[sources.auctions]
type   = "nexmark"
events = 6000
rate   = 5000
time   = { by = "date_time" }

[operators.bids]
type    = "aggregate"
input   = "auctions.bid"
by      = ["auction"]
compute = ["count(*) as bids", "sum(price) as price"]

[operators.joined]
type  = "join"
left  = "bids"
right = "sellers"
mode  = "changes"
kind  = "left"
on    = "left.auction = right.id"
columns = ["left.auction", "left.bids", "left.price", "right.seller"]

[operators.sellers]
type    = "select"
input   = "auctions.auction"
columns = ["id", "seller"]

[operators.hot]
type  = "top_n"
input = "bids"
by    = []
order = ["bids desc", "auction"]
n     = 10

[sinks.out_joined]
type    = "file"
input   = "joined"
path    = "joined.ndjson"
changes = true

[sinks.out_hot]
type    = "file"
input   = "hot"
path    = "hot.ndjson"
changes = true

[sinks.board]
type  = "view"
input = "bids"
key   = ["auction"]
"#;

/// Everything else that has to do with time: a table, the first rows of a time, sessions, growing windows, joins within an interval
/// and as of a version, another event time.
const TIMES: &str = r#"
name = "times"

[sources.trips]
type   = "file"
path   = "trips.ndjson"
format = "json"
rate   = 6000
schema = { id = "bigint not null", zone = "string not null", at = "timestamp", fare = "double" }
time   = { by = "at", max_delay = "10m" }
on_bad_row = "skip"

[sources.zones]
type   = "file"
path   = "zones.csv"
format = "csv"
schema = { zone = "string not null", city = "string not null" }

[operators.placed]
type    = "join"
left    = "trips"
right   = "zones"
mode    = "lookup"
kind    = "left"
on      = "trips.zone = zones.zone"
columns = ["id", "trips.zone as zone", "at", "fare", "city"]

[operators.unique]
type   = "deduplicate"
input  = "placed"
by     = ["zone", "fare"]
within = "6h"

[operators.sessions]
type  = "window"
input = "unique"
kind  = "session"
gap   = "5m"

[operators.stays]
type    = "aggregate"
input   = "sessions"
by      = ["city"]
compute = ["count(*) as n", "min(id) as least"]

[operators.growing]
type  = "window"
input = "placed"
kind  = "cumulate"
size  = "6h"
step  = "1h"

[operators.so_far]
type    = "aggregate"
input   = "growing"
by      = ["zone"]
compute = ["count(*) as n", "avg(fare) as fare"]

[operators.paired]
type   = "join"
left   = "placed"
right  = "unique"
mode   = "interval"
kind   = "left"
before = "3m"
after  = "3m"
on     = "left.city = right.city"
columns = ["left.id as id", "right.id as other"]

[operators.priced]
type  = "join"
left  = "placed"
right = "dear"
mode  = "as_of"
kind  = "left"
on    = "left.city = right.city"
columns = ["left.id as id", "right.fare as dear"]

[operators.dear]
type  = "filter"
input = "placed"
where = "fare > 20"

[operators.shifted]
type      = "event_time"
input     = "placed"
by        = "at - interval '20 minutes'"
max_delay = "20m"

[operators.shifted_hours]
type  = "window"
input = "shifted"
kind  = "tumble"
size  = "1h"

[operators.shifted_sums]
type    = "aggregate"
input   = "shifted_hours"
by      = ["city"]
compute = ["count(*) as n"]

[sinks.out_stays]
type  = "file"
input = "stays"
path  = "stays.ndjson"

[sinks.out_so_far]
type  = "file"
input = "so_far"
path  = "so_far.ndjson"

[sinks.out_paired]
type  = "file"
input = "paired"
path  = "paired.ndjson"

[sinks.out_priced]
type  = "file"
input = "priced"
path  = "priced.ndjson"

[sinks.out_shifted]
type  = "file"
input = "shifted_sums"
path  = "shifted.ndjson"
"#;

/// Rows that are made up, beside a stream that ends long before.
const ENDS: &str = r#"
name = "ends"

[sources.numbers]
type    = "generate"
columns = ["counter as n", "counter % 7 as key"]
rows    = 8000
rate    = 8000

[sources.few]
type    = "generate"
columns = ["counter as n", "counter % 7 as key"]
rows    = 500
rate    = 4000

[operators.both]
type   = "union"
inputs = ["numbers", "few"]

[operators.kept]
type  = "filter"
input = "both"
where = "n % 3 <> 1"

[sinks.out]
type  = "file"
input = "kept"
path  = "rows.parquet"

[sinks.text]
type  = "file"
input = "kept"
path  = "rows.csv"
"#;

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

//! Files that change, come and go between two runs of one topology, and output that goes while it runs.

use std::fs::OpenOptions;
use std::io::Write;

use crate::command::departures::lines;
use crate::command::{Ended, Folder, Running};

const HEAD: &str = r#"
name = "changing"

[runtime]
workers = 2

[checkpoint]
store    = "file:./state"
interval = "50ms"
restart_delay = "10ms"
"#;

/// Orders that come for ever, each with the name of its customer.
const LOOKUP: &str = r#"
[sources.orders]
type   = "file"
path   = "orders.ndjson"
format = "json"
follow = true
schema = { id = "bigint", k = "string" }

[sources.names]
type   = "file"
path   = "names.csv"
format = "csv"
schema = { k = "string", name = "string" }

[operators.named]
type  = "join"
left  = "orders"
right = "names"
mode  = "lookup"
kind  = "left"
on    = "orders.k = names.k"

[sinks.out]
type    = "file"
input   = "named"
path    = "out.ndjson"
columns = ["id", "name"]
"#;

/// What a file has, and beside it a source that does not end.
const ONCE: &str = r#"
[sources.orders]
type   = "file"
path   = "a.ndjson"
format = "json"
schema = { id = "bigint" }

[sources.more]
type   = "file"
path   = "more.ndjson"
format = "json"
follow = true
schema = { id = "bigint" }

[sinks.out]
type  = "file"
input = "orders"
path  = "out.ndjson"

[sinks.rest]
type  = "discard"
input = "more"
"#;

const COUNTED: &str = r#"
[operators.counted]
type    = "aggregate"
input   = "orders"
compute = ["count(*) as n"]
"#;

fn append(folder: &Folder, name: &str, text: &str) {
    OpenOptions::new().append(true).create(true).open(folder.path(name)).unwrap().write_all(text.as_bytes()).unwrap();
}

/// Runs it until its output has so many lines, and stops it.
fn run_until(folder: &Folder, rows: usize, arguments: &[&str]) -> Ended {
    let mut running = Running::start(folder.telling(&[&["run", "topology.toml"], arguments].concat()));
    running.until_checkpoints(1);
    while !folder.path("out.ndjson").exists() || lines(folder, "out.ndjson").len() < rows {
        running.until_checkpoints(1);
    }
    running.signal("INT");
    let ended = running.wait();
    assert_eq!(ended.code, Some(130), "{}", ended.err);
    assert!(ended.err.contains("the sums balance"), "{}", ended.err);
    ended
}

#[test]
fn a_table_that_has_changed_is_read_anew() {
    let folder = Folder::with(&[
        ("topology.toml", &format!("{HEAD}{LOOKUP}")),
        ("other.toml", &format!("{HEAD}{LOOKUP}").replace("names.csv", "others.csv")),
        ("orders.ndjson", "{\"id\":1,\"k\":\"A\"}\n"),
        ("names.csv", "k,name\nA,Anna\n"),
        ("others.csv", "k,name\nA,Alma\n"),
    ]);
    run_until(&folder, 1, &[]);
    std::fs::write(folder.path("names.csv"), "k,name\nA,Aida\nB,Bert\n").unwrap();
    append(&folder, "orders.ndjson", "{\"id\":2,\"k\":\"A\"}\n{\"id\":3,\"k\":\"B\"}\n");
    let anew = run_until(&folder, 3, &[]);
    assert!(anew.err.contains("`names` has changed since it was read: the table of `named` is read anew"), "{}", anew.err);
    append(&folder, "orders.ndjson", "{\"id\":4,\"k\":\"B\"}\n");
    let same = run_until(&folder, 4, &[]);
    assert!(!same.err.contains("anew"), "{}", same.err);
    let planned = folder.run(&["plan", "topology.toml", "other.toml"]);
    assert_eq!(planned.code, Some(0), "{}{}", planned.out, planned.err);
    assert!(planned.out.contains("`names` no longer reads `names.csv`: its table is read anew\nno state is lost"), "{}", planned.out);
    append(&folder, "orders.ndjson", "{\"id\":5,\"k\":\"A\"}\n{\"id\":6,\"k\":\"B\"}\n");
    let other = run_until(&folder, 6, &["--set", "sources.names.path=others.csv"]);
    assert!(other.err.contains("the table of `named` is read anew"), "{}", other.err);
    let mut named = lines(&folder, "out.ndjson");
    named.sort();
    let row = |id, name: &str| format!("{{\"id\":{id},\"name\":{name}}}");
    let names = ["\"Anna\"", "\"Aida\"", "\"Bert\"", "\"Bert\"", "\"Alma\"", "null"];
    assert_eq!(named, (1..).zip(names).map(|(id, name)| row(id, name)).collect::<Vec<_>>());
}

#[test]
fn a_source_that_has_ended_reads_what_came_since_and_what_has_changed_is_refused() {
    let folder = Folder::with(&[
        ("topology.toml", &format!("{HEAD}{ONCE}")),
        ("other.toml", &format!("{HEAD}{ONCE}").replace("a.ndjson", "b.ndjson")),
        ("a.ndjson", "{\"id\":1}\n{\"id\":2}\n"),
        ("b.ndjson", "{\"id\":3}\n"),
        ("more.ndjson", ""),
    ]);
    run_until(&folder, 2, &[]);
    let planned = folder.run(&["plan", "topology.toml", "other.toml"]);
    assert_eq!(planned.code, Some(1), "{}{}", planned.out, planned.err);
    assert!(planned.out.contains("`orders` no longer reads `a.ndjson`, and forgets the place up to which it was read"), "{}", planned.out);
    let both = ["--set", "sources.orders.path=[ab].ndjson"];
    let on = run_until(&folder, 3, &both);
    assert!(on.err.contains("`orders` was read to its end, and goes on with what came since: `b.ndjson`"), "{}", on.err);
    let same = run_until(&folder, 3, &both);
    assert!(!same.err.contains("came since"), "{}", same.err);
    assert_eq!(lines(&folder, "out.ndjson"), ["{\"id\":1}", "{\"id\":2}", "{\"id\":3}"]);
    append(&folder, "a.ndjson", "{\"id\":4}\n");
    let refused = folder.run(&[&["run", "topology.toml"], &both[..]].concat());
    assert_eq!(refused.code, Some(1), "{}", refused.err);
    assert!(refused.err.contains("a.ndjson had 18 bytes and has 27; what is new in it is not read"), "{}", refused.err);
    run_until(&folder, 3, &[&both[..], &["--allow-dropped-state"]].concat());
    assert_eq!(lines(&folder, "out.ndjson").len(), 3);
}

#[test]
fn rows_that_come_since_the_end_still_find_the_table_of_a_lookup() {
    let table =
        "\n[sources.names]\ntype = \"file\"\npath = \"names.csv\"\nformat = \"csv\"\nschema = { id = \"bigint\", name = \"string\" }\n
[operators.named]\ntype = \"join\"\nleft = \"orders\"\nright = \"names\"\nmode = \"lookup\"\non = \"orders.id = names.id\"\n";
    let folder = Folder::with(&[
        ("topology.toml", &format!("{HEAD}{ONCE}{table}").replace("input = \"orders\"\n", "input = \"named\"\n")),
        ("a.ndjson", "{\"id\":1}\n"),
        ("b.ndjson", "{\"id\":2}\n"),
        ("c.ndjson", "{\"id\":2}\n"),
        ("names.csv", "id,name\n1,Anna\n2,Bert\n"),
        ("more.ndjson", ""),
    ]);
    run_until(&folder, 1, &[]);
    let on = run_until(&folder, 2, &["--set", "sources.orders.path=[ab].ndjson"]);
    assert!(on.err.contains("`orders` was read to its end, and goes on with what came since: `b.ndjson`"), "{}", on.err);
    assert!(on.err.contains("`names` is needed once more: the table of `named` is read anew"), "{}", on.err);
    std::fs::write(folder.path("names.csv"), "id,name\n2,Berta\n").unwrap();
    let anew = run_until(&folder, 3, &["--set", "sources.orders.path=[abc].ndjson"]);
    assert!(anew.err.contains("`names` has changed since it was read: the table of `named` is read anew"), "{}", anew.err);
    let named = [r#"{"id":1,"name":"Anna"}"#, r#"{"id":2,"name":"Bert"}"#, r#"{"id":2,"name":"Berta"}"#];
    assert_eq!(lines(&folder, "out.ndjson"), named);
}

#[test]
fn an_end_that_was_final_is_taken_back_only_when_the_user_says_so() {
    let topology = format!("{HEAD}{ONCE}{COUNTED}").replace("input = \"orders\"\npath", "input = \"counted\"\nchanges = true\npath");
    let folder = Folder::with(&[
        ("topology.toml", &topology),
        ("a.ndjson", "{\"id\":1}\n{\"id\":2}\n"),
        ("b.ndjson", "{\"id\":3}\n"),
        ("more.ndjson", ""),
    ]);
    run_until(&folder, 1, &[]);
    let other = ["--set", "sources.orders.path=b.ndjson"];
    let refused = folder.run(&[&["run", "topology.toml"], &other[..]].concat());
    assert_eq!(refused.code, Some(1), "{}", refused.err);
    assert!(
        refused.err.contains("`orders` was read to its end, which is final for `counted`; there is more since: `b.ndjson`"),
        "{}",
        refused.err
    );
    run_until(&folder, 2, &[&other[..], &["--allow-dropped-state"]].concat());
    assert_eq!(lines(&folder, "out.ndjson"), ["{\"n\":1,\"_weight\":1}", "{\"n\":2,\"_weight\":1}"]);
}

#[test]
fn output_that_was_moved_ends_the_run_at_once() {
    let folder = Folder::with(&[
        ("topology.toml", &format!("{HEAD}{LOOKUP}")),
        ("orders.ndjson", "{\"id\":1,\"k\":\"A\"}\n"),
        ("names.csv", "k,name\nA,Anna\n"),
    ]);
    let mut running = Running::start(folder.telling(&["run", "topology.toml"]));
    while !folder.path("out.ndjson").exists() {
        running.until_checkpoints(1);
    }
    std::fs::rename(folder.path("out.ndjson"), folder.path("moved.ndjson")).unwrap();
    append(&folder, "orders.ndjson", "{\"id\":2,\"k\":\"A\"}\n");
    let ended = running.wait();
    assert_eq!(ended.code, Some(1), "{}", ended.err);
    assert_eq!(ended.err.matches("out.ndjson is gone, to which checkpoints have written").count(), 1, "{}", ended.err);
    assert!(ended.err.contains("put it back"), "{}", ended.err);
    std::fs::rename(folder.path("moved.ndjson"), folder.path("out.ndjson")).unwrap();
    run_until(&folder, 2, &[]);
}

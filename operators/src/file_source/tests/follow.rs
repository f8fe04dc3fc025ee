//! Files that are followed. Only the waiting for a look at the files is real time, a millisecond at a time.

use std::fs::{self, OpenOptions};
use std::io::Write;

use super::super::reader::Manner;
use super::*;

pub(super) struct Following {
    pub(super) folder: tempfile::TempDir,
    factory: FileFactory,
    pub(super) source: Box<dyn Source>,
    pub(super) position: Option<Position>,
    pub(super) rows: i64,
}

impl Following {
    pub(super) fn new(path: &str, format: Format, files: &[(&str, &str)]) -> Following {
        let folder = tempfile::tempdir().unwrap();
        files.iter().for_each(|(name, text)| fs::write(folder.path().join(name), text).unwrap());
        let factory = factory(folder.path(), path, format).reading(Manner::Follow);
        let source = factory.make(&context(&arrow_schema(&columns()), 2, 3)).unwrap();
        Following { folder, factory, source, position: None, rows: 0 }
    }

    pub(super) fn append(&self, name: &str, text: &str) {
        let mut file = OpenOptions::new().append(true).create(true).open(self.folder.path().join(name)).unwrap();
        file.write_all(text.as_bytes()).unwrap();
    }

    pub(super) fn rename(&self, from: &str, to: &str) {
        fs::rename(self.folder.path().join(from), self.folder.path().join(to)).unwrap();
    }

    /// The next so many rows.
    pub(super) fn numbers(&mut self, count: usize) -> Vec<i64> {
        let mut numbers = Vec::new();
        while numbers.len() < count {
            let Next::Rows(rows) = self.source.next(FOREVER).unwrap() else { panic!("no rows after {numbers:?}") };
            let part = &rows.parts[0];
            assert_eq!(part.first_row, self.rows);
            self.rows += part.records.num_rows() as i64;
            numbers.extend(part.records.column(0).as_primitive::<Int64Type>().values());
            self.position = Some(rows.position);
        }
        numbers
    }

    /// Nothing comes, although the files are listed again meanwhile.
    pub(super) fn nothing(&mut self) {
        let next = self.source.next(Duration::from_millis(60)).unwrap();
        assert!(matches!(next, Next::Nothing), "{next:?}");
    }

    /// Dies, and comes back where the last rows ended; `meanwhile` happens in between.
    pub(super) fn restart(self, meanwhile: impl FnOnce(&Following)) -> Following {
        let Following { folder, factory, source, position, rows } = self;
        drop(source);
        let mut context = context(&arrow_schema(&columns()), 1, 100);
        context.positions = position.iter().map(|position| (0, position.clone())).collect();
        let unread = factory.make(&context).unwrap();
        let mut restarted = Following { folder, factory, source: unread, position, rows };
        meanwhile(&restarted);
        restarted.source = restarted.factory.make(&context).unwrap();
        restarted
    }
}

pub(super) fn lines(range: std::ops::Range<i64>) -> String {
    range.map(|n| format!("{{\"n\":{n},\"t\":\"x\"}}\n")).collect()
}

pub(super) fn counted(range: std::ops::Range<i64>) -> Vec<i64> {
    range.collect()
}

#[test]
fn a_file_is_read_on_as_it_grows_and_a_line_waits_for_its_end() {
    let mut files = Following::new("a.log", json(), &[("a.log", &lines(0..5))]);
    assert_eq!(files.numbers(5), counted(0..5));
    files.nothing();
    files.append("a.log", "{\"n\":5,");
    files.nothing();
    files.append("a.log", "\"t\":\"y\"}\n{\"n\":6}");
    assert_eq!(files.numbers(1), [5]);
    files.nothing();
    files.append("a.log", "\n");
    assert_eq!(files.numbers(1), [6]);
}

#[test]
fn files_that_come_are_read_from_their_beginning() {
    let mut files = Following::new("*.log", json(), &[("b.log", &lines(3..5)), ("a.log", &lines(0..3)), ("other", "no\n")]);
    assert_eq!(files.numbers(5), counted(0..5));
    files.append("c.log", &lines(5..7));
    assert_eq!(files.numbers(2), [5, 6]);
    files.append("a.log", &lines(7..8));
    assert_eq!(files.numbers(1), [7]);
    fs::remove_file(files.folder.path().join("b.log")).unwrap();
    files.append("c.log", &lines(8..9));
    assert_eq!(files.numbers(1), [8]);
    // What is gone leaves the position with the rows that come after it has been missed for some time.
    for n in 9..1000 {
        files.append("c.log", &lines(n..n + 1));
        assert_eq!(files.numbers(1), [n]);
        if !files.position.as_ref().unwrap().0.contains("b.log") {
            break;
        }
        files.nothing();
    }
    let position = files.position.unwrap().0;
    assert!(position.contains("a.log") && !position.contains("b.log"), "{position}");
}

#[test]
fn of_many_files_those_that_do_not_grow_are_closed_and_read_on_all_the_same() {
    let mut files = Following::new("*.log", json(), &[]);
    let name = |n: i64| format!("{n:03}.log");
    (0..300).for_each(|n| files.append(&name(n), &lines(n..n + 1)));
    let mut first = files.numbers(300);
    first.sort_unstable();
    assert_eq!(first, counted(0..300));
    files.nothing();
    for (n, file) in [(300, 7), (301, 299), (302, 7)] {
        files.append(&name(file), &lines(n..n + 1));
        assert_eq!(files.numbers(1), [n]);
    }
    // A rotated file is found by a restart although it was closed.
    files.rename("007.log", "007.old");
    let mut files = files.restart(|files| files.append("007.old", &lines(303..304)));
    assert_eq!(files.numbers(1), [303]);
}

#[test]
fn none_need_be_there_at_the_start() {
    let mut files = Following::new("*.csv", csv(), &[]);
    files.nothing();
    files.append("a.csv", "n,");
    files.nothing();
    files.append("a.csv", "t\n1,x\n2");
    assert_eq!(files.numbers(1), [1]);
    files.append("a.csv", ",\"y\n");
    files.nothing();
    files.append("a.csv", "\"\n");
    assert_eq!(files.numbers(1), [2]);
}

#[test]
fn what_is_rotated_is_read_to_its_end_and_the_new_one_from_its_beginning() {
    let mut files = Following::new("a.log", json(), &[("a.log", &lines(0..3))]);
    assert_eq!(files.numbers(3), counted(0..3));
    files.append("a.log", &(lines(3..5) + "{\"n\":7}"));
    assert_eq!(files.numbers(2), [3, 4]);
    files.rename("a.log", "a.log.1");
    files.append("a.log", &lines(5..7));
    // Whoever still has the old one open may write to it for a while; its last line needs no end when that is over.
    assert_eq!(files.numbers(3), [7, 5, 6]);
    files.append("a.log", &lines(8..9));
    assert_eq!(files.numbers(1), [8]);
}

#[test]
fn a_log_that_is_rotated_again_and_again_comes_in_its_order() {
    for path in ["a.log", "*"] {
        let mut files = Following::new(path, json(), &[("a.log", &lines(0..3))]);
        assert_eq!(files.numbers(3), counted(0..3));
        for round in 0..20 {
            let first = 3 + round * 200;
            files.append("a.log", &lines(first..first + 100));
            files.rename("a.log", &format!("a.log.{round}"));
            files.append("a.log", &lines(first + 100..first + 200));
            assert_eq!(files.numbers(200), counted(first..first + 200), "{path} {round}");
        }
    }
}

#[test]
fn a_log_that_is_rotated_while_it_is_being_read_comes_in_its_order_over_a_restart() {
    let mut files = Following::new("a*", json(), &[("a.log", &lines(0..3))]);
    assert_eq!(files.numbers(3), counted(0..3));
    let mut files = files.restart(|files| {
        files.append("a.log", &lines(3..60));
        files.rename("a.log", "a.log.1");
        files.append("a.log", &lines(60..90));
    });
    let read = files.numbers(20);
    // In the middle of the older one, of the younger nothing was read.
    let mut files = files.restart(|_| {});
    let rest = files.numbers(87 - read.len());
    assert_eq!([read, rest].concat(), counted(3..90));
    files.nothing();
}

#[test]
fn a_rotated_file_that_is_still_written_or_never_ends_its_line_holds_nobody_up() {
    let mut files = Following::new("*", json(), &[("a.log", &lines(0..3))]);
    assert_eq!(files.numbers(3), counted(0..3));
    files.rename("a.log", "b.log");
    files.append("a.log", "");
    files.append("b.log", &(lines(3..5) + "{\"n\":"));
    assert_eq!(files.numbers(2), [3, 4]);
    files.append("a.log", &lines(5..7));
    assert_eq!(files.numbers(2), [5, 6]);
    files.append("b.log", "7}\n");
    assert_eq!(files.numbers(1), [7]);
}

#[test]
fn what_was_removed_holds_nobody_up() {
    let mut files = Following::new("a.log", json(), &[("a.log", &lines(0..3))]);
    assert_eq!(files.numbers(3), counted(0..3));
    files.append("a.log", &(lines(3..5) + "{\"n\":"));
    fs::remove_file(files.folder.path().join("a.log")).unwrap();
    files.append("a.log", &lines(5..7));
    let numbers = files.numbers(2);
    // Of what is removed at once the last rows may be missed, but nothing comes out of order.
    assert!(numbers == [3, 4] || numbers == [5, 6], "{numbers:?}");
}

#[test]
fn a_file_that_is_renamed_within_the_path_is_not_read_twice() {
    let mut files = Following::new("*", json(), &[("a.log", &lines(0..3))]);
    assert_eq!(files.numbers(3), counted(0..3));
    files.rename("a.log", "b.log");
    files.nothing();
    files.append("b.log", &lines(3..4));
    files.append("a.log", &lines(10..11));
    let mut both = files.numbers(2);
    both.sort_unstable();
    assert_eq!(both, [3, 10]);
}

#[test]
fn a_file_that_is_cut_is_read_from_its_beginning() {
    let mut files = Following::new("a.log", json(), &[("a.log", &lines(0..9))]);
    assert_eq!(files.numbers(9), counted(0..9));
    let path = files.folder.path().join("a.log");
    OpenOptions::new().write(true).open(&path).unwrap().set_len(0).unwrap();
    files.nothing();
    files.append("a.log", &lines(20..22));
    assert_eq!(files.numbers(2), [20, 21]);
    // Also when it has been filled again before anybody looked.
    fs::write(&path, lines(100..130)).unwrap();
    assert_eq!(files.numbers(30), counted(100..130));
}

#[test]
fn a_restart_goes_on_in_every_file() {
    let mut files = Following::new("*.log", json(), &[("a.log", &lines(0..3)), ("b.log", &lines(3..5))]);
    assert_eq!(files.numbers(5), counted(0..5));
    let mut files = files.restart(|files| {
        files.append("b.log", &lines(6..7));
        files.append("a.log", &lines(5..6));
        files.append("c.log", &lines(7..8));
    });
    assert_eq!(files.numbers(3), [5, 6, 7]);
    let mut files = files.restart(|_| {});
    files.nothing();
}

#[test]
fn a_restart_finds_what_was_rotated_meanwhile() {
    for (path, rotated) in [("a.log", "a.log.1"), ("a.*", "a.old")] {
        let mut files = Following::new(path, json(), &[("a.log", &lines(0..3))]);
        assert_eq!(files.numbers(3), counted(0..3));
        let mut files = files.restart(|files| {
            files.append("a.log", &lines(3..5));
            files.rename("a.log", rotated);
            files.append("a.log", &lines(5..7));
        });
        assert_eq!(files.numbers(4), [3, 4, 5, 6]);
        files.nothing();
    }
}

#[test]
fn a_restart_in_the_middle_of_a_file_gives_the_rest_once() {
    for stop in [1, 7, 20, 55] {
        let mut files = Following::new("*.log", json(), &[("a.log", &lines(0..50)), ("b.log", &lines(50..60))]);
        let read = files.numbers(stop);
        let mut files = files.restart(|_| {});
        let rest = files.numbers(60 - read.len());
        assert_eq!([read, rest].concat(), counted(0..60));
        files.nothing();
    }
}

#[test]
fn a_file_that_has_gone_for_good_is_no_failure() {
    let mut files = Following::new("a.log", json(), &[("a.log", &lines(0..3))]);
    assert_eq!(files.numbers(3), counted(0..3));
    let mut files = files.restart(|files| {
        fs::remove_file(files.folder.path().join("a.log")).unwrap();
        files.append("a.log", &lines(5..9));
    });
    assert_eq!(files.numbers(4), counted(5..9));
    assert_eq!(files.position.unwrap().0.matches("a.log").count(), 1);
}

#[test]
fn packed_files_are_read_when_they_have_settled() {
    let packed = zstd::encode_all(lines(0..40).as_bytes(), 1).unwrap();
    let mut files = Following::new("*.zst", json(), &[]);
    fs::write(files.folder.path().join("a.zst"), &packed).unwrap();
    assert_eq!(files.numbers(40), counted(0..40));
    let mut files = files.restart(|_| {});
    files.nothing();
    fs::write(files.folder.path().join("b.zst"), &packed).unwrap();
    assert_eq!(files.numbers(40), counted(0..40));
}

#[test]
fn a_source_that_waits_for_files_to_grow_stops_at_once() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("a.log"), lines(0..3)).unwrap();
    // With the wait of a real run, and more: dropping it must not take as long.
    let factory = factory(folder.path(), "a.log", json()).reading(Manner::Follow).with_poll(FOREVER);
    let mut source = factory.make(&context(&arrow_schema(&columns()), 3, 100)).unwrap();
    assert!(matches!(source.next(FOREVER).unwrap(), Next::Rows(_)));
    assert!(matches!(source.next(Duration::from_millis(1)).unwrap(), Next::Nothing));
    drop(source);
}

#[test]
fn options_of_followed_files() {
    let folder = tempfile::tempdir().unwrap();
    let options = |path: &str, more: serde_json::Value| {
        let mut options = serde_json::json!({ "path": path, "format": "json", "follow": true });
        options.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        plan(folder.path(), options)
    };
    let schema = serde_json::json!({ "schema": { "n": "bigint" } });
    let waiting = options("*.log", schema.clone()).unwrap();
    assert!(!waiting.outputs[0].stream.bounded);
    assert_eq!(waiting.warnings.0[0].message, "no file matches `*.log` yet");
    let codes = |found: Result<Plan, Diagnostics>| found.err().unwrap().0.iter().map(|found| found.code).collect::<Vec<_>>();
    assert_eq!(codes(options("nowhere/a.log", schema)), ["path-not-found"]);
    assert_eq!(codes(options("*.log", serde_json::json!({}))), ["path-not-found"]);
    fs::write(folder.path().join("a.log"), lines(0..1)).unwrap();
    assert_eq!(codes(options("*.log", serde_json::json!({ "together": true }))), ["bad-value"]);
}

//! Packed copies of files that are followed, and numbers of files that are used again.

use std::fs::{self, OpenOptions};
use std::io::Write;

use super::follow::{Following, counted, lines};
use super::*;

/// Writes over a file, which stays the same one.
fn overwrite(files: &Following, name: &str, bytes: &[u8]) {
    let mut file = OpenOptions::new().write(true).truncate(true).open(files.folder.path().join(name)).unwrap();
    file.write_all(bytes).unwrap();
}

fn read(files: &Following, name: &str) -> Vec<u8> {
    fs::read(files.folder.path().join(name)).unwrap()
}

fn remove(files: &Following, name: &str) {
    fs::remove_file(files.folder.path().join(name)).unwrap();
}

fn pack(files: &Following, name: &str) {
    fs::write(files.folder.path().join(format!("{name}.gz")), gzip(&read(files, name))).unwrap();
    remove(files, name);
}

#[test]
fn a_packed_copy_of_a_file_that_was_read_is_not_read_again() {
    let mut files = Following::new("app.log*", json(), &[("app.log", &lines(0..3))]);
    assert_eq!(files.numbers(3), counted(0..3));
    files.rename("app.log", "app.log.1");
    files.append("app.log", &lines(3..5));
    pack(&files, "app.log.1");
    assert_eq!(files.numbers(2), counted(3..5));
    files.nothing();
    files.rename("app.log.1.gz", "app.log.2.gz");
    files.append("app.log", &lines(5..6));
    assert_eq!(files.numbers(1), counted(5..6));
    files.nothing();
    // The copy is in the position now, and is known by it.
    let mut files = files.restart(|files| files.rename("app.log.2.gz", "app.log.3.gz"));
    files.append("app.log", &lines(6..7));
    assert_eq!(files.numbers(1), counted(6..7));
    files.nothing();
}

#[test]
fn what_was_rotated_and_packed_while_nothing_ran_goes_on_in_the_copy() {
    let mut files = Following::new("app.log*", json(), &[("app.log", &lines(0..3))]);
    assert_eq!(files.numbers(3), counted(0..3));
    let mut files = files.restart(|files| {
        files.append("app.log", &lines(3..5));
        files.rename("app.log", "app.log.1");
        pack(files, "app.log.1");
        files.append("app.log", &lines(5..6));
    });
    assert_eq!(files.numbers(3), counted(3..6));
    files.nothing();
    let mut files = files.restart(|_| {});
    files.append("app.log", &lines(6..7));
    assert_eq!(files.numbers(1), counted(6..7));
    files.nothing();
}

#[test]
fn a_packed_file_that_only_begins_like_another_one_is_read() {
    let mut files = Following::new("app.log*", json(), &[("app.log", &lines(0..1))]);
    assert_eq!(files.numbers(1), counted(0..1));
    files.append("older", &lines(0..4));
    pack(&files, "older");
    files.rename("older.gz", "app.log.1.gz");
    assert_eq!(files.numbers(4), counted(0..4));
}

#[test]
fn a_file_that_is_packed_under_a_plain_name_and_then_renamed_is_a_copy() {
    let mut files = Following::new("app.log*", json(), &[("app.log", &lines(0..300))]);
    assert_eq!(files.numbers(300), counted(0..300));
    files.rename("app.log", "app.log.1");
    files.append("app.log", &lines(300..301));
    assert_eq!(files.numbers(1), [300]);
    let packed = gzip(&read(&files, "app.log.1"));
    fs::write(files.folder.path().join("app.log.1.gz.tmp"), "").unwrap();
    files.nothing();
    for part in [&packed[..1], &packed[..packed.len() / 2], &packed] {
        overwrite(&files, "app.log.1.gz.tmp", part);
        files.nothing();
    }
    files.rename("app.log.1.gz.tmp", "app.log.1.gz");
    remove(&files, "app.log.1");
    files.nothing();
    files.append("app.log", &lines(301..302));
    assert_eq!(files.numbers(1), [301]);
    files.nothing();
    let mut files = files.restart(|_| {});
    files.nothing();
}

#[test]
fn a_file_that_is_packed_in_its_place_is_read_on_where_it_stood() {
    let mut files = Following::new("app.log*", json(), &[("app.log", &lines(0..300))]);
    assert_eq!(files.numbers(300), counted(0..300));
    files.rename("app.log", "app.log.1");
    files.append("app.log", &lines(300..301));
    assert_eq!(files.numbers(1), [300]);
    let packed = gzip(&read(&files, "app.log.1"));
    overwrite(&files, "app.log.1", &packed);
    files.rename("app.log.1", "app.log.1.gz");
    files.nothing();
    files.append("app.log", &lines(301..302));
    assert_eq!(files.numbers(1), [301]);
    files.nothing();
    let mut files = files.restart(|_| {});
    files.nothing();
}

#[test]
fn a_file_whose_number_its_packed_copy_has_got_is_not_read_again() {
    let mut files = Following::new("app.log*", json(), &[("app.log", &lines(0..300))]);
    assert_eq!(files.numbers(300), counted(0..300));
    files.rename("app.log", "app.log.1");
    files.append("app.log", &lines(300..301));
    assert_eq!(files.numbers(1), [300]);
    // Nobody opens a file of which all was read; the rest of its rows is in the copy.
    let mut files = files.restart(|_| {});
    files.nothing();
    files.rename("app.log.1", "free");
    let packed = gzip(&[read(&files, "free"), lines(301..303).into_bytes()].concat());
    overwrite(&files, "free", &packed);
    files.rename("free", "app.log.1.gz");
    assert_eq!(files.numbers(2), [301, 302]);
    files.append("app.log", &lines(303..304));
    assert_eq!(files.numbers(1), [303]);
    files.nothing();
    let mut files = files.restart(|_| {});
    files.nothing();
}

#[test]
fn a_number_that_was_used_again_while_nothing_ran_is_another_file() {
    let mut files = Following::new("app.log*", json(), &[("app.log", &lines(0..300))]);
    assert_eq!(files.numbers(300), counted(0..300));
    files.rename("app.log", "app.log.1");
    files.append("app.log", &lines(300..400));
    assert_eq!(files.numbers(100), counted(300..400));
    fs::write(files.folder.path().join("app.log.1.gz"), gzip(&read(&files, "app.log.1"))).unwrap();
    // As if it were removed, and its number free.
    files.rename("app.log.1", "free");
    let mut files = files.restart(|files| {
        files.rename("app.log.1.gz", "app.log.2.gz");
        files.append("app.log", &lines(400..410));
        let packed = gzip(&read(files, "app.log"));
        remove(files, "app.log");
        files.append("app.log", &lines(410..420));
        overwrite(files, "free", &packed);
        files.rename("free", "app.log.1.gz");
    });
    assert_eq!(files.numbers(20), counted(400..420));
    files.nothing();
    let mut files = files.restart(|_| {});
    files.nothing();
}

#[test]
fn the_number_of_a_packed_file_that_was_read_is_used_again() {
    let mut files = Following::new("app.log*", json(), &[("app.log.2.gz", ""), ("app.log", &lines(50..51))]);
    overwrite(&files, "app.log.2.gz", &gzip(lines(0..50).as_bytes()));
    let mut all = files.numbers(51);
    all.sort_unstable();
    assert_eq!(all, counted(0..51));
    files.append("app.log", &lines(51..52));
    assert_eq!(files.numbers(1), [51]);
    // Where it ends is known now: should it go, nothing of it can be missed.
    assert!(files.position.as_ref().unwrap().0.contains("\"end\":"), "{:?}", files.position);
    overwrite(&files, "app.log.2.gz", &gzip(lines(100..150).as_bytes()));
    files.rename("app.log.2.gz", "app.log.1.gz");
    assert_eq!(files.numbers(50), counted(100..150));
    let mut files = files.restart(|files| {
        overwrite(files, "app.log.1.gz", lines(200..210).as_bytes());
        files.rename("app.log.1.gz", "app.log.7");
    });
    assert_eq!(files.numbers(10), counted(200..210));
    files.nothing();
}

#[test]
fn a_packed_file_that_is_still_being_written_waits_for_its_end() {
    let packed = gzip(lines(0..2000).as_bytes());
    let mut files = Following::new("*.gz", json(), &[]);
    let third = packed.len() / 3;
    let append = |files: &Following, part: &[u8]| {
        let path = files.folder.path().join("a.gz");
        OpenOptions::new().append(true).create(true).open(path).unwrap().write_all(part).unwrap();
    };
    for part in [&packed[..1], &packed[1..5], &packed[5..third]] {
        append(&files, part);
        while let Next::Rows(rows) = files.source.next(Duration::from_millis(60)).unwrap() {
            files.rows += rows.parts[0].records.num_rows() as i64;
            files.position = Some(rows.position);
        }
    }
    let begun = files.rows;
    append(&files, &packed[third..]);
    assert_eq!(files.numbers((2000 - begun) as usize), counted(begun..2000));
    files.nothing();
}

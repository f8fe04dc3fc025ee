//! Files that are read side by side.

use std::collections::BTreeMap;

use super::super::reader::Manner;
use super::*;

/// Three files of very different lengths.
fn folder() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    for (name, rows) in [("a", 400), ("b", 40), ("c", 4)] {
        let text: String = (0..rows).map(|n| format!("{{\"n\":{n},\"t\":\"{name}\"}}\n")).collect();
        std::fs::write(folder.path().join(format!("{name}.json")), text).unwrap();
    }
    std::fs::write(folder.path().join("d.json"), "").unwrap();
    folder
}

/// What came from each split, with the position after each batch.
#[derive(Default)]
struct Split {
    numbers: Vec<i64>,
    stands: Vec<(usize, Position)>,
    ended: bool,
}

fn read_splits(factory: &FileFactory, positions: Vec<(u32, Position)>) -> (BTreeMap<u32, Split>, Vec<u32>) {
    let mut context = context(&arrow_schema(&columns()), 2, 10);
    context.positions = positions;
    let mut source = factory.make(&context).unwrap();
    let (mut splits, mut order) = (BTreeMap::<u32, Split>::new(), Vec::new());
    loop {
        match source.next(FOREVER).unwrap() {
            Next::Rows(rows) => {
                let split = splits.entry(rows.split).or_default();
                assert!(!split.ended && rows.parts[0].first_row >= split.numbers.len() as i64);
                split.numbers.extend(rows.parts[0].records.column(0).as_primitive::<Int64Type>().values());
                split.stands.push((split.numbers.len(), rows.position));
                order.push(rows.split);
            }
            Next::Nothing => {}
            Next::SplitEnd(split) => splits.entry(split).or_default().ended = true,
            Next::End => return (splits, order),
            Next::Closed => panic!("files have no door"),
        }
    }
}

#[test]
fn each_file_is_a_split_and_they_move_side_by_side() {
    let folder = folder();
    let factory = factory(folder.path(), "*.json", json()).reading(Manner::Together);
    assert_eq!(factory.splits().unwrap(), ["a.json", "b.json", "c.json", "d.json"]);
    let (splits, order) = read_splits(&factory, Vec::new());
    for (split, rows) in [(0, 400), (1, 40), (2, 4), (3, 0)] {
        assert_eq!(splits[&split].numbers, (0..rows).collect::<Vec<_>>());
        assert!(splits[&split].ended);
    }
    // The short one is about half way when the long one is.
    let half = order.iter().enumerate().filter(|(_, split)| **split == 0).nth(20).unwrap().0;
    let of_b = order[..half].iter().filter(|split| **split == 1).count();
    assert!((1..=3).contains(&of_b), "{of_b} of 4 batches of b before the half of a");
}

#[test]
fn each_split_goes_on_where_it_stood() {
    let folder = folder();
    let factory = factory(folder.path(), "*.json", json()).reading(Manner::Together);
    let (whole, _) = read_splits(&factory, Vec::new());
    for stop in 0..10 {
        let stands: Vec<(u32, &(usize, Position))> =
            whole.iter().filter_map(|(split, read)| Some((*split, read.stands.get(stop * (5 - *split as usize))?))).collect();
        let (rest, _) = read_splits(&factory, stands.iter().map(|(split, (_, position))| (*split, position.clone())).collect());
        for (split, read) in &whole {
            let from = stands.iter().find(|(of, _)| of == split).map_or(0, |(_, (rows, _))| *rows);
            assert_eq!(rest[split].numbers, read.numbers[from..], "split {split}");
        }
    }
}

#[test]
fn too_many_files_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    (0..257).for_each(|n| std::fs::write(folder.path().join(format!("{n}.json")), "{\"n\":1}\n").unwrap());
    let found = plan(folder.path(), serde_json::json!({ "path": ".", "format": "json", "together": true })).err().unwrap();
    assert_eq!(found.0[0].message, "`together` would read 257 files side by side, 256 is the most");
}

#[test]
fn a_file_that_is_left_is_not_read_on() {
    let folder = folder();
    let factory = factory(folder.path(), "*.json", json()).reading(Manner::Together);
    let mut source = factory.make(&context(&arrow_schema(&columns()), 2, 10)).unwrap();
    let pauses = source.pauses().unwrap();
    pauses.set(0, true);
    let (mut left, mut ended, mut rows_of_left) = (0, 0, 0);
    while ended < 3 {
        match source.next(FOREVER).unwrap() {
            Next::Rows(rows) if rows.split == 0 => rows_of_left += rows.parts[0].records.num_rows(),
            Next::Rows(_) | Next::Nothing => left += 1,
            Next::SplitEnd(split) => ended += usize::from(split != 0),
            other => panic!("{other:?}"),
        }
    }
    // What was under way when it was left: two decoders, each with a block of a hundred bytes in work and one done.
    assert!(left > 0 && rows_of_left <= 4 * 10, "{rows_of_left}");
    assert!(matches!(source.next(Duration::from_millis(20)).unwrap(), Next::Nothing));
    pauses.set(0, false);
    while rows_of_left < 400 {
        if let Next::Rows(rows) = source.next(FOREVER).unwrap() {
            rows_of_left += rows.parts[0].records.num_rows();
        }
    }
    assert!(matches!(source.next(FOREVER).unwrap(), Next::SplitEnd(0)));
}

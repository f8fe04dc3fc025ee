//! What a reader sees of a file between any two steps of a checkpoint.

use std::io::Read;

use millstream_api::view::Views;
use serde_json::json;
use tempfile::TempDir;

use super::super::FileSinkOptions;
use super::*;
use crate::testing::{batch, ints, make_sink, schema, stream};

struct Run {
    folder: TempDir,
    name: &'static str,
}

impl Run {
    fn new(name: &'static str) -> Run {
        Run { folder: tempfile::tempdir().unwrap(), name }
    }

    fn sink(&self) -> Box<dyn Sink> {
        let options = json!({ "path": self.name });
        make_sink::<FileSinkOptions>(options, stream(schema("n bigint")), self.folder.path(), &Views::default(), true)
    }

    fn restored(&self, state: &StateWriterEntries) -> Result<Box<dyn Sink>> {
        let mut sink = self.sink();
        sink.restore(&StateReader::new(state.clone(), &(0..1)).unwrap()).map(|()| sink)
    }

    fn text(&self) -> String {
        std::fs::read_to_string(self.folder.path().join(self.name)).unwrap_or_default()
    }

    fn names(&self) -> Vec<String> {
        let entries = std::fs::read_dir(self.folder.path()).unwrap();
        let mut names: Vec<String> = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }
}

type StateWriterEntries = millstream_api::state::StateEntries;

fn write(sink: &mut Box<dyn Sink>, number: i64) {
    sink.write(batch(&[("n", ints([Some(number)]))]), &mut Fates::default()).unwrap();
}

fn prepare(sink: &mut Box<dyn Sink>, checkpoint: CheckpointId) -> StateWriterEntries {
    let mut state = StateWriter::new();
    sink.prepare(checkpoint, &mut state).unwrap();
    state.into_entries()
}

#[test]
fn a_reader_sees_what_is_committed_and_nothing_else() {
    let run = Run::new("rows.csv");
    std::fs::write(run.folder.path().join("rows.csv"), "of a run before").unwrap();
    let mut sink = run.sink();
    write(&mut sink, 1);
    prepare(&mut sink, 1);
    write(&mut sink, 2);
    assert_eq!(run.text(), "of a run before");
    sink.commit(1).unwrap();
    assert_eq!(run.text(), "n\n1\n");
    prepare(&mut sink, 2);
    write(&mut sink, 3);
    prepare(&mut sink, 4);
    sink.commit(4).unwrap();
    sink.finish(Finish::End).unwrap();
    assert_eq!(run.text(), "n\n1\n2\n3\n", "the checkpoint in between never came to be");
    assert_eq!(run.names(), ["rows.csv"]);
}

#[test]
fn what_comes_behind_the_last_barrier_of_a_stop_is_left_to_the_next_run() {
    let run = Run::new("rows.csv");
    let mut sink = run.sink();
    write(&mut sink, 1);
    prepare(&mut sink, 1);
    write(&mut sink, 2);
    sink.commit(1).unwrap();
    assert!(sink.finish(Finish::End).is_err(), "at the end there is a checkpoint for all of it");
    sink.finish(Finish::Halt).unwrap();
    assert_eq!((run.text().as_str(), run.names()), ("n\n1\n", vec!["rows.csv".to_owned()]));
}

#[test]
fn the_first_segment_becomes_the_file_and_later_ones_are_appended_to_it() {
    use std::os::unix::fs::MetadataExt;
    let run = Run::new("rows.ndjson");
    let inode = |name: &str| run.folder.path().join(name).metadata().unwrap().ino();
    let mut sink = run.sink();
    write(&mut sink, 1);
    prepare(&mut sink, 1);
    let segment = inode(".rows.ndjson.1.pending");
    sink.commit(1).unwrap();
    assert_eq!(inode("rows.ndjson"), segment, "it is not copied");
    write(&mut sink, 2);
    let second = prepare(&mut sink, 2);
    sink.commit(2).unwrap();
    assert_eq!(inode("rows.ndjson"), segment, "whoever follows the file goes on reading it");
    let mut sink = run.restored(&second).unwrap();
    write(&mut sink, 3);
    prepare(&mut sink, 3);
    sink.commit(3).unwrap();
    assert_eq!((inode("rows.ndjson"), run.text()), (segment, "{\"n\":1}\n{\"n\":2}\n{\"n\":3}\n".to_owned()));
}

/// What any reader unpacks of a file that was written in several parts.
fn unpacked(run: &Run) -> String {
    let bytes = std::fs::read(run.folder.path().join(run.name)).unwrap();
    let mut text = String::new();
    match run.name.ends_with(".gz") {
        true => flate2::read::MultiGzDecoder::new(&bytes[..]).read_to_string(&mut text).unwrap(),
        false => zstd::Decoder::new(&bytes[..]).unwrap().read_to_string(&mut text).unwrap(),
    };
    text
}

#[test]
fn a_packed_file_grows_by_parts_of_its_own_and_is_cut_back_between_them() {
    for name in ["rows.csv.gz", "rows.csv.zst"] {
        let run = Run::new(name);
        let mut sink = run.sink();
        // Also a part without rows is one.
        prepare(&mut sink, 1);
        sink.commit(1).unwrap();
        assert_eq!(unpacked(&run), "n\n", "{name}");
        write(&mut sink, 1);
        let second = prepare(&mut sink, 2);
        // What was committed later is taken back, and what was not yet committed is appended.
        for committed in [false, true] {
            if committed {
                let mut sink = run.restored(&second).unwrap();
                write(&mut sink, 7);
                prepare(&mut sink, 3);
                sink.commit(3).unwrap();
                assert_eq!(unpacked(&run), "n\n1\n7\n", "{name}");
            }
            drop(run.restored(&second).unwrap());
            assert_eq!(unpacked(&run), "n\n1\n", "{name}");
        }
        assert_eq!(run.names(), [name]);
    }
}

#[test]
fn a_file_that_was_cut_is_not_filled_up() {
    let run = Run::new("rows.ndjson");
    let mut sink = run.sink();
    write(&mut sink, 1);
    prepare(&mut sink, 1);
    sink.commit(1).unwrap();
    write(&mut sink, 2);
    let second = prepare(&mut sink, 2);
    std::fs::write(run.folder.path().join("rows.ndjson"), "{").unwrap();
    let wanted = "rows.ndjson has 1 bytes, and checkpoints have written 8";
    let refused = [sink.commit(2).unwrap_err(), run.restored(&second).map(|_| ()).unwrap_err()];
    assert!(refused.iter().all(|error| error.to_string().contains(wanted)), "{refused:?}");
    assert_eq!(run.text(), "{");
    std::fs::remove_file(run.folder.path().join("rows.ndjson")).unwrap();
    let wanted = "rows.ndjson is gone, to which checkpoints have written 8 bytes";
    let refused = [sink.commit(2).unwrap_err(), run.restored(&second).map(|_| ()).unwrap_err()];
    assert!(refused.iter().all(|error| error.to_string().contains(wanted)), "{refused:?}");
    assert!(refused.iter().all(|error| error.kind() == ErrorKind::State), "no other try would find it: {refused:?}");
    let (folder, away) = (run.folder.path().to_owned(), run.folder.path().with_extension("away"));
    std::fs::rename(&folder, &away).unwrap();
    let refused = [sink.commit(2).unwrap_err(), run.restored(&second).map(|_| ()).unwrap_err()];
    assert!(refused.iter().all(|error| error.kind() == ErrorKind::Io), "a disk may come back: {refused:?}");
    std::fs::rename(&away, &folder).unwrap();
}

#[test]
fn an_empty_input_gives_an_empty_file_with_its_header() {
    for (name, text) in [("rows.csv", "n\n"), ("rows.ndjson", "")] {
        let run = Run::new(name);
        let mut sink = run.sink();
        prepare(&mut sink, 1);
        sink.commit(1).unwrap();
        sink.finish(Finish::End).unwrap();
        assert_eq!((run.names(), run.text().as_str()), (vec![name.to_owned()], text));
    }
}

/// Dies at every step of the protocol; the file must hold 1 and 2, once, when checkpoint 2 exists, else 1.
#[test]
fn a_crash_at_any_step_neither_loses_nor_doubles() {
    for name in ["rows.ndjson", "rows.csv"] {
        let header = if name.ends_with("csv") { "n\n" } else { "" };
        let row = |n: u8| if header.is_empty() { format!("{{\"n\":{n}}}\n") } else { format!("{n}\n") };
        for step in 0..8 {
            let run = Run::new(name);
            let mut sink = run.sink();
            write(&mut sink, 1);
            let first = prepare(&mut sink, 1);
            sink.commit(1).unwrap();
            write(&mut sink, 2);
            let mut from = first.clone();
            if step >= 1 {
                let second = prepare(&mut sink, 2);
                // From here on the manifest may be there or not.
                from = if step >= 2 { second } else { first };
            }
            let (killed, other) = (format!(".{name}.aB3dE6.tmp"), ".other.aB3dE6.tmp".to_owned());
            std::fs::write(run.folder.path().join(&killed), "of a run that was killed").unwrap();
            std::fs::write(run.folder.path().join(&other), "of somebody else").unwrap();
            let pending = run.folder.path().join(format!(".{name}.2.pending"));
            match step {
                // In the middle of appending: some of it, all of it with the segment still there.
                3 => std::fs::write(run.folder.path().join(name), format!("{header}{}{}", row(1), &row(2)[..1])).unwrap(),
                4 => std::fs::write(run.folder.path().join(name), format!("{header}{}{}", row(1), row(2))).unwrap(),
                5 => sink.commit(2).unwrap(),
                6 | 7 => {
                    sink.commit(2).unwrap();
                    write(&mut sink, 3);
                    prepare(&mut sink, 3);
                    if step == 7 {
                        sink.commit(3).unwrap();
                    }
                }
                _ => {}
            }
            drop(sink);
            let mut sink = run.restored(&from).unwrap();
            let expected = if step >= 2 { format!("{header}{}{}", row(1), row(2)) } else { format!("{header}{}", row(1)) };
            assert_eq!(run.text(), expected, "step {step}");
            assert!(!pending.exists(), "step {step}");
            write(&mut sink, 9);
            prepare(&mut sink, 7);
            sink.commit(7).unwrap();
            sink.finish(Finish::End).unwrap();
            assert_eq!(run.text(), format!("{expected}{}", row(9)), "step {step}");
            assert_eq!(run.names(), [&other, name], "step {step}");
        }
    }
}

#[test]
fn parquet_has_a_part_for_each_checkpoint_with_rows() {
    let run = Run::new("rows.parquet");
    std::fs::write(run.folder.path().join("rows-x.parquet"), "of somebody else").unwrap();
    let mut before = run.sink();
    write(&mut before, 0);
    prepare(&mut before, 9);
    before.commit(9).unwrap();
    drop(before);
    assert_eq!(run.names(), ["rows-9.parquet", "rows-x.parquet"]);
    let mut sink = run.sink();
    sink.start().unwrap();
    write(&mut sink, 1);
    let first = prepare(&mut sink, 1);
    assert_eq!(run.names(), [".rows.parquet.1.pending", "rows-x.parquet"]);
    sink.commit(1).unwrap();
    prepare(&mut sink, 2);
    sink.commit(2).unwrap();
    write(&mut sink, 3);
    let third = prepare(&mut sink, 3);
    drop(sink);
    let sink = run.restored(&third).unwrap();
    assert_eq!(run.names(), ["rows-1.parquet", "rows-3.parquet", "rows-x.parquet"]);
    drop(sink);
    run.restored(&first).unwrap();
    assert_eq!(run.names(), ["rows-1.parquet", "rows-x.parquet"], "going back cuts back");
    std::fs::remove_file(run.folder.path().join("rows-1.parquet")).unwrap();
    let error = run.restored(&first).map(drop).unwrap_err();
    assert!(error.message().ends_with("rows-1.parquet is gone, which checkpoint 1 has written"), "{error}");
}

#[test]
fn a_file_that_only_has_the_name_of_a_part_is_not_removed() {
    let run = Run::new("rows.parquet");
    let foreign = run.folder.path().join("rows-2024.parquet");
    std::fs::write(&foreign, "of somebody else").unwrap();
    let mut sink = run.sink();
    let said = format!("{} has the name of a part, and is no file of Millstream's", foreign.display());
    assert_eq!(sink.start().unwrap_err().message(), said);
    write(&mut sink, 1);
    assert_eq!(sink.prepare(1, &mut StateWriter::new()).unwrap_err().message(), said);
    std::fs::rename(&foreign, foreign.with_extension("away")).unwrap();
    let first = prepare(&mut sink, 1);
    sink.commit(1).unwrap();
    std::fs::rename(foreign.with_extension("away"), &foreign).unwrap();
    assert_eq!(run.restored(&first).map(drop).unwrap_err().message(), said);
    assert_eq!(run.names(), ["rows-1.parquet", "rows-2024.parquet"]);
    assert_eq!(std::fs::read(&foreign).unwrap(), b"of somebody else");
}

#[test]
fn a_file_that_was_made_shorter_is_not_written_on() {
    let run = Run::new("rows.ndjson");
    let mut sink = run.sink();
    write(&mut sink, 1);
    let first = prepare(&mut sink, 1);
    sink.commit(1).unwrap();
    std::fs::write(run.folder.path().join("rows.ndjson"), "{}").unwrap();
    let error = run.restored(&first).map(drop).unwrap_err();
    assert!(error.message().ends_with("has 2 bytes, and checkpoints have written 8"), "{error}");
}

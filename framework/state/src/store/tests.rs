//! Stores in folders, whole and failing.

use std::sync::atomic::{AtomicI64, Ordering};

use arrow::array::{Int64Array, RecordBatch};
use arrow::datatypes::{DataType, Field, Schema};
use millstream_api::EventTime;
use millstream_api::state::StateWriter;
use tempfile::TempDir;

use super::*;
use crate::names::folder_name;
use crate::snapshot::TaskCounts;

fn about(id: CheckpointId) -> Manifest {
    Manifest {
        topology: "t".to_owned(),
        checkpoint: id,
        taken_at: 0,
        written_by: "test".to_owned(),
        key_groups: 128,
        finished: None,
        nodes: Vec::new(),
        tasks: Vec::new(),
    }
}

fn snapshot(value: i64) -> JobSnapshot {
    let schema = Arc::new(Schema::new(vec![Field::new("v", DataType::Int64, false)]));
    let mut writer = StateWriter::new();
    writer.put("sums", RecordBatch::try_new(schema, vec![Arc::new(Int64Array::from(vec![value]))]).unwrap());
    let (entries, counts) = (writer.into_entries(), TaskCounts { rows_in: 4, ..TaskCounts::default() });
    let task = |entries| TaskSnapshot { watermark: EventTime(value), entries, pieces: None, positions: Vec::new(), counts, ended: false };
    let id = |node: &str| TaskId { node: node.to_owned(), subtask: 0 };
    JobSnapshot::new([(id("a"), task(entries)), (id("b"), task(StateEntries::new()))].into())
}

fn store() -> (TempDir, Store) {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(&folder.path().join("state"), "file:./state").unwrap();
    (folder, store)
}

#[test]
fn a_checkpoint_is_read_as_it_was_written() {
    let (_folder, store) = store();
    assert!(store.write(about(3), &snapshot(7), &|| Ok(())).unwrap().bytes > 0);
    assert_eq!(store.checkpoints().unwrap(), [3]);
    let read = store.read(&store.manifest(3).unwrap()).unwrap();
    assert_eq!(format!("{:?}", read), format!("{:?}", snapshot(7)));
}

#[test]
fn old_and_interrupted_ones_go() {
    let (folder, store) = store();
    for id in [1, 2, 4, 6] {
        store.write(about(id), &snapshot(1), &|| Ok(())).unwrap();
    }
    for id in [3, 5, 7] {
        std::fs::create_dir(folder.path().join("state").join(folder_name(id))).unwrap();
    }
    assert_eq!(store.checkpoints().unwrap(), [1, 2, 4, 6]);
    store.tidy(6, 2).unwrap();
    assert_eq!(store.numbers().unwrap(), [4, 6, 7], "what is newer may just be written");
    store.remove_interrupted().unwrap();
    assert_eq!(store.numbers().unwrap(), [4, 6]);
}

#[test]
fn a_damaged_checkpoint_names_the_next_older_one() {
    let (folder, store) = store();
    store.write(about(1), &snapshot(1), &|| Ok(())).unwrap();
    store.write(about(2), &snapshot(2), &|| Ok(())).unwrap();
    let part = folder.path().join("state").join(name(2, "a.0.0.state"));
    let bytes = std::fs::read(&part).unwrap();
    std::fs::write(&part, &bytes[1..]).unwrap();
    let error = store.read(&store.manifest(2).unwrap()).unwrap_err();
    assert_eq!(
        error.message(),
        "checkpoint 2 in file:./state cannot be used: its part a.0.0.state is damaged: length or checksum are not those of the manifest"
    );
    assert_eq!(error.help_text().unwrap(), "the next older checkpoint is 1: --from 1 goes on from there, --fresh begins anew");
    std::fs::remove_file(&part).unwrap();
    assert!(store.read(&store.manifest(2).unwrap()).unwrap_err().message().ends_with("a.0.0.state is missing"));
    std::fs::write(folder.path().join("state").join(name(1, MANIFEST)), "{}").unwrap();
    let error = store.manifest(1).unwrap_err();
    assert!(error.message().ends_with("no manifest of a checkpoint"), "{error}");
    assert_eq!(error.help_text().unwrap(), "there is no older checkpoint; --fresh begins anew");
    assert_eq!(store.manifest(9).unwrap_err().help_text().unwrap(), "the store has 1, 2");
}

/// A folder of which one operation fails: the `fail_at`th from now. A torn write leaves half of the bytes behind.
struct Failing {
    inner: FolderBlobs,
    left: AtomicI64,
    torn: bool,
}

impl Failing {
    fn fails(&self) -> bool {
        self.left.fetch_sub(1, Ordering::SeqCst) == 0
    }
}

fn failure() -> Error {
    Error::io("cannot do it", "the disk is full")
}

impl Blobs for Failing {
    fn put(&self, name: &str, bytes: &[u8]) -> Result<()> {
        if !self.fails() {
            return self.inner.put(name, bytes);
        }
        if self.torn {
            self.inner.put(name, &bytes[..bytes.len() / 2])?;
        }
        Err(failure())
    }

    fn create(&self, name: &str, bytes: &[u8]) -> Result<bool> {
        if !self.fails() {
            return self.inner.create(name, bytes);
        }
        if self.torn {
            self.inner.put(name, &bytes[..bytes.len() / 2])?;
        }
        Err(failure())
    }

    fn get(&self, name: &str) -> Result<Option<Vec<u8>>> {
        if self.fails() { Err(failure()) } else { self.inner.get(name) }
    }

    fn folders(&self) -> Result<Vec<String>> {
        if self.fails() { Err(failure()) } else { self.inner.folders() }
    }

    fn remove(&self, name: &str) -> Result<()> {
        if self.fails() { Err(failure()) } else { self.inner.remove(name) }
    }

    fn remove_folder(&self, folder: &str) -> Result<()> {
        if self.fails() { Err(failure()) } else { self.inner.remove_folder(folder) }
    }
}

/// Writes, tidies and reads with each operation failing in turn. Checkpoint 1 must survive, checkpoint 2 be whole or an error
/// that names 1, and checkpoint 3 be as if nothing had happened.
#[test]
fn no_failing_operation_destroys_what_is_there() {
    for torn in [false, true] {
        for fail_at in 0..30 {
            let folder = tempfile::tempdir().unwrap();
            let blobs = |left| Failing { inner: FolderBlobs::open(folder.path()).unwrap(), left: AtomicI64::new(left), torn };
            let good = Store::over(Arc::new(blobs(-1)), "store");
            good.write(about(1), &snapshot(1), &|| Ok(())).unwrap();
            let bad = Store::over(Arc::new(blobs(fail_at)), "store");
            let written = bad.write(about(2), &snapshot(2), &|| Ok(())).is_ok();
            if written {
                // Whether it fails or not: what is needed stays.
                let _ = bad.tidy(2, 1);
            }
            if !written && !torn {
                assert_eq!(good.numbers().unwrap(), [1], "{fail_at}: what was begun takes no room");
            }
            let newest = good.checkpoints().unwrap().last().copied().unwrap();
            match good.manifest(newest).and_then(|manifest| good.read(&manifest)) {
                Ok(read) => assert_eq!(read.watermark("a"), EventTime(newest as i64), "{fail_at}"),
                Err(error) => {
                    assert!(!written && torn && error.help_text().unwrap().contains("--from 1"), "{fail_at}: {error}");
                    assert_eq!(good.read(&good.manifest(1).unwrap()).unwrap().watermark("a"), EventTime(1));
                }
            }
            good.write(about(3), &snapshot(3), &|| Ok(())).unwrap();
            good.tidy(3, 1).unwrap();
            assert_eq!(good.numbers().unwrap(), [3]);
            assert_eq!(good.read(&good.manifest(3).unwrap()).unwrap().watermark("a"), EventTime(3));
        }
    }
}

//! Checkpoints in a store: each is a folder with its number, the parts of subtasks in it, and the manifest, written last.
//!
//! A folder without a manifest is what an interrupted write has left: it is no checkpoint, and is removed by the next one. A
//! checkpoint that is damaged is an error with the next older one named, never a silent start from nothing.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use millstream_api::error::{Error, ErrorKind, Result};
use millstream_api::message::CheckpointId;
use millstream_api::state::StateEntries;
use xxhash_rust::xxh3::xxh3_64;

use crate::blobs::{Blobs, FolderBlobs};
use crate::lock::Lock;
use crate::manifest::{Manifest, PartRecord, TaskRecord};
use crate::part;
use crate::snapshot::{JobSnapshot, TaskId, TaskSnapshot};

/// The name of the manifest in a checkpoint's folder.
const MANIFEST: &str = "manifest";

/// A place for checkpoints. Cheap to clone.
#[derive(Clone)]
pub struct Store {
    blobs: Arc<dyn Blobs>,
    /// Where it is, for messages.
    place: String,
    /// Its folder, where it is one.
    folder: Option<PathBuf>,
}

/// What became of a checkpoint that was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Written {
    /// Bytes of all parts and the manifest.
    pub bytes: u64,
}

impl Store {
    /// The store in a folder; makes it if it is not there. `place` is how messages call it.
    ///
    /// # Errors
    /// When the folder cannot be made or read.
    pub fn open(folder: &Path, place: &str) -> Result<Store> {
        let blobs = Arc::new(FolderBlobs::open(folder)?);
        Ok(Store { blobs, place: place.to_owned(), folder: Some(folder.to_owned()) })
    }

    /// A store over other blobs; `place` is how messages call it.
    pub fn over(blobs: Arc<dyn Blobs>, place: &str) -> Store {
        Store { blobs, place: place.to_owned(), folder: None }
    }

    /// Where it is, for messages.
    pub fn place(&self) -> &str {
        &self.place
    }

    /// Takes the store for one run. `None`: it is not one that can be taken.
    ///
    /// # Errors
    /// When another run holds it.
    pub fn lock(&self, who: &str) -> Result<Option<Lock>> {
        self.folder.as_ref().map(|folder| Lock::take(folder, who)).transpose()
    }

    /// The numbers of all checkpoints, whole or interrupted, rising.
    ///
    /// # Errors
    /// When the store cannot be listed.
    pub fn numbers(&self) -> Result<Vec<CheckpointId>> {
        let mut numbers: Vec<CheckpointId> = self.blobs.folders()?.iter().filter_map(|name| number(name)).collect();
        numbers.sort_unstable();
        Ok(numbers)
    }

    /// The numbers of the checkpoints that are there, rising: those with a manifest, in whatever state that is.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn checkpoints(&self) -> Result<Vec<CheckpointId>> {
        let mut there = Vec::new();
        for id in self.numbers()? {
            if self.blobs.get(&name(id, MANIFEST))?.is_some() {
                there.push(id);
            }
        }
        Ok(there)
    }

    /// What a checkpoint consists of.
    ///
    /// # Errors
    /// When it is not there, damaged or foreign; the message names the next older one.
    pub fn manifest(&self, id: CheckpointId) -> Result<Manifest> {
        let bytes = self.blobs.get(&name(id, MANIFEST))?.ok_or_else(|| self.missing(id))?;
        let manifest = Manifest::decode(&bytes).map_err(|error| self.unusable(id, &error))?;
        match manifest.checkpoint == id {
            true => Ok(manifest),
            false => {
                let message = format!("its manifest says that it is checkpoint {}", manifest.checkpoint);
                Err(self.unusable(id, &Error::new(ErrorKind::State, message)))
            }
        }
    }

    /// A whole checkpoint.
    ///
    /// # Errors
    /// As [`manifest`](Store::manifest), also when a part is missing or damaged.
    pub fn read(&self, manifest: &Manifest) -> Result<JobSnapshot> {
        let mut tasks = BTreeMap::new();
        for task in &manifest.tasks {
            let entries = self.entries(manifest.checkpoint, task)?;
            let id = TaskId { node: task.node.clone(), subtask: task.subtask };
            let (watermark, positions, ended) = (task.watermark, task.splits.clone(), task.ended);
            tasks.insert(id, TaskSnapshot { watermark, entries, positions, counts: task.counts.into(), ended });
        }
        Ok(JobSnapshot::new(tasks))
    }

    /// The state of one subtask.
    ///
    /// # Errors
    /// When it is missing or damaged; the message names the next older checkpoint.
    pub fn entries(&self, id: CheckpointId, task: &TaskRecord) -> Result<StateEntries> {
        let Some(part) = &task.part else { return Ok(StateEntries::new()) };
        let wrong = |how: String| self.unusable(id, &Error::new(ErrorKind::State, format!("its part {} is {how}", part.file)));
        let bytes = self.blobs.get(&name(id, &part.file))?.ok_or_else(|| wrong("missing".to_owned()))?;
        if bytes.len() as u64 != part.bytes || hash(&bytes) != part.xxh3 {
            return Err(wrong("damaged: length or checksum are not those of the manifest".to_owned()));
        }
        part::decode(&bytes).map_err(|error| wrong(error.message().to_owned()))
    }

    /// Writes a checkpoint: parts first, the manifest last. `about` is a manifest without tasks.
    ///
    /// # Errors
    /// When something cannot be written. Then there is no such checkpoint, or the store has it whole although it said it has
    /// not; the next one makes up for either.
    pub fn write(&self, about: Manifest, snapshot: &JobSnapshot) -> Result<Written> {
        let id = about.checkpoint;
        let written = self.write_all(about, snapshot);
        // What there is of it takes the room that the next one may need. If that fails too, the next one tidies up.
        if written.is_err() && matches!(self.blobs.get(&name(id, MANIFEST)), Ok(None)) {
            let _ = self.remove(id);
        }
        written
    }

    fn write_all(&self, about: Manifest, snapshot: &JobSnapshot) -> Result<Written> {
        let id = about.checkpoint;
        let mut manifest = Manifest { tasks: Vec::new(), ..about };
        let mut written = 0;
        for (task, part) in snapshot.tasks() {
            let part = self.write_part(id, task, part)?;
            written += part.part.as_ref().map_or(0, |part| part.bytes);
            manifest.tasks.push(part);
        }
        let bytes = manifest.encode()?;
        written += bytes.len() as u64;
        self.blobs.put(&name(id, MANIFEST), bytes, true)?;
        Ok(Written { bytes: written })
    }

    fn write_part(&self, id: CheckpointId, task: &TaskId, snapshot: &TaskSnapshot) -> Result<TaskRecord> {
        let TaskSnapshot { watermark, entries, positions, counts, ended } = snapshot;
        let part = if entries.is_empty() {
            None
        } else {
            let bytes = part::encode(entries)?;
            let file = format!("{}.{}.state", task.node, task.subtask);
            let record = PartRecord { file, bytes: bytes.len() as u64, xxh3: hash(&bytes) };
            self.blobs.put(&name(id, &record.file), bytes, false)?;
            Some(record)
        };
        Ok(TaskRecord {
            node: task.node.clone(),
            subtask: task.subtask,
            ended: *ended,
            watermark: *watermark,
            counts: (*counts).into(),
            splits: positions.clone(),
            part,
        })
    }

    /// Removes what is not needed once checkpoint `newest` is there: all whole ones before it but the `retain` newest
    /// (`newest` is one of them), and all interrupted ones before it.
    ///
    /// # Errors
    /// When something cannot be listed or removed; the next call tries again.
    pub fn tidy(&self, newest: CheckpointId, retain: usize) -> Result<()> {
        let there = self.checkpoints()?;
        let kept: Vec<CheckpointId> = there.iter().rev().filter(|id| **id <= newest).take(retain.max(1)).copied().collect();
        for id in self.numbers()?.into_iter().filter(|id| *id < newest && !kept.contains(id)) {
            self.remove(id)?;
        }
        Ok(())
    }

    /// Removes what interrupted writes have left behind. Only for whoever holds the store.
    ///
    /// # Errors
    /// When something cannot be listed or removed.
    pub fn remove_interrupted(&self) -> Result<()> {
        let there = self.checkpoints()?;
        self.numbers()?.into_iter().filter(|id| !there.contains(id)).try_for_each(|id| self.remove(id))
    }

    /// Removes a checkpoint, or what an interrupted write has left of it.
    ///
    /// # Errors
    /// When that cannot be done.
    pub fn remove(&self, id: CheckpointId) -> Result<()> {
        self.blobs.remove_folder(&folder_name(id))
    }

    fn missing(&self, id: CheckpointId) -> Error {
        let there = self.checkpoints().unwrap_or_default();
        let help = match there.as_slice() {
            [] => "the store has no checkpoint".to_owned(),
            ids => format!("the store has {}", ids.iter().map(u64::to_string).collect::<Vec<_>>().join(", ")),
        };
        Error::new(ErrorKind::State, format!("there is no checkpoint {id} in {}", self.place)).help(help)
    }

    /// A checkpoint that cannot be used, and what can be used instead.
    fn unusable(&self, id: CheckpointId, error: &Error) -> Error {
        let older = self.checkpoints().unwrap_or_default().into_iter().rev().find(|older| *older < id);
        let mut help = error.help_text().map_or(String::new(), |help| format!("{help}; "));
        help.push_str(&match older {
            Some(older) => format!("the next older checkpoint is {older}: --from {older} goes on from there, --fresh begins anew"),
            None => "there is no older checkpoint; --fresh begins anew".to_owned(),
        });
        Error::new(ErrorKind::State, format!("checkpoint {id} in {} cannot be used: {}", self.place, error.message())).help(help)
    }
}

/// Twenty digits, so that names sort as numbers do.
fn folder_name(id: CheckpointId) -> String {
    format!("{id:020}")
}

/// No run comes so far: a folder with a greater number is not ours, and leaves none for the next checkpoint.
const MOST: CheckpointId = CheckpointId::MAX / 2;

fn number(folder: &str) -> Option<CheckpointId> {
    let is_number = folder.len() == 20 && folder.bytes().all(|byte| byte.is_ascii_digit());
    is_number.then(|| folder.parse().ok()).flatten().filter(|number| *number <= MOST)
}

fn name(id: CheckpointId, file: &str) -> String {
    format!("{}/{file}", folder_name(id))
}

fn hash(bytes: &[u8]) -> String {
    format!("{:016x}", xxh3_64(bytes))
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicI64, Ordering};

    use arrow::array::{Int64Array, RecordBatch};
    use arrow::datatypes::{DataType, Field, Schema};
    use millstream_api::EventTime;
    use millstream_api::state::StateWriter;
    use tempfile::TempDir;

    use super::*;
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
        let task = |entries| TaskSnapshot { watermark: EventTime(value), entries, positions: Vec::new(), counts, ended: false };
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
        assert!(store.write(about(3), &snapshot(7)).unwrap().bytes > 0);
        assert_eq!(store.checkpoints().unwrap(), [3]);
        let read = store.read(&store.manifest(3).unwrap()).unwrap();
        assert_eq!(format!("{:?}", read), format!("{:?}", snapshot(7)));
    }

    #[test]
    fn old_and_interrupted_ones_go() {
        let (folder, store) = store();
        for id in [1, 2, 4, 6] {
            store.write(about(id), &snapshot(1)).unwrap();
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
        store.write(about(1), &snapshot(1)).unwrap();
        store.write(about(2), &snapshot(2)).unwrap();
        let part = folder.path().join("state").join(name(2, "a.0.state"));
        let bytes = std::fs::read(&part).unwrap();
        std::fs::write(&part, &bytes[1..]).unwrap();
        let error = store.read(&store.manifest(2).unwrap()).unwrap_err();
        assert_eq!(
            error.message(),
            "checkpoint 2 in file:./state cannot be used: its part a.0.state is damaged: length or checksum are not those of the manifest"
        );
        assert_eq!(error.help_text().unwrap(), "the next older checkpoint is 1: --from 1 goes on from there, --fresh begins anew");
        std::fs::remove_file(&part).unwrap();
        assert!(store.read(&store.manifest(2).unwrap()).unwrap_err().message().ends_with("a.0.state is missing"));
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
        fn put(&self, name: &str, bytes: Vec<u8>, only_new: bool) -> Result<()> {
            if !self.fails() {
                return self.inner.put(name, bytes, only_new);
            }
            if self.torn {
                self.inner.put(name, bytes[..bytes.len() / 2].to_vec(), false)?;
            }
            Err(failure())
        }

        fn get(&self, name: &str) -> Result<Option<Vec<u8>>> {
            if self.fails() { Err(failure()) } else { self.inner.get(name) }
        }

        fn folders(&self) -> Result<Vec<String>> {
            if self.fails() { Err(failure()) } else { self.inner.folders() }
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
                good.write(about(1), &snapshot(1)).unwrap();
                let bad = Store::over(Arc::new(blobs(fail_at)), "store");
                let written = bad.write(about(2), &snapshot(2)).is_ok();
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
                good.write(about(3), &snapshot(3)).unwrap();
                good.tidy(3, 1).unwrap();
                assert_eq!(good.numbers().unwrap(), [3]);
                assert_eq!(good.read(&good.manifest(3).unwrap()).unwrap().watermark("a"), EventTime(3));
            }
        }
    }
}

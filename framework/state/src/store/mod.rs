//! Checkpoints in a store: each is a folder with its number, the parts of subtasks in it, and the manifest, written last.
//!
//! A folder without a manifest is what an interrupted write has left: it is no checkpoint, and is removed by the next one. A
//! checkpoint that is damaged is an error with the next older one named, never a silent start from nothing.
//!
//! Here is how a store is opened, taken and read; [`write`] is how it is written.

mod write;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use millstream_api::error::{Error, ErrorKind, Result};
use millstream_api::message::CheckpointId;
use millstream_api::state::StateEntries;

use crate::blobs::{Blobs, FolderBlobs};
use crate::hold::Hold;
use crate::hold::fence::{Fence, is_mark};
use crate::hold::lock::Lock;
use crate::manifest::{Manifest, PartRecord, TaskRecord};
use crate::names::{MANIFEST, name, numbers};
use crate::part;
use crate::snapshot::{JobSnapshot, TaskId, TaskSnapshot};

/// A place for checkpoints. Cheap to clone.
#[derive(Clone)]
pub struct Store {
    pub(crate) blobs: Arc<dyn Blobs>,
    /// Where it is, for messages.
    place: String,
    /// Its folder, where it is one.
    folder: Option<PathBuf>,
    /// What the run that writes holds of it, until the last clone is gone.
    hold: Option<Arc<Hold>>,
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
        Ok(Store { blobs, place: place.to_owned(), folder: Some(folder.to_owned()), hold: None })
    }

    /// The store in a bucket of S3, under `prefix/`. `place` is how messages call it.
    ///
    /// # Errors
    /// When the environment lacks what is needed for that, or this build cannot do it.
    #[cfg(feature = "s3")]
    pub fn open_bucket(bucket: &str, prefix: &str, place: &str) -> Result<Store> {
        Ok(Store::over(Arc::new(crate::blobs::s3::S3Blobs::open(bucket, prefix)?), place))
    }

    /// The store in a bucket of S3, under `prefix/`. `place` is how messages call it.
    ///
    /// # Errors
    /// Always: this build cannot do it.
    #[cfg(not(feature = "s3"))]
    pub fn open_bucket(_bucket: &str, _prefix: &str, place: &str) -> Result<Store> {
        Err(Error::new(ErrorKind::State, format!("cannot open the store {place}: this Millstream was built without S3"))
            .help("build it with the feature `s3`, or use a store `file:PATH`"))
    }

    /// A store over other blobs; `place` is how messages call it.
    pub fn over(blobs: Arc<dyn Blobs>, place: &str) -> Store {
        Store { blobs, place: place.to_owned(), folder: None, hold: None }
    }

    /// Where it is, for messages.
    pub fn place(&self) -> &str {
        &self.place
    }

    /// The store for one run: held until this and all its clones are gone. `who` is shown to others who want it.
    ///
    /// # Errors
    /// When another run holds it and cannot be kept from writing, or it cannot be written.
    pub fn take(mut self, who: &str) -> Result<Store> {
        let hold = match &self.folder {
            Some(folder) => Hold::Folder(Lock::take(folder, who)?),
            None => Hold::Taken(Fence::take(self.blobs.as_ref(), &self.place, who)?),
        };
        self.hold = Some(Arc::new(hold));
        Ok(self)
    }

    /// Makes sure that the run that has taken the store still holds it.
    ///
    /// # Errors
    /// Of the kind `Taken` when it does not; others when that cannot be found out.
    pub fn check_held(&self) -> Result<()> {
        self.hold.as_ref().map_or(Ok(()), |hold| hold.check(self.blobs.as_ref()))
    }

    /// The numbers of all checkpoints, whole or interrupted, rising.
    ///
    /// # Errors
    /// When the store cannot be listed.
    pub fn numbers(&self) -> Result<Vec<CheckpointId>> {
        numbers(self.blobs.as_ref())
    }

    /// The numbers of the checkpoints that are there, rising: those with a manifest, in whatever state that is.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn checkpoints(&self) -> Result<Vec<CheckpointId>> {
        let mut there = Vec::new();
        for id in self.numbers()? {
            if self.blobs.get(&name(id, MANIFEST))?.is_some_and(|bytes| !is_mark(&bytes)) {
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
        let bytes = self.blobs.get(&name(id, MANIFEST))?.filter(|bytes| !is_mark(bytes)).ok_or_else(|| self.missing(id))?;
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
            let pieces = self.pieces(manifest, task);
            let id = TaskId { node: task.node.clone(), subtask: task.subtask };
            let (watermark, positions, ended) = (task.watermark, task.splits.clone(), task.ended);
            tasks.insert(id, TaskSnapshot { watermark, entries, pieces, positions, counts: task.counts.into(), ended });
        }
        Ok(JobSnapshot::new(tasks))
    }

    /// The state of one subtask, but for what is in pieces.
    ///
    /// # Errors
    /// When it is missing or damaged; the message names the next older checkpoint.
    pub fn entries(&self, id: CheckpointId, task: &TaskRecord) -> Result<StateEntries> {
        let mut entries = StateEntries::new();
        for part in &task.parts {
            for (state, rows) in self.part(id, &name(id, &part.file), part)? {
                entries.entry(state).or_default().extend(rows);
            }
        }
        Ok(entries)
    }

    /// A part of a checkpoint, by its path in the store.
    pub(crate) fn part(&self, id: CheckpointId, path: &str, part: &PartRecord) -> Result<StateEntries> {
        let wrong = |how: String| self.unusable(id, &Error::new(ErrorKind::State, format!("its part {} is {how}", part.file)));
        let bytes = self.blobs.get(path)?.ok_or_else(|| wrong("missing".to_owned()))?;
        if !part.is_of(&bytes) {
            return Err(wrong("damaged: length or checksum are not those of the manifest".to_owned()));
        }
        part::decode(&bytes).map_err(|error| wrong(error.message().to_owned()))
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

#[cfg(test)]
mod tests;

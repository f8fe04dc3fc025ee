//! A file that grows with checkpoints: what can be seen of it is what they cover.
//!
//! Rows go into a *segment*, a file of its own. At a barrier the segment is closed, flushed and given the checkpoint's name:
//! `.NAME.7.pending`. When the checkpoint exists, JSON lines and CSV are appended to the file and the segment goes; the first one
//! becomes the file, which saves a copy. Parquet, which cannot be appended to, gets the name of a part: `STEM-7.parquet`. A crash in
//! between is made good at the next start: the state of the sink says how long the file was and which segments belong to the checkpoint.
//!
//! | after a restart from checkpoint 7 | then |
//! |---|---|
//! | a segment of its list is there | the file is cut to where the segment belongs, and the segment appended |
//! | it is not | it was appended before; the file must be long enough |
//! | the file is longer, or there are later segments or parts | they belong to later checkpoints or to none, and go |
//! | a file has the name of a later part and is none of ours | nothing goes: the run ends |

use std::collections::VecDeque;
use std::fs::File;
use std::io::{Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow::array::{AsArray, Int64Array, RecordBatch};
use arrow::datatypes::{DataType, Field, Int64Type, Schema};
use millstream_api::error::ErrorKind;
use millstream_api::message::CheckpointId;
use millstream_api::operator::Fates;
use millstream_api::sink::Finish;
use millstream_api::state::{StateReader, StateWriter};
use millstream_api::{Batch, Error, Result, Sink};

use super::Encoding;
use super::contents::Contents;
use super::parquet::is_own;
use super::publish::{cannot, sync_folder};
use crate::sinks::columns::Projection;

/// The name of the state: a row for the length of the file, then one for each segment that waits.
const SEGMENTS: &str = "segments";

/// How many characters make the name of a temporary file one of its own.
const RANDOM_CHARACTERS: usize = 6;

/// A closed segment that waits for its checkpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Segment {
    checkpoint: CheckpointId,
    bytes: u64,
}

/// The sink.
pub(super) struct CommittedFile {
    target: Target,
    encoding: Encoding,
    projection: Projection,
    /// The segment that is being written; none before its first row.
    current: Option<Box<dyn Contents>>,
    /// Closed ones, oldest first.
    waiting: VecDeque<Segment>,
    /// How long the file is by what was committed.
    committed_bytes: u64,
    /// Whether nothing was closed yet, in this run or one that it goes on from.
    is_new: bool,
    /// Whether nothing was made visible yet, so that what stands there is of a run before.
    is_unseen: bool,
}

impl CommittedFile {
    pub(super) fn new(path: PathBuf, encoding: Encoding, projection: Projection) -> Self {
        let target = Target { is_parts: matches!(encoding, Encoding::Parquet(_)), path };
        CommittedFile {
            target,
            encoding,
            projection,
            current: None,
            waiting: VecDeque::new(),
            committed_bytes: 0,
            is_new: true,
            is_unseen: true,
        }
    }

    /// The segment to write to.
    fn segment(&mut self) -> Result<&mut Box<dyn Contents>> {
        let current = match self.current.take() {
            Some(current) => current,
            None => {
                // To make it again would hide what was committed, should it come back.
                if self.committed_bytes > 0 && !self.target.folder().is_dir() {
                    return Err(cannot("write", &self.target.path, "its folder is gone"));
                }
                let has_header = self.is_new && self.waiting.is_empty();
                if has_header {
                    self.target.remove_temporary()?;
                }
                self.encoding.contents(&self.target.path, self.projection.schema(), has_header)?
            }
        };
        Ok(self.current.insert(current))
    }

    /// Closes the segment, so that nothing of it can be lost any more.
    fn close(&mut self, checkpoint: CheckpointId) -> Result<()> {
        // Also an empty input gives a file, with its header; but no parts.
        if self.is_new && !self.target.is_parts {
            self.segment()?;
        }
        self.is_new = false;
        let Some(current) = self.current.take() else { return Ok(()) };
        let path = &self.target.path;
        let file = current.close().map_err(|cause| cause.about(path))?;
        file.as_file().sync_all().map_err(|cause| cannot("write", path, cause))?;
        let bytes = file.as_file().metadata().map_err(|cause| cannot("write", path, cause))?.len();
        file.persist(self.target.segment(checkpoint)).map_err(|error| cannot("write", path, error.error))?;
        sync_folder(path).map_err(|cause| cannot("write", path, cause))?;
        self.waiting.push_back(Segment { checkpoint, bytes });
        Ok(())
    }

    fn state(&self, checkpoint: CheckpointId) -> Result<RecordBatch> {
        let file = Segment { checkpoint, bytes: self.committed_bytes };
        let rows = || std::iter::once(&file).chain(&self.waiting);
        let number = |of: fn(&Segment) -> u64| Arc::new(Int64Array::from_iter_values(rows().map(|segment| of(segment) as i64)));
        let fields = ["checkpoint", "bytes"].map(|name| Field::new(name, DataType::Int64, false));
        let columns = vec![number(|segment| segment.checkpoint) as _, number(|segment| segment.bytes) as _];
        Ok(RecordBatch::try_new(Arc::new(Schema::new(fields.to_vec())), columns)?)
    }

    /// Makes a closed segment visible.
    fn publish(&mut self, segment: Segment) -> Result<()> {
        match std::mem::take(&mut self.is_unseen) || self.target.is_parts {
            true => self.target.rename(segment.checkpoint)?,
            false => self.target.append(segment.checkpoint, self.committed_bytes)?,
        }
        self.committed_bytes += segment.bytes;
        Ok(())
    }
}

impl Sink for CommittedFile {
    fn write(&mut self, batch: Batch, fates: &mut Fates) -> Result<()> {
        let records = self.projection.records(&batch)?;
        let path = self.target.path.clone();
        self.segment()?.write(&records).map_err(|cause| cause.about(&path))?;
        fates.taken += batch.rows() as u64;
        Ok(())
    }

    fn prepare(&mut self, checkpoint: CheckpointId, state: &mut StateWriter) -> Result<()> {
        if self.is_new {
            self.target.remove_after(0)?;
        }
        self.close(checkpoint)?;
        state.put(SEGMENTS, self.state(checkpoint)?);
        Ok(())
    }

    fn commit(&mut self, checkpoint: CheckpointId) -> Result<()> {
        while let Some(segment) = self.waiting.front().copied().filter(|segment| segment.checkpoint <= checkpoint) {
            self.publish(segment)?;
            self.waiting.pop_front();
        }
        Ok(())
    }

    fn restore(&mut self, state: &StateReader) -> Result<()> {
        let rows: Vec<Segment> = state.get(SEGMENTS).flat_map(segments).collect();
        let Some((file, waiting)) = rows.split_first() else { return Ok(()) };
        (self.is_new, self.is_unseen) = (false, false);
        self.target.remove_temporary()?;
        self.committed_bytes = file.bytes;
        for segment in waiting {
            if self.target.segment(segment.checkpoint).exists() {
                self.publish(*segment)?;
            } else {
                self.target.check(segment, self.committed_bytes)?;
                self.committed_bytes += segment.bytes;
            }
        }
        if !self.target.is_parts {
            self.target.cut(self.committed_bytes)?;
        }
        self.target.remove_after(file.checkpoint)
    }

    fn start(&mut self) -> Result<()> {
        // Now, and not when the first checkpoint removes what an earlier run has left.
        if self.is_new { self.target.after(0).map(drop) } else { Ok(()) }
    }

    fn finish(&mut self, how: Finish) -> Result<()> {
        if how == Finish::Halt {
            // What a node has said at a tick behind the last barrier it says again when the run goes on.
            self.current = None;
        }
        match self.waiting.is_empty() && self.current.is_none() {
            true => Ok(()),
            false => Err(Error::internal("a file is finished with rows that were not committed")),
        }
    }
}

fn segments(records: &RecordBatch) -> Vec<Segment> {
    let number = |column: usize, row: usize| records.column(column).as_primitive::<Int64Type>().value(row).unsigned_abs();
    (0..records.num_rows()).map(|row| Segment { checkpoint: number(0, row), bytes: number(1, row) }).collect()
}

/// The file, and the names beside it.
struct Target {
    path: PathBuf,
    /// Whether there is a file for each checkpoint.
    is_parts: bool,
}

impl Target {
    fn name(&self) -> String {
        self.path.file_name().unwrap_or_default().to_string_lossy().into_owned()
    }

    fn segment(&self, checkpoint: CheckpointId) -> PathBuf {
        self.path.with_file_name(format!(".{}.{checkpoint}.pending", self.name()))
    }

    fn part(&self, checkpoint: CheckpointId) -> PathBuf {
        let stem = self.path.file_stem().unwrap_or_default().to_string_lossy();
        let ending = self.path.extension().map_or(String::new(), |ending| format!(".{}", ending.to_string_lossy()));
        self.path.with_file_name(format!("{stem}-{checkpoint}{ending}"))
    }

    /// Which checkpoint a file beside the target is a segment of.
    fn segment_of(&self, name: &str) -> Option<CheckpointId> {
        number(name.strip_prefix(&format!(".{}.", self.name()))?.strip_suffix(".pending")?)
    }

    /// Which checkpoint a file beside the target is a part of, by its name.
    fn part_of(&self, name: &str) -> Option<CheckpointId> {
        let stem = self.path.file_stem().filter(|_| self.is_parts)?.to_string_lossy();
        let ending = self.path.extension().map_or(String::new(), |ending| format!(".{}", ending.to_string_lossy()));
        number(name.strip_prefix(&format!("{stem}-"))?.strip_suffix(&ending)?)
    }

    /// Appends a segment behind the first `length` bytes of the file, and removes it.
    fn append(&self, checkpoint: CheckpointId, length: u64) -> Result<()> {
        // One that is shorter would be filled up with zeros.
        self.check_length(length)?;
        let segment = self.segment(checkpoint);
        let append = || -> std::io::Result<()> {
            let mut from = File::open(&segment)?;
            let mut file = File::options().write(true).create(true).truncate(false).open(&self.path)?;
            // Behind it there can be what an earlier try has left, or at the very start a file of a run before.
            file.set_len(length)?;
            file.seek(SeekFrom::Start(length))?;
            std::io::copy(&mut from, &mut file)?;
            file.sync_all()?;
            sync_folder(&self.path)?;
            std::fs::remove_file(&segment)
        };
        append().map_err(|cause| cannot("write", &self.path, cause))
    }

    /// Makes a segment the part of its checkpoint, or all of the file.
    fn rename(&self, checkpoint: CheckpointId) -> Result<()> {
        let name = if self.is_parts { self.part(checkpoint) } else { self.path.clone() };
        let renamed = std::fs::rename(self.segment(checkpoint), &name).and_then(|()| sync_folder(&name));
        renamed.map_err(|cause| cannot("publish", &name, cause))
    }

    /// Makes sure that a segment which is no longer there was made visible.
    fn check(&self, segment: &Segment, before: u64) -> Result<()> {
        if !self.is_parts {
            return self.check_length(before + segment.bytes);
        }
        let part = self.part(segment.checkpoint);
        match part.exists() {
            true => Ok(()),
            false => Err(self.gone(format!("{} is gone, which checkpoint {} has written", part.display(), segment.checkpoint))),
        }
    }

    fn check_length(&self, needed: u64) -> Result<()> {
        let path = self.path.display();
        match std::fs::metadata(&self.path) {
            Ok(file) if file.len() >= needed => Ok(()),
            Ok(file) => Err(lost(format!("{path} has {} bytes, and checkpoints have written {needed}", file.len()))),
            Err(cause) if cause.kind() == std::io::ErrorKind::NotFound && needed == 0 => Ok(()),
            Err(cause) if cause.kind() == std::io::ErrorKind::NotFound => {
                Err(self.gone(format!("{path} is gone, to which checkpoints have written {needed} bytes")))
            }
            // A disk that does not answer may do so at the next try.
            Err(cause) => Err(cannot("look at", &self.path, cause)),
        }
    }

    /// What was committed is no longer there. With its folder it may be away, as a disk is; without, somebody has taken it.
    fn gone(&self, message: String) -> Error {
        match self.folder().is_dir() {
            true => lost(message),
            false => cannot("write", &self.path, "its folder is gone"),
        }
    }

    fn folder(&self) -> &Path {
        self.path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
    }

    fn cut(&self, length: u64) -> Result<()> {
        self.check_length(length)?;
        let cut = || -> std::io::Result<()> {
            let file = File::options().write(true).create(true).truncate(false).open(&self.path)?;
            file.set_len(length)?;
            file.sync_all()
        };
        cut().map_err(|cause| cannot("cut back", &self.path, cause))
    }

    /// Removes segments and parts of later checkpoints.
    fn remove_after(&self, checkpoint: CheckpointId) -> Result<()> {
        remove(&self.after(checkpoint)?)
    }

    /// The segments and parts of later checkpoints.
    ///
    /// # Errors
    /// When a file has the name of such a part, as `rows-2024.parquet` has, and somebody else has written it.
    fn after(&self, checkpoint: CheckpointId) -> Result<Vec<PathBuf>> {
        let mut found = self.beside(|name| self.part_of(name).is_some_and(|of| of > checkpoint))?;
        match found.iter().find(|path| !is_own(path)) {
            None => {
                found.extend(self.beside(|name| self.segment_of(name).is_some_and(|of| of > checkpoint))?);
                Ok(found)
            }
            Some(foreign) => {
                let message = format!("{} has the name of a part, and is no file of Millstream's", foreign.display());
                Err(Error::new(ErrorKind::State, message).help("move it, or give the sink another `path`: it would be removed"))
            }
        }
    }

    /// Removes segments that a run was writing when it was killed. Only before there is one of this run.
    fn remove_temporary(&self) -> Result<()> {
        let (prefix, suffix) = (format!(".{}.", self.name()), ".tmp");
        let is_random = |middle: &str| middle.len() == RANDOM_CHARACTERS && middle.bytes().all(|byte| byte.is_ascii_alphanumeric());
        remove(&self.beside(|name| name.strip_prefix(&prefix).and_then(|rest| rest.strip_suffix(suffix)).is_some_and(is_random))?)
    }

    /// Files beside the target.
    fn beside(&self, is_meant: impl Fn(&str) -> bool) -> Result<Vec<PathBuf>> {
        // A folder that is not there has nothing in it.
        let Ok(entries) = std::fs::read_dir(self.folder()) else { return Ok(Vec::new()) };
        let mut found = Vec::new();
        for entry in entries {
            let entry = entry.map_err(|cause| cannot("look beside", &self.path, cause))?;
            if is_meant(&entry.file_name().to_string_lossy()) {
                found.push(entry.path());
            }
        }
        Ok(found)
    }
}

/// The number of a checkpoint as it stands in a name.
fn number(text: &str) -> Option<CheckpointId> {
    text.parse().ok().filter(|_| text.bytes().all(|byte| byte.is_ascii_digit()))
}

fn remove(files: &[PathBuf]) -> Result<()> {
    files.iter().try_for_each(|file| std::fs::remove_file(file).map_err(|cause| cannot("remove", file, cause)))
}

fn lost(message: String) -> Error {
    Error::new(ErrorKind::State, message)
        .help("somebody has moved or changed what this sink wrote, and it must not be taken away: put it back, go back to an older checkpoint (--from), or begin anew (--fresh)")
}

#[cfg(test)]
mod tests;

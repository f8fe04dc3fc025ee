//! One file that is followed.

use std::fs::File;
use std::path::Path;
use std::sync::Arc;

use millstream_api::error::Result;
use xxhash_rust::xxh3::xxh3_64;

use super::copies::Likeness;
use super::succession::Predecessor;
use crate::file_source::blocks::{Ending, PlacedBlock, TextFile, TextShape};
use crate::file_source::compression::{self, Compression};
use crate::file_source::paths::{FileId, InputFile};
use crate::file_source::position::FollowedFile;

/// Of how many bytes at most the beginning of a file is made, by which it is known again.
const HEAD_BYTES: usize = 1024;

/// After so many listings without it, a file that has been read is done with: whoever still had it open has gone on by then.
pub(super) const LISTINGS_AFTER_ROTATION: usize = 5;

/// How a file begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Head {
    /// How many of its first bytes are meant.
    pub(super) bytes: usize,
    pub(super) hash: u64,
}

impl Head {
    pub(super) fn of(bytes: &[u8]) -> Head {
        Head { bytes: bytes.len(), hash: xxh3_64(bytes) }
    }

    /// Whether a file begins like this.
    pub(super) fn is_of(self, path: &Path) -> bool {
        File::open(path).is_ok_and(|file| self.is_of_open(&file))
    }

    fn is_of_open(self, file: &File) -> bool {
        compression::head(file, self.bytes).is_ok_and(|bytes| Head::of(&bytes) == self)
    }
}

/// How a file that is there begins.
fn head_of(file: &InputFile) -> Head {
    let bytes = File::open(&file.path).and_then(|file| compression::head(&file, HEAD_BYTES));
    Head::of(&bytes.unwrap_or_default())
}

/// A file and how far it was read.
pub(super) struct Tail {
    file: InputFile,
    open: Option<TextFile>,
    /// Where to go on when it is opened.
    offset: u64,
    line: u64,
    head: Head,
    /// Whether it is packed: such a file is whole when it has stopped changing, and does not grow after it.
    packed: bool,
    settled: bool,
    /// Listings since it was last among the files of the path.
    missed: usize,
    /// Nothing more is expected of it.
    done: bool,
    /// What it was called before its present name.
    former: Option<Arc<str>>,
    /// Those that had its name before: it is begun when they are read.
    pub(super) predecessors: Vec<Predecessor>,
    /// Of a packed file: whether it has the text of another one.
    pub(super) likeness: Likeness,
}

impl Tail {
    /// A file that has come, to be begun after these.
    pub(super) fn new(file: InputFile, shape: &TextShape, predecessors: Vec<Predecessor>) -> Tail {
        Tail { predecessors, ..Tail::going_on(file, shape, Head::of(&[]), 0, 1) }
    }

    /// A file of which something was read; not yet found among the files of the path.
    pub(super) fn going_on(file: InputFile, shape: &TextShape, head: Head, offset: u64, line: u64) -> Tail {
        let packed = shape.compression.of(&file.name) != Compression::None;
        // What was read in part had settled before.
        let (settled, missed) = (offset > 0, usize::from(offset > 0));
        let (open, done) = (None, false);
        Tail {
            file,
            open,
            offset,
            line,
            head,
            packed,
            settled,
            missed,
            done,
            former: None,
            predecessors: Vec::new(),
            likeness: Likeness::Unknown,
        }
    }

    /// It was called like this when it was read last.
    pub(super) fn once_called(mut self, known: &FollowedFile) -> Tail {
        self.former = match *self.file.name == *known.file {
            true => known.former.as_deref().map(Arc::from),
            false => Some(Arc::from(known.file.as_str())),
        };
        self
    }

    /// What it was called before its present name.
    pub(super) fn former(&self) -> Option<Arc<str>> {
        self.former.clone()
    }

    /// Which file it is.
    pub(super) fn id(&self) -> FileId {
        self.file.id
    }

    /// What it is called.
    pub(super) fn name(&self) -> &str {
        &self.file.name
    }

    /// How it begins.
    pub(super) fn head(&self) -> Head {
        self.head
    }

    /// How long it was when it was looked at last.
    pub(super) fn size_bytes(&self) -> u64 {
        // Text that is packed is as long as it is.
        if self.packed { u64::MAX } else { self.file.size_bytes }
    }

    /// The byte after what was read.
    pub(super) fn read_bytes(&self) -> u64 {
        self.open.as_ref().map_or(self.offset, TextFile::read_bytes)
    }

    /// The byte after the records that were taken: a line without an end is none.
    pub(super) fn taken_bytes(&self) -> u64 {
        self.stand().0
    }

    /// Whether it was among the files of the path when they were listed last.
    pub(super) fn is_listed(&self) -> bool {
        self.missed == 0
    }

    /// Whether its text is packed.
    pub(super) fn is_packed(&self) -> bool {
        self.packed
    }

    /// Whether it is packed, and nothing of it was read.
    pub(super) fn is_unread_packed(&self) -> bool {
        self.packed && self.open.is_none() && self.offset == 0 && !self.done
    }

    /// The same of one that has stopped changing: it is whole.
    pub(super) fn may_be_compared(&self) -> bool {
        self.settled && self.is_unread_packed()
    }

    /// The file as it was listed.
    pub(super) fn file(&self) -> &InputFile {
        &self.file
    }

    /// The byte at which the next record starts, and its line.
    pub(super) fn stand(&self) -> (u64, u64) {
        self.open.as_ref().map_or((self.offset, self.line), TextFile::stand)
    }

    /// Its text, where that is still there: also of a file that was removed while it is open.
    pub(super) fn text(&self) -> Option<File> {
        let file = match &self.open {
            Some(open) => open.input().file().try_clone(),
            None => File::open(&self.file.path),
        };
        file.ok().filter(|file| file.metadata().is_ok_and(|metadata| FileId::of(&metadata) == self.file.id))
    }

    /// What comes before this was read in another file.
    pub(super) fn go_on_at(&mut self, offset: u64, line: u64) {
        (self.offset, self.line, self.settled, self.likeness) = (offset, line, true, Likeness::No);
        self.head = head_of(&self.file);
    }

    /// As a position has it.
    pub(super) fn followed(&self) -> FollowedFile {
        let ((offset, line), FileId { device, inode }) = (self.stand(), self.file.id);
        let (file, former) = (self.file.name.to_string(), self.former.as_ref().map(ToString::to_string));
        FollowedFile { file, former, device, inode, head_bytes: self.head.bytes, head_hash: self.head.hash, offset, line }
    }

    /// Whether all of it was read, and nothing more is expected.
    pub(super) fn is_done(&self) -> bool {
        self.done
    }

    /// Where it ends now, as far as it can still be read.
    ///
    /// # Errors
    /// When it can't be looked at.
    pub(super) fn end_bytes(&mut self) -> Result<u64> {
        Ok(if self.packed || self.look()? { self.size_bytes() } else { self.read_bytes() })
    }

    /// Whether there is something in a file of which nothing was read. It is opened, so that it can be read wherever it goes.
    ///
    /// # Errors
    /// When it can't be looked at.
    pub(super) fn has_begun_to_fill(&mut self, shape: &TextShape) -> Result<bool> {
        Ok(self.packed || (self.look()? && (self.open.is_some() || self.try_open(shape)?)))
    }

    /// Whether it can be forgotten.
    pub(super) fn is_over(&self) -> bool {
        self.done && !self.is_listed()
    }

    /// It is among the files of the path, perhaps under another name.
    pub(super) fn was_listed(&mut self, file: InputFile) {
        self.settled |= file.size_bytes == self.file.size_bytes;
        if file.name != self.file.name {
            self.former = Some(self.file.name.clone());
        }
        (self.missed, self.file) = (0, file);
    }

    /// It is not: it was renamed or removed. What is open can still be read.
    pub(super) fn was_not_listed(&mut self) {
        self.missed += 1;
        self.settled = true;
        // What is not open under a name of its own can't be found any more, unless a restart has just found it.
        self.done |= self.open.is_none() && self.missed > LISTINGS_AFTER_ROTATION;
    }

    /// Closes it; reading goes on when it has grown.
    pub(super) fn close(&mut self) {
        if self.is_listed()
            && let Some(open) = self.open.take()
        {
            (self.offset, self.line) = open.stand();
        }
    }

    /// The next block of whole records; the buffer comes back when there is none now.
    ///
    /// # Errors
    /// When it can't be read.
    pub(super) fn next(&mut self, buffer: Vec<u8>, shape: &TextShape) -> Result<Result<PlacedBlock, Vec<u8>>> {
        if self.done || (self.packed && !self.settled) {
            return Ok(Err(buffer));
        }
        let last = self.packed || self.missed > LISTINGS_AFTER_ROTATION;
        if !self.packed && !self.look()? && !last {
            return Ok(Err(buffer));
        }
        if self.open.is_none() && !self.try_open(shape)? {
            self.done |= last;
            return Ok(Err(buffer));
        }
        let Some(open) = &mut self.open else { return Ok(Err(buffer)) };
        let placed = open.next(buffer, shape, if last { Ending::Final } else { Ending::Open })?;
        let (offset, line) = open.stand();
        self.head_of_open()?;
        if last && placed.is_err() {
            // A copy of it goes on there.
            (self.open, self.done, self.offset, self.line) = (None, true, offset, line);
        }
        Ok(placed)
    }

    /// Looks at the file; true when it has grown. One that is shorter than it was, or begins otherwise, is another one in its place.
    fn look(&mut self) -> Result<bool> {
        let failed = |error| super::super::cannot_read(&self.file.name, error);
        let size = match &self.open {
            Some(open) => open.input().file().metadata().map_err(failed)?.len(),
            // Gone, or another one has its name: the next listing tells.
            None => match InputFile::new(&self.file.path, &self.file.name) {
                Ok(file) if file.id == self.file.id => file.size_bytes,
                _ => return Ok(false),
            },
        };
        self.file.size_bytes = size;
        if size == self.read_bytes() {
            return Ok(false);
        }
        let same_head = match &self.open {
            Some(open) => self.head.is_of_open(open.input().file()),
            None => self.head.is_of(&self.file.path),
        };
        if size < self.read_bytes() || !same_head {
            tracing::warn!(
                "`{}` was cut or written anew after {} bytes had been read; reading it from its beginning",
                self.file.name,
                self.read_bytes()
            );
            (self.open, self.offset, self.line, self.head) = (None, 0, 1, Head::of(&[]));
        }
        Ok(size > self.read_bytes())
    }

    /// False when it is not there, or only a part of its header is.
    fn try_open(&mut self, shape: &TextShape) -> Result<bool> {
        if !self.file.path.is_file() {
            return Ok(false);
        }
        let opened = match self.offset {
            0 => TextFile::open(&self.file, shape, if self.packed { Ending::Final } else { Ending::Open }),
            offset => TextFile::resume(&self.file, shape, offset, self.line).map(Some),
        };
        self.open = match opened {
            // It went in this very moment.
            Err(_) if !self.file.path.exists() => None,
            opened => opened?,
        };
        // Another one may have come under its name meanwhile.
        let is_it = |open: &TextFile| open.input().file().metadata().is_ok_and(|metadata| FileId::of(&metadata) == self.file.id);
        self.open = self.open.take().filter(is_it);
        Ok(self.open.is_some())
    }

    /// Remembers how the file begins, as far as it was read.
    fn head_of_open(&mut self) -> Result<()> {
        let Some(open) = &self.open else { return Ok(()) };
        if self.head.bytes < HEAD_BYTES {
            let read = usize::try_from(open.input().consumed_bytes()).unwrap_or(HEAD_BYTES);
            self.head = Head::of(&open.input().head(read.min(HEAD_BYTES))?);
        }
        Ok(())
    }
}

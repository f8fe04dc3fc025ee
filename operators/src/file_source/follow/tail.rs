//! One file that is followed.

use std::fs::File;
use std::sync::Arc;

use millstream_api::error::Result;

use super::anew::Anew;
use super::copies::{self, Likeness};
use super::head::{HEAD_BYTES, Head, head_of};
use super::succession::{self, Predecessor};
use crate::file_source::blocks::{Ending, PlacedBlock, TextFile, TextShape};
use crate::file_source::compression::{Compression, is_cut_short};
use crate::file_source::paths::{FileId, InputFile};
use crate::file_source::position::FollowedFile;

/// After so many listings without it, a file that has been read is done with: whoever still had it open has gone on by then.
pub(super) const LISTINGS_AFTER_ROTATION: usize = 5;

/// A file and how far it was read.
pub(super) struct Tail {
    file: InputFile,
    open: Option<TextFile>,
    /// Where to go on when it is opened.
    offset: u64,
    line: u64,
    head: Head,
    /// What it is packed with, once there is enough of it to tell. A packed file is whole when it has stopped changing, and does not
    /// grow after it.
    kind: Option<Compression>,
    settled: bool,
    /// As it was when its packed text was found to end too early: it is looked at again when it has changed.
    cut_short: Option<InputFile>,
    /// What was read of it before it was begun anew.
    anew: Anew,
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
        let kind = shape.compression.of_file(&file);
        // What was read in part had settled before.
        let (settled, missed) = (offset > 0, usize::from(offset > 0));
        let (open, done, cut_short) = (None, false, None);
        Tail {
            file,
            open,
            offset,
            line,
            head,
            kind,
            settled,
            cut_short,
            anew: Anew::default(),
            missed,
            done,
            former: None,
            predecessors: Vec::new(),
            likeness: Likeness::Unknown,
        }
    }

    /// It was called like this when it was read last, and may have been read to its end.
    pub(super) fn known_as(mut self, known: &FollowedFile) -> Tail {
        self.done = known.end == Some(known.offset) && self.is_packed();
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
        if self.is_packed() { u64::MAX } else { self.file.size_bytes }
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
        self.kind.is_some_and(|kind| kind != Compression::None)
    }

    /// What it is packed with, as far as that can be told.
    pub(super) fn kind(&self) -> Compression {
        self.kind.unwrap_or(Compression::None)
    }

    /// Whether it is packed, and nothing of it was read.
    pub(super) fn is_unread_packed(&self) -> bool {
        self.is_packed() && self.open.is_none() && self.offset == 0 && !self.done
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

    /// It has the beginning of another file's text, but not all of it: it is still being written.
    pub(super) fn is_cut_short(&mut self) {
        (self.settled, self.likeness) = (false, Likeness::Unknown);
        self.cut_short = Some(self.file.clone());
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
        let end = (self.done && self.is_packed()).then_some(offset);
        FollowedFile { file, former, device, inode, head_bytes: self.head.bytes, head_hash: self.head.hash, offset, line, end }
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
        Ok(if self.is_packed() || self.look()? { self.size_bytes() } else { self.read_bytes() })
    }

    /// Whether there is something in a file of which nothing was read. It is opened, so that it can be read wherever it goes.
    ///
    /// # Errors
    /// When it can't be looked at.
    pub(super) fn has_begun_to_fill(&mut self, shape: &TextShape) -> Result<bool> {
        if self.kind.is_none() && !(self.look()? && self.tell_kind(shape)) {
            return Ok(false);
        }
        Ok(self.is_packed() || (self.look()? && (self.open.is_some() || self.try_open(shape)?)))
    }

    /// Another file is gone; its packed copy, if there is one, goes on in its place.
    pub(super) fn is_gone(&mut self, id: FileId, copy: Option<FileId>) {
        if self.likeness == Likeness::Of(id) {
            self.likeness = Likeness::Unknown;
        }
        succession::is_gone(&mut self.predecessors, id, copy.filter(|copy| *copy != self.file.id));
    }

    /// Whether it can be forgotten.
    pub(super) fn is_over(&self) -> bool {
        self.done && !self.is_listed()
    }

    /// It is among the files of the path, perhaps under another name; false when that one only has its number, and is another file.
    pub(super) fn was_listed(&mut self, file: InputFile, shape: &TextShape) -> bool {
        // The number of a file that is open is nobody else's.
        if self.open.is_none() && file != self.file && self.head.bytes > 0 && !self.head.is_of(&file.path) {
            return false;
        }
        self.settled |= file.size_bytes == self.file.size_bytes && self.cut_short.as_ref().is_none_or(|cut| cut.changed != file.changed);
        (self.missed, self.done) = (0, self.done && self.is_packed());
        let before = std::mem::replace(&mut self.file, file);
        if before.name != self.file.name {
            self.former = Some(before.name);
            if self.open.is_none() && self.offset == 0 {
                self.kind = shape.compression.of_file(&self.file);
            }
        }
        true
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
        let is_gone = self.missed > LISTINGS_AFTER_ROTATION;
        if self.done || !(self.kind.is_some() || is_gone || (self.look()? && self.tell_kind(shape))) {
            return Ok(Err(buffer));
        }
        if self.is_packed() && !(self.settled && self.anew_in_packed()) {
            return Ok(Err(buffer));
        }
        let last = self.is_packed() || is_gone;
        if !self.is_packed() && !self.look()? && !last {
            return Ok(Err(buffer));
        }
        match self.next_of_open(buffer, shape, last, is_gone) {
            Err(error) if self.is_packed() && is_cut_short(&error) => {
                if self.cut_short.is_none() {
                    tracing::warn!("{error}; it is read on when the rest has come");
                }
                if let Some(open) = self.open.take() {
                    (self.offset, self.line) = open.stand();
                }
                self.is_cut_short();
                Ok(Err(Vec::new()))
            }
            placed => placed,
        }
    }

    fn next_of_open(&mut self, buffer: Vec<u8>, shape: &TextShape, last: bool, is_gone: bool) -> Result<Result<PlacedBlock, Vec<u8>>> {
        if self.open.is_none() && !self.try_open(shape)? {
            // One that is there has another name by now, as the next listing says.
            self.done |= is_gone;
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

    /// Asks what it is packed with, now that something is in it; false when that cannot be told yet, or it has just turned out to be
    /// packed, and may not be whole.
    fn tell_kind(&mut self, shape: &TextShape) -> bool {
        self.kind = shape.compression.of_file(&self.file);
        self.settled = false;
        if self.kind == Some(Compression::None) {
            self.anew.say(&self.file.name);
        }
        self.kind == Some(Compression::None)
    }

    /// Of a packed file in the place of a plain one: goes on where that one stood if it is its text.
    fn anew_in_packed(&mut self) -> bool {
        let Some(before) = self.anew.before().filter(|_| self.open.is_none() && self.offset == 0) else { return true };
        match copies::continues(&self.file, before.head, before.offset, self.kind()) {
            Some(true) => {
                self.anew.forget();
                self.go_on_at(before.offset, before.line);
            }
            Some(false) => self.anew.say(&self.file.name),
            None => self.is_cut_short(),
        }
        self.settled
    }

    /// Looks at the file; true when it has grown. One that is shorter than it was, or begins otherwise, is another one in its place.
    fn look(&mut self) -> Result<bool> {
        let failed = |error| super::super::cannot_read(&self.file.name, error);
        let now = match &self.open {
            Some(open) => self.file.again(&open.input().file().metadata().map_err(failed)?),
            // Gone, or another one has its name: the next listing tells.
            None => match InputFile::new(&self.file.path, &self.file.name) {
                Ok(file) if file.id == self.file.id => file,
                _ => return Ok(false),
            },
        };
        self.file.size_bytes = now.size_bytes;
        if now.size_bytes == self.read_bytes() {
            return Ok(false);
        }
        let same_head = match &self.open {
            Some(open) => self.head.is_of_open(open.input().file()),
            None => self.head.is_of(&self.file.path),
        };
        if now.size_bytes < self.read_bytes() || !same_head {
            let (offset, line) = self.stand();
            if !self.anew.begin(self.head, offset, line, &now) {
                return Ok(false);
            }
            (self.open, self.offset, self.line, self.head, self.kind) = (None, 0, 1, Head::of(&[]), None);
            self.likeness = Likeness::Unknown;
        }
        Ok(now.size_bytes > self.read_bytes())
    }

    /// False when it is not there, or only a part of its header is.
    fn try_open(&mut self, shape: &TextShape) -> Result<bool> {
        if !self.file.path.is_file() {
            return Ok(false);
        }
        let packed = TextShape { compression: self.kind(), ..shape.clone() };
        let opened = match self.offset {
            0 => TextFile::open(&self.file, &packed, if self.is_packed() { Ending::Final } else { Ending::Open }),
            offset => TextFile::resume(&self.file, &packed, offset, self.line).map(Some),
        };
        // Another one may have come under its name or number meanwhile, or it went in this very moment.
        let is_still = || self.file.is_there() && self.head.is_of(&self.file.path) && shape.compression.of_file(&self.file) == self.kind;
        if opened.is_err() && !is_still() {
            self.kind = self.kind.filter(|_| self.offset > 0);
            return Ok(false);
        }
        let is_it = |open: &TextFile| {
            let file = open.input().file();
            file.metadata().is_ok_and(|metadata| FileId::of(&metadata) == self.file.id) && self.head.is_of_open(file)
        };
        self.open = opened?.filter(is_it);
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

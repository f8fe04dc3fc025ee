//! Files that are followed: read on as they grow, are rotated, or come.
//!
//! A file is known by its number on its file system and by how it begins, never by its name alone: so a file that was renamed goes
//! on where it stood, and one that came under its name is read from its beginning. Files are looked for again every
//! [`IDLE_LOOKS`] looks at which none had grown, and every [`PIECES`] pieces. The rows of all files are one split, in the order in
//! which they are read: what is there at the start in the order of names, then as it comes. A file that came under the name of
//! another one waits until that one is read ([`succession`]), and a packed copy of one that was read is none ([`copies`]).

mod copies;
mod succession;
mod tail;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use millstream_api::error::Result;

use self::succession::Predecessor;
use self::tail::{Head, Tail};
use super::blocks::TextShape;
use super::compression::Compression;
use super::paths::{FileId, InputFile, list};
use super::position::{FollowPosition, FollowedFile};
use super::reading::{Mark, Piece, Reading, Step, Work};

/// After so many looks without rows the files are listed again: a second, at ten looks a second.
const IDLE_LOOKS: usize = 10;

/// After so many pieces they are listed, too.
const PIECES: usize = 64;

/// Of more files than these only those stay open that are growing.
const MOST_OPEN: usize = 256;

/// All files of a path, as they grow.
pub(super) struct Followed {
    folder: PathBuf,
    path: String,
    shape: TextShape,
    /// The files, those that were found first before the others.
    tails: Vec<Tail>,
    /// The one whose turn it is, and how far it may read in it.
    at: usize,
    turn_end_bytes: Option<u64>,
    /// Files that are gone, for the next piece to say.
    forgotten: Vec<FileId>,
    /// Packed copies that go on where files stood that are gone.
    came: Vec<FollowedFile>,
    idle_looks: usize,
    pieces: usize,
    /// Whether the last listing has failed, so that it is said once.
    failing: bool,
}

impl Followed {
    /// Where `position` says, with files that it does not know at their beginning.
    ///
    /// # Errors
    /// Only internal ones: what is not there may come.
    pub(super) fn new(folder: PathBuf, path: String, shape: TextShape, position: &FollowPosition) -> Result<Self> {
        let mut followed = Followed {
            folder,
            path,
            shape,
            tails: Vec::new(),
            at: 0,
            turn_end_bytes: None,
            forgotten: Vec::new(),
            came: Vec::new(),
            idle_looks: 0,
            pieces: 0,
            failing: false,
        };
        let listed = followed.listed().unwrap_or_default();
        let mut copies = BTreeMap::new();
        for known in &position.files {
            if let Some(copy) = followed.go_on(known, position, &listed) {
                copies.insert((known.device, known.inode), copy);
            }
        }
        let names = position.files.iter().flat_map(|known| {
            let original = FileId { device: known.device, inode: known.inode };
            let id = *copies.get(&(known.device, known.inode)).unwrap_or(&original);
            [Some(&known.file), known.former.as_ref()].into_iter().flatten().map(move |name| (name.clone(), id))
        });
        followed.take_note_of_files(names.collect());
        // Those that were found under no name of the path are what is left of rotated files: older than what is there.
        followed.tails.sort_by(|a, b| a.is_listed().cmp(&b.is_listed()).then_with(|| a.name().as_bytes().cmp(b.name().as_bytes())));
        Ok(followed)
    }

    /// Finds a file of which something was read, under its name or another one, or else a packed copy: which one that is.
    fn go_on(&mut self, known: &FollowedFile, position: &FollowPosition, listed: &[InputFile]) -> Option<FileId> {
        let id = FileId { device: known.device, inode: known.inode };
        let head = Head { bytes: known.head_bytes, hash: known.head_hash };
        let same_id = listed.iter().filter(|file| file.id == id);
        let same_name = listed.iter().filter(|file| *file.name == *known.file);
        let is_it = |file: &InputFile| head.is_of(&file.path) && !self.tails.iter().any(|tail| tail.id() == file.id);
        let beside = || files_beside(&self.folder, &known.file).into_iter().find(|file| file.id == id && is_it(file));
        let found = same_id.chain(same_name).find(|file| is_it(file)).cloned().or_else(beside);
        if found.as_ref().is_none_or(|file| file.id != id) {
            self.forgotten.push(id);
        }
        if let Some(file) = found {
            self.tails.push(Tail::going_on(file, &self.shape, head, known.offset, known.line).once_called(known));
            return None;
        }
        let copy = self.go_on_in_copy(known, position, listed);
        if copy.is_none() {
            tracing::warn!(
                "`{}` is gone, of which {} bytes had been read: what was written to it after them is not read",
                known.file,
                known.offset
            );
        }
        copy
    }

    /// Finds the packed copy of a file that is gone.
    fn go_on_in_copy(&mut self, known: &FollowedFile, position: &FollowPosition, listed: &[InputFile]) -> Option<FileId> {
        let (head, compression) = (Head { bytes: known.head_bytes, hash: known.head_hash }, self.shape.compression);
        if compression.of(&known.file) != Compression::None {
            return None;
        }
        let is_new = |file: &&InputFile| {
            let is_known = position.files.iter().any(|known| (known.device, known.inode) == (file.id.device, file.id.inode));
            compression.of(&file.name) != Compression::None && !is_known && !self.tails.iter().any(|tail| tail.id() == file.id)
        };
        let copy = listed.iter().filter(is_new).find(|file| copies::continues(file, head, known.offset, compression))?;
        let mut tail = Tail::new(copy.clone(), &self.shape, Vec::new());
        tail.go_on_at(known.offset, known.line);
        self.came.push(tail.followed());
        self.tails.push(tail);
        Some(copy.id)
    }

    fn listed(&mut self) -> Option<Vec<InputFile>> {
        match list(&self.folder, &self.path) {
            Ok(files) => {
                self.failing = false;
                Some(files)
            }
            Err(none) if none.code == "path-not-found" => Some(Vec::new()),
            // A file may go while its folder is being read; the next listing does without it.
            Err(failure) => {
                if !std::mem::replace(&mut self.failing, true) {
                    tracing::warn!("{}; trying again", failure.message);
                }
                None
            }
        }
    }

    /// Takes note of files that came, were renamed or went.
    fn look_for_files(&mut self) {
        self.take_note_of_files(self.tails.iter().map(|tail| (tail.name().to_owned(), tail.id())).collect());
    }

    /// The same; `names` says what the files were called before.
    fn take_note_of_files(&mut self, names: Vec<(String, FileId)>) {
        (self.idle_looks, self.pieces) = (0, 0);
        let Some(listed) = self.listed() else { return };
        let known: BTreeMap<FileId, usize> = self.tails.iter().enumerate().map(|(index, tail)| (tail.id(), index)).collect();
        let mut seen = vec![false; self.tails.len()];
        for file in listed {
            match known.get(&file.id) {
                Some(&index) => {
                    self.tails[index].was_listed(file);
                    seen[index] = true;
                }
                None => {
                    let before = names.iter().filter(|(name, id)| **name == *file.name && *id != file.id);
                    let predecessors = before.map(|(_, id)| Predecessor::new(*id)).collect();
                    self.tails.push(Tail::new(file, &self.shape, predecessors));
                }
            }
        }
        let unseen = self.tails.iter_mut().zip(seen).filter(|(_, seen)| !seen);
        unseen.for_each(|(tail, _)| tail.was_not_listed());
        for over in 0..self.tails.len() {
            if self.tails[over].is_over()
                && let Some(copy) = copies::hand_over(&mut self.tails, over, &self.shape)
            {
                self.came.push(self.tails[copy].followed());
            }
        }
        // Of what gave no rows no position knows.
        let gone = self.tails.iter().filter(|tail| tail.is_over() && tail.head().bytes > 0).map(Tail::id);
        self.forgotten.extend(gone);
        self.tails.retain(|tail| !tail.is_over());
        succession::give_up_on_those_that_stand(&mut self.tails);
    }

    /// The next piece of the file whose turn it is, or of one after it. Each has its turn to the end that it had when its turn
    /// began, so that one that grows all the time does not keep the others waiting.
    fn next_piece(&mut self, mut buffer: Vec<u8>) -> Result<Option<Piece>> {
        for _ in 0..self.tails.len() {
            self.at %= self.tails.len();
            if copies::waits(&mut self.tails, self.at, &self.shape) || !succession::may_begin(&mut self.tails, self.at, &self.shape)? {
                (self.at, self.turn_end_bytes) = (self.at + 1, None);
                continue;
            }
            let most_open = self.tails.len() <= MOST_OPEN;
            let tail = &mut self.tails[self.at];
            let placed = match tail.next(buffer, &self.shape)? {
                Ok(placed) => placed,
                Err(unused) => {
                    if !most_open {
                        tail.close();
                    }
                    (buffer, self.at, self.turn_end_bytes) = (unused, self.at + 1, None);
                    continue;
                }
            };
            let (id, Head { bytes: head_bytes, hash: head_hash }) = (tail.id(), tail.head());
            if tail.read_bytes() >= *self.turn_end_bytes.get_or_insert(tail.size_bytes()) {
                (self.at, self.turn_end_bytes) = (self.at + 1, None);
            }
            let former = tail.former();
            let mark = Mark {
                id,
                head_bytes,
                head_hash,
                former,
                forgotten: std::mem::take(&mut self.forgotten),
                came: std::mem::take(&mut self.came),
            };
            return Ok(Some(Piece { split: 0, work: Work::Block(placed), mark: Some(Box::new(mark)) }));
        }
        Ok(None)
    }
}

impl Reading for Followed {
    fn next(&mut self, buffer: Vec<u8>) -> Result<Step> {
        if self.idle_looks >= IDLE_LOOKS || self.pieces >= PIECES {
            self.look_for_files();
        }
        match self.next_piece(buffer)? {
            Some(piece) => {
                self.pieces += 1;
                Ok(Step::Piece(piece))
            }
            None => {
                self.idle_looks += 1;
                Ok(Step::Later)
            }
        }
    }
}

/// The files in the folder of a file: where those are that are rotated.
fn files_beside(folder: &Path, name: &str) -> Vec<InputFile> {
    let Some(parent) = Path::new(name).parent() else { return Vec::new() };
    let entries = fs::read_dir(folder.join(parent)).into_iter().flatten().flatten();
    let files = entries.filter_map(|entry| InputFile::new(&entry.path(), &parent.join(entry.file_name()).display().to_string()).ok());
    files.filter(|file| file.path.is_file()).collect()
}

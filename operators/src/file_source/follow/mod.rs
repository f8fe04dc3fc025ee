//! Files that are followed: read on as they grow, are rotated, or come.
//!
//! A file is known by its number on its file system and by how it begins, never by its name alone: so a file that was renamed goes
//! on where it stood, and one that came under its name is read from its beginning. Files are looked for again every
//! [`IDLE_LOOKS`] looks at which none had grown, and every [`PIECES`] pieces. The rows of all files are one split, in the order in
//! which they are read: what is there at the start in the order of names, then as it comes. A file that came under the name of
//! another one waits until that one is read ([`succession`]), and a packed copy of one that was read is none ([`copies`]).

mod anew;
mod copies;
mod head;
mod succession;
mod tail;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use millstream_api::error::Result;

use self::head::Head;
use self::succession::Predecessor;
use self::tail::Tail;
use super::blocks::TextShape;
use super::compression::Compression;
use super::paths::{FileId, InputFile, list};
use super::position::{FollowPosition, FollowedFile};
use super::reading::{Mark, Piece, Reading, Step, Work};

/// After so many looks without rows the files are listed again: a second, at ten looks a second.
const IDLE_LOOKS: usize = 10;

/// After so many pieces they are listed, too.
const PIECES: usize = 64;

/// So often the files are listed at a start at most, while they are being renamed.
const MOST_LISTINGS_AT_START: usize = 20;

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
        let (found, listed) = followed.find(position);
        let names = found
            .iter()
            .flat_map(|(known, id)| [Some(&known.file), known.former.as_ref()].into_iter().flatten().map(move |name| (name.clone(), *id)));
        followed.take_note_of_files(listed, names.collect());
        // Those that were found under no name of the path are what is left of rotated files: older than what is there.
        followed.tails.sort_by(|a, b| a.is_listed().cmp(&b.is_listed()).then_with(|| a.name().as_bytes().cmp(b.name().as_bytes())));
        Ok(followed)
    }

    /// Finds the files of which something was read. What rotates them may do so at this moment: while something is missing, and until
    /// two listings are the same, they are listed again.
    fn find<'a>(&mut self, position: &'a FollowPosition) -> (Vec<(&'a FollowedFile, FileId)>, Vec<InputFile>) {
        let mut missing: Vec<&FollowedFile> = position.files.iter().collect();
        let (mut found, mut listed) = (Vec::new(), None);
        for _ in 0..MOST_LISTINGS_AT_START {
            let before = std::mem::replace(&mut listed, self.listed());
            let files = listed.as_deref().unwrap_or_default();
            // Numbers first: a name says the least.
            for find in [Followed::find_by_number, Followed::find_by_name, Followed::find_copy] {
                missing.retain(|known| match find(self, known, position, files) {
                    Some(id) => {
                        found.push((*known, id));
                        false
                    }
                    None => true,
                });
            }
            if listed.is_some() && (missing.is_empty() || before == listed) {
                break;
            }
        }
        for known in missing {
            self.forgotten.push(FileId { device: known.device, inode: known.inode });
            if known.end != Some(known.offset) {
                say_gone(&known.file, known.offset);
            }
        }
        (found, listed.unwrap_or_default())
    }

    /// Finds a file of which something was read, by its number and how it begins, whatever it is called now.
    fn find_by_number(&mut self, known: &FollowedFile, _: &FollowPosition, listed: &[InputFile]) -> Option<FileId> {
        let is_it = |file: &&InputFile| self.is_free(file.id) && is_known_as(file, known);
        let beside = || files_beside(&self.folder, &known.file).into_iter().find(|file| is_it(&file));
        let file = listed.iter().find(is_it).cloned().or_else(beside)?;
        Some(self.go_on_in(file, known))
    }

    /// Finds what has come in the place of a file that is gone: one that begins like it under its name.
    fn find_by_name(&mut self, known: &FollowedFile, _: &FollowPosition, listed: &[InputFile]) -> Option<FileId> {
        let is_it = |file: &&InputFile| *file.name == *known.file && self.is_free(file.id) && head_of(known).is_of(&file.path);
        let file = listed.iter().find(is_it)?.clone();
        let id = self.go_on_in(file, known);
        self.forgotten.push(FileId { device: known.device, inode: known.inode });
        self.came.extend(self.tails.last().map(Tail::followed));
        Some(id)
    }

    fn go_on_in(&mut self, file: InputFile, known: &FollowedFile) -> FileId {
        let tail = Tail::going_on(file, &self.shape, head_of(known), known.offset, known.line).known_as(known);
        let id = tail.id();
        self.tails.push(tail);
        id
    }

    /// Whether none of the files that were found is this one.
    fn is_free(&self, id: FileId) -> bool {
        self.tails.iter().all(|tail| tail.id() != id)
    }

    /// Finds the packed copy of a file that is gone.
    fn find_copy(&mut self, known: &FollowedFile, position: &FollowPosition, listed: &[InputFile]) -> Option<FileId> {
        if known.end.is_some() {
            return None;
        }
        let compression = self.shape.compression;
        let is_new = |file: &&InputFile| self.is_free(file.id) && !position.files.iter().any(|known| is_known_as(file, known));
        let is_copy = |file: &&InputFile| match compression.of_file(file) {
            None | Some(Compression::None) => false,
            Some(packed) => copies::continues(file, head_of(known), known.offset, packed) == Some(true),
        };
        let copy = listed.iter().filter(is_new).find(is_copy)?.clone();
        let mut tail = Tail::new(copy, &self.shape, Vec::new());
        tail.go_on_at(known.offset, known.line);
        let id = tail.id();
        self.forgotten.push(FileId { device: known.device, inode: known.inode });
        self.came.push(tail.followed());
        self.tails.push(tail);
        Some(id)
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
        (self.idle_looks, self.pieces) = (0, 0);
        let names = self.tails.iter().map(|tail| (tail.name().to_owned(), tail.id())).collect();
        if let Some(listed) = self.listed() {
            self.take_note_of_files(listed, names);
        }
    }

    /// The same; `names` says what the files were called before.
    fn take_note_of_files(&mut self, listed: Vec<InputFile>, names: Vec<(String, FileId)>) {
        let known: BTreeMap<FileId, usize> = self.tails.iter().enumerate().map(|(index, tail)| (tail.id(), index)).collect();
        let mut seen = vec![false; self.tails.len()];
        let mut replaced = Vec::new();
        for file in listed {
            if let Some(&index) = known.get(&file.id) {
                seen[index] = true;
                if self.tails[index].was_listed(file.clone(), &self.shape) {
                    continue;
                }
                replaced.push(index);
            }
            let before = names.iter().filter(|(name, id)| **name == *file.name && *id != file.id);
            let predecessors = before.map(|(_, id)| Predecessor::new(*id)).collect();
            self.tails.push(Tail::new(file, &self.shape, predecessors));
        }
        let unseen = self.tails.iter_mut().zip(seen).filter(|(_, seen)| !seen);
        unseen.for_each(|(tail, _)| tail.was_not_listed());
        let over = |(index, tail): (usize, &Tail)| (tail.is_over() && !replaced.contains(&index)).then_some(index);
        let mut gone: Vec<usize> = self.tails.iter().enumerate().filter_map(over).collect();
        gone.extend(&replaced);
        self.forget(gone, &replaced);
        succession::give_up_on_those_that_stand(&mut self.tails);
    }

    /// Forgets files that are gone; copies of them go on where they stood. Of some the number was given to another file: those are
    /// gone although nobody had seen them go.
    fn forget(&mut self, mut gone: Vec<usize>, replaced: &[usize]) {
        for &index in &gone {
            let id = self.tails[index].id();
            // Of what gave no rows no position knows.
            if self.tails[index].head().bytes > 0 {
                self.forgotten.push(id);
                self.came.retain(|file| (file.device, file.inode) != (id.device, id.inode));
            }
            let copy = copies::hand_over(&mut self.tails, index);
            if copy.is_none() && replaced.contains(&index) && !self.tails[index].is_done() {
                say_gone(self.tails[index].name(), self.tails[index].taken_bytes());
            }
            let copy_id = copy.map(|copy| self.tails[copy].id());
            self.tails.iter_mut().for_each(|tail| tail.is_gone(id, copy_id));
            self.came.extend(copy.map(|copy| self.tails[copy].followed()));
        }
        gone.sort_unstable();
        for index in gone.into_iter().rev() {
            self.tails.remove(index);
        }
    }

    /// The next piece of the file whose turn it is, or of one after it. Each has its turn to the end that it had when its turn
    /// began, so that one that grows all the time does not keep the others waiting.
    fn next_piece(&mut self, mut buffer: Vec<u8>) -> Result<Option<Piece>> {
        for _ in 0..self.tails.len() {
            self.at %= self.tails.len();
            if copies::waits(&mut self.tails, self.at) || !succession::may_begin(&mut self.tails, self.at, &self.shape)? {
                (self.at, self.turn_end_bytes) = (self.at + 1, None);
                continue;
            }
            let most_open = self.tails.len() <= MOST_OPEN;
            let tail = &mut self.tails[self.at];
            let was_done = tail.is_done();
            let placed = match tail.next(buffer, &self.shape)? {
                Ok(placed) => placed,
                Err(unused) => {
                    if tail.is_packed() && tail.is_done() && !was_done {
                        // Where it ends is said with the next piece.
                        self.came.push(tail.followed());
                    }
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

fn head_of(known: &FollowedFile) -> Head {
    Head { bytes: known.head_bytes, hash: known.head_hash }
}

/// Whether a file has the number that is known of one, and begins like it. Numbers are used again.
fn is_known_as(file: &InputFile, known: &FollowedFile) -> bool {
    (file.id.device, file.id.inode) == (known.device, known.inode) && head_of(known).is_of(&file.path)
}

fn say_gone(name: &str, read_bytes: u64) {
    tracing::warn!("`{name}` is gone, of which {read_bytes} bytes had been read: what was written to it after them is not read");
}

/// The files in the folder of a file: where those are that are rotated.
fn files_beside(folder: &Path, name: &str) -> Vec<InputFile> {
    let Some(parent) = Path::new(name).parent() else { return Vec::new() };
    let entries = fs::read_dir(folder.join(parent)).into_iter().flatten().flatten();
    let files = entries.filter_map(|entry| InputFile::new(&entry.path(), &parent.join(entry.file_name()).display().to_string()).ok());
    files.filter(|file| file.path.is_file()).collect()
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::super::blocks::{Division, Framing};
    use super::super::compression::Compression;
    use super::*;

    fn gzip(text: &str) -> Vec<u8> {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        encoder.write_all(text.as_bytes()).unwrap();
        encoder.finish().unwrap()
    }

    /// What can be read when the files have been listed so often.
    fn text_after(listings: usize, files: &mut Followed) -> String {
        (0..listings).for_each(|_| files.look_for_files());
        let pieces = std::iter::from_fn(|| files.next_piece(Vec::new()).unwrap());
        let text = pieces.map(|piece| match piece.work {
            Work::Block(placed) => String::from_utf8(placed.block.bytes).unwrap(),
            _ => panic!("text is not read in ranges where it is followed"),
        });
        text.collect()
    }

    #[test]
    fn a_packed_copy_that_waits_holds_nobody_up() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        let (framing, compression) = (Framing::Lines, Compression::Auto);
        let shape = TextShape { framing, compression, block_bytes: 4096, division: Division::CountedWhenRead };
        fs::write(at("a.log.1"), "one\n").unwrap();
        let mut files = Followed::new(folder.path().to_owned(), "a.log*".to_owned(), shape, &FollowPosition::default()).unwrap();
        assert_eq!(text_after(0, &mut files), "one\n");
        fs::write(at("a.log.1.gz"), gzip("one\n")).unwrap();
        assert_eq!(text_after(2, &mut files), "");
        fs::rename(at("a.log.1.gz"), at("a.log.2.gz")).unwrap();
        fs::write(at("a.log.1.gz"), gzip("two\n")).unwrap();
        assert_eq!(text_after(2, &mut files), "two\n");
    }
}

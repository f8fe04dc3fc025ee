//! In which order files are read, and piece by piece: one after the other as one split, or side by side as a split each.

use std::sync::Arc;

use millstream_api::error::{Error, ErrorKind, Result};
use millstream_api::source::Pauses;

use super::blocks::{Ending, PlacedBlock, TextFile, TextShape};
use super::parquet::{ParquetFile, ParquetShape, RowGroup};
use super::paths::{FileId, InputFile};
use super::position::{FilePosition, FollowedFile, Place};
use super::ranges::{LineRange, RangedFile};

/// Gives the pieces of the input, one thread at a time.
pub(crate) trait Reading: Send {
    /// What comes next. `buffer` is room for a block; what is in it does not matter.
    ///
    /// # Errors
    /// When a file can't be read.
    fn next(&mut self, buffer: Vec<u8>) -> Result<Step>;
}

/// What a [`Reading`] gives.
pub(crate) enum Step {
    /// Something to decode.
    Piece(Piece),
    /// This split is over.
    SplitEnd(u32),
    /// There is nothing now, but there may be later.
    Later,
    /// All is read.
    End,
}

/// A part of a file that one thread decodes.
pub(crate) struct Piece {
    pub(crate) split: u32,
    pub(crate) work: Work,
    /// Which file it is of, where files are followed.
    pub(crate) mark: Option<Box<Mark>>,
}

/// What is to be decoded.
pub(crate) enum Work {
    Block(PlacedBlock),
    Lines(LineRange),
    RowGroup(RowGroup),
}

/// What a position must know of a file that is followed.
#[derive(Clone, Debug)]
pub(crate) struct Mark {
    pub(crate) id: FileId,
    pub(crate) head_bytes: usize,
    pub(crate) head_hash: u64,
    /// What it was called before its present name.
    pub(crate) former: Option<Arc<str>>,
    /// Files that have been given up since the piece before: nothing more comes from them.
    pub(crate) forgotten: Vec<FileId>,
    /// Files that go on where some of those stood.
    pub(crate) came: Vec<FollowedFile>,
}

/// How files are read.
#[derive(Clone, Debug)]
pub(crate) enum FileShape {
    Text(TextShape),
    Parquet(ParquetShape),
}

/// Reads splits of which each has its own files.
pub(crate) struct Splits {
    /// Those that are not over, with their numbers.
    lists: Vec<(u32, FileList)>,
    /// Those that are to be left for a while.
    pauses: Pauses,
}

impl Splits {
    /// All files as one split, in their order.
    ///
    /// # Errors
    /// When the position is not in one of these files.
    pub(crate) fn one(files: Arc<[InputFile]>, shape: FileShape, position: Option<&FilePosition>) -> Result<Self> {
        Ok(Splits { lists: vec![(0, FileList::new(files, Arc::new(shape), position)?)], pauses: Pauses::default() })
    }

    /// Each file as a split, each where its position says. `pauses` say which are to be left.
    ///
    /// # Errors
    /// When a position is not in its file.
    pub(crate) fn each(files: &[InputFile], shape: FileShape, positions: &[(u32, FilePosition)], pauses: Pauses) -> Result<Self> {
        let shape = Arc::new(shape);
        let list = |(split, file): (usize, &InputFile)| {
            let split = split as u32;
            let position = positions.iter().find(|(of, _)| *of == split).map(|(_, position)| position);
            Ok((split, FileList::new([file.clone()].into(), shape.clone(), position)?))
        };
        Ok(Splits { lists: files.iter().enumerate().map(list).collect::<Result<_>>()?, pauses })
    }
}

impl Reading for Splits {
    /// Of several splits the one of which the smallest part was read goes on: files of the same span of time, however different in
    /// size, so stay near each other in event time. Those that are to be left are left at the end of a piece.
    fn next(&mut self, buffer: Vec<u8>) -> Result<Step> {
        let read_on = self.lists.iter().enumerate().filter(|(_, (split, _))| !self.pauses.is_paused(*split));
        let least = read_on.min_by(|(_, (_, a)), (_, (_, b))| a.part_read().total_cmp(&b.part_read()));
        let Some(index) = least.map(|(index, _)| index) else {
            return Ok(if self.lists.is_empty() { Step::End } else { Step::Later });
        };
        let (split, list) = &mut self.lists[index];
        let split = *split;
        match list.next(buffer)? {
            Some(work) => Ok(Step::Piece(Piece { split, work, mark: None })),
            None => {
                self.lists.remove(index);
                Ok(Step::SplitEnd(split))
            }
        }
    }
}

/// Files that are read one after the other.
struct FileList {
    files: Arc<[InputFile]>,
    shape: Arc<FileShape>,
    /// The next file to open.
    next_file: usize,
    open: Option<OpenFile>,
    /// Bytes of the files before the open one, and of all.
    done_bytes: u64,
    all_bytes: u64,
}

enum OpenFile {
    Text(Box<TextFile>),
    Lines(Box<RangedFile>),
    Parquet(ParquetFile),
}

impl FileList {
    fn new(files: Arc<[InputFile]>, shape: Arc<FileShape>, position: Option<&FilePosition>) -> Result<Self> {
        let all_bytes = files.iter().map(|file| file.size_bytes).sum();
        let mut list = FileList { files, shape, next_file: 0, open: None, done_bytes: 0, all_bytes };
        if let Some(position) = position {
            list.resume(position)?;
        }
        Ok(list)
    }

    fn resume(&mut self, position: &FilePosition) -> Result<()> {
        let Some(index) = self.files.iter().position(|file| *file.name == *position.file) else {
            return Err(Error::new(ErrorKind::State, format!("`{}`, which was being read, is no longer there", position.file))
                .help("put it back, or start afresh with --fresh"));
        };
        let file = &self.files[index];
        self.open = Some(match (&*self.shape, position.place) {
            (FileShape::Text(shape), Place::Text { offset, line }) => {
                // Also says whether the file is still long enough.
                let open = TextFile::resume(file, shape, offset, line)?;
                match RangedFile::open(file, shape)? {
                    Some(ranged) => OpenFile::Lines(Box::new(ranged.from(offset, line))),
                    None => OpenFile::Text(Box::new(open)),
                }
            }
            (FileShape::Parquet(shape), Place::Rows { row_group, row }) => {
                OpenFile::Parquet(ParquetFile::resume(file, shape, row_group, row)?)
            }
            _ => {
                let message = format!("`{}` was being read in another format", position.file);
                return Err(Error::new(ErrorKind::State, message).help("set `format` as it was, or start afresh with --fresh"));
            }
        });
        self.done_bytes = self.files[..index].iter().map(|file| file.size_bytes).sum();
        self.next_file = index + 1;
        Ok(())
    }

    /// What of the files was read, from 0 to 1.
    fn part_read(&self) -> f64 {
        let in_file = match &self.open {
            Some(OpenFile::Text(open)) => open.input().consumed_bytes(),
            Some(OpenFile::Lines(open)) => open.given_bytes(),
            Some(OpenFile::Parquet(open)) => open.given_bytes(),
            None => 0,
        };
        (self.done_bytes + in_file) as f64 / self.all_bytes.max(1) as f64
    }

    fn next(&mut self, mut buffer: Vec<u8>) -> Result<Option<Work>> {
        loop {
            let open = match &mut self.open {
                Some(open) => open,
                None => match self.files.get(self.next_file) {
                    None => return Ok(None),
                    Some(file) => {
                        self.next_file += 1;
                        self.open.insert(OpenFile::new(file, &self.shape)?)
                    }
                },
            };
            match open.next(buffer, &self.shape)? {
                Ok(work) => return Ok(Some(work)),
                Err(unused) => buffer = unused,
            }
            self.open = None;
            self.done_bytes += self.files.get(self.next_file - 1).map_or(0, |file| file.size_bytes);
        }
    }
}

impl OpenFile {
    fn new(file: &InputFile, shape: &FileShape) -> Result<Self> {
        match shape {
            FileShape::Text(shape) => {
                if let Some(ranged) = RangedFile::open(file, shape)? {
                    return Ok(OpenFile::Lines(Box::new(ranged)));
                }
                let opened = TextFile::open(file, shape, Ending::Final)?;
                opened.map(|open| OpenFile::Text(Box::new(open))).ok_or_else(|| Error::internal("a file that is complete has no beginning"))
            }
            FileShape::Parquet(shape) => ParquetFile::open(file, shape).map(OpenFile::Parquet),
        }
    }

    /// The next piece; at the end of the file the buffer comes back.
    fn next(&mut self, buffer: Vec<u8>, shape: &FileShape) -> Result<Result<Work, Vec<u8>>> {
        match (self, shape) {
            (OpenFile::Text(open), FileShape::Text(shape)) => Ok(open.next(buffer, shape, Ending::Final)?.map(Work::Block)),
            (OpenFile::Parquet(open), _) => Ok(open.next().map(Work::RowGroup).ok_or(buffer)),
            (OpenFile::Lines(open), FileShape::Text(shape)) => Ok(open.next(shape.block_bytes, buffer).map(Work::Lines)),
            (OpenFile::Text(_) | OpenFile::Lines(_), FileShape::Parquet(_)) => Err(Error::internal("text is read as Parquet")),
        }
    }
}

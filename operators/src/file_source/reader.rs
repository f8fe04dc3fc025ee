//! The running part of the `file` source.

use std::collections::{BTreeMap, VecDeque};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use millstream_api::Source;
use millstream_api::error::{Error, Result};
use millstream_api::plan::{SourceContext, SourceFactory};
use millstream_api::source::{Next, Pauses, Position, Since, SourcePart, SourceRows, SplitStand};

use super::alone::Alone;
use super::blocks::Division;
use super::compression::Compression;
use super::follow::Followed;
use super::formats::Format;
use super::noted::{self, NotedFile};
use super::paths::{FileId, InputFile};
use super::pipeline::{Came, Decoder, Pipeline};
use super::placing::{Lines, PlacedBatch};
use super::position::{FilePosition, FollowPosition, FollowedFile, Place, from_position, to_position};
use super::reading::{FileShape, Mark, Reading, Splits};
use super::since::since;
use crate::decode::schema::{ColumnSpec, flowing};

/// Large enough that handing it over costs nothing and its batches have thousands of rows, small enough to stay in a core's cache
/// between reading and decoding.
const BLOCK_BYTES: usize = 1 << 20;

/// How long a followed file may have grown before anybody looks.
const POLL: Duration = Duration::from_millis(100);

/// How long before anybody looks whether a split that was left may be read on.
const POLL_PAUSED: Duration = Duration::from_millis(2);

/// In which order files are read, and when they end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Manner {
    /// One after the other, as one split.
    InOrder,
    /// Side by side, a split each.
    Together,
    /// As one split that does not end: as they grow and come.
    Follow,
}

/// Makes readers of the files that were there when the topology was planned, and of those that come where files are followed.
#[derive(Debug)]
pub(crate) struct FileFactory {
    folder: PathBuf,
    path: String,
    files: Arc<[InputFile]>,
    format: Format,
    columns: Vec<ColumnSpec>,
    manner: Manner,
    block_bytes: usize,
    poll: Duration,
}

impl FileFactory {
    /// For these files, which are those that `path`, relative to `folder`, means.
    pub(crate) fn new(folder: PathBuf, path: String, files: Vec<InputFile>, format: Format, columns: Vec<ColumnSpec>) -> Self {
        let (manner, files) = (Manner::InOrder, files.into());
        FileFactory { folder, path, files, format, columns, manner, block_bytes: BLOCK_BYTES, poll: POLL }
    }

    /// The same, with files read in another manner.
    pub(crate) fn reading(self, manner: Manner) -> Self {
        FileFactory { manner, ..self }
    }

    /// The same with blocks of another size and without long waits; for tests, where files are small.
    #[cfg(test)]
    pub(crate) fn with_block_bytes(self, block_bytes: usize) -> Self {
        FileFactory { block_bytes, poll: Duration::from_millis(1), ..self }
    }

    /// The same with another wait between two looks at files; for tests.
    #[cfg(test)]
    pub(crate) fn with_poll(self, poll: Duration) -> Self {
        FileFactory { poll, ..self }
    }

    /// The columns that are asked for, in the order of the shape.
    fn wanted(&self, context: &SourceContext) -> Result<Vec<ColumnSpec>> {
        let shape = context.outputs.first().ok_or_else(|| Error::internal("a file source without an output"))?;
        flowing(&self.columns, &shape.schema)
    }

    /// Whether positions are bytes of files that are read to their ends.
    fn counts_bytes(&self) -> bool {
        let plain = |compression: Compression| self.files.iter().all(|file| compression.of(&file.name) == Compression::None);
        match self.format {
            Format::Text(_, compression) => self.manner != Manner::Follow && plain(compression),
            Format::Parquet => false,
        }
    }

    /// What reads the files, and where each split stands. `alone`: one thread reads and decodes.
    fn reading_from(
        &self,
        wanted: &[ColumnSpec],
        positions: &[(u32, Position)],
        pauses: Option<&Pauses>,
        alone: bool,
    ) -> Result<(Box<dyn Reading>, Stands)> {
        let division = match self.manner {
            Manner::Follow => Division::CountedWhenRead,
            _ if alone => Division::CountedWhenDecoded,
            _ => Division::ReadByDecoders,
        };
        let shape = self.format.shape(&self.columns, wanted, self.block_bytes, division);
        if let (Manner::Follow, FileShape::Text(shape)) = (self.manner, &shape) {
            let position: FollowPosition = match positions.first() {
                Some((_, position)) => from_position(position)?,
                None => FollowPosition::default(),
            };
            let followed = Followed::new(self.folder.clone(), self.path.clone(), shape.clone(), &position)?;
            return Ok((Box::new(followed), Stands::followed(&position)?));
        }
        let read = |(split, position): &(u32, Position)| Ok((*split, from_position::<FilePosition>(position)?));
        let positions: Vec<(u32, FilePosition)> = positions.iter().map(read).collect::<Result<_>>()?;
        let splits = match pauses {
            Some(pauses) => Splits::each(&self.files, shape, &positions, pauses.clone())?,
            None => {
                let position = positions.first().map(|(_, position)| position);
                let files = noted::unread(&self.files, position);
                // What was read to its end before is not where to go on.
                let at = position.filter(|position| !position.is_read(&position.file));
                Splits::one(files.into(), shape, at)?
            }
        };
        let rows = positions.iter().map(|(split, position)| (*split, position.rows)).collect();
        Ok((Box::new(splits), Stands { rows, followed: None, noted: self.noted(&positions)? }))
    }

    /// What the positions of each split say of the files that are read.
    fn noted(&self, positions: &[(u32, FilePosition)]) -> Result<BTreeMap<u32, String>> {
        let before = |split: u32| positions.iter().find(|(of, _)| *of == split).map(|(_, position)| position);
        let noted: Vec<(u32, Vec<NotedFile>)> = match self.manner {
            Manner::Together => (0..).zip(self.files.chunks(1)).map(|(split, file)| (split, noted::note(file, before(split)))).collect(),
            Manner::InOrder | Manner::Follow => vec![(0, noted::note(&self.files, before(0)))],
        };
        noted.into_iter().filter(|(_, files)| !files.is_empty()).map(|(split, files)| Ok((split, to_position(&files)?.0))).collect()
    }

    /// The files, and in which order they are read.
    pub(super) fn input(&self) -> (&str, &[InputFile], Manner) {
        (&self.path, &self.files, self.manner)
    }
}

impl SourceFactory for FileFactory {
    fn splits(&self) -> Result<Vec<String>> {
        match self.manner {
            Manner::Together if !self.files.is_empty() => Ok(self.files.iter().map(|file| file.name.to_string()).collect()),
            _ => Ok(vec![self.path.clone()]),
        }
    }

    fn since(&self, stands: &[SplitStand]) -> Result<Since> {
        since(self, stands)
    }

    fn repeats(&self) -> bool {
        true
    }

    fn make(&self, context: &SourceContext) -> Result<Box<dyn Source>> {
        let wanted = self.wanted(context)?;
        let pauses = (self.manner == Manner::Together).then(|| Pauses::new(self.files.len()));
        let alone = self.manner == Manner::InOrder && context.workers <= 1;
        let (reading, stands) = self.reading_from(&wanted, &context.positions, pauses.as_ref(), alone)?;
        let decoder = || self.format.decoder(&wanted, context.batch_rows);
        let state = match decoder()? {
            Decoder::Text(decoder) if alone => State::Alone(Alone::new(reading, decoder)),
            first => {
                let others = (1..context.workers).map(|_| decoder());
                let decoders = std::iter::once(Ok(first)).chain(others).collect::<Result<_>>()?;
                let poll = if pauses.is_some() { POLL_PAUSED } else { self.poll };
                State::Sharing(Pipeline::start(reading, decoders, poll)?)
            }
        };
        Ok(Box::new(FileSource { state, pending: VecDeque::new(), lines: Lines::default(), stands, pauses }))
    }

    fn size_hint(&self) -> Option<u64> {
        self.counts_bytes().then(|| self.files.iter().map(|file| file.size_bytes).sum())
    }

    fn progress(&self, _: u32, position: &Position) -> Option<u64> {
        let FilePosition { file: name, place: Place::Text { offset, .. }, .. } = from_position(position).ok()? else { return None };
        let before = match self.manner {
            Manner::InOrder => self.files.iter().take_while(|file| *file.name != *name).map(|file| file.size_bytes).sum(),
            Manner::Together | Manner::Follow => 0,
        };
        self.counts_bytes().then(|| u64::saturating_add(before, offset))
    }
}

/// Hands on what is decoded.
struct FileSource {
    state: State,
    /// Batches of the piece that came last.
    pending: VecDeque<PlacedBatch>,
    lines: Lines,
    stands: Stands,
    /// Of files that are read side by side.
    pauses: Option<Pauses>,
}

enum State {
    /// Decoders beside this thread read and decode.
    Sharing(Pipeline),
    /// This thread does.
    Alone(Alone),
    /// All is read; the threads are gone.
    Ended,
}

impl Source for FileSource {
    fn next(&mut self, wait: Duration) -> Result<Next> {
        loop {
            if let Some(batch) = self.pending.pop_front() {
                return self.stands.rows_of(batch).map(Next::Rows);
            }
            let came = match &mut self.state {
                State::Sharing(pipeline) => pipeline.next(wait)?,
                State::Alone(alone) => alone.next()?,
                State::Ended => return Ok(Next::End),
            };
            match came {
                Came::Text(text) => self.pending.extend(self.lines.place(text)),
                Came::Group(batch) => self.pending.push_back(batch),
                Came::GroupEnd => {}
                Came::SplitEnd(split) => return Ok(Next::SplitEnd(split)),
                Came::Nothing => return Ok(Next::Nothing),
                Came::End => self.state = State::Ended,
            }
        }
    }

    fn pauses(&self) -> Option<Pauses> {
        self.pauses.clone()
    }
}

/// Where each split stands.
#[derive(Debug, Default)]
struct Stands {
    /// Good rows of each split so far.
    rows: BTreeMap<u32, i64>,
    /// The files that are followed, each as text for the position: of many files few change with a batch.
    followed: Option<BTreeMap<FileId, String>>,
    /// What is noted of files that are read to their ends, as text for the positions.
    noted: BTreeMap<u32, String>,
}

impl Stands {
    fn followed(position: &FollowPosition) -> Result<Self> {
        let id = |file: &FollowedFile| FileId { device: file.device, inode: file.inode };
        let texts = position.files.iter().map(|file| Ok((id(file), to_position(file)?.0)));
        Ok(Stands { rows: [(0, position.rows)].into(), followed: Some(texts.collect::<Result<_>>()?), noted: BTreeMap::new() })
    }

    fn rows_of(&mut self, batch: PlacedBatch) -> Result<SourceRows> {
        let PlacedBatch { split, records, weights, bad, name, end, mark } = batch;
        let rows = self.rows.entry(split).or_default();
        let first_row = *rows;
        *rows += records.num_rows() as i64;
        let rows = *rows;
        let position = match (&mut self.followed, mark, end) {
            (Some(followed), Some(mark), Place::Text { offset, line }) => {
                note(followed, &name, *mark, offset, line)?;
                let files = followed.values().map(String::as_str).collect::<Vec<_>>().join(",");
                Position(format!("{{\"files\":[{files}],\"rows\":{rows}}}"))
            }
            _ => {
                let Position(mut text) = to_position(&FilePosition { file: name.to_string(), place: end, rows, files: Vec::new() })?;
                if let (Some(files), true) = (self.noted.get(&split), text.ends_with('}')) {
                    text.truncate(text.len() - 1);
                    text.push_str(&format!(",\"files\":{files}}}"));
                }
                Position(text)
            }
        };
        Ok(SourceRows { split, parts: vec![SourcePart { output: 0, records, first_row, weights }], bad, position })
    }
}

fn note(followed: &mut BTreeMap<FileId, String>, name: &str, mark: Mark, offset: u64, line: u64) -> Result<()> {
    let Mark { id: FileId { device, inode }, head_bytes, head_hash, former, forgotten, came } = mark;
    for gone in forgotten {
        followed.remove(&gone);
    }
    for file in came {
        followed.insert(FileId { device: file.device, inode: file.inode }, to_position(&file)?.0);
    }
    let file = FollowedFile {
        file: name.to_owned(),
        former: former.map(|name| name.to_string()),
        device,
        inode,
        head_bytes,
        head_hash,
        offset,
        line,
        end: None,
    };
    followed.insert(FileId { device, inode }, to_position(&file)?.0);
    Ok(())
}

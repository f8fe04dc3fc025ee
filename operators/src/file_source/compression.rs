//! The bytes of a file as text: as they are, or unpacked from gzip or zstd while they are read.
//!
//! Offsets count bytes of text, so a position means the same whatever the file is packed with. To go on in the middle of a packed
//! file its beginning is unpacked again and dropped: the formats allow nothing else.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read, Seek};
use std::sync::Arc;

use flate2::bufread::GzDecoder;
use millstream_api::error::{Error, ErrorKind, Result};
use schemars::JsonSchema;
use serde::Deserialize;

use super::beginning::{check_beginning, head};
use super::cannot_read;
use super::paths::InputFile;

/// How files are packed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Compression {
    /// As the name says: `.gz` is gzip, `.zst` and `.zstd` are zstd, anything else is not packed.
    #[default]
    Auto,
    /// Not packed, whatever the name.
    None,
    /// gzip (RFC 1952), one member or several.
    Gzip,
    /// Zstandard (RFC 8878), one frame or several.
    Zstd,
}

impl Compression {
    /// What a file of this name is packed with: [`Compression::None`], `Gzip` or `Zstd`.
    pub(crate) fn of(self, name: &str) -> Compression {
        let extension = name.rsplit_once('.').map(|(_, extension)| extension.to_ascii_lowercase());
        match (self, extension.as_deref()) {
            (Compression::Auto, Some("gz")) => Compression::Gzip,
            (Compression::Auto, Some("zst" | "zstd")) => Compression::Zstd,
            (Compression::Auto, _) => Compression::None,
            (said, _) => said,
        }
    }
}

/// What is said of a packed file of which the rest is missing.
const ENDS_TOO_EARLY: &str = "data ends too early";

/// Whether this was said of a file because the rest of it is missing.
pub(crate) fn is_cut_short(error: &Error) -> bool {
    error.message().ends_with(ENDS_TOO_EARLY)
}

/// A file that is being read as text.
pub(crate) struct Input {
    file: Arc<File>,
    name: Arc<str>,
    stream: Stream,
    /// Bytes of text that were read.
    offset: u64,
}

enum Stream {
    Plain(Arc<File>),
    Gzip(Box<Members>),
    Zstd(Box<zstd::Decoder<'static, BufReader<Arc<File>>>>),
}

/// The text of gzip members that follow one another; flate2's own reader of several takes what is no member for one that is cut short.
struct Members(Option<GzDecoder<BufReader<Arc<File>>>>);

impl Members {
    fn new(file: Arc<File>) -> Self {
        Members(Some(GzDecoder::new(BufReader::new(file))))
    }
}

impl Read for Members {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while let Some(member) = &mut self.0 {
            let got = member.read(buffer)?;
            if got > 0 || buffer.is_empty() {
                return Ok(got);
            }
            let Some(mut rest) = self.0.take().map(GzDecoder::into_inner) else { break };
            match rest.fill_buf()? {
                [] => break,
                [0x1f] | [0x1f, 0x8b, ..] => self.0 = Some(GzDecoder::new(rest)),
                _ => return Err(io::Error::new(io::ErrorKind::InvalidData, "bytes follow it that are not gzip")),
            }
        }
        Ok(0)
    }
}

impl Input {
    /// Opens a file at its beginning.
    ///
    /// # Errors
    /// When it can't be opened.
    pub(crate) fn open(input: &InputFile, compression: Compression) -> Result<Input> {
        let failed = |error| cannot_read(&input.name, error);
        let file = Arc::new(File::open(&input.path).map_err(failed)?);
        let packed = compression.of(&input.name);
        check_beginning(&input.name, &file, packed, compression)?;
        let stream = match packed {
            Compression::Gzip => Stream::Gzip(Box::new(Members::new(file.clone()))),
            Compression::Zstd => Stream::Zstd(Box::new(zstd::Decoder::with_buffer(BufReader::new(file.clone())).map_err(failed)?)),
            Compression::Auto | Compression::None => Stream::Plain(file.clone()),
        };
        Ok(Input { file, name: input.name.clone(), stream, offset: 0 })
    }

    /// The file itself.
    pub(crate) fn file(&self) -> &File {
        &self.file
    }

    /// Adds up to `length` bytes of text to `buffer` and says how many. Fewer than asked for: the file ends there, for now.
    ///
    /// # Errors
    /// When it can't be read, or a packed file is damaged or ends too early.
    pub(crate) fn read(&mut self, length: usize, buffer: &mut Vec<u8>) -> Result<usize> {
        let before = buffer.len();
        let got = match &mut self.stream {
            Stream::Plain(file) => file.take(length as u64).read_to_end(buffer),
            Stream::Gzip(decoder) => decoder.take(length as u64).read_to_end(buffer),
            Stream::Zstd(decoder) => decoder.take(length as u64).read_to_end(buffer),
        };
        self.offset += (buffer.len() - before) as u64;
        got.map_err(|error| self.failed(&error))
    }

    /// Goes over `length` bytes of text.
    ///
    /// # Errors
    /// When the file has fewer, or can't be read.
    pub(crate) fn skip(&mut self, length: u64) -> Result<()> {
        let target = self.offset.saturating_add(length);
        let there = match &mut self.stream {
            Stream::Plain(file) => {
                let size = file.metadata().map_err(|error| cannot_read(&self.name, error))?.len();
                let offset = i64::try_from(target.min(size)).unwrap_or(i64::MAX) as u64;
                (&**file).seek(io::SeekFrom::Start(offset))
            }
            Stream::Gzip(decoder) => io::copy(&mut decoder.take(length), &mut io::sink()).map(|skipped| self.offset + skipped),
            Stream::Zstd(decoder) => io::copy(&mut decoder.take(length), &mut io::sink()).map(|skipped| self.offset + skipped),
        };
        self.offset = there.map_err(|error| self.failed(&error))?;
        if self.offset == target {
            return Ok(());
        }
        let message = format!("`{}` has {} bytes, but {target} had been read", self.name, self.offset);
        Err(Error::new(ErrorKind::State, message).help("the file was cut or replaced; start afresh with --fresh"))
    }

    /// How far into the file itself reading has come.
    pub(crate) fn consumed_bytes(&self) -> u64 {
        (&*self.file).stream_position().unwrap_or_default()
    }

    /// The first bytes of the file itself, at most `length`.
    ///
    /// # Errors
    /// When it can't be read.
    pub(crate) fn head(&self, length: usize) -> Result<Vec<u8>> {
        head(&self.file, length).map_err(|error| cannot_read(&self.name, error))
    }

    fn failed(&self, error: &io::Error) -> Error {
        let packed = match self.stream {
            Stream::Plain(_) => return cannot_read(&self.name, error),
            Stream::Gzip(_) => "gzip",
            Stream::Zstd(_) => "zstd",
        };
        let what = match error.kind() {
            io::ErrorKind::UnexpectedEof => format!("the {packed} {ENDS_TOO_EARLY}"),
            _ => format!("the {packed} data is damaged ({error})"),
        };
        cannot_read(&self.name, what)
            .at(format!("byte {} of the file, after {} bytes of text", self.consumed_bytes(), self.offset))
            .help("get the whole file again; if it is not packed, write compression = \"none\"")
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::super::tests::{gzip, input_file};
    use super::*;

    fn text() -> Vec<u8> {
        (0..20_000).flat_map(|n: u32| format!("{}\n", n.wrapping_mul(2_654_435_761)).into_bytes()).collect()
    }

    #[test]
    fn names_say_what_files_are_packed_with() {
        for (said, name, found) in [
            (Compression::Auto, "a.json.GZ", Compression::Gzip),
            (Compression::Auto, "a.zstd", Compression::Zstd),
            (Compression::Auto, "gz", Compression::None),
            (Compression::None, "a.gz", Compression::None),
            (Compression::Zstd, "a.gz", Compression::Zstd),
        ] {
            assert_eq!(said.of(name), found, "{name}");
        }
    }

    #[test]
    fn members_and_frames_are_read_one_after_the_other_and_from_the_middle() {
        let text = text();
        let (first, second) = text.split_at(70_001);
        let packed = [
            ("a", text.clone()),
            ("a.gz", [gzip(first), gzip(&[]), gzip(second)].concat()),
            ("a.zst", [zstd::encode_all(first, 1).unwrap(), zstd::encode_all(second, 9).unwrap()].concat()),
        ];
        for (name, bytes) in packed {
            let (_folder, file) = input_file(&bytes, name);
            for start in [0, 1, 70_000, 70_001, 100_000, text.len()] {
                let mut input = Input::open(&file, Compression::Auto).unwrap();
                let mut read = Vec::new();
                let head = input.read(start.min(10), &mut read).unwrap();
                input.skip((start - head) as u64).unwrap();
                read.clear();
                while input.read(9_999, &mut read).unwrap() == 9_999 {}
                assert!(read == text[start..], "{name} from {start}");
                assert_eq!(input.consumed_bytes(), bytes.len() as u64);
            }
            let mut input = Input::open(&file, Compression::Auto).unwrap();
            let error = input.skip(text.len() as u64 + 5).unwrap_err();
            assert_eq!(error.message(), format!("`{name}` has {} bytes, but {} had been read", text.len(), text.len() + 5));
        }
    }

    #[test]
    fn what_is_cut_or_damaged_is_said_with_the_place() {
        let text = text();
        let mut zstd = zstd::Encoder::new(Vec::new(), 1).unwrap();
        zstd.include_checksum(true).unwrap();
        zstd.write_all(&text).unwrap();
        for (name, bytes, packed) in [("a.gz", gzip(&text), "gzip"), ("a.zst", zstd.finish().unwrap(), "zstd")] {
            let read = |bytes: &[u8]| {
                let (_folder, file) = input_file(bytes, name);
                let mut input = Input::open(&file, Compression::Auto)?;
                let mut read = Vec::new();
                while input.read(1000, &mut read)? == 1000 {}
                Ok::<_, Error>(read)
            };
            let error = read(&bytes[..bytes.len() - 20]).unwrap_err();
            assert_eq!(error.message(), format!("cannot read {name}: the {packed} data ends too early"));
            assert!(error.place().is_some_and(|place| place.starts_with("byte ") && place.ends_with(" bytes of text")), "{error}");
            let mut damaged = bytes.clone();
            let middle = damaged.len() / 2;
            damaged[middle..middle + 40].fill(0xff);
            let error = read(&damaged).map(|text| text.len()).unwrap_err();
            assert!(error.message().starts_with(&format!("cannot read {name}: the {packed} data is damaged (")), "{error}");
            let error = read(&[&bytes[..], b"{\"n\""].concat()).unwrap_err();
            assert!(error.message().contains("damaged") || packed == "zstd", "{error}");
        }
    }
}

//! How a file begins: its first bytes tell what it is, where its name or the options may be mistaken.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

use millstream_api::error::Result;

use super::cannot_read;
use super::compression::Compression;
use super::paths::InputFile;

/// How gzip begins …
const GZIP_MAGIC: &[u8] = b"\x1f\x8b";

/// … and a frame of zstd.
const ZSTD_MAGIC: &[u8] = b"\x28\xb5\x2f\xfd";

/// So many bytes tell what a file is packed with.
pub(crate) const MAGIC_BYTES: usize = 4;

impl Compression {
    /// What a file is packed with that may still be written or renamed: what its first bytes say goes before its name. `None`: there is
    /// too little of it to tell.
    pub(crate) fn of_file(self, file: &InputFile) -> Option<Compression> {
        if self != Compression::Auto {
            return Some(self);
        }
        let bytes = File::open(&file.path).and_then(|file| head(&file, MAGIC_BYTES)).unwrap_or_default();
        Compression::told_by(&bytes).map(|told| if told == Compression::None { self.of(&file.name) } else { told })
    }

    /// What a file that begins like this is packed with. No text in UTF-8 begins like a packed file. `None`: the bytes are too few.
    pub(crate) fn told_by(bytes: &[u8]) -> Option<Compression> {
        let begins = |magic: &[u8]| bytes.starts_with(magic);
        match bytes {
            _ if begins(GZIP_MAGIC) => Some(Compression::Gzip),
            _ if begins(ZSTD_MAGIC) => Some(Compression::Zstd),
            // What is to be skipped may come before a frame.
            [0x50..=0x5f, 0x2a, 0x4d, 0x18, ..] => Some(Compression::Zstd),
            _ if GZIP_MAGIC.starts_with(bytes) || ZSTD_MAGIC.starts_with(bytes) => None,
            _ => Some(Compression::None),
        }
    }

    fn name(self) -> &'static str {
        match self {
            Compression::Auto => "auto",
            Compression::None => "none",
            Compression::Gzip => "gzip",
            Compression::Zstd => "zstd",
        }
    }

    fn describes(self) -> &'static str {
        match self {
            Compression::Auto | Compression::None => "not packed",
            Compression::Gzip => "packed with gzip",
            Compression::Zstd => "packed with zstd",
        }
    }
}

/// Looks whether a file begins as what it is taken for: else what it is would be told as damage of what it is not.
///
/// # Errors
/// When it is packed otherwise, or is text in another encoding or no text at all.
pub(crate) fn check_beginning(name: &str, file: &File, packed: Compression, said: Compression) -> Result<()> {
    let bytes = head(file, MAGIC_BYTES).map_err(|error| cannot_read(name, error))?;
    let cannot = |what: String, help: String| Err(cannot_read(name, what).help(help));
    match Compression::told_by(&bytes) {
        Some(found) if found != packed => {
            let why = if said == Compression::Auto { "its name says that it is" } else { "`compression` says that it is" };
            let help = match (packed, found) {
                (_, Compression::None) => "if it is not packed, write compression = \"none\"; else get the whole file again".to_owned(),
                _ => format!("write compression = \"{}\"", found.name()),
            };
            cannot(format!("it is {}, and {why} {}", found.describes(), packed.describes()), help)
        }
        Some(Compression::None) if bytes.starts_with(b"\xff\xfe") || bytes.starts_with(b"\xfe\xff") => cannot(
            "it is text in UTF-16, and only UTF-8 is read".to_owned(),
            format!("convert it first: iconv -f UTF-16 -t UTF-8 {name} > {name}.utf8"),
        ),
        Some(Compression::None) if bytes == b"PAR1" => {
            cannot("it is a Parquet file, and no text".to_owned(), "write format = \"parquet\"".to_owned())
        }
        _ => Ok(()),
    }
}

/// The first bytes of a file, at most `length`, wherever it is being read.
pub(crate) fn head(file: &File, length: usize) -> io::Result<Vec<u8>> {
    let mut bytes = vec![0; length];
    let mut filled = 0;
    while filled < length {
        match file.read_at(&mut bytes[filled..], filled as u64) {
            Ok(0) => break,
            Ok(got) => filled += got,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    bytes.truncate(filled);
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::super::compression::Input;
    use super::super::tests::{gzip, input_file};
    use super::*;

    #[test]
    fn what_a_file_is_instead_is_said() {
        let zstd = zstd::encode_all(&b"n\n1\n"[..], 1).unwrap();
        let skipped = [&b"\x5a\x2a\x4d\x18\x02\0\0\0xx"[..], &zstd[..]].concat();
        let said = |name: &str, bytes: &[u8], compression| {
            let (_folder, file) = input_file(bytes, name);
            Input::open(&file, compression)
                .err()
                .map(|error| (error.message().to_owned(), error.help_text().unwrap_or_default().to_owned()))
        };
        assert_eq!(said("a.zst", &skipped, Compression::Auto), None);
        for bytes in [&b""[..], b"\x1f", b"{\"n\":1}"] {
            assert_eq!(said("a.json", bytes, Compression::Auto), None);
        }
        for (name, bytes, compression, message, help) in [
            (
                "a.csv",
                gzip(b"n\n1\n"),
                Compression::Auto,
                "it is packed with gzip, and its name says that it is not packed",
                "compression = \"gzip\"",
            ),
            (
                "a.csv",
                zstd.clone(),
                Compression::None,
                "it is packed with zstd, and `compression` says that it is not packed",
                "compression = \"zstd\"",
            ),
            (
                "a.gz",
                zstd,
                Compression::Auto,
                "it is packed with zstd, and its name says that it is packed with gzip",
                "compression = \"zstd\"",
            ),
            (
                "a.gz",
                b"n,t\n1,x\n".to_vec(),
                Compression::Auto,
                "it is not packed, and its name says that it is packed with gzip",
                "compression = \"none\"",
            ),
            ("a.json", b"\xff\xfe{\0".to_vec(), Compression::Auto, "it is text in UTF-16, and only UTF-8 is read", "iconv -f UTF-16"),
            ("a.csv", b"PAR1....".to_vec(), Compression::Auto, "it is a Parquet file, and no text", "format = \"parquet\""),
        ] {
            let (found, helped) = said(name, &bytes, compression).unwrap();
            assert_eq!(found, format!("cannot read {name}: {message}"));
            assert!(helped.contains(help), "{helped}");
        }
    }
}

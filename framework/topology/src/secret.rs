//! Texts that must not be shown: what `${file:…}` put in.

use std::path::Path;

/// What stands in the place of a secret.
const HIDDEN: &str = "***";

/// A secret shorter than this is found in too many innocent texts; nothing that is meant to keep others out is that short.
const LEAST_BYTES: usize = 4;

/// A file of a secret is a token or a password; more than this is another file.
const MOST_BYTES: u64 = 64 * 1024;

/// The secrets of a topology. Its `Debug` shows none of them.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Secrets(Vec<String>);

impl Secrets {
    /// Takes care that this text is not shown.
    pub(crate) fn add(&mut self, secret: &str) {
        if secret.len() >= LEAST_BYTES && !self.0.iter().any(|known| known == secret) {
            self.0.push(secret.to_owned());
            // One may be part of another: the longer one goes first.
            self.0.sort_by_key(|secret| std::cmp::Reverse(secret.len()));
        }
    }

    /// The text with `***` in the place of every secret.
    pub fn hide(&self, text: &str) -> String {
        self.0.iter().fold(text.to_owned(), |text, secret| if text.contains(secret) { text.replace(secret, HIDDEN) } else { text })
    }
}

/// The text with `***` in the place of whatever it quotes in backticks. A message about a text with a secret in it may quote a part.
pub(crate) fn without_quotes(text: &str) -> String {
    let parts = text.split('`').enumerate();
    let shown = parts.map(|(place, part)| if place % 2 == 1 { HIDDEN } else { part });
    shown.collect::<Vec<_>>().join("`")
}

impl std::fmt::Debug for Secrets {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Secrets({})", self.0.len())
    }
}

/// The secret in a file, without the newline that editors put at its end.
///
/// # Errors
/// Why it cannot be had.
pub(crate) fn read(path: &Path) -> Result<String, String> {
    let metadata = std::fs::metadata(path).map_err(|error| error.to_string())?;
    if !metadata.is_file() {
        return Err("it is not a file".to_owned());
    }
    if metadata.len() > MOST_BYTES {
        return Err(format!("it has {} bytes, a secret has {MOST_BYTES} at most", metadata.len()));
    }
    let text = std::fs::read_to_string(path).map_err(|error| error.to_string())?;
    let text = text.strip_suffix('\n').unwrap_or(&text);
    Ok(text.strip_suffix('\r').unwrap_or(text).to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_secret_is_hidden_the_longer_first() {
        let mut secrets = Secrets::default();
        for secret in ["abcd", "abcdef", "no"] {
            secrets.add(secret);
        }
        assert_eq!(secrets.hide("abcdefg no abcd"), "***g no ***");
        assert_eq!(format!("{secrets:?}"), "Secrets(2)");
    }

    #[test]
    fn quotes_are_hidden_as_a_whole() {
        assert_eq!(without_quotes("there is no `a` in `b`, or is there"), "there is no `***` in `***`, or is there");
        assert_eq!(without_quotes("nothing"), "nothing");
    }

    #[test]
    fn a_file_gives_its_text_without_the_last_newline() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("token");
        std::fs::write(&path, "s3cret \r\n").unwrap();
        assert_eq!(read(&path), Ok("s3cret ".to_owned()));
        assert_eq!(read(folder.path()), Err("it is not a file".to_owned()));
        std::fs::write(&path, vec![b'x'; 70_000]).unwrap();
        assert_eq!(read(&path), Err("it has 70000 bytes, a secret has 65536 at most".to_owned()));
        assert!(read(&folder.path().join("none")).is_err());
    }
}

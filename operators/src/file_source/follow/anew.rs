//! A file that was cut or written anew in its place is read from its beginning: once for each time that happens to it.

use super::head::Head;
use crate::file_source::paths::InputFile;

/// So often it is said of one file.
const MOST_SAID: u32 = 3;

/// How far a file was read before it was begun anew.
#[derive(Clone, Copy, Debug)]
pub(super) struct Before {
    pub(super) head: Head,
    pub(super) offset: u64,
    pub(super) line: u64,
}

/// What is known of the times when a file was begun anew.
#[derive(Debug, Default)]
pub(super) struct Anew {
    /// As it was then: unless something has happened to it since, it is not begun anew again.
    seen: Option<InputFile>,
    /// What is still to be said, once it is known what came in its place.
    before: Option<Before>,
    said: u32,
}

impl Anew {
    /// It is to be begun anew, as it is now; false when that was done already and nothing has happened to it since.
    pub(super) fn begin(&mut self, head: Head, offset: u64, line: u64, now: &InputFile) -> bool {
        let is_known = |seen: &InputFile| (seen.size_bytes, seen.changed) == (now.size_bytes, now.changed);
        if self.seen.as_ref().is_some_and(is_known) {
            return false;
        }
        self.seen = Some(now.clone());
        self.before = Some(Before { head, offset, line });
        true
    }

    /// What had been read of the file that was in its place, until that is said or forgotten.
    pub(super) fn before(&self) -> Option<Before> {
        self.before
    }

    /// It goes on where it stood.
    pub(super) fn forget(&mut self) {
        self.before = None;
    }

    /// Says that it is read from its beginning, unless that was said often enough.
    pub(super) fn say(&mut self, name: &str) {
        let Some(before) = self.before.take() else { return };
        self.said = self.said.saturating_add(1);
        if self.said > MOST_SAID {
            return;
        }
        let last = if self.said == MOST_SAID { "; this is not said of it again" } else { "" };
        tracing::warn!("`{name}` was cut or written anew after {} bytes had been read; reading it from its beginning{last}", before.offset);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_has_not_changed_is_not_begun_anew_twice() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a");
        std::fs::write(&path, "x").unwrap();
        let now = InputFile::new(&path, "a").unwrap();
        let mut anew = Anew::default();
        assert!(anew.begin(Head::of(b"abc"), 3, 1, &now));
        assert_eq!(anew.before().map(|before| before.offset), Some(3));
        assert!(!anew.begin(Head::of(b"abc"), 3, 1, &now));
        std::fs::write(&path, "yy").unwrap();
        assert!(anew.begin(Head::of(b"abc"), 3, 1, &InputFile::new(&path, "a").unwrap()));
    }
}

//! Packed copies of files that are followed: what rotates logs packs them (`app.log.1` becomes `app.log.1.gz`), and their rows must not
//! come twice.
//!
//! A packed file of which nothing was read is compared with the others before it is begun. While the file is there of which it is a
//! copy, it waits; when that one is gone it is read on where that one stood. Where the two can be laid side by side, all of their text is
//! compared. When the other one is no longer there, its beginning is what is known of it, and that a line ends where it was read to.

use std::fs::File;
use std::os::unix::fs::FileExt;

use super::tail::{Head, Tail};
use crate::file_source::blocks::TextShape;
use crate::file_source::compression::{Compression, Input};
use crate::file_source::paths::{FileId, InputFile};

/// How much is compared at once.
const PIECE_BYTES: usize = 64 << 10;

/// What is known of a packed file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Likeness {
    /// It was not compared yet.
    Unknown,
    /// It is a file of its own.
    No,
    /// It has the text of this one.
    Of(FileId),
}

/// Whether the file at `index` waits, because its text is that of another one that is there.
pub(super) fn waits(tails: &mut [Tail], index: usize, shape: &TextShape) -> bool {
    if !tails[index].may_be_compared() {
        return false;
    }
    if tails[index].likeness == Likeness::Unknown {
        let packed = tails[index].file();
        let original = tails.iter().find(|tail| is_copy(packed, tail, shape.compression));
        tails[index].likeness = original.map_or(Likeness::No, |original| Likeness::Of(original.id()));
    }
    let Likeness::Of(id) = tails[index].likeness else { return false };
    tails.iter().any(|tail| tail.id() == id)
}

/// The file at `index` is about to be forgotten: its copy, if there is one, goes on where it stood. Which one that is.
pub(super) fn hand_over(tails: &mut [Tail], index: usize, shape: &TextShape) -> Option<usize> {
    let original = &tails[index];
    let is_its_copy = |tail: &Tail| match tail.likeness {
        Likeness::Of(id) => id == original.id(),
        Likeness::No => false,
        Likeness::Unknown => tail.is_unread_packed() && is_copy(tail.file(), original, shape.compression),
    };
    let copy = tails.iter().position(|tail| tail.is_unread_packed() && is_its_copy(tail))?;
    let (offset, line) = original.stand();
    tails[copy].go_on_at(offset, line);
    Some(copy)
}

fn is_copy(packed: &InputFile, original: &Tail, compression: Compression) -> bool {
    if original.id() == packed.id || original.is_packed() || !begins_like(packed, original.head(), compression) {
        return false;
    }
    match original.text() {
        Some(text) => has_text_of(packed, &text, compression).unwrap_or(false),
        None => continues(packed, original.head(), original.stand().0, compression),
    }
}

/// Whether a packed file may be the copy of one that is gone, which began like this and was read so far.
pub(super) fn continues(packed: &InputFile, head: Head, offset: u64, compression: Compression) -> bool {
    begins_like(packed, head, compression) && has_line_end_before(packed, offset, compression).unwrap_or(false)
}

fn begins_like(packed: &InputFile, head: Head, compression: Compression) -> bool {
    let mut text = Vec::new();
    let read = Input::open(packed, compression).and_then(|mut input| input.read(head.bytes, &mut text));
    head.bytes > 0 && read.is_ok() && Head::of(&text) == head
}

/// Whether both have the same text, all of it. `None`: one of them can't be read.
fn has_text_of(packed: &InputFile, text: &File, compression: Compression) -> Option<bool> {
    let mut input = Input::open(packed, compression).ok()?;
    let (mut ours, mut theirs) = (Vec::with_capacity(PIECE_BYTES), vec![0; PIECE_BYTES]);
    let mut offset = 0;
    loop {
        ours.clear();
        let got = input.read(PIECE_BYTES, &mut ours).ok()?;
        if got == 0 {
            return Some(text.metadata().ok()?.len() == offset);
        }
        if text.read_exact_at(&mut theirs[..got], offset).is_err() || ours != theirs[..got] {
            return Some(false);
        }
        offset += got as u64;
    }
}

/// Whether there is so much text in it, and a line ends there. `None`: it can't be read.
fn has_line_end_before(packed: &InputFile, offset: u64, compression: Compression) -> Option<bool> {
    let mut input = Input::open(packed, compression).ok()?;
    input.skip(offset.checked_sub(1)?).ok()?;
    let mut last = Vec::new();
    input.read(1, &mut last).ok()?;
    Some(last == b"\n")
}

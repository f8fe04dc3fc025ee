//! Packed copies of files that are followed: what rotates logs packs them (`app.log.1` becomes `app.log.1.gz`), and their rows must not
//! come twice.
//!
//! A packed file of which nothing was read is compared with the others before it is begun. While the file is there of which it is a
//! copy, it waits; when that one is gone it is read on where that one stood. Where the two can be laid side by side, all of their text is
//! compared. When the other one is no longer there, its beginning is what is known of it, and that a line ends where it was read to.

use std::fs::File;
use std::os::unix::fs::FileExt;

use millstream_api::error::Error;

use super::head::Head;
use super::tail::Tail;
use crate::file_source::compression::{Compression, Input, is_cut_short};
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

/// Whether the file at `index` waits, because its text is that of another one that is there, or may be once all of it is there.
pub(super) fn waits(tails: &mut [Tail], index: usize) -> bool {
    if !tails[index].may_be_compared() {
        return false;
    }
    if tails[index].likeness == Likeness::Unknown {
        let packed = &tails[index];
        let compared = || tails.iter().filter(|tail| tail.id() != packed.id()).map(|tail| (tail.id(), is_copy(packed, tail)));
        if let Some((original, _)) = compared().find(|(_, is_copy)| *is_copy == Some(true)) {
            tails[index].likeness = Likeness::Of(original);
        } else if compared().any(|(_, is_copy)| is_copy.is_none()) {
            tails[index].is_cut_short();
            return true;
        } else {
            tails[index].likeness = Likeness::No;
        }
    }
    let Likeness::Of(id) = tails[index].likeness else { return false };
    tails.iter().any(|tail| tail.id() == id)
}

/// Whether a file waits that has the text of another one.
pub(super) fn is_waiting_copy(tail: &Tail) -> bool {
    tail.may_be_compared() && matches!(tail.likeness, Likeness::Of(_))
}

/// The file at `index` is about to be forgotten: its copy, if there is one, goes on where it stood. Which one that is.
pub(super) fn hand_over(tails: &mut [Tail], index: usize) -> Option<usize> {
    let original = &tails[index];
    let is_its_copy = |tail: &Tail| match tail.likeness {
        Likeness::Of(id) => id == original.id(),
        Likeness::No => false,
        Likeness::Unknown => is_copy(tail, original) == Some(true),
    };
    let copy = (0..tails.len()).find(|&at| at != index && tails[at].is_unread_packed() && is_its_copy(&tails[at]))?;
    let (offset, line) = original.stand();
    tails[copy].go_on_at(offset, line);
    Some(copy)
}

/// Whether a packed file has the text of another one. `None`: all that there is of it is, but it is cut short.
fn is_copy(packed: &Tail, original: &Tail) -> Option<bool> {
    if original.is_packed() || original.head().bytes == 0 {
        return Some(false);
    }
    match original.text() {
        Some(text) => has_text_of(packed.file(), &text, packed.kind()).filter(|_| packed.file().is_there()),
        None => continues(packed.file(), original.head(), original.stand().0, packed.kind()),
    }
}

/// Whether a packed file may be the copy of one that is gone, which began like this and was read so far. `None`: it is cut short before, or has
/// another name by now.
pub(super) fn continues(packed: &InputFile, head: Head, offset: u64, compression: Compression) -> Option<bool> {
    let found = match begins_like(packed, head, compression) {
        Some(true) => has_line_end_before(packed, offset, compression),
        other => other,
    };
    found.filter(|_| packed.is_there())
}

fn begins_like(packed: &InputFile, head: Head, compression: Compression) -> Option<bool> {
    let mut text = Vec::new();
    match Input::open(packed, compression).and_then(|mut input| input.read(head.bytes, &mut text)) {
        Ok(_) => Some(head.bytes > 0 && Head::of(&text) == head),
        Err(error) => unlike(&error),
    }
}

/// Whether both have the same text, all of it.
fn has_text_of(packed: &InputFile, text: &File, compression: Compression) -> Option<bool> {
    let mut input = Input::open(packed, compression).ok()?;
    let (mut ours, mut theirs) = (Vec::with_capacity(PIECE_BYTES), vec![0; PIECE_BYTES]);
    let mut offset = 0;
    loop {
        ours.clear();
        let got = input.read(PIECE_BYTES, &mut ours);
        // Also before the place where it can't be read on.
        let theirs = &mut theirs[..ours.len()];
        if text.read_exact_at(theirs, offset).is_err() || ours != theirs {
            return Some(false);
        }
        match got {
            Ok(0) => return Some(text.metadata().ok()?.len() == offset),
            Ok(got) => offset += got as u64,
            Err(error) => return unlike(&error),
        }
    }
}

/// Whether there is so much text in it, and a line ends there.
fn has_line_end_before(packed: &InputFile, offset: u64, compression: Compression) -> Option<bool> {
    let mut last = Vec::new();
    let read = Input::open(packed, compression).and_then(|mut input| {
        input.skip(offset.saturating_sub(1))?;
        input.read(1, &mut last)
    });
    match read {
        Ok(_) => Some(last == b"\n"),
        Err(error) => unlike(&error),
    }
}

/// What is to be thought of a packed file that can't be read so far.
fn unlike(error: &Error) -> Option<bool> {
    (!is_cut_short(error)).then_some(false)
}

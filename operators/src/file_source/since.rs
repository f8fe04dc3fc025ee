//! What has become of the files of a source since a checkpoint, for a run that is about to go on from there.

use millstream_api::error::Result;
use millstream_api::source::{Since, SplitStand};

use super::noted::{Changes, changes};
use super::paths::InputFile;
use super::position::{FilePosition, from_position, to_position};
use super::reader::{FileFactory, Manner};

/// Compares the files that there are with those that were read.
pub(super) fn since(factory: &FileFactory, stands: &[SplitStand]) -> Result<Since> {
    let (path, files, manner) = factory.input();
    match manner {
        Manner::Follow => Ok(followed(stands)),
        Manner::Together => Ok(together(files, stands)),
        Manner::InOrder => in_order(path, files, stands),
    }
}

/// Where files are followed, whatever comes is read. But a source that did not follow them may be over.
fn followed(stands: &[SplitStand]) -> Since {
    let over = !stands.is_empty() && stands.iter().all(|stand| stand.ended);
    let changed = over.then(|| "its files are followed now, and were read to their ends when they were not".to_owned());
    Since { is_other: over, changed: changed.into_iter().collect(), ..Since::default() }
}

fn position_of(stand: &SplitStand) -> Option<FilePosition> {
    stand.position.as_ref().and_then(|position| from_position(position).ok())
}

/// Each file is a split. New ones are read by themselves, unless the source is over.
fn together(files: &[InputFile], stands: &[SplitStand]) -> Since {
    let over = stands.iter().all(|stand| stand.ended);
    let mut since = Since { is_other: stands.iter().any(|stand| files.iter().all(|file| *file.name != *stand.split)), ..Since::default() };
    for file in files {
        let stand = stands.iter().find(|stand| *stand.split == *file.name);
        match stand {
            Some(stand) => {
                let found = position_of(stand).map(|position| changes(std::slice::from_ref(file), &position, stand.ended));
                // Of what gave no rows nothing is known.
                let Changes { changed, touched, .. } = found.unwrap_or(Changes { touched: stand.ended, ..Changes::default() });
                since.is_other |= touched || !changed.is_empty();
                since.changed.extend(changed);
            }
            None => {
                since.is_other = true;
                since.unread.extend(over.then(|| file.name.to_string()));
            }
        }
        let fresh = SplitStand { split: file.name.to_string(), position: None, ended: false };
        since.on.push(stand.cloned().unwrap_or(fresh));
    }
    since
}

/// All files are one split, which has the name of their path.
fn in_order(path: &str, files: &[InputFile], stands: &[SplitStand]) -> Result<Since> {
    let Some(stand) = stands.first() else { return Ok(Since::default()) };
    let moved = stand.split != path;
    if moved && !stand.ended {
        // That it is no longer read is said of the split.
        return Ok(Since { is_other: true, ..Since::default() });
    }
    let names = || files.iter().map(|file| file.name.to_string()).collect::<Vec<_>>();
    let Some(mut position) = position_of(stand) else {
        // It gave no rows, so all that is there under another path is new.
        let unread = if moved && stand.ended { names() } else { Vec::new() };
        return Ok(Since { is_other: stand.ended, unread, ..Since::default() });
    };
    if position.files.is_empty() {
        // Which files were read is not known.
        let unread = if moved && stand.ended { names() } else { Vec::new() };
        return Ok(Since { is_other: moved, unread, ..Since::default() });
    }
    let Changes { unread, changed, touched } = changes(files, &position, stand.ended);
    let is_other = touched || !unread.is_empty() || !changed.is_empty();
    position.files.iter_mut().for_each(|file| file.read = true);
    let on = vec![SplitStand { split: path.to_owned(), position: Some(to_position(&position)?), ended: false }];
    Ok(Since { unread, changed, is_other, on })
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;

    use millstream_api::source::Position;

    use super::super::tests::{factory, json, read_from, read_with};
    use super::*;

    fn stand(split: &str, position: &Position, ended: bool) -> SplitStand {
        SplitStand { split: split.to_owned(), position: Some(position.clone()), ended }
    }

    fn write(folder: &Path, name: &str, numbers: std::ops::Range<i64>) {
        let text: String = numbers.map(|n| format!("{{\"n\":{n},\"t\":\"x\"}}\n")).collect();
        fs::write(folder.join(name), text).unwrap();
    }

    /// What is there after two files were read, the second at least as far as its first row, and this has happened.
    fn after(path: &str, ended: bool, happens: impl FnOnce(&Path)) -> Since {
        let folder = tempfile::tempdir().unwrap();
        write(folder.path(), "b.log", 0..3);
        write(folder.path(), "d.log", 3..6);
        let read = read_with(&factory(folder.path(), "*.log", json()), 1, 1);
        let position = &read.stands[if ended { 5 } else { 3 }].2;
        happens(folder.path());
        since(&factory(folder.path(), path, json()), &[stand("*.log", position, ended)]).unwrap()
    }

    #[test]
    fn what_came_behind_the_place_is_not_read_and_what_came_before_it_is_read_by_itself() {
        let both = |folder: &Path| ["a.log", "e.log"].into_iter().for_each(|name| write(folder, name, 6..8));
        assert_eq!(after("*.log", false, both).unread, ["a.log"]);
        assert_eq!(after("*.log", true, both).unread, ["a.log", "e.log"]);
        assert_eq!(after("a.log", true, both).unread, ["a.log"]);
        assert_eq!(after("*.log", true, |folder| fs::write(folder.join("e.log"), "").unwrap()).unread, Vec::<String>::new());
        let same = after("*.log", true, |_| {});
        assert_eq!((same.unread.len(), same.changed.len(), same.is_other), (0, 0, false));
    }

    #[test]
    fn what_was_read_must_stay_as_it_was() {
        let grown = |folder: &Path| write(folder, "b.log", 0..4);
        assert_eq!(after("*.log", false, grown).changed, ["b.log had 48 bytes and has 64"]);
        let rewritten = |folder: &Path| write(folder, "b.log", 1..4);
        assert_eq!(after("*.log", true, rewritten).changed, ["b.log no longer begins as it did"]);
        let growing = after("*.log", false, |folder| write(folder, "d.log", 3..9));
        assert_eq!(growing.changed, Vec::<String>::new(), "what is being read is read to the end that it has then");
        let gone = after("*.log", true, |folder| fs::remove_file(folder.join("b.log")).unwrap());
        assert_eq!((gone.changed.len(), gone.is_other), (0, true), "what was read may go, but is no longer in a table");
    }

    #[test]
    fn a_source_that_goes_on_behind_its_end_reads_what_came_and_nothing_twice() {
        let folder = tempfile::tempdir().unwrap();
        write(folder.path(), "b.log", 0..3);
        let first = read_with(&factory(folder.path(), "b.log", json()), 1, 100);
        write(folder.path(), "a.log", 3..5);
        write(folder.path(), "c.log", 5..9);
        let now = factory(folder.path(), "*.log", json());
        let since = since(&now, &[stand("b.log", &first.stands.last().unwrap().2, true)]).unwrap();
        assert_eq!((since.unread.join(" "), since.on[0].split.as_str()), ("a.log c.log".to_owned(), "*.log"));
        let from = |position: &Position| read_from(&now, position);
        let read = from(since.on[0].position.as_ref().unwrap());
        assert_eq!(read.numbers, (3..9).collect::<Vec<_>>());
        // A restart in the middle does not forget what was read before.
        for (rows, _, position) in &read.stands {
            assert_eq!(from(position).numbers, read.numbers[*rows..]);
        }
    }
}

//! Changes that readers may not see yet, because no checkpoint covers them (`read = "committed"`).
//!
//! Changes of one key are joined, so what waits grows with the number of keys that change between two checkpoints, not with that
//! of changes. A barrier closes what has come; a commit gives all that barriers up to it have closed.

use std::collections::{BTreeMap, VecDeque};

use millstream_api::message::CheckpointId;

use super::contents::{Bytes, Shown};

/// See the [module](self).
#[derive(Debug, Default)]
pub(super) struct Pending {
    /// What has come since the last barrier.
    open: Joined,
    /// What has come before each barrier that is not committed yet, and the version there.
    closed: VecDeque<(CheckpointId, u64, Joined)>,
}

/// The rows of a key before the first and after the last change.
type Joined = BTreeMap<Bytes, (Option<Bytes>, Option<Bytes>)>;

impl Pending {
    /// Changes have come.
    pub(super) fn push(&mut self, changes: Vec<Shown>) {
        changes.into_iter().for_each(|change| join(&mut self.open, change));
    }

    /// The barrier of a checkpoint has come, at this version.
    pub(super) fn close(&mut self, checkpoint: CheckpointId, version: u64) {
        self.closed.push_back((checkpoint, version, std::mem::take(&mut self.open)));
    }

    /// The checkpoint exists: its version, and all changes that lead to it from the one committed before; `None` when nothing was
    /// closed since.
    pub(super) fn commit(&mut self, checkpoint: CheckpointId) -> Option<(u64, Vec<Shown>)> {
        let (mut all, mut version) = (Joined::new(), None);
        while let Some((_, reached, changes)) = self.closed.pop_front_if(|(id, ..)| *id <= checkpoint) {
            version = Some(reached);
            for (key, (before, after)) in changes {
                join(&mut all, Shown { key, before, after });
            }
        }
        let shown = |(key, (before, after))| Shown { key, before, after };
        version.map(|version| (version, all.into_iter().map(shown).collect()))
    }
}

fn join(joined: &mut Joined, change: Shown) {
    let Shown { key, before, after } = change;
    match joined.get_mut(&key) {
        None => drop(joined.insert(key, (before, after))),
        Some((first, _)) if *first == after => drop(joined.remove(&key)),
        Some((_, last)) => *last = after,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bytes(text: &str) -> Bytes {
        text.as_bytes().into()
    }

    fn change(key: &str, before: Option<&str>, after: Option<&str>) -> Shown {
        Shown { key: bytes(key), before: before.map(bytes), after: after.map(bytes) }
    }

    #[test]
    fn changes_of_a_key_are_joined_and_come_with_their_checkpoint() {
        let mut pending = Pending::default();
        pending.push(vec![change("a", None, Some("1")), change("b", Some("0"), Some("1"))]);
        pending.push(vec![change("a", Some("1"), Some("2")), change("b", Some("1"), Some("0")), change("c", Some("5"), None)]);
        assert_eq!(pending.commit(3), None, "no barrier has come");
        pending.close(4, 2);
        pending.push(vec![change("c", None, Some("6"))]);
        pending.close(5, 3);
        pending.push(vec![change("a", Some("2"), None)]);
        assert_eq!(pending.commit(4), Some((2, vec![change("a", None, Some("2")), change("c", Some("5"), None)])));
        assert_eq!(pending.commit(4), None);
        pending.close(6, 4);
        assert_eq!(
            pending.commit(6),
            Some((4, vec![change("a", Some("2"), None), change("c", None, Some("6"))])),
            "checkpoint 5 never came to be"
        );
    }
}

//! Two runs on one store, step by step, in every order that matters.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;

/// Objects in memory.
#[derive(Default)]
struct Memory(Mutex<BTreeMap<String, Vec<u8>>>);

impl Blobs for Memory {
    fn put(&self, name: &str, bytes: &[u8]) -> Result<()> {
        self.0.lock().unwrap().insert(name.to_owned(), bytes.to_vec());
        Ok(())
    }

    fn create(&self, name: &str, bytes: &[u8]) -> Result<bool> {
        let mut objects = self.0.lock().unwrap();
        let free = !objects.contains_key(name);
        if free {
            objects.insert(name.to_owned(), bytes.to_vec());
        }
        Ok(free)
    }

    fn get(&self, name: &str) -> Result<Option<Vec<u8>>> {
        Ok(self.0.lock().unwrap().get(name).cloned())
    }

    fn folders(&self) -> Result<Vec<String>> {
        let mut folders: Vec<String> = self.0.lock().unwrap().keys().filter_map(|name| Some(name.split_once('/')?.0.to_owned())).collect();
        folders.dedup();
        Ok(folders)
    }

    fn remove(&self, name: &str) -> Result<()> {
        self.0.lock().unwrap().remove(name);
        Ok(())
    }

    fn remove_folder(&self, folder: &str) -> Result<()> {
        self.0.lock().unwrap().retain(|name, _| !name.starts_with(&format!("{folder}/")));
        Ok(())
    }
}

fn take(blobs: &Memory, who: &str) -> Fence {
    Fence::take(blobs, "store", who).unwrap()
}

/// The numbers that hold a manifest, and not a mark.
fn published(blobs: &Memory) -> Vec<CheckpointId> {
    let is_manifest = |id: &CheckpointId| blobs.get(&name(*id, MANIFEST)).unwrap().is_some_and(|bytes| !is_mark(&bytes));
    numbers(blobs).unwrap().into_iter().filter(is_manifest).collect()
}

#[test]
fn the_one_before_can_publish_nothing_more() {
    let blobs = Memory::default();
    let first = take(&blobs, "process 1");
    first.publish(&blobs, 2, b"two").unwrap();
    let second = take(&blobs, "process 2");
    assert_eq!(published(&blobs), [2]);
    for id in 3..6 {
        let error = first.publish(&blobs, id, b"late").unwrap_err();
        assert_eq!((error.kind(), error.message()), (ErrorKind::Taken, "the store store was taken by process 2"));
    }
    second.publish(&blobs, 4, b"four").unwrap();
    assert_eq!(published(&blobs), [2, 4]);
    second.check(&blobs).unwrap();
    assert_eq!(first.check(&blobs).unwrap_err().kind(), ErrorKind::Taken);
}

#[test]
fn a_checkpoint_that_failed_leaves_no_gap_for_a_late_one() {
    let blobs = Memory::default();
    let first = take(&blobs, "process 1");
    let second = take(&blobs, "process 2");
    // The first one has given up 2 to 6 and comes with 7, which is free.
    assert_eq!(first.publish(&blobs, 7, b"late").unwrap_err().kind(), ErrorKind::Taken);
    assert_eq!(published(&blobs), [0; 0]);
    second.publish(&blobs, 9, b"nine").unwrap();
    assert_eq!((published(&blobs), numbers(&blobs).unwrap()), (vec![9], (1..=9).collect()));
}

#[test]
fn a_late_one_under_a_number_that_was_removed_as_too_old_is_found_out() {
    let blobs = Memory::default();
    let first = take(&blobs, "process 1");
    let second = take(&blobs, "process 2");
    second.publish(&blobs, 3, b"three").unwrap();
    (1..3).for_each(|id| remove(&blobs, id).unwrap());
    assert_eq!(first.publish(&blobs, 2, b"late").unwrap_err().kind(), ErrorKind::Taken);
    assert_eq!(published(&blobs), [3]);
}

#[test]
fn a_manifest_that_was_written_although_it_was_said_to_have_failed_is_known_again() {
    let blobs = Memory::default();
    let first = take(&blobs, "process 1");
    first.log().unsure = Some((2, b"two".to_vec()));
    blobs.put(&name(2, MANIFEST), b"two").unwrap();
    first.check(&blobs).unwrap();
    first.publish(&blobs, 3, b"three").unwrap();
    assert_eq!(published(&blobs), [2, 3]);
}

#[test]
fn a_checkpoint_that_is_given_up_is_none_and_keeps_its_number() {
    let blobs = Memory::default();
    let first = take(&blobs, "process 1");
    first.publish(&blobs, 2, b"two").unwrap();
    first.publish(&blobs, 3, b"three").unwrap();
    let second = take(&blobs, "process 2");
    second.give_up(&blobs, 3).unwrap();
    assert_eq!(published(&blobs), [2]);
    assert_eq!(first.publish(&blobs, 3, b"late").unwrap_err().kind(), ErrorKind::Taken);
    second.publish(&blobs, 5, b"five").unwrap();
    assert_eq!(published(&blobs), [2, 5]);
}

#[test]
fn a_number_out_of_nowhere_is_refused() {
    let blobs = Memory::default();
    let error = take(&blobs, "process 1").close_gap(&blobs, MOST_SKIPPED * 2).unwrap_err();
    assert!(error.message().ends_with("something else has written into the store"), "{error}");
}

proptest! {
    /// Several runs take the store, publish and lose numbers in any order: what one has found when it took the store is all that
    /// there is of others from then on.
    #[test]
    fn nothing_is_published_behind_the_back_of_the_newest(steps in prop::collection::vec((0usize..4, 0u64..4), 0..40)) {
        let blobs = Memory::default();
        let mut runs: Vec<(Fence, CheckpointId)> = Vec::new();
        let mut seen = Vec::new();
        for (what, which) in steps {
            if what == 0 || runs.is_empty() {
                let run = take(&blobs, "process");
                let next = run.log().last + 1;
                seen = published(&blobs);
                runs.push((run, next));
                continue;
            }
            let newest = runs.len() - 1;
            let index = (which as usize).min(newest);
            let (run, next) = &mut runs[index];
            *next += which;
            let written = run.publish(&blobs, *next, format!("{index} {next}").as_bytes());
            prop_assert_eq!(written.is_ok(), index == newest);
            if index == newest {
                seen.push(*next);
            }
            *next += 1;
            prop_assert_eq!(&published(&blobs), &seen);
        }
    }
}

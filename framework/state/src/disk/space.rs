//! A space of keys of its own in the store: an LSM tree that one subtask writes, and snapshots of it that others read.

use std::collections::BTreeMap;
use std::ops::RangeBounds;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use lsm_tree::config::{BloomConstructionPolicy, FilterPolicy, FilterPolicyEntry, PartitioningPolicy};
use lsm_tree::{
    AbstractTree, AnyIngestion, AnyTree, Cache, Config, DescriptorTable, Guard, KvPair, SeqNo, SequenceNumberCounter, UserValue,
};

use super::compactor::Order;

/// Levels of a tree, the newest files in the first one.
const LEVELS: usize = 7;

/// All spaces see everything that is written; only snapshots ask for less.
const NEWEST: SeqNo = SeqNo::MAX;

/// A key and its value, or why they cannot be read. Both hold the block of the file that they are in.
pub(super) type Pair = lsm_tree::Result<KvPair>;

/// What all spaces of a store share.
pub(super) struct Shared {
    /// Blocks of files that were read.
    pub(super) cache: Arc<Cache>,
    /// Files that are open.
    pub(super) files: Arc<DescriptorTable>,
}

/// Keys in their order, each with a value. Clones are the same space.
#[derive(Clone)]
pub(super) struct Space(Arc<Inner>);

struct Inner {
    folder: PathBuf,
    tree: AnyTree,
    /// The number of the next write, and the one before which all are done.
    next: SequenceNumberCounter,
    done: SequenceNumberCounter,
    /// What is read as it was before these numbers: by how many.
    snapshots: Mutex<BTreeMap<SeqNo, usize>>,
    order: Order,
}

impl Space {
    /// An empty one in this folder.
    pub(super) fn new(folder: &Path, shared: &Shared) -> lsm_tree::Result<Space> {
        let (next, done) = (SequenceNumberCounter::default(), SequenceNumberCounter::default());
        let bloom = |policy| FilterPolicyEntry::Bloom(policy);
        // Filters and indexes in small blocks: whole ones are larger than the cache, and would be read anew for each key.
        let tree = Config::new(folder, next.clone(), done.clone())
            .use_cache(shared.cache.clone())
            .use_descriptor_table(Some(shared.files.clone()))
            .filter_block_partitioning_policy(PartitioningPolicy::all(true))
            .index_block_partitioning_policy(PartitioningPolicy::all(true))
            .filter_policy(FilterPolicy::new([
                bloom(BloomConstructionPolicy::FalsePositiveRate(0.0001)),
                bloom(BloomConstructionPolicy::BitsPerKey(10.0)),
            ]))
            .open()?;
        Ok(Space(Arc::new(Inner { folder: folder.to_owned(), tree, next, done, snapshots: Mutex::default(), order: Order::default() })))
    }

    /// The value of a key.
    pub(super) fn get(&self, key: &[u8]) -> lsm_tree::Result<Option<UserValue>> {
        self.0.tree.get(key, NEWEST)
    }

    /// Keys of a range, in their order.
    pub(super) fn range<K: AsRef<[u8]>, R: RangeBounds<K>>(&self, range: R) -> impl Iterator<Item = Pair> + use<K, R> {
        self.0.tree.range(range, NEWEST, None).map(Guard::into_inner)
    }

    /// Keys that begin so, in their order.
    pub(super) fn prefix(&self, prefix: &[u8]) -> impl Iterator<Item = Pair> + use<> {
        self.0.tree.prefix(prefix, NEWEST, None).map(Guard::into_inner)
    }

    /// Bytes on disk.
    pub(super) fn disk_bytes(&self) -> u64 {
        self.0.tree.disk_space()
    }

    /// All that is in it now.
    pub(super) fn snapshot(&self) -> SpaceSnapshot {
        let mut open = self.open_snapshots();
        let before = self.0.done.get();
        *open.entry(before).or_default() += 1;
        drop(open);
        SpaceSnapshot { space: self.clone(), before }
    }

    /// Writes a key, or removes it. How many bytes are in memory then.
    pub(super) fn put(&self, key: &[u8], value: Option<&[u8]>) -> u64 {
        let number = self.0.next.next();
        let (_, in_memory) = match value {
            Some(value) => self.0.tree.insert(key, value, number),
            None => self.0.tree.remove(key, number),
        };
        self.0.done.fetch_max(number + 1);
        in_memory
    }

    /// Makes a file of the keys that are in memory.
    pub(super) fn flush(&self) -> lsm_tree::Result<()> {
        let lock = self.0.tree.get_flush_lock();
        self.0.tree.rotate_memtable();
        self.0.tree.flush(&lock, self.watermark()).map(drop)
    }

    /// Begins a file of keys that are written in their order.
    pub(super) fn ingestion(&self) -> lsm_tree::Result<AnyIngestion<'_>> {
        self.0.tree.ingestion()
    }

    /// Does one step of putting files together. False: there was nothing to do.
    pub(super) fn compact(&self, strategy: &Arc<lsm_tree::compaction::Leveled>) -> lsm_tree::Result<bool> {
        let before = self.files();
        self.0.tree.compact(strategy.clone(), self.watermark())?;
        Ok(self.files() != before)
    }

    /// Files that a key is looked for in one after the other, since each may have any key.
    pub(super) fn unsorted_files(&self) -> usize {
        self.0.tree.l0_run_count()
    }

    /// What is to be done for it in the background.
    pub(super) fn order(&self) -> &Order {
        &self.0.order
    }

    /// What tells whether its files are others: how many there are at each level, and their bytes.
    fn files(&self) -> ([usize; LEVELS], u64) {
        let of_level = |level| self.0.tree.level_table_count(level).unwrap_or_default();
        (std::array::from_fn(of_level), self.disk_bytes())
    }

    /// What was written over before this number is read by nobody any more.
    fn watermark(&self) -> SeqNo {
        // With the lock to the end: a snapshot that begins meanwhile is not older.
        let open = self.open_snapshots();
        let oldest = open.keys().next().copied();
        oldest.unwrap_or_else(|| self.0.done.get()).saturating_sub(1)
    }

    fn open_snapshots(&self) -> MutexGuard<'_, BTreeMap<SeqNo, usize>> {
        self.0.snapshots.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        // What is left is removed with the folder of the run.
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

/// A space as it was once. What it needs stays on disk until it is dropped.
pub(super) struct SpaceSnapshot {
    space: Space,
    before: SeqNo,
}

impl SpaceSnapshot {
    /// All keys, in their order.
    pub(super) fn iter(&self) -> impl Iterator<Item = Pair> + use<> {
        self.space.0.tree.iter(self.before, None).map(Guard::into_inner)
    }
}

impl Drop for SpaceSnapshot {
    fn drop(&mut self) {
        let mut open = self.space.open_snapshots();
        if let Some(readers) = open.get_mut(&self.before) {
            *readers -= 1;
            if *readers == 0 {
                open.remove(&self.before);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shared() -> Shared {
        Shared { cache: Arc::new(Cache::with_capacity_bytes(1 << 20)), files: Arc::new(DescriptorTable::new(16)) }
    }

    fn all(pairs: impl Iterator<Item = Pair>) -> Vec<(Vec<u8>, Vec<u8>)> {
        pairs.map(|pair| pair.unwrap()).map(|(key, value)| (key.to_vec(), value.to_vec())).collect()
    }

    fn pairs(of: &[(&str, &str)]) -> Vec<(Vec<u8>, Vec<u8>)> {
        of.iter().map(|(key, value)| (key.as_bytes().to_vec(), value.as_bytes().to_vec())).collect()
    }

    #[test]
    fn a_snapshot_shows_what_was_there_whatever_is_written_and_put_together_later() {
        let folder = tempfile::tempdir().unwrap();
        let space = Space::new(folder.path(), &shared()).unwrap();
        space.put(b"a", Some(b"1"));
        space.put(b"b", Some(b"1"));
        space.flush().unwrap();
        space.put(b"c", Some(b"1"));
        let snapshot = space.snapshot();
        let strategy = Arc::new(lsm_tree::compaction::Leveled::default());
        for round in 0..20 {
            space.put(b"a", Some(round.to_string().as_bytes()));
            space.put(b"b", None);
            let mut file = space.ingestion().unwrap();
            file.write(b"c".as_slice(), round.to_string().as_bytes()).unwrap();
            file.finish().unwrap();
            space.flush().unwrap();
            while space.compact(&strategy).unwrap() {}
        }
        assert_eq!(all(snapshot.iter()), pairs(&[("a", "1"), ("b", "1"), ("c", "1")]));
        assert_eq!(all(space.range::<&[u8], _>(..)), pairs(&[("a", "19"), ("c", "19")]));
        assert_eq!(all(space.prefix(b"c")), pairs(&[("c", "19")]));
        assert_eq!(space.get(b"b").unwrap(), None);
    }

    #[test]
    fn what_a_snapshot_needed_goes_from_disk_after_it() {
        let folder = tempfile::tempdir().unwrap();
        let space = Space::new(folder.path(), &shared()).unwrap();
        let strategy = Arc::new(lsm_tree::compaction::Leveled::default());
        let write_all = |space: &Space, value: &[u8]| {
            for key in 0u32..1000 {
                space.put(&key.to_be_bytes(), Some(value));
            }
            space.flush().unwrap();
            while space.compact(&strategy).unwrap() {}
        };
        write_all(&space, &[1; 100]);
        let once = space.disk_bytes();
        let snapshot = space.snapshot();
        (0..8).for_each(|_| write_all(&space, &[2; 100]));
        assert!(space.disk_bytes() >= 2 * once, "what it shows is kept");
        drop(snapshot);
        (0..8).for_each(|_| write_all(&space, &[3; 100]));
        assert!(space.disk_bytes() < 5 * once, "{} bytes for {once}", space.disk_bytes());
        let on_disk: u64 =
            std::fs::read_dir(folder.path().join("tables")).unwrap().map(|file| file.unwrap().metadata().unwrap().len()).sum();
        assert!(on_disk < 8 * once, "{on_disk} bytes for {once}: of 17 files those of now and of the step before");
        drop(space);
        assert!(!folder.path().exists(), "all of it goes with the last who uses it");
    }
}

//! The folder of a run for state that does not fit into memory, and the store in it.
//!
//! It is emptied when it is opened and removed when the last who uses it lets go.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use fjall::config::PartitioningPolicy;
use fjall::{Database, Keyspace, KeyspaceCreateOptions};
use millstream_api::error::{Error, Result};

/// What is in the folder of one attempt.
const KEYS: &str = "keys";
const LOG: &str = "log";

/// Attempts of this process. Each has a folder of its own, so that the end of one is none of the next one's.
static ATTEMPTS: AtomicU64 = AtomicU64::new(0);

/// The least and the most that blocks of the store may take of memory, and that keys which have not come to a file yet may.
const CACHE_BYTES: (u64, u64) = (4 << 20, 256 << 20);
const WRITE_BUFFER_BYTES: u64 = 2 << 20;

/// Threads of the store that write its files and put them together. Of several the first one (fjall 3.1) leaves putting together to the others by
/// sending each order round again and again, a core's work for nothing.
const STORE_THREADS: usize = 1;

/// A folder with a store.
pub struct Scratch {
    /// The one that was given.
    folder: PathBuf,
    /// The one in it that is ours.
    own: PathBuf,
    /// There until it is dropped.
    database: Option<Database>,
    names: AtomicU64,
}

impl std::fmt::Debug for Scratch {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Scratch({})", self.folder.display())
    }
}

impl Scratch {
    /// Makes the folder, or empties it of what another run has left. `cache_bytes` is the memory for what is read again.
    ///
    /// # Errors
    /// When that cannot be done.
    pub fn open(folder: &Path, cache_bytes: usize) -> Result<Arc<Scratch>> {
        let cannot = |cause: &dyn std::fmt::Display| Error::io(format!("cannot use {} for state on disk", folder.display()), cause);
        let own = folder.join(ATTEMPTS.fetch_add(1, Ordering::Relaxed).to_string());
        empty(folder).map_err(|cause| cannot(&cause))?;
        std::fs::create_dir_all(own.join(LOG)).map_err(|cause| cannot(&cause))?;
        let database = Database::builder(own.join(KEYS))
            .cache_size((cache_bytes as u64).clamp(CACHE_BYTES.0, CACHE_BYTES.1))
            .manual_journal_persist(true)
            .worker_threads(STORE_THREADS)
            .max_journaling_size(64 << 20)
            .open()
            .map_err(|cause| cannot(&innermost(&cause)))?;
        Ok(Arc::new(Scratch { folder: folder.to_owned(), own, database: Some(database), names: AtomicU64::new(0) }))
    }

    /// Where it is.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// A space for keys of its own.
    pub(super) fn keyspace(&self) -> Result<Keyspace> {
        let name = self.names.fetch_add(1, Ordering::Relaxed).to_string();
        // Filters and indexes in small blocks: whole ones are larger than the cache, and would be read anew for each key.
        let options = || {
            KeyspaceCreateOptions::default()
                .manual_journal_persist(true)
                .max_memtable_size(WRITE_BUFFER_BYTES)
                .filter_block_partitioning_policy(PartitioningPolicy::all(true))
                .index_block_partitioning_policy(PartitioningPolicy::all(true))
        };
        self.database()?.keyspace(&name, options).map_err(|cause| self.failed("write state to", &cause))
    }

    /// All that is in the store now.
    pub(super) fn view(&self) -> Result<fjall::Snapshot> {
        Ok(self.database()?.snapshot())
    }

    /// Where a file may be written.
    pub(super) fn log_file(&self) -> PathBuf {
        self.own.join(LOG).join(self.names.fetch_add(1, Ordering::Relaxed).to_string())
    }

    /// What the store could not do.
    pub(super) fn failed(&self, doing: &str, cause: &fjall::Error) -> Error {
        let text = match cause {
            // What went wrong first was said by another thread, to nobody.
            fjall::Error::Poisoned => "an earlier write to it has failed; is the disk full?".to_owned(),
            other => innermost(other),
        };
        self.failed_with(doing, &text)
    }

    /// The same, of a file.
    pub(super) fn failed_with(&self, doing: &str, cause: &dyn std::fmt::Display) -> Error {
        Error::io(format!("cannot {doing} disk in {}", self.folder.display()), cause)
            .help("make room there, or raise runtime.memory; with checkpoints the next run goes on from the last one")
    }

    fn database(&self) -> Result<&Database> {
        self.database.as_ref().ok_or_else(|| Error::internal("the store of state on disk is closed"))
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // It ends its threads first.
        self.database = None;
        if let Err(error) = std::fs::remove_dir_all(&self.own) {
            tracing::warn!(%error, folder = %self.own.display(), "state on disk could not be removed; the next run does it");
        }
        // Fails where there is something else, which is none of our business.
        let _ = std::fs::remove_dir(&self.folder);
    }
}

/// Removes what runs have left in a folder: all that is called as an attempt is.
fn empty(folder: &Path) -> std::io::Result<()> {
    let entries = match std::fs::read_dir(folder) {
        Err(cause) if cause.kind() == std::io::ErrorKind::NotFound => return Ok(()),
        entries => entries?,
    };
    for entry in entries {
        let entry = entry?;
        let is_attempt = entry.file_name().to_str().is_some_and(|name| name.bytes().all(|byte| byte.is_ascii_digit()));
        if is_attempt && entry.file_type()?.is_dir() {
            std::fs::remove_dir_all(entry.path())?;
        }
    }
    Ok(())
}

/// What is behind all that is said around it.
fn innermost(error: &fjall::Error) -> String {
    let mut cause: &dyn std::error::Error = error;
    while let Some(inner) = cause.source() {
        cause = inner;
    }
    cause.to_string()
}

//! The folder of a run for state that does not fit into memory, and the store in it.
//!
//! It is emptied when it is opened and removed when the last who uses it lets go.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use lsm_tree::{Cache, DescriptorTable};
use millstream_api::error::{Error, Result};

use super::compactor::Compactor;
use super::space::{Shared, Space};

/// What is in the folder of one attempt.
const KEYS: &str = "keys";
const LOG: &str = "log";

/// Attempts of this process. Each has a folder of its own, so that the end of one is none of the next one's.
static ATTEMPTS: AtomicU64 = AtomicU64::new(0);

/// The least and the most that blocks of the store may take of memory.
const CACHE_BYTES: (u64, u64) = (4 << 20, 256 << 20);

/// So many of its files are open at most.
const OPEN_FILES: usize = 512;

/// A folder with a store.
pub struct Scratch {
    /// The one that was given.
    folder: PathBuf,
    /// The one in it that is ours.
    own: PathBuf,
    shared: Shared,
    /// There until it is dropped.
    compactor: Option<Compactor>,
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
        std::fs::create_dir_all(own.join(KEYS)).map_err(|cause| cannot(&cause))?;
        let cache = Cache::with_capacity_bytes((cache_bytes as u64).clamp(CACHE_BYTES.0, CACHE_BYTES.1));
        let shared = Shared { cache: Arc::new(cache), files: Arc::new(DescriptorTable::new(OPEN_FILES)) };
        let compactor = Compactor::start().map_err(|cause| cannot(&cause))?;
        Ok(Arc::new(Scratch { folder: folder.to_owned(), own, shared, compactor: Some(compactor), names: AtomicU64::new(0) }))
    }

    /// Where it is.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// A space for keys of its own.
    pub(super) fn space(&self) -> Result<Space> {
        let folder = self.own.join(KEYS).join(self.names.fetch_add(1, Ordering::Relaxed).to_string());
        Space::new(&folder, &self.shared).map_err(|cause| self.failed("write state to", &cause))
    }

    /// A space has a new file: the files may have to be put together, which this waits for where they are too many.
    pub(super) fn has_new_file(&self, space: &Space) -> Result<()> {
        let Some(compactor) = &self.compactor else { return Ok(()) };
        compactor.has_new_file(space).map_err(|cause| self.failed_with("put files of state together on", &cause))
    }

    /// Where a file may be written.
    pub(super) fn log_file(&self) -> PathBuf {
        self.own.join(LOG).join(self.names.fetch_add(1, Ordering::Relaxed).to_string())
    }

    /// What the store could not do.
    pub(super) fn failed(&self, doing: &str, cause: &lsm_tree::Error) -> Error {
        self.failed_with(doing, &innermost(cause))
    }

    /// The same, of a file.
    pub(super) fn failed_with(&self, doing: &str, cause: &dyn std::fmt::Display) -> Error {
        Error::io(format!("cannot {doing} disk in {}", self.folder.display()), cause)
            .help("make room there, or raise runtime.memory; with checkpoints the next run goes on from the last one")
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // Its thread ends first.
        self.compactor = None;
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
pub(super) fn innermost(error: &lsm_tree::Error) -> String {
    let mut cause: &dyn std::error::Error = error;
    while let Some(inner) = cause.source() {
        cause = inner;
    }
    cause.to_string()
}

//! One run at a time on a folder.
//!
//! The lock is the operating system's on a file in the store's folder: it is gone with the process, however that ends. What is
//! written in the file is only for people.

use std::fs::{File, TryLockError};
use std::io::{Read, Seek, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use millstream_api::error::{Error, ErrorKind, Result};

/// The name of the file.
const NAME: &str = "lock";

/// A process that was killed has its files until the system has taken its memory back, which may be after the next one has begun.
const PATIENCE: Duration = Duration::from_secs(3);
const STEP: Duration = Duration::from_millis(20);

/// Holds a folder until it is dropped.
#[derive(Debug)]
pub struct Lock {
    file: File,
    path: PathBuf,
}

impl Lock {
    /// Takes the store in this folder for this process; `who` is shown to those who want it too.
    ///
    /// Where another process has it, waits a little before it gives up: that one may be dying.
    ///
    /// # Errors
    /// When another run holds it, or the file cannot be made.
    pub fn take(folder: &Path, who: &str) -> Result<Lock> {
        let mut waited = Duration::ZERO;
        Lock::take_after(folder, who, || {
            let goes_on = waited < PATIENCE;
            if goes_on {
                std::thread::sleep(STEP);
                waited += STEP;
            }
            goes_on
        })
    }

    /// The same, where `wait` says after each attempt whether there is another one.
    fn take_after(folder: &Path, who: &str, mut wait: impl FnMut() -> bool) -> Result<Lock> {
        let path = folder.join(NAME);
        let cannot = |cause: std::io::Error| Error::io(format!("cannot lock {}", path.display()), cause);
        let mut file = File::options().read(true).write(true).create(true).truncate(false).open(&path).map_err(cannot)?;
        loop {
            match file.try_lock() {
                Ok(()) => break,
                Err(TryLockError::WouldBlock) if wait() => {}
                Err(TryLockError::WouldBlock) => return Err(held(folder, &mut file)),
                Err(TryLockError::Error(cause)) => return Err(cannot(cause)),
            }
        }
        file.set_len(0).and_then(|()| file.rewind()).and_then(|()| file.write_all(who.as_bytes())).map_err(cannot)?;
        Ok(Lock { file, path })
    }

    /// Makes sure that the lock still is where it was taken. A lock on a file that was removed keeps nobody out, and with its folder
    /// all checkpoints are gone.
    ///
    /// # Errors
    /// Of the kind `Taken` when it is not there any more, or is another file; others when that cannot be found out.
    pub fn check(&self) -> Result<()> {
        let gone = |how: &str| {
            Error::new(ErrorKind::Taken, format!("{} {how}: this run holds its store no longer", self.path.display()))
                .help("the store was removed or replaced while the run used it; start it again when the store is in place")
        };
        match std::fs::metadata(&self.path) {
            Err(cause) if matches!(cause.kind(), std::io::ErrorKind::NotFound | std::io::ErrorKind::NotADirectory) => Err(gone("is gone")),
            Err(cause) => Err(Error::io(format!("cannot look at {}", self.path.display()), cause)),
            Ok(there) if self.is(&there) => Ok(()),
            Ok(_) => Err(gone("is another file now")),
        }
    }

    #[cfg(unix)]
    fn is(&self, there: &std::fs::Metadata) -> bool {
        use std::os::unix::fs::MetadataExt;
        self.file.metadata().is_ok_and(|ours| (ours.dev(), ours.ino()) == (there.dev(), there.ino()))
    }

    /// Where files have no numbers, a file that is open cannot be replaced.
    #[cfg(not(unix))]
    fn is(&self, _: &std::fs::Metadata) -> bool {
        let _ = &self.file;
        true
    }
}

fn held(folder: &Path, file: &mut File) -> Error {
    let mut who = String::new();
    // Only for the message; who holds it may just be writing.
    let _ = file.take(200).read_to_string(&mut who);
    let who = if who.is_empty() { "another run".to_owned() } else { who };
    Error::new(ErrorKind::State, format!("the store {} is in use by {who}", folder.display()))
        .help("two runs on one store would destroy each other's state: wait for the other one, or give this one a `store` of its own")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_store_is_held_by_one_and_free_again_when_it_is_gone() {
        let folder = tempfile::tempdir().unwrap();
        let lock = Lock::take(folder.path(), "process 7").unwrap();
        let mut attempts = 0;
        let error = Lock::take_after(folder.path(), "process 8", || {
            attempts += 1;
            attempts < 3
        });
        assert!(error.unwrap_err().message().ends_with("is in use by process 7"));
        assert_eq!(attempts, 3);
        let mut dying = Some(lock);
        Lock::take_after(folder.path(), "process 8", || dying.take().is_some()).unwrap();
    }

    #[test]
    fn a_lock_that_was_removed_or_replaced_is_noticed() {
        let folder = tempfile::tempdir().unwrap();
        let lock = Lock::take(folder.path(), "process 7").unwrap();
        lock.check().unwrap();
        let path = folder.path().join(NAME);
        std::fs::rename(&path, folder.path().join("other")).unwrap();
        let error = lock.check().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Taken);
        assert!(error.message().ends_with("lock is gone: this run holds its store no longer"), "{error}");
        let _another = Lock::take(folder.path(), "process 8").unwrap();
        assert!(lock.check().unwrap_err().message().contains("is another file now"));
        std::fs::remove_dir_all(folder.path()).unwrap();
        assert!(lock.check().unwrap_err().message().contains("is gone"));
    }
}

//! One run at a time on a store.
//!
//! The lock is the operating system's on a file in the store's folder: it is gone with the process, however that ends. What is
//! written in the file is only for people.

use std::fs::{File, TryLockError};
use std::io::{Read, Seek, Write};
use std::path::Path;

use millstream_api::error::{Error, ErrorKind, Result};

/// The name of the file.
const NAME: &str = "lock";

/// Holds a store until it is dropped.
#[derive(Debug)]
pub struct Lock {
    _file: File,
}

impl Lock {
    /// Takes the store in this folder for this process; `who` is shown to those who want it too.
    ///
    /// # Errors
    /// When another run holds it, or the file cannot be made.
    pub fn take(folder: &Path, who: &str) -> Result<Lock> {
        let path = folder.join(NAME);
        let cannot = |cause: std::io::Error| Error::io(format!("cannot lock {}", path.display()), cause);
        let mut file = File::options().read(true).write(true).create(true).truncate(false).open(&path).map_err(cannot)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(held(folder, &mut file)),
            Err(TryLockError::Error(cause)) => return Err(cannot(cause)),
        }
        file.set_len(0).and_then(|()| file.rewind()).and_then(|()| file.write_all(who.as_bytes())).map_err(cannot)?;
        Ok(Lock { _file: file })
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
        let error = Lock::take(folder.path(), "process 8").unwrap_err();
        assert!(error.message().ends_with("is in use by process 7"), "{error}");
        drop(lock);
        Lock::take(folder.path(), "process 8").unwrap();
    }
}

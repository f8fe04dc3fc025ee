//! Objects in a folder of the file system.
//!
//! All that makes a write durable is here. Who may write, and what, is not known here.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use millstream_api::error::{Error, Result};
use object_store::local::LocalFileSystem;
use object_store::path::Path as ObjectPath;
use object_store::{ObjectStore, ObjectStoreExt};
use tokio::runtime::Runtime;

use super::{Blobs, durable, innermost};

/// What is added to the name of an object while it is written.
const STAGED: &str = ".new";

/// A folder of the file system, as `object_store` sees one.
///
/// `object_store` makes a file appear with its whole contents, but leaves it to the system when these are on disk. So an object
/// is [written](durable) here, under another name, given its name, and its folder flushed: also after a loss of power it is there whole
/// or not at all.
pub struct FolderBlobs {
    root: PathBuf,
    store: Arc<LocalFileSystem>,
    runtime: Runtime,
}

impl FolderBlobs {
    /// Opens a folder; makes it if it is not there.
    ///
    /// # Errors
    /// When it cannot be made or read.
    pub fn open(root: &Path) -> Result<FolderBlobs> {
        let cannot = |cause: &dyn std::fmt::Display| Error::io(format!("cannot open the store {}", root.display()), cause);
        if root.is_file() {
            return Err(cannot(&"it is a file, and checkpoints need a folder"));
        }
        std::fs::create_dir_all(root).map_err(|cause| cannot(&cause))?;
        let store = LocalFileSystem::new_with_prefix(root).map_err(|cause| cannot(&cause))?;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(|cause| cannot(&cause))?;
        Ok(FolderBlobs { root: root.to_owned(), store: Arc::new(store), runtime })
    }

    /// Writes an object under another name, on disk when this returns. What it is called there.
    fn stage(&self, name: &str, bytes: &[u8]) -> Result<ObjectPath> {
        let staged = format!("{name}{STAGED}");
        durable::write(&self.root.join(&staged), bytes).map_err(|cause| self.cannot("write", name, &cause))?;
        Ok(ObjectPath::from(staged))
    }

    /// Has the system put the names of an object and its folder on disk. Not every system can open a folder; those need no
    /// such thing.
    fn flush_folders(&self, name: &str) -> Result<()> {
        let flush = |folder: &str| {
            let path = self.root.join(folder);
            File::open(&path).and_then(|file| file.sync_all()).map_err(|cause| self.cannot("write", folder, &cause))
        };
        if cfg!(unix) {
            flush(name.rsplit_once('/').map_or("", |(folder, _)| folder))?;
            flush("")?;
        }
        Ok(())
    }

    fn cannot(&self, what: &str, name: &str, cause: &dyn std::error::Error) -> Error {
        Error::io(format!("cannot {what} {}", self.root.join(name).display()), innermost(cause))
    }
}

impl Blobs for FolderBlobs {
    fn put(&self, name: &str, bytes: &[u8]) -> Result<()> {
        let staged = self.stage(name, bytes)?;
        let named = self.runtime.block_on(self.store.rename(&staged, &ObjectPath::from(name)));
        named.map_err(|cause| self.cannot("write", name, &cause))?;
        self.flush_folders(name)
    }

    fn create(&self, name: &str, bytes: &[u8]) -> Result<bool> {
        let staged = self.stage(name, bytes)?;
        match self.runtime.block_on(self.store.rename_if_not_exists(&staged, &ObjectPath::from(name))) {
            Ok(()) => self.flush_folders(name).map(|()| true),
            Err(object_store::Error::AlreadyExists { .. }) => {
                self.remove(&format!("{name}{STAGED}"))?;
                Ok(false)
            }
            Err(cause) => Err(self.cannot("write", name, &cause)),
        }
    }

    fn get(&self, name: &str) -> Result<Option<Vec<u8>>> {
        let path = ObjectPath::from(name);
        let read = async { self.store.get(&path).await?.bytes().await };
        match self.runtime.block_on(read) {
            Ok(bytes) => Ok(Some(bytes.into())),
            Err(object_store::Error::NotFound { .. }) => Ok(None),
            Err(cause) => Err(self.cannot("read", name, &cause)),
        }
    }

    fn folders(&self) -> Result<Vec<String>> {
        let listed = self.runtime.block_on(self.store.list_with_delimiter(None)).map_err(|cause| self.cannot("list", "", &cause))?;
        Ok(listed.common_prefixes.iter().filter_map(|path| path.filename().map(str::to_owned)).collect())
    }

    fn remove(&self, name: &str) -> Result<()> {
        match std::fs::remove_file(self.root.join(name)) {
            Err(cause) if cause.kind() != std::io::ErrorKind::NotFound => Err(self.cannot("remove", name, &cause)),
            _ => Ok(()),
        }
    }

    fn remove_folder(&self, folder: &str) -> Result<()> {
        // Not object by object: an interrupted write leaves a file that `object_store` does not list.
        match std::fs::remove_dir_all(self.root.join(folder)) {
            Err(cause) if cause.kind() != std::io::ErrorKind::NotFound => Err(self.cannot("remove", folder, &cause)),
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_no_store() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("file");
        std::fs::write(&file, "").unwrap();
        let refused = FolderBlobs::open(&file).err().unwrap().to_string();
        assert!(refused.ends_with("it is a file, and checkpoints need a folder"), "{refused}");
    }

    #[test]
    fn a_folder_keeps_objects_and_refuses_to_write_over_one() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().join("deep/er");
        let blobs = FolderBlobs::open(&root).unwrap();
        assert!(blobs.get("1/a").unwrap().is_none());
        assert!(blobs.create("1/a", &[1, 2]).unwrap());
        blobs.put("1/b", &[]).unwrap();
        assert!(blobs.create("2/a", &[3]).unwrap());
        assert!(!blobs.create("1/a", &[9]).unwrap());
        assert!(!root.join("1/a.new").exists());
        assert_eq!(blobs.get("1/a").unwrap().unwrap(), [1, 2]);
        blobs.put("1/a", &[9]).unwrap();
        assert_eq!(blobs.get("1/a").unwrap().unwrap(), [9]);
        blobs.remove("1/b").unwrap();
        blobs.remove("1/b").unwrap();
        assert!(blobs.get("1/b").unwrap().is_none());
        let mut folders = blobs.folders().unwrap();
        folders.sort();
        assert_eq!(folders, ["1", "2"]);
        blobs.remove_folder("1").unwrap();
        blobs.remove_folder("1").unwrap();
        assert_eq!(blobs.folders().unwrap(), ["2"]);
    }

    #[test]
    fn what_cannot_be_done_is_said_with_the_path() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("file"), "").unwrap();
        let error = FolderBlobs::open(&folder.path().join("file/store")).map(drop).unwrap_err();
        assert!(error.message().starts_with("cannot open the store ") && error.message().contains("file/store"), "{error}");
    }
}

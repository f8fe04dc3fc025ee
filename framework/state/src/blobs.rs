//! Where bytes are kept: anything that names whole objects, writes them durably, and can refuse to write over one.
//!
//! In production that is `object_store`; a test can stand something in between that fails.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use millstream_api::error::{Error, Result};
use object_store::local::LocalFileSystem;
use object_store::path::Path as ObjectPath;
use object_store::{ObjectStore, ObjectStoreExt};
use tokio::runtime::Runtime;

/// Whole objects by name. Names are `a` or `folder/a`. Blocks.
pub trait Blobs: Send + Sync {
    /// Writes an object; it is durable when this returns. With `only_new` there must be none of this name.
    ///
    /// # Errors
    /// When it cannot be written. Then it is not there, or (a torn write of a store that is none of the good ones) damaged.
    fn put(&self, name: &str, bytes: Vec<u8>, only_new: bool) -> Result<()>;

    /// The bytes of an object; `None`: there is none.
    ///
    /// # Errors
    /// When it cannot be read.
    fn get(&self, name: &str) -> Result<Option<Vec<u8>>>;

    /// The names of all folders.
    ///
    /// # Errors
    /// When the store cannot be listed.
    fn folders(&self) -> Result<Vec<String>>;

    /// Removes a folder with all that is in it. One that is not there is no error.
    ///
    /// # Errors
    /// When it cannot be removed.
    fn remove_folder(&self, folder: &str) -> Result<()>;
}

/// A folder of the file system, written through `object_store`.
///
/// `object_store` makes a file appear with its whole contents, but leaves it to the system when these are on disk. So an object
/// is written under another name, flushed, given its name, and its folder flushed: also after a loss of power it is there whole
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
        std::fs::create_dir_all(root).map_err(|cause| cannot(&cause))?;
        let store = LocalFileSystem::new_with_prefix(root).map_err(|cause| cannot(&cause))?;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(|cause| cannot(&cause))?;
        Ok(FolderBlobs { root: root.to_owned(), store: Arc::new(store), runtime })
    }

    /// Has the system put an object's bytes on disk.
    fn flush(&self, name: &str) -> Result<()> {
        let path = self.root.join(name);
        std::fs::File::open(&path)
            .and_then(|file| file.sync_all())
            .map_err(|cause| Error::io(format!("cannot write {}", path.display()), cause))
    }

    /// Has the system put the names of an object and its folder on disk. Not every system can open a folder; those need no
    /// such thing.
    fn flush_folders(&self, name: &str) -> Result<()> {
        if cfg!(unix) {
            self.flush(name.rsplit_once('/').map_or("", |(folder, _)| folder))?;
            self.flush("")?;
        }
        Ok(())
    }

    fn cannot(&self, what: &str, name: &str, cause: &object_store::Error) -> Error {
        Error::io(format!("cannot {what} {}", self.root.join(name).display()), without_paths(cause))
    }
}

/// The innermost cause: what `object_store` says around it repeats the path.
fn without_paths(error: &object_store::Error) -> String {
    let mut cause: &dyn std::error::Error = error;
    while let Some(inner) = cause.source() {
        cause = inner;
    }
    cause.to_string()
}

impl Blobs for FolderBlobs {
    fn put(&self, name: &str, bytes: Vec<u8>, only_new: bool) -> Result<()> {
        let (path, staged) = (ObjectPath::from(name), format!("{name}.new"));
        let staged_path = ObjectPath::from(staged.as_str());
        let failed = |cause: object_store::Error| self.cannot("write", name, &cause);
        self.runtime.block_on(self.store.put(&staged_path, bytes.into())).map_err(failed)?;
        self.flush(&staged)?;
        let renamed = if only_new {
            self.runtime.block_on(self.store.rename_if_not_exists(&staged_path, &path))
        } else {
            self.runtime.block_on(self.store.rename(&staged_path, &path))
        };
        renamed.map_err(failed)?;
        self.flush_folders(name)
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

    fn remove_folder(&self, folder: &str) -> Result<()> {
        // Not object by object: an interrupted write leaves a file that `object_store` does not list.
        match std::fs::remove_dir_all(self.root.join(folder)) {
            Err(cause) if cause.kind() != std::io::ErrorKind::NotFound => {
                Err(Error::io(format!("cannot remove {}", self.root.join(folder).display()), cause))
            }
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_keeps_objects_and_refuses_to_write_over_one() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().join("deep/er");
        let blobs = FolderBlobs::open(&root).unwrap();
        assert!(blobs.get("1/a").unwrap().is_none());
        blobs.put("1/a", vec![1, 2], true).unwrap();
        blobs.put("1/b", vec![], false).unwrap();
        blobs.put("2/a", vec![3], true).unwrap();
        assert!(blobs.put("1/a", vec![9], true).is_err());
        assert_eq!(blobs.get("1/a").unwrap().unwrap(), [1, 2]);
        blobs.put("1/a", vec![9], false).unwrap();
        assert_eq!(blobs.get("1/a").unwrap().unwrap(), [9]);
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

//! How a file comes to its name: written under another one beside it, then renamed.

use std::path::Path;

use millstream_api::{Error, Result};
use tempfile::NamedTempFile;

/// A file beside the one that is to be, so that it can be renamed; removed when it is dropped.
pub(super) fn temporary(path: &Path) -> std::io::Result<NamedTempFile> {
    let folder = path.parent().unwrap_or(Path::new("."));
    std::fs::create_dir_all(folder)?;
    let prefix = format!(".{}.", path.file_name().unwrap_or_default().to_string_lossy());
    let mut builder = tempfile::Builder::new();
    builder.prefix(&prefix).suffix(".tmp");
    // As any other new file, not only for its owner as temporary files are.
    #[cfg(unix)]
    let builder = builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o666));
    builder.tempfile_in(folder).map_err(without_path)
}

/// What the system said. `tempfile` adds the temporary name, which is another one each time: a failure that comes again could not be
/// told from another one.
pub(super) fn without_path(error: std::io::Error) -> std::io::Error {
    let inner = error.get_ref().and_then(|inner| inner.source()).and_then(|source| source.downcast_ref::<std::io::Error>());
    match inner.and_then(std::io::Error::raw_os_error) {
        Some(code) => std::io::Error::from_raw_os_error(code),
        None => error,
    }
}

/// Puts a complete file in its place, so that it is there after a power cut too.
pub(super) fn publish(file: NamedTempFile, path: &Path) -> Result<()> {
    file.as_file().sync_all().map_err(|cause| cannot("write", path, cause))?;
    file.persist(path).map_err(|error| cannot("publish", path, error.error))?;
    sync_folder(path).map_err(|cause| cannot("publish", path, cause))
}

/// The failure to do something with a file.
pub(super) fn cannot(what: &str, path: &Path, cause: impl std::fmt::Display) -> Error {
    Error::io(format!("cannot {what} {}", path.display()), cause)
}

/// Makes a rename durable: it is a change of the folder. Not every system can open a folder; those need no such thing.
pub(super) fn sync_folder(path: &Path) -> std::io::Result<()> {
    #[cfg(unix)]
    std::fs::File::open(path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new(".")))?.sync_all()?;
    #[cfg(not(unix))]
    let _ = path;
    Ok(())
}

#[cfg(test)]
#[cfg(unix)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_that_cannot_be_made_is_an_error_of_the_world_outside() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("file"), "").unwrap();
        let path = folder.path().join("file/rows.ndjson");
        let cause = temporary(&path).unwrap_err();
        let message = cannot("create", &path, cause).message().to_owned();
        assert!(message.contains("cannot create ") && !message.contains("at path"), "{message}");
    }
}

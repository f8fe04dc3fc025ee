//! Which files a `path` means: one file, all files of a folder, or all that match a glob; in the byte order of their names.

use std::fs::Metadata;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use globset::{GlobBuilder, GlobMatcher};
use millstream_api::diagnostic::Diagnostic;
use walkdir::{DirEntry, WalkDir};

/// One file to read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct InputFile {
    /// Where it is.
    pub(crate) path: PathBuf,
    /// The same as the user would write it: for places and positions.
    pub(crate) name: Arc<str>,
    /// How long it was when it was listed.
    pub(crate) size_bytes: u64,
    /// Which file it was.
    pub(crate) id: FileId,
    /// When it or its name was changed last, in seconds and their billionths.
    pub(crate) changed: (i64, i64),
}

/// What stays the same of a file when it is renamed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct FileId {
    /// The file system that it is on.
    pub(crate) device: u64,
    /// Its number there.
    pub(crate) inode: u64,
}

impl FileId {
    /// That of a file with this metadata.
    pub(crate) fn of(metadata: &Metadata) -> FileId {
        FileId { device: metadata.dev(), inode: metadata.ino() }
    }
}

impl InputFile {
    /// The file at `path`, which is called `name` in messages.
    ///
    /// # Errors
    /// When it is not there, or nobody may look at it.
    pub(crate) fn new(path: &Path, name: &str) -> io::Result<InputFile> {
        Ok(InputFile::of(path.to_owned(), name.into(), &path.metadata()?))
    }

    /// Whether it is still there under its name.
    pub(crate) fn is_there(&self) -> bool {
        self.path.metadata().is_ok_and(|metadata| FileId::of(&metadata) == self.id)
    }

    /// The same file with the metadata that it has now.
    pub(crate) fn again(&self, metadata: &Metadata) -> InputFile {
        InputFile::of(self.path.clone(), self.name.clone(), metadata)
    }

    fn of(path: PathBuf, name: Arc<str>, metadata: &Metadata) -> InputFile {
        let changed = (metadata.ctime(), metadata.ctime_nsec());
        InputFile { path, name, size_bytes: metadata.len(), id: FileId::of(metadata), changed }
    }
}

/// The files that `path`, relative to `folder`, means.
///
/// # Errors
/// `path-not-found` when there is none, `bad-glob` for a glob that cannot be read, `cannot-read` when a folder can't be listed.
pub(crate) fn list(folder: &Path, path: &str) -> Result<Vec<InputFile>, Diagnostic> {
    if path.trim().is_empty() {
        return Err(not_found("`path` is empty".to_owned()));
    }
    let whole = folder.join(path);
    let mut files = if whole.is_file() {
        vec![input_file(&whole, path)?]
    } else if whole.is_dir() {
        walk(&whole, path.trim_end_matches('/'), None)?
    } else if let Some((base, glob)) = split_glob(path) {
        walk(&folder.join(base), base, Some(glob))?
    } else {
        let what = if whole.exists() { "neither a file nor a folder" } else { "not there" };
        return Err(not_found(format!("`{path}` is {what}")));
    };
    if files.is_empty() {
        let what = if whole.is_dir() { format!("there is no file in the folder `{path}`") } else { format!("no file matches `{path}`") };
        return Err(not_found(what));
    }
    files.sort_by(|a, b| a.name.as_bytes().cmp(b.name.as_bytes()));
    Ok(files)
}

/// Whether a file of this path can come: the folder is there that it would be in.
pub(crate) fn may_come(folder: &Path, path: &str) -> bool {
    let place = match split_glob(path) {
        Some((base, _)) => folder.join(base),
        None => folder.join(path).parent().map_or_else(|| folder.to_owned(), Path::to_owned),
    };
    place.is_dir()
}

fn not_found(message: String) -> Diagnostic {
    Diagnostic::error("path-not-found", message).key("path").help("paths are relative to the folder of the topology file")
}

fn cannot_read(message: String) -> Diagnostic {
    Diagnostic::error("cannot-read", message).key("path")
}

/// The part of a path before its first component with a glob in it, and the rest; `None` when there is no glob.
fn split_glob(path: &str) -> Option<(&str, &str)> {
    let special = path.find(['*', '?', '[', '{'])?;
    Some(match path[..special].rfind('/') {
        Some(0) => ("/", &path[1..]),
        Some(slash) => (&path[..slash], &path[slash + 1..]),
        None => ("", path),
    })
}

fn matcher(glob: &str) -> Result<GlobMatcher, Diagnostic> {
    let built = GlobBuilder::new(glob).literal_separator(true).build();
    built.map(|glob| glob.compile_matcher()).map_err(|error| {
        Diagnostic::error("bad-glob", error.kind().to_string())
            .key("path")
            .help("`*` and `?` match within a name, `**` any folders, `{a,b}` either, `[0-9]` one of a range")
    })
}

/// How many folders deep a file is at most that matches; `None`: there is no telling.
fn most_deep(glob: &str) -> Option<usize> {
    (!glob.contains("**")).then(|| glob.matches('/').count() + 1)
}

/// All files under `base`, in folders of folders too, that match; without the hidden ones, as Hadoop and its heirs name them.
fn walk(base: &Path, name: &str, glob: Option<&str>) -> Result<Vec<InputFile>, Diagnostic> {
    let matcher = glob.map(matcher).transpose()?;
    let most_deep = glob.and_then(most_deep).unwrap_or(usize::MAX);
    if !base.is_dir() {
        return Ok(Vec::new());
    }
    let mut files = Vec::new();
    let matches = |path: &Path| matcher.as_ref().is_none_or(|matcher| matcher.is_match(path));
    let entries = WalkDir::new(base).follow_links(true).max_depth(most_deep);
    for entry in entries.into_iter().filter_entry(|entry| entry.depth() == 0 || !is_hidden(entry)) {
        let entry = match entry {
            Ok(entry) => entry,
            // Neither is it a file that is wanted, nor can there be one in it.
            Err(error) if error.depth() >= most_deep && !error.path().is_some_and(|path| matches(relative_to(base, path))) => continue,
            Err(error) => return Err(cannot_list(name, &error)),
        };
        let relative = relative_to(base, entry.path());
        if entry.file_type().is_file() && matches(relative) {
            files.push(input_file(entry.path(), &joined(name, relative))?);
        }
    }
    Ok(files)
}

fn relative_to<'a>(base: &Path, path: &'a Path) -> &'a Path {
    path.strip_prefix(base).unwrap_or(path)
}

fn cannot_list(name: &str, error: &walkdir::Error) -> Diagnostic {
    let diagnostic = cannot_read(format!("cannot list `{name}`: {error}"));
    match error.loop_ancestor() {
        Some(_) => diagnostic.help("remove the link, or write a glob that does not go there"),
        None => diagnostic.help("remove what is there, let it be read, or write a glob that does not go there"),
    }
}

fn is_hidden(entry: &DirEntry) -> bool {
    entry.file_name().as_encoded_bytes().first().is_some_and(|first| matches!(first, b'.' | b'_'))
}

fn joined(name: &str, relative: &Path) -> String {
    match name {
        "" => relative.display().to_string(),
        "/" => format!("/{}", relative.display()),
        name => format!("{name}/{}", relative.display()),
    }
}

fn input_file(path: &Path, name: &str) -> Result<InputFile, Diagnostic> {
    InputFile::new(path, name).map_err(|error| cannot_read(format!("cannot read `{name}`: {error}")))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn folder(names: &[&str]) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        for name in names {
            let path = folder.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, "x").unwrap();
        }
        folder
    }

    fn names(folder: &tempfile::TempDir, path: &str) -> Vec<String> {
        list(folder.path(), path).unwrap().iter().map(|file| file.name.to_string()).collect()
    }

    #[test]
    fn files_folders_and_globs_in_the_order_of_their_names() {
        let folder = folder(&["in/b.csv", "in/a.csv", "in/B.csv", "in/sub/c.csv", "in/a.json", "in/.hidden", "in/_temporary/x.csv"]);
        assert_eq!(names(&folder, "in/a.csv"), ["in/a.csv"]);
        assert_eq!(names(&folder, "in/"), ["in/B.csv", "in/a.csv", "in/a.json", "in/b.csv", "in/sub/c.csv"]);
        assert_eq!(names(&folder, "in/*.csv"), ["in/B.csv", "in/a.csv", "in/b.csv"]);
        assert_eq!(names(&folder, "in/**/*.csv"), ["in/B.csv", "in/a.csv", "in/b.csv", "in/sub/c.csv"]);
        assert_eq!(names(&folder, "*/{a,b}.csv"), ["in/a.csv", "in/b.csv"]);
        let absolute = format!("{}/in/a.*", folder.path().display());
        assert_eq!(list(Path::new("/nowhere"), &absolute).unwrap().len(), 2);
    }

    #[test]
    fn links_that_lead_nowhere_matter_only_where_files_are_looked_for() {
        let folder = folder(&["in/a.csv", "in/sub/b.csv"]);
        let link = |to: &str, at: &str| std::os::unix::fs::symlink(folder.path().join(to), folder.path().join(at)).unwrap();
        link("in", "in/sub/round");
        link("in", "in/round");
        link("gone", "in/gone.txt");
        assert_eq!(names(&folder, "in/*.csv"), ["in/a.csv"]);
        for path in ["in", "in/**/*.csv", "in/*/*.csv", "in/*.txt"] {
            let found = list(folder.path(), path).unwrap_err();
            assert_eq!((found.code, found.help.is_some()), ("cannot-read", true), "{path}");
        }
        assert_eq!(names(&folder, "in/sub/*.csv"), ["in/sub/b.csv"]);
    }

    #[test]
    fn a_name_with_glob_characters_is_a_name_first() {
        let folder = folder(&["a[1].csv", "a1.csv"]);
        assert_eq!(names(&folder, "a[1].csv"), ["a[1].csv"]);
        assert_eq!(names(&folder, "a[1-9].csv"), ["a1.csv"]);
    }

    #[test]
    fn what_is_not_there_is_said() {
        let folder = folder(&["in/a.csv", "empty/.keep"]);
        for (path, code, message) in [
            ("none.csv", "path-not-found", "`none.csv` is not there"),
            ("in/*.json", "path-not-found", "no file matches `in/*.json`"),
            ("nowhere/*.json", "path-not-found", "no file matches `nowhere/*.json`"),
            ("empty", "path-not-found", "there is no file in the folder `empty`"),
        ] {
            let found = list(folder.path(), path).unwrap_err();
            assert_eq!((found.code, found.message.as_str()), (code, message));
        }
        assert_eq!(list(folder.path(), "in/[a").unwrap_err().code, "bad-glob");
    }
}

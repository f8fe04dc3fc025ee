//! `millstream new`: a folder with a topology to start from. Nothing that is there is ever touched.
//!
//! - `infer`: a topology for a file of the user's own, with the schema that its rows seem to have

mod infer;

use std::fs::{DirBuilder, File};
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};

use millstream_api::Registry;
use millstream_topology::is_name;

use crate::args::New;
use crate::console::{Console, Trouble};
use crate::status::Status;

const SAMPLE: &str = include_str!("sample/topology.toml");
const SAMPLE_DATA: &str = include_str!("sample/orders.ndjson");

/// Makes the folder.
pub fn new(args: &New, registry: &Registry, console: &Console) -> Status {
    match make(args, registry) {
        Ok((folder, notes)) => {
            for note in notes {
                console.note(&note);
            }
            let topology = folder.join("topology.toml");
            console.print(&format!("{} is there; run it:\n\n    millstream run {}\n", topology.display(), shell(&topology)))
        }
        Err(Stop(trouble, status)) => {
            console.trouble(&trouble);
            status
        }
    }
}

/// Why there is no folder.
struct Stop(Box<Trouble>, Status);

impl Stop {
    /// The user can say it better.
    fn wrong(message: impl Into<String>, help: &str) -> Self {
        Stop(Box::new(Trouble::new(message, Some(help))), Status::Wrong)
    }

    /// The disk would not.
    fn failed(what: &str, path: &Path, cause: &std::io::Error) -> Self {
        Stop(Box::new(Trouble::new(format!("cannot {what} {}: {cause}", path.display()), None)), Status::Failed)
    }
}

/// The folder, and what else is to be said.
fn make(args: &New, registry: &Registry) -> Result<(PathBuf, Vec<String>), Stop> {
    let (folder, files, notes) = match &args.from {
        None => {
            let folder = args.folder.clone().ok_or_else(|| Stop::wrong("a name is missing", "write millstream new NAME"))?;
            let topology = SAMPLE.replace("{{name}}", &name_of(&folder)?);
            (folder, vec![("topology.toml", topology), ("data/orders.ndjson", SAMPLE_DATA.to_owned())], Vec::new())
        }
        Some(file) => {
            let folder = args.folder.clone().unwrap_or_else(|| PathBuf::from(infer::name_for(file)));
            let written = infer::topology(file, &folder, &name_of(&folder)?, registry)?;
            (folder, vec![("topology.toml", written.topology)], written.notes)
        }
    };
    write(&folder, &files)?;
    Ok((folder, notes))
}

/// The topology's name: that of its folder.
fn name_of(folder: &Path) -> Result<String, Stop> {
    let name = folder.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    if is_name(name) {
        return Ok(name.to_owned());
    }
    let help = "a name begins with a letter or `_`, goes on with letters, digits, `_` and `-`, and has no two `_` in a row";
    Err(Stop::wrong(format!("`{}` cannot be the name of a topology", folder.display()), help))
}

/// Makes the folder, which must not be there, and its files.
fn write(folder: &Path, files: &[(&str, String)]) -> Result<(), Stop> {
    if let Some(parent) = folder.parent().filter(|parent| !parent.as_os_str().is_empty()) {
        std::fs::create_dir_all(parent).map_err(|cause| Stop::failed("make the folder", parent, &cause))?;
    }
    DirBuilder::new().create(folder).map_err(|cause| match cause.kind() {
        ErrorKind::AlreadyExists => Stop::wrong(format!("{} exists already", folder.display()), "name a folder that does not exist"),
        _ => Stop::failed("make the folder", folder, &cause),
    })?;
    for (name, text) in files {
        let path = folder.join(name);
        let written =
            path.parent().map_or(Ok(()), std::fs::create_dir_all).and_then(|()| File::create_new(&path)?.write_all(text.as_bytes()));
        written.map_err(|cause| Stop::failed("write", &path, &cause))?;
    }
    Ok(())
}

/// A path as a shell reads it.
fn shell(path: &Path) -> String {
    let text = path.display().to_string();
    let plain = |letter: char| letter.is_ascii_alphanumeric() || "/._-+".contains(letter);
    if text.chars().all(plain) { text } else { format!("'{}'", text.replace('\'', r"'\''")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_can_be_pasted_into_a_shell() {
        assert_eq!(shell(Path::new("a/topology.toml")), "a/topology.toml");
        assert_eq!(shell(Path::new("it's here/t.toml")), r"'it'\''s here/t.toml'");
    }
}

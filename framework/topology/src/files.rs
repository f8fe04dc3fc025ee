//! Over all nodes: no file that one writes is read or written by another.
//!
//! A sink puts its file in the place of the one that is there, so that it would destroy what a source reads, and of two sinks
//! the rows of one would be gone.

use std::path::{Path, PathBuf};

use millstream_api::Diagnostic;
use millstream_api::diagnostic::Key;

use crate::declare::Declaration;
use crate::plan::Planned;
use crate::report::Problems;

/// Notes every sink whose file is that of a source, or of a sink before it.
pub(crate) fn shared_paths(nodes: &[Declaration<'_>], planned: &[Planned], problems: &mut Problems) {
    let mut taken: Vec<(PathBuf, String)> = Vec::new();
    for node in planned {
        let name = &nodes[node.declaration].name;
        for path in &node.plan.reads {
            let whole = path.canonicalize().ok();
            taken.extend(whole.into_iter().chain([place(path)]).map(|path| (path, format!("`{name}` reads"))));
        }
    }
    for node in planned {
        let Some(path) = node.plan.writes.as_deref().map(place) else { continue };
        let declaration = &nodes[node.declaration];
        match taken.iter().find(|(other, _)| *other == path) {
            Some((_, who)) => problems.push(shared(declaration, who)),
            None => taken.push((path, format!("`{}` writes", declaration.name))),
        }
    }
}

/// The one name of a file that need not be there: links are followed in its folder, but it may be a link that is replaced.
fn place(path: &Path) -> PathBuf {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let folder = folder.canonicalize().or_else(|_| std::path::absolute(folder)).unwrap_or_else(|_| folder.to_path_buf());
    folder.join(path.file_name().unwrap_or_default())
}

fn shared(node: &Declaration<'_>, who: &str) -> Diagnostic {
    let message = format!("`{}` would replace the file that {who}", node.name);
    let mut found = Diagnostic::error("shared-path", message).help("give it a path of its own");
    found.path = node.path.iter().cloned().chain([Key::Name("path".to_owned())]).collect();
    found
}

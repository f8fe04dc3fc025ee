//! What the topology format has and this version does not: said plainly, so that nobody looks for a typing mistake.

use millstream_api::Diagnostic;
use millstream_api::diagnostic::Key;

const CODE: &str = "not-supported";

/// A key that the format knows, by its path from the root of the file.
pub(crate) fn key(path: &[Key]) -> Option<Diagnostic> {
    let names: Vec<&str> = path
        .iter()
        .map(|key| match key {
            Key::Name(name) => name.as_str(),
            Key::Index(_) => "",
        })
        .collect();
    let found = match names[..] {
        ["runtime" | "operators", .., "state"] => not_supported("state on disk is").help("leave `state` out; state is kept in memory"),
        _ => return None,
    };
    Some(found.on_key())
}

fn not_supported(what: &str) -> Diagnostic {
    Diagnostic::error(CODE, format!("{what} not supported by this version"))
}

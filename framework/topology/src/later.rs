//! What the topology format has and this version does not: said plainly, so that nobody looks for a typing mistake.

use millstream_api::Diagnostic;
use millstream_api::diagnostic::Key;
use millstream_api::registry::Role;

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
        ["sources", _, "time", "max_ahead"] => not_supported("holding a fast split back is").help("leave `max_ahead` out"),
        _ => return None,
    };
    Some(found.on_key())
}

/// A node type that the format knows.
pub(crate) fn node_type(role: Role, kind: &str) -> Option<Diagnostic> {
    let planned = role == Role::Operator && ["event_time", "deduplicate"].contains(&kind);
    planned.then(|| not_supported(&format!("the operator `{kind}` is")).help("`millstream operators` lists the types that there are"))
}

fn not_supported(what: &str) -> Diagnostic {
    Diagnostic::error(CODE, format!("{what} not supported by this version"))
}

//! Sessions before a key is known, for the nodes that cannot tell them apart.

use millstream_api::{Diagnostic, Stream};

/// Refuses an input whose windows are sessions that no aggregate has divided.
pub(crate) fn refused(name: &str, input: &Stream, key: &str) -> Option<Diagnostic> {
    input.undivided_sessions().then(|| {
        let message = format!("the sessions of `{name}` have no bounds before a key is known, so that only an aggregate can read them");
        Diagnostic::error("session-window", message).key(key).help("put an `aggregate` between")
    })
}

//! Mistakes in a topology file, found before it runs.
//!
//! A node's `plan` knows its own keys only, so a [`Diagnostic`] names a key path inside the node and, for a mistake inside
//! an expression, a byte range of that key's text. `framework/topology` puts the node's path before it and finds file,
//! line and column.

use std::fmt;
use std::ops::Range;

/// Whether a topology with this diagnostic may run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// It may not.
    Error,
    /// It may, but the user should know.
    Warning,
}

/// One step of a key path.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Key {
    /// A key of a table.
    Name(String),
    /// A place in a list, from 0.
    Index(usize),
}

/// Which part of a key's place is meant.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub enum Part {
    /// The whole value.
    #[default]
    Value,
    /// The key itself (an unknown key, a table that lacks a key).
    Key,
    /// This byte range of the value's text.
    Text(Range<usize>),
}

/// One mistake, or one thing to be warned of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Diagnostic {
    /// Whether it stops the topology from running.
    pub severity: Severity,
    /// A stable name such as `unknown-column`; each is documented in docs/errors.md.
    pub code: &'static str,
    /// The keys that lead to the place, from the node (in a plan) or from the root of the file.
    pub path: Vec<Key>,
    /// Which part of it.
    pub part: Part,
    /// What was found, in one sentence without a full stop.
    pub message: String,
    /// What would be right, or what to do.
    pub help: Option<String>,
}

impl Diagnostic {
    /// A mistake, without a place yet.
    pub fn error(code: &'static str, message: impl Into<String>) -> Self {
        Diagnostic { severity: Severity::Error, code, path: Vec::new(), part: Part::Value, message: message.into(), help: None }
    }

    /// A warning, without a place yet.
    pub fn warning(code: &'static str, message: impl Into<String>) -> Self {
        Diagnostic { severity: Severity::Warning, ..Diagnostic::error(code, message) }
    }

    /// At this key, inside what the path says already.
    #[must_use]
    pub fn key(mut self, name: impl Into<String>) -> Self {
        self.path.push(Key::Name(name.into()));
        self
    }

    /// At this place of a list.
    #[must_use]
    pub fn index(mut self, index: usize) -> Self {
        self.path.push(Key::Index(index));
        self
    }

    /// Means the key itself and not its value.
    #[must_use]
    pub fn on_key(mut self) -> Self {
        self.part = Part::Key;
        self
    }

    /// Means this byte range of the value's text.
    #[must_use]
    pub fn text(mut self, range: Range<usize>) -> Self {
        self.part = Part::Text(range);
        self
    }

    /// Says what to do.
    #[must_use]
    pub fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }
}

/// All that was found in one go.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Diagnostics(pub Vec<Diagnostic>);

impl Diagnostics {
    /// Adds one.
    pub fn push(&mut self, diagnostic: Diagnostic) {
        self.0.push(diagnostic);
    }

    /// The value, or the diagnostics noted here and `None`: for going on to the next mistake.
    pub fn ok<T, E: Into<Diagnostics>>(&mut self, result: Result<T, E>) -> Option<T> {
        result.map_err(|e| self.0.extend(e.into().0)).ok()
    }

    /// Whether any of them stops the topology from running.
    pub fn has_errors(&self) -> bool {
        self.0.iter().any(|d| d.severity == Severity::Error)
    }

    /// `value`, unless there are errors.
    pub fn into_result<T>(self, value: T) -> Result<T, Diagnostics> {
        if self.has_errors() { Err(self) } else { Ok(value) }
    }
}

impl From<Diagnostic> for Diagnostics {
    fn from(one: Diagnostic) -> Self {
        Diagnostics(vec![one])
    }
}

impl fmt::Display for Diagnostics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, d) in self.0.iter().enumerate() {
            let newline = if i == 0 { "" } else { "\n" };
            write!(f, "{newline}{}: {}", d.code, d.message)?;
        }
        Ok(())
    }
}

/// The name among `known` that was most likely meant by `found`, if one is near enough to be named in a message.
pub fn nearest<'a>(found: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let lower = found.to_lowercase();
    known
        .into_iter()
        .map(|name| (strsim::damerau_levenshtein(&lower, &name.to_lowercase()), name))
        .filter(|(distance, name)| *distance <= (found.len().max(name.len()) / 3).max(1))
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, name)| name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nearest_names_only_what_is_near() {
        assert_eq!(nearest("hourli", ["departures", "hourly", "delays"]), Some("hourly"));
        assert_eq!(nearest("Kind", ["kind"]), Some("kind"));
        assert_eq!(nearest("xyz", ["departures", "hourly"]), None);
    }

    #[test]
    fn a_warning_alone_lets_a_topology_run() {
        let mut found = Diagnostics::default();
        found.push(Diagnostic::warning("unread", "nobody reads `a`"));
        assert!(found.clone().into_result(()).is_ok());
        found.push(Diagnostic::error("cycle", "`a` reads itself").key("input"));
        assert!(found.into_result(()).is_err());
    }
}

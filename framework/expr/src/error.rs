//! What is wrong with an expression, and where in its text.

use std::ops::Range;

use millstream_api::Diagnostic;

/// A mistake in an expression.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExprError {
    /// `syntax`, `unknown-column`, `ambiguous-column`, `unknown-function`, `unknown-type`, `type-mismatch`, `not-boolean`, `aggregate-not-allowed`,
    /// `missing-name`, `bad-name`.
    pub code: &'static str,
    /// What was found, in one sentence.
    pub message: String,
    /// The bytes of the text that are meant; `None`: all of it.
    pub span: Option<Range<usize>>,
    /// What would be right.
    pub help: Option<String>,
}

impl ExprError {
    /// A mistake without advice yet.
    pub(crate) fn new(code: &'static str, message: impl Into<String>, span: Option<Range<usize>>) -> Self {
        ExprError { code, message: message.into(), span, help: None }
    }

    /// Says what would be right.
    #[must_use]
    pub(crate) fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }

    /// As a diagnostic at this key of the node. For an item of a list add [`Diagnostic::index`].
    pub fn at(self, key: &str) -> Diagnostic {
        let mut diagnostic = Diagnostic::error(self.code, self.message).key(key);
        if let Some(span) = self.span {
            diagnostic = diagnostic.text(span);
        }
        diagnostic.help = self.help;
        diagnostic
    }
}

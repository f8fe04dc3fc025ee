//! Texts that must not be shown: tokens and passwords.

use std::fmt;
use std::hint::black_box;

use schemars::JsonSchema;
use serde::Deserialize;

/// A token or password. It is never printed: `{:?}` hides it, and there is no other way to format it.
#[derive(Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(transparent)]
#[schemars(inline)]
pub struct Secret(#[schemars(length(min = 1))] String);

impl Secret {
    /// A secret of this text.
    pub fn new(text: impl Into<String>) -> Self {
        Secret(text.into())
    }

    /// The text, to be sent to where it is the password.
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// Whether it is what somebody has given. How long that takes does not depend on how much of it is right.
    pub fn is(&self, given: &[u8]) -> bool {
        let secret = self.0.as_bytes();
        let other = |i: usize| given.get(i).copied().unwrap_or_default();
        let differences = secret.iter().enumerate().fold(0, |found, (i, byte)| black_box(found | (byte ^ other(i))));
        differences == 0 && secret.len() == given.len()
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("(secret)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_compared_as_a_whole_and_never_shown() {
        let secret = Secret::new("open sesame");
        assert!(secret.is(b"open sesame"));
        for other in ["", "open", "open sesame ", "open sesame\0", "Open sesame"] {
            assert!(!secret.is(other.as_bytes()), "{other}");
        }
        assert_eq!(format!("{secret:?}"), "(secret)");
    }
}

//! The keys of csv, as every source that reads text has them.

use millstream_api::{Diagnostic, Diagnostics};

use super::csv::Dialect;

/// What the user has written of them.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct CsvKeys<'a> {
    pub(crate) header: Option<bool>,
    pub(crate) delimiter: Option<&'a str>,
    pub(crate) quote: Option<&'a str>,
    pub(crate) null_text: Option<&'a str>,
}

impl CsvKeys<'_> {
    /// How records are written.
    ///
    /// # Errors
    /// `bad-value`: a character that can't be a delimiter or quote.
    pub(crate) fn dialect(&self) -> Result<Dialect, Diagnostics> {
        let mut errors = Diagnostics::default();
        let delimiter = errors.ok(one_byte("delimiter", self.delimiter.unwrap_or(",")));
        let quote = errors.ok(one_byte("quote", self.quote.unwrap_or("\"")));
        if delimiter.is_some() && delimiter == quote {
            errors.push(Diagnostic::error("bad-value", "`quote` and `delimiter` are the same character").key("quote"));
        }
        let (Some(delimiter), Some(quote)) = (delimiter, quote) else {
            return Err(errors);
        };
        let null_text = self.null_text.unwrap_or_default().to_owned();
        errors.into_result(Dialect { header: self.header.unwrap_or(true), delimiter, quote, null_text })
    }

    /// That none of them is set, because the input is in another format.
    ///
    /// # Errors
    /// `unused-key` for each that is.
    pub(crate) fn unused(&self, format: &str) -> Result<(), Diagnostics> {
        let keys = [
            ("header", self.header.is_some()),
            ("delimiter", self.delimiter.is_some()),
            ("quote", self.quote.is_some()),
            ("null_text", self.null_text.is_some()),
        ];
        let unused = |(key, _)| {
            Diagnostic::error("unused-key", format!("`{key}` means nothing for {format}"))
                .key(key)
                .on_key()
                .help("leave it out, or set format = \"csv\"")
        };
        Diagnostics(keys.into_iter().filter(|(_, given)| *given).map(unused).collect()).into_result(())
    }
}

fn one_byte(key: &str, text: &str) -> Result<u8, Diagnostic> {
    match text.as_bytes() {
        &[byte] if byte.is_ascii() && !matches!(byte, b'\n' | b'\r') => Ok(byte),
        _ => Err(Diagnostic::error("bad-value", format!("`{key}` must be one ASCII character other than a line end, not {text:?}"))
            .key(key)
            .help("a tab is \"\\t\"")),
    }
}

//! The formats of `to_char`, `date_format` and `to_timestamp`, which are checked with the expression.
//!
//! Users bring three habits: strftime (`%Y-%m-%d`, both functions), PostgreSQL's templates (`YYYY-MM-DD HH24:MI`, `to_char`) and
//! Java's (`yyyy-MM-dd HH:mm`, `date_format`, as in Flink and Spark). A format with a `%` is strftime, any other is the template
//! of the function. What a template does not know is an error, not text that is copied: `yyyy-mm-dd` would print minutes.

use chrono::format::{Item, StrftimeItems};

/// Which templates a function takes, besides strftime.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Template {
    /// `YYYY-MM-DD HH24:MI:SS`
    Postgres,
    /// `yyyy-MM-dd HH:mm:ss`
    Java,
}

impl Template {
    /// The templates of the function of this name.
    pub(crate) fn of(function: &str) -> Option<Template> {
        match function {
            "to_char" => Some(Template::Postgres),
            "date_format" => Some(Template::Java),
            _ => None,
        }
    }

    /// The strftime format that a format of times to be written means; the error says what is wrong with it.
    pub(crate) fn strftime(self, format: &str) -> Result<String, String> {
        let strftime = self.translated(format, &[])?;
        match strftime.replace("%%", "").contains("%#z") {
            true => Err(format!("`%#z` in `{format}` is for times that are read")),
            false => Ok(strftime),
        }
    }

    /// The same of times to be read, where the form of an offset is free.
    pub(crate) fn reading(self, format: &str) -> Result<String, String> {
        self.translated(format, &OFFSETS)
    }

    fn translated(self, format: &str, more: &[(&'static str, &'static str)]) -> Result<String, String> {
        if format.contains('%') {
            let wrong = StrftimeItems::new(format).any(|item| matches!(item, Item::Error));
            return if wrong { Err(format!("`{format}` is not a time format")) } else { Ok(format.to_owned()) };
        }
        let mut translated = String::new();
        let mut rest = format;
        while let Some(first) = rest.chars().next() {
            if first == self.quote() {
                let (text, after) =
                    quoted(&rest[first.len_utf8()..], first).ok_or_else(|| format!("a quote in `{format}` is not closed"))?;
                translated.push_str(&text);
                rest = after;
            } else if first.is_alphabetic() {
                let (code, length) = self.part(rest, more).ok_or_else(|| self.unknown_part(rest, format))?;
                translated.push_str(code);
                rest = &rest[length..];
            } else {
                translated.push(first);
                rest = &rest[first.len_utf8()..];
            }
        }
        Ok(translated)
    }

    fn quote(self) -> char {
        match self {
            Template::Postgres => '"',
            Template::Java => '\'',
        }
    }

    /// The strftime code of the part at the beginning of `rest`, and the part's length.
    fn part(self, rest: &str, more: &[(&'static str, &'static str)]) -> Option<(&'static str, usize)> {
        match self {
            Template::Postgres => {
                POSTGRES.iter().find(|(part, _)| rest.get(..part.len()) == Some(*part)).map(|(part, code)| (*code, part.len()))
            }
            Template::Java => {
                let run = run_of_one_letter(rest);
                JAVA.iter().chain(more).find(|(part, _)| *part == run).map(|(part, code)| (*code, part.len()))
            }
        }
    }

    fn unknown_part(self, rest: &str, format: &str) -> String {
        let run = run_of_one_letter(rest);
        format!("`{run}` in `{format}` is not a part of a time format")
    }
}

/// In the order in which they are tried: longer ones first.
const POSTGRES: [(&str, &str); 28] = [
    ("YYYY", "%Y"),
    ("yyyy", "%Y"),
    ("IYYY", "%G"),
    ("HH24", "%H"),
    ("hh24", "%H"),
    ("HH12", "%I"),
    ("hh12", "%I"),
    ("Month", "%B"),
    ("Mon", "%b"),
    ("DDD", "%j"),
    ("Day", "%A"),
    ("Dy", "%a"),
    ("YY", "%y"),
    ("yy", "%y"),
    ("MM", "%m"),
    ("mm", "%m"),
    ("DD", "%d"),
    ("dd", "%d"),
    ("HH", "%I"),
    ("hh", "%I"),
    ("MI", "%M"),
    ("mi", "%M"),
    ("MS", "%3f"),
    ("US", "%6f"),
    ("SS", "%S"),
    ("ss", "%S"),
    ("IW", "%V"),
    ("AM", "%p"),
];

const JAVA: [(&str, &str); 25] = [
    ("yyyy", "%Y"),
    ("uuuu", "%Y"),
    ("yy", "%y"),
    ("MMMM", "%B"),
    ("MMM", "%b"),
    ("MM", "%m"),
    ("M", "%-m"),
    ("dd", "%d"),
    ("d", "%-d"),
    ("DDD", "%j"),
    ("EEEE", "%A"),
    ("EEE", "%a"),
    ("E", "%a"),
    ("HH", "%H"),
    ("H", "%-H"),
    ("hh", "%I"),
    ("h", "%-I"),
    ("mm", "%M"),
    ("m", "%-M"),
    ("ss", "%S"),
    ("s", "%-S"),
    ("SSS", "%3f"),
    ("SSSSSS", "%6f"),
    ("SSSSSSSSS", "%9f"),
    ("a", "%p"),
];

/// Offsets in texts that are read: `Z`, `+02`, `+0200` or `+02:00`.
const OFFSETS: [(&str, &str); 5] = [("XXX", "%#z"), ("XX", "%#z"), ("X", "%#z"), ("xxx", "%#z"), ("Z", "%#z")];

/// The text up to the closing quote and what comes after it; a quote written twice stands for one.
fn quoted(rest: &str, quote: char) -> Option<(String, &str)> {
    let mut text = String::new();
    let mut chars = rest.char_indices().peekable();
    while let Some((at, c)) = chars.next() {
        if c != quote {
            text.push(c);
        } else if chars.peek().is_some_and(|(_, next)| *next == quote) {
            chars.next();
            text.push(quote);
        } else {
            return Some((text, &rest[at + quote.len_utf8()..]));
        }
    }
    None
}

fn run_of_one_letter(rest: &str) -> &str {
    let first = rest.chars().next();
    let end = rest.char_indices().find(|(_, c)| Some(*c) != first).map_or(rest.len(), |(at, _)| at);
    &rest[..end]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn templates_become_strftime() {
        for (template, format, wanted) in [
            (Template::Postgres, "YYYY-MM-DD HH24:MI:SS.MS", "%Y-%m-%d %H:%M:%S.%3f"),
            (Template::Postgres, "HH:MI", "%I:%M"),
            (Template::Postgres, "YYYY\" T \"Mon", "%Y T %b"),
            (Template::Java, "yyyy-MM-dd'T'HH:mm:ss.SSS", "%Y-%m-%dT%H:%M:%S.%3f"),
            (Template::Java, "h 'o''clock' a", "%-I o'clock %p"),
            (Template::Java, "%Y", "%Y"),
            (Template::Java, "%Y%%#z", "%Y%%#z"),
        ] {
            assert_eq!(template.strftime(format).as_deref(), Ok(wanted), "{format}");
        }
    }

    #[test]
    fn what_is_not_known_is_not_copied() {
        for (template, format, wanted) in [
            (Template::Postgres, "%Q", "`%Q` is not a time format"),
            (Template::Postgres, "%Y%#z", "`%#z` in `%Y%#z` is for times that are read"),
            (Template::Postgres, "YYYY-XX", "`XX` in `YYYY-XX` is not a part of a time format"),
            (Template::Java, "YYYY-MM-dd", "`YYYY` in `YYYY-MM-dd` is not a part of a time format"),
            (Template::Java, "'T", "a quote in `'T` is not closed"),
        ] {
            assert_eq!(template.strftime(format).unwrap_err(), wanted);
        }
    }
}

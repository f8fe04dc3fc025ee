//! Everything that was found in a topology, with places, and how it is shown.
//!
//! ```text
//! hourly.toml:31:10: error[unknown-stream]: `delays` reads `hourli`, which is not defined
//! 31 | input = "hourli"
//!    |          ^^^^^^
//! help: did you mean `hourly`? defined here: departures, hourly, delays
//! ```

use std::fmt;
use std::ops::Range;

use millstream_api::diagnostic::{Diagnostic, Key, Part, Severity};

use crate::place::locate;
use crate::secret::{Secrets, without_quotes};
use crate::tree::{Place, Table};

/// All that was found, in the order of the file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    entries: Vec<Entry>,
}

/// One mistake or warning and where it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Whether it stops the topology from running.
    pub severity: Severity,
    /// Its stable name; docs/errors.md says what each means.
    pub code: &'static str,
    /// The keys that lead to the place, from the root of the file.
    pub path: Vec<Key>,
    /// Where it was written.
    pub position: Position,
    /// What was found.
    pub message: String,
    /// What would be right.
    pub help: Option<String>,
}

/// Where the text that an entry is about was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Position {
    /// In the file; lines and columns count from 1, columns in characters.
    File {
        /// The file, as the user named it.
        file: String,
        /// The line.
        line: usize,
        /// The first character that is meant.
        column: usize,
        /// How many characters of the line are meant, at least one.
        width: usize,
        /// The line's text.
        text: String,
    },
    /// In a variable or on the command line: `MILLSTREAM__NAME`, `--set name`.
    Layer(String),
    /// The file as a whole.
    Whole(String),
}

impl Report {
    /// Everything, in the order of the file.
    pub fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// How many entries stop the topology from running.
    pub fn errors(&self) -> usize {
        self.entries.iter().filter(|entry| entry.severity == Severity::Error).count()
    }

    /// How many do not.
    pub fn warnings(&self) -> usize {
        self.entries.len() - self.errors()
    }

    /// The text for the user: each entry followed by an empty line, nothing when there are none.
    pub fn render(&self) -> String {
        self.entries.iter().map(|entry| format!("{entry}\n")).collect()
    }
}

impl fmt::Display for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let severity = match self.severity {
            Severity::Error => "error",
            Severity::Warning => "warning",
        };
        // Messages quote the file, and a terminal must not be driven by it.
        let says = format!("{severity}[{}]: {}", self.code, self.message.chars().map(printable).collect::<String>());
        match &self.position {
            Position::File { file, line, column, width, text } => {
                writeln!(f, "{file}:{line}:{column}: {says}")?;
                write_snippet(f, *line, *column, *width, text)?;
            }
            Position::Layer(name) | Position::Whole(name) => writeln!(f, "{name}: {says}")?,
        }
        match &self.help {
            Some(help) => writeln!(f, "help: {}", help.chars().map(printable).collect::<String>()),
            None => Ok(()),
        }
    }
}

/// Lines longer than this are shown around the place only.
const SNIPPET_CHARACTERS: usize = 160;

fn write_snippet(f: &mut fmt::Formatter<'_>, line: usize, column: usize, width: usize, text: &str) -> fmt::Result {
    let skipped = if text.chars().count() > SNIPPET_CHARACTERS { (column - 1).saturating_sub(SNIPPET_CHARACTERS / 2) } else { 0 };
    let shown: String = text.chars().skip(skipped).take(SNIPPET_CHARACTERS).map(printable).collect();
    let number = line.to_string();
    writeln!(f, "{number} | {shown}")?;
    let before: String = shown.chars().take(column - 1 - skipped).map(|c| if c == '\t' { '\t' } else { ' ' }).collect();
    let width = width.min(SNIPPET_CHARACTERS - before.chars().count().min(SNIPPET_CHARACTERS - 1));
    writeln!(f, "{} | {before}{}", " ".repeat(number.len()), "^".repeat(width))
}

/// A file may hold anything; a terminal must not be driven by it.
fn printable(character: char) -> char {
    if character.is_control() && !matches!(character, '\t' | '\n') { char::REPLACEMENT_CHARACTER } else { character }
}

/// A diagnostic from the root of the file, with its place where that does not follow from its path.
pub(crate) type Problem = (Diagnostic, Option<Place>);

/// What is found on the way, before places are looked up.
#[derive(Default)]
pub(crate) struct Problems {
    found: Vec<Problem>,
    secrets: Secrets,
    /// Where texts stand into which a secret was put.
    secret_texts: Vec<Vec<Key>>,
}

impl Problems {
    /// Shows this text nowhere, and no part of it where it was put in at this path.
    pub fn hide(&mut self, secret: &str, path: &[Key]) {
        self.secrets.add(secret);
        self.secret_texts.push(path.to_vec());
    }

    /// What must not be shown.
    pub fn secrets(&self) -> &Secrets {
        &self.secrets
    }

    /// Adds one whose path says where it is.
    pub fn push(&mut self, diagnostic: Diagnostic) {
        self.found.push((diagnostic, None));
    }

    /// Adds one at a place that no path leads to.
    pub fn push_at(&mut self, diagnostic: Diagnostic, place: Place) {
        self.found.push((diagnostic, Some(place)));
    }

    /// Says of the last one what to do.
    pub fn help_last(&mut self, help: String) {
        if let Some((diagnostic, _)) = self.found.last_mut() {
            diagnostic.help = Some(help);
        }
    }

    /// How many there are so far.
    pub fn len(&self) -> usize {
        self.found.len()
    }

    /// Whether any has this code.
    pub fn has(&self, code: &str) -> bool {
        self.found.iter().any(|(diagnostic, _)| diagnostic.code == code)
    }

    /// Whether any stops the topology from running.
    pub fn has_errors(&self) -> bool {
        self.found.iter().any(|(diagnostic, _)| diagnostic.severity == Severity::Error)
    }

    /// Finds the places and puts all in the order of the file; what was said twice is said once.
    pub fn into_report(self, file: &str, source: &str, tree: &Table) -> Report {
        let lines = Lines::new(source);
        let mut placed: Vec<(Diagnostic, Option<Place>)> = self
            .found
            .into_iter()
            .map(|(diagnostic, place)| {
                let place = place.or_else(|| locate(tree, source, &diagnostic.path, &diagnostic.part));
                (diagnostic, place)
            })
            .collect();
        placed.sort_by_key(|(_, place)| match place {
            None => (0, 0),
            Some(Place::File(span)) => (1, span.start),
            Some(Place::Layer(_)) => (2, 0),
        });
        let mut entries: Vec<Entry> = Vec::with_capacity(placed.len());
        for (diagnostic, place) in placed {
            let position = match place {
                None => Position::Whole(file.to_owned()),
                Some(Place::Layer(name)) => Position::Layer(name.to_string()),
                Some(Place::File(span)) => lines.position(file, &span),
            };
            let Diagnostic { severity, code, path, part, message, help } = diagnostic;
            let (message, help) = match matches!(part, Part::Text(_)) && self.secret_texts.contains(&path) {
                true => (without_quotes(&message), Some(SECRET_HELP.to_owned())),
                false => (message, help),
            };
            let (message, help) = (self.secrets.hide(&message), help.map(|help| self.secrets.hide(&help)));
            let entry = Entry { severity, code, path, position, message, help };
            if entries.last() != Some(&entry) {
                entries.push(entry);
            }
        }
        Report { entries }
    }
}

/// In place of what would be right: that may name parts of the secret as well.
const SECRET_HELP: &str = "a secret stands in this text, so its parts are not shown; look at the file that it comes from";

/// Where the lines of a text start.
pub(crate) struct Lines<'a> {
    source: &'a str,
    starts: Vec<usize>,
}

impl<'a> Lines<'a> {
    pub fn new(source: &'a str) -> Self {
        let starts = std::iter::once(0).chain(source.match_indices('\n').map(|(at, _)| at + 1)).collect();
        Lines { source, starts }
    }

    /// The line of a byte, from 1.
    pub fn line(&self, byte: usize) -> usize {
        self.starts.partition_point(|start| *start <= byte).max(1)
    }

    fn position(&self, file: &str, span: &Range<usize>) -> Position {
        let at = floor_boundary(self.source, span.start);
        let line = self.line(at);
        let start = self.starts[line - 1];
        let text = self.source[start..].lines().next().unwrap_or_default();
        let in_line = (at - start).min(text.len());
        let end = floor_boundary(self.source, span.end).saturating_sub(start).clamp(in_line, text.len());
        let characters = |range: Range<usize>| text.get(range).map_or(0, |part| part.chars().count());
        Position::File {
            file: file.to_owned(),
            line,
            column: 1 + characters(0..in_line),
            width: characters(in_line..end).max(1),
            text: text.to_owned(),
        }
    }
}

/// The character that byte `at` belongs to, or the end of the text.
fn floor_boundary(text: &str, at: usize) -> usize {
    let mut at = at.min(text.len());
    while !text.is_char_boundary(at) {
        at -= 1;
    }
    at
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tree;

    fn report(source: &str, problems: Vec<Problem>) -> String {
        let tree = tree::parse(source, tree::Syntax::Toml).unwrap_or_default();
        Problems { found: problems, ..Problems::default() }.into_report("hourly.toml", source, &tree).render()
    }

    #[test]
    fn an_error_shows_its_line_and_what_to_do() {
        let diagnostic = Diagnostic::error("unknown-stream", "`delays` reads `hourli`, which is not defined")
            .key("operators")
            .key("delays")
            .key("input")
            .text(0..6)
            .help("did you mean `hourly`?");
        let shown = report("[operators.delays]\ninput = \"hourli\"\n", vec![(diagnostic, None)]);
        let expected = "hourly.toml:2:10: error[unknown-stream]: `delays` reads `hourli`, which is not defined\n\
                        2 | input = \"hourli\"\n  |          ^^^^^^\nhelp: did you mean `hourly`?\n\n";
        assert_eq!(shown, expected);
    }

    #[test]
    fn columns_count_characters_and_carets_follow_tabs() {
        let diagnostic = Diagnostic::warning("w", "x").key("a").text(0..1);
        let shown = report("\ta = \"b\" # ü\n", vec![(diagnostic, None)]);
        assert_eq!(shown, "hourly.toml:1:7: warning[w]: x\n1 | \ta = \"b\" # ü\n  | \t     ^\n\n");
        let after_umlaut = report("ö", vec![(Diagnostic::error("syntax", "x"), Some(Place::File(2..2)))]);
        assert_eq!(after_umlaut, "hourly.toml:1:2: error[syntax]: x\n1 | ö\n  |  ^\n\n");
    }

    #[test]
    fn a_long_line_is_shown_around_the_place() {
        let source = format!("a = [{}7]", "1, ".repeat(400));
        let shown = report(&source, vec![(Diagnostic::error("e", "x").key("a").index(400), None)]);
        let lines: Vec<&str> = shown.lines().collect();
        assert_eq!(lines[0], "hourly.toml:1:1206: error[e]: x");
        let caret = lines[2].find('^').unwrap();
        assert_eq!(&lines[1][caret..=caret], "7");
        assert!(lines[1].len() < 200);
    }

    #[test]
    fn order_is_that_of_the_file_and_nothing_is_said_twice() {
        let source = "a = 1\nb = 2\n";
        let at = |key: &str| (Diagnostic::error("e", format!("about {key}")).key(key), None);
        let layer = (Diagnostic::error("e", "given"), Some(Place::Layer("--set c".into())));
        let shown = report(source, vec![layer, at("b"), at("a"), at("a"), at("name")]);
        let first_lines: Vec<&str> = shown.lines().filter(|line| line.contains("error")).collect();
        assert_eq!(
            first_lines,
            [
                "hourly.toml: error[e]: about name",
                "hourly.toml:1:5: error[e]: about a",
                "hourly.toml:2:5: error[e]: about b",
                "--set c: error[e]: given"
            ]
        );
    }
}

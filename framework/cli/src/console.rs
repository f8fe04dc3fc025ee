//! What is said on standard error, and what is printed on standard output.
//!
//! With `--log-format text` messages are for people: they are written as they are, and log lines come only when asked for.
//! With `json` every message is a log line as well, with its parts as fields. A closed pipe on either stream is never a panic.

use std::backtrace::{Backtrace, BacktraceStatus};
use std::borrow::Cow;
use std::io::{self, IsTerminal, Write};
use std::sync::OnceLock;

use millstream_api::diagnostic::Severity;
use millstream_api::panics::is_expected;
use millstream_runtime::{Ledger, LedgerRow, Observation};
use millstream_topology::{Entry, Position, Secrets};
use tracing::{debug, error, info, warn};
use tracing_subscriber::EnvFilter;

use crate::args::LogFormat;
use crate::board;
use crate::ledger;
use crate::status::Status;
use crate::terminal::above;

/// A message about something that went wrong, in parts.
#[derive(Debug, Default)]
pub struct Trouble {
    /// `topology.toml:31`, or what else it is about.
    pub place: Option<String>,
    /// The node, the subtask of it, and how many it has.
    pub node: Option<(String, usize, usize)>,
    /// What was wrong.
    pub message: String,
    /// Where in the data it happened.
    pub data: Option<String>,
    /// What to do.
    pub help: Option<String>,
}

impl Trouble {
    /// Only a message and what to do.
    pub fn new(message: impl Into<String>, help: Option<&str>) -> Self {
        Trouble { message: message.into(), help: help.map(str::to_owned), ..Trouble::default() }
    }

    /// In the form of `check`'s messages.
    fn text(&self) -> String {
        let place = self.place.as_ref().map_or(String::new(), |place| format!("{place}: "));
        let node = match &self.node {
            Some((node, subtask, all)) if *all > 1 => format!("`{node}` (subtask {subtask} of {all}): "),
            Some((node, ..)) => format!("`{node}`: "),
            None => String::new(),
        };
        let data = self.data.as_ref().map_or(String::new(), |data| format!("  at {data}\n"));
        let help = self.help.as_ref().map_or(String::new(), |help| format!("help: {help}\n"));
        format!("{place}error: {node}{}\n{data}{help}", self.message)
    }
}

/// A library that panics at a damaged file is caught, and the message about the file is all that a user can use. Every other panic
/// is shown as ever, or as a log line among others.
fn show_panics(format: LogFormat) {
    let show = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| match format {
        _ if is_expected() => debug!(%panic, "caught a panic"),
        LogFormat::Text => show(panic),
        LogFormat::Json => {
            // Only where RUST_BACKTRACE asks for it, as in text.
            let backtrace = Backtrace::capture();
            let backtrace = (backtrace.status() == BacktraceStatus::Captured).then(|| backtrace.to_string());
            let thread = std::thread::current().name().map(str::to_owned);
            error!(target: "millstream", thread, backtrace, "{panic}");
        }
    }));
}

/// The way out for messages.
#[derive(Clone, Copy, Debug)]
pub struct Console {
    format: LogFormat,
}

impl Console {
    /// Starts logging to standard error. `RUST_LOG` says what is logged, else `-v`.
    ///
    /// # Errors
    /// When `RUST_LOG` cannot be read; that is said already.
    pub fn start(format: LogFormat, verbose: u8) -> Result<Console, Status> {
        let console = Console { format };
        let wanted = std::env::var("RUST_LOG").ok().filter(|text| !text.is_empty());
        let filter = EnvFilter::try_new(wanted.as_deref().unwrap_or(default_filter(format, verbose))).map_err(|cause| {
            let trouble = Trouble::new(format!("RUST_LOG: {cause}"), Some("write it like RUST_LOG=warn,millstream=debug"));
            to_stderr(&trouble.text());
            Status::Wrong
        })?;
        let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(|| Hiding).log_internal_errors(false);
        // A binary of the user's own may have started logging before; then that one stays.
        let _ = match format {
            LogFormat::Text => builder.with_ansi(io::stderr().is_terminal()).try_init(),
            LogFormat::Json => builder.json().flatten_event(true).try_init(),
        };
        show_panics(format);
        Ok(console)
    }

    /// How messages are written.
    pub fn format(self) -> LogFormat {
        self.format
    }

    /// Says how things stand.
    pub fn note(self, text: &str) {
        match self.format {
            LogFormat::Text => to_stderr(&format!("{text}\n")),
            LogFormat::Json => info!(target: "millstream", "{text}"),
        }
    }

    /// Says how a run goes.
    pub fn progress(self, seen: &Observation) {
        let sources = || seen.nodes.iter().filter(|node| node.role == "source");
        match self.format {
            LogFormat::Text => to_stderr(&format!("{}\n", board::line(seen))),
            LogFormat::Json => info!(
                target: "millstream",
                running_seconds = seen.running_micros as f64 / 1e6,
                rows_read = sources().map(|node| node.rows_in).sum::<u64>(),
                rows_read_per_second = sources().map(|node| node.recent.rows_in_per_second).sum::<f64>().round(),
                late = seen.nodes.iter().map(|node| node.fates.late).sum::<u64>(),
                rejected = seen.nodes.iter().map(|node| node.fates.rejected).sum::<u64>(),
                state_bytes = seen.nodes.iter().map(|node| node.state_bytes).sum::<u64>(),
                "{}",
                board::line(seen)
            ),
        }
    }

    /// Says what went wrong.
    pub fn trouble(self, trouble: &Trouble) {
        match self.format {
            LogFormat::Text => to_stderr(&trouble.text()),
            LogFormat::Json => error!(
                target: "millstream",
                place = trouble.place,
                node = trouble.node.as_ref().map(|(node, ..)| node),
                subtask = trouble.node.as_ref().map(|(_, subtask, _)| subtask),
                data = trouble.data,
                help = trouble.help,
                "{}",
                trouble.message
            ),
        }
    }

    /// Shows something that `check` found, as a log line.
    pub fn found(self, entry: &Entry) {
        let (place, help) = (place_of(&entry.position), entry.help.as_deref());
        match entry.severity {
            Severity::Error => error!(target: "millstream", place, code = entry.code, help, "{}", entry.message),
            Severity::Warning => warn!(target: "millstream", place, code = entry.code, help, "{}", entry.message),
        }
    }

    /// Shows what became of every row of a run that ended like this.
    pub fn ledger(self, ledger: &Ledger, status: Status, is_kept: bool, summary: &str) {
        match self.format {
            LogFormat::Text => to_stderr(&format!("{}{summary}\n", ledger::table(ledger, status, is_kept))),
            LogFormat::Json => {
                ledger.rows.iter().for_each(log_row);
                info!(target: "millstream", balances = ledger.balances(), "{summary}");
            }
        }
    }

    /// Prints what was asked for on standard output.
    pub fn print(self, text: &str) -> Status {
        let mut out = io::stdout().lock();
        match out.write_all(shown(text).as_bytes()).and_then(|()| out.flush()) {
            Ok(()) => Status::Done,
            // Whoever read has seen enough (`millstream operators | head -1`).
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Status::Done,
            Err(error) => {
                self.trouble(&Trouble::new(format!("cannot write to standard output: {error}"), None));
                Status::Failed
            }
        }
    }
}

/// `topology.toml:31:11`, or what else it is about.
fn place_of(position: &Position) -> String {
    match position {
        Position::File { file, line, column, .. } => format!("{file}:{line}:{column}"),
        Position::Layer(name) | Position::Whole(name) => name.clone(),
    }
}

/// A line of the ledger as a log line.
fn log_row(row: &LedgerRow) {
    let fates = &row.fates;
    info!(
        target: "millstream",
        node = row.node,
        rows_in = row.rows_in,
        passed = fates.passed,
        filtered = fates.filtered,
        taken = fates.taken,
        late = fates.late,
        partly_late = fates.partly_late,
        rejected = fates.rejected,
        skipped = fates.skipped,
        expired = fates.expired,
        in_state = row.in_state,
        rows_out = row.rows_out,
        balances = row.balances(),
        "ledger"
    );
}

/// Writes a text for people. When nobody reads standard error any more there is nobody to tell.
pub fn to_stderr(text: &str) {
    above(shown(text).as_bytes());
}

/// What nobody may see, whoever speaks: a message may quote what it was given, and a library's log lines are not ours.
static SECRETS: OnceLock<Secrets> = OnceLock::new();

/// From now on these are not shown. A process runs one topology, so the first one's are all there are.
pub fn hide(secrets: Secrets) {
    let _ = SECRETS.set(secrets);
}

fn shown(text: &str) -> Cow<'_, str> {
    SECRETS.get().map_or(Cow::Borrowed(text), |secrets| Cow::Owned(secrets.hide(text)))
}

/// Standard error for log lines, each of which comes in one piece.
struct Hiding;

impl Write for Hiding {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        to_stderr(&String::from_utf8_lossy(line));
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// What is logged when `RUST_LOG` does not say. `millstream` covers all crates whose names begin with it. `actix_http` calls it an
/// error when a client sends what is no HTTP, which is no error of the run.
fn default_filter(format: LogFormat, verbose: u8) -> &'static str {
    match (verbose, format) {
        // Where a source listens must be known, since port 0 is any.
        (0, LogFormat::Text) => "warn,actix_http=off,millstream::listening=info",
        (0, LogFormat::Json) | (1, _) => "warn,actix_http=off,millstream=info",
        (2, _) => "info,millstream=debug",
        (_, _) => "trace",
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use super::*;

    #[test]
    fn trouble_reads_like_a_message_of_check() {
        let trouble = Trouble {
            place: Some("topology.toml:31".to_owned()),
            node: Some(("delays".to_owned(), 1, 2)),
            message: "bad row: division by zero: {\"a\":0}".to_owned(),
            data: Some("row of delays".to_owned()),
            help: Some("on_bad_row = \"skip\" leaves such rows out".to_owned()),
        };
        assert_eq!(
            trouble.text(),
            "topology.toml:31: error: `delays` (subtask 1 of 2): bad row: division by zero: {\"a\":0}\n  at row of delays\nhelp: on_bad_row = \"skip\" leaves such rows out\n"
        );
        assert_eq!(Trouble::new("cannot listen", None).text(), "error: cannot listen\n");
    }

    /// What was logged.
    #[derive(Clone, Default)]
    struct Lines(Arc<Mutex<Vec<u8>>>);

    impl Write for Lines {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_panic_is_one_line_among_the_others() {
        let lines = Lines::default();
        let writer = lines.clone();
        let logging = tracing_subscriber::fmt().json().flatten_event(true).with_writer(move || writer.clone()).finish();
        tracing::subscriber::with_default(logging, || {
            show_panics(LogFormat::Json);
            assert!(std::panic::catch_unwind(|| panic!("fear of\n7")).is_err());
        });
        drop(std::panic::take_hook());
        let text = String::from_utf8(lines.0.lock().unwrap().clone()).unwrap();
        assert_eq!(text.lines().count(), 1, "{text}");
        let line: serde_json::Value = serde_json::from_str(&text).unwrap();
        let message = line["message"].as_str().unwrap();
        assert!(message.starts_with("panicked at ") && message.ends_with("fear of\n7"), "{message}");
        assert_eq!(line["level"], "ERROR");
    }

    #[test]
    fn every_default_filter_is_one() {
        for format in [LogFormat::Text, LogFormat::Json] {
            for verbose in 0..5 {
                assert!(EnvFilter::try_new(default_filter(format, verbose)).is_ok());
            }
        }
    }
}

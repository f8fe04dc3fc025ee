//! `instructions`: how many instructions single parts take for a row, against what is expected of them.
//!
//! ```text
//! cargo run --release -p millstream-benches --bin instructions            # fails when a part has grown
//! cargo run --release -p millstream-benches --bin instructions -- --write # writes benches/instructions/expected.txt anew
//! ```
//!
//! A guard against changes that make the engine slower, where no clock can be trusted: on a busy machine times differ by half, instructions
//! by hardly anything. They say nothing of caches and branches, so this finds that more is done, not that it takes longer.
//!
//! Valgrind counts. It runs each part a few times, and once more often; the difference is what a run takes, without what comes before
//! and after it. The processor that valgrind imitates is one with AVX2 wherever the real one has it, so the counts of two such machines are
//! the same; what may still differ (the allocator, the linker, the standard library's version) is why the bound is wide.

mod expected;
mod valgrind;

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Parser;
use millstream_benches::{GROUPS, Measure, Work};

use crate::expected::{Expected, Verdict};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Counts the instructions of single parts and compares them with those that are expected.
#[derive(Debug, Parser)]
struct Arguments {
    /// Writes the expected counts anew.
    #[arg(long)]
    write: bool,
    /// How much more than expected is too much, in percent.
    #[arg(long, default_value_t = 25.0)]
    bound: f64,
    /// The file of expected counts.
    #[arg(long, default_value = concat!(env!("CARGO_MANIFEST_DIR"), "/instructions/expected.txt"))]
    expected: PathBuf,
    /// Lists the parts of this group, with the rows of each: what valgrind is run on.
    #[arg(long, hide = true)]
    list: Option<String>,
    /// Runs this part of the group `--list`.
    #[arg(long, hide = true, requires = "list")]
    part: Option<String>,
    /// How often.
    #[arg(long, hide = true, default_value_t = 1)]
    times: u32,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let (text, status) = match run(&arguments) {
        Ok((text, true)) => (text, ExitCode::SUCCESS),
        Ok((text, false)) => (text, ExitCode::FAILURE),
        Err(error) => (format!("instructions: {error}"), ExitCode::FAILURE),
    };
    // A closed pipe is the reader's wish.
    let _ = writeln!(std::io::stdout(), "{text}");
    status
}

/// What is to be printed, and whether all is well.
fn run(arguments: &Arguments) -> Result<(String, bool), String> {
    if let Some(group) = &arguments.list {
        let mut chosen = Chosen { part: arguments.part.as_deref(), times: arguments.times, seen: Vec::new() };
        GROUPS.iter().filter(|(name, _)| name == group).for_each(|(_, parts)| parts(&mut chosen));
        return Ok((chosen.seen.join("\n"), true));
    }
    let counted = GROUPS.iter().map(|(group, _)| valgrind::count_group(group)).collect::<Result<Vec<_>, _>>()?.concat();
    match arguments.write {
        true => expected::write(&arguments.expected, &counted).map(|text| (text, true)),
        false => compare(&arguments.expected, arguments.bound, &counted),
    }
}

fn compare(path: &Path, bound: f64, counted: &[Counted]) -> Result<(String, bool), String> {
    let expected = Expected::read(path)?;
    let Some(verdicts) = expected.judge(counted, bound) else {
        return Ok((format!("nothing compared: the counts of {} are of another kind of processor", path.display()), true));
    };
    let is_well = verdicts.iter().all(|(_, verdict)| !matches!(verdict, Verdict::Grown(..) | Verdict::Unknown | Verdict::Gone));
    let mut lines: Vec<String> = verdicts.iter().map(|(part, verdict)| format!("{part}: {verdict}")).collect();
    if !is_well {
        lines.push(
            "if that is meant, write the expected counts anew: cargo run --release -p millstream-benches --bin instructions -- --write"
                .to_owned(),
        );
    }
    Ok((lines.join("\n"), is_well))
}

/// A part and its instructions for a row.
#[derive(Clone, Debug)]
pub struct Counted {
    /// Group and name.
    pub part: String,
    /// Instructions for each row.
    pub per_row: f64,
}

/// Runs one part so many times, and says which parts there are.
struct Chosen<'a> {
    part: Option<&'a str>,
    times: u32,
    seen: Vec<String>,
}

impl Measure for Chosen<'_> {
    fn part(&mut self, _: &str, name: &str, work: Work, run: &mut dyn FnMut()) {
        let (Work::Rows(rows) | Work::Text { rows, .. }) = work;
        if self.part.is_none() {
            self.seen.push(format!("{rows} {name}"));
        }
        if self.part == Some(name) {
            (0..self.times).for_each(|_| run());
        }
    }
}

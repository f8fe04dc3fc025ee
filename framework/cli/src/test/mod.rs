//! `millstream test`: runs the tests in a file, says what did not hold, and writes the expected rows anew when asked.
//!
//! - [`difference`]: what is different between the rows that are there and those expected
//! - [`text`], [`junit`]: the results for people and for machines
//! - [`update`]: the expected rows of the file, rewritten

mod difference;
mod junit;
mod text;
mod update;

use millstream_api::Registry;
use millstream_api::time::Clock;
use millstream_runtime::schedule::SystemClock;
use millstream_testkit::{StepFailure, run_case};
use millstream_topology::cases::{Case, Tests};

use crate::args::{Test, TestFormat};
use crate::console::{Console, Trouble};
use crate::files::checked_tests;
use crate::status::Status;

/// Runs the tests of a file.
pub fn test(args: &Test, registry: &Registry, console: &Console) -> Status {
    let Some(mut tests) = checked_tests(&args.file, registry, console) else {
        return Status::Wrong;
    };
    let all = tests.cases.len();
    if let Some(wanted) = &args.filter {
        tests.cases.retain(|case| case.name.contains(wanted));
    }
    if let (Some(wanted), [], 1..) = (&args.filter, &tests.cases[..], all) {
        // A test that was renamed would else pass for ever.
        let message = format!("{}: none of {all} tests has {wanted:?} in its name", tests.file.display());
        console.trouble(&Trouble::new(message, Some("leave --filter out to see the names of all")));
        return Status::Wrong;
    }
    if tests.cases.is_empty() {
        console.note(&format!("{}: there are no tests; write them under [[tests]]", tests.file.display()));
    }
    let verdicts: Vec<Verdict> = tests.cases.iter_mut().map(Verdict::of).collect();
    let results = Results { tests: &tests, verdicts: &verdicts };
    if args.update {
        return update::update(&results, console);
    }
    let printed = match args.format {
        TestFormat::Text => console.print(&text::text(&results)),
        TestFormat::Junit => console.print(&junit::junit(&results)),
    };
    if results.failed() > 0 { Status::Failed } else { printed }
}

/// What came of a test.
struct Verdict {
    failures: Vec<StepFailure>,
    seconds: f64,
}

impl Verdict {
    fn of(case: &mut Case) -> Verdict {
        let clock = SystemClock::default();
        let start = clock.now();
        let failures = run_case(case);
        Verdict { failures, seconds: (clock.now().0 - start.0) as f64 / 1e6 }
    }

    fn passed(&self) -> bool {
        self.failures.is_empty()
    }
}

/// What came of all tests, in the order of the file.
struct Results<'a> {
    tests: &'a Tests,
    verdicts: &'a [Verdict],
}

impl Results<'_> {
    fn each(&self) -> impl Iterator<Item = (&Case, &Verdict)> {
        self.tests.cases.iter().zip(self.verdicts)
    }

    fn failed(&self) -> usize {
        self.verdicts.iter().filter(|verdict| !verdict.passed()).count()
    }

    fn seconds(&self) -> f64 {
        self.verdicts.iter().fold(0.0, |sum, verdict| sum + verdict.seconds)
    }

    /// Where a step is: `flights.toml:120`.
    fn place(&self, case: &Case, failure: &StepFailure) -> String {
        let line = case.steps.get(failure.step).map_or(case.line, |step| step.line);
        format!("{}:{line}", self.tests.file.display())
    }
}

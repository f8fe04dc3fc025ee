//! Runs the built command on a topology and compares what it wrote, for the tests that go over whole folders of topologies.
//!
//! Rows are compared as multisets: the order in which a sink writes them is not promised. Only what the comparison has to
//! forgive is forgiven (the form of numbers and timestamps); which columns a row has is compared exactly.

#![allow(dead_code, unused_imports, reason = "each test binary uses its own part of this module")]
#![expect(clippy::expect_used, clippy::panic, reason = "helpers of tests fail the test")]

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

mod compare;
mod rows;

pub use compare::{assert_same_rows, difference};
pub use rows::{applied, columns, read_rows, sorted_lines};

/// A run of the command, to be given its settings.
pub struct Run {
    topology: PathBuf,
    sets: Vec<String>,
}

impl Run {
    /// `millstream run TOPOLOGY`.
    pub fn new(topology: impl Into<PathBuf>) -> Self {
        Run { topology: topology.into(), sets: Vec::new() }
    }

    /// Adds `--set key=value`.
    #[must_use]
    pub fn set(mut self, key: &str, value: impl std::fmt::Display) -> Self {
        self.sets.push(format!("{key}={value}"));
        self
    }

    /// Runs it to its end; what it said when it did not end well.
    pub fn finish(self) -> Result<Output, String> {
        let mut command = Command::new(binary());
        command.arg("run").arg(&self.topology);
        for set in &self.sets {
            command.arg("--set").arg(set);
        }
        let output = command.output().map_err(|error| format!("cannot start the command: {error}"))?;
        match output.status.code() {
            Some(0) => Ok(output),
            status => Err(format!(
                "{} {:?} ended with {status:?}:\n{}",
                self.topology.display(),
                self.sets,
                String::from_utf8_lossy(&output.stderr)
            )),
        }
    }
}

/// `millstream test TOPOLOGY`: what it printed; what it said when a test failed.
pub fn test(topology: &Path) -> Result<String, String> {
    let output = Command::new(binary()).arg("test").arg(topology).output().map_err(|error| format!("cannot start the command: {error}"))?;
    let printed = String::from_utf8_lossy(&output.stdout).into_owned();
    if output.status.success() { Ok(printed) } else { Err(format!("{printed}{}", String::from_utf8_lossy(&output.stderr))) }
}

/// The command under test: the one built with this test, or the one that `EXAMPLES_BINARY` names (a release build).
fn binary() -> PathBuf {
    std::env::var_os("EXAMPLES_BINARY").map_or_else(|| env!("CARGO_BIN_EXE_millstream").into(), PathBuf::from)
}

/// The root of the repository.
pub fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

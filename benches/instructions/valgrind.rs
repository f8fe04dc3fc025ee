//! Counting by valgrind: this program, run under it.

use std::process::{Command, Output};

use crate::Counted;

/// How often a part is run beyond the first time.
const MORE: u32 = 1;

/// The parts of a group and what each takes for a row.
///
/// # Errors
/// When valgrind is not there, or a part fails.
pub fn count_group(group: &str) -> Result<Vec<Counted>, String> {
    let program = std::env::current_exe().map_err(|e| e.to_string())?;
    let listed = output(Command::new(&program).args(["--list", group]))?;
    let listed = String::from_utf8_lossy(&listed.stdout).into_owned();
    listed.lines().filter_map(|line| line.split_once(' ')).map(|(rows, name)| count(group, name, rows.parse().unwrap_or(1.0))).collect()
}

fn count(group: &str, name: &str, rows: f64) -> Result<Counted, String> {
    // Run once it has what it needs once, such as the layout of a file's lines.
    let (first, all) = (collected(group, name, 1)?, collected(group, name, 1 + MORE)?);
    let per_row = all.saturating_sub(first) as f64 / f64::from(MORE) / rows;
    Ok(Counted { part: format!("{group}, {name}"), per_row })
}

/// Instructions of the whole process.
fn collected(group: &str, name: &str, times: u32) -> Result<u64, String> {
    let program = std::env::current_exe().map_err(|e| e.to_string())?;
    let mut command = Command::new("valgrind");
    command.args(["--tool=callgrind", "--callgrind-out-file=/dev/null"]).arg(program);
    let output = output(command.args(["--list", group, "--part", name, "--times", &times.to_string()]))?;
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    let found = said.lines().find_map(|line| line.split_once("Collected : ")?.1.split_whitespace().next()?.parse().ok());
    found.ok_or_else(|| format!("valgrind said nothing of instructions:\n{said}"))
}

fn output(command: &mut Command) -> Result<Output, String> {
    let program = command.get_program().to_string_lossy().into_owned();
    let output = command.output().map_err(|e| format!("{program} cannot be run ({e}); on Debian: apt-get install valgrind"))?;
    match output.status.success() {
        true => Ok(output),
        false => Err(format!("{program} failed: {}", String::from_utf8_lossy(&output.stderr))),
    }
}

//! Keeps a measurement on as many cores as it has workers.
//!
//! Else the threads that read and decode would share the second core with those of the operators when there is one worker, and nothing
//! would be left to gain from two. Only Linux is known to have a way: `taskset` starts the measurement, so that each of its threads is bound.
//! Without one measurements run where the system places them, and their figures say so.

use std::path::Path;
use std::process::{Command, Stdio};

/// The cores that measurements may be kept on.
pub struct Cores(Vec<usize>);

impl Cores {
    /// Those of this process; `None`: there is no way to keep another process on some of them.
    pub fn find() -> Option<Cores> {
        let status = std::fs::read_to_string("/proc/self/status").ok()?;
        let list = status.lines().find_map(|line| line.strip_prefix("Cpus_allowed_list:"))?;
        let cores = numbers(list.trim())?;
        let asked = Command::new("taskset").arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status();
        asked.is_ok_and(|status| status.success()).then_some(Cores(cores))
    }

    /// A command that runs `program` on so many cores; `None` when there are fewer.
    pub fn command(&self, program: &Path, count: usize) -> Option<Command> {
        let list = self.0.get(..count)?.iter().map(usize::to_string).collect::<Vec<_>>().join(",");
        let mut command = Command::new("taskset");
        command.args(["--cpu-list", &list]).arg(program);
        Some(command)
    }
}

/// The numbers in a list as the kernel writes it: `0-3,8`.
fn numbers(list: &str) -> Option<Vec<usize>> {
    let mut numbers = Vec::new();
    for part in list.split(',') {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        numbers.extend(first.parse::<usize>().ok()?..=last.parse().ok()?);
    }
    Some(numbers)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_of_the_kernel_are_read() {
        assert_eq!(numbers("0-2,5"), Some(vec![0, 1, 2, 5]));
        assert_eq!(numbers("3"), Some(vec![3]));
        assert_eq!(numbers("all"), None);
    }

    #[test]
    fn the_first_cores_are_taken_and_never_fewer_than_asked_for() {
        let cores = Cores(vec![1, 4, 5]);
        let command = cores.command(Path::new("program"), 2).unwrap();
        assert_eq!(command.get_args().collect::<Vec<_>>(), ["--cpu-list", "1,4", "program"]);
        assert!(cores.command(Path::new("program"), 4).is_none());
    }
}

//! Exit statuses: what scripts and service managers go by.

use std::process::ExitCode;

/// How a command ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    /// It did what was asked.
    Done,
    /// The pipeline, or the world around it, failed.
    Failed,
    /// The topology or the command line is wrong.
    Wrong,
    /// A signal stopped it: 128 + SIGINT, as shells have it.
    Stopped,
}

impl Status {
    /// The number that the process ends with.
    pub fn number(self) -> u8 {
        match self {
            Status::Done => 0,
            Status::Failed => 1,
            Status::Wrong => 2,
            Status::Stopped => 130,
        }
    }
}

impl From<Status> for ExitCode {
    fn from(status: Status) -> ExitCode {
        ExitCode::from(status.number())
    }
}

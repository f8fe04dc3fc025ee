//! The command line, as a library: a binary with node types of its own calls [`main`] and has every subcommand.
//!
//! ```no_run
//! let mut registry = millstream_api::Registry::new();
//! millstream_operators::register(&mut registry);
//! // my_operators::register(&mut registry);
//! let code = millstream_cli::main(registry);
//! ```
//!
//! It ties the rooms together and decides nothing about data. Modules in reading order:
//!
//! - `args`: what can be said on the command line
//! - `status`: exit statuses
//! - `console`: what is said on standard error and output, as text or as log lines
//! - `files`: a topology file, read and checked, with its mistakes shown
//! - `check`, `run`, `graph`, `new`, `operators`, `functions`, `schema`: the subcommands; `found`: mistakes as JSON; `catalogue`: node types as a page
//! - `resume`: where a run begins; `since`: what it does about input that has changed since a checkpoint
//! - `plan`: what a change of the topology means for its state; `state`: what checkpoints hold; `checkpoint`: one now
//! - `test`: the tests in a file
//! - `why`, `top`, `tap`: looking at a running topology, through `client`
//! - `board`: an observation as lines; `terminal`: drawing them; `live`: while `run` runs; `stopping`: what a stop waits for
//! - `ledger`: the table at the end of a run
//! - `signals`: Ctrl-C and SIGTERM
//! - `keys` and `prose`: JSON Schema as a list of keys, doc comments as text

mod args;
mod board;
mod catalogue;
mod check;
mod checkpoint;
mod client;
mod console;
mod files;
mod found;
mod functions;
mod graph;
mod keys;
mod ledger;
mod live;
mod new;
mod operators;
mod plan;
mod prose;
mod resume;
mod run;
mod schema;
mod signals;
mod since;
mod state;
mod status;
mod stopping;
mod tap;
mod terminal;
mod test;
mod top;
mod why;

use std::process::ExitCode;

use clap::Parser;
use millstream_api::Registry;

use crate::args::{Args, Command};
use crate::console::Console;
use crate::status::Status;

/// Runs the command that the process was called with, over these node types.
pub fn main(registry: Registry) -> ExitCode {
    match Args::try_parse() {
        Ok(args) => dispatch(&args, &registry).into(),
        Err(usage) => {
            // Also how --help and --version arrive; a closed pipe is no reason to fail.
            let _ = usage.print();
            if usage.use_stderr() { Status::Wrong.into() } else { Status::Done.into() }
        }
    }
}

fn dispatch(args: &Args, registry: &Registry) -> Status {
    let console = match Console::start(args.log_format, args.verbose) {
        Ok(console) => console,
        Err(status) => return status,
    };
    match &args.command {
        Command::Run(run) => run::run(run, registry, &console),
        Command::Check(check) => check::check(check, registry, &console),
        Command::Graph(args) => graph::graph(args, registry, &console),
        Command::New(args) => new::new(args, registry, &console),
        Command::Schema(args) => schema::schema(args, registry, &console),
        Command::Plan(args) => plan::plan(args, registry, &console),
        Command::Checkpoint(args) => checkpoint::checkpoint(args, &console),
        Command::State(args) => state::state(args, registry, &console),
        Command::Test(args) => test::test(args, registry, &console),
        Command::Why(args) => why::why(args, registry, &console),
        Command::Top(args) => top::top(args, &console),
        Command::Tap(args) => tap::tap(args, &console),
        Command::Functions(args) => functions::functions(args, &console),
        Command::Operators(operators) => operators::operators(operators, registry, &console),
    }
}

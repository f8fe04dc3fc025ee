//! `millstream run`: checks, serves, runs, and says what became of every row.
//!
//! The order matters: an address that cannot be had, like a mistake in the file, ends the command before any row is read.

use std::sync::{Arc, Mutex, PoisonError};

use millstream_api::error::ErrorKind;
use millstream_api::registry::Role;
use millstream_api::time::Clock;
use millstream_api::view::Views;
use millstream_api::{Error, Registry};
use millstream_runtime::schedule::SystemClock;
use millstream_runtime::{Failure, Handle, Job, Lookout, Notice, Notices, Outcome, Report, RunOptions};
use millstream_server::{Health, Info, Phase, Server, ServerError};
use millstream_topology::Topology;

use crate::args::Run;
use crate::console::{Console, Trouble};
use crate::files::checked;
use crate::ledger;
use crate::live::Live;
use crate::resume::{Beginning, Resumed, resume};
use crate::signals::Signals;
use crate::status::Status;

/// Runs a topology to the end of its inputs or until a signal.
pub fn run(args: &Run, registry: &Registry, console: &Console) -> Status {
    let Some((topology, _)) = checked(&args.file, registry, console) else {
        return Status::Wrong;
    };
    if let Some(trouble) = unfit(args, &topology) {
        console.trouble(&trouble);
        return Status::Wrong;
    }
    let file = topology.file.display().to_string();
    let beginning = match resume(&topology, args) {
        Ok(Beginning::Finished(resumed, why)) => return complete(topology, resumed, &why, console),
        Ok(Beginning::With(resumed)) => Some(resumed),
        Ok(Beginning::Without) => None,
        Err(error) => {
            console.trouble(&store_trouble(&file, topology.checkpoint_line, &error));
            return Status::Failed;
        }
    };
    match Prepared::new(topology, args, beginning, console) {
        Ok(run) => run.finish(args),
        Err(trouble) => {
            console.trouble(&trouble);
            Status::Failed
        }
    }
}

/// An argument that means nothing for this topology.
fn unfit(args: &Run, topology: &Topology) -> Option<Trouble> {
    if args.keep_serving && topology.server.is_none() {
        let help = "add [server] with listen = \"127.0.0.1:8080\" to the topology";
        return Some(Trouble::new("--keep-serving: the topology has no [server]", Some(help)));
    }
    let argument = if args.fresh { "--fresh" } else { "--from" };
    ((args.fresh || args.from.is_some()) && topology.checkpoint.is_none()).then(|| {
        let help = "leave it out: without checkpoints every run begins anew";
        Trouble::new(format!("{argument}: the topology has no [checkpoint]"), Some(help))
    })
}

/// Lets sinks make visible what the last checkpoint covers: they do so when they take back their state.
fn complete(topology: Topology, mut resumed: Box<Resumed>, why: &str, console: &Console) -> Status {
    let (file, line) = (topology.file.display().to_string(), topology.checkpoint_line);
    let prepared = resumed.begin().map_err(|error| store_trouble(&file, line, &error)).and_then(|checkpoints| {
        let options = RunOptions { checkpoints: Some(checkpoints), ..RunOptions::default() };
        Job::prepare(topology, options).map_err(|failure| failure_trouble(&file, &failure))
    });
    match prepared {
        Ok(_) => {
            console.note(why);
            Status::Done
        }
        Err(trouble) => {
            console.trouble(&trouble);
            Status::Failed
        }
    }
}

/// Everything that a run needs, started or ready to start.
struct Prepared<'a> {
    console: &'a Console,
    /// The topology's name.
    name: String,
    /// The topology file as the user named it, for messages.
    file: String,
    /// The nodes that read from outside.
    sources: Vec<String>,
    views: Views,
    health: Health,
    server: Option<Server>,
    signals: Signals,
    /// Whether a sink prints rows on standard output.
    prints: bool,
    /// Whether nothing is left to do once nobody reads what is printed.
    only_prints: bool,
    job: Job,
}

impl<'a> Prepared<'a> {
    fn new(topology: Topology, args: &Run, mut beginning: Option<Box<Resumed>>, console: &'a Console) -> Result<Self, Box<Trouble>> {
        let views = Views::default();
        let (health, runs) = (Health::default(), Lookout::default());
        let name = topology.name.clone();
        let file = topology.file.display().to_string();
        let sources = topology.nodes.iter().filter(|node| node.role == Role::Source).map(|node| node.name.clone()).collect();
        let prints = topology.nodes.iter().any(|node| node.kind == "stdout");
        let mut sinks = topology.nodes.iter().filter(|node| node.role == Role::Sink);
        let only_prints = prints && sinks.all(|node| matches!(node.kind.as_str(), "stdout" | "discard" | "view"));
        let server = start_server(&topology, &views, &health, &runs).map_err(|error| server_trouble(&file, &error))?;
        if let Some(server) = &server {
            console.note(&format!("serving on http://{}", server.address()));
        }
        let checkpoints = beginning.as_mut().map(|resumed| resumed.begin()).transpose();
        let checkpoints = checkpoints.map_err(|error| store_trouble(&file, topology.checkpoint_line, &error))?;
        let notices = notices(file.clone(), health.clone(), *console);
        let options = RunOptions { drain: args.drain, views: views.clone(), checkpoints, notices: Some(notices) };
        // Sinks open their temporary files while the job is made: from here on a signal must not end the process by itself.
        let stop = Stop::default();
        let signals = watch(stop.clone(), health.clone(), args.drain, *console)?;
        let job = Job::prepare(topology, options).map_err(|failure| failure_trouble(&file, &failure))?;
        stop.arm(job.handle());
        runs.set(job.handle());
        beginning.iter().flat_map(|resumed| &resumed.notes).for_each(|note| console.note(&format!("{name} {note}")));
        Ok(Prepared { console, name, file, sources, views, health, server, signals, prints, only_prints, job })
    }

    /// Runs, reports, and goes on serving if that was asked for.
    fn finish(self, args: &Run) -> Status {
        let Prepared { console, name, file, sources, views, health, server, signals, prints, only_prints, job } = self;
        let clock = SystemClock::default();
        let start = clock.now();
        health.set(Phase::Running);
        console.note(&format!("{name} is running; Ctrl-C stops it"));
        let has_checkpoints = job.handle().checkpoints().is_some();
        let read_before = ledger::rows_read(&job.handle().ledger(), &sources.iter().map(String::as_str).collect::<Vec<_>>());
        let live = Live::start(job.handle(), prints, *console);
        let report = job.run();
        drop(live);
        let seconds = (clock.now().0 - start.0) as f64 / 1e6;
        let status = status_of(&report);
        if matches!(report.outcome, Outcome::Aborted) {
            console.note("ended at once: nothing that was not published before is kept");
            return status;
        }
        if let Outcome::Failed(failure) = &report.outcome
            && failure.error.kind() == ErrorKind::Closed
            && only_prints
        {
            // As with any tool in front of `head`: who read has seen enough.
            console.note("standard output is closed: the run has ended");
            return Status::Done;
        }
        if let Outcome::Failed(failure) = &report.outcome {
            console.trouble(&failure_trouble(&file, failure));
        }
        let sources: Vec<&str> = sources.iter().map(String::as_str).collect();
        console.ledger(&report.ledger, status, has_checkpoints, &ledger::summary(&report.ledger, &sources, read_before, seconds));
        health.set(phase_after(&report.outcome));
        if let Some(server) = server {
            if args.keep_serving && status == Status::Done {
                console.note(&format!("inputs have ended; still serving on http://{} until Ctrl-C", server.address()));
                signals.wait();
            }
            note_served(console, &views);
            server.stop();
        }
        status
    }
}

/// Says what the run outlives.
fn notices(file: String, health: Health, console: Console) -> Notices {
    Box::new(move |notice| match notice {
        Notice::Failed { failure, wait, from } => {
            health.set(Phase::Restarting);
            console.trouble(&failure_trouble(&file, failure));
            let from =
                from.map_or("begins anew, since there is no checkpoint yet,".to_owned(), |id| format!("goes on from checkpoint {id}"));
            console.note(&format!("{from} in {:.1} s", wait.as_secs_f64()));
        }
        Notice::GoesOn => {
            health.set(Phase::Running);
            console.note("goes on");
        }
    })
}

fn store_trouble(file: &str, line: usize, error: &Error) -> Box<Trouble> {
    let place = Some(format!("{file}:{line}"));
    Box::new(Trouble { place, ..Trouble::new(error.message(), error.help_text()) })
}

/// Listens, when the topology says where.
fn start_server(topology: &Topology, views: &Views, health: &Health, runs: &Lookout) -> Result<Option<Server>, ServerError> {
    let Some(settings) = &topology.server else {
        return Ok(None);
    };
    let info = Info {
        topology: topology.name.clone(),
        health: health.clone(),
        token: settings.token.clone(),
        runs: runs.clone(),
        clock: Arc::new(SystemClock::default()),
    };
    Server::start(settings.listen, views.clone(), info).map(Some)
}

/// Stops the job, or has it stopped as soon as there is one.
#[derive(Clone, Default)]
struct Stop(Arc<Mutex<(bool, Option<Handle>)>>);

impl Stop {
    /// There is a job now.
    fn arm(&self, handle: Handle) {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if state.0 {
            handle.stop();
        }
        state.1 = Some(handle);
    }

    fn stop(&self) {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        state.0 = true;
        if let Some(handle) = &state.1 {
            handle.stop();
        }
    }

    /// Ends the job at once, if there is one.
    fn abort(&self) {
        if let Some(handle) = &self.0.lock().unwrap_or_else(PoisonError::into_inner).1 {
            handle.abort();
        }
    }
}

/// From now on the first signal stops the run, and the second one ends it at once.
fn watch(stop: Stop, health: Health, drain: bool, console: Console) -> Result<Signals, Box<Trouble>> {
    let abort = {
        let stop = stop.clone();
        move || stop.abort()
    };
    let stop = move || {
        let closing = if drain { " open windows close;" } else { "" };
        console.note(&format!("stopping;{closing} Ctrl-C again to end at once"));
        health.set(Phase::Stopping);
        stop.stop();
    };
    Signals::watch(stop, abort).map_err(|cause| Box::new(Trouble::new(format!("cannot watch for Ctrl-C: {cause}"), None)))
}

fn status_of(report: &Report) -> Status {
    match &report.outcome {
        Outcome::Failed(_) => Status::Failed,
        Outcome::Stopped | Outcome::Aborted => Status::Stopped,
        Outcome::Done => Status::Done,
    }
}

/// What clients of the server are told of a run that is over.
fn phase_after(outcome: &Outcome) -> Phase {
    match outcome {
        Outcome::Done => Phase::Done,
        Outcome::Stopped | Outcome::Aborted => Phase::Stopping,
        Outcome::Failed(_) => Phase::Failed,
    }
}

/// Says what the views held when they went.
fn note_served(console: &Console, views: &Views) {
    for name in views.names() {
        if let Some(Ok((version, rows))) = views.get(&name).map(|view| view.size()) {
            console.note(&format!("view `{name}` is served no longer: {}, version {version}", millstream_runtime::text::rows(rows as u64)));
        }
    }
}

fn failure_trouble(file: &str, failure: &Failure) -> Box<Trouble> {
    Box::new(Trouble {
        place: Some(format!("{file}:{}", failure.line)),
        node: Some((failure.node.clone(), failure.subtask, failure.parallelism)),
        message: failure.error.message().to_owned(),
        data: failure.error.place().map(str::to_owned),
        help: failure.error.help_text().map(str::to_owned),
    })
}

fn server_trouble(file: &str, error: &ServerError) -> Box<Trouble> {
    Box::new(Trouble { place: Some(file.to_owned()), ..Trouble::new(error.to_string(), error.help()) })
}

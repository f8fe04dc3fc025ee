//! How a run goes, while it goes: a block of lines on a terminal, and a line now and then where there is none. A stop that takes
//! long says what it waits for.

use std::io::{self, IsTerminal};
use std::sync::mpsc::{RecvTimeoutError, SyncSender, sync_channel};
use std::thread::JoinHandle;
use std::time::Duration;

use millstream_runtime::{Handle, Observation};

use crate::args::LogFormat;
use crate::board::{Sort, cut, progress, table, title};
use crate::console::Console;
use crate::stopping::awaited;
use crate::terminal;

/// How often the block is drawn.
const DRAW: Duration = Duration::from_millis(250);

/// How often a line is written.
const WRITE: Duration = Duration::from_secs(10);

/// How often it is looked whether the run is to stop.
const LOOK: Duration = Duration::from_secs(1);

/// After so many looks it is said what a stop waits for, and then each time after so many more.
const FIRST: u32 = 2;
const MORE: u32 = 10;

/// Shows a run until it is dropped.
pub struct Live(Vec<Regular>);

/// A thread that does something again and again.
struct Regular {
    stop: Option<SyncSender<()>>,
    thread: Option<JoinHandle<()>>,
}

/// How it is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    Block,
    Lines,
}

impl Live {
    /// Shows this run. `prints`: a sink prints rows; on a terminal a block would be in the way of them.
    pub fn start(run: Handle, prints: bool, console: Console) -> Live {
        let prints = prints && io::stdout().is_terminal();
        let way = match console.format() {
            LogFormat::Text if terminal::can_draw() && !prints => Way::Block,
            _ => Way::Lines,
        };
        let every = if way == Way::Block { DRAW } else { WRITE };
        let seen = run.clone();
        let show = move || match way {
            Way::Block => terminal::block(&lines(&seen.observe(), terminal::size())),
            Way::Lines => console.progress(&seen.observe()),
        };
        let mut looks = 0;
        let note_stop = move || {
            looks += u32::from(run.is_stopped());
            if looks == FIRST || (looks > FIRST && (looks - FIRST).is_multiple_of(MORE)) {
                console.note(&awaited(&run.observe()));
            }
        };
        Live(vec![Regular::start("millstream-stopping", LOOK, note_stop), Regular::start("millstream-live", every, show)])
    }
}

impl Regular {
    /// A run that cannot be shown runs all the same.
    fn start(name: &str, every: Duration, mut act: impl FnMut() + Send + 'static) -> Regular {
        let (stop, stopped) = sync_channel::<()>(1);
        let body = move || {
            while stopped.recv_timeout(every) == Err(RecvTimeoutError::Timeout) {
                act();
            }
        };
        Regular { stop: Some(stop), thread: std::thread::Builder::new().name(name.to_owned()).spawn(body).ok() }
    }
}

impl Drop for Regular {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

impl Drop for Live {
    fn drop(&mut self) {
        self.0.clear();
        terminal::block(&[]);
    }
}

/// The block: at most as high as the terminal, with room for a line above it.
fn lines(seen: &Observation, (width, height): (usize, usize)) -> Vec<String> {
    let mut lines = vec![title(seen, width)];
    lines.extend(progress(seen, width));
    lines.extend(table(seen, &Sort::Flow.apply(seen), width));
    let room = height.saturating_sub(2).max(1);
    if lines.len() > room {
        let more = lines.len() - room + 1;
        lines.truncate(room - 1);
        lines.push(cut(&format!("and {more} more"), width));
    }
    lines
}

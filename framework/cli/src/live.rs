//! How a run goes, while it goes: a block of lines on a terminal, and a line now and then where there is none.

use std::io::{self, IsTerminal};
use std::sync::mpsc::{RecvTimeoutError, SyncSender, sync_channel};
use std::thread::JoinHandle;
use std::time::Duration;

use millstream_runtime::{Handle, Observation};

use crate::args::LogFormat;
use crate::board::{Sort, cut, progress, table, title};
use crate::console::Console;
use crate::terminal;

/// How often the block is drawn.
const DRAW: Duration = Duration::from_millis(250);

/// How often a line is written.
const WRITE: Duration = Duration::from_secs(10);

/// Shows a run until it is dropped.
pub struct Live {
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
        let (stop, stopped) = sync_channel(1);
        let show = move || {
            let every = if way == Way::Block { DRAW } else { WRITE };
            while stopped.recv_timeout(every) == Err(RecvTimeoutError::Timeout) {
                match way {
                    Way::Block => terminal::block(&lines(&run.observe(), terminal::size())),
                    Way::Lines => console.progress(&run.observe()),
                }
            }
            terminal::block(&[]);
        };
        // A run that cannot be shown runs all the same.
        let thread = std::thread::Builder::new().name("millstream-live".to_owned()).spawn(show).ok();
        Live { stop: Some(stop), thread }
    }
}

impl Drop for Live {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
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

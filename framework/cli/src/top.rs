//! `millstream top`: how a running topology goes, as `run` shows it on its own terminal, with keys to sort and to ask why.

use std::io::{self, IsTerminal};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::time::Duration;

use millstream_runtime::{Observation, Why};

use crate::args;
use crate::board::{Sort, cut, progress, table, title};
use crate::client::{Client, encoded};
use crate::console::{Console, Trouble};
use crate::signals::Signals;
use crate::status::Status;
use crate::terminal::{self, Key, Screen};

/// How often the server is asked.
const ASK: Duration = Duration::from_millis(500);

/// How long a key may wait.
const KEYS: Duration = Duration::from_millis(100);

/// Shows a running topology until somebody quits; once, where there is no terminal.
pub fn top(args: &args::Top, console: &Console) -> Status {
    let client = match Client::new(&args.url, &args.remote) {
        Ok(client) => client,
        Err(trouble) => {
            console.trouble(&trouble);
            return Status::Wrong;
        }
    };
    let first = match client.get::<Observation>("/status") {
        Ok(seen) => seen,
        Err(trouble) => {
            console.trouble(&trouble);
            return Status::Failed;
        }
    };
    if args.once || !io::stdin().is_terminal() || !io::stdout().is_terminal() {
        return console.print(&(board(&first, Sort::Flow, ONCE).join("\n") + "\n"));
    }
    match watch(client, first) {
        Ok(()) => Status::Done,
        Err(cause) => {
            console.trouble(&Trouble::new(format!("cannot use the terminal: {cause}"), Some("millstream top --once prints it once")));
            Status::Failed
        }
    }
}

/// The width of what is no terminal.
const ONCE: usize = 120;

fn board(seen: &Observation, sort: Sort, width: usize) -> Vec<String> {
    let mut lines = vec![title(seen, width)];
    lines.extend(progress(seen, width));
    lines.extend(table(seen, &sort.apply(seen), width));
    lines
}

/// What is asked for next; shared with the thread that asks.
type Asked = Option<String>;

/// What came back.
struct Answer {
    seen: Result<Observation, Box<Trouble>>,
    /// Why the node that was asked for gives no rows.
    why: Option<Result<Why, Box<Trouble>>>,
}

/// What is on the screen.
struct State {
    seen: Observation,
    why: Option<Result<Why, Box<Trouble>>>,
    lost: Option<String>,
    sort: Sort,
    /// The name of the node that is picked.
    picked: String,
    /// Whether the picked node is explained.
    asks: bool,
}

fn watch(client: Client, first: Observation) -> io::Result<()> {
    // SIGTERM must not leave the terminal as it is now. Ctrl-C is a key here.
    let told = Arc::new(AtomicBool::new(false));
    let tell = told.clone();
    let _signals = Signals::watch(move || tell.store(true, Ordering::Relaxed), || {})?;
    let screen = Screen::take()?;
    let (ask, asked) = sync_channel::<Asked>(1);
    let (answer, answers) = sync_channel(1);
    std::thread::Builder::new().name("millstream-top".to_owned()).spawn(move || talk(&client, &asked, &answer))?;
    let picked = first.nodes.first().map(|node| node.node.clone()).unwrap_or_default();
    let mut state = State { seen: first, why: None, lost: None, sort: Sort::Flow, picked, asks: false };
    let mut dirty = true;
    let mut size = terminal::size();
    while !told.load(Ordering::Relaxed) {
        // Full: it has not been answered yet.
        let _ = ask.try_send(state.asks.then(|| state.picked.clone()));
        if let Ok(answer) = answers.try_recv() {
            state.take(answer);
            dirty = true;
        }
        let now = terminal::size();
        if std::mem::take(&mut dirty) || now != size {
            size = now;
            screen.draw(&state.lines(size))?;
        }
        for key in screen.keys(KEYS)? {
            dirty = true;
            if !state.key(key) {
                return Ok(());
            }
        }
    }
    Ok(())
}

/// Asks the server again and again, until nobody listens.
fn talk(client: &Client, asked: &Receiver<Asked>, answer: &SyncSender<Answer>) {
    while let Ok(asked) = asked.recv() {
        let why = asked.map(|node| client.get(&format!("/why/{}", encoded(&node))));
        if answer.send(Answer { seen: client.get("/status"), why }).is_err() {
            return;
        }
        std::thread::sleep(ASK);
    }
}

impl State {
    fn take(&mut self, answer: Answer) {
        self.why = answer.why;
        match answer.seen {
            Ok(seen) => {
                self.seen = seen;
                self.lost = None;
            }
            Err(trouble) => self.lost = Some(trouble.message),
        }
    }

    /// Whether to go on.
    fn key(&mut self, key: Key) -> bool {
        match key {
            Key::Quit | Key::Letter('q') => return false,
            Key::Escape if !self.asks => return false,
            Key::Escape => self.ask(false),
            Key::Enter | Key::Letter('w') => self.ask(!self.asks),
            Key::Letter('s') => self.sort = self.sort.next(),
            Key::Up | Key::Letter('k') => self.pick(-1),
            Key::Down | Key::Letter('j') => self.pick(1),
            Key::Letter(_) => {}
        }
        true
    }

    fn ask(&mut self, asks: bool) {
        self.asks = asks;
        self.why = None;
    }

    fn pick(&mut self, by: isize) {
        let nodes = self.sort.apply(&self.seen);
        let at = nodes.iter().position(|node| node.node == self.picked).unwrap_or(0);
        let at = at.saturating_add_signed(by).min(nodes.len().saturating_sub(1));
        self.picked = nodes.get(at).map(|node| node.node.clone()).unwrap_or_default();
        self.why = None;
    }

    fn lines(&self, (width, height): (usize, usize)) -> Vec<String> {
        let mut lines = match self.asks {
            false => self.board(width, height),
            true => self.explanation(width),
        };
        lines.truncate(height.saturating_sub(1));
        lines.resize(height.saturating_sub(1), String::new());
        let keys = if self.asks {
            "Esc back  ↑↓ node  q quit".to_owned()
        } else {
            format!("s sort ({})  ↑↓ node  Enter why  q quit", self.sort.name())
        };
        lines.push(cut(&self.lost.as_ref().map_or(keys, |lost| format!("no answer: {lost}")), width));
        lines
    }

    /// The table with the picked node marked, scrolled so that it is seen.
    fn board(&self, width: usize, height: usize) -> Vec<String> {
        let mut head = vec![title(&self.seen, width)];
        head.extend(progress(&self.seen, width));
        let nodes = self.sort.apply(&self.seen);
        let mut rows = table(&self.seen, &nodes, width.saturating_sub(2)).into_iter();
        head.extend(rows.next().map(|row| format!("  {row}")));
        let rows: Vec<String> = rows
            .zip(&nodes)
            .map(|(row, node)| match node.node == self.picked {
                true => format!("\x1b[1m> {row}\x1b[0m"),
                false => format!("  {row}"),
            })
            .collect();
        let picked = nodes.iter().position(|node| node.node == self.picked).unwrap_or(0);
        let room = height.saturating_sub(head.len() + 1).max(1);
        let skipped = (picked + 1).saturating_sub(room);
        head.into_iter().chain(rows.into_iter().skip(skipped)).collect()
    }

    fn explanation(&self, width: usize) -> Vec<String> {
        let text = match &self.why {
            None => format!("asking why {} gives no rows …", self.picked),
            Some(Ok(why)) => why.text(),
            Some(Err(trouble)) => trouble.message.clone(),
        };
        text.lines().map(|line| cut(line, width)).collect()
    }
}

//! `millstream tap`: rows of a running topology as they pass, one JSON object a line.

use std::io::{self, BufRead, Write};

use serde::Deserialize;

use crate::args;
use crate::client::{Client, encoded};
use crate::console::{Console, Trouble};
use crate::status::Status;

/// Prints rows until there are enough, the run is over, or nobody reads them any more.
pub fn tap(args: &args::Tap, console: &Console) -> Status {
    let failed = |trouble: &Trouble, status| {
        console.trouble(trouble);
        status
    };
    let client = match Client::new(&args.url, &args.remote) {
        Ok(client) => client,
        Err(trouble) => return failed(&trouble, Status::Wrong),
    };
    let lines = match client.lines(&path(args)) {
        Ok(lines) => lines,
        Err(trouble) => return failed(&trouble, Status::Failed),
    };
    match copy(lines, &mut io::stdout().lock(), console) {
        Ok(()) => Status::Done,
        Err(End::Closed) => Status::Done,
        Err(End::Lost(cause)) => failed(&Trouble::new(format!("the connection was lost: {cause}"), None), Status::Failed),
    }
}

fn path(args: &args::Tap) -> String {
    let mut query = Vec::new();
    query.extend(args.condition.as_ref().map(|text| format!("where={}", encoded(text))));
    query.extend(args.sample.map(|every| format!("sample={every}")));
    query.extend(args.limit.map(|limit| format!("limit={limit}")));
    let query = if query.is_empty() { String::new() } else { format!("?{}", query.join("&")) };
    format!("/tap/{}{query}", encoded(&args.node))
}

/// Why no more is copied before the end.
enum End {
    /// Whoever read has seen enough.
    Closed,
    Lost(io::Error),
}

/// What the server says between rows.
#[derive(Deserialize)]
struct Aside {
    _tap: Said,
}

#[derive(Deserialize)]
struct Said {
    dropped_rows: u64,
    failed_rows: u64,
}

fn copy(mut lines: impl BufRead, out: &mut impl Write, console: &Console) -> Result<(), End> {
    let mut line = String::new();
    loop {
        line.clear();
        if lines.read_line(&mut line).map_err(End::Lost)? == 0 {
            return Ok(());
        }
        if line.trim().is_empty() {
            continue;
        }
        // A row that begins like it is none of these: it has other columns.
        if line.starts_with("{\"_tap\":")
            && let Ok(Aside { _tap: Said { dropped_rows, failed_rows } }) = serde_json::from_str(&line)
        {
            console.note(&format!("not shown so far: {dropped_rows} rows that came too fast, {failed_rows} on which the condition fails"));
            continue;
        }
        out.write_all(line.as_bytes()).and_then(|()| out.flush()).map_err(|_| End::Closed)?;
    }
}

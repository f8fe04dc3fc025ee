//! The terminal: a block of lines at the bottom that is drawn over itself, and reading keys.
//!
//! Whatever else is written to standard error goes through [`above`], which takes the block away first. The block hides nothing
//! and changes no mode, so that there is nothing to restore when the process dies while it is drawn.

use std::io::{self, IsTerminal, Write};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// How many lines of the block are on the screen.
static DRAWN: Mutex<usize> = Mutex::new(0);

/// Terminals that know it show what comes between these at once, so that nothing flickers; others take no notice.
const BEGIN: &str = "\x1b[?2026h\x1b[?7l";
const END: &str = "\x1b[?7h\x1b[?2026l";

fn drawn() -> MutexGuard<'static, usize> {
    DRAWN.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Writes to standard error, above the block. When nobody reads it any more there is nobody to tell.
pub fn above(text: &[u8]) {
    let mut lines = drawn();
    let mut all = away(std::mem::take(&mut *lines));
    all.extend_from_slice(text);
    let mut err = io::stderr().lock();
    let _ = err.write_all(&all).and_then(|()| err.flush());
}

/// Draws the block over itself; without lines it is gone. The lines must fit the terminal.
pub fn block(lines: &[String]) {
    let mut old = drawn();
    if *old == 0 && lines.is_empty() {
        return;
    }
    let mut text = BEGIN.as_bytes().to_vec();
    if *old > 0 {
        text.extend_from_slice(format!("\r\x1b[{old}A").as_bytes());
    }
    for line in lines {
        text.extend_from_slice(line.as_bytes());
        text.extend_from_slice(b"\x1b[K\r\n");
    }
    text.extend_from_slice(b"\x1b[J");
    text.extend_from_slice(END.as_bytes());
    *old = lines.len();
    let mut err = io::stderr().lock();
    let _ = err.write_all(&text).and_then(|()| err.flush());
}

/// What takes away a block of this many lines.
fn away(lines: usize) -> Vec<u8> {
    if lines == 0 { Vec::new() } else { format!("\r\x1b[{lines}A\x1b[J").into_bytes() }
}

/// Whether standard error is a terminal that can draw over itself.
pub fn can_draw() -> bool {
    io::stderr().is_terminal() && std::env::var_os("TERM").is_some_and(|term| !term.is_empty() && term != "dumb")
}

/// Columns and lines of the terminal of standard error.
#[cfg(unix)]
pub fn size() -> (usize, usize) {
    let size = rustix::termios::tcgetwinsize(io::stderr()).or_else(|_| rustix::termios::tcgetwinsize(io::stdout()));
    match size {
        Ok(size) if size.ws_col > 0 && size.ws_row > 0 => (usize::from(size.ws_col), usize::from(size.ws_row)),
        _ => USUAL,
    }
}

/// Columns and lines of the terminal: nobody says.
#[cfg(not(unix))]
pub fn size() -> (usize, usize) {
    USUAL
}

/// What is taken for the size of a terminal that does not say.
const USUAL: (usize, usize) = (80, 24);

/// A key that was pressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Key {
    /// A letter, or another character.
    Letter(char),
    /// The arrow up.
    Up,
    /// The arrow down.
    Down,
    /// Enter.
    Enter,
    /// Escape.
    Escape,
    /// Ctrl-C or Ctrl-D.
    Quit,
}

/// The keys in what a terminal has sent at once. Unknown sequences are left out.
pub fn keys(mut bytes: &[u8]) -> Vec<Key> {
    let mut keys = Vec::new();
    while let Some((&first, rest)) = bytes.split_first() {
        bytes = rest;
        match first {
            3 | 4 => keys.push(Key::Quit),
            b'\r' | b'\n' => keys.push(Key::Enter),
            0x1b => match rest {
                [b'[' | b'O', rest @ ..] => {
                    // Parameters, and a letter that says what it is.
                    let end = rest.iter().position(|byte| (0x40..=0x7e).contains(byte)).unwrap_or(rest.len());
                    match rest.get(end) {
                        Some(b'A') => keys.push(Key::Up),
                        Some(b'B') => keys.push(Key::Down),
                        _ => {}
                    }
                    bytes = rest.get(end + 1..).unwrap_or_default();
                }
                _ => keys.push(Key::Escape),
            },
            byte if byte.is_ascii_graphic() || byte == b' ' => keys.push(Key::Letter(char::from(byte))),
            _ => {}
        }
    }
    keys
}

/// The whole screen, and keys as they are pressed. Its drop gives both back.
#[cfg(unix)]
pub struct Screen {
    before: rustix::termios::Termios,
}

#[cfg(unix)]
impl Screen {
    /// Takes the terminal of standard input and output.
    ///
    /// # Errors
    /// When one of them is none.
    pub fn take() -> io::Result<Screen> {
        use rustix::termios::{OptionalActions, tcgetattr, tcsetattr};
        let before = tcgetattr(io::stdin())?;
        let mut raw = before.clone();
        raw.make_raw();
        tcsetattr(io::stdin(), OptionalActions::Now, &raw)?;
        let screen = Screen { before };
        // The other screen, without a cursor.
        write_out("\x1b[?1049h\x1b[?25l")?;
        Ok(screen)
    }

    /// Draws all lines from the top.
    ///
    /// # Errors
    /// When nobody takes them.
    pub fn draw(&self, lines: &[String]) -> io::Result<()> {
        let mut text = format!("{BEGIN}\x1b[H");
        for (index, line) in lines.iter().enumerate() {
            text.push_str(if index == 0 { "" } else { "\r\n" });
            text.push_str(line);
            text.push_str("\x1b[K");
        }
        text.push_str("\x1b[J");
        text.push_str(END);
        write_out(&text)
    }

    /// The keys that are pressed within a time; none when there are none.
    ///
    /// # Errors
    /// When the terminal is gone.
    pub fn keys(&self, within: std::time::Duration) -> io::Result<Vec<Key>> {
        use rustix::event::{PollFd, PollFlags, Timespec, poll};
        let stdin = io::stdin();
        let mut ready = [PollFd::new(&stdin, PollFlags::IN)];
        let within = Timespec { tv_sec: i64::try_from(within.as_secs()).unwrap_or(i64::MAX), tv_nsec: i64::from(within.subsec_nanos()) };
        match poll(&mut ready, Some(&within)) {
            Ok(0) | Err(rustix::io::Errno::INTR) => return Ok(Vec::new()),
            Ok(_) => {}
            Err(error) => return Err(error.into()),
        }
        let mut buffer = [0; 64];
        match rustix::io::read(&stdin, &mut buffer) {
            Ok(0) => Ok(vec![Key::Quit]),
            Ok(length) => Ok(keys(&buffer[..length])),
            Err(rustix::io::Errno::INTR) => Ok(Vec::new()),
            Err(error) => Err(error.into()),
        }
    }
}

#[cfg(unix)]
impl Drop for Screen {
    fn drop(&mut self) {
        let _ = write_out("\x1b[?25h\x1b[?1049l");
        let _ = rustix::termios::tcsetattr(io::stdin(), rustix::termios::OptionalActions::Now, &self.before);
    }
}

#[cfg(unix)]
fn write_out(text: &str) -> io::Result<()> {
    let mut out = io::stdout().lock();
    out.write_all(text.as_bytes())?;
    out.flush()
}

/// The whole screen: there is none here.
#[cfg(not(unix))]
pub struct Screen;

#[cfg(not(unix))]
impl Screen {
    /// Never succeeds.
    ///
    /// # Errors
    /// Always.
    pub fn take() -> io::Result<Screen> {
        Err(io::ErrorKind::Unsupported.into())
    }

    /// Draws nothing.
    ///
    /// # Errors
    /// Never.
    pub fn draw(&self, _: &[String]) -> io::Result<()> {
        Ok(())
    }

    /// Ends at once.
    ///
    /// # Errors
    /// Never.
    pub fn keys(&self, _: std::time::Duration) -> io::Result<Vec<Key>> {
        Ok(vec![Key::Quit])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_read_from_what_a_terminal_sends() {
        assert_eq!(keys(b"qs\r\x1b[A\x1bOB\x03"), [Key::Letter('q'), Key::Letter('s'), Key::Enter, Key::Up, Key::Down, Key::Quit]);
        assert_eq!(keys(b"\x1b"), [Key::Escape]);
        assert_eq!(keys(b"\x1b[1;5Cj"), [Key::Letter('j')], "sequences that nobody knows are no letters");
        assert_eq!(keys(b"\x1b["), []);
    }
}

//! `lookups`: how many rows of a view a running server finds by key in a second, while the view changes.
//!
//! ```text
//! cargo run --release -- run benches/lookups/topology.toml
//! cargo run --release -p millstream-benches --bin lookups -- --connections 1,8,32
//! ```
//!
//! Each connection is a thread that sends one request at a time, for a key drawn at random, and reads its answer. Client and server
//! share the machine, so the figure is what both do together. An answer that is not one row ends it with an error.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use clap::Parser;
use comfy_table::Table;
use comfy_table::presets::ASCII_MARKDOWN;

/// Looks rows of a view up by key, over HTTP, and prints how many a second.
#[derive(Debug, Parser)]
struct Arguments {
    /// Where the server listens.
    #[arg(long, default_value = "127.0.0.1:8080")]
    address: String,
    /// The view.
    #[arg(long, default_value = "accounts")]
    view: String,
    /// Keys are the numbers below this.
    #[arg(long, default_value_t = 100_000)]
    keys: u64,
    /// Numbers of connections; each is measured.
    #[arg(long, value_delimiter = ',', default_value = "1,8,32")]
    connections: Vec<usize>,
    /// For how long.
    #[arg(long, default_value_t = 5)]
    seconds: u64,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let measured: Result<Vec<Figures>, String> = arguments.connections.iter().map(|&n| measure(&arguments, n)).collect();
    let (text, status) = match measured {
        Ok(figures) => (rendered(&figures), ExitCode::SUCCESS),
        Err(error) => (format!("lookups: {error}"), ExitCode::FAILURE),
    };
    // A closed pipe is the reader's wish.
    let _ = writeln!(std::io::stdout(), "{text}");
    status
}

/// What was measured over a number of connections.
struct Figures {
    connections: usize,
    seconds: f64,
    /// Of each answer, sorted.
    micros: Vec<u32>,
}

fn rendered(figures: &[Figures]) -> String {
    let mut table = Table::new();
    table.load_preset(ASCII_MARKDOWN);
    table.set_header(["connections", "lookups / s", "median µs", "99 % within µs"]);
    for Figures { connections, seconds, micros } in figures {
        let within = |share: f64| micros.get((micros.len() as f64 * share) as usize).map(u32::to_string).unwrap_or_default();
        table.add_row([connections.to_string(), format!("{:.0}", micros.len() as f64 / seconds), within(0.5), within(0.99)]);
    }
    table.to_string()
}

#[expect(clippy::disallowed_methods, reason = "a benchmark measures real time")]
fn measure(arguments: &Arguments, connections: usize) -> Result<Figures, String> {
    let started = Instant::now();
    let end = started + Duration::from_secs(arguments.seconds);
    let results: Vec<Result<Vec<u32>, String>> = std::thread::scope(|scope| {
        let clients: Vec<_> = (0..connections).map(|seed| scope.spawn(move || client(arguments, seed as u64, end))).collect();
        clients.into_iter().map(|client| client.join().unwrap_or_else(|_| Err("a client panicked".to_owned()))).collect()
    });
    let seconds = started.elapsed().as_secs_f64();
    let mut micros = results.into_iter().collect::<Result<Vec<_>, _>>()?.concat();
    micros.sort_unstable();
    Ok(Figures { connections, seconds, micros })
}

/// Looks keys up until the end; how long each took.
#[expect(clippy::disallowed_methods, reason = "a benchmark measures real time")]
fn client(arguments: &Arguments, seed: u64, end: Instant) -> Result<Vec<u32>, String> {
    let mut connection = TcpStream::connect(&arguments.address).map_err(|error| format!("{}: {error}", arguments.address))?;
    connection.set_nodelay(true).map_err(|error| error.to_string())?;
    let (mut micros, mut buffer, mut state) = (Vec::new(), Vec::new(), seed);
    loop {
        let before = Instant::now();
        if before >= end {
            return Ok(micros);
        }
        let key = drawn(&mut state) % arguments.keys.max(1);
        let request = format!("GET /views/{}?key={key} HTTP/1.1\r\nHost: localhost\r\n\r\n", arguments.view);
        connection.write_all(request.as_bytes()).map_err(|error| error.to_string())?;
        let body = answer(&mut connection, &mut buffer)?;
        if body.matches("},{").count() > 0 || !body.contains("\"rows\":[{") {
            return Err(format!("the key {key} has not one row: {body}"));
        }
        micros.push(u32::try_from(before.elapsed().as_micros()).unwrap_or(u32::MAX));
    }
}

/// The body of the next answer.
fn answer(connection: &mut TcpStream, buffer: &mut Vec<u8>) -> Result<String, String> {
    buffer.clear();
    let mut piece = [0; 4096];
    loop {
        let text = String::from_utf8_lossy(buffer);
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            if !head.starts_with("HTTP/1.1 200") {
                return Err(format!("refused: {text}"));
            }
            let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")).and_then(|length| length.parse().ok());
            if body.len() >= length.ok_or("an answer without a length")? {
                return Ok(body.to_owned());
            }
        }
        match connection.read(&mut piece).map_err(|error| error.to_string())? {
            0 => return Err("the server has closed the connection".to_owned()),
            read => buffer.extend_from_slice(&piece[..read]),
        }
    }
}

/// The next number of a stream: SplitMix64 (Steele, Lea, Flood: "Fast splittable pseudorandom number generators", 2014).
fn drawn(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mixed = (*state ^ (*state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

//! Nexmark queries by hand on timely and Renoir, as their own examples would have them, for comparison with Millstream.
//!
//! ```text
//! peers timely q5 events.ndjson 2       # engine, query, file of all events, workers
//! ```
//!
//! It prints how many rows the result has and the sum of their numbers (see [`result`]), by which answers are compared. Who starts it
//! takes the time.

#![allow(clippy::unwrap_used, reason = "a benchmark that fails has nothing to say")]

mod events;
mod on_renoir;
mod on_timely;
mod result;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [engine, query, path, workers] = arguments.as_slice() else {
        eprintln!("usage: peers ENGINE QUERY FILE WORKERS");
        std::process::exit(2);
    };
    let workers = workers.parse().expect("a number of workers");
    match engine.as_str() {
        "timely" => on_timely::run(query, path, workers),
        "renoir" => on_renoir::run(query, path, workers),
        _ => panic!("no engine {engine}"),
    }
    println!("{}", result::text());
}

//! A `millstream` with one more operator: all subcommands, all node types that ship, and [`smooth`].

mod smooth;
mod state;

use std::process::ExitCode;

use millstream_api::Registry;

fn main() -> ExitCode {
    let mut registry = Registry::new();
    millstream_operators::register(&mut registry);
    registry.add::<smooth::SmoothOptions>();
    millstream_cli::main(registry)
}

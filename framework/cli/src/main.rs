//! The `millstream` command with the node types that ship. A binary with node types of its own looks just like it.

use std::process::ExitCode;

use millstream_api::Registry;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let mut registry = Registry::new();
    millstream_operators::register(&mut registry);
    millstream_cli::main(registry)
}

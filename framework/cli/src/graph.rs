//! `millstream graph`: the plan as a drawing on standard output.

use millstream_api::Registry;
use millstream_topology::{Drawing, draw};

use crate::args::{Graph, GraphFormat};
use crate::console::Console;
use crate::files::checked;
use crate::status::Status;

/// Draws a topology without running it.
pub fn graph(args: &Graph, registry: &Registry, console: &Console) -> Status {
    let Some((topology, _)) = checked(&args.file, registry, console) else {
        return Status::Wrong;
    };
    let drawing = match args.format {
        GraphFormat::Mermaid => Drawing::Mermaid,
        GraphFormat::Dot => Drawing::Dot,
        GraphFormat::Json => Drawing::Json,
        GraphFormat::Svg => Drawing::Svg,
    };
    console.print(&draw(&topology, drawing))
}

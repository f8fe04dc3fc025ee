//! A topology as a drawing, for `millstream graph`. Nothing here decides anything: it shows what the plan says.
//!
//! Modules in reading order:
//!
//! - [`picture`]: boxes and arrows, the same for all formats
//! - [`mermaid`], [`dot`], [`json`]: pictures as text for other programs
//! - [`layout`]: where boxes and arrows go; [`order`]: which of them stand above which; [`svg`]: the drawing itself

mod dot;
mod json;
mod layout;
mod mermaid;
mod order;
mod picture;
mod svg;

use crate::graph::Topology;
use picture::Picture;

/// The formats of a drawing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Drawing {
    /// For Markdown pages that render Mermaid.
    Mermaid,
    /// For Graphviz.
    Dot,
    /// For programs: nodes, streams with their columns, edges.
    Json,
    /// A finished drawing, light or dark as its viewer likes.
    Svg,
}

/// Draws a topology.
pub fn draw(topology: &Topology, drawing: Drawing) -> String {
    match drawing {
        Drawing::Mermaid => mermaid::mermaid(&Picture::of(topology)),
        Drawing::Dot => dot::dot(&Picture::of(topology)),
        Drawing::Json => json::json(topology),
        Drawing::Svg => svg::svg(&Picture::of(topology)),
    }
}

//! Whole topologies, checked with node types that exist for these tests only.

mod drawings;
mod graphs;
mod mistakes;
mod support;

//! Whole topologies, checked with node types that exist for these tests only.

mod graphs;
mod mistakes;
mod support;

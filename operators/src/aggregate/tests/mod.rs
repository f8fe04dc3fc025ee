//! Tests of the aggregate operator: against naive models on random input, and of single properties.

mod checkpoints;
mod harness;
mod model;
mod on_disk;
mod planning;
mod running;
mod sessions;
mod single;
mod windowed;

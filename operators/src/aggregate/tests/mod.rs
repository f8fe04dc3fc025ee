//! Tests of the aggregate operator: against naive models on random input, and of single properties.

mod harness;
mod planning;
mod running;
mod single;
mod windowed;

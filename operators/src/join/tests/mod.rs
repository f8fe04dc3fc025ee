//! Planning, and every mode and kind against naive models.

mod checkpoints;
mod harness;
mod planning;
mod properties;
mod timed;

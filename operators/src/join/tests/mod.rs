//! Planning, and every mode and kind against naive models.

mod harness;
mod planning;
mod properties;
mod timed;

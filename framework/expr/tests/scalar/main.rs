//! Scalar expressions from text to values, through the public interface: tables of expression, input and expected value.
#![expect(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "helpers of tests fail the test")]

mod bytes;
mod errors;
mod keys;
mod nothing_panics;
mod rows;
mod support;
mod values;

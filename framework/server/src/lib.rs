//! Views and health of a running topology over HTTP.
//!
//! It only reads: nothing that comes from the network changes a pipeline or slows it down. It runs on threads of its own,
//! knows no node type and no actor of the pipeline, and reaches the data through [`millstream_api::view::View`] alone.
//! Modules in reading order:
//!
//! - [`server`]: binds, starts and stops
//! - [`health`]: what `GET /health` says
//! - `routes`: which paths there are
//! - `body`: rows as JSON, a piece at a time
//! - `times`: timestamps and dates in it
//! - `answer`: small JSON answers and refusals

mod answer;
mod body;
pub mod health;
mod routes;
pub mod server;
mod times;

pub use health::{Health, Phase};
pub use server::{Info, Server, ServerError};

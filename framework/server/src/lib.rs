//! Views, health and metrics of a running topology over HTTP.
//!
//! It only reads, and takes a checkpoint when asked to: nothing that comes from the network changes what a pipeline computes. It runs
//! on threads of its own, knows no node type and no actor of the pipeline, and reaches the data through
//! [`millstream_api::view::View`] and taps alone. Modules in reading order:
//!
//! - [`server`]: binds, starts and stops
//! - [`health`]: what `GET /health` and `GET /ready` say
//! - `routes`: which paths there are
//! - `access`: who may read
//! - `views`: the paths of views
//! - `query`, `selection`, `pages`: which rows a client asks for; those that it reads a page at a time
//! - `format`, `body`, `csv`, `values`: rows as JSON or CSV, a piece at a time
//! - `follow`: a view and its changes as server-sent events
//! - `run`, `tap`: how the run goes, why a node gives no rows, and rows as they pass
//! - `checkpoint`: one now, and how they go
//! - [`metrics`]: everything that can be counted, for Prometheus
//! - `page`: a page that shows all this
//! - `answer`: small JSON answers and refusals

mod access;
mod answer;
mod body;
mod checkpoint;
mod csv;
mod follow;
mod format;
pub mod health;
pub mod metrics;
mod page;
mod pages;
mod query;
mod routes;
mod run;
mod selection;
pub mod server;
mod tap;
mod values;
mod views;

pub use health::{Health, Phase};
pub use server::{Info, Server, ServerError};

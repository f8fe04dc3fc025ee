//! The `http` source: a listener of its own, to which others post rows.
//!
//! A request is taken as a whole or not at all, and is answered when its fate is known: taken into a bounded queue (or covered by a
//! checkpoint), refused because a row is bad, or put off because the topology does not keep up. So the sender knows what to send
//! again, and backpressure ends at the sender and not in memory. Modules in reading order: here the options and their plan,
//! [`budget`] what bounds memory, [`rows`] from a body to rows, [`requests`] what a request is answered, [`intake`] the way to the
//! source and back, [`server`] connections, [`reader`] the source.

mod budget;
mod intake;
mod reader;
mod requests;
mod rows;
mod server;
#[cfg(test)]
mod tests;

use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::sync::Arc;

use millstream_api::plan::{Inputs, Make, OutputPlan, Plan};
use millstream_api::registry::{InputKeys, NodeOptions, Role};
use millstream_api::secret::Secret;
use millstream_api::time::{DurationText, SizeText};
use millstream_api::{Diagnostic, Diagnostics, Stream};
use schemars::JsonSchema;
use serde::Deserialize;

use self::reader::HttpFactory;
use self::server::Limits;
use crate::decode::schema::{SchemaText, arrow_schema};

/// Takes rows that others post to it: `POST` with one JSON object a line.
///
/// A request is taken as a whole, and the answer says so: `200 {"rows": 2}` when its rows were taken, `429` with `Retry-After` when
/// the topology does not keep up, `503` when the run is stopping, `400` with the lines and reasons when rows are bad. With `on_bad_row`
/// `skip` or `reject` the good rows of such a request are taken and the answer counts the others; with `fail` it is the request
/// that fails and never the run. A row whose event time is missing is judged later, by `time.on_null`: declare that column
/// `not null`, so that the sender hears of it.
///
/// What `200` means, `acknowledge` says. `taken`: the rows wait in the queue of the source, in memory. A stop loses none of them: it
/// refuses further requests and first hands on what was taken. A crash, or a failure that ends or restarts the run, loses what had
/// not come into a checkpoint. `checkpoint`: a checkpoint covers the rows, so nothing that was answered `200` is ever lost, and a
/// sender that got another answer or none sends the rows again; some of them may then come twice. Such an answer takes up to an
/// `interval` of `[checkpoint]`: let senders wait longer, and note that at most `max_connections` requests come in an interval, so
/// they should be large.
///
/// A body may be compressed, as `Content-Encoding: gzip` or `zstd`. All rows are one split, in the order in which requests are
/// taken. Only `http` is spoken; where others can listen in, put a proxy with TLS in front.
///
/// ```toml
/// [sources.departures]
/// type   = "http"
/// listen = "127.0.0.1:9000"
/// path   = "/departures"
/// time   = { by = "departed", max_delay = "1h", idle_after = "30s" }
/// schema = { flight = "string", carrier = "string not null", departed = "timestamp not null", dep_delay = "bigint" }
/// ```
///
/// `curl --data-binary @rows.ndjson http://127.0.0.1:9000/departures` sends rows to it.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
pub struct HttpSourceOptions {
    /// Address and port to listen on, for example `"127.0.0.1:9000"`. Port 0 takes any free one and says which.
    pub listen: SocketAddr,
    /// The path that rows are posted to. Default: `/`.
    pub path: Option<String>,
    /// Columns and their types, in order.
    pub schema: SchemaText,
    /// What senders must send as `Authorization: Bearer TOKEN`. Without it everybody who reaches the address may send rows.
    pub token: Option<Secret>,
    /// When a request is answered. Default: `taken`, which needs no checkpoints and answers at once.
    #[serde(default)]
    pub acknowledge: Acknowledge,
    /// The greatest body of a request, also after it is unpacked; beyond it the answer is `413`. Default: `16MiB`.
    pub max_body: Option<SizeText>,
    /// Bytes of all requests that are being read or wait to be taken further; beyond it the answer is `429`. Default: `64MiB`.
    pub buffer: Option<SizeText>,
    /// Connections at a time; further ones wait. Default: 256.
    pub max_connections: Option<NonZeroUsize>,
    /// How long a sender may take for a request; beyond it the answer is `408`. Default: `30s`.
    pub timeout: Option<DurationText>,
}

/// What a sender is told when.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Acknowledge {
    /// When its rows wait in the queue of the source.
    #[default]
    Taken,
    /// When a checkpoint covers its rows.
    Checkpoint,
}

impl NodeOptions for HttpSourceOptions {
    const KIND: &'static str = "http";
    const ROLE: Role = Role::Source;
    const INPUTS: InputKeys = InputKeys::None;

    fn plan(self, inputs: &Inputs<'_>) -> Result<Plan, Diagnostics> {
        let mut errors = Diagnostics::default();
        let columns = errors.ok(self.schema.columns_at("schema"));
        let path = errors.ok(self.path());
        let limits = errors.ok(self.limits());
        let warnings = self.openness(inputs.name);
        let (Some(columns), Some(path), Some(limits)) = (columns, path, limits) else {
            return Err(errors);
        };
        let stream = Stream { from_source: true, bounded: false, ..Stream::plain(arrow_schema(&columns)) };
        let HttpSourceOptions { listen, token, acknowledge, .. } = self;
        let factory = HttpFactory { listen, path, token, acknowledge, limits, columns, on_bad_row: inputs.on_bad_row };
        let mut plan = Plan::new(Vec::new(), vec![OutputPlan::main(stream)], Make::Source(Arc::new(factory)));
        plan.warnings.0.extend(warnings);
        errors.into_result(plan)
    }
}

impl HttpSourceOptions {
    fn path(&self) -> Result<String, Diagnostic> {
        let path = self.path.as_deref().unwrap_or("/");
        match path.starts_with('/') && path.bytes().all(|byte| byte.is_ascii_graphic() && !matches!(byte, b'?' | b'#')) {
            true => Ok(path.to_owned()),
            false => Err(Diagnostic::error("bad-path", format!("{path:?} is not the path of a URL"))
                .key("path")
                .help("it starts with `/` and has neither blanks nor a query: \"/departures\"")),
        }
    }

    fn limits(&self) -> Result<Limits, Diagnostics> {
        let size = |size: Option<SizeText>, default: usize| size.map_or(default, SizeText::bytes);
        let limits = Limits {
            body_bytes: size(self.max_body, 16 << 20),
            buffer_bytes: size(self.buffer, 64 << 20),
            connections: self.max_connections.map_or(256, NonZeroUsize::get),
            timeout: self
                .timeout
                .map_or(std::time::Duration::from_secs(30), |timeout| std::time::Duration::from_micros(timeout.micros().unsigned_abs())),
        };
        let mut errors = Diagnostics::default();
        if limits.body_bytes == 0 {
            errors.push(
                Diagnostic::error("out-of-range", "no row fits into a body of no bytes")
                    .key("max_body")
                    .help("give it a size such as \"16MiB\""),
            );
        }
        if limits.buffer_bytes < limits.body_bytes {
            let key = if self.buffer.is_some() { "buffer" } else { "max_body" };
            errors.push(
                Diagnostic::error("out-of-range", "`buffer` is smaller than `max_body`, so that the greatest request could never be taken")
                    .key(key)
                    .help("make `buffer` several times as large as `max_body`"),
            );
        }
        if limits.timeout.is_zero() {
            errors.push(
                Diagnostic::error("out-of-range", "no request can be read in no time")
                    .key("timeout")
                    .help("give it a duration such as \"30s\""),
            );
        }
        errors.into_result(limits)
    }

    /// That others than this machine may send rows.
    fn openness(&self, name: &str) -> Option<Diagnostic> {
        if self.listen.ip().is_loopback() || self.token.is_some() {
            return None;
        }
        let message = format!("everybody who reaches {} can send rows to `{name}`", self.listen);
        let warning = Diagnostic::warning("open-server", message).key("listen");
        Some(warning.help("set `token`, or listen on 127.0.0.1 to take rows from this machine only"))
    }
}

//! `http`: rows posted to a service, in batches.
//!
//! A request is sent when it is full or the input pauses, and again until the service has taken it: what was sent cannot be
//! taken back, so each request has a key by which a service can tell that it has seen it before. Modules in reading order: here
//! the options, their plan and the sink, [`pending`] rows that are collected into requests, [`retries`] when a request is sent
//! again, [`client`] sends one.

mod client;
mod pending;
mod retries;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::hash::{BuildHasher, Hasher, RandomState};
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::Duration;

use arrow::array::{AsArray, Int64Array, RecordBatch};
use arrow::datatypes::{DataType, Field, Int64Type, Schema};
use millstream_api::error::shortened;
use millstream_api::meaning::Matters;
use millstream_api::message::CheckpointId;
use millstream_api::operator::{Fates, Progress};
use millstream_api::options::OnBadRow;
use millstream_api::plan::{Columns, InputPlan, Inputs, Make, Parallelism, Plan, SinkContext, SinkFactory, WindowUse};
use millstream_api::registry::{InputKeys, NodeOptions, Role};
use millstream_api::requests::Requests;
use millstream_api::secret::Secret;
use millstream_api::sink::Finish;
use millstream_api::state::{StateDecl, StateReader, StateWriter};
use millstream_api::time::{DurationText, SizeText};
use millstream_api::{Batch, Diagnostic, Diagnostics, Error, Result, Sink};
use schemars::JsonSchema;
use serde::Deserialize;

use self::client::{Attempt, Client, Request, Target};
use self::pending::Pending;
use self::retries::Patience;
use super::columns::{Picked, Projection};
use crate::encode::json;

/// Posts rows to a service: `POST` with one JSON object a line, as the sink `file` writes them.
///
/// A request is sent when it is full or when the input pauses; the next one when it was answered, so that the service sets the
/// pace. When it cannot be reached, or answers with 408, 425, 429 or 5xx, the same request is sent again after a pause, which
/// doubles up to `max_pause` and is as long as the service says in `Retry-After` (up to ten minutes). After `attempts` the
/// run fails and shows the last answer. A stop waits for a request that is being sent again; a second Ctrl-C does not.
///
/// An answer 400, 409, 413 or 422 says that the service does not want these rows, today or tomorrow. With `on_bad_row = "fail"`
/// (default) the run fails; with `"skip"` all rows of the request are left out, counted as skipped, and the log says why: `max_rows = 1`
/// leaves out no others with a bad one. After any other answer (401, 403 and 404, say, or a redirect) the run fails in any case, and is not
/// restarted: what is wrong is in the file or the service.
///
/// Each request has a header `Idempotency-Key`, the same whenever it is sent: a service that remembers keys takes no row twice.
/// A run that goes on from a checkpoint sends again what came after it, under the same keys where the requests are the same.
///
/// ```toml
/// [sinks.alerts]
/// type    = "http"
/// input   = "delays"
/// url     = "https://alerts.example.org/ingest"
/// token   = "secret"
/// headers = { X-Team = "airport" }
/// columns = ["carrier", "worst"]
/// ```
#[derive(Clone, Debug, Deserialize, JsonSchema)]
pub struct HttpSinkOptions {
    /// Where to post to, `http` or `https`. The certificates of public authorities are trusted.
    pub url: String,
    /// Is sent as `Authorization: Bearer TOKEN`.
    pub token: Option<Secret>,
    /// Further headers. `Content-Type` is `application/x-ndjson` unless it is among them.
    #[serde(default)]
    pub headers: BTreeMap<String, Secret>,
    /// How bodies are packed. Default: `none`.
    #[serde(default)]
    pub compression: Compression,
    /// Rows of a request, at most. Default: 1000.
    pub max_rows: Option<NonZeroUsize>,
    /// Bytes of a request, at most and before it is packed; a single longer row is sent alone. Default: `1MiB`.
    pub max_bytes: Option<SizeText>,
    /// How long an answer may take. Default: `30s`.
    pub timeout: Option<DurationText>,
    /// How often a request is sent, at most. Default: 10.
    pub attempts: Option<NonZeroUsize>,
    /// The pause after the first attempt; it doubles with each. Default: `200ms`.
    pub pause: Option<DurationText>,
    /// The longest pause. Default: `30s`.
    pub max_pause: Option<DurationText>,
    /// The columns to send, in this order. Default: all.
    pub columns: Option<Vec<String>>,
    /// Sends the changes of an updating stream, with a last column `_weight`: 1 for a row that comes, -1 for one that is
    /// withdrawn. Without it an updating input is an error.
    #[serde(default)]
    pub changes: bool,
}

/// How bodies are packed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Compression {
    /// Not at all.
    #[default]
    None,
    /// `Content-Encoding: gzip`.
    Gzip,
}

impl NodeOptions for HttpSinkOptions {
    const KIND: &'static str = "http";
    const ROLE: Role = Role::Sink;
    const INPUTS: InputKeys = InputKeys::One;

    fn plan(self, inputs: &Inputs<'_>) -> Result<Plan, Diagnostics> {
        let mut found = Diagnostics::default();
        let target = found.ok(Target::new(&self.url, self.token.as_ref(), &self.headers));
        let patience = found.ok(self.patience());
        let timeout = found.ok(duration("timeout", self.timeout, 30_000));
        let picked = Picked::new(self.columns.clone(), inputs).and_then(|picked| picked.appended(self.changes, inputs));
        let (Some(picked), Some(target), Some(patience), Some(timeout)) = (found.ok(picked), target, patience, timeout) else {
            return Err(found);
        };
        let max_rows = self.max_rows.map_or(1000, NonZeroUsize::get);
        let max_bytes = self.max_bytes.map_or(1 << 20, SizeText::bytes);
        let factory = HttpSinkFactory { target, compression: self.compression, timeout, patience, max_rows, max_bytes, picked };
        let plan = Plan::new(vec![InputPlan::any(WindowUse::Reads)], Vec::new(), Make::Sink(Arc::new(factory)));
        let state = vec![StateDecl { name: STATE, keyed: false }];
        let plan = Plan { parallelism: Parallelism::One("rows are sent in their order"), state, ..plan };
        found.into_result(plan)
    }
}

impl HttpSinkOptions {
    fn patience(&self) -> Result<Patience, Diagnostics> {
        let mut found = Diagnostics::default();
        let first = found.ok(duration("pause", self.pause, 200));
        let longest = found.ok(duration("max_pause", self.max_pause, 30_000));
        let (Some(first), Some(longest)) = (first, longest) else { return Err(found) };
        if longest < first {
            let key = if self.max_pause.is_some() { "max_pause" } else { "pause" };
            let message = "`max_pause` is shorter than `pause`, the first one";
            found.push(Diagnostic::error("out-of-range", message).key(key).help("pauses double from `pause` up to `max_pause`"));
        }
        let attempts = self.attempts.map_or(10, NonZeroUsize::get);
        found.into_result(Patience { attempts, first, longest })
    }
}

/// A duration that is not zero.
fn duration(key: &str, written: Option<DurationText>, default_ms: u64) -> Result<Duration, Diagnostic> {
    match written.map(|duration| Duration::from_micros(duration.micros().unsigned_abs())) {
        None => Ok(Duration::from_millis(default_ms)),
        Some(Duration::ZERO) => {
            Err(Diagnostic::error("out-of-range", format!("`{key}` cannot be zero")).key(key).help("leave it out for the default"))
        }
        Some(duration) => Ok(duration),
    }
}

struct HttpSinkFactory {
    target: Target,
    compression: Compression,
    timeout: Duration,
    patience: Patience,
    max_rows: usize,
    max_bytes: usize,
    picked: Picked,
}

impl SinkFactory for HttpSinkFactory {
    fn required(&self) -> Columns {
        self.picked.required()
    }

    /// It keeps how many requests it has sent, wherever and however: keys of requests go on from there.
    fn matters(&self) -> Option<Matters> {
        Some(Matters::default())
    }

    fn make(&self, context: &SinkContext) -> Result<Box<dyn Sink>> {
        Ok(Box::new(HttpSink {
            projection: self.picked.bind(&context.input.schema)?,
            pending: Pending::new(self.max_rows, self.max_bytes),
            client: Client::new(self.target.clone(), self.compression, self.timeout, self.patience),
            run: random(),
            requests: 0,
            on_bad_row: context.on_bad_row,
            unwanted: 0,
            rows: Vec::new(),
            next_row: 0,
            request: None,
        }))
    }
}

/// A number that no other run has.
fn random() -> u64 {
    RandomState::new().build_hasher().finish()
}

/// The name of what a checkpoint keeps: the run and how many requests it has sent.
const STATE: &str = "requests";

/// So many requests that are left out are each said in the log.
const EACH_IS_SAID: u64 = 8;

struct HttpSink {
    projection: Projection,
    pending: Pending,
    client: Client,
    /// What tells the requests of this run from those of others; kept by checkpoints.
    run: u64,
    /// How many were sent.
    requests: u64,
    on_bad_row: OnBadRow,
    /// How many requests the service did not want.
    unwanted: u64,
    /// The rows of a batch, encoded, and the byte at which the next one begins that is in no request yet.
    rows: Vec<u8>,
    next_row: usize,
    /// What is being sent: the rows that are pending.
    request: Option<Request>,
}

impl HttpSink {
    /// Collects rows of the batch until a request is full; that one is to be sent.
    fn collect(&mut self) -> Result<()> {
        while self.next_row < self.rows.len() {
            self.next_row += self.pending.add(&self.rows[self.next_row..]);
            if self.pending.is_full() {
                return self.begin();
            }
        }
        Ok(())
    }

    fn begin(&mut self) -> Result<()> {
        let body = self.pending.body();
        // With the content in it, so that requests that are cut in another way after a restart have keys of their own.
        let key = format!("{:016x}-{}-{:016x}", self.run, self.requests, xxhash_rust::xxh3::xxh3_64(body));
        self.request = Some(self.client.request(key, body)?);
        Ok(())
    }

    /// Says that the rows of the request are left out: each time at first, then at every doubling, so that a service which wants none does
    /// not fill the log.
    ///
    /// # Errors
    /// When they are not to be.
    fn leave_out(&mut self, said: &str) -> Result<()> {
        let body = String::from_utf8_lossy(self.pending.body());
        let (rows, first) = (self.pending.rows(), body.lines().next().unwrap_or_default());
        if self.on_bad_row == OnBadRow::Fail {
            return Err(self.client.unwanted(rows, first, said));
        }
        self.unwanted += 1;
        if self.unwanted <= EACH_IS_SAID || self.unwanted.is_power_of_two() {
            let (uri, first, unwanted) = (self.client.uri(), shortened(first), self.unwanted);
            tracing::warn!("POST {uri}: rows left out: {rows} (in request {unwanted} that is refused): {said}; the first row is {first}");
        }
        Ok(())
    }

    /// Barriers and ends come when all was flushed.
    fn check_all_sent(&self) -> Result<()> {
        match self.pending.is_empty() {
            true => Ok(()),
            false => Err(Error::internal("rows that were not sent are to be closed off")),
        }
    }
}

impl Sink for HttpSink {
    fn write(&mut self, batch: Batch, _: &mut Fates) -> Result<()> {
        self.rows.clear();
        self.next_row = 0;
        json::write_rows(&self.projection.records(&batch)?, &mut self.rows)
    }

    /// Sends one request, once. Rows are taken when the service has taken them.
    fn resume(&mut self, fates: &mut Fates) -> Result<Progress> {
        if self.request.is_none() {
            self.collect()?;
        }
        let Some(request) = &mut self.request else { return Ok(Progress::Done) };
        match self.client.go_on(request)? {
            Attempt::Again => return Ok(Progress::More),
            Attempt::Taken => fates.taken += self.pending.rows() as u64,
            Attempt::Unwanted(said) => {
                self.leave_out(&said)?;
                fates.skipped += self.pending.rows() as u64;
                self.client.requests().refused(self.pending.rows() as u64);
            }
        }
        self.request = None;
        self.requests += 1;
        self.pending.clear();
        Ok(Progress::More)
    }

    fn requests(&self) -> Option<Requests> {
        Some(self.client.requests().clone())
    }

    fn flush(&mut self) -> Result<()> {
        if self.pending.is_empty() { Ok(()) } else { self.begin() }
    }

    fn prepare(&mut self, _: CheckpointId, state: &mut StateWriter) -> Result<()> {
        self.check_all_sent()?;
        let field = |name: &str| Field::new(name, DataType::Int64, false);
        let schema = Arc::new(Schema::new(vec![field("run"), field("requests")]));
        let column = |number: u64| Arc::new(Int64Array::from(vec![number.cast_signed()])) as _;
        state.put(STATE, RecordBatch::try_new(schema, vec![column(self.run), column(self.requests)])?);
        Ok(())
    }

    fn restore(&mut self, state: &StateReader) -> Result<()> {
        if let Some(records) = state.get(STATE).next() {
            let number = |column: usize| records.column(column).as_primitive::<Int64Type>().value(0).cast_unsigned();
            (self.run, self.requests) = (number(0), number(1));
        }
        Ok(())
    }

    fn finish(&mut self, _: Finish) -> Result<()> {
        self.check_all_sent()
    }
}

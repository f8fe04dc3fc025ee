//! The running part of the `http` source: hands on what the server has taken.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use crossbeam_channel::{Receiver, RecvTimeoutError, never};
use millstream_api::Source;
use millstream_api::error::{Error, Result};
use millstream_api::options::OnBadRow;
use millstream_api::plan::{SourceContext, SourceFactory};
use millstream_api::requests::Requests;
use millstream_api::secret::Secret;
use millstream_api::source::{Door, Next, SourcePart, SourceRows};

use super::Acknowledge;
use super::budget::{Budget, Part};
use super::intake::{Covered, Intake, Stand};
use super::requests::Desk;
use super::rows::{Taken, Wanted};
use super::server::{Limits, Server};
use crate::decode::Decoded;
use crate::decode::schema::{ColumnSpec, flowing};

/// Requests that wait; their bytes are bounded by `buffer`, so this only bounds how many small ones there can be.
const QUEUE_REQUESTS: usize = 1024;

/// Makes the listener.
pub(super) struct HttpFactory {
    pub(super) listen: SocketAddr,
    pub(super) path: String,
    pub(super) token: Option<Secret>,
    pub(super) acknowledge: Acknowledge,
    pub(super) limits: Limits,
    pub(super) columns: Vec<ColumnSpec>,
    pub(super) on_bad_row: OnBadRow,
}

impl SourceFactory for HttpFactory {
    fn splits(&self) -> Result<Vec<String>> {
        Ok(vec!["requests".to_owned()])
    }

    fn acknowledges(&self) -> bool {
        self.acknowledge == Acknowledge::Checkpoint
    }

    fn make(&self, context: &SourceContext) -> Result<Box<dyn Source>> {
        Ok(Box::new(self.listen(context, QUEUE_REQUESTS)?))
    }
}

impl HttpFactory {
    /// A source that listens, with a queue of this many requests.
    pub(super) fn listen(&self, context: &SourceContext, queue_requests: usize) -> Result<HttpSource> {
        let shape = context.outputs.first().ok_or_else(|| Error::internal("a source without an output"))?;
        let stand = context.positions.first().map(|(_, position)| Stand::read(position)).transpose()?.unwrap_or_default();
        let (intake, taken) = Intake::new(queue_requests, self.limits.connections);
        let intake = Arc::new(intake);
        let wanted = Wanted {
            columns: flowing(&self.columns, &shape.schema)?,
            batch_rows: context.batch_rows,
            on_bad_row: self.on_bad_row,
            body_bytes: self.limits.body_bytes,
        };
        let desk = Desk {
            node: context.node.clone(),
            path: self.path.clone(),
            token: self.token.clone(),
            acknowledge: self.acknowledge,
            timeout: self.limits.timeout,
            wanted: Arc::new(wanted),
            budget: Budget::new(self.limits.buffer_bytes),
            intake: intake.clone(),
            requests: Default::default(),
            noted: Default::default(),
        };
        let noted = desk.noted.clone();
        let server = Server::start(self.listen, desk, self.limits)?;
        tracing::info!(target: "millstream::listening", "`{}` takes rows at http://{}{}", context.node, server.address(), self.path);
        Ok(HttpSource { node: context.node.clone(), intake, taken, request: Request::default(), stand, noted, server: Some(server) })
    }
}

/// Hands on the rows of requests.
pub(super) struct HttpSource {
    node: String,
    intake: Arc<Intake>,
    taken: Receiver<Taken>,
    request: Request,
    stand: Stand,
    /// How requests were answered.
    noted: Requests,
    /// Gone when this is being dropped.
    server: Option<Server>,
}

/// The request whose rows are being handed on.
#[derive(Default)]
struct Request {
    /// What it is called in the places of its rows.
    name: String,
    /// What is left of it.
    batches: VecDeque<Decoded>,
    #[expect(dead_code, reason = "it sets memory aside until it is dropped")]
    part: Option<Part>,
    /// Who waits for a checkpoint that covers it.
    covered: Option<Covered>,
}

impl HttpSource {
    /// Where it listens.
    #[cfg(test)]
    pub(super) fn address(&self) -> SocketAddr {
        self.server.as_ref().unwrap().address()
    }

    fn rows_of(&mut self, batch: Decoded) -> SourceRows {
        let Decoded { records, bad, .. } = batch;
        let first_row = self.stand.rows;
        self.stand.rows += records.num_rows() as i64;
        if self.request.batches.is_empty() {
            self.stand.requests += 1;
            if let Some(covered) = self.request.covered.take() {
                self.intake.handed_on(self.stand.requests, covered);
            }
        }
        SourceRows {
            split: 0,
            parts: vec![SourcePart { output: 0, records, first_row, weights: None }],
            bad: bad.into_iter().map(|bad| bad.placed(&self.request.name, 1)).collect(),
            position: self.stand.position(),
        }
    }
}

impl Source for HttpSource {
    fn next(&mut self, wait: Duration) -> Result<Next> {
        loop {
            if let Some(batch) = self.request.batches.pop_front() {
                return Ok(Next::Rows(self.rows_of(batch)));
            }
            self.request = Request::default();
            match self.taken.recv_timeout(wait) {
                Ok(Taken { name, batches, part, covered }) => {
                    self.request = Request { name, batches: batches.into(), part: Some(part), covered };
                }
                Err(RecvTimeoutError::Timeout) if self.server.as_ref().is_some_and(Server::has_ended) => {
                    return Err(Error::internal("the listener has ended"));
                }
                Err(RecvTimeoutError::Timeout) => return Ok(Next::Nothing),
                Err(RecvTimeoutError::Disconnected) => {
                    self.taken = never();
                    return Ok(Next::Closed);
                }
            }
        }
    }

    fn requests(&self) -> Option<Requests> {
        Some(self.noted.clone())
    }

    fn door(&self) -> Option<Arc<dyn Door>> {
        Some(self.intake.clone())
    }
}

impl Drop for HttpSource {
    /// Rows whose senders believe them taken must not be gone without a word. Who waits for a checkpoint is told that none comes,
    /// before the listener ends.
    fn drop(&mut self) {
        let waits = self.request.covered.take().is_some();
        let waiting = self.request.batches.drain(..).map(|batch| batch.records.num_rows() + batch.bad.len()).sum::<usize>();
        self.intake.give_up();
        let queued = self.taken.try_iter().filter(|taken| taken.covered.is_none());
        let queued: usize = queued.map(|taken| taken.counts()).map(|(good, bad)| good + bad).sum();
        let lost = queued + if waits { 0 } else { waiting };
        if lost > 0 {
            tracing::warn!("`{}`: {lost} rows that were taken from senders had not come further", self.node);
        }
        drop(self.server.take());
    }
}

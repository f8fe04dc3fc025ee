//! The running part of the `http` source: hands on what the server has taken.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use crossbeam_channel::{Receiver, RecvTimeoutError, bounded};
use millstream_api::Source;
use millstream_api::error::{Error, ErrorKind, Result};
use millstream_api::options::OnBadRow;
use millstream_api::plan::{SourceContext, SourceFactory};
use millstream_api::secret::Secret;
use millstream_api::source::{Next, Position, SourcePart, SourceRows};

use super::budget::{Budget, Part};
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
    pub(super) limits: Limits,
    pub(super) columns: Vec<ColumnSpec>,
    pub(super) on_bad_row: OnBadRow,
}

impl SourceFactory for HttpFactory {
    fn splits(&self) -> Result<Vec<String>> {
        Ok(vec!["requests".to_owned()])
    }

    fn make(&self, context: &SourceContext) -> Result<Box<dyn Source>> {
        Ok(Box::new(self.listen(context, QUEUE_REQUESTS)?))
    }
}

impl HttpFactory {
    /// A source that listens, with a queue of this many requests.
    pub(super) fn listen(&self, context: &SourceContext, queue_requests: usize) -> Result<HttpSource> {
        let shape = context.outputs.first().ok_or_else(|| Error::internal("a source without an output"))?;
        let rows = match context.positions.first() {
            Some((_, Position(text))) => {
                text.parse().map_err(|_| Error::new(ErrorKind::State, format!("`{text}` is no position of an http source")))?
            }
            None => 0,
        };
        let (sender, taken) = bounded(queue_requests);
        let budget = Budget::new(self.limits.buffer_bytes);
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
            timeout: self.limits.timeout,
            wanted: Arc::new(wanted),
            budget: budget.clone(),
            taken: sender,
            requests: Default::default(),
        };
        let server = Server::start(self.listen, desk, self.limits)?;
        tracing::info!(target: "millstream::listening", "`{}` takes rows at http://{}{}", context.node, server.address(), self.path);
        Ok(HttpSource { node: context.node.clone(), taken, pending: VecDeque::new(), part: None, rows, server: Some(server) })
    }
}

/// Hands on the rows of requests.
pub(super) struct HttpSource {
    node: String,
    taken: Receiver<Taken>,
    /// Batches of the request that came last.
    pending: VecDeque<Decoded>,
    /// The memory that is set aside for them.
    part: Option<Part>,
    /// Good rows so far.
    rows: i64,
    /// Gone when this is being dropped.
    server: Option<Server>,
}

impl HttpSource {
    /// Where it listens.
    #[cfg(test)]
    pub(super) fn address(&self) -> SocketAddr {
        self.server.as_ref().unwrap().address()
    }
}

impl Source for HttpSource {
    fn next(&mut self, wait: Duration) -> Result<Next> {
        loop {
            if let Some(Decoded { records, bad, .. }) = self.pending.pop_front() {
                let first_row = self.rows;
                self.rows += records.num_rows() as i64;
                let parts = vec![SourcePart { output: 0, records, first_row, weights: None }];
                return Ok(Next::Rows(SourceRows { split: 0, parts, bad, position: Position(self.rows.to_string()) }));
            }
            self.part = None;
            match self.taken.recv_timeout(wait) {
                Ok(Taken { batches, part }) => {
                    self.pending.extend(batches);
                    self.part = Some(part);
                }
                Err(RecvTimeoutError::Timeout) => return Ok(Next::Nothing),
                Err(RecvTimeoutError::Disconnected) => return Err(Error::internal("the listener has ended")),
            }
        }
    }
}

impl Drop for HttpSource {
    /// Rows whose senders believe them taken must not be gone without a word.
    fn drop(&mut self) {
        drop(self.server.take());
        let waiting = self.pending.drain(..).map(|batch| batch.records.num_rows() + batch.bad.len()).sum::<usize>();
        let queued: usize = self.taken.try_iter().map(|taken| taken.counts()).map(|(good, bad)| good + bad).sum();
        if waiting + queued > 0 {
            tracing::warn!("`{}`: {} rows that were taken from senders had not come further", self.node, waiting + queued);
        }
    }
}

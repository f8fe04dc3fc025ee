//! What each request is answered.

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use http_body_util::{BodyExt, Full};
use hyper::body::{Body, Bytes, Incoming};
use hyper::header::{
    ALLOW, AUTHORIZATION, CONNECTION, CONTENT_ENCODING, CONTENT_TYPE, HeaderMap, HeaderValue, RETRY_AFTER, WWW_AUTHENTICATE,
};
use hyper::{Method, Request, Response, StatusCode};
use millstream_api::requests::Requests;
use millstream_api::secret::Secret;
use serde_json::{Value, json};
use tokio::sync::oneshot;

use super::Acknowledge;
use super::budget::{Budget, Part};
use super::intake::{Intake, Refused};
use super::rows::{Packing, Taken, Unfit, Wanted};
use crate::decode::BadRecord;

/// Seconds after which a request that was put off may be tried again.
const RETRY_AFTER_SECONDS: &str = "1";

/// Bad rows that an answer names; it says how many there are in all.
const NAMED_ROWS: usize = 20;

/// What all connections share.
pub(super) struct Desk {
    pub(super) node: String,
    pub(super) path: String,
    pub(super) token: Option<Secret>,
    pub(super) acknowledge: Acknowledge,
    pub(super) timeout: Duration,
    pub(super) wanted: Arc<Wanted>,
    pub(super) budget: Budget,
    /// Where rows go on to the source.
    pub(super) intake: Arc<Intake>,
    /// Requests so far: each has a number, by which its rows are named.
    pub(super) requests: AtomicU64,
    /// How they were answered.
    pub(super) noted: Requests,
}

pub(super) type Answer = Response<Full<Bytes>>;

/// A status and what the body says.
struct Refusal {
    status: StatusCode,
    body: Value,
    headers: Vec<(hyper::header::HeaderName, &'static str)>,
}

impl Refusal {
    fn new(status: StatusCode, message: impl Into<String>) -> Self {
        Refusal { status, body: json!({ "error": message.into() }), headers: Vec::new() }
    }

    fn with(mut self, name: hyper::header::HeaderName, value: &'static str) -> Self {
        self.headers.push((name, value));
        self
    }
}

impl Desk {
    /// Answers a request.
    pub(super) async fn answer(&self, request: Request<Incoming>) -> Result<Answer, Infallible> {
        let answer = match self.take(request).await {
            Ok((good, 0)) => response(StatusCode::OK, &json!({ "rows": good }), Vec::new()),
            Ok((good, bad)) => response(StatusCode::OK, &json!({ "rows": good, "bad_rows": bad }), Vec::new()),
            Err(refusal) => response(refusal.status, &refusal.body, refusal.headers),
        };
        self.noted.answered(Some(answer.status().as_u16()));
        Ok(answer)
    }

    /// Takes the rows of a request: how many are good, and how many bad.
    async fn take(&self, request: Request<Incoming>) -> Result<(usize, usize), Refusal> {
        self.check(&request)?;
        let packing = self.packing(request.headers())?;
        if request.body().size_hint().lower() > self.wanted.body_bytes as u64 {
            return Err(self.too_large());
        }
        let reading = tokio::time::timeout(self.timeout, self.read(request.into_body()));
        let late = |_| {
            let message = format!("the request was not here within {} s", self.timeout.as_secs_f64());
            Refusal::new(StatusCode::REQUEST_TIMEOUT, message).with(CONNECTION, "close")
        };
        let (body, part) = reading.await.map_err(late)??;
        let number = self.requests.fetch_add(1, Ordering::Relaxed) + 1;
        let (wanted, name) = (self.wanted.clone(), format!("{} request {number}", self.node));
        // Not on the thread of the connections: a large body would keep the others waiting.
        let decoding = tokio::task::spawn_blocking(move || wanted.rows(name, body, packing, part));
        let taken = match decoding.await {
            Ok(Ok(taken)) => taken,
            Ok(Err(unfit)) => return Err(self.unfit(unfit)),
            Err(_) => return Err(Refusal::new(StatusCode::INTERNAL_SERVER_ERROR, "the rows could not be decoded")),
        };
        self.hand_on(taken).await
    }

    /// Gives rows to the source, and waits until they are as safe as the answer will say.
    async fn hand_on(&self, mut taken: Taken) -> Result<(usize, usize), Refusal> {
        let counts = taken.counts();
        if counts == (0, 0) {
            return Ok(counts);
        }
        let mut answered = None;
        if self.acknowledge == Acknowledge::Checkpoint {
            let (covered, is_covered) = oneshot::channel();
            (taken.covered, answered) = (Some(covered), Some(is_covered));
        }
        self.intake.put(taken).map_err(|refused| match refused {
            Refused::Full => self.busy(),
            Refused::Closed => over("the run is stopping; nothing of this request was taken, send it again later"),
        })?;
        match answered {
            Some(answered) => {
                let lost = |_| over("the run has ended before a checkpoint covered these rows; send them again");
                answered.await.map(|()| counts).map_err(lost)
            }
            None => Ok(counts),
        }
    }

    fn check(&self, request: &Request<Incoming>) -> Result<(), Refusal> {
        if !self.may(request.headers()) {
            return Err(Refusal::new(StatusCode::UNAUTHORIZED, "this needs a token: send the header `Authorization: Bearer TOKEN`")
                .with(WWW_AUTHENTICATE, "Bearer"));
        }
        if request.uri().path() != self.path {
            return Err(Refusal::new(StatusCode::NOT_FOUND, format!("rows are posted to {}", self.path)));
        }
        if request.method() != Method::POST {
            return Err(Refusal::new(StatusCode::METHOD_NOT_ALLOWED, "rows are posted: use POST").with(ALLOW, "POST"));
        }
        Ok(())
    }

    fn may(&self, headers: &HeaderMap) -> bool {
        let Some(token) = &self.token else { return true };
        let given = headers.get(AUTHORIZATION).and_then(|value| value.as_bytes().split_at_checked("Bearer ".len()));
        given.is_some_and(|(scheme, given)| scheme.eq_ignore_ascii_case(b"bearer ") && token.is(given))
    }

    fn packing(&self, headers: &HeaderMap) -> Result<Packing, Refusal> {
        let name = headers.get(CONTENT_ENCODING).map(|value| value.to_str().unwrap_or("?"));
        Packing::named(name).ok_or_else(|| {
            Refusal::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "the body can be sent plain, as gzip or as zstd (Content-Encoding)")
        })
    }

    /// The whole body, with memory set aside for it while it comes.
    async fn read(&self, mut body: Incoming) -> Result<(Vec<u8>, Part), Refusal> {
        let mut part = self.budget.part();
        let mut bytes = Vec::new();
        while let Some(frame) = body.frame().await {
            let broken = |_| Refusal::new(StatusCode::BAD_REQUEST, "the body ended early");
            let Ok(data) = frame.map_err(broken)?.into_data() else { continue };
            if bytes.len() + data.len() > self.wanted.body_bytes {
                return Err(self.too_large());
            }
            if !part.grow(data.len()) {
                return Err(self.busy().with(CONNECTION, "close"));
            }
            bytes.extend_from_slice(&data);
        }
        Ok((bytes, part))
    }

    fn too_large(&self) -> Refusal {
        let message = format!("a body can have {} bytes at most; send the rows in several requests", self.wanted.body_bytes);
        Refusal::new(StatusCode::PAYLOAD_TOO_LARGE, message).with(CONNECTION, "close")
    }

    fn busy(&self) -> Refusal {
        Refusal::new(StatusCode::TOO_MANY_REQUESTS, "the topology does not keep up; nothing of this request was taken, send it again later")
            .with(RETRY_AFTER, RETRY_AFTER_SECONDS)
    }

    fn unfit(&self, unfit: Unfit) -> Refusal {
        match unfit {
            Unfit::Packing(cause) => Refusal::new(StatusCode::BAD_REQUEST, format!("the body cannot be unpacked: {cause}")),
            Unfit::TooLarge => self.too_large(),
            Unfit::NoRoom => self.busy(),
            Unfit::Bad(bad) => {
                self.noted.refused(bad.len() as u64);
                Refusal { body: bad_rows(&bad), ..Refusal::new(StatusCode::BAD_REQUEST, "") }
            }
            Unfit::Failed(error) => Refusal::new(StatusCode::INTERNAL_SERVER_ERROR, error.to_string()),
        }
    }
}

/// The answer to a request that another run may take.
fn over(message: &str) -> Refusal {
    Refusal::new(StatusCode::SERVICE_UNAVAILABLE, message).with(RETRY_AFTER, RETRY_AFTER_SECONDS).with(CONNECTION, "close")
}

/// The answer to a request that is refused because of these rows.
fn bad_rows(bad: &[BadRecord]) -> Value {
    let named: Vec<Value> = bad.iter().take(NAMED_ROWS).map(|row| json!({ "line": 1 + row.line, "reason": row.reason })).collect();
    let what = if bad.len() == 1 { "a row is bad".to_owned() } else { format!("{} rows are bad", bad.len()) };
    json!({ "error": format!("{what}; nothing of this request was taken"), "bad_rows": named })
}

fn response(status: StatusCode, body: &Value, headers: Vec<(hyper::header::HeaderName, &'static str)>) -> Answer {
    let mut response = Response::new(Full::new(Bytes::from(format!("{body}\n"))));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    for (name, value) in headers {
        response.headers_mut().insert(name, HeaderValue::from_static(value));
    }
    response
}

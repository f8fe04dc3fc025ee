//! Sends requests, each until it was taken.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::time::Duration;

use millstream_api::error::{ErrorKind, shortened};
use millstream_api::requests::Requests;
use millstream_api::secret::Secret;
use millstream_api::{Diagnostic, Diagnostics, Error, Result};
use ureq::Agent;
use ureq::http::header::{AUTHORIZATION, CONTENT_TYPE, RETRY_AFTER};
use ureq::http::{HeaderMap, HeaderName, HeaderValue, Response, StatusCode, Uri};

use super::retries::{Patience, Retries};
use super::{Compression, random};

/// Headers that the sink sets itself.
const OWN_HEADERS: [&str; 6] = ["content-length", "transfer-encoding", "content-encoding", "host", "connection", "idempotency-key"];

/// Bytes of an answer that are read: enough for a message.
const ANSWER_BYTES: u64 = 16 << 10;

/// The longest part of a pause in which nobody can end the run.
const PAUSE_AT_ONCE: Duration = Duration::from_millis(100);

/// Where requests go, with their headers.
#[derive(Clone)]
pub(super) struct Target {
    uri: Uri,
    headers: HeaderMap,
}

impl Target {
    /// Checks what the user has written.
    ///
    /// # Errors
    /// Everything that is wrong with it.
    pub(super) fn new(url: &str, token: Option<&Secret>, headers: &BTreeMap<String, Secret>) -> Result<Self, Diagnostics> {
        let mut found = Diagnostics::default();
        let uri = found.ok(parse_url(url));
        let mut all = HeaderMap::new();
        all.insert(CONTENT_TYPE, HeaderValue::from_static("application/x-ndjson"));
        for (name, value) in headers {
            if let Some((name, value)) = found.ok(header(name, value)) {
                all.insert(name, value);
            }
        }
        if let Some(token) = token {
            if all.contains_key(AUTHORIZATION) {
                let message = "`token` is sent as `Authorization`, which is among `headers` too";
                found.push(Diagnostic::error("duplicate-name", message).key("token").on_key().help("leave one of them out"));
            }
            match sensitive(&format!("Bearer {}", token.expose())) {
                Some(value) => drop(all.insert(AUTHORIZATION, value)),
                None => found.push(not_a_value("token").key("token")),
            }
        }
        match uri {
            Some(uri) => found.into_result(Target { uri, headers: all }),
            None => Err(found),
        }
    }
}

fn parse_url(url: &str) -> Result<Uri, Diagnostic> {
    let wrong = |message: String, help: &str| Diagnostic::error("bad-value", message).key("url").help(help);
    let example = "write it like \"https://alerts.example.org/ingest\"";
    let uri: Uri = url.parse().map_err(|cause| wrong(format!("this is not a URL: {cause}"), example))?;
    let Some(authority) = uri.authority().filter(|_| matches!(uri.scheme_str(), Some("http" | "https"))) else {
        return Err(wrong("this is not the URL of a service".to_owned(), example));
    };
    if authority.as_str().contains('@') {
        return Err(wrong("a password does not belong into a URL".to_owned(), "use `token`, or the header Authorization in `headers`"));
    }
    Ok(uri)
}

fn header(name: &str, value: &Secret) -> Result<(HeaderName, HeaderValue), Diagnostic> {
    let at = |diagnostic: Diagnostic| diagnostic.key("headers").key(name);
    let parsed: HeaderName = name.parse().map_err(|_| {
        at(Diagnostic::error("bad-name", format!("`{name}` cannot be the name of a header"))
            .on_key()
            .help("it has letters, digits and `-`"))
    })?;
    if OWN_HEADERS.contains(&parsed.as_str()) {
        let message = format!("`{name}` is set by the sink itself");
        return Err(at(Diagnostic::error("bad-value", message).on_key().help("leave it out")));
    }
    let value = sensitive(value.expose()).ok_or_else(|| at(not_a_value(name)))?;
    Ok((parsed, value))
}

fn not_a_value(name: &str) -> Diagnostic {
    Diagnostic::error("bad-value", format!("what `{name}` says cannot be sent in a header"))
        .help("it must be ASCII without line ends; a file with a secret may end with one too many")
}

/// A value that no log shows.
fn sensitive(text: &str) -> Option<HeaderValue> {
    let mut value = HeaderValue::from_str(text).ok().filter(|value| value.to_str().is_ok())?;
    value.set_sensitive(true);
    Some(value)
}

/// Sends requests to one target.
pub(super) struct Client {
    agent: Agent,
    target: Target,
    compression: Compression,
    timeout: Duration,
    patience: Patience,
    requests: Requests,
}

/// What is sent until it is taken.
pub(super) struct Request {
    key: String,
    packed: Vec<u8>,
    retries: Retries,
    /// What is left of the pause before the next attempt.
    pause: Duration,
}

/// Why an attempt failed.
struct Failure {
    /// As a sentence: `the answer was 503 Service Unavailable: …`.
    said: String,
    hope: Hope,
    /// The pause that the service asks for.
    asked: Option<Duration>,
}

/// What can come of sending a request again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Hope {
    /// It may be taken.
    MayPass,
    /// It will not be: the service does not want these rows.
    OtherRows,
    /// No request will be: the service, its address or what is said to it is another than the file says.
    None,
}

/// How an attempt went.
#[derive(Debug)]
pub(super) enum Attempt {
    /// The request was taken.
    Taken,
    /// It was not, and is to be sent again.
    Again,
    /// The service does not want these rows and says why, as a sentence.
    Unwanted(String),
}

impl Client {
    pub(super) fn new(target: Target, compression: Compression, timeout: Duration, patience: Patience) -> Self {
        let config = Agent::config_builder()
            .http_status_as_error(false)
            // A redirected POST would come as a GET, or to somebody who must not have the token.
            .max_redirects(0)
            .timeout_global(Some(timeout))
            .user_agent("millstream")
            .proxy(None)
            .build();
        Client { agent: config.new_agent(), target, compression, timeout, patience, requests: Requests::default() }
    }

    /// A request with this body, not yet sent.
    ///
    /// # Errors
    /// Only internal ones.
    pub(super) fn request(&self, key: String, body: &[u8]) -> Result<Request> {
        Ok(Request { key, packed: self.packed(body)?, retries: Retries::new(self.patience, random()), pause: Duration::ZERO })
    }

    /// Sends a request once, or waits a part of the pause before the next attempt: to be called as long as it is to be sent
    /// again.
    ///
    /// # Errors
    /// When it was sent as often as it may be, or the service would take no other request either.
    pub(super) fn go_on(&self, request: &mut Request) -> Result<Attempt> {
        if !request.pause.is_zero() {
            let part = request.pause.min(PAUSE_AT_ONCE);
            std::thread::sleep(part);
            request.pause -= part;
            return Ok(Attempt::Again);
        }
        let Err(failure) = self.attempt(&request.key, &request.packed) else {
            self.requests.settled();
            return Ok(Attempt::Taken);
        };
        match failure.hope {
            Hope::MayPass => {}
            Hope::OtherRows => {
                self.requests.settled();
                return Ok(Attempt::Unwanted(failure.said));
            }
            Hope::None => return Err(self.refused(&failure.said)),
        }
        let Some(pause) = request.retries.pause(failure.asked) else {
            return Err(self.given_up(&failure.said, request.retries.failed()));
        };
        let (failed, attempts) = (request.retries.failed(), self.patience.attempts);
        self.requests.waits(&self.target.uri.to_string(), failed, attempts, &failure.said);
        let seconds = pause.as_secs_f64();
        tracing::warn!("attempt {failed} of {attempts} to POST {} failed, next one in {seconds:.1} s: {}", self.target.uri, failure.said);
        request.pause = pause;
        Ok(Attempt::Again)
    }

    fn packed(&self, body: &[u8]) -> Result<Vec<u8>> {
        match self.compression {
            Compression::None => Ok(body.to_vec()),
            Compression::Gzip => {
                let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
                encoder.write_all(body).and_then(|()| encoder.finish()).map_err(Error::internal)
            }
        }
    }

    fn attempt(&self, key: &str, body: &[u8]) -> Result<(), Failure> {
        let mut request = self.agent.post(&self.target.uri).header("idempotency-key", key);
        for (name, value) in &self.target.headers {
            request = request.header(name, value);
        }
        if self.compression == Compression::Gzip {
            request = request.header("content-encoding", "gzip");
        }
        match request.send(body) {
            Ok(mut response) => {
                self.requests.answered(Some(response.status().as_u16()));
                // Read in any case, so that the connection can be used again.
                let mut said = Vec::new();
                let _ = response.body_mut().as_reader().take(ANSWER_BYTES).read_to_end(&mut said);
                let said = String::from_utf8_lossy(&said);
                if response.status().is_success() { Ok(()) } else { Err(answered(&response, &said)) }
            }
            Err(cause) => {
                self.requests.answered(None);
                Err(Failure { hope: without_answer(&cause), said: self.told(&cause), asked: None })
            }
        }
    }

    /// What is said of an attempt that got no answer.
    fn told(&self, cause: &ureq::Error) -> String {
        match cause {
            ureq::Error::Timeout(_) => format!("there was no answer within `timeout` = \"{:?}\"", self.timeout),
            other => other.to_string(),
        }
    }

    fn refused(&self, said: &str) -> Error {
        Error::new(ErrorKind::Refused, format!("POST {} was refused: {said}", self.target.uri))
            .help("to send it again would not help: see what the service expects, and `url`, `token` and `headers`")
    }

    /// The failure of a run whose rows a service does not want.
    pub(super) fn unwanted(&self, rows: usize, first: &str, said: &str) -> Error {
        let these = if rows == 1 { "a row".to_owned() } else { format!("{rows} rows, from this one on,") };
        let message = format!("{these} would be refused by {} for ever: {said}: {}", self.target.uri, shortened(first));
        Error::new(ErrorKind::BadRow, message)
            .help("on_bad_row = \"skip\" leaves the rows of such a request out, and `max_rows` = 1 sends each row alone")
    }

    /// Where it notes how requests went.
    pub(super) fn requests(&self) -> &Requests {
        &self.requests
    }

    /// Where requests go.
    pub(super) fn uri(&self) -> &Uri {
        &self.target.uri
    }

    fn given_up(&self, said: &str, attempts: usize) -> Error {
        let times = if attempts == 1 { "once".to_owned() } else { format!("{attempts} times") };
        Error::io(format!("POST {} failed {times}", self.target.uri), said)
            .help("is the service up, and is the URL right? `attempts` and `max_pause` say how long it is tried")
    }
}

/// What an answer says that is no success.
fn answered<B>(response: &Response<B>, said: &str) -> Failure {
    let status = response.status();
    let asked = response.headers().get(RETRY_AFTER).and_then(|value| value.to_str().ok()?.trim().parse().ok()).map(Duration::from_secs);
    let said = said.trim();
    let text = if said.is_empty() { String::new() } else { format!(": {}", shortened(said)) };
    Failure { said: format!("the answer was {status}{text}"), hope: after(status), asked }
}

/// What a status leaves to hope for. Only those that speak of the body are about rows: to leave rows out because a token has expired
/// would be to lose them.
fn after(status: StatusCode) -> Hope {
    match status {
        StatusCode::REQUEST_TIMEOUT | StatusCode::TOO_EARLY | StatusCode::TOO_MANY_REQUESTS => Hope::MayPass,
        StatusCode::BAD_REQUEST | StatusCode::CONFLICT | StatusCode::PAYLOAD_TOO_LARGE | StatusCode::UNPROCESSABLE_ENTITY => {
            Hope::OtherRows
        }
        status if status.is_server_error() => Hope::MayPass,
        _ => Hope::None,
    }
}

/// What a failure without an answer leaves to hope for: a certificate that is wrong stays so.
fn without_answer(cause: &ureq::Error) -> Hope {
    match cause {
        ureq::Error::Io(cause) if cause.kind() == std::io::ErrorKind::InvalidData => Hope::None,
        ureq::Error::BadUri(_) | ureq::Error::Http(_) | ureq::Error::Tls(_) | ureq::Error::Rustls(_) => Hope::None,
        _ => Hope::MayPass,
    }
}

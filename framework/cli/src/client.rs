//! Asking a running topology over HTTP.

use std::io::{BufRead, BufReader};
use std::time::Duration;

use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::args::Remote;
use crate::console::Trouble;

/// How long a server may take to answer.
const TIMEOUT: Duration = Duration::from_secs(10);

/// An answer is never longer than this.
const MOST_BYTES: u64 = 64 << 20;

/// A running topology.
pub struct Client {
    agent: ureq::Agent,
    /// Without a slash at the end.
    url: String,
    token: Option<String>,
}

/// Whether this names a running topology, and no file.
pub fn is_url(text: &str) -> bool {
    text.starts_with("http://") || text.starts_with("https://")
}

impl Client {
    /// The topology at this address.
    ///
    /// # Errors
    /// When it is no address.
    pub fn new(url: &str, remote: &Remote) -> Result<Client, Box<Trouble>> {
        if !is_url(url) {
            return Err(Box::new(Trouble::new(format!("`{url}` is no address"), Some("write it like http://127.0.0.1:8080"))));
        }
        let config =
            ureq::Agent::config_builder().http_status_as_error(false).timeout_connect(Some(TIMEOUT)).timeout_recv_response(Some(TIMEOUT));
        let token = remote.token.clone().filter(|token| !token.is_empty());
        Ok(Client { agent: config.build().new_agent(), url: url.trim_end_matches('/').to_owned(), token })
    }

    /// What is at a path, as a value of this type.
    ///
    /// # Errors
    /// When nobody answers, or the answer is a refusal or something else.
    pub fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T, Box<Trouble>> {
        self.value(self.answer(path)?)
    }

    /// What comes of posting nothing to a path. Waits as long as it takes.
    ///
    /// # Errors
    /// As [`get`](Client::get).
    pub fn post<T: DeserializeOwned>(&self, path: &str) -> Result<T, Box<Trouble>> {
        let request = self.with_token(self.agent.post(format!("{}{path}", self.url)));
        let waiting = request.config().timeout_recv_response(None).build();
        self.value(self.accepted(waiting.send_empty())?)
    }

    fn value<T: DeserializeOwned>(&self, mut answer: ureq::http::Response<ureq::Body>) -> Result<T, Box<Trouble>> {
        let text = answer.body_mut().with_config().limit(MOST_BYTES).read_to_string();
        let parsed =
            text.map_err(|cause| cause.to_string()).and_then(|text| serde_json::from_str(&text).map_err(|cause| cause.to_string()));
        parsed.map_err(|cause| self.strange(&cause))
    }

    /// The lines at a path, as they come.
    ///
    /// # Errors
    /// When nobody answers, or the answer is a refusal.
    pub fn lines(&self, path: &str) -> Result<impl BufRead + use<>, Box<Trouble>> {
        Ok(BufReader::new(self.answer(path)?.into_body().into_reader()))
    }

    fn answer(&self, path: &str) -> Result<ureq::http::Response<ureq::Body>, Box<Trouble>> {
        self.accepted(self.with_token(self.agent.get(format!("{}{path}", self.url))).call())
    }

    fn with_token<B>(&self, request: ureq::RequestBuilder<B>) -> ureq::RequestBuilder<B> {
        match &self.token {
            Some(token) => request.header("Authorization", format!("Bearer {token}")),
            None => request,
        }
    }

    /// An answer that is no refusal.
    fn accepted(
        &self,
        answer: Result<ureq::http::Response<ureq::Body>, ureq::Error>,
    ) -> Result<ureq::http::Response<ureq::Body>, Box<Trouble>> {
        let mut answer = answer.map_err(|cause| {
            let help = "is the topology running, with listen = … in [server]?";
            Box::new(Trouble::new(format!("cannot ask {}: {cause}", self.url), Some(help)))
        })?;
        if answer.status().is_success() {
            return Ok(answer);
        }
        let body = answer.body_mut().with_config().limit(MOST_BYTES).read_to_string().unwrap_or_default();
        Err(self.refused(answer.status().as_u16(), &body))
    }

    fn refused(&self, status: u16, body: &str) -> Box<Trouble> {
        let error = serde_json::from_str::<Value>(body).map(|body| body["error"].clone()).unwrap_or_default();
        let help = match status {
            401 => Some("give the token of [server] with --token or in MILLSTREAM_TOKEN"),
            _ => error["help"].as_str(),
        };
        match error["message"].as_str() {
            Some(message) => Box::new(Trouble::new(format!("{}: {message}", self.url), help)),
            None => self.strange(&format!("it says {status}")),
        }
    }

    fn strange(&self, cause: &str) -> Box<Trouble> {
        let message = format!("{} does not answer as a running topology does: {cause}", self.url);
        Box::new(Trouble::new(message, Some("is it the address of [server]?")))
    }
}

/// A part of a path or query.
pub fn encoded(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => out.push(char::from(byte)),
            other => out.push_str(&format!("%{other:02X}")),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_special_in_a_query_is_encoded() {
        assert_eq!(encoded("a > 'ü' & b%"), "a%20%3E%20%27%C3%BC%27%20%26%20b%25");
        assert_eq!(encoded("delays.late_1-x~"), "delays.late_1-x~");
    }

    #[test]
    fn a_file_is_no_address() {
        assert!(is_url("http://127.0.0.1:8080") && is_url("https://x/"));
        assert!(!is_url("http.toml") && !is_url("topology.toml"));
    }
}

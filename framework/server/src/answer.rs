//! Small JSON answers, and refusals that say what would be right.

use actix_web::http::{StatusCode, header};
use actix_web::{HttpResponse, HttpResponseBuilder};
use millstream_api::error::{Error, ErrorKind};
use millstream_expr::ExprError;
use serde_json::{Value, json};

/// A refusal: `{"error": {"code": …, "message": …, "at": …, "help": …}}`.
#[derive(Clone, Debug)]
pub struct Refusal {
    /// The HTTP status.
    pub status: StatusCode,
    /// A stable name.
    pub code: &'static str,
    /// What was found.
    pub message: String,
    /// Which part of which parameter is meant.
    pub at: Option<Box<Value>>,
    /// What would be right.
    pub help: Option<String>,
}

impl Refusal {
    /// A refusal without help.
    pub fn new(status: StatusCode, code: &'static str, message: impl Into<String>) -> Self {
        Refusal { status, code, message: message.into(), at: None, help: None }
    }

    /// What is asked for may be there in a moment.
    pub fn starting() -> Self {
        let refusal = Refusal::new(StatusCode::SERVICE_UNAVAILABLE, "starting", "the topology is still being made");
        refusal.help("try again in a moment; /ready says when rows flow")
    }

    /// A parameter that cannot be meant.
    pub fn bad_query(message: impl Into<String>) -> Self {
        Refusal::new(StatusCode::BAD_REQUEST, "bad-query", message)
    }

    /// A mistake in the expression that is the value of a parameter. Places count characters.
    pub fn expression(parameter: &str, text: &str, error: ExprError) -> Self {
        let characters = |bytes: usize| text.get(..bytes).unwrap_or(text).chars().count();
        let span = error.span.unwrap_or(0..text.len());
        let at = json!({ "parameter": parameter, "text": text, "start": characters(span.start), "end": characters(span.end) });
        let refusal = Refusal::new(StatusCode::BAD_REQUEST, error.code, error.message);
        Refusal { at: Some(Box::new(at)), help: error.help, ..refusal }
    }

    /// A failure while reading a view. What is not the client's fault is ours, and is logged.
    pub fn failed(error: &Error) -> Self {
        if error.kind() == ErrorKind::Internal {
            tracing::error!(%error, "cannot read a view");
            return Refusal::new(StatusCode::INTERNAL_SERVER_ERROR, "internal", error.to_string());
        }
        let refusal = Refusal::new(StatusCode::BAD_REQUEST, "bad-key", error.to_string());
        Refusal { help: error.help_text().map(str::to_owned), ..refusal }
    }

    /// Says what would be right.
    #[must_use]
    pub fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }

    /// The body of the answer.
    pub fn json(&self) -> Value {
        let mut error = json!({ "code": self.code, "message": self.message });
        if let Some(fields) = error.as_object_mut() {
            fields.extend(self.at.as_deref().map(|at| ("at".to_owned(), at.clone())));
            fields.extend(self.help.clone().map(|help| ("help".to_owned(), Value::String(help))));
        }
        json!({ "error": error })
    }
}

impl From<Refusal> for HttpResponse {
    fn from(refusal: Refusal) -> HttpResponse {
        small(refusal.status, &refusal.json())
    }
}

/// A small JSON answer.
pub fn small(status: StatusCode, body: &Value) -> HttpResponse {
    head(status, "application/json").body(format!("{body}\n"))
}

/// The head of every answer with data: what is served changes with every batch, so nobody may keep it.
pub fn head(status: StatusCode, content_type: &'static str) -> HttpResponseBuilder {
    let mut head = HttpResponse::build(status);
    head.content_type(content_type)
        .insert_header((header::CACHE_CONTROL, "no-store"))
        .insert_header((header::X_CONTENT_TYPE_OPTIONS, "nosniff"));
    head
}

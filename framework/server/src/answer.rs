//! Small JSON answers, and refusals that say what would be right.

use actix_web::http::{StatusCode, header};
use actix_web::{HttpResponse, HttpResponseBuilder};
use serde_json::{Value, json};

/// A refusal: `{"error": {"code": …, "message": …, "help": …}}`.
#[derive(Debug)]
pub struct Refusal {
    /// The HTTP status.
    pub status: StatusCode,
    /// A stable name.
    pub code: &'static str,
    /// What was found.
    pub message: String,
    /// What would be right.
    pub help: Option<String>,
}

impl Refusal {
    /// A refusal without help.
    pub fn new(status: StatusCode, code: &'static str, message: impl Into<String>) -> Self {
        Refusal { status, code, message: message.into(), help: None }
    }

    /// Says what would be right.
    #[must_use]
    pub fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }
}

impl From<Refusal> for HttpResponse {
    fn from(refusal: Refusal) -> HttpResponse {
        let mut error = json!({ "code": refusal.code, "message": refusal.message });
        if let (Some(help), Some(fields)) = (refusal.help, error.as_object_mut()) {
            fields.insert("help".to_owned(), Value::String(help));
        }
        small(refusal.status, &json!({ "error": error }))
    }
}

/// A small JSON answer.
pub fn small(status: StatusCode, body: &Value) -> HttpResponse {
    json_head(status).body(format!("{body}\n"))
}

/// The head of every JSON answer: what is served changes with every batch, so nobody may keep it.
pub fn json_head(status: StatusCode) -> HttpResponseBuilder {
    let mut head = HttpResponse::build(status);
    head.content_type("application/json")
        .insert_header((header::CACHE_CONTROL, "no-store"))
        .insert_header((header::X_CONTENT_TYPE_OPTIONS, "nosniff"));
    head
}

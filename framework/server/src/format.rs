//! In which form rows are sent.

use actix_web::HttpRequest;
use actix_web::http::header::{Accept, Header};
use millstream_api::error::shortened;

use crate::answer::Refusal;

/// The form of an answer with rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// One object with the view, the version and a list of rows.
    Json,
    /// One object a line.
    Ndjson,
    /// A line of names, then a line a row.
    Csv,
}

impl Format {
    /// What `format=` names, else what the client accepts best, else JSON.
    ///
    /// # Errors
    /// A name that is none.
    pub fn of(name: Option<&str>, request: &HttpRequest) -> Result<Format, Refusal> {
        match name {
            None => Ok(Format::accepted(request).unwrap_or(Format::Json)),
            Some("json") => Ok(Format::Json),
            Some("ndjson") => Ok(Format::Ndjson),
            Some("csv") => Ok(Format::Csv),
            Some(other) => {
                Err(Refusal::bad_query(format!("there is no format `{}`", shortened(other))).help("there are: json, ndjson, csv"))
            }
        }
    }

    fn accepted(request: &HttpRequest) -> Option<Format> {
        let accept = Accept::parse(request).ok()?;
        accept.ranked().iter().find_map(|mime| match mime.essence_str() {
            "application/json" | "application/*" | "*/*" => Some(Format::Json),
            "application/x-ndjson" | "application/jsonl" => Some(Format::Ndjson),
            "text/csv" => Some(Format::Csv),
            _ => None,
        })
    }

    /// The media type.
    pub fn content_type(self) -> &'static str {
        match self {
            Format::Json => "application/json",
            Format::Ndjson => "application/x-ndjson",
            Format::Csv => "text/csv; charset=utf-8; header=present",
        }
    }
}

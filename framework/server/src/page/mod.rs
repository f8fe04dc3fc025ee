//! The page at `/`: one static file that shows the nodes and the views of a run. It reads what every client can read, loads nothing
//! from elsewhere, and holds no data itself, so that it needs no token.

use actix_web::HttpResponse;
use actix_web::http::{StatusCode, header};

use crate::answer::head;

const PAGE: &str = include_str!("page.html");

/// What the page may do: its own script and style, requests to this server, and nothing else.
const POLICY: &str = "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; connect-src 'self'; \
     base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// `GET /`.
pub async fn page() -> HttpResponse {
    head(StatusCode::OK, "text/html; charset=utf-8").insert_header((header::CONTENT_SECURITY_POLICY, POLICY)).body(PAGE)
}

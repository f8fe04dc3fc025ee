//! The run itself: how it goes, and why a node gives no rows.

use actix_web::http::StatusCode;
use actix_web::{HttpRequest, HttpResponse, web};
use millstream_runtime::Handle;
use millstream_runtime::why::UnknownNode;
use serde::Serialize;

use crate::answer::{Refusal, head, small};
use crate::query::Query;
use crate::routes::State;

/// `GET /status`: an observation.
pub async fn status(state: web::Data<State>) -> HttpResponse {
    run_of(&state).and_then(|run| json(&run.observe())).unwrap_or_else(HttpResponse::from)
}

/// `GET /why/NODE`: what a node waits for; as text with `format=text`.
pub async fn why(state: web::Data<State>, node: web::Path<String>, request: HttpRequest) -> HttpResponse {
    explained(&state, &node, &request).unwrap_or_else(HttpResponse::from)
}

fn explained(state: &State, node: &str, request: &HttpRequest) -> Result<HttpResponse, Refusal> {
    let format = Query::read(request.query_string(), &["format"])?.format;
    let run = run_of(state)?;
    let why = run.why(node).map_err(|unknown| unknown_node("unknown-node", unknown))?;
    match format.as_deref() {
        None | Some("json") => json(&why),
        Some("text") => Ok(head(StatusCode::OK, "text/plain; charset=utf-8").body(why.text())),
        Some(other) => {
            let refusal = Refusal::bad_query(format!("`format` is `{}`", millstream_api::error::shortened(other)));
            Err(refusal.help("there are: json, text"))
        }
    }
}

/// The run, once there is one.
pub fn run_of(state: &State) -> Result<Handle, Refusal> {
    state.info.runs.run().ok_or_else(Refusal::starting)
}

pub fn unknown_node(code: &'static str, unknown: UnknownNode) -> Refusal {
    Refusal::new(StatusCode::NOT_FOUND, code, unknown.to_string()).help(unknown.help)
}

pub fn json(value: &impl Serialize) -> Result<HttpResponse, Refusal> {
    match serde_json::to_value(value) {
        Ok(value) => Ok(small(StatusCode::OK, &value)),
        Err(error) => Err(Refusal::failed(&millstream_api::Error::internal(error))),
    }
}

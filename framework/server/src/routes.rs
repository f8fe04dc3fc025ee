//! Which paths there are.
//!
//! | path | answer |
//! |---|---|
//! | `GET /health` | the topology's name and phase; 503 until rows flow and once it stops |
//! | `GET /views` | every view: columns, key, version, number of rows |
//! | `GET /views/NAME` | all rows of one version |
//! | `GET /views/NAME?key=UA` | the row with this key; several key columns: `?key=UA&key=JFK`, in the order of the view's `key` |
//!
//! Refusals are JSON too: 400 for a wrong query, 404 for an unknown path or view, 405 for another method.

use std::sync::Arc;

use actix_web::error::BlockingError;
use actix_web::http::{ConnectionType, Method, StatusCode, Version, header};
use actix_web::{HttpRequest, HttpResponse, guard, web};
use arrow::array::RecordBatch;
use arrow::datatypes::{Schema, SchemaRef};
use millstream_api::diagnostic::nearest;
use millstream_api::error::{Error, ErrorKind, shortened};
use millstream_api::types::SqlName;
use millstream_api::view::{View, Views};
use serde_json::{Value, json};

use crate::answer::{Refusal, json_head, small};
use crate::body::RowsBody;
use crate::server::Info;

/// What every request can look at.
pub struct State {
    pub views: Views,
    pub info: Info,
}

/// Adds all paths to an application.
pub fn configure(config: &mut web::ServiceConfig) {
    let read = || web::route().guard(guard::Any(guard::Get()).or(guard::Head()));
    let resource = |path: &str| web::resource(path).default_service(web::to(wrong_method));
    config
        .service(resource("/health").route(read().to(health)))
        .service(resource("/views").route(read().to(list)))
        .service(resource("/views/{name}").route(read().to(show)))
        .default_service(web::to(unknown_path));
}

async fn health(state: web::Data<State>) -> HttpResponse {
    let phase = state.info.health.phase();
    let status = if phase.is_ready() { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    small(status, &json!({ "topology": state.info.topology, "status": phase.name() }))
}

async fn list(state: web::Data<State>) -> HttpResponse {
    let views = state.views.clone();
    let described = web::block(move || views.names().iter().filter_map(|name| describe(&views, name)).collect::<Result<Vec<_>, _>>());
    match flatten(described.await) {
        Ok(views) => small(StatusCode::OK, &json!({ "topology": state.info.topology, "views": views })),
        Err(refusal) => refusal.into(),
    }
}

/// What `GET /views` says of one view; `None` when it has just gone.
fn describe(views: &Views, name: &str) -> Option<Result<Value, Error>> {
    let view = views.get(name)?;
    let sized = view.size();
    Some(sized.map(|(version, rows)| {
        json!({
            "name": name,
            "columns": columns(&view.schema()),
            "key": view.key(),
            "version": version,
            "rows": rows,
        })
    }))
}

fn columns(schema: &Schema) -> Vec<Value> {
    let column = |field: &arrow::datatypes::FieldRef| json!({ "name": field.name(), "type": SqlName(field.data_type()).to_string(), "nullable": field.is_nullable() });
    schema.fields().iter().map(column).collect()
}

async fn show(state: web::Data<State>, name: web::Path<String>, request: HttpRequest) -> HttpResponse {
    match rows_of(&state.views, &name, request.query_string()).await {
        Ok(body) => unchunked_before_1_1(json_head(StatusCode::OK).body(body), request.version()),
        Err(refusal) => refusal.into(),
    }
}

/// HTTP/1.0 (some proxies) knows no chunks: there the end of the connection is the end of the body.
fn unchunked_before_1_1(mut response: HttpResponse, version: Version) -> HttpResponse {
    if version < Version::HTTP_11 {
        response.head_mut().no_chunking(true);
        response.head_mut().set_connection_type(ConnectionType::Close);
    }
    response
}

/// The rows that a request asks for, of one version, as a body.
async fn rows_of(views: &Views, name: &str, query: &str) -> Result<RowsBody, Refusal> {
    let view = views.get(name).ok_or_else(|| unknown_view(name, &views.names()))?;
    let key = key_of(query)?;
    let schema = view.schema();
    let name = name.to_owned();
    flatten(web::block(move || read(&view, &key).and_then(|(version, rows)| RowsBody::new(&name, version, rows))).await)
        .map_err(|refusal| with_key_help(refusal, &schema))
}

/// All rows, or those with the key.
fn read(view: &Arc<dyn View>, key: &[String]) -> Result<(u64, RecordBatch), Error> {
    if key.is_empty() {
        return view.rows();
    }
    view.lookup(&key.iter().map(String::as_str).collect::<Vec<_>>())
}

/// The texts of all `key=` in the query, in order.
fn key_of(query: &str) -> Result<Vec<String>, Refusal> {
    let bad = |message: String| {
        Refusal::new(StatusCode::BAD_REQUEST, "bad-query", message)
            .help("write ?key=VALUE, and for several key columns ?key=A&key=B in the order of the view's key")
    };
    let pairs = web::Query::<Vec<(String, String)>>::from_query(query).map_err(|error| bad(error.to_string()))?;
    pairs
        .into_inner()
        .into_iter()
        .map(|(name, value)| if name == "key" { Ok(value) } else { Err(bad(format!("unknown parameter `{}`", shortened(&name)))) })
        .collect()
}

fn unknown_view(name: &str, names: &[String]) -> Refusal {
    let refusal = Refusal::new(StatusCode::NOT_FOUND, "unknown-view", format!("there is no view `{}`", shortened(name)));
    let near = nearest(name, names.iter().map(String::as_str)).map(|near| format!("did you mean `{near}`? "));
    match names {
        [] => refusal.help("the topology has no sink of type `view`"),
        _ => refusal.help(format!("{}views: {}", near.unwrap_or_default(), names.join(", "))),
    }
}

/// One result of work on a blocking thread.
fn flatten<T>(result: Result<Result<T, Error>, BlockingError>) -> Result<T, Refusal> {
    match result {
        Ok(Ok(value)) => Ok(value),
        Ok(Err(error)) if error.kind() == ErrorKind::Internal => {
            tracing::error!(%error, "cannot read a view");
            Err(Refusal::new(StatusCode::INTERNAL_SERVER_ERROR, "internal", error.to_string()))
        }
        Ok(Err(error)) => {
            let refusal = Refusal::new(StatusCode::BAD_REQUEST, "bad-key", error.to_string());
            Err(Refusal { help: error.help_text().map(str::to_owned), ..refusal })
        }
        Err(error) => Err(Refusal::new(StatusCode::SERVICE_UNAVAILABLE, "stopping", error.to_string())),
    }
}

/// Names the columns of the view where the view itself gave no help.
fn with_key_help(refusal: Refusal, schema: &SchemaRef) -> Refusal {
    match (&refusal.help, refusal.status) {
        (None, StatusCode::BAD_REQUEST) => {
            let names: Vec<&str> = schema.fields().iter().map(|field| field.name().as_str()).collect();
            refusal.help(format!("columns: {}; GET /views says which are the key", names.join(", ")))
        }
        _ => refusal,
    }
}

async fn wrong_method(method: Method) -> HttpResponse {
    let refusal = Refusal::new(StatusCode::METHOD_NOT_ALLOWED, "wrong-method", format!("{method} is not possible here"));
    let mut response = HttpResponse::from(refusal.help("views are read-only: use GET"));
    response.headers_mut().insert(header::ALLOW, header::HeaderValue::from_static("GET, HEAD"));
    response
}

async fn unknown_path(request: HttpRequest) -> HttpResponse {
    Refusal::new(StatusCode::NOT_FOUND, "unknown-path", format!("there is nothing at {}", shortened(request.path())))
        .help("there are /health, /views and /views/NAME")
        .into()
}

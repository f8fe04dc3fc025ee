//! Views: their list, their rows, and their changes.

use std::sync::Arc;

use actix_web::error::BlockingError;
use actix_web::http::header::HeaderName;
use actix_web::http::{ConnectionType, StatusCode, Version, header};
use actix_web::{HttpRequest, HttpResponse, web};
use arrow::datatypes::{Schema, SchemaRef};
use millstream_api::Error;
use millstream_api::diagnostic::nearest;
use millstream_api::error::shortened;
use millstream_api::types::sql_type;
use millstream_api::view::{View, Views};
use serde_json::{Value, json};

use crate::answer::{Refusal, head, small};
use crate::body::RowsBody;
use crate::follow::{FollowBody, Stage, heartbeat};
use crate::format::Format;
use crate::health::Phase;
use crate::pages::Page;
use crate::query::Query;
use crate::routes::State;
use crate::selection::{Filter, Selection};

/// The header with the version that rows are of.
const VERSION: HeaderName = HeaderName::from_static("millstream-version");

/// The header with which a client that was cut off names the last event it has seen.
const LAST_EVENT_ID: HeaderName = HeaderName::from_static("last-event-id");

/// `GET /views`: every view with its columns, key, version and number of rows.
pub async fn list(state: web::Data<State>) -> HttpResponse {
    let views = state.views.names().into_iter().filter_map(|name| describe(&state.views, &name)).collect::<Result<Vec<_>, _>>();
    match views {
        Ok(views) => small(StatusCode::OK, &json!({ "topology": state.info.topology, "views": views })),
        Err(error) => Refusal::failed(&error).into(),
    }
}

/// What the list says of one view; `None` when it has just gone.
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
    let column =
        |field: &arrow::datatypes::FieldRef| json!({ "name": field.name(), "type": sql_type(field), "nullable": field.is_nullable() });
    schema.fields().iter().map(column).collect()
}

/// `GET /views/NAME`: rows of one version: all, those of a condition, a page, or that of a key.
pub async fn show(state: web::Data<State>, name: web::Path<String>, request: HttpRequest) -> HttpResponse {
    rows_of(&state, &name, &request).await.unwrap_or_else(HttpResponse::from)
}

async fn rows_of(state: &State, name: &str, request: &HttpRequest) -> Result<HttpResponse, Refusal> {
    let view = view_of(state, name)?;
    let query = Query::read(request.query_string(), &["key", "where", "order", "limit", "cursor", "format"])?;
    let format = Format::of(query.format.as_deref(), request)?;
    let page = match &query.cursor {
        Some(cursor) => {
            let page = state.pages.page(name, cursor)?;
            Page { limit: query.limit.unwrap_or(page.limit), ..page }
        }
        None => {
            let limit = query.limit.unwrap_or(usize::MAX);
            Page { selection: selection_of(state, view, query).await?, start: 0, limit, id: None }
        }
    };
    let next = state.pages.cursor(name, &page);
    let start = page.start.min(page.selection.len());
    let end = start.saturating_add(page.limit).min(page.selection.len());
    let version = page.selection.version();
    let body = RowsBody::new(format, name, page.selection, start..end, next.as_deref()).map_err(|error| Refusal::failed(&error))?;
    let mut response = head(StatusCode::OK, format.content_type());
    response.insert_header((VERSION, version));
    if let Some(next) = next {
        response.insert_header((header::LINK, format!("</views/{name}?cursor={next}>; rel=\"next\"")));
    }
    Ok(unchunked_before_1_1(response.body(body), request.version()))
}

/// The rows that a request asks for. What is found at once is found on this thread, what has to be looked for on another.
async fn selection_of(state: &State, view: Arc<dyn View>, query: Query) -> Result<Selection, Refusal> {
    if !query.key.is_empty() {
        let key: Vec<&str> = query.key.iter().map(String::as_str).collect();
        let found = view.lookup(&key).map_err(|error| with_key_help(Refusal::failed(&error), &view.schema()));
        return found.map(Selection::found);
    }
    if query.filter.is_none() && query.order.is_empty() {
        return view.snapshot().map(Selection::all).map_err(|error| Refusal::failed(&error));
    }
    let clock = state.info.clock.clone();
    blocking(move || {
        let wanted = query.typed(&view.schema())?;
        let snapshot = view.snapshot().map_err(|error| Refusal::failed(&error))?;
        Selection::choose(snapshot, &wanted, &*clock)
    })
    .await
}

/// `GET /views/NAME/follow`: a snapshot and then all changes, as server-sent events.
pub async fn follow(state: web::Data<State>, name: web::Path<String>, request: HttpRequest) -> HttpResponse {
    events_of(&state, name.into_inner(), &request).await.unwrap_or_else(HttpResponse::from)
}

async fn events_of(state: &State, name: String, request: &HttpRequest) -> Result<HttpResponse, Refusal> {
    let view = view_of(state, &name)?;
    let query = Query::read(request.query_string(), &["where"])?;
    let schema = view.schema();
    let filter = match query.filter {
        None => None,
        Some(_) => {
            blocking(move || {
                let wanted = query.typed(&schema)?;
                wanted.filter.map(|filter| filter.bind(&schema).map(Filter)).transpose().map_err(|error| Refusal::failed(&error))
            })
            .await?
        }
    };
    let last_event = request.headers().get(LAST_EVENT_ID).map(|id| id.to_str().unwrap_or_default());
    let stage = Stage::first(&*view, last_event).map_err(|error| Refusal::failed(&error))?;
    let place = state.followers.enter()?;
    let health = state.info.health.clone();
    let body = FollowBody { name, views: state.views.clone(), view, filter, health, _place: place, stage, heartbeat: heartbeat() };
    let response = head(StatusCode::OK, "text/event-stream").body(body);
    Ok(unchunked_before_1_1(response, request.version()))
}

/// HTTP/1.0 (some proxies) knows no chunks: there the end of the connection is the end of the body.
pub fn unchunked_before_1_1(mut response: HttpResponse, version: Version) -> HttpResponse {
    if version < Version::HTTP_11 {
        response.head_mut().no_chunking(true);
        response.head_mut().set_connection_type(ConnectionType::Close);
    }
    response
}

fn view_of(state: &State, name: &str) -> Result<Arc<dyn View>, Refusal> {
    state.views.get(name).ok_or_else(|| match state.info.health.phase() {
        // It may be about to be there.
        Phase::Starting => Refusal::starting(),
        _ => unknown_view(name, &state.views.names()),
    })
}

fn unknown_view(name: &str, names: &[String]) -> Refusal {
    let refusal = Refusal::new(StatusCode::NOT_FOUND, "unknown-view", format!("there is no view `{}`", shortened(name)));
    let near = nearest(name, names.iter().map(String::as_str)).map(|near| format!("did you mean `{near}`? "));
    match names {
        [] => refusal.help("the topology has no sink of type `view`"),
        _ => refusal.help(format!("{}views: {}", near.unwrap_or_default(), names.join(", "))),
    }
}

/// Work on a thread that may take its time.
async fn blocking<T: Send + 'static>(work: impl FnOnce() -> Result<T, Refusal> + Send + 'static) -> Result<T, Refusal> {
    let done: Result<_, BlockingError> = web::block(work).await;
    done.unwrap_or_else(|error| Err(Refusal::new(StatusCode::SERVICE_UNAVAILABLE, "stopping", error.to_string())))
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

//! Which paths there are; `docs/server.md` says what each takes and gives.
//!
//! Refusals are JSON too: 404 for an unknown path, 405 for another method than GET and HEAD (and POST, to take a checkpoint).

use actix_web::http::{Method, StatusCode, header};
use actix_web::{HttpRequest, HttpResponse, guard, web};
use millstream_api::error::shortened;
use millstream_api::view::Views;
use serde_json::json;

use crate::answer::{Refusal, small};
use crate::checkpoint::UnderWay;
use crate::follow::Followers;
use crate::pages::Pages;
use crate::server::Info;
use crate::{checkpoint, metrics, page, run, tap, views};

/// What every request can look at.
pub struct State {
    pub views: Views,
    pub info: Info,
    pub pages: Pages,
    pub followers: Followers,
    pub checkpoint_under_way: UnderWay,
}

/// Adds all paths to an application.
pub fn configure(config: &mut web::ServiceConfig) {
    let read = || web::route().guard(guard::Any(guard::Get()).or(guard::Head()));
    let resource = |path: &str| web::resource(path).default_service(web::to(wrong_method));
    config
        .service(resource("/").route(read().to(page::page)))
        .service(resource("/metrics").route(read().to(metrics::metrics)))
        .service(resource("/health").route(read().to(health)))
        .service(resource("/ready").route(read().to(ready)))
        .service(resource("/views").route(read().to(views::list)))
        .service(resource("/views/{name}").route(read().to(views::show)))
        .service(resource("/views/{name}/follow").route(web::get().to(views::follow)))
        .service(resource("/status").route(read().to(run::status)))
        .service(resource("/checkpoint").route(read().to(checkpoint::show)).route(web::post().to(checkpoint::take)))
        .service(resource("/why/{node}").route(read().to(run::why)))
        .service(resource("/tap/{name}").route(web::get().to(tap::tap)))
        .default_service(web::to(unknown_path));
}

/// Whether the process is of any use: 503 when the run has failed.
async fn health(state: web::Data<State>) -> HttpResponse {
    phase(&state, state.info.health.phase() != crate::Phase::Failed)
}

/// Whether views can be relied on: 503 until rows flow and once the run stops.
async fn ready(state: web::Data<State>) -> HttpResponse {
    phase(&state, state.info.health.phase().is_ready())
}

fn phase(state: &State, good: bool) -> HttpResponse {
    let status = if good { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    small(status, &json!({ "topology": state.info.topology, "status": state.info.health.phase().name() }))
}

async fn wrong_method(request: HttpRequest, method: Method) -> HttpResponse {
    let refusal = Refusal::new(StatusCode::METHOD_NOT_ALLOWED, "wrong-method", format!("{method} is not possible here"));
    let mut response = HttpResponse::from(refusal.help("the server only shows: use GET (and POST to /checkpoint)"));
    // What goes on for ever has no head to ask for.
    let allowed = match request.match_pattern().as_deref() {
        Some("/checkpoint") => "GET, HEAD, POST",
        Some("/views/{name}/follow" | "/tap/{name}") => "GET",
        _ => "GET, HEAD",
    };
    response.headers_mut().insert(header::ALLOW, header::HeaderValue::from_static(allowed));
    response
}

async fn unknown_path(request: HttpRequest) -> HttpResponse {
    Refusal::new(StatusCode::NOT_FOUND, "unknown-path", format!("there is nothing at {}", shortened(request.path())))
        .help("there are /, /health, /ready, /metrics, /status, /checkpoint, /views, /views/NAME, /views/NAME/follow, /why/NODE and /tap/NAME")
        .into()
}

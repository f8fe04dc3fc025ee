//! Checkpoints: how they go, and one now.
//!
//! Taking one is the only thing that a request can make a pipeline do. It changes nothing that is computed, and one request at a
//! time waits for it: it occupies a thread that reads views otherwise.

use std::sync::atomic::{AtomicBool, Ordering};

use actix_web::http::StatusCode;
use actix_web::{HttpResponse, web};
use millstream_api::error::Error;
use millstream_api::message::CheckpointId;
use millstream_runtime::CheckpointStatus;
use serde::Serialize;
use serde_json::json;

use crate::answer::{Refusal, small};
use crate::routes::State;
use crate::run::{json, run_of};

/// `GET /checkpoint`: how checkpoints have gone.
pub async fn show(state: web::Data<State>) -> HttpResponse {
    let status = || run_of(&state)?.checkpoints().ok_or_else(none);
    status().and_then(|status| json(&Shown::from(status))).unwrap_or_else(HttpResponse::from)
}

/// The answer: units have the names that they have in `/status`.
#[derive(Serialize)]
struct Shown {
    newest: Option<CheckpointId>,
    written_at_micros: Option<i64>,
    duration_micros: Option<i64>,
    alignment_micros: Option<i64>,
    bytes: Option<u64>,
    completed: u64,
    failed: u64,
    last_failure: Option<String>,
    restarts: u64,
}

impl From<CheckpointStatus> for Shown {
    fn from(status: CheckpointStatus) -> Self {
        Shown {
            newest: status.newest,
            written_at_micros: status.written_at_us,
            duration_micros: status.duration_us,
            alignment_micros: status.alignment_us,
            bytes: status.bytes,
            completed: status.completed,
            failed: status.failed,
            last_failure: status.last_failure,
            restarts: status.restarts,
        }
    }
}

/// `POST /checkpoint`: takes one and answers when it exists.
pub async fn take(state: web::Data<State>) -> HttpResponse {
    let Some(turn) = Turn::take(state.clone()) else {
        let refusal = Refusal::new(StatusCode::CONFLICT, "checkpoint-under-way", "somebody else waits for a checkpoint already");
        return refusal.help("GET /checkpoint says how they go").into();
    };
    let run = match run_of(&state).and_then(|run| run.checkpoints().map(|_| run).ok_or_else(none)) {
        Ok(run) => run,
        Err(refusal) => return refusal.into(),
    };
    match web::block(move || {
        let taken = run.checkpoint();
        drop(turn);
        taken
    })
    .await
    {
        Ok(Ok(id)) => small(StatusCode::OK, &json!({ "checkpoint": id })),
        Ok(Err(error)) => failed(&error).into(),
        Err(error) => Refusal::new(StatusCode::SERVICE_UNAVAILABLE, "stopping", error.to_string()).into(),
    }
}

fn none() -> Refusal {
    let refusal = Refusal::new(StatusCode::NOT_FOUND, "no-checkpoints", "the topology has no checkpoints");
    refusal.help("add [checkpoint] with store = \"file:./state/NAME\" to it")
}

fn failed(error: &Error) -> Refusal {
    let refusal = Refusal::new(StatusCode::SERVICE_UNAVAILABLE, "checkpoint-failed", error.to_string());
    Refusal { help: error.help_text().map(str::to_owned), ..refusal }
}

/// The right to wait for a checkpoint; given back when it is dropped.
struct Turn(web::Data<State>);

impl Turn {
    fn take(state: web::Data<State>) -> Option<Turn> {
        let is_free = !state.checkpoint_under_way.swap(true, Ordering::AcqRel);
        is_free.then_some(Turn(state))
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        self.0.checkpoint_under_way.store(false, Ordering::Release);
    }
}

/// Whether somebody waits for a checkpoint.
pub type UnderWay = AtomicBool;

//! A view and all its changes as server-sent events (WHATWG HTML, "Server-sent events").
//!
//! ```text
//! stream  := [resumed | first] (change | reset)* end
//! first   := reset
//! reset   := event reset, event rows …, event snapshot     the rows of one version
//! change  := event change                                  one later version
//! ```
//!
//! Nothing is queued for a client: its body asks the view for the next changes when the connection has room. A client that is too
//! slow for the history that the view keeps is given a new snapshot. So it can neither hold up the pipeline nor fill memory.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use actix_web::body::{BodySize, MessageBody};
use actix_web::http::StatusCode;
use actix_web::rt::time::{Sleep, sleep};
use actix_web::web::Bytes;
use arrow::array::RecordBatch;
use millstream_api::view::{Changes, Next, Snapshot, View, Views};
use millstream_api::{Error, Result};
use serde_json::{Value, json};

use crate::answer::Refusal;
use crate::body::write_list;
use crate::health::{Health, Phase};
use crate::selection::Filter;

/// Clients that follow views at the same time, at most. Each can keep one version from being freed.
const MAX_FOLLOWERS: usize = 128;
/// Rows of an event of a snapshot.
const PIECE_ROWS: usize = 512;
/// How often a client hears something even if nothing changes.
const HEARTBEAT: Duration = Duration::from_secs(15);

/// How many follow.
#[derive(Clone, Default)]
pub struct Followers(Arc<AtomicUsize>);

/// One that follows. Its drop makes room for another.
pub struct Place(Arc<AtomicUsize>);

impl Followers {
    /// A place for one more.
    ///
    /// # Errors
    /// When there are too many.
    pub fn enter(&self) -> Result<Place, Refusal> {
        let place = Place(self.0.clone());
        if self.0.fetch_add(1, Ordering::Relaxed) < MAX_FOLLOWERS {
            return Ok(place);
        }
        let message = format!("{MAX_FOLLOWERS} clients follow views already");
        Err(Refusal::new(StatusCode::SERVICE_UNAVAILABLE, "too-many-followers", message).help("try again later"))
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        self.0.load(Ordering::Relaxed)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// The events, made one at a time.
pub struct FollowBody {
    /// The view's name.
    pub name: String,
    /// Where another view of the name appears after a restart.
    pub views: Views,
    /// The view that is followed now.
    pub view: Arc<dyn View>,
    /// Which rows are wanted; all without one.
    pub filter: Option<Filter>,
    /// When the views are final.
    pub health: Health,
    /// Held while the body lives.
    pub _place: Place,
    /// What comes next.
    pub stage: Stage,
    /// When something must be said.
    pub heartbeat: Pin<Box<Sleep>>,
}

/// What a client is sent next.
pub enum Stage {
    /// That it must forget what it has, and why.
    Reset(&'static str),
    /// More rows of a version, from this one on.
    Rows(Snapshot, usize),
    /// That it goes on where it was cut off.
    Resumed(u64),
    /// What comes after this version.
    Changes(u64),
    /// Nothing.
    Over,
}

/// What came of a step.
enum Step {
    Send(Vec<u8>),
    /// There was nothing to send yet; there may be more to do.
    Again,
    /// Nothing is to be done until somebody wakes.
    Wait,
}

impl Stage {
    /// How a client begins that names the last event it has seen, if any.
    ///
    /// # Errors
    /// When the view cannot be read.
    pub fn first(view: &dyn View, last_event: Option<&str>) -> Result<Stage> {
        let Some(id) = last_event else { return Ok(Stage::Reset("first")) };
        let parsed = id
            .split_once('-')
            .and_then(|(generation, version)| Some((u64::from_str_radix(generation, 16).ok()?, version.parse::<u64>().ok()?)));
        Ok(match parsed {
            Some((generation, version)) if generation == view.generation() => match view.changes(version)? {
                Next::Gone => Stage::Reset("too-old"),
                _ => Stage::Resumed(version),
            },
            Some(_) => Stage::Reset("restarted"),
            None => Stage::Reset("unknown-id"),
        })
    }
}

/// A heartbeat that is due after the usual time.
pub fn heartbeat() -> Pin<Box<Sleep>> {
    Box::pin(sleep(HEARTBEAT))
}

impl FollowBody {
    fn step(&mut self) -> Result<Step, Refusal> {
        match std::mem::replace(&mut self.stage, Stage::Over) {
            Stage::Over => Ok(Step::Wait),
            Stage::Reset(reason) => self.reset(reason),
            Stage::Rows(snapshot, from) => self.rows(snapshot, from),
            Stage::Resumed(version) => {
                self.stage = Stage::Changes(version);
                Ok(Step::Send(b"retry: 1000\n: resumed\n\n".to_vec()))
            }
            Stage::Changes(version) => self.changes(version),
        }
    }

    fn reset(&mut self, reason: &str) -> Result<Step, Refusal> {
        let snapshot = self.view.snapshot().map_err(|error| Refusal::failed(&error))?;
        let data = json!({ "view": self.name, "version": snapshot.version, "reason": reason });
        self.stage = Stage::Rows(snapshot, 0);
        let mut text = b"retry: 1000\n".to_vec();
        text.extend(event("reset", None, &data));
        Ok(Step::Send(text))
    }

    fn rows(&mut self, snapshot: Snapshot, from: usize) -> Result<Step, Refusal> {
        if from >= snapshot.len() {
            let version = snapshot.version;
            self.stage = Stage::Changes(version);
            return Ok(Step::Send(event("snapshot", Some(self.id(version)), &json!({ "version": version }))));
        }
        let end = snapshot.len().min(from + PIECE_ROWS);
        let piece = snapshot.range(from..end).map_err(|error| Refusal::failed(&error))?;
        let piece = self.wanted(&piece)?;
        self.stage = Stage::Rows(snapshot, end);
        if piece.num_rows() == 0 {
            return Ok(Step::Again);
        }
        let mut text = write_list(&piece, b"event: rows\ndata: ".to_vec()).map_err(|error| Refusal::failed(&error))?;
        text.extend_from_slice(b"\n\n");
        Ok(Step::Send(text))
    }

    fn changes(&mut self, version: u64) -> Result<Step, Refusal> {
        // Asked before the changes: what came before the end is sent before it.
        let over = self.health.over();
        if let Some(view) = self.views.get(&self.name).filter(|view| view.generation() != self.view.generation()) {
            self.view = view;
            self.stage = Stage::Reset("restarted");
            return Ok(Step::Again);
        }
        match self.view.changes(version).map_err(|error| Refusal::failed(&error))? {
            Next::Gone => {
                self.stage = Stage::Reset("too-slow");
                Ok(Step::Again)
            }
            Next::Changed(changes) => {
                self.stage = Stage::Changes(changes.version);
                self.change(&changes)
            }
            Next::Current(version) => match over {
                Some(phase) => Ok(Step::Send(event("end", Some(self.id(version)), &json!({ "version": version, "reason": why(phase) })))),
                None => {
                    self.stage = Stage::Changes(version);
                    Ok(Step::Wait)
                }
            },
        }
    }

    fn change(&self, changes: &Changes) -> Result<Step, Refusal> {
        let (removed, added) = (self.wanted(&changes.removed)?, self.wanted(&changes.added)?);
        if removed.num_rows() + added.num_rows() == 0 {
            return Ok(Step::Again);
        }
        let head = format!("event: change\nid: {}\ndata: {{\"version\":{},\"removed\":", self.id(changes.version), changes.version);
        let text = write_list(&removed, head.into_bytes()).and_then(|mut text| {
            text.extend_from_slice(b",\"added\":");
            write_list(&added, text)
        });
        let mut text = text.map_err(|error| Refusal::failed(&error))?;
        text.extend_from_slice(b"}\n\n");
        Ok(Step::Send(text))
    }

    fn wanted(&self, rows: &RecordBatch) -> Result<RecordBatch, Refusal> {
        self.filter.as_ref().map_or_else(|| Ok(rows.clone()), |filter| filter.keep(rows))
    }

    /// What a client names to go on after a version.
    fn id(&self, version: u64) -> String {
        format!("{:x}-{version}", self.view.generation())
    }

    /// What shows that the connection stands. An id without data is noted by clients and is no event.
    fn still_here(&self) -> Vec<u8> {
        match self.stage {
            Stage::Changes(version) => format!(": still here\nid: {}\n\n", self.id(version)).into_bytes(),
            _ => b": still here\n\n".to_vec(),
        }
    }
}

fn event(name: &str, id: Option<String>, data: &Value) -> Vec<u8> {
    let id = id.map(|id| format!("id: {id}\n")).unwrap_or_default();
    format!("event: {name}\n{id}data: {data}\n\n").into_bytes()
}

/// Why there are no more changes.
fn why(phase: Phase) -> &'static str {
    match phase {
        Phase::Done => "done",
        Phase::Failed => "failed",
        Phase::Starting | Phase::Running | Phase::Stopping | Phase::Restarting => "stopped",
    }
}

impl MessageBody for FollowBody {
    type Error = Error;

    fn size(&self) -> BodySize {
        BodySize::Stream
    }

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Bytes>>> {
        let body = &mut *self;
        if matches!(body.stage, Stage::Over) {
            return Poll::Ready(None);
        }
        // Before looking: what happens between looking and waiting wakes.
        body.view.wake_at_next_version(context.waker());
        body.views.wake_at_next_publication(context.waker());
        body.health.wake_at_change(context.waker());
        let text = match body.step() {
            Ok(Step::Send(text)) => text,
            Ok(Step::Again) => {
                // One piece at a time, so that others on this thread have their turn.
                context.waker().wake_by_ref();
                return Poll::Pending;
            }
            Ok(Step::Wait) => {
                if body.heartbeat.as_mut().poll(context).is_pending() {
                    return Poll::Pending;
                }
                body.heartbeat = heartbeat();
                body.still_here()
            }
            Err(refusal) => {
                body.stage = Stage::Over;
                event("error", None, &refusal.json())
            }
        };
        Poll::Ready(Some(Ok(text.into())))
    }
}

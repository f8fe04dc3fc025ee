//! `GET /tap/NODE`: rows as they pass, one JSON object a line, for as long as the client reads and the run lasts.
//!
//! Rows are chosen and encoded here, on the server's thread: the pipeline only offers its batches to a short queue
//! ([`millstream_runtime::tap`]) and goes on. What finds no room there is counted, and the client is told between rows:
//!
//! ```text
//! {"_tap":{"dropped_rows":8192,"failed_rows":0}}
//! ```

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use actix_web::body::{BodySize, MessageBody};
use actix_web::http::StatusCode;
use actix_web::rt::time::{Sleep, sleep};
use actix_web::web::Bytes;
use actix_web::{HttpRequest, HttpResponse, web};
use arrow::array::{Array, AsArray, BooleanArray, RecordBatch};
use arrow::compute::filter_record_batch;
use millstream_api::{Error, Result};
use millstream_expr::BoundScalar;
use millstream_runtime::TapError;
use millstream_runtime::tap::TapReader;

use crate::answer::{Refusal, head};
use crate::body::write_lines;
use crate::query::Query;
use crate::routes::State;
use crate::run::{run_of, unknown_node};
use crate::views::unchunked_before_1_1;

/// How often a client hears something even if no row passes: an empty line.
const HEARTBEAT: Duration = Duration::from_secs(15);

/// Shows the rows of a stream, or those that come to a sink.
pub async fn tap(state: web::Data<State>, name: web::Path<String>, request: HttpRequest) -> HttpResponse {
    rows_of(&state, &name, &request).unwrap_or_else(HttpResponse::from)
}

fn rows_of(state: &State, name: &str, request: &HttpRequest) -> Result<HttpResponse, Refusal> {
    let query = Query::read(request.query_string(), &["where", "sample", "limit"])?;
    let reader = run_of(state)?.tap(name).map_err(refused)?;
    let typed = query.typed(reader.schema()).map_err(|refusal| match refusal.code {
        "unknown-column" => Refusal { help: refusal.help.map(|help| format!("{help}; columns that no node reads do not flow")), ..refusal },
        _ => refusal,
    })?;
    let condition = typed.filter.map(|filter| filter.bind(reader.schema()));
    let chosen = Chosen {
        condition: condition.transpose().map_err(|error| Refusal::failed(&error))?,
        every: query.sample.unwrap_or(1),
        passed: 0,
        left: query.limit,
        failed_rows: 0,
    };
    let body = TapBody { reader, chosen, told: Aside::default(), heartbeat: heartbeat() };
    Ok(unchunked_before_1_1(head(StatusCode::OK, "application/x-ndjson").body(body), request.version()))
}

fn refused(error: TapError) -> Refusal {
    match error {
        TapError::Unknown(unknown) => unknown_node("unknown-stream", unknown),
        TapError::Unread(name) => {
            let message = format!("nobody reads `{name}`, so that its rows are not made");
            Refusal::new(StatusCode::CONFLICT, "unread-stream", message).help("let a sink of type `discard` read it")
        }
        TapError::TooMany(name) => {
            let message = format!("as many clients look at `{name}` as may");
            Refusal::new(StatusCode::SERVICE_UNAVAILABLE, "too-many-taps", message).help("try again later")
        }
    }
}

/// Which rows are shown.
struct Chosen {
    condition: Option<BoundScalar>,
    /// One of so many rows for which the condition holds.
    every: usize,
    /// Rows for which it held so far.
    passed: usize,
    /// How many more are wanted; without end if none.
    left: Option<usize>,
    /// Rows on which the condition fails.
    failed_rows: u64,
}

impl Chosen {
    fn keep(&mut self, rows: &RecordBatch) -> Result<RecordBatch> {
        let holds = match &self.condition {
            None => BooleanArray::from(vec![true; rows.num_rows()]),
            Some(condition) => {
                let evaluated = condition.evaluate(rows)?;
                self.failed_rows += evaluated.bad.len() as u64;
                let holds = evaluated.values.as_boolean();
                let mut holds: Vec<bool> = (0..holds.len()).map(|row| holds.is_valid(row) && holds.value(row)).collect();
                evaluated.bad.iter().for_each(|bad| holds[bad.row] = false);
                BooleanArray::from(holds)
            }
        };
        let shown: BooleanArray = holds.iter().map(|holds| Some(holds == Some(true) && self.is_shown())).collect();
        Ok(filter_record_batch(rows, &shown)?)
    }

    /// Whether a row for which the condition holds is one of those that are shown.
    fn is_shown(&mut self) -> bool {
        let is_turn = self.passed.is_multiple_of(self.every);
        self.passed = self.passed.wrapping_add(1);
        match &mut self.left {
            _ if !is_turn => false,
            None => true,
            Some(0) => false,
            Some(left) => {
                *left -= 1;
                true
            }
        }
    }
}

/// What is said between rows.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
struct Aside {
    dropped_rows: u64,
    failed_rows: u64,
}

struct TapBody {
    reader: TapReader,
    chosen: Chosen,
    /// What the client knows.
    told: Aside,
    /// When something must be said.
    heartbeat: Pin<Box<Sleep>>,
}

fn heartbeat() -> Pin<Box<Sleep>> {
    Box::pin(sleep(HEARTBEAT))
}

impl TapBody {
    /// The chosen rows as lines, and before them what was left out since the last ones.
    fn lines(&mut self, rows: &RecordBatch) -> Result<Vec<u8>> {
        let chosen = self.chosen.keep(rows)?;
        let now = Aside { dropped_rows: self.reader.dropped_rows(), failed_rows: self.chosen.failed_rows };
        let mut out = Vec::new();
        if now != self.told {
            self.told = now;
            let Aside { dropped_rows, failed_rows } = now;
            out.extend_from_slice(format!("{{\"_tap\":{{\"dropped_rows\":{dropped_rows},\"failed_rows\":{failed_rows}}}}}\n").as_bytes());
        }
        write_lines(&chosen, out)
    }
}

impl MessageBody for TapBody {
    type Error = Error;

    fn size(&self) -> BodySize {
        BodySize::Stream
    }

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Bytes>>> {
        let body = &mut *self;
        if body.chosen.left == Some(0) {
            return Poll::Ready(None);
        }
        match body.reader.poll(context) {
            Poll::Ready(None) => Poll::Ready(None),
            Poll::Ready(Some(rows)) => match rows.and_then(|rows| body.lines(&rows)) {
                Ok(lines) if lines.is_empty() => {
                    // One batch at a time, so that others on this thread have their turn.
                    context.waker().wake_by_ref();
                    Poll::Pending
                }
                Ok(lines) => {
                    body.heartbeat = heartbeat();
                    Poll::Ready(Some(Ok(lines.into())))
                }
                Err(error) => Poll::Ready(Some(Err(error))),
            },
            Poll::Pending if body.heartbeat.as_mut().poll(context).is_ready() => {
                body.heartbeat = heartbeat();
                Poll::Ready(Some(Ok(Bytes::from_static(b"\n"))))
            }
            Poll::Pending => Poll::Pending,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{ArrayRef, Int64Array};
    use arrow::datatypes::Int64Type;
    use millstream_expr::Scalar;

    use super::*;

    fn rows(numbers: impl Iterator<Item = i64>) -> RecordBatch {
        RecordBatch::try_from_iter([("n", Arc::new(Int64Array::from_iter_values(numbers)) as ArrayRef)]).unwrap()
    }

    fn chosen(condition: Option<&str>, every: usize, left: Option<usize>) -> Chosen {
        let schema = rows(0..1).schema();
        let condition = condition.map(|text| Scalar::predicate(text, &schema).unwrap().bind(&schema).unwrap());
        Chosen { condition, every, passed: 0, left, failed_rows: 0 }
    }

    fn kept(chosen: &mut Chosen, numbers: impl Iterator<Item = i64>) -> Vec<i64> {
        let kept = chosen.keep(&rows(numbers)).unwrap();
        kept.column(0).as_primitive::<Int64Type>().values().to_vec()
    }

    #[test]
    fn one_of_so_many_rows_is_shown_over_all_batches() {
        let mut chosen = chosen(None, 3, None);
        assert_eq!(kept(&mut chosen, 0..5), [0, 3]);
        assert_eq!(kept(&mut chosen, 5..12), [6, 9]);
    }

    #[test]
    fn no_more_rows_are_shown_than_wanted() {
        let mut chosen = chosen(Some("n % 2 = 1"), 2, Some(3));
        assert_eq!(kept(&mut chosen, 0..10), [1, 5, 9]);
        assert_eq!((kept(&mut chosen, 10..20), chosen.left), (vec![], Some(0)));
    }

    #[test]
    fn rows_on_which_the_condition_fails_are_counted_and_not_shown() {
        let mut chosen = chosen(Some("10 / n > 1"), 1, None);
        assert_eq!(kept(&mut chosen, 0..7), [1, 2, 3, 4, 5]);
        assert_eq!(chosen.failed_rows, 1);
    }
}

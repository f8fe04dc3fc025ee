//! Rows of one version that a client has asked for: which, and in which order.
//!
//! A [`Selection`] holds on to a version of the view and to the places of the chosen rows in it, four bytes each. The rows become
//! columns a piece at a time, when they are sent.

use std::ops::Range;
use std::sync::Arc;

use actix_web::http::StatusCode;
use arrow::array::{ArrayRef, BooleanArray, RecordBatch};
use arrow::compute::filter_record_batch;
use arrow::row::RowConverter;
use millstream_api::error::{row_as_json, shortened};
use millstream_api::time::{Clock, ClockTime};
use millstream_api::view::Snapshot;
use millstream_api::{Error, Result};
use millstream_expr::order::normalised;
use millstream_expr::{BoundScalar, Evaluated, OrderItem, Scalar};

use crate::answer::Refusal;
use crate::query::Wanted;

/// Rows that are evaluated at a time.
const PIECE_ROWS: usize = 4096;

/// How long rows may be chosen and ordered, in microseconds.
const MAX_MICROS: i64 = 10_000_000;

/// Some rows of one version, in order. Cheap to clone.
#[derive(Clone)]
pub struct Selection {
    snapshot: Snapshot,
    /// The places of the rows; `None`: all of the snapshot.
    places: Option<Arc<[u32]>>,
}

impl Selection {
    /// All rows of a snapshot.
    pub fn all(snapshot: Snapshot) -> Self {
        Selection { snapshot, places: None }
    }

    /// Rows that were looked up.
    pub fn found((version, rows): (u64, RecordBatch)) -> Self {
        Selection::all(Snapshot::new(version, Arc::new(rows)))
    }

    /// The rows of a snapshot that are wanted.
    ///
    /// # Errors
    /// A row on which an expression fails, or too many rows for the time there is.
    pub fn choose(snapshot: Snapshot, wanted: &Wanted, clock: &dyn Clock) -> Result<Self, Refusal> {
        if wanted.filter.is_none() && wanted.order.is_empty() {
            return Ok(Selection::all(snapshot));
        }
        let schema = snapshot.range(0..0).map_err(|error| Refusal::failed(&error))?.schema();
        let bind = |scalar: &Scalar| scalar.bind(&schema).map_err(|error| Refusal::failed(&error));
        let mut choice = Choice {
            filter: wanted.filter.as_ref().map(bind).transpose()?.map(Filter),
            order: Order::new(&wanted.order, bind)?,
            places: Vec::new(),
        };
        let deadline = ClockTime(clock.now().0.saturating_add(MAX_MICROS));
        let mut start = 0;
        while start < snapshot.len() {
            let end = snapshot.len().min(start + PIECE_ROWS);
            let piece = snapshot.range(start..end).map_err(|error| Refusal::failed(&error))?;
            choice.take(start, &piece)?;
            start = end;
            if clock.now() > deadline {
                let message = format!("choosing rows has taken longer than {} s", MAX_MICROS / 1_000_000);
                let refusal = Refusal::new(StatusCode::SERVICE_UNAVAILABLE, "too-slow", message);
                return Err(refusal.help("`key` finds a row at once; or let the topology make a view of just these rows"));
            }
        }
        Ok(Selection { snapshot, places: Some(choice.in_order().into()) })
    }

    /// The version that the rows are of.
    pub fn version(&self) -> u64 {
        self.snapshot.version
    }

    /// How many rows there are.
    pub fn len(&self) -> usize {
        self.places.as_ref().map_or(self.snapshot.len(), |places| places.len())
    }

    /// About how much memory it keeps from being freed, in bytes.
    pub fn size_bytes(&self) -> usize {
        self.snapshot.size_bytes() + self.places.as_ref().map_or(0, |places| size_of_val::<[u32]>(places))
    }

    /// Some of the rows as columns.
    ///
    /// # Errors
    /// Rows that cannot be read: a mistake of ours.
    pub fn records(&self, range: Range<usize>) -> Result<RecordBatch> {
        match &self.places {
            None => self.snapshot.range(range),
            Some(places) => self.snapshot.at(places.get(range).ok_or_else(|| Error::internal("rows beyond a selection"))?),
        }
    }
}

/// A condition that is ready to be evaluated.
pub struct Filter(pub BoundScalar);

impl Filter {
    /// For which rows it holds. Null is no.
    ///
    /// # Errors
    /// A row on which it fails.
    pub fn holds(&self, rows: &RecordBatch) -> Result<BooleanArray, Refusal> {
        let evaluated = self.0.evaluate(rows).map_err(|error| Refusal::failed(&error))?;
        let holds = values_of(evaluated, "where", rows)?;
        let holds = holds.as_any().downcast_ref::<BooleanArray>().cloned();
        holds.ok_or_else(|| Refusal::failed(&Error::internal("a condition is not boolean")))
    }

    /// The rows for which it holds.
    ///
    /// # Errors
    /// A row on which it fails.
    pub fn keep(&self, rows: &RecordBatch) -> Result<RecordBatch, Refusal> {
        filter_record_batch(rows, &self.holds(rows)?).map_err(|error| Refusal::failed(&error.into()))
    }
}

/// Rows while they are chosen.
struct Choice {
    filter: Option<Filter>,
    order: Order,
    places: Vec<u32>,
}

impl Choice {
    /// Takes the rows of a piece that begins at a place of the snapshot.
    fn take(&mut self, start: usize, piece: &RecordBatch) -> Result<(), Refusal> {
        let place = |row: usize| (start + row) as u32;
        let kept = match &self.filter {
            None => {
                self.places.extend((0..piece.num_rows()).map(place));
                piece.clone()
            }
            Some(filter) => {
                let holds = filter.holds(piece)?;
                self.places.extend(holds.iter().enumerate().filter(|(_, holds)| *holds == Some(true)).map(|(row, _)| place(row)));
                filter_record_batch(piece, &holds).map_err(|error| Refusal::failed(&error.into()))?
            }
        };
        self.order.push(&kept)
    }

    /// The places of the chosen rows in the order that is wanted; rows that are equal by it stay in the view's order.
    fn in_order(self) -> Vec<u32> {
        if self.order.items.is_empty() {
            return self.places;
        }
        let mut rows: Vec<usize> = (0..self.places.len()).collect();
        rows.sort_by(|&a, &b| self.order.key(a).cmp(self.order.key(b)));
        rows.into_iter().map(|row| self.places[row]).collect()
    }
}

/// The order of rows as bytes: one byte string a row, which sorts as the rows do.
struct Order {
    items: Vec<BoundScalar>,
    converter: RowConverter,
    bytes: Vec<u8>,
    ends: Vec<usize>,
}

impl Order {
    fn new(items: &[OrderItem], bind: impl Fn(&Scalar) -> Result<BoundScalar, Refusal>) -> Result<Self, Refusal> {
        let converter = RowConverter::new(items.iter().map(OrderItem::sort_field).collect());
        Ok(Order {
            items: items.iter().map(|item| bind(item.value())).collect::<Result<_, _>>()?,
            converter: converter.map_err(|error| Refusal::failed(&error.into()))?,
            bytes: Vec::new(),
            ends: Vec::new(),
        })
    }

    fn push(&mut self, rows: &RecordBatch) -> Result<(), Refusal> {
        if self.items.is_empty() {
            return Ok(());
        }
        let mut columns: Vec<ArrayRef> = Vec::with_capacity(self.items.len());
        for item in &self.items {
            let evaluated = item.evaluate(rows).map_err(|error| Refusal::failed(&error))?;
            columns.push(normalised(&values_of(evaluated, "order", rows)?));
        }
        let keys = self.converter.convert_columns(&columns).map_err(|error| Refusal::failed(&error.into()))?;
        for key in &keys {
            self.bytes.extend_from_slice(key.as_ref());
            self.ends.push(self.bytes.len());
        }
        Ok(())
    }

    fn key(&self, row: usize) -> &[u8] {
        let start = row.checked_sub(1).map_or(0, |before| self.ends[before]);
        &self.bytes[start..self.ends[row]]
    }
}

/// The values of an expression, if it fails on no row.
fn values_of(evaluated: Evaluated, parameter: &str, rows: &RecordBatch) -> Result<ArrayRef, Refusal> {
    let Some(bad) = evaluated.bad.first() else { return Ok(evaluated.values) };
    let message = format!("`{parameter}` fails on a row: {}: {}", bad.reason, shortened(&row_as_json(rows, bad.row)));
    let refusal = Refusal::new(StatusCode::BAD_REQUEST, "bad-row", message);
    Err(refusal.help("guard it, for example by `case when … then … end`; `and`, `or` and `coalesce` guard from left to right"))
}

//! Nexmark events as Arrow batches.
//!
//! Each type of event has a generator of its own, so that a type nobody reads costs nothing, and only the columns that are
//! asked for are built. (The values of an event all come out of one random sequence, so the strings are drawn anyway.)

use std::sync::Arc;

use arrow::array::{ArrayRef, Int64Builder, RecordBatch, StringViewBuilder, TimestampMicrosecondBuilder};
use arrow::datatypes::{Field, Schema, SchemaRef};
use millstream_api::source::SourcePart;
use millstream_api::types::{ColumnType, UTC};
use millstream_api::{Error, Result};
use nexmark::EventGenerator;
use nexmark::config::NexmarkConfig;
use nexmark::event::{Event, EventType};

use crate::columns::records;

/// Event time of event 0: 2015-07-15T00:00:00Z, as in the reference generator, in milliseconds since 1970.
const BASE_TIME_MS: u64 = 1_436_918_400_000;

/// After how many events the types repeat.
const CYCLE: u64 = 50;

/// The types of events, in the order of the source's streams.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Somebody registers.
    Person,
    /// Something is offered.
    Auction,
    /// Somebody bids on something.
    Bid,
}

impl Kind {
    /// All of them.
    pub const ALL: [Kind; 3] = [Kind::Person, Kind::Auction, Kind::Bid];

    /// The stream's name after the dot.
    pub fn name(self) -> &'static str {
        match self {
            Kind::Person => "person",
            Kind::Auction => "auction",
            Kind::Bid => "bid",
        }
    }

    /// All columns of the stream.
    pub fn schema(self) -> SchemaRef {
        let columns: &[(&str, &str)] = match self {
            Kind::Person => &[
                ("id", "bigint"),
                ("name", "string"),
                ("email_address", "string"),
                ("credit_card", "string"),
                ("city", "string"),
                ("state", "string"),
                ("date_time", "timestamp"),
                ("extra", "string"),
            ],
            Kind::Auction => &[
                ("id", "bigint"),
                ("item_name", "string"),
                ("description", "string"),
                ("initial_bid", "bigint"),
                ("reserve", "bigint"),
                ("date_time", "timestamp"),
                ("expires", "timestamp"),
                ("seller", "bigint"),
                ("category", "bigint"),
                ("extra", "string"),
            ],
            Kind::Bid => &[
                ("auction", "bigint"),
                ("bidder", "bigint"),
                ("price", "bigint"),
                ("channel", "string"),
                ("url", "string"),
                ("date_time", "timestamp"),
                ("extra", "string"),
            ],
        };
        let field = |(name, text): &(&str, &str)| ColumnType::parse(text).ok().map(|parsed| Field::new(*name, parsed.data_type, false));
        Arc::new(Schema::new(columns.iter().filter_map(field).collect::<Vec<_>>()))
    }

    /// The column that no two events have the same value of.
    pub(super) fn unique_key(self) -> Option<&'static str> {
        match self {
            Kind::Person | Kind::Auction => Some("id"),
            Kind::Bid => None,
        }
    }

    fn event_type(self) -> EventType {
        match self {
            Kind::Person => EventType::Person,
            Kind::Auction => EventType::Auction,
            Kind::Bid => EventType::Bid,
        }
    }

    /// How many events of this type have a number below `event`.
    fn before(self, event: u64) -> u64 {
        let (first, count) = match self {
            Kind::Person => (0, 1),
            Kind::Auction => (1, 3),
            Kind::Bid => (4, 46),
        };
        event / CYCLE * count + (event % CYCLE).saturating_sub(first).min(count)
    }
}

/// Makes events `first..end` as batches of all columns of the type, each from at most `batch_events` events.
///
/// # Errors
/// Only on a mistake in here.
pub fn generate_batches(kind: Kind, first: u64, end: u64, batch_events: u64) -> Result<Vec<RecordBatch>> {
    let mut generator = Generator::new(first, first, &[(kind, kind.schema())])?;
    let mut batches = Vec::new();
    while generator.next_event() < end {
        let until = generator.next_event().saturating_add(batch_events.max(1)).min(end);
        batches.extend(generator.until(until)?.into_iter().map(|part| part.records));
    }
    Ok(batches)
}

/// Makes the events of some types in the order of their numbers.
pub struct Generator {
    next_event: u64,
    streams: Vec<StreamGenerator>,
}

impl Generator {
    /// A generator that goes on at event `from` of a stream that began at event `first`, with these columns of these types.
    ///
    /// # Errors
    /// When a type does not have one of the columns.
    pub fn new(first: u64, from: u64, wanted: &[(Kind, SchemaRef)]) -> Result<Self> {
        let config = NexmarkConfig { base_time: BASE_TIME_MS, ..NexmarkConfig::default() };
        let stream = |(kind, schema): &(Kind, SchemaRef)| {
            let names = schema.fields().iter().map(|field| column_of(*kind, field.name()));
            Ok(StreamGenerator {
                kind: *kind,
                schema: schema.clone(),
                columns: names.collect::<Result<_>>()?,
                rows_before_first: kind.before(first),
                events: EventGenerator::new(config.clone()).with_type_filter(kind.event_type()).with_offset(kind.before(from)),
            })
        };
        Ok(Generator { next_event: from, streams: wanted.iter().map(stream).collect::<Result<_>>()? })
    }

    /// The number of the next event.
    pub fn next_event(&self) -> u64 {
        self.next_event
    }

    /// The events up to number `until`, not including it; a part for each type of which there are any.
    ///
    /// # Errors
    /// Only on a mistake in here.
    pub fn until(&mut self, until: u64) -> Result<Vec<SourcePart>> {
        let mut parts = Vec::new();
        for stream in &mut self.streams {
            let (from, to) = (stream.kind.before(self.next_event), stream.kind.before(until));
            if from < to {
                // A run may go on at an event before the one that it was told to begin with since.
                let first_row = from.checked_signed_diff(stream.rows_before_first);
                let first_row = first_row.ok_or_else(|| Error::internal("more events than there can be"))?;
                parts.push(SourcePart {
                    output: stream.kind as usize,
                    records: stream.take((to - from) as usize)?,
                    first_row,
                    weights: None,
                });
            }
        }
        self.next_event = until;
        Ok(parts)
    }
}

struct StreamGenerator {
    kind: Kind,
    schema: SchemaRef,
    columns: Vec<Column>,
    rows_before_first: u64,
    events: EventGenerator,
}

impl StreamGenerator {
    fn take(&mut self, rows: usize) -> Result<RecordBatch> {
        for event in self.events.by_ref().take(rows) {
            self.columns.iter_mut().for_each(|column| column.push(&event));
        }
        let arrays: Vec<ArrayRef> = self.columns.iter_mut().map(Column::finish).collect();
        records(&self.schema, arrays, rows)
    }
}

/// A column under construction, and how it gets its value from an event.
enum Column {
    Integer(Int64Builder, fn(&Event) -> u64),
    Time(TimestampMicrosecondBuilder, fn(&Event) -> u64),
    Text(StringViewBuilder, fn(&Event) -> &str),
}

impl Column {
    fn push(&mut self, event: &Event) {
        match self {
            Column::Integer(builder, of) => builder.append_value(of(event) as i64),
            Column::Time(builder, of) => builder.append_value((of(event) as i64).saturating_mul(1000)),
            Column::Text(builder, of) => builder.append_value(of(event)),
        }
    }

    fn finish(&mut self) -> ArrayRef {
        match self {
            Column::Integer(builder, _) => Arc::new(builder.finish()),
            Column::Time(builder, _) => Arc::new(builder.finish().with_timezone(UTC)),
            Column::Text(builder, _) => Arc::new(builder.finish()),
        }
    }
}

/// A field of the events of one type; the stream it is for has no others.
macro_rules! field {
    ($kind:ident, $builder:ident, $event:ident => $value:expr, $other:expr) => {
        Column::$builder(Default::default(), |event| match event {
            Event::$kind($event) => $value,
            _ => $other,
        })
    };
}

macro_rules! integer {
    ($kind:ident, $field:ident) => {
        field!($kind, Integer, event => event.$field as u64, 0)
    };
}

macro_rules! time {
    ($kind:ident, $field:ident) => {
        field!($kind, Time, event => event.$field, 0)
    };
}

macro_rules! text {
    ($kind:ident, $field:ident) => {
        field!($kind, Text, event => event.$field.as_str(), "")
    };
}

fn column_of(kind: Kind, name: &str) -> Result<Column> {
    Ok(match (kind, name) {
        (Kind::Person, "id") => integer!(Person, id),
        (Kind::Person, "name") => text!(Person, name),
        (Kind::Person, "email_address") => text!(Person, email_address),
        (Kind::Person, "credit_card") => text!(Person, credit_card),
        (Kind::Person, "city") => text!(Person, city),
        (Kind::Person, "state") => text!(Person, state),
        (Kind::Person, "date_time") => time!(Person, date_time),
        (Kind::Person, "extra") => text!(Person, extra),
        (Kind::Auction, "id") => integer!(Auction, id),
        (Kind::Auction, "item_name") => text!(Auction, item_name),
        (Kind::Auction, "description") => text!(Auction, description),
        (Kind::Auction, "initial_bid") => integer!(Auction, initial_bid),
        (Kind::Auction, "reserve") => integer!(Auction, reserve),
        (Kind::Auction, "date_time") => time!(Auction, date_time),
        (Kind::Auction, "expires") => time!(Auction, expires),
        (Kind::Auction, "seller") => integer!(Auction, seller),
        (Kind::Auction, "category") => integer!(Auction, category),
        (Kind::Auction, "extra") => text!(Auction, extra),
        (Kind::Bid, "auction") => integer!(Bid, auction),
        (Kind::Bid, "bidder") => integer!(Bid, bidder),
        (Kind::Bid, "price") => integer!(Bid, price),
        (Kind::Bid, "channel") => text!(Bid, channel),
        (Kind::Bid, "url") => text!(Bid, url),
        (Kind::Bid, "date_time") => time!(Bid, date_time),
        (Kind::Bid, "extra") => text!(Bid, extra),
        (_, name) => return Err(Error::internal(format!("{} events have no `{name}`", kind.name()))),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::record_rows;

    #[test]
    fn the_first_person_is_the_reference_one() {
        let batches = generate_batches(Kind::Person, 0, 1, 10).unwrap();
        let expected = r#"{"id":1000,"name":"vicky noris","email_address":"yplkvgz@qbxfg.com","credit_card":"7878 5821 1864 2539","city":"cheyenne","state":"az","date_time":"2015-07-15T00:00:00Z","extra":"lwaiyhjhrkaruidlsjilvqccyedttedeynpqmackqbwvklwuyypztnkengzgtwtjivjgrxurskpcldfohdzuwnefqymyncrksxyfaecwsbswjumzxudgoznyhakxrudomnxtmqtgshecfjgspxzpludz"}"#;
        assert_eq!(record_rows(&batches[0]), [expected]);
    }

    #[test]
    fn events_are_those_of_the_unfiltered_generator() {
        let config = NexmarkConfig { base_time: BASE_TIME_MS, ..NexmarkConfig::default() };
        let mut all: Vec<Event> = EventGenerator::new(config).skip(33).take(400).collect();
        all.retain(|event| event.event_type() == EventType::Bid);
        let bids: Vec<String> = generate_batches(Kind::Bid, 33, 433, 7).unwrap().iter().flat_map(record_rows).collect();
        assert_eq!(bids.len(), all.len());
        for (bid, event) in bids.iter().zip(&all) {
            let Event::Bid(expected) = event else { panic!("not a bid") };
            let start = format!(
                r#"{{"auction":{},"bidder":{},"price":{},"channel":"{}""#,
                expected.auction, expected.bidder, expected.price, expected.channel
            );
            assert!(bid.starts_with(&start), "{bid} is not {expected:?}");
        }
    }

    #[test]
    fn ten_thousand_events_make_a_second() {
        let bids = generate_batches(Kind::Bid, 9_999, 10_006, 100).unwrap();
        let rows = record_rows(&bids[0]);
        assert!(rows[0].contains("00:00:01Z"), "{}", rows[0]);
    }

    #[test]
    fn rows_before_the_first_event_have_numbers_below_zero() {
        let mut generator = Generator::new(100, 50, &[(Kind::Person, Kind::Person.schema())]).unwrap();
        let parts = generator.until(200).unwrap();
        assert_eq!((parts[0].first_row, parts[0].records.num_rows()), (-1, 3));
    }

    #[test]
    fn rows_before_an_event_count_one_type() {
        for event in 0..200 {
            let of_type = |first: u64, end: u64| (0..event).filter(|n| (first..end).contains(&(n % CYCLE))).count() as u64;
            assert_eq!(Kind::ALL.map(|kind| kind.before(event)), [of_type(0, 1), of_type(1, 4), of_type(4, 50)]);
        }
    }
}

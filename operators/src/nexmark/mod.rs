//! `nexmark`: the events of the Nexmark benchmark, an online auction, made up as they are read.
//!
//! The generator is the crate `nexmark` with its defaults: 1 person, 3 auctions and 46 bids in 50 events, ten thousand events
//! for a second of event time. Event `n` depends on nothing but `n`, so that the source is deterministic and may begin
//! anywhere. [`generate`] makes the batches; benches use it without a source.

pub mod generate;

use std::sync::Arc;
use std::time::Duration;

use millstream_api::plan::{Inputs, Make, OutputPlan, Plan, SourceContext, SourceFactory};
use millstream_api::registry::{InputKeys, NodeOptions, Role};
use millstream_api::source::{Next, Position, SourceRows};
use millstream_api::{Diagnostic, Diagnostics, Error, Result, Source, Stream};
use schemars::JsonSchema;
use serde::Deserialize;

use self::generate::{Generator, Kind};

/// The events of the Nexmark benchmark: an online auction.
///
/// Gives three streams instead of one: `NAME.person`, `NAME.auction` and `NAME.bid`, with the columns of the reference
/// generator; prices are in cents. Of 50 events 1 is a person, 3 are auctions and 46 are bids; 10,000 events make a second of
/// event time, which begins at 2015-07-15T00:00:00Z. The same options always give the same events. Only streams that somebody
/// reads are made.
///
/// ```toml
/// [sources.nexmark]
/// type   = "nexmark"
/// events = 1000000
/// time   = { by = "date_time" }
///
/// [operators.big_bids]
/// type  = "filter"
/// input = "nexmark.bid"
/// where = "price > 1000000"
/// ```
#[derive(Clone, Debug, Deserialize, JsonSchema)]
pub struct NexmarkOptions {
    /// How many events in all, persons, auctions and bids together. Default: without end.
    pub events: Option<u64>,
    /// The number of the first event: event time and ids are those that a run from 0 has there.
    #[serde(default)]
    pub first_event: u64,
}

/// The greatest event number: no id and no event time overflows up to here, and nobody will wait for it. (The generator
/// computes times in single precision: after some billion events many share a time. They never fall.)
const MAX_EVENT: u64 = 1 << 56;

impl NodeOptions for NexmarkOptions {
    const KIND: &'static str = "nexmark";
    const ROLE: Role = Role::Source;
    const INPUTS: InputKeys = InputKeys::None;

    fn plan(self, _: &Inputs<'_>) -> Result<Plan, Diagnostics> {
        let end = self.events.map_or(MAX_EVENT, |events| self.first_event.saturating_add(events));
        if end > MAX_EVENT || self.first_event > MAX_EVENT {
            let key = if self.first_event > MAX_EVENT { "first_event" } else { "events" };
            let message = format!("the last event would have a number greater than {MAX_EVENT}");
            return Err(Diagnostic::error("out-of-range", message).key(key).help("begin earlier, or make fewer events").into());
        }
        let outputs = Kind::ALL.map(|kind| {
            let stream = Stream {
                from_source: true,
                bounded: self.events.is_some(),
                unique_key: kind.unique_key().map(|name| vec![name.to_owned()]),
                ..Stream::plain(kind.schema())
            };
            OutputPlan::side(kind.name(), stream)
        });
        let factory = NexmarkFactory { first: self.first_event, end, events: self.events };
        Ok(Plan::new(Vec::new(), outputs.into(), Make::Source(Arc::new(factory))))
    }
}

struct NexmarkFactory {
    first: u64,
    end: u64,
    events: Option<u64>,
}

impl SourceFactory for NexmarkFactory {
    fn splits(&self) -> Result<Vec<String>> {
        Ok(vec!["events".to_owned()])
    }

    fn repeats(&self) -> bool {
        true
    }

    fn make(&self, context: &SourceContext) -> Result<Box<dyn Source>> {
        let from = match context.positions.iter().find(|(split, _)| *split == 0) {
            Some((_, Position(text))) => {
                text.parse().map_err(|_| Error::internal(format!("`{text}` is no position of a nexmark source")))?
            }
            None => self.first,
        };
        let wanted = Kind::ALL.into_iter().zip(&context.outputs).filter(|(_, shape)| shape.read);
        let wanted: Vec<(Kind, _)> = wanted.map(|(kind, shape)| (kind, shape.schema.clone())).collect();
        Ok(Box::new(Nexmark {
            generator: Generator::new(self.first, from, &wanted)?,
            end: self.end,
            batch_events: context.batch_rows as u64,
            has_ended: false,
        }))
    }

    fn size_hint(&self) -> Option<u64> {
        self.events
    }

    fn progress(&self, _: u32, Position(text): &Position) -> Option<u64> {
        text.parse::<u64>().ok()?.checked_sub(self.first)
    }
}

struct Nexmark {
    generator: Generator,
    end: u64,
    batch_events: u64,
    has_ended: bool,
}

impl Source for Nexmark {
    fn next(&mut self, _: Duration) -> Result<Next> {
        if self.generator.next_event() >= self.end {
            if std::mem::replace(&mut self.has_ended, true) {
                return Ok(Next::End);
            }
            return Ok(Next::SplitEnd(0));
        }
        let until = self.generator.next_event().saturating_add(self.batch_events).min(self.end);
        let parts = self.generator.until(until)?;
        Ok(Next::Rows(SourceRows { split: 0, parts, bad: Vec::new(), position: Position(until.to_string()) }))
    }
}

#[cfg(test)]
mod tests {
    use millstream_api::plan::Shape;
    use serde_json::json;

    use super::*;
    use crate::testing::{Node, record_rows};

    fn shapes(read: [bool; 3]) -> Vec<Shape> {
        let shape =
            |(kind, read): (Kind, bool)| Shape { schema: kind.schema(), explicit_windows: false, judge: false, origin: false, read };
        Kind::ALL.into_iter().zip(read).map(shape).collect()
    }

    fn source(options: serde_json::Value, outputs: Vec<Shape>, positions: Vec<(u32, Position)>) -> Box<dyn Source> {
        let plan = Node::plan::<NexmarkOptions>(options, Vec::new()).plan;
        let Make::Source(factory) = plan.make else { panic!("not a source") };
        factory.make(&SourceContext { node: "n".into(), batch_rows: 64, workers: 1, outputs, positions }).unwrap()
    }

    /// All rows, with the number of the output and of the row before each.
    fn read_all(mut source: Box<dyn Source>) -> Vec<String> {
        let mut found = Vec::new();
        loop {
            match source.next(Duration::ZERO).unwrap() {
                Next::Rows(rows) => {
                    for part in rows.parts {
                        let numbered = record_rows(&part.records).into_iter().enumerate();
                        found.extend(numbered.map(|(i, row)| format!("{} {} {row}", part.output, part.first_row + i as i64)));
                    }
                }
                Next::End => return found,
                Next::SplitEnd(0) => {}
                other => panic!("{other:?}"),
            }
        }
    }

    #[test]
    fn a_restart_goes_on_exactly_where_it_was() {
        let options = || json!({ "events": 500, "first_event": 7 });
        let mut straight = read_all(source(options(), shapes([true; 3]), Vec::new()));
        assert_eq!(straight.len(), 500);
        let mut first = source(options(), shapes([true; 3]), Vec::new());
        let Next::Rows(rows) = first.next(Duration::ZERO).unwrap() else { panic!("no rows") };
        let before: usize = rows.parts.iter().map(|part| part.records.num_rows()).sum();
        let mut rest = read_all(source(options(), shapes([true; 3]), vec![(0, rows.position)]));
        assert_eq!(rest.len() + before, 500);
        straight.sort();
        rest.sort();
        assert!(rest.iter().all(|row| straight.binary_search(row).is_ok()));
    }

    #[test]
    fn only_what_is_read_is_made() {
        let bids = read_all(source(json!({ "events": 100 }), shapes([false, false, true]), Vec::new()));
        assert_eq!(bids.len(), 92);
        assert!(bids.iter().all(|row| row.starts_with("2 ")));
        assert!(bids[91].starts_with("2 91 "), "{}", bids[91]);
    }

    #[test]
    fn the_last_events_are_still_within_bounds() {
        let bids = read_all(source(json!({ "events": 4, "first_event": MAX_EVENT - 4 }), shapes([false, false, true]), Vec::new()));
        assert_eq!(bids.len(), 4);
        assert!(bids[3].contains(r#""date_time":"+230356-"#), "{}", bids[3]);
    }

    #[test]
    fn the_streams_end_only_with_a_number_of_events() {
        let bounded = |options| Node::plan::<NexmarkOptions>(options, Vec::new()).plan.outputs[0].stream.bounded;
        assert!(bounded(json!({ "events": 1 })));
        assert!(!bounded(json!({})));
        let found = Node::mistakes::<NexmarkOptions>(json!({ "events": u64::MAX, "first_event": 9 }), Vec::new());
        assert_eq!(found[0].0, "out-of-range");
    }
}

//! The queries on Renoir, after its example `nexmark`.
//!
//! Its windows of event time begin with the first row of each key, so that they would give other answers. Here the window is a part of
//! the key, which also spares it watermarks; results then come at the end of the input.

use renoir::Stream;
use renoir::operator::Operator;
use renoir::prelude::*;

use crate::events::{Blocks, Event};
use crate::result::{self, Rows};

/// As in Renoir's example.
const BATCH_SIZE: usize = 16 << 10;

/// Milliseconds of a slide, of which a window of q5 has five, and of a window of q8.
const SLIDE: u64 = 2_000;
const SLIDES: u64 = 5;
const WINDOW: u64 = 10_000;

pub fn run(query: &str, path: &str, workers: usize) {
    let env = StreamContext::new(RuntimeConfig::local(workers as u64).unwrap());
    let path = path.to_owned();
    let events = env.stream_par_iter(move |index, peers| Blocks::new(&path, index as usize, peers as usize).events());
    let events = events.batch_mode(BatchMode::fixed(BATCH_SIZE));
    match query {
        "q1" => q1(events),
        "q2" => q2(events),
        "q3" => q3(events),
        "q5_counts" => q5_counts(events),
        "q5" => q5(events),
        "q8" => q8(events),
        _ => panic!("no query {query}"),
    }
    env.execute_blocking();
}

fn q1(events: Stream<impl Operator<Out = Event> + 'static>) {
    let mut rows = Rows::default();
    events
        .filter_map(Event::bid)
        .map(|bid| (bid.auction, bid.bidder, bid.price * 908, bid.date_time))
        .for_each(move |(auction, bidder, mills, _)| rows.add(result::q1(auction, bidder, mills)));
}

fn q2(events: Stream<impl Operator<Out = Event> + 'static>) {
    let mut rows = Rows::default();
    events
        .filter_map(Event::bid)
        .filter(|bid| bid.auction % 123 == 0)
        .map(|bid| (bid.auction, bid.price))
        .for_each(move |(auction, price)| rows.add(result::q2(auction, price)));
}

fn q3(events: Stream<impl Operator<Out = Event> + 'static>) {
    let mut rows = Rows::default();
    let mut routes = events
        .route()
        .add_route(|event| matches!(event, Event::Person(_)))
        .add_route(|event| matches!(event, Event::Auction(_)))
        .build()
        .into_iter();
    let persons = routes.next().unwrap().filter_map(Event::person).filter(|p| matches!(p.state.as_str(), "or" | "id" | "ca"));
    let auctions = routes.next().unwrap().filter_map(Event::auction).filter(|auction| auction.category == 10);
    persons
        .join(auctions, |person| person.id, |auction| auction.seller)
        .drop_key()
        .map(|(person, auction)| (person.name, person.city, person.state, auction.id))
        .for_each(move |(_, _, _, auction)| rows.add(result::q3(auction)));
}

/// Window, auction and how many bids; a bid is counted once for its slide, and a window is the sum of its slides.
fn counts(events: Stream<impl Operator<Out = Event> + 'static>) -> Stream<impl Operator<Out = ((u64, u64), usize)>> {
    events
        .filter_map(Event::bid)
        .group_by_count(|bid| (bid.date_time / SLIDE, bid.auction))
        .unkey()
        .flat_map(|((slide, auction), count)| (0..SLIDES).map(move |later| ((slide + later, auction), count)))
        .group_by_sum(|(key, _)| *key, |(_, count)| count)
        .unkey()
}

fn q5_counts(events: Stream<impl Operator<Out = Event> + 'static>) {
    let mut rows = Rows::default();
    counts(events).for_each(move |((_, auction), count)| rows.add(result::q5(auction, count as u64)));
}

fn q5(events: Stream<impl Operator<Out = Event> + 'static>) {
    let mut rows = Rows::default();
    let best = |best: &mut (usize, Vec<u64>), count: usize, auctions: Vec<u64>| {
        if count > best.0 {
            *best = (count, auctions);
        } else if count == best.0 {
            best.1.extend(auctions);
        }
    };
    counts(events)
        .group_by_fold(
            |((window, _), _)| *window,
            (0, Vec::new()),
            move |so_far, ((_, auction), count)| best(so_far, count, vec![auction]),
            move |so_far, (count, auctions)| best(so_far, count, auctions),
        )
        .drop_key()
        .for_each(move |(count, auctions)| auctions.iter().for_each(|auction| rows.add(result::q5(*auction, count as u64))));
}

fn q8(events: Stream<impl Operator<Out = Event> + 'static>) {
    let mut rows = Rows::default();
    let mut routes = events
        .route()
        .add_route(|event| matches!(event, Event::Person(_)))
        .add_route(|event| matches!(event, Event::Auction(_)))
        .build()
        .into_iter();
    let persons = routes.next().unwrap().filter_map(Event::person).map(|person| (person.id, person.date_time / WINDOW, person.name));
    let auctions = routes.next().unwrap().filter_map(Event::auction);
    let sellers = auctions.map(|auction| (auction.seller, auction.date_time / WINDOW)).unique_assoc();
    persons
        .join(sellers, |(id, window, _)| (*id, *window), |seller| *seller)
        .drop_key()
        .map(|((id, window, name), _)| (id, name, window))
        .for_each(move |(id, _, _)| rows.add(result::q8(id)));
}

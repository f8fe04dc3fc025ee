//! The queries on timely dataflow, after its examples `hashjoin` and `wordcount`. Its times are slides: two seconds of event time.

use std::collections::BTreeMap;

use rustc_hash::{FxHashMap, FxHashSet};
use timely::Config;
use timely::container::CapacityContainerBuilder;
use timely::dataflow::channels::pact::{Exchange, Pipeline};
use timely::dataflow::operators::generic::operator::{Operator, source};
use timely::dataflow::operators::vec::{Filter, Map};
use timely::dataflow::{Scope, StreamVec};

use crate::events::{Blocks, Event};
use crate::result::{self, Rows};

/// Milliseconds of a slide; a window of q5 has five, and one of q8 is as long as five.
const SLIDE: u64 = 2_000;
const SLIDES: u64 = 5;

type Builder<D> = CapacityContainerBuilder<Vec<D>>;

pub fn run(query: &str, path: &str, workers: usize) {
    let (query, path) = (query.to_owned(), path.to_owned());
    timely::execute(Config::process(workers), move |worker| {
        let (index, peers) = (worker.index(), worker.peers());
        worker.dataflow::<u64, _, _>(|scope| {
            let events = read(scope, Blocks::new(&path, index, peers));
            match query.as_str() {
                "q1" => q1(events),
                "q2" => q2(events),
                "q3" => q3(events),
                "q5_counts" => q5_counts(events),
                "q5" => q5(events),
                "q8" => q8(events),
                _ => panic!("no query {query}"),
            }
        });
    })
    .unwrap();
}

/// The events of a worker's blocks, at the times of their slides.
fn read<'scope>(scope: Scope<'scope, u64>, mut blocks: Blocks) -> StreamVec<'scope, u64, Event> {
    source::<_, Builder<Event>, _, _>(scope, "Read", |capability, info| {
        let activator = scope.activator_for(info.address);
        let mut capability = Some(capability);
        move |output| {
            let Some(mut events) = blocks.next_block() else {
                capability = None;
                return;
            };
            let capability = capability.as_mut().unwrap();
            while let Some(slide) = events.first().map(|event| event.date_time() / SLIDE) {
                let rest = events.split_off(events.iter().position(|e| e.date_time() / SLIDE != slide).unwrap_or(events.len()));
                capability.downgrade(&slide);
                output.session(&capability).give_iterator(events.into_iter());
                events = rest;
            }
            activator.activate();
        }
    })
}

/// Counts rows by their numbers.
fn take<D: 'static>(stream: StreamVec<'_, u64, D>, number: impl Fn(&D) -> u64 + 'static) {
    let mut rows = Rows::default();
    stream.unary::<Builder<()>, _, _, _>(Pipeline, "Take", |_, _| {
        move |input, _| input.for_each_stamp(|_, data| data.for_each(|rows_in| rows_in.iter().for_each(|row| rows.add(number(row)))))
    });
}

fn q1(events: StreamVec<'_, u64, Event>) {
    let converted = events.flat_map(|event| event.bid().map(|bid| (bid.auction, bid.bidder, bid.price * 908, bid.date_time)));
    take(converted, |(auction, bidder, mills, _)| result::q1(*auction, *bidder, *mills));
}

fn q2(events: StreamVec<'_, u64, Event>) {
    let some = events.flat_map(Event::bid).filter(|bid| bid.auction % 123 == 0).map(|bid| (bid.auction, bid.price));
    take(some, |(auction, price)| result::q2(*auction, *price));
}

fn q3(events: StreamVec<'_, u64, Event>) {
    let persons = events.clone().flat_map(Event::person).filter(|person| matches!(person.state.as_str(), "or" | "id" | "ca"));
    let persons = persons.map(|person| (person.id, (person.name, person.city, person.state)));
    let auctions = events.flat_map(Event::auction).filter(|auction| auction.category == 10).map(|auction| (auction.seller, auction.id));
    let by_person = Exchange::new(|(id, _): &(u64, (String, String, String))| *id);
    let by_seller = Exchange::new(|(seller, _): &(u64, u64)| *seller);
    let joined = persons.binary::<_, Builder<(String, String, String, u64)>, _, _, _, _>(auctions, by_person, by_seller, "Join", |_, _| {
        let mut sellers = FxHashMap::<u64, (String, String, String)>::default();
        let mut offers = FxHashMap::<u64, Vec<u64>>::default();
        move |persons, auctions, output| {
            persons.for_each_stamp(|capability, data| {
                let mut session = output.session(&capability);
                for (id, (name, city, state)) in data.flat_map(|rows| rows.drain(..)) {
                    for auction in offers.get(&id).into_iter().flatten() {
                        session.give((name.clone(), city.clone(), state.clone(), *auction));
                    }
                    sellers.insert(id, (name, city, state));
                }
            });
            auctions.for_each_stamp(|capability, data| {
                let mut session = output.session(&capability);
                for (seller, auction) in data.flat_map(|rows| rows.drain(..)) {
                    if let Some((name, city, state)) = sellers.get(&seller) {
                        session.give((name.clone(), city.clone(), state.clone(), auction));
                    }
                    offers.entry(seller).or_default().push(auction);
                }
            });
        }
    });
    take(joined, |(_, _, _, auction)| result::q3(*auction));
}

/// Slide at whose end a window ends, auction and number of bids; with `hottest`, of each worker only those with the most.
fn counts<'scope>(events: StreamVec<'scope, u64, Event>, hottest: bool) -> StreamVec<'scope, u64, (u64, u64, u64)> {
    let bids = events.flat_map(|event| event.bid().map(|bid| (bid.auction, bid.date_time / SLIDE)));
    let by_auction = Exchange::new(|(auction, _): &(u64, u64)| *auction);
    bids.unary_frontier::<Builder<(u64, u64, u64)>, _, _, _>(by_auction, "Count", move |_, _| {
        let mut slides = BTreeMap::<u64, FxHashMap<u64, u64>>::new();
        // One capability for each window that is open.
        let mut open = BTreeMap::new();
        move |(input, frontier), output| {
            input.for_each_stamp(|capability, data| {
                let Some(capability) = capability.retain_least(output.output_index()) else { return };
                let slide = *capability.time();
                for window in slide..slide + SLIDES {
                    open.entry(window).or_insert_with(|| capability.delayed(&window));
                }
                let counts = slides.entry(slide).or_default();
                data.flat_map(|rows| rows.drain(..)).for_each(|(auction, _)| *counts.entry(auction).or_default() += 1);
            });
            while let Some(window) = open.keys().next().copied().filter(|window| !frontier.less_equal(window)) {
                let capability = open.remove(&window).unwrap();
                let mut merged = FxHashMap::<u64, u64>::default();
                for (_, counts) in slides.range(window + 1 - SLIDES..=window) {
                    counts.iter().for_each(|(auction, count)| *merged.entry(*auction).or_default() += count);
                }
                let least = if hottest { merged.values().copied().max().unwrap_or(0) } else { 0 };
                let kept = merged.into_iter().filter(|(_, count)| *count >= least);
                output.session(&capability).give_iterator(kept.map(|(auction, count)| (window, auction, count)));
                slides = slides.split_off(&(window + 2 - SLIDES));
            }
        }
    })
}

fn q5_counts(events: StreamVec<'_, u64, Event>) {
    take(counts(events, false), |(_, auction, count)| result::q5(*auction, *count));
}

fn q5(events: StreamVec<'_, u64, Event>) {
    let by_window = Exchange::new(|(window, _, _): &(u64, u64, u64)| *window);
    let hottest = counts(events, true).unary_frontier::<Builder<(u64, u64, u64)>, _, _, _>(by_window, "Hottest", |_, _| {
        let mut windows = BTreeMap::new();
        move |(input, frontier), output| {
            input.for_each_stamp(|capability, data| {
                if let Some(capability) = capability.retain_least(output.output_index()) {
                    let (_, rows) = windows.entry(*capability.time()).or_insert_with(|| (capability, Vec::new()));
                    rows.extend(data.flat_map(|rows| rows.drain(..)));
                }
            });
            while let Some(window) = windows.keys().next().copied().filter(|window| !frontier.less_equal(window)) {
                let (capability, rows) = windows.remove(&window).unwrap();
                let most = rows.iter().map(|(_, _, count)| *count).max().unwrap_or(0);
                output.session(&capability).give_iterator(rows.into_iter().filter(|(_, _, count)| *count == most));
            }
        }
    });
    take(hottest, |(_, auction, count)| result::q5(*auction, *count));
}

fn q8(events: StreamVec<'_, u64, Event>) {
    let window = |date_time: u64| date_time / SLIDE / SLIDES;
    let persons = events.clone().flat_map(Event::person).map(move |person| (person.id, window(person.date_time), person.name));
    let sellers = events.flat_map(Event::auction).map(move |auction| (auction.seller, window(auction.date_time)));
    let by_person = Exchange::new(|(id, _, _): &(u64, u64, String)| *id);
    let by_seller = Exchange::new(|(seller, _): &(u64, u64)| *seller);
    let joined = persons.binary_frontier::<_, Builder<(u64, String, u64)>, _, _, _, _>(sellers, by_person, by_seller, "Join", |_, _| {
        // Of each window those who wait for a first auction, and those who have opened one.
        let mut windows = BTreeMap::<u64, (FxHashMap<u64, String>, FxHashSet<u64>)>::new();
        move |(persons, frontier), (sellers, other_frontier), output| {
            persons.for_each_stamp(|capability, data| {
                let mut session = output.session(&capability);
                for (id, window, name) in data.flat_map(|rows| rows.drain(..)) {
                    let (waiting, sellers) = windows.entry(window).or_default();
                    if sellers.contains(&id) {
                        session.give((id, name, window));
                    } else {
                        waiting.insert(id, name);
                    }
                }
            });
            sellers.for_each_stamp(|capability, data| {
                let mut session = output.session(&capability);
                for (seller, window) in data.flat_map(|rows| rows.drain(..)) {
                    let (waiting, sellers) = windows.entry(window).or_default();
                    if sellers.insert(seller)
                        && let Some(name) = waiting.remove(&seller)
                    {
                        session.give((seller, name, window));
                    }
                }
            });
            let is_open = |window: u64| {
                let last = (window + 1) * SLIDES - 1;
                frontier.less_equal(&last) || other_frontier.less_equal(&last)
            };
            while windows.keys().next().is_some_and(|window| !is_open(*window)) {
                windows.pop_first();
            }
        }
    });
    take(joined, |(id, _, _)| result::q8(*id));
}

//! The events of the file of all types, one JSON object a line with its type first, read with serde: of each what some query needs.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::vec;

use serde::{Deserialize, Serialize};

/// Somebody registers.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Person {
    pub id: u64,
    pub name: String,
    pub city: String,
    pub state: String,
    pub date_time: u64,
}

/// Something is offered.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Auction {
    pub id: u64,
    pub date_time: u64,
    pub seller: u64,
    pub category: u64,
}

/// Somebody bids on something.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Bid {
    pub auction: u64,
    pub bidder: u64,
    pub price: u64,
    pub date_time: u64,
}

/// An event.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum Event {
    Person(Person),
    Auction(Auction),
    Bid(Bid),
}

impl Event {
    /// Milliseconds since 1970.
    pub fn date_time(&self) -> u64 {
        match self {
            Event::Person(person) => person.date_time,
            Event::Auction(auction) => auction.date_time,
            Event::Bid(bid) => bid.date_time,
        }
    }

    pub fn bid(self) -> Option<Bid> {
        if let Event::Bid(bid) = self { Some(bid) } else { None }
    }

    pub fn auction(self) -> Option<Auction> {
        if let Event::Auction(auction) = self { Some(auction) } else { None }
    }

    pub fn person(self) -> Option<Person> {
        if let Event::Person(person) = self { Some(person) } else { None }
    }
}

/// An internally tagged enum would have serde keep each object before it knows its type, so the type is looked up by hand.
fn parse(line: &[u8]) -> Event {
    match line[br#"{"type":""#.len()] {
        b'p' => Event::Person(serde_json::from_slice(line).unwrap()),
        b'a' => Event::Auction(serde_json::from_slice(line).unwrap()),
        _ => Event::Bid(serde_json::from_slice(line).unwrap()),
    }
}

const BLOCK: u64 = 1 << 20;

/// The events of every n-th block of a file, so that several workers read it side by side and all of them in the order of time.
pub struct Blocks {
    file: File,
    size: u64,
    next: u64,
    step: u64,
    buffer: Vec<u8>,
}

impl Blocks {
    /// Those of worker `index` of `workers`.
    pub fn new(path: &str, index: usize, workers: usize) -> Self {
        let file = File::open(path).unwrap();
        let size = file.metadata().unwrap().len();
        Blocks { file, size, next: index as u64, step: workers as u64, buffer: Vec::new() }
    }

    /// The events of the lines that begin in the next block.
    pub fn next_block(&mut self) -> Option<Vec<Event>> {
        let start = self.next * BLOCK;
        if start >= self.size {
            return None;
        }
        self.next += self.step;
        // One byte more in front says whether a line begins with the block.
        let from = start.saturating_sub(1);
        let end = (start + BLOCK).min(self.size);
        self.read(from, end);
        let skipped = if start == 0 { 0 } else { memchr::memchr(b'\n', &self.buffer).map_or(self.buffer.len(), |at| at + 1) };
        let mut events = Vec::with_capacity(BLOCK as usize / 200);
        let (mut line, lines) = (skipped, &self.buffer);
        while line < (end - from) as usize {
            let length = memchr::memchr(b'\n', &lines[line..]).unwrap_or(lines.len() - line);
            events.push(parse(&lines[line..line + length]));
            line += length + 1;
        }
        Some(events)
    }

    /// The bytes from here to there, and on to the end of the line.
    fn read(&mut self, from: u64, end: u64) {
        let mut until = end;
        loop {
            until = (until + 4096).min(self.size);
            self.buffer.resize((until - from) as usize, 0);
            self.file.read_exact_at(&mut self.buffer, from).unwrap();
            if until == self.size || memchr::memchr(b'\n', &self.buffer[(end - from) as usize - 1..]).is_some() {
                return;
            }
        }
    }

    /// One event after the other.
    pub fn events(self) -> Events {
        Events { blocks: self, events: Vec::new().into_iter() }
    }
}

/// The events of [`Blocks`], one after the other.
pub struct Events {
    blocks: Blocks,
    events: vec::IntoIter<Event>,
}

impl Iterator for Events {
    type Item = Event;

    fn next(&mut self) -> Option<Event> {
        loop {
            if let Some(event) = self.events.next() {
                return Some(event);
            }
            self.events = self.blocks.next_block()?.into_iter();
        }
    }
}

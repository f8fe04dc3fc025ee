//! Bids to JSON lines and CSV.

use std::hint::black_box;

use millstream_operators::encode::{csv, json};
use millstream_operators::nexmark::generate::{Kind, generate_batches};

use crate::{Measure, Work};

pub const GROUP: &str = "encode";

/// Of which 46 in 50 are bids.
const EVENTS: u64 = 10_000;

pub fn parts(measure: &mut dyn Measure) {
    let batch = generate_batches(Kind::Bid, 0, EVENTS, EVENTS).expect("bids").swap_remove(0);
    let mut text = Vec::new();
    for (name, write) in [
        ("JSON", &(|out: &mut Vec<u8>| json::write_rows(&batch, out)) as &dyn Fn(&mut Vec<u8>) -> millstream_api::Result<()>),
        ("CSV", &|out: &mut Vec<u8>| csv::write_rows(&batch, b',', out)),
    ] {
        text.clear();
        write(&mut text).expect("written");
        let work = Work::Text { rows: batch.num_rows() as u64, bytes: text.len() as u64 };
        measure.part(GROUP, name, work, &mut || {
            text.clear();
            write(&mut text).expect("written");
            black_box(&text);
        });
    }
}

//! The result of a query: how many rows there are, and the sum of a number for each. The script that compares the engines knows the
//! same numbers.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

static ROWS: AtomicU64 = AtomicU64::new(0);
static SUM: AtomicU64 = AtomicU64::new(0);

/// Rows of one worker.
#[derive(Clone, Default)]
pub struct Rows {
    rows: u64,
    sum: u64,
}

impl Rows {
    /// Takes the number of a row.
    pub fn add(&mut self, number: u64) {
        self.rows += 1;
        self.sum = self.sum.wrapping_add(number);
    }
}

/// A worker that ends tells what it had.
impl Drop for Rows {
    fn drop(&mut self) {
        ROWS.fetch_add(self.rows, Relaxed);
        SUM.fetch_add(self.sum, Relaxed);
    }
}

/// Rows and sum of all workers.
pub fn text() -> String {
    format!("{} {}", ROWS.load(Relaxed), SUM.load(Relaxed))
}

/// The number of a row of each query, of whole numbers so that it is the same everywhere. (A price in thousandths of a euro.)
pub fn q1(auction: u64, bidder: u64, price_mills: u64) -> u64 {
    auction.wrapping_mul(31).wrapping_add(bidder).wrapping_mul(31).wrapping_add(price_mills)
}

pub fn q2(auction: u64, price: u64) -> u64 {
    auction.wrapping_mul(31).wrapping_add(price)
}

pub fn q3(auction: u64) -> u64 {
    auction
}

pub fn q5(auction: u64, count: u64) -> u64 {
    auction.wrapping_mul(31).wrapping_add(count)
}

pub fn q8(person: u64) -> u64 {
    person
}

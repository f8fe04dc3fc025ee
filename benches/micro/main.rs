//! What single parts cost: `cargo bench -p millstream-benches`. Throughput is in rows (decoding: in bytes as well).

#![expect(clippy::expect_used, clippy::panic, reason = "a benchmark that cannot be set up has nothing to measure")]

mod aggregate;
mod decode;
mod edges;
mod exchange;
mod joins;

use criterion::{criterion_group, criterion_main};

criterion_group!(parts, edges::bench, exchange::bench, aggregate::bench, joins::bench, decode::bench);
criterion_main!(parts);

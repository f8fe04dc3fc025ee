//! What single parts cost: `cargo bench -p millstream-benches`. Throughput is in rows, of text in bytes.

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use millstream_benches::{GROUPS, Measure, Work};

struct Timed<'a>(&'a mut Criterion);

impl Measure for Timed<'_> {
    fn part(&mut self, group: &str, name: &str, work: Work, run: &mut dyn FnMut()) {
        let mut group = self.0.benchmark_group(group);
        group.sample_size(20);
        group.throughput(match work {
            Work::Rows(rows) => Throughput::Elements(rows),
            Work::Text { bytes, .. } => Throughput::Bytes(bytes),
        });
        group.bench_function(name, |bencher| bencher.iter(&mut *run));
        group.finish();
    }
}

fn all(criterion: &mut Criterion) {
    GROUPS.iter().for_each(|(_, parts)| parts(&mut Timed(criterion)));
}

criterion_group!(parts, all);
criterion_main!(parts);

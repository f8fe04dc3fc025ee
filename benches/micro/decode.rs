//! Bids as JSON lines to batches: all seven columns, and four of them.

use std::io::Write;
use std::time::Duration;

use criterion::{Criterion, Throughput};
use millstream_api::options::OnBadRow;
use millstream_api::plan::{Inputs, Make, Shape, SourceContext};
use millstream_api::registry::{Registry, Role};
use millstream_api::source::Next;

const ROWS: usize = 50_000;

pub fn bench(criterion: &mut Criterion) {
    let mut registry = Registry::new();
    millstream_operators::register(&mut registry);
    let folder = std::env::temp_dir().join(format!("millstream-bench-{}", std::process::id()));
    std::fs::create_dir_all(&folder).expect("a folder");
    let path = folder.join("bids.ndjson");
    let mut file = std::io::BufWriter::new(std::fs::File::create(&path).expect("a file"));
    for i in 0..ROWS {
        writeln!(
            file,
            r#"{{"auction":{},"bidder":{},"price":{},"channel":"Google","url":"https://www.nexmark.com/abc/def/ghi/item.htm?query=1&channel_id={i}","date_time":{},"extra":"{}"}}"#,
            1000 + i % 777,
            1000 + i % 991,
            i * 31 % 1_000_000,
            1_436_918_400_000_u64 + i as u64 / 10,
            "xyzzy ".repeat(8),
        )
        .expect("written");
    }
    drop(file);
    let bytes = std::fs::metadata(&path).expect("a file").len();
    let mut group = criterion.benchmark_group("decode JSON");
    group.sample_size(20);
    for (name, columns) in [
        ("all seven columns", ["auction", "bidder", "price", "channel", "url", "date_time", "extra"].as_slice()),
        ("four columns", ["auction", "bidder", "price", "date_time"].as_slice()),
    ] {
        group.throughput(Throughput::Bytes(bytes));
        group.bench_function(name, |bencher| bencher.iter(|| assert_eq!(read(&registry, &path, columns), ROWS)));
    }
    group.finish();
    let _ = std::fs::remove_dir_all(&folder);
}

fn read(registry: &Registry, path: &std::path::Path, columns: &[&str]) -> usize {
    let inputs = Inputs { name: "bids", streams: vec![], on_bad_row: OnBadRow::Fail, folder: ".".into() };
    let options = serde_json::json!({ "path": path, "format": "json", "schema": {
        "auction": "bigint not null", "bidder": "bigint not null", "price": "bigint not null", "channel": "string not null",
        "url": "string not null", "date_time": "timestamp(ms) not null", "extra": "string not null" } });
    let plan = registry.get(Role::Source, "file").expect("a type").plan(options, &inputs).unwrap_or_else(|e| panic!("{e}"));
    let Make::Source(factory) = &plan.make else { panic!("a source") };
    let all = &plan.outputs[0].stream.schema;
    let wanted: Vec<usize> = columns.iter().map(|name| all.index_of(name).expect("a column")).collect();
    let schema = std::sync::Arc::new(all.project(&wanted).expect("columns"));
    let shape = Shape { schema, explicit_windows: false, judge: false, origin: false, read: true };
    let context = SourceContext { node: "bids".to_owned(), batch_rows: 8192, workers: 1, outputs: vec![shape], positions: vec![] };
    let mut source = factory.make(&context).expect("a source");
    let mut rows = 0;
    loop {
        match source.next(Duration::from_secs(1)).expect("rows") {
            Next::Rows(found) => rows += found.parts.iter().map(|part| part.records.num_rows()).sum::<usize>(),
            Next::End => return rows,
            Next::Nothing | Next::SplitEnd(_) => {}
        }
    }
}

//! Text to batches, by the `file` source as it runs: bids as JSON lines, the same among other events in one file, and as CSV.

use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::time::Duration;

use millstream_api::options::OnBadRow;
use millstream_api::plan::{Inputs, Make, Shape, SourceContext};
use millstream_api::registry::{Registry, Role};
use millstream_api::source::Next;

use crate::{Measure, Work};

pub const GROUP: &str = "decode";

const ROWS: usize = 50_000;

const ALL: &[&str] = &["auction", "bidder", "price", "channel", "url", "date_time", "extra"];
const FOUR: &[&str] = &["auction", "bidder", "price", "date_time"];

/// An input and the columns that are read of it.
struct Case {
    name: &'static str,
    format: &'static str,
    text: fn() -> String,
    columns: &'static [&'static str],
}

const CASES: &[Case] = &[
    Case { name: "JSON/all seven columns", format: "json", text: bids, columns: ALL },
    Case { name: "JSON/four columns", format: "json", text: bids, columns: FOUR },
    Case { name: "JSON/merged file", format: "json", text: events, columns: &["type", "auction", "price", "date_time", "seller", "name"] },
    Case { name: "CSV/all seven columns", format: "csv", text: records, columns: ALL },
    Case { name: "CSV/four columns", format: "csv", text: records, columns: FOUR },
];

pub fn parts(measure: &mut dyn Measure) {
    let mut registry = Registry::new();
    millstream_operators::register(&mut registry);
    let folder = std::env::temp_dir().join(format!("millstream-bench-{}", std::process::id()));
    std::fs::create_dir_all(&folder).expect("a folder");
    for case in CASES {
        let path = folder.join(format!("input.{}", case.format));
        let text = (case.text)();
        std::fs::write(&path, &text).expect("a file");
        let work = Work::Text { rows: ROWS as u64, bytes: text.len() as u64 };
        measure.part(GROUP, case.name, work, &mut || assert_eq!(read(&registry, case, &path), ROWS));
    }
    let _ = std::fs::remove_dir_all(&folder);
}

/// The values of a bid: numbers, channel and address, time, and what fills it up.
fn bid(i: usize) -> (String, String, u64, String) {
    let channel = if i.is_multiple_of(2) { "Google".to_owned() } else { format!("channel-{}", i % 10_000) };
    let url = format!("https://www.nexmark.com/abc/def/ghi/item.htm?query=1&channel_id={i}");
    (channel, url, 1_436_918_400_000 + i as u64 / 10, "xyzzy ".repeat(6 + i % 5))
}

fn bid_json(i: usize) -> String {
    let (channel, url, time, extra) = bid(i);
    let (auction, bidder, price) = (1000 + i % 777, 1000 + i % 991, i * 31 % 1_000_000);
    format!(
        r#""auction":{auction},"bidder":{bidder},"price":{price},"channel":"{channel}","url":"{url}","date_time":{time},"extra":"{extra}"}}"#
    )
}

fn bids() -> String {
    (0..ROWS).fold(String::new(), |mut text, i| {
        let _ = writeln!(text, "{{{}", bid_json(i));
        text
    })
}

/// Persons, auctions and bids as they come: 1 to 3 to 46.
fn events() -> String {
    (0..ROWS).fold(String::new(), |mut text, i| {
        let time = 1_436_918_400_000 + i as u64 / 10;
        let _ = match i % 50 {
            0 => writeln!(
                text,
                r#"{{"type":"person","id":{i},"name":"Kate Wright","city":"boise","state":"id","date_time":{time},"extra":"-"}}"#
            ),
            1..=3 => {
                writeln!(text, r#"{{"type":"auction","id":{i},"item":"a chair","seller":{},"category":10,"date_time":{time}}}"#, i / 3)
            }
            _ => writeln!(text, r#"{{"type":"bid",{}"#, bid_json(i)),
        };
        text
    })
}

fn records() -> String {
    (0..ROWS).fold(format!("{}\n", ALL.join(",")), |mut text, i| {
        let (channel, url, time, extra) = bid(i);
        let _ = writeln!(text, "{},{},{},{channel},{url},{time},{extra}", 1000 + i % 777, 1000 + i % 991, i * 31 % 1_000_000);
        text
    })
}

fn read(registry: &Registry, case: &Case, path: &Path) -> usize {
    let inputs = Inputs { name: "events", streams: vec![], on_bad_row: OnBadRow::Fail, folder: PathBuf::from(".") };
    let column = |name: &&str| {
        let text = match *name {
            "auction" | "bidder" | "price" | "seller" => "bigint",
            "date_time" => "timestamp(ms) not null",
            _ => "string",
        };
        ((*name).to_owned(), text.into())
    };
    let names = if case.format == "csv" { ALL } else { case.columns };
    let schema: serde_json::Map<String, serde_json::Value> = names.iter().map(column).collect();
    let options = serde_json::json!({ "path": path, "format": case.format, "schema": schema });
    let plan = registry.get(Role::Source, "file").expect("a type").plan(options, &inputs).unwrap_or_else(|e| panic!("{e}"));
    let Make::Source(factory) = &plan.make else { panic!("a source") };
    let all = &plan.outputs[0].stream.schema;
    let wanted: Vec<usize> = case.columns.iter().map(|name| all.index_of(name).expect("a column")).collect();
    let schema = std::sync::Arc::new(all.project(&wanted).expect("columns"));
    let shape = Shape { schema, explicit_windows: false, judge: false, origin: false, read: true };
    let context = SourceContext { node: "events".to_owned(), batch_rows: 8192, workers: 1, outputs: vec![shape], positions: vec![] };
    let mut source = factory.make(&context).expect("a source");
    let mut rows = 0;
    loop {
        match source.next(Duration::from_secs(1)).expect("rows") {
            Next::Rows(found) => rows += found.parts.iter().map(|part| part.records.num_rows()).sum::<usize>(),
            Next::End => return rows,
            Next::Nothing | Next::SplitEnd(_) | Next::Closed => {}
        }
    }
}

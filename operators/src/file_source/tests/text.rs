//! JSON lines and CSV.

use std::fs;

use millstream_api::error::ErrorKind;
use serde_json::json as object;

use super::*;

/// Three files of JSON lines with 200 rows in all, one of them long, empty lines and two bad rows.
fn json_folder() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let line = |n: i64| match n {
        57 => "{\"n\":57,\"t\":\n".to_owned(),
        // More than a block of nothing.
        64 => format!("{}{{\"n\":64}}\n", "\n".repeat(250)),
        70 => "{\"n\":70\n".to_owned(),
        90 => format!("\n{{\"n\":90,\"t\":\"{}\"}}\r\n", "long ".repeat(500)),
        n if n % 31 == 7 => format!("\n\n{{\"t\":null,\"n\":{n}}}\n"),
        n => format!("{{\"n\":{n},\"t\":\"text {n}\"}}\n"),
    };
    let text = |range: std::ops::Range<i64>| range.map(line).collect::<String>();
    fs::write(folder.path().join("b.ndjson"), text(80..81).trim_end()).unwrap();
    fs::write(folder.path().join("a.ndjson"), format!("\u{feff}{}", text(0..80))).unwrap();
    fs::write(folder.path().join("a2.ndjson"), "").unwrap();
    fs::write(folder.path().join("c.ndjson"), text(81..200) + "\n\n").unwrap();
    folder
}

fn csv_folder() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let line = |n: i64| match n % 10 {
        3 => format!("\"a\nb, {n}\",{n}\r\n"),
        5 => format!("{n} is bad\n"),
        8 => format!("\"{}\",{n}\n\n", "\"\"\n".repeat(150)),
        _ => format!("t{n},{n}\n"),
    };
    fs::write(folder.path().join("a.csv"), format!("\u{feff}t,n\n{}", (0..60).map(line).collect::<String>())).unwrap();
    fs::write(folder.path().join("b.csv"), "").unwrap();
    fs::write(folder.path().join("c.csv"), "other,n,\"t\"\n1,60,x\n2,61,\"\"").unwrap();
    folder
}

#[test]
fn rows_come_in_file_order_whatever_the_threads_and_batches() {
    for (folder, path, format) in [(json_folder(), "*.ndjson", json()), (csv_folder(), ".", csv())] {
        let factory = factory(folder.path(), path, format);
        let expected = read_with(&factory, 1, 1000);
        assert!(expected.numbers.is_sorted() && expected.numbers.len() > 50, "{:?}", expected.numbers);
        for workers in [1, 2, 4] {
            for batch_rows in [1, 3, 1000] {
                let read = read_with(&factory, workers, batch_rows);
                assert_eq!((&read.numbers, &read.bad), (&expected.numbers, &expected.bad));
                assert!(read.rows.iter().all(|rows| (1..=batch_rows).contains(rows)));
            }
        }
    }
}

#[test]
fn bad_rows_name_file_and_line() {
    let read = read_with(&factory(json_folder().path(), ".", json()), 2, 7);
    assert_eq!(read.bad.len(), 2);
    assert_eq!((read.bad[0].place.as_str(), read.bad[0].raw.as_str()), ("./a.ndjson:62", "{\"n\":57,\"t\":"));
    assert_eq!((read.bad[1].place.as_str(), read.bad[1].raw.as_str()), ("./a.ndjson:327", "{\"n\":70"));
    let read = read_with(&factory(csv_folder().path(), "a.csv", csv()), 2, 7);
    let places: Vec<_> = read.bad.iter().map(|bad| bad.place.as_str()).take(2).collect();
    assert_eq!(places, ["a.csv:8", "a.csv:170"]);
}

#[test]
fn reading_goes_on_exactly_where_a_batch_ended() {
    for (folder, path, format) in [(json_folder(), "*.ndjson", json()), (csv_folder(), "*", csv())] {
        let factory = factory(folder.path(), path, format);
        let whole = read_with(&factory, 2, 3);
        for (numbers, bad, position) in &whole.stands {
            let mut context = context(&arrow_schema(&columns()), 2, 5);
            context.positions = vec![(0, position.clone())];
            let mut source = factory.make(&context).unwrap();
            let rest = read_all(&mut *source).unwrap();
            assert_eq!(rest.numbers, whole.numbers[*numbers..], "{position:?}");
            assert_eq!(rest.bad, whole.bad[*bad..], "{position:?}");
        }
    }
}

#[test]
fn rows_are_numbered_through_all_files_and_restarts() {
    let folder = json_folder();
    let factory = factory(folder.path(), "*.ndjson", json());
    let mut context = context(&arrow_schema(&columns()), 1, 10);
    let mut expected = 0;
    for _ in 0..30 {
        let mut source = factory.make(&context).unwrap();
        if let Next::Rows(rows) = source.next(FOREVER).unwrap() {
            assert_eq!(rows.parts[0].first_row, expected);
            expected += rows.parts[0].records.num_rows() as i64;
            context.positions = vec![(0, rows.position)];
        }
    }
    assert!(expected > 30);
}

#[test]
fn a_source_that_is_dropped_early_ends_its_threads() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("in.ndjson"), "{\"n\":1}\n".repeat(10_000)).unwrap();
    let factory = factory(folder.path(), "in.ndjson", json());
    let context = context(&arrow_schema(&columns()), 3, 10);
    // Dropping joins the threads: a thread that does not end would hang the test here.
    drop(factory.make(&context).unwrap());
    let mut source = factory.make(&context).unwrap();
    assert!(matches!(source.next(FOREVER).unwrap(), Next::Rows(_)));
    drop(source);
}

#[test]
fn only_the_columns_asked_for_are_decoded() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("in.ndjson"), "{\"n\":1,\"t\":5}\n{\"n\":2,\"t\":\"x\"}\n").unwrap();
    let factory = factory(folder.path(), "in.ndjson", json());
    let mut source = factory.make(&context(&arrow_schema(&columns()[..1]), 1, 10)).unwrap();
    let read = read_all(&mut *source).unwrap();
    assert_eq!((read.numbers, read.bad), (vec![1, 2], vec![]));
    let mut source = factory.make(&context(&Schema::empty(), 1, 10)).unwrap();
    let Next::Rows(rows) = source.next(FOREVER).unwrap() else { panic!("no rows") };
    assert_eq!((rows.parts[0].records.num_columns(), rows.parts[0].records.num_rows()), (0, 2));
}

#[test]
fn failures_come_after_the_rows_before_them_and_name_the_file() {
    let folder = csv_folder();
    fs::write(folder.path().join("d.csv"), "n,x\n1,2\n").unwrap();
    let factory = factory(folder.path(), "*.csv", csv());
    let mut source = factory.make(&context(&arrow_schema(&columns()), 2, 1000)).unwrap();
    let mut rows = 0;
    let error = loop {
        match source.next(FOREVER) {
            Ok(Next::Rows(batch)) => rows += batch.parts[0].records.num_rows(),
            Ok(other) => panic!("{other:?}"),
            Err(error) => break error,
        }
    };
    assert_eq!(rows, read_with(&self::factory(folder.path(), "[a-c].csv", csv()), 1, 1000).numbers.len());
    assert_eq!(error.kind(), ErrorKind::Io);
    assert_eq!(error.message(), "cannot read d.csv:1: its header has no column `t`; it has n, x");
}

#[test]
fn a_record_without_end_is_refused_before_it_fills_the_memory() {
    // Also one that ends a little beyond the limit, wherever the blocks are cut.
    for (length_bytes, workers) in [(64 << 20) + 100, 70 << 20, 1 << 28].into_iter().flat_map(|length| [(length, 1), (length, 2)]) {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("in.ndjson"), "{\"n\":1}\n").unwrap();
        let file = fs::OpenOptions::new().append(true).open(folder.path().join("in.ndjson")).unwrap();
        file.set_len(length_bytes).unwrap();
        let factory = factory(folder.path(), "in.ndjson", json());
        let mut source = factory.make(&context(&arrow_schema(&columns()), workers, 10)).unwrap();
        // Of several threads each reads its lines as a whole, so that the row before it may not come.
        let first = source.next(FOREVER);
        assert!(workers > 1 || matches!(first, Ok(Next::Rows(_))));
        let error = first.and_then(|_| source.next(FOREVER)).unwrap_err();
        assert_eq!((error.kind(), error.message()), (ErrorKind::Limit, "a record is longer than 64 MiB"));
        assert_eq!(error.place(), Some("in.ndjson:2"));
    }
}

#[test]
fn a_source_does_not_block_longer_than_it_may() {
    let folder = json_folder();
    let factory = factory(folder.path(), "*.ndjson", json());
    let mut source = factory.make(&context(&arrow_schema(&columns()), 1, 10)).unwrap();
    let mut rows = 0;
    loop {
        match source.next(Duration::ZERO).unwrap() {
            Next::Rows(batch) => rows += batch.parts[0].records.num_rows(),
            Next::Nothing => std::thread::yield_now(),
            Next::SplitEnd(_) | Next::Closed => {}
            Next::End => break,
        }
    }
    assert_eq!(rows, 198);
    assert!(matches!(source.next(FOREVER).unwrap(), Next::End));
}

#[test]
fn a_file_that_is_gone_or_shorter_than_it_was_cannot_be_resumed() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("in.ndjson"), "{\"n\":1}\n").unwrap();
    let factory = factory(folder.path(), "in.ndjson", json());
    let make = |text: &str| {
        let mut context = context(&arrow_schema(&columns()), 1, 10);
        context.positions = vec![(0, Position(text.to_owned()))];
        factory.make(&context).err().unwrap()
    };
    let gone = make("{\"file\":\"old.ndjson\",\"offset\":0,\"line\":1,\"rows\":0}");
    assert_eq!((gone.kind(), gone.message()), (ErrorKind::State, "`old.ndjson`, which was being read, is no longer there"));
    let cut = make("{\"file\":\"in.ndjson\",\"offset\":99,\"line\":1,\"rows\":0}");
    assert_eq!((cut.kind(), cut.message()), (ErrorKind::State, "`in.ndjson` has 8 bytes, but 99 had been read"));
    assert_eq!(make("nonsense").kind(), ErrorKind::State);
}

#[test]
fn a_plan_gives_the_schema_in_the_order_of_the_file() {
    let folder = json_folder();
    let options = object!({"path": "a.ndjson", "format": "json", "schema": {"t": "string not null", "n": "bigint"}});
    let plan = plan(folder.path(), options).unwrap();
    let stream = &plan.outputs[0].stream;
    assert_eq!(stream.schema.fields().iter().map(|f| f.name().as_str()).collect::<Vec<_>>(), ["t", "n"]);
    assert!(stream.from_source && stream.bounded && !stream.schema.field(0).is_nullable());
    let Make::Source(factory) = &plan.make else { panic!("no source") };
    assert_eq!(factory.splits().unwrap(), ["a.ndjson"]);
    assert_eq!(factory.size_hint(), Some(fs::metadata(folder.path().join("a.ndjson")).unwrap().len()));
    let read = Position("{\"file\":\"a.ndjson\",\"offset\":3,\"line\":1,\"rows\":0}".to_owned());
    assert_eq!(factory.progress(0, &read), Some(3));
}

#[test]
fn without_a_schema_it_is_inferred() {
    let folder = csv_folder();
    let plan = plan(folder.path(), object!({"path": "c.csv", "format": "csv"})).unwrap();
    assert_eq!(
        plan.outputs[0].stream.schema,
        arrow_schema(&[("other", "bigint"), ("n", "bigint"), ("t", "string")].map(|(n, t)| ColumnSpec::parse(n, t).unwrap()))
    );
}

#[test]
fn all_mistakes_in_the_options_are_found_in_one_go() {
    let folder = csv_folder();
    let codes = |options| -> Vec<(&str, String)> {
        let found = plan(folder.path(), options).err().unwrap();
        found.0.into_iter().map(|d| (d.code, d.path.iter().map(|key| format!("{key:?}")).collect::<Vec<_>>().join("."))).collect()
    };
    let name = |name: &str| format!("Name({name:?})");
    assert_eq!(
        codes(object!({"path": "none", "format": "csv", "delimiter": "ab", "quote": "\n", "schema": {"a": "bigimt"}})),
        [
            ("bad-value", name("delimiter")),
            ("bad-value", name("quote")),
            ("path-not-found", name("path")),
            ("bad-type", format!("{}.{}", name("schema"), name("a")))
        ]
    );
    assert_eq!(
        codes(object!({"path": "a.csv", "format": "json", "header": false, "schema": {"a": "int"}})),
        [("unused-key", name("header"))]
    );
    assert_eq!(
        codes(object!({"path": "a.csv", "format": "csv", "schema": {"nn": "bigint", "t": "string"}})),
        [("missing-column", format!("{}.{}", name("schema"), name("nn")))]
    );
    assert_eq!(codes(object!({"path": "b.csv", "format": "csv"})), [("empty-schema", name("path"))]);
    assert_eq!(codes(object!({"path": "a.csv", "format": "csv", "header": false})), [("missing-schema", name("header"))]);
    assert_eq!(codes(object!({"path": "a.csv", "format": "csv", "quote": ","})), [("bad-value", name("quote"))]);
}

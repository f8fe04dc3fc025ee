//! Files that are packed, and any cutting of the bytes.

use proptest::prelude::*;

use super::*;

/// Text in several members or frames, cut anywhere.
fn packed(text: &[u8], kind: usize, cuts: &[usize]) -> (&'static str, Vec<u8>) {
    let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut % (text.len() + 1)).chain([0, text.len()]).collect();
    cuts.sort_unstable();
    let parts = cuts.windows(2).map(|ends| &text[ends[0]..ends[1]]);
    match kind {
        0 => ("in.txt", text.to_vec()),
        1 => ("in.txt.gz", parts.flat_map(gzip).collect()),
        _ => ("in.txt.zst", parts.flat_map(|part| zstd::encode_all(part, 1).unwrap()).collect()),
    }
}

fn text_of(lines: &[(i64, String)], format: usize) -> String {
    let json = |(n, t): &(i64, String)| format!("{}\n", serde_json::json!({ "n": n, "t": t }));
    let csv = |(n, t): &(i64, String)| format!("{n},\"{}\"\r\n", t.replace('"', "\"\""));
    match format {
        0 => lines.iter().map(json).collect(),
        _ => format!("n,t\r\n{}", lines.iter().map(csv).collect::<String>()),
    }
}

fn lines() -> impl Strategy<Value = Vec<(i64, String)>> {
    prop::collection::vec((0..100i64, "[a-z\",\né ]{0,12}"), 0..40)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn any_cutting_and_packing_gives_the_same_rows(
        lines in lines(), format in 0..2usize, kind in 0..3usize, cuts in prop::collection::vec(any::<usize>(), 0..4),
        block_bytes in 1..400usize, workers in 1..4usize, batch_rows in 1..20usize,
    ) {
        let folder = tempfile::tempdir().unwrap();
        let (name, bytes) = packed(text_of(&lines, format).as_bytes(), kind, &cuts);
        std::fs::write(folder.path().join(name), bytes).unwrap();
        let factory = factory(folder.path(), name, [json(), csv()][format].clone()).with_block_bytes(block_bytes);
        let read = read_with(&factory, workers, batch_rows);
        prop_assert_eq!(&read.bad, &vec![]);
        prop_assert_eq!(&read.numbers, &lines.iter().map(|(n, _)| *n).collect::<Vec<_>>());
        // Wherever it stops, it goes on there.
        for (rows, _, position) in read.stands.iter().step_by(3) {
            let mut context = context(&arrow_schema(&columns()), workers, batch_rows);
            context.positions = vec![(0, position.clone())];
            let rest = read_all(&mut *factory.make(&context).unwrap()).unwrap();
            prop_assert_eq!(&rest.numbers, &read.numbers[*rows..]);
        }
    }
}

#[test]
fn a_packed_file_that_ends_too_early_fails_after_its_rows() {
    let folder = tempfile::tempdir().unwrap();
    let text: String = (0..2000).map(|n| format!("{{\"n\":{},\"t\":\"x\"}}\n", n * 7919 % 100_003)).collect();
    let bytes = gzip(text.as_bytes());
    std::fs::write(folder.path().join("in.json.gz"), &bytes[..bytes.len() / 2]).unwrap();
    let factory = factory(folder.path(), "in.json.gz", json());
    let mut source = factory.make(&context(&arrow_schema(&columns()), 2, 10)).unwrap();
    let mut rows = 0;
    let error = loop {
        match source.next(FOREVER) {
            Ok(Next::Rows(batch)) => rows += batch.parts[0].records.num_rows(),
            Ok(other) => panic!("{other:?}"),
            Err(error) => break error,
        }
    };
    assert!(rows > 500, "{rows}");
    assert_eq!(error.message(), "cannot read in.json.gz: the gzip data ends too early");
    assert!(error.place().unwrap().contains(" of the file, after "), "{error}");
}

#[test]
fn a_schema_is_inferred_from_packed_text() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("a.csv.zst"), zstd::encode_all(&b"n,t\n1,x\n"[..], 1).unwrap()).unwrap();
    let plan = plan(folder.path(), serde_json::json!({ "path": "a.csv.zst", "format": "csv" })).unwrap();
    assert_eq!(plan.outputs[0].stream.schema, arrow_schema(&columns()));
}

//! The two decoders against each other and against serde_json, on lines of every kind.

use proptest::prelude::*;
use serde_json::Value;

use super::*;
use crate::file_source::count_lines;

/// The columns that the property tests ask for; lines have more keys.
const COLUMNS: [(&str, &str); 9] = [
    ("a", "bigint"),
    ("b", "string"),
    ("c", "double"),
    ("d", "boolean"),
    ("e", "timestamp"),
    ("f", "timestamp(ms)"),
    ("g", "int"),
    ("h", "decimal(6,2)"),
    ("a key of more than sixteen bytes", "json"),
];

/// Values as they stand in a line: mostly of the type that the key's column has.
fn value(key: &'static str) -> BoxedStrategy<String> {
    let usual = match key {
        "a" => "0|-?[1-9][0-9]{0,19}".boxed(),
        "b" => "\"[a-zé ]{0,20}\"".boxed(),
        "c" => "-?[1-9]{1,3}(\\.[0-9]{1,3})?".boxed(),
        "d" => "true|false".boxed(),
        "f" => "1[0-9]{12}|-?[0-9]{1,9}".boxed(),
        "g" => "-?[1-9][0-9]{0,10}".boxed(),
        "h" => "\"?-?[1-9]{1,3}(\\.[0-9]{1,2})?".prop_map(|text| if text.starts_with('"') { text + "\"" } else { text }).boxed(),
        "e" => "\"20[0-9]{2}-0[1-9]-[0-2][1-8]T1[0-9]:00:00(\\.[0-9]{1,9})?(Z|[+-]0[0-9]:30)\"".boxed(),
        _ => "\"[a-z]{0,12}\"|[1-9]{1,4}|null|\\[1,\\{\"x\":2\\}\\]".boxed(),
    };
    let odd = prop_oneof![
        Just("null".to_owned()),
        Just("1.5".to_owned()),
        Just("01".to_owned()),
        Just("\"\\u00e9\\n\\\"\"".to_owned()),
        Just("\"a\tb\"".to_owned()),
        Just("{\"a\":1}".to_owned()),
        // serde_json reads -0 as a double; here it is the integer 0.
        "[tfn0-9\"{}\\[\\],:.e-]{1,4}".prop_map(|text| text.replace("-0", "-1")),
    ];
    prop_oneof![20 => usual, 1 => odd].boxed()
}

fn line() -> impl Strategy<Value = String> {
    let order = prop_oneof![
        6 => Just(vec!["x", "a", "b", "y", "c", "d", "e"]),
        3 => Just(vec!["a", "b", "f", "e", "g", "x"]),
        3 => Just(vec!["h", "a key of more than sixteen bytes", "f", "another key of more than sixteen bytes", "b"]),
        2 => Just(vec!["a", "e", "b"]),
        1 => Just(vec!["d", "c", "b", "a", "z", "e", "a"]),
        1 => Just(vec![]),
    ];
    let pairs = order.prop_flat_map(|keys| keys.into_iter().map(|key| value(key).prop_map(move |text| (key, text))).collect::<Vec<_>>());
    let space = prop_oneof![8 => Just(""), 3 => Just(" "), 1 => Just("\t")];
    let cut = prop_oneof![15 => Just(None), 1 => any::<prop::sample::Index>().prop_map(Some)];
    (pairs, space, cut).prop_map(|(pairs, space, cut)| {
        let pairs: Vec<String> = pairs.iter().map(|(key, text)| format!("\"{key}\":{space}{text}")).collect();
        let line = format!("{{{}}}", pairs.join(&format!(",{space}")));
        match cut {
            Some(at) => line.chars().take(at.index(line.chars().count())).collect(),
            None => line,
        }
    })
}

/// A slip in the bytes of an input.
#[derive(Clone, Copy, Debug)]
enum Slip {
    Put(u8),
    Insert(u8),
    Remove,
}

impl Slip {
    fn make(self, bytes: &mut Vec<u8>, at: prop::sample::Index) {
        if bytes.is_empty() {
            return;
        }
        let at = at.index(bytes.len());
        match self {
            Slip::Put(byte) => bytes[at] = byte,
            Slip::Insert(byte) => bytes.insert(at, byte),
            Slip::Remove => drop(bytes.remove(at)),
        }
    }
}

fn slip() -> impl Strategy<Value = Slip> {
    let byte = || prop_oneof![any::<u8>(), prop::sample::select(b"\"\\\n\r\t\0 {}[]:,.0e-\xc3\x7f".to_vec())];
    prop_oneof![byte().prop_map(Slip::Put), byte().prop_map(Slip::Insert), Just(Slip::Remove)]
}

/// What serde_json makes of a line: the values of `a`, `b` and `d`, or nothing when it is no good.
fn reference(line: &str) -> Option<(Option<i64>, Option<String>, Option<bool>)> {
    let Ok(Value::Object(object)) = serde_json::from_str(line) else {
        return None;
    };
    let known = |key: &str| object.get(key).filter(|value| !value.is_null());
    let a = known("a").map(|value| value.as_i64().ok_or(())).transpose().ok()?;
    let b = known("b").map(|value| value.as_str().map(str::to_owned).ok_or(())).transpose().ok()?;
    let d = known("d").map(|value| value.as_bool().ok_or(())).transpose().ok()?;
    Some((a, b, d))
}

proptest! {
    #[test]
    fn the_scanner_agrees_with_the_general_decoder(lines in prop::collection::vec(line(), 1..40), crlf: bool, batch_rows in 1usize..50) {
        let specs = specs(&COLUMNS);
        let text = lines.join(if crlf { "\r\n" } else { "\n" });
        let (fast, fast_bad) = decode(&specs, text.as_bytes(), batch_rows);
        let (general, general_bad) = decode_generally(&specs, text.as_bytes());
        prop_assert_eq!(fast, general);
        prop_assert_eq!(fast_bad, general_bad);
    }

    #[test]
    fn garbled_bytes_do_not_make_them_differ(
        lines in prop::collection::vec(line(), 2..20),
        slips in prop::collection::vec((any::<prop::sample::Index>(), slip()), 0..6),
    ) {
        let specs = specs(&COLUMNS);
        let mut bytes = lines.join("\n").into_bytes();
        for (at, slip) in &slips {
            slip.make(&mut bytes, *at);
        }
        let (fast, fast_bad) = decode(&specs, &bytes, 1000);
        let (general, general_bad) = decode_generally(&specs, &bytes);
        prop_assert_eq!(fast, general);
        prop_assert_eq!(fast_bad, general_bad);
    }

    #[test]
    fn good_lines_are_what_serde_json_says(lines in prop::collection::vec(line(), 1..40)) {
        let specs = specs(&[("d", "boolean"), ("a", "bigint"), ("b", "string")]);
        let (records, _) = decode(&specs, lines.join("\n").as_bytes(), 1000);
        let (d, a, b) = (records.column(0).as_boolean(), records.column(1).as_primitive::<Int64Type>(), records.column(2).as_string_view());
        let rows: Vec<_> = (0..records.num_rows())
            .map(|row| {
                (
                    a.is_valid(row).then(|| a.value(row)),
                    b.is_valid(row).then(|| b.value(row).to_owned()),
                    d.is_valid(row).then(|| d.value(row)),
                )
            })
            .collect();
        prop_assert_eq!(rows, lines.iter().filter_map(|line| reference(line)).collect::<Vec<_>>());
    }

    #[test]
    fn doubles_are_the_nearest_ones(value in any::<f64>().prop_filter("finite", |value| value.is_finite())) {
        let (records, _) = decode(&specs(&[("c", "double")]), format!("{{\"c\":{value:e}}}").as_bytes(), 1);
        prop_assert_eq!(records.column(0).as_primitive::<Float64Type>().value(0), value);
    }
}

proptest! {
    // Each case is some ten thousand values.
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn pieces_and_blocks_do_not_make_them_differ(
        shapes in prop::collection::vec((line(), prop_oneof![6 => Just("\n"), 2 => Just("\r\n"), 1 => Just("\n \r\n"), 1 => Just("\n\n")]), 1..12),
        order in prop::collection::vec(any::<prop::sample::Index>(), 300..500),
        cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..3),
        last_is_cut: bool,
        batch_rows in 1usize..300,
    ) {
        let specs = specs(&COLUMNS);
        // Few shapes and many lines, as input has them: several pieces of what is looked at in one go.
        let mut text: String = order.iter().map(|shape| shape.get(&shapes)).map(|(line, end)| format!("{line}{end}")).collect();
        if last_is_cut {
            text.truncate(text.trim_end().len());
        }
        let ends: Vec<usize> = text.bytes().enumerate().filter(|(_, byte)| *byte == b'\n').map(|(at, _)| at + 1).collect();
        let mut starts: Vec<usize> = cuts.iter().filter(|_| !ends.is_empty()).map(|cut| *cut.get(&ends)).chain([0, text.len()]).collect();
        starts.sort_unstable();
        let mut decoder = JsonDecoder::new(&specs, batch_rows).unwrap();
        let (mut batches, mut bad, mut line) = (Vec::new(), Vec::new(), 1);
        for range in starts.windows(2) {
            let block = block(&text.as_bytes()[range[0]..range[1]]);
            let lines = count_lines(&block.bytes) as u64;
            let decoded = decoder.decode(&block).unwrap();
            prop_assert!(decoded.last().is_none_or(|last| (last.end_bytes, last.end_lines) == (block.bytes.len(), lines)));
            for decoded in decoded {
                batches.push(decoded.records);
                bad.extend(decoded.bad.into_iter().map(|bad| bad.placed("in", line)));
            }
            line += lines;
        }
        let general = JsonDecoder::general(&specs, 1000).unwrap().decode(&block(text.as_bytes())).unwrap();
        let records = concat_batches(&arrow_schema(&specs), general.iter().map(|batch| &batch.records)).unwrap();
        prop_assert_eq!(concat_batches(&arrow_schema(&specs), &batches).unwrap(), records);
        prop_assert_eq!(bad, general.into_iter().flat_map(|batch| batch.bad).map(|bad| bad.placed("in", 1)).collect::<Vec<_>>());
    }

    #[test]
    fn texts_that_stay_the_same_for_a_while_do_not_make_them_differ(
        runs in prop::collection::vec((0usize..4, prop::sample::select(vec!["bid", "a\u{e9}", "", "x\\n", "a text of more than twelve bytes"]), 1usize..150), 1..8),
        batch_rows in 50usize..400,
    ) {
        let specs = specs(&COLUMNS);
        let line = |shape: usize, text: &str, row: usize| match shape {
            0 => format!("{{\"b\":\"{text}\",\"a\":{row}}}\n"),
            1 => format!("{{\"b\":\"{text}\",\"a\":{row},\"other\":1}}\n"),
            2 => format!("{{\"a\":{row}, \"b\":\"{text}\"}}\r\n"),
            _ => format!("{{\"a\":{row},\"b\":{}}}\n", if row % 100 == 99 { "null" } else { "\"same\"" }),
        };
        let lines = runs.iter().flat_map(|&(shape, text, count)| (0..count).map(move |row| line(shape, text, row)));
        let text: String = lines.collect();
        let (fast, fast_bad) = decode(&specs, text.as_bytes(), batch_rows);
        let general = JsonDecoder::general(&specs, 10_000).unwrap().decode(&block(text.as_bytes())).unwrap();
        prop_assert_eq!(fast, concat_batches(&arrow_schema(&specs), general.iter().map(|batch| &batch.records)).unwrap());
        prop_assert_eq!((fast_bad, general[0].bad.len()), (vec![], 0));
    }
}

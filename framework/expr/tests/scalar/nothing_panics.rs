//! No text makes parsing or evaluation panic, and no batch makes good rows bad.

use millstream_expr::Scalar;
use proptest::prelude::*;

use super::support::{rows, schema};

const WORDS: [&str; 96] = [
    "b",
    "small",
    "i",
    "n",
    "m",
    "r",
    "d",
    "e",
    "dec",
    "big",
    "s",
    "t",
    "day",
    "ts",
    "until",
    "tags",
    "place",
    "key",
    "Carrier",
    "\"dep-delay\"",
    "bin",
    "+",
    "-",
    "*",
    "/",
    "%",
    "=",
    "<>",
    "<",
    ">=",
    "||",
    "::",
    "~",
    "(",
    ")",
    "(",
    ")",
    "[",
    "]",
    ",",
    ".",
    "'a'",
    "'1'",
    "'2013-01-01'",
    "1",
    "0",
    "2.5",
    "-1",
    "9223372036854775807",
    "1e300",
    "null",
    "true",
    "false",
    "and",
    "or",
    "not",
    "is",
    "in",
    "like",
    "between",
    "case",
    "when",
    "then",
    "else",
    "end",
    "cast",
    "as",
    "bigint",
    "string",
    "timestamp",
    "date",
    "interval",
    "decimal",
    "extract",
    "hour",
    "from",
    "lower",
    "substr",
    "coalesce",
    "nullif",
    "date_trunc",
    "to_char",
    "regexp_match",
    "round",
    "abs",
    "power",
    "split_part",
    "make_array",
    "array_length",
    "concat",
    "count",
    "sum",
    "distinct",
    "at time zone",
    "interval '1 month'",
    "$1",
];

/// Expressions that mostly parse.
fn expression() -> impl Strategy<Value = String> {
    let leaf = prop::sample::select(&WORDS[..21]).prop_map(str::to_owned);
    let literal = prop::sample::select(&["1", "0", "-7", "2.5", "'x'", "'2013-01-01'", "null", "true", "interval '1 day'"][..]);
    let leaf = prop_oneof![3 => leaf, 1 => literal.prop_map(str::to_owned)];
    leaf.prop_recursive(4, 24, 3, |inner| {
        let operator = prop::sample::select(&["+", "-", "*", "/", "%", "=", "<", "<>", "and", "or", "||", "is distinct from"][..]);
        let function = prop::sample::select(
            &["lower", "abs", "round", "char_length", "coalesce", "nullif", "greatest", "substr", "left", "power", "to_timestamp", "lpad"]
                [..],
        );
        let target =
            prop::sample::select(&["bigint", "smallint", "double", "real", "string", "timestamp", "date", "decimal(5,2)", "boolean"][..]);
        prop_oneof![
            (inner.clone(), operator, inner.clone()).prop_map(|(l, o, r)| format!("({l} {o} {r})")),
            (function, prop::collection::vec(inner.clone(), 1..3)).prop_map(|(f, a)| format!("{f}({})", a.join(", "))),
            (inner.clone(), target).prop_map(|(e, t)| format!("cast({e} as {t})")),
            (inner.clone(), inner.clone(), inner.clone()).prop_map(|(c, a, b)| format!("case when {c} then {a} else {b} end")),
            (inner.clone(), inner.clone()).prop_map(|(a, b)| format!("{a} in ({b}, {b})")),
            inner.clone().prop_map(|e| format!("date_trunc('day', {e})")),
            inner.prop_map(|e| format!("(- {e})")),
        ]
    })
}

/// Parses and, if that succeeds, evaluates on rows with ordinary and extreme values.
fn run(text: &str) -> Result<(), TestCaseError> {
    let Ok(scalar) = Scalar::parse(text, &schema()) else { return Ok(()) };
    let batch = rows(&[
        r#"{"b":true,"small":3,"i":4,"n":10,"m":0,"r":1.5,"d":2.5,"e":0.0,"dec":12.34,"big":5,"s":"Hello","t":"12","day":"1969-12-31","ts":"1969-12-31T23:30:00.5Z","until":"2013-01-02T15:04:05Z","tags":["a","b"],"place":{"city":"Oslo","zip":150},"Carrier":"UA","dep-delay":-7}"#,
        r#"{"n":9223372036854775807,"m":-9223372036854775808,"small":-32768,"i":2147483647,"d":1e308,"e":-1e308,"s":"","t":"ä","ts":"0001-01-01T00:00:00Z","until":"9999-12-31T23:59:59.999999Z"}"#,
        "{}",
    ]);
    let bound = scalar.bind(&batch.schema()).expect("what was planned can be bound");
    let all = bound.evaluate(&batch);
    let Ok(all) = all else {
        return Err(TestCaseError::fail(format!("{text}: {:?}", all.err())));
    };
    for row in 0..batch.num_rows() {
        let one = bound.evaluate(&batch.slice(row, 1)).expect("what can be evaluated together can be evaluated apart");
        prop_assert_eq!(one.bad.is_empty(), !all.bad.iter().any(|b| b.row == row), "{} row {}", text, row);
        prop_assert_eq!(&one.values, &all.values.slice(row, 1), "{} row {}", text, row);
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_text_is_parsed_or_refused(text in "\\PC{0,60}") {
        run(&text)?;
    }

    #[test]
    fn any_words_are_parsed_or_refused(words in prop::collection::vec(prop::sample::select(&WORDS[..]), 0..14)) {
        run(&words.join(" "))?;
    }

    #[test]
    fn a_row_gives_the_same_alone_and_in_a_batch(text in expression()) {
        run(&text)?;
    }
}

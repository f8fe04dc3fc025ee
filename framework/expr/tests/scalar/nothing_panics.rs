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
    "(null = 1)",
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

/// Patterns of expressions by their type: `#n` is filled with a number, `#t` with a text, `#z` with a time, `#i` with an interval,
/// `#c` with a condition, and `#d` with a double.
const NUMBERS: [&str; 30] = [
    "n",
    "m",
    "small",
    "i",
    "\"dep-delay\"",
    "-7",
    "9223372036854775807",
    "(#n + #n)",
    "(#n - #n)",
    "(#n * #n)",
    "(#n / #n)",
    "(#n % #n)",
    "(- #n)",
    "abs(#n)",
    "cast(#t as bigint)",
    "cast(#n as smallint)",
    "cast(#d as int)",
    "cast(#z as bigint)",
    "char_length(#t)",
    "extract(hour from #z)",
    "date_part('week', #z)",
    "case when #c then #n else #n end",
    "coalesce(#n, #n)",
    "nullif(#n, #n)",
    "strpos(#t, #t)",
    "regexp_count(#t, 'l')",
    "array_length(tags)",
    "gcd(#n, #n)",
    "(#n << #n)",
    "factorial(#n)",
];
const TEXTS: [&str; 29] = [
    "s",
    "t",
    "Carrier",
    "''",
    "'äö'",
    "lower(#t)",
    "(#t || #t)",
    "(#t || #n)",
    "substr(#t, #n, #n)",
    "left(#t, #n)",
    "right(#t, #n)",
    "lpad(#t, #n, #t)",
    "repeat(#t, #n)",
    "split_part(#t, #t, #n)",
    "replace(#t, #t, #t)",
    "regexp_replace(#t, 'l+', #t)",
    "regexp_match(#t, '(.)l')[#n]",
    "cast(#n as string)",
    "cast(#z as string)",
    "cast(#d as string)",
    "to_char(#z, 'YYYY-MM-DD HH24:MI:SS.US')",
    "date_format(#z, 'EEEE d MMMM yy')",
    "case #t when #t then #t end",
    "array_to_string(tags, #t)",
    "overlay(#t placing #t from #n for #n)",
    "translate(#t, #t, #t)",
    "json_value(#t, '$.a[0]')",
    "(#t -> #t)",
    "(#t ->> #n)",
];
const TIMES: [&str; 17] = [
    "ts",
    "until",
    "day",
    "timestamp '1969-07-20 20:17:40'",
    "(#z + #i)",
    "(#z - #i)",
    "date_trunc('hour', #z)",
    "date_trunc('month', #z)",
    "date_bin(interval '7 minutes', #z)",
    "to_timestamp(#n)",
    "to_timestamp_millis(#n)",
    "cast(#t as timestamp)",
    "to_timestamp(#t, 'yyyy-MM-dd', concat(#t, 'y'))",
    "to_timestamp(#t, 'yyyy-MM-dd HH:mm:ssXXX')",
    "to_date(#t, '%Y %s %z')",
    "cast(#z as date)",
    "date_trunc('week', #z at time zone 'Europe/Berlin')",
];
const INTERVALS: [&str; 6] = ["interval '1 month'", "interval '3 days'", "interval '-1 second'", "(#i + #i)", "(ts - #z)", "(- (#i))"];
const DOUBLES: [&str; 16] = [
    "d",
    "e",
    "r",
    "-0.0",
    "1e300",
    "(#d + #n)",
    "(#d * #d)",
    "(#d / #d)",
    "(#d % #d)",
    "(- #d)",
    "round(#d, #n)",
    "power(#d, #d)",
    "sqrt(#d)",
    "ln(#d)",
    "cast(#t as double)",
    "cast(#d as real)",
];
const CONDITIONS: [&str; 20] = [
    "b",
    "true",
    "(null = 1)",
    "(#n > #n)",
    "(#n = #n)",
    "(#d <= #d)",
    "(#d is distinct from #d)",
    "(#z < #z)",
    "(#i >= #i)",
    "(#t <> #t)",
    "(#t like '%l_%')",
    "(#c and #c)",
    "(#c or #c)",
    "(not #c)",
    "(#n in (#n, #n))",
    "(#d between #d and #d)",
    "(#t ~ '^.l')",
    "(#n is null)",
    "(dec * #n > 1.5)",
    "(big + #n < big)",
];

/// An expression of a type: a pattern that is filled, choice by choice; no more patterns with holes once `choices` are used up.
fn filled(patterns: &[&str], choices: &mut impl Iterator<Item = usize>) -> String {
    let leaves = patterns.iter().position(|p| p.contains('#')).unwrap_or(patterns.len());
    let pattern = match choices.next() {
        Some(choice) => patterns[choice % patterns.len()],
        None => patterns[0].min(patterns[leaves - 1]),
    };
    let mut parts = pattern.split('#');
    let mut text = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let of = match &part[..1] {
            "n" => &NUMBERS[..],
            "t" => &TEXTS[..],
            "z" => &TIMES[..],
            "i" => &INTERVALS[..],
            "d" => &DOUBLES[..],
            _ => &CONDITIONS[..],
        };
        text += &filled(of, choices);
        text += &part[1..];
    }
    text
}

/// A well-typed expression.
fn expression() -> impl Strategy<Value = String> {
    prop::collection::vec(any::<usize>(), 1..18).prop_map(|choices| {
        let mut choices = choices.into_iter();
        let kinds = [&NUMBERS[..], &TEXTS[..], &TIMES[..], &INTERVALS[..], &DOUBLES[..], &CONDITIONS[..]];
        let kind = kinds[choices.next().unwrap_or(0) % kinds.len()];
        filled(kind, &mut choices)
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

#[test]
fn the_deepest_expression_allowed_fits_the_stack() {
    for (open, middle, close) in [
        ("(", "n", ")"),
        ("- ", "n", ""),
        ("not ", "b", ""),
        ("lower(", "s", ")"),
        ("coalesce(n, ", "m", ")"),
        ("case when b then n else ", "m", " end"),
        ("regexp_extract(", "s", ", 'x', 0)"),
        ("1 + ", "n", ""),
        ("", "n", " + 1"),
        ("", "b", " and b"),
        ("b is distinct from ", "b", ""),
        ("b is distinct from b and ", "b", ""),
        ("b or b and (", "b", ")"),
        ("b or b or b or b or b or b or b or b or b or b or (", "b", ")"),
        ("(", "b", " and b and b and b and b and b and b and b and b and b)"),
        ("nullif(", "d", ", 0)"),
        ("coalesce(", "n", ", m)"),
        ("cast(", "n", " as bigint)"),
        ("", "n", "::bigint"),
    ] {
        let text = |depth: usize| open.repeat(depth) + middle + &close.repeat(depth);
        let refused = |depth| Scalar::parse(&text(depth), &schema()).is_err_and(|e| e.message.contains("nested too deeply"));
        let (mut fine, mut too_deep) = (1, 200);
        while too_deep - fine > 1 {
            let depth = (fine + too_deep) / 2;
            if refused(depth) { too_deep = depth } else { fine = depth }
        }
        assert!(fine >= 9, "{open}");
        run(&text(fine)).unwrap();
    }
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
        if let Err(error) = Scalar::parse(&text, &schema()) {
            // Only constants may be wrong here, not types.
            prop_assert!(error.message.contains("cannot cast") || error.message == "overflow", "{text}: {error:?}");
        }
        run(&text)?;
    }
}

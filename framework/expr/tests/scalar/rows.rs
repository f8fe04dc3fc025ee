//! Batches of which some rows are bad, and guards.

use arrow::array::{Array, RecordBatch};
use arrow::datatypes::DataType;
use millstream_expr::{BadValue, Scalar};
use proptest::prelude::*;

use super::support::{evaluate, one, rows, schema, shown};

/// Rows with these values of `n`; `None` is null.
fn numbers(values: &[Option<i64>]) -> RecordBatch {
    let lines: Vec<String> = values.iter().map(|v| v.map_or("{\"n\":null}".to_owned(), |v| format!("{{\"n\":{v}}}"))).collect();
    rows(&lines.iter().map(String::as_str).collect::<Vec<_>>())
}

#[test]
fn only_the_bad_rows_fail() {
    let batch = numbers(&[Some(5), Some(0), None, Some(2), Some(0)]);
    assert_eq!(shown(&evaluate("10 / n", &batch)), ["2", "!division by zero", "null", "5", "!division by zero"]);
}

#[test]
fn bad_rows_are_found_wherever_they_are() {
    for count in [1, 2, 3, 64, 1000] {
        for bad in [0, count / 2, count - 1] {
            let values: Vec<Option<i64>> = (0..count).map(|row| Some(i64::from(row != bad))).collect();
            let evaluated = evaluate("10 / n", &numbers(&values));
            assert_eq!(evaluated.bad, [BadValue { row: bad, reason: "division by zero".to_owned() }]);
            assert_eq!(evaluated.values.null_count(), 1);
        }
    }
}

#[test]
fn different_rows_fail_for_different_reasons() {
    let batch = rows(&[r#"{"t":"1","n":1}"#, r#"{"t":"x","n":1}"#, r#"{"t":"9223372036854775807","n":1}"#, r#"{"t":"3","n":0}"#]);
    assert_eq!(
        shown(&evaluate("(cast(t as bigint) + 1) / n", &batch)),
        ["2", "!cannot cast \"x\" to bigint", "!overflow", "!division by zero"]
    );
}

#[test]
fn conditions_guard_from_left_to_right() {
    let batch = numbers(&[Some(0), Some(1), None, Some(20), Some(0)]);
    for (text, wanted) in [
        ("n <> 0 and 10 / n > 1", ["false", "true", "null", "false", "false"]),
        ("n = 0 or 10 / n > 1", ["true", "true", "null", "false", "true"]),
        ("not (n = 0 or 10 / n > 1)", ["false", "false", "null", "true", "false"]),
        ("(n <> 0 and 10 / n > 1) or n = 0", ["true", "true", "null", "false", "true"]),
        ("n <> 0 and n > 5 and 100 / n = 5", ["false", "false", "null", "true", "false"]),
        ("10 / n > 1 and n <> 0", ["!division by zero", "true", "null", "false", "!division by zero"]),
        ("case when n = 0 then -1 else 10 / n end", ["-1", "10", "null", "0", "-1"]),
        ("case when n = 0 then -1 when 10 / n > 1 then 1 end", ["-1", "1", "null", "null", "-1"]),
        ("case n when 0 then -1 else 10 / n end", ["-1", "10", "null", "0", "-1"]),
        ("case n when 0 then 'a' when 10 / n then 'b' else 'c' end", ["'a'", "'c'", "'c'", "'c'", "'a'"]),
        ("coalesce(nullif(n, 0), 0) = 0 or 10 / n >= 0", ["true", "true", "true", "true", "true"]),
        ("coalesce(case when n = 0 then 7 end, 10 / n)", ["7", "10", "null", "0", "7"]),
        ("nvl(case when n = 0 then 7 end, 10 / n)", ["7", "10", "null", "0", "7"]),
    ] {
        assert_eq!(shown(&evaluate(text, &batch)), wanted, "{text}");
    }
}

#[test]
fn a_constant_that_fails_fails_only_where_it_is_needed() {
    let batch = numbers(&[Some(0), Some(1)]);
    for (text, wanted) in [
        ("1 / 0", ["!division by zero", "!division by zero"]),
        ("case when n = 0 then 5 else 1 / 0 end", ["5", "!division by zero"]),
        ("n = 0 or 1 / 0 = 1", ["true", "!division by zero"]),
        ("n <> 0 and 9223372036854775807 + 1 > 0", ["false", "!overflow"]),
        ("false and 1 / 0 = 1", ["false", "false"]),
        ("true or 1 / 0 = 1", ["true", "true"]),
        ("1 / 0 = 1 and false", ["!division by zero", "!division by zero"]),
        ("coalesce(1, 1 / 0)", ["1", "1"]),
    ] {
        assert_eq!(shown(&evaluate(text, &batch)), wanted, "{text}");
    }
}

#[test]
fn what_a_row_gives_does_not_depend_on_its_batch() {
    let values: Vec<Option<i64>> = (0..200).map(|i| (i % 7 != 3).then_some(i % 5)).collect();
    for text in ["10 / n", "n <> 0 and 10 / n > 3", "case when n > 0 then 10 / n else n end", "n * 9000000000000000000"] {
        let together = shown(&evaluate(text, &numbers(&values)));
        let apart: Vec<String> = values.iter().flat_map(|value| shown(&evaluate(text, &numbers(&[*value])))).collect();
        assert_eq!(together, apart, "{text}");
    }
}

#[test]
fn no_rows_and_no_columns_are_fine() {
    assert!(evaluate("10 / n", &numbers(&[])).values.is_empty());
    let scalar = Scalar::parse("1 + 1", &schema()).unwrap();
    let nothing = numbers(&[Some(1), Some(2)]).project(&[]).unwrap();
    assert_eq!(shown(&scalar.bind(&nothing.schema()).unwrap().evaluate(&nothing).unwrap()), ["2", "2"]);
    let guarded = Scalar::parse("false and 1 / 0 = 1", &schema()).unwrap();
    assert_eq!(shown(&guarded.bind(&nothing.schema()).unwrap().evaluate(&nothing).unwrap()), ["false", "false"]);
}

#[test]
fn a_column_is_handed_on_and_columns_may_stand_elsewhere() {
    let batch = rows(&[r#"{"n":1,"s":"x"}"#]);
    let (s, n) = (schema().index_of("s").unwrap(), schema().index_of("n").unwrap());
    let turned = batch.project(&[s, n]).unwrap();
    let column = Scalar::parse("n", &schema()).unwrap();
    let evaluated = column.bind(&turned.schema()).unwrap().evaluate(&turned).unwrap();
    assert!(std::ptr::eq(evaluated.values.as_ref(), turned.column(1).as_ref()), "the column itself, not a copy");
    let both = Scalar::parse("s || n", &schema()).unwrap();
    assert_eq!(shown(&both.bind(&turned.schema()).unwrap().evaluate(&turned).unwrap()), ["'x1'"]);
    assert!(column.bind(&batch.project(&[s]).unwrap().schema()).is_err());
}

#[test]
fn fields_have_names_types_and_nullability() {
    let item = |text: &str| Scalar::item(text, &schema()).unwrap();
    let described = |text: &str| {
        let scalar = item(text);
        (scalar.field().name().clone(), scalar.field().data_type().clone(), scalar.field().is_nullable(), scalar.text().to_owned())
    };
    assert_eq!(described("key"), ("key".into(), DataType::Int64, false, "key".into()));
    assert_eq!(described("key + 1 as next"), ("next".into(), DataType::Int64, false, "key + 1".into()));
    assert_eq!(described("\"Carrier\" as \"a-b\""), ("a-b".into(), DataType::Utf8View, true, "\"Carrier\"".into()));
    assert_eq!(described("n + key as Sum"), ("Sum".into(), DataType::Int64, true, "n + key".into()));
    assert_eq!(item("\"dep-delay\" as x").as_column(), Some("dep-delay"));
    assert_eq!(item("n + m * n as x").columns().iter().collect::<Vec<_>>(), ["m", "n"]);
    assert_eq!(Scalar::parse("n  +  m", &schema()).unwrap().field().name(), "n  +  m");
}

#[test]
fn text_is_shortened_in_a_reason() {
    let long = "x".repeat(5_000);
    let reason = one("cast(t as bigint)", &format!("{{\"t\":\"{long}\"}}"));
    assert!(reason.len() < 300 && reason.ends_with(" …\" to bigint"), "{reason}");
}

/// What a chain of conditions is for one row: `None` is null, and what is not needed is not asked.
fn chain_by_hand(alternatives: &[Vec<Option<bool>>]) -> Option<bool> {
    let all = |operands: &Vec<Option<bool>>| match operands.contains(&Some(false)) {
        true => Some(false),
        false => (!operands.contains(&None)).then_some(true),
    };
    let found: Vec<Option<bool>> = alternatives.iter().map(all).collect();
    match found.contains(&Some(true)) {
        true => Some(true),
        false => (!found.contains(&None)).then_some(false),
    }
}

#[test]
fn a_thousand_conditions_are_as_many_as_there_are() {
    let batch = numbers(&[Some(0), Some(999), Some(1_000), None]);
    let equal: Vec<String> = (0..1_000).map(|number| format!("n = {number}")).collect();
    assert_eq!(shown(&evaluate(&equal.join(" or "), &batch)), ["true", "true", "false", "null"]);
    assert_eq!(shown(&evaluate(&format!("not ({})", equal.join(" or ")), &batch)), ["false", "false", "true", "null"]);
    let other: Vec<String> = (0..1_000).map(|number| format!("n <> {number} and b is null")).collect();
    assert_eq!(shown(&evaluate(&other.join(" and "), &batch)), ["false", "false", "true", "null"]);
}

#[test]
fn a_long_chain_guards_from_left_to_right() {
    let batch = numbers(&[Some(0), Some(1), Some(60), None]);
    let before = |guard: usize| (1..100).map(move |at| if at == guard { "n = 0".to_owned() } else { format!("n = -{at}") });
    let after = (1..100).map(|at| format!("{} / n = {at}", 60 * at));
    for guard in [1, 7, 50, 99] {
        let text = before(guard).chain(after.clone()).collect::<Vec<_>>().join(" or ");
        assert_eq!(shown(&evaluate(&text, &batch)), ["true", "false", "true", "null"], "{guard}");
    }
    let unguarded = before(100).chain(after).chain(["n = 0".to_owned()]).collect::<Vec<_>>().join(" or ");
    assert_eq!(shown(&evaluate(&unguarded, &batch))[0], "!division by zero");
}

proptest! {
    #[test]
    fn long_chains_are_what_they_say(operands in prop::collection::vec((0..4_usize, any::<bool>()), 1..60)) {
        const OPERANDS: [(&str, Option<bool>); 4] =
            [("b", Some(true)), ("not b", Some(false)), ("n > 0", None), ("b is distinct from true", Some(false))];
        let (mut text, mut alternatives) = (String::new(), vec![Vec::new()]);
        for (place, (operand, is_and)) in operands.into_iter().enumerate() {
            if place > 0 {
                text += if is_and { " and " } else { " or " };
            }
            if place > 0 && !is_and {
                alternatives.push(Vec::new());
            }
            // Few of what the parser nests.
            let operand = if operand == 3 && text.matches("distinct").count() > 9 { 1 } else { operand };
            text += OPERANDS[operand].0;
            alternatives.last_mut().unwrap().push(OPERANDS[operand].1);
        }
        let wanted = chain_by_hand(&alternatives).map_or("null".to_owned(), |v| v.to_string());
        prop_assert_eq!(one(&text, r#"{"b":true}"#), wanted, "{}", text);
    }
}

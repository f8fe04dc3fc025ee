//! Mistakes: each code, with its exact message, place and advice.

use millstream_expr::{ExprError, Scalar};

use super::support::schema;

const COLUMNS: &str = "there are b, small, i, n, m, r, d, e, dec, big, s, t, day, ts, until, tags, place, key, Carrier, dep-delay, bin";

/// `code [what the span covers] message | help`; the list of all columns is shortened to `…`.
fn told(text: &str, error: &ExprError) -> String {
    let place = error.span.clone().map_or("", |span| &text[span]);
    let help = error.help.as_deref().map_or(String::new(), |help| format!(" | {}", help.replace(COLUMNS, "there are …")));
    format!("{} [{place}] {}{help}", error.code, error.message)
}

fn check(table: &[(&str, &str)]) {
    for (text, wanted) in table {
        let error = Scalar::parse(text, &schema()).map(|s| s.field().clone()).expect_err(text);
        assert_eq!(told(text, &error), *wanted, "{text}");
    }
}

#[test]
fn unknown_names() {
    check(&[
        ("price > 5", "unknown-column [price] there is no column `price` | there are …"),
        ("1 + carrier", "unknown-column [carrier] there is no column `carrier` | did you mean `Carrier`? there are …"),
        (
            "n = \"UA\"",
            "unknown-column [\"UA\"] there is no column `UA` | double quotes are for columns, single quotes for text; there are …",
        ),
        (
            "s = \"nn\"",
            "unknown-column [\"nn\"] there is no column `nn` | double quotes are for columns, single quotes for text; did you mean `n`? there are …",
        ),
        ("dep-delay", "unknown-column [dep] there is no column `dep` | did you mean `dec`? there are …"),
        ("place.town", "unknown-column [town] there is no field `town` | there are city, zip"),
        ("n.x", "unknown-column [x] `x` is asked of a bigint, which has no fields"),
        (
            "s.x",
            "unknown-column [x] `x` is asked of a string, which has no fields | of a `json` column `->> 'key'` is the text and `-> 'key'` the JSON at a key; `-> 0` is that of a list's first item",
        ),
        ("n + lowr(s)", "unknown-function [lowr] there is no function `lowr` | did you mean `lower`?"),
        ("hours(ts)", "unknown-function [hours] there is no function `hours` | did you mean `hour`?"),
        ("frobnicate(s)", "unknown-function [frobnicate] there is no function `frobnicate` | docs/expressions.md lists the functions"),
        (
            "ts < now()",
            "unknown-function [now] there is no function `now` | there is no wall clock in expressions: the same input must give the same output; use a column, or window_end",
        ),
        ("cast(n as bigimt)", "unknown-type [bigimt] `bigimt` is not a type | did you mean `bigint`?"),
        ("s::varchar(3)", "unknown-type [s] `varchar(3)` is not a type | strings have no length; write string, and left(…, n) to cut it"),
        ("n::decimal(50,2)", "unknown-type [n] `decimal(50,2)` is not a type | write decimal(p, s) with 1 ≤ p ≤ 38 and 0 ≤ s ≤ p"),
    ]);
}

#[test]
fn functions_of_other_engines() {
    check(&[
        (
            "uuid()",
            "unknown-function [uuid] there is no function `uuid` | there is no randomness in expressions: the same input must give the same output; `md5(concat_ws('/', a, b))` makes a key of columns",
        ),
        (
            "array_sum(tags)",
            "unknown-function [array_sum] there is no function `array_sum` | the items become rows by an operator of type `unnest`, and one of type `aggregate` computes over these",
        ),
        (
            "hex(s)",
            "unknown-function [hex] there is no function `hex` | write `encode(x, 'hex')` of text or bytes, `to_hex(n)` of an integer",
        ),
        ("s = any(tags)", "syntax [s = any(tags)] `= any (…)` cannot stand in an expression | write `array_has(tags, s)` of a list"),
        ("s <> all(tags)", "syntax [s <> all(tags)] `<> all (…)` cannot stand in an expression | write `not array_has(tags, s)` of a list"),
        (
            "s > any(tags)",
            "syntax [s > any(tags)] `any (…)` and `all (…)` cannot stand in an expression | compare with `array_max(l)` or `array_min(l)` of a list",
        ),
        ("length(7)", "type-mismatch [length(7)] `character_length` needs a text, found bigint | cast it, as in `cast(… as string)`"),
        (
            "length(tags)",
            "type-mismatch [length(tags)] `character_length` needs a text, found list<string> | `cardinality(l)` is the number of items of a list",
        ),
        (
            "encode(s, 'rot13')",
            "type-mismatch [encode(s, 'rot13')] `rot13` is not the name of an encoding | there are hex, base64, base64pad",
        ),
        ("decode(s, t)", "type-mismatch [decode(s, t)] the name of an encoding must be a literal | there are hex, base64, base64pad"),
        (
            "digest(s, 'sha1')",
            "type-mismatch [digest(s, 'sha1')] `sha1` is not the name of a digest | there are md5, sha224, sha256, sha384, sha512, blake2s, blake2b, blake3",
        ),
        ("md5(n)", "type-mismatch [md5(n)] `md5` cannot be applied to (bigint) | it is called as `md5(expression)`"),
    ]);
}

#[test]
fn parts_of_what_has_none() {
    let json = "of a `json` column `->> 'key'` is the text and `-> 'key'` the JSON at a key; `-> 0` is that of a list's first item";
    check(&[
        ("s['a']", &format!("type-mismatch [s['a']] `s['a']`: a string has no parts | {json}")),
        ("n[1]", &format!("type-mismatch [n[1]] `n[1]`: a bigint has no parts | {json}")),
        ("n * 1e400", "type-mismatch [1e400] `1e400` is greater than any double"),
    ]);
}

#[test]
fn literals_that_say_how() {
    let units = "microsecond, millisecond, second, minute, hour, day or week";
    check(&[
        (
            "json_value(s, 'a.b')",
            "type-mismatch [json_value(s, 'a.b')] `a.b` is not a JSON path; write it like '$.a.b[0]' or '$[''a key'']'",
        ),
        (
            "to_timestamp(s, 'YYYY-MM-DD')",
            "type-mismatch [to_timestamp(s, 'YYYY-MM-DD')] `YYYY` in `YYYY-MM-DD` is not a part of a time format | write '%Y-%m-%d %H:%M:%S' or 'yyyy-MM-dd HH:mm:ss'",
        ),
        (
            "to_date(s, 'yyyy-MM-dd hh')",
            "type-mismatch [to_date(s, 'yyyy-MM-dd hh')] `yyyy-MM-dd hh` does not say which time is meant | write '%Y-%m-%d %H:%M:%S' or 'yyyy-MM-dd HH:mm:ss'",
        ),
        ("s -> b", "type-mismatch [s -> b] `->` cannot be applied to string and boolean"),
        (
            "json_value(n, '$')",
            "type-mismatch [json_value(n, '$')] `json_value` cannot be applied to (bigint, string) | it is called as `json_value(json, '$.a.b[0]')`",
        ),
        (
            "timestampdiff(month, ts, until)",
            &format!(
                "type-mismatch [timestampdiff(month, ts, until)] `timestampdiff` has other arguments | it is called as `timestampdiff(second, from, to), with {units}`"
            ),
        ),
    ]);
}

#[test]
fn types_that_do_not_fit() {
    const CAST: &str = "make them one type with a cast, as in `cast(… as bigint)`";
    check(&[
        ("b && n > 1", "type-mismatch [b && n] there is no operator `&&` | write `and`"),
        (
            "rank() over (order by n)",
            "syntax [rank] `over (…)` cannot stand in an expression | ranks are made by an operator of type `top_n`, with `rank_as`",
        ),
        ("b and s + 1 > 2", "type-mismatch [s + 1] `+` cannot be applied to string and bigint"),
        ("n @> n", "type-mismatch [n @> n] `@>` cannot be applied to bigint and bigint | both sides must be lists: `l @> make_array(1)`"),
        (
            "s <@ tags",
            "type-mismatch [s <@ tags] `<@` cannot be applied to string and list<string> | both sides must be lists: `l @> make_array(1)`",
        ),
        ("n > '5'", &format!("type-mismatch [n > '5'] bigint cannot be compared with string | {CAST}")),
        ("n between 'a' and 'b'", &format!("type-mismatch [n between 'a' and 'b'] bigint cannot be compared with string | {CAST}")),
        ("n in (1, 'x')", &format!("type-mismatch [n in (1, 'x')] bigint cannot be compared with string | {CAST}")),
        ("b = 1", &format!("type-mismatch [b = 1] boolean cannot be compared with bigint | {CAST}")),
        ("n and b", "type-mismatch [n and b] `and` needs a condition, found bigint"),
        ("not n", "type-mismatch [n] `not` needs a condition, found bigint"),
        ("n is not true", "type-mismatch [n] `is` needs a condition, found bigint"),
        ("-s", "type-mismatch [s] `-` cannot be applied to string"),
        ("-ts", "type-mismatch [ts] `-` cannot be applied to timestamp"),
        ("ts + ts", "type-mismatch [ts + ts] `+` cannot be applied to timestamp and timestamp"),
        ("s like 5", "type-mismatch [s like 5] `like` cannot be applied to string and bigint"),
        ("case when n then 1 end", "type-mismatch [case when n then 1 end] `when` needs a condition, found bigint"),
        (
            "1 + case when b then 1 else 'x' end",
            &format!("type-mismatch [case when b then 1 else 'x' end] the results of `case` are bigint and string | {CAST}"),
        ),
        ("coalesce(n, s)", &format!("type-mismatch [coalesce(n, s)] the arguments of `coalesce` are bigint and string | {CAST}")),
        ("lower( b ) = 'x'", "type-mismatch [lower( b )] `lower` cannot be applied to (boolean) | it is called as `lower(str)`"),
        ("substr(s)", "type-mismatch [s] `substr` cannot be applied to (string) | it is called as `substr(str, start_pos[, length])`"),
        ("1 + hour(ts, 2)", "type-mismatch [hour(ts, 2)] `hour` has other arguments | it is called as `hour(time)`"),
        ("1 + hour(s)", "type-mismatch [s] `date_part` needs a timestamp or a date, found string | cast it, as in `cast(… as timestamp)`"),
        ("b::timestamp", "type-mismatch [b] boolean cannot be cast to timestamp"),
        (
            "extract(hour from s)",
            "type-mismatch [s] `date_part` needs a timestamp or a date, found string | cast it, as in `cast(… as timestamp)`",
        ),
        (
            "date_trunc('fortnight', ts)",
            "type-mismatch [date_trunc('fortnight', ts)] `fortnight` is not a part of a time | there are microsecond, millisecond, second, minute, hour, day, week, month, quarter, year",
        ),
        ("null", "type-mismatch [] the type of `null` is not known | cast it, as in `cast(… as bigint)`"),
    ]);
}

#[test]
fn constants_that_are_not_what_they_should_be() {
    check(&[
        ("'x'::bigint + n", "type-mismatch ['x'] cannot cast \"x\" to bigint"),
        ("ts > '2013-13-01'", "type-mismatch [ts > '2013-13-01'] cannot cast \"2013-13-01\" to timestamp"),
        ("date '2013-13-01'", "type-mismatch ['2013-13-01'] cannot cast \"2013-13-01\" to date"),
        ("1e300::bigint", "type-mismatch [1e300] cannot cast 1e300 to bigint"),
        (
            "ts + interval '1 fortnight'",
            "type-mismatch ['1 fortnight'] '1 fortnight' is not an interval | write `interval '1 hour 30 minutes'`",
        ),
        ("s ~ '('", "type-mismatch [s ~ '('] `(` is not a regular expression | unclosed group"),
        (
            "to_char(ts, 'yyyy-XX')",
            "type-mismatch [to_char(ts, 'yyyy-XX')] `XX` in `yyyy-XX` is not a part of a time format | write '%Y-%m-%d %H:%M:%S', or to_char(…, 'YYYY-MM-DD HH24:MI:SS'), or date_format(…, 'yyyy-MM-dd HH:mm:ss')",
        ),
        (
            "extract(hour from ts at time zone 'Foo/Bar')",
            "syntax ['Foo/Bar'] 'Foo/Bar' is not a time zone | write its name, such as 'Europe/Berlin', or an offset, such as '+01:00'",
        ),
        (
            "ts at time zone 'Europe/Berlin'",
            "type-mismatch [] `ts at time zone 'Europe/Berlin'` is a time of the zone Europe/Berlin, and a column holds instants | use it inside to_char(…), extract(…) or date_trunc(…)",
        ),
    ]);
}

#[test]
fn what_cannot_stand_in_an_expression() {
    check(&[
        (
            "1 + sum(n)",
            "aggregate-not-allowed [sum] `sum` is an aggregate function and cannot stand here | compute it in an operator of type `aggregate`, under `compute`, and use the column that it gives",
        ),
        (
            "COUNT(*) > 1",
            "aggregate-not-allowed [COUNT] `count` is an aggregate function and cannot stand here | compute it in an operator of type `aggregate`, under `compute`, and use the column that it gives",
        ),
        (
            "n in (select 1)",
            "syntax [n in (select 1)] a subquery cannot stand in an expression | join the two streams with an operator of type `join`",
        ),
        (
            "row_number() over ()",
            "syntax [row_number] `over (…)` cannot stand in an expression | ranks are made by an operator of type `top_n`, with `rank_as`",
        ),
        ("n + $1", "syntax [$1] `$1` cannot stand in an expression | write the value itself, or ${NAME} from the environment"),
        (
            "lower(distinct s)",
            "syntax [lower] `distinct`, `order by` or a clause on nulls cannot stand in an expression | only aggregate functions have that, not `lower`",
        ),
        (
            "s similar to 'H%'",
            "syntax [s similar to 'H%'] `similar to` cannot stand in an expression | use `like`, or `~` with a regular expression",
        ),
        (
            "s like 'a!%' escape '!'",
            "syntax [s like 'a!%'] `escape` cannot stand in an expression | `%` and `_` are escaped with a backslash: `like '100\\%'`",
        ),
        ("tags[1].x", "syntax [x] `.x` can follow a column only | write `['x']`"),
        ("n +", "syntax [+] the expression ends where an expression was expected"),
        (
            "n m",
            "syntax [m] `m` is left over after the expression | a name is given with `as`; a column name that is not a plain word is put in double quotes",
        ),
    ]);
}

#[test]
fn conditions_and_items() {
    let error = Scalar::predicate("n + 1", &schema()).unwrap_err();
    assert_eq!(
        told("n + 1", &error),
        "not-boolean [] `n + 1` is bigint, and a condition must be boolean | compare it with something, such as `… > 0`"
    );
    assert!(Scalar::predicate("n > 1", &schema()).is_ok());
    let error = Scalar::item("n + 1", &schema()).unwrap_err();
    assert_eq!(told("n + 1", &error), "missing-name [] `n + 1` has no name | write `n + 1 as name`");
    assert!(Scalar::item("n", &schema()).is_ok());
    let error = Scalar::item("n + 1 as \"x y\"", &schema()).unwrap_err();
    assert_eq!(
        told("n + 1 as \"x y\"", &error),
        "bad-name [\"x y\"] `x y` cannot be a column's name | names have letters, digits, `_` and `-`, begin with a letter or `_`, and have no double underscore"
    );
}

#[test]
fn a_mistake_becomes_a_diagnostic_of_its_key() {
    let error = Scalar::parse("n > x", &schema()).unwrap_err();
    let diagnostic = error.at("where");
    assert_eq!(diagnostic.part, millstream_api::diagnostic::Part::Text(4..5));
    assert_eq!((diagnostic.code, diagnostic.help.is_some()), ("unknown-column", true));
}

#[test]
fn no_library_shows_through() {
    let foreign = ["DataFusion", "Utf8", "Int64", "Arrow", "planning", "Expr", "ScalarValue", "Some(", "Internal error", "LogicalPlan"];
    for text in [
        "s + 1",
        "lower()",
        "substr()",
        "n[1]",
        "n || tags",
        "s::interval + s",
        "place + 1",
        "tags > 1",
        "array_length(n)",
        "power('a', 2)",
    ] {
        let error = Scalar::parse(text, &schema()).map(|s| s.field().clone()).expect_err(text);
        let shown = told(text, &error);
        assert!(!foreign.iter().any(|word| shown.contains(word)), "{text}: {shown}");
    }
}

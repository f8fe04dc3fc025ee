//! What expressions give on one row.

use super::support::{one, type_of};

/// A row with a value in every column that the tables use.
const ROW: &str = r#"{"b":true,"small":3,"i":4,"n":10,"m":0,"r":1.5,"d":2.5,"e":0.0,"dec":12.34,
"big":99999999999999999999999999999999999999,"s":"Hello, Wörld","t":"12x","day":"1969-12-31","ts":"1969-12-31T23:30:00.5Z",
"until":"2013-01-02T15:04:05Z","tags":["a","b"],"place":{"city":"Oslo","zip":150},"Carrier":"UA","dep-delay":-7}"#;

fn check(table: &[(&str, &str)]) {
    for (text, wanted) in table {
        assert_eq!(one(text, ROW), *wanted, "{text}");
    }
}

#[test]
fn arithmetic_never_wraps_and_never_divides_by_zero() {
    check(&[
        ("n + 1", "11"),
        ("n / 4", "2"),
        ("-n / 4", "-2"),
        ("n / 4.0", "2.5"),
        ("n % 3", "1"),
        ("-n % 3", "-1"),
        ("9223372036854775807 + n", "!overflow"),
        ("9223372036854775807 + 1", "!overflow"),
        ("-9223372036854775808 - 1", "!overflow"),
        ("-9223372036854775808 / -1", "!overflow"),
        ("9223372036854775807 * n", "!overflow"),
        ("-(-9223372036854775807 - 1)", "!overflow"),
        ("-cast('-9223372036854775808' as bigint)", "!overflow"),
        ("abs(-9223372036854775807 - 1)", "!overflow"),
        ("n / m", "!division by zero"),
        ("n % m", "!division by zero"),
        ("d / e", "!division by zero"),
        ("d % e", "!division by zero"),
        ("e / e", "!division by zero"),
        ("n / 0.0", "!division by zero"),
        ("dec / m", "!division by zero"),
        ("null / m", "null"),
        ("d * 1e308 * 1e10", "!overflow"),
        ("-1e308 * 1e10 + d", "!overflow"),
        ("cast('inf' as double) * 2", "inf"),
        ("big + 1", "!overflow"),
        ("big * 2", "!overflow"),
        ("big - 1", "99999999999999999999999999999999999998"),
        ("dec * dec", "152.2756"),
        ("dec + 1", "13.34"),
    ]);
}

#[test]
fn a_shift_is_by_bits_that_there_are() {
    check(&[
        ("1 << 63", "-9223372036854775808"),
        ("n << 2", "40"),
        ("-n >> 1", "-5"),
        ("1 << 64", "!cannot shift by 64 bits"),
        ("n >> 100", "!cannot shift by 100 bits"),
        ("n << \"dep-delay\"", "!cannot shift by -7 bits"),
        ("small << small", "24"),
        ("small << cast(n + 6 as smallint)", "!cannot shift by 16 bits"),
        ("i << i", "64"),
        ("null << 64", "null"),
        ("n << null", "null"),
        ("n <= 64 or n << 64 > 0", "true"),
    ]);
}

#[test]
fn functions_without_a_result_fail() {
    check(&[
        ("ln(e)", "!the result of `ln` is not a finite number"),
        ("exp(1000.0)", "!the result of `exp` is not a finite number"),
        ("acos(2.0)", "!the result of `acos` is not a finite number"),
        ("power(10, 400)", "!the result of `power` is not a finite number"),
        ("exp(cast('inf' as double))", "inf"),
        ("sqrt(-1.0 * d)", "!cannot take square root of a negative number"),
        ("round(d)", "3.0"),
        ("power(2, 3)", "8.0"),
    ]);
}

#[test]
fn casts_say_what_they_could_not_cast() {
    check(&[
        ("cast(t as bigint)", "!cannot cast \"12x\" to bigint"),
        ("t::bigint", "!cannot cast \"12x\" to bigint"),
        ("t::timestamp", "!cannot cast \"12x\" to timestamp"),
        ("t::double", "!cannot cast \"12x\" to double"),
        ("(d * 1e300)::bigint", "!cannot cast 2.5e300 to bigint"),
        ("(d * 1e300)::real", "!cannot cast 2.5e300 to real"),
        ("(n * 100000)::smallint", "!cannot cast 1000000 to smallint"),
        ("n::decimal(1,0)", "!cannot cast 10 to decimal(1,0)"),
        ("try_cast(t as bigint)", "null"),
        ("'12'::bigint + n", "22"),
        ("d::bigint", "2"),
        ("d::decimal(3,2)", "2.50"),
        ("n::string || s", "'10Hello, Wörld'"),
        ("b::int", "1"),
        ("ts::date", "1969-12-31"),
        ("day::timestamp", "1969-12-31T00:00:00Z"),
        ("ts::bigint", "-1799500000"),
        ("n::timestamp", "1970-01-01T00:00:00.000010Z"),
    ]);
}

#[test]
fn text_functions() {
    check(&[
        ("lower(s) || '!' || UPPER(s)", "'hello, wörld!HELLO, WÖRLD'"),
        ("substr(s, 2, 3)", "'ell'"),
        ("substring(s from 2 for 3)", "'ell'"),
        ("split_part(s, ', ', 2)", "'Wörld'"),
        ("regexp_match(s, 'W(.)r')[1]", "'ö'"),
        ("regexp_replace(s, 'l+', 'L')", "'HeLo, Wörld'"),
        ("regexp_count(s, 'l')", "3"),
        ("char_length(s)", "12"),
        ("replace(s, 'l', 'L')", "'HeLLo, WörLd'"),
        ("concat(s, n, b)", "'Hello, Wörld10true'"),
        ("trim(both 'H' from s)", "'ello, Wörld'"),
        ("position('l' in s)", "3"),
        ("left(s, 2)", "'He'"),
        ("lpad(t, 5, '.')", "'..12x'"),
        ("lpad(t, \"dep-delay\")", "''"),
        ("rpad(t, n * 1000000000)", "!the result of `rpad` is longer than 64 KiB"),
        ("repeat(t, 2)", "'12x12x'"),
        ("repeat(t, -1)", "''"),
        ("repeat(t, 30000)", "!the result of `repeat` is longer than 64 KiB"),
        ("s like 'Hel%'", "true"),
        ("s like 'hel%'", "false"),
        ("s ilike 'hel%'", "true"),
        ("s ~ '^H.*d$'", "true"),
        ("\"Carrier\" = 'UA'", "true"),
        ("\"dep-delay\" + 1", "-6"),
    ]);
}

#[test]
fn times_also_before_1970() {
    check(&[
        ("extract(hour from ts)", "23"),
        ("extract(isodow from day)", "3"),
        ("date_part('isoyear', day)", "1970"),
        ("extract(EPOCH from ts)", "-1799.5"),
        ("date_part('minute', ts)", "30"),
        ("date_trunc('hour', ts)", "1969-12-31T23:00:00Z"),
        ("date_trunc('day', ts)", "1969-12-31T00:00:00Z"),
        ("date_trunc('month', until)", "2013-01-01T00:00:00Z"),
        ("date_bin(interval '15 minutes', ts - interval '1 minute')", "1969-12-31T23:15:00Z"),
        ("ts + interval '1 hour'", "1970-01-01T00:30:00.500Z"),
        ("timestamp '2013-01-31 00:00:00' + interval '1 month'", "2013-02-28T00:00:00Z"),
        ("ts - interval '100000000 years'", "!Timestamp out of range"),
        ("timestamp '2013-01-01T02:00:00+02:00'", "2013-01-01T00:00:00Z"),
        ("ts > '1960-01-01' and ts < timestamp '1970-01-01 00:00:00'", "true"),
        ("until - ts > interval '1 day'", "true"),
        ("interval '24 hours' = interval '1 day'", "true"),
        ("interval '2 days' > interval '47 hours'", "true"),
        ("day + interval '1 hour'", "1969-12-31T01:00:00Z"),
        ("day + 1", "1970-01-01"),
        ("date '2013-03-01' - date '2013-02-01'", "28"),
        ("day + n * 1000000000", "!overflow"),
        ("to_timestamp_millis(n)", "1970-01-01T00:00:00.010Z"),
        ("to_timestamp(n * 1000000000)", "2286-11-20T17:46:40Z"),
        ("to_timestamp(9223372036854775807)", "!overflow"),
        ("to_date('2013-01-31') + 1", "2013-02-01"),
        ("to_date('31.01.2013', '%d.%m.%Y')", "2013-01-31"),
        ("to_date(t)", "!cannot cast \"12x\" to date"),
        ("make_date(2013, 1, n)", "2013-01-10"),
        ("to_timestamp('2013-01-01 10:00', '%Y-%m-%d %H:%M')", "2013-01-01T10:00:00Z"),
        ("extract(hour from ts at time zone 'Europe/Berlin')", "0"),
        ("date_trunc('day', ts at time zone 'Europe/Berlin')", "1969-12-31T23:00:00Z"),
    ]);
}

#[test]
fn times_as_text_in_three_habits() {
    check(&[
        ("to_char(until, '%Y-%m-%d %I:%M')", "'2013-01-02 03:04'"),
        ("to_char(until, 'YYYY-MM-DD')", "'2013-01-02'"),
        ("to_char(until, 'HH:MI')", "'03:04'"),
        ("to_char(until, 'HH24:MI:SS')", "'15:04:05'"),
        ("date_format(until, 'yyyy-MM-dd')", "'2013-01-02'"),
        ("date_format(until, 'hh:mm')", "'03:04'"),
        ("date_format(ts, 'yyyy-MM-dd''T''HH:mm:ss.SSS')", "'1969-12-31T23:30:00.500'"),
        ("to_char(day, 'DD.MM.YYYY HH24')", "'31.12.1969 00'"),
        ("to_char(ts at time zone 'Europe/Berlin', 'HH24:MI')", "'00:30'"),
    ]);
}

#[test]
fn conditions_have_three_values() {
    check(&[
        ("null and false", "false"),
        ("null and true", "null"),
        ("null or true", "true"),
        ("null or false", "null"),
        ("not (n > null)", "null"),
        ("n = null", "null"),
        ("n in (1, null)", "null"),
        ("n in (10, null)", "true"),
        ("n not in (1, null)", "null"),
        ("n is distinct from null", "true"),
        ("null is not distinct from null", "true"),
        ("(n > null) is unknown", "true"),
        ("n between 1 and 10", "true"),
        ("n not between 1 and 9", "true"),
        ("case when null then 1 else 2 end", "2"),
        ("case n when 10 then 1 when 0 then 2 end", "1"),
        ("case n when 11 then 1 end", "null"),
        ("coalesce(null, n, 1)", "10"),
        ("nullif(n, 10)", "null"),
        ("greatest(n, 3, null)", "10"),
    ]);
}

#[test]
fn zero_has_no_sign_and_not_a_number_is_one_value() {
    check(&[
        ("e = -0.0", "true"),
        ("-e = e", "true"),
        ("-e < e", "false"),
        ("e in (-0.0, 1.0)", "true"),
        ("e between -0.0 and -0.0", "true"),
        ("case -e when 0.0 then 'zero' end", "'zero'"),
        ("nullif(e, -0.0)", "null"),
        ("-e is distinct from e", "false"),
        ("cast('nan' as double) = -cast('nan' as double)", "true"),
        ("cast('nan' as double) > 1e308", "true"),
    ]);
}

#[test]
fn shorthands_of_other_dialects() {
    check(&[
        ("hour(ts) + minute(ts) + second(ts)", "53"),
        ("year(ts) || '-' || quarter(ts) || '-' || month(ts) || '-' || week(ts)", "'1969-4-12-1'"),
        ("dayofmonth(until) * 1000 + dayofyear(until) * 10 + dayofweek(until)", "2024"),
        ("regexp_extract('a&channel_id=77&x', '(&|^)channel_id=([^&]*)', 2)", "'77'"),
        ("regexp_extract(s, 'W(.)r')", "'Wör'"),
        ("regexp_extract(s, 'x', 1)", "null"),
        ("split_index(s, ', ', 1)", "'Wörld'"),
        ("split_index(s, ', ', 2)", "null"),
        ("if(n > 5, 'big', 'small')", "'big'"),
        ("if(m = 0, 0, n / m)", "0"),
        ("mod(n + 1, 4)", "3"),
        ("mod(n, m)", "!division by zero"),
        ("locate('l', s)", "3"),
        ("ceiling(d)", "3.0"),
        ("ifnull(null, n)", "10"),
    ]);
}

#[test]
fn functions_of_other_dialects_on_times_and_lists() {
    check(&[
        ("timestampdiff(second, ts, until)", "1357140844"),
        ("timestampdiff(DAY, day, timestamp '1970-01-03 23:00:00')", "3"),
        ("timestampadd(week, -1, until)", "2012-12-26T15:04:05Z"),
        ("timestampadd(hour, n, day)", "1969-12-31T10:00:00Z"),
        ("datediff(until, day)", "15708"),
        ("last_day(until)", "2013-01-31"),
        ("last_day(date '2012-02-11')", "2012-02-29"),
        ("unix_timestamp('2020-10-10 00:00:01')", "1602288001"),
        ("unix_timestamp('1969-12-31 23:59:58.5')", "-2"),
        ("split_index('a,b,c', ',', -2) is null and split_index('a,b,c', ',', 2) = 'c'", "true"),
        ("regexp_extract('ab', '(a)(b)', -2) is null and regexp_extract('ab', '(a)(b)', 2) = 'b'", "true"),
        ("to_timestamp('2020-10-10 00:00:01', 'yyyy-MM-dd HH:mm:ss')", "2020-10-10T00:00:01Z"),
        ("to_timestamp('10.10.2020 01:02', 'yyyy-MM-dd', 'dd.MM.yyyy HH:mm')", "2020-10-10T01:02:00Z"),
        ("to_timestamp('9999-12-31 23:59:59', 'yyyy-MM-dd HH:mm:ss')", "9999-12-31T23:59:59Z"),
        ("to_timestamp('2020-10-10 03+02', concat('yyyy-MM-dd H', 'HX'))", "2020-10-10T01:00:00Z"),
        ("to_timestamp(s, 'yyyy')", "!cannot read \"Hello, Wörld\" by the format `yyyy`"),
        ("to_date('20201009', 'yyyyMMdd')", "2020-10-09"),
        ("to_date('2020-10', 'yyyy-MM')", "2020-10-01"),
        ("sign(-d)", "-1.0"),
        ("truncate(42.345, 2)", "42.34"),
        ("startswith(s, 'Hell') and endswith(s, 'd') and regexp(s, 'W.rld')", "true"),
        ("array_remove(make_array(1, 2, 1), 1)", "[2]"),
        ("array_union(make_array(1, 2), make_array(2, 3))", "[1, 2, 3]"),
        ("array_intersect(make_array(1, 2), make_array(2, 3))", "[2]"),
        ("array_except(make_array(1, 2), make_array(2, 3))", "[1]"),
        ("array_reverse(tags)", "[b, a]"),
        ("array_prepend('z', tags)", "[z, a, b]"),
    ]);
}

#[test]
fn parts_of_json() {
    let document = r#"'{"a": {"b": [1, "x"]}, "c": "it\"s", "d": null, "e": 1.50, "f": true}'"#;
    let of = |text: &str| one(&text.replace('J', document), ROW);
    for (text, wanted) in [
        ("json_value(J, '$.a.b[0]')", "'1'"),
        ("json_value(J, '$.c')", r#"'it"s'"#),
        ("json_value(J, '$.e')", "'1.50'"),
        ("json_value(J, '$.f')", "'true'"),
        ("json_value(J, '$.a')", "null"),
        ("json_value(J, '$.d')", "null"),
        ("json_value(J, '$.nope')", "null"),
        ("'[1,2,3]' -> -1", "'3'"),
        ("lower(J) -> 'a' -> 'b' ->> 1", "'x'"),
        ("J ->> 'c' ~ '^it'", "true"),
        ("json_value(s, '$.a')", "null"),
        ("json_value(null, '$.a')", "null"),
        ("json_query(J, '$.a.b')", r#"'[1, "x"]'"#),
        ("json_query(J, '$.c')", "null"),
        ("json_exists(J, '$.d') and not json_exists(J, '$.g')", "true"),
        ("J -> 'a' -> 'b' -> 1", r#"'"x"'"#),
        ("J -> 'a' -> 'b' ->> -1", "'x'"),
        ("J -> 'd'", "'null'"),
        ("J ->> 'd' is null and J -> 'd' is not null", "true"),
        ("cast(json_value(J, '$.e') as double) * 2", "3.0"),
        ("J ->> concat('', 'c')", r#"'it"s'"#),
        ("json_value(J, concat('$.', t))", "null"),
        ("json_value(J, concat('.', t))", "!`.12x` is not a JSON path; write it like '$.a.b[0]' or '$[''a key'']'"),
    ] {
        assert_eq!(of(text), wanted, "{text}");
    }
}

#[test]
fn results_of_two_long_texts_are_bounded() {
    let too_long = |name: &str| format!("!the result of `{name}` is longer than 64 KiB and than 16 times its text");
    let long = "repeat('x', 20000)";
    for (text, wanted) in [
        (format!("length(replace({long}, 'x', {long}))"), too_long("replace")),
        (format!("length(replace({long}, 'xx', 'yyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyy'))"), too_long("replace")),
        (format!("length(replace({long}, 'xxx', 'yyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyy'))"), "266642".to_owned()),
        (format!("length(replace({long}, '', {long}))"), "20000".to_owned()),
        (format!("length(replace('x', 'x', {long}))"), "20000".to_owned()),
        (format!("length(regexp_replace({long}, 'x', {long}, 'g'))"), too_long("regexp_replace")),
        (format!("length(regexp_replace({long}, 'X', {long}, 'gi'))"), too_long("regexp_replace")),
        (format!("length(regexp_replace({long}, '(x*)', repeat('$1', 20000)))"), too_long("regexp_replace")),
        (format!("length(regexp_replace({long}, 'X', {long}, 'g'))"), "20000".to_owned()),
        (format!("length(regexp_replace({long}, 'x', {long}))"), "39999".to_owned()),
        (format!("length(array_to_string(string_to_array({long}, 'x'), {long}))"), too_long("array_to_string")),
        (format!("length(array_join([1, 2], {long}))"), "20002".to_owned()),
        (format!("levenshtein({long}, {long})"), "!the texts of `levenshtein` are longer than 16 KiB".to_owned()),
    ] {
        assert_eq!(one(&text, ROW), wanted, "{text}");
    }
}

#[test]
fn lists_and_structs() {
    check(&[
        ("place.city", "'Oslo'"),
        ("place['zip'] + 1", "151"),
        ("tags[1]", "'a'"),
        ("tags[5]", "null"),
        ("array_length(tags)", "2"),
        ("array_has(tags, 'b')", "true"),
        ("array_to_string(tags, '-')", "'a-b'"),
        ("make_array(n, 1)", "[10, 1]"),
        ("array_element(tags, 1)", "'a'"),
        ("array_slice(tags, 1, 1)", "[a]"),
        ("array_sort([3, 1, 2])", "[1, 2, 3]"),
        ("array_distinct([1, 1])", "[1]"),
        ("array_position(tags, 'b')", "2"),
        ("tags || 'c'", "[a, b, c]"),
        ("named_struct('a', n)['a']", "10"),
    ]);
}

#[test]
fn results_have_types_that_streams_know() {
    for (text, wanted) in [
        ("n + 1", "bigint"),
        ("small", "smallint"),
        ("small + small", "smallint"),
        ("n * 0.908", "double"),
        ("n * cast(0.908 as decimal(3,3))", "decimal(24,3)"),
        ("lower(s)", "string"),
        ("string_to_array(s, ',')", "list<string>"),
        ("regexp_match(s, 'x')", "list<string>"),
        ("extract(hour from ts)", "int"),
        ("to_timestamp_millis(n)", "timestamp"),
        ("until - ts", "interval"),
        ("array_length(tags)", "bigint"),
        ("n > 1", "boolean"),
        ("x'41'", "bytes"),
    ] {
        assert_eq!(type_of(text), wanted, "{text}");
    }
}

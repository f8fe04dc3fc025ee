//! SQL column types, as written in `schema`, and the Arrow types behind them.
//!
//! Strings and bytes travel as Arrow views (`Utf8View`, `BinaryView`), because routing and filtering copy them cheaply; a
//! timestamp is microseconds in UTC whatever its text form was.

mod unknown;

use std::fmt;
use std::sync::Arc;

use arrow::datatypes::{DECIMAL128_MAX_PRECISION, DataType, Field, Fields, IntervalUnit, TimeUnit};
use memchr::memchr2;
use serde::de::IgnoredAny;

use self::unknown::unknown_type;

/// The time zone of every timestamp column.
pub const UTC: &str = "+00:00";

/// The Arrow type of every timestamp: microseconds since 1970, UTC.
pub fn timestamp_type() -> DataType {
    DataType::Timestamp(TimeUnit::Microsecond, Some(UTC.into()))
}

/// Where a field's metadata names a type that Arrow has only by the name, and the name of JSON there. Files that keep metadata (Parquet)
/// are read and written by others too, so these are Arrow's own.
const EXTENSION: &str = "ARROW:extension:name";
const JSON: &str = "arrow.json";

/// The field of a column of texts as one whose texts are JSON. Expressions see texts; formats that have JSON write the values themselves.
pub fn json_field(field: Field) -> Field {
    let mut metadata = field.metadata().clone();
    metadata.insert(EXTENSION.to_owned(), JSON.to_owned());
    field.with_metadata(metadata)
}

/// Whether the texts of this column are JSON.
pub fn is_json(field: &Field) -> bool {
    let is_text = matches!(field.data_type(), DataType::Utf8View | DataType::Utf8 | DataType::LargeUtf8);
    is_text && field.metadata().get(EXTENSION).is_some_and(|name| name == JSON)
}

/// Appends a text that is JSON as the value that it is, on one line. One that is not is written as a text: of files of others nobody has
/// checked what their types promise.
pub fn write_json_value(text: &str, out: &mut Vec<u8>) {
    match serde_json::from_str::<IgnoredAny>(text) {
        // Within a string JSON has no line ends; between values they mean nothing. Nearly always there is none.
        Ok(_) if memchr2(b'\n', b'\r', text.as_bytes()).is_none() => out.extend_from_slice(text.as_bytes()),
        Ok(_) => out.extend(text.bytes().filter(|byte| !matches!(byte, b'\n' | b'\r'))),
        // A text is always written: to memory, by what has no failures of its own.
        Err(_) => drop(serde_json::to_writer(out, text)),
    }
}

/// The type of a column, as a `schema` has it.
pub fn sql_type(field: &Field) -> String {
    if is_json(field) { "json".to_owned() } else { SqlName(field.data_type()).to_string() }
}

/// How a timestamp is written in the input.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TimestampForm {
    /// RFC 3339 text, with an offset; without one it is UTC.
    Rfc3339,
    /// An integer count of this unit since 1970.
    Epoch(TimeUnit),
}

/// The type of one column of a `schema`.
#[derive(Clone, Debug, PartialEq)]
pub struct ColumnType {
    /// The type inside.
    pub data_type: DataType,
    /// Whether the column may be null.
    pub nullable: bool,
    /// How timestamps in this column are written; [`TimestampForm::Rfc3339`] for other types.
    pub timestamp: TimestampForm,
}

impl ColumnType {
    /// Parses `bigint`, `string not null`, `list<struct<a: int>>`, `timestamp(ms)` …; the error says what is wrong with it.
    pub fn parse(text: &str) -> Result<ColumnType, String> {
        let mut parser = Parser { text, rest: text, depth: 0 };
        let (data_type, timestamp) = parser.data_type()?;
        let nullable = !parser.not_null()?;
        parser.skip_space();
        match parser.rest {
            rest if rest.starts_with('(') && data_type == DataType::Utf8View => {
                Err(format!("`{text}` is not a type, as texts have no length here; did you mean `string`?"))
            }
            "" => Ok(ColumnType { data_type, nullable, timestamp }),
            rest => Err(format!("`{rest}` is left over in the type `{text}`")),
        }
    }
}

/// How many lists and structs may stand within one another: well within what the decoders take, and the stack.
const MOST_NESTED: usize = 100;

struct Parser<'a> {
    text: &'a str,
    rest: &'a str,
    depth: usize,
}

impl<'a> Parser<'a> {
    fn skip_space(&mut self) {
        self.rest = self.rest.trim_start();
    }

    fn word(&mut self) -> &'a str {
        self.skip_space();
        let end = self.rest.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(self.rest.len());
        let (word, rest) = self.rest.split_at(end);
        self.rest = rest;
        word
    }

    fn eat(&mut self, token: char) -> bool {
        self.skip_space();
        match self.rest.strip_prefix(token) {
            Some(rest) => {
                self.rest = rest;
                true
            }
            None => false,
        }
    }

    fn expect(&mut self, token: char) -> Result<(), String> {
        if self.eat(token) { Ok(()) } else { Err(format!("expected `{token}` in the type `{}`", self.text)) }
    }

    fn not_null(&mut self) -> Result<bool, String> {
        let before = self.rest;
        if !self.word().eq_ignore_ascii_case("not") {
            self.rest = before;
            return Ok(false);
        }
        if self.word().eq_ignore_ascii_case("null") { Ok(true) } else { Err(format!("expected `not null` in the type `{}`", self.text)) }
    }

    fn data_type(&mut self) -> Result<(DataType, TimestampForm), String> {
        let word = self.word().to_ascii_lowercase();
        let plain = match word.as_str() {
            "boolean" | "bool" => DataType::Boolean,
            "smallint" => DataType::Int16,
            "int" | "integer" => DataType::Int32,
            "bigint" => DataType::Int64,
            "real" => DataType::Float32,
            "double" => DataType::Float64,
            "string" | "varchar" | "text" | "json" => DataType::Utf8View,
            "bytes" => DataType::BinaryView,
            "date" => DataType::Date32,
            "interval" => DataType::Interval(IntervalUnit::MonthDayNano),
            "decimal" => self.decimal()?,
            "timestamp" => return Ok((timestamp_type(), self.timestamp_form()?)),
            "list" => self.list()?,
            "struct" => self.structure()?,
            _ => return Err(unknown_type(&word, self.text)),
        };
        Ok((plain, TimestampForm::Rfc3339))
    }

    fn decimal(&mut self) -> Result<DataType, String> {
        self.expect('(')?;
        let precision: u8 = self.word().parse().map_err(|_| self.bad_decimal())?;
        let scale: i8 = if self.eat(',') { self.word().parse().map_err(|_| self.bad_decimal())? } else { 0 };
        self.expect(')')?;
        let fits = (1..=DECIMAL128_MAX_PRECISION).contains(&precision) && (0..=precision as i8).contains(&scale);
        if fits { Ok(DataType::Decimal128(precision, scale)) } else { Err(self.bad_decimal()) }
    }

    fn bad_decimal(&self) -> String {
        format!("`{}` is not a decimal type; write decimal(p, s) with 1 ≤ p ≤ 38 and 0 ≤ s ≤ p", self.text)
    }

    fn timestamp_form(&mut self) -> Result<TimestampForm, String> {
        if !self.eat('(') {
            return Ok(TimestampForm::Rfc3339);
        }
        let unit = match self.word() {
            "s" => TimeUnit::Second,
            "ms" => TimeUnit::Millisecond,
            "us" => TimeUnit::Microsecond,
            "ns" => TimeUnit::Nanosecond,
            digits if digits.parse::<u8>().is_ok() => {
                return Err(
                    "timestamps always have microseconds; write timestamp, or timestamp(s), (ms), (us), (ns) for integers since 1970"
                        .into(),
                );
            }
            other => return Err(format!("`{other}` is not a unit of timestamp(…); use s, ms, us or ns")),
        };
        self.expect(')')?;
        Ok(TimestampForm::Epoch(unit))
    }

    fn list(&mut self) -> Result<DataType, String> {
        self.expect('<')?;
        let item = self.field("item", "list")?;
        self.expect('>')?;
        Ok(DataType::List(Arc::new(item)))
    }

    fn structure(&mut self) -> Result<DataType, String> {
        self.expect('<')?;
        let mut fields = Vec::new();
        loop {
            let name = self.word().to_owned();
            if name.is_empty() {
                return Err(format!("expected a field name in the type `{}`", self.text));
            }
            self.expect(':')?;
            fields.push(self.field(&name, "struct")?);
            if !self.eat(',') {
                break;
            }
        }
        self.expect('>')?;
        Ok(DataType::Struct(Fields::from(fields)))
    }

    /// The field of a type inside another.
    fn field(&mut self, name: &str, outer: &str) -> Result<Field, String> {
        let is_json = Parser { ..*self }.word().eq_ignore_ascii_case("json");
        let (data_type, _) = self.nested(outer)?;
        let field = Field::new(name, data_type, !self.not_null()?);
        Ok(if is_json { json_field(field) } else { field })
    }

    /// A type inside another: epoch timestamps have no place for their unit there.
    fn nested(&mut self, outer: &str) -> Result<(DataType, TimestampForm), String> {
        if self.depth == MOST_NESTED {
            return Err(format!("more than {MOST_NESTED} types stand within one another"));
        }
        self.depth += 1;
        let inner = self.data_type()?;
        self.depth -= 1;
        match inner {
            (_, TimestampForm::Epoch(_)) => {
                Err(format!("timestamp(unit) cannot stand inside {outer}<…>; use timestamp (RFC 3339 text) or bigint"))
            }
            found => Ok(found),
        }
    }
}

/// An Arrow type by its SQL name, as users know it.
pub struct SqlName<'a>(pub &'a DataType);

impl fmt::Display for SqlName<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            DataType::Boolean => f.write_str("boolean"),
            DataType::Int8 | DataType::Int16 | DataType::UInt8 => f.write_str("smallint"),
            DataType::Int32 | DataType::UInt16 => f.write_str("int"),
            DataType::Int64 | DataType::UInt32 | DataType::UInt64 => f.write_str("bigint"),
            DataType::Float16 | DataType::Float32 => f.write_str("real"),
            DataType::Float64 => f.write_str("double"),
            DataType::Decimal128(p, s) | DataType::Decimal256(p, s) => write!(f, "decimal({p},{s})"),
            DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => f.write_str("string"),
            DataType::Binary | DataType::LargeBinary | DataType::BinaryView => f.write_str("bytes"),
            DataType::Date32 | DataType::Date64 => f.write_str("date"),
            DataType::Timestamp(_, _) => f.write_str("timestamp"),
            DataType::Interval(_) | DataType::Duration(_) => f.write_str("interval"),
            DataType::List(item) | DataType::LargeList(item) => write!(f, "list<{}>", sql_type(item)),
            DataType::Struct(fields) => {
                f.write_str("struct<")?;
                for (i, field) in fields.iter().enumerate() {
                    let comma = if i == 0 { "" } else { ", " };
                    write!(f, "{comma}{}: {}", field.name(), sql_type(field))?;
                }
                f.write_str(">")
            }
            DataType::Null => f.write_str("null"),
            other => write!(f, "{other}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn types_read_and_print() {
        for (text, shown, nullable) in [
            ("bigint", "bigint", true),
            ("string not null", "string", false),
            ("decimal(12, 3)", "decimal(12,3)", true),
            ("list<struct<a: int not null, b: list<string>>> NOT NULL", "list<struct<a: int, b: list<string>>>", false),
            ("timestamp(ms)", "timestamp", true),
            ("list<struct<a: JSON not null, b: list<json>>>", "list<struct<a: json, b: list<json>>>", true),
        ] {
            let parsed = ColumnType::parse(text).unwrap();
            assert_eq!(SqlName(&parsed.data_type).to_string(), shown);
            assert_eq!(parsed.nullable, nullable);
        }
        assert_eq!(ColumnType::parse("timestamp(us)").unwrap().timestamp, TimestampForm::Epoch(TimeUnit::Microsecond));
    }

    #[test]
    fn a_text_that_is_json_is_written_as_its_value_on_one_line() {
        let written = |text: &str| {
            let mut out = Vec::new();
            write_json_value(text, &mut out);
            String::from_utf8(out).unwrap()
        };
        for (text, value) in [
            (r#"{"a":1.50, "b":[1e400]}"#, r#"{"a":1.50, "b":[1e400]}"#),
            ("[1,\r\n 2]\n", "[1, 2]"),
            (r#""x\ny""#, r#""x\ny""#),
            ("null", "null"),
            ("{", r#""{""#),
            ("1 2", r#""1 2""#),
            ("", r#""""#),
        ] {
            assert_eq!(written(text), value);
        }
        let deep = "[".repeat(10_000) + &"]".repeat(10_000);
        assert_eq!(written(&deep), deep);
    }

    #[test]
    fn columns_of_json_are_told_from_texts() {
        let text = Field::new("v", DataType::Utf8View, true);
        let json = json_field(text.clone());
        assert!(is_json(&json) && !is_json(&text) && !is_json(&json_field(Field::new("v", DataType::Int64, true))));
        assert_eq!((sql_type(&json).as_str(), sql_type(&text).as_str()), ("json", "string"));
    }

    #[test]
    fn types_are_nested_to_a_limit() {
        let nested = |depth: usize| ColumnType::parse(&format!("{}int{}", "list<".repeat(depth), ">".repeat(depth)));
        assert!(nested(100).is_ok());
        assert_eq!(nested(101).unwrap_err(), "more than 100 types stand within one another");
        assert!(nested(100_000).is_err());
        let many = format!("struct<{}>", (0..200).map(|n| format!("f{n}: list<int>")).collect::<Vec<_>>().join(", "));
        assert!(ColumnType::parse(&many).is_ok());
    }

    #[test]
    fn bad_types_say_what_is_wrong() {
        assert_eq!(ColumnType::parse("bigimt").unwrap_err(), "`bigimt` is not a type; did you mean `bigint`?");
        for (found, meant) in [
            ("float", "double"),
            ("INT64 not null", "bigint"),
            ("datetime", "timestamp"),
            ("timestamptz", "timestamp"),
            ("numeric", "decimal(p,s)"),
            ("numeric (10,2) not null", "decimal(10,2) not null"),
            ("array<int>", "list<T>"),
        ] {
            assert_eq!(ColumnType::parse(found).unwrap_err(), format!("`{found}` is not a type; did you mean `{meant}`?"));
        }
        let message = ColumnType::parse("varchar(20) not null").unwrap_err();
        assert_eq!(message, "`varchar(20) not null` is not a type, as texts have no length here; did you mean `string`?");
        let precision = "timestamps always have microseconds; write timestamp, or timestamp(s), (ms), (us), (ns) for integers since 1970";
        assert_eq!(ColumnType::parse("timestamp(3)").unwrap_err(), precision);
        assert_eq!(ColumnType::parse("timestamp(m)").unwrap_err(), "`m` is not a unit of timestamp(…); use s, ms, us or ns");
        assert!(ColumnType::parse("decimal(40,2)").is_err());
        assert!(ColumnType::parse("list<int").is_err());
        assert!(ColumnType::parse("int null").is_err());
    }
}

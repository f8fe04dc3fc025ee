//! A schema from sample rows, for sources that declare none.
//!
//! A type is inferred only when every sample value reads as it without loss: a column of numbers and texts becomes `json` (in
//! CSV `string`), one of only nulls `string`. Keys and headers that cannot be column names are left out and reported.

use std::collections::BTreeSet;

use hashbrown::HashMap;

use super::Block;
use super::csv::{Dialect, FieldText, record};
use super::instant::{parse_date, parse_timestamp};
use super::json::cursor::{Cursor, Syntax};
use super::schema::{SchemaText, is_name, name_for, with_from};

/// How many rows are looked at.
pub(crate) const SAMPLE_ROWS: usize = 1000;

/// What the values of a column have in common.
#[derive(Clone, Debug, PartialEq)]
enum Kind {
    /// Only nulls so far.
    Unknown,
    Boolean,
    Bigint,
    /// Integers that do not fit into 64 bits.
    Decimal,
    Double,
    Date,
    Timestamp,
    Text,
    List(Box<Kind>),
    Struct(Fields),
    /// Nothing in common.
    Mixed,
}

/// Names in the order in which they first came, with what their values have in common.
#[derive(Clone, Debug, Default, PartialEq)]
struct Fields {
    entries: Vec<(String, Kind)>,
    index: HashMap<String, usize>,
}

impl Fields {
    fn add(&mut self, name: &str, kind: Kind) {
        match self.index.get(name) {
            Some(&at) => {
                let known = &mut self.entries[at].1;
                *known = merge(std::mem::replace(known, Kind::Unknown), kind);
            }
            None => {
                self.index.insert(name.to_owned(), self.entries.len());
                self.entries.push((name.to_owned(), kind));
            }
        }
    }
}

/// Looks at rows until it has seen enough.
#[derive(Debug, Default)]
pub(crate) struct Inference {
    columns: Fields,
    rows: usize,
}

/// What was inferred.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Inferred {
    /// The columns.
    pub(crate) schema: SchemaText,
    /// Names in the input that no column can have, and what the columns are called.
    pub(crate) renamed: Vec<Renamed>,
}

/// A column that has another name than in the input.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Renamed {
    pub(crate) from: String,
    pub(crate) name: String,
    /// As the schema has it: its type and where it is from.
    pub(crate) text: String,
}

impl Inference {
    /// Whether more rows are wanted.
    pub(crate) fn wants_more(&self) -> bool {
        self.rows < SAMPLE_ROWS
    }

    /// Looks at the lines of a block. A bad line teaches nothing; it will be a bad row of the run.
    pub(crate) fn add_json(&mut self, block: &Block) {
        for line in block.bytes.split(|&byte| byte == b'\n') {
            if !self.wants_more() {
                return;
            }
            if let Some(Kind::Struct(fields)) = std::str::from_utf8(line).ok().and_then(kind_of_line) {
                self.rows += 1;
                fields.entries.into_iter().for_each(|(name, kind)| self.columns.add(&name, kind));
            }
        }
    }

    /// Looks at the records of a block; `names` are those of its fields.
    pub(crate) fn add_csv(&mut self, block: &Block, names: &[String], dialect: &Dialect) {
        names.iter().for_each(|name| self.columns.add(name, Kind::Unknown));
        let mut start = 0;
        while start < block.bytes.len() && self.wants_more() {
            let (bytes, length) = record(&block.bytes[start..], dialect);
            start += length;
            let mut kinds = Vec::new();
            let text = std::str::from_utf8(bytes).ok().filter(|text| !text.is_empty());
            let read = text.is_some_and(|text| dialect.fields(text, |_, field| kinds.push(kind_of_field(&field, dialect))).is_ok());
            if read && kinds.len() == names.len() {
                self.rows += 1;
                names.iter().zip(kinds).for_each(|(name, kind)| self.columns.add(name, kind));
            }
        }
    }

    /// The names that were seen.
    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        self.columns.entries.iter().map(|(name, _)| name.as_str())
    }

    /// What the rows have in common; without columns when there was no good row. `mixed` is the type of a column whose values
    /// have nothing in common; those called as in `left_out` are no columns.
    pub(crate) fn finish(self, mixed: &str, left_out: &BTreeSet<String>) -> Inferred {
        let mut taken: BTreeSet<String> = self.columns.entries.iter().map(|(name, _)| name.clone()).collect();
        let (mut columns, mut renamed) = (Vec::new(), Vec::new());
        for (from, kind) in self.columns.entries.into_iter().filter(|(from, _)| !left_out.contains(from)) {
            let text = type_text(&kind).unwrap_or_else(|| mixed.to_owned());
            if is_name(&from) {
                columns.push((from, text));
                continue;
            }
            let (name, text) = (name_for(&from, |name| taken.contains(name)), with_from(&text, &from));
            taken.insert(name.clone());
            columns.push((name.clone(), text.clone()));
            renamed.push(Renamed { from, name, text });
        }
        Inferred { schema: SchemaText(columns), renamed }
    }
}

fn kind_of_line(line: &str) -> Option<Kind> {
    let mut cursor = Cursor::new(line);
    let kind = kind_of_value(&mut cursor).ok()?;
    cursor.end().ok()?;
    Some(kind)
}

fn kind_of_value(cursor: &mut Cursor<'_>) -> Result<Kind, Syntax> {
    Ok(match cursor.peek() {
        Some(b'{') => Kind::Struct(kinds_of_object(cursor)?),
        Some(b'[') => kind_of_array(cursor)?,
        Some(b'"') => kind_of_text(&cursor.string()?),
        Some(b'-' | b'0'..=b'9') => kind_of_number(cursor.number()?),
        Some(b'n') => cursor.word("null").map(|()| Kind::Unknown)?,
        _ => cursor.skip_value().map(|_| Kind::Boolean)?,
    })
}

fn kinds_of_object(cursor: &mut Cursor<'_>) -> Result<Fields, Syntax> {
    let mut fields = Fields::default();
    cursor.enter(b'{')?;
    if !cursor.eat(b'}') {
        loop {
            let name = cursor.string()?;
            cursor.expect(b':')?;
            let kind = kind_of_value(cursor)?;
            fields.add(&name, kind);
            if !cursor.more(b'}')? {
                break;
            }
        }
    }
    cursor.leave();
    Ok(fields)
}

fn kind_of_array(cursor: &mut Cursor<'_>) -> Result<Kind, Syntax> {
    let mut item = Kind::Unknown;
    cursor.enter(b'[')?;
    if !cursor.eat(b']') {
        loop {
            item = merge(item, kind_of_value(cursor)?);
            if !cursor.more(b']')? {
                break;
            }
        }
    }
    cursor.leave();
    Ok(Kind::List(Box::new(item)))
}

fn kind_of_number(text: &str) -> Kind {
    let digits = text.trim_start_matches('-');
    match () {
        () if !digits.bytes().all(|byte| byte.is_ascii_digit()) => Kind::Double,
        () if text.parse::<i64>().is_ok() => Kind::Bigint,
        () if digits.len() <= 38 => Kind::Decimal,
        () => Kind::Double,
    }
}

fn kind_of_text(text: &str) -> Kind {
    match text.as_bytes() {
        date if parse_date(date).is_some() => Kind::Date,
        time if parse_timestamp(time).is_some() => Kind::Timestamp,
        _ => Kind::Text,
    }
}

/// A number is what JSON calls one, so that `007` and `+1` stay texts.
fn kind_of_field(field: &FieldText<'_>, dialect: &Dialect) -> Kind {
    let text = field.text.as_ref();
    if dialect.is_null(field) {
        return Kind::Unknown;
    }
    if text.eq_ignore_ascii_case("true") || text.eq_ignore_ascii_case("false") {
        return Kind::Boolean;
    }
    match Cursor::new(text).number() {
        Ok(number) if number.len() == text.len() => kind_of_number(number),
        _ => kind_of_text(text),
    }
}

fn merge(a: Kind, b: Kind) -> Kind {
    match (a, b) {
        (Kind::Unknown, other) | (other, Kind::Unknown) => other,
        (a, b) if a == b => a,
        (Kind::Bigint, Kind::Decimal) | (Kind::Decimal, Kind::Bigint) => Kind::Decimal,
        (Kind::Double, Kind::Bigint | Kind::Decimal) | (Kind::Bigint | Kind::Decimal, Kind::Double) => Kind::Double,
        (Kind::Date | Kind::Timestamp | Kind::Text, Kind::Date | Kind::Timestamp | Kind::Text) => Kind::Text,
        (Kind::List(a), Kind::List(b)) => Kind::List(Box::new(merge(*a, *b))),
        (Kind::Struct(mut a), Kind::Struct(b)) => {
            b.entries.into_iter().for_each(|(name, kind)| a.add(&name, kind));
            Kind::Struct(a)
        }
        _ => Kind::Mixed,
    }
}

/// The type as the user would write it; `None` for what has no type but `json`, at any depth.
fn type_text(kind: &Kind) -> Option<String> {
    Some(match kind {
        Kind::Unknown | Kind::Text => "string".to_owned(),
        Kind::Boolean => "boolean".to_owned(),
        Kind::Bigint => "bigint".to_owned(),
        Kind::Decimal => "decimal(38, 0)".to_owned(),
        Kind::Double => "double".to_owned(),
        Kind::Date => "date".to_owned(),
        Kind::Timestamp => "timestamp".to_owned(),
        Kind::List(item) => format!("list<{}>", type_text(item)?),
        Kind::Struct(fields) if fields.entries.is_empty() => return None,
        Kind::Struct(fields) => {
            let field = |(name, kind): &(String, Kind)| {
                let word = name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_') && !name.is_empty();
                word.then_some(())?;
                Some(format!("{name}: {}", type_text(kind)?))
            };
            format!("struct<{}>", fields.entries.iter().map(field).collect::<Option<Vec<_>>>()?.join(", "))
        }
        Kind::Mixed => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn block(text: &str) -> Block {
        Block { bytes: text.as_bytes().to_vec(), header: None }
    }

    fn shown(inferred: &Inferred) -> String {
        inferred.schema.0.iter().map(|(name, text)| format!("{name} {text}")).collect::<Vec<_>>().join("; ")
    }

    #[test]
    fn json_types_are_what_all_values_have_in_common() {
        let mut inference = Inference::default();
        inference.add_json(&block(concat!(
            "{\"i\":1,\"n\":null,\"d\":1,\"t\":\"2013-01-01T00:00:00Z\",\"s\":\"2013-01-01T00:00:00Z\",\"m\":1,\"big\":1}\n",
            "not json\n\n",
            "{\"d\":1.5,\"s\":\"x\",\"m\":\"x\",\"l\":[{\"a\":1},{\"b\":[true]}],\"e\":{},\"big\":18446744073709551616,\"a b\":1}\n",
            "{\"i\":-7,\"o\":{\"k\":1,\"x y\":2},\"lm\":[1,\"x\"],\"b\":false}",
        )));
        let inferred = inference.finish("json", &BTreeSet::new());
        assert_eq!(
            shown(&inferred),
            "i bigint; n string; d double; t timestamp; s string; m json; big decimal(38, 0); l list<struct<a: bigint, b: list<boolean>>>; \
             e json; a_b bigint from 'a b'; o json; lm json; b boolean"
        );
        let renamed: Vec<_> = inferred.renamed.iter().map(|renamed| (renamed.from.as_str(), renamed.name.as_str())).collect();
        assert_eq!(renamed, [("a b", "a_b")]);
        assert!(inferred.schema.columns().is_ok());
    }

    #[test]
    fn dates_are_told_from_timestamps_and_other_texts() {
        let mut inference = Inference::default();
        inference.add_json(&block(concat!(
            r#"{"day":"2013-02-28","time":"2013-02-28T10:00:00+01:00","both":"2013-02-28","days":["2013-02-28"],"none":"2013-02-29"}"#,
            "\n",
            r#"{"day":"0001-01-01","time":"2013-02-28 10:00:00","both":"2013-02-28T10:00:00Z","days":[],"none":"2013-02-28"}"#,
        )));
        assert_eq!(
            shown(&inference.finish("json", &BTreeSet::new())),
            "day date; time timestamp; both string; days list<date>; none string"
        );
    }

    #[test]
    fn csv_types_come_from_the_texts() {
        let dialect = Dialect { header: true, delimiter: b',', quote: b'"', null_text: String::new() };
        let names = ["i", "zip", "d", "t", "b", "none", "m"].map(str::to_owned);
        let mut inference = Inference::default();
        inference.add_csv(&block("1,00501,1,2013-01-01 00:00:00,TRUE,,1\n2,90210,1e3,,false,,x\nwrong\n"), &names, &dialect);
        assert_eq!(
            shown(&inference.finish("string", &BTreeSet::new())),
            "i bigint; zip string; d double; t timestamp; b boolean; none string; m string"
        );
    }

    #[test]
    fn only_the_first_rows_are_looked_at() {
        let mut inference = Inference::default();
        inference.add_json(&block(&("{\"a\":1}\n".repeat(SAMPLE_ROWS) + "{\"a\":\"x\"}\n")));
        assert!(!inference.wants_more());
        assert_eq!(shown(&inference.finish("json", &BTreeSet::new())), "a bigint");
    }

    #[test]
    fn without_rows_there_are_no_columns() {
        assert_eq!(Inference::default().finish("json", &BTreeSet::new()).schema, SchemaText::default());
    }
}

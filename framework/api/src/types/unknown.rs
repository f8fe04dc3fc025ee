//! Words that are no types, and which types they mean.

use crate::diagnostic::nearest;

const TYPE_NAMES: [&str; 16] = [
    "boolean",
    "smallint",
    "int",
    "bigint",
    "real",
    "double",
    "decimal",
    "string",
    "bytes",
    "date",
    "timestamp",
    "interval",
    "json",
    "list",
    "struct",
    "varchar",
];

/// What SQL of other systems, Arrow and programming languages call the types.
fn meant_type(word: &str) -> Option<&'static str> {
    Some(match word {
        "tinyint" | "int2" | "int8_t" | "int16" | "short" => "smallint",
        "int4" | "int32" | "mediumint" => "int",
        "int8" | "int64" | "long" | "uint32" | "uint64" | "unsigned" => "bigint",
        "float4" | "float32" => "real",
        "float" | "float8" | "float64" | "number" => "double",
        "numeric" | "dec" => "decimal(p,s)",
        "datetime" | "timestamptz" | "timestamp_ltz" | "timestamp_ntz" | "instant" => "timestamp",
        "char" | "character" | "nvarchar" | "str" | "utf8" | "uuid" | "enum" => "string",
        "binary" | "varbinary" | "blob" | "bytea" => "bytes",
        "jsonb" | "variant" | "any" => "json",
        "array" => "list<T>",
        "row" | "record" | "object" | "map" => "struct<a: T, …>",
        _ => return None,
    })
}

/// What to say of a text whose first word is no type, and what may have been meant.
pub(super) fn unknown_type(word: &str, text: &str) -> String {
    // `numeric(10,2)`: what is in parentheses means the same here.
    let digits = text.trim_start().get(word.len()..).filter(|rest| word == "numeric" && rest.trim_start().starts_with('('));
    if let Some(digits) = digits {
        return format!("`{text}` is not a type; did you mean `decimal{}`?", digits.trim_start());
    }
    match meant_type(word).or_else(|| nearest(word, TYPE_NAMES)) {
        Some(near) => format!("`{text}` is not a type; did you mean `{near}`?"),
        None => format!(
            "`{text}` is not a type; there are boolean, smallint, int, bigint, real, double, decimal(p,s), string, bytes, date, timestamp, interval, json, list<T> and struct<a: T, …>"
        ),
    }
}

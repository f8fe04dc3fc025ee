//! What the header of a CSV file says that cannot be right: before a run of the first files, in which a slip shows at once.

use millstream_api::diagnostic::{Diagnostic, Diagnostics, nearest};
use millstream_api::error::shortened;

use super::blocks::Names;
use super::paths::InputFile;
use crate::decode::csv::{Dialect, is_twice};
use crate::decode::infer::Renamed;
use crate::decode::schema::{ColumnSpec, SCHEMA_HELP, SchemaText, is_name};

/// What other programs put between fields.
const DELIMITERS: [char; 4] = [';', '\t', '|', ','];

/// The declared columns that the header does not have, or has more than once.
pub(super) fn check_declared(file: &InputFile, header: &Names, columns: &[ColumnSpec], dialect: &Dialect) -> Result<(), Diagnostics> {
    let mistake = |column: &ColumnSpec| {
        let name = column.input_name();
        let found = match header.names.iter().any(|other| other == name) {
            false if header.names.is_empty() => return None,
            false => {
                let help = other_delimiter(&header.names, dialect).unwrap_or_else(|| instead(name, &header.names));
                Diagnostic::error("missing-column", format!("the header of `{}` has no column {}", file.name, column.both_names()))
                    .help(help)
            }
            true if is_twice(name, &header.names) => twice(file, header, name).help(format!("rename one of them, or declare no `{name}`")),
            true => return None,
        };
        Some(found.key("schema").key(&column.name).on_key())
    };
    Diagnostics(columns.iter().filter_map(mistake).collect()).into_result(())
}

/// The columns, none of which is declared, that the header has more than once.
pub(super) fn check_inferred(file: &InputFile, header: &Names) -> Result<(), Diagnostics> {
    let first = |place: usize| !header.names[..place].contains(&header.names[place]);
    let names = header.names.iter().enumerate().filter(|(place, name)| first(*place) && is_name(name) && is_twice(name, &header.names));
    let mistake = |(_, name): (usize, &String)| {
        twice(file, header, name).key("path").help(format!("rename one of them, or write a `schema` that does not have `{name}`"))
    };
    Diagnostics(names.map(mistake).collect()).into_result(())
}

/// The names that no column can have and that the header has more than once: nobody misses those.
pub(super) fn unreadable(header: &Names) -> impl Iterator<Item = &String> {
    header.names.iter().filter(|name| !is_name(name) && is_twice(name, &header.names))
}

fn twice(file: &InputFile, header: &Names, name: &str) -> Diagnostic {
    let message = format!("the header of `{}`, line {}, has the column `{name}` more than once", file.name, header.line);
    Diagnostic::error("duplicate-column", message)
}

/// Says why there are no columns, or why the only one is none.
pub(super) fn no_columns(schema: &SchemaText, renamed: &[Renamed], dialect: Option<&Dialect>) -> Option<Diagnostic> {
    let (message, help) = match (&schema.0[..], renamed, dialect) {
        ([], ..) => ("no schema can be inferred, because the files have no rows".to_owned(), SCHEMA_HELP.to_owned()),
        ([_], [one], Some(dialect)) => {
            let help = other_delimiter(std::slice::from_ref(&one.from), dialect)?;
            let from = shortened(&one.from);
            (format!("no schema can be inferred, because the only column is {from:?}, and that cannot be a column name"), help)
        }
        _ => return None,
    };
    Some(Diagnostic::error("empty-schema", message).key("path").help(help))
}

/// What to do about a header that is one field, and would be several if another character stood between fields.
fn other_delimiter(names: &[String], dialect: &Dialect) -> Option<String> {
    let [one] = names else { return None };
    let delimiter =
        DELIMITERS.into_iter().find(|delimiter| one.contains(*delimiter) && u8::try_from(*delimiter) != Ok(dialect.delimiter))?;
    Some(format!("is delimiter = {:?} meant? The header of the file is {:?}", delimiter.to_string(), shortened(one)))
}

/// What may have been meant by a column that is not there.
pub(super) fn instead(column: &str, names: &[String]) -> String {
    match nearest(column, names.iter().map(String::as_str)) {
        Some(near) => format!("did you mean `{near}`?"),
        None => format!("it has {}", names.join(", ")),
    }
}

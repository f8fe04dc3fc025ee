//! What the name of a file says of it: `rows.csv.gz` is CSV packed with gzip. Who reads the file goes by its name, so a name that says
//! something else than what is written is a mistake.

use std::path::Path;

use millstream_api::{Diagnostic, Diagnostics};

use super::packing::{Compression, Packing};
use super::{FileFormat, FileSinkOptions};

/// Endings of what nothing here can write, whatever `format` says.
const NOT_WRITTEN: &[&str] = &["bz2", "xz", "lz4", "br", "7z", "zip", "sz", "snappy", "avro", "orc", "arrow", "feather", "xlsx", "xls"];

/// What the end of a name says of the format.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Said {
    Nothing,
    Format(FileFormat),
    /// CSV with tabs.
    Tabs,
    /// It is known here for something else, or not at all.
    Other(String),
}

fn ending(path: &str) -> Option<String> {
    Path::new(path).extension().map(|ending| ending.to_string_lossy().to_ascii_lowercase())
}

/// What the last ending says of packing, and the one before it of the format.
fn said(path: &str) -> (Option<Packing>, Said) {
    let packed = match ending(path).as_deref() {
        Some("gz") => Some(Packing::Gzip),
        Some("zst" | "zstd") => Some(Packing::Zstd),
        _ => None,
    };
    let stem = Path::new(path).file_stem().map_or(String::new(), |stem| stem.to_string_lossy().into_owned());
    let format = match ending(if packed.is_some() { &stem } else { path }).as_deref() {
        None | Some("") => Said::Nothing,
        Some("json" | "ndjson" | "jsonl") => Said::Format(FileFormat::Json),
        Some("csv") => Said::Format(FileFormat::Csv),
        Some("tsv" | "tab") => Said::Tabs,
        Some("parquet") => Said::Format(FileFormat::Parquet),
        Some(other) => Said::Other(other.to_owned()),
    };
    (packed, format)
}

impl FileSinkOptions {
    /// The format, by `format` or else by the name.
    ///
    /// # Errors
    /// When the name says another one, or nothing that is known.
    pub(super) fn resolved_format(&self) -> Result<FileFormat, Diagnostic> {
        let said = said(&self.path).1;
        let lies = |ending: &str| Diagnostic::error("bad-path", format!("`{}` ends in `.{ending}`", self.path)).key("path");
        match (self.format, said) {
            (_, Said::Other(ending)) if NOT_WRITTEN.contains(&ending.as_str()) => Err(lies(&ending).help(
                "this sink writes json, csv, parquet and debezium, packed with gzip (`.gz`) or zstd (`.zst`) or not at all: name the file so",
            )),
            (None, Said::Other(ending)) => {
                let message = format!("`{}` ends in `.{ending}`, which says nothing of the format, and there is no `format`", self.path);
                let help = "write format = \"json\", \"csv\", \"parquet\" or \"debezium\", or end the name in .ndjson, .csv or .parquet";
                Err(Diagnostic::error("bad-path", message).key("path").help(help))
            }
            (None, Said::Nothing) => Ok(FileFormat::Json),
            (None, Said::Format(format)) => Ok(format),
            (None, Said::Tabs) => Ok(FileFormat::Csv),
            (Some(format), Said::Nothing | Said::Other(_)) => Ok(format),
            (Some(format), Said::Tabs) if format == FileFormat::Csv => Ok(format),
            (Some(format), Said::Format(named)) if named == format || (format, named) == (FileFormat::Debezium, FileFormat::Json) => Ok(format),
            (Some(format), Said::Tabs | Said::Format(_)) => {
                let ending = ending(self.path.trim_end_matches(".gz").trim_end_matches(".zst").trim_end_matches(".zstd"));
                let message = format!("`{}` ends in `.{}`, and `format` is {}", self.path, ending.unwrap_or_default(), format.name());
                let help = format!("give the file a name that ends in .{}, or leave `format` out", format.ending());
                Err(Diagnostic::error("bad-path", message).key("path").help(help))
            }
        }
    }

    /// What stands between two fields: by `delimiter` or else by the name.
    ///
    /// # Errors
    /// When the name says another one, or it cannot stand there.
    pub(super) fn resolved_delimiter(&self) -> Result<u8, Diagnostic> {
        let has_tabs = said(&self.path).1 == Said::Tabs;
        let delimiter = self.delimiter.unwrap_or(if has_tabs { '\t' } else { ',' });
        if !delimiter.is_ascii() || matches!(delimiter, '"' | '\n' | '\r') {
            let message = format!("{delimiter:?} cannot stand between fields");
            return Err(Diagnostic::error("bad-value", message).key("delimiter").help("use one ASCII character such as ',', ';' or '\\t'"));
        }
        if has_tabs && delimiter != '\t' {
            let message = format!("`{}` says that tabs stand between fields, and `delimiter` is {delimiter:?}", self.path);
            return Err(Diagnostic::error("bad-value", message).key("delimiter").help("leave it out, or end the name in .csv"));
        }
        Ok(delimiter as u8)
    }

    /// How a file of text is packed: by `compression` or else by the name.
    ///
    /// # Errors
    /// When the two differ, or it is nothing for text.
    pub(super) fn packing(&self, format: FileFormat) -> Result<Packing, Diagnostics> {
        let bad = |key: &str, message: String| Diagnostic::error("bad-value", message).key(key);
        let said = said(&self.path).0;
        let asked = match self.compression {
            Some(Compression::Snappy) => {
                let message = format!("`snappy` packs the pages of parquet, and this file is {}", format.name());
                return Err(bad("compression", message).help("write \"gzip\", \"zstd\" or \"none\"").into());
            }
            Some(Compression::Zstd) => Some(Packing::Zstd),
            Some(Compression::Gzip) => Some(Packing::Gzip),
            Some(Compression::None) => Some(Packing::None),
            None => None,
        };
        match (said, asked) {
            (Some(said), Some(asked)) if said != asked => {
                let message = format!("the name `{}` says {}, and `compression` is {}", self.path, said.name(), asked.name());
                Err(bad("compression", message).help("leave it out, or end the name otherwise").into())
            }
            (said, asked) => Ok(asked.or(said).unwrap_or(Packing::None)),
        }
    }

    /// How the pages of a Parquet file are packed.
    ///
    /// # Errors
    /// When the name says that the file as a whole is.
    pub(super) fn page_packing(&self) -> Result<Compression, Diagnostic> {
        match said(&self.path).0 {
            Some(said) => {
                let message = format!("`{}` says that the file is packed with {}, and this one is parquet", self.path, said.name());
                let help =
                    format!("of a Parquet file the pages are packed: write compression = \"{}\" and end the name in .parquet", said.name());
                Err(Diagnostic::error("bad-path", message).key("path").help(help))
            }
            None => Ok(self.compression.unwrap_or(Compression::Zstd)),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::testing::{Node, schema, stream};

    fn options(path: &str, more: Value) -> Value {
        let mut options = json!({ "path": path });
        options.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        options
    }

    #[test]
    fn names_say_what_is_written() {
        for (path, format, packing) in [
            ("rows", FileFormat::Json, Packing::None),
            ("a.b/rows", FileFormat::Json, Packing::None),
            ("rows.JSONL.ZST", FileFormat::Json, Packing::Zstd),
            ("rows.gz", FileFormat::Json, Packing::Gzip),
            ("rows.csv.zstd", FileFormat::Csv, Packing::Zstd),
            ("rows.tsv.gz", FileFormat::Csv, Packing::Gzip),
        ] {
            let options: FileSinkOptions = serde_json::from_value(json!({ "path": path })).unwrap();
            let found = options.resolved_format().map(|found| (found, options.packing(found).map_err(|_| ())));
            assert_eq!(found.map_err(|_| ()), Ok((format, Ok(packing))), "{path}");
            assert_eq!(options.resolved_delimiter().map_err(|_| ()), Ok(if path.contains("tsv") { b'\t' } else { b',' }));
        }
    }

    #[test]
    fn a_name_that_says_something_else_is_a_mistake() {
        for (path, more, message) in [
            ("r.csv", json!({ "format": "json" }), "`r.csv` ends in `.csv`, and `format` is json"),
            ("r.tsv.gz", json!({ "format": "json" }), "`r.tsv.gz` ends in `.tsv`, and `format` is json"),
            ("r.json", json!({ "format": "parquet" }), "`r.json` ends in `.json`, and `format` is parquet"),
            ("r.txt", json!({}), "`r.txt` ends in `.txt`, which says nothing of the format, and there is no `format`"),
            ("r.csv.bz2", json!({ "format": "csv" }), "`r.csv.bz2` ends in `.bz2`"),
            ("r.csv.gz", json!({ "compression": "none" }), "the name `r.csv.gz` says gzip, and `compression` is none"),
            ("r.ndjson.zst", json!({ "compression": "gzip" }), "the name `r.ndjson.zst` says zstd, and `compression` is gzip"),
            ("r.csv", json!({ "compression": "snappy" }), "`snappy` packs the pages of parquet, and this file is csv"),
            ("r.parquet.gz", json!({}), "`r.parquet.gz` says that the file is packed with gzip, and this one is parquet"),
            ("r.tsv", json!({ "delimiter": ";" }), "`r.tsv` says that tabs stand between fields, and `delimiter` is ';'"),
        ] {
            let found = Node::mistakes::<FileSinkOptions>(options(path, more), vec![stream(schema("n bigint"))]);
            assert_eq!(found.iter().map(|(_, _, found)| found.as_str()).collect::<Vec<_>>(), [message]);
        }
    }
}

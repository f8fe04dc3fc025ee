//! How files are written, resolved: what cuts and what decodes them.

use millstream_api::error::Result;

use super::blocks::{Division, Framing, TextShape};
use super::compression::Compression;
use super::parquet::ParquetShape;
use super::pipeline::Decoder;
use super::reading::FileShape;
use crate::decode::Decode;
use crate::decode::csv::{CsvDecoder, Dialect};
use crate::decode::debezium::DebeziumDecoder;
use crate::decode::json::JsonDecoder;
use crate::decode::schema::ColumnSpec;

/// How files are written.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Format {
    Text(TextFormat, Compression),
    Parquet,
}

/// How text is written.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum TextFormat {
    Json,
    Csv(Dialect),
    Debezium,
}

impl Format {
    /// How files are read.
    pub(crate) fn shape(&self, all: &[ColumnSpec], wanted: &[ColumnSpec], block_bytes: usize, division: Division) -> FileShape {
        match self {
            Format::Text(format, compression) => {
                let (framing, compression) = (format.framing(all, wanted), *compression);
                FileShape::Text(TextShape { framing, compression, block_bytes, division })
            }
            Format::Parquet => FileShape::Parquet(ParquetShape { wanted: wanted.to_vec() }),
        }
    }

    /// What turns pieces into rows, `batch_rows` at a time at most.
    pub(crate) fn decoder(&self, wanted: &[ColumnSpec], batch_rows: usize) -> Result<Decoder> {
        Ok(match self {
            Format::Text(format, _) => Decoder::Text(format.decoder(wanted, batch_rows)?),
            Format::Parquet => Decoder::Parquet(ParquetShape { wanted: wanted.to_vec() }, batch_rows),
        })
    }
}

impl TextFormat {
    /// How text is cut into records.
    pub(crate) fn framing(&self, all: &[ColumnSpec], wanted: &[ColumnSpec]) -> Framing {
        match self {
            TextFormat::Json | TextFormat::Debezium => Framing::Lines,
            TextFormat::Csv(dialect) => Framing::Csv { dialect: dialect.clone(), all: all.to_vec(), wanted: wanted.to_vec() },
        }
    }

    /// What turns records into rows.
    pub(crate) fn decoder(&self, wanted: &[ColumnSpec], batch_rows: usize) -> Result<Box<dyn Decode>> {
        Ok(match self {
            TextFormat::Json => Box::new(JsonDecoder::new(wanted, batch_rows)?),
            TextFormat::Debezium => Box::new(DebeziumDecoder::new(wanted, batch_rows)?),
            TextFormat::Csv(dialect) => Box::new(CsvDecoder::new(wanted, dialect.clone(), batch_rows)?),
        })
    }
}

//! From the body of a request to rows.

use std::io::Read;

use millstream_api::error::Result;
use millstream_api::options::OnBadRow;

use super::budget::Part;
use super::intake::Covered;
use crate::decode::json::JsonDecoder;
use crate::decode::schema::ColumnSpec;
use crate::decode::{BadRecord, Block, Decode, Decoded};

/// How a body is packed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Packing {
    None,
    Gzip,
    Zstd,
}

impl Packing {
    /// What `Content-Encoding` says; `None`: nothing that is known here.
    pub(super) fn named(name: Option<&str>) -> Option<Self> {
        match name.map(str::trim) {
            None | Some("") => Some(Packing::None),
            Some(name) if name.eq_ignore_ascii_case("identity") => Some(Packing::None),
            Some(name) if name.eq_ignore_ascii_case("gzip") || name.eq_ignore_ascii_case("x-gzip") => Some(Packing::Gzip),
            Some(name) if name.eq_ignore_ascii_case("zstd") => Some(Packing::Zstd),
            Some(_) => None,
        }
    }
}

/// What is decoded and how.
#[derive(Clone, Debug)]
pub(super) struct Wanted {
    /// The columns that flow.
    pub(super) columns: Vec<ColumnSpec>,
    /// Rows of a batch, at most.
    pub(super) batch_rows: usize,
    /// What becomes of a request with bad rows.
    pub(super) on_bad_row: OnBadRow,
    /// The greatest body once it is unpacked.
    pub(super) body_bytes: usize,
}

/// The rows of one request, with the memory that is set aside for them.
#[derive(Debug)]
pub(super) struct Taken {
    /// What to call the request in the places of its rows.
    pub(super) name: String,
    pub(super) batches: Vec<Decoded>,
    pub(super) part: Part,
    /// Who waits for a checkpoint that covers them.
    pub(super) covered: Option<Covered>,
}

impl Taken {
    /// How many rows are good, and how many bad.
    pub(super) fn counts(&self) -> (usize, usize) {
        let count = |(good, bad): (usize, usize), batch: &Decoded| (good + batch.records.num_rows(), bad + batch.bad.len());
        self.batches.iter().fold((0, 0), count)
    }
}

/// Why a body is no rows.
#[derive(Debug)]
pub(super) enum Unfit {
    /// It cannot be unpacked.
    Packing(String),
    /// It is too large once it is unpacked.
    TooLarge,
    /// There is no memory for it now.
    NoRoom,
    /// Some of its rows are bad, and so all of it is.
    Bad(Vec<BadRecord>),
    /// A mistake in here.
    Failed(millstream_api::Error),
}

impl Wanted {
    /// Unpacks and decodes the body of the request that is called `name`.
    pub(super) fn rows(&self, name: String, body: Vec<u8>, packing: Packing, mut part: Part) -> Result<Taken, Unfit> {
        let bytes = match packing {
            Packing::None => body,
            Packing::Gzip => self.unpack(flate2::read::MultiGzDecoder::new(body.as_slice()), &mut part)?,
            Packing::Zstd => {
                let decoder = zstd::stream::read::Decoder::new(body.as_slice()).map_err(|cause| Unfit::Packing(cause.to_string()))?;
                self.unpack(decoder, &mut part)?
            }
        };
        let block = Block { bytes, header: None };
        let decoded = JsonDecoder::new(&self.columns, self.batch_rows).and_then(|mut decoder| decoder.decode(&block));
        let mut batches = decoded.map_err(Unfit::Failed)?;
        if self.on_bad_row == OnBadRow::Fail {
            let bad: Vec<BadRecord> = batches.iter_mut().flat_map(|batch| std::mem::take(&mut batch.bad)).collect();
            if !bad.is_empty() {
                return Err(Unfit::Bad(bad));
            }
        }
        Ok(Taken { name, batches, part, covered: None })
    }

    fn unpack(&self, mut from: impl Read, part: &mut Part) -> Result<Vec<u8>, Unfit> {
        const PIECE: u64 = 64 << 10;
        let mut bytes = Vec::new();
        loop {
            let got = from.by_ref().take(PIECE).read_to_end(&mut bytes).map_err(|cause| Unfit::Packing(cause.to_string()))?;
            if got == 0 {
                return Ok(bytes);
            }
            if bytes.len() > self.body_bytes {
                return Err(Unfit::TooLarge);
            }
            if !part.grow(got) {
                return Err(Unfit::NoRoom);
            }
        }
    }
}

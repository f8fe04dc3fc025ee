//! The running part of the `stdin` source.

use std::collections::VecDeque;
use std::fs::File;
use std::io::Read;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use millstream_api::Source;
use millstream_api::error::{Error, ErrorKind, Result};
use millstream_api::plan::{SourceContext, SourceFactory};
use millstream_api::source::{Next, Position, SourcePart, SourceRows};

use super::framer::{Framed, Framer};
use crate::decode::schema::{ColumnSpec, flowing};
use crate::decode::{Decode, Decoded};
use crate::file_source::TextFormat;

/// What the input is called in places.
const NAME: &str = "stdin";

/// Bytes that are read at once: a pipe holds no more.
const READ_BYTES: usize = 64 << 10;

/// Whether a source of this process reads standard input: two would each get a part of it.
static TAKEN: AtomicBool = AtomicBool::new(false);

/// Makes the reader of standard input.
pub(super) struct StdinFactory {
    format: TextFormat,
    columns: Vec<ColumnSpec>,
    /// Held as long as the topology is there, so that no other source of it reads once this one has come to the end.
    claim: OnceLock<Claim>,
}

impl StdinFactory {
    pub(super) fn new(format: TextFormat, columns: Vec<ColumnSpec>) -> Self {
        StdinFactory { format, columns, claim: OnceLock::new() }
    }
}

impl SourceFactory for StdinFactory {
    fn splits(&self) -> Result<Vec<String>> {
        Ok(vec!["stdin".to_owned()])
    }

    fn make(&self, context: &SourceContext) -> Result<Box<dyn Source>> {
        if self.claim.get().is_none() {
            self.claim.set(Claim::new()?).map_err(|_| Error::internal("a source was made twice at a time"))?;
        }
        let input = standard_input().map_err(|cause| Error::io("cannot read standard input", cause))?;
        Ok(Box::new(Stdin::new(input, &self.format, &self.columns, context)?))
    }
}

/// The right to read standard input, given back when it is dropped.
struct Claim;

impl Claim {
    fn new() -> Result<Self> {
        if TAKEN.swap(true, Ordering::AcqRel) {
            let message = "another source reads standard input already, and each would get only a part of it";
            return Err(Error::new(ErrorKind::Io, message).help("read it once, and let several operators read that stream"));
        }
        Ok(Claim)
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        TAKEN.store(false, Ordering::Release);
    }
}

/// Standard input without the buffer of the standard library, in which bytes would be out of `poll`'s sight.
#[cfg(unix)]
fn standard_input() -> std::io::Result<File> {
    use std::os::fd::AsFd;
    std::io::stdin().as_fd().try_clone_to_owned().map(File::from)
}

#[cfg(not(unix))]
fn standard_input() -> std::io::Result<File> {
    Err(std::io::ErrorKind::Unsupported.into())
}

/// Whether a read would not block: there are bytes, or the writer is gone.
#[cfg(unix)]
fn is_readable(input: &File, wait: Duration) -> std::io::Result<bool> {
    use rustix::event::{PollFd, PollFlags, Timespec, poll};
    let wait = Timespec { tv_sec: wait.as_secs() as i64, tv_nsec: wait.subsec_nanos().into() };
    match poll(&mut [PollFd::new(input, PollFlags::IN)], Some(&wait)) {
        Ok(ready) => Ok(ready > 0),
        Err(rustix::io::Errno::INTR) => Ok(false),
        Err(cause) => Err(cause.into()),
    }
}

#[cfg(not(unix))]
fn is_readable(_: &File, _: Duration) -> std::io::Result<bool> {
    Ok(true)
}

/// Reads and decodes.
struct Stdin {
    /// None once it has ended.
    input: Option<File>,
    framer: Framer,
    decoder: Box<dyn Decode>,
    /// Rows, and the number of the first line of their block.
    pending: VecDeque<(u64, Decoded)>,
    /// Good rows so far.
    rows: i64,
    buffer: Vec<u8>,
}

impl Stdin {
    fn new(input: File, format: &TextFormat, columns: &[ColumnSpec], context: &SourceContext) -> Result<Self> {
        let shape = context.outputs.first().ok_or_else(|| Error::internal("a source without an output"))?;
        let wanted = flowing(columns, &shape.schema)?;
        let rows = match context.positions.first() {
            Some((_, Position(text))) => {
                text.parse().map_err(|_| Error::new(ErrorKind::State, format!("`{text}` is no position of a stdin source")))?
            }
            None => 0,
        };
        Ok(Stdin {
            input: Some(input),
            framer: Framer::new(format.framing(columns, &wanted), NAME),
            decoder: format.decoder(&wanted, context.batch_rows)?,
            pending: VecDeque::new(),
            rows,
            buffer: vec![0; READ_BYTES],
        })
    }

    /// Reads once; false when nothing came in time.
    fn read(&mut self, wait: Duration) -> Result<bool> {
        let Some(input) = &mut self.input else { return Ok(false) };
        let failed = |cause| Error::io("cannot read standard input", cause);
        if !is_readable(input, wait).map_err(failed)? {
            return Ok(false);
        }
        let got = match input.read(&mut self.buffer) {
            Ok(got) => got,
            Err(cause) if matches!(cause.kind(), std::io::ErrorKind::Interrupted | std::io::ErrorKind::WouldBlock) => return Ok(false),
            Err(cause) => return Err(failed(cause)),
        };
        let framed = match got {
            0 => {
                self.input = None;
                self.framer.finish()?
            }
            _ => self.framer.push(&self.buffer[..got])?,
        };
        if let Some(Framed { block, first_line }) = framed {
            self.pending.extend(self.decoder.decode(&block)?.into_iter().map(|decoded| (first_line, decoded)));
        }
        Ok(true)
    }
}

impl Source for Stdin {
    fn next(&mut self, wait: Duration) -> Result<Next> {
        loop {
            if let Some((first_line, decoded)) = self.pending.pop_front() {
                let first_row = self.rows;
                self.rows += decoded.records.num_rows() as i64;
                return Ok(Next::Rows(SourceRows {
                    split: 0,
                    parts: vec![SourcePart { output: 0, records: decoded.records, first_row, weights: None }],
                    bad: decoded.bad.into_iter().map(|bad| bad.placed(NAME, first_line)).collect(),
                    position: Position(self.rows.to_string()),
                }));
            }
            if self.input.is_none() {
                return Ok(Next::End);
            }
            if !self.read(wait)? {
                return Ok(Next::Nothing);
            }
        }
    }
}

#[cfg(test)]
#[cfg(unix)]
mod tests {
    use std::io::Write;
    use std::os::fd::OwnedFd;

    use millstream_api::plan::Shape;

    use super::*;
    use crate::decode::csv::Dialect;
    use crate::decode::schema::arrow_schema;
    use crate::testing::record_rows;

    fn columns() -> Vec<ColumnSpec> {
        [("n", "bigint"), ("t", "string")].map(|(name, text)| ColumnSpec::parse(name, text).unwrap()).to_vec()
    }

    /// A source that reads a pipe, of which column `n` flows, and the other end of the pipe.
    fn piped(format: &TextFormat, positions: Vec<(u32, Position)>) -> (Stdin, std::io::PipeWriter) {
        let (reader, writer) = std::io::pipe().unwrap();
        let schema = arrow_schema(&columns()[..1]);
        let shape = Shape { schema, explicit_windows: false, judge: false, origin: false, read: true };
        let context = SourceContext { node: "in".into(), batch_rows: 100, workers: 1, outputs: vec![shape], positions };
        (Stdin::new(File::from(OwnedFd::from(reader)), format, &columns(), &context).unwrap(), writer)
    }

    fn next_rows(source: &mut Stdin) -> (Vec<String>, Vec<String>, i64) {
        match source.next(Duration::from_secs(60)).unwrap() {
            Next::Rows(rows) => {
                let bad = rows.bad.iter().map(|bad| format!("{}: {}", bad.place, bad.reason)).collect();
                (record_rows(&rows.parts[0].records), bad, rows.parts[0].first_row)
            }
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn rows_come_while_the_writer_goes_on_and_end_with_it() {
        let (mut source, mut writer) = piped(&TextFormat::Json, Vec::new());
        assert!(matches!(source.next(Duration::ZERO).unwrap(), Next::Nothing));
        writer.write_all(b"{\"n\":1,\"t\":\"x\"}\nnothing\n{\"n\":").unwrap();
        assert_eq!(
            next_rows(&mut source),
            (
                vec![r#"{"n":1}"#.to_owned()],
                vec!["stdin:2: expected an object at byte 1 of the line, found `n`; a row is one object on a line of its own".to_owned()],
                0
            )
        );
        assert!(matches!(source.next(Duration::ZERO).unwrap(), Next::Nothing));
        writer.write_all(b"2}").unwrap();
        drop(writer);
        assert_eq!(next_rows(&mut source), (vec![r#"{"n":2}"#.to_owned()], vec![], 1));
        assert!(matches!(source.next(Duration::ZERO).unwrap(), Next::End));
    }

    #[test]
    fn csv_is_read_by_its_header_and_numbers_go_on_after_a_restart() {
        let dialect = Dialect { header: true, delimiter: b';', quote: b'"', null_text: String::new() };
        let (mut source, mut writer) = piped(&TextFormat::Csv(dialect), vec![(0, Position("7".into()))]);
        writer.write_all(b"t;n\n\"a;\nb\";5\n").unwrap();
        assert_eq!(next_rows(&mut source), (vec![r#"{"n":5}"#.to_owned()], vec![], 7));
    }

    #[test]
    fn standard_input_is_read_by_one() {
        let claim = Claim::new().unwrap();
        assert!(Claim::new().is_err_and(|error| error.message().starts_with("another source reads standard input already")));
        drop(claim);
        drop(Claim::new().unwrap());
    }
}

//! `stdout`: rows on standard output, for people and for pipes.
//!
//! What was encoded is written in one piece and flushed when input pauses, so that rows of two such sinks are never mixed
//! inside a line and a quiet stream is seen at once.

use std::io::Write;
use std::sync::Arc;

use arrow::array::RecordBatch;
use millstream_api::error::ErrorKind;
use millstream_api::operator::Fates;
use millstream_api::plan::{Columns, InputPlan, Inputs, Make, Parallelism, Plan, SinkContext, SinkFactory, WindowUse};
use millstream_api::registry::{InputKeys, NodeOptions, Role};
use millstream_api::sink::Finish;
use millstream_api::{Batch, Diagnostics, Error, Result, Sink};
use schemars::JsonSchema;
use serde::Deserialize;

use super::columns::{Picked, Projection};
use crate::encode::{json, table};

/// Prints rows on standard output.
///
/// As `json` one object a line, like the sink `file`. As `table` in aligned columns under one header, with `-` for null;
/// rows are printed in pages of up to 1,000 or when the input pauses, and a page may widen the columns.
///
/// ```toml
/// [sinks.screen]
/// type   = "stdout"
/// input  = "delays"
/// format = "table"
/// ```
#[derive(Clone, Debug, Deserialize, JsonSchema)]
pub struct StdoutOptions {
    /// `json` or `table`.
    #[serde(default)]
    pub format: StdoutFormat,
    /// The columns to print, in this order. Default: all.
    pub columns: Option<Vec<String>>,
    /// Prints the changes of an updating stream, with a last column `_weight`: 1 for a row that comes, -1 for one that is
    /// withdrawn. Without it an updating input is an error.
    #[serde(default)]
    pub changes: bool,
}

/// How rows are printed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum StdoutFormat {
    /// One object a line.
    #[default]
    Json,
    /// Aligned columns.
    Table,
}

impl NodeOptions for StdoutOptions {
    const KIND: &'static str = "stdout";
    const ROLE: Role = Role::Sink;
    const INPUTS: InputKeys = InputKeys::One;

    fn plan(self, inputs: &Inputs<'_>) -> Result<Plan, Diagnostics> {
        let picked = Picked::new(self.columns, inputs)?.appended(self.changes, inputs)?;
        let factory = StdoutFactory { picked, format: self.format };
        let plan = Plan::new(vec![InputPlan::any(WindowUse::Reads)], Vec::new(), Make::Sink(Arc::new(factory)));
        Ok(Plan { parallelism: Parallelism::One("there is one standard output"), ..plan })
    }
}

struct StdoutFactory {
    picked: Picked,
    format: StdoutFormat,
}

impl SinkFactory for StdoutFactory {
    fn required(&self) -> Columns {
        self.picked.required()
    }

    fn has_bad_rows(&self) -> bool {
        false
    }

    fn make(&self, context: &SinkContext) -> Result<Box<dyn Sink>> {
        let projection = self.picked.bind(&context.input.schema)?;
        Ok(Box::new(Printer::new(projection, self.format, std::io::stdout())))
    }
}

/// Rows of a page of a table.
const PAGE_ROWS: usize = 1_000;

/// Bytes that are collected before they are written.
const BUFFER_BYTES: usize = 1 << 16;

struct Printer<W> {
    projection: Projection,
    /// The table, and the rows of its next page; none for JSON.
    table: Option<(table::Table, Vec<RecordBatch>)>,
    buffer: Vec<u8>,
    writer: W,
}

impl<W: Write> Printer<W> {
    fn new(projection: Projection, format: StdoutFormat, writer: W) -> Self {
        let table = (format == StdoutFormat::Table).then(|| (table::Table::new(projection.schema()), Vec::new()));
        Printer { projection, table, buffer: Vec::new(), writer }
    }

    /// Encodes the rows that wait for their page.
    fn end_page(&mut self) -> Result<()> {
        if let Some((table, page)) = &mut self.table
            && !page.is_empty()
        {
            table.write_page(page, &mut self.buffer)?;
            page.clear();
        }
        Ok(())
    }

    fn write_buffer(&mut self) -> Result<()> {
        let written = self.writer.write_all(&self.buffer).and_then(|()| self.writer.flush());
        self.buffer.clear();
        written.map_err(|cause| match cause.kind() {
            std::io::ErrorKind::BrokenPipe => Error::new(ErrorKind::Closed, "cannot write to standard output: its reader has closed it"),
            _ => Error::io("cannot write to standard output", cause),
        })
    }
}

impl<W: Write + Send> Sink for Printer<W> {
    fn write(&mut self, batch: Batch, fates: &mut Fates) -> Result<()> {
        let records = self.projection.records(&batch)?;
        match &mut self.table {
            None => json::write_rows(&records, &mut self.buffer)?,
            Some((_, page)) => {
                page.push(records);
                if page.iter().map(RecordBatch::num_rows).sum::<usize>() >= PAGE_ROWS {
                    self.end_page()?;
                }
            }
        }
        if self.buffer.len() >= BUFFER_BYTES {
            self.write_buffer()?;
        }
        fates.taken += batch.rows() as u64;
        Ok(())
    }

    fn flush(&mut self) -> Result<()> {
        self.end_page()?;
        if self.buffer.is_empty() {
            return Ok(());
        }
        self.write_buffer()
    }

    fn finish(&mut self, _: Finish) -> Result<()> {
        self.flush()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use serde_json::json;

    use super::*;
    use crate::testing::{Node, batch, ints, schema, stream, texts};

    /// What was written, piece by piece.
    #[derive(Clone, Default)]
    struct Screen(Arc<Mutex<Vec<String>>>);

    impl Write for Screen {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().unwrap().push(String::from_utf8(bytes.to_vec()).unwrap());
            Ok(bytes.len())
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    fn printer(format: StdoutFormat) -> (Printer<Screen>, Screen) {
        let screen = Screen::default();
        let picked = Picked::new(Some(vec!["n".into(), "name".into()]), &inputs()).unwrap();
        (Printer::new(picked.bind(&schema("name string, n bigint")).unwrap(), format, screen.clone()), screen)
    }

    fn inputs() -> Inputs<'static> {
        let streams = vec![("input".to_owned(), stream(schema("name string, n bigint")))];
        Inputs { name: "screen", streams, on_bad_row: Default::default(), folder: ".".into() }
    }

    #[test]
    fn json_lines_are_seen_when_input_pauses() {
        let (mut printer, screen) = printer(StdoutFormat::Json);
        let mut fates = Fates::default();
        printer.write(batch(&[("name", texts(["a", "b"])), ("n", ints([Some(1), None]))]), &mut fates).unwrap();
        assert!(screen.0.lock().unwrap().is_empty());
        printer.flush().unwrap();
        printer.finish(Finish::End).unwrap();
        assert_eq!(*screen.0.lock().unwrap(), ["{\"n\":1,\"name\":\"a\"}\n{\"n\":null,\"name\":\"b\"}\n"]);
        assert_eq!(fates.taken, 2);
    }

    #[test]
    fn a_table_has_one_header() {
        let (mut printer, screen) = printer(StdoutFormat::Table);
        for name in ["a", "b"] {
            printer.write(batch(&[("name", texts([name])), ("n", ints([None]))]), &mut Fates::default()).unwrap();
            printer.flush().unwrap();
        }
        assert_eq!(screen.0.lock().unwrap().concat(), "n  name\n-  ----\n-  a\n-  b\n");
    }

    #[test]
    fn a_closed_pipe_is_said_and_not_a_panic() {
        struct Closed;
        impl Write for Closed {
            fn write(&mut self, _: &[u8]) -> std::io::Result<usize> {
                Err(std::io::ErrorKind::BrokenPipe.into())
            }

            fn flush(&mut self) -> std::io::Result<()> {
                Ok(())
            }
        }
        let picked = Picked::new(None, &inputs()).unwrap();
        let mut printer = Printer::new(picked.bind(&schema("name string, n bigint")).unwrap(), StdoutFormat::Json, Closed);
        printer.write(batch(&[("name", texts(["a"])), ("n", ints([None]))]), &mut Fates::default()).unwrap();
        assert_eq!(printer.flush().unwrap_err().message(), "cannot write to standard output: its reader has closed it");
        printer.finish(Finish::Halt).unwrap();
    }

    #[test]
    fn an_updating_input_must_be_asked_for() {
        let updating = millstream_api::Stream { updating: true, ..stream(schema("a bigint")) };
        assert_eq!(Node::mistakes::<StdoutOptions>(json!({}), vec![updating.clone()])[0].0, "updating-input");
        assert!(Node::mistakes::<StdoutOptions>(json!({ "changes": true }), vec![updating]).is_empty());
    }
}

//! From the keys of `[[tests]]` to steps: every name is looked up, every value typed.

use std::collections::{BTreeMap, BTreeSet};

use arrow::array::{Int8Array, RecordBatch, RecordBatchOptions};
use arrow::datatypes::SchemaRef;
use millstream_api::diagnostic::Key;
use millstream_api::options::OnBadRow;
use millstream_api::registry;
use millstream_api::{BadRow, Diagnostic};
use schemars::schema_for;

use super::arrays::column;
use super::cell::Cell;
use super::keys::{Does, StepKeys, TestKeys};
use super::names::{Seen, Sender, Streams};
use super::rows::{self, WrittenRows};
use super::taps::Tap;
use super::types::Types;
use super::{Action, Expect, Match, Step};
use crate::report::{Lines, Problems};
use crate::shape::{Reader, Schema};
use crate::tree::{Field, Item, Place, Table, Value};

/// A test before its topology is planned.
pub(crate) struct Draft {
    pub name: String,
    pub line: usize,
    pub steps: Vec<Step>,
    /// The streams that it looks at.
    pub taps: Vec<Tap>,
}

/// Reads the tests of a file whose text is `source`. What is wrong is noted, and left out.
pub(crate) fn read(tests: &Field, source: &str, streams: &Streams<'_>, problems: &mut Problems) -> Vec<Draft> {
    let path = vec![Key::Name("tests".to_owned())];
    let Value::List(items) = &tests.item.value else {
        Reader::new(path, problems).wrong_type("a list of tables, each under [[tests]]", &tests.item.value);
        return Vec::new();
    };
    let schema = schema_for!(TestKeys);
    let lines = Lines::new(source);
    let (mut drafts, mut names) = (Vec::new(), BTreeSet::new());
    for (index, item) in items.iter().enumerate() {
        let path: Vec<Key> = path.iter().cloned().chain([Key::Index(index)]).collect();
        Reader::new(path.clone(), problems).read(Schema::root(&schema), item);
        let Value::Table(table) = &item.value else { continue };
        let Some(Value::Text(name)) = table.field("name").map(|field| &field.item.value) else { continue };
        if !names.insert(name.clone()) {
            let message = format!("another test is called {name:?} as well");
            Reader::new(path.clone(), problems).note(Diagnostic::error("duplicate-name", message).key("name").help("give it another name"));
        }
        let (crashed, ended, taps) = (false, BTreeSet::new(), BTreeMap::new());
        let mut test = Test { path, source, lines: &lines, streams, problems, crashed, ended, taps };
        let steps = test.steps(table);
        drafts.push(Draft { name: name.clone(), line: test.line(item), steps, taps: test.taps.into_values().collect() });
    }
    drafts
}

/// A test that is being read.
struct Test<'a, 'p> {
    path: Vec<Key>,
    source: &'a str,
    lines: &'a Lines<'a>,
    streams: &'a Streams<'a>,
    problems: &'p mut Problems,
    /// Whether it is dead at this step.
    crashed: bool,
    /// The sources that have ended.
    ended: BTreeSet<String>,
    taps: BTreeMap<(usize, usize), Tap>,
}

impl Test<'_, '_> {
    /// All steps that are right. What does not fit their keys is noted already.
    fn steps(&mut self, table: &Table) -> Vec<Step> {
        let Some(Value::List(items)) = table.field("steps").map(|field| &field.item.value) else { return Vec::new() };
        let schema = schema_for!(StepKeys);
        let mut steps = Vec::with_capacity(items.len());
        for (index, item) in items.iter().enumerate() {
            let path: Vec<Key> = self.path.iter().cloned().chain([Key::Name("steps".to_owned()), Key::Index(index)]).collect();
            let json = Reader::new(path.clone(), &mut Problems::default()).read(Schema::root(&schema), item);
            let (Value::Table(table), Some(json)) = (&item.value, json) else { continue };
            let keys = registry::read::<StepKeys>(json).map_err(|mistakes| mistakes.0);
            let action = keys.and_then(StepKeys::does).and_then(|does| self.action(does, table, &path));
            match action {
                Ok(action) => steps.push(Step { line: self.line(item), action }),
                Err(mistakes) => mistakes.into_iter().for_each(|mistake| Reader::new(path.clone(), self.problems).note(mistake)),
            }
        }
        steps
    }

    fn line(&self, item: &Item) -> usize {
        match &item.place {
            Place::File(span) => self.lines.line(span.start),
            Place::Layer(_) => 1,
        }
    }

    /// What the step does; paths of mistakes start in the step.
    fn action(&mut self, does: Does, table: &Table, path: &[Key]) -> Result<Action, Vec<Diagnostic>> {
        self.check_order(&does)?;
        Ok(match does {
            Does::Advance(duration) => Action::Advance(duration.duration()),
            Does::Checkpoint => Action::Checkpoint,
            Does::Crash => {
                self.crashed = true;
                Action::Crash
            }
            Does::Restore => {
                self.crashed = false;
                Action::Restore
            }
            Does::Idle(source) => Action::Idle(self.streams.timely_source("idle", &source)?),
            Does::End(source) => {
                let node = self.streams.source("end", &source)?.name.clone();
                self.ended.insert(node.clone());
                Action::End(node)
            }
            Does::Send(stream) => self.send(&stream, &self.rows(table)?)?,
            Does::Expect(key, stream, matching) => self.expect(key, &stream, matching, self.rows(table)?, path)?,
        })
    }

    /// What cannot be done at this point of the test.
    fn check_order(&self, does: &Does) -> Result<(), Vec<Diagnostic>> {
        let wrong = |key: &str, message: String, help: &str| Err(vec![Diagnostic::error("bad-step", message).key(key).help(help)]);
        let dead = "after `crash` nothing runs before `restore`";
        match does {
            Does::Restore if !self.crashed => {
                wrong("restore", "there was no `crash` to come back from".to_owned(), "put { crash = true } before it")
            }
            Does::Checkpoint | Does::Crash | Does::Idle(_) | Does::Expect(..) if self.crashed => {
                let key = match does {
                    Does::Checkpoint => "checkpoint",
                    Does::Crash => "crash",
                    Does::Idle(_) => "idle",
                    Does::Expect(key, ..) => key,
                    _ => "",
                };
                wrong(key, dead.to_owned(), "put { restore = true } before it")
            }
            Does::Send(stream) if self.ended.contains(stream.split('.').next().unwrap_or(stream)) => {
                wrong("send", format!("`{stream}` has ended: no more rows can come"), "send them before its end")
            }
            _ => Ok(()),
        }
    }

    fn rows(&self, table: &Table) -> Result<WrittenRows, Vec<Diagnostic>> {
        match table.field("rows") {
            None => Ok(WrittenRows { rows: Vec::new(), written: None }),
            Some(field) if field.item.broken => Err(Vec::new()),
            Some(field) => rows::read(&field.item, self.source).map_err(under_rows),
        }
    }

    fn send(&self, name: &str, written: &WrittenRows) -> Result<Action, Vec<Diagnostic>> {
        let Sender { node, port, stream, on_bad_row } = self.streams.sender(name)?;
        let types = Types { subject: name, schema: &stream.schema, forms: self.streams.forms(node) };
        let (mut good, mut weights, mut bad, mut mistakes) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        for (index, row) in written.rows.iter().enumerate() {
            match (types.whole_row(row, stream.updating), &row.line) {
                (Ok((cells, weight)), _) => {
                    good.push(cells);
                    weights.push(weight);
                }
                (Err(found), Some(raw)) if on_bad_row != OnBadRow::Fail && found.iter().all(|one| one.code != "unknown-column") => {
                    let reason = found.into_iter().map(|one| one.message).collect::<Vec<_>>().join("; ");
                    bad.push(BadRow { reason, place: format!("{name}: row {} of the step", index + 1), raw: raw.clone() });
                }
                (Err(found), _) => mistakes.extend(found),
            }
        }
        if !mistakes.is_empty() {
            return Err(mistakes);
        }
        let records = records(&stream.schema, &good).map_err(|error| vec![Diagnostic::error("wrong-type", error.message()).key("rows")])?;
        let weights = stream.updating.then(|| Int8Array::from(weights));
        Ok(Action::Send { node: node.name.clone(), port, records, weights, bad })
    }

    fn expect(
        &mut self,
        key: &'static str,
        name: &str,
        matching: Match,
        written: WrittenRows,
        path: &[Key],
    ) -> Result<Action, Vec<Diagnostic>> {
        let Seen { place, stream, columns, node, is_view } = self.streams.seen(key, name)?;
        let types = Types { subject: name, schema: &stream.schema, forms: BTreeMap::new() };
        let weights = stream.updating && !is_view;
        let (mut rows, mut mistakes) = (Vec::new(), Vec::new());
        for row in &written.rows {
            match types.named(row, &columns, weights) {
                Ok(cells) => rows.push(cells),
                Err(found) => mistakes.extend(found),
            }
        }
        if !mistakes.is_empty() {
            return Err(mistakes);
        }
        if let Some(place) = place {
            let tap = self.taps.entry(place).or_insert_with(|| Tap::new(name, place, path, key));
            let named = rows.iter().flatten().filter_map(|(column, _)| columns.get(*column));
            tap.columns.extend(named.cloned());
            if key == "expect_rejected" {
                // They are there whatever is computed, and without them an unexpected row would have nothing to show.
                tap.columns.extend(columns.iter().cloned());
            }
        }
        let as_changes = rows.iter().flatten().any(|(column, _)| *column == columns.len());
        let node = node.unwrap_or_else(|| Tap::node_name(name));
        let (text, updating) = (step_text(key, name), stream.updating);
        let written = written.written;
        Ok(Action::Expect(Expect { text, node, is_view, as_changes, updating, columns, rows, matching, written }))
    }
}

fn step_text(key: &str, stream: &str) -> String {
    let name = if key == "expect" { stream } else { stream.rsplit_once('.').map_or(stream, |(node, _)| node) };
    format!("{key} = {name:?}")
}

fn under_rows(mistakes: Vec<Diagnostic>) -> Vec<Diagnostic> {
    let under = |mut mistake: Diagnostic| {
        mistake.path.insert(0, Key::Name("rows".to_owned()));
        mistake
    };
    mistakes.into_iter().map(under).collect()
}

/// A batch of all columns.
fn records(schema: &SchemaRef, rows: &[Vec<Cell>]) -> millstream_api::Result<RecordBatch> {
    let columns = schema.fields().iter().enumerate().map(|(index, field)| {
        let cells: Vec<&Cell> = rows.iter().map(|row| &row[index]).collect();
        column(&cells, field.data_type())
    });
    let options = RecordBatchOptions::new().with_row_count(Some(rows.len()));
    Ok(RecordBatch::try_new_with_options(schema.clone(), columns.collect::<millstream_api::Result<_>>()?, &options)?)
}

//! How lines of one shape are read.
//!
//! Keys and the punctuation around them are plain bytes here, compared sixteen at a time. A line whose bytes are not those of the
//! layout, or of which a value does not fit, is given up, with the columns as they were before.
//!
//! A text that has been the same in the first lines (the type of an event is, where lines of several types are mixed) becomes part of what is
//! compared, and is added once for all the lines that were read in one go.

use super::fixed::Fixed;
use super::shape::{Same, Shape};
use super::value::{Text, read, skip};
use crate::decode::column::{ColumnSet, Values};

/// So many lines must have a text before it is taken for a part of the layout.
const TRIAL_LINES: usize = 64;

/// Reads lines of a shape.
#[derive(Debug)]
pub(super) struct Layout {
    shape: Shape,
    steps: Vec<Step>,
    tail: Fixed,
    /// Texts that are compared as a part of the line.
    same: Vec<Same>,
    trial: Option<Trial>,
}

/// One value and what stands before it.
#[derive(Debug)]
struct Step {
    before: Fixed,
    /// The column of the value; `None` when nobody wants it.
    column: Option<u32>,
}

/// Texts that have been the same in each line so far.
#[derive(Debug)]
struct Trial {
    texts: Vec<Same>,
    lines_left: usize,
}

impl Layout {
    /// For lines of this shape; a first one had these texts.
    pub(super) fn new(shape: Shape, texts: Vec<Same>) -> Layout {
        let (steps, tail) = compile(&shape, &[]);
        let trial = (!texts.is_empty()).then_some(Trial { texts, lines_left: TRIAL_LINES });
        Layout { shape, steps, tail, same: Vec::new(), trial }
    }

    /// Whether it is for lines of this shape.
    pub(super) fn is_for(&self, shape: &Shape) -> bool {
        self.shape == *shape
    }

    /// The same that takes no text for a part of the line any more: a line has come that has another one.
    pub(super) fn loosened(self) -> Layout {
        Layout::new(self.shape, Vec::new())
    }

    /// Adds lines as rows, from the one at byte `at` on, as long as they have this layout, at most `most`. Gives how many there were and
    /// the place after them.
    pub(super) fn run(&mut self, text: &Text<'_>, at: u32, most: usize, columns: &mut ColumnSet) -> (usize, u32) {
        let (lines, end) = self.lines(text, at, most, columns);
        if lines > 0 {
            self.add_once(lines, columns);
        }
        if self.begins_at(text, end) {
            // Of the line that was given up.
            columns.truncate(columns.len);
        }
        if lines > 0 && self.trial.is_some() {
            self.try_texts(lines, columns);
        }
        (lines, end)
    }

    /// Adds the values that are not the same in each line.
    fn lines(&self, text: &Text<'_>, at: u32, most: usize, columns: &mut ColumnSet) -> (usize, u32) {
        let (mut lines, mut at) = (0, at);
        while lines < most && (at as usize) < text.bytes.len() {
            let Some(end) = self.line(text, at, columns) else { break };
            columns.len += 1;
            lines += 1;
            at = end;
        }
        (lines, at)
    }

    /// Whether the line at byte `at` has begun like those of this layout. Of one that has not, no value was read.
    fn begins_at(&self, text: &Text<'_>, at: u32) -> bool {
        self.steps.first().is_some_and(|first| first.before.after(text.bytes, at).is_some())
    }

    /// Adds what is the same in each of so many lines: nulls of columns that have no key, and texts that are part of the line.
    fn add_once(&self, lines: usize, columns: &mut ColumnSet) {
        for &column in &self.shape.absent {
            columns.columns[column].append_fillers(lines);
        }
        for same in &self.same {
            if let Values::String(values) = &mut columns.columns[same.column].values {
                values.push_same(&same.text, lines);
            }
        }
    }

    /// Looks whether the texts were the same again in the last lines.
    fn try_texts(&mut self, lines: usize, columns: &ColumnSet) {
        let Some(mut trial) = self.trial.take() else { return };
        trial.texts.retain(|same| match &columns.columns[same.column].values {
            Values::String(values) => values.end_with_only(&same.text, lines),
            _ => false,
        });
        trial.lines_left = trial.lines_left.saturating_sub(lines);
        if trial.lines_left > 0 && !trial.texts.is_empty() {
            self.trial = Some(trial);
        } else if !trial.texts.is_empty() {
            (self.steps, self.tail) = compile(&self.shape, &trial.texts);
            self.same = trial.texts;
        }
    }

    /// Adds the values of one line and gives the place after its end.
    #[inline(always)]
    fn line(&self, text: &Text<'_>, start: u32, columns: &mut ColumnSet) -> Option<u32> {
        let mut at = start;
        for step in &self.steps {
            at = step.before.after(text.bytes, at)?;
            at = match step.column {
                Some(column) => read(text, at, columns.columns.get_mut(column as usize)?)?,
                None => skip(text, at)?,
            };
        }
        at = self.tail.after(text.bytes, at)?;
        match text.bytes.get(at as usize..)? {
            [b'\n', ..] => Some(at + 1),
            [b'\r', b'\n', ..] => Some(at + 2),
            [] => Some(at),
            _ => None,
        }
    }
}

/// The steps of a line of this shape, where these texts are always the same; and what is after the last value.
fn compile(shape: &Shape, same: &[Same]) -> (Vec<Step>, Fixed) {
    let (mut steps, mut before) = (Vec::new(), Vec::new());
    for (index, value) in shape.values.iter().enumerate() {
        before.extend_from_slice(&value.before);
        match same.iter().find(|same| same.value == index) {
            Some(same) => before.extend([b"\"", &*same.text, b"\""].concat()),
            None => steps.push(Step { before: Fixed::new(&std::mem::take(&mut before)), column: value.column }),
        }
    }
    before.extend_from_slice(&shape.tail);
    (steps, Fixed::new(&before))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decode::json::shape::shape_of;
    use crate::decode::marks::{Marker, Marks};
    use crate::decode::schema::ColumnSpec;

    #[test]
    fn a_text_that_is_always_the_same_becomes_a_part_of_the_line() {
        let specs = [ColumnSpec::parse("kind", "string").unwrap(), ColumnSpec::parse("name", "string").unwrap()];
        let mut columns = ColumnSet::from_specs(&specs).unwrap();
        let (shape, texts) = shape_of(r#"{"kind":"bid","name":"n"}"#, &columns).unwrap().unwrap();
        assert_eq!(texts.len(), 2);
        let mut layout = Layout::new(shape, texts);
        let mut read = |lines: String| {
            let mut marks = Marks::default();
            marks.read(lines.as_bytes(), &Marker::new(b'"', b'\\'));
            let read = layout.run(&Text { bytes: lines.as_bytes(), marks: &marks }, 0, 1000, &mut columns).0;
            (read, layout.same.iter().map(|same| same.column).collect::<Vec<_>>())
        };
        let lines = |count: usize| (0..count).map(|row| format!("{{\"kind\":\"bid\",\"name\":\"{row}\"}}\n")).collect::<String>();
        assert_eq!(read(lines(TRIAL_LINES - 1)), (TRIAL_LINES - 1, vec![]));
        assert_eq!(read(lines(1)), (1, vec![0]));
        assert_eq!(read(lines(10) + "{\"kind\":\"bit\",\"name\":\"1\"}\n"), (10, vec![0]));
        assert_eq!(columns.len, TRIAL_LINES + 10);
        assert!(columns.columns.iter().all(|column| column.len() == TRIAL_LINES + 10));
    }
}

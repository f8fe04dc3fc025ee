//! What is different between the rows that are there and those expected, one below the other.

use std::collections::BTreeSet;

use millstream_testkit::{ActualRow, Comparison, StepFailure, Why};
use millstream_topology::cases::{Action, Case, Expect, Match, WEIGHT};

/// A failed step, in a line and what belongs under it.
pub struct Told {
    /// What did not hold.
    pub headline: String,
    /// The rows, or what to do; one line each.
    pub details: Vec<String>,
}

/// What to say of a failed step.
pub fn told(case: &Case, failure: &StepFailure) -> Told {
    match (&failure.why, case.steps.get(failure.step).map(|step| &step.action)) {
        (Why::Rows(comparison), Some(Action::Expect(expect))) => different(expect, comparison),
        (Why::Rows(_), _) => Told { headline: "other rows than expected".to_owned(), details: Vec::new() },
        (Why::Failed(error), _) => {
            let place = error.place().map(|place| format!("at {place}"));
            let help = error.help_text().map(|help| format!("help: {help}"));
            Told { headline: format!("the topology failed: {}", error.message()), details: place.into_iter().chain(help).collect() }
        }
    }
}

fn different(expect: &Expect, comparison: &Comparison) -> Told {
    let missing: Vec<usize> = comparison.missing().collect();
    // Other rows may be there when only some are expected.
    let unexpected: Vec<usize> = comparison.unexpected().filter(|_| expect.matching != Match::Subset).collect();
    if missing.is_empty() && unexpected.is_empty() {
        let all: Vec<usize> = (0..comparison.actual.len()).collect();
        let headline = format!("{}: the rows come in another order; this is theirs", expect.text);
        return Told { headline, details: aligned(expect, comparison, &[], &all, " ") };
    }
    let counts = [(missing.len(), "missing"), (unexpected.len(), "unexpected")];
    let counts: Vec<String> = counts.iter().filter(|(count, _)| *count > 0).map(|(count, what)| format!("{count} {what}")).collect();
    let headline = match expect.matching {
        // What is there may be what was meant.
        Match::Subset => format!("{}: {} of {} rows missing", expect.text, missing.len(), expect.rows.len()),
        _ => format!("{}: {}", expect.text, counts.join(", ")),
    };
    let shown: Vec<usize> = if expect.matching == Match::Subset { comparison.unexpected().collect() } else { unexpected };
    let sign = if expect.matching == Match::Subset { " " } else { "+" };
    Told { headline, details: aligned(expect, comparison, &missing, &shown, sign) }
}

/// Rows of an engine's whole output would hide what matters.
const MOST_ROWS: usize = 20;

/// Missing rows after a `-`, others after `sign`, their values in columns under the columns' names.
fn aligned(expect: &Expect, comparison: &Comparison, missing: &[usize], others: &[usize], sign: &str) -> Vec<String> {
    let columns = columns(expect, &comparison.actual);
    if columns.is_empty() {
        return vec!["name columns under `rows` to see them: nobody else reads any".to_owned()];
    }
    let head = columns.iter().map(|column| expect.columns.get(*column).map_or(WEIGHT, String::as_str).to_owned()).collect();
    let mut lines: Vec<(&str, Vec<String>)> = vec![(" ", head)];
    for row in missing.iter().take(MOST_ROWS) {
        let value = |column: &usize| expect.rows[*row].iter().find(|(named, _)| named == column).map(|(_, cell)| cell.to_string());
        lines.push(("-", columns.iter().map(|column| value(column).unwrap_or_default()).collect()));
    }
    for row in others.iter().take(MOST_ROWS) {
        let value = |column: &usize| comparison.actual[*row].get(*column)?.as_ref().map(ToString::to_string);
        lines.push((sign, columns.iter().map(|column| value(column).unwrap_or_default()).collect()));
    }
    let widths: Vec<usize> =
        (0..columns.len()).map(|at| lines.iter().map(|(_, values)| values[at].chars().count()).max().unwrap_or(0)).collect();
    let mut text: Vec<String> = lines.iter().map(|(sign, values)| line(sign, values, &widths)).collect();
    let left_out = missing.len().saturating_sub(MOST_ROWS) + others.len().saturating_sub(MOST_ROWS);
    text.extend((left_out > 0).then(|| format!("  … and {left_out} more rows")));
    text
}

fn line(sign: &str, values: &[String], widths: &[usize]) -> String {
    let padded = values.iter().zip(widths).map(|(value, width)| format!("{value}{}", " ".repeat(width - value.chars().count())));
    format!("{sign} {}", padded.collect::<Vec<_>>().join("  ")).trim_end().to_owned()
}

/// The columns that are compared; where none is, all that there are.
fn columns(expect: &Expect, actual: &[ActualRow]) -> Vec<usize> {
    let named: BTreeSet<usize> = expect.rows.iter().flatten().map(|(column, _)| *column).collect();
    if !named.is_empty() {
        return named.into_iter().collect();
    }
    let flows = |column: &usize| actual.iter().any(|row| matches!(row.get(*column), Some(Some(_))));
    (0..expect.columns.len()).filter(flows).collect()
}

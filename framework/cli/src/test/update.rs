//! `--update`: the rows that are there become the expected ones.

use millstream_testkit::{Comparison, StepFailure, Why};
use millstream_topology::Syntax;
use millstream_topology::cases::{Action, Case, Expect, Match, NewRow, NewRows, WEIGHT, rewrite};

use super::Results;
use super::difference::told;
use crate::console::{Console, Trouble};
use crate::status::Status;

/// Rewrites the expected rows that did not hold. What rows cannot mend is said, and is a failure.
pub fn update(results: &Results<'_>, console: &Console) -> Status {
    let mut edits = Vec::new();
    let mut status = Status::Done;
    let all = results.each().flat_map(|(case, verdict)| verdict.failures.iter().map(move |failure| (case, failure)));
    for (case, failure) in all {
        match edit(case, failure) {
            Some(edit) => edits.push(edit),
            None => {
                console.trouble(&unmended(results, case, failure));
                status = Status::Failed;
            }
        }
    }
    let file = results.tests.file.display();
    let text = rewrite(&results.tests.text, Syntax::of(&results.tests.file), &edits);
    if text != results.tests.text
        && let Err(error) = std::fs::write(&results.tests.file, text)
    {
        console.trouble(&Trouble::new(format!("cannot write {file}: {error}"), None));
        return Status::Failed;
    }
    let steps = if edits.len() == 1 { "1 step".to_owned() } else { format!("{} steps", edits.len()) };
    console.note(&match edits.len() {
        0 => format!("{file}: no expected rows were changed"),
        _ => format!("{file}: wrote the expected rows of {steps}"),
    });
    status
}

fn edit<'a>(case: &'a Case, failure: &StepFailure) -> Option<(&'a Expect, NewRows)> {
    let Why::Rows(comparison) = &failure.why else { return None };
    let Action::Expect(expect) = &case.steps.get(failure.step)?.action else { return None };
    expect.written.as_ref()?;
    Some((expect, new_rows(expect, comparison)))
}

fn unmended(results: &Results<'_>, case: &Case, failure: &StepFailure) -> Trouble {
    let told = told(case, failure);
    let help = match failure.why {
        Why::Rows(_) => "its rows come from outside the file, through a ${NAME}, or have headers of their own; change them by hand",
        Why::Failed(_) => "no expected rows can mend this",
    };
    Trouble { place: Some(results.place(case, failure)), ..Trouble::new(told.headline, Some(help)) }
}

/// What is expected from now on. Rows that hold stay as they are written.
fn new_rows(expect: &Expect, comparison: &Comparison) -> NewRows {
    let names = names(expect, comparison);
    let written = |actual: usize| {
        let values = names.iter().filter_map(|column| {
            let name = expect.columns.get(*column).map_or(WEIGHT, String::as_str);
            Some((name.to_owned(), comparison.actual[actual].get(*column)?.clone()?))
        });
        NewRow::Written(values.collect())
    };
    let old = expect.rows.len();
    if expect.matching == Match::Exact {
        let row = |actual: usize| match comparison.pairs.iter().position(|pair| *pair == Some(actual)) {
            Some(expected) => NewRow::Kept(expected),
            None => written(actual),
        };
        let mut rows = (0..comparison.actual.len()).map(row);
        let places = (0..old).map(|_| rows.next()).collect();
        return NewRows { places, more: rows.collect() };
    }
    let unexpected = comparison.unexpected().filter(|_| expect.matching != Match::Subset);
    let mut unexpected = unexpected.map(written);
    let place = |(expected, pair): (usize, &Option<usize>)| match pair {
        Some(_) => Some(NewRow::Kept(expected)),
        None => unexpected.next(),
    };
    let places = comparison.pairs.iter().enumerate().map(place).collect();
    NewRows { places, more: unexpected.collect() }
}

/// The columns to write: those that the expected rows name; where none is, all that there are.
fn names(expect: &Expect, comparison: &Comparison) -> Vec<usize> {
    let mut names: Vec<usize> = expect.rows.iter().flatten().map(|(column, _)| *column).collect();
    if names.is_empty() {
        let flows = |column: &usize| comparison.actual.iter().any(|row| matches!(row.get(*column), Some(Some(_))));
        return (0..expect.columns.len()).filter(flows).collect();
    }
    // In the order in which the first rows name them.
    let mut seen = Vec::new();
    names.retain(|column| {
        let is_new = !seen.contains(column);
        seen.push(*column);
        is_new
    });
    names
}

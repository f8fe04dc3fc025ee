//! Windowed aggregates against a model written from docs/semantics.md: no slices, every row kept, every window looked at.

use std::collections::BTreeMap;

use millstream_api::operator::Fates;
use millstream_api::options::OnBadRow;
use millstream_api::stream::WindowKind;
use millstream_api::window::Aligned;
use proptest::prelude::*;
use serde_json::{Value, json};

use super::harness::{Harness, Row, input, json_rows};
use super::model::{Step, combinable, compute, results, steps};
use crate::aggregate::{LATE, MAIN};

#[derive(Clone, Debug)]
struct Case {
    size: i64,
    slide: i64,
    /// Whether windows grow by `slide` up to `size`.
    cumulate: bool,
    offset: i64,
    lateness: i64,
    explicit: bool,
    /// Whether rows are put together before they are routed: only of functions of which that makes less.
    combines: bool,
    /// Whether panes leave memory now and then; of what sends early rows keys.
    spills: bool,
    /// Whether there are early rows, at a tick after each batch.
    early: bool,
    parallelism: usize,
    steps: Vec<Step>,
}

/// What should come out: rows by window, late rows by position, fates.
#[derive(Default)]
struct Expected {
    rows: BTreeMap<(i64, i64), Vec<Value>>,
    late: Vec<i64>,
    fates: Fates,
    in_state: u64,
}

fn windows_of(case: &Case, time: i64) -> Vec<(i64, i64)> {
    if case.cumulate {
        let start = (time - case.offset).div_euclid(case.size) * case.size + case.offset;
        let ends = (1..=case.size / case.slide).map(|step| start + step * case.slide);
        return ends.filter(|end| time < *end).map(|end| (start, end)).collect();
    }
    let starts = (-400..400).map(|n| n * case.slide + case.offset);
    starts.filter(|start| *start <= time && time < start + case.size).map(|start| (start, start + case.size)).collect()
}

fn model(case: &Case) -> Expected {
    let mut expected = Expected::default();
    let mut open: BTreeMap<(i64, i64), Vec<Row>> = BTreeMap::new();
    let mut node = i64::MIN;
    for step in &case.steps {
        match step {
            Step::Restore(_) => {}
            Step::Rows(rows) => {
                for row in rows {
                    let judged = node.max(row.mark);
                    let all = row.window.map_or_else(|| windows_of(case, row.time), |window| vec![window]);
                    let still: Vec<_> = all.iter().filter(|(_, end)| end + case.lateness > judged).collect();
                    if still.is_empty() {
                        expected.fates.late += 1;
                        expected.late.push(row.position);
                        continue;
                    }
                    expected.fates.taken += 1;
                    expected.fates.partly_late += u64::from(still.len() < all.len());
                    still.iter().for_each(|(start, end)| open.entry((*end, *start)).or_default().push(row.clone()));
                }
            }
            Step::Watermark(watermark) => {
                node = node.max(*watermark);
                while let Some(window) = open.keys().next().copied().filter(|(end, _)| end + case.lateness <= node) {
                    let rows = open.remove(&window).unwrap();
                    expected.rows.insert(window, results(window, &rows));
                }
            }
        }
    }
    let mut positions: Vec<(i64, (i64, i64))> = Vec::new();
    for (window, rows) in &open {
        positions.extend(rows.iter().map(|row| (row.position, if case.explicit { *window } else { (0, 0) })));
    }
    positions.sort_unstable();
    positions.dedup();
    expected.in_state = positions.len() as u64;
    if case.early {
        expected.rows.extend(open.iter().map(|(window, rows)| (*window, results(*window, rows))));
    }
    expected.late.sort_unstable();
    expected
}

fn run(case: &Case) -> Harness {
    let kind = match case.cumulate {
        true => WindowKind::Aligned(Aligned::cumulate(case.size, case.slide, case.offset)),
        false => WindowKind::hop(case.size, case.slide, case.offset),
    };
    let lateness = format!("{}us", case.lateness);
    let mut options =
        json!({ "by": ["k as key"], "compute": compute(case.combines), "having": "count(*) >= 2", "allowed_lateness": lateness });
    if case.early {
        options["emit"] = json!({ "every": "1us" });
    }
    let mut harness = Harness::new(options, input(Some((kind, case.explicit))), OnBadRow::Fail, case.parallelism);
    if case.combines {
        harness.combine();
    }
    if case.spills {
        harness.spill();
    }
    for step in &case.steps {
        match step {
            Step::Rows(rows) => {
                harness.batch(rows);
                if case.early {
                    harness.tick();
                }
            }
            Step::Watermark(watermark) => harness.watermark(*watermark),
            Step::Restore(parallelism) => harness.crash_and_restore(*parallelism),
        }
    }
    harness.halt();
    if case.early {
        harness.tick();
    }
    harness
}

/// The rows that are left by window, once all changes are applied. A withdrawal comes behind its row.
fn by_window(harness: &Harness) -> BTreeMap<(i64, i64), Vec<Value>> {
    let mut rows: BTreeMap<(i64, i64), Vec<Value>> = BTreeMap::new();
    for (_, batch) in harness.sent.iter().filter(|(port, _)| *port == MAIN) {
        let windows = batch.hidden().windows.as_ref().unwrap();
        for (row, value) in json_rows(batch).into_iter().enumerate() {
            let window = (windows.end.value(row), windows.start.value(row));
            assert_eq!(batch.times().unwrap()[row], window.0 - 1);
            let of_window = rows.entry(window).or_default();
            match batch.weights().map_or(1, |weights| weights[row]) {
                1 => of_window.push(value),
                _ => drop(of_window.swap_remove(of_window.iter().position(|other| *other == value).unwrap())),
            }
        }
        assert!(batch.rows() <= 2, "cut into batches");
    }
    rows.retain(|_, rows| !rows.is_empty());
    rows.values_mut().for_each(|rows| rows.sort_by_key(Value::to_string));
    rows
}

fn check(case: &Case) -> Result<(), TestCaseError> {
    let mut expected = model(case);
    expected.rows.retain(|_, rows| !rows.is_empty());
    if case.combines {
        expected.rows.values_mut().for_each(|rows| combinable(rows));
    }
    let harness = run(case);
    prop_assert_eq!(by_window(&harness), expected.rows);
    let mut late: Vec<i64> = harness.rows(LATE).iter().map(|row| row["id"].as_i64().unwrap()).collect();
    late.sort_unstable();
    prop_assert_eq!(late, expected.late);
    prop_assert_eq!(harness.fates, expected.fates);
    prop_assert_eq!(harness.rows_in_state(), expected.in_state);
    Ok(())
}

fn cases() -> impl Strategy<Value = Case> {
    let hop = (1i64..30).prop_flat_map(|size| (Just(size), 1..=size, Just(false)));
    let cumulate = (1i64..8, 1i64..6).prop_map(|(step, steps)| (step * steps, step, true));
    let windows = prop_oneof![2 => hop, 1 => cumulate]
        .prop_flat_map(|(size, slide, cumulate)| (Just(size), Just(slide), 0..if cumulate { size } else { slide }, Just(cumulate)));
    let lateness = prop_oneof![Just(0i64), 1i64..25];
    (windows, lateness, any::<[bool; 5]>(), 1usize..4, steps()).prop_map(
        |((size, slide, offset, cumulate), lateness, [explicit, combines, spills, early, ends], parallelism, steps)| {
            let mut case =
                Case { size, slide, cumulate, offset, lateness, explicit, combines, spills, early, parallelism, steps: Vec::new() };
            case.steps = well_formed(&case, steps, ends);
            case
        },
    )
}

/// Watermarks rise, rows are numbered and, if wanted, expanded to their windows; the end may come.
fn well_formed(case: &Case, steps: Vec<Step>, ends: bool) -> Vec<Step> {
    let (mut watermark, mut position) = (i64::MIN, 0);
    let mut formed: Vec<Step> = steps
        .into_iter()
        .map(|step| match step {
            Step::Watermark(next) => {
                watermark = watermark.max(next);
                Step::Watermark(watermark)
            }
            Step::Rows(rows) => Step::Rows(
                rows.into_iter()
                    .flat_map(|row| {
                        position += 1;
                        let row = Row { position, ..row };
                        match case.explicit {
                            false => vec![row],
                            true => windows_of(case, row.time).into_iter().map(|w| Row { window: Some(w), ..row.clone() }).collect(),
                        }
                    })
                    .collect(),
            ),
            restore => restore,
        })
        .collect();
    if ends {
        formed.push(Step::Watermark(i64::MAX));
    }
    formed
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn equal_the_model(case in cases()) {
        check(&case)?;
    }
}

//! Aggregates over sessions against a model written from docs/semantics.md: all rows that are not late, sorted and cut where
//! two are a gap or more apart.

use std::collections::BTreeMap;

use millstream_api::operator::Fates;
use millstream_api::options::OnBadRow;
use millstream_api::stream::WindowKind;
use proptest::prelude::*;
use serde_json::{Value, json};

use super::harness::{Harness, Row, input, json_rows};
use super::model::{COMPUTE, Step, combinable, compute, results, steps};
use crate::aggregate::{LATE, MAIN};

#[derive(Clone, Debug)]
struct Case {
    gap: i64,
    lateness: i64,
    /// Whether rows are put together before they are routed.
    combines: bool,
    /// Whether keys leave memory.
    spills: bool,
    /// Whether there are early rows, at a tick after each batch.
    early: bool,
    parallelism: usize,
    steps: Vec<Step>,
}

/// What should come out: rows, late rows by position, fates.
#[derive(Default)]
struct Expected {
    rows: Vec<Value>,
    late: Vec<i64>,
    fates: Fates,
    in_state: u64,
}

fn model(case: &Case) -> Expected {
    let mut expected = Expected::default();
    let mut taken: BTreeMap<Option<i64>, Vec<Row>> = BTreeMap::new();
    let mut node = i64::MIN;
    for step in &case.steps {
        match step {
            Step::Restore(_) => {}
            Step::Watermark(watermark) => node = node.max(*watermark),
            Step::Rows(rows) => {
                for row in rows {
                    // Those that come after the end are late at any lateness.
                    let judged = node.max(row.mark);
                    if judged == i64::MAX || row.time < judged.saturating_sub(case.lateness) {
                        expected.late.push(row.position);
                    } else {
                        taken.entry(row.key).or_default().push(row.clone());
                    }
                }
            }
        }
    }
    expected.late.sort_unstable();
    expected.fates.late = expected.late.len() as u64;
    for mut rows in taken.into_values() {
        expected.fates.taken += rows.len() as u64;
        rows.sort_by_key(|row| row.time);
        for session in rows.chunk_by(|one, next| next.time - one.time < case.gap) {
            let (start, end) = (session[0].time, session[session.len() - 1].time + case.gap);
            match end.saturating_add(case.lateness) <= node {
                true => expected.rows.extend(results((end, start), session)),
                false => {
                    expected.in_state += session.len() as u64;
                    if case.early {
                        expected.rows.extend(results((end, start), session));
                    }
                }
            }
        }
    }
    expected.rows.sort_by_key(Value::to_string);
    expected
}

fn run(case: &Case) -> Harness {
    let kind = WindowKind::Session { gap: case.gap };
    let lateness = format!("{}us", case.lateness);
    let mut options = json!({ "by": ["k as key"], "compute": compute(case.combines), "having": "n >= 2", "allowed_lateness": lateness });
    if case.early {
        options["emit"] = json!({ "every": "1us" });
    }
    let mut harness = Harness::new(options, input(Some((kind, false))), OnBadRow::Fail, case.parallelism);
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

fn check(case: &Case) -> Result<(), TestCaseError> {
    let mut expected = model(case);
    if case.combines {
        combinable(&mut expected.rows);
    }
    let harness = run(case);
    let mut found = Vec::new();
    for (_, batch) in harness.sent.iter().filter(|(port, _)| *port == MAIN) {
        let windows = batch.hidden().windows.as_ref().unwrap();
        let times = batch.times().unwrap();
        prop_assert!(windows.end.values().iter().zip(times).all(|(end, time)| *time == end - 1));
        // Of a session that has become one of two several rows are withdrawn.
        prop_assert!(batch.rows() <= 2 || case.early, "cut into batches");
        for (row, value) in json_rows(batch).into_iter().enumerate() {
            match batch.weights().map_or(1, |weights| weights[row]) {
                1 => found.push(value),
                _ => drop(found.swap_remove(found.iter().position(|other| *other == value).unwrap())),
            }
        }
    }
    found.sort_by_key(Value::to_string);
    prop_assert_eq!(found, expected.rows);
    let mut late: Vec<i64> = harness.rows(LATE).iter().map(|row| row["id"].as_i64().unwrap()).collect();
    late.sort_unstable();
    prop_assert_eq!(late, expected.late);
    prop_assert_eq!(harness.fates, expected.fates);
    prop_assert_eq!(harness.rows_in_state(), expected.in_state);
    Ok(())
}

fn cases() -> impl Strategy<Value = Case> {
    let lateness = prop_oneof![Just(0i64), 1i64..25];
    (1i64..20, lateness, 1usize..4, steps(), any::<[bool; 4]>()).prop_map(
        |(gap, lateness, parallelism, steps, [combines, spills, early, ends])| {
            let (mut watermark, mut position) = (i64::MIN, 0);
            let mut steps: Vec<Step> = steps
                .into_iter()
                .map(|step| match step {
                    Step::Watermark(next) => {
                        watermark = watermark.max(next);
                        Step::Watermark(watermark)
                    }
                    Step::Rows(rows) => {
                        let mut number = || {
                            position += 1;
                            position
                        };
                        Step::Rows(rows.into_iter().map(|row| Row { position: number(), ..row }).collect())
                    }
                    restore => restore,
                })
                .collect();
            steps.extend(ends.then_some(Step::Watermark(i64::MAX)));
            Case { gap, lateness, combines, spills, early, parallelism, steps }
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn equal_the_model(case in cases()) {
        check(&case)?;
    }
}

#[test]
fn state_leaves_with_the_watermark() {
    let options = json!({ "by": ["k"], "compute": COMPUTE });
    let mut harness = Harness::new(options, input(Some((WindowKind::Session { gap: 5 }, false))), OnBadRow::Fail, 1);
    let mut most = 0;
    for round in 0..400 {
        let rows = (0..40).map(|i| Row {
            time: round * 10 + i % 3,
            key: Some(round * 40 + i),
            value: Some(i),
            mark: i64::MIN,
            weight: 1,
            position: round * 40 + i,
            window: None,
        });
        harness.batch(&rows.collect::<Vec<_>>());
        harness.watermark(round * 10 + 5);
        // Whether its slots have just been numbered anew shows in the size.
        if round < 200 {
            most = harness.state_bytes().max(most);
        }
    }
    assert!(harness.state_bytes() <= most + most / 4, "{} bytes after {most}", harness.state_bytes());
    harness.watermark(i64::MAX);
    assert_eq!(harness.rows_in_state(), 0);
    assert_eq!(harness.rows(MAIN).len(), 400 * 40);
}

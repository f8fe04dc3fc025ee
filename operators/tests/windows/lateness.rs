//! More or less lateness is allowed when a run goes on: what has closed stays closed, and what is open closes by the new rule.

use proptest::prelude::*;

use super::{Case, Kind, MAX_DELAY, cases, late_rows, lines, model_by, rows_of, start, sums};

/// Behind a filter rows are put together before they are divided.
fn operators(kind: Kind, lateness: i64, emit: &str) -> String {
    format!(
        "[operators.all]\ntype = 'filter'\ninput = 'rides'\nwhere = 'km > -9'\n\
         [operators.windows]\ntype = 'window'\ninput = 'all'\n{}\n\
         [operators.sums]\ntype = 'aggregate'\ninput = 'windows'\nby = ['car']\n{emit}\n\
         compute = ['count(*) as rides', 'sum(km) as total']\nallowed_lateness = '{lateness}s'\n\
         [sinks.out]\ntype = 'collect'\ninput = 'sums'\n[sinks.late]\ntype = 'collect'\ninput = 'sums.late'\n",
        kind.keys(),
    )
}

/// How a run goes on after its checkpoint.
#[derive(Clone, Debug)]
struct Changed {
    lateness: i64,
    /// Where keyed state is before the crash, and after it.
    state: [&'static str; 2],
    emit: &'static str,
}

fn changed() -> impl Strategy<Value = Changed> {
    let state = || prop::sample::select(vec!["memory", "disk"]);
    let emit = prop::sample::select(vec!["emit = 'close'", "emit = { every = '5s' }"]);
    (0i64..30, [state(), state()], emit).prop_map(|(lateness, state, emit)| Changed { lateness, state, emit })
}

/// What comes out, and what is late.
fn run(case: &Case, changed: &Changed) -> [Vec<String>; 2] {
    let settings = |at: usize| {
        let lateness = [case.lateness, changed.lateness][at];
        [
            format!("runtime.workers={}", case.workers[at]),
            format!("runtime.batch_rows={}", case.batch_rows),
            format!("runtime.linger={}", case.linger),
            format!("runtime.state={}", changed.state[at]),
            format!("operators.sums.allowed_lateness={lateness}s"),
        ]
    };
    let [before, after] = [0, 1].map(settings);
    let mut script = start(&operators(case.kind, case.lateness, changed.emit), &before.each_ref().map(String::as_str), case.seed);
    let checkpoint = case.checkpoint.min(case.rows.len());
    let crash = case.crash.clamp(checkpoint, case.rows.len());
    script.send("rides", &lines(&case.rows[..checkpoint])).unwrap();
    script.advance("5s").unwrap();
    script.checkpoint().unwrap();
    script.send("rides", &lines(&case.rows[checkpoint..crash])).unwrap();
    script.advance("5s").unwrap();
    script.crash_and_restore(&after.each_ref().map(String::as_str)).unwrap();
    script.send("rides", &lines(&case.rows[crash..])).unwrap();
    script.advance("5s").unwrap();
    script.end().unwrap();
    assert!(script.ledger().balances(), "{:?}", script.ledger());
    ["out", "late"].map(|sink| rows_of(&script, sink))
}

/// What is to come out, and what is to be late.
fn expected(case: &Case, changed: &Changed) -> [Vec<String>; 2] {
    let checkpoint = case.checkpoint.min(case.rows.len());
    let greatest = case.rows[..checkpoint].iter().map(|row| row.2).max();
    let closed_at_the_barrier = greatest.map_or(i64::MIN, |greatest| greatest - MAX_DELAY - case.lateness);
    let (taken, late) = model_by(case.kind, &case.rows, |place, watermark| match place < checkpoint {
        true => watermark - case.lateness,
        false => (watermark - changed.lateness).max(closed_at_the_barrier),
    });
    [sums(&taken), late_rows(&late)]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn what_is_open_closes_by_the_new_rule(case in cases(), changed in changed()) {
        prop_assert_eq!(run(&case, &changed), expected(&case, &changed));
    }
}

#[test]
fn what_has_closed_stays_closed_when_more_lateness_is_allowed() {
    let tumble = Kind::Hop { size: 10, slide: 10, offset: 0 };
    for (kind, state) in [tumble, Kind::Hop { size: 10, slide: 5, offset: 0 }, Kind::Session { gap: 10 }]
        .into_iter()
        .flat_map(|kind| ["memory", "disk"].map(|state| (kind, state)))
    {
        let state = format!("runtime.state={state}");
        let mut script = start(&operators(kind, 0, ""), &["runtime.workers=2", &state], 3);
        script.send("rides", &lines(&[("a", 1, 1), ("a", 2, 35)])).unwrap();
        let closed = rows_of(&script, "out");
        assert!(!closed.is_empty());
        for lateness in ["1m", "2m", "1m"] {
            script.checkpoint().unwrap();
            let lateness = format!("operators.sums.allowed_lateness={lateness}");
            script.crash_and_restore(&["runtime.workers=2", &state, &lateness]).unwrap();
            // The watermark was 25 s.
            script.send("rides", &lines(&[("a", 4, 3), ("a", 8, 26), ("a", 16, 4)])).unwrap();
        }
        script.end().unwrap();
        let late = rows_of(&script, "late");
        assert_eq!(late.len(), 6, "{kind:?} {late:?}");
        let of_closed = |row: &&String| {
            closed.iter().any(|closed| closed.split_once("window_start").map(|of| of.1) == row.split_once("window_start").map(|of| of.1))
        };
        assert_eq!(rows_of(&script, "out").iter().filter(of_closed).collect::<Vec<_>>(), closed.iter().collect::<Vec<_>>());
        assert!(script.ledger().balances());
    }
}

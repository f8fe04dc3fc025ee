//! Checkpoints that have what has changed: a view that goes on from them is the one that wrote them.

use millstream_api::state::StateEntries;

use super::*;
use crate::testing::{Checkpointed, make_sink};

/// A view that notes what changes, and what checkpoints have of it.
fn noting(options: &Value, stream: &Stream) -> (Driven, Checkpointed) {
    let mut view = Driven::new(options.clone(), stream.clone());
    assert!(view.sink.note_changes());
    let mut all = StateWriter::new();
    view.sink.prepare(1, &mut all).unwrap();
    (view, Checkpointed::of(all, &[ROWS]))
}

fn checkpoint(view: &mut Driven, has: &mut Checkpointed) -> StateEntries {
    let mut changes = StateWriter::new();
    view.sink.prepare_changes(2, &mut changes).unwrap();
    has.add(changes)
}

fn restored(from: StateEntries, options: &Value, stream: &Stream) -> Driven {
    let mut view = Driven::new(options.clone(), stream.clone());
    view.sink.restore(&StateReader::new(from, &owned_groups(0, 1, 128)).unwrap()).unwrap();
    view
}

#[test]
fn a_checkpoint_has_what_has_changed() {
    let options = json!({ "key": ["k"] });
    let (mut view, mut has) = noting(&options, &input());
    for i in 0..1_000 {
        view.write(at(row(&format!("k{i}"), 0), &[i]));
    }
    checkpoint(&mut view, &mut has);
    assert_eq!(has.written(), (0, 1_000), "nothing was there before");
    view.write(at(row("k7", 1), &[2_000]))
        .write(at(row("k7", 2), &[2_001]))
        .write(at(row("new", 3), &[2_002]))
        .write(at(row("k8", 4), &[0]));
    let all = checkpoint(&mut view, &mut has);
    assert_eq!(has.written(), (1, 2), "the row of k8 is older than that which is there");
    assert_eq!(restored(all, &options, &input()).view.rows().unwrap(), view.view.rows().unwrap());
    checkpoint(&mut view, &mut has);
    assert_eq!(has.written(), (0, 0));
    let bytes = view.sink.state_bytes();
    assert!((50_000..200_000).contains(&bytes), "{bytes}");
}

#[test]
fn rows_that_leave_and_debts_are_in_it() {
    let options = json!({ "retain": "10us" });
    let stream = Stream { updating: true, ..timed(schema("k string, v bigint")) };
    let (mut view, mut has) = noting(&options, &stream);
    let change = |k: &str, time: i64, weight: i8| weighed(at(row(k, 0), &[time]), &[weight]);
    view.write(change("a", 1, 1)).write(change("a", 1, 1)).write(change("b", 5, -1)).write(change("c", 6, -1));
    checkpoint(&mut view, &mut has);
    assert_eq!(has.written(), (0, 4));
    view.write(change("b", 5, 1)).write(change("a", 1, -1));
    let all = checkpoint(&mut view, &mut has);
    assert_eq!(has.written(), (2, 1), "debts are one key");
    let mut other = restored(all, &options, &stream);
    for view in [&mut other, &mut view] {
        view.write(change("c", 6, 1));
        assert_eq!(view.rows(), [r#"{"k":"a","v":0}"#]);
        view.write(change("d", 15, 1)).write(change("c", 6, 1));
        assert_eq!(view.rows(), [r#"{"k":"d","v":0}"#, r#"{"k":"c","v":0}"#]);
    }
    checkpoint(&mut view, &mut has);
    assert_eq!(has.written(), (2, 2), "a is too old now, and of debts nothing is left");
}

#[test]
fn rows_that_come_and_go_between_two_checkpoints_take_no_room() {
    let options = json!({ "max_rows": 2 });
    let (mut view, mut has) = noting(&options, &input());
    view.write(at(row("k", 0), &[0])).write(at(row("k", 1), &[1]));
    checkpoint(&mut view, &mut has);
    view.write(at(row("k", 2), &[2]));
    let bytes = view.sink.state_bytes();
    for i in 3..1_000 {
        view.write(at(row("k", i), &[i]));
    }
    assert!(view.sink.state_bytes() <= 2 * bytes, "{bytes} {}", view.sink.state_bytes());
    let all = checkpoint(&mut view, &mut has);
    assert_eq!(has.written(), (2, 2), "the rows of before, and the last ones");
    assert_eq!(restored(all, &options, &input()).rows(), view.rows());
}

/// All state of a view, in no order.
fn state_of(view: &mut Driven) -> Vec<String> {
    let mut state = StateWriter::new();
    view.sink.prepare(1, &mut state).unwrap();
    let entries = state.into_entries();
    let mut rows: Vec<String> = entries.values().flatten().flat_map(|rows| record_rows(&rows.records)).collect();
    rows.sort();
    rows
}

proptest! {
    #[test]
    fn a_view_that_goes_on_from_changes_is_the_same(
        changes in changes(),
        cuts in 1usize..9,
        failed in proptest::collection::vec(any::<bool>(), 40),
        (updating, options) in prop_oneof![
            Just((true, json!({}))), Just((true, json!({ "retain": "20us" }))), Just((false, json!({ "key": ["k"], "retain": "20us" }))),
            Just((false, json!({ "max_rows": 3 }))), Just((false, json!({ "key": ["k"], "max_rows": 2 }))), Just((false, json!({})))],
    ) {
        let stream = Stream { updating, from_source: false, ..timed(schema("k string, v bigint")) };
        let (mut view, mut has) = noting(&options, &stream);
        for (piece, waits) in changes.chunks(cuts).zip(failed) {
            view.write(piece_of(piece, &stream));
            if waits {
                continue;
            }
            let mut other = restored(checkpoint(&mut view, &mut has), &options, &stream);
            prop_assert_eq!(other.view.rows().unwrap(), view.view.rows().unwrap());
            prop_assert_eq!(other.sink.state_bytes(), view.sink.state_bytes());
            // All is written, so that nothing is lost when it is looked at.
            prop_assert_eq!(state_of(&mut other), state_of(&mut view));
        }
    }
}

#[test]
fn nobody_sees_a_view_before_it_has_what_there_was() {
    let views = Views::default();
    let make = || make_sink::<ViewOptions>(json!({ "key": ["k"] }), updating(), Path::new("."), &views, true);
    let mut before = make();
    assert!(views.get("sink").is_none());
    before.start().unwrap();
    before.write(weighed(row("a", 1), &[1]), &mut Fates::default()).unwrap();
    let mut state = StateWriter::new();
    before.prepare(1, &mut state).unwrap();
    let shown = || record_rows(&views.get("sink").unwrap().rows().unwrap().1);
    assert_eq!(shown().len(), 1);
    let mut after = make();
    assert_eq!(shown().len(), 1, "the one before is still there");
    after.restore(&StateReader::new(state.into_entries(), &owned_groups(0, 1, 128)).unwrap()).unwrap();
    after.start().unwrap();
    assert_eq!(shown(), [r#"{"k":"a","v":1}"#]);
}

//! A view driven as the runtime drives it, and read as a server reads it.

mod checkpoints;

use std::path::Path;

use millstream_api::Stream;
use millstream_api::batch::{Hidden, Origin};
use millstream_api::key_group::owned_groups;
use millstream_api::view::{Changes, Next, View, Views};
use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::testing::{Node, at, batch, committing_sink, ints, record_rows, schema, sink, stream, texts, timed, weighed};

struct Driven {
    sink: Box<dyn Sink>,
    view: Arc<dyn View>,
    fates: Fates,
}

impl Driven {
    fn new(options: Value, stream: Stream) -> Driven {
        let views = Views::default();
        let sink = sink::<ViewOptions>(options, stream, Path::new("."), &views);
        Driven { sink, view: views.get("sink").unwrap(), fates: Fates::default() }
    }

    fn write(&mut self, batch: Batch) -> &mut Self {
        self.sink.write(batch, &mut self.fates).unwrap();
        self
    }

    fn rows(&self) -> Vec<String> {
        record_rows(&self.view.rows().unwrap().1)
    }

    fn crash_and_restore(&mut self, options: Value, stream: Stream) {
        let mut writer = StateWriter::new();
        self.sink.prepare(1, &mut writer).unwrap();
        let mut fresh = Driven::new(options, stream);
        fresh.sink.restore(&StateReader::new(writer.into_entries(), &owned_groups(0, 1, 128)).unwrap()).unwrap();
        fresh.fates = self.fates;
        *self = fresh;
    }
}

fn input() -> Stream {
    timed(schema("k string, v bigint"))
}

fn updating() -> Stream {
    Stream { updating: true, unique_key: Some(vec!["k".into()]), ..stream(schema("k string, v bigint")) }
}

fn row(k: &str, v: i64) -> Batch {
    batch(&[("k", texts([k])), ("v", ints([Some(v)]))])
}

fn came_from(batch: Batch, split: u32, position: i64) -> Batch {
    let origin = Origin { split: vec![split; batch.rows()].into(), position: vec![position; batch.rows()].into() };
    batch.with_hidden(Hidden { origin: Some(origin), ..batch.hidden().clone() }).unwrap()
}

#[test]
fn a_key_has_its_newest_row_whatever_the_order_of_arrival() {
    let mut view = Driven::new(json!({ "key": ["k"] }), input());
    view.write(came_from(at(row("b", 1), &[10]), 0, 0)).write(came_from(at(row("a", 2), &[20]), 0, 1));
    view.write(came_from(at(row("b", 3), &[9]), 0, 2));
    assert_eq!(view.rows(), [r#"{"k":"a","v":2}"#, r#"{"k":"b","v":1}"#]);
    view.write(came_from(at(row("b", 4), &[10]), 0, 3)).write(came_from(at(row("b", 5), &[10]), 0, 2));
    assert_eq!(view.rows()[1], r#"{"k":"b","v":4}"#);
    assert_eq!(view.fates, Fates { taken: 5, ..Fates::default() });
    assert_eq!((view.view.version(), view.view.rows().unwrap().0), (5, 5));
}

#[test]
fn rows_of_one_time_are_ordered_by_all_columns_once_they_are_not_from_a_source() {
    let joined = Stream { from_source: false, ..timed(schema("k string, v bigint, w bigint")) };
    let mut view = Driven::new(json!({ "key": ["k"], "columns": ["k", "w"] }), joined);
    let three = |v: Option<i64>, w: i64| at(batch(&[("k", texts(["a"])), ("v", ints([v])), ("w", ints([Some(w)]))]), &[5]);
    view.write(three(Some(7), 1)).write(three(None, 2)).write(three(Some(9), 3));
    assert_eq!(view.rows(), [r#"{"k":"a","w":2}"#]);
}

#[test]
fn without_a_key_every_row_is_there_in_the_order_of_arrival() {
    let mut view = Driven::new(json!({}), input());
    view.write(at(row("b", 1), &[3])).write(at(row("a", 2), &[2])).write(at(row("b", 1), &[1]));
    assert_eq!(view.rows(), [r#"{"k":"b","v":1}"#, r#"{"k":"a","v":2}"#, r#"{"k":"b","v":1}"#]);
    assert!(view.view.lookup(&["a"]).unwrap_err().message().contains("no key"));
}

#[test]
fn a_row_is_withdrawn_by_its_equal_only() {
    let mut view = Driven::new(json!({ "key": ["k"] }), updating());
    view.write(weighed(row("a", 1), &[1]));
    let both = batch(&[("k", texts(["a", "a"])), ("v", ints([Some(1), Some(2)]))]);
    view.write(weighed(both, &[-1, 1]));
    assert_eq!(view.rows(), [r#"{"k":"a","v":2}"#]);
    // The withdrawal of a row that is still to come, and one that was overtaken by the row after it.
    view.write(weighed(row("a", 3), &[-1]));
    assert_eq!(view.rows(), [r#"{"k":"a","v":2}"#]);
    view.write(weighed(row("a", 3), &[1])).write(weighed(row("a", 4), &[1])).write(weighed(row("a", 2), &[-1]));
    assert_eq!(view.rows(), [r#"{"k":"a","v":4}"#]);
    view.write(weighed(row("a", 4), &[-1]));
    assert!(view.rows().is_empty());
}

#[test]
fn without_a_key_changes_are_counted_row_by_row() {
    let mut view = Driven::new(json!({}), updating());
    view.write(weighed(row("a", 1), &[1])).write(weighed(row("a", 1), &[1])).write(weighed(row("b", 2), &[-1]));
    view.write(weighed(row("a", 1), &[-1])).write(weighed(row("b", 2), &[1])).write(weighed(row("b", 2), &[1]));
    assert_eq!(view.rows(), [r#"{"k":"a","v":1}"#, r#"{"k":"b","v":2}"#]);
}

#[test]
fn old_rows_leave_and_do_not_come_back() {
    let mut view = Driven::new(json!({ "key": ["k"], "retain": "10us" }), input());
    view.write(at(row("a", 1), &[100])).write(at(row("b", 2), &[105])).write(at(row("c", 3), &[111]));
    assert_eq!(view.rows(), [r#"{"k":"b","v":2}"#, r#"{"k":"c","v":3}"#]);
    view.write(at(row("a", 4), &[100])).write(at(row("a", 5), &[101]));
    assert_eq!(view.rows(), [r#"{"k":"a","v":5}"#, r#"{"k":"b","v":2}"#, r#"{"k":"c","v":3}"#]);
    assert_eq!(view.fates, Fates { taken: 4, expired: 1, ..Fates::default() });
}

#[test]
fn the_newest_rows_stay_when_there_are_too_many() {
    let mut view = Driven::new(json!({ "max_rows": 2 }), input());
    view.write(at(row("c", 3), &[30])).write(at(row("a", 1), &[10])).write(at(row("b", 2), &[20])).write(at(row("z", 0), &[5]));
    assert_eq!(view.rows(), [r#"{"k":"c","v":3}"#, r#"{"k":"b","v":2}"#]);
}

#[test]
fn lookups_read_texts_as_the_types_of_the_key() {
    let keyed = timed(schema("k string, v bigint, t timestamp"));
    let mut view = Driven::new(json!({ "key": ["v", "t"], "columns": ["t", "k", "v"] }), keyed);
    let times = arrow::array::TimestampMicrosecondArray::from(vec![1_500_000]).with_timezone("+00:00");
    view.write(at(batch(&[("k", texts(["a"])), ("v", ints([Some(-7)])), ("t", Arc::new(times))]), &[1]));
    let found = view.view.lookup(&["-7", "1970-01-01T00:00:01.5Z"]).unwrap().1;
    assert_eq!(record_rows(&found), [r#"{"t":"1970-01-01T00:00:01.500Z","k":"a","v":-7}"#]);
    assert_eq!(view.view.lookup(&["8", "1970-01-01T00:00:01.5Z"]).unwrap().1.num_rows(), 0);
    let refused = |key: &[&str]| view.view.lookup(key).unwrap_err().message().to_owned();
    assert_eq!(refused(&["x", "1970-01-01T00:00:01Z"]), "`x` is not a bigint (key column `v`)");
    assert_eq!(refused(&["1"]), "the key is (v, t), of which each needs one value: 1 given");
}

#[test]
fn bytes_are_looked_up_as_they_are_shown() {
    let mut view = Driven::new(json!({ "key": ["b"] }), timed(schema("b bytes, v bigint")));
    let bytes: ArrayRef = Arc::new(arrow::array::BinaryViewArray::from_iter_values([[0, 255]]));
    view.write(at(batch(&[("b", bytes), ("v", ints([Some(1)]))]), &[1]));
    assert_eq!(view.rows(), [r#"{"b":"00ff","v":1}"#]);
    let found = |key: &str| view.view.lookup(&[key]).map(|(_, rows)| rows.num_rows()).map_err(|error| error.message().to_owned());
    assert_eq!((found("00ff"), found("00FF"), found("00")), (Ok(1), Ok(1), Ok(0)));
    assert_eq!(found("0"), Err("`0` is not a bytes (key column `b`)".to_owned()));
    assert_eq!(found("é0"), Err("`é0` is not a bytes (key column `b`)".to_owned()));
}

#[test]
fn zeros_and_nans_are_one_key() {
    let mut view = Driven::new(json!({ "key": ["d"] }), timed(schema("d double, v bigint")));
    let rows = |d: f64, v: i64| batch(&[("d", Arc::new(arrow::array::Float64Array::from(vec![d])) as ArrayRef), ("v", ints([Some(v)]))]);
    view.write(at(rows(0.0, 1), &[1]))
        .write(at(rows(-0.0, 2), &[2]))
        .write(at(rows(f64::NAN, 3), &[3]))
        .write(at(rows(-f64::NAN, 4), &[4]));
    assert_eq!(view.rows().len(), 2);
    assert_eq!(view.view.lookup(&["0"]).unwrap().1.num_rows(), 1);
}

#[test]
fn a_batch_is_one_version() {
    let mut view = Driven::new(json!({ "key": ["k"] }), updating());
    let many = batch(&[("k", texts(["a", "b", "a"])), ("v", ints([1, 2, 1].map(Some)))]);
    view.write(weighed(many, &[1, 1, -1]));
    let (version, rows) = view.view.rows().unwrap();
    assert_eq!((version, rows.num_rows()), (1, 1));
}

/// Changes after a version, as `-row` and `+row`.
fn changed(view: &dyn View, after: u64) -> Vec<String> {
    match view.changes(after).unwrap() {
        Next::Changed(Changes { removed, added, .. }) => {
            let signed = |sign: char, rows: &RecordBatch| record_rows(rows).into_iter().map(move |row| format!("{sign}{row}"));
            signed('-', &removed).chain(signed('+', &added)).collect()
        }
        Next::Current(version) => vec![format!("current {version}")],
        Next::Gone => vec!["gone".to_owned()],
    }
}

#[test]
fn changes_are_those_that_readers_can_see() {
    let mut view = Driven::new(json!({ "key": ["k"], "retain": "10us" }), input());
    view.write(at(row("a", 1), &[100])).write(at(row("a", 2), &[99])).write(at(row("a", 3), &[101]));
    assert_eq!(changed(&*view.view, 0), [r#"+{"k":"a","v":1}"#]);
    assert_eq!(changed(&*view.view, 1), [r#"-{"k":"a","v":1}"#, r#"+{"k":"a","v":3}"#], "version 2 is passed over");
    assert_eq!((changed(&*view.view, 3), changed(&*view.view, 4)), (vec!["current 3".to_owned()], vec!["gone".to_owned()]));
    view.write(at(row("b", 1), &[200]));
    assert_eq!(changed(&*view.view, 3), [r#"-{"k":"a","v":3}"#, r#"+{"k":"b","v":1}"#], "what was too old has left");
    let both = batch(&[("k", texts(["b", "b"])), ("v", ints([Some(2), Some(1)]))]);
    view.write(at(both, &[201, 202]));
    assert_eq!(changed(&*view.view, 4), ["current 5"], "within a batch there is nothing to see");
}

#[test]
fn a_snapshot_does_not_change_and_a_restored_view_is_another_one() {
    let mut view = Driven::new(json!({ "key": ["k"] }), input());
    view.write(at(row("a", 1), &[1])).write(at(row("b", 2), &[2]));
    let (before, old) = (view.view.snapshot().unwrap(), view.view.clone());
    view.write(at(row("a", 3), &[3]));
    assert_eq!((before.version, before.len()), (2, 2));
    assert_eq!(record_rows(&before.at(&[1, 0]).unwrap()), [r#"{"k":"b","v":2}"#, r#"{"k":"a","v":1}"#]);
    assert!(before.at(&[2]).is_err());
    view.crash_and_restore(json!({ "key": ["k"] }), input());
    assert_eq!(view.view.rows().unwrap(), old.rows().unwrap());
    assert_ne!(view.view.generation(), old.generation());
    assert_eq!(changed(&*view.view, 2), ["gone"], "what was before the restore is not known");
}

#[test]
fn a_committed_view_shows_what_checkpoints_cover_as_one_version_each() {
    let views = Views::default();
    let options = json!({ "key": ["k"], "read": "committed" });
    let mut sink = committing_sink::<ViewOptions>(options.clone(), input(), Path::new("."), &views);
    let view = views.get("sink").unwrap();
    let rows = || record_rows(&view.rows().unwrap().1);
    let write = |sink: &mut Box<dyn Sink>, k: &str, v: i64| sink.write(at(row(k, v), &[v]), &mut Fates::default()).unwrap();
    write(&mut sink, "a", 1);
    write(&mut sink, "a", 2);
    assert!(rows().is_empty());
    let mut state = StateWriter::new();
    sink.prepare(1, &mut state).unwrap();
    write(&mut sink, "b", 3);
    assert_eq!((rows().len(), view.version()), (0, 0), "the barrier alone is no checkpoint");
    sink.commit(1).unwrap();
    assert_eq!((rows(), view.version()), (vec![r#"{"k":"a","v":2}"#.to_owned()], 2));
    assert_eq!(changed(&*view, 0), [r#"+{"k":"a","v":2}"#], "what was replaced before was never seen");
    // After a crash it shows the checkpoint again, and goes on from there.
    let mut sink = committing_sink::<ViewOptions>(options, input(), Path::new("."), &views);
    let view = views.get("sink").unwrap();
    sink.restore(&StateReader::new(state.into_entries(), &owned_groups(0, 1, 128)).unwrap()).unwrap();
    let rows = || record_rows(&view.rows().unwrap().1);
    assert_eq!((rows(), view.version()), (vec![r#"{"k":"a","v":2}"#.to_owned()], 2));
    write(&mut sink, "b", 3);
    sink.prepare(2, &mut StateWriter::new()).unwrap();
    assert_eq!(rows().len(), 1);
    sink.commit(2).unwrap();
    assert_eq!((rows()[1].as_str(), view.version()), (r#"{"k":"b","v":3}"#, 3));
}

#[test]
fn mistakes_say_what_would_be_right() {
    let found = |options: Value, stream: Stream| Node::mistakes::<ViewOptions>(options, vec![stream]);
    let first = |options: Value, stream: Stream| found(options, stream).into_iter().next().unwrap();
    assert_eq!(first(json!({}), input()).0, "unbounded-view");
    assert!(found(json!({ "key": ["k"] }), input()).is_empty());
    assert!(found(json!({}), Stream { most_rows: Some(10), ..updating() }).is_empty(), "as few rows are bound enough");
    let shared = first(json!({ "key": ["v"] }), updating());
    assert_eq!(
        (shared.0, shared.2.as_str()),
        ("view-key", "rows of `input` that differ only in k would share a key, and `input` is updating")
    );
    assert!(found(json!({ "key": ["v", "k"] }), updating()).is_empty());
    assert_eq!(first(json!({ "key": ["k"] }), Stream { unique_key: None, ..updating() }).0, "view-key");
    assert_eq!(first(json!({ "key": ["k"], "columns": ["v"] }), input()).0, "view-key");
    assert_eq!(first(json!({ "key": ["K"] }), input()).0, "unknown-column");
    assert_eq!(first(json!({ "key": ["k"], "retain": "1s" }), stream(schema("k string"))).0, "no-event-time");
    assert_eq!(first(json!({ "key": ["k"], "max_rows": 1 }), updating()).0, "view-bound");
}

/// Changes as `(key, value, time, weight)`; what is withdrawn has come before or comes later.
fn changes() -> impl Strategy<Value = Vec<(u8, i64, i64, i8)>> {
    proptest::collection::vec((0u8..4, 0i64..3, 0i64..50), 1..40).prop_flat_map(|rows| {
        let withdrawn = proptest::collection::vec(any::<bool>(), rows.len());
        (Just(rows), withdrawn).prop_flat_map(|(rows, withdrawn)| {
            let gone = rows.iter().zip(withdrawn).filter(|(_, gone)| *gone).map(|((k, v, t), _)| (*k, *v, *t, -1));
            let all: Vec<_> = rows.iter().map(|(k, v, t)| (*k, *v, *t, 1)).chain(gone).collect();
            Just(all).prop_shuffle()
        })
    })
}

/// Changes as a batch of the stream.
fn piece_of(piece: &[(u8, i64, i64, i8)], stream: &Stream) -> Batch {
    let keys: Vec<String> = piece.iter().map(|change| change.0.to_string()).collect();
    let columns: Vec<(&str, ArrayRef)> = vec![
        ("k", Arc::new(arrow::array::StringViewArray::from_iter_values(keys))),
        ("v", Arc::new(Int64Array::from_iter_values(piece.iter().map(|change| change.1)))),
    ];
    let times: Vec<i64> = piece.iter().map(|change| change.2).collect();
    let weights: Vec<i8> = piece.iter().map(|change| change.3).collect();
    let timed = at(batch(&columns), &times);
    if stream.updating { weighed(timed, &weights) } else { timed }
}

fn applied(options: &Value, stream: &Stream, changes: &[(u8, i64, i64, i8)], cuts: usize, restored_at: usize) -> Vec<String> {
    let mut view = Driven::new(options.clone(), stream.clone());
    for (i, piece) in changes.chunks(cuts).enumerate() {
        view.write(piece_of(piece, stream));
        if i == restored_at {
            view.crash_and_restore(options.clone(), stream.clone());
        }
    }
    let mut rows = view.rows();
    rows.sort();
    rows
}

proptest! {
    #[test]
    fn an_updating_view_ends_with_the_rows_that_are_left(
        changes in changes(),
        cuts in 1usize..9,
        restored_at in 0usize..9,
        retain in proptest::option::of(0i64..40),
    ) {
        let stream = Stream { updating: true, ..timed(schema("k string, v bigint")) };
        let options = retain.map_or_else(|| json!({}), |micros| json!({ "retain": format!("{micros}us") }));
        let found = applied(&options, &stream, &changes, cuts, restored_at);
        let oldest = retain.map(|micros| changes.iter().map(|change| change.2).max().unwrap() - micros);
        let mut counts = std::collections::BTreeMap::new();
        for (k, v, time, weight) in &changes {
            if oldest.is_none_or(|oldest| *time >= oldest) {
                *counts.entry((*k, *v)).or_insert(0) += i64::from(*weight);
            }
        }
        let lines = counts.into_iter().flat_map(|((k, v), n)| (0..n).map(move |_| format!(r#"{{"k":"{k}","v":{v}}}"#)));
        let mut left: Vec<String> = lines.collect();
        left.sort();
        prop_assert_eq!(found, left);
    }

    #[test]
    fn a_snapshot_and_the_changes_after_it_lead_to_the_last_version(
        changes in changes(),
        taken_at in 0usize..20,
        cuts in 1usize..9,
        (updating, options) in prop_oneof![
            Just((true, json!({}))), Just((true, json!({ "retain": "20us" }))), Just((false, json!({ "key": ["k"], "retain": "20us" }))),
            Just((false, json!({ "max_rows": 3 }))), Just((false, json!({ "key": ["k"], "max_rows": 2 })))],
    ) {
        let stream = Stream { updating, from_source: false, ..timed(schema("k string, v bigint")) };
        let mut view = Driven::new(options, stream.clone());
        let mut snapshot = view.view.snapshot().unwrap();
        for (i, piece) in changes.chunks(cuts).enumerate() {
            view.write(piece_of(piece, &stream));
            if i == taken_at {
                snapshot = view.view.snapshot().unwrap();
            }
        }
        let mut followed = record_rows(&snapshot.range(0..snapshot.len()).unwrap());
        let mut version = snapshot.version;
        while let Next::Changed(Changes { version: next, removed, added }) = view.view.changes(version).unwrap() {
            for row in record_rows(&removed) {
                let place = followed.iter().position(|other| *other == row);
                prop_assert!(place.is_some(), "{} is withdrawn and was not there", row);
                followed.swap_remove(place.unwrap());
            }
            followed.extend(record_rows(&added));
            prop_assert!(next > version);
            version = next;
        }
        followed.sort();
        let mut rows = view.rows();
        rows.sort();
        prop_assert_eq!(followed, rows);
    }

    #[test]
    fn what_a_view_keeps_does_not_depend_on_order_or_batches(
        changes in changes(),
        cuts in 1usize..9,
        restored_at in 0usize..9,
        bounds in prop_oneof![Just(json!({ "key": ["k"] })), Just(json!({ "key": ["k"], "retain": "20us" })), Just(json!({ "retain": "20us" })),
            Just(json!({ "key": ["k"], "max_rows": 2 })), Just(json!({ "max_rows": 3 }))],
    ) {
        let stream = Stream { from_source: false, ..timed(schema("k string, v bigint")) };
        let mut ordered = changes.clone();
        ordered.sort();
        prop_assert_eq!(applied(&bounds, &stream, &changes, cuts, restored_at), applied(&bounds, &stream, &ordered, 1, 99));
    }
}

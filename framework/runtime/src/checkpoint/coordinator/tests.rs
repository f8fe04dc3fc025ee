//! What the coordinator does, told step by step.

use millstream_api::EventTime;
use millstream_state::TaskCounts;

use super::*;

const SECOND: i64 = 1_000_000;

fn at(seconds: i64) -> ClockTime {
    ClockTime(seconds * SECOND)
}

fn task(node: &str) -> TaskId {
    TaskId { node: node.to_owned(), subtask: 0 }
}

fn part() -> TaskSnapshot {
    let counts = TaskCounts::default();
    TaskSnapshot { watermark: EventTime::MIN, entries: Default::default(), pieces: None, positions: Vec::new(), counts, ended: false }
}

/// Sources `a` and `b`, and a sink `c` that reads both. A checkpoint every 10 s, a pause of 3 s, a time-out of 60 s.
fn coordinator(tolerable_failures: u32) -> Coordinator {
    let seconds = Duration::from_secs;
    let pace = Pace { interval: seconds(10), min_pause: seconds(3), timeout: seconds(60), tolerable_failures };
    Coordinator::new(pace, ["a", "b", "c"].map(task).into(), ["a", "b"].map(task).into(), 5, at(0))
}

fn does(coordinator: &mut Coordinator, now: i64) -> Vec<String> {
    std::iter::from_fn(|| coordinator.next_action(at(now)))
        .map(|action| match action {
            Action::Begin { id, halt } => format!("begin {id}{}", if halt { " and halt" } else { "" }),
            Action::Write { id, snapshot, finished, .. } => {
                let tasks: Vec<&str> = snapshot.tasks().map(|(task, _)| task.node.as_str()).collect();
                format!("write {id} of {}{}", tasks.join(" "), finished.map_or(String::new(), |why| format!(", {why:?}")))
            }
            Action::Commit(id) => format!("commit {id}"),
            Action::Tolerate(id, error) => format!("tolerate {id}: {}", error.message()),
            Action::Fail(id, error) => format!("fail {id}: {}", error.message()),
        })
        .collect()
}

fn parts(coordinator: &mut Coordinator, id: CheckpointId, nodes: &[&str]) {
    nodes.iter().for_each(|node| coordinator.part(id, task(node), part()));
}

fn broken() -> Result<(), Error> {
    Err(Error::io("cannot write", "no space"))
}

#[test]
fn a_checkpoint_begins_when_it_is_due_and_is_committed_when_it_is_written() {
    let mut it = coordinator(0);
    assert_eq!(it.deadline(), Some(at(10)));
    assert!(does(&mut it, 9).is_empty());
    assert_eq!(does(&mut it, 10), ["begin 5"]);
    assert_eq!(it.deadline(), Some(at(70)));
    parts(&mut it, 5, &["a", "b"]);
    parts(&mut it, 4, &["c"]);
    assert!(does(&mut it, 12).is_empty());
    parts(&mut it, 5, &["c"]);
    assert_eq!(does(&mut it, 12), ["write 5 of a b c"]);
    it.written(Ok(()), at(18));
    assert_eq!(does(&mut it, 18), ["commit 5"]);
    assert_eq!(it.deadline(), Some(at(21)), "the pause counts where the interval has passed");
    assert_eq!(does(&mut it, 21), ["begin 6"]);
}

#[test]
fn none_begins_while_a_table_is_read() {
    let mut it = coordinator(0).with_tables([task("a")].into());
    assert_eq!((it.deadline(), it.want()), (None, 5));
    assert!(does(&mut it, 10).is_empty());
    it.ended(task("a"), part());
    assert_eq!(does(&mut it, 11), ["begin 5"]);
    let mut it = coordinator(0).with_tables([task("a")].into());
    it.stop();
    assert_eq!(does(&mut it, 1), ["begin 5 and halt"]);
}

#[test]
fn one_that_is_wanted_begins_at_once_and_after_the_one_under_way() {
    let mut it = coordinator(0);
    assert_eq!(it.want(), 5);
    assert_eq!(does(&mut it, 1), ["begin 5"]);
    assert_eq!(it.want(), 6);
    parts(&mut it, 5, &["a", "b", "c"]);
    assert_eq!(does(&mut it, 2), ["write 5 of a b c"]);
    it.written(Ok(()), at(2));
    assert_eq!(does(&mut it, 2), ["commit 5", "begin 6"]);
}

#[test]
fn a_source_that_has_ended_takes_no_part() {
    let mut it = coordinator(0);
    it.ended(task("a"), part());
    assert_eq!(does(&mut it, 10), ["begin 5"]);
    parts(&mut it, 5, &["b", "c"]);
    assert_eq!(does(&mut it, 10), ["write 5 of a b c"]);
    it.written(Ok(()), at(10));
    assert_eq!(does(&mut it, 10), ["commit 5"]);
}

#[test]
fn when_all_have_ended_there_is_a_last_one() {
    let mut it = coordinator(0);
    it.ended(task("a"), part());
    it.ended(task("b"), part());
    assert!(does(&mut it, 100).is_empty(), "no barrier would come anywhere");
    assert_eq!(it.deadline(), None);
    it.ended(task("c"), part());
    assert_eq!(does(&mut it, 100), ["write 5 of a b c, Ended"]);
    it.written(Ok(()), at(100));
    assert_eq!(does(&mut it, 200), ["commit 5"]);
    assert!(it.is_over());
}

#[test]
fn one_under_way_when_the_sources_end_is_finished_first() {
    let mut it = coordinator(0);
    assert_eq!(does(&mut it, 10), ["begin 5"]);
    parts(&mut it, 5, &["a"]);
    let _ = ["a", "b", "c"].map(|node| it.ended(task(node), part()));
    assert_eq!(does(&mut it, 11), ["write 5 of a b c"], "`a` has sent its barrier, so it is not the end");
    it.written(Ok(()), at(11));
    assert_eq!(does(&mut it, 11), ["commit 5", "write 6 of a b c, Ended"]);
    let mut it = coordinator(0);
    it.drain();
    let _ = ["a", "b", "c"].map(|node| it.ended(task(node), part()));
    assert_eq!(does(&mut it, 1), ["write 5 of a b c, Drained"]);
}

#[test]
fn a_stop_takes_the_place_of_what_is_under_way() {
    let mut it = coordinator(0);
    assert_eq!(does(&mut it, 10), ["begin 5"]);
    parts(&mut it, 5, &["a", "b"]);
    it.stop();
    it.stop();
    assert_eq!(does(&mut it, 11), ["begin 6 and halt"]);
    parts(&mut it, 5, &["c"]);
    parts(&mut it, 6, &["a", "b", "c"]);
    assert_eq!(does(&mut it, 12), ["write 6 of a b c"]);
    it.written(Ok(()), at(13));
    assert_eq!(does(&mut it, 1_000), ["commit 6"]);
}

#[test]
fn failures_are_tolerated_as_far_as_they_may_be() {
    let mut it = coordinator(1);
    assert_eq!(does(&mut it, 10), ["begin 5"]);
    parts(&mut it, 5, &["a"]);
    let said = "it was not whole after 60s: its barrier has not come through `b`, `c`";
    assert_eq!(does(&mut it, 70), [format!("tolerate 5: {said}")]);
    assert_eq!(does(&mut it, 73), ["begin 6"]);
    parts(&mut it, 6, &["a", "b", "c"]);
    assert_eq!(does(&mut it, 74), ["write 6 of a b c"]);
    it.written(Ok(()), at(74));
    assert_eq!(does(&mut it, 74), ["commit 6"]);
    for (id, expected) in [(7, "tolerate 7: cannot write: no space"), (8, "fail 8: cannot write: no space")] {
        it.want();
        assert_eq!(does(&mut it, 75), [format!("begin {id}")]);
        parts(&mut it, id, &["a", "b", "c"]);
        assert_eq!(does(&mut it, 75), [format!("write {id} of a b c")]);
        it.written(broken(), at(75));
        assert_eq!(does(&mut it, 75), [expected]);
    }
    assert!(does(&mut it, 1_000).is_empty());
}

#[test]
fn a_stop_while_a_table_is_read_has_no_last_one() {
    let mut it = coordinator(0);
    it.stop();
    assert_eq!(does(&mut it, 1), ["begin 5 and halt"]);
    parts(&mut it, 5, &["a", "b"]);
    it.cut_off(5, &task("c"));
    it.cut_off(5, &task("c"));
    assert_eq!(does(&mut it, 1), ["fail 5: the run was stopped while `c` still read its table"]);
}

#[test]
fn the_last_one_may_not_fail() {
    let mut it = coordinator(9);
    it.stop();
    assert_eq!(does(&mut it, 1), ["begin 5 and halt"]);
    parts(&mut it, 5, &["a", "b", "c"]);
    assert_eq!(does(&mut it, 1), ["write 5 of a b c"]);
    it.written(broken(), at(1));
    assert_eq!(does(&mut it, 1), ["fail 5: cannot write: no space"]);
}

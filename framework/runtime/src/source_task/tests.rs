//! What comes out of a source's task, and when: splits that are ahead of others, and doors that are closed.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};

use arrow::array::{RecordBatch, TimestampMicrosecondArray};
use arrow::datatypes::{Field, Schema};
use millstream_api::source::{Door, Pauses, Position, SourcePart};
use millstream_api::time::Clock;
use millstream_api::types::{UTC, timestamp_type};
use millstream_expr::Scalar;
use millstream_state::{NoCheckpoints, TaskId};

use super::*;
use crate::ahead::Seat;
use crate::feed::Feed;
use crate::ledger::Stats;
use crate::outbox::{Outbox, Port};
use crate::pace::Pace;
use crate::schedule::Schedule;

/// Gives what is in the queue; a split that is paused is left, but for one batch that is under way.
struct Script {
    splits: Vec<VecDeque<Next>>,
    pauses: Pauses,
    under_way: Option<Next>,
    turn: usize,
}

impl Feed for Script {
    fn poll(&mut self) -> Result<Next> {
        let splits = self.splits.len();
        let can = |split: &usize| !self.splits[*split].is_empty() && !self.pauses.is_paused(*split as u32);
        let next = (0..splits).map(|offset| (self.turn + offset) % splits).find(can).and_then(|split| {
            self.turn = split + 1;
            self.splits[split].pop_front()
        });
        match std::mem::replace(&mut self.under_way, next) {
            Some(came) => Ok(came),
            None if self.under_way.is_some() => self.poll(),
            None if self.splits.iter().all(VecDeque::is_empty) => Ok(Next::End),
            None => Ok(Next::Nothing),
        }
    }
}

fn rows(split: u32, times: &[i64]) -> Next {
    let schema = Arc::new(Schema::new(vec![Field::new("ts", timestamp_type(), false)]));
    let times_array = TimestampMicrosecondArray::from(times.to_vec()).with_timezone(UTC);
    let records = RecordBatch::try_new(schema, vec![Arc::new(times_array)]).unwrap();
    let parts = vec![SourcePart { output: 0, records, first_row: 0, weights: None }];
    Next::Rows(SourceRows { split, parts, bad: Vec::new(), position: Position(format!("{times:?}")) })
}

struct Still;

impl Clock for Still {
    fn now(&self) -> ClockTime {
        ClockTime(0)
    }
}

fn task(feed: Box<dyn Feed>, splits: usize, change: impl FnOnce(&mut SourceParts)) -> SourceTask {
    let schema = Schema::new(vec![Field::new("ts", timestamp_type(), false)]);
    let time = Some(Scalar::parse("ts", &schema).unwrap().bind(&schema).unwrap());
    let split = |split: usize| SplitSnapshot { split: split.to_string(), position: None, greatest: EventTime::MIN, ended: false };
    let mut parts = SourceParts {
        id: TaskId { node: "in".into(), subtask: 0 },
        number: 7,
        feed,
        door: None,
        pauses: None,
        outbox: Outbox::new(vec![Port::default(), Port::default()]),
        ports: vec![SourcePort { time, origin: false, read: true }],
        rejected_port: 1,
        rejected_schema: Arc::new(Schema::empty()),
        feeds_table: false,
        on_bad_row: millstream_api::options::OnBadRow::Fail,
        on_null: millstream_api::options::OnBadRow::Fail,
        idle_after: None,
        pace: Pace::new(None, None, ClockTime(0)),
        seat: None,
        splits: (0..splits).map(split).collect(),
        watermark: EventTime::MIN,
        max_delay_micros: 0,
        stats: Stats::default(),
        schedule: Schedule { clock: Arc::new(Still), ..Schedule::system() },
        snapshots: Arc::new(NoCheckpoints),
        checkpoints: false,
    };
    change(&mut parts);
    SourceTask::new(parts)
}

/// Split 0 is dense, split 1 has far fewer rows: without a limit, side by side, split 1 would soon be far ahead.
fn script(pauses: &Pauses) -> Box<Script> {
    let times = |step: i64, rows: i64| (0..rows).map(move |row| row * step);
    let split = |number: u32, step: i64, count: i64| {
        times(step, count).map(|time| rows(number, &[time])).chain([Next::SplitEnd(number)]).collect::<VecDeque<_>>()
    };
    Box::new(Script { splits: vec![split(0, 1, 1000), split(1, 50, 40)], pauses: pauses.clone(), under_way: None, turn: 0 })
}

/// Runs the task to its end; how far split 1 was ahead of split 0 at most, and how many rows came.
fn distance(task: &mut SourceTask) -> (i64, u64) {
    let mut most = 0;
    for _ in 0..10_000 {
        let turn = task.turn();
        if let (Some((slow, _, false)), Some((fast, ..))) = (task.watermarks.standing(0), task.watermarks.standing(1)) {
            most = most.max(fast.0.saturating_sub(slow.0.max(0)));
        }
        match turn {
            Turn::Finished => return (most, task.parts.stats.get().rows_in),
            Turn::Failed(error) => panic!("{error}"),
            Turn::Again | Turn::Wait(_) => {}
        }
    }
    panic!("it does not end");
}

#[test]
fn a_split_waits_for_the_slowest_one_of_its_source() {
    let free = Pauses::new(2);
    let (most, count) = distance(&mut task(script(&free), 2, |_| {}));
    assert!(most > 1000, "nothing holds it back: {most}");
    assert_eq!(count, 1040);
    let pauses = Pauses::new(2);
    let mut held = task(script(&pauses), 2, |parts| {
        parts.pauses = Some(pauses.clone());
        parts.seat = Some(Seat::alone(100));
    });
    let (most, count) = distance(&mut held);
    assert!((51..=150).contains(&most), "it may be 100 ahead, and then comes one batch more: {most}");
    assert_eq!(count, 1040, "what was kept comes out");
}

/// Says what it hears.
#[derive(Default)]
struct Heard(Mutex<Vec<String>>);

impl Door for Heard {
    fn close(&self) {
        self.0.lock().unwrap().push("closed".into());
    }

    fn covered(&self, split: u32, Position(position): &Position) {
        self.0.lock().unwrap().push(format!("{split} {position}"));
    }
}

/// Gives one thing after the other.
struct InTurn(Arc<Mutex<VecDeque<Next>>>);

impl Feed for InTurn {
    fn poll(&mut self) -> Result<Next> {
        Ok(self.0.lock().unwrap().pop_front().unwrap_or(Next::Nothing))
    }
}

fn with_door(checkpoints: bool) -> (SourceTask, Arc<Heard>, Arc<Mutex<VecDeque<Next>>>) {
    let (heard, queue) = (Arc::<Heard>::default(), Arc::<Mutex<VecDeque<Next>>>::default());
    let door: Arc<dyn Door> = heard.clone();
    let task = task(Box::new(InTurn(queue.clone())), 1, |parts| {
        (parts.door, parts.checkpoints) = (Some(door), checkpoints);
        // Slow: one row a day.
        parts.pace = Pace::new(Some(1), None, ClockTime(0));
    });
    (task, heard, queue)
}

#[test]
fn a_stop_hands_on_what_came_through_the_door() {
    let (mut task, heard, queue) = with_door(false);
    queue.lock().unwrap().extend([rows(0, &[1]), rows(0, &[2]), rows(0, &[3])]);
    assert!(matches!(task.turn(), Turn::Wait(Some(_))), "its pace lets no more through");
    task.order(Order::Halt);
    assert!(matches!(task.turn(), Turn::Wait(None)), "the last row may be under way");
    assert_eq!(*heard.0.lock().unwrap(), ["closed"]);
    queue.lock().unwrap().extend([rows(0, &[4]), Next::Closed]);
    assert!(matches!(task.turn(), Turn::Finished));
    assert_eq!(task.parts.stats.get().rows_in, 4);
}

#[test]
fn who_waits_behind_the_door_hears_of_checkpoints() {
    let (mut task, heard, queue) = with_door(true);
    queue.lock().unwrap().push_back(rows(0, &[1]));
    task.turn();
    task.order(Order::Checkpoint(7));
    task.turn();
    task.order(Order::LastCheckpoint(8));
    task.turn();
    queue.lock().unwrap().extend([rows(0, &[2]), Next::Closed]);
    assert!(matches!(task.turn(), Turn::Wait(None)), "the last checkpoint is not written yet");
    task.order(Order::Commit(7));
    assert!(matches!(task.turn(), Turn::Wait(None)));
    assert_eq!(*heard.0.lock().unwrap(), ["closed", "0 [1]"]);
    task.order(Order::Commit(8));
    assert!(matches!(task.turn(), Turn::Finished));
    assert_eq!(*heard.0.lock().unwrap(), ["closed", "0 [1]", "0 [2]"]);
}

#[test]
fn a_source_that_was_drained_waits_for_a_checkpoint_that_has_its_end() {
    let (mut task, heard, queue) = with_door(true);
    task.order(Order::Checkpoint(7));
    task.turn();
    queue.lock().unwrap().extend([rows(0, &[2]), Next::Closed]);
    task.order(Order::Drain);
    assert!(matches!(task.turn(), Turn::Wait(None)));
    task.order(Order::Commit(7));
    assert!(matches!(task.turn(), Turn::Wait(None)), "its rows came after that barrier");
    assert_eq!(*heard.0.lock().unwrap(), ["closed"]);
    task.order(Order::Commit(8));
    assert!(matches!(task.turn(), Turn::Finished));
    assert_eq!(*heard.0.lock().unwrap(), ["closed", "0 [2]"]);
}

#[test]
fn rows_that_the_plan_has_no_place_for_end_the_run() {
    let failed = |split: u32, output: usize| {
        let Next::Rows(mut rows) = rows(split, &[1]) else { panic!("they are rows") };
        rows.parts[0].output = output;
        let queue = Arc::new(Mutex::new(VecDeque::from([Next::Rows(rows)])));
        match task(Box::new(InTurn(queue)), 2, |_| {}).turn() {
            Turn::Failed(error) => error.message().to_owned(),
            turn => panic!("{turn:?}"),
        }
    };
    assert_eq!(failed(2, 0), "rows of split 2 of a source with 2");
    assert_eq!(failed(1, 1), "rows for stream 1 of a source with 1");
}

#[test]
fn after_a_restart_it_says_at_once_how_far_it_had_come() {
    let said = |stood: &[(i64, bool)], sent: i64| {
        let queue = Arc::<Mutex<VecDeque<Next>>>::default();
        let mut task = task(Box::new(InTurn(queue)), stood.len(), |parts| {
            parts.watermark = EventTime(sent);
            for (split, (greatest, ended)) in parts.splits.iter_mut().zip(stood) {
                (split.greatest, split.ended) = (EventTime(*greatest), *ended);
            }
        });
        assert!(matches!(task.turn(), Turn::Wait(_)));
        (task.sent_watermark, task.snapshot(false).watermark)
    };
    let both = |micros: i64| (EventTime(micros), EventTime(micros));
    assert_eq!(said(&[(40, false), (70, false)], 40), both(40));
    assert_eq!(said(&[(40, true), (70, false)], 70), both(70), "one that had ended holds nothing back");
    assert_eq!(said(&[(40, true), (70, true)], 70), both(70));
    assert_eq!(said(&[(40, false), (70, false)], 70), both(70), "one was idle");
    assert_eq!(said(&[(i64::MIN, false), (70, false)], 70), both(70), "one is new");
    assert_eq!(said(&[(i64::MIN, false)], i64::MIN), both(i64::MIN), "there is nothing to say at a start from nothing");
}

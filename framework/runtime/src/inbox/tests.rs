//! What comes in on several channels, and what the task is told of it.

use arrow::array::RecordBatch;
use arrow::datatypes::{DataType, Field, Schema};

use super::*;
use crate::channel::EdgeBytes;
use crate::wake::WakeSlot;

const NOW: ClockTime = ClockTime(0);

fn channels<const N: usize>() -> [Arc<Channel>; N] {
    std::array::from_fn(|_| Channel::new(8, EdgeBytes::new(1 << 20), WakeSlot::default(), WakeSlot::default()))
}

fn inbox(channels: &[Arc<Channel>], inputs: &[usize]) -> Inbox {
    Inbox::new(inputs.iter().copied().zip(channels.iter().cloned()).collect(), MergeOrder::InTurn, EventTime::MIN)
}

/// A sender is idle, and the sources behind it have woken so often.
fn idle(wakings: &[(u32, u32)]) -> Item {
    Item::Idle(Idleness { is_idle: true, wakings: wakings.iter().copied().collect() })
}

fn woken(wakings: &[(u32, u32)]) -> Item {
    Item::Idle(Idleness { is_idle: false, wakings: wakings.iter().copied().collect() })
}

fn rows(times: &[i64]) -> Batch {
    let schema = Arc::new(Schema::new(vec![Field::new("v", DataType::Int64, false)]));
    let records = RecordBatch::try_new(schema, vec![Arc::new(Int64Array::from(times.to_vec()))]).unwrap();
    Batch::new(records, Hidden { times: Some(times.to_vec().into()), ..Hidden::default() }).unwrap()
}

fn drain(inbox: &mut Inbox) -> Vec<String> {
    std::iter::from_fn(|| inbox.next_event().unwrap())
        .map(|event| match event {
            Event::Batch { input, batch, .. } => format!("rows {input} {:?}", batch.times().unwrap_or_default()),
            Event::Watermark(EventTime::MAX) => "watermark MAX".to_owned(),
            Event::Watermark(w) => format!("watermark {}", w.0),
            Event::Barrier(id) => format!("barrier {id}"),
            Event::Idle(Idleness { is_idle, wakings }) => format!("{} {wakings:?}", if is_idle { "idle" } else { "not idle" }),
            Event::InputEnd(input) => format!("end of {input}"),
            Event::End => "end".to_owned(),
            Event::Halt => "halt".to_owned(),
        })
        .collect()
}

#[test]
fn the_watermark_is_the_smallest_of_those_not_idle() {
    let [a, b] = channels();
    let mut inbox = inbox(&[a.clone(), b.clone()], &[0, 1]);
    a.send_control(Item::Watermark(EventTime(10)), NOW);
    assert!(drain(&mut inbox).is_empty());
    b.send_control(Item::Watermark(EventTime(5)), NOW);
    assert_eq!(drain(&mut inbox), ["watermark 5"]);
    b.send_control(idle(&[]), NOW);
    assert_eq!(drain(&mut inbox), ["watermark 10"]);
    a.send_control(idle(&[]), NOW);
    assert_eq!(drain(&mut inbox), ["idle {}"]);
    b.send_control(woken(&[]), NOW);
    assert_eq!(drain(&mut inbox), ["not idle {}"]);
    b.send_control(Item::Watermark(EventTime(7)), NOW);
    assert!(drain(&mut inbox).is_empty(), "a woken sender does not make it fall");
}

#[test]
fn a_way_on_which_a_source_is_still_idle_holds_the_watermark_once_it_has_woken_on_another() {
    let [a, b, c] = channels();
    let mut inbox = inbox(&[a.clone(), b.clone(), c.clone()], &[0, 0, 1]);
    for channel in [&a, &b] {
        channel.send_control(Item::Watermark(EventTime(10)), NOW);
        channel.send_control(idle(&[(3, 0)]), NOW);
    }
    c.send_control(Item::Watermark(EventTime(15)), NOW);
    c.send_control(idle(&[(4, 0)]), NOW);
    assert_eq!(drain(&mut inbox), ["watermark 10", "not idle {3: 0}", "watermark 15", "idle {3: 0, 4: 0}"]);
    // The faster way: c is of another source, and does not hold anything.
    a.send_control(woken(&[(3, 1)]), NOW);
    a.send_control(Item::Watermark(EventTime(30)), NOW);
    assert_eq!(drain(&mut inbox), ["not idle {3: 1, 4: 0}"]);
    b.send_control(woken(&[(3, 1)]), NOW);
    b.send_batch(rows(&[22]), NOW).unwrap();
    b.send_control(Item::Watermark(EventTime(28)), NOW);
    assert_eq!(drain(&mut inbox), ["rows 0 [22]", "watermark 28"]);
    // Both are idle again, and one has not heard of the last waking.
    a.send_control(idle(&[(3, 2)]), NOW);
    b.send_control(idle(&[(3, 1)]), NOW);
    assert_eq!(drain(&mut inbox), ["not idle {3: 2, 4: 0}"]);
    b.send_control(idle(&[(3, 2)]), NOW);
    assert_eq!(drain(&mut inbox), ["idle {3: 2, 4: 0}"]);
}

#[test]
fn the_watermark_of_before_a_restart_comes_first_and_not_again() {
    let [a] = channels();
    let mut inbox = Inbox::new(vec![(0, a.clone())], MergeOrder::InTurn, EventTime(7));
    assert_eq!(drain(&mut inbox), ["watermark 7"]);
    a.send_control(Item::Watermark(EventTime(7)), NOW);
    assert!(drain(&mut inbox).is_empty());
    a.send_control(Item::Watermark(EventTime(9)), NOW);
    assert_eq!(drain(&mut inbox), ["watermark 9"]);
}

#[test]
fn rows_of_a_woken_sender_are_judged_at_the_nodes_watermark() {
    let [a, b] = channels();
    let mut inbox = inbox(&[a.clone(), b.clone()], &[0, 0]);
    a.send_control(Item::Watermark(EventTime(10)), NOW);
    b.send_control(idle(&[]), NOW);
    drain(&mut inbox);
    b.send_batch(rows(&[3, 12]), NOW).unwrap();
    let Some(Event::Batch { batch, .. }) = inbox.next_event().unwrap() else { panic!("rows expected") };
    assert_eq!(batch.hidden().marks.as_ref().unwrap().values().as_ref(), &[10, i64::MIN]);
}

#[test]
fn a_barrier_waits_for_all_that_run_and_holds_back_what_follows_it() {
    let [a, b, c] = channels();
    let mut inbox = inbox(&[a.clone(), b.clone(), c.clone()], &[0, 0, 1]);
    c.send_control(Item::End, NOW);
    assert_eq!(drain(&mut inbox), ["end of 1"]);
    a.send_control(Item::Barrier(1), NOW);
    a.send_batch(rows(&[1]), NOW).unwrap();
    b.send_batch(rows(&[2]), NOW).unwrap();
    assert_eq!(drain(&mut inbox), ["rows 0 [2]"]);
    assert!(!inbox.has_items());
    b.send_control(Item::Barrier(1), NOW);
    assert_eq!(drain(&mut inbox), ["barrier 1", "rows 0 [1]"]);
}

#[test]
fn an_input_that_ends_lets_a_waiting_barrier_through() {
    let [a, b] = channels();
    let mut inbox = inbox(&[a.clone(), b.clone()], &[0, 1]);
    a.send_control(Item::Barrier(1), NOW);
    assert!(drain(&mut inbox).is_empty());
    b.send_control(Item::End, NOW);
    assert_eq!(drain(&mut inbox), ["end of 1", "barrier 1"]);
}

#[test]
fn the_end_closes_windows_and_a_halt_does_not() {
    let [a, b] = channels();
    let mut both = inbox(&[a.clone(), b.clone()], &[0, 1]);
    a.send_control(Item::End, NOW);
    b.send_control(Item::Watermark(EventTime(4)), NOW);
    assert_eq!(drain(&mut both), ["end of 0", "watermark 4"]);
    b.send_control(Item::End, NOW);
    assert_eq!(drain(&mut both), ["end of 1", "watermark MAX", "end"]);
    let [a, b] = channels();
    let mut one = inbox(&[a.clone(), b.clone()], &[0, 1]);
    a.send_control(Item::End, NOW);
    b.send_control(Item::Watermark(EventTime(4)), NOW);
    assert_eq!(drain(&mut one), ["end of 0", "watermark 4"]);
    b.send_control(Item::Halt, NOW);
    assert_eq!(drain(&mut one), ["halt"]);
}

#[test]
fn what_is_read_first_is_read_to_its_end_before_a_barrier_of_the_others() {
    let [stream, table] = channels();
    let mut inbox = inbox(&[stream.clone(), table.clone()], &[0, 1]).reading_first(Some(1));
    stream.send_batch(rows(&[1]), NOW).unwrap();
    stream.send_control(Item::Barrier(1), NOW);
    stream.send_batch(rows(&[2]), NOW).unwrap();
    assert!(drain(&mut inbox).is_empty() && !inbox.has_items());
    table.send_batch(rows(&[7]), NOW).unwrap();
    assert_eq!(drain(&mut inbox), ["rows 1 [7]"]);
    table.send_control(Item::End, NOW);
    assert_eq!(drain(&mut inbox), ["end of 1", "rows 0 [1]", "barrier 1", "rows 0 [2]"]);
    assert!(!inbox.was_cut_off());
}

#[test]
fn a_barrier_in_what_is_read_first_cuts_it_off() {
    for last in [Item::Halt, Item::End] {
        let [stream, table] = channels();
        let mut inbox = inbox(&[stream.clone(), table.clone()], &[0, 1]).reading_first(Some(1));
        for channel in [&stream, &table] {
            channel.send_batch(rows(&[1]), NOW).unwrap();
            channel.send_control(Item::Barrier(1), NOW);
        }
        table.send_batch(rows(&[2]), NOW).unwrap();
        assert_eq!(drain(&mut inbox), ["rows 1 [1]", "rows 1 [2]"]);
        table.send_control(last, NOW);
        assert!(drain(&mut inbox).ends_with(&["rows 0 [1]".to_owned(), "barrier 1".to_owned()]));
        assert!(inbox.was_cut_off());
    }
}

#[test]
fn a_stop_in_what_is_read_first_lets_the_others_through() {
    let [stream, table] = channels();
    let mut inbox = inbox(&[stream.clone(), table.clone()], &[0, 1]).reading_first(Some(1));
    stream.send_batch(rows(&[1]), NOW).unwrap();
    stream.send_control(Item::Halt, NOW);
    table.send_control(Item::Halt, NOW);
    assert_eq!(drain(&mut inbox), ["rows 0 [1]", "halt"]);
}

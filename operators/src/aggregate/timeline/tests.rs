//! Sessions of a few keys, row by row and as spans.

use super::*;

fn spans(timeline: &Timeline) -> Vec<(usize, i64, i64, u64)> {
    timeline.iter().map(|(key, s)| (key, s.first, s.last, s.rows)).collect()
}

#[test]
fn rows_one_gap_apart_are_two_sessions() {
    let mut timeline = Timeline::new(10);
    let slots: Vec<usize> = [0, 10, 29, 20].iter().map(|&time| timeline.place(0, time)).collect();
    assert_eq!(slots, [0, 1, 2, 2]);
    assert_eq!(spans(&timeline), [(0, 0, 0, 1), (0, 10, 10, 1), (0, 20, 29, 2)]);
    assert_eq!(timeline.joined(), []);
}

#[test]
fn sessions_at_the_ends_of_time_are_told_apart_by_their_gap() {
    let span = |times: &[i64]| {
        let mut timeline = Timeline::new(10);
        times.iter().for_each(|&time| _ = timeline.place(0, time));
        spans(&timeline).into_iter().map(|(_, first, last, _)| (first, last)).collect::<Vec<_>>()
    };
    let (least, most) = (i64::MIN, i64::MAX);
    assert_eq!(span(&[most - 1, most]), [(most - 1, most)]);
    assert_eq!(span(&[most, most, most - 9]), [(most - 9, most)]);
    assert_eq!(span(&[most, most - 10]), [(most - 10, most - 10), (most, most)]);
    assert_eq!(span(&[least + 1, least]), [(least, least + 1)]);
    assert_eq!(span(&[least, least + 10]), [(least, least), (least + 10, least + 10)]);
    assert_eq!(span(&[most, least, 0]), [(least, least), (0, 0), (most, most)]);
}

#[test]
fn a_session_at_the_end_of_time_closes_at_the_end() {
    let mut timeline = Timeline::new(10);
    [i64::MAX - 1, i64::MAX].iter().for_each(|&time| _ = timeline.place(0, time));
    assert_eq!(timeline.close(0, EventTime(i64::MAX - 1)), (vec![], vec![]));
    let whole = Closed { end: i64::MAX, start: i64::MAX - 1, key: 0, slot: 0 };
    assert_eq!(timeline.close(0, EventTime::MAX), (vec![whole], vec![0]));
}

#[test]
fn a_row_between_joins_what_it_touches() {
    let mut timeline = Timeline::new(10);
    [0, 16, 32, 8, 24].iter().for_each(|&time| {
        timeline.place(0, time);
    });
    assert_eq!(spans(&timeline), [(0, 0, 32, 5)]);
    assert_eq!(timeline.joined(), [(1, 0), (2, 0)]);
    assert_eq!(timeline.joined(), []);
}

#[test]
fn spans_of_rows_join_as_their_rows_would() {
    let times: Vec<i64> = (0..60).map(|i| (i * 37) % 113).collect();
    for spans_of in 1..12 {
        let (mut by_row, mut by_span) = (Timeline::new(4), Timeline::new(4));
        for rows in times.chunks(spans_of) {
            let mut part = Timeline::new(4);
            for &time in rows {
                by_row.place(0, time);
                part.place(0, time);
            }
            assert_eq!(part.least(), rows.iter().copied().min());
            for (key, session) in part.iter() {
                by_span.place_span(key, (session.first, session.last, session.rows));
            }
            assert_eq!((spans(&by_span), by_span.open(), by_span.rows()), (spans(&by_row), by_row.open(), by_row.rows()));
        }
        let dead: Vec<usize> = by_span.joined().into_iter().map(|(gone, _)| gone).collect();
        let live: Vec<usize> = by_span.iter().map(|(_, session)| session.slot).collect();
        assert!(live.iter().all(|slot| !dead.contains(slot)) && dead.len() + live.len() == by_span.slots());
        assert_eq!(by_span.close(0, EventTime(60)).0.len(), by_row.close(0, EventTime(60)).0.len());
    }
}

#[test]
fn slots_that_were_joined_one_after_the_other_go_to_the_last() {
    let mut timeline = Timeline::new(10);
    // 20 is joined to 12, which is then joined to 0.
    [12, 30, 0, 21, 6].iter().for_each(|&time| {
        timeline.place(0, time);
    });
    assert_eq!(timeline.joined(), [(1, 2), (0, 2)]);
}

#[test]
fn sessions_close_when_no_row_can_join_them() {
    let mut timeline = Timeline::new(10);
    [(0, 0), (1, 3), (0, 30), (1, 12)].iter().for_each(|&(key, time)| {
        timeline.place(key, time);
    });
    assert_eq!(timeline.close(2, EventTime(11)), (vec![], vec![]));
    assert_eq!(timeline.next_end(), Some(10));
    assert_eq!(timeline.close(2, EventTime(12)), (vec![Closed { end: 10, start: 0, key: 0, slot: 0 }], vec![]));
    assert_eq!(timeline.next_end(), Some(22), "it has grown");
    assert_eq!(timeline.close(2, EventTime(24)), (vec![Closed { end: 22, start: 3, key: 1, slot: 1 }], vec![1]));
    assert_eq!((timeline.rows(), timeline.iter().count()), (1, 1));
    assert_eq!(timeline.close(2, EventTime::MAX).1, [0]);
    assert_eq!((timeline.rows(), timeline.next_end()), (0, None));
}

#[test]
fn an_earlier_session_that_comes_later_is_not_missed() {
    let mut timeline = Timeline::new(10);
    [50, 0, 1].iter().for_each(|&time| {
        timeline.place(0, time);
    });
    assert_eq!(timeline.close(0, EventTime(20)).0.len(), 1);
    assert_eq!(timeline.close(0, EventTime(60)).0, [Closed { end: 60, start: 50, key: 0, slot: 0 }]);
}

#[test]
fn dead_slots_are_given_back() {
    let mut timeline = Timeline::new(1);
    for time in 0..2000 {
        timeline.place(0, 2 * time);
    }
    assert_eq!(timeline.renumber(), None);
    timeline.close(0, EventTime(3996));
    assert_eq!(timeline.renumber(), Some(vec![1998, 1999]));
    assert_eq!((timeline.slots(), timeline.place(0, 5000)), (2, 2));
}

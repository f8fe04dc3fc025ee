//! Windows of each kind against all of their bounds, said without arithmetic on numbers.

use proptest::prelude::*;

use super::*;

const HOUR: i64 = DAY / 24;

/// Windows of each kind with all of their bounds between two instants, said without arithmetic on numbers.
fn naive(size: i64, slide: i64, offset: i64, cumulate: bool) -> (Aligned, Vec<Window>) {
    let starts = (-300..300).map(|n| n * slide + offset);
    if !cumulate {
        return (Aligned::hop(size, slide, offset), starts.map(|start| (start, start + size)).collect());
    }
    let whole = size * slide;
    let windows = (-300..300).flat_map(|n| (1..=size).map(move |k| (n * whole + offset, n * whole + offset + k * slide)));
    (Aligned::cumulate(whole, slide, offset), windows.collect())
}

proptest! {
    #[test]
    fn windows_are_those_that_contain_the_time(
        time in -100i64..100, size in 1i64..20, slide in 1i64..20, shift in 0i64..20, watermark in -120i64..120, cumulate: bool,
    ) {
        let (slide, offset) = (slide.min(size), shift % slide.min(size));
        let (windows, all) = naive(size, slide, offset, cumulate);
        let contain = |time: i64| -> Vec<Window> { all.iter().copied().filter(|(start, end)| (*start..*end).contains(&time)).collect() };
        let (first, last) = windows.numbers(time);
        prop_assert_eq!(windows.from_number(first, last).collect::<Vec<_>>(), contain(time));
        let expected: Vec<Window> = contain(time).into_iter().filter(|(_, end)| *end > watermark).collect();
        let (open, complete) = windows.open(time, EventTime(watermark));
        prop_assert_eq!(complete, expected.len() == contain(time).len());
        prop_assert_eq!(open.collect::<Vec<_>>(), expected);
        let slice = windows.slice(time);
        prop_assert!(slice.contains(time));
        prop_assert!((slice.start..slice.end).all(|t| contain(t) == contain(time)));
        prop_assert!(contain(slice.start - 1) != contain(time) && contain(slice.end) != contain(time));
        prop_assert_eq!((slice.first, slice.last, slice.last_end), (first, last, windows.bounds(last).1));
    }
}

#[test]
fn windows_floor_before_1970_and_honour_the_offset() {
    let start = |offset: i64, time: i64| {
        let windows = Aligned::hop(60, 60, offset);
        windows.bounds(windows.numbers(time).1).0
    };
    assert_eq!([start(0, 0), start(0, 59), start(0, -1), start(0, -60)], [0, 0, -60, -60]);
    assert_eq!([start(15, 14), start(15, 15)], [-45, 15]);
}

#[test]
fn bounds_stop_at_the_ends_of_time() {
    let windows = Aligned::hop(10, 10, 0);
    let only = |time: i64| windows.open(time, EventTime::MIN).0.collect::<Vec<_>>();
    assert_eq!(only(i64::MIN + 1), [(i64::MIN, i64::MIN + 8)]);
    assert_eq!(only(i64::MAX - 1), [(i64::MAX - 7, i64::MAX)]);
    for kind in [Aligned::cumulate(10, 5, 3), Aligned::hop(10, 4, 0), within_days(7)] {
        for time in [i64::MIN, i64::MIN + 5, i64::MAX - 5, i64::MAX] {
            let slice = kind.slice(time);
            assert!(slice.first <= slice.last, "{slice:?}");
            assert!(kind.open(time, EventTime::MIN).0.count() > 0);
        }
    }
}

fn within_days(hours: i64) -> Aligned {
    Aligned::cumulate_within_days(1, hours * HOUR, Calendar::new("Europe/Berlin", 0).unwrap())
}

#[test]
fn days_of_a_calendar_follow_each_other_without_a_gap() {
    let calendar = || Calendar::new("Europe/Berlin", 4 * HOUR).unwrap();
    // 2026-03-27, two days before the clocks are set forward.
    let from = 1_774_569_600_000_000;
    for kind in [
        Aligned::hop_days(1, 1, calendar()),
        Aligned::hop_days(7, 2, calendar()),
        Aligned::cumulate_days(6, 2, calendar()),
        within_days(1),
        within_days(7),
    ] {
        let (first, last) = (kind.numbers(from).0, kind.numbers(from + 9 * DAY).1);
        let all: Vec<Window> = kind.from_number(first, last).collect();
        assert!(all.windows(2).all(|pair| pair[0].0 <= pair[1].0 && pair[0].1 <= pair[1].1 && pair[0] != pair[1]), "{kind}");
        for time in (from..from + 9 * DAY).step_by(17 * 60_000_000) {
            let contain: Vec<Window> = all.iter().copied().filter(|(start, end)| (*start..*end).contains(&time)).collect();
            assert_eq!(kind.open(time, EventTime::MIN).0.collect::<Vec<_>>(), contain, "{kind}");
            let late = from + 4 * DAY;
            let open: Vec<Window> = contain.iter().copied().filter(|(_, end)| *end > late).collect();
            assert_eq!(kind.open(time, EventTime(late)).0.collect::<Vec<_>>(), open, "{kind}");
            let slice = kind.slice(time);
            assert!(slice.contains(time) && kind.slice(slice.start) == slice && kind.slice(slice.end - 1) == slice, "{kind}");
        }
    }
}

#[test]
fn steps_within_a_day_are_cut_off_at_its_end() {
    let lengths = |time: i64| -> Vec<i64> {
        let kind = within_days(9);
        let (_, last) = kind.numbers(time);
        kind.from_number(kind.numbers(kind.bounds(last).0).0, last).map(|(start, end)| (end - start) / HOUR).collect()
    };
    // 2026-03-29, 2026-03-30 and 2026-10-25 at noon.
    assert_eq!(lengths(1_774_785_600_000_000), [9, 18, 23]);
    assert_eq!(lengths(1_774_872_000_000_000), [9, 18, 24]);
    assert_eq!(lengths(1_792_929_600_000_000), [9, 18, 25]);
}

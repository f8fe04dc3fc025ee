//! An observation as lines of text: what `run` shows on a terminal, and `top`.
//!
//! Nothing here knows a terminal: lines are as wide as they may be, and columns that do not fit are left out.

use std::cmp::Reverse;

use millstream_runtime::observe::{NodeObservation, Observation, Progress};
use millstream_runtime::text::rows;

/// In which order nodes are shown.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Sort {
    /// Every node after those it reads.
    #[default]
    Flow,
    /// The most rows a second first.
    Rate,
    /// The busiest first.
    Busy,
    /// Those that are held up most first.
    Held,
    /// The greatest distance of the watermark first.
    Lag,
}

impl Sort {
    /// All of them, in the order in which a key goes through them.
    pub const ALL: [Sort; 5] = [Sort::Flow, Sort::Rate, Sort::Busy, Sort::Held, Sort::Lag];

    /// How it is called.
    pub fn name(self) -> &'static str {
        match self {
            Sort::Flow => "flow",
            Sort::Rate => "rate",
            Sort::Busy => "busy",
            Sort::Held => "held",
            Sort::Lag => "lag",
        }
    }

    /// The one after it.
    pub fn next(self) -> Sort {
        let place = Sort::ALL.iter().position(|sort| *sort == self).unwrap_or(0);
        Sort::ALL[(place + 1) % Sort::ALL.len()]
    }

    /// The nodes in this order.
    pub fn apply(self, seen: &Observation) -> Vec<&NodeObservation> {
        let mut nodes: Vec<&NodeObservation> = seen.nodes.iter().collect();
        let tenths = |share: f64| Reverse((share * 10.0) as u64);
        match self {
            Sort::Flow => {}
            Sort::Rate => nodes.sort_by_key(|node| tenths(node.recent.rows_in_per_second)),
            Sort::Busy => nodes.sort_by_key(|node| tenths(busy(node))),
            Sort::Held => nodes.sort_by_key(|node| tenths(node.recent.held_percent)),
            Sort::Lag => nodes.sort_by_key(|node| Reverse(node.lag_micros)),
        }
        nodes
    }
}

/// The first line: how long the run has lasted, and how much was read.
pub fn title(seen: &Observation, width: usize) -> String {
    let sources = || seen.nodes.iter().filter(|node| node.role == "source");
    let read: u64 = sources().map(|node| node.rows_in).sum();
    let rate: f64 = sources().map(|node| node.recent.rows_in_per_second).sum();
    let text = format!("{}  {}  {} read  {} rows/s", seen.topology, duration(seen.running_micros), rows(read), short(rate));
    cut(&text, width)
}

/// A bar for each source whose size is known.
pub fn progress(seen: &Observation, width: usize) -> Vec<String> {
    let known = seen.nodes.iter().filter_map(|node| Some((node, node.progress?)));
    known.map(|(node, progress)| bar(&node.node, progress, width)).collect()
}

const BAR: usize = 30;

fn bar(name: &str, Progress { done, total }: Progress, width: usize) -> String {
    let share = if total == 0 { 1.0 } else { done as f64 / total as f64 };
    let filled = ((share * BAR as f64) as usize).min(BAR);
    let bar = format!("{}{}", "#".repeat(filled), ".".repeat(BAR - filled));
    let text = format!("{} [{bar}] {:.0} %", cut(name, NAME), (share * 100.0).floor());
    // Without room for the bar the number says it as well.
    if text.chars().count() <= width { text } else { cut(&format!("{} {:.0} %", cut(name, NAME), (share * 100.0).floor()), width) }
}

/// The longest name of a node that is shown whole.
const NAME: usize = 24;

/// One column of the table.
struct Column {
    head: &'static str,
    cell: fn(&Observation, &NodeObservation) -> String,
    /// Numbers stand at the right.
    right: bool,
}

/// In the order in which they are shown; the last ones are the first to go.
const COLUMNS: [Column; 9] = [
    Column { head: "node", cell: |_, node| cut(&node.node, NAME), right: false },
    Column { head: "in/s", cell: |_, node| short(node.recent.rows_in_per_second), right: true },
    Column { head: "out/s", cell: |_, node| short(node.recent.rows_out_per_second), right: true },
    Column { head: "busy", cell: |_, node| percent(busy(node)), right: true },
    Column { head: "held", cell: held, right: false },
    Column { head: "queue", cell: queue, right: true },
    Column { head: "lag", cell: |_, node| node.lag_micros.map_or_else(|| "-".to_owned(), duration), right: true },
    Column { head: "late", cell: |_, node| late(node), right: true },
    Column { head: "state", cell: |_, node| bytes(node.state_bytes), right: true },
];

/// The table of the nodes, with a head.
pub fn table(seen: &Observation, nodes: &[&NodeObservation], width: usize) -> Vec<String> {
    let cells: Vec<Vec<String>> = COLUMNS
        .iter()
        .map(|column| std::iter::once(column.head.to_owned()).chain(nodes.iter().map(|node| (column.cell)(seen, node))).collect())
        .collect();
    let widths: Vec<usize> = cells.iter().map(|column| column.iter().map(|cell| cell.chars().count()).max().unwrap_or(0)).collect();
    let ends = widths.iter().scan(0, |end, own| {
        *end += own + 2;
        Some(*end - 2)
    });
    let shown = ends.take_while(|end| *end <= width).count().max(1);
    (0..=nodes.len())
        .map(|row| {
            let text: Vec<String> = (0..shown).map(|column| aligned(&cells[column][row], widths[column], COLUMNS[column].right)).collect();
            cut(text.join("  ").trim_end(), width)
        })
        .collect()
}

fn aligned(text: &str, width: usize, right: bool) -> String {
    if right { format!("{text:>width$}") } else { format!("{text:<width$}") }
}

/// A source is as busy as its reading thread, if that has more to do than its task.
fn busy(node: &NodeObservation) -> f64 {
    node.recent.busy_percent.max(node.recent.reading_percent)
}

/// `80 % by board`; `ahead of slow` of a source that waits because of `time.max_ahead`.
fn held(seen: &Observation, node: &NodeObservation) -> String {
    if let Some(slower) = &node.ahead_of {
        return format!("ahead of {}", cut(slower, NAME));
    }
    match seen.holder_of(&node.node) {
        Some(edge) if node.recent.held_percent >= 1.0 => format!("{} by {}", percent(node.recent.held_percent), cut(&edge.to, NAME)),
        _ => "-".to_owned(),
    }
}

/// Rows that came too late for all of their windows, or for a join.
fn late(node: &NodeObservation) -> String {
    if node.fates.late == 0 { "-".to_owned() } else { short(node.fates.late as f64) }
}

/// How full the fullest queue into a node is, in batches or bytes.
fn queue(seen: &Observation, node: &NodeObservation) -> String {
    let share = |part: u64, limit: u64| if limit == 0 { 0.0 } else { part as f64 * 100.0 / limit as f64 };
    let fill = seen.edges_into(&node.node).map(|edge| share(edge.batches, edge.batches_limit).max(share(edge.bytes, edge.bytes_limit)));
    fill.reduce(f64::max).map_or_else(|| "-".to_owned(), |fill| percent(fill.min(100.0)))
}

fn percent(share: f64) -> String {
    format!("{share:.0} %")
}

/// `1.2M`: three digits at most.
pub fn short(number: f64) -> String {
    scaled(number, 1_000.0, &["", "k", "M", "G", "T"])
}

/// `3.1 MiB`.
fn bytes(number: u64) -> String {
    if number == 0 { "-".to_owned() } else { scaled(number as f64, 1_024.0, &[" B", " KiB", " MiB", " GiB", " TiB"]) }
}

fn scaled(mut number: f64, step: f64, units: &[&str]) -> String {
    let mut unit = 0;
    while number >= step * 0.9995 && unit + 1 < units.len() {
        number /= step;
        unit += 1;
    }
    let digits = usize::from(unit > 0 && number < 9.95);
    format!("{number:.digits$}{}", units[unit])
}

/// The two greatest units: `1h 05m`, `12.3 s`.
pub fn duration(micros: u64) -> String {
    let seconds = micros / 1_000_000;
    match seconds {
        0..60 => format!("{:.1} s", micros as f64 / 1e6),
        60..3_600 => format!("{}m {:02}s", seconds / 60, seconds % 60),
        3_600..86_400 => format!("{}h {:02}m", seconds / 3_600, seconds / 60 % 60),
        _ => format!("{}d {:02}h", seconds / 86_400, seconds / 3_600 % 24),
    }
}

/// The beginning of a text that is too long.
pub fn cut(text: &str, width: usize) -> String {
    if text.chars().count() <= width {
        return text.to_owned();
    }
    text.chars().take(width.saturating_sub(1)).chain((width > 0).then_some('…')).collect()
}

/// The most important of it in one line, for those that are no terminal.
pub fn line(seen: &Observation) -> String {
    let mut text = title(seen, usize::MAX);
    let held = seen.edges.iter().filter(|edge| edge.held_percent >= 1.0);
    if let Some(edge) = held.max_by(|a, b| a.held_percent.total_cmp(&b.held_percent)) {
        text.push_str(&format!("  {} holds up {} {}", edge.to, edge.from, percent(edge.held_percent)));
    }
    for node in seen.nodes.iter().filter(|node| node.role == "source") {
        if let Some(Progress { done, total }) = node.progress.filter(|progress| progress.total > 0) {
            text.push_str(&format!("  {} {}", node.node, percent((done as f64 * 100.0 / total as f64).floor())));
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use expect_test::{Expect, expect};
    use serde_json::json;

    use super::*;

    fn node(name: &str, role: &str, rate: f64, held: f64) -> serde_json::Value {
        json!({
            "node": name, "type": "t", "role": role, "over": false, "rows_in": 27_004, "rows_out": 26_483, "batches_in": 4,
            "batches_out": 4, "bytes_in": 1, "state_bytes": if role == "operator" { 3_250_000 } else { 0 }, "watermark": "2013-01-01T10:17:00Z",
            "fates": { "passed": 1, "filtered": 0, "taken": 0, "late": if role == "operator" { 521 } else { 0 }, "rejected": 0, "skipped": 0, "expired": 0, "partly_late": 0 },
            "lag_micros": 3_900_000_000u64, "waits_for": null, "inputs": [], "splits": [], "subtasks": [],
            "progress": if role == "source" { json!({ "done": 62, "total": 100 }) } else { json!(null) },
            "recent": { "rows_in_per_second": rate, "rows_out_per_second": rate / 2.0, "bytes_in_per_second": 0.0, "busy_percent": 35.4,
                "held_percent": held, "ready_percent": 0.0, "waiting_percent": 0.0, "reading_percent": 0.0 },
        })
    }

    fn seen() -> Observation {
        let edge = |from: &str, to: &str, batches: u64, held: f64| {
            json!({ "stream": from, "from": from, "to": to, "batches": batches, "batches_limit": 8, "bytes": 10, "bytes_limit": 1000,
                "holds": 1, "held_micros": 1, "holds_now": true, "held_percent": held })
        };
        let nodes = json!([
            node("departures", "source", 1_234_567.0, 80.0),
            node("delays", "operator", 617_000.0, 0.0),
            node("board", "sink", 12.0, 0.0)
        ]);
        let edges = json!([edge("departures", "delays", 8, 80.0), edge("delays", "board", 1, 0.0)]);
        let all = json!({ "topology": "late", "at_micros": 0, "running_micros": 12_340_000, "interval_micros": 1_000_000, "nodes": nodes, "edges": edges });
        serde_json::from_value(all).unwrap()
    }

    fn shown(width: usize, expected: Expect) {
        let seen = seen();
        let mut lines = vec![title(&seen, width)];
        lines.extend(progress(&seen, width));
        lines.extend(table(&seen, &Sort::Flow.apply(&seen), width));
        assert!(lines.iter().all(|line| line.chars().count() <= width), "{lines:#?}");
        expected.assert_eq(&(lines.join("\n") + "\n"));
    }

    #[test]
    fn everything_is_shown_where_there_is_room() {
        shown(
            100,
            expect![[r#"
            late  12.3 s  27,004 rows read  1.2M rows/s
            departures [##################............] 62 %
            node        in/s  out/s  busy  held            queue     lag  late    state
            departures  1.2M   617k  35 %  80 % by delays      -  1h 05m     -        -
            delays      617k   308k  35 %  -               100 %  1h 05m   521  3.1 MiB
            board         12      6  35 %  -                12 %  1h 05m     -        -
        "#]],
        );
    }

    #[test]
    fn a_source_that_is_too_far_ahead_is_held() {
        let mut seen = seen();
        seen.nodes[0].ahead_of = Some("arrivals".to_owned());
        let lines = table(&seen, &Sort::Flow.apply(&seen), 100);
        assert!(lines[1].contains("ahead of arrivals"), "{lines:#?}");
    }

    #[test]
    fn a_narrow_terminal_leaves_columns_out() {
        shown(
            45,
            expect![[r#"
            late  12.3 s  27,004 rows read  1.2M rows/s
            departures 62 %
            node        in/s  out/s  busy  held
            departures  1.2M   617k  35 %  80 % by delays
            delays      617k   308k  35 %  -
            board         12      6  35 %  -
        "#]],
        );
        shown(
            12,
            expect![[r#"
            late  12.3 …
            departures …
            node
            departures
            delays
            board
        "#]],
        );
    }

    #[test]
    fn one_line_says_the_most_important() {
        expect!["late  12.3 s  27,004 rows read  1.2M rows/s  delays holds up departures 80 %  departures 62 %"].assert_eq(&line(&seen()));
    }

    #[test]
    fn numbers_have_three_digits_at_most() {
        let shown = [0.0, 7.0, 999.0, 999.6, 1_000.0, 12_345.0, 999_950.0, 1e15].map(short);
        assert_eq!(shown, ["0", "7", "999", "1.0k", "1.0k", "12k", "1.0M", "1000T"]);
        assert_eq!([bytes(0), bytes(1_023), bytes(2_048)], ["-", "1023 B", "2.0 KiB"]);
        assert_eq!([0, 61_000_000, 3_660_000_000, 90_000_000_000].map(duration), ["0.0 s", "1m 01s", "1h 01m", "1d 01h"]);
    }

    #[test]
    fn nodes_can_be_sorted() {
        let seen = seen();
        let names = |sort: Sort| sort.apply(&seen).iter().map(|node| node.node.clone()).collect::<Vec<_>>();
        assert_eq!(names(Sort::Rate), ["departures", "delays", "board"]);
        assert_eq!(names(Sort::Held)[0], "departures");
        assert_eq!(Sort::Lag.next(), Sort::Flow);
    }
}

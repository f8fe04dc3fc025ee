//! What became of every row, as a table at the end of a run and as log lines.

use comfy_table::{CellAlignment, Table, presets};
use millstream_runtime::text::{self, grouped};
use millstream_runtime::{Ledger, LedgerRow};

use crate::status::Status;

const COLUMNS: [&str; 12] =
    ["node", "rows in", "passed", "filtered", "taken", "late", "rejected", "skipped", "expired", "in state", "rows out", "balance"];

/// The ledger as a table, and below it whether the sums balance. How the run ended decides what a gap means.
/// `is_kept`: what is in state at a stop is in a checkpoint.
pub fn table(ledger: &Ledger, status: Status, is_kept: bool) -> String {
    let mut table = Table::new();
    table.load_preset(presets::NOTHING).set_header(COLUMNS);
    for row in &ledger.rows {
        table.add_row(cells(row, status));
    }
    for (i, column) in table.column_iter_mut().enumerate() {
        column.set_padding((0, 2)).set_cell_alignment(if i == 0 { CellAlignment::Left } else { CellAlignment::Right });
    }
    let lines: String = table.lines().map(|line| format!("{}\n", line.trim_end())).collect();
    lines + &remarks(ledger, status, is_kept)
}

fn cells(row: &LedgerRow, status: Status) -> Vec<String> {
    let fates = &row.fates;
    let counts = [
        row.rows_in,
        fates.passed,
        fates.filtered,
        fates.taken,
        fates.late,
        fates.rejected,
        fates.skipped,
        fates.expired,
        row.in_state,
        row.rows_out,
    ];
    let balance = match (difference(row), status) {
        (0, _) => "ok".to_owned(),
        (gap @ ..0, Status::Failed) => format!("{} under way", grouped(gap.unsigned_abs() as u64)),
        (gap, _) => format!("off by {gap:+}"),
    };
    std::iter::once(row.node.clone()).chain(counts.map(grouped)).chain([balance]).collect()
}

/// Fates without a row, or rows without a fate (negative).
fn difference(row: &LedgerRow) -> i128 {
    i128::from(row.fates.total()) + i128::from(row.in_state) - i128::from(row.rows_in)
}

fn remarks(ledger: &Ledger, status: Status, is_kept: bool) -> String {
    let mut text = match (ledger.balances(), status) {
        // A node that fails, and those that are ended because of it, stop in the middle of a batch, and what was sent has not arrived everywhere.
        (_, Status::Failed) => "the run failed: rows were under way, in nodes and between them\n",
        (true, _) => "every row has one fate: the sums balance\n",
        (false, _) => "the sums DO NOT balance: rows were lost or counted twice; please report this\n",
    }
    .to_owned();
    let partly_late: u64 = ledger.rows.iter().map(|row| row.fates.partly_late).sum();
    if partly_late > 0 {
        let were = if partly_late == 1 { "was too late for some of its" } else { "were too late for some of their" };
        text.push_str(&format!("{} of the rows taken {were} windows\n", grouped(partly_late)));
    }
    let in_state: u64 = ledger.rows.iter().map(|row| row.in_state).sum();
    if status == Status::Stopped && in_state > 0 {
        let rows = text::rows(in_state);
        let (are, they_are) = if in_state == 1 { ("is", "it is") } else { ("are", "they are") };
        text.push_str(&match is_kept {
            true => format!("{rows} {are} in windows or groups that had not been sent at the stop; {they_are} in the last checkpoint\n"),
            false => format!(
                "warning: {rows} {are} in windows or groups that had not been sent at the stop, and {are} gone; --drain sends them\n"
            ),
        });
    }
    text
}

/// How much was read, how long it took and how fast that is. `sources` says which nodes read from outside, `before` how many
/// rows they had read when the run began: a run that goes on from a checkpoint has those of the runs before in its ledger.
pub fn summary(ledger: &Ledger, sources: &[&str], before: u64, seconds: f64) -> String {
    let rows = rows_read(ledger, sources).saturating_sub(before);
    let pace = if seconds > 0.0 { format!(" ({} rows/s)", grouped((rows as f64 / seconds) as u64)) } else { String::new() };
    format!("{} read in {seconds:.3} s{pace}", text::rows(rows))
}

/// Rows that came from outside.
pub fn rows_read(ledger: &Ledger, sources: &[&str]) -> u64 {
    sources.iter().filter_map(|name| ledger.node(name)).map(|row| row.rows_in).sum()
}

#[cfg(test)]
mod tests {
    use expect_test::expect;
    use millstream_api::operator::Fates;

    use super::*;

    fn row(node: &str, rows_in: u64, fates: Fates, rows_out: u64) -> LedgerRow {
        LedgerRow { node: node.to_owned(), rows_in, fates, in_state: 0, rows_out, state_bytes: 0 }
    }

    fn ledger() -> Ledger {
        let taken = |taken, late| Fates { taken, late, ..Fates::default() };
        Ledger {
            rows: vec![
                row("departures", 27_004, Fates { passed: 26_483, skipped: 521, ..Fates::default() }, 26_483),
                row("delays", 26_483, Fates { partly_late: 2, ..taken(26_400, 83) }, 9_500),
                row("board", 9_500, taken(9_500, 0), 0),
            ],
        }
    }

    #[test]
    fn every_fate_has_a_column() {
        expect![[r#"
            node        rows in  passed  filtered   taken  late  rejected  skipped  expired  in state  rows out  balance
            departures   27,004  26,483         0       0     0         0      521        0         0    26,483       ok
            delays       26,483       0         0  26,400    83         0        0        0         0     9,500       ok
            board         9,500       0         0   9,500     0         0        0        0         0         0       ok
            every row has one fate: the sums balance
            2 of the rows taken were too late for some of their windows
        "#]]
        .assert_eq(&table(&ledger(), Status::Done, false));
    }

    #[test]
    fn a_lost_row_is_not_kept_secret() {
        let mut ledger = ledger();
        ledger.rows[1].rows_in += 1;
        for status in [Status::Done, Status::Stopped] {
            let text = table(&ledger, status, false);
            assert!(text.contains("off by -1") && text.contains("DO NOT balance"), "{text}");
        }
        let text = table(&ledger, Status::Failed, false);
        assert!(text.contains("1 under way") && text.contains("the run failed"), "{text}");
        ledger.rows[1].rows_in -= 2;
        assert!(table(&ledger, Status::Failed, false).contains("off by +1"), "more fates than rows is always a mistake");
    }

    #[test]
    fn a_failed_run_does_not_say_that_each_row_has_a_fate() {
        assert!(!table(&ledger(), Status::Failed, false).contains("sums balance"), "what was sent has not arrived everywhere");
    }

    #[test]
    fn rows_in_open_windows_are_warned_of_at_a_stop_only() {
        let mut ledger = ledger();
        ledger.rows[1].fates.taken -= 1_000;
        ledger.rows[1].in_state = 1_000;
        assert!(table(&ledger, Status::Stopped, false).contains("warning: 1,000 rows are in windows"));
        assert!(!table(&ledger, Status::Done, false).contains("warning"));
        let kept = table(&ledger, Status::Stopped, true);
        assert!(!kept.contains("warning") && kept.contains("1,000 rows are in windows") && kept.contains("last checkpoint"), "{kept}");
    }

    #[test]
    fn one_row_is_not_several() {
        let mut ledger = ledger();
        ledger.rows[1].fates.partly_late = 1;
        ledger.rows[1].fates.taken -= 1;
        ledger.rows[1].in_state = 1;
        let text = table(&ledger, Status::Stopped, false);
        assert!(text.contains("1 of the rows taken was too late for some of its windows"), "{text}");
        assert!(text.contains("warning: 1 row is in windows") && text.contains("and is gone"), "{text}");
        assert!(table(&ledger, Status::Stopped, true).contains("it is in the last checkpoint"));
    }

    #[test]
    fn the_summary_counts_sources_only() {
        assert_eq!(summary(&ledger(), &["departures"], 0, 0.5), "27,004 rows read in 0.500 s (54,008 rows/s)");
        assert_eq!(summary(&Ledger::default(), &["departures"], 0, 0.0), "0 rows read in 0.000 s");
        assert_eq!(summary(&ledger(), &["departures"], 27_000, 0.5), "4 rows read in 0.500 s (8 rows/s)");
    }
}

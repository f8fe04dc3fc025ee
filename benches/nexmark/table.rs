//! The figures as tables, for people.

use comfy_table::presets::ASCII_MARKDOWN;
use comfy_table::{CellAlignment, Table};

use crate::figures::Figures;

/// Markdown tables: what it cost, and how long results took where that was measured.
pub fn render(figures: &[Figures]) -> String {
    let (live, fast): (Vec<&Figures>, Vec<&Figures>) = figures.iter().partition(|f| f.mode == "live");
    let tables = [(fast, costs as fn(&[&Figures]) -> String), (live, latencies)];
    tables.iter().filter(|(figures, _)| !figures.is_empty()).map(|(figures, table)| table(figures)).collect::<Vec<_>>().join("\n\n")
}

/// A line for each measurement.
pub fn costs(figures: &[&Figures]) -> String {
    let headers =
        ["input", "query", "workers", "cores", "checkpoints", "M events / CPU s", "M events / s", "peak MiB", "rows out", "checksum"];
    let row = |f: &&Figures| {
        vec![
            f.mode.clone(),
            f.query.clone(),
            f.workers.to_string(),
            f.cores.map_or_else(|| "any".to_owned(), |cores| cores.to_string()),
            f.checkpoints.clone().unwrap_or_default(),
            format!("{:.1}", f.per_cpu_second()),
            format!("{:.1}", f.per_second()),
            format!("{:.0}", f.peak_mib),
            f.rows_out.to_string(),
            f.checksum.clone(),
        ]
    };
    markdown(&headers, figures.iter().map(row), &[2, 3, 5, 6, 7, 8])
}

/// A line for each measurement against the clock.
pub fn latencies(figures: &[&Figures]) -> String {
    let headers = ["query", "workers", "checkpoints", "results", "median ms", "99 % within ms"];
    let row = |f: &&Figures| {
        let shown = f.latency.map(|l| [l.results.to_string(), format!("{:.1}", l.p50_ms), format!("{:.1}", l.p99_ms)]);
        let [results, p50, p99] = shown.unwrap_or_else(|| ["0".to_owned(), String::new(), String::new()]);
        vec![f.query.clone(), f.workers.to_string(), f.checkpoints.clone().unwrap_or_default(), results, p50, p99]
    };
    markdown(&headers, figures.iter().map(row), &[1, 3, 4, 5])
}

/// A Markdown table, some of its columns to the right.
pub fn markdown(headers: &[&str], rows: impl Iterator<Item = Vec<String>>, right: &[usize]) -> String {
    let mut table = Table::new();
    table.load_preset(ASCII_MARKDOWN);
    table.set_header(headers);
    table.add_rows(rows);
    for index in right {
        if let Some(column) = table.column_mut(*index) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    mark_right(&table.to_string(), right)
}

/// A number with its digits in threes.
pub fn thousands(number: u64) -> String {
    let digits = number.to_string();
    let starts = digits.char_indices().map(|(index, digit)| match index > 0 && (digits.len() - index).is_multiple_of(3) {
        true => format!(",{digit}"),
        false => digit.to_string(),
    });
    starts.collect()
}

/// Says in the line below the headers which columns stand to the right, as Markdown has it.
fn mark_right(table: &str, right: &[usize]) -> String {
    let mut lines: Vec<String> = table.lines().map(str::to_owned).collect();
    if let Some(rule) = lines.get_mut(1) {
        let columns = rule.trim_matches('|').split('|').enumerate();
        let marked = columns.map(|(index, dashes)| match right.contains(&index) {
            true => format!("{}:", &dashes[..dashes.len().saturating_sub(1)]),
            false => dashes.to_owned(),
        });
        *rule = format!("|{}|", marked.collect::<Vec<_>>().join("|"));
    }
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_to_the_right_are_marked() {
        let table = markdown(&["a", "b"], [vec!["x".to_owned(), "1".to_owned()]].into_iter(), &[1]);
        assert_eq!(table, "| a | b |\n|---|--:|\n| x | 1 |");
    }

    #[test]
    fn digits_stand_in_threes() {
        assert_eq!([0, 999, 1000, 20_000_000].map(thousands), ["0", "999", "1,000", "20,000,000"]);
    }
}

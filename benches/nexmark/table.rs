//! The figures as a table, for people.

use comfy_table::presets::ASCII_MARKDOWN;
use comfy_table::{CellAlignment, Table};

use crate::measure::Figures;

/// A Markdown table, a line for each measurement.
pub fn render(figures: &[Figures]) -> String {
    let mut table = Table::new();
    table.load_preset(ASCII_MARKDOWN);
    table.set_header(["input", "query", "workers", "M events / CPU s", "M events / s", "peak MiB", "rows out", "checksum"]);
    for f in figures {
        table.add_row([
            f.mode.clone(),
            f.query.clone(),
            f.workers.to_string(),
            format!("{:.1}", f.per_cpu_second()),
            format!("{:.1}", f.per_second()),
            format!("{:.0}", f.peak_mib),
            f.rows_out.to_string(),
            f.checksum.clone(),
        ]);
    }
    for index in 2..7 {
        if let Some(column) = table.column_mut(index) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    table.to_string()
}

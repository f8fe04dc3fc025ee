//! The figures as a bar chart: for each query with a goal, what was reached and where the goal stands.

use std::fmt::Write;

use crate::arguments::Mode;
use crate::figures::Figures;
use crate::goals::{QUERIES, goal};

/// A panel: its title, where events come from, and the colour of its bars.
const PANELS: [(&str, Mode, &str); 3] = [
    ("NDJSON, a file for each type", Mode::Ndjson, "#2563a8"),
    ("NDJSON, one file", Mode::Merged, "#3f87c8"),
    ("in process", Mode::Memory, "#b4622d"),
];

const WIDTH: usize = 760;
/// Where bars begin, and how long the longest may be.
const LEFT: usize = 170;
const LONGEST: f64 = 480.0;
const TITLE_HEIGHT: usize = 40;
const ROW_HEIGHT: usize = 24;

/// An SVG of one worker without checkpoints.
pub fn draw(figures: &[Figures]) -> String {
    let height = 30 + PANELS.len() * (TITLE_HEIGHT + QUERIES.len() * ROW_HEIGHT) + 20;
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height}\" width=\"{WIDTH}\" height=\"{height}\" \
         font-family=\"system-ui, sans-serif\" font-size=\"13\">\n<rect width=\"100%\" height=\"100%\" fill=\"#ffffff\"/>\n"
    );
    text(&mut svg, 16, 24, "start", "600", "Million events for each second of CPU time, one worker; the line is the goal");
    let mut top = 30;
    for (title, mode, colour) in PANELS {
        text(&mut svg, 16, top + 28, "start", "600", title);
        panel(&mut svg, top + TITLE_HEIGHT, colour, figures, mode);
        top += TITLE_HEIGHT + QUERIES.len() * ROW_HEIGHT;
    }
    svg.push_str("</svg>\n");
    svg
}

fn panel(svg: &mut String, top: usize, colour: &str, figures: &[Figures], mode: Mode) {
    let reached = |query: &str| {
        let found = figures.iter().find(|f| f.query == query && f.mode == mode.name() && f.workers == 1 && f.checkpoints.is_none());
        found.map_or(0.0, Figures::per_cpu_second)
    };
    let greatest = QUERIES.iter().map(|(query, _)| reached(query).max(goal(query, mode).unwrap_or(0.0))).fold(1.0, f64::max);
    for (index, (query, name)) in QUERIES.iter().enumerate() {
        let y = top + index * ROW_HEIGHT;
        let length = |value: f64| (value / greatest * LONGEST).round() as usize;
        text(svg, LEFT - 10, y + 15, "end", "400", name);
        let bar = length(reached(query));
        let _ = writeln!(svg, "<rect x=\"{LEFT}\" y=\"{}\" width=\"{bar}\" height=\"{}\" fill=\"{colour}\"/>", y + 3, ROW_HEIGHT - 7);
        let goal_length = goal(query, mode).map_or(0, length);
        let x = LEFT + goal_length;
        let _ = writeln!(svg, "<path d=\"M{x} {}v{}\" stroke=\"#222222\" stroke-width=\"2\"/>", y + 1, ROW_HEIGHT - 3);
        text(svg, LEFT + bar.max(goal_length) + 8, y + 15, "start", "400", &format!("{:.1}", reached(query)));
    }
}

fn text(svg: &mut String, x: usize, y: usize, anchor: &str, weight: &str, text: &str) {
    let _ = writeln!(svg, "<text x=\"{x}\" y=\"{y}\" text-anchor=\"{anchor}\" font-weight=\"{weight}\" fill=\"#222222\">{text}</text>");
}

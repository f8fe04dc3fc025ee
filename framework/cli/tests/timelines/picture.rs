//! Draws what was played: event time goes to the right, what happens first is above.

use std::fmt::Write;

use crate::play::{Out, Played, seconds};
use crate::scenes::{Scene, Shape, Step};

const LEFT: f64 = 170.0;
const RIGHT: f64 = 24.0;
const TOP: f64 = 66.0;
const AXIS_WIDTH: f64 = 600.0;
/// Without bars the axis only shows when rows come.
const SHORT_AXIS_WIDTH: f64 = 300.0;
const STEP: f64 = 34.0;
/// Texts are laid out without a font: so wide is a character at most, as a rule.
const CHARACTER: f64 = 6.4;

const STYLE: &str = "
  svg { color-scheme: light dark; }
  text { font: 11.5px system-ui, -apple-system, 'Segoe UI', 'DejaVu Sans', sans-serif; fill: #1f2937; }
  .paper { fill: #ffffff; }
  .title { font-size: 14px; font-weight: 600; }
  .quiet { fill: #5b6472; }
  .grid { stroke: #e2e8f0; }
  .watermark { stroke: #c2410c; stroke-width: 1.6; stroke-dasharray: 5 3; fill: none; }
  .watermark-text { fill: #c2410c; }
  .first { fill: #0d9488; } .second { fill: #4f6bd8; }
  .out { fill: #fde9c8; stroke: #c27803; }
  .back { fill: none; stroke: #c27803; stroke-dasharray: 3 3; }
  .late { stroke: #dc2626; stroke-width: 2; }
  @media (prefers-color-scheme: dark) {
    text { fill: #e6eaf0; }
    .paper { fill: #12161c; }
    .quiet { fill: #9aa5b4; }
    .grid { stroke: #28303a; }
    .watermark { stroke: #fb923c; } .watermark-text { fill: #fb923c; }
    .first { fill: #2dd4bf; } .second { fill: #8ea2ff; }
    .out { fill: #4a3610; stroke: #f0b13c; } .back { stroke: #f0b13c; }
    .late { stroke: #f87171; }
  }
";

/// The SVG.
pub fn draw(scene: &Scene, played: &[Played]) -> String {
    let notes: Vec<String> = played.iter().map(|played| notes(scene, played)).collect();
    let note_width = notes.iter().map(|note| note.chars().count()).max().unwrap_or_default() as f64 * CHARACTER;
    let has_bars = scene.sinks.iter().any(|sink| sink.shape == Shape::Bar);
    let axis_width = if has_bars || note_width < 200.0 { AXIS_WIDTH } else { SHORT_AXIS_WIDTH };
    let (width, height) = (LEFT + axis_width + note_width + 2.0 * RIGHT, TOP + STEP * played.len() as f64 + 40.0);
    let width = width.max(scene.title.chars().count() as f64 * 7.6 + 40.0).max(740.0).ceil();
    let mut picture = Picture { scene, axis_width, out: String::new() };
    picture.line(&format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} {height}\" width=\"{width}\" height=\"{height}\" role=\"img\">"
    ));
    picture.line(&format!("<title>{}</title>\n<style>{STYLE}</style>", scene.title));
    picture.line(&format!("<rect class=\"paper\" width=\"{width}\" height=\"{height}\" rx=\"8\"/>"));
    picture.text(20.0, 26.0, "title", "start", scene.title);
    picture.axis(played.len());
    picture.watermark(played);
    for (index, (step, (played, note))) in scene.steps.iter().zip(played.iter().zip(&notes)).enumerate() {
        let y = TOP + STEP * (index as f64 + 0.5);
        picture.bars(y, played);
        picture.step(y, step);
        picture.text(LEFT + axis_width + 12.0, y + 4.0, "", "start", note);
    }
    picture.legend(height - 14.0, played.iter().any(|played| played.watermark.is_some()));
    picture.line("</svg>");
    picture.out
}

/// What is said of a row: its sign and its columns.
fn label(scene: &Scene, sink: usize, out: &Out) -> String {
    let columns = scene.sinks[sink].columns.iter();
    let shown: Vec<String> = columns.map(|column| format!("{column} {}", out.row[column]).replace('"', "")).collect();
    format!("{}{}", if out.weight < 0 { "− " } else { "" }, shown.join(", "))
}

/// The rows of a step that have no bar.
fn notes(scene: &Scene, played: &Played) -> String {
    let note = |(sink, out): &(usize, Out)| match scene.sinks[*sink].shape {
        Shape::Bar => None,
        Shape::Late => Some("late".to_owned()),
        Shape::Text if out.weight > 0 => Some(format!("+ {}", label(scene, *sink, out))),
        Shape::Point | Shape::Text => Some(label(scene, *sink, out)),
    };
    played.out.iter().filter_map(note).collect::<Vec<_>>().join("  ·  ")
}

/// The text of one bar, with the rows of the same window: a row that is withdrawn and the one in its place are one bar.
struct Bar {
    from: f64,
    to: f64,
    labels: Vec<String>,
}

struct Picture<'a> {
    scene: &'a Scene,
    axis_width: f64,
    out: String,
}

impl Picture<'_> {
    fn line(&mut self, text: &str) {
        // Writing to a string can't fail.
        let _ = writeln!(self.out, "{text}");
    }

    fn text(&mut self, x: f64, y: f64, class: &str, anchor: &str, text: &str) {
        let text = text.replace('&', "&amp;").replace('<', "&lt;");
        self.line(&format!("<text class=\"{class}\" x=\"{x:.1}\" y=\"{y:.1}\" text-anchor=\"{anchor}\">{text}</text>"));
    }

    fn x(&self, seconds: f64) -> f64 {
        let (first, last) = (f64::from(self.scene.axis.0), f64::from(self.scene.axis.1));
        LEFT + (seconds.clamp(first, last) - first) / (last - first) * self.axis_width
    }

    fn axis(&mut self, steps: usize) {
        let bottom = TOP + STEP * steps as f64;
        let (first, last) = self.scene.axis;
        for second in (first..=last).step_by(if last - first > 12 { 5 } else { 2 }) {
            let x = self.x(f64::from(second));
            self.line(&format!("<line class=\"grid\" x1=\"{x:.1}\" x2=\"{x:.1}\" y1=\"{:.1}\" y2=\"{bottom:.1}\"/>", TOP - 8.0));
            self.text(x, TOP - 14.0, "quiet", "middle", &format!("{second} s"));
        }
        self.text(20.0, TOP - 14.0, "quiet", "start", "what happens");
    }

    fn step(&mut self, y: f64, step: &Step) {
        match step {
            Step::Send { source, seconds, label, .. } => {
                let second = self.scene.sources.iter().position(|name| name == source) == Some(1);
                let class = if second { "second" } else { "first" };
                let row = if label.is_empty() { format!("{source}: {seconds} s") } else { format!("{source}: {label} at {seconds} s") };
                self.text(20.0, y + 4.0, "quiet", "start", &row);
                let x = self.x(f64::from(*seconds));
                self.line(&format!("<circle class=\"{class}\" cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"5\"/>"));
            }
            Step::Advance(duration) => self.text(20.0, y + 4.0, "quiet", "start", &format!("{duration} of the clock go by")),
            Step::End => self.text(20.0, y + 4.0, "quiet", "start", "the input ends"),
        }
    }

    fn bars(&mut self, y: f64, played: &Played) {
        let mut bars: Vec<Bar> = Vec::new();
        for (sink, out) in &played.out {
            let at = |column: &str| self.x(out.row[column].as_str().map_or(0.0, seconds));
            match self.scene.sinks[*sink].shape {
                Shape::Bar => {
                    let (from, to, label) = (at("window_start"), at("window_end"), label(self.scene, *sink, out));
                    match bars.iter_mut().find(|bar| bar.from == from && bar.to == to) {
                        Some(bar) => bar.labels.push(label),
                        None => bars.push(Bar { from, to, labels: vec![label] }),
                    }
                }
                Shape::Point => {
                    let x = at("t");
                    self.line(&format!(
                        "<rect class=\"out\" x=\"{:.1}\" y=\"{:.1}\" width=\"18\" height=\"18\" rx=\"4\"/>",
                        x - 9.0,
                        y - 9.0
                    ));
                }
                Shape::Late => {
                    let x = at("t");
                    self.line(&format!("<path class=\"late\" d=\"M{:.1} {:.1}l14 14m0 -14l-14 14\"/>", x - 7.0, y - 7.0));
                }
                Shape::Text => {}
            }
        }
        for bar in bars {
            let withdrawn = bar.labels.iter().all(|label| label.starts_with('−'));
            let (class, width) = (if withdrawn { "back" } else { "out" }, (bar.to - bar.from - 2.0).max(2.0));
            self.line(&format!(
                "<rect class=\"{class}\" x=\"{:.1}\" y=\"{:.1}\" width=\"{width:.1}\" height=\"20\" rx=\"4\"/>",
                bar.from + 1.0,
                y - 10.0
            ));
            self.text((bar.from + bar.to) / 2.0, y + 4.0, "", "middle", &bar.labels.join("; "));
        }
    }

    /// Where the watermark is after each step.
    fn watermark(&mut self, played: &[Played]) {
        let mut path = String::new();
        for (index, played) in played.iter().enumerate() {
            let Some(at) = played.watermark.filter(|at| *at >= f64::from(self.scene.axis.0)) else { continue };
            let (x, from) = (self.x(at), TOP + STEP * (index as f64 + 0.5));
            let start = if path.is_empty() { "M" } else { "L" };
            let _ = write!(path, "{start}{x:.1} {from:.1}V{:.1}", from + STEP);
        }
        if !path.is_empty() {
            self.line(&format!("<path class=\"watermark\" d=\"{path}\"/>"));
        }
    }

    fn legend(&mut self, y: f64, has_watermark: bool) {
        let mut x = 20.0;
        for (index, source) in self.scene.sources.iter().enumerate() {
            let class = if index == 1 { "second" } else { "first" };
            self.line(&format!("<circle class=\"{class}\" cx=\"{:.1}\" cy=\"{:.1}\" r=\"5\"/>", x + 5.0, y - 4.0));
            self.text(x + 16.0, y, "quiet", "start", &format!("a row of {source}, at its event time"));
            x += 220.0;
        }
        if has_watermark {
            self.line(&format!("<path class=\"watermark\" d=\"M{x:.1} {:.1}h22\"/>", y - 4.0));
            self.text(x + 30.0, y, "quiet", "start", &format!("the watermark of {}", self.scene.watermark_of));
            x += 190.0;
        }
        if self.scene.sinks.iter().any(|sink| matches!(sink.shape, Shape::Bar | Shape::Point)) {
            self.line(&format!("<rect class=\"out\" x=\"{x:.1}\" y=\"{:.1}\" width=\"22\" height=\"12\" rx=\"3\"/>", y - 10.0));
            self.text(x + 30.0, y, "quiet", "start", "a row that comes out");
        }
    }
}

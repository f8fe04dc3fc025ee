//! The drawing itself: an SVG that needs nothing but itself and follows its viewer's choice of light or dark.

use std::fmt::Write;

use millstream_api::registry::Role;

use super::layout::{Edge, Layout, Point, Rectangle, layout};
use super::picture::{Arrow, Box, Picture};

const MARGIN: f64 = 28.0;
/// The line with the topology's name.
const TITLE: f64 = 34.0;
const LINE: f64 = 17.0;
const PADDING: f64 = 16.0;
/// Texts are laid out without a font: so wide is a character of each size at most, as a rule.
const NAME_CHARACTER: f64 = 9.4;
const TEXT_CHARACTER: f64 = 6.4;
const LABEL_CHARACTER: f64 = 6.0;
/// Longer texts end in `…`; the whole of them is shown under the pointer.
const TEXT_CHARACTERS: usize = 36;

/// Dark is what differs from light.
const STYLE: &str = "
  svg { color-scheme: light dark; }
  text { font-family: system-ui, -apple-system, 'Segoe UI', 'DejaVu Sans', sans-serif; fill: #1f2937; }
  .paper { fill: #ffffff; }
  .title { font-size: 15px; font-weight: 600; }
  .name { font-size: 13.5px; font-weight: 600; }
  .type, .note { font-size: 11.5px; fill: #5b6472; }
  .note { font-style: italic; }
  .label { font-size: 11px; fill: #5b6472; }
  .box { fill: #f8fafc; stroke: #cbd5e1; stroke-width: 1; }
  .source { fill: #0d9488; } .operator { fill: #4f6bd8; } .sink { fill: #c27803; }
  .arrow { fill: none; stroke: #7b8794; stroke-width: 1.5; }
  .side { stroke-dasharray: 5 4; }
  .head { fill: #7b8794; }
  @media (prefers-color-scheme: dark) {
    text { fill: #e6eaf0; }
    .paper { fill: #12161c; }
    .type, .note, .label { fill: #9aa5b4; }
    .box { fill: #1b222b; stroke: #394452; }
    .source { fill: #2dd4bf; } .operator { fill: #8ea2ff; } .sink { fill: #f0b13c; }
    .arrow { stroke: #728093; }
    .head { fill: #728093; }
  }
";

/// Draws the picture.
pub(super) fn svg(picture: &Picture<'_>) -> String {
    let sizes: Vec<(f64, f64)> = picture.boxes.iter().map(size).collect();
    let edges: Vec<Edge> = picture.arrows.iter().map(|arrow| Edge { from: arrow.from, to: arrow.to, label: label_width(arrow) }).collect();
    let Layout { boxes, paths, width, height } = layout(&sizes, &edges);
    let title_width = picture.name.chars().count() as f64 * 9.0;
    let (width, height) = ((width.max(title_width) + 2.0 * MARGIN).ceil(), (height + 2.0 * MARGIN + TITLE).ceil());
    let mut out = String::new();
    // Writing to a string can't fail.
    let _ = writeln!(
        out,
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} {height}\" width=\"{width}\" height=\"{height}\" role=\"img\">"
    );
    let name = escaped(picture.name);
    let _ = writeln!(out, "<title>{name}</title>\n<style>{STYLE}</style>");
    let _ = writeln!(
        out,
        "<marker id=\"head\" viewBox=\"0 0 8 8\" refX=\"7\" refY=\"4\" markerWidth=\"7\" markerHeight=\"7\" orient=\"auto\"><path class=\"head\" d=\"M0 0.5 8 4 0 7.5z\"/></marker>"
    );
    let _ = writeln!(out, "<rect class=\"paper\" width=\"100%\" height=\"100%\" rx=\"8\"/>");
    let _ = writeln!(out, "<text class=\"title\" x=\"{MARGIN}\" y=\"{}\">{name}</text>", MARGIN + 10.0);
    let _ = writeln!(out, "<g transform=\"translate({MARGIN} {})\">", MARGIN + TITLE);
    for (arrow, path) in picture.arrows.iter().zip(&paths) {
        write_arrow(&mut out, picture, arrow, path);
    }
    for (node, place) in picture.boxes.iter().zip(&boxes) {
        write_box(&mut out, node, place);
    }
    out.push_str("</g>\n</svg>\n");
    out
}

/// Name, type, notes.
fn size(node: &Box<'_>) -> (f64, f64) {
    let width = |text: &str, character: f64| text.chars().count().min(TEXT_CHARACTERS) as f64 * character;
    let texts = node.notes.iter().map(|note| width(note, TEXT_CHARACTER));
    let widest = texts.fold(width(node.name, NAME_CHARACTER).max(width(&node.type_line(), TEXT_CHARACTER)), f64::max);
    (widest + 2.0 * PADDING, (2 + node.notes.len()) as f64 * LINE + 16.0)
}

/// The room that the label of an arrow needs, the head included.
fn label_width(arrow: &Arrow<'_>) -> f64 {
    match short(&arrow.label()).chars().count() {
        0 => 0.0,
        count => count as f64 * LABEL_CHARACTER + 18.0,
    }
}

/// A curve from layer to layer; the end is straight for as long as there is text above it.
fn write_arrow(out: &mut String, picture: &Picture<'_>, arrow: &Arrow<'_>, path: &[Point]) {
    let [(x, y), rest @ ..] = path else { return };
    let label = arrow.label();
    let mut curve = format!("M{} {}", round(*x), round(*y));
    let mut last = (*x, *y);
    for (index, (x, y)) in rest.iter().enumerate() {
        let is_end = index + 1 == rest.len();
        let bend = if is_end { x - label_width(arrow) } else { *x };
        if index % 2 == 0 {
            let middle = round(f64::midpoint(last.0, bend));
            let _ = write!(curve, " C{middle} {} {middle} {} {} {}", round(last.1), round(*y), round(bend), round(*y));
        }
        if bend < *x || index % 2 == 1 {
            let _ = write!(curve, " L{} {}", round(*x), round(*y));
        }
        last = (*x, *y);
    }
    let class = if arrow.side { "arrow side" } else { "arrow" };
    let stream = arrow.stream.unwrap_or(picture.boxes[arrow.from].name);
    let kind = if arrow.updating { " (updating)" } else { "" };
    let title = format!("{stream}{kind} → {}", picture.boxes[arrow.to].name);
    let _ = writeln!(out, "<path class=\"{class}\" d=\"{curve}\" marker-end=\"url(#head)\"><title>{}</title></path>", escaped(&title));
    if !label.is_empty() {
        let (x, y) = (round(last.0 - 12.0), round(last.1 - 5.0));
        let _ = writeln!(
            out,
            "<text class=\"label\" x=\"{x}\" y=\"{y}\" text-anchor=\"end\">{}{}</text>",
            escaped(&short(&label)),
            whole(&label)
        );
    }
}

fn write_box(out: &mut String, node: &Box<'_>, place: &Rectangle) {
    let role = match node.role {
        Role::Source => "source",
        Role::Operator => "operator",
        Role::Sink => "sink",
    };
    let (x, y, width, height) = (round(place.x), round(place.y), round(place.width), round(place.height));
    out.push_str("<g>");
    if let Some(description) = node.description {
        let _ = write!(out, "<title>{}</title>", escaped(description));
    }
    let _ = write!(out, "<rect class=\"box\" x=\"{x}\" y=\"{y}\" width=\"{width}\" height=\"{height}\" rx=\"7\"/>");
    let _ = write!(
        out,
        "<rect class=\"{role}\" x=\"{x}\" y=\"{}\" width=\"4\" height=\"{}\" rx=\"2\"/>",
        round(place.y + 8.0),
        round(place.height - 16.0)
    );
    let lines = 2 + node.notes.len();
    let left = round(place.x + PADDING);
    let mut base = place.y + (place.height - lines as f64 * LINE) / 2.0 + 12.5;
    let mut line = |class: &str, text: &str| {
        let _ = write!(out, "<text class=\"{class}\" x=\"{left}\" y=\"{}\">{}{}</text>", round(base), escaped(&short(text)), whole(text));
        base += LINE;
    };
    line("name", node.name);
    line("type", &node.type_line());
    for note in &node.notes {
        line("note", note);
    }
    out.push_str("</g>\n");
}

/// At most so much of a text as there is room for.
fn short(text: &str) -> String {
    if text.chars().count() <= TEXT_CHARACTERS {
        return text.to_owned();
    }
    text.chars().take(TEXT_CHARACTERS - 1).chain(['…']).collect()
}

/// The whole text under the pointer, where it is not shown.
fn whole(text: &str) -> String {
    if text.chars().count() <= TEXT_CHARACTERS { String::new() } else { format!("<title>{}</title>", escaped(text)) }
}

/// One digit after the point is finer than any screen, and keeps drawings short.
fn round(value: f64) -> f64 {
    (value * 10.0).round() / 10.0
}

/// A file may hold anything; XML must stay XML.
fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            c if c.is_control() || matches!(c, '\u{fffe}' | '\u{ffff}') => out.push(' '),
            c => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_stay_texts() {
        assert_eq!(escaped("a < b & \"c\"\u{1}"), "a &lt; b &amp; &quot;c&quot; ");
    }

    #[test]
    fn a_long_text_is_cut_and_kept_whole_under_the_pointer() {
        let long = "by key ".repeat(10);
        assert_eq!(short(&long).chars().count(), TEXT_CHARACTERS);
        assert!(short(&long).ends_with('…') && whole(&long).contains(&long));
        assert_eq!((short("carrier"), whole("carrier")), ("carrier".to_owned(), String::new()));
    }
}

//! A picture for Graphviz.

use std::fmt::Write;

use millstream_api::registry::Role;

use super::picture::{Box, Picture};

/// A `digraph` from left to right. Side streams are dashed.
pub(super) fn dot(picture: &Picture<'_>) -> String {
    let mut text = format!("digraph {} {{\n    rankdir = LR\n", quoted(picture.name));
    text.push_str("    node [shape = box, style = rounded, fontname = \"sans-serif\"]\n");
    text.push_str("    edge [fontname = \"sans-serif\", fontsize = 10]\n");
    // Writing to a string can't fail.
    for node in &picture.boxes {
        let _ = writeln!(text, "    {} [label = {}, color = \"{}\"]", quoted(node.name), quoted(&label(node)), color(node.role));
    }
    for arrow in &picture.arrows {
        let mut attributes = Vec::new();
        let label = arrow.label();
        if !label.is_empty() {
            attributes.push(format!("label = {}", quoted(&label)));
        }
        if arrow.side {
            attributes.push("style = dashed".to_owned());
        }
        let attributes = if attributes.is_empty() { String::new() } else { format!(" [{}]", attributes.join(", ")) };
        let (from, to) = (picture.boxes[arrow.from].name, picture.boxes[arrow.to].name);
        let _ = writeln!(text, "    {} -> {}{attributes}", quoted(from), quoted(to));
    }
    text.push_str("}\n");
    text
}

fn label(node: &Box<'_>) -> String {
    let lines = [node.name.to_owned(), node.type_line()];
    lines.into_iter().chain(node.notes.iter().cloned()).collect::<Vec<_>>().join("\n")
}

fn color(role: Role) -> &'static str {
    match role {
        Role::Source => "#0d9488",
        Role::Operator => "#4f6bd8",
        Role::Sink => "#b7791f",
    }
}

/// A text in quotes. A line end is `\n` for Graphviz as well.
fn quoted(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quotes_and_backslashes_are_escaped() {
        assert_eq!(quoted("a\n\"b\\"), r#""a\n\"b\\""#);
    }
}

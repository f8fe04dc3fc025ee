//! A picture for Mermaid, which Markdown pages of code hosts render.

use std::fmt::Write;

use millstream_api::registry::Role;

use super::picture::{Arrow, Box, Picture};

/// A `flowchart` from left to right. Boxes are numbered, because a node may be called `end`, which Mermaid keeps for itself.
pub(super) fn mermaid(picture: &Picture<'_>) -> String {
    let mut text = "flowchart LR\n".to_owned();
    // Writing to a string can't fail.
    for (index, node) in picture.boxes.iter().enumerate() {
        let (open, close, class) = shape(node.role);
        let _ = writeln!(text, "    n{index}{open}\"{}\"{close}:::{class}", label(node));
    }
    for arrow in &picture.arrows {
        let _ = writeln!(text, "    n{} {} n{}", arrow.from, line(arrow), arrow.to);
    }
    text.push_str("    classDef source stroke:#0d9488,stroke-width:2px\n");
    text.push_str("    classDef operator stroke:#4f6bd8,stroke-width:2px\n");
    text.push_str("    classDef sink stroke:#b7791f,stroke-width:2px\n");
    text
}

fn shape(role: Role) -> (&'static str, &'static str, &'static str) {
    match role {
        Role::Source => ("([", "])", "source"),
        Role::Operator => ("[", "]", "operator"),
        Role::Sink => ("[/", "/]", "sink"),
    }
}

fn label(node: &Box<'_>) -> String {
    let lines = [format!("<b>{}</b>", escaped(node.name)), escaped(&node.type_line())];
    let notes = node.notes.iter().map(|note| format!("<i>{}</i>", escaped(note)));
    lines.into_iter().chain(notes).collect::<Vec<_>>().join("<br>")
}

/// Side streams are dotted.
fn line(arrow: &Arrow<'_>) -> String {
    let stroke = if arrow.side { "-.->" } else { "-->" };
    match arrow.label() {
        label if label.is_empty() => stroke.to_owned(),
        label => format!("{stroke}|\"{}\"|", escaped(&label)),
    }
}

/// Mermaid has entities of its own, with `#` in place of `&`.
fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '"' | '<' | '>' | '#' | '&' | '`' => {
                let _ = write!(out, "#{};", u32::from(character));
            }
            c if c.is_control() => out.push(' '),
            c => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_means_something_to_mermaid_is_escaped() {
        assert_eq!(escaped("case when a < 1 then \"b\" end #1"), "case when a #60; 1 then #34;b#34; end #35;1");
    }
}

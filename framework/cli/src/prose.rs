//! Doc comments as plain text for a terminal.

/// Lines are at most this long, where words allow it.
pub const WIDTH: usize = 100;

/// The first paragraph, on one line.
pub fn headline(doc: &str) -> String {
    doc.trim().lines().take_while(|line| !line.trim().is_empty()).map(str::trim).collect::<Vec<_>>().join(" ")
}

/// All of it, wrapped and indented. Paragraphs and items of lists stay apart; tables and what stands between fences (three
/// backticks) keep their lines.
pub fn wrapped(doc: &str, indent: usize) -> String {
    let mut text = String::new();
    let mut paragraph: Vec<&str> = Vec::new();
    let mut fenced = false;
    for line in doc.trim().lines() {
        let shape = Shape::of(line, fenced);
        if shape != Shape::Words {
            wrap(&mut text, &std::mem::take(&mut paragraph), indent);
        }
        match shape {
            Shape::Words | Shape::Item => paragraph.extend(line.split_whitespace()),
            Shape::Fence => fenced = !fenced,
            Shape::Code => push_line(&mut text, line, indent + 4),
            Shape::Table => push_line(&mut text, line, indent),
            Shape::Blank => text.push('\n'),
        }
    }
    wrap(&mut text, &paragraph, indent);
    text
}

/// What a line of a doc comment is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Shape {
    Words,
    Item,
    Table,
    Fence,
    Code,
    Blank,
}

impl Shape {
    fn of(line: &str, fenced: bool) -> Shape {
        match line.trim_start() {
            start if start.starts_with("```") => Shape::Fence,
            _ if fenced => Shape::Code,
            "" => Shape::Blank,
            start if start.starts_with("- ") => Shape::Item,
            start if start.starts_with('|') => Shape::Table,
            _ => Shape::Words,
        }
    }
}

/// One paragraph or item. What follows the first line of an item stands under its first word.
fn wrap(text: &mut String, words: &[&str], indent: usize) {
    let hanging = if words.first() == Some(&"-") { indent + 2 } else { indent };
    let mut line = String::new();
    let mut line_indent = indent;
    for word in words {
        if !line.is_empty() && line_indent + line.chars().count() + 1 + word.chars().count() > WIDTH {
            push_line(text, &std::mem::take(&mut line), line_indent);
            line_indent = hanging;
        }
        if !line.is_empty() {
            line.push(' ');
        }
        line.push_str(word);
    }
    if !line.is_empty() {
        push_line(text, &line, line_indent);
    }
}

fn push_line(text: &mut String, line: &str, indent: usize) {
    let blank = if line.trim().is_empty() { 0 } else { indent };
    text.extend(std::iter::repeat_n(' ', blank));
    text.push_str(line.trim_end());
    text.push('\n');
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_headline_is_the_first_paragraph() {
        assert_eq!(headline("Rows from\n files.\n\nMore."), "Rows from files.");
        assert_eq!(headline(""), "");
    }

    #[test]
    fn a_long_item_hangs() {
        let text = wrapped(&format!("- {}", "word ".repeat(30)), 6);
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines.len(), 2);
        assert!(lines[0].starts_with("      - word") && lines[1].starts_with("        word"), "{text}");
    }

    #[test]
    fn paragraphs_wrap_and_fences_stay() {
        let doc =
            format!("{}\nend.\n- one\n  more\n- two\n| a | b |\n\nExample:\n```toml\n[a]\n\nb = 1\n```\nafter", "word ".repeat(25).trim());
        let text = wrapped(&doc, 2);
        assert!(text.lines().all(|line| line.chars().count() <= WIDTH));
        assert!(text.contains("word end.\n  - one more\n  - two\n  | a | b |\n\n  Example"), "{text}");
        assert!(text.contains("\n\n  Example:\n      [a]\n\n      b = 1\n  after\n"), "{text}");
    }
}

//! The text format of Prometheus, version 0.0.4: a family's help and type, then its samples.

use std::fmt::Write;

/// Writes families one after the other. One without samples is left out.
#[derive(Default)]
pub struct Writer {
    text: String,
    /// The head of the present family, until it has a sample.
    head: String,
}

impl Writer {
    /// Begins a family. `kind` is the format's word for it.
    pub fn family(&mut self, name: &str, kind: &str, help: &str) {
        let help = help.replace('\\', "\\\\").replace('\n', "\\n");
        self.head = format!("# HELP {name} {help}\n# TYPE {name} {kind}\n");
    }

    /// A sample of it: one text for each label.
    pub fn sample(&mut self, name: &str, labels: &[&str], texts: &[&str], value: f64) {
        debug_assert_eq!(labels.len(), texts.len(), "{name}");
        self.text.push_str(&std::mem::take(&mut self.head));
        self.text.push_str(name);
        for (i, (label, text)) in labels.iter().zip(texts).enumerate() {
            let text = text.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n");
            // Writing to a string does not fail.
            let _ = write!(self.text, "{}{label}=\"{text}\"", if i == 0 { '{' } else { ',' });
        }
        let end = if labels.is_empty() { "" } else { "}" };
        let _ = match value {
            f64::INFINITY => writeln!(self.text, "{end} +Inf"),
            f64::NEG_INFINITY => writeln!(self.text, "{end} -Inf"),
            value => writeln!(self.text, "{end} {value}"),
        };
    }

    /// The whole text.
    pub fn finish(self) -> String {
        self.text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_escaped_and_families_without_samples_left_out() {
        let mut writer = Writer::default();
        writer.family("a_total", "counter", "Rows\nin \\ a line.");
        writer.sample("a_total", &["node", "fate"], &["a\"b\\c\nd", "é"], 3.0);
        writer.sample("a_total", &["node", "fate"], &["x", ""], 9_007_199_254_740_991.0);
        writer.family("b", "gauge", "Nothing.");
        writer.family("c", "gauge", "One.");
        writer.sample("c", &[], &[], 0.25);
        writer.sample("c", &[], &[], f64::INFINITY);
        assert_eq!(
            writer.finish(),
            "# HELP a_total Rows\\nin \\\\ a line.\n# TYPE a_total counter\n\
             a_total{node=\"a\\\"b\\\\c\\nd\",fate=\"é\"} 3\na_total{node=\"x\",fate=\"\"} 9007199254740991\n\
             # HELP c One.\n# TYPE c gauge\nc 0.25\nc +Inf\n"
        );
    }
}

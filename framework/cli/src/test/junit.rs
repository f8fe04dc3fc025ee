//! Results as JUnit's XML, which build servers read.

use super::difference::{Told, told};
use super::{Results, Verdict};

/// One suite, named after the topology.
pub fn junit(results: &Results<'_>) -> String {
    let (count, failed) = (results.verdicts.len(), results.failed());
    let (suite, seconds) = (escaped(&results.tests.topology), results.seconds());
    let sums = format!("tests=\"{count}\" failures=\"{failed}\" errors=\"0\" time=\"{seconds:.6}\"");
    let mut text = format!("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuites {sums}>\n  <testsuite name=\"{suite}\" {sums}>\n");
    for (case, verdict) in results.each() {
        let failures: Vec<(String, Told)> =
            verdict.failures.iter().map(|failure| (results.place(case, failure), told(case, failure))).collect();
        text.push_str(&test_case(&suite, &escaped(&case.name), &results.tests.file.display().to_string(), case.line, verdict, &failures));
    }
    text.push_str("  </testsuite>\n</testsuites>\n");
    text
}

/// A test has one failure at most in this format: the first is named, and all are in its text.
fn test_case(suite: &str, name: &str, file: &str, line: usize, verdict: &Verdict, failures: &[(String, Told)]) -> String {
    let file = escaped(file);
    let about = format!("classname=\"{suite}\" name=\"{name}\" file=\"{file}\" line=\"{line}\" time=\"{:.6}\"", verdict.seconds);
    let Some((place, first)) = failures.first() else {
        return format!("    <testcase {about}/>\n");
    };
    let message = escaped(&format!("{place}: {}", first.headline));
    let mut text = String::new();
    for (place, told) in failures {
        text.push_str(&format!("{place}: {}\n", told.headline));
        told.details.iter().for_each(|line| text.push_str(&format!("  {line}\n")));
    }
    let text = escaped(&text);
    format!("    <testcase {about}>\n      <failure message=\"{message}\">{text}</failure>\n    </testcase>\n")
}

/// Text as XML takes it: in attributes, too, and without the characters that it cannot hold.
fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\n' | '\t' => out.push(character),
            control if control.is_control() || matches!(control, '\u{fffe}' | '\u{ffff}') => out.push(char::REPLACEMENT_CHARACTER),
            other => out.push(other),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_in_a_name_breaks_the_document() {
        assert_eq!(escaped("a < b & \"c\" > 'd'\u{1b}[0m"), "a &lt; b &amp; &quot;c&quot; &gt; 'd'\u{fffd}[0m");
    }
}

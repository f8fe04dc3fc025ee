//! The file of expected counts: a line for each part, its instructions for a row and its name.

use std::fmt;
use std::path::Path;

use crate::Counted;

/// What the counts depend on beside the program.
#[derive(Debug, PartialEq, Eq)]
struct Processor(String);

impl Processor {
    fn this() -> Processor {
        #[cfg(target_arch = "x86_64")]
        let features = if std::arch::is_x86_feature_detected!("avx2") { " with AVX2" } else { "" };
        #[cfg(not(target_arch = "x86_64"))]
        let features = "";
        Processor(format!("{}{features}", std::env::consts::ARCH))
    }
}

/// Expected counts.
#[derive(Debug)]
pub struct Expected {
    processor: Processor,
    per_row: Vec<(String, f64)>,
}

/// What is to be said of a part.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Verdict {
    /// Within the bound: how much, and how many times what was expected.
    Within(f64, f64),
    /// Too much: how much, and how much was expected.
    Grown(f64, f64),
    /// Less than expected by more than the bound.
    Shrunk(f64, f64),
    /// It is not in the file.
    Unknown,
    /// It is in the file alone.
    Gone,
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Verdict::Within(count, times) => write!(f, "{count:.1} instructions a row, {times:.2} times what is expected"),
            Verdict::Grown(count, expected) => write!(f, "{count:.1} instructions a row where {expected:.1} are expected: TOO MANY"),
            Verdict::Shrunk(count, expected) => {
                write!(f, "{count:.1} instructions a row where {expected:.1} are expected: write the file anew (--write), to hold that")
            }
            Verdict::Unknown => f.write_str("not in the file of expected counts"),
            Verdict::Gone => f.write_str("in the file of expected counts, but there is no such part"),
        }
    }
}

impl Expected {
    /// Reads the file.
    ///
    /// # Errors
    /// When it can't be read, with the line.
    pub fn read(path: &Path) -> Result<Expected, String> {
        let text = std::fs::read_to_string(path).map_err(|e| format!("{}: {e}", path.display()))?;
        Expected::parse(&text).map_err(|e| format!("{}: {e}", path.display()))
    }

    fn parse(text: &str) -> Result<Expected, String> {
        let mut lines = text.lines().filter(|line| !line.starts_with('#') && !line.is_empty());
        let processor = Processor(lines.next().ok_or("the file is empty")?.to_owned());
        let part = |line: &str| {
            let (count, name) = line.split_once(' ')?;
            Some((name.to_owned(), count.parse().ok()?))
        };
        let per_row =
            lines.map(|line| part(line).ok_or_else(|| format!("`{line}` is not a count and a name"))).collect::<Result<_, _>>()?;
        Ok(Expected { processor, per_row })
    }

    /// Each part and its verdict; `None` when the counts are of another kind of processor.
    pub fn judge(&self, counted: &[Counted], bound_percent: f64) -> Option<Vec<(String, Verdict)>> {
        if self.processor != Processor::this() {
            return None;
        }
        let expected = |part: &str| self.per_row.iter().find(|(name, _)| name == part).map(|(_, count)| *count);
        let mut verdicts: Vec<(String, Verdict)> = Vec::new();
        for Counted { part, per_row } in counted {
            verdicts.push((part.clone(), expected(part).map_or(Verdict::Unknown, |expected| judged(*per_row, expected, bound_percent))));
        }
        let gone = self.per_row.iter().filter(|(name, _)| counted.iter().all(|counted| counted.part != *name));
        verdicts.extend(gone.map(|(name, _)| (name.clone(), Verdict::Gone)));
        Some(verdicts)
    }
}

fn judged(count: f64, expected: f64, bound_percent: f64) -> Verdict {
    let times = count / expected;
    if times > 1.0 + bound_percent / 100.0 {
        Verdict::Grown(count, expected)
    } else if times < 1.0 / (1.0 + bound_percent / 100.0) {
        Verdict::Shrunk(count, expected)
    } else {
        Verdict::Within(count, times)
    }
}

/// Writes the file; gives its text.
///
/// # Errors
/// When it can't be written.
pub fn write(path: &Path, counted: &[Counted]) -> Result<String, String> {
    let text = text(counted);
    std::fs::write(path, &text).map_err(|e| format!("{}: {e}", path.display()))?;
    Ok(text)
}

fn text(counted: &[Counted]) -> String {
    let mut text = "# Instructions for a row, as the command `instructions` counts them; `--write` writes this file anew.\n".to_owned();
    text.push_str(&format!("{}\n", Processor::this().0));
    counted.iter().for_each(|Counted { part, per_row }| text.push_str(&format!("{per_row:.1} {part}\n")));
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counted(counts: &[(&str, f64)]) -> Vec<Counted> {
        counts.iter().map(|(part, per_row)| Counted { part: (*part).to_owned(), per_row: *per_row }).collect()
    }

    #[test]
    fn what_is_written_can_be_read_and_holds() {
        let counts = counted(&[("decode, four columns", 612.34), ("join, as of", 0.5)]);
        let verdicts = Expected::parse(&text(&counts)).unwrap().judge(&counts, 25.0).unwrap();
        assert!(verdicts.iter().all(|(_, verdict)| matches!(verdict, Verdict::Within(..))), "{verdicts:?}");
    }

    #[test]
    fn more_than_the_bound_is_too_much_and_less_is_told() {
        let expected = Expected::parse(&text(&counted(&[("a", 100.0), ("b", 100.0), ("c", 100.0), ("d", 1.0)]))).unwrap();
        let verdicts = expected.judge(&counted(&[("a", 124.0), ("b", 126.0), ("c", 70.0), ("e", 1.0)]), 25.0).unwrap();
        let of = |part: &str| verdicts.iter().find(|(name, _)| name == part).unwrap().1;
        assert_eq!(of("a"), Verdict::Within(124.0, 1.24));
        assert_eq!(of("b"), Verdict::Grown(126.0, 100.0));
        assert_eq!(of("c"), Verdict::Shrunk(70.0, 100.0));
        assert_eq!((of("d"), of("e")), (Verdict::Gone, Verdict::Unknown));
    }

    #[test]
    fn counts_of_another_processor_are_not_compared() {
        assert!(Expected::parse("# why\nabacus\n1.0 a\n").unwrap().judge(&counted(&[("a", 9.0)]), 25.0).is_none());
        assert!(Expected::parse("abacus\na\n").is_err());
        assert!(Expected::parse("").is_err());
    }
}

//! Results for people.
//!
//! ```text
//! ok      an hour is counted when it is over (1.2 ms)
//! FAILED  a flight that comes too late is put aside (0.8 ms)
//!   flights.toml:118: expect = "delays": 1 missing, 1 unexpected
//!       carrier  flights
//!     - "UA"     2
//!     + "UA"     1
//! 1 passed, 1 failed (2.0 ms)
//! ```

use super::Results;
use super::difference::told;

/// A line for each test, below it what did not hold, and the sum at the end.
pub fn text(results: &Results<'_>) -> String {
    let mut text = String::new();
    for (case, verdict) in results.each() {
        let word = if verdict.passed() { "ok    " } else { "FAILED" };
        text.push_str(&format!("{word}  {} ({})\n", case.name, milliseconds(verdict.seconds)));
        for failure in &verdict.failures {
            let told = told(case, failure);
            text.push_str(&format!("  {}: {}\n", results.place(case, failure), told.headline));
            told.details.iter().for_each(|line| text.push_str(&format!("    {line}\n")));
        }
    }
    let failed = results.failed();
    let passed = results.verdicts.len() - failed;
    let failed = if failed > 0 { format!(", {failed} failed") } else { String::new() };
    text.push_str(&format!("{passed} passed{failed} ({})\n", milliseconds(results.seconds())));
    text
}

/// `1.2 ms`.
pub fn milliseconds(seconds: f64) -> String {
    format!("{:.1} ms", seconds * 1e3)
}

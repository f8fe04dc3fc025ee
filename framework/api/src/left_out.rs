//! What is said of bad rows that are left out: of the first one at once why and where, then now and then how many more there were.
//!
//! They are counted all the same. Whoever sees a count that is not 0 wants to know what is wrong with them, and of a million rows of the same kind
//! one is enough.

use std::time::Duration;

use crate::error::{BadRow, shortened};
use crate::time::ClockTime;

/// How long nothing is said after something was.
const QUIET: Duration = Duration::from_secs(60);

/// What one subtask has left out and not told of.
#[derive(Clone, Debug, Default)]
pub struct LeftOut {
    untold: u64,
    quiet_until: Option<ClockTime>,
}

impl LeftOut {
    /// Notes so many rows, of which one is described by `first`. What to say of all that were not told of yet, when something was not
    /// said less than a minute ago.
    ///
    /// # Errors
    /// Those of `first`, which is asked only when something is said.
    pub fn note<E>(&mut self, rows: u64, first: impl FnOnce() -> Result<BadRow, E>, now: ClockTime) -> Result<Option<String>, E> {
        self.untold += rows;
        if rows == 0 || self.quiet_until.is_some_and(|until| now < until) {
            return Ok(None);
        }
        let BadRow { reason, place, raw } = first()?;
        let since = if self.quiet_until.is_some() { "more bad rows were" } else { "bad rows were" };
        let what = match (self.quiet_until, self.untold) {
            (None, 1) => "a bad row was left out".to_owned(),
            (Some(_), 1) => "one more bad row was left out".to_owned(),
            (_, untold) => format!("{untold} {since} left out, one of them"),
        };
        self.untold = 0;
        self.quiet_until = Some(now.plus(QUIET));
        Ok(Some(format!("{what}: {place}: {reason}: {}", shortened(&raw))))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_one_is_told_of_and_then_how_many_more() {
        let mut left_out = LeftOut::default();
        let mut note = |rows: u64, place: &str, seconds: i64| {
            let row = || Ok::<_, ()>(BadRow { reason: "`n` is missing".into(), place: place.into(), raw: "{}".into() });
            left_out.note(rows, row, ClockTime(seconds * 1_000_000)).unwrap()
        };
        assert_eq!(note(0, "a:0", 0), None);
        assert_eq!(note(1, "a:1", 0).unwrap(), "a bad row was left out: a:1: `n` is missing: {}");
        assert_eq!(note(5, "a:2", 59), None);
        assert_eq!(note(2, "a:9", 60).unwrap(), "7 more bad rows were left out, one of them: a:9: `n` is missing: {}");
        assert_eq!(note(1, "b:1", 200).unwrap(), "one more bad row was left out: b:1: `n` is missing: {}");
        assert_eq!(LeftOut::default().note(3, || Err("not asked for"), ClockTime(0)), Err("not asked for"));
    }
}

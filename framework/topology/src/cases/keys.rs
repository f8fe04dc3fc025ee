//! The keys of `[[tests]]`, as they are written.

use millstream_api::Diagnostic;
use millstream_api::time::DurationText;
use schemars::JsonSchema;
use serde::Deserialize;

use super::Match;
use crate::shape::missing_key;

/// A test of the whole topology, run by `millstream test` in virtual time. Every source and sink is replaced.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
pub struct TestKeys {
    /// What is tested, in a few words; shown when it is run.
    pub name: String,
    /// What happens, in this order. Each step does one thing.
    pub steps: Vec<StepKeys>,
}

/// One step of a test: exactly one of its keys but `rows` and `match`, which belong to others.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
pub struct StepKeys {
    /// Sends `rows` to this source and lets everything happen that needs no time.
    pub send: Option<String>,
    /// Lets the wall clock go on: `"5s"`.
    pub advance: Option<DurationText>,
    /// Makes this source idle at once, without waiting for `idle_after`.
    pub idle: Option<String>,
    /// Says that no more rows come from this source.
    pub end: Option<String>,
    /// The rows of this stream or sink since the last `expect` of it must be `rows`; of a view, its rows now.
    pub expect: Option<String>,
    /// The same of the late rows of this operator: its stream `.late`.
    pub expect_late: Option<String>,
    /// The same of the bad rows of this node: its stream `.rejected`.
    pub expect_rejected: Option<String>,
    /// Takes a checkpoint.
    pub checkpoint: Option<bool>,
    /// Dies without warning.
    pub crash: Option<bool>,
    /// Comes back from the last checkpoint, else empty. What was sent after it is sent again, what was expected after it counts again.
    pub restore: Option<bool>,
    /// Rows as tables, or as text with one JSON object a line (so that null can be said).
    pub rows: Option<serde_json::Value>,
    /// How `rows` are compared. Only the columns that they name are. Default: unordered.
    #[serde(rename = "match")]
    pub matching: Option<Match>,
}

/// What a step does, still in names.
pub(crate) enum Does {
    Send(String),
    Advance(DurationText),
    Idle(String),
    End(String),
    /// The key, and the stream or sink that it means.
    Expect(&'static str, String, Match),
    Checkpoint,
    Crash,
    Restore,
}

impl StepKeys {
    /// What the step does.
    ///
    /// # Errors
    /// Everything that does not go together; paths start in the step.
    pub(crate) fn does(self) -> Result<Does, Vec<Diagnostic>> {
        let named = self.named();
        let mut mistakes = Vec::new();
        if named.len() != 1 {
            mistakes.push(not_one(&named));
        }
        let sends = self.send.is_some();
        let expects = self.expect.is_some() || self.expect_late.is_some() || self.expect_rejected.is_some();
        if self.rows.is_some() && !sends && !expects {
            mistakes.push(unused("rows", "it belongs to send, expect, expect_late and expect_rejected"));
        }
        if self.rows.is_none() && (sends || expects) {
            let about = if sends { "what is sent; rows = [{ column = value }]" } else { "what must be there; rows = [] means nothing" };
            mistakes.push(missing_key("the step", "rows", Some(about)));
        }
        if self.matching.is_some() && !expects {
            mistakes.push(unused("match", "it belongs to expect, expect_late and expect_rejected"));
        }
        for (key, flag) in [("checkpoint", self.checkpoint), ("crash", self.crash), ("restore", self.restore)] {
            if flag == Some(false) {
                mistakes.push(Diagnostic::error("bad-step", format!("`{key}` can only be true")).key(key).help("leave the step out"));
            }
        }
        if mistakes.is_empty() { Ok(self.what()) } else { Err(mistakes) }
    }

    /// The keys that say what is done, of those that are there.
    fn named(&self) -> Vec<&'static str> {
        let all = [
            ("send", self.send.is_some()),
            ("advance", self.advance.is_some()),
            ("idle", self.idle.is_some()),
            ("end", self.end.is_some()),
            ("expect", self.expect.is_some()),
            ("expect_late", self.expect_late.is_some()),
            ("expect_rejected", self.expect_rejected.is_some()),
            ("checkpoint", self.checkpoint.is_some()),
            ("crash", self.crash.is_some()),
            ("restore", self.restore.is_some()),
        ];
        all.into_iter().filter(|(_, given)| *given).map(|(key, _)| key).collect()
    }

    fn what(self) -> Does {
        let matching = self.matching.unwrap_or_default();
        let duration = self.advance.map(Does::Advance);
        let names = [
            self.send.map(Does::Send),
            duration,
            self.idle.map(Does::Idle),
            self.end.map(Does::End),
            self.expect.map(|stream| Does::Expect("expect", stream, matching)),
            self.expect_late.map(|node| Does::Expect("expect_late", format!("{node}.late"), matching)),
            self.expect_rejected.map(|node| Does::Expect("expect_rejected", format!("{node}.rejected"), matching)),
            self.checkpoint.map(|_| Does::Checkpoint),
            self.crash.map(|_| Does::Crash),
        ];
        names.into_iter().flatten().next().unwrap_or(Does::Restore)
    }
}

fn not_one(named: &[&str]) -> Diagnostic {
    let all = "send, advance, idle, end, expect, expect_late, expect_rejected, checkpoint, crash and restore";
    match named {
        [] => Diagnostic::error("bad-step", "the step does nothing").on_key().help(format!("there are {all}")),
        [first, .., last] => Diagnostic::error("bad-step", format!("a step does one thing, and this one has `{first}` and `{last}`"))
            .key(*last)
            .on_key()
            .help("make it a step of its own"),
        [_] => Diagnostic::error("bad-step", "the step is not understood").on_key(),
    }
}

fn unused(key: &str, help: &str) -> Diagnostic {
    Diagnostic::error("unused-key", format!("`{key}` means nothing in this step")).key(key).on_key().help(help)
}

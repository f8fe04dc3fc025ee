//! `[checkpoint]`: where durable checkpoints are kept, how often they are taken, and what a failure leads to. The doc comments
//! are the user's documentation.

use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use millstream_api::Diagnostic;
use millstream_api::plan::Make;
use millstream_api::time::DurationText;
use schemars::JsonSchema;
use serde::{Deserialize, Deserializer};

use crate::declare::Declaration;
use crate::plan::Planned;
use crate::report::Problems;

/// Durable checkpoints. Without this table there are none: a run that is started again begins anew.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
pub struct CheckpointSettings {
    /// Where they are kept: `"file:./state/NAME"`, relative to the topology file, or `"s3://BUCKET/PATH"`. Each topology needs a
    /// store of its own.
    pub store: StoreText,
    /// How often one is taken.
    #[serde(default = "ten_seconds", deserialize_with = "positive")]
    pub interval: DurationText,
    /// How many are kept. More than one, so that there is an older one to go back to.
    #[serde(default = "two")]
    #[schemars(range(min = 1, max = 1000))]
    pub retain: NonZeroUsize,
    /// One that has not come to its end in this time has failed.
    #[serde(default = "ten_minutes", deserialize_with = "positive")]
    pub timeout: DurationText,
    /// The least time between the end of one and the beginning of the next.
    #[serde(default)]
    pub min_pause: DurationText,
    /// How many may fail one after the other before that is a failure of the run.
    #[serde(default)]
    pub tolerable_failures: u32,
    /// How often a run that has failed goes on from the last checkpoint by itself, without a checkpoint in between.
    #[serde(default = "ten")]
    pub restarts: u32,
    /// How long it waits before that. The wait doubles with each restart …
    #[serde(default = "one_second")]
    pub restart_delay: DurationText,
    /// … up to this.
    #[serde(default = "one_minute")]
    pub max_restart_delay: DurationText,
    /// How often the run may fail at the same place before it stops: by a panic, a mistake or a limit in the same node, with the same message or
    /// before a checkpoint has passed what had been read. A row that can't be processed would make it fail for ever.
    #[serde(default = "three")]
    #[schemars(range(min = 1, max = 1000))]
    pub same_failures: NonZeroUsize,
}

const fn duration(seconds: i64) -> DurationText {
    match DurationText::from_micros(seconds * 1_000_000) {
        Some(duration) => duration,
        None => DurationText::ZERO,
    }
}

fn one_second() -> DurationText {
    duration(1)
}

fn ten_seconds() -> DurationText {
    duration(10)
}

fn one_minute() -> DurationText {
    duration(60)
}

fn ten_minutes() -> DurationText {
    duration(600)
}

const fn at_least_one(n: usize) -> NonZeroUsize {
    match NonZeroUsize::new(n) {
        Some(n) => n,
        None => NonZeroUsize::MIN,
    }
}

fn two() -> NonZeroUsize {
    at_least_one(2)
}

fn three() -> NonZeroUsize {
    at_least_one(3)
}

fn ten() -> u32 {
    10
}

fn positive<'de, D: Deserializer<'de>>(deserializer: D) -> Result<DurationText, D::Error> {
    let duration = DurationText::deserialize(deserializer)?;
    match duration.micros() {
        0 => Err(serde::de::Error::custom("must be longer than 0s")),
        _ => Ok(duration),
    }
}

/// The URL of a store.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct StoreText(String);

impl StoreText {
    /// As it is written.
    pub fn text(&self) -> &str {
        &self.0
    }

    /// What it names; a folder is relative to `base`.
    pub fn place(&self, base: &Path) -> StorePlace {
        if let Some((bucket, prefix)) = self.0.strip_prefix(S3).and_then(|rest| rest.split_once('/')) {
            return StorePlace::Bucket { bucket: bucket.to_owned(), prefix: prefix.trim_end_matches('/').to_owned() };
        }
        let path = self.0.strip_prefix("file:").unwrap_or(&self.0);
        // file:///absolute is the same as file:/absolute.
        let folder = base.join(path.strip_prefix("//").filter(|rest| rest.starts_with('/')).unwrap_or(path));
        // People see it in messages: `components` leaves out each `.` but the first.
        StorePlace::Folder(folder.components().collect())
    }
}

/// Where a store is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StorePlace {
    /// In a folder.
    Folder(PathBuf),
    /// In a bucket of S3, in the objects whose names begin with `prefix/`.
    Bucket {
        /// The bucket's name.
        bucket: String,
        /// Not empty, and without a slash at either end.
        prefix: String,
    },
}

/// What the URL of a store in a bucket begins with.
const S3: &str = "s3://";

/// What is wrong with what follows `s3://`.
fn wrong_bucket(rest: &str) -> Option<&'static str> {
    let (bucket, prefix) = rest.split_once('/').unwrap_or((rest, ""));
    let prefix = prefix.trim_end_matches('/');
    let in_bucket = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_');
    if bucket.is_empty() || !bucket.bytes().all(in_bucket) {
        return Some("names no bucket");
    }
    if prefix.is_empty() {
        return Some("has no path in the bucket");
    }
    let in_path = |byte: u8| byte.is_ascii_alphanumeric() || b"!-_.*'()=+/".contains(&byte);
    if !prefix.bytes().all(in_path) || prefix.split('/').any(|part| matches!(part, "" | "." | "..")) {
        return Some("has a path that is none of letters, digits and -_.!*'()=+ between single slashes");
    }
    None
}

impl FromStr for StoreText {
    type Err = String;

    fn from_str(url: &str) -> Result<Self, String> {
        const FORM: &str = "write it like \"file:./state/departures\" or \"s3://bucket/departures\"";
        if let Some(rest) = url.strip_prefix(S3) {
            return match wrong_bucket(rest) {
                Some(wrong) => Err(format!("the store `{url}` {wrong}; {FORM}")),
                None => Ok(StoreText(url.to_owned())),
            };
        }
        match url.strip_prefix("file:") {
            Some("" | "//") => Err(format!("the store `{url}` has no path; {FORM}")),
            Some(path) if path.starts_with("//") && !path.starts_with("///") => {
                Err(format!("the store `{url}` names another machine; {FORM}"))
            }
            Some(_) => Ok(StoreText(url.to_owned())),
            None if url.contains("://") => Err(format!("the store `{url}` is of a kind that this version does not support; {FORM}")),
            None => Err(format!("the store `{url}` is no URL; {FORM}")),
        }
    }
}

impl JsonSchema for StoreText {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "StoreText".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({ "type": "string", "description": "The URL of a store: \"file:./state/departures\" or \"s3://bucket/departures\".", "pattern": "^(file:.+|s3://.+)" })
    }
}

impl TryFrom<String> for StoreText {
    type Error = String;

    fn try_from(url: String) -> Result<Self, String> {
        url.parse()
    }
}

/// Notes every node that waits for checkpoints, in a topology that has none: a view that shows only what they cover would show
/// nothing, and a source that answers for what they cover would never answer.
pub(crate) fn refuse_without(nodes: &[Declaration<'_>], planned: &[Planned], problems: &mut Problems) {
    for node in planned {
        let (key, message, otherwise) = match &node.plan.make {
            Make::Sink(factory) if factory.is_view() && factory.two_phase() => {
                let message = "a committed view shows what checkpoints cover, and the topology has none";
                ("read", message, "leave `read` out: readers then see every batch at once")
            }
            Make::Source(factory) if factory.acknowledges() => {
                let message = "rows are acknowledged when a checkpoint covers them, and the topology has none";
                ("acknowledge", message, "leave `acknowledge` out: senders are then answered at once")
            }
            _ => continue,
        };
        let help = format!("add [checkpoint] with store = \"file:./state/NAME\", or {otherwise}");
        let mut found = Diagnostic::error("no-checkpoints", message).help(help).key(key);
        found.path = nodes[node.declaration].path.iter().cloned().chain(found.path).collect();
        problems.push(found);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_store_is_a_file_url() {
        let place = |url: &str, base: &str| url.parse::<StoreText>().map(|store| store.place(Path::new(base)));
        let folder = |path: &str| StorePlace::Folder(PathBuf::from(path));
        assert_eq!(place("file:./state/x", "/topologies").unwrap(), folder("/topologies/state/x"));
        assert_eq!(place("file:./state", ".").unwrap(), folder("./state"));
        assert_eq!(place("file:///var/x", "/topologies").unwrap(), folder("/var/x"));
        assert_eq!(place("file:/var/x", "/topologies").unwrap(), folder("/var/x"));
        for bad in ["state", "file:", "file://", "file://host/x", "gs://bucket/x", "az://bucket/x", "memory://x"] {
            assert!(place(bad, ".").unwrap_err().contains(bad), "{bad}");
        }
    }

    #[test]
    fn or_a_place_in_a_bucket() {
        let place = |url: &str| url.parse::<StoreText>().map(|store| store.place(Path::new(".")));
        let bucket = |prefix: &str| StorePlace::Bucket { bucket: "flights-1.eu".to_owned(), prefix: prefix.to_owned() };
        assert_eq!(place("s3://flights-1.eu/a").unwrap(), bucket("a"));
        assert_eq!(place("s3://flights-1.eu/a/b=c/").unwrap(), bucket("a/b=c"));
        for (bad, how) in [
            ("s3://", "names no bucket"),
            ("s3:///a", "names no bucket"),
            ("s3://user@host/a", "names no bucket"),
            ("s3://flights", "has no path"),
            ("s3://flights/", "has no path"),
            ("s3://flights/a//b", "has a path that"),
            ("s3://flights/../b", "has a path that"),
            ("s3://flights/a b", "has a path that"),
        ] {
            assert!(place(bad).unwrap_err().contains(how), "{bad}");
        }
    }
}

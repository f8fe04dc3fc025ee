//! What a checkpoint consists of: a line with version and checksum, then JSON.
//!
//! The manifest is written last and only where there is none, so a checkpoint is there whole or not at all. It has what can be
//! said without looking at rows: nodes and their state, watermarks, positions, the ledger, and the parts with their checksums.

use millstream_api::EventTime;
use millstream_api::error::{Error, ErrorKind, Result};
use millstream_api::meaning::Meaning;
use millstream_api::message::CheckpointId;
use millstream_api::operator::Fates;
use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::xxh3_64;

use crate::part::checksum as checksum_of_part;
use crate::snapshot::{SplitSnapshot, TaskCounts};

/// What the first line of a manifest begins with.
const MAGIC: &str = "millstream-checkpoint";

/// The version of manifests that this code writes and reads. Version 1 knew no pieces, and both before this had one part at most
/// for each subtask.
const VERSION: u32 = 3;

/// A checkpoint without its rows.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Manifest {
    /// The topology's `name`.
    pub topology: String,
    /// Its number, in rising order.
    pub checkpoint: CheckpointId,
    /// When it was taken: microseconds since 1970 by the wall clock.
    pub taken_at: i64,
    /// The version of Millstream that wrote it.
    pub written_by: String,
    /// `runtime.key_groups`, which never changes after the first checkpoint.
    pub key_groups: u16,
    /// Set when no row can follow it.
    pub finished: Option<Finished>,
    /// The nodes of the topology, in its order.
    pub nodes: Vec<NodeRecord>,
    /// The subtasks of all nodes.
    pub tasks: Vec<TaskRecord>,
}

/// Why no row can follow a checkpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Finished {
    /// All inputs were read to their ends.
    Ended,
    /// The run was stopped with `--drain`: windows have closed.
    Drained,
}

/// A node as far as its state is concerned.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodeRecord {
    /// Its name.
    pub name: String,
    /// Its `type`.
    pub kind: String,
    /// `source`, `operator` or `sink`.
    pub role: String,
    /// How many subtasks it had.
    pub parallelism: usize,
    /// The names of its state, sorted.
    pub state: Vec<String>,
    /// A hash of its options and the columns that flow, which is all that checkpoints of before version 0.1.0 have; empty: its state is of another
    /// form than theirs.
    #[serde(default)]
    pub signature: String,
    /// What the meaning of its state depends on.
    #[serde(default)]
    pub meaning: Option<Meaning>,
}

/// A subtask.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TaskRecord {
    /// The node's name.
    pub node: String,
    /// From 0.
    pub subtask: usize,
    /// Whether it was over.
    pub ended: bool,
    /// The node's watermark.
    pub watermark: EventTime,
    /// The ledger.
    pub counts: CountsRecord,
    /// Where the splits of a source stood.
    pub splits: Vec<SplitSnapshot>,
    /// Its state, in the checkpoint's folder.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub parts: Vec<PartRecord>,
    /// State that was not in memory: of a key that is in several of these files the last one counts. Each is named by its path
    /// in the store, since it may be of an older checkpoint.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub pieces: Vec<PartRecord>,
}

/// Where the state of a subtask is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PartRecord {
    /// The file in the checkpoint's folder.
    pub file: String,
    /// Its length.
    pub bytes: u64,
    /// The checksum at its end, hexadecimal.
    pub xxh3: String,
}

impl PartRecord {
    /// The record of a part that is written under this name.
    pub(crate) fn of(file: String, bytes: &[u8]) -> PartRecord {
        let sum = checksum_of_part(bytes).unwrap_or_default();
        PartRecord { file, bytes: bytes.len() as u64, xxh3: format!("{sum:016x}") }
    }

    /// Whether these can be its bytes. That they are not damaged in themselves is for whoever decodes them to find out.
    pub(crate) fn is_of(&self, bytes: &[u8]) -> bool {
        bytes.len() as u64 == self.bytes && checksum_of_part(bytes).is_some_and(|sum| format!("{sum:016x}") == self.xxh3)
    }
}

/// A line of the ledger.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct CountsRecord {
    rows_in: u64,
    rows_out: u64,
    batches_in: u64,
    passed: u64,
    filtered: u64,
    taken: u64,
    late: u64,
    rejected: u64,
    skipped: u64,
    expired: u64,
    partly_late: u64,
}

impl From<TaskCounts> for CountsRecord {
    fn from(counts: TaskCounts) -> Self {
        let TaskCounts { rows_in, rows_out, batches_in, fates } = counts;
        let Fates { passed, filtered, taken, late, rejected, skipped, expired, partly_late } = fates;
        CountsRecord { rows_in, rows_out, batches_in, passed, filtered, taken, late, rejected, skipped, expired, partly_late }
    }
}

impl From<CountsRecord> for TaskCounts {
    fn from(record: CountsRecord) -> Self {
        let CountsRecord { rows_in, rows_out, batches_in, passed, filtered, taken, late, rejected, skipped, expired, partly_late } = record;
        let fates = Fates { passed, filtered, taken, late, rejected, skipped, expired, partly_late };
        TaskCounts { rows_in, rows_out, batches_in, fates }
    }
}

impl Manifest {
    /// As bytes.
    ///
    /// # Errors
    /// Only internal ones.
    pub fn encode(&self) -> Result<Vec<u8>> {
        let json = serde_json::to_string_pretty(self).map_err(Error::internal)?;
        Ok(format!("{MAGIC} {VERSION} xxh3={:016x}\n{json}\n", checksum(&json)).into_bytes())
    }

    /// From bytes.
    ///
    /// # Errors
    /// When they are no manifest, one of a newer version, or damaged.
    pub fn decode(bytes: &[u8]) -> Result<Manifest> {
        let text = std::str::from_utf8(bytes).map_err(|_| foreign())?;
        let (head, json) = text.split_once('\n').ok_or_else(foreign)?;
        let json = json.strip_suffix('\n').unwrap_or(json);
        let mut words = head.split(' ');
        if words.next() != Some(MAGIC) {
            return Err(foreign());
        }
        let version: u32 = words.next().and_then(|word| word.parse().ok()).ok_or_else(foreign)?;
        if version == 0 {
            return Err(foreign());
        }
        if version != VERSION {
            let message = format!("its format is version {version}, and this Millstream reads version {VERSION}");
            let help = if version > VERSION { "use a newer Millstream" } else { "go on from it with the Millstream that wrote it" };
            return Err(Error::new(ErrorKind::State, message).help(help));
        }
        let sum = words.next().and_then(|word| u64::from_str_radix(word.strip_prefix("xxh3=")?, 16).ok()).ok_or_else(foreign)?;
        if checksum(json) != sum {
            return Err(Error::new(ErrorKind::State, "its manifest is damaged: the checksum does not fit"));
        }
        serde_json::from_str(json).map_err(|error| Error::new(ErrorKind::State, format!("its manifest cannot be read: {error}")))
    }

    /// The record of a node.
    pub fn node(&self, name: &str) -> Option<&NodeRecord> {
        self.nodes.iter().find(|node| node.name == name)
    }

    /// Bytes of all parts.
    pub fn state_bytes(&self) -> u64 {
        self.tasks.iter().map(TaskRecord::state_bytes).sum()
    }
}

impl TaskRecord {
    /// Bytes of its state.
    pub fn state_bytes(&self) -> u64 {
        self.parts.iter().chain(&self.pieces).map(|part| part.bytes).sum()
    }
}

fn checksum(json: &str) -> u64 {
    xxh3_64(json.as_bytes())
}

fn foreign() -> Error {
    Error::new(ErrorKind::State, "what stands there is no manifest of a checkpoint")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn manifest() -> Manifest {
        let node = NodeRecord {
            name: "sums".into(),
            kind: "aggregate".into(),
            role: "operator".into(),
            parallelism: 2,
            state: vec![],
            signature: "x".into(),
            meaning: None,
        };
        Manifest {
            topology: "t".into(),
            checkpoint: 7,
            taken_at: 1,
            written_by: "0.1.0".into(),
            key_groups: 128,
            finished: Some(Finished::Ended),
            nodes: vec![node],
            tasks: vec![TaskRecord {
                node: "sums".into(),
                subtask: 1,
                ended: false,
                watermark: EventTime::MIN,
                counts: CountsRecord { taken: 3, ..CountsRecord::default() },
                splits: vec![SplitSnapshot { split: "s".into(), position: None, greatest: EventTime::MIN, ended: true }],
                parts: vec![PartRecord { file: "sums.1.0.state".into(), bytes: 9, xxh3: "0".into() }],
                pieces: Vec::new(),
            }],
        }
    }

    #[test]
    fn a_manifest_comes_back_and_damage_is_found() {
        let bytes = manifest().encode().unwrap();
        assert_eq!(Manifest::decode(&bytes).unwrap(), manifest());
        for place in 0..bytes.len() - 1 {
            let mut damaged = bytes.clone();
            damaged[place] ^= 1;
            assert!(Manifest::decode(&damaged).is_err(), "byte {place}");
            assert!(Manifest::decode(&bytes[..place]).is_err(), "cut at {place}");
        }
    }

    #[test]
    fn another_version_is_named() {
        let text = String::from_utf8(manifest().encode().unwrap()).unwrap();
        let error = |version: &str| Manifest::decode(text.replacen(" 3 ", version, 1).as_bytes()).unwrap_err();
        let (older, newer) = (error(" 2 "), error(" 4 "));
        assert_eq!(newer.message(), "its format is version 4, and this Millstream reads version 3");
        assert_eq!(newer.help_text(), Some("use a newer Millstream"));
        assert_eq!(older.help_text(), Some("go on from it with the Millstream that wrote it"));
    }
}

//! `[runtime]`, `[server]` and the other tables that are not nodes. Their doc comments are the user's documentation.

use std::net::SocketAddr;
use std::num::NonZeroUsize;

use millstream_api::time::{DurationText, SizeText};
use schemars::JsonSchema;
use serde::Deserialize;

/// How the topology is run. All keys are optional.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(default)]
pub struct RuntimeSettings {
    /// Actor threads, and the bound of decoding threads. Default: the machine's cores.
    pub workers: NonZeroUsize,
    /// A batch is sent when it has this many rows …
    pub batch_rows: NonZeroUsize,
    /// … or its first row has waited this long.
    pub linger: DurationText,
    /// Batches not yet processed on each channel between two subtasks, at most …
    pub mailbox: NonZeroUsize,
    /// … and bytes on all channels of one edge of the graph. One batch per channel is always allowed.
    pub in_flight: SizeText,
    /// Keyed state of all nodes. Beyond it the run fails with an error that names the node.
    pub memory: SizeText,
    /// In how many groups keys are divided; the unit in which state moves between subtasks.
    pub key_groups: std::num::NonZeroU16,
}

impl Default for RuntimeSettings {
    fn default() -> Self {
        const fn at_least_one(n: usize) -> NonZeroUsize {
            match NonZeroUsize::new(n) {
                Some(n) => n,
                None => NonZeroUsize::MIN,
            }
        }
        RuntimeSettings {
            workers: std::thread::available_parallelism().unwrap_or(NonZeroUsize::MIN),
            batch_rows: const { at_least_one(8192) },
            linger: DurationText::from_micros(10_000).unwrap_or_default(),
            mailbox: const { at_least_one(8) },
            in_flight: SizeText::mebibytes(64),
            memory: SizeText::mebibytes(2048),
            key_groups: std::num::NonZeroU16::MIN.saturating_add(127),
        }
    }
}

/// Where views are served. Without this table nothing listens.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
pub struct ServerSettings {
    /// Address and port, for example `"127.0.0.1:8080"`. Port 0 takes any free one and says which.
    pub listen: SocketAddr,
}

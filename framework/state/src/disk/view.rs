//! All keys or panes of a subtask at a barrier, while the subtask goes on.

use std::sync::Arc;

use lsm_tree::UserValue;
use millstream_api::error::{Error, Result};
use millstream_api::state::StateEntries;

use super::codec::{self, Codec};
use super::log::{Log, Take};
use super::resident::GROUP_BYTES;
use super::scratch::Scratch;
use super::space::{Space, SpaceSnapshot};
use crate::chains::Chain;
use crate::manifest::PartRecord;
use crate::part::{self, PART_BYTES};

/// Keys on disk as they were at a barrier.
pub struct DiskSnapshot {
    view: SpaceSnapshot,
    codec: Codec,
    /// Where the key group stands in a key.
    group_at: usize,
    log: Option<(Log, u64)>,
    scratch: Arc<Scratch>,
}

impl std::fmt::Debug for DiskSnapshot {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "DiskSnapshot({:?})", self.scratch)
    }
}

impl DiskSnapshot {
    pub(super) fn new(scratch: &Arc<Scratch>, space: &Space, codec: Codec, group_at: usize, log: Option<Log>) -> Result<DiskSnapshot> {
        let log = log.map(|log| {
            let barrier = log.barrier();
            (log, barrier)
        });
        Ok(DiskSnapshot { view: space.snapshot(), codec, group_at, log, scratch: scratch.clone() })
    }

    /// All keys, piece by piece.
    ///
    /// # Errors
    /// When the disk can't be read, or `take` says so.
    pub fn each(&self, take: &mut dyn FnMut(StateEntries) -> Result<()>) -> Result<()> {
        let mut values: Vec<(u16, UserValue)> = Vec::new();
        let mut bytes = 0;
        for found in self.view.iter() {
            let (key, value) = found.map_err(|cause| self.scratch.failed("read state from", &cause))?;
            let group = key
                .get(self.group_at..)
                .and_then(|key| key.first_chunk::<GROUP_BYTES>())
                .ok_or_else(|| Error::internal("a key on disk has no group"))?;
            bytes += value.len();
            values.push((u16::from_be_bytes(*group), value));
            if bytes > PART_BYTES {
                take(self.decoded(&values)?)?;
                values.clear();
                bytes = 0;
            }
        }
        if values.is_empty() { Ok(()) } else { take(self.decoded(&values)?) }
    }

    fn decoded(&self, values: &[(u16, UserValue)]) -> Result<StateEntries> {
        codec::decode(&self.codec, values.iter().map(|(group, value)| (*group, &**value)))
    }

    /// Writes what the last checkpoint does not have. What the checkpoint at this barrier consists of.
    ///
    /// # Errors
    /// When the disk can't be read, or `put` says so.
    pub fn write(&self, put: &mut dyn FnMut(&[u8]) -> Result<PartRecord>) -> Result<Chain> {
        let base = |take: &mut Take<'_>| self.each(&mut |piece| part::each(&piece, usize::MAX, take));
        match &self.log {
            Some((log, barrier)) => log.write(*barrier, &self.scratch, put, &base),
            None => {
                let mut chain = Chain::default();
                base(&mut |bytes| {
                    chain.parts.push(put(bytes)?);
                    Ok(())
                })?;
                Ok(chain)
            }
        }
    }

    /// The checkpoint at this barrier exists.
    pub fn exists(&self, chain: Chain) {
        if let Some((log, _)) = &self.log {
            log.exists(chain);
        }
    }
}

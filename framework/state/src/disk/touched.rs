//! Keys on disk for which rows came since their node last said what has changed: it asks for them at ticks of the clock.
//!
//! The store has them in a tree beside the others, as they lie there, without values. They come back in the order of the store.

use std::sync::Arc;

use millstream_api::error::Result;
use millstream_api::state::StateReader;

use super::cold::DiskState;
use super::due::MOST_KEYS;
use super::resident::{GROUP_BYTES, Resident};
use super::scratch::Scratch;
use super::space::Space;
use super::writer::Writer;

/// The keys of one subtask.
pub(super) struct Touched {
    space: Space,
    /// Those before it have come back.
    from: Vec<u8>,
}

impl Touched {
    /// No keys.
    pub(super) fn new(scratch: &Scratch) -> Result<Touched> {
        Ok(Touched { space: scratch.space()?, from: Vec::new() })
    }

    /// All keys leave memory: adds those of which there is something to say.
    pub(super) fn add(&self, resident: &Resident, scratch: &Scratch) -> Result<()> {
        let touched = resident.touched();
        let mut writer = Writer::new(&self.space, scratch, touched.len())?;
        touched.into_iter().try_for_each(|number| writer.put(resident.key(number), &[]))?;
        writer.finish()
    }

    /// The next keys.
    fn next(&self, scratch: &Arc<Scratch>) -> Result<Vec<Vec<u8>>> {
        let keys = self.space.range(self.from.as_slice()..).take(MOST_KEYS);
        // Copied: as it is found a key holds the block of the file that it is in.
        let keys = keys.map(|found| found.map(|(key, _)| key.to_vec())).collect::<lsm_tree::Result<Vec<_>>>();
        keys.map_err(|cause| scratch.failed("read state from", &cause))
    }

    /// These keys have come back.
    fn pass(&mut self, keys: &[Vec<u8>], scratch: &Scratch) -> Result<()> {
        let mut writer = Writer::new(&self.space, scratch, keys.len())?;
        keys.iter().try_for_each(|key| writer.remove(key))?;
        writer.finish()?;
        if let Some(last) = keys.last() {
            self.from.clone_from(last);
            self.from.push(0);
        }
        Ok(())
    }
}

impl DiskState {
    /// The next keys of which there is something to say.
    pub(super) fn take_touched(&mut self) -> Result<Option<StateReader>> {
        let Some(mut touched) = self.touched.take() else { return Ok(None) };
        let taken = self.next_touched(&mut touched);
        self.touched = Some(touched);
        taken
    }

    fn next_touched(&mut self, touched: &mut Touched) -> Result<Option<StateReader>> {
        // What is in memory is said by now, and so is not any more as it was written.
        self.resident.all_said();
        loop {
            let keys = touched.next(&self.scratch)?;
            if keys.is_empty() {
                touched.from.clear();
                return Ok(None);
            }
            let (taken, back) = self.back(keys.iter().map(|key| &key[GROUP_BYTES..]))?;
            touched.pass(&keys[..taken], &self.scratch)?;
            if back.is_some() {
                return Ok(back);
            }
        }
    }
}

#[cfg(test)]
mod tests;

//! Groups as checkpoints have them.

use arrow::array::Int64Array;
use millstream_api::Result;
use millstream_api::state::{StateReader, StateWriter};
use millstream_api::time::ClockTime;

use super::{GROUPS, Running};

impl Running {
    /// Writes those of these groups of which something is there, and what is to be said at the next tick.
    pub(super) fn save(&mut self, groups: Vec<usize>, state: &mut StateWriter) -> Result<()> {
        let live: Vec<usize> = groups.into_iter().filter(|&group| !self.is_empty(group)).collect();
        let states = self.groups.iter_mut().map(|groups| groups.state_at(&live)).collect::<Result<_>>()?;
        let nothing = Int64Array::from_value(0, live.len());
        let counts: Int64Array = live.iter().map(|&group| Some(self.counts[group])).collect();
        let touched_at = match &self.ttl {
            Some(ttl) => live.iter().map(|&group| Some(ttl.touched_at(group))).collect(),
            None => nothing.clone(),
        };
        if let Some(pending) = &self.pending {
            pending.snapshot(&self.program, &self.interner, state)?;
        }
        self.layout.write(GROUPS, [counts, touched_at, nothing], self.interner.columns(&live)?, states, state)
    }

    /// Adds groups as a snapshot has them.
    pub(super) fn take_back(&mut self, state: &StateReader) -> Result<()> {
        for records in state.get(GROUPS) {
            let rows = self.layout.read(records)?;
            let mut ids = Vec::new();
            self.interner.intern(&rows.keys, rows.len(), &mut ids)?;
            let total = self.interner.total();
            self.counts.resize(total, 0);
            ids.iter().zip(rows.numbers[0].values()).for_each(|(&id, count)| self.counts[id] += count);
            if let Some(ttl) = &mut self.ttl {
                ids.iter().zip(rows.numbers[1].values()).for_each(|(&id, &at)| ttl.touch(id, ClockTime(at)));
            }
            for (groups, state) in self.groups.iter_mut().zip(&rows.states) {
                groups.merge(state, &ids, total)?;
            }
        }
        if let Some(pending) = &mut self.pending {
            pending.restore(&self.program, &mut self.interner, state)?;
            self.counts.resize(self.interner.total(), 0);
        }
        Ok(())
    }
}

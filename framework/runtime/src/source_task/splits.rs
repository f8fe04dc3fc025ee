//! Splits that are too far ahead of others (`time.max_ahead`) are left for a while.
//!
//! The source is told to read on in the others only. What it has under way of a split that it leaves comes nevertheless, and is
//! kept here until the others have come nearer: no more than that, so what is kept is bounded by what a source has under way.

use std::collections::{BTreeMap, VecDeque};

use millstream_api::Result;
use millstream_api::source::{Next, Pauses};

use crate::ahead::Seat;
use crate::event_time::SplitWatermarks;
use crate::feed::Feed;

/// Which splits are left, and what has come of them.
pub(super) struct Ahead {
    /// Of a source that can leave a split.
    pauses: Option<Pauses>,
    /// For each split whether it is left.
    paused: Vec<bool>,
    kept: BTreeMap<u32, VecDeque<Next>>,
    /// The source has said that it has ended.
    ended: bool,
}

impl Ahead {
    pub(super) fn new(splits: usize, pauses: Option<Pauses>) -> Self {
        Ahead { pauses, paused: vec![false; splits], kept: BTreeMap::new(), ended: false }
    }

    /// Whether this split is left.
    pub(super) fn is_paused(&self, split: usize) -> bool {
        self.paused.get(split).is_some_and(|paused| *paused)
    }

    /// Looks which splits are too far ahead, and says whether that leaves nothing to read.
    pub(super) fn must_wait(&mut self, seat: &Seat, watermarks: &SplitWatermarks) -> bool {
        let Some(pauses) = &self.pauses else {
            return seat.look(|limit| limit.zip(watermarks.slowest()).is_some_and(|(limit, own)| own > limit));
        };
        let (mut running, mut ahead) = (0, 0);
        seat.look(|limit| {
            for (split, paused) in self.paused.iter_mut().enumerate() {
                let Some((at, _, false)) = watermarks.standing(split) else { continue };
                let is_ahead = limit.is_some_and(|limit| at > limit);
                running += 1;
                ahead += usize::from(is_ahead);
                if std::mem::replace(paused, is_ahead) != is_ahead {
                    pauses.set(split as u32, is_ahead);
                }
            }
            ahead > 0
        });
        ahead > 0 && ahead == running
    }

    /// What there is of splits that are not left.
    ///
    /// # Errors
    /// What the source fails with.
    pub(super) fn next(&mut self, feed: &mut dyn Feed) -> Result<Next> {
        loop {
            if let Some(kept) = self.take() {
                return Ok(kept);
            }
            if self.ended {
                return Ok(Next::Nothing);
            }
            let next = feed.poll()?;
            match &next {
                Next::Rows(rows) if self.keeps(rows.split) => self.kept.entry(rows.split).or_default().push_back(next),
                Next::SplitEnd(split) if self.kept.contains_key(split) => self.kept.entry(*split).or_default().push_back(next),
                Next::End if !self.kept.is_empty() => self.ended = true,
                _ => return Ok(next),
            }
        }
    }

    fn keeps(&self, split: u32) -> bool {
        self.pauses.is_some() && (self.is_paused(split as usize) || self.kept.contains_key(&split))
    }

    /// The first that was kept of a split which is left no longer.
    fn take(&mut self) -> Option<Next> {
        if self.kept.is_empty() {
            return self.ended.then_some(Next::End);
        }
        let (&split, _) = self.kept.iter().find(|(split, _)| !self.is_paused(**split as usize))?;
        let queue = self.kept.get_mut(&split)?;
        let next = queue.pop_front();
        if queue.is_empty() {
            self.kept.remove(&split);
        }
        next
    }
}

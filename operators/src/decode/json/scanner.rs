//! The learned-layout scanner: lines of one input nearly always have the same keys in the same order.
//!
//! From a line that the general decoder has taken, the keys and the punctuation between the values are learned as plain bytes.
//! On later lines these are compared, not parsed, and each value is read where it must stand. A value that is not of the usual
//! form (an escape, a fraction, null) is read by the general decoder from there; anything else that is unexpected ends the
//! attempt, and the caller hands the line to the general decoder, which also has the reason if it is bad.
//! (After Mison, Li et al., VLDB 2017: speculative parsing, and checked, not trusted.)
//!
//! The scanner must never take a line that the general decoder would not, nor read it differently. It relies on the caller
//! for one thing: the lines are valid UTF-8.

use std::collections::VecDeque;

use super::layout::Layout;
use super::shape::shape_of;
use super::value::Text;
use crate::decode::column::ColumnSet;

/// A merged input has one layout for each kind of line.
const MAX_LAYOUTS: usize = 4;

/// Learning costs as much as decoding a few lines, so an input without regular layouts may do it for one line in eight only.
const LEARNING_COST: usize = 8;
const MAX_CREDIT: usize = 64;

/// Knows the layouts of an input.
#[derive(Debug)]
pub(super) struct Scanner {
    /// The one used last comes first.
    layouts: VecDeque<Layout>,
    /// What may be spent on learning; each line adds one.
    credit: usize,
}

impl Scanner {
    /// Knows nothing yet.
    pub(super) fn new() -> Self {
        Scanner { layouts: VecDeque::with_capacity(MAX_LAYOUTS), credit: MAX_CREDIT }
    }

    /// Adds lines as rows, from the one at byte `at` on, as long as they have layouts that are known, at most `most`. Gives how many
    /// there were and the place after them.
    pub(super) fn scan(&mut self, text: &Text<'_>, at: u32, most: usize, columns: &mut ColumnSet) -> (usize, u32) {
        let (mut lines, mut place) = (0, at);
        // The line at which a layout has ended is not of that layout, which is the first one then.
        let mut tried = 0;
        while lines < most && (place as usize) < text.bytes.len() {
            let mut found = None;
            for index in tried..self.layouts.len() {
                let (read, end) = self.layouts[index].run(text, place, most - lines, columns);
                if read > 0 {
                    found = Some((index, read, end));
                    break;
                }
            }
            let Some((index, read, end)) = found else { break };
            (lines, place, tried) = (lines + read, end, 1);
            if index > 0
                && let Some(used) = self.layouts.remove(index)
            {
                self.layouts.push_front(used);
            }
        }
        self.credit = MAX_CREDIT.min(self.credit + lines);
        (lines, place)
    }

    /// Learns the layout of a line that the general decoder has taken.
    pub(super) fn learn(&mut self, line: &str, columns: &ColumnSet) {
        self.credit = MAX_CREDIT.min(self.credit + 1);
        if self.credit < LEARNING_COST {
            return;
        }
        self.credit -= LEARNING_COST;
        let Ok(Some((shape, texts))) = shape_of(line, columns) else { return };
        let layout = match self.layouts.iter().position(|layout| layout.is_for(&shape)) {
            // It took a text for a part of the line that this line does not have.
            Some(known) => self.layouts.remove(known).map(Layout::loosened),
            None => Some(Layout::new(shape, texts)),
        };
        self.layouts.truncate(MAX_LAYOUTS - 1);
        if let Some(layout) = layout {
            self.layouts.push_front(layout);
        }
    }
}

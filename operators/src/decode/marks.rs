//! Where in a text the bytes are that a scanner must stop at.
//!
//! One pass over a text notes every byte that ends a run of ordinary ones: two of the format's choice, and control characters. A scanner
//! then asks for the next such byte, which is a shift and a count of zeros, instead of searching each string by itself: a search of a few
//! dozen bytes costs more in starting and stopping than in looking. The same pass tells whether the text is ASCII.
//!
//! What the marked bytes mean is the format's affair; nothing here knows lines, quotes or escapes.

use fearless_simd::{Level, Simd, dispatch, prelude::*};

/// The marked bytes of a text.
#[derive(Debug, Default)]
pub(crate) struct Marks {
    /// A bit for each byte, 64 to a word, the first byte in the lowest bit; and one word of none, so that two can always be read.
    words: Vec<u64>,
    ascii: bool,
}

/// Finds the bytes to mark, with the widest registers that the processor has.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Marker {
    first: u8,
    second: u8,
    level: Level,
}

impl Marker {
    /// Marks these two bytes and all below 0x20.
    pub(crate) fn new(first: u8, second: u8) -> Self {
        Marker { first, second, level: Level::new() }
    }
}

impl Marks {
    /// Notes those of another text.
    pub(crate) fn read(&mut self, text: &[u8], marker: &Marker) {
        dispatch!(marker.level, simd => self.read_with(simd, text, marker));
    }

    /// Inlined, so that it is made for each kind of processor.
    #[inline(always)]
    fn read_with<S: Simd>(&mut self, simd: S, text: &[u8], marker: &Marker) {
        let wanted = Wanted::new(simd, marker);
        let mut all = S::u8s::splat(simd, 0);
        let (chunks, rest) = text.as_chunks::<64>();
        // Ordinary bytes, so that none is marked beyond the end.
        let mut last = [b'a'; 64];
        last[..rest.len()].copy_from_slice(rest);
        self.words.clear();
        self.words.resize(chunks.len() + 2, 0);
        for (word, chunk) in self.words.iter_mut().zip(chunks) {
            *word = wanted.among(simd, chunk, &mut all);
        }
        self.words[chunks.len()] = wanted.among(simd, &last, &mut all);
        self.ascii = all.simd_lt(S::u8s::splat(simd, 0x80)).all_true();
    }

    /// Whether the text is ASCII.
    pub(crate) fn is_ascii(&self) -> bool {
        self.ascii
    }

    /// The first marked byte at or after byte `at`.
    #[inline(always)]
    pub(crate) fn next(&self, at: u32) -> Option<u32> {
        let (word, shift) = ((at / 64) as usize, at % 64);
        let two = self.words.get(word..word + 2)?;
        let ahead = ((u128::from(two[1]) << 64) | u128::from(two[0])) >> shift;
        if ahead != 0 {
            return Some(at + ahead.trailing_zeros());
        }
        self.next_from(word + 2)
    }

    #[cold]
    fn next_from(&self, word: usize) -> Option<u32> {
        let (skipped, found) = self.words.get(word..)?.iter().enumerate().find(|(_, word)| **word != 0)?;
        Some(((word + skipped) * 64) as u32 + found.trailing_zeros())
    }
}

/// The bytes to mark, each in all places of a register.
struct Wanted<S: Simd> {
    first: S::u8s,
    second: S::u8s,
    space: S::u8s,
}

impl<S: Simd> Wanted<S> {
    #[inline(always)]
    fn new(simd: S, marker: &Marker) -> Self {
        let [first, second, space] = [marker.first, marker.second, 0x20].map(|byte| S::u8s::splat(simd, byte));
        Wanted { first, second, space }
    }

    /// A bit for each byte; all bits that are set in a byte are so in `all` then.
    #[inline(always)]
    fn among(&self, simd: S, chunk: &[u8; 64], all: &mut S::u8s) -> u64 {
        let mut word = 0;
        let mut at = 0;
        while at < 64 {
            let bytes = S::u8s::from_slice(simd, &chunk[at..at + S::u8s::LEN]);
            *all |= bytes;
            // Masks are joined as numbers: joined as registers they become bytes one by one on some processors.
            let found = [bytes.simd_eq(self.first), bytes.simd_eq(self.second), bytes.simd_lt(self.space)];
            word |= found.iter().fold(0, |bits, mask| bits | mask.to_bitmask()) << at;
            at += S::u8s::LEN;
        }
        word
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn every_marked_byte_is_found_and_no_other(
            text in prop::collection::vec(prop_oneof![8 => Just(b'a'), 1 => any::<u8>(), 1 => Just(b'"')], 0..400),
            start in 0u32..420,
        ) {
            let mut marks = Marks::default();
            marks.read(&[b'"'; 100], &Marker::new(b'"', b'\\'));
            marks.read(&text, &Marker::new(b'"', b'\\'));
            let expected = text.iter().enumerate().skip(start as usize).find(|(_, byte)| **byte < 0x20 || matches!(byte, b'"' | b'\\'));
            prop_assert_eq!(marks.next(start), expected.map(|(at, _)| at as u32));
            prop_assert_eq!(marks.is_ascii(), text.is_ascii());
        }
    }
}

//! Bytes that must stand at a place: what lines have between their values.

/// Such bytes, made to be compared in two steps of sixteen.
#[derive(Debug)]
pub(super) struct Fixed {
    /// The first sixteen, and a mask with ones for those that there are.
    start: u128,
    mask: u128,
    length: u32,
    /// Of more than sixteen the last sixteen, and those between, if there are any.
    end: u128,
    middle: Box<[u8]>,
}

impl Fixed {
    pub(super) fn new(bytes: &[u8]) -> Self {
        let (first, rest) = bytes.split_at(bytes.len().min(16));
        let (mut start, mut mask) = ([0; 16], [0; 16]);
        start[..first.len()].copy_from_slice(first);
        mask[..first.len()].fill(0xff);
        let (start, mask) = (u128::from_le_bytes(start), u128::from_le_bytes(mask));
        let end = bytes.last_chunk().map_or(0, |end| u128::from_le_bytes(*end));
        let middle = rest.split_at(rest.len().saturating_sub(16)).0.into();
        Fixed { start, mask, length: bytes.len() as u32, end, middle }
    }

    /// The place after them, if they stand at byte `at`.
    #[inline(always)]
    pub(super) fn after(&self, bytes: &[u8], at: u32) -> Option<u32> {
        let start = at as usize;
        let Some(found) = sixteen(bytes, start) else { return self.after_near_end(bytes, at) };
        if (found ^ self.start) & self.mask != 0 {
            return None;
        }
        let end = at + self.length;
        (self.length <= 16 || self.rest_is_at(bytes, end as usize)).then_some(end)
    }

    /// Whether those behind the first sixteen end at byte `end`.
    #[inline(always)]
    fn rest_is_at(&self, bytes: &[u8], end: usize) -> bool {
        sixteen(bytes, end - 16) == Some(self.end) && (self.middle.is_empty() || self.middle_is_before(bytes, end - 16))
    }

    #[inline(never)]
    fn middle_is_before(&self, bytes: &[u8], end: usize) -> bool {
        bytes.get(..end).is_some_and(|found| found.ends_with(&self.middle))
    }

    /// The same where there are no sixteen bytes left.
    #[cold]
    fn after_near_end(&self, bytes: &[u8], at: u32) -> Option<u32> {
        let expected = self.start.to_le_bytes();
        let same = bytes.get(at as usize..)?.starts_with(expected.get(..self.length as usize)?);
        same.then_some(at + self.length)
    }
}

#[inline(always)]
fn sixteen(bytes: &[u8], at: usize) -> Option<u128> {
    bytes.get(at..at + 16)?.first_chunk().map(|found| u128::from_le_bytes(*found))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn they_are_where_the_standard_library_finds_them(
            expected in "[ab]{0,60}",
            before in "[ab]{0,3}",
            changed in prop::option::of(0usize..60),
            after in "[ab]{0,20}",
        ) {
            let mut text = format!("{before}{expected}{after}").into_bytes();
            if let Some(byte) = changed.and_then(|at| text.get_mut(at)) {
                *byte = b'c';
            }
            let found = text[before.len()..].starts_with(expected.as_bytes()).then_some((before.len() + expected.len()) as u32);
            prop_assert_eq!(Fixed::new(expected.as_bytes()).after(&text, before.len() as u32), found);
        }
    }
}

//! Integers out of bytes, eight digits at a time.
//!
//! A step per digit costs more than all the rest of a line, since how many there are can't be predicted.

/// Reads an integer without a sign, of at most 15 digits, at byte `at`, and gives the place after it; `None` for any other, and where
/// sixteen bytes can't be read at once. What comes next is not looked at: whoever calls knows which byte must, and a fraction or an exponent
/// is none that may.
#[inline(always)]
pub(crate) fn integer(bytes: &[u8], at: u32) -> Option<(i64, u32)> {
    let start = at as usize;
    let chunk = bytes.get(start..start + 16)?;
    let (low, high) = chunk.split_at(8);
    let digits = digits_of(low);
    let others = not_digits(digits);
    if others != 0 {
        let count = others.trailing_zeros() / 8;
        if count == 0 || (digits as u8 == 0 && count > 1) {
            return None;
        }
        return Some((joined(digits << (64 - 8 * count)) as i64, at + count));
    }
    let more = digits_of(high);
    let others = not_digits(more);
    if others == 0 || digits as u8 == 0 {
        return None;
    }
    let count = others.trailing_zeros() / 8;
    let value = joined(digits) * POWERS_OF_TEN[(count % 8) as usize] + joined(more.checked_shl(64 - 8 * count).unwrap_or(0));
    Some((value as i64, at + 8 + count))
}

/// The same with a sign or without, and wherever it stands.
pub(crate) fn signed_integer(bytes: &[u8], at: u32) -> Option<(i64, u32)> {
    let negative = bytes.get(at as usize) == Some(&b'-');
    let start = at + u32::from(negative);
    let digits = bytes.get(start as usize..)?;
    let count = digits.iter().take(16).take_while(|byte| byte.is_ascii_digit()).count();
    if !(1..16).contains(&count) || (count > 1 && digits[0] == b'0') {
        return None;
    }
    let value = digits[..count].iter().fold(0, |value, digit| value * 10 + i64::from(digit - b'0'));
    Some((if negative { -value } else { value }, start + count as u32))
}

/// The place after the digits at byte `at`, if they are an integer as JSON has them, of at most 15 digits and without a sign, and if
/// sixteen bytes can be read at once. What comes next is not looked at.
#[inline(always)]
pub(crate) fn integer_end(bytes: &[u8], at: u32) -> Option<u32> {
    let start = at as usize;
    let (low, high) = bytes.get(start..start + 16)?.split_at(8);
    let digits = digits_of(low);
    let (others, before) = match not_digits(digits) {
        0 => (not_digits(digits_of(high)), 8),
        others => (others, 0),
    };
    let count = before + others.trailing_zeros() / 8;
    ((1..16).contains(&count) && (digits as u8 != 0 || count == 1)).then_some(at + count)
}

/// The place after the number at byte `at`, if it has no exponent and not too many digits; it is then one as JSON has them.
#[inline(always)]
pub(crate) fn number_end(bytes: &[u8], at: u32) -> Option<u32> {
    let byte = |at: u32| bytes.get(at as usize).copied();
    let (_, mut end) = integer(bytes, at + u32::from(byte(at) == Some(b'-')))?;
    if byte(end) == Some(b'.') {
        let start = end as usize + 1;
        let count = not_digits(digits_of(bytes.get(start..start + 8)?)).trailing_zeros() / 8;
        if count == 0 {
            return None;
        }
        end += 1 + count;
    }
    (!matches!(byte(end), Some(b'0'..=b'9' | b'.' | b'e' | b'E'))).then_some(end)
}

const POWERS_OF_TEN: [u64; 8] = [1, 10, 100, 1_000, 10_000, 100_000, 1_000_000, 10_000_000];

/// Eight bytes, of which digits have become their values.
#[inline(always)]
fn digits_of(bytes: &[u8]) -> u64 {
    let word = bytes.first_chunk::<8>().map_or(0, |chunk| u64::from_le_bytes(*chunk));
    word ^ 0x3030_3030_3030_3030
}

/// The top bit of each byte that is no digit: one of more than 9 gets it by the addition, or has it already. (Bytes above the first
/// that is none may be wrong by a carry.)
#[inline(always)]
fn not_digits(digits: u64) -> u64 {
    (digits.wrapping_add(0x7676_7676_7676_7676) | digits) & 0x8080_8080_8080_8080
}

/// The number of which these are the digits, the last one in the top byte: pairs, fours and eights are joined.
#[inline(always)]
fn joined(digits: u64) -> u64 {
    const MASK: u64 = 0x0000_00FF_0000_00FF;
    let pairs = digits.wrapping_mul(10).wrapping_add(digits >> 8);
    let upper = (pairs & MASK).wrapping_mul(0x000F_4240_0000_0064);
    let lower = ((pairs >> 16) & MASK).wrapping_mul(0x0000_2710_0000_0001);
    upper.wrapping_add(lower) >> 32
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn integers_end_where_they_must() {
        let long = |text: &str| format!("{text},                 ");
        assert_eq!(integer(long("12").as_bytes(), 0), Some((12, 2)));
        assert_eq!(integer(long("x0").as_bytes(), 1), Some((0, 2)));
        assert_eq!(integer(long("12345678").as_bytes(), 0), Some((12_345_678, 8)));
        assert_eq!(signed_integer(b"-123456789012345", 0), Some((-123_456_789_012_345, 16)));
        assert_eq!(signed_integer(b"x-0}", 1), Some((0, 3)));
        for unusual in ["", "-", "01", "-007", "0123456789", "1234567890123456", "x", "/", ":", "é"] {
            assert_eq!(integer(long(unusual).as_bytes(), 0), None, "{unusual}");
            assert_eq!(signed_integer(unusual.as_bytes(), 0), None, "{unusual}");
        }
        assert_eq!((integer(b"1", 2), signed_integer(b"1", 2)), (None, None));
    }

    proptest! {
        #[test]
        fn numbers_end_where_serde_json_says(text in "-?[0-9]{0,12}(\\.[0-9]{0,9})?([eE.][0-9]?)?", next in prop::sample::select(vec![",", "}", " ", "]"])) {
            let padded = format!("{text}{next}                 ");
            if let Some(end) = number_end(padded.as_bytes(), 0) {
                prop_assert_eq!(end as usize, text.len());
                prop_assert!(serde_json::from_str::<serde_json::Number>(&text).is_ok());
            } else {
                let fraction = text.split_once('.').map_or(0, |(_, fraction)| fraction.len());
                prop_assert!(fraction > 7 || text.contains(['e', 'E']) || serde_json::from_str::<serde_json::Number>(&text).is_err());
            }
        }

        #[test]
        fn integers_are_what_the_standard_library_says(text in "-?[0-9]{0,18}([/:,ap]|é)?[0-9]?[ ]{0,16}") {
            let end = text.char_indices().find(|(at, c)| !(c.is_ascii_digit() || (*at == 0 && *c == '-'))).map_or(text.len(), |(at, _)| at);
            let (quick, signed) = (integer(text.as_bytes(), 0), signed_integer(text.as_bytes(), 0));
            if let Some((value, found)) = signed {
                prop_assert_eq!((Ok(value), found as usize), (text[..end].parse(), end));
                prop_assert_eq!(integer_end(text.as_bytes(), 0), quick.map(|(_, end)| end));
                prop_assert!(quick.is_none_or(|quick| Some(quick) == signed));
                prop_assert!(quick.is_some() || text.starts_with('-') || text.len() < 16);
            } else {
                let digits = text[..end].trim_start_matches('-');
                prop_assert!(digits.is_empty() || digits.len() > 15 || (digits.len() > 1 && digits.starts_with('0')));
                prop_assert_eq!((quick, integer_end(text.as_bytes(), 0)), (None, None));
            }
        }
    }
}

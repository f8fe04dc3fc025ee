//! Numbers of twice the precision of a double, as the unevaluated sum of two: just what sums of doubles need.
//!
//! The error-free sum is Knuth's (The Art of Computer Programming, vol. 2, 4.2.2, theorem B), the shorter one for ordered
//! operands Dekker's ("A floating-point technique for extending the available precision", 1971); sums of double-doubles
//! follow Joldes, Muller and Popescu, "Tight and rigorous error bounds for basic building blocks of double-word
//! arithmetic" (2017), algorithms 4 and 6. Operands must be finite and far from overflow.

/// `high + low`, where `low` is at most half a unit in the last place of `high`.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Double {
    pub(super) high: f64,
    pub(super) low: f64,
}

impl Double {
    /// This and a double more.
    #[inline]
    pub(super) fn plus(self, value: f64) -> Double {
        let (sum, error) = two_sum(self.high, value);
        fast_two_sum(sum, error + self.low)
    }

    /// This and another.
    pub(super) fn plus_double(self, other: Double) -> Double {
        let (high, high_error) = two_sum(self.high, other.high);
        let (low, low_error) = two_sum(self.low, other.low);
        let sum = fast_two_sum(high, high_error + low);
        fast_two_sum(sum.high, low_error + sum.low)
    }

    /// Times a power of two.
    pub(super) fn scaled(self, power_of_two: f64) -> Double {
        Double { high: self.high * power_of_two, low: self.low * power_of_two }
    }

    /// Divided by a count, rounded to a double once.
    pub(super) fn divided(self, count: i64) -> f64 {
        let divisor = count as f64;
        let quotient = self.high / divisor;
        let rest = (-quotient).mul_add(divisor, self.high) + self.low;
        quotient + rest / divisor
    }

    /// Rounded to a double. `+ 0.0`: an empty sum and a sum of `-0.0` are `0.0`.
    pub(super) fn rounded(self) -> f64 {
        self.high + self.low + 0.0
    }
}

#[inline]
fn two_sum(a: f64, b: f64) -> (f64, f64) {
    let sum = a + b;
    let b_part = sum - a;
    (sum, (a - (sum - b_part)) + (b - b_part))
}

/// For `|a| >= |b|`, or `a` zero.
#[inline]
fn fast_two_sum(a: f64, b: f64) -> Double {
    let high = a + b;
    Double { high, low: b - (high - a) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keeps_what_a_double_would_lose() {
        let sum = Double::default().plus(1e16).plus(1.0).plus(-1e16);
        assert_eq!(sum.rounded(), 1.0);
        let parts = Double::default().plus(1e16).plus_double(Double::default().plus(1.0).plus(-1e16));
        assert_eq!(parts.rounded(), 1.0);
    }

    #[test]
    fn divides_with_one_rounding() {
        assert_eq!(Double::default().plus(0.1).plus(0.2).divided(3).to_bits(), 0.1f64.to_bits());
        assert_eq!(Double::default().plus(1.0).divided(3), 1.0 / 3.0);
    }
}

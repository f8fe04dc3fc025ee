//! When a request that failed is sent again: pauses that double, with chance in them so that many senders do not come at once.
//!
//! "Equal jitter" after Marc Brooker, Exponential Backoff And Jitter (AWS Architecture Blog, 2015): half of each pause is fixed, the
//! other half is drawn.

use std::time::Duration;

/// The longest pause that a service can ask for.
const LONGEST_ASKED: Duration = Duration::from_secs(600);

/// How long it is tried.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Patience {
    /// How often a request is sent, at most.
    pub(super) attempts: usize,
    /// The first pause; it doubles …
    pub(super) first: Duration,
    /// … up to this.
    pub(super) longest: Duration,
}

/// The attempts of one request.
pub(super) struct Retries {
    patience: Patience,
    failed: usize,
    /// Where chance stands (SplitMix64 by Steele, Lea and Flood, 2014).
    chance: u64,
}

impl Retries {
    /// None has failed yet. `seed` is what chance comes from.
    pub(super) fn new(patience: Patience, seed: u64) -> Self {
        Retries { patience, failed: 0, chance: seed }
    }

    /// How often it has failed.
    pub(super) fn failed(&self) -> usize {
        self.failed
    }

    /// An attempt has failed: how long to wait before the next one, `asked` or longer. `None`: it was the last.
    pub(super) fn pause(&mut self, asked: Option<Duration>) -> Option<Duration> {
        self.failed += 1;
        if self.failed >= self.patience.attempts {
            return None;
        }
        let doubled = 1_u32.checked_shl(self.failed as u32 - 1).and_then(|times| self.patience.first.checked_mul(times));
        let whole = doubled.unwrap_or(self.patience.longest).min(self.patience.longest);
        let pause = whole / 2 + (whole / 2).mul_f64(self.draw());
        Some(pause.max(asked.unwrap_or_default().min(LONGEST_ASKED)))
    }

    /// A number in 0..1.
    fn draw(&mut self) -> f64 {
        self.chance = self.chance.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.chance;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^= mixed >> 31;
        (mixed >> 11) as f64 / (1_u64 << 53) as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PATIENCE: Patience = Patience { attempts: 40, first: Duration::from_millis(100), longest: Duration::from_secs(2) };

    #[test]
    fn pauses_double_up_to_the_longest_and_end() {
        for seed in 0..200 {
            let mut retries = Retries::new(PATIENCE, seed);
            for whole_ms in [100, 200, 400, 800, 1600].into_iter().chain(std::iter::repeat_n(2000, 34)) {
                let pause = retries.pause(None).unwrap().as_micros();
                assert!((whole_ms * 500..=whole_ms * 1000).contains(&pause), "{pause} of {whole_ms} ms");
            }
            assert_eq!((retries.pause(None), retries.failed()), (None, 40));
        }
    }

    #[test]
    fn a_service_may_ask_for_more_but_not_for_ever() {
        let mut retries = Retries::new(PATIENCE, 1);
        assert_eq!(retries.pause(Some(Duration::from_secs(7))), Some(Duration::from_secs(7)));
        assert_eq!(retries.pause(Some(Duration::from_secs(1_000_000))), Some(LONGEST_ASKED));
        assert!(retries.pause(Some(Duration::ZERO)).unwrap() >= Duration::from_millis(200));
    }

    #[test]
    fn chance_differs_by_seed() {
        let pauses = |seed| Retries::new(PATIENCE, seed).pause(None);
        assert!((1..50).any(|seed| pauses(seed) != pauses(0)));
    }
}

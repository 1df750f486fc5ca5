//! When something that failed is tried again.

use crate::random::SplitMix64;
use crate::time::{Instant, US_PER_MS, US_PER_SECOND};

/// How often and when an item is tried again.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct RetryPolicy {
    /// Attempts after the first, at most. 3.
    pub retries_max: u32,
    /// How long to wait before the first of them, in microseconds. 50 ms.
    pub delay_us: u64,
    /// How the waits grow. Not at all.
    pub backoff: Backoff,
    /// The share of each wait that is random, from 0 to 1: a wait of `w` becomes something between
    /// `w * (1 - jitter)` and `w`. 0.
    pub jitter: f64,
}

impl RetryPolicy {
    /// Three retries, 50 ms apart.
    pub const DEFAULT: Self =
        Self { retries_max: 3, delay_us: 50 * US_PER_MS, backoff: Backoff::Fixed, jitter: 0.0 };

    /// No retry: what should be tried again has failed.
    pub const NEVER: Self = Self { retries_max: 0, ..Self::DEFAULT };

    /// The same policy with waits that double, up to `delay_us_max`, and are random by half.
    #[must_use]
    pub const fn exponential(self, delay_us_max: u64) -> Self {
        Self { backoff: Backoff::Exponential { delay_us_max }, jitter: 0.5, ..self }
    }

    /// How long to wait after attempt number `attempt`, the first being 0, in microseconds; `None`
    /// where that was the last.
    #[must_use]
    pub fn delay_us(&self, attempt: u32, random: &mut SplitMix64) -> Option<u64> {
        if attempt >= self.retries_max {
            return None;
        }
        let delay_us = match self.backoff {
            Backoff::Fixed => self.delay_us,
            Backoff::Exponential { delay_us_max } => {
                let factor = 1_u64.checked_shl(attempt).unwrap_or(u64::MAX);
                self.delay_us.saturating_mul(factor).min(delay_us_max)
            }
        };
        // A random part of more than years is no use; the limit keeps the product in range.
        let random_us =
            (delay_us.min(US_PER_SECOND << 24) as f64 * self.jitter.clamp(0.0, 1.0)) as u64;
        Some(delay_us - random.below(random_us.saturating_add(1)).min(delay_us))
    }

    /// When to try again after attempt number `attempt`, which ended at `now`; `None` where there
    /// is none left, or where it would not be before `deadline`.
    #[must_use]
    pub fn retry_at(
        &self,
        attempt: u32,
        now: Instant,
        deadline: Instant,
        random: &mut SplitMix64,
    ) -> Option<Instant> {
        let at = now.plus_us(self.delay_us(attempt, random)?);
        (at < deadline).then_some(at)
    }
}

impl Default for RetryPolicy {
    fn default() -> Self {
        Self::DEFAULT
    }
}

/// How waits grow from one retry to the next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Backoff {
    /// They are all the same.
    Fixed,
    /// Each is twice the one before.
    Exponential {
        /// Longest wait, in microseconds.
        delay_us_max: u64,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fixed_delays_end_after_the_last_retry() {
        let mut random = SplitMix64::new(1);
        let delay = |attempt| RetryPolicy::DEFAULT.delay_us(attempt, &mut SplitMix64::new(1));
        assert_eq!([0, 1, 2, 3].map(delay), [Some(50_000), Some(50_000), Some(50_000), None]);
        assert_eq!(RetryPolicy::NEVER.delay_us(0, &mut random), None);
    }

    #[test]
    fn exponential_delays_double_to_their_limit_and_jitter_only_shortens() {
        let mut policy = RetryPolicy::DEFAULT.exponential(300_000);
        policy.retries_max = 200;
        let mut random = SplitMix64::new(2);
        for (attempt, full) in
            [(0, 50_000), (1, 100_000), (2, 200_000), (3, 300_000), (150, 300_000)]
        {
            let mut seen = [u64::MAX, 0];
            for _ in 0..1_000 {
                let delay = policy.delay_us(attempt, &mut random).expect("far from the last");
                seen = [seen[0].min(delay), seen[1].max(delay)];
            }
            assert!(seen[0] >= full / 2 && seen[1] <= full, "{seen:?} for {full}");
            assert!(seen[0] < full * 6 / 10 && seen[1] > full * 9 / 10, "spread: {seen:?}");
        }
    }

    #[test]
    fn huge_numbers_saturate() {
        let policy = RetryPolicy {
            retries_max: u32::MAX,
            delay_us: u64::MAX,
            backoff: Backoff::Exponential { delay_us_max: u64::MAX },
            jitter: f64::INFINITY,
        };
        let mut random = SplitMix64::new(3);
        for attempt in [0, 63, 64, u32::MAX - 1] {
            assert!(policy.delay_us(attempt, &mut random).is_some());
        }
    }

    #[test]
    fn a_retry_stays_before_the_deadline() {
        let mut random = SplitMix64::new(4);
        let now = Instant::from_ms(1_000);
        let mut at = |deadline_ms| {
            RetryPolicy::DEFAULT.retry_at(0, now, Instant::from_ms(deadline_ms), &mut random)
        };
        assert_eq!(at(1_051), Some(Instant::from_ms(1_050)));
        assert_eq!(at(1_050), None);
        assert_eq!(at(900), None);
    }
}

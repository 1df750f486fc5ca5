//! Whether compressing pays at all, learned from what it did so far.

/// Stops compressing for a while where bodies hardly shrink, and tries again later.
///
/// It judges groups of attempts: where a group saved less than a tenth of its bytes, the next
/// bodies are sent plain without an attempt, 64 of them at first. Then one attempt decides: if it
/// pays, all is as in the beginning; else twice as many bodies are sent plain, 4,096 at most. So
/// where compression never pays, its cost goes to one attempt in 4,096 bodies; where it pays, no
/// body is affected.
///
/// ```
/// use turbopump_core::compress::AdaptiveCompression;
///
/// let mut adaptive = AdaptiveCompression::new();
/// let mut attempts = 0;
/// for _ in 0..10_000 {
///     if adaptive.should_try() {
///         attempts += 1;
///         adaptive.observe(1_024, 1_030);
///     }
/// }
/// assert_eq!(attempts, 8 + 7);
/// ```
#[derive(Clone, Debug)]
pub struct AdaptiveCompression {
    /// Of the group that is being judged.
    attempts: u32,
    plain_bytes: u64,
    wire_bytes: u64,
    /// Bodies that are still to be sent plain.
    skip: u32,
    /// How many were to be sent plain last; 0 while compression pays.
    skipped_last: u32,
}

impl AdaptiveCompression {
    /// Nothing learned yet: tries.
    #[must_use]
    pub const fn new() -> Self {
        Self { attempts: 0, plain_bytes: 0, wire_bytes: 0, skip: 0, skipped_last: 0 }
    }

    /// Whether to compress the next body. Each call stands for one body.
    #[must_use]
    pub const fn should_try(&mut self) -> bool {
        if self.skip == 0 {
            return true;
        }
        self.skip = self.skip.saturating_sub(1);
        false
    }

    /// True where bodies are sent plain at the moment.
    #[must_use]
    pub const fn is_paused(&self) -> bool {
        self.skip > 0
    }

    /// An attempt has made `wire_bytes` of `plain_bytes`; the latter for both where the body does
    /// not shrink.
    pub const fn observe(&mut self, plain_bytes: usize, wire_bytes: usize) {
        self.attempts = self.attempts.saturating_add(1);
        self.plain_bytes = self.plain_bytes.saturating_add(plain_bytes as u64);
        self.wire_bytes = self.wire_bytes.saturating_add(wire_bytes as u64);
        let group = if self.skipped_last == 0 { GROUP } else { 1 };
        if self.attempts < group {
            return;
        }
        let saved = self.plain_bytes.saturating_sub(self.wire_bytes);
        let pays = saved >= self.plain_bytes / 10 && saved > 0;
        self.skipped_last = match (pays, self.skipped_last) {
            (true, _) => 0,
            (false, 0) => SKIP_MIN,
            (false, last) if last >= SKIP_MAX / 2 => SKIP_MAX,
            (false, last) => last.saturating_mul(2),
        };
        self.skip = self.skipped_last;
        (self.attempts, self.plain_bytes, self.wire_bytes) = (0, 0, 0);
    }
}

impl Default for AdaptiveCompression {
    fn default() -> Self {
        Self::new()
    }
}

/// Attempts that are judged together.
const GROUP: u32 = 8;
const SKIP_MIN: u32 = 64;
const SKIP_MAX: u32 = 4_096;

#[cfg(test)]
mod tests {
    use super::{AdaptiveCompression, GROUP, SKIP_MAX, SKIP_MIN};

    #[test]
    fn what_pays_is_never_skipped() {
        let mut adaptive = AdaptiveCompression::new();
        for body in 0..1_000 {
            assert!(adaptive.should_try(), "body {body}");
            // Every other one does not shrink.
            adaptive.observe(1_000, if body % 2 == 0 { 1_000 } else { 500 });
        }
    }

    #[test]
    fn pauses_double_and_one_success_ends_them() {
        let mut adaptive = AdaptiveCompression::new();
        for _ in 0..GROUP {
            assert!(!adaptive.is_paused() && adaptive.should_try());
            adaptive.observe(1_000, 950);
        }
        let mut pause = SKIP_MIN;
        for _ in 0..9 {
            for _ in 0..pause {
                assert!(adaptive.is_paused() && !adaptive.should_try());
            }
            assert!(adaptive.should_try());
            adaptive.observe(1_000, 1_001);
            pause = SKIP_MAX.min(pause.saturating_mul(2));
        }
        assert_eq!(pause, SKIP_MAX);
        while !adaptive.should_try() {}
        adaptive.observe(1_000, 100);
        assert!(!adaptive.is_paused());
    }

    #[test]
    fn empty_bodies_do_not_pay() {
        let mut adaptive = AdaptiveCompression::new();
        for _ in 0..GROUP {
            assert!(adaptive.should_try());
            adaptive.observe(0, 0);
        }
        assert!(adaptive.is_paused());
    }
}

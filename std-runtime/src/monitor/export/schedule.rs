//! When to export: a machine without a clock.

use core::time::Duration;

use turbopump_core::time::Instant;

/// At the first collection, and then each time that the interval has passed.
#[derive(Debug)]
pub(super) struct Schedule {
    every_us: u64,
    next: Instant,
}

impl Schedule {
    pub(super) fn new(every: Duration) -> Self {
        let every_us = u64::try_from(every.as_micros()).unwrap_or(u64::MAX);
        Self { every_us, next: Instant::ZERO }
    }

    pub(super) fn is_due(&mut self, now: Instant) -> bool {
        if now < self.next {
            return false;
        }
        // A collection that comes a little early is not left out for that.
        self.next = now.plus_us(self.every_us - self.every_us / 20);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exports_keep_to_the_interval_however_often_is_collected() {
        let mut schedule = Schedule::new(Duration::from_secs(60));
        let times = (0..=600).filter(|s| schedule.is_due(Instant::from_us(s * 1_000_000)));
        assert_eq!(times.count(), 11);
        let mut schedule = Schedule::new(Duration::from_secs(10));
        let late_and_early = [0, 10_100_000, 19_900_000, 30_000_000];
        assert!(late_and_early.iter().all(|us| schedule.is_due(Instant::from_us(*us))));
    }
}

//! What is still to be posted, and when: a machine without IO.

use alloc::collections::VecDeque;
use alloc::string::String;

use turbopump_core::random::SplitMix64;
use turbopump_core::time::Instant;

/// Notices in the order of their coming, each delivered before the next.
#[derive(Debug)]
pub(super) struct Delivery {
    queue: VecDeque<Notice>,
    /// Of the first one.
    attempts: u32,
    not_before: Instant,
    /// Whether somebody is at the first one.
    is_out: bool,
    random: SplitMix64,
    pub(super) counts: Counts,
}

#[derive(Debug)]
struct Notice {
    fingerprint: u64,
    body: String,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Counts {
    pub(super) delivered: u64,
    pub(super) retried: u64,
    pub(super) dropped: u64,
}

impl Delivery {
    pub(super) fn new(seed: u64) -> Self {
        Self {
            queue: VecDeque::with_capacity(NOTICES_MAX),
            attempts: 0,
            not_before: Instant::ZERO,
            is_out: false,
            random: SplitMix64::new(seed),
            counts: Counts::default(),
        }
    }

    /// Takes a notice in. The oldest that nobody is at is dropped where there are too many.
    pub(super) fn push(&mut self, fingerprint: u64, body: String) {
        if self.queue.len() >= NOTICES_MAX {
            self.counts.dropped += 1;
            if self.queue.remove(usize::from(self.is_out)).is_some() && !self.is_out {
                self.attempts = 0;
            }
        }
        // The same thing said twice in a row is said once.
        let said = self
            .queue
            .back()
            .is_some_and(|last| last.fingerprint == fingerprint && last.body == body);
        if !said {
            self.queue.push_back(Notice { fingerprint, body });
        }
    }

    /// The next notice to deliver; its outcome has to be said.
    pub(super) fn poll(&mut self, now: Instant) -> Option<&str> {
        if self.is_out || now < self.not_before || self.queue.is_empty() {
            return None;
        }
        self.is_out = true;
        self.queue.front().map(|notice| notice.body.as_str())
    }

    /// When to poll again, where there is something to wait for.
    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        (!self.is_out && !self.queue.is_empty()).then_some(self.not_before)
    }

    pub(super) fn succeeded(&mut self) {
        self.counts.delivered += 1;
        self.next();
    }

    /// It will be tried again, unless that is hopeless.
    pub(super) fn failed(&mut self, now: Instant, is_final: bool) {
        self.attempts += 1;
        if is_final || self.attempts >= ATTEMPTS_MAX {
            self.counts.dropped += 1;
            self.next();
            return;
        }
        self.is_out = false;
        self.counts.retried += 1;
        let us = (BACKOFF_US_MIN << (self.attempts - 1).min(16)).min(BACKOFF_US_MAX);
        self.not_before = now.plus_us(us / 2 + self.random.below(us / 2 + 1));
    }

    fn next(&mut self) {
        self.is_out = false;
        self.attempts = 0;
        self.not_before = Instant::ZERO;
        self.queue.pop_front();
    }

    pub(super) fn waiting(&self) -> usize {
        self.queue.len()
    }
}

/// More than these means that nobody listens.
pub(super) const NOTICES_MAX: usize = 256;
/// About a quarter of an hour.
const ATTEMPTS_MAX: u32 = 20;
const BACKOFF_US_MIN: u64 = 500_000;
const BACKOFF_US_MAX: u64 = 60_000_000;

#[cfg(test)]
mod tests {
    use alloc::format;

    use super::*;

    #[test]
    fn notices_are_delivered_in_order_and_tried_again_with_growing_pauses() {
        let mut delivery = Delivery::new(7);
        delivery.push(1, "firing".into());
        delivery.push(1, "firing".into());
        delivery.push(1, "resolved".into());
        assert_eq!(delivery.waiting(), 2, "said once");
        let mut now = Instant::ZERO;
        for attempt in 0..5 {
            assert_eq!(delivery.poll(now), Some("firing"), "{attempt}");
            assert_eq!(delivery.poll(now), None, "it is out");
            assert_eq!(delivery.poll_timeout(), None, "it is out");
            delivery.failed(now, false);
            let pause_us = delivery.poll_timeout().unwrap().us_since(now);
            let us = BACKOFF_US_MIN << attempt;
            assert!((us / 2..=us).contains(&pause_us), "{attempt}: {pause_us}");
            assert_eq!(delivery.poll(now), None, "not yet");
            now = now.plus_us(pause_us);
        }
        assert_eq!(delivery.poll(now), Some("firing"));
        delivery.succeeded();
        assert_eq!(delivery.poll(now), Some("resolved"), "at once");
        delivery.succeeded();
        assert_eq!(delivery.poll(now), None);
        assert_eq!(delivery.poll_timeout(), None);
        assert_eq!(delivery.counts, Counts { delivered: 2, retried: 5, dropped: 0 });
    }

    #[test]
    fn what_is_hopeless_is_dropped_and_counted() {
        let mut delivery = Delivery::new(7);
        delivery.push(1, "refused".into());
        delivery.push(2, "never heard".into());
        assert!(delivery.poll(Instant::ZERO).is_some());
        delivery.failed(Instant::ZERO, true);
        let mut now = Instant::ZERO;
        let mut attempts = 0;
        while let Some(at) = delivery.poll_timeout() {
            now = now.max(at);
            assert_eq!(delivery.poll(now), Some("never heard"));
            delivery.failed(now, false);
            attempts += 1;
        }
        assert_eq!((attempts, delivery.counts.dropped), (ATTEMPTS_MAX, 2));
    }

    #[test]
    fn the_queue_is_bounded_and_keeps_what_is_out() {
        let mut delivery = Delivery::new(7);
        delivery.push(0, "0".into());
        assert_eq!(delivery.poll(Instant::ZERO), Some("0"));
        for number in 1..=NOTICES_MAX as u64 {
            delivery.push(number, format!("{number}"));
        }
        assert_eq!((delivery.waiting(), delivery.counts.dropped), (NOTICES_MAX, 1));
        delivery.succeeded();
        assert_eq!(delivery.poll(Instant::ZERO), Some("2"), "the oldest of the others is gone");
    }
}

//! What is still to be posted, and when: a machine without IO.

use alloc::collections::VecDeque;
use alloc::string::String;

use turbopump_core::random::SplitMix64;
use turbopump_core::time::Instant;

/// Notices in the order of their coming, each delivered before the next or together with it.
#[derive(Debug)]
pub(super) struct Delivery {
    queue: VecDeque<Notice>,
    /// Of the first one.
    attempts: u32,
    not_before: Instant,
    /// How many of the first ones somebody is at.
    out: usize,
    /// How many of the first ones go one by one, because they were refused together.
    alone: usize,
    /// Notices that go together have no more bytes than this; 0 where each goes alone.
    batch_bytes_max: usize,
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
    /// `batch_bytes_max` bounds what goes together; one notice may be longer. 0: each goes alone.
    pub(super) fn new(seed: u64, batch_bytes_max: usize) -> Self {
        Self {
            queue: VecDeque::with_capacity(NOTICES_MAX),
            attempts: 0,
            not_before: Instant::ZERO,
            out: 0,
            alone: 0,
            batch_bytes_max,
            random: SplitMix64::new(seed),
            counts: Counts::default(),
        }
    }

    /// Takes a notice in. The oldest that nobody is at is dropped where there are too many.
    pub(super) fn push(&mut self, fingerprint: u64, body: String) {
        if self.queue.len() >= NOTICES_MAX {
            self.counts.dropped += 1;
            if self.queue.remove(self.out).is_some() && self.out == 0 {
                self.attempts = 0;
                self.alone = self.alone.saturating_sub(1);
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

    /// The next notices to deliver, one behind the other; their outcome has to be said.
    pub(super) fn poll(&mut self, now: Instant) -> Option<String> {
        if self.out > 0 || now < self.not_before {
            return None;
        }
        let mut body = self.queue.front()?.body.clone();
        self.out = 1;
        if self.alone == 0 {
            for notice in self.queue.iter().skip(1).take(BATCH_MAX - 1) {
                if body.len().saturating_add(notice.body.len()) > self.batch_bytes_max {
                    break;
                }
                body.push_str(&notice.body);
                self.out += 1;
            }
        }
        Some(body)
    }

    /// When to poll again, where there is something to wait for.
    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        (self.out == 0 && !self.queue.is_empty()).then_some(self.not_before)
    }

    pub(super) fn succeeded(&mut self) {
        self.counts.delivered += self.out as u64;
        self.next();
    }

    /// It will be tried again, unless that is hopeless. Those that are refused together are tried
    /// one by one, so that one that is bad takes no others with it.
    pub(super) fn failed(&mut self, now: Instant, is_final: bool) {
        let out = self.out as u64;
        if is_final && out > 1 {
            self.counts.retried += out;
            (self.alone, self.out, self.attempts) = (self.out, 0, 0);
            return;
        }
        self.attempts += 1;
        if is_final || self.attempts >= ATTEMPTS_MAX {
            self.counts.dropped += out;
            self.next();
            return;
        }
        self.out = 0;
        self.counts.retried += out;
        let us = (BACKOFF_US_MIN << (self.attempts - 1).min(16)).min(BACKOFF_US_MAX);
        self.not_before = now.plus_us(us / 2 + self.random.below(us / 2 + 1));
    }

    /// Those that were out are gone.
    fn next(&mut self) {
        self.queue.drain(..self.out);
        self.alone = self.alone.saturating_sub(self.out);
        (self.out, self.attempts) = (0, 0);
        self.not_before = Instant::ZERO;
    }

    pub(super) fn waiting(&self) -> usize {
        self.queue.len()
    }
}

/// More than these means that nobody listens.
pub(super) const NOTICES_MAX: usize = 256;
/// So many go together at most: the others keep the queue's bound.
const BATCH_MAX: usize = 128;
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
        let mut delivery = Delivery::new(7, 0);
        delivery.push(1, "firing".into());
        delivery.push(1, "firing".into());
        delivery.push(1, "resolved".into());
        assert_eq!(delivery.waiting(), 2, "said once");
        let mut now = Instant::ZERO;
        for attempt in 0..5 {
            assert_eq!(delivery.poll(now).as_deref(), Some("firing"), "{attempt}");
            assert_eq!(delivery.poll(now), None, "it is out");
            assert_eq!(delivery.poll_timeout(), None, "it is out");
            delivery.failed(now, false);
            let pause_us = delivery.poll_timeout().unwrap().us_since(now);
            let us = BACKOFF_US_MIN << attempt;
            assert!((us / 2..=us).contains(&pause_us), "{attempt}: {pause_us}");
            assert_eq!(delivery.poll(now), None, "not yet");
            now = now.plus_us(pause_us);
        }
        assert_eq!(delivery.poll(now).as_deref(), Some("firing"));
        delivery.succeeded();
        assert_eq!(delivery.poll(now).as_deref(), Some("resolved"), "at once");
        delivery.succeeded();
        assert_eq!(delivery.poll(now), None);
        assert_eq!(delivery.poll_timeout(), None);
        assert_eq!(delivery.counts, Counts { delivered: 2, retried: 5, dropped: 0 });
    }

    #[test]
    fn what_is_hopeless_is_dropped_and_counted() {
        let mut delivery = Delivery::new(7, 0);
        delivery.push(1, "refused".into());
        delivery.push(2, "never heard".into());
        assert!(delivery.poll(Instant::ZERO).is_some());
        delivery.failed(Instant::ZERO, true);
        let mut now = Instant::ZERO;
        let mut attempts = 0;
        while let Some(at) = delivery.poll_timeout() {
            now = now.max(at);
            assert_eq!(delivery.poll(now).as_deref(), Some("never heard"));
            delivery.failed(now, false);
            attempts += 1;
        }
        assert_eq!((attempts, delivery.counts.dropped), (ATTEMPTS_MAX, 2));
    }

    #[test]
    fn the_queue_is_bounded_and_keeps_what_is_out() {
        let mut delivery = Delivery::new(7, 0);
        delivery.push(0, "0".into());
        assert_eq!(delivery.poll(Instant::ZERO).as_deref(), Some("0"));
        for number in 1..=NOTICES_MAX as u64 {
            delivery.push(number, format!("{number}"));
        }
        assert_eq!((delivery.waiting(), delivery.counts.dropped), (NOTICES_MAX, 1));
        delivery.succeeded();
        assert_eq!(
            delivery.poll(Instant::ZERO).as_deref(),
            Some("2"),
            "the oldest of the others is gone"
        );
    }

    #[test]
    fn what_waits_goes_together_within_the_bound() {
        let mut delivery = Delivery::new(7, 6);
        for body in ["aa\n", "bb\n", "c\n", "longer than all\n", "d\n"] {
            delivery.push(1, body.into());
        }
        for together in ["aa\nbb\n", "c\n", "longer than all\n", "d\ne\n"] {
            assert_eq!(delivery.poll(Instant::ZERO).as_deref(), Some(together));
            assert_eq!(delivery.poll(Instant::ZERO), None, "they are out");
            delivery.push(2, "e\n".into());
            delivery.succeeded();
        }
        assert_eq!((delivery.waiting(), delivery.counts.delivered), (0, 6));
    }

    #[test]
    fn one_that_is_refused_takes_no_others_with_it() {
        let mut delivery = Delivery::new(7, 1_000);
        for body in ["a", "bad", "c"] {
            delivery.push(1, body.into());
        }
        assert_eq!(delivery.poll(Instant::ZERO).as_deref(), Some("abadc"));
        delivery.failed(Instant::ZERO, false);
        let now = delivery.poll_timeout().unwrap();
        assert_eq!(delivery.poll(now).as_deref(), Some("abadc"), "again");
        delivery.push(1, "d".into());
        delivery.failed(now, true);
        for (alone, is_bad) in [("a", false), ("bad", true), ("c", false), ("d", false)] {
            assert_eq!(delivery.poll(now).as_deref(), Some(alone));
            if is_bad { delivery.failed(now, true) } else { delivery.succeeded() }
        }
        let counts = Counts { delivered: 3, retried: 6, dropped: 1 };
        assert_eq!((delivery.counts, delivery.waiting()), (counts, 0));
    }

    #[test]
    fn a_full_queue_keeps_all_that_are_out() {
        let mut delivery = Delivery::new(7, usize::MAX);
        for number in 0..NOTICES_MAX as u64 {
            delivery.push(number, format!("{number},"));
        }
        let out = delivery.poll(Instant::ZERO).unwrap();
        assert_eq!(out.matches(',').count(), BATCH_MAX);
        delivery.push(1_000, "new".into());
        assert_eq!((delivery.waiting(), delivery.counts.dropped), (NOTICES_MAX, 1));
        delivery.succeeded();
        let next = delivery.poll(Instant::ZERO).unwrap();
        assert!(
            next.starts_with(&format!("{},", BATCH_MAX + 1)),
            "the oldest of the others is gone"
        );
        assert!(next.ends_with("new"));
        assert_eq!(delivery.counts.delivered, BATCH_MAX as u64);
    }
}

//! How many messages went in and out: per second of late, and since midnight.
//!
//! Decides when the counters are looked at, and what follows from two looks.

use alloc::collections::VecDeque;
use alloc::string::String;

use turbopump_core::time::{Instant, Now};

use super::counts::Counts;

/// Time between two looks, in microseconds.
pub(super) const SAMPLE_US: u64 = 5_000_000;
/// Looks that are kept: those of ten minutes, and one before.
const SAMPLES_MAX: usize = 122;
/// Windows for which administrators want a rate, in microseconds.
const WINDOWS_US: [u64; 3] = [10_000_000, 60_000_000, 600_000_000];
const DAY_MS: u64 = 86_400_000;

/// Messages, in and out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Totals {
    pub(super) put: u64,
    pub(super) got: u64,
}

impl Totals {
    const fn of(counts: &Counts) -> Self {
        Self { put: counts.messages_sent, got: counts.messages_pulled }
    }
}

#[derive(Debug)]
pub(super) struct Figures {
    pub(super) started: Now,
    samples: VecDeque<(Instant, Totals)>,
    /// Days since 1970 by the last look.
    day: u64,
    pub(super) yesterday: Totals,
    pub(super) today: Totals,
}

impl Figures {
    pub(super) fn new(now: Now) -> Self {
        Self {
            started: now,
            samples: VecDeque::from([(now.at, Totals::default())]),
            day: now.unix_ms / DAY_MS,
            yesterday: Totals::default(),
            today: Totals::default(),
        }
    }

    /// Looks at the counters.
    pub(super) fn sample(&mut self, now: Now, counts: &Counts) {
        let totals = Totals::of(counts);
        let day = now.unix_ms / DAY_MS;
        if day != self.day {
            self.day = day;
            self.yesterday = self.today;
            self.today = totals;
        }
        if self.samples.len() >= SAMPLES_MAX {
            self.samples.pop_front();
        }
        self.samples.push_back((now.at, totals));
    }

    /// What came in and went out since the start.
    pub(super) const fn totals(counts: &Counts) -> Totals {
        Totals::of(counts)
    }

    /// Rates of the last 10, 60 and 600 seconds, as texts: messages in, and messages out.
    pub(super) fn rates(&self, now: Now, counts: &Counts) -> (String, String) {
        let (mut put, mut got) = (String::new(), String::new());
        let totals = Totals::of(counts);
        for window_us in WINDOWS_US {
            let rate = self.rate(now, window_us, totals);
            for (text, rate) in [(&mut put, rate.0), (&mut got, rate.1)] {
                let separator = if text.is_empty() { "" } else { " " };
                text.push_str(&alloc::format!("{separator}{rate:?}"));
            }
        }
        (put, got)
    }

    /// Against the last look before the window, or the first that there is.
    fn rate(&self, now: Now, window_us: u64, totals: Totals) -> (f64, f64) {
        let is_before = |(at, _): &&(Instant, Totals)| now.at.us_since(*at) >= window_us;
        let sample = self.samples.iter().rev().find(is_before).or_else(|| self.samples.front());
        let Some((at, then)) = sample else {
            return (0.0, 0.0);
        };
        let seconds = (now.at.us_since(*at) as f64 / 1e6).max(1.0);
        let per_second = |now: u64, then: u64| now.saturating_sub(then) as f64 / seconds;
        (per_second(totals.put, then.put), per_second(totals.got, then.got))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_are_those_of_the_window() {
        let at = |second: u64| {
            Now::new(Instant::from_ms(second * 1_000), 20_000 * DAY_MS - 60_000 + second * 1_000)
        };
        let mut counts = Counts::default();
        let mut figures = Figures::new(at(0));
        for second in (0..=700).step_by(5) {
            // Ten in a second, until there are 600 seconds.
            counts.messages_sent = second.min(600) * 10;
            counts.messages_pulled = second;
            figures.sample(at(second), &counts);
        }
        let (put, got) = figures.rates(at(700), &counts);
        assert_eq!((&*put, &*got), ("0.0 0.0 8.333333333333334", "1.0 1.0 1.0"));
        assert!(figures.samples.len() <= SAMPLES_MAX);
        // Midnight was after a minute.
        assert_eq!(figures.today, Totals { put: 600, got: 60 });
        assert_eq!(figures.yesterday, Totals::default());
    }
}

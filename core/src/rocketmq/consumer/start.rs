//! Where a queue begins that was taken: what the group has committed, or else where a new group is
//! to begin.
//!
//! The machine decides which question comes next, and ends with an offset. An answer that is
//! missing is asked for again after a pause: a queue is never begun on a guess, because that loses
//! messages or repeats them. Sending is left to the caller.

use super::pause_us;
use crate::random::SplitMix64;
use crate::rocketmq::wire::header::response_code;
use crate::time::Instant;

/// Where a group begins in queues of which it has committed nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum StartFrom {
    /// Behind the last message that is there. Brokers that still have a queue from its beginning
    /// say that the group begins there nonetheless, unless [`StartPolicy::is_exact`].
    #[default]
    Last,
    /// With the first message that is there.
    First,
    /// With the first message stored at this time or later.
    Timestamp {
        /// Milliseconds since 1970.
        unix_ms: i64,
    },
}

/// How a queue's beginning is looked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct StartPolicy {
    /// Where new groups begin.
    pub from: StartFrom,
    /// Whether brokers are told not to begin young queues at 0; off, as with other clients, because
    /// that loses nothing that was sent before the first member was ready. Old brokers don't know
    /// it.
    pub is_exact: bool,
    /// How long an answer may take, in microseconds; 3 seconds.
    pub timeout_us: u64,
    /// The pause after a failure, in microseconds; 100 milliseconds. Doubled with each, with a
    /// random part of up to as much again.
    pub failure_us: u64,
    /// The longest pause, without its random part; 3 seconds.
    pub failure_us_max: u64,
}

impl StartPolicy {
    /// The defaults.
    pub const DEFAULT: Self = Self {
        from: StartFrom::Last,
        is_exact: false,
        timeout_us: 3_000_000,
        failure_us: 100_000,
        failure_us_max: 3_000_000,
    };
}

impl Default for StartPolicy {
    fn default() -> Self {
        Self::DEFAULT
    }
}

/// What a broker is to be asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum StartQuestion {
    /// What the group has committed: request 14.
    Committed {
        /// `setZeroIfNotFound`; left out where `None`.
        zero_if_not_found: Option<bool>,
    },
    /// The smallest offset: request 31.
    MinOffset,
    /// The offset behind the last message: request 30.
    MaxOffset,
    /// The offset at a time: request 29.
    OffsetAt {
        /// Milliseconds since 1970.
        unix_ms: i64,
    },
}

/// A question that is to be sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct StartRequest {
    /// Its number within the queue: answers come with it.
    pub number: u32,
    /// The question.
    pub question: StartQuestion,
    /// When the answer is too late.
    pub until: Instant,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Idle { at: Instant },
    Asked { until: Instant },
    Known { offset: i64 },
}

/// The search for the beginning of one queue.
///
/// ```
/// use turbopump_core::random::SplitMix64;
/// use turbopump_core::rocketmq::consumer::{Start, StartPolicy, StartQuestion};
/// use turbopump_core::time::Instant;
///
/// let now = Instant::from_ms(0);
/// let mut random = SplitMix64::new(1);
/// let mut start = Start::new(StartPolicy::DEFAULT, false, now);
/// let request = start.poll_request(now).expect("nothing is known");
/// // QUERY_NOT_FOUND: the group is new.
/// start.handle_answer(now, request.number, 22, -1, &mut random);
/// let request = start.poll_request(now).expect("the end is not known");
/// assert_eq!(request.question, StartQuestion::MaxOffset);
/// start.handle_answer(now, request.number, 0, 42, &mut random);
/// assert_eq!(start.offset(), Some(42));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Start {
    policy: StartPolicy,
    is_retry_topic: bool,
    /// Whether the broker has said that nothing is committed.
    is_new: bool,
    state: State,
    number: u32,
    failures: u32,
}

impl Start {
    /// Looks for the beginning of a queue, of a retry topic or another.
    #[must_use]
    pub const fn new(policy: StartPolicy, is_retry_topic: bool, now: Instant) -> Self {
        let state = State::Idle { at: now };
        Self { policy, is_retry_topic, is_new: false, state, number: 0, failures: 0 }
    }

    /// Where the queue begins, once that is known.
    #[must_use]
    pub const fn offset(&self) -> Option<i64> {
        match self.state {
            State::Known { offset } => Some(offset),
            _ => None,
        }
    }

    /// Failures since the last good answer.
    #[must_use]
    pub const fn failures(&self) -> u32 {
        self.failures
    }

    /// What is to be asked now, once.
    #[must_use]
    pub fn poll_request(&mut self, now: Instant) -> Option<StartRequest> {
        if !matches!(self.state, State::Idle { at } if at <= now) {
            return None;
        }
        let until = now.plus_us(self.policy.timeout_us);
        self.state = State::Asked { until };
        self.number = self.number.wrapping_add(1);
        Some(StartRequest { number: self.number, question: self.question(), until })
    }

    /// The broker has answered request `number`, with an offset where the code is `SUCCESS`. An
    /// answer to an earlier request changes nothing.
    pub fn handle_answer(
        &mut self,
        now: Instant,
        number: u32,
        code: i32,
        offset: i64,
        random: &mut SplitMix64,
    ) {
        if number != self.number || !matches!(self.state, State::Asked { .. }) {
            return;
        }
        match code {
            // An offset below 0 is no place to begin at, whoever says so.
            response_code::SUCCESS if offset >= 0 => self.state = State::Known { offset },
            response_code::QUERY_NOT_FOUND if !self.is_new => {
                (self.is_new, self.failures) = (true, 0);
                self.state = State::Idle { at: now };
            }
            // Some brokers answer so where nothing is committed.
            response_code::SUCCESS if !self.is_new => {
                (self.is_new, self.failures) = (true, 0);
                self.state = State::Idle { at: now };
            }
            _ => self.fail(now, random),
        }
    }

    /// Request `number` could not be sent, or its connection was lost.
    pub fn handle_failed(&mut self, now: Instant, number: u32, random: &mut SplitMix64) {
        if number == self.number && matches!(self.state, State::Asked { .. }) {
            self.fail(now, random);
        }
    }

    /// Time has passed: what was not answered in time is asked again.
    pub fn handle_timeout(&mut self, now: Instant, random: &mut SplitMix64) {
        if matches!(self.state, State::Asked { until } if until <= now) {
            self.fail(now, random);
        }
    }

    /// When something changes by itself.
    #[must_use]
    pub const fn poll_timeout(&self) -> Option<Instant> {
        match self.state {
            State::Idle { at } => Some(at),
            State::Asked { until } => Some(until),
            State::Known { .. } => None,
        }
    }

    /// Messages of a retry topic were handled by the group before: it begins with the first of them
    /// where a new group begins at the end, and the other way round at a time, as in Java.
    fn question(&self) -> StartQuestion {
        if !self.is_new {
            let zero_if_not_found = self.policy.is_exact.then_some(false);
            return StartQuestion::Committed { zero_if_not_found };
        }
        match (self.policy.from, self.is_retry_topic) {
            (StartFrom::First, _) | (StartFrom::Last, true) => StartQuestion::MinOffset,
            (StartFrom::Last, false) | (StartFrom::Timestamp { .. }, true) => {
                StartQuestion::MaxOffset
            }
            (StartFrom::Timestamp { unix_ms }, false) => StartQuestion::OffsetAt { unix_ms },
        }
    }

    fn fail(&mut self, now: Instant, random: &mut SplitMix64) {
        let StartPolicy { failure_us, failure_us_max, .. } = self.policy;
        let at = now.plus_us(pause_us(failure_us, failure_us_max, self.failures, random));
        self.failures = self.failures.saturating_add(1);
        self.state = State::Idle { at };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn at(ms: u64) -> Instant {
        Instant::from_ms(ms)
    }

    fn started(from: StartFrom, is_retry_topic: bool) -> (Start, SplitMix64) {
        let policy = StartPolicy { from, ..StartPolicy::DEFAULT };
        (Start::new(policy, is_retry_topic, at(0)), SplitMix64::new(1))
    }

    #[test]
    fn what_is_committed_counts_whatever_is_configured() {
        for from in [StartFrom::First, StartFrom::Last, StartFrom::Timestamp { unix_ms: 5 }] {
            let (mut start, mut random) = started(from, false);
            let request = start.poll_request(at(0)).unwrap();
            let expected = StartQuestion::Committed { zero_if_not_found: None };
            assert_eq!(request.question, expected);
            assert_eq!(start.poll_request(at(0)), None, "once");
            start.handle_answer(at(1), request.number, 0, 7, &mut random);
            assert_eq!((start.offset(), start.poll_timeout()), (Some(7), None));
        }
    }

    #[test]
    fn new_groups_begin_where_they_are_told() {
        let time = StartFrom::Timestamp { unix_ms: 5 };
        let cases = [
            (StartFrom::Last, false, StartQuestion::MaxOffset),
            (StartFrom::Last, true, StartQuestion::MinOffset),
            (StartFrom::First, false, StartQuestion::MinOffset),
            (StartFrom::First, true, StartQuestion::MinOffset),
            (time, false, StartQuestion::OffsetAt { unix_ms: 5 }),
            (time, true, StartQuestion::MaxOffset),
        ];
        for (from, is_retry_topic, expected) in cases {
            for (code, offset) in [(22, 0), (0, -1)] {
                let (mut start, mut random) = started(from, is_retry_topic);
                let number = start.poll_request(at(0)).unwrap().number;
                start.handle_answer(at(1), number, code, offset, &mut random);
                assert_eq!(start.offset(), None);
                let request = start.poll_request(at(1)).unwrap();
                assert_eq!(request.question, expected, "{from:?} {is_retry_topic}");
                start.handle_answer(at(2), request.number, 0, 3, &mut random);
                assert_eq!(start.offset(), Some(3));
            }
        }
        let policy = StartPolicy { is_exact: true, ..StartPolicy::DEFAULT };
        let question = Start::new(policy, false, at(0)).poll_request(at(0)).unwrap().question;
        assert_eq!(question, StartQuestion::Committed { zero_if_not_found: Some(false) });
    }

    #[test]
    fn nothing_is_guessed_where_no_good_answer_comes() {
        let (mut start, mut random) = started(StartFrom::Last, false);
        let first = start.poll_request(at(0)).unwrap();
        assert_eq!(start.poll_timeout(), Some(at(3_000)));
        start.handle_timeout(at(3_000), &mut random);
        let again = start.poll_timeout().unwrap();
        assert!((at(3_100)..at(3_200)).contains(&again), "{again:?}");
        assert_eq!(start.poll_request(at(3_099)), None);
        let second = start.poll_request(again).unwrap();
        assert_eq!(second.question, first.question);
        // Late.
        start.handle_answer(again, first.number, 0, 9, &mut random);
        start.handle_failed(again, first.number, &mut random);
        assert_eq!((start.offset(), start.poll_timeout()), (None, Some(second.until)));
        start.handle_failed(again, second.number, &mut random);
        let now = start.poll_timeout().unwrap();
        let third = start.poll_request(now).unwrap();
        start.handle_answer(now, third.number, 22, 0, &mut random);
        assert_eq!(start.failures(), 0);
        let fourth = start.poll_request(now).unwrap();
        // Neither an error, nor "not found", nor -1 is an end.
        let mut number = fourth.number;
        for (code, offset) in [(1, 0), (22, 0), (0, -1)] {
            let now = start.poll_timeout().unwrap();
            start.handle_answer(now, number, code, offset, &mut random);
            assert_eq!(start.offset(), None);
            let now = start.poll_timeout().unwrap();
            let request = start.poll_request(now).unwrap();
            assert_eq!(request.question, StartQuestion::MaxOffset);
            number = request.number;
        }
    }
}

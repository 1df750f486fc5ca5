//! The pulls of one queue: where the next begins, whether one is in flight, and when another may
//! follow.
//!
//! The machine decides when to ask and what an answer means for the position. Whether there is room
//! for what comes is [`Flow`](super::Flow)'s to say; sending, and giving the messages to a
//! [`Window`](super::Window), is left to the caller.

use super::{Grant, pause_us};
use crate::random::SplitMix64;
use crate::rocketmq::wire::header::response_code;
use crate::time::Instant;

/// How long pulls and the pauses between them are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct PullPolicy {
    /// How long the broker may wait for messages, in microseconds; 15 seconds.
    pub suspend_us: u64,
    /// How much longer its answer may take; 5 seconds.
    pub slack_us: u64,
    /// From one pull that brings nothing to the next at least; 10 milliseconds. Brokers wait
    /// themselves, so that this matters only with those that don't.
    pub empty_us: u64,
    /// After flow control of a broker; 20 milliseconds.
    pub flow_control_us: u64,
    /// After the first failure; 100 milliseconds. Doubled with each, with a random part of up to as
    /// much again.
    pub failure_us: u64,
    /// The longest of these, without the random part; 3 seconds.
    pub failure_us_max: u64,
}

impl PullPolicy {
    /// The defaults.
    pub const DEFAULT: Self = Self {
        suspend_us: 15_000_000,
        slack_us: 5_000_000,
        empty_us: 10_000,
        flow_control_us: 20_000,
        failure_us: 100_000,
        failure_us_max: 3_000_000,
    };
}

impl Default for PullPolicy {
    fn default() -> Self {
        Self::DEFAULT
    }
}

/// A pull that is to be sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Pull {
    /// Its number within the queue: answers come with it.
    pub number: u64,
    /// Where it begins.
    pub offset: i64,
    /// Messages at most.
    pub messages_max: u32,
    /// Bytes at most.
    pub bytes_max: u32,
    /// How long the broker may wait for messages.
    pub suspend_us: u64,
    /// When the answer is too late.
    pub until: Instant,
}

/// What a broker answers to a pull.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PullAnswer {
    /// The code of the response.
    pub code: i32,
    /// `nextBeginOffset`.
    pub next_offset: i64,
    /// `minOffset`.
    pub min_offset: i64,
    /// `maxOffset`.
    pub max_offset: i64,
}

/// What an answer means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum PullOutcome {
    /// There are messages: they go to the window, with the offset where the next pull begins.
    Found {
        /// That offset.
        next_offset: i64,
    },
    /// There are none up to this offset: it goes to the window, too.
    Nothing {
        /// The offset.
        next_offset: i64,
    },
    /// The position is behind the end of the queue, or was reset. Nothing is pulled before
    /// [`Pulling::restart`]; until then the queue's window is reset and the offset committed.
    Moved {
        /// Where it was.
        from: i64,
        /// Where it has to go.
        to: i64,
    },
    /// The broker does not know the group's subscription, or knows an older one: a heartbeat has to
    /// be sent, and a member with another subscription may be the cause. Tried again later.
    Subscription {
        /// The code of the response.
        code: i32,
        /// When it is tried again.
        at: Instant,
    },
    /// It is tried again later.
    Failed {
        /// The code of the response; `None` for no answer.
        code: Option<i32>,
        /// When it is tried again.
        at: Instant,
    },
    /// Nobody waits for it: the pull was given up before.
    Stale,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// Not before `at`.
    Idle {
        at: Instant,
    },
    /// Wants to, and has no room.
    Held,
    InFlight {
        sent: Instant,
        until: Instant,
    },
    /// The position is wrong, or the queue was given away.
    Stopped,
}

/// The pulls of one queue, one at a time.
///
/// Where [`poll_pull`](Self::poll_pull) says so, ask the flow, and [`begin`](Self::begin) with what
/// it grants or [`hold`](Self::hold) until it does.
///
/// ```
/// use turbopump_core::random::SplitMix64;
/// use turbopump_core::rocketmq::consumer::{
///     Flow, FlowCell, FlowLimits, PullAnswer, PullOutcome, PullPolicy, Pulling,
/// };
/// use turbopump_core::time::Instant;
///
/// let now = Instant::from_ms(0);
/// let mut random = SplitMix64::new(1);
/// let mut memory = [FlowCell::default(); 1];
/// let mut flow = Flow::new(FlowLimits::DEFAULT, &mut memory[..])?;
/// let mut pulling = Pulling::new(PullPolicy::DEFAULT, 100, now);
/// assert!(pulling.poll_pull(now));
/// let grant = flow.reserve(0, 0)?.expect("there is room");
/// let pull = pulling.begin(now, grant).expect("it was asked for");
/// assert_eq!(pull.offset, 100);
/// let answer = PullAnswer { code: 0, next_offset: 132, min_offset: 0, max_offset: 500 };
/// let outcome = pulling.handle_answer(now, pull.number, answer, &mut random);
/// assert_eq!(outcome, PullOutcome::Found { next_offset: 132 });
/// # Ok::<(), Box<dyn core::error::Error>>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pulling {
    policy: PullPolicy,
    offset: i64,
    number: u64,
    state: State,
    is_paused: bool,
    /// Failures since the last answer that was none.
    failures: u32,
}

impl Pulling {
    /// Pulls from `offset` on, the first at once.
    #[must_use]
    pub fn new(policy: PullPolicy, offset: i64, now: Instant) -> Self {
        let state = State::Idle { at: now };
        Self { policy, offset: offset.max(0), number: 0, state, is_paused: false, failures: 0 }
    }

    /// Where the next pull begins.
    #[must_use]
    pub const fn offset(&self) -> i64 {
        self.offset
    }

    /// Failures since the last good answer.
    #[must_use]
    pub const fn failures(&self) -> u32 {
        self.failures
    }

    /// Whether an answer is waited for.
    #[must_use]
    pub const fn is_in_flight(&self) -> bool {
        matches!(self.state, State::InFlight { .. })
    }

    /// Whether the user has paused the queue.
    #[must_use]
    pub const fn is_paused(&self) -> bool {
        self.is_paused
    }

    /// Whether a pull is wanted now. It stays so until [`begin`](Self::begin) or
    /// [`hold`](Self::hold).
    #[must_use]
    pub fn poll_pull(&self, now: Instant) -> bool {
        !self.is_paused && matches!(self.state, State::Idle { at } if at <= now)
    }

    /// There is no room: nothing is wanted before [`release`](Self::release), or before the flow
    /// grants what was waited for and [`begin`](Self::begin) is called with that.
    pub fn hold(&mut self) {
        if matches!(self.state, State::Idle { .. }) {
            self.state = State::Held;
        }
    }

    /// There may be room again, for instance because a message of the queue was settled.
    pub fn release(&mut self, now: Instant) {
        if self.state == State::Held {
            self.state = State::Idle { at: now };
        }
    }

    /// The pull to be sent, with what the flow has granted; `None` where none is wanted, and then
    /// the grant has to be cancelled.
    #[must_use]
    pub fn begin(&mut self, now: Instant, grant: Grant) -> Option<Pull> {
        if self.is_paused || !(self.state == State::Held || self.poll_pull(now)) {
            return None;
        }
        self.number = self.number.saturating_add(1);
        let suspend_us = self.policy.suspend_us;
        let until = now.plus_us(suspend_us.saturating_add(self.policy.slack_us));
        self.state = State::InFlight { sent: now, until };
        let (messages_max, bytes_max) = (grant.messages, grant.bytes);
        let (number, offset) = (self.number, self.offset);
        Some(Pull { number, offset, messages_max, bytes_max, suspend_us, until })
    }

    /// The broker has answered pull number `number`.
    pub fn handle_answer(
        &mut self,
        now: Instant,
        number: u64,
        answer: PullAnswer,
        random: &mut SplitMix64,
    ) -> PullOutcome {
        let State::InFlight { sent, .. } = self.state else { return PullOutcome::Stale };
        if number != self.number {
            return PullOutcome::Stale;
        }
        let moves_on = answer.next_offset > self.offset;
        match answer.code {
            // Without this a damaged answer would be asked for in a circle, or go back.
            response_code::SUCCESS if moves_on => {
                self.advance(answer.next_offset, now);
                PullOutcome::Found { next_offset: self.offset }
            }
            response_code::PULL_NOT_FOUND | response_code::PULL_RETRY_IMMEDIATELY => {
                let at = if moves_on { now } else { now.max(sent.plus_us(self.policy.empty_us)) };
                self.advance(answer.next_offset.max(self.offset), at);
                PullOutcome::Nothing { next_offset: self.offset }
            }
            response_code::PULL_OFFSET_MOVED => {
                let to = correct_offset(&answer);
                if self.offset < answer.min_offset {
                    // It is too old to be kept, and can't be pulled; what was pulled is handled
                    // all the same.
                    self.advance(to, now);
                    return PullOutcome::Nothing { next_offset: self.offset };
                }
                self.state = State::Stopped;
                PullOutcome::Moved { from: self.offset, to }
            }
            response_code::FLOW_CONTROL => {
                let at = now.plus_us(self.policy.flow_control_us);
                self.state = State::Idle { at };
                PullOutcome::Failed { code: Some(answer.code), at }
            }
            code @ (response_code::SUBSCRIPTION_NOT_EXIST
            | response_code::SUBSCRIPTION_NOT_LATEST) => {
                PullOutcome::Subscription { code, at: self.fail(now, random) }
            }
            code => PullOutcome::Failed { code: Some(code), at: self.fail(now, random) },
        }
    }

    /// Pull number `number` could not be sent, or its connection was lost.
    pub fn handle_failed(
        &mut self,
        now: Instant,
        number: u64,
        random: &mut SplitMix64,
    ) -> PullOutcome {
        if !self.is_in_flight() || number != self.number {
            return PullOutcome::Stale;
        }
        PullOutcome::Failed { code: None, at: self.fail(now, random) }
    }

    /// What came was of no use, for instance because it is damaged or the window refused it: it is
    /// pulled again from `offset`, where that was not reached yet, after a pause.
    pub fn handle_refused(&mut self, now: Instant, offset: i64, random: &mut SplitMix64) {
        if self.state != State::Stopped {
            self.offset = self.offset.min(offset).max(0);
            self.fail(now, random);
        }
    }

    /// Time has passed. Where a pull was not answered in time, says what follows; what was reserved
    /// for it is free then.
    pub fn handle_timeout(&mut self, now: Instant, random: &mut SplitMix64) -> Option<PullOutcome> {
        let State::InFlight { until, .. } = self.state else { return None };
        (until <= now).then(|| PullOutcome::Failed { code: None, at: self.fail(now, random) })
    }

    /// When something changes by itself: the end of a pause, or of the wait for an answer.
    #[must_use]
    pub const fn poll_timeout(&self) -> Option<Instant> {
        match self.state {
            State::Idle { at } if !self.is_paused => Some(at),
            State::InFlight { until, .. } => Some(until),
            _ => None,
        }
    }

    /// Nothing more is pulled until [`resume`](Self::resume); what is in flight may come.
    pub fn pause(&mut self) {
        self.is_paused = true;
    }

    /// Pulls go on.
    pub fn resume(&mut self, now: Instant) {
        if core::mem::take(&mut self.is_paused) && self.state == State::Held {
            // Its turn may have passed.
            self.state = State::Idle { at: now };
        }
    }

    /// The queue is given away: nothing more is pulled, and what is in flight is stale.
    pub fn stop(&mut self) {
        self.state = State::Stopped;
    }

    /// Begins at another offset: after [`PullOutcome::Moved`], or where somebody has reset the
    /// group. What is in flight is stale, and pauses are over.
    pub fn restart(&mut self, now: Instant, offset: i64) {
        self.offset = offset.max(0);
        self.failures = 0;
        self.state = State::Idle { at: now };
    }

    fn advance(&mut self, offset: i64, at: Instant) {
        self.failures = 0;
        self.offset = offset;
        self.state = State::Idle { at };
    }

    fn fail(&mut self, now: Instant, random: &mut SplitMix64) -> Instant {
        let PullPolicy { failure_us, failure_us_max, .. } = self.policy;
        let at = now.plus_us(pause_us(failure_us, failure_us_max, self.failures, random));
        self.failures = self.failures.saturating_add(1);
        self.state = State::Idle { at };
        at
    }
}

/// Where a broker sends those whose offset is outside the queue: to where it says, within what it
/// has.
fn correct_offset(answer: &PullAnswer) -> i64 {
    let min_offset = answer.min_offset.max(0);
    answer.next_offset.min(answer.max_offset.max(min_offset)).max(min_offset)
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn at(ms: u64) -> Instant {
        Instant::from_ms(ms)
    }

    const GRANT: Grant = Grant { messages: 32, bytes: 1_000 };

    fn answer(code: i32, next_offset: i64) -> PullAnswer {
        PullAnswer { code, next_offset, min_offset: 50, max_offset: 500 }
    }

    fn begun(offset: i64) -> (Pulling, u64) {
        let mut pulling = Pulling::new(PullPolicy::DEFAULT, offset, at(0));
        let number = pulling.begin(at(0), GRANT).unwrap().number;
        (pulling, number)
    }

    #[test]
    fn each_kind_of_answer_has_its_next_pull() {
        let random = &mut SplitMix64::new(1);
        // Code, next offset, what follows, when the next pull is wanted.
        let cases = [
            (0, 132, PullOutcome::Found { next_offset: 132 }, 1),
            (19, 100, PullOutcome::Nothing { next_offset: 100 }, 10),
            (20, 140, PullOutcome::Nothing { next_offset: 140 }, 1),
            // Nowhere and back is not gone to.
            (20, 90, PullOutcome::Nothing { next_offset: 100 }, 10),
            (215, 0, PullOutcome::Failed { code: Some(215), at: at(21) }, 21),
        ];
        for (code, next, expected, next_ms) in cases {
            let (mut pulling, number) = begun(100);
            let outcome = pulling.handle_answer(at(1), number, answer(code, next), random);
            assert_eq!(outcome, expected, "{code}");
            assert_eq!(pulling.poll_timeout(), Some(at(next_ms)), "{code}");
            assert!(pulling.poll_pull(at(next_ms)) && !pulling.poll_pull(at(next_ms - 1)));
        }
        // A broker that waits for messages is asked again at once.
        let (mut pulling, number) = begun(100);
        pulling.handle_answer(at(15_000), number, answer(19, 100), random);
        assert!(pulling.poll_pull(at(15_000)));
    }

    #[test]
    fn a_moved_offset_stops_the_queue_until_it_is_restarted_where_there_is_something() {
        let random = &mut SplitMix64::new(1);
        for (next, to) in [(70, 70), (10, 50), (600, 500), (-1, 50)] {
            let (mut pulling, number) = begun(100);
            let outcome = pulling.handle_answer(at(1), number, answer(21, next), random);
            assert_eq!(outcome, PullOutcome::Moved { from: 100, to });
            assert!(!pulling.poll_pull(at(9_999)) && pulling.poll_timeout().is_none());
            pulling.restart(at(2), to);
            assert!(pulling.poll_pull(at(2)));
            assert_eq!(pulling.offset(), to);
        }
        // The oldest messages have gone: those that were pulled are handled.
        let gone = PullAnswer { code: 21, next_offset: 150, min_offset: 150, max_offset: 500 };
        let (mut pulling, number) = begun(100);
        let outcome = pulling.handle_answer(at(1), number, gone, random);
        assert_eq!(outcome, PullOutcome::Nothing { next_offset: 150 });
        assert!(pulling.poll_pull(at(1)) && pulling.offset() == 150);
        let empty = PullAnswer { code: 21, next_offset: 5, min_offset: 0, max_offset: -1 };
        let (mut pulling, number) = begun(100);
        let outcome = pulling.handle_answer(at(1), number, empty, random);
        assert_eq!(outcome, PullOutcome::Moved { from: 100, to: 0 });
    }

    #[test]
    fn failures_are_tried_again_after_growing_pauses() {
        for seed in 0..50 {
            let random = &mut SplitMix64::new(seed);
            let mut pulling = Pulling::new(PullPolicy::DEFAULT, 0, at(0));
            let mut now = at(0);
            for (code, least_ms) in [(24, 100), (1, 200), (0, 400), (25, 800), (2, 1_600)]
                .into_iter()
                .chain([(16, 3_000), (26, 3_000)])
            {
                let pull = pulling.begin(now, GRANT).unwrap();
                let outcome = pulling.handle_answer(now, pull.number, answer(code, 0), random);
                let (PullOutcome::Failed { at, .. } | PullOutcome::Subscription { at, .. }) =
                    outcome
                else {
                    panic!("{outcome:?}, seed {seed}")
                };
                let is_about = matches!(outcome, PullOutcome::Subscription { .. });
                assert_eq!(is_about, matches!(code, 24 | 25));
                let pause_us = at.us_since(now);
                assert!((least_ms * 1_000..least_ms * 2_000).contains(&pause_us), "seed {seed}");
                assert_eq!(pulling.begin(now, GRANT), None, "not yet");
                now = at;
            }
            let pull = pulling.begin(now, GRANT).unwrap();
            pulling.handle_answer(now, pull.number, answer(19, 0), random);
            assert_eq!(pulling.failures(), 0);
        }
    }

    #[test]
    fn what_is_not_answered_in_time_is_given_up_and_its_answer_is_stale() {
        let random = &mut SplitMix64::new(1);
        let (mut pulling, first) = begun(100);
        assert_eq!(pulling.handle_timeout(at(19_999), random), None);
        assert_eq!(pulling.poll_timeout(), Some(at(20_000)));
        let outcome = pulling.handle_timeout(at(20_000), random);
        let Some(PullOutcome::Failed { code: None, at: again }) = outcome else {
            panic!("{outcome:?}")
        };
        let late = answer(0, 132);
        assert_eq!(pulling.handle_answer(again, first, late, random), PullOutcome::Stale);
        let second = pulling.begin(again, GRANT).unwrap();
        assert_eq!(second.offset, 100);
        assert_eq!(pulling.handle_answer(again, first, late, random), PullOutcome::Stale);
        assert_eq!(pulling.handle_failed(again, first, random), PullOutcome::Stale);
        pulling.stop();
        let outcome = pulling.handle_answer(again, second.number, late, random);
        assert_eq!(outcome, PullOutcome::Stale);
        assert_eq!(pulling.offset(), 100);
    }

    #[test]
    fn who_is_held_or_paused_wants_nothing() {
        let random = &mut SplitMix64::new(1);
        let mut pulling = Pulling::new(PullPolicy::DEFAULT, 7, at(0));
        pulling.hold();
        assert!(!pulling.poll_pull(at(9)) && pulling.poll_timeout().is_none());
        pulling.release(at(9));
        assert!(pulling.poll_pull(at(9)));
        pulling.hold();
        // It is its turn.
        let pull = pulling.begin(at(10), GRANT).unwrap();
        pulling.pause();
        let outcome = pulling.handle_answer(at(11), pull.number, answer(0, 9), random);
        assert_eq!(outcome, PullOutcome::Found { next_offset: 9 });
        assert!(!pulling.poll_pull(at(12)) && pulling.poll_timeout().is_none());
        assert_eq!(pulling.begin(at(12), GRANT), None);
        pulling.resume(at(13));
        assert!(pulling.poll_pull(at(13)));
        // The window had no room: the same again, after a pause.
        pulling.handle_refused(at(13), 7, random);
        assert_eq!(pulling.offset(), 7);
        assert!(!pulling.poll_pull(at(13)));
    }
}

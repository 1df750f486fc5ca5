//! Faults on purpose, and a journal of requests: for tests of clients.

use core::net::SocketAddr;
use core::time::Duration;
use std::collections::HashMap;

use alloc::borrow::Cow;
use alloc::collections::VecDeque;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use turbopump_core::link::CloseReason;
use turbopump_core::rocketmq::wire::frame::Frame;
use turbopump_core::rocketmq::wire::header::Serialization;
use turbopump_core::time::Now;

use super::Broker;
use super::answer::{Refusal, plain};
use super::sessions::{Request, SessionId};
use super::timers::Due;

/// Bytes of requests that are held back at one time; more are dropped.
const HELD_BYTES_MAX: usize = 64 << 20;

/// Something that goes wrong on purpose.
///
/// ```
/// use turbopump_std::broker::{Fault, FaultAction};
///
/// let busy = FaultAction::Refuse { code: 2, remark: "[TIMEOUT_CLEAN_QUEUE]".into() };
/// let fault = Fault::new(busy).of_code(310).times(3);
/// # let _ = fault;
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    code: Option<i32>,
    topic: Option<String>,
    times: u64,
    action: FaultAction,
}

impl Fault {
    /// For any request, until it is cleared.
    #[must_use]
    pub const fn new(action: FaultAction) -> Self {
        Self { code: None, topic: None, times: u64::MAX, action }
    }

    /// Only for requests of this code.
    #[must_use]
    pub const fn of_code(mut self, code: i32) -> Self {
        self.code = Some(code);
        self
    }

    /// Only for requests that name this topic.
    #[must_use]
    pub fn of_topic(mut self, topic: &str) -> Self {
        self.topic = Some(topic.into());
        self
    }

    /// Only so many times.
    #[must_use]
    pub const fn times(mut self, times: u64) -> Self {
        self.times = times;
        self
    }
}

/// What goes wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum FaultAction {
    /// The request is answered with a code, and nothing is done.
    Refuse {
        /// The code.
        code: i32,
        /// The remark.
        remark: String,
    },
    /// The request is done so much later; at most 64 MiB of requests are held back, more are lost.
    Delay(Duration),
    /// The request is lost: it is not done, and not answered.
    Drop,
    /// The request is done, but its answer is lost.
    LoseAnswer,
    /// The connection stays open, but nothing that comes is done, and nothing is said any more.
    HalfOpen,
    /// The connection is closed.
    Close,
    /// The broker ends, as by `kill -9`: nothing is said any more, and nothing more is written to
    /// disk. Call [`EmbeddedBroker::kill`](crate::broker::EmbeddedBroker::kill) to wait until
    /// another one can be started in its place.
    Kill,
}

/// A request, as it came.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct JournalEntry {
    /// When, in milliseconds since 1970.
    pub at_unix_ms: u64,
    /// From where.
    pub peer: SocketAddr,
    /// What is asked for.
    pub code: i32,
    /// The number of the request.
    pub opaque: i32,
    /// Whether no answer is wanted.
    pub is_oneway: bool,
    /// How the header was written.
    pub serialization: Serialization,
    /// Its fields, in their order, without signatures.
    pub fields: Vec<(String, String)>,
    /// The length of its body.
    pub body_bytes: usize,
}

#[derive(Debug, Default)]
pub(super) struct Faults {
    rules: Vec<Fault>,
    /// Requests that are held back, by number.
    held: HashMap<u64, (SessionId, Vec<u8>)>,
    held_bytes: usize,
    next: u64,
    journal: VecDeque<JournalEntry>,
    journal_max: usize,
    is_killed: bool,
    disk_delay: Duration,
}

/// What is to be done with a request.
pub(super) enum Fate {
    Do,
    DoWithoutAnswer,
    Nothing,
    Refuse(Refusal),
}

impl Broker {
    /// From now on something goes wrong.
    pub fn inject(&mut self, fault: Fault) {
        self.faults.rules.push(fault);
    }

    /// From now on nothing goes wrong any more; what was held back comes at its time all the same.
    pub fn clear_faults(&mut self) {
        self.faults.rules.clear();
        self.faults.disk_delay = Duration::ZERO;
    }

    /// From now on each write to disk, and each read from it, takes so much longer.
    pub const fn slow_down_disk(&mut self, by: Duration) {
        self.faults.disk_delay = by;
    }

    /// What whoever writes and reads has to wait for each time.
    #[must_use]
    pub const fn disk_delay(&self) -> Duration {
        self.faults.disk_delay
    }

    /// It ends as by `kill -9`: takes nothing, says nothing and writes nothing any more.
    pub fn kill(&mut self) {
        self.faults.is_killed = true;
    }

    /// Whether it was killed.
    #[must_use]
    pub const fn is_killed(&self) -> bool {
        self.faults.is_killed
    }

    /// Keeps the last requests, so many at most; 0 for none, which is so at the start.
    pub fn keep_journal(&mut self, entries_max: usize) {
        self.faults.journal_max = entries_max;
        self.faults.journal.truncate(entries_max);
    }

    /// The requests that were kept, oldest first; they are not kept any longer.
    pub fn take_journal(&mut self) -> Vec<JournalEntry> {
        self.faults.journal.drain(..).collect()
    }

    pub(super) fn write_journal(&mut self, now: Now, request: Request, frame: &Frame<'_>) {
        if self.faults.journal_max == 0 {
            return;
        }
        if self.faults.journal.len() == self.faults.journal_max {
            self.faults.journal.pop_front();
        }
        let mut fields = Vec::new();
        for field in frame.ext {
            if let (Ok(name), Ok(Some(value))) = (field.name(), field.value())
                && name != "Signature"
                && name != "SecurityToken"
            {
                fields.push((name.to_string(), value.to_string()));
            }
        }
        self.faults.journal.push_back(JournalEntry {
            at_unix_ms: now.unix_ms,
            peer: self.peer_of(request),
            code: request.code,
            opaque: request.opaque,
            is_oneway: request.is_oneway,
            serialization: request.serialization,
            fields,
            body_bytes: frame.body.len(),
        });
    }

    /// What becomes of a request; `bytes` is its whole frame.
    pub(super) fn fate_of(
        &mut self,
        now: Now,
        request: Request,
        frame: &Frame<'_>,
        bytes: &[u8],
    ) -> Fate {
        if self.faults.rules.is_empty() {
            return Fate::Do;
        }
        let topic = ["topic", "b"].into_iter().find_map(|name| frame.ext.get(name).ok().flatten());
        let topic = topic.map(plain);
        let rules = &mut self.faults.rules;
        let Some(rule) = rules.iter_mut().find(|rule| {
            rule.times > 0
                && rule.code.is_none_or(|code| code == request.code)
                && rule.topic.as_deref().is_none_or(|wanted| topic.as_deref() == Some(wanted))
        }) else {
            return Fate::Do;
        };
        rule.times -= 1;
        self.counts.faults += 1;
        match rule.action.clone() {
            FaultAction::Refuse { code, remark } => {
                return Fate::Refuse(Refusal { code, remark: Cow::Owned(remark) });
            }
            FaultAction::LoseAnswer => return Fate::DoWithoutAnswer,
            FaultAction::Drop => {}
            FaultAction::Kill => self.kill(),
            FaultAction::Delay(by) => self.hold_back(now, by, request.session, bytes),
            FaultAction::HalfOpen => {
                if let Some(session) = self.sessions.get_mut(request.session) {
                    session.is_mute = true;
                }
            }
            FaultAction::Close => {
                if let Some(session) = self.sessions.get_mut(request.session) {
                    session.outbox.clear();
                    session.closing = Some(CloseReason::Local);
                    self.sessions.wake(request.session);
                }
            }
        }
        Fate::Nothing
    }

    fn hold_back(&mut self, now: Now, by: Duration, id: SessionId, bytes: &[u8]) {
        if self.faults.held_bytes + bytes.len() > HELD_BYTES_MAX {
            return;
        }
        self.faults.next += 1;
        self.faults.held_bytes += bytes.len();
        self.faults.held.insert(self.faults.next, (id, bytes.to_vec()));
        let us = u64::try_from(by.as_micros()).unwrap_or(u64::MAX);
        self.timers.add(now.at.plus_us(us.max(1)), Due::Held(self.faults.next));
    }

    /// A request was held back for long enough.
    pub(super) fn release_held(&mut self, now: Now, number: u64) {
        if let Some((id, bytes)) = self.faults.held.remove(&number) {
            self.faults.held_bytes -= bytes.len();
            self.handle_held(now, id, &bytes);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::broker::machine::kit::Kit;

    fn fields(topic: &'static str) -> [(&'static str, &'static str); 9] {
        [
            ("consumerGroup", "billing"),
            ("topic", topic),
            ("queueId", "0"),
            ("queueOffset", "0"),
            ("maxMsgNums", "1"),
            ("sysFlag", "4"),
            ("commitOffset", "0"),
            ("suspendTimeoutMillis", "0"),
            ("subVersion", "0"),
        ]
    }

    #[test]
    fn each_fault_does_what_it_says() {
        let mut kit = Kit::new();
        let client = kit.connect();
        let pull = |kit: &mut Kit, topic| {
            kit.send(client, 11, 0, &fields(topic), b"");
            kit.take(client).into_iter().map(|got| got.code).collect::<Vec<_>>()
        };
        let busy = FaultAction::Refuse { code: 2, remark: "busy".into() };
        kit.broker.inject(Fault::new(busy).of_code(11).of_topic("TBW102").times(2));
        assert_eq!(pull(&mut kit, "TBW102"), [2]);
        assert_eq!(pull(&mut kit, "SELF_TEST_TOPIC"), [19]);
        assert_eq!(pull(&mut kit, "TBW102"), [2]);
        assert_eq!(pull(&mut kit, "TBW102"), [19]);
        kit.broker.inject(Fault::new(FaultAction::Drop).times(1));
        assert!(pull(&mut kit, "TBW102").is_empty());
        kit.broker.inject(Fault::new(FaultAction::LoseAnswer).times(1));
        assert!(pull(&mut kit, "TBW102").is_empty());
        kit.broker.inject(Fault::new(FaultAction::Delay(Duration::from_millis(50))).times(1));
        assert!(pull(&mut kit, "TBW102").is_empty());
        kit.advance_ms(49);
        assert!(kit.take(client).is_empty());
        kit.advance_ms(1);
        assert_eq!(kit.take(client).len(), 1);
        kit.broker.inject(Fault::new(FaultAction::HalfOpen));
        assert!(pull(&mut kit, "TBW102").is_empty());
        kit.broker.clear_faults();
        assert!(pull(&mut kit, "TBW102").is_empty());
        assert_eq!(kit.broker.poll_close(client), None);
        let other = kit.connect();
        kit.broker.inject(Fault::new(FaultAction::Close));
        kit.send(other, 11, 0, &fields("TBW102"), b"");
        assert_eq!(kit.broker.poll_close(other), Some(CloseReason::Local));
        assert_eq!(kit.broker.counts().faults, 7);
    }

    #[test]
    fn who_is_killed_says_and_writes_nothing_any_more() {
        let mut kit = Kit::with(crate::broker::BrokerConfig::default(), true);
        let client = kit.connect();
        kit.produce(client, "Orders", 0, "before", &[]);
        kit.broker.inject(Fault::new(FaultAction::Kill).of_code(11));
        assert!(!kit.broker.is_killed());
        kit.is_slow = true;
        let send = [
            ("a", "pg"),
            ("b", "Orders"),
            ("c", "TBW102"),
            ("d", "4"),
            ("e", "0"),
            ("f", "0"),
            ("g", "0"),
            ("h", "0"),
            ("j", "0"),
        ];
        kit.send(client, 310, 0, &send, b"unwritten");
        kit.send(client, 11, 0, &fields("TBW102"), b"");
        kit.send(client, 310, 0, &send, b"after");
        assert!(kit.broker.is_killed() && kit.take(client).is_empty());
        assert!(kit.broker.poll_group().is_none() && !kit.broker.owes_answers());
        kit.restart();
        let client = kit.connect();
        assert_eq!(kit.pull(client, "g", "Orders", 0, 0).bodies(), ["before"]);
    }

    #[test]
    fn the_journal_keeps_the_last_requests() {
        let mut kit = Kit::new();
        let client = kit.connect();
        kit.broker.keep_journal(2);
        for topic in ["TBW102", "SELF_TEST_TOPIC", "OFFSET_MOVED_EVENT"] {
            kit.ask(client, 11, &fields(topic), b"");
        }
        let topics: Vec<String> = kit
            .broker
            .take_journal()
            .into_iter()
            .flat_map(|entry| {
                entry.fields.into_iter().filter(|(name, _)| name == "topic").map(|(_, value)| value)
            })
            .collect();
        assert_eq!(topics, ["SELF_TEST_TOPIC", "OFFSET_MOVED_EVENT"]);
        assert!(kit.broker.take_journal().is_empty());
    }
}

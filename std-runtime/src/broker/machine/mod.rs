//! The broker and its name server as a machine: what is answered to whom, without IO.
//!
//! [`Broker`] decides everything: it reads no clock, waits for nothing, and touches neither sockets
//! nor files. Whoever runs it calls it under one lock:
//!
//! - Inputs: [`handle_opened`](Broker::handle_opened), [`handle_bytes`](Broker::handle_bytes),
//!   [`handle_closed`](Broker::handle_closed), [`handle_timeout`](Broker::handle_timeout); from the
//!   store [`handle_stored`](Broker::handle_stored),
//!   [`handle_store_failed`](Broker::handle_store_failed), [`handle_read`](Broker::handle_read),
//!   [`handle_trimmed`](Broker::handle_trimmed).
//! - Outputs, to be asked for after any input: [`poll_woken`](Broker::poll_woken) says whose
//!   [`poll_transmit`](Broker::poll_transmit) has something; [`poll_group`](Broker::poll_group) and
//!   [`poll_read`](Broker::poll_read) are work for the store; then
//!   [`poll_timeout`](Broker::poll_timeout).
//!
//! | module | decides |
//! | --- | --- |
//! | `answer` (and `sessions`, `answers` of the broker) | what is written to whom |
//! | `topics`, `queue`, `log`, `keys` | where messages are |
//! | `append` | what happens once a message is stored |
//! | `send`, `pull` | the two things most clients want |
//! | `delays`, `timed`, `retries`, `transactions` | which messages wait, and for what |
//! | `recall` | which of them are not to be delivered after all |
//! | `query` | how messages are found |
//! | `clients`, `groups`, `locks`, `subscriptions` | who is there, and consumes what |
//! | `offsets` | how far queues and groups are |
//! | `relay` | what is handed on to a client |
//! | `fetch` | what goes on once something was read |
//! | `access`, `faults` | who is not served, and what goes wrong on purpose |
//! | `routes`, `registration` | where clients and name servers find its topics |
//! | `admin`, `admin_groups`, `settings` | what administrators may change |
//! | `admin_stats`, `figures` | what they are told of how it goes |
//! | `assignment` | which queues a client is to consume, where it asks |
//! | `state` | what is remembered besides messages |
//! | `recovery`, `notes` | what a broker is told of its disk, and keeps of each message for that |
//! | `counts`, `stats` | what is counted, and how it is called |
//! | `timers` | what happens when |

mod access;
mod admin;
mod admin_groups;
mod admin_stats;
mod answer;
mod append;
mod assignment;
mod clients;
mod counts;
mod delays;
mod dispatch;
mod faults;
mod fetch;
mod figures;
mod groups;
mod keys;
#[cfg(test)]
pub(super) mod kit;
mod locks;
mod log;
mod notes;
mod offsets;
mod pull;
mod query;
mod queue;
mod recall;
mod recovery;
mod registration;
mod relay;
mod retries;
mod routes;
mod send;
mod settings;
mod state;
mod stats;
mod subscriptions;
mod timed;
mod timers;
mod topics;
mod transactions;

use core::net::SocketAddr;

use alloc::boxed::Box;
use alloc::collections::VecDeque;
use alloc::vec::Vec;

use bytes::{Bytes, BytesMut};

use turbopump_core::frame::{FrameError, decode};
use turbopump_core::link::{Chunks, CloseReason};
use turbopump_core::random::SplitMix64;
use turbopump_core::rocketmq::wire::frame::frames;
use turbopump_core::time::{Instant, Now};

use super::config::BrokerConfig;
use super::sessions::{self, Sessions};

pub use super::sessions::SessionId;
pub use clients::Notice;
pub use counts::Counts;
pub use faults::{Fault, FaultAction, JournalEntry};
pub use fetch::Read;
pub use log::{Group, Range};
pub use notes::NOTES;
pub use registration::{REGISTER_PERIOD, Registration};
pub use stats::{BrokerStats, SERIES_MAX};

use append::Pending;
use clients::Clients;
use faults::Faults;
use fetch::Reads;
use groups::Groups;
use keys::Keys;
use log::Log;
use pull::WaitingPulls;
use timed::Timed;
use timers::Timers;
use topics::{QueueId, Topics};
use transactions::Transactions;

/// A broker and its name server. See the [module](self).
#[derive(Debug)]
pub struct Broker {
    config: BrokerConfig,
    /// What clients are told to connect to, and what stands in messages.
    host: SocketAddr,
    sessions: Sessions,
    topics: Topics,
    groups: Groups,
    log: Log,
    keys: Keys,
    /// Messages that are appended and not stored, in the order of the log.
    pending: VecDeque<Pending>,
    /// Everything before is stored.
    stored: u64,
    /// Why nothing can be stored any more.
    closed_store: Option<Box<str>>,
    /// Queues with messages that those who wait were not told of.
    news: Vec<QueueId>,
    clients: Clients,
    transactions: Transactions,
    timed: Timed,
    pulls: WaitingPulls,
    reads: Reads,
    timers: Timers,
    faults: Faults,
    state: state::State,
    administered: state::Administered,
    random: SplitMix64,
    counts: Counts,
    figures: figures::Figures,
    directory: routes::Directory,
    /// Memory of answers that are prepared.
    prepared: BytesMut,
    /// Memory that is used again and again; empty in between.
    scratch: Vec<u8>,
    ranges: Vec<Range>,
    slices: Vec<Bytes>,
}

impl Broker {
    /// A broker that clients find at `host`, without messages. With a disk, what was found there is
    /// given by [`recover`](Self::recover) before anything else.
    #[must_use]
    pub fn new(config: BrokerConfig, host: SocketAddr, with_disk: bool, now: Now) -> Self {
        let mut broker = Self {
            host: config.advertised.unwrap_or(host),
            sessions: Sessions::default(),
            topics: Topics::default(),
            groups: Groups::default(),
            log: Log::new(0, with_disk),
            keys: Keys::default(),
            pending: VecDeque::new(),
            stored: 0,
            closed_store: None,
            news: Vec::new(),
            clients: Clients::default(),
            transactions: Transactions::default(),
            timed: Timed::default(),
            pulls: WaitingPulls::default(),
            reads: Reads::default(),
            timers: Timers::default(),
            faults: Faults::default(),
            state: state::State::default(),
            administered: state::Administered::default(),
            random: SplitMix64::new(config.seed),
            counts: Counts::default(),
            figures: figures::Figures::new(now),
            directory: routes::Directory::default(),
            prepared: BytesMut::new(),
            scratch: Vec::new(),
            ranges: Vec::new(),
            slices: Vec::new(),
            config,
        };
        broker.make_system_topics();
        broker.start_timers(now);
        broker
    }

    // --- Getters

    /// Its settings.
    #[must_use]
    pub const fn config(&self) -> &BrokerConfig {
        &self.config
    }

    /// What was counted.
    #[must_use]
    pub const fn counts(&self) -> &Counts {
        &self.counts
    }

    /// Where the log ends: the position of the next message.
    #[must_use]
    pub fn end(&self) -> u64 {
        self.log.end()
    }

    /// Where the oldest message is that is one of the newest `messages_max`; `None` where there
    /// are not more than those.
    #[must_use]
    pub fn position_of_excess(&self, messages_max: u64) -> Option<u64> {
        let queues = || self.topics.iter().flat_map(|(_, topic)| &topic.queues);
        let messages: u64 = queues().map(|queue| queue.max() - queue.min()).sum();
        let excess = messages.checked_sub(messages_max).filter(|excess| *excess > 0)?;
        // Messages are of like length: so many of them take such a part of the log.
        let (start, end) = (self.log.start(), self.log.end());
        let bytes = u128::from(end - start) * u128::from(excess) / u128::from(messages);
        Some(start + u64::try_from(bytes).unwrap_or(0))
    }

    /// Connections that are open.
    #[must_use]
    pub const fn connections(&self) -> usize {
        self.sessions.len()
    }

    // --- Inputs

    /// Where clients find it, unless they are told something else.
    pub fn set_address(&mut self, host: SocketAddr) {
        self.host = self.config.advertised.unwrap_or(host);
    }

    /// It listens there: that is said where others could do harm.
    pub fn handle_listening(&mut self, address: SocketAddr) {
        let (is_encrypted, asks_who) = (self.config.is_encrypted(), self.config.asks_who());
        if !(address.ip().is_loopback() || (is_encrypted && asks_who)) {
            self.note(Notice::Exposed { address, is_encrypted, asks_who });
        }
    }

    /// Somebody has connected; `None` where there are too many already: close the connection.
    pub fn handle_opened(&mut self, now: Now, peer: SocketAddr) -> Option<SessionId> {
        if self.sessions.len() >= self.config.limits.connections_max {
            self.counts.connections_refused += 1;
            return None;
        }
        self.counts.connections_opened += 1;
        self.scan_from(now);
        Some(self.sessions.open(peer, now.at))
    }

    /// Takes the whole frames at the front of what a connection has sent; returns their length.
    /// Stops where [`takes_bytes`](Self::takes_bytes) does not hold any more.
    ///
    /// # Errors
    ///
    /// What is wrong with these bytes: close the connection.
    pub fn handle_bytes(
        &mut self,
        now: Now,
        id: SessionId,
        window: &[u8],
    ) -> Result<usize, FrameError> {
        if self.is_killed() {
            return Ok(window.len());
        }
        let mut consumed = 0;
        let field = frames(self.config.limits.frame_bytes_max);
        let mut outcome = Ok(());
        for frame in decode(&field, window) {
            match frame {
                Ok(frame) => {
                    if let Err(error) = self.handle_frame(now, id, frame) {
                        outcome = Err(error.shifted_by(consumed as u64));
                        break;
                    }
                    consumed += frame.len();
                    if !self.takes_bytes(id) {
                        break;
                    }
                }
                Err(error) => {
                    outcome = Err(error);
                    break;
                }
            }
        }
        if let Err(error) = outcome {
            self.counts.frames_malformed += 1;
            if let Some(peer) = self.sessions.get(id).map(|session| session.peer) {
                self.note(Notice::MalformedFrame { peer, error });
            }
        }
        if consumed > 0 {
            self.settle(now);
        }
        outcome.map(|()| consumed)
    }

    /// A connection can't be let in, because it is not encrypted as it has to be.
    pub fn handle_insecure(&mut self, id: SessionId, reason: &str) {
        self.counts.connections_insecure += 1;
        if let Some(peer) = self.sessions.get(id).map(|session| session.peer) {
            self.note(Notice::Insecure { peer, reason: reason.into() });
        }
    }

    /// A connection is gone.
    pub fn handle_closed(&mut self, now: Now, id: SessionId, _reason: CloseReason) {
        if let Some(session) = self.sessions.close(id) {
            self.counts.connections_closed += 1;
            self.handle_left(now, id, session);
            self.settle(now);
        }
    }

    /// The clock was put forward: connections have not been silent for all that time.
    pub fn forgive_silence(&mut self, now: Now) {
        self.sessions.hear_all(now.at);
    }

    /// It is to be stopped: what was not remembered is.
    pub fn handle_stopping(&mut self, now: Now) {
        if !self.is_killed() {
            self.remember(now, true);
        }
    }

    /// Whether something that was taken is not answered yet, because it is being stored or read.
    #[must_use]
    pub fn owes_answers(&self) -> bool {
        let owes = !self.pending.is_empty() || self.log.has_group() || self.reads.len() > 0;
        owes && !self.is_killed()
    }

    /// Does what is due.
    pub fn handle_timeout(&mut self, now: Now) {
        self.run_timers(now);
        self.settle(now);
    }

    // --- Outputs

    /// What is to be written next to a connection.
    pub fn poll_transmit(&mut self, id: SessionId, out: &mut Chunks<Bytes>) {
        if !self.is_killed()
            && let Some(session) = self.sessions.get_mut(id)
        {
            session.outbox.transmit(out);
        }
    }

    /// Whether more is to be read from a connection: not while too much waits to be written to it.
    #[must_use]
    pub fn takes_bytes(&self, id: SessionId) -> bool {
        let unread_bytes_max = self.config.limits.unread_bytes_max;
        self.sessions.get(id).is_none_or(|session| session.unread_bytes() <= unread_bytes_max)
    }

    /// Why a connection is to be closed, once nothing is left to be written to it.
    #[must_use]
    pub fn poll_close(&self, id: SessionId) -> Option<CloseReason> {
        match self.sessions.get(id) {
            Some(session) => session.closing,
            None => Some(CloseReason::Local),
        }
    }

    /// A connection that has something to write, or is to be closed.
    #[must_use]
    pub fn poll_woken(&mut self) -> Option<SessionId> {
        self.sessions.pop_woken()
    }

    /// What is to be written to disk next, to be answered by [`handle_stored`](Self::handle_stored)
    /// or [`handle_store_failed`](Self::handle_store_failed).
    #[must_use]
    pub fn poll_group(&mut self) -> Option<Group> {
        if self.is_killed() { None } else { self.log.take_group() }
    }

    /// Whether [`poll_group`](Self::poll_group) has something.
    #[must_use]
    pub fn has_group(&self) -> bool {
        self.log.has_group() && !self.is_killed()
    }

    /// What is to be read from disk next, to be answered by [`handle_read`](Self::handle_read).
    #[must_use]
    pub fn poll_read(&mut self) -> Option<Read> {
        self.reads.poll()
    }

    /// Whether [`poll_read`](Self::poll_read) has something.
    #[must_use]
    pub fn has_read(&self) -> bool {
        self.reads.has_next()
    }

    /// When [`handle_timeout`](Self::handle_timeout) is to be called, `None` for never.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.timers.next()
    }

    // --- What follows from an input

    /// Tells those who wait what has come, and keeps the memory within its bounds.
    fn settle(&mut self, now: Now) {
        self.tell_news(now);
        self.remember(now, false);
        let memory_bytes_max = self.config.limits.memory_bytes_max;
        if self.log.hot_bytes() > memory_bytes_max {
            let written = if self.log.has_disk() { self.stored } else { u64::MAX };
            let start = self.log.start();
            self.log.shrink(memory_bytes_max, written);
            if self.log.start() != start {
                self.trim();
            }
        }
    }

    /// Forgets the index of what is no longer in the log.
    fn trim(&mut self) {
        let start = self.log.start();
        for (_, topic) in self.topics.iter_mut() {
            for queue in &mut topic.queues {
                self.counts.messages_expired += queue.trim(start);
            }
        }
        self.keys.forget_before(start);
        self.transactions.forget_before(start);
        self.trim_timed();
    }

    /// The disk has nothing before this position any more.
    pub fn handle_trimmed(&mut self, start: u64) {
        self.log.begin_at(start);
        self.trim();
    }
}

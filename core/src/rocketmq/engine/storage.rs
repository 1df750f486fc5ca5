//! The engine's storage: one place for each thing that it knows of.

use heapless::String;

use super::error::{SendError, SendErrorKind};
use super::{Placed, SendTicket};
use crate::backing::Backing;
use crate::link::{Requests, Ticket};
use crate::pool::{BufferSource, Chunk, PoolRef};
use crate::rocketmq::client::{Attempts, Health, RoundRobin, TOPIC_BYTES_MAX};
use crate::rocketmq::remoting::Remoting;
use crate::rocketmq::wire::identity::UniqueKey;
use crate::time::Instant;

/// The longest name of a topic or broker.
pub(super) const NAME_BYTES_MAX: usize = TOPIC_BYTES_MAX;
/// The longest address of a broker: an IPv6 address and its port, or a short name.
pub(super) const ADDRESS_BYTES_MAX: usize = 63;

/// Whom a link is to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Peer {
    NameServer(u16),
    Broker(u16),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum LinkState {
    Free,
    /// To be dialled,
    Wanted,
    /// and being dialled.
    Dialing,
    Open,
    /// No requests any more; free when the driver has closed it.
    Closing,
}

/// A place for a connection.
pub struct LinkPlace<'s, B: BufferSource> {
    pub(super) requests: Requests<'s, Remoting, B>,
    pub(super) state: LinkState,
    pub(super) peer: Option<Peer>,
    pub(super) used_at: Instant,
    pub(super) beat_at: Instant,
    /// The heartbeat that is under way, and since when.
    pub(super) beat: Option<(Ticket, Instant)>,
    /// Bytes that have come in, and when the last of them did.
    pub(super) heard: (u64, Instant),
}

impl<'s, B: BufferSource> LinkPlace<'s, B> {
    /// A place whose connections run by this machine, which is new.
    #[must_use]
    pub const fn new(requests: Requests<'s, Remoting, B>) -> Self {
        let (state, used_at, beat_at) = (LinkState::Free, Instant::ZERO, Instant::NEVER);
        let heard = (0, Instant::ZERO);
        Self { requests, state, peer: None, used_at, beat_at, beat: None, heard }
    }
}

/// How often somebody could not be reached, and when it may be tried again.
#[derive(Clone, Copy, Debug)]
pub(super) struct Reach {
    pub(super) failures: u32,
    pub(super) dial_after: Instant,
}

impl Reach {
    pub(super) const NEW: Self = Self { failures: 0, dial_after: Instant::ZERO };
}

/// What is being done about a topic's route.
#[derive(Clone, Copy, Debug)]
pub(super) enum Fetch {
    Idle,
    /// To be asked for; the first of the name servers is the one that answered last.
    Wanted {
        tried: u16,
        until: Instant,
    },
    Asked {
        tried: u16,
        link: usize,
        ticket: Ticket,
        at: Instant,
    },
}

/// A place for a topic.
#[derive(Debug)]
pub struct TopicPlace {
    pub(super) name: String<NAME_BYTES_MAX>,
    pub(super) fetch: Fetch,
    /// The route of that by which brokers make topics is asked for.
    pub(super) is_template: bool,
    /// Its queues are named to the name servers, whatever brokers are there.
    pub(super) is_ordered: bool,
    pub(super) fresh_until: Instant,
    pub(super) asked_at: Instant,
    pub(super) turns: RoundRobin,
    pub(super) used_at: Instant,
}

impl TopicPlace {
    /// A place for no topic yet.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            name: String::new(),
            fetch: Fetch::Idle,
            is_template: false,
            is_ordered: false,
            fresh_until: Instant::ZERO,
            asked_at: Instant::ZERO,
            turns: RoundRobin::starting_at(0),
            used_at: Instant::ZERO,
        }
    }
}

/// A place for a queue of a topic.
#[derive(Clone, Copy, Debug)]
pub struct QueuePlace {
    pub(super) topic: u16,
    pub(super) broker: u16,
    pub(super) number: i32,
}

impl QueuePlace {
    /// A place for no queue yet.
    #[must_use]
    pub const fn new() -> Self {
        Self { topic: 0, broker: 0, number: 0 }
    }
}

/// A place for a broker.
#[derive(Debug)]
pub struct BrokerPlace {
    /// Empty where there is none.
    pub(super) name: String<NAME_BYTES_MAX>,
    pub(super) address: String<ADDRESS_BYTES_MAX>,
    pub(super) health: Health,
    pub(super) reach: Reach,
}

impl BrokerPlace {
    /// A place for no broker yet.
    #[must_use]
    pub const fn new() -> Self {
        let health = Health::NEW;
        Self { name: String::new(), address: String::new(), health, reach: Reach::NEW }
    }
}

/// Where a message is.
#[derive(Clone, Copy, Debug)]
pub(super) enum Stage {
    /// The next attempt begins then.
    Waiting(Instant),
    /// An attempt needs a route,
    Routing,
    /// a link,
    Linking {
        broker: u16,
        queue: i32,
    },
    /// an answer.
    Asked {
        broker: u16,
        link: usize,
        ticket: Ticket,
        at: Instant,
    },
    Done,
}

/// A message or batch that is under way.
pub(super) struct Send<R: PoolRef> {
    pub(super) stage: Stage,
    pub(super) attempts: Attempts,
    pub(super) attempt_until: Instant,
    pub(super) topic: u16,
    /// The hash's place among the queues goes by this key.
    pub(super) key: Option<i32>,
    /// Properties, then the body.
    pub(super) chunk: Chunk<R>,
    pub(super) properties_bytes: usize,
    pub(super) user_flag: i32,
    /// Of the message, or of the first of a batch.
    pub(super) id: UniqueKey,
    pub(super) is_batch: bool,
    pub(super) failed_at: Option<u16>,
    pub(super) maybe_sent: bool,
    pub(super) last: SendErrorKind,
    pub(super) outcome: Option<Result<Placed, SendError>>,
}

/// A place for a message or batch that is under way.
pub struct SendPlace<R: PoolRef> {
    pub(super) generation: u16,
    pub(super) send: Option<Send<R>>,
}

impl<R: PoolRef> SendPlace<R> {
    /// A place for no message yet.
    #[must_use]
    pub const fn new() -> Self {
        Self { generation: 0, send: None }
    }

    pub(super) const fn ticket(&self, index: usize) -> SendTicket {
        SendTicket { index: index as u16, generation: self.generation }
    }
}

macro_rules! defaults {
    ($($place:ty),+) => {$(
        impl Default for $place {
            fn default() -> Self {
                Self::new()
            }
        }
    )+};
}
defaults!(TopicPlace, QueuePlace, BrokerPlace);

impl<R: PoolRef> Default for SendPlace<R> {
    fn default() -> Self {
        Self::new()
    }
}

impl<B: BufferSource> core::fmt::Debug for LinkPlace<'_, B> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "{:?} to {:?}", self.state, self.peer)
    }
}

impl<R: PoolRef> core::fmt::Debug for SendPlace<R> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "{:?}", self.send.as_ref().map(|send| send.stage))
    }
}

/// The storage of an [`Engine`](super::Engine).
///
/// | part | one for each |
/// | --- | --- |
/// | links | connection at a time, at least 2: to a name server and to a broker |
/// | topics | topic that is sent to at a time |
/// | queues | queue of these topics |
/// | brokers | broker that has such a queue |
/// | sends | message or batch under way |
#[derive(Debug)]
pub struct Storage<'s, B: BufferSource> {
    pub(super) links: Backing<'s, LinkPlace<'s, B>>,
    pub(super) topics: Backing<'s, TopicPlace>,
    pub(super) queues: Backing<'s, QueuePlace>,
    pub(super) brokers: Backing<'s, BrokerPlace>,
    pub(super) sends: Backing<'s, SendPlace<B::Ref>>,
}

impl<'s, B: BufferSource> Storage<'s, B> {
    /// Storage of the caller's, or owned.
    #[must_use]
    pub fn new(
        links: impl Into<Backing<'s, LinkPlace<'s, B>>>,
        topics: impl Into<Backing<'s, TopicPlace>>,
        queues: impl Into<Backing<'s, QueuePlace>>,
        brokers: impl Into<Backing<'s, BrokerPlace>>,
        sends: impl Into<Backing<'s, SendPlace<B::Ref>>>,
    ) -> Self {
        Self {
            links: links.into(),
            topics: topics.into(),
            queues: queues.into(),
            brokers: brokers.into(),
            sends: sends.into(),
        }
    }
}

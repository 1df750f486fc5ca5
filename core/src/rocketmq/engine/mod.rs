//! A client of RocketMQ that sends, as one machine over the caller's storage: the whole of it on a
//! microcontroller.
//!
//! The engine decides when whom to dial, what to ask and to send, what to do about failures, and
//! what became of each message. Dialling, reading, writing and the clock are its caller's; each of
//! its links is a [`Requests`] machine that [`driver`](crate::driver) can run.

// What comes from peers: every sum and index has to say what happens out of range.
#![deny(clippy::indexing_slicing, clippy::arithmetic_side_effects)]

mod error;
mod links;
mod message;
mod routes;
mod sends;
mod storage;

use core::fmt;

use heapless::Vec;

use self::storage::{LinkState, Peer, Reach, Stage};
use crate::backing::Backing;
use crate::link::Requests;
use crate::pool::BufferSource;
use crate::random::SplitMix64;
use crate::rocketmq::client::{MessageIds, NameServer, SendPolicy, SendStatus, name_servers};
use crate::rocketmq::remoting::Remoting;
use crate::rocketmq::wire::identity::UniqueKey;
use crate::time::{Instant, Now};

pub use self::error::{EngineRefused, SendError, SendErrorKind, SendRefused};
pub use self::message::Outgoing;
pub use self::storage::{BrokerPlace, LinkPlace, QueuePlace, SendPlace, Storage, TopicPlace};

/// Name servers of an engine, at most; those behind are not asked.
pub const NAME_SERVERS_MAX: usize = 8;

/// How an [`Engine`] is set.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct EngineConfig<'s> {
    /// Name servers: `HOST:PORT`, several with `;` or `,` between.
    pub name_servers: &'s str,
    /// The producers' group.
    pub group: &'s str,
    /// What brokers know this client by; no two may have the same.
    pub client_id: &'s str,
    /// How often and how long a message is tried.
    pub send: SendPolicy,
    /// Bytes of a body, or of all of a batch, at most. 4 MiB, as brokers have it.
    pub message_bytes_max: usize,
    /// A route is asked for again after so long, in microseconds. 30 seconds.
    pub route_us_max: u64,
    /// A name server that has not answered for so long is given up for the next. 1 second.
    pub name_server_us_max: u64,
    /// Between two heartbeats to a broker, in microseconds. 30 seconds.
    pub heartbeat_us: u64,
}

impl<'s> EngineConfig<'s> {
    /// The defaults, for a client of that name in that group.
    #[must_use]
    pub const fn new(name_servers: &'s str, group: &'s str, client_id: &'s str) -> Self {
        Self {
            name_servers,
            group,
            client_id,
            send: SendPolicy::DEFAULT,
            message_bytes_max: 4 * 1_024 * 1_024,
            route_us_max: 30_000_000,
            name_server_us_max: 1_000_000,
            heartbeat_us: 30_000_000,
        }
    }
}

/// A message or batch that was accepted, until its [`Event`] was taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct SendTicket {
    index: u16,
    generation: u16,
}

/// A link of the engine, until it is closed.
pub type LinkId = usize;

/// Where a message is that a broker has taken; of a batch, its first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Placed {
    /// The broker's number, for [`Engine::broker_name`].
    pub broker: u16,
    /// The number of the queue there.
    pub queue: i32,
    /// The offset in it.
    pub offset: i64,
    /// How safe it is.
    pub status: SendStatus,
    /// The id that the producer gave it.
    pub message_id: UniqueKey,
}

/// What became of a message or batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Event {
    /// Of which.
    pub ticket: SendTicket,
    /// What.
    pub outcome: Result<Placed, SendError>,
}

/// What the caller is to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Action<'e> {
    /// Connect, then say [`Engine::handle_dialed`] and drive the link's machine over the
    /// connection, or say [`Engine::handle_dial_failed`].
    Dial {
        /// Which link.
        link: LinkId,
        /// To which host: a name or an address.
        host: &'e str,
        /// And port.
        port: u16,
    },
}

/// A producer of RocketMQ as one machine.
///
/// - Commands: [`send`](Self::send), [`send_batch`](Self::send_batch),
///   [`shutdown`](Self::shutdown).
/// - Inputs: [`handle_dialed`](Self::handle_dialed),
///   [`handle_dial_failed`](Self::handle_dial_failed), those of each [`link`](Self::link) (see
///   [`Machine`](crate::link::Machine)), and [`handle_progress`](Self::handle_progress) after any
///   of these, after each command, and when the time of [`poll_timeout`](Self::poll_timeout) has
///   come.
/// - Outputs, after `handle_progress`: [`poll_action`](Self::poll_action),
///   [`poll_event`](Self::poll_event), what the links have to write, and the times of the engine
///   and of its links.
///
/// Each message is tried within one deadline, at other brokers where one fails; a route that is
/// known is used on when all name servers are away; brokers that are slow or fail are avoided and
/// tried again; brokers that are busy are asked again after pauses that grow. Nothing is allocated:
/// a message is encoded once, into a buffer of the source's, and kept there for other attempts.
///
/// Everything takes time in proportion to the places of its storage, which are meant to be few.
///
/// ```
/// use turbopump_core::link::{RequestConfig, RequestStorage, Requests};
/// # use turbopump_core::pool::{ClassLayout, Heap, Layout, OwnedRef, Pool};
/// use turbopump_core::rocketmq::engine::{
///     Action, BrokerPlace, Engine, EngineConfig, LinkPlace, Outgoing, QueuePlace, SendPlace,
///     Storage, TopicPlace,
/// };
/// use turbopump_core::rocketmq::remoting::Remoting;
/// use turbopump_core::time::Now;
///
/// // Arrays that are `static` on a microcontroller, and a pool over static memory.
/// # let pool = OwnedRef::new(Pool::new(&Layout::new(&[ClassLayout::new(4_096, 8)])?, Heap)?);
/// let link = || {
///     let storage = RequestStorage::on_heap(4, 2, 1);
///     let config = RequestConfig::default();
///     Requests::new(Remoting::default(), pool.clone(), storage, &config).map(LinkPlace::new)
/// };
/// let mut links = [link()?, link()?];
/// let mut topics = [TopicPlace::new()];
/// let mut queues = [QueuePlace::new(); 8];
/// let mut brokers = [BrokerPlace::new()];
/// let mut sends = [SendPlace::new(), SendPlace::new()];
/// let storage = Storage::new(
///     &mut links[..], &mut topics[..], &mut queues[..], &mut brokers[..], &mut sends[..],
/// );
/// let config = EngineConfig::new("192.0.2.1:9876", "sensors", "sensor-17");
/// let mut engine = Engine::new(config, storage, pool.clone(), 17)?;
///
/// let now = Now::default();
/// let ticket = engine.send(now, &Outgoing::new("Readings", b"21.5"))?;
/// engine.handle_progress(now);
/// let Some(Action::Dial { host, port, .. }) = engine.poll_action() else { unreachable!() };
/// assert_eq!((host, port), ("192.0.2.1", 9876));
/// # let _ = ticket;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct Engine<'s, B: BufferSource> {
    config: EngineConfig<'s>,
    buffers: B,
    links: Backing<'s, LinkPlace<'s, B>>,
    topics: Backing<'s, TopicPlace>,
    queues: Backing<'s, QueuePlace>,
    /// Queues that are known: the first so many places, those of one topic in order.
    queues_len: usize,
    brokers: Backing<'s, BrokerPlace>,
    sends: Backing<'s, SendPlace<B::Ref>>,
    servers: Vec<Reach, NAME_SERVERS_MAX>,
    /// The name server that has answered last.
    server: u16,
    ids: MessageIds,
    ids_made: u64,
    random: SplitMix64,
    is_closing: bool,
}

impl<'s, B: BufferSource> Engine<'s, B> {
    /// An engine that knows nothing yet. `seed` tells clients apart, and is where the jitter of
    /// pauses comes from.
    ///
    /// # Errors
    ///
    /// [`EngineRefused`] for a list of name servers that has none, or one that is none (a list from
    /// an `http://` address is the caller's to get), and for storage that is too small.
    pub fn new(
        config: EngineConfig<'s>,
        storage: Storage<'s, B>,
        buffers: B,
        seed: u64,
    ) -> Result<Self, EngineRefused> {
        let mut servers = Vec::new();
        for entry in name_servers(config.name_servers) {
            let refused = |reason| EngineRefused::NameServers { reason };
            match entry.map_err(|error| refused(error.reason))? {
                NameServer::Endpoint { .. } => {}
                NameServer::AddressServer { .. } => {
                    return Err(refused("names an address server; give what that says"));
                }
            }
            let _ = servers.push(Reach::NEW);
        }
        if servers.is_empty() {
            return Err(EngineRefused::NameServers { reason: "is empty" });
        }
        let Storage { links, topics, queues, brokers, sends } = storage;
        for (part, len, min) in [
            ("links", links.len(), 2),
            ("topics", topics.len(), 1),
            ("queues", queues.len(), 1),
            ("brokers", brokers.len(), 1),
            ("sends", sends.len(), 1),
        ] {
            if len < min || len > usize::from(u16::MAX) {
                return Err(EngineRefused::Storage { part, len, min });
            }
        }
        let mut random = SplitMix64::new(seed);
        let ids = MessageIds::new(random.next_u64(), random.next_u64() as u16);
        Ok(Self {
            config,
            buffers,
            links,
            topics,
            queues,
            queues_len: 0,
            brokers,
            sends,
            servers,
            server: 0,
            ids,
            ids_made: 0,
            random,
            is_closing: false,
        })
    }

    /// The machine of a link, for its driver.
    #[must_use]
    pub fn link(&mut self, link: LinkId) -> Option<&mut Requests<'s, Remoting, B>> {
        self.links.get_mut(link).map(|place| &mut place.requests)
    }

    /// How many links there are; their numbers begin with 0.
    #[must_use]
    pub fn links(&self) -> usize {
        self.links.len()
    }

    /// The name of a broker that is known.
    #[must_use]
    pub fn broker_name(&self, broker: u16) -> Option<&str> {
        let place = self.brokers.get(usize::from(broker))?;
        (!place.name.is_empty()).then_some(place.name.as_str())
    }

    /// Messages and batches that are under way, or whose event was not taken yet.
    #[must_use]
    pub fn in_flight(&self) -> usize {
        self.sends.iter().filter(|place| place.send.is_some()).count()
    }

    /// True after [`shutdown`](Self::shutdown), once every event was taken and every link is
    /// closed.
    #[must_use]
    pub fn is_drained(&self) -> bool {
        let are_free = self.links.iter().all(|link| link.state == LinkState::Free);
        self.is_closing && self.in_flight() == 0 && are_free
    }

    /// Takes no more messages. Those that are under way are sent; then brokers are told, and links
    /// are closed.
    pub fn shutdown(&mut self) {
        self.is_closing = true;
    }

    /// Does what has become possible: looks at what the links have brought, and at the time.
    pub fn handle_progress(&mut self, now: Now) {
        self.collect(now);
        self.advance_topics(now);
        self.advance_sends(now);
        // What sends have found to be missing or in doubt.
        self.advance_topics(now);
        self.tend_links(now);
    }

    /// Whom to dial next.
    #[must_use]
    pub fn poll_action(&mut self) -> Option<Action<'_>> {
        let is_wanted = |place: &LinkPlace<'_, B>| place.state == LinkState::Wanted;
        let link = self.links.iter().position(is_wanted)?;
        let place = self.links.get_mut(link)?;
        place.state = LinkState::Dialing;
        let text = match place.peer? {
            Peer::NameServer(server) => {
                return dial(link, name_servers(self.config.name_servers).nth(server.into())?);
            }
            Peer::Broker(broker) => self.brokers.get(usize::from(broker))?.address.as_str(),
        };
        dial(link, name_servers(text).next()?)
    }

    /// What became of a message; its place is free then.
    #[must_use]
    pub fn poll_event(&mut self) -> Option<Event> {
        for (index, place) in self.sends.iter_mut().enumerate() {
            let done = place.send.as_ref().is_some_and(|send| matches!(send.stage, Stage::Done));
            if done
                && let Some(send) = place.send.take()
                && let Some(outcome) = send.outcome
            {
                let ticket = place.ticket(index);
                place.generation = place.generation.wrapping_add(1);
                return Some(Event { ticket, outcome });
            }
        }
        None
    }

    /// When to call [`handle_progress`](Self::handle_progress) although nothing has happened;
    /// after that call it is in the future. The links have times of their own.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        let sends = self.sends.iter().filter_map(|place| place.send.as_ref());
        let sends = sends.filter_map(|send| match send.stage {
            Stage::Waiting(at) => Some(at),
            Stage::Routing | Stage::Linking { .. } => Some(send.attempt_until),
            _ => None,
        });
        let topics = self.topics.iter().filter_map(|topic| match topic.fetch {
            storage::Fetch::Wanted { until, .. } => Some(until),
            _ => None,
        });
        let links = self.links.iter().filter(|link| link.state == LinkState::Open);
        let at = sends.chain(topics).chain(links.map(|link| link.beat_at)).min()?;
        (at != Instant::NEVER).then_some(at)
    }

    fn next_id(&mut self, now: Now) -> UniqueKey {
        self.ids_made = self.ids_made.wrapping_add(1);
        self.ids.get(self.ids_made, now.unix_ms)
    }
}

fn dial<'e, E>(link: LinkId, to: Result<NameServer<'e>, E>) -> Option<Action<'e>> {
    match to {
        Ok(NameServer::Endpoint { host, port }) => Some(Action::Dial { link, host, port }),
        // Addresses are looked at before they are noted.
        _ => None,
    }
}

impl<B: BufferSource> fmt::Debug for Engine<'_, B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Engine")
            .field("config", &self.config)
            .field("links", &&*self.links)
            .field("in_flight", &self.in_flight())
            .finish_non_exhaustive()
    }
}

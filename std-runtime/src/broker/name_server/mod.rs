//! A name server that stands apart, as a machine: brokers register, clients ask for routes.
//!
//! The inputs and outputs of [`NameServer`] are those of
//! [`Broker`](super::machine::Broker), without a store.
//!
//! | module | decides |
//! | --- | --- |
//! | `requests` | what is answered to which request |
//! | `registration` | how registrations are read |
//! | `registry` | which brokers and topics there are, and for how long |
//! | `route` | how routes are written |
//! | `stats` | under which names its numbers are known |
//! | `kv` | what administrators may keep here |

mod config;
pub(in crate::broker) mod kv;
pub(in crate::broker) mod registration;
mod registry;
pub(in crate::broker) mod requests;
pub(in crate::broker) mod route;
mod stats;
#[cfg(test)]
mod tests;

use alloc::collections::BTreeSet;
use core::net::SocketAddr;

use bytes::Bytes;

use turbopump_core::frame::{FrameError, decode};
use turbopump_core::link::{Chunks, CloseReason};
use turbopump_core::rocketmq::wire::frame::{Frame, frames};
use turbopump_core::rocketmq::wire::header::response_code;
use turbopump_core::time::{Instant, Now};

use super::answers::Wrote;
use super::sessions::{Request, SessionId, Sessions};
use kv::KvConfig;
use registry::Registry;

pub use config::NameServerConfig;
pub use stats::NameServerStats;

/// Counts since the name server was started.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct NameServerCounts {
    /// Connections that were accepted.
    pub connections_opened: u64,
    /// Connections that have ended.
    pub connections_closed: u64,
    /// Connections that were one too many.
    pub connections_refused: u64,
    /// Connections that said nothing for too long.
    pub connections_idle: u64,
    /// Connections that were closed because they could not be encrypted, or were not though they
    /// had to be.
    pub connections_insecure: u64,
    /// Frames that were handled.
    pub frames: u64,
    /// Connections that sent something that is no frame, and were closed.
    pub frames_malformed: u64,
    /// Requests that were answered with success.
    pub requests_granted: u64,
    /// Requests that were answered with anything else.
    pub requests_refused: u64,
    /// Requests that nobody knows.
    pub requests_unknown: u64,
    /// Answers that were too long for a frame.
    pub unwritable: u64,
    /// Registrations that were taken.
    pub registrations: u64,
    /// Brokers that were not heard of for too long, or whose connection was lost.
    pub brokers_lost: u64,
}

/// A name server. See the [module](self).
#[derive(Debug)]
pub struct NameServer {
    config: NameServerConfig,
    sessions: Sessions,
    registry: Registry,
    kv: KvConfig,
    /// When to look whether somebody is still there; each connection once.
    idle: BTreeSet<(Instant, SessionId)>,
    counts: NameServerCounts,
}

impl NameServer {
    /// A name server that knows of no broker.
    #[must_use]
    pub fn new(config: NameServerConfig) -> Self {
        Self {
            config,
            sessions: Sessions::default(),
            registry: Registry::default(),
            kv: KvConfig::default(),
            idle: BTreeSet::new(),
            counts: NameServerCounts::default(),
        }
    }

    // --- Getters

    /// Its settings.
    #[must_use]
    pub const fn config(&self) -> &NameServerConfig {
        &self.config
    }

    /// What was counted.
    #[must_use]
    pub const fn counts(&self) -> &NameServerCounts {
        &self.counts
    }

    /// Connections that are open.
    #[must_use]
    pub const fn connections(&self) -> usize {
        self.sessions.len()
    }

    /// Brokers that are registered, masters and slaves.
    #[must_use]
    pub fn brokers(&self) -> usize {
        self.registry.len()
    }

    /// Topics of each broker, one by one.
    #[must_use]
    pub const fn routes(&self) -> usize {
        self.registry.routes()
    }

    // --- Inputs

    /// Somebody has connected; `None` where there are too many already: close the connection.
    pub fn handle_opened(&mut self, now: Now, peer: SocketAddr) -> Option<SessionId> {
        if self.sessions.len() >= self.config.connections_max {
            self.counts.connections_refused += 1;
            return None;
        }
        self.counts.connections_opened += 1;
        let id = self.sessions.open(peer, now.at);
        self.idle.insert((self.idle_at(now.at), id));
        Some(id)
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
        let mut consumed = 0;
        for frame in decode(&frames(self.config.frame_bytes_max), window) {
            let taken = frame.and_then(|frame| {
                self.handle_frame(now, id, frame)
                    .map_err(|error| error.shifted_by(consumed as u64))
                    .map(|()| frame.len())
            });
            match taken {
                Ok(bytes) => {
                    consumed += bytes;
                    if !self.takes_bytes(id) {
                        break;
                    }
                }
                Err(error) => {
                    self.counts.frames_malformed += 1;
                    return Err(error);
                }
            }
        }
        Ok(consumed)
    }

    /// A connection can't be let in, because it is not encrypted as it has to be.
    pub const fn handle_insecure(&mut self) {
        self.counts.connections_insecure += 1;
    }

    /// A connection is gone, and so are the brokers that were registered by it.
    pub fn handle_closed(&mut self, _now: Now, id: SessionId, _reason: CloseReason) {
        if self.sessions.close(id).is_some() {
            self.counts.connections_closed += 1;
            self.counts.brokers_lost += self.registry.remove_session(id) as u64;
        }
    }

    /// Does what is due.
    pub fn handle_timeout(&mut self, now: Now) {
        self.counts.brokers_lost += self.registry.expire(now.at) as u64;
        while let Some((at, id)) = self.idle.first().copied()
            && at <= now.at
        {
            self.idle.pop_first();
            let Some(heard) = self.sessions.get(id).map(|session| session.heard) else {
                continue;
            };
            let again = self.idle_at(heard);
            if again > now.at {
                self.idle.insert((again, id));
            } else if let Some(session) = self.sessions.get_mut(id) {
                session.closing = Some(CloseReason::Local);
                self.counts.connections_idle += 1;
                self.sessions.wake(id);
            }
        }
    }

    // --- Outputs

    /// What is to be written next to a connection.
    pub fn poll_transmit(&mut self, id: SessionId, out: &mut Chunks<Bytes>) {
        if let Some(session) = self.sessions.get_mut(id) {
            session.outbox.transmit(out);
        }
    }

    /// Whether more is to be read from a connection: not while too much waits to be written to it.
    #[must_use]
    pub fn takes_bytes(&self, id: SessionId) -> bool {
        let unread_bytes_max = self.config.unread_bytes_max;
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

    /// When [`handle_timeout`](Self::handle_timeout) is to be called, `None` for never.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        let idle = self.idle.first().map(|(at, _)| *at);
        [self.registry.next(), idle].into_iter().flatten().min()
    }

    // --- Frames

    fn idle_at(&self, heard: Instant) -> Instant {
        heard.plus_us(u64::try_from(self.config.idle_max.as_micros()).unwrap_or(u64::MAX).max(1))
    }

    fn handle_frame(&mut self, now: Now, id: SessionId, bytes: &[u8]) -> Result<(), FrameError> {
        let Ok(frame) = Frame::decode(bytes) else {
            let reason = "a RocketMQ header in JSON or binary form";
            return Err(FrameError::Malformed { at: 0, reason });
        };
        self.counts.frames += 1;
        let Some(session) = self.sessions.get_mut(id) else {
            return Ok(());
        };
        session.heard = now.at;
        if frame.header.is_response() {
            // Nobody was asked anything.
            return Ok(());
        }
        let request = Request {
            session: id,
            code: frame.header.code,
            opaque: frame.header.opaque,
            serialization: frame.serialization,
            version: frame.header.version,
            is_oneway: frame.header.is_oneway(),
        };
        let wrote = match self.handle_request(now, request, &frame) {
            Ok(reply) => {
                self.counts.requests_granted += 1;
                let (remark, ext) = (reply.remark.as_deref(), reply.ext());
                let ext = &*ext;
                self.sessions.answer(request, response_code::SUCCESS, remark, &ext, &reply.body)
            }
            Err(refusal) => {
                self.counts.requests_refused += 1;
                let (code, none) = (refusal.code, &[] as &[(&str, &str)]);
                self.sessions.answer(request, code, Some(&refusal.remark), &none, &[])
            }
        };
        self.counts.unwritable += u64::from(wrote == Wrote::TooLong);
        Ok(())
    }
}

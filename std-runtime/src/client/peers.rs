//! Connections: one to each broker and name server, made when it is needed.

mod notes;

use core::future::poll_fn;
use core::net::SocketAddr;
use core::task::{Poll, Waker};
use core::time::Duration;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use alloc::boxed::Box;
use alloc::collections::BTreeMap;
use alloc::format;
use alloc::string::ToString;
use alloc::sync::{Arc, Weak};
use alloc::vec::Vec;

use turbopump_core::pool::{ClassLayout, Layout};
use turbopump_core::rocketmq::client::Health;
use turbopump_core::rocketmq::wire::header::{
    ExtSource, FLAG_ONEWAY, Serialization, request_code, response_code,
};

use super::config::{AddressMapper, ClientConfig};
use super::consumer::group_asked;
use super::counts::{Asked, Closed, Past};
use super::error::ConnectError;
use super::groups::Groups;
use super::planted::{Planted, PlantedBug};
use super::transaction::answer_check;
use crate::backend::{Backend, Endpoint};
use crate::end::End;
use crate::memory::BufferPool;
use crate::net::{ConnectionPool, PoolSettings, RequestLinkConfig};
#[cfg(feature = "acl")]
use crate::rocketmq::User;
use crate::rocketmq::{Answer, AskError, RemotingLink};
use crate::tasks::kinds;
use crate::within::within;

/// Everybody that was ever asked for.
pub(super) struct Peers<B: Backend> {
    groups: Arc<Groups>,
    backend: B,
    pub(super) settings: PoolSettings,
    planted: Planted,
    mapper: Option<AddressMapper>,
    serialization: Serialization,
    #[cfg(feature = "acl")]
    user: Option<User>,
    pub(super) buffers: BufferPool,
    by_endpoint: Mutex<BTreeMap<Endpoint, Arc<Peer<B>>>>,
    /// What those have counted whom nobody needs any more.
    past: Mutex<Past>,
}

/// A broker, or a name server.
pub(super) struct Peer<B: Backend> {
    pub(super) backend: B,
    /// Itself, for the task that listens.
    this: Weak<Self>,
    groups: Arc<Groups>,
    pub(super) endpoint: Endpoint,
    pool: ConnectionPool<B>,
    buffers: BufferPool,
    serialization: Serialization,
    #[cfg(feature = "acl")]
    user: Option<User>,
    planted: Planted,
    state: Mutex<LinkState>,
    pub(super) health: Mutex<Health>,
}

#[derive(Default)]
struct LinkState {
    open: Option<RemotingLink>,
    /// Whom the last one was made to.
    address: Option<SocketAddr>,
    /// Ends the task that listens to it.
    listening: Arc<End>,
    /// The last heartbeat over it that was answered, and what it named.
    beaten: Option<(Instant, Arc<[Box<str>]>)>,
    /// The last one that was not.
    missed: Option<Instant>,
    /// One is under way.
    is_beating: bool,
    /// Somebody is at it; the others wait.
    is_dialing: bool,
    waiting: Vec<Waker>,
    /// What was counted, without the link that is open.
    past: Past,
    /// How the last question for a route came out.
    asked: Option<Asked>,
}

/// A link to ask over.
struct OpenLink {
    link: RemotingLink,
    /// Bytes that had come in by then.
    heard_bytes: u64,
}

/// Why nothing was answered.
#[derive(Debug)]
pub(super) struct NoAnswer {
    pub(super) reason: Box<str>,
    /// Whether the request may have been seen.
    pub(super) maybe_sent: bool,
}

impl<B: Backend> Peers<B> {
    pub(super) fn new(
        backend: &B,
        config: &ClientConfig,
        groups: &Arc<Groups>,
    ) -> Result<Self, ConnectError> {
        let settings = PoolSettings {
            connections_max: 2,
            #[cfg(feature = "tls")]
            tls: config.tls.clone(),
            ..PoolSettings::default()
        };
        settings.check().map_err(ConnectError::Settings)?;
        // Heads, answers and short bodies; then bodies up to the longest, with what goes before.
        let longest = config.message_bytes_max.saturating_add(64 << 10);
        let mut classes = Vec::from([
            ClassLayout::new(512, 8_192),
            ClassLayout::new(4_096, 4_096),
            ClassLayout::new(65_536, 512),
            // Batches of the default size, which would take a megabyte each; then pulls, which
            // stay until their last message is handled.
            ClassLayout::new(160 << 10, 128),
            ClassLayout::new(320 << 10, 128),
            ClassLayout::new(1 << 20, 32),
        ]);
        if longest > 1 << 20 {
            classes.push(ClassLayout::new(longest, 16));
        }
        // These sizes grow from one to the next.
        let buffers = Layout::new(&classes).map(|layout| BufferPool::new(&layout));
        let buffers = buffers.unwrap_or_else(|_| BufferPool::standard());
        Ok(Self {
            groups: Arc::clone(groups),
            backend: backend.clone(),
            settings,
            planted: Planted::of(config),
            mapper: config.address_mapper.clone(),
            serialization: config.header_serialization,
            #[cfg(feature = "acl")]
            user: config.user.clone(),
            buffers,
            by_endpoint: Mutex::default(),
            past: Mutex::default(),
        })
    }

    fn by_endpoint(&self) -> MutexGuard<'_, BTreeMap<Endpoint, Arc<Peer<B>>>> {
        self.by_endpoint.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The broker that says it is there.
    pub(super) fn advertised(&self, endpoint: &Endpoint) -> Arc<Peer<B>> {
        match &self.mapper {
            Some(mapper) => self.at(&mapper(endpoint)),
            None => self.at(endpoint),
        }
    }

    /// Whoever is there.
    pub(super) fn at(&self, endpoint: &Endpoint) -> Arc<Peer<B>> {
        let mut peers = self.by_endpoint();
        if let Some(peer) = peers.get(endpoint) {
            return Arc::clone(peer);
        }
        let peer = Arc::new_cyclic(|this| Peer {
            this: Weak::clone(this),
            groups: Arc::clone(&self.groups),
            backend: self.backend.clone(),
            endpoint: endpoint.clone(),
            pool: ConnectionPool::with_checked(
                self.backend.clone(),
                endpoint.clone(),
                self.settings.clone(),
            ),
            buffers: self.buffers.clone(),
            serialization: self.serialization,
            #[cfg(feature = "acl")]
            user: self.user.clone(),
            planted: self.planted,
            state: Mutex::default(),
            health: Mutex::default(),
        });
        peers.insert(endpoint.clone(), Arc::clone(&peer));
        peer
    }

    /// Lets go of everybody whom `is_needed` does not name.
    pub(super) fn retain(&self, is_needed: impl Fn(&Arc<Peer<B>>) -> bool) {
        self.by_endpoint().retain(|_, peer| {
            let keeps = is_needed(peer);
            if !keeps {
                let past = peer.end_counting();
                self.past.lock().unwrap_or_else(PoisonError::into_inner).merge(&past);
            }
            keeps
        });
    }

    pub(super) fn past(&self) -> Past {
        self.past.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(super) async fn close(&self) {
        let peers: Vec<_> = self.by_endpoint().values().cloned().collect();
        for peer in peers {
            peer.close().await;
        }
    }
}

impl<B: Backend> Peers<B> {
    /// Ends all connections at once, with what is asked over them.
    pub(super) fn abort(&self) {
        for peer in self.by_endpoint().values() {
            if let Some(link) = &peer.state().open {
                link.abort();
            }
        }
    }
}

impl<B: Backend> Peer<B> {
    fn state(&self) -> MutexGuard<'_, LinkState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn health(&self) -> MutexGuard<'_, Health> {
        self.health.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Asks for something, over the connection that there is or a new one, all within `timeout`.
    pub(super) async fn ask(
        &self,
        code: i32,
        fields: &(impl ExtSource + ?Sized),
        body: &[u8],
        timeout: Duration,
    ) -> Result<Answer, NoAnswer> {
        let begin = self.backend.now();
        let failed = |reason: Box<str>, maybe_sent| NoAnswer {
            reason: format!("{}: {reason}", self.endpoint).into(),
            maybe_sent,
        };
        let open = self.link(timeout).await.map_err(|reason| failed(reason, false))?;
        let OpenLink { link, heard_bytes } = open;
        let left = timeout.saturating_sub(self.backend.now().saturating_duration_since(begin));
        let asked = self.ask_over(&link, code, fields, body, left).await;
        asked.map_err(|error| {
            // Nothing has come since: whoever is there does not answer anybody.
            if error.is_timeout() && link.status().bytes_in == heard_bytes {
                self.give_up(&link);
            }
            failed(error.to_string().into_boxed_str(), error.maybe_sent())
        })
    }

    async fn ask_over(
        &self,
        link: &RemotingLink,
        code: i32,
        fields: &(impl ExtSource + ?Sized),
        body: &[u8],
        timeout: Duration,
    ) -> Result<Answer, AskError> {
        #[cfg(feature = "acl")]
        if let Some(user) = &self.user {
            let signed = user.credentials().sign(fields, body)?;
            return link.ask(code, &signed, body, timeout).await;
        }
        link.ask(code, fields, body, timeout).await
    }

    /// Another connection is made when one is needed; what is asked over this one fails.
    fn give_up(&self, link: &RemotingLink) {
        let mut state = self.state();
        let taken = state.open.take_if(|open| open.is_same_as(link));
        if taken.is_some() {
            state.past.retire(link.counters(), Closed::Silent);
        }
        drop(state);
        drop(taken);
        link.abort();
    }

    /// Sends something that is not answered.
    pub(super) async fn tell(
        &self,
        code: i32,
        fields: &(impl ExtSource + ?Sized),
        body: &[u8],
        timeout: Duration,
    ) -> Result<(), NoAnswer> {
        let failed = |reason: &str| NoAnswer {
            reason: format!("{}: {reason}", self.endpoint).into(),
            maybe_sent: false,
        };
        let link = self.link(timeout).await.map_err(|reason| failed(&reason))?.link;
        let told = self.tell_over(&link, code, fields, body);
        told.map_err(|error| failed(&error.to_string()))
    }

    pub(super) fn tell_over(
        &self,
        link: &RemotingLink,
        code: i32,
        fields: &(impl ExtSource + ?Sized),
        body: &[u8],
    ) -> Result<(), AskError> {
        #[cfg(feature = "acl")]
        if let Some(user) = &self.user {
            let signed = user.credentials().sign(fields, body)?;
            return link.tell(code, &signed, body);
        }
        link.tell(code, fields, body)
    }

    /// The link, if it is open; true where it is for whoever asks to make it.
    fn poll_link(&self, waker: Option<&Waker>) -> Poll<Option<OpenLink>> {
        let mut state = self.state();
        let is_kept = self.planted.is(PlantedBug::ClosedConnectionKept);
        if let Some(link) = &state.open {
            let status = link.status();
            if status.closed.is_none() || is_kept {
                let (link, heard_bytes) = (link.clone(), status.bytes_in);
                return Poll::Ready(Some(OpenLink { link, heard_bytes }));
            }
            let reason = status.closed.map_or(Closed::Failed, Closed::of);
            let closed = state.open.take();
            if let Some(link) = &closed {
                state.past.retire(link.counters(), reason);
            }
            drop(state);
            drop(closed);
            state = self.state();
        }
        let Some(waker) = waker else { return Poll::Pending };
        if !state.is_dialing {
            state.is_dialing = true;
            return Poll::Ready(None);
        }
        state.waiting.push(waker.clone());
        Poll::Pending
    }

    /// The link; whoever comes while it is being made waits for that.
    async fn link(&self, timeout: Duration) -> Result<OpenLink, Box<str>> {
        // As a rule; without a timer.
        if let Poll::Ready(Some(open)) = self.poll_link(None) {
            return Ok(open);
        }
        let until = self.backend.now() + timeout;
        let ready = poll_fn(|cx| self.poll_link(Some(cx.waker())));
        match within(&self.backend, until, ready).await {
            None => return Err("no connection in time".into()),
            Some(Some(open)) => return Ok(open),
            Some(None) => {}
        }
        // Whatever happens, even if this future is dropped: somebody else may try.
        let _dialing = Dialing(self);
        let left = until.saturating_duration_since(self.backend.now());
        let connection = self.pool.get_within(left).await;
        if connection.is_err() {
            self.state().past.counts.dials_failed += 1;
        }
        let connection = connection.map_err(|error| error.to_string().into_boxed_str())?;
        let (address, halves) = (connection.peer_address(), connection.split());
        let mut config = RequestLinkConfig::default();
        config.in_flight_max += PULLS_MAX;
        let link = RemotingLink::over(&self.backend, halves, self.buffers.clone(), &config);
        let link = link.map_err(|error| error.to_string().into_boxed_str())?;
        let link = link.with_serialization(self.serialization);
        let listening = Arc::default();
        let mut state = self.state();
        (state.open, state.address) = (Some(link.clone()), Some(address));
        state.past.counts.opened += 1;
        let before = core::mem::replace(&mut state.listening, Arc::clone(&listening));
        state.beaten = None;
        drop(state);
        before.call();
        let (this, heard) = (Weak::clone(&self.this), link.clone());
        kinds::CLIENT_LISTENER.spawn(&self.backend, listen(this, heard, listening));
        // Whoever is there learns which groups there are.
        self.groups.bell.ring();
        Ok(OpenLink { link, heard_bytes: 0 })
    }

    /// Looks its name up again, by `until`. Where that stands for other addresses now, the next
    /// request goes to one of them; what is under way is waited for.
    pub(super) async fn look_up(&self, until: Instant) {
        let address = match &*self.state() {
            LinkState { open: Some(_), address: Some(address), .. } => *address,
            _ => return,
        };
        if self.endpoint.socket_address().is_some() {
            return;
        }
        let found = self.backend.resolve(self.endpoint.host(), self.endpoint.port());
        // While nobody can tell, it stays where it is.
        let Some(Ok(found)) = within(&self.backend, until, found).await else { return };
        if found.is_empty() || found.contains(&address) {
            return;
        }
        self.pool.forget_addresses();
        let mut state = self.state();
        if state.address != Some(address) {
            return;
        }
        let Some(link) = state.open.take() else { return };
        let reason = link.status().closed.map_or(Closed::Moved, Closed::of);
        state.past.retire(link.counters(), reason);
        state.beaten = None;
        let listening = Arc::clone(&state.listening);
        drop(state);
        listening.call();
        self.groups.bell.ring();
    }

    async fn close(&self) {
        let listening = Arc::clone(&self.state().listening);
        listening.call();
        listening.all_have_left().await;
        let open = self.state().open.take();
        if let Some(link) = open {
            if self.planted.is(PlantedBug::ConnectionLeftOpen) {
                core::mem::forget(link);
                return;
            }
            link.close().await;
            // While it was being closed it was nobody's.
            self.state().past.retire(link.counters(), Closed::Shutdown);
        }
        self.pool.close().await;
    }
}

/// Pulls that wait at one broker at a time, besides other requests.
const PULLS_MAX: usize = 2_048;

/// How long what became of a transaction may be looked up; others wait meanwhile.
const CHECK_WITHIN: Duration = Duration::from_secs(10);

/// Hears what a peer asks, until the connection or this peer is gone.
async fn listen<B: Backend>(this: Weak<Peer<B>>, link: RemotingLink, listening: Arc<End>) {
    let _ticket = listening.enter();
    while let Some(Ok(asked)) = listening.unless_over(link.unsolicited()).await {
        let Some(peer) = this.upgrade() else { return };
        let Ok(frame) = asked.frame() else { continue };
        if frame.header.code == request_code::CHECK_TRANSACTION_STATE {
            // It is a function of the user's. What takes too long is asked again.
            let answered = answer_check(&peer, &link, &peer.groups, &frame);
            let until = peer.backend.now() + CHECK_WITHIN;
            listening.unless_over(within(&peer.backend, until, answered)).await;
        } else if let Some(asked) = group_asked(&frame).and_then(|group| peer.groups.asked(&group))
        {
            asked.handle(&link, &frame);
        } else if frame.header.flag & FLAG_ONEWAY == 0 {
            let (code, fields) =
                (response_code::REQUEST_CODE_NOT_SUPPORTED, &[] as &[(&str, &str)]);
            // It is not asked for again where that is lost.
            let _ = link.answer(&frame.header, code, fields, b"");
        }
    }
}

impl<B: Backend> Drop for Peer<B> {
    fn drop(&mut self) {
        self.state().listening.call();
    }
}

struct Dialing<'p, B: Backend>(&'p Peer<B>);

impl<B: Backend> Drop for Dialing<'_, B> {
    fn drop(&mut self) {
        let mut state = self.0.state();
        state.is_dialing = false;
        let waiting = core::mem::take(&mut state.waiting);
        drop(state);
        waiting.into_iter().for_each(Waker::wake);
    }
}

//! What a client counts about connections, heartbeats and routes, and what it is called.
//!
//! Everybody who is asked counts for themselves, under the lock that is held anyway; what those
//! have counted who are not needed any more goes on as `_other`. Messages are counted by
//! `send_stats`.

use core::time::Duration;
use std::sync::LazyLock;

use alloc::string::{String, ToString};
use alloc::vec::Vec;

use turbopump_core::descriptor;
use turbopump_core::link::{CloseReason, RequestCounters};
use turbopump_core::stats::{
    Descriptor, Kind, LABEL_VALUES_MAX, OTHER, PeakGauge, Samples, Source, Unit, VisitError,
};
use turbopump_core::time::Clock;

use super::Inner;
use super::health::PeerHealth;
use crate::backend::Backend;
use crate::net::{CLOSED, DIAL_FAILURES, OPENED};

/// Why a connection of a client's was closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Closed {
    /// The client was closed.
    Shutdown,
    /// The peer closed it.
    Peer,
    /// The peer sent what it must not.
    Frame,
    /// Reading or writing failed.
    Failed,
    /// Nothing came, or nothing was taken, for too long.
    Silent,
    /// Nobody needs the peer any more.
    Unused,
    /// The name that it has stands for other addresses now.
    Moved,
}

impl Closed {
    /// All of them.
    pub const ALL: [Self; 7] = [
        Self::Shutdown,
        Self::Peer,
        Self::Frame,
        Self::Failed,
        Self::Silent,
        Self::Unused,
        Self::Moved,
    ];

    /// As the label `reason` has it.
    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            Self::Shutdown => "shutdown",
            Self::Peer => "peer",
            Self::Frame => "frame",
            Self::Failed => "failed",
            Self::Silent => "silent",
            Self::Unused => "unused",
            Self::Moved => "moved",
        }
    }

    pub(super) const fn of(reason: CloseReason) -> Self {
        match reason {
            CloseReason::Local => Self::Shutdown,
            CloseReason::Peer => Self::Peer,
            CloseReason::Frame(_) => Self::Frame,
            CloseReason::WriteTimeout | CloseReason::Idle => Self::Silent,
            _ => Self::Failed,
        }
    }
}

/// How a name server answered when it was asked where a topic is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Asked {
    Known,
    Unknown,
    Failed,
}

/// What is counted about a broker or a name server, from when the client first needed it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct PeerCounts {
    /// Connections that were opened.
    pub opened: u64,
    /// Attempts to open one that failed.
    pub dials_failed: u64,
    /// Heartbeats that a broker took.
    pub heartbeats_taken: u64,
    /// Heartbeats that were not answered, or refused.
    pub heartbeats_failed: u64,
    /// Questions where a topic is that a name server answered.
    pub routes_fetched: u64,
    /// Those whose answer was that there is no such topic.
    pub routes_unknown: u64,
    /// Those that it did not answer, or not in a way that can be read.
    pub routes_failed: u64,
    closed: [u64; Closed::ALL.len()],
}

impl PeerCounts {
    /// Connections that were closed, for one reason.
    #[must_use]
    pub const fn closed(&self, reason: Closed) -> u64 {
        self.closed[reason as usize]
    }

    /// Connections that were closed, for whatever reason.
    #[must_use]
    pub fn closed_in_all(&self) -> u64 {
        self.closed.iter().sum()
    }

    pub(super) fn count_closed(&mut self, reason: Closed) {
        self.closed[reason as usize] += 1;
    }

    pub(super) fn count_asked(&mut self, how: Asked) {
        match how {
            Asked::Known => self.routes_fetched += 1,
            Asked::Unknown => self.routes_unknown += 1,
            Asked::Failed => self.routes_failed += 1,
        }
    }

    pub(super) fn merge(&mut self, other: &Self) {
        for (ours, theirs) in [
            (&mut self.opened, other.opened),
            (&mut self.dials_failed, other.dials_failed),
            (&mut self.heartbeats_taken, other.heartbeats_taken),
            (&mut self.heartbeats_failed, other.heartbeats_failed),
            (&mut self.routes_fetched, other.routes_fetched),
            (&mut self.routes_unknown, other.routes_unknown),
            (&mut self.routes_failed, other.routes_failed),
        ] {
            *ours += theirs;
        }
        self.closed.iter_mut().zip(other.closed).for_each(|(ours, theirs)| *ours += theirs);
    }
}

/// What has ended: connections of one peer, or peers.
#[derive(Clone, Debug, Default)]
pub(super) struct Past {
    pub(super) counts: PeerCounts,
    /// Of connections that are closed.
    pub(super) requests: RequestCounters,
}

impl Past {
    /// A connection has ended.
    pub(super) fn retire(&mut self, mut requests: RequestCounters, reason: Closed) {
        self.counts.count_closed(reason);
        // What was under way is not any more.
        requests.in_flight = PeakGauge::new();
        self.requests.merge(&requests);
    }

    pub(super) fn merge(&mut self, other: &Self) {
        self.counts.merge(&other.counts);
        self.requests.merge(&other.requests);
    }
}

/// A broker or a name server at one moment.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct PeerStats {
    /// How it is.
    pub health: PeerHealth,
    /// What was counted.
    pub counts: PeerCounts,
    /// Whether a name server answered when it was asked last; `None` for brokers, and where nobody
    /// has asked yet.
    pub is_up: Option<bool>,
}

/// What a client has counted, and how it is: a [`Source`].
///
/// Series have the label `address`, at most 200 of them; what comes on top, and those whom nobody
/// needs any more, is counted under `_other`. Requests are those of all connections together.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct ClientStats {
    /// Name servers, then brokers that are known of.
    pub peers: Vec<PeerStats>,
    /// What was counted about those whom nobody needs any more.
    pub others: PeerCounts,
    /// What was asked over all connections, those that are closed included.
    pub requests: RequestCounters,
    /// Since when the oldest route is believed; `None` without any.
    pub route_age_max: Option<Duration>,
}

impl ClientStats {
    /// What was counted, of all peers together.
    #[must_use]
    pub fn counts(&self) -> PeerCounts {
        let mut counts = self.others;
        self.peers.iter().for_each(|peer| counts.merge(&peer.counts));
        counts
    }
}

static HEARTBEATS: Descriptor = descriptor!(
    Kind::Counter,
    "turbopump_heartbeats_total",
    "Heartbeats, by whether the broker took them (ok) or not (failed)."
);
static ROUTE_FETCHES: Descriptor = descriptor!(
    Kind::Counter,
    "turbopump_route_fetches_total",
    "Questions where a topic is, by what the name server said: ok, unknown, failed."
);
static HEARTBEAT_AGE: Descriptor = descriptor!(
    Kind::Gauge,
    "turbopump_heartbeat_age_seconds",
    "Since when the last heartbeat that the broker answered was sent.",
    Unit::MICROSECONDS
);
static ROUTE_AGE: Descriptor = descriptor!(
    Kind::Gauge,
    "turbopump_route_age_seconds",
    "Since when the oldest route is believed.",
    Unit::MICROSECONDS
);
static NAME_SERVER_UP: Descriptor = descriptor!(
    Kind::Gauge,
    "turbopump_nameserver_up",
    "1 where the name server answered when it was asked last."
);
static ISOLATED: Descriptor = descriptor!(
    Kind::Gauge,
    "turbopump_broker_isolated",
    "1 where the broker has failed or was slow, so that others are asked first."
);
static CONNECTED: Descriptor = descriptor!(
    Kind::Gauge,
    "turbopump_peer_connected",
    "1 where there is a connection to the broker or name server."
);
static OWN: [&Descriptor; 10] = [
    &OPENED,
    &DIAL_FAILURES,
    &CLOSED,
    &HEARTBEATS,
    &ROUTE_FETCHES,
    &HEARTBEAT_AGE,
    &ROUTE_AGE,
    &NAME_SERVER_UP,
    &ISOLATED,
    &CONNECTED,
];
static FAMILIES: LazyLock<Vec<&'static Descriptor>> = LazyLock::new(|| {
    let requests = RequestCounters::default();
    OWN.iter().chain(requests.families()).copied().collect()
});

impl Source for ClientStats {
    fn families(&self) -> &'static [&'static Descriptor] {
        &FAMILIES
    }

    fn visit(&self, samples: &mut Samples<'_>) -> Result<(), VisitError> {
        let mut others = self.others;
        let (shown, rest) = self.peers.split_at(self.peers.len().min(LABEL_VALUES_MAX));
        rest.iter().for_each(|peer| others.merge(&peer.counts));
        for peer in shown {
            let address: String = peer.health.endpoint.to_string();
            let labels = [("address", address.as_str())];
            let mut samples = samples.with_labels(&labels)?;
            visit_counts(&peer.counts, Some(peer.health.is_name_server), &mut samples)?;
            visit_health(peer, &mut samples)?;
        }
        if others != PeerCounts::default() {
            visit_counts(&others, None, &mut samples.with_labels(&[("address", OTHER)])?)?;
        }
        if let Some(age) = self.route_age_max {
            samples.gauge(&ROUTE_AGE, &[], us(age))?;
        }
        self.requests.visit(samples)
    }
}

/// Of a name server or a broker; or of both together.
fn visit_counts(
    counts: &PeerCounts,
    is_name_server: Option<bool>,
    samples: &mut Samples<'_>,
) -> Result<(), VisitError> {
    samples.counter(&OPENED, &[], counts.opened)?;
    samples.counter(&DIAL_FAILURES, &[], counts.dials_failed)?;
    for reason in Closed::ALL {
        samples.counter(&CLOSED, &[("reason", reason.label())], counts.closed(reason))?;
    }
    if is_name_server != Some(true) {
        for (result, count) in
            [("ok", counts.heartbeats_taken), ("failed", counts.heartbeats_failed)]
        {
            samples.counter(&HEARTBEATS, &[("result", result)], count)?;
        }
    }
    if is_name_server != Some(false) {
        for (result, count) in [
            ("ok", counts.routes_fetched),
            ("unknown", counts.routes_unknown),
            ("failed", counts.routes_failed),
        ] {
            samples.counter(&ROUTE_FETCHES, &[("result", result)], count)?;
        }
    }
    Ok(())
}

fn visit_health(peer: &PeerStats, samples: &mut Samples<'_>) -> Result<(), VisitError> {
    let health = &peer.health;
    samples.gauge(&CONNECTED, &[], u8::from(health.is_connected))?;
    if let Some(age) = health.heartbeat_age {
        samples.gauge(&HEARTBEAT_AGE, &[], us(age))?;
    }
    if !health.is_name_server {
        samples.gauge(&ISOLATED, &[], u8::from(health.is_avoided))?;
    }
    if let Some(is_up) = peer.is_up {
        samples.gauge(&NAME_SERVER_UP, &[], u8::from(is_up))?;
    }
    Ok(())
}

fn us(age: Duration) -> usize {
    usize::try_from(age.as_micros()).unwrap_or(usize::MAX)
}

impl<B: Backend> Inner<B> {
    pub(super) fn stats(&self) -> ClientStats {
        let (now, at) = (self.backend.now(), self.clock.now().at);
        let past = self.peers.past();
        let mut requests = past.requests;
        let peers = self.known_peers().into_iter().map(|(peer, is_name_server)| {
            let health = peer.look(is_name_server, now, at);
            let (counts, is_up) = peer.count(&mut requests);
            PeerStats { health, counts, is_up: is_up.filter(|_| is_name_server) }
        });
        let peers = peers.collect();
        let (_, oldest) = self.routes.ages();
        let route_age_max = oldest.map(|since| Duration::from_micros(at.us_since(since)));
        ClientStats { peers, others: past.counts, requests, route_age_max }
    }
}

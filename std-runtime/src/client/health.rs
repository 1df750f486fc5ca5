//! What is to be seen of a client from outside: for probes of whoever runs the program.

use core::time::Duration;

use alloc::sync::Arc;
use alloc::vec::Vec;

use turbopump_core::descriptor;
use turbopump_core::stats::{Descriptor, Kind, Samples, Source, Unit, VisitError};
use turbopump_core::time::Clock;

use super::Inner;
use super::peers::Peer;
use crate::backend::{Backend, Endpoint};

/// A client at one moment: a [`Source`] for the monitor, too.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ClientHealth {
    /// Name servers, then brokers that are known of.
    pub peers: Vec<PeerHealth>,
    /// Topics whose routes are known.
    pub routes: usize,
    /// Since when the oldest of them is believed.
    pub route_age_max: Option<Duration>,
    /// Messages under way.
    pub in_flight: usize,
    /// Senders that wait for room.
    pub waiting: usize,
    /// The client is closed, or closing.
    pub is_closing: bool,
    /// How often brokers hear of the client.
    pub heartbeat_interval: Duration,
}

/// A broker or a name server at one moment.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct PeerHealth {
    /// Where it is.
    pub endpoint: Endpoint,
    /// It is a name server.
    pub is_name_server: bool,
    /// There is a connection to it.
    pub is_connected: bool,
    /// Requests that are under way.
    pub in_flight: usize,
    /// Since when the last heartbeat that it answered was sent; name servers get none.
    pub heartbeat_age: Option<Duration>,
    /// It has failed or was slow, so that others are asked first.
    pub is_avoided: bool,
}

impl ClientHealth {
    /// Whether messages can be sent, as far as is known: it is not closing, and there is a broker
    /// that is connected and has answered a heartbeat within three intervals.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        let age_max = self.heartbeat_interval * 3;
        let is_well = |peer: &PeerHealth| {
            let is_fresh = peer.heartbeat_age.is_some_and(|age| age < age_max);
            !peer.is_name_server && peer.is_connected && is_fresh
        };
        !self.is_closing && self.peers.iter().any(is_well)
    }
}

static CONNECTED: Descriptor = descriptor!(
    Kind::Gauge,
    "turbopump_client_connected_peers",
    "Brokers and name servers that the client is connected to."
);
static KNOWN: Descriptor = descriptor!(
    Kind::Gauge,
    "turbopump_client_known_peers",
    "Brokers and name servers that the client knows of."
);
static AVOIDED: Descriptor = descriptor!(
    Kind::Gauge,
    "turbopump_client_avoided_brokers",
    "Brokers that have failed or were slow, so that others are asked first."
);
static HEARTBEAT: Descriptor = descriptor!(
    Kind::Gauge,
    "turbopump_client_heartbeat_age_seconds",
    "Age of the oldest heartbeat that a broker has answered last.",
    Unit::MICROSECONDS
);
static ROUTES: Descriptor =
    descriptor!(Kind::Gauge, "turbopump_client_routes", "Topics whose routes are known.");
static ROUTE_AGE: Descriptor = descriptor!(
    Kind::Gauge,
    "turbopump_client_route_age_seconds",
    "Age of the oldest route.",
    Unit::MICROSECONDS
);
static FAMILIES: [&Descriptor; 6] = [&CONNECTED, &KNOWN, &AVOIDED, &HEARTBEAT, &ROUTES, &ROUTE_AGE];

impl Source for ClientHealth {
    fn families(&self) -> &'static [&'static Descriptor] {
        &FAMILIES
    }

    fn visit(&self, samples: &mut Samples<'_>) -> Result<(), VisitError> {
        for (kind, is_name_server) in [("name_server", true), ("broker", false)] {
            let peers = || self.peers.iter().filter(|peer| peer.is_name_server == is_name_server);
            let labels = [("kind", kind)];
            let connected = peers().filter(|peer| peer.is_connected).count();
            samples.gauge(&CONNECTED, &labels, connected)?;
            samples.gauge(&KNOWN, &labels, peers().count())?;
        }
        let avoided = self.peers.iter().filter(|peer| peer.is_avoided && !peer.is_name_server);
        samples.gauge(&AVOIDED, &[], avoided.count())?;
        let us = |age: Option<Duration>| age.map_or(0, |age| age.as_micros() as usize);
        let oldest = self.peers.iter().filter_map(|peer| peer.heartbeat_age).max();
        samples.gauge(&HEARTBEAT, &[], us(oldest))?;
        samples.gauge(&ROUTES, &[], self.routes)?;
        samples.gauge(&ROUTE_AGE, &[], us(self.route_age_max))
    }
}

impl<B: Backend> Inner<B> {
    /// Name servers, then brokers that are known of; true for the first.
    pub(super) fn known_peers(&self) -> Vec<(Arc<Peer<B>>, bool)> {
        let servers = self.routes.name_servers();
        let servers = servers.peers();
        let is_server = |broker: &Arc<_>| servers.iter().any(|server| Arc::ptr_eq(server, broker));
        let brokers = self.brokers().into_iter().filter(|broker| !is_server(broker));
        let servers = servers.iter().map(|server| (Arc::clone(server), true));
        servers.chain(brokers.map(|broker| (broker, false))).collect()
    }

    pub(super) fn look(&self) -> ClientHealth {
        let (now, at) = (self.backend.now(), self.clock.now().at);
        let peers = self.known_peers().into_iter();
        let peers = peers.map(|(peer, is_name_server)| peer.look(is_name_server, now, at));
        let (routes, oldest) = self.routes.ages();
        let usage = self.budget.usage();
        ClientHealth {
            peers: peers.collect(),
            routes,
            route_age_max: oldest.map(|since| Duration::from_micros(at.us_since(since))),
            in_flight: usage.messages,
            waiting: usage.waiting,
            is_closing: usage.is_closed,
            heartbeat_interval: self.config.heartbeat_interval,
        }
    }
}

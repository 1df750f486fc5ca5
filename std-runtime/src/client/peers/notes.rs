//! What is noted of a peer: what was counted, when it was heard of, and how that looks.

use core::time::Duration;
use std::time::Instant;

use alloc::boxed::Box;
use alloc::sync::Arc;

use turbopump_core::link::RequestCounters;
use turbopump_core::rocketmq::client::HealthState;
use turbopump_core::time::Instant as CoreInstant;

use super::Peer;
use crate::backend::Backend;
use crate::client::counts::{Asked, Closed, Past, PeerCounts};
use crate::client::health::PeerHealth;
use crate::rocketmq::RemotingLink;

/// After a heartbeat that failed, at most.
const RESTS_MAX: Duration = Duration::from_secs(5);

impl<B: Backend> Peer<B> {
    /// What is to be seen of it.
    pub(in crate::client) fn look(
        &self,
        is_name_server: bool,
        now: Instant,
        at: CoreInstant,
    ) -> PeerHealth {
        let state = self.state();
        let status = state.open.as_ref().map(RemotingLink::status);
        let status = status.filter(|status| status.closed.is_none());
        let age = |beaten: &(Instant, Arc<[Box<str>]>)| now.saturating_duration_since(beaten.0);
        PeerHealth {
            endpoint: self.endpoint.clone(),
            is_name_server,
            is_connected: status.is_some(),
            in_flight: status.map_or(0, |status| status.in_flight),
            heartbeat_age: state.beaten.as_ref().map(age),
            is_avoided: !matches!(self.health().state(at), HealthState::Well),
        }
    }

    /// What was counted, and whether a question for a route was answered the last time; requests
    /// are added to those of others.
    pub(in crate::client) fn count(
        &self,
        requests: &mut RequestCounters,
    ) -> (PeerCounts, Option<bool>) {
        let state = self.state();
        let mut counts = state.past.counts;
        requests.merge(&state.past.requests);
        if let Some(link) = &state.open {
            requests.merge(&link.counters());
            if let Some(reason) = link.status().closed {
                counts.count_closed(Closed::of(reason));
            }
        }
        (counts, state.asked.map(|how| how != Asked::Failed))
    }

    /// What was counted until nobody needed it.
    pub(super) fn end_counting(&self) -> Past {
        let state = self.state();
        let mut past = state.past.clone();
        if let Some(link) = &state.open {
            let reason = link.status().closed.map_or(Closed::Unused, Closed::of);
            past.retire(link.counters(), reason);
        }
        past
    }

    pub(in crate::client) fn note_asked(&self, how: Asked) {
        let mut state = self.state();
        state.asked = Some(how);
        state.past.counts.count_asked(how);
    }

    /// Whether there is a connection.
    pub(in crate::client) fn is_connected(&self) -> bool {
        self.state().open.as_ref().is_some_and(|link| link.status().closed.is_none())
    }

    /// Whether it has to hear of these groups, and does not at this moment: then it will.
    pub(in crate::client) fn begin_beat(
        &self,
        now: Instant,
        every: Duration,
        names: &Arc<[Box<str>]>,
    ) -> bool {
        let mut state = self.state();
        // Not again at once where it has just failed.
        let rests = state.missed.is_some_and(|at| now < at + every.min(RESTS_MAX));
        let is_due = match &state.beaten {
            None => true,
            Some((at, known)) => now >= *at + every || **known != **names,
        };
        let begins = is_due && !rests && !state.is_beating;
        state.is_beating |= begins;
        begins
    }

    /// Whether it has taken a heartbeat over this connection that named just these groups.
    pub(in crate::client) fn has_heard(&self, names: &Arc<[Box<str>]>) -> bool {
        let state = self.state();
        let is_open = state.open.as_ref().is_some_and(|link| link.status().closed.is_none());
        is_open && state.beaten.as_ref().is_some_and(|(_, known)| **known == **names)
    }

    /// It does not know what it was told: it is told again.
    pub(in crate::client) fn has_forgotten(&self) {
        self.state().beaten = None;
    }

    /// When its next heartbeat is due; none where there is no connection.
    pub(in crate::client) fn next_beat(&self, every: Duration) -> Option<Instant> {
        let state = self.state();
        if state.is_beating {
            return None;
        }
        let missed = state.missed.map(|at| at + every.min(RESTS_MAX));
        state.beaten.as_ref().map(|(at, _)| *at + every).or(missed)
    }

    pub(in crate::client) fn note_beat(&self, at: Instant, names: Arc<[Box<str>]>) {
        let mut state = self.state();
        (state.beaten, state.missed, state.is_beating) = (Some((at, names)), None, false);
        state.past.counts.heartbeats_taken += 1;
    }

    pub(in crate::client) fn note_missed(&self, at: Instant) {
        let mut state = self.state();
        (state.beaten, state.missed, state.is_beating) = (None, Some(at), false);
        state.past.counts.heartbeats_failed += 1;
    }
}

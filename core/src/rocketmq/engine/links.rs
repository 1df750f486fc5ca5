//! Whom there is a connection to, who is to be dialled, and what is said over links besides sends.

use super::storage::{Fetch, LinkState, Peer, Reach, Stage};
use super::{Engine, LinkId};
use crate::link::{NoAnswer, Requests, SubmitRefused, Ticket};
use crate::pool::{BufferSource, Chunk, Lease};
use crate::rocketmq::client::Failure;
use crate::rocketmq::remoting::Remoting;
use crate::rocketmq::wire::body::{Body, HeartbeatData, List, ProducerData};
use crate::rocketmq::wire::command::UnregisterClientRequestHeader;
use crate::rocketmq::wire::frame::{Frame, encode_head, head_bytes};
use crate::rocketmq::wire::header::{
    Absent, ExtSource, Header, Serialization, request_code, response_code,
};
use crate::rocketmq::wire::json::{Dialect, Text};
use crate::time::{Instant, Now};

/// Between two attempts to connect: the first time, and at most.
const DIAL_PAUSE_US: u64 = 100_000;
const DIAL_PAUSE_US_MAX: u64 = 10_000_000;
/// For answers to heartbeats and farewells.
const ANSWER_US: u64 = 3_000_000;
/// A heartbeat that could not be sent is tried again after so long.
const BEAT_AGAIN_US: u64 = 1_000_000;
/// What a heartbeat has besides two names.
const HEARTBEAT_BYTES: usize = 256;
/// Bodies above this are written from where they are.
const COPY_BYTES_MAX: usize = 1_024;

/// What can be done over a link to a peer now.
pub(super) enum LinkUse {
    Open(LinkId),
    /// Later: it is being dialled, or others have to end before.
    Pending,
    /// Not now: it was tried a moment ago.
    Unreachable,
}

impl<'s, B: BufferSource> Engine<'s, B> {
    /// The caller has connected a link, whose machine runs from now on.
    pub fn handle_dialed(&mut self, now: Now, link: LinkId) {
        let Some(place) = self.links.get_mut(link) else { return };
        if place.state != LinkState::Dialing {
            return;
        }
        if place.peer.is_none() {
            // Nobody needs it any more.
            place.requests.close();
            place.state = LinkState::Closing;
            return;
        }
        place.state = LinkState::Open;
        let is_broker = matches!(place.peer, Some(Peer::Broker(_)));
        place.beat_at = if is_broker { now.at } else { Instant::NEVER };
        if let Some(reach) = place.peer.and_then(|peer| self.reach(peer)) {
            *reach = Reach::NEW;
        }
    }

    /// The caller could not connect a link.
    pub fn handle_dial_failed(&mut self, now: Now, link: LinkId) {
        let Some(place) = self.links.get_mut(link) else { return };
        if place.state != LinkState::Dialing {
            return;
        }
        place.state = LinkState::Free;
        let Some(peer) = place.peer.take() else { return };
        let jitter_us = self.random.below(DIAL_PAUSE_US);
        if let Some(reach) = self.reach(peer) {
            let pause_us = DIAL_PAUSE_US.saturating_mul(1 << reach.failures.min(16));
            reach.failures = reach.failures.saturating_add(1);
            let pause_us = pause_us.min(DIAL_PAUSE_US_MAX).saturating_add(jitter_us);
            reach.dial_after = now.at.plus_us(pause_us);
        }
        if let Peer::Broker(broker) = peer {
            self.broker_failed(now.at, broker);
        }
        self.unlinked(now, peer);
    }

    pub(super) fn broker_failed(&mut self, now: Instant, broker: u16) {
        if let Some(broker) = self.brokers.get_mut(usize::from(broker)) {
            broker.health.handle_failed(now);
        }
    }

    /// Whoever waits for a link to that peer has to do something else.
    fn unlinked(&mut self, now: Now, peer: Peer) {
        match peer {
            Peer::NameServer(server) => self.server_failed(now, server),
            Peer::Broker(broker) => {
                for index in 0..self.sends.len() {
                    let stage = self.send_ref(index).map(|send| send.stage);
                    let waits = matches!(stage, Some(Stage::Linking { broker: its, .. })
                        if its == broker);
                    if waits {
                        self.fail(now, index, Failure::Unsent, super::SendErrorKind::NoLink);
                    }
                }
            }
        }
    }

    fn reach(&mut self, peer: Peer) -> Option<&mut Reach> {
        match peer {
            Peer::NameServer(server) => self.servers.get_mut(usize::from(server)),
            Peer::Broker(broker) => {
                self.brokers.get_mut(usize::from(broker)).map(|broker| &mut broker.reach)
            }
        }
    }

    /// A link to a peer; where there is none, one is wanted from now on.
    pub(super) fn link_to(&mut self, now: Now, peer: Peer) -> LinkUse {
        let of_peer = self.links.iter_mut().enumerate().find(|(_, place)| {
            place.peer == Some(peer) && !matches!(place.state, LinkState::Free | LinkState::Closing)
        });
        if let Some((index, place)) = of_peer {
            place.used_at = now.at;
            let is_open = place.state == LinkState::Open && place.requests.is_open();
            return if is_open { LinkUse::Open(index) } else { LinkUse::Pending };
        }
        let is_away = match peer {
            Peer::NameServer(_) => false,
            Peer::Broker(broker) => {
                self.brokers.get(usize::from(broker)).is_none_or(|place| place.address.is_empty())
            }
        };
        if is_away || self.reach(peer).is_none_or(|reach| reach.dial_after > now.at) {
            return LinkUse::Unreachable;
        }
        match self.links.iter_mut().find(|place| place.state == LinkState::Free) {
            Some(place) => {
                // A link that has never been used is new as it is.
                let _ = place.requests.renew();
                (place.state, place.peer) = (LinkState::Wanted, Some(peer));
                (place.used_at, place.beat_at) = (now.at, Instant::NEVER);
                place.beat = None;
            }
            None => self.make_room(),
        }
        LinkUse::Pending
    }

    /// Closes the link that was not used for the longest time, if one has nothing to do.
    fn make_room(&mut self) {
        if self.links.iter().any(|place| place.state == LinkState::Closing) {
            return;
        }
        let idle = self
            .links
            .iter_mut()
            .filter(|place| place.state == LinkState::Open && place.requests.in_flight() == 0);
        if let Some(place) = idle.min_by_key(|place| place.used_at) {
            place.requests.close();
            place.state = LinkState::Closing;
        }
    }

    /// The links to a peer that is not needed any more, or is somewhere else.
    pub(super) fn leave(&mut self, peer: Peer) {
        for place in self.links.iter_mut().filter(|place| place.peer == Some(peer)) {
            match place.state {
                LinkState::Open => {
                    place.requests.close();
                    place.state = LinkState::Closing;
                }
                LinkState::Wanted => place.state = LinkState::Free,
                // One that is being dialled is closed when it is there.
                _ => {}
            }
            place.peer = None;
        }
    }

    /// Takes what has come over links, and notes those that are closed.
    pub(super) fn collect(&mut self, now: Now) {
        for link in 0..self.links.len() {
            if let Some(place) = self.links.get_mut(link) {
                let bytes_in = place.requests.bytes_in();
                if bytes_in != place.heard.0 {
                    place.heard = (bytes_in, now.at);
                }
            }
            while let Some(place) = self.links.get_mut(link)
                && let Some(ticket) = place.requests.poll_completed()
            {
                self.completed(now, link, ticket);
            }
            let Some(place) = self.links.get_mut(link) else { continue };
            let is_used = matches!(place.state, LinkState::Open | LinkState::Closing);
            if is_used && place.requests.closed().is_some() {
                let is_lost = place.state == LinkState::Open;
                place.state = LinkState::Free;
                if let Some(peer) = place.peer.take()
                    && is_lost
                {
                    if let Peer::Broker(broker) = peer {
                        self.broker_failed(now.at, broker);
                    }
                    self.unlinked(now, peer);
                }
            }
        }
    }

    fn completed(&mut self, now: Now, link: LinkId, ticket: Ticket) {
        let Some(place) = self.links.get_mut(link) else { return };
        let Some(outcome) = place.requests.take(ticket) else { return };
        let of_send = self.sends.iter().enumerate().find_map(|(index, place)| {
            match place.send.as_ref()?.stage {
                Stage::Asked { link: its, ticket: own, at, .. } if (its, own) == (link, ticket) => {
                    Some((index, at))
                }
                _ => None,
            }
        });
        let of_beat = place.beat.take_if(|(own, _)| *own == ticket).map(|(_, at)| at);
        let (heard, requests) = (place.heard.1, &mut place.requests);
        let asked_at = of_send.map(|(_, at)| at).or(of_beat).or_else(|| {
            self.topics.iter().find_map(|topic| match topic.fetch {
                Fetch::Asked { link: its, ticket: own, at, .. } if (its, own) == (link, ticket) => {
                    Some(at)
                }
                _ => None,
            })
        });
        // Nothing at all has come since: the connection may be dead without anybody saying so.
        if matches!(outcome, Err(NoAnswer::TimedOut { .. }))
            && asked_at.is_some_and(|at| heard <= at)
        {
            requests.abort();
        }
        match of_send {
            Some((index, _)) => self.answered(now, index, outcome),
            // Heartbeats and farewells need no answer.
            None => self.route_answered(now, link, ticket, outcome),
        }
    }

    /// Heartbeats, what peers ask, and farewells.
    pub(super) fn tend_links(&mut self, now: Now) {
        let is_over = self.is_closing
            && self.sends.iter().all(|place| {
                place.send.as_ref().is_none_or(|send| matches!(send.stage, Stage::Done))
            });
        for link in 0..self.links.len() {
            let Some(place) = self.links.get_mut(link) else { continue };
            match place.state {
                LinkState::Wanted if is_over => (place.state, place.peer) = (LinkState::Free, None),
                LinkState::Dialing if is_over => place.peer = None,
                _ => {}
            }
            if place.state != LinkState::Open {
                continue;
            }
            refuse_requests(&mut place.requests);
            if is_over {
                self.say_farewell(link);
            } else if place.beat_at <= now.at {
                let beat = self.beat(link);
                let us = if beat.is_some() { self.config.heartbeat_us } else { BEAT_AGAIN_US };
                if let Some(place) = self.links.get_mut(link) {
                    place.beat = beat.map(|ticket| (ticket, now.at)).or(place.beat);
                    place.beat_at = now.at.plus_us(us.max(1));
                }
            }
        }
    }

    /// Says to a broker who is there.
    fn beat(&mut self, link: LinkId) -> Option<Ticket> {
        let producers = [ProducerData { group_name: Text::plain(self.config.group) }];
        let heartbeat = HeartbeatData {
            client_id: Text::plain(self.config.client_id),
            consumer_data_set: List::default(),
            heartbeat_fingerprint: 0,
            producer_data_set: (&producers).into(),
            without_sub: false,
        };
        // Names may be written longer than they are.
        let names = self.config.group.len().saturating_add(self.config.client_id.len());
        let bytes = names.saturating_mul(6).saturating_add(HEARTBEAT_BYTES);
        let mut body = self.buffers.acquire(bytes).ok()?;
        let len = heartbeat.encode(Dialect::Strict, body.dirty_mut()).ok()?;
        body.commit(len).ok()?;
        let code = request_code::HEART_BEAT;
        self.submit(link, code, &Absent, &body.freeze(), ANSWER_US).ok()
    }

    fn say_farewell(&mut self, link: LinkId) {
        let Some(place) = self.links.get_mut(link) else { return };
        if matches!(place.peer, Some(Peer::Broker(_))) {
            let header = UnregisterClientRequestHeader {
                client_id: Text::plain(self.config.client_id),
                producer_group: Some(Text::plain(self.config.group)),
                ..UnregisterClientRequestHeader::default()
            };
            // Brokers find out by themselves, later.
            let empty: &[u8] = &[];
            let _ =
                self.submit_bytes(link, request_code::UNREGISTER_CLIENT, &header, empty, ANSWER_US);
        }
        if let Some(place) = self.links.get_mut(link) {
            place.requests.close();
            place.state = LinkState::Closing;
        }
    }

    /// Submits a request with a short body.
    pub(super) fn submit_bytes(
        &mut self,
        link: LinkId,
        code: i32,
        fields: &impl ExtSource,
        body: &[u8],
        timeout_us: u64,
    ) -> Result<Ticket, SubmitRefused> {
        let head = head(&self.buffers, &Header::request(code, 0), fields, body.len())?;
        let Some(place) = self.links.get_mut(link) else { return Err(SubmitRefused::Closing) };
        place.requests.submit(&head, body, Some(timeout(timeout_us)))
    }

    /// Submits a request whose body is, or may be, long.
    pub(super) fn submit(
        &mut self,
        link: LinkId,
        code: i32,
        fields: &impl ExtSource,
        body: &Chunk<B::Ref>,
        timeout_us: u64,
    ) -> Result<Ticket, SubmitRefused> {
        let head = head(&self.buffers, &Header::request(code, 0), fields, body.len())?;
        let Some(place) = self.links.get_mut(link) else { return Err(SubmitRefused::Closing) };
        let timeout_us = timeout(timeout_us);
        if body.len() <= COPY_BYTES_MAX {
            return place.requests.submit(&head, body, Some(timeout_us));
        }
        let submitted = place.requests.submit_chunk(&head, body.clone(), Some(timeout_us));
        submitted.map_err(|refused| refused.reason)
    }
}

fn timeout(us: u64) -> u32 {
    u32::try_from(us).unwrap_or(u32::MAX)
}

/// Everything of a frame but its body.
fn head<B: BufferSource>(
    buffers: &B,
    header: &Header<'_>,
    fields: &impl ExtSource,
    body_bytes: usize,
) -> Result<Lease<B::Ref>, SubmitRefused> {
    let kind = Serialization::Rocketmq;
    // Lengths were checked when the message was taken.
    let unfit = |_| SubmitRefused::Closing;
    let bytes = head_bytes(header, kind, fields).map_err(unfit)?;
    let mut lease = buffers.acquire(bytes)?;
    let len = encode_head(header, kind, fields, body_bytes, lease.dirty_mut()).map_err(unfit)?;
    // There is room: it was just written there.
    let _ = lease.commit(len);
    Ok(lease)
}

/// An engine that only sends is asked for nothing that it could do.
fn refuse_requests<B: BufferSource>(requests: &mut Requests<'_, Remoting, B>) {
    while let Some(frame) = requests.poll_unsolicited() {
        let Ok(frame) = Frame::decode(&frame) else { continue };
        if frame.header.is_oneway() {
            continue;
        }
        let code = response_code::REQUEST_CODE_NOT_SUPPORTED;
        let answer = Header::response(code, frame.header.opaque, None);
        let Ok(head) = head(requests.buffers(), &answer, &Absent, 0) else { continue };
        // Whoever asks gives up by himself, in the end.
        let _ = requests.send(&head, &[]);
    }
}

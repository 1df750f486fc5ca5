//! Where topics are: what name servers say, for as long as it is believed.

use heapless::String;

use super::links::LinkUse;
use super::storage::{Fetch, Peer, Reach, Stage};
use super::{Engine, LinkId, SendErrorKind, SendRefused};
use crate::link::{NoAnswer, Ticket};
use crate::pool::{BufferSource, Lease};
use crate::rocketmq::client::{Failure, Health, NameServer, RoundRobin, name_servers};
use crate::rocketmq::wire::body::{Body, MASTER_ID, TopicRouteData};
use crate::rocketmq::wire::command::GetRouteInfoRequestHeader;
use crate::rocketmq::wire::frame::Frame;
use crate::rocketmq::wire::header::{request_code, response_code};
use crate::rocketmq::wire::json::Text;
use crate::time::Now;

/// Whose route is taken for topics that nobody has made.
const TEMPLATE: &str = "TBW102";
/// Queues of a topic that is made by its first message.
pub(super) const TEMPLATE_QUEUES: i32 = 4;
/// After a failure the name servers are not asked for what is known already for so long.
const QUIET_US: u64 = 1_000_000;

/// Why a route that a name server has sent is of no use.
enum Unusable {
    /// It can't be read.
    Broken,
    TooLarge,
    NoQueue,
}

impl<B: BufferSource> Engine<'_, B> {
    /// The place of a topic that is sent to from now on.
    pub(super) fn topic(&mut self, now: Now, name: &str) -> Result<u16, SendRefused> {
        let known = self.topics.iter().position(|topic| topic.name == name);
        let index = match known.or_else(|| self.topics.iter().position(|t| t.name.is_empty())) {
            Some(index) => index,
            None => self.oldest_topic()?,
        };
        let start = self.random.below(1 << 16) as usize;
        if known.is_none() {
            self.forget_queues(index as u16);
        }
        let max = self.topics.len();
        let Some(topic) = self.topics.get_mut(index) else {
            return Err(SendRefused::TooManyTopics { max });
        };
        if known.is_none() {
            (topic.fetch, topic.is_template, topic.is_ordered) = (Fetch::Idle, false, false);
            (topic.fresh_until, topic.turns) = (now.at, RoundRobin::starting_at(start));
            topic.name.clear();
            // Its length was checked.
            let _ = topic.name.push_str(name);
        }
        topic.used_at = now.at;
        Ok(index as u16)
    }

    /// The one that nobody waits for and that was not used for the longest time.
    fn oldest_topic(&self) -> Result<usize, SendRefused> {
        let is_idle = |index: usize| self.sends_of(index as u16).next().is_none();
        let topics = self.topics.iter().enumerate().filter(|(index, _)| is_idle(*index));
        let oldest = topics.min_by_key(|(_, topic)| topic.used_at);
        let max = self.topics.len();
        oldest.map(|(index, _)| index).ok_or(SendRefused::TooManyTopics { max })
    }

    /// The stages of what is under way to a topic.
    fn sends_of(&self, topic: u16) -> impl Iterator<Item = Stage> {
        let sends = self.sends.iter().filter_map(|place| place.send.as_ref());
        let sends = sends.filter(move |send| send.topic == topic).map(|send| send.stage);
        sends.filter(|stage| !matches!(stage, Stage::Done))
    }

    /// Queues of a topic, in order.
    pub(super) fn queues_of(&self, topic: u16) -> impl Iterator<Item = (u16, i32)> {
        let known = self.queues.iter().take(self.queues_len);
        known.filter(move |queue| queue.topic == topic).map(|queue| (queue.broker, queue.number))
    }

    /// Something went wrong there: it is asked for again.
    pub(super) fn doubt(&mut self, topic: u16) {
        if let Some(topic) = self.topics.get_mut(usize::from(topic)) {
            let soon = topic.asked_at.plus_us(QUIET_US);
            topic.fresh_until = topic.fresh_until.min(soon);
        }
    }

    /// Asks for the routes that somebody needs, or that have grown old.
    pub(super) fn advance_topics(&mut self, now: Now) {
        for index in 0..self.topics.len() {
            let Some(topic) = self.topics.get(index) else { return };
            if matches!(topic.fetch, Fetch::Idle) {
                let is_old = topic.fresh_until <= now.at;
                let mut sends = self.sends_of(index as u16);
                if !sends.any(|stage| is_old || matches!(stage, Stage::Routing)) {
                    continue;
                }
                drop(sends);
                self.want(now, index, 0);
            }
            self.ask_for_route(now, index);
        }
    }

    fn want(&mut self, now: Now, index: usize, tried: u16) {
        let until = now.at.plus_us(self.config.name_server_us_max.max(1));
        if let Some(topic) = self.topics.get_mut(index) {
            topic.fetch = Fetch::Wanted { tried, until };
            topic.asked_at = now.at;
        }
    }

    /// The name server that is asked after so many others.
    fn server_after(&self, tried: u16) -> u16 {
        let len = self.servers.len().max(1);
        let server = usize::from(self.server).wrapping_add(usize::from(tried)).checked_rem(len);
        server.unwrap_or(0) as u16
    }

    fn ask_for_route(&mut self, now: Now, index: usize) {
        while let Some(topic) = self.topics.get(index)
            && let Fetch::Wanted { tried, until } = topic.fetch
        {
            let server = self.server_after(tried);
            let used = match self.link_to(now, Peer::NameServer(server)) {
                _ if until <= now.at => LinkUse::Unreachable,
                used => used,
            };
            match used {
                LinkUse::Pending => return,
                LinkUse::Unreachable => self.next_server(now, index, tried),
                LinkUse::Open(link) => {
                    let Some(topic) = self.topics.get(index) else { return };
                    let name = if topic.is_template {
                        String::try_from(TEMPLATE).unwrap_or_default()
                    } else {
                        topic.name.clone()
                    };
                    let header = GetRouteInfoRequestHeader {
                        topic: name.as_str().into(),
                        accept_standard_json_only: Some(true),
                        ..GetRouteInfoRequestHeader::default()
                    };
                    let us = self.config.name_server_us_max;
                    let code = request_code::GET_ROUTEINFO_BY_TOPIC;
                    // Without room or memory it is tried again until its time is over.
                    let Ok(ticket) = self.submit_bytes(link, code, &header, &[], us) else {
                        return;
                    };
                    if let Some(topic) = self.topics.get_mut(index) {
                        topic.fetch = Fetch::Asked { tried, link, ticket, at: now.at };
                    }
                }
            }
        }
    }

    fn next_server(&mut self, now: Now, index: usize, tried: u16) {
        let tried = tried.saturating_add(1);
        if usize::from(tried) < self.servers.len() {
            self.want(now, index, tried);
        } else {
            self.fetch_failed(now, index, SendErrorKind::NoNameServer);
        }
    }

    /// A name server can't be reached, or is not connected any more.
    pub(super) fn server_failed(&mut self, now: Now, server: u16) {
        for index in 0..self.topics.len() {
            let Some(topic) = self.topics.get(index) else { return };
            if let Fetch::Wanted { tried, .. } = topic.fetch
                && self.server_after(tried) == server
            {
                self.next_server(now, index, tried);
            }
        }
    }

    /// The last good route stays; who has none has to be told.
    fn fetch_failed(&mut self, now: Now, index: usize, kind: SendErrorKind) {
        let Some(topic) = self.topics.get_mut(index) else { return };
        (topic.fetch, topic.is_template) = (Fetch::Idle, false);
        topic.fresh_until = now.at.plus_us(QUIET_US);
        let failure = match kind {
            SendErrorKind::NoNameServer => Failure::Unsent,
            _ => Failure::Transport,
        };
        for send in 0..self.sends.len() {
            let waits = self.send_ref(send).is_some_and(|send| {
                usize::from(send.topic) == index && matches!(send.stage, Stage::Routing)
            });
            if waits {
                self.fail(now, send, failure, kind);
            }
        }
    }

    /// A name server has answered, or not; or it was something that nobody waits for.
    pub(super) fn route_answered(
        &mut self,
        now: Now,
        link: LinkId,
        ticket: Ticket,
        outcome: Result<Lease<B::Ref>, NoAnswer>,
    ) {
        let asked = self.topics.iter().enumerate().find_map(|(index, topic)| match topic.fetch {
            Fetch::Asked { tried, link: its, ticket: own, .. } if (its, own) == (link, ticket) => {
                Some((index, tried, topic.is_template, topic.is_ordered))
            }
            _ => None,
        });
        let Some((index, tried, is_template, is_ordered)) = asked else { return };
        let Ok(answer) = outcome else { return self.next_server(now, index, tried) };
        let said = match Frame::decode(&answer) {
            Ok(frame) if frame.header.code == response_code::SUCCESS => {
                let queues_max = if is_template { TEMPLATE_QUEUES } else { i32::MAX };
                self.install(index as u16, frame.body, queues_max)
            }
            Ok(frame) if frame.header.code == response_code::TOPIC_NOT_EXIST => {
                Err(Unusable::NoQueue)
            }
            _ => Err(Unusable::Broken),
        };
        if !matches!(said, Err(Unusable::Broken)) {
            self.server = self.server_after(tried);
        }
        match said {
            Ok(()) => {
                let fresh_us = self.config.route_us_max.max(QUIET_US);
                if let Some(topic) = self.topics.get_mut(index) {
                    (topic.fetch, topic.is_template) = (Fetch::Idle, false);
                    topic.fresh_until = now.at.plus_us(fresh_us);
                }
                self.sweep_brokers();
            }
            Err(Unusable::Broken) => self.next_server(now, index, tried),
            Err(Unusable::TooLarge) => self.fetch_failed(now, index, SendErrorKind::RouteTooLarge),
            // The queues of an ordered topic stay while its brokers are away.
            Err(Unusable::NoQueue) if is_template || is_ordered => {
                self.fetch_failed(now, index, SendErrorKind::NoRoute);
            }
            Err(Unusable::NoQueue) => {
                if let Some(topic) = self.topics.get_mut(index) {
                    topic.is_template = true;
                }
                self.want(now, index, 0);
            }
        }
    }

    /// Takes a route over, all of it or nothing but its being too large.
    fn install(&mut self, topic: u16, body: &[u8], queues_max: i32) -> Result<(), Unusable> {
        let broken = |_| Unusable::Broken;
        let data = TopicRouteData::decode(body).map_err(broken)?;
        let mut count = 0_usize;
        for queue in data.publish_queues() {
            let (name, number) = queue.map_err(broken)?;
            if number < queues_max {
                address_of(&data, name)?;
                count = count.saturating_add(1);
            }
        }
        if count == 0 {
            return Err(Unusable::NoQueue);
        }
        self.forget_queues(topic);
        if let Some(place) = self.topics.get_mut(usize::from(topic)) {
            place.is_ordered = data.order_topic_conf.is_some_and(|order| !order.is_empty());
        }
        if count > self.queues.len().saturating_sub(self.queues_len) {
            return Err(Unusable::TooLarge);
        }
        for queue in data.publish_queues() {
            let (name, number) = queue.map_err(broken)?;
            if number >= queues_max {
                continue;
            }
            let address = address_of(&data, name)?;
            let Some(broker) = self.broker(name, address) else {
                self.forget_queues(topic);
                return Err(Unusable::TooLarge);
            };
            if let Some(place) = self.queues.get_mut(self.queues_len) {
                (place.topic, place.broker, place.number) = (topic, broker, number);
                self.queues_len = self.queues_len.saturating_add(1);
            }
        }
        Ok(())
    }

    /// The place of a broker that has a queue; `None` where there is no room for it. A broker of an
    /// ordered topic may be away: then it is where it was, if that is known.
    fn broker(&mut self, name: Text<'_>, address: Option<Text<'_>>) -> Option<u16> {
        let name = copy(name)?;
        let is_away = address.is_none();
        let address = address.map_or(Some(String::new()), copy)?;
        let mut parsed = name_servers(&address);
        if !is_away && !matches!(parsed.next(), Some(Ok(NameServer::Endpoint { .. }))) {
            return None;
        }
        let known = self.brokers.iter().position(|broker| broker.name == name);
        let index = match known {
            Some(index) => index,
            None => (0..self.brokers.len()).find(|index| !self.is_needed(*index as u16))?,
        };
        let number = index as u16;
        let place = self.brokers.get_mut(index)?;
        if known.is_some() && (is_away || place.address == address) {
            return Some(number);
        }
        (place.name, place.address) = (name, address);
        (place.health, place.reach) = (Health::NEW, Reach::NEW);
        self.leave(Peer::Broker(number));
        Some(number)
    }

    /// Whether a queue is at that broker, or something under way or told names it.
    fn is_needed(&self, broker: u16) -> bool {
        let mut queues = self.queues.iter().take(self.queues_len);
        let mut sends = self.sends.iter().filter_map(|place| place.send.as_ref());
        queues.any(|queue| queue.broker == broker)
            || sends.any(|send| match send.stage {
                Stage::Linking { broker: its, .. } | Stage::Asked { broker: its, .. } => {
                    its == broker
                }
                _ => matches!(send.outcome, Some(Ok(placed)) if placed.broker == broker),
            })
    }

    /// Lets go of brokers that nobody needs.
    fn sweep_brokers(&mut self) {
        for index in 0..self.brokers.len() {
            let number = index as u16;
            let is_known = self.brokers.get(index).is_some_and(|place| !place.name.is_empty());
            if is_known && !self.is_needed(number) {
                self.leave(Peer::Broker(number));
                if let Some(place) = self.brokers.get_mut(index) {
                    place.name.clear();
                }
            }
        }
    }

    /// Those of other topics move up.
    fn forget_queues(&mut self, topic: u16) {
        let mut kept = 0_usize;
        for index in 0..self.queues_len {
            let Some(queue) = self.queues.get(index).copied() else { break };
            if queue.topic != topic
                && let Some(place) = self.queues.get_mut(kept)
            {
                *place = queue;
                kept = kept.saturating_add(1);
            }
        }
        self.queues_len = kept;
    }
}

/// The address of a broker's master, if it has one.
fn address_of<'a>(data: &TopicRouteData<'a>, name: Text<'a>) -> Result<Option<Text<'a>>, Unusable> {
    for broker in data.broker_datas.iter() {
        let broker = broker.map_err(|_| Unusable::Broken)?;
        if broker.broker_name == name {
            return broker.address(MASTER_ID).map_err(|_| Unusable::Broken);
        }
    }
    Ok(None)
}

fn copy<const N: usize>(text: Text<'_>) -> Option<String<N>> {
    let mut out = String::new();
    for letter in text.chars() {
        out.push(letter).ok()?;
    }
    Some(out)
}

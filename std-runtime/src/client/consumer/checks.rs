//! What is looked for besides: messages that were handled before, and members that subscribe to
//! something else.

use alloc::string::{String, ToString};
use alloc::sync::Arc;
use alloc::vec::Vec;

use turbopump_core::backing::Backing;
use turbopump_core::rocketmq::consumer::{Seen, SeenCell, Subscription, UniqueId, differences};
use turbopump_core::rocketmq::wire::body::{Body, ConsumerConnection, SubscriptionData};
use turbopump_core::rocketmq::wire::command::GetConsumerConnectionListRequestHeader;
use turbopump_core::rocketmq::wire::header::{request_code, response_code};
use turbopump_core::rocketmq::wire::json::Text;

use super::group::Group;
use super::received::ReceivedMessage;
use crate::backend::Backend;
use crate::client::peers::Peer;
use crate::rocketmq::Answer;

/// Room for so many ids; `None` for none.
pub(super) fn seen(ids_max: usize, seed: u64) -> Option<Seen<'static>> {
    (ids_max > 0).then(|| {
        let cells: Backing<'static, SeenCell> = (0..ids_max).map(|_| SeenCell::default()).collect();
        Seen::new(cells, seed)
    })
}

impl<B: Backend> Group<B> {
    /// Whether it was done before, as far as ids are remembered.
    pub(super) fn is_repeat(&self, message: &ReceivedMessage) -> bool {
        let seen = self.seen();
        let Some(seen) = seen.as_ref() else { return false };
        UniqueId::from_text(message.message_id()).is_ok_and(|id| seen.contains(&id))
    }

    /// It is done: where it comes again, it is a repeat.
    pub(super) fn remember(&self, message: &ReceivedMessage) {
        if let Some(seen) = self.seen().as_mut()
            && let Ok(id) = UniqueId::from_text(message.message_id())
        {
            seen.insert(id);
        }
    }

    /// Asks a broker what it believes the group subscribes to, which is what a member has said
    /// last, and notes in what that differs.
    pub(super) async fn compare_subscriptions(&self, peer: &Arc<Peer<B>>) {
        let header = GetConsumerConnectionListRequestHeader {
            consumer_group: Text::plain(&self.description.group),
            ..GetConsumerConnectionListRequestHeader::default()
        };
        let code = request_code::GET_CONSUMER_CONNECTION_LIST;
        let asked = peer.ask(code, &header, b"", self.config.ask_timeout).await;
        if let Some(found) = asked.ok().and_then(|answer| self.read_differences(&answer)) {
            self.stats.note_differences(found);
        }
    }

    fn read_differences(&self, answer: &Answer) -> Option<Vec<String>> {
        let frame = answer.frame().ok()?;
        if frame.header.code != response_code::SUCCESS {
            return None;
        }
        let body = ConsumerConnection::decode(frame.body).ok()?;
        let theirs: Vec<SubscriptionData<'_>> =
            body.subscription_table.iter().flatten().map(|(_, data)| data).collect();
        let version_ms = self.description.version_ms;
        let topics = self.description.topics.iter();
        let ours: Vec<Subscription<'_>> =
            topics.map(|topic| topic.subscription(version_ms)).collect();
        let found = differences(&ours, theirs.as_slice().into());
        Some(found.map(|difference| difference.to_string()).collect())
    }
}

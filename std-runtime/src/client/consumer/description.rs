//! What brokers are told of a consumer: its group, and what it subscribes to.

use alloc::boxed::Box;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;

use turbopump_core::rocketmq::consumer::{StartFrom, Subscription};
use turbopump_core::rocketmq::wire::body::{
    ConsumeFromWhere, ConsumeType, ConsumerData, MessageModel, SubscriptionData,
};
use turbopump_core::rocketmq::wire::identity::java_hash;
use turbopump_core::rocketmq::wire::json::Text;

/// A consumer, as its heartbeats describe it.
#[derive(Debug)]
pub(in crate::client) struct Description {
    /// As brokers know it.
    pub(in crate::client) group: Box<str>,
    pub(in crate::client) topics: Vec<SubscribedTopic>,
    /// When its subscriptions were made, in milliseconds since 1970.
    pub(in crate::client) version_ms: i64,
    pub(super) from: StartFrom,
    pub(super) is_broadcasting: bool,
    pub(super) is_active: bool,
}

/// A topic that a consumer subscribes to.
#[derive(Debug)]
pub(in crate::client) struct SubscribedTopic {
    /// As the user has written it,
    pub(super) name: Arc<str>,
    /// and as brokers know it.
    pub(super) wire_name: Box<str>,
    pub(super) wanted: Wanted,
    /// It holds what the group has to try again.
    pub(super) is_retry: bool,
}

/// Which messages of a topic are wanted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Wanted {
    Tags(String),
    Sql92(String),
}

impl SubscribedTopic {
    /// What the core says of it; the text was checked.
    pub(super) fn subscription(&self, version_ms: i64) -> Subscription<'_> {
        let topic = &*self.wire_name;
        match &self.wanted {
            Wanted::Tags(text) => Subscription::by_tags(topic, text, version_ms)
                .unwrap_or_else(|_| Subscription::to_all(topic, version_ms)),
            Wanted::Sql92(text) => Subscription::by_sql92(topic, text, version_ms),
        }
    }
}

/// Tags of one subscription, and their hashes.
pub(in crate::client) type TagsOf<'d> = (Vec<Text<'d>>, Vec<i32>);

impl Description {
    /// The tags of each subscription.
    pub(in crate::client) fn tags(&self) -> Vec<TagsOf<'_>> {
        self.topics.iter().map(tags_of).collect()
    }

    /// As heartbeats carry them; `tags` are those of [`tags`](Self::tags).
    pub(in crate::client) fn subscriptions<'d>(
        &'d self,
        tags: &'d [TagsOf<'d>],
    ) -> Vec<SubscriptionData<'d>> {
        let topics = self.topics.iter().zip(tags);
        let data = topics.map(|(topic, (tags, codes))| {
            let subscription = topic.subscription(self.version_ms);
            SubscriptionData {
                class_filter_mode: false,
                code_set: codes.as_slice().into(),
                expression_type: Some(Text::plain(subscription.expression_type())),
                filter_class_source: None,
                sub_string: Some(Text::plain(subscription.sub_string())),
                sub_version: self.version_ms,
                tags_set: tags.as_slice().into(),
                topic: Text::plain(&topic.wire_name),
            }
        });
        data.collect()
    }

    /// As heartbeats carry it.
    pub(in crate::client) fn data<'d>(
        &'d self,
        subscriptions: &'d [SubscriptionData<'d>],
    ) -> ConsumerData<'d> {
        let from = match self.from {
            StartFrom::First => ConsumeFromWhere::FirstOffset,
            StartFrom::Timestamp { .. } => ConsumeFromWhere::Timestamp,
            _ => ConsumeFromWhere::LastOffset,
        };
        let model = match self.is_broadcasting {
            true => MessageModel::Broadcasting,
            false => MessageModel::Clustering,
        };
        let kind = if self.is_active { ConsumeType::Actively } else { ConsumeType::Passively };
        ConsumerData {
            consume_from_where: Some(from),
            consume_type: Some(kind),
            group_name: Text::plain(&self.group),
            message_model: Some(model),
            subscription_data_set: subscriptions.into(),
            unit_mode: false,
        }
    }
}

fn tags_of(topic: &SubscribedTopic) -> TagsOf<'_> {
    let tags = topic.subscription(0).tags();
    tags.map(|tag| (Text::plain(tag), java_hash(tag))).unzip()
}

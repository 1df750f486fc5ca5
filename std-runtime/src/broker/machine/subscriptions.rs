//! What members of a group subscribe to.
//!
//! Decides which subscriptions a heartbeat leaves the group with, and whether two members want
//! different messages. Filtering itself is left to `pull`.

use alloc::boxed::Box;
use alloc::collections::{BTreeMap, BTreeSet};
use alloc::string::String;
use alloc::vec::Vec;

use turbopump_core::rocketmq::wire::body::{ConsumerData, Expression, SubscriptionData};
use turbopump_core::rocketmq::wire::header::response_code;
use turbopump_core::rocketmq::wire::json::Text;

use super::answer::{Refusal, plain};
use super::groups::{Filter, Group, Subscription};
use super::sessions::SessionId;
use super::topics::GROUP_TOPIC_BYTES_MAX;

/// Topics that one group may subscribe to.
const SUBSCRIPTIONS_MAX: usize = 1_024;
/// The longest text of a subscription, and of its kind, in bytes.
const TEXT_BYTES_MAX: usize = 64 * 1024;
const TYPE_BYTES_MAX: usize = 64;

/// What a member wants, by topic: all of it, or nothing where something is wrong with it.
pub(super) fn subscriptions_of(
    data: &ConsumerData<'_>,
) -> Result<BTreeMap<Box<str>, Subscription>, Refusal> {
    let mut wanted = BTreeMap::new();
    for subscription in data.subscription_data_set.iter() {
        let new = subscription_of(&subscription?)?;
        wanted.insert(new.topic.clone(), new);
        if wanted.len() > SUBSCRIPTIONS_MAX {
            return Err(too_long("topics of one group", SUBSCRIPTIONS_MAX));
        }
    }
    Ok(wanted)
}

/// Takes over what a member wants; true where the topics are others than before. Topics of which
/// it wants something else than is known go into `differ`, each once as long as that is so.
pub(super) fn subscribe(
    group: &mut Group,
    id: SessionId,
    mut wanted: BTreeMap<Box<str>, Subscription>,
    differ: &mut Vec<String>,
) -> bool {
    let is_alone = group.members.len() < 2;
    let (mut has_changed, mut differing) = (false, BTreeSet::new());
    group.subscriptions.retain_mut(|known| {
        let Some(new) = wanted.remove(&known.topic) else {
            has_changed = true;
            return false;
        };
        let is_same = known.text == new.text && known.expression_type == new.expression_type;
        if !is_same && !is_alone {
            differing.insert(known.topic.clone());
        }
        if new.version > known.version {
            *known = new;
        }
        true
    });
    has_changed |= !wanted.is_empty();
    group.subscriptions.extend(wanted.into_values());
    if let Some(member) = group.members.iter_mut().find(|member| member.session == id) {
        differ.extend(differing.difference(&member.differing).map(|topic| (**topic).into()));
        member.differing = differing;
    }
    has_changed
}

pub(super) fn subscription_of(data: &SubscriptionData<'_>) -> Result<Subscription, Refusal> {
    let topic = plain(data.topic);
    let text: String = data.sub_string.map_or_else(|| "*".into(), |text| plain(text).into_owned());
    let expression_type = data.expression_type.map_or_else(|| "TAG".into(), plain).into_owned();
    for (what, len, bytes_max) in [
        ("bytes of a topic", topic.len(), GROUP_TOPIC_BYTES_MAX),
        ("bytes of a subscription", text.len(), TEXT_BYTES_MAX),
        ("bytes of its type", expression_type.len(), TYPE_BYTES_MAX),
    ] {
        if len > bytes_max {
            return Err(too_long(what, bytes_max));
        }
    }
    let filter = match &*expression_type {
        "TAG" | "" => {
            let expression = Expression::parse(Some(&text)).map_err(|error| {
                let remark = alloc::format!("parse the consumer's subscription failed: {error}");
                Refusal::new(response_code::SUBSCRIPTION_PARSE_FAILED, remark)
            })?;
            Filter::new(expression)
        }
        // Refused when it pulls.
        _ => Filter::default(),
    };
    let (topic, text) = ((*topic).into(), text.into());
    Ok(Subscription { topic, text, version: data.sub_version, expression_type, filter })
}

pub(super) fn subscription_data(subscription: &Subscription) -> (Text<'_>, SubscriptionData<'_>) {
    let topic = Text::plain(&subscription.topic);
    let data = SubscriptionData {
        class_filter_mode: false,
        code_set: subscription.filter.codes().into(),
        expression_type: Some(Text::plain(&subscription.expression_type)),
        filter_class_source: None,
        sub_string: Some(Text::plain(&subscription.text)),
        sub_version: subscription.version,
        tags_set: Default::default(),
        topic,
    };
    (topic, data)
}

fn too_long(what: &str, max: usize) -> Refusal {
    let remark = alloc::format!("a subscription is too long: there can be {max} {what}");
    Refusal::new(response_code::SUBSCRIPTION_PARSE_FAILED, remark)
}

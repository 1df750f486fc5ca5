//! Topics that are derived from groups, and names within namespaces.
//!
//! The module decides how names are put together and taken apart; which names are legal is for
//! brokers to say. What is written has a type that implements [`Display`](fmt::Display), so that
//! it can go into any text.

use core::fmt;

/// What a group's retry topic begins with.
pub const RETRY_PREFIX: &str = "%RETRY%";
/// What a group's topic of dead letters begins with.
pub const DEAD_LETTER_PREFIX: &str = "%DLQ%";
/// What light queues begin with.
pub const LIGHT_QUEUE_PREFIX: &str = "%LMQ%";

/// The topic of messages that a group has to try again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RetryTopic<'a>(
    /// The group.
    pub &'a str,
);

/// The topic of messages that a group has given up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DeadLetterTopic<'a>(
    /// The group.
    pub &'a str,
);

/// The topic of replies to requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReplyTopic<'a>(
    /// The cluster.
    pub &'a str,
);

/// The topic of messages that a pop consumer has to try again.
///
/// ```
/// use turbopump_core::rocketmq::wire::names::{PopRetryTopic, PopRetryVersion};
///
/// let topic = PopRetryTopic { group: "g", topic: "Orders", version: PopRetryVersion::V2 };
/// assert_eq!(topic.to_string(), "%RETRY%g+Orders");
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PopRetryTopic<'a> {
    /// The group.
    pub group: &'a str,
    /// The topic that it consumes.
    pub topic: &'a str,
    /// How both are joined.
    pub version: PopRetryVersion,
}

/// How group and topic are joined to a pop consumer's retry topic.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum PopRetryVersion {
    /// By an underscore, which may also be in either name.
    V1,
    /// By a plus sign.
    V2,
}

/// A topic or group within a namespace. System names and names that are in it already stay as
/// they are, and so does everything in the empty namespace.
///
/// ```
/// use turbopump_core::rocketmq::wire::names::InNamespace;
///
/// let wrapped = InNamespace { namespace: "ns", name: "%RETRY%billing" };
/// assert_eq!(wrapped.to_string(), "%RETRY%ns%billing");
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InNamespace<'a> {
    /// The namespace.
    pub namespace: &'a str,
    /// The topic or group.
    pub name: &'a str,
}

/// A topic or group without the namespace that it is in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WithoutNamespace<'a>(
    /// The topic or group as brokers know it.
    pub &'a str,
);

impl fmt::Display for RetryTopic<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{RETRY_PREFIX}{}", self.0)
    }
}

impl fmt::Display for DeadLetterTopic<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{DEAD_LETTER_PREFIX}{}", self.0)
    }
}

impl fmt::Display for ReplyTopic<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}_REPLY_TOPIC", self.0)
    }
}

impl fmt::Display for PopRetryTopic<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { group, topic, version } = self;
        let joint = match version {
            PopRetryVersion::V1 => '_',
            PopRetryVersion::V2 => '+',
        };
        write!(f, "{RETRY_PREFIX}{group}{joint}{topic}")
    }
}

impl fmt::Display for InNamespace<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { namespace, name } = *self;
        let (prefix, bare) = split_prefix(name);
        let is_inside = bare.strip_prefix(namespace).is_some_and(|rest| rest.starts_with('%'));
        if namespace.is_empty() || name.is_empty() || is_system_name(name) || is_inside {
            return f.write_str(name);
        }
        write!(f, "{prefix}{namespace}%{bare}")
    }
}

impl fmt::Display for WithoutNamespace<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = self.0;
        let (prefix, bare) = split_prefix(name);
        match bare.split_once('%') {
            Some((namespace, rest)) if !namespace.is_empty() && !is_system_name(name) => {
                write!(f, "{prefix}{rest}")
            }
            _ => f.write_str(name),
        }
    }
}

/// The namespace that a topic or group is in, empty for none.
#[must_use]
pub fn namespace_of(name: &str) -> &str {
    if is_system_name(name) {
        return "";
    }
    split_prefix(name).1.split_once('%').map_or("", |(namespace, _)| namespace)
}

/// Whether a topic or group belongs to brokers and clients themselves, and to no namespace. Topics
/// named as a cluster or a broker are such too, but only those know that.
#[must_use]
pub fn is_system_name(name: &str) -> bool {
    SYSTEM_TOPICS.contains(&name)
        || name.starts_with(SYSTEM_TOPIC_PREFIX)
        || name.starts_with(SYSTEM_GROUP_PREFIX)
}

/// Whether clients may send to a topic.
#[must_use]
pub fn is_sendable(topic: &str) -> bool {
    !CLOSED_TOPICS.contains(&topic)
}

fn split_prefix(name: &str) -> (&'static str, &str) {
    for prefix in [RETRY_PREFIX, DEAD_LETTER_PREFIX] {
        if let Some(bare) = name.strip_prefix(prefix) {
            return (prefix, bare);
        }
    }
    ("", name)
}

const SYSTEM_TOPIC_PREFIX: &str = "rmq_sys_";
const SYSTEM_GROUP_PREFIX: &str = "CID_RMQ_SYS_";

const SYSTEM_TOPICS: [&str; 10] = [
    "TBW102",
    "SCHEDULE_TOPIC_XXXX",
    "BenchmarkTest",
    "RMQ_SYS_TRANS_HALF_TOPIC",
    "RMQ_SYS_TRACE_TOPIC",
    "RMQ_SYS_TRANS_OP_HALF_TOPIC",
    "TRANS_CHECK_MAX_TIME_TOPIC",
    "SELF_TEST_TOPIC",
    "OFFSET_MOVED_EVENT",
    "CHECKPOINT_TOPIC",
];

const CLOSED_TOPICS: [&str; 6] = [
    "SCHEDULE_TOPIC_XXXX",
    "RMQ_SYS_TRANS_HALF_TOPIC",
    "RMQ_SYS_TRANS_OP_HALF_TOPIC",
    "TRANS_CHECK_MAX_TIME_TOPIC",
    "SELF_TEST_TOPIC",
    "OFFSET_MOVED_EVENT",
];

#[cfg(test)]
#[allow(clippy::indexing_slicing, clippy::arithmetic_side_effects)]
mod tests {
    extern crate alloc;
    use alloc::string::ToString;

    use super::{InNamespace, WithoutNamespace, is_sendable, namespace_of};

    #[test]
    fn names_go_into_a_namespace_once() {
        for (name, wrapped) in [
            ("Topic", "ns%Topic"),
            ("ns%Topic", "ns%Topic"),
            ("%DLQ%g", "%DLQ%ns%g"),
            ("%RETRY%ns%g", "%RETRY%ns%g"),
            ("TBW102", "TBW102"),
            ("CID_RMQ_SYS_x", "CID_RMQ_SYS_x"),
            ("", ""),
        ] {
            assert_eq!(InNamespace { namespace: "ns", name }.to_string(), wrapped);
            assert_eq!(InNamespace { namespace: "ns", name: wrapped }.to_string(), wrapped);
            assert_eq!(InNamespace { namespace: "", name }.to_string(), name);
        }
    }

    #[test]
    fn names_come_out_of_a_namespace() {
        assert_eq!(WithoutNamespace("ns%Topic").to_string(), "Topic");
        assert_eq!(WithoutNamespace("%RETRY%ns%g").to_string(), "%RETRY%g");
        assert_eq!(WithoutNamespace("%x").to_string(), "%x");
        assert_eq!(namespace_of("%DLQ%ns%g"), "ns");
        assert_eq!(namespace_of("Topic"), "");
        assert!(is_sendable("Topic") && !is_sendable("SELF_TEST_TOPIC"));
    }
}

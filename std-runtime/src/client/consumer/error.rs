//! Why a consumer can't begin.

use core::fmt;

use alloc::boxed::Box;

/// Why a consumer can't begin. What goes wrong later, it tries again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConsumeError {
    pub(super) group: Box<str>,
    pub(super) kind: ConsumeErrorKind,
}

/// What is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ConsumeErrorKind {
    /// The group can't be one.
    Group {
        /// What is wrong with its name.
        reason: &'static str,
    },
    /// Nothing is subscribed.
    NoTopic,
    /// A topic can't be one, or is subscribed twice.
    Topic {
        /// The topic.
        topic: Box<str>,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// What is wanted of a topic can't be meant.
    Expression {
        /// The topic.
        topic: Box<str>,
        /// What was written.
        expression: Box<str>,
    },
    /// A setting can't be meant.
    Settings {
        /// Which, and why.
        problem: &'static str,
    },
    /// The client has a consumer of that group already.
    AlreadyConsumes,
    /// The client is closed.
    Closed,
}

impl ConsumeError {
    /// What is wrong.
    #[must_use]
    pub const fn kind(&self) -> &ConsumeErrorKind {
        &self.kind
    }
}

impl fmt::Display for ConsumeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the consumer of the group {:?} can't begin: ", self.group)?;
        match &self.kind {
            ConsumeErrorKind::Group { reason } => write!(f, "the group {reason}"),
            ConsumeErrorKind::NoTopic => f.write_str("it subscribes to nothing: call `subscribe`"),
            ConsumeErrorKind::Topic { topic, reason } => write!(f, "the topic {topic:?} {reason}"),
            ConsumeErrorKind::Expression { topic, expression } => write!(
                f,
                "{expression:?} names no tags of the topic {topic:?}: write `*` for all messages, \
                 or tags between `||`"
            ),
            ConsumeErrorKind::Settings { problem } => f.write_str(problem),
            ConsumeErrorKind::AlreadyConsumes => f.write_str(
                "this client consumes for it already, and is one member: subscribe to all topics \
                 there, or make another client",
            ),
            ConsumeErrorKind::Closed => f.write_str("the client is closed"),
        }
    }
}

impl core::error::Error for ConsumeError {}

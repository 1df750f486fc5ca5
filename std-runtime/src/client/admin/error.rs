//! Why something could not be administered, and what to do about it.

use core::fmt;

use alloc::boxed::Box;
use alloc::string::String;
use alloc::vec::Vec;

use turbopump_core::rocketmq::wire::header::response_code;

/// Something that was not done, or not everywhere.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AdminError {
    pub(super) action: Action,
    pub(super) done: Vec<String>,
    pub(super) kind: AdminErrorKind,
}

/// What was to be done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Action {
    Create(Box<str>),
    Delete(Box<str>),
    Describe(Box<str>),
    List,
    ListGroups,
    DescribeGroup(Box<str>),
    Reset { group: Box<str>, topic: Box<str> },
}

/// Why it was not done.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum AdminErrorKind {
    /// The name of a topic or group can't be one; nothing was sent.
    Name {
        /// What is wrong with it, and what is allowed.
        reason: &'static str,
    },
    /// A setting that can't be meant; nothing was sent.
    Setting {
        /// Its name.
        setting: &'static str,
        /// Its value.
        value: Box<str>,
        /// What is allowed.
        allowed: &'static str,
    },
    /// The name servers know no such topic.
    UnknownTopic,
    /// No broker knows such a consumer group.
    UnknownGroup,
    /// The name servers know no such cluster.
    UnknownCluster {
        /// The cluster.
        cluster: Box<str>,
        /// Those there are.
        known: Vec<String>,
    },
    /// No broker is registered at the name servers.
    NoBroker,
    /// A broker has no master that could do it.
    NoMaster {
        /// The broker's name.
        broker: Box<str>,
    },
    /// A broker or a name server has refused it.
    Refused {
        /// Who.
        by: Box<str>,
        /// The code.
        code: i32,
        /// The remark.
        remark: String,
    },
    /// A broker or a name server could not be reached, or has not answered.
    Unreachable {
        /// Who was asked, and what has happened.
        reason: Box<str>,
    },
    /// An answer that can't be read.
    Unreadable {
        /// Whose.
        by: Box<str>,
        /// What is wrong with it.
        reason: Box<str>,
    },
}

impl AdminError {
    /// Why.
    #[must_use]
    pub const fn kind(&self) -> &AdminErrorKind {
        &self.kind
    }

    /// The brokers, by name, and name servers, by address, at which it was done all the same.
    #[must_use]
    pub fn done(&self) -> &[String] {
        &self.done
    }
}

impl fmt::Display for AdminError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.action {
            Action::Create(topic) => write!(f, "the topic {topic:?} was not created: ")?,
            Action::Delete(topic) => write!(f, "the topic {topic:?} was not deleted: ")?,
            Action::Describe(topic) => write!(f, "the topic {topic:?} can't be described: ")?,
            Action::List => f.write_str("the topics can't be listed: ")?,
            Action::ListGroups => f.write_str("the groups can't be listed: ")?,
            Action::DescribeGroup(group) => {
                write!(f, "how far the group {group:?} is can't be told: ")?;
            }
            Action::Reset { group, topic } => {
                write!(f, "the group {group:?} was not reset in the topic {topic:?}: ")?;
            }
        }
        self.kind.fmt(f)?;
        if !self.done.is_empty() {
            let done = self.done.join(", ");
            write!(f, " (done at {done}; put that right and do the same again)")?;
        }
        Ok(())
    }
}

impl fmt::Display for AdminErrorKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name { reason } => write!(f, "its name {reason}"),
            Self::Setting { setting, value, allowed } => {
                write!(f, "{setting} is {value}, and {allowed} are allowed")
            }
            Self::UnknownTopic => {
                f.write_str("no name server knows it; list the topics to see which there are")
            }
            Self::UnknownGroup => f.write_str(
                "no broker knows the group; it is known once one of its members was there",
            ),
            Self::UnknownCluster { cluster, known } => {
                write!(f, "there is no cluster {cluster:?}; there is {}", known.join(", "))
            }
            Self::NoBroker => f.write_str(
                "no broker is registered at the name servers; start one, or ask those at which it \
                 is registered",
            ),
            Self::NoMaster { broker } => write!(
                f,
                "broker {broker:?} has no master now; start it, or wait until there is a new one"
            ),
            Self::Refused { by, code, remark } => {
                let name = response_code::name(*code).unwrap_or("unknown");
                // Theirs are sentences, and another one follows.
                let remark = remark.trim_end_matches('.');
                write!(f, "{by} refuses with {name} ({code}): {remark}")?;
                match *code {
                    response_code::NO_PERMISSION => {
                        f.write_str("; sign as somebody who may do it, or have it permitted")
                    }
                    response_code::REQUEST_CODE_NOT_SUPPORTED => {
                        f.write_str("; is it what it is taken for, a broker or a name server?")
                    }
                    _ => Ok(()),
                }
            }
            Self::Unreachable { reason } => {
                write!(f, "{reason}; is it running, and can it be reached from here?")
            }
            Self::Unreadable { by, reason } => {
                write!(f, "the answer of {by} can't be read ({reason}); is that RocketMQ?")
            }
        }
    }
}

impl core::error::Error for AdminError {}

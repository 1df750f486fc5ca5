//! What topics are made of, and what is known about them.

use core::fmt;

use alloc::string::String;
use alloc::vec::Vec;

use turbopump_core::rocketmq::wire::body::{PERM_READ, PERM_WRITE};
use turbopump_core::rocketmq::wire::names::{DEAD_LETTER_PREFIX, RETRY_PREFIX, is_system_name};

use super::error::{AdminError, AdminErrorKind};

/// The longest name of a topic that brokers take, in bytes.
const NAME_BYTES_MAX: usize = 127;
/// The longest name of a retry or dead-letter topic, in bytes.
const GROUP_NAME_BYTES_MAX: usize = 255;
/// What brokers' own topics begin with, besides those that have a list.
const SYSTEM_PREFIX: &str = "RMQ_SYS_";
/// Queues of a topic at one broker that are worth asking for; brokers may take fewer.
const QUEUES_MAX: u32 = 65_536;

/// A topic that is to be made or changed.
///
/// ```
/// use turbopump_std::client::{TopicConfig, TopicPermission};
///
/// let mut topic = TopicConfig::new("Orders");
/// topic.write_queues = 16;
/// topic.read_queues = 16;
/// assert_eq!(topic.permission, TopicPermission::READ_WRITE);
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct TopicConfig {
    /// Its name: letters, digits, `%`, `-`, `_` and `|`, at most 127 of them.
    pub name: String,
    /// Queues at each broker that consumers read; 8.
    pub read_queues: u32,
    /// Queues at each broker that producers write to; 8.
    pub write_queues: u32,
    /// Who may do what; everything.
    pub permission: TopicPermission,
    /// Names and values that brokers from 5.0 on know, such as `message.type` and `FIFO`; none.
    pub attributes: Vec<(String, String)>,
    /// The cluster whose brokers get it; without one, all of them.
    pub cluster: Option<String>,
    /// Its queues are named to the name servers, `broker-a:8;broker-b:8`, so that they stay the
    /// same while a broker is away: then messages in order wait for it instead of going elsewhere.
    /// An order that is there already is not taken back by `false`; deleting the topic does that.
    pub order: bool,
}

/// What may be done with a topic: bits, as RocketMQ has them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct TopicPermission(
    /// 4 for reading, 2 for writing, 1 for being a template of new topics.
    pub i32,
);

/// The name of a topic, and for whom it is there.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub struct ListedTopic {
    /// Its name.
    pub name: String,
    /// For whom.
    pub kind: TopicKind,
}

/// For whom a topic is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum TopicKind {
    /// For users.
    User,
    /// For messages that a consumer group tries again.
    Retry,
    /// For messages that a consumer group has given up.
    DeadLetter,
    /// For brokers and clients themselves.
    System,
}

/// What is known about a topic.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct TopicDescription {
    /// Its name.
    pub name: String,
    /// The queues that producers write to, as the name server was told for messages in order:
    /// `broker-a:8;broker-b:8`; `None` where all brokers' are.
    pub order: Option<String>,
    /// The brokers that have it, by name.
    pub brokers: Vec<TopicBroker>,
}

/// A topic at a broker.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct TopicBroker {
    /// The broker's name.
    pub broker: String,
    /// The cluster's name, where the name server says it.
    pub cluster: Option<String>,
    /// Where its master says that it is; `None` where there is no master now.
    pub address: Option<String>,
    /// What may be done.
    pub permission: TopicPermission,
    /// Queues that consumers read.
    pub read_queues: i32,
    /// Queues that producers write to.
    pub write_queues: i32,
    /// What is in its queues, by their numbers; or why that is not known.
    pub queues: Result<Vec<TopicQueue>, AdminError>,
}

/// What is in a queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct TopicQueue {
    /// Its number at the broker.
    pub queue: i32,
    /// The offset of its first message that is kept.
    pub min_offset: i64,
    /// The offset that its next message will get.
    pub max_offset: i64,
    /// When its last message was stored, in milliseconds since 1970; `None` for never.
    pub updated_unix_ms: Option<i64>,
}

impl TopicConfig {
    /// A topic with eight queues at each broker, for reading and writing.
    #[must_use]
    pub fn new(name: &str) -> Self {
        Self {
            name: name.into(),
            read_queues: 8,
            write_queues: 8,
            permission: TopicPermission::READ_WRITE,
            attributes: Vec::new(),
            cluster: None,
            order: false,
        }
    }

    /// Says what no broker would take.
    pub(super) fn check(&self) -> Result<(), AdminErrorKind> {
        check_own_name(&self.name)?;
        let invalid = |setting, value: &dyn fmt::Display, allowed| {
            let value = alloc::format!("{value}").into();
            Err(AdminErrorKind::Setting { setting, value, allowed })
        };
        for (setting, queues) in
            [("read_queues", self.read_queues), ("write_queues", self.write_queues)]
        {
            if queues == 0 || queues > QUEUES_MAX {
                return invalid(setting, &queues, "1 to 65536 queues");
            }
        }
        if !(0..8).contains(&self.permission.0) {
            let allowed = "the bits 4 (read), 2 (write) and 1 (inherit)";
            return invalid("permission", &self.permission.0, allowed);
        }
        for (name, value) in &self.attributes {
            let is_wrong = |text: &str| text.is_empty() || text.contains([',', '=', '+']);
            if is_wrong(name) || is_wrong(value) {
                let allowed = "names and values without `,`, `=` and `+`";
                return invalid("attributes", &alloc::format!("{name}={value}"), allowed);
            }
        }
        Ok(())
    }

    /// The attributes as they are sent; `None` for none.
    pub(super) fn attribute_text(&self) -> Option<String> {
        let attributes = self.attributes.iter();
        let written: Vec<String> =
            attributes.map(|(name, value)| alloc::format!("+{name}={value}")).collect();
        (!written.is_empty()).then(|| written.join(","))
    }
}

impl TopicPermission {
    /// Nothing may be done.
    pub const NONE: Self = Self(0);
    /// Consumers may read.
    pub const READ: Self = Self(PERM_READ);
    /// Producers may write.
    pub const WRITE: Self = Self(PERM_WRITE);
    /// Both.
    pub const READ_WRITE: Self = Self(PERM_READ | PERM_WRITE);

    /// Whether consumers may read.
    #[must_use]
    pub const fn is_readable(self) -> bool {
        self.0 & PERM_READ != 0
    }

    /// Whether producers may write.
    #[must_use]
    pub const fn is_writable(self) -> bool {
        self.0 & PERM_WRITE != 0
    }
}

/// `RW-`, as RocketMQ's tools show it; the third letter is `X` for templates of new topics.
impl fmt::Display for TopicPermission {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let letter = |is_set, letter| if is_set { letter } else { "-" };
        f.write_str(letter(self.is_readable(), "R"))?;
        f.write_str(letter(self.is_writable(), "W"))?;
        f.write_str(letter(self.0 & 1 != 0, "X"))
    }
}

impl TopicKind {
    /// As far as the name says; that clusters and brokers have topics of their own, only
    /// name servers know.
    pub(super) fn of(name: &str) -> Self {
        if name.starts_with(RETRY_PREFIX) {
            Self::Retry
        } else if name.starts_with(DEAD_LETTER_PREFIX) {
            Self::DeadLetter
        } else if is_system_name(name) || name.starts_with(SYSTEM_PREFIX) {
            Self::System
        } else {
            Self::User
        }
    }

    /// In a word: `user`, `retry`, `dead-letter` or `system`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::User => "user",
            Self::Retry => "retry",
            Self::DeadLetter => "dead-letter",
            Self::System => "system",
        }
    }
}

impl TopicQueue {
    /// Messages that are kept.
    #[must_use]
    pub const fn messages(&self) -> i64 {
        self.max_offset.saturating_sub(self.min_offset)
    }
}

/// Whether a topic can be called so.
pub(super) fn check_name(name: &str) -> Result<(), AdminErrorKind> {
    let is_of_group = matches!(TopicKind::of(name), TopicKind::Retry | TopicKind::DeadLetter);
    let bytes_max = if is_of_group { GROUP_NAME_BYTES_MAX } else { NAME_BYTES_MAX };
    // Topics that pop consumers try again from have a plus sign.
    let is_allowed = |letter: char| {
        letter.is_ascii_alphanumeric()
            || matches!(letter, '%' | '-' | '_' | '|')
            || (is_of_group && letter == '+')
    };
    let reason = if name.is_empty() {
        "is empty: give it one"
    } else if name.len() > bytes_max {
        "has more than 127 letters: shorten it"
    } else if !name.chars().all(is_allowed) {
        "may have letters, digits, `%`, `-`, `_` and `|`, and nothing else"
    } else {
        return Ok(());
    };
    Err(AdminErrorKind::Name { reason })
}

/// Whether a topic can be called so that users make and delete.
pub(super) fn check_own_name(name: &str) -> Result<(), AdminErrorKind> {
    check_name(name)?;
    match TopicKind::of(name) {
        TopicKind::System => {
            Err(AdminErrorKind::Name { reason: "belongs to the brokers: choose another one" })
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use alloc::string::ToString;

    use super::*;

    #[test]
    fn names_and_settings_are_checked() {
        assert!(check_name("%RETRY%g+Orders").is_ok() && check_name("a%b-c_d|e").is_ok());
        for wrong in ["", "a b", "a+b", "ü", &"a".repeat(128)] {
            assert!(matches!(check_name(wrong), Err(AdminErrorKind::Name { .. })), "{wrong}");
        }
        assert!(check_name("TBW102").is_ok() && check_own_name("TBW102").is_err());
        let mut topic = TopicConfig::new("Orders");
        assert_eq!(topic.check(), Ok(()));
        topic.write_queues = 0;
        assert!(topic.check().is_err());
        topic = TopicConfig { permission: TopicPermission(8), ..TopicConfig::new("Orders") };
        assert!(topic.check().is_err());
        topic = TopicConfig::new("Orders");
        topic.attributes.push(("message.type".into(), "FIFO".into()));
        topic.attributes.push(("a".into(), "b".into()));
        assert_eq!(topic.check(), Ok(()));
        assert_eq!(topic.attribute_text().as_deref(), Some("+message.type=FIFO,+a=b"));
        topic.attributes.push(("a".into(), "b,c".into()));
        assert!(topic.check().is_err());
    }

    #[test]
    fn permissions_and_kinds_have_names() {
        let shown = [0, 2, 4, 6, 7].map(|bits| TopicPermission(bits).to_string());
        assert_eq!(shown, ["---", "-W-", "R--", "RW-", "RWX"]);
        let names = ["C_REPLY_TOPIC", "%RETRY%g", "%DLQ%g", "TBW102", "RMQ_SYS_ROCKSDB_X"];
        let kinds = names.map(|name| TopicKind::of(name).name());
        assert_eq!(kinds, ["user", "retry", "dead-letter", "system", "system"]);
    }
}

//! What administering topics can be told.

use core::str::FromStr;

use clap::{Args, Subcommand};

use turbopump::runtime::client::{TopicConfig, TopicPermission};

use crate::client::ClientArguments;

#[derive(Clone, Debug, Args)]
pub(crate) struct TopicArguments {
    #[command(subcommand)]
    pub(crate) command: TopicCommand,
}

#[derive(Clone, Debug, Subcommand)]
pub(crate) enum TopicCommand {
    /// Makes a topic, or changes the one of that name.
    ///
    /// It is made at the masters of one cluster or of all. Where a broker refuses or does not
    /// answer, the others make it all the same, and it can be made again.
    Create(CreateArguments),
    /// Lists the topics that the name server knows.
    List(ListArguments),
    /// Says where a topic is, and what its queues hold.
    Describe(DescribeArguments),
    /// Deletes a topic with all its messages.
    ///
    /// At a terminal it asks first. In scripts it wants `--yes`.
    Delete(DeleteArguments),
}

#[derive(Clone, Debug, Args)]
pub(crate) struct CreateArguments {
    /// The topic: letters, digits, `%`, `-`, `_` and `|`.
    #[arg(value_name = "NAME")]
    pub(crate) name: String,
    /// Queues at each broker, for reading and for writing.
    #[arg(long, value_name = "N", default_value_t = 8)]
    pub(crate) queues: u32,
    /// Queues that consumers read, where these are others.
    #[arg(long, value_name = "N")]
    pub(crate) read_queues: Option<u32>,
    /// Queues that producers write to, where these are others.
    #[arg(long, value_name = "N")]
    pub(crate) write_queues: Option<u32>,
    /// What may be done: `r` (read), `w` (write) or both.
    #[arg(long, value_name = "RW", default_value = "rw")]
    pub(crate) perm: Permission,
    /// What brokers from 5.0 on are to know of it, such as `message.type=FIFO`; may be given
    /// several times.
    #[arg(long, value_name = "NAME=VALUE")]
    pub(crate) attribute: Vec<Attribute>,
    /// Names its queues to the name servers, so that they stay the same while a broker is away.
    #[arg(long)]
    pub(crate) order: bool,
    /// The cluster; by default all.
    #[arg(long, value_name = "NAME")]
    pub(crate) cluster: Option<String>,
    #[command(flatten)]
    pub(crate) client: ClientArguments,
}

#[derive(Clone, Debug, Args)]
pub(crate) struct ListArguments {
    /// Also topics for retries and dead letters, and those of brokers and clients themselves.
    #[arg(long)]
    pub(crate) all: bool,
    #[command(flatten)]
    pub(crate) client: ClientArguments,
}

#[derive(Clone, Debug, Args)]
pub(crate) struct DescribeArguments {
    /// The topic.
    #[arg(value_name = "NAME")]
    pub(crate) name: String,
    #[command(flatten)]
    pub(crate) client: ClientArguments,
}

#[derive(Clone, Debug, Args)]
pub(crate) struct DeleteArguments {
    /// The topic.
    #[arg(value_name = "NAME")]
    pub(crate) name: String,
    /// Does not ask.
    #[arg(long)]
    pub(crate) yes: bool,
    #[command(flatten)]
    pub(crate) client: ClientArguments,
}

impl TopicCommand {
    pub(crate) const fn client(&self) -> &ClientArguments {
        match self {
            Self::Create(arguments) => &arguments.client,
            Self::List(arguments) => &arguments.client,
            Self::Describe(arguments) => &arguments.client,
            Self::Delete(arguments) => &arguments.client,
        }
    }
}

impl CreateArguments {
    pub(crate) fn topic(&self) -> TopicConfig {
        let mut topic = TopicConfig::new(&self.name);
        topic.read_queues = self.read_queues.unwrap_or(self.queues);
        topic.write_queues = self.write_queues.unwrap_or(self.queues);
        topic.permission = self.perm.0;
        let attributes = self.attribute.iter();
        topic.attributes =
            attributes.map(|Attribute(name, value)| (name.clone(), value.clone())).collect();
        topic.order = self.order;
        topic.cluster.clone_from(&self.cluster);
        topic
    }
}

/// What may be done, as it is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Permission(pub(crate) TopicPermission);

impl FromStr for Permission {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        Ok(Self(match text {
            "r" => TopicPermission::READ,
            "w" => TopicPermission::WRITE,
            "rw" => TopicPermission::READ_WRITE,
            _ => return Err("write r, w or rw".into()),
        }))
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Attribute(String, String);

impl FromStr for Attribute {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let parts = text.split_once('=');
        let parts = parts.map(|(name, value)| Self(name.into(), value.into()));
        parts.ok_or_else(|| "write NAME=VALUE".into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_permission_and_no_attribute_is_refused() {
        assert_eq!("rw".parse(), Ok(Permission(TopicPermission::READ_WRITE)));
        assert!("x".parse::<Permission>().is_err() && "".parse::<Permission>().is_err());
        assert_eq!("a=b=c".parse(), Ok(Attribute("a".into(), "b=c".into())));
        assert!("a".parse::<Attribute>().is_err());
    }
}

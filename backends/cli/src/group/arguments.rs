//! What looking after consumer groups can be told.

use clap::{Args, Subcommand};

use crate::client::ClientArguments;
use crate::moment::Moment;

#[derive(Clone, Debug, Args)]
pub(crate) struct GroupArguments {
    #[command(subcommand)]
    pub(crate) command: GroupCommand,
}

#[derive(Clone, Debug, Subcommand)]
pub(crate) enum GroupCommand {
    /// Lists the consumer groups that brokers know, and how many members each has.
    List(ListArguments),
    /// Says how far a group is in each queue, and who is in it.
    Lag(LagArguments),
    /// Has a group go on elsewhere in a topic: members that are connected do so at once.
    ///
    /// At a terminal it asks first. In scripts it wants `--yes`.
    Reset(ResetArguments),
}

#[derive(Clone, Debug, Args)]
pub(crate) struct ListArguments {
    /// Also those of brokers and tools themselves.
    #[arg(long)]
    pub(crate) all: bool,
    #[command(flatten)]
    pub(crate) client: ClientArguments,
}

#[derive(Clone, Debug, Args)]
pub(crate) struct LagArguments {
    /// The group.
    #[arg(value_name = "GROUP")]
    pub(crate) group: String,
    /// Only queues of this topic.
    #[arg(long, value_name = "NAME")]
    pub(crate) topic: Option<String>,
    /// Ends with 1 where more messages than these are not handled yet.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(i64).range(0..))]
    pub(crate) lag_max: Option<i64>,
    #[command(flatten)]
    pub(crate) client: ClientArguments,
}

#[derive(Clone, Debug, Args)]
pub(crate) struct ResetArguments {
    /// The group.
    #[arg(value_name = "GROUP")]
    pub(crate) group: String,
    /// The topic.
    #[arg(long, value_name = "NAME")]
    pub(crate) topic: String,
    /// Where it goes on: `first`, `last`, a time such as `2026-11-28T09:30:00Z`, or Unix
    /// milliseconds.
    #[arg(long, value_name = "first|last|TIME")]
    pub(crate) to: Moment,
    /// Does not ask.
    #[arg(long)]
    pub(crate) yes: bool,
    #[command(flatten)]
    pub(crate) client: ClientArguments,
}

impl GroupCommand {
    pub(crate) const fn client(&self) -> &ClientArguments {
        match self {
            Self::List(arguments) => &arguments.client,
            Self::Lag(arguments) => &arguments.client,
            Self::Reset(arguments) => &arguments.client,
        }
    }
}

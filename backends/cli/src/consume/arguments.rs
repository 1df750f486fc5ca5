//! What receiving from the command line can be told.

use clap::Args;

use crate::arguments::AddressOrOff;
use crate::client::ClientArguments;
use crate::moment::Moment;

#[derive(Clone, Debug, Args)]
pub(crate) struct ConsumeArguments {
    /// The topic; may be given several times.
    #[arg(long, value_name = "NAME", required = true)]
    pub(crate) topic: Vec<String>,
    /// The consumer group: its members share the messages, and it goes on where it was.
    #[arg(long, value_name = "NAME")]
    pub(crate) group: String,
    /// Only messages with one of these tags: `a || b`.
    #[arg(long, value_name = "TAGS", default_value = "*")]
    pub(crate) tags: String,
    /// Only messages whose properties this expression chooses (SQL92), where brokers allow it.
    #[arg(long, value_name = "EXPRESSION", conflicts_with = "tags")]
    pub(crate) sql: Option<String>,
    /// Ends after so many messages; what comes later is left to others of the group. Without it,
    /// it ends when it is interrupted.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) count: Option<u64>,
    /// Ends when nothing has come for so long, in milliseconds.
    #[arg(long, value_name = "MS", value_parser = clap::value_parser!(u64).range(1..=86_400_000))]
    pub(crate) idle_ms: Option<u64>,
    /// Where a group begins that has committed nothing: `first`, `last`, a time such as
    /// `2026-11-28T09:30:00Z`, or Unix milliseconds.
    #[arg(long, value_name = "first|last|TIME", default_value = "last")]
    pub(crate) from: Moment,
    /// Each queue's messages in their order, with a lock of the queue at its broker.
    #[arg(long)]
    pub(crate) ordered: bool,
    /// Writes each message with its length in front, four bytes, the highest first, instead of a
    /// line.
    #[arg(long, conflicts_with_all = ["metadata", "json"])]
    pub(crate) length_prefixed: bool,
    /// Writes broker, queue, offset, id, tag and keys in front of each line, with tabs between.
    #[arg(long, conflicts_with = "json")]
    pub(crate) metadata: bool,
    /// Where the monitor listens while messages are received, `HOST:PORT` (port 0: any that is
    /// free), or `off`.
    #[arg(long, value_name = "ADDR", default_value = "off")]
    pub(crate) monitor: AddressOrOff,
    #[command(flatten)]
    pub(crate) client: ClientArguments,
}

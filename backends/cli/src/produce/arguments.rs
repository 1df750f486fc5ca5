//! What sending from the command line can be told.

use std::path::PathBuf;

use clap::Args;

use crate::arguments::AddressOrOff;
use crate::client::ClientArguments;

#[derive(Clone, Debug, Args)]
pub(crate) struct ProduceArguments {
    /// Where messages come from: one in each line. Without it, standard input.
    #[arg(value_name = "FILE")]
    pub(crate) file: Option<PathBuf>,
    /// The topic.
    #[arg(long, value_name = "NAME")]
    pub(crate) topic: String,
    /// The producer group.
    #[arg(long, value_name = "NAME", default_value = "turbopump-produce")]
    pub(crate) group: String,
    /// Messages are not lines: each has its length in front, four bytes, the highest first.
    #[arg(long)]
    pub(crate) length_prefixed: bool,
    /// The tag of all messages.
    #[arg(long, value_name = "TAG")]
    pub(crate) tag: Option<String>,
    /// A key of all messages; may be given several times.
    #[arg(long, value_name = "KEY")]
    pub(crate) key: Vec<String>,
    /// A property of all messages; may be given several times.
    #[arg(long, value_name = "NAME=VALUE")]
    pub(crate) property: Vec<String>,
    /// Sends all messages to the queue of this key, one after the other, so that they stay in
    /// order.
    #[arg(long, value_name = "KEY")]
    pub(crate) ordering_key: Option<String>,
    /// Messages per batch; 1 sends each by itself. Messages that are long enough to be compressed
    /// are sent by themselves in any case.
    #[arg(long, value_name = "N", default_value_t = 32, conflicts_with = "ordering_key")]
    #[arg(value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub(crate) batch: u32,
    /// Compresses messages from so many bytes on. By default what the settings say, else 4,096.
    #[arg(long, value_name = "BYTES")]
    pub(crate) compress_from: Option<usize>,
    /// At most so many messages a second.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) rate: Option<u32>,
    /// Where the monitor listens while messages are sent, `HOST:PORT` (port 0: any that is free),
    /// or `off`.
    #[arg(long, value_name = "ADDR", default_value = "off")]
    pub(crate) monitor: AddressOrOff,
    #[command(flatten)]
    pub(crate) client: ClientArguments,
}

//! What the program can be asked for.

use core::net::SocketAddr;
use core::str::FromStr;
use core::time::Duration;
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

use crate::broker::{BrokerArguments, NamesrvArguments};
use crate::consume::ConsumeArguments;
use crate::group::GroupArguments;
use crate::load::LoadArguments;
use crate::produce::ProduceArguments;
use crate::topic::TopicArguments;

/// Turbopump: pools, batches, connections, monitoring.
#[derive(Debug, Parser)]
#[command(name = "turbopump", version)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Runs a RocketMQ broker with its name server in this process.
    ///
    /// Clients of any language use it as they use Apache's. Once it is ready it prints one line
    /// with both addresses on standard output; SIGTERM and Ctrl-C stop it.
    Broker(Box<BrokerArguments>),
    /// Runs a RocketMQ name server without a broker.
    ///
    /// Brokers register at it: `turbopump broker --register`, and Apache's. Once it is ready it
    /// prints one line with its address on standard output; SIGTERM and Ctrl-C stop it.
    Namesrv(Box<NamesrvArguments>),
    /// Sends messages that are read from a file or from standard input.
    ///
    /// Each line is a message. It stops at the first message that can't be sent, says which and
    /// why, and ends with 1.
    Produce(Box<ProduceArguments>),
    /// Writes the messages of a consumer group to standard output.
    ///
    /// Each message is a line. It is done when it was written, and what other members of the group
    /// have is not written. Ends with 1 where fewer messages came than wanted, or one could not be
    /// read, and with 2 where it can't begin.
    Consume(Box<ConsumeArguments>),
    /// Sends made-up messages as fast as it can, and says what that costs.
    ///
    /// Rate, processor time, allocations and latency of this client, after a warm-up; for measuring
    /// brokers and machines. It ends with 1 where a message was not sent.
    Load(Box<LoadArguments>),
    /// Makes, lists, describes and deletes topics.
    ///
    /// Ends with 1 where a broker or name server refuses it or a topic is not known, and with 2
    /// where it can't be asked for at all.
    Topic(Box<TopicArguments>),
    /// Looks after consumer groups: lists them, says how far they are, has them go on elsewhere.
    ///
    /// Ends with 1 where a broker or name server refuses it or a group is not known, and with 2
    /// where it can't be asked for at all.
    Group(Box<GroupArguments>),
    /// Sends real lines through a broker of its own, and checks each one at the other end.
    ///
    /// Lines go through pooled buffers and batch senders to an embedded broker on disk, by the wire
    /// as any client's; from there they are pulled, and checked by a batch receiver. Then the
    /// broker is started again, and everything that it has found on disk is checked once more.
    /// Ends with 0 where nothing was lost, duplicated or out of order, else with 1.
    Demo(Box<DemoArguments>),
    /// Makes a report of a run: plots, and what limits it, fails or is slow.
    ///
    /// RUN is what `demo --export` or a file export has written. The text goes to standard output,
    /// the page with plots to FILE.
    Report(ReportArguments),
}

#[derive(Clone, Debug, Args)]
pub(crate) struct ReportArguments {
    /// Exported numbers, a line of JSON each; older files (RUN.1, RUN.2) are read, too.
    #[arg(value_name = "RUN")]
    pub(crate) run: PathBuf,
    /// Where to write the page.
    #[arg(long, value_name = "FILE.html")]
    pub(crate) out: Option<PathBuf>,
}

#[derive(Clone, Debug, Args)]
pub(crate) struct DemoArguments {
    /// A text file whose lines are the messages. Without it: 50,000 flights of 2013 (CC0), keyed
    /// by aircraft.
    #[arg(long, value_name = "FILE")]
    pub(crate) input: Option<PathBuf>,
    /// Messages to send; the input is repeated or cut. By default 1,000,000, or the lines of FILE.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=1_000_000_000))]
    pub(crate) messages: Option<u64>,
    /// Column (from 1) of the comma-separated lines that is the key; order is checked per key.
    /// Without it, all lines of FILE have one key.
    #[arg(long, value_name = "COLUMN", requires = "input")]
    pub(crate) key: Option<usize>,
    /// The runtime.
    #[arg(long, value_enum, default_value_t = BackendName::Tokio)]
    pub(crate) backend: BackendName,
    /// Where the monitor listens, `HOST:PORT` (port 0: any that is free), or `off`.
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:0")]
    pub(crate) monitor: AddressOrOff,
    /// Where debug pages and profiles are served, `HOST:PORT` on the loopback interface (port 0:
    /// any that is free), or `off`.
    #[arg(long, value_name = "ADDR", default_value = "off")]
    pub(crate) debug: AddressOrOff,
    /// Messages per batch; 1 shows what batching is worth.
    #[arg(long, value_name = "N", default_value_t = 500)]
    #[arg(value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub(crate) batch: u32,
    /// Lanes, each with a queue: messages of one key stay in one, lanes don't wait for each other.
    #[arg(long, value_name = "N", default_value_t = 4)]
    #[arg(value_parser = clap::value_parser!(u16).range(1..=64))]
    pub(crate) lanes: u16,
    /// At most this many messages a second.
    #[arg(long, value_name = "N")]
    pub(crate) rate: Option<u32>,
    /// Where the broker writes. By default a folder that is removed afterwards.
    #[arg(long, value_name = "DIR")]
    pub(crate) store: Option<PathBuf>,
    /// Appends the numbers of each second to this file, as a line of JSON, for `turbopump report`.
    #[arg(long, value_name = "FILE")]
    pub(crate) export: Option<PathBuf>,
    /// Posts the numbers of each second to InfluxDB, `http://HOST:8086/write?db=NAME`.
    #[arg(long, value_name = "URL")]
    pub(crate) influx: Option<String>,
    /// A webhook that takes Alertmanager's JSON, `http://HOST:PORT/PATH`.
    #[arg(long, value_name = "URL")]
    pub(crate) webhook: Option<String>,
    /// Alert rules in TOML, in place of the built-in ones.
    #[arg(long, value_name = "FILE")]
    pub(crate) rules: Option<PathBuf>,
    /// Takes the broker away after SECONDS, for FOR seconds, to show what happens then.
    #[arg(long, value_name = "SECONDS,FOR")]
    pub(crate) outage: Option<Outage>,
    /// Keeps the monitor for so long after the summary.
    #[arg(long, value_name = "SECONDS", default_value_t = 0)]
    pub(crate) hold: u64,
    /// Prints one JSON object instead of the summary.
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum BackendName {
    Tokio,
    Smol,
}

impl BackendName {
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Tokio => "tokio",
            Self::Smol => "smol",
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct AddressOrOff(pub(crate) Option<SocketAddr>);

impl FromStr for AddressOrOff {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text == "off" {
            return Ok(Self(None));
        }
        let address = text.parse().map_err(|_| {
            String::from("write an IP address and a port, such as 127.0.0.1:8080, or `off`")
        })?;
        Ok(Self(Some(address)))
    }
}

/// When the broker is away.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Outage {
    pub(crate) after: Duration,
    pub(crate) lasts: Duration,
}

impl FromStr for Outage {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let seconds = |part: &str| {
            let seconds = part.trim().parse::<f64>().ok()?;
            Duration::try_from_secs_f64(seconds).ok()
        };
        let parts = text.split_once(',').and_then(|(after, lasts)| {
            Some(Self { after: seconds(after)?, lasts: seconds(lasts)? })
        });
        parts.ok_or_else(|| String::from("write two numbers of seconds, such as 2,5"))
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_definition_is_consistent() {
        Arguments::command().debug_assert();
    }

    #[test]
    fn what_is_no_address_and_no_outage_is_refused() {
        assert_eq!("off".parse(), Ok(AddressOrOff(None)));
        assert!("8080".parse::<AddressOrOff>().is_err());
        let outage = Outage { after: Duration::from_secs(2), lasts: Duration::from_millis(500) };
        assert_eq!("2, 0.5".parse(), Ok(outage));
        for wrong in ["2", "2,-1", "x,1", "1,inf"] {
            assert!(wrong.parse::<Outage>().is_err(), "{wrong}");
        }
    }
}

//! What a load can be told.

use clap::{Args, ValueEnum};

use crate::arguments::{AddressOrOff, BackendName};

#[derive(Clone, Debug, Args)]
pub(crate) struct LoadArguments {
    /// The name server, `HOST:PORT`; several by `;`.
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:9876")]
    pub(crate) namesrv: String,
    /// The topic.
    #[arg(long, value_name = "NAME", default_value = "turbopump-load")]
    pub(crate) topic: String,
    /// How messages are sent.
    #[arg(long, value_enum, default_value_t = Way::Automatic)]
    pub(crate) way: Way,
    /// Messages that are measured.
    #[arg(long, value_name = "N", default_value_t = 1_000_000)]
    #[arg(value_parser = clap::value_parser!(u64).range(1..=10_000_000_000))]
    pub(crate) messages: u64,
    /// Messages before that, which are not.
    #[arg(long, value_name = "N", default_value_t = 50_000)]
    pub(crate) warm_up: u64,
    /// Bytes of a message.
    #[arg(long, value_name = "BYTES", default_value_t = 128)]
    #[arg(value_parser = clap::value_parser!(u32).range(1..=4_194_304))]
    pub(crate) bytes: u32,
    /// Callers that wait for each answer, at once; 32, of batches 4, of automatic batches 1,000.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub(crate) callers: Option<u32>,
    /// Messages per batch, of `batch`; at most so many, of `automatic`.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub(crate) batch: Option<u32>,
    /// How long automatic batches wait to be filled, in microseconds.
    #[arg(long, value_name = "US", default_value_t = 0)]
    pub(crate) linger_us: u64,
    /// Threads of tokio; smol has one, or SMOL_THREADS.
    #[arg(long, value_name = "N", default_value_t = 1)]
    #[arg(value_parser = clap::value_parser!(u16).range(1..=256))]
    pub(crate) threads: u16,
    /// The runtime.
    #[arg(long, value_enum, default_value_t = BackendName::Tokio)]
    pub(crate) backend: BackendName,
    /// Where the monitor listens while messages are sent, `HOST:PORT` (port 0: any that is free),
    /// or `off`.
    #[arg(long, value_name = "ADDR", default_value = "off")]
    pub(crate) monitor: AddressOrOff,
    /// Prints one JSON object instead of the summary.
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Way {
    /// One by one: each caller waits for the answer.
    Awaited,
    /// In batches that each caller puts together.
    Batch,
    /// One by one, put together by the producer.
    Automatic,
}

impl LoadArguments {
    pub(crate) fn callers(&self) -> u32 {
        self.callers.unwrap_or(match self.way {
            Way::Awaited => 32,
            Way::Batch => 4,
            Way::Automatic => 1_000,
        })
    }
}

//! What a broker can be told.

use core::error::Error;
use core::net::SocketAddr;
use core::time::Duration;
use std::path::PathBuf;

use clap::{Args, ValueEnum};
use turbopump::runtime::backend::Endpoint;
use turbopump::runtime::broker::{BrokerConfig, FlushPolicy, StoreConfig};
use turbopump::runtime::net::tls::{ClientSettings, Material, TlsClient};

use super::security::{TlsArguments, users};
use crate::arguments::{AddressOrOff, BackendName};

#[derive(Clone, Debug, Args)]
pub(crate) struct BrokerArguments {
    /// Where the name server listens (port 0: any that is free), or `off`.
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:9876")]
    pub(crate) namesrv: AddressOrOff,
    /// Where the broker listens (port 0: any that is free).
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:10911")]
    pub(crate) listen: SocketAddr,
    /// What clients are told to connect to. By default where the broker listens.
    #[arg(long, value_name = "ADDR")]
    pub(crate) advertise: Option<SocketAddr>,
    /// Registers at this name server that stands apart, `HOST:PORT`; several by `;`.
    #[arg(long, value_name = "ADDR", value_delimiter = ';')]
    pub(crate) register: Vec<Endpoint>,
    /// Registers by TLS, and trusts the CA in this file.
    #[arg(long, value_name = "FILE", requires = "register")]
    pub(crate) register_ca: Option<PathBuf>,
    /// Keeps messages in this folder, which is made if it is not there.
    #[arg(long, value_name = "DIR", conflicts_with = "memory")]
    pub(crate) store: Option<PathBuf>,
    /// Keeps messages in memory, which is what happens without `--store`, too.
    #[arg(long)]
    pub(crate) memory: bool,
    /// When messages are forced to disk: `never` (the system decides), `interval` (twice a second)
    /// or `always` (before they are acknowledged).
    #[arg(long, value_enum, value_name = "WHEN", default_value_t = Flush::Interval)]
    #[arg(requires = "store")]
    pub(crate) flush: Flush,
    /// Only looks at the store in this folder, says what is in it and what is damaged, and changes
    /// nothing. Ends with 1 where something is damaged.
    #[arg(long, value_name = "DIR", exclusive = true)]
    pub(crate) verify: Option<PathBuf>,
    /// Messages that are held in memory, in MiB.
    #[arg(long, value_name = "MIB", default_value_t = 256)]
    #[arg(value_parser = clap::value_parser!(u32).range(4..=1_048_576))]
    pub(crate) memory_mib: u32,
    /// Messages that are kept on disk, in MiB; the oldest go first, in segments of 64 MiB.
    #[arg(long, value_name = "MIB", default_value_t = 16_384, requires = "store")]
    #[arg(value_parser = clap::value_parser!(u32).range(64..))]
    pub(crate) keep_mib: u32,
    /// How many messages are kept on disk; the index in memory takes 24 bytes for each.
    #[arg(long, value_name = "N", default_value_t = 16_000_000, requires = "store")]
    #[arg(value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) keep_messages: u64,
    /// How long messages are kept on disk, in hours.
    #[arg(long, value_name = "HOURS", default_value_t = 72, requires = "store")]
    #[arg(value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) keep_hours: u32,
    /// The cluster's name.
    #[arg(long, value_name = "NAME", default_value = "DefaultCluster")]
    pub(crate) cluster: String,
    /// The broker's name.
    #[arg(long, value_name = "NAME", default_value = "broker-a")]
    pub(crate) name: String,
    /// Refuses messages to topics that nobody has created.
    #[arg(long)]
    pub(crate) no_auto_create: bool,
    #[command(flatten)]
    pub(crate) tls: TlsArguments,
    /// Serves only requests that are signed by one of the users in this file, which has one
    /// `ACCESS_KEY:SECRET_KEY` a line.
    #[arg(long, value_name = "FILE")]
    pub(crate) users: Option<PathBuf>,
    /// Time between two looks at open transactions, in milliseconds.
    #[arg(long, value_name = "MS", default_value_t = 30_000)]
    #[arg(value_parser = clap::value_parser!(u64).range(10..))]
    pub(crate) transaction_check_ms: u64,
    /// How long an open transaction is left alone, in milliseconds.
    #[arg(long, value_name = "MS", default_value_t = 6_000)]
    pub(crate) transaction_timeout_ms: u64,
    /// The runtime.
    #[arg(long, value_enum, default_value_t = BackendName::Tokio)]
    pub(crate) backend: BackendName,
    /// Where the monitor listens, `HOST:PORT` (port 0: any that is free), or `off`.
    #[arg(long, value_name = "ADDR", default_value = "off")]
    pub(crate) monitor: AddressOrOff,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Flush {
    Never,
    Interval,
    Always,
}

/// Of `--flush interval`.
const FLUSH_INTERVAL: Duration = Duration::from_millis(500);

impl BrokerArguments {
    pub(crate) fn config(&self) -> Result<BrokerConfig, Box<dyn Error>> {
        let mut config = BrokerConfig::default();
        config.listen = self.listen;
        config.name_server = self.namesrv.0;
        config.advertised = self.advertise;
        if self.listen.ip().is_unspecified() && self.advertise.is_none() {
            return Err(format!(
                "clients can't be told to connect to {}: say under which address they reach it, \
                 --advertise IP:PORT",
                self.listen
            )
            .into());
        }
        config.register_at.clone_from(&self.register);
        if let Some(file) = &self.register_ca {
            let settings = ClientSettings::new().trust(Material::file(file));
            config.register_tls = Some(TlsClient::new(settings)?);
        }
        config.tls = self.tls.config()?;
        if let Some(file) = &self.users {
            config.users = users(file)?;
        }
        config.cluster_name.clone_from(&self.cluster);
        config.broker_name.clone_from(&self.name);
        config.auto_create_topics = !self.no_auto_create;
        config.transactions.check_interval = Duration::from_millis(self.transaction_check_ms);
        config.transactions.timeout = Duration::from_millis(self.transaction_timeout_ms);
        config.limits.memory_bytes_max = usize::try_from(self.memory_mib)? << 20;
        config.retention.bytes_max = u64::from(self.keep_mib) << 20;
        config.retention.messages_max = self.keep_messages;
        config.retention.age_max = Duration::from_secs(3_600 * u64::from(self.keep_hours));
        if let Some(folder) = &self.store {
            let mut store = StoreConfig::new(folder);
            store.flush = match self.flush {
                Flush::Never => FlushPolicy::Never,
                Flush::Interval => FlushPolicy::Interval(FLUSH_INTERVAL),
                Flush::Always => FlushPolicy::Always,
            };
            config.store = Some(store);
        }
        Ok(config)
    }
}

#[derive(Clone, Debug, Args)]
pub(crate) struct NamesrvArguments {
    /// Where it listens (port 0: any that is free).
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:9876")]
    pub(crate) listen: SocketAddr,
    #[command(flatten)]
    pub(crate) tls: TlsArguments,
    /// The runtime.
    #[arg(long, value_enum, default_value_t = BackendName::Tokio)]
    pub(crate) backend: BackendName,
    /// Where the monitor listens, `HOST:PORT` (port 0: any that is free), or `off`.
    #[arg(long, value_name = "ADDR", default_value = "off")]
    pub(crate) monitor: AddressOrOff,
}

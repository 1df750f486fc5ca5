//! What all commands that are clients can be told: whom to ask, and as whom.
//!
//! What is given on the command line counts more than the environment, which counts more than the
//! file.

use core::error::Error;
use std::path::PathBuf;

use clap::Args;

use turbopump::runtime::client::{ClientConfig, ProducerConfig};
use turbopump::runtime::net::tls::{ClientSettings, Material, TlsClient};

use crate::arguments::BackendName;
use crate::broker::users;

/// Where a name server is as a rule.
const NAME_SERVERS: &str = "127.0.0.1:9876";

#[derive(Clone, Debug, Args)]
pub(crate) struct ClientArguments {
    /// The name server, `HOST:PORT`; several by `;`; or a URL, `http://HOST/PATH`, that answers
    /// with such a list. By default what the settings say, else 127.0.0.1:9876.
    #[arg(long, value_name = "ADDR")]
    pub(crate) namesrv: Option<String>,
    /// Settings in TOML, in the tables `[client]` and `[producer]`. Variables of the environment,
    /// such as `TURBOPUMP_CLIENT_NAME_SERVERS`, count more, options of the command line most.
    #[arg(long, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    /// Connects by TLS, and trusts the CA in this file.
    #[arg(long, value_name = "FILE")]
    pub(crate) tls_ca: Option<PathBuf>,
    /// Signs requests as the user in this file, `ACCESS_KEY:SECRET_KEY`.
    #[arg(long, value_name = "FILE")]
    pub(crate) user: Option<PathBuf>,
    /// For everything that belongs to one request, or for all attempts to send a message or a
    /// batch, in milliseconds. By default what the settings say, else 3,000.
    #[arg(long, value_name = "MS")]
    #[arg(value_parser = clap::value_parser!(u64).range(1..=86_400_000))]
    pub(crate) timeout_ms: Option<u64>,
    /// The runtime.
    #[arg(long, value_enum, default_value_t = BackendName::Tokio)]
    pub(crate) backend: BackendName,
    /// Prints one JSON object instead of text.
    #[arg(long)]
    pub(crate) json: bool,
}

impl ClientArguments {
    /// What the settings say of producers.
    pub(crate) fn producer_settings(&self) -> Result<ProducerConfig, Box<dyn Error>> {
        Ok(ProducerConfig::load(self.config.as_deref())?)
    }

    /// All settings together.
    pub(crate) fn settings(&self) -> Result<ClientConfig, Box<dyn Error>> {
        let mut config = ClientConfig::load(self.config.as_deref())?;
        if let Some(list) = &self.namesrv {
            config.name_servers.clone_from(list);
        } else if config.name_servers.is_empty() {
            config.name_servers = NAME_SERVERS.into();
        }
        if let Some(ms) = self.timeout_ms {
            config.send.timeout_us = ms * 1_000;
        }
        if let Some(file) = &self.tls_ca {
            let settings = ClientSettings::new().trust(Material::file(file));
            config.tls = Some(TlsClient::new(settings)?);
        }
        if let Some(file) = &self.user {
            config.user = users(file)?.into_iter().next();
        }
        Ok(config)
    }
}

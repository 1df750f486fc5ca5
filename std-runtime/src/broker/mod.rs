//! A broker and a name server in this process: for development, for tests, and at the edge.

mod answers;
mod config;
pub mod machine;
pub mod name_server;
mod properties;
#[cfg(feature = "monitor")]
mod rules;
mod server;
mod sessions;
pub mod store;

pub use crate::rocketmq::User;
pub use config::{
    BrokerConfig, BrokerLimits, FlushPolicy, RetentionConfig, StoreConfig, TransactionConfig,
};
#[cfg(feature = "tls")]
pub use config::{TlsConfig, TlsMode};
pub use machine::{BrokerStats, Counts, Fault, FaultAction, JournalEntry, Notice};
#[cfg(feature = "monitor")]
pub use rules::alert_rules;
pub use server::{EmbeddedBroker, EmbeddedNameServer, Served};

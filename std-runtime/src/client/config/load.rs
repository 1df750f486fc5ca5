//! Settings of a client from a file and from the environment.
//!
//! ```toml
//! [client]
//! name_servers = "ns-1:9876;ns-2:9876"  # or a list of texts
//! send_timeout_ms = 3_000
//!
//! [producer]
//! batch_linger_us = 1_000
//! ```
//!
//! The module decides what the keys are called and what they may be. A variable is called as the
//! table and the key, `TURBOPUMP_CLIENT_SEND_TIMEOUT_MS`, and counts more than the file. Whatever
//! nobody knows is an error, so that no setting is silently without effect. Another table of keys
//! is another entry of [`TABLES`].

mod error;
mod given;
mod producer;

use core::time::Duration;
use std::ffi::OsString;
use std::fs::File;
use std::io::Read;
use std::path::Path;

use alloc::borrow::ToOwned;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use toml::de::{DeTable, DeValue};

use turbopump_core::rocketmq::wire::header::Serialization;

use super::ClientConfig;
use crate::client::ProducerConfig;
#[cfg(feature = "acl")]
use crate::rocketmq::User;

use given::Given;
use producer::{Draft, PRODUCER};

pub use error::{ConfigError, ConfigErrorKind};

/// A setting that files and the environment may have.
struct Key {
    name: &'static str,
    /// Its value is not shown.
    is_secret: bool,
    /// Or what is allowed.
    set: Set,
}

/// How a value is put where it belongs.
enum Set {
    Client(fn(&mut ClientConfig, &Given<'_>) -> Result<(), String>),
    Producer(fn(&mut Draft, &Given<'_>) -> Result<(), String>),
}

/// What was read until now.
struct Settings {
    client: ClientConfig,
    producer: Draft,
}

const SERIALIZATIONS: &[(&str, Serialization)] =
    &[("rocketmq", Serialization::Rocketmq), ("json", Serialization::Json)];

/// The tables of a file, and the keys of each.
const TABLES: [(&str, &[Key]); 2] = [("client", CLIENT), ("producer", PRODUCER)];
/// What variables begin with.
const PREFIX: &str = "TURBOPUMP_";
/// How they are called all together.
const ENVIRONMENT: &str = "the environment";
/// The longest file that is read.
const FILE_BYTES_MAX: u64 = 1 << 20;
const DAY_MS: u64 = 24 * 3_600 * 1_000;

const CLIENT: &[Key] = &[
    key("name_servers", |config, given| {
        config.name_servers = given.texts(';', "`HOST:PORT`, several by `;`")?;
        Ok(())
    }),
    key("name_servers_interval_ms", |config, given| {
        config.name_servers_interval = Duration::from_micros(given.us(1)?);
        Ok(())
    }),
    key("send_timeout_ms", |config, given| {
        config.send.timeout_us = given.us(1)?;
        Ok(())
    }),
    key("send_attempts_max", |config, given| {
        let most = given.number("attempts", 1, 1_000)?;
        config.send.attempts_max = u32::try_from(most).unwrap_or(u32::MAX);
        Ok(())
    }),
    key("attempt_ms_max", |config, given| {
        config.send.attempt_us_max = given.us(0)?;
        Ok(())
    }),
    key("busy_pause_ms", |config, given| {
        config.send.busy_pause_us = given.us(1)?;
        Ok(())
    }),
    key("busy_pause_ms_max", |config, given| {
        config.send.busy_pause_us_max = given.us(1)?;
        Ok(())
    }),
    key("route_age_ms_max", |config, given| {
        config.route_age_max = Duration::from_micros(given.us(0)?);
        Ok(())
    }),
    key("heartbeat_interval_ms", |config, given| {
        config.heartbeat_interval = Duration::from_micros(given.us(1)?);
        Ok(())
    }),
    key("name_server_timeout_ms", |config, given| {
        config.name_server_timeout = Duration::from_micros(given.us(1)?);
        Ok(())
    }),
    key("in_flight_messages_max", |config, given| {
        let most = given.number("messages", 1, 10_000_000)?;
        config.in_flight_messages_max = usize::try_from(most).unwrap_or(usize::MAX);
        Ok(())
    }),
    key("in_flight_bytes_max", |config, given| {
        config.in_flight_bytes_max = given.number("bytes", 1, 1 << 40)?;
        Ok(())
    }),
    key("header_serialization", |config, given| {
        config.header_serialization = given.one_of(SERIALIZATIONS)?;
        Ok(())
    }),
    key("namespace", |config, given| {
        config.namespace = Some(given.text("a text")?.into());
        Ok(())
    }),
    key("message_bytes_max", |config, given| {
        config.message_bytes_max = given.bytes(1, 256 << 20)?;
        Ok(())
    }),
    key("compress_from_bytes", |config, given| {
        config.compress_from_bytes = given.bytes(0, u32::MAX.into())?;
        Ok(())
    }),
    #[cfg(feature = "tls-ring")]
    key("tls_ca_file", |config, given| {
        use crate::net::tls::{ClientSettings, Material, TlsClient};

        let file = given.text("the path of a file with certificates")?;
        let client = TlsClient::new(ClientSettings::new().trust(Material::file(file)));
        config.tls = Some(client.map_err(|error| error.to_string())?);
        Ok(())
    }),
    #[cfg(feature = "acl")]
    key("access_key", |config, given| {
        user(config).access_key = given.text("a text")?.into();
        Ok(())
    }),
    #[cfg(feature = "acl")]
    Key {
        name: "secret_key",
        is_secret: true,
        set: Set::Client(|config, given| {
            user(config).secret_key = given.text("a text")?.into();
            Ok(())
        }),
    },
];

const fn key(
    name: &'static str,
    set: fn(&mut ClientConfig, &Given<'_>) -> Result<(), String>,
) -> Key {
    Key { name, is_secret: false, set: Set::Client(set) }
}

#[cfg(feature = "acl")]
fn user(config: &mut ClientConfig) -> &mut User {
    let nobody = || User { access_key: String::new(), secret_key: String::new() };
    config.user.get_or_insert_with(nobody)
}

impl ClientConfig {
    /// The settings of a file, if there is one, and then those of the process' environment, which
    /// count more; the defaults for the rest. Without name servers in either, there are none.
    ///
    /// | key of `[client]` | allowed |
    /// | --- | --- |
    /// | `name_servers` | a text or a list of texts: `HOST:PORT`, `http://...`, several by `;` |
    /// | `name_servers_interval_ms` | 1 to 86,400,000: lists are fetched again |
    /// | `send_timeout_ms` | 1 to 86,400,000: for all attempts to send a message |
    /// | `send_attempts_max` | 1 to 1,000 |
    /// | `attempt_ms_max` | up to 86,400,000; 0 for no limit |
    /// | `busy_pause_ms`, `busy_pause_ms_max` | 1 to 86,400,000 |
    /// | `route_age_ms_max` | up to 86,400,000 |
    /// | `heartbeat_interval_ms` | 1 to 86,400,000 |
    /// | `name_server_timeout_ms` | 1 to 86,400,000 |
    /// | `in_flight_messages_max` | 1 to 10,000,000 |
    /// | `in_flight_bytes_max` | 1 to 1,099,511,627,776 |
    /// | `header_serialization` | `rocketmq`, `json` |
    /// | `namespace` | a text |
    /// | `message_bytes_max` | 1 to 268,435,456 |
    /// | `compress_from_bytes` | up to 4,294,967,295 |
    /// | `tls_ca_file` | a path (feature `tls-ring`) |
    /// | `access_key`, `secret_key` | texts, both or none (feature `acl`) |
    ///
    /// Variables are called `TURBOPUMP_CLIENT_` and the key in capital letters.
    ///
    /// # Errors
    ///
    /// [`ConfigError`] names the file and the line, or the variable; the key, and what is allowed.
    pub fn load(file: Option<&Path>) -> Result<Self, ConfigError> {
        Self::load_with(file, std::env::vars_os())
    }

    /// As [`load`](Self::load), with variables that are given.
    ///
    /// # Errors
    ///
    /// As [`load`](Self::load).
    pub fn load_with(
        file: Option<&Path>,
        variables: impl IntoIterator<Item = (OsString, OsString)>,
    ) -> Result<Self, ConfigError> {
        Settings::load(file, variables).map(|settings| settings.client)
    }

    /// The settings of a text in TOML, which errors call `name`.
    ///
    /// ```
    /// use turbopump_std::client::ClientConfig;
    ///
    /// let text = "[client]\nname_servers = [\"ns-1:9876\", \"ns-2:9876\"]\n";
    /// let config = ClientConfig::from_toml("here", text)?;
    /// assert_eq!(config.name_servers, "ns-1:9876;ns-2:9876");
    /// let error = ClientConfig::from_toml("here", "[client]\nsend_timeout_ms = 0").unwrap_err();
    /// assert_eq!(
    ///     error.to_string(),
    ///     "here, line 2: client.send_timeout_ms is 0; allowed are whole numbers of milliseconds \
    ///      from 1 to 86400000"
    /// );
    /// # Ok::<(), turbopump_std::client::ConfigError>(())
    /// ```
    ///
    /// # Errors
    ///
    /// As [`load`](Self::load).
    pub fn from_toml(name: &str, text: &str) -> Result<Self, ConfigError> {
        Settings::from_toml(name, text).map(|settings| settings.client)
    }
}

/// The other table of the same files.
impl ProducerConfig {
    /// The settings of a file, if there is one, and then those of the process' environment, which
    /// count more; the defaults for the rest. Hooks are functions, and never in files.
    ///
    /// | key of `[producer]` | allowed |
    /// | --- | --- |
    /// | `batching` | `true` or `false`; on where another key that begins with `batch_` is given |
    /// | `batch_messages_max` | 1 to 10,000 |
    /// | `batch_bytes_max` | 1 to 4,194,304 |
    /// | `batch_linger_us` | up to 3,600,000,000 |
    /// | `batch_in_flight_max` | 1 to 64 |
    /// | `batch_size` | `fixed`, `by_load`, `adaptive` |
    /// | `load_high_percent`, `load_low_percent` | 0 to 100; of `by_load` |
    /// | `load_high_messages`, `load_between_messages`, `load_low_messages` | 1 to 10,000 |
    /// | `adaptive_messages_min`, `adaptive_messages_max` | 1 to 10,000; of `adaptive` |
    /// | `adaptive_latency_us_max` | up to 3,600,000,000: most throughput within; 0 for balance |
    /// | `compression` | `zlib`; `lz4` and `zstd` with their features |
    /// | `begins_traces` | `true` or `false` |
    ///
    /// Variables are called `TURBOPUMP_PRODUCER_` and the key in capital letters. The whole file is
    /// checked, what is said of the client as well.
    ///
    /// # Errors
    ///
    /// As [`ClientConfig::load`].
    pub fn load(file: Option<&Path>) -> Result<Self, ConfigError> {
        Self::load_with(file, std::env::vars_os())
    }

    /// As [`load`](Self::load), with variables that are given.
    ///
    /// # Errors
    ///
    /// As [`load`](Self::load).
    pub fn load_with(
        file: Option<&Path>,
        variables: impl IntoIterator<Item = (OsString, OsString)>,
    ) -> Result<Self, ConfigError> {
        Settings::load(file, variables).map(|settings| settings.producer.config())
    }

    /// The settings of a text in TOML, which errors call `name`.
    ///
    /// ```
    /// use turbopump_std::client::ProducerConfig;
    ///
    /// let text = "[producer]\nbatch_linger_us = 1_000\n";
    /// let config = ProducerConfig::from_toml("here", text)?;
    /// assert_eq!(config.batching.map(|batching| batching.linger_us), Some(1_000));
    /// # Ok::<(), turbopump_std::client::ConfigError>(())
    /// ```
    ///
    /// # Errors
    ///
    /// As [`load`](Self::load).
    pub fn from_toml(name: &str, text: &str) -> Result<Self, ConfigError> {
        Settings::from_toml(name, text).map(|settings| settings.producer.config())
    }
}

impl Settings {
    fn new() -> Self {
        Self { client: ClientConfig::new(""), producer: Draft::default() }
    }

    fn load(
        file: Option<&Path>,
        variables: impl IntoIterator<Item = (OsString, OsString)>,
    ) -> Result<Self, ConfigError> {
        let mut settings = Self::new();
        let mut last = ENVIRONMENT.to_owned();
        if let Some(file) = file {
            last = file.display().to_string();
            settings.apply_text(&last, &read(file, &last)?)?;
        }
        settings.apply_variables(variables)?;
        settings.check_whole(&last)?;
        Ok(settings)
    }

    fn from_toml(name: &str, text: &str) -> Result<Self, ConfigError> {
        let mut settings = Self::new();
        settings.apply_text(name, text)?;
        settings.check_whole(name)?;
        Ok(settings)
    }

    fn apply_text(&mut self, name: &str, text: &str) -> Result<(), ConfigError> {
        let at = |offset: usize, kind| {
            let before = text.as_bytes().get(..offset).unwrap_or_default();
            let line = 1 + before.iter().filter(|byte| **byte == b'\n').count();
            ConfigError { place: format!("{name}, line {line}"), kind }
        };
        let root = DeTable::parse(text).map_err(|error| {
            let offset = error.span().map_or(0, |span| span.start);
            at(offset, ConfigErrorKind::Syntax { reason: error.message().into() })
        })?;
        for (table, value) in root.get_ref() {
            let offset = table.span().start;
            let known = TABLES.iter().find(|(known, _)| **known == **table.get_ref());
            let (Some((table, keys)), DeValue::Table(entries)) = (known, value.get_ref()) else {
                let key = table.get_ref().to_string();
                let known = TABLES.iter().map(|(table, _)| format!("[{table}]")).collect();
                return Err(at(offset, ConfigErrorKind::UnknownKey { key, known }));
            };
            for (name, value) in entries {
                let path = format!("{table}.{}", name.get_ref());
                let Some(key) = keys.iter().find(|key| *key.name == **name.get_ref()) else {
                    let known = keys.iter().map(|key| key.name.to_owned()).collect();
                    let kind = ConfigErrorKind::UnknownKey { key: path, known };
                    return Err(at(name.span().start, kind));
                };
                let given = Given::InFile(value.get_ref());
                self.apply(key, path, &given).map_err(|kind| at(value.span().start, kind))?;
            }
        }
        Ok(())
    }

    fn apply_variables(
        &mut self,
        variables: impl IntoIterator<Item = (OsString, OsString)>,
    ) -> Result<(), ConfigError> {
        let at = |kind| ConfigError { place: ENVIRONMENT.into(), kind };
        for (variable, value) in variables {
            let Some(variable) = variable.to_str() else { continue };
            let Some(rest) = variable.strip_prefix(PREFIX) else { continue };
            let ours = TABLES.iter().find_map(|(table, keys)| {
                let name = rest.strip_prefix(&table.to_ascii_uppercase())?.strip_prefix('_')?;
                Some((*table, *keys, name))
            });
            // What is in other tables is for others.
            let Some((table, keys, name)) = ours else { continue };
            let Some(key) = keys.iter().find(|key| key.name.to_ascii_uppercase() == name) else {
                let prefix = format!("{PREFIX}{}_", table.to_ascii_uppercase());
                let named = |key: &Key| format!("{prefix}{}", key.name.to_ascii_uppercase());
                let known: Vec<String> = keys.iter().map(named).collect();
                return Err(at(ConfigErrorKind::UnknownKey { key: variable.into(), known }));
            };
            let value = value.to_string_lossy();
            self.apply(key, variable.into(), &Given::Variable(&value)).map_err(at)?;
        }
        Ok(())
    }

    fn apply(&mut self, key: &Key, path: String, given: &Given<'_>) -> Result<(), ConfigErrorKind> {
        let set = match key.set {
            Set::Client(set) => set(&mut self.client, given),
            Set::Producer(set) => set(&mut self.producer, given),
        };
        set.map_err(|allowed| {
            let value = if key.is_secret { "not that".into() } else { given.to_string() };
            ConfigErrorKind::Value { key: path, value, allowed }
        })
    }

    /// What can only be seen in the end. Errors name the place that was read last.
    fn check_whole(&self, place: &str) -> Result<(), ConfigError> {
        let policy = &self.client.send;
        let missing = if policy.busy_pause_us_max < policy.busy_pause_us {
            "client.busy_pause_ms_max is less than client.busy_pause_ms; raise it"
        } else if self.has_half_a_user() {
            "client.access_key and client.secret_key belong together; give both, or none"
        } else if let Some(reason) = self.producer.contradiction() {
            reason
        } else {
            return Ok(());
        };
        let kind = ConfigErrorKind::Contradiction { reason: missing };
        Err(ConfigError { place: place.into(), kind })
    }

    #[cfg(feature = "acl")]
    fn has_half_a_user(&self) -> bool {
        let user = self.client.user.as_ref();
        user.is_some_and(|user| user.access_key.is_empty() || user.secret_key.is_empty())
    }

    #[cfg(not(feature = "acl"))]
    const fn has_half_a_user(&self) -> bool {
        let _ = self;
        false
    }
}

fn read(file: &Path, name: &str) -> Result<String, ConfigError> {
    let failed = |reason: String| ConfigError {
        place: name.into(),
        kind: ConfigErrorKind::Unreadable { reason: reason.into() },
    };
    let opened = File::open(file).map_err(|error| failed(error.to_string()))?;
    let mut text = String::new();
    let most = FILE_BYTES_MAX.saturating_add(1);
    let read = opened.take(most).read_to_string(&mut text);
    let bytes = read.map_err(|error| failed(error.to_string()))?;
    if u64::try_from(bytes).unwrap_or(u64::MAX) > FILE_BYTES_MAX {
        return Err(failed(format!("it has more than {FILE_BYTES_MAX} bytes")));
    }
    Ok(text)
}

#[cfg(test)]
mod tests;

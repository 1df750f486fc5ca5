//! Pools by name.

use core::fmt;
use std::sync::{OnceLock, PoisonError, RwLock};

use alloc::borrow::ToOwned;
use alloc::boxed::Box;
use alloc::collections::BTreeMap;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;

use super::pool::ConnectionPool;
use super::settings::{InvalidSettings, PoolSettings};
use super::status::PoolStatus;
use crate::backend::{Backend, Endpoint, InvalidEndpoint};

/// Which pools there are to be.
///
/// ```
/// use turbopump_std::net::{NetworkConfig, PoolSettings};
///
/// let mut few = PoolSettings::default();
/// few.connections_max = 4;
/// let config = NetworkConfig::new()
///     .pool("nameserver", "127.0.0.1:9876", few)?
///     .pool("broker", "broker-a.example:10911", PoolSettings::default())?;
/// assert_eq!(config.pools.len(), 2);
/// # Ok::<(), turbopump_std::backend::InvalidEndpoint>(())
/// ```
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct NetworkConfig {
    /// One entry for each pool.
    pub pools: Vec<PoolConfig>,
}

/// One pool of a [`NetworkConfig`].
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct PoolConfig {
    /// By which it is looked up.
    pub name: String,
    /// Whom it connects to.
    pub endpoint: Endpoint,
    /// How it is set.
    pub settings: PoolSettings,
}

impl NetworkConfig {
    /// No pools.
    #[must_use]
    pub const fn new() -> Self {
        Self { pools: Vec::new() }
    }

    /// And one more pool, to `HOST:PORT`.
    ///
    /// # Errors
    ///
    /// What is wrong with the endpoint.
    pub fn pool(
        mut self,
        name: &str,
        endpoint: &str,
        settings: PoolSettings,
    ) -> Result<Self, InvalidEndpoint> {
        let endpoint = endpoint.parse()?;
        self.pools.push(PoolConfig { name: name.to_owned(), endpoint, settings });
        Ok(self)
    }
}

/// Pools by name, such as `nameserver` and `broker`: a cheap handle.
///
/// There may be any number of networks, and none knows of another: closing one leaves the others
/// alone, even where they hold pools of the same name or to the same endpoint. Libraries take one
/// as an argument; [`set_default`](Self::set_default) is for programs that want one everywhere.
pub struct Network<B: Backend> {
    inner: Arc<Inner<B>>,
}

struct Inner<B: Backend> {
    backend: B,
    pools: RwLock<Pools<B>>,
}

struct Pools<B: Backend> {
    by_name: BTreeMap<String, ConnectionPool<B>>,
    closed: bool,
}

impl<B: Backend> Clone for Network<B> {
    fn clone(&self) -> Self {
        Self { inner: Arc::clone(&self.inner) }
    }
}

impl<B: Backend> Network<B> {
    /// A network with the pools of `config`.
    ///
    /// # Errors
    ///
    /// The first pool that can't be meant; none is made then.
    pub fn new(backend: B, config: NetworkConfig) -> Result<Self, NetworkError> {
        let pools = Pools { by_name: BTreeMap::new(), closed: false };
        let network = Self { inner: Arc::new(Inner { backend, pools: RwLock::new(pools) }) };
        for PoolConfig { name, endpoint, settings } in config.pools {
            network.add(&name, endpoint, settings)?;
        }
        Ok(network)
    }

    /// Makes one more pool.
    ///
    /// # Errors
    ///
    /// The name is taken, the settings can't be meant, or the network is closed.
    pub fn add(
        &self,
        name: &str,
        endpoint: Endpoint,
        settings: PoolSettings,
    ) -> Result<ConnectionPool<B>, NetworkError> {
        let mut pools = self.inner.pools.write().unwrap_or_else(PoisonError::into_inner);
        if pools.closed {
            return Err(NetworkError::Closed);
        }
        if pools.by_name.contains_key(name) {
            return Err(NetworkError::NameTaken { name: name.into() });
        }
        let pool = ConnectionPool::new(self.inner.backend.clone(), endpoint, settings)
            .map_err(|error| NetworkError::Settings { name: name.into(), error })?;
        pools.by_name.insert(name.to_owned(), pool.clone());
        Ok(pool)
    }

    /// The pool of that name.
    #[must_use]
    pub fn pool(&self, name: &str) -> Option<ConnectionPool<B>> {
        let pools = self.inner.pools.read().unwrap_or_else(PoisonError::into_inner);
        pools.by_name.get(name).cloned()
    }

    /// Takes a pool out, so that its name is free; it goes on as long as somebody has a handle.
    #[must_use = "the pool closes where nobody keeps a handle"]
    pub fn remove(&self, name: &str) -> Option<ConnectionPool<B>> {
        let mut pools = self.inner.pools.write().unwrap_or_else(PoisonError::into_inner);
        pools.by_name.remove(name)
    }

    /// What there is in each pool, by name.
    #[must_use]
    pub fn status(&self) -> Vec<(String, PoolStatus)> {
        self.pools().into_iter().map(|(name, pool)| (name, pool.status())).collect()
    }

    /// Closes all pools of this network, and waits for their connections as
    /// [`ConnectionPool::close`] does.
    ///
    /// # Cancel safety
    ///
    /// All pools stay closed when the future is dropped.
    pub async fn close(&self) {
        self.inner.pools.write().unwrap_or_else(PoisonError::into_inner).closed = true;
        let pools = self.pools();
        for (_, pool) in &pools {
            pool.start_closing();
        }
        for (_, pool) in &pools {
            pool.close().await;
        }
    }

    /// Makes this the process's default network of its backend's kind. There is at most one for
    /// each kind of backend, for ever.
    ///
    /// # Errors
    ///
    /// This network, where there is one already.
    pub fn set_default(self) -> Result<(), Self> {
        let mut defaults = defaults().write().unwrap_or_else(PoisonError::into_inner);
        if find_default::<B>(&defaults).is_some() {
            return Err(self);
        }
        defaults.push(Box::new(self));
        Ok(())
    }

    /// The process's default network of this kind of backend, `None` where nobody has set it.
    #[must_use]
    pub fn default_instance() -> Option<Self> {
        find_default(&defaults().read().unwrap_or_else(PoisonError::into_inner))
    }

    fn pools(&self) -> Vec<(String, ConnectionPool<B>)> {
        let pools = self.inner.pools.read().unwrap_or_else(PoisonError::into_inner);
        pools.by_name.iter().map(|(name, pool)| (name.clone(), pool.clone())).collect()
    }
}

type Defaults = Vec<Box<dyn core::any::Any + Send + Sync>>;

/// One for each kind of backend, of which there are a few.
fn defaults() -> &'static RwLock<Defaults> {
    static DEFAULTS: OnceLock<RwLock<Defaults>> = OnceLock::new();
    DEFAULTS.get_or_init(RwLock::default)
}

fn find_default<B: Backend>(defaults: &Defaults) -> Option<Network<B>> {
    defaults.iter().find_map(|network| network.downcast_ref().cloned())
}

impl<B: Backend> fmt::Debug for Network<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.pools()).finish()
    }
}

/// Why there is no such network or pool.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum NetworkError {
    /// Two pools of one name.
    NameTaken {
        /// The name.
        name: Box<str>,
    },
    /// A pool's settings can't be meant.
    Settings {
        /// The pool's name.
        name: Box<str>,
        /// What is wrong.
        error: InvalidSettings,
    },
    /// The network is closed.
    Closed,
}

impl fmt::Display for NetworkError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NameTaken { name } => write!(f, "there is a pool {name:?} already"),
            Self::Settings { name, error } => write!(f, "pool {name:?}: {error}"),
            Self::Closed => f.write_str("the network is closed"),
        }
    }
}

impl core::error::Error for NetworkError {}

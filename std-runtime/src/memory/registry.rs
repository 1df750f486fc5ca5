//! Many object pools, by name and type.

use core::any::{Any, TypeId};
use core::fmt;
use core::marker::PhantomData;

use alloc::boxed::Box;
use alloc::collections::BTreeMap;
use alloc::vec::Vec;
use std::sync::{LazyLock, Mutex};

use turbopump_core::pool::ClassStats;

use super::caches::lock;
use super::objects::ObjectPool;

/// The name of an object pool, and the type of what is in it.
///
/// Whoever has the key gets a pool of that type: a wrong type is an error of the compiler.
///
/// ```compile_fail,E0308
/// use turbopump_std::memory::{Key, ObjectPools, ObjectPool};
///
/// const LINES: Key<String> = Key::new("lines");
/// let pool: ObjectPool<Vec<u8>> = ObjectPools::new().get(LINES).unwrap();
/// ```
pub struct Key<T> {
    name: &'static str,
    item: PhantomData<fn() -> T>,
}

impl<T> Key<T> {
    /// A key. Names are per type: keys of two types may share one.
    #[must_use]
    pub const fn new(name: &'static str) -> Self {
        Self { name, item: PhantomData }
    }

    /// The name.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        self.name
    }
}

impl<T> Clone for Key<T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T> Copy for Key<T> {}

impl<T> fmt::Debug for Key<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Key<{}>({:?})", core::any::type_name::<T>(), self.name)
    }
}

/// Object pools that are registered while the program runs.
///
/// ```
/// use turbopump_std::memory::{Key, ObjectPool, ObjectPools};
///
/// const LINES: Key<String> = Key::new("lines");
///
/// let pools = ObjectPools::new();
/// pools.register(LINES, ObjectPool::new(10, String::new, String::clear)?)?;
/// let line = pools.get(LINES).expect("was registered").get()?;
/// assert_eq!(*line, "");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Default)]
pub struct ObjectPools {
    pools: Mutex<BTreeMap<Id, Box<dyn Registered>>>,
}

/// The name first, so that the map is in its order.
type Id = (&'static str, TypeId);

/// A pool without its type.
trait Registered: Any + Send + Sync {
    fn stats(&self) -> ClassStats;
}

impl<T: Send + 'static> Registered for ObjectPool<T> {
    fn stats(&self) -> ClassStats {
        Self::stats(self)
    }
}

impl ObjectPools {
    /// A registry without pools.
    #[must_use]
    pub const fn new() -> Self {
        Self { pools: Mutex::new(BTreeMap::new()) }
    }

    /// Registers `pool` under `key`.
    ///
    /// # Errors
    ///
    /// [`AlreadyRegistered`], with the pool, where there is one of that name and type.
    pub fn register<T: Send + 'static>(
        &self,
        key: Key<T>,
        pool: ObjectPool<T>,
    ) -> Result<(), AlreadyRegistered<T>> {
        let mut pools = lock(&self.pools);
        let id = (key.name, TypeId::of::<T>());
        if pools.contains_key(&id) {
            return Err(AlreadyRegistered { key, pool });
        }
        pools.insert(id, Box::new(pool));
        Ok(())
    }

    /// The pool under `key`.
    #[must_use]
    pub fn get<T: Send + 'static>(&self, key: Key<T>) -> Option<ObjectPool<T>> {
        let pools = lock(&self.pools);
        let pool: &dyn Any = &**pools.get(&(key.name, TypeId::of::<T>()))?;
        pool.downcast_ref::<ObjectPool<T>>().cloned()
    }

    /// Takes the pool under `key` out. Values that are in use stay valid.
    pub fn remove<T: Send + 'static>(&self, key: Key<T>) -> Option<ObjectPool<T>> {
        let pool = self.get(key)?;
        lock(&self.pools).remove(&(key.name, TypeId::of::<T>()));
        Some(pool)
    }

    /// What was counted by each pool, with its name, in the order of the names.
    #[must_use]
    pub fn stats(&self) -> Vec<(&'static str, ClassStats)> {
        lock(&self.pools).iter().map(|((name, _), pool)| (*name, pool.stats())).collect()
    }
}

impl fmt::Debug for ObjectPools {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.stats()).finish()
    }
}

/// There is a pool of that name and type.
pub struct AlreadyRegistered<T: 'static> {
    /// The key under which it was to be registered.
    pub key: Key<T>,
    /// The pool that was refused.
    pub pool: ObjectPool<T>,
}

impl<T: 'static> fmt::Debug for AlreadyRegistered<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AlreadyRegistered").field("key", &self.key).finish_non_exhaustive()
    }
}

impl<T: 'static> fmt::Display for AlreadyRegistered<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (name, item) = (self.key.name, core::any::type_name::<T>());
        write!(f, "a pool of {item} named {name:?} exists; choose another name or remove that one")
    }
}

impl<T: 'static> core::error::Error for AlreadyRegistered<T> {}

/// The registry of the whole process.
///
/// For programs. Libraries take a registry, or pools, from their user.
pub fn default_object_pools() -> &'static ObjectPools {
    static POOLS: LazyLock<ObjectPools> = LazyLock::new(ObjectPools::new);
    &POOLS
}

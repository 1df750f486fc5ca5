//! What an endpoint's name stands for, remembered for a while.

use core::net::SocketAddr;
use std::io;
use std::sync::{Mutex, PoisonError};

use alloc::boxed::Box;
use alloc::sync::Arc;

use turbopump_core::time::Instant;

use crate::backend::{Backend, Endpoint};

/// The addresses of one endpoint.
#[derive(Debug, Default)]
pub(super) struct Addresses {
    known: Mutex<Option<Known>>,
}

#[derive(Clone, Debug)]
struct Known {
    addresses: Arc<[SocketAddr]>,
    at: Instant,
}

/// What was found, and whether it may be out of date.
#[derive(Debug)]
pub(super) struct Found {
    pub(super) addresses: Arc<[SocketAddr]>,
    pub(super) is_remembered: bool,
}

impl Addresses {
    /// The addresses of `endpoint`, looked up unless they are known and younger than `age_us_max`.
    pub(super) async fn find<B: Backend>(
        &self,
        backend: &B,
        endpoint: &Endpoint,
        now: Instant,
        age_us_max: u64,
    ) -> io::Result<Found> {
        if let Some(address) = endpoint.socket_address() {
            return Ok(Found { addresses: Arc::from([address]), is_remembered: false });
        }
        if let Some(known) = self.known(now, age_us_max) {
            return Ok(Found { addresses: known, is_remembered: true });
        }
        let found: Box<[SocketAddr]> = backend.resolve(endpoint.host(), endpoint.port()).await?;
        let addresses = Arc::<[SocketAddr]>::from(found);
        *self.lock() = Some(Known { addresses: Arc::clone(&addresses), at: now });
        Ok(Found { addresses, is_remembered: false })
    }

    /// None of the addresses works: the next dial looks the name up again.
    pub(super) fn forget(&self) {
        *self.lock() = None;
    }

    /// The address that works, so that the next dial tries it first.
    pub(super) fn prefer(&self, address: SocketAddr) {
        let mut known = self.lock();
        let Some(Known { addresses, .. }) = &mut *known else { return };
        if addresses.first() == Some(&address) {
            return;
        }
        let Some(at) = addresses.iter().position(|known| *known == address) else { return };
        let mut order: Box<[_]> = addresses.iter().copied().collect();
        if let Some(front) = order.get_mut(..=at) {
            front.rotate_right(1);
        }
        *addresses = order.into();
    }

    fn known(&self, now: Instant, age_us_max: u64) -> Option<Arc<[SocketAddr]>> {
        let known = self.lock();
        let fresh = known.as_ref().filter(|known| now.us_since(known.at) < age_us_max)?;
        Some(Arc::clone(&fresh.addresses))
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Option<Known>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

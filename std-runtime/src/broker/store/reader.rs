//! Reading messages while others are written, and proving them before.
//!
//! What was read whole when the store was opened, or written since, needs no proof. A segment that
//! is known by its index only is read whole and proved before the first of its messages is given
//! out; what is damaged in it is never given out, and told by [`StoreReader::take_damages`].

use core::fmt;
use core::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, OnceLock, PoisonError, RwLock};

use alloc::sync::Arc;
use alloc::vec::Vec;

use bytes::Bytes;

use super::disk::Disk;
use super::error::StoreError;
use super::format::{HEADER_BYTES, segment_name, trailer_bytes};
use super::scan::{Damage, Found, Recovery, Seen, room, scan};

/// A segment that is open.
pub(super) struct OpenSegment<F> {
    pub(super) start: u64,
    pub(super) file: F,
    /// Of its file, once nothing is appended to it any more; 0 before.
    sealed_len: AtomicU64,
    /// It is good and has no index.
    pub(super) wants_index: AtomicBool,
    /// What of it must not be given out, once that is known.
    proof: OnceLock<Vec<Damage>>,
}

impl<F> OpenSegment<F> {
    /// One that needs no proof.
    pub(super) fn proved(start: u64, file: F) -> Self {
        let segment = Self::unproved(start, file);
        let _ = segment.proof.set(Vec::new());
        segment
    }

    pub(super) const fn unproved(start: u64, file: F) -> Self {
        let (sealed_len, wants_index) = (AtomicU64::new(0), AtomicBool::new(false));
        Self { start, file, sealed_len, wants_index, proof: OnceLock::new() }
    }

    /// Nothing is appended to it any more.
    pub(super) fn seal(&self, len: u64, wants_index: bool) {
        self.sealed_len.store(len, Ordering::Release);
        self.wants_index.store(wants_index, Ordering::Release);
    }

    pub(super) fn is_sealed(&self) -> bool {
        self.sealed_len.load(Ordering::Acquire) > 0
    }

    /// To be scanned.
    pub(super) fn found(&self) -> Found {
        let len = self.sealed_len.load(Ordering::Acquire);
        Found { name: segment_name(self.start), start: self.start, len, is_last: false }
    }
}

/// What is read while the store is written.
pub(super) struct Files<D: Disk> {
    pub(super) disk: D,
    /// In order.
    pub(super) open: RwLock<Vec<Arc<OpenSegment<D::File>>>>,
    /// Found since anybody has asked.
    damages: Mutex<Vec<Damage>>,
}

impl<D: Disk> Files<D> {
    pub(super) const fn new(disk: D) -> Self {
        Self { disk, open: RwLock::new(Vec::new()), damages: Mutex::new(Vec::new()) }
    }

    pub(super) fn last(&self) -> Option<Arc<OpenSegment<D::File>>> {
        self.open.read().unwrap_or_else(PoisonError::into_inner).last().cloned()
    }

    pub(super) fn push(&self, segment: OpenSegment<D::File>) {
        let mut open = self.open.write().unwrap_or_else(PoisonError::into_inner);
        open.push(Arc::new(segment));
    }

    pub(super) fn forget(&self, start: u64) {
        let mut open = self.open.write().unwrap_or_else(PoisonError::into_inner);
        open.retain(|segment| segment.start != start);
    }

    fn at(&self, position: u64) -> Option<Arc<OpenSegment<D::File>>> {
        let open = self.open.read().unwrap_or_else(PoisonError::into_inner);
        let behind = open.partition_point(|segment| segment.start <= position);
        open.get(behind.checked_sub(1)?).cloned()
    }

    /// What is damaged in a segment, which is read whole where that was not done yet.
    fn prove<'s>(&self, segment: &'s OpenSegment<D::File>) -> Result<&'s [Damage], StoreError> {
        if let Some(known) = segment.proof.get() {
            return Ok(known);
        }
        let found = segment.found();
        let (mut damages, mut next) = (Vec::new(), found.start);
        let mut reach = |position: u64, end: u64| {
            if position > next {
                damages.push(Damage { position: next, bytes: position - next });
            }
            next = end;
        };
        let mut ignored = Recovery::default();
        scan(&self.disk, &found, &mut ignored, &mut |seen| match seen {
            Seen::Record(position, record) => reach(position, position + record.len() as u64),
            Seen::Trailer(trailer) => {
                let position = trailer.group + trailer.record_bytes();
                reach(position, position + trailer_bytes(trailer.records.len()) as u64);
            }
        })?;
        let end = found.start + found.len.saturating_sub(HEADER_BYTES as u64);
        reach(end, end);
        if segment.proof.set(damages.clone()).is_ok() {
            let mut all = self.damages.lock().unwrap_or_else(PoisonError::into_inner);
            all.append(&mut damages);
        }
        Ok(segment.proof.get().map_or(&[], Vec::as_slice))
    }
}

/// Reads messages, from any thread.
pub struct StoreReader<D: Disk> {
    shared: Arc<Files<D>>,
}

impl<D: Disk> StoreReader<D> {
    pub(super) const fn new(shared: Arc<Files<D>>) -> Self {
        Self { shared }
    }

    /// Reads so many bytes from this position on; they have to lie in one segment.
    ///
    /// # Errors
    ///
    /// [`StoreError::Gone`] where they are not there, [`StoreError::Damaged`] where they are not
    /// what they were, and what the disk says.
    pub fn read(&self, position: u64, len: usize) -> Result<Bytes, StoreError> {
        let Some(segment) = self.shared.at(position) else {
            return Err(StoreError::Gone { position });
        };
        let end = position.saturating_add(len as u64);
        let damages = self.shared.prove(&segment)?;
        let mut damages = damages.iter();
        if let Some(damage) =
            damages.find(|damage| damage.position < end && position < damage.end())
        {
            return Err(StoreError::Damaged { position: damage.position });
        }
        let mut bytes = room(len);
        let at = HEADER_BYTES as u64 + position - segment.start;
        let read = self.shared.disk.read_at(&segment.file, at, &mut bytes);
        let read = read.map_err(StoreError::of("read", "a segment"))?;
        if read < len {
            return Err(StoreError::Gone { position: position + read as u64 });
        }
        Ok(Bytes::from(bytes))
    }

    /// What was found to be damaged since this was asked for; nothing in it can be read.
    #[must_use]
    pub fn take_damages(&self) -> Vec<Damage> {
        core::mem::take(&mut *self.shared.damages.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl<D: Disk> Clone for StoreReader<D> {
    fn clone(&self) -> Self {
        Self { shared: Arc::clone(&self.shared) }
    }
}

impl<D: Disk> fmt::Debug for StoreReader<D> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StoreReader").finish_non_exhaustive()
    }
}

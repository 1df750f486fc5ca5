//! When index files are written, believed and removed.
//!
//! An index is written for a segment that nothing is appended to any more and of which everything
//! is good, at leisure, under a name of its own, and gets its name once it is synced. It is
//! believed where it is whole, and the segment has the length and the last trailer that it says.
//! Nothing depends on it: without it the segment is read.

use core::fmt;
use core::sync::atomic::Ordering;
use std::io::IoSlice;
use std::sync::PoisonError;

use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;

use super::disk::Disk;
use super::error::{SYNC, StoreError};
use super::format::{HEADER_BYTES, HeaderKind, read_header};
use super::index::{
    Finding, Index, IndexWriter, Notes, Seal, index_bytes_max, index_name, index_start,
    new_index_name, new_index_start,
};
use super::reader::{Files, OpenSegment};
use super::scan::{Found, Recovery, Scanned, Seen, room, scan, segments};

/// Looks at a store without changing it. Everything is read, whether it has an index or not.
///
/// # Errors
///
/// [`StoreError`] where the disk can't be read, or the store is of a later version.
pub fn verify<D: Disk>(disk: &D) -> Result<Recovery, StoreError> {
    let files = disk.list().map_err(StoreError::of("list", "the folder"))?;
    let mut recovery = Recovery::default();
    for segment in segments(&files) {
        let mut seal = Seal::default();
        scan(disk, &segment, &mut recovery, &mut |seen| {
            if let Seen::Trailer(trailer) = seen {
                seal.take(trailer);
            }
        })?;
        if segment.is_last {
            continue;
        }
        let known = read_index(disk, &segment, &files);
        match known.as_deref().map(|bytes| Index::from_bytes(bytes, segment.start, segment.len)) {
            None => recovery.indexes_missing += 1,
            Some(Some(index)) if seal.fits(&index) => recovery.indexes += 1,
            Some(_) => recovery.indexes_unusable += 1,
        }
    }
    Ok(recovery)
}

/// The bytes of a segment's index; `None` where there is none, and nothing in it where it can't be
/// read.
fn read_index<D: Disk>(disk: &D, segment: &Found, files: &[(String, u64)]) -> Option<Vec<u8>> {
    let name = index_name(segment.start);
    let (_, len) = files.iter().find(|(file, _)| *file == name)?;
    if *len > index_bytes_max(segment.len) {
        return Some(Vec::new());
    }
    let mut bytes = room(usize::try_from(*len).unwrap_or(0));
    let read = disk.open(&name).and_then(|file| disk.read_at(&file, 0, &mut bytes));
    bytes.truncate(read.unwrap_or(0));
    Some(bytes)
}

/// Takes what a segment has from its index; `None` where there is none that can be believed.
pub(super) fn believe<D: Disk>(
    disk: &D,
    segment: &Found,
    files: &[(String, u64)],
    notes: Notes,
    recovery: &mut Recovery,
    each: &mut dyn FnMut(u64, Finding<'_>),
) -> Option<Scanned> {
    if segment.is_last {
        return None;
    }
    let Some(bytes) = read_index(disk, segment, files) else {
        recovery.indexes_missing += 1;
        return None;
    };
    let index = Index::from_bytes(&bytes, segment.start, segment.len)
        .filter(|index| index.has_notes_of(notes) && is_of(disk, segment, index));
    let Some(index) = index else {
        recovery.indexes_unusable += 1;
        return None;
    };
    index.for_each(each);
    recovery.segments += 1;
    recovery.indexes += 1;
    recovery.groups += index.groups();
    recovery.records += index.records;
    recovery.records_by_index += index.records;
    recovery.bytes += index.record_bytes;
    let end = segment.start + segment.len - HEADER_BYTES as u64;
    Some(Scanned { end, last_stored_ms: index.head.last_stored_ms, is_headless: false })
}

/// Whether a segment begins and ends as its index says.
fn is_of<D: Disk>(disk: &D, segment: &Found, index: &Index<'_>) -> bool {
    let (position, len) = index.last_trailer();
    let (mut header, mut trailer) = (room(HEADER_BYTES), room(len));
    let at = HEADER_BYTES as u64 + position - segment.start;
    let read = disk.open(&segment.name).and_then(|file| {
        disk.read_at(&file, 0, &mut header)?;
        disk.read_at(&file, at, &mut trailer)
    });
    read.is_ok_and(|read| read == len)
        && read_header(&header, segment.start) == HeaderKind::Good
        && index.ends_with(&trailer)
}

/// Removes index files whose segments are gone, and those that were never finished. Where that
/// fails they do no harm.
pub(super) fn clear_away<D: Disk>(disk: &D, files: &[(String, u64)], found: &[Found]) {
    for (name, _) in files {
        let is_left = index_start(name)
            .is_some_and(|start| found.iter().all(|segment| segment.start != start));
        if is_left || new_index_start(name).is_some() {
            let _ = disk.remove(name);
        }
    }
}

/// Writes index files, from any thread: one that has time.
pub struct Indexer<D: Disk> {
    shared: Arc<Files<D>>,
    notes: Notes,
}

impl<D: Disk> Indexer<D> {
    pub(super) const fn new(shared: Arc<Files<D>>, notes: Notes) -> Self {
        Self { shared, notes }
    }

    /// Writes the index of one segment that has none, which is read whole for that; false where
    /// there is nothing to be done. One that fails is not tried again before the store is opened
    /// again.
    ///
    /// # Errors
    ///
    /// [`StoreError`]; nothing depends on it, and the next segment can be tried.
    pub fn write_next(&self) -> Result<bool, StoreError> {
        let segment = {
            let open = self.shared.open.read().unwrap_or_else(PoisonError::into_inner);
            open.iter().find(|segment| segment.wants_index.load(Ordering::Acquire)).cloned()
        };
        let Some(segment) = segment else {
            return Ok(false);
        };
        segment.wants_index.store(false, Ordering::Release);
        let found = segment.found();
        let mut writer = IndexWriter::new(self.notes);
        let mut recovery = Recovery::default();
        let scanned = scan(&self.shared.disk, &found, &mut recovery, &mut |seen| match seen {
            Seen::Record(_, record) => writer.record(record),
            Seen::Trailer(trailer) => writer.group(trailer),
        })?;
        let data_bytes = found.len.saturating_sub(HEADER_BYTES as u64);
        let is_good = recovery.is_flawless()
            && !scanned.is_headless
            && scanned.end == found.start + data_bytes;
        if is_good {
            let bytes = writer.finish(found.start, data_bytes, scanned.last_stored_ms);
            self.write(&segment, &bytes)?;
        }
        Ok(true)
    }

    fn write(&self, segment: &OpenSegment<D::File>, bytes: &[u8]) -> Result<(), StoreError> {
        let disk = &self.shared.disk;
        let (name, new) = (index_name(segment.start), new_index_name(segment.start));
        let file = disk.create(&new).map_err(StoreError::of("create", &new))?;
        let written = disk.append(&file, &mut [IoSlice::new(bytes)]);
        let written = written.map_err(StoreError::of("append to", &new));
        let synced = written
            .and_then(|()| disk.sync(&file).map_err(StoreError::of(SYNC, &new)))
            .and_then(|()| {
                // Whoever removes the segment forgets it before its index is removed.
                let open = self.shared.open.read().unwrap_or_else(PoisonError::into_inner);
                if open.iter().any(|open| open.start == segment.start) {
                    disk.rename(&new, &name).map_err(StoreError::of("rename", &new))
                } else {
                    Err(StoreError::Gone { position: segment.start })
                }
            });
        synced.inspect_err(|_| drop(disk.remove(&new)))
    }
}

impl<D: Disk> fmt::Debug for Indexer<D> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Indexer").finish_non_exhaustive()
    }
}

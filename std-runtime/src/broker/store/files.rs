//! The store itself: which segments there are, and what is appended to the last of them.

use core::fmt;
use std::io::IoSlice;

use alloc::sync::Arc;
use alloc::vec::Vec;

use bytes::Bytes;

use super::disk::Disk;
use super::error::{SYNC, StoreError};
use super::format::{HEADER_BYTES, Trailer, header, segment_name, trailer_bytes};
use super::index::{Finding, Notes, index_name};
use super::indexing::{Indexer, believe, clear_away};
use super::reader::{Files, OpenSegment, StoreReader};
use super::scan::{Found, Recovery, Scanned, Seen, scan, segments, stored_ms};

/// How a store is set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct StoreSettings {
    /// A segment that is longer gets a successor, in bytes; 64 MiB.
    pub segment_bytes: u64,
}

impl Default for StoreSettings {
    fn default() -> Self {
        Self { segment_bytes: 64 << 20 }
    }
}

/// A file with messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Segment {
    /// Its first position.
    pub start: u64,
    /// Bytes of messages and trailers.
    pub bytes: u64,
    /// When its last message was stored, in milliseconds since 1970; 0 where it has none.
    pub last_stored_ms: u64,
}

/// Messages on disk; see the [module](super).
pub struct DiskStore<D: Disk> {
    shared: Arc<Files<D>>,
    settings: StoreSettings,
    notes: Notes,
    segments: Vec<Segment>,
    end: u64,
    is_closed: bool,
}

impl<D: Disk> DiskStore<D> {
    /// Opens the store on `disk`, which is made where there is none, and cuts off what was never
    /// written whole. Calls `each` with the position of each good message, in order, and what is
    /// found of it. Segments that have an index are not read.
    ///
    /// # Errors
    ///
    /// [`StoreError`] where the disk can't be read or written, or the store is of a later version.
    pub fn open(
        disk: D,
        settings: StoreSettings,
        notes: Notes,
        each: &mut dyn FnMut(u64, Finding<'_>),
    ) -> Result<(Self, Recovery), StoreError> {
        let mut recovery = Recovery::default();
        let files = disk.list().map_err(StoreError::of("list", "the folder"))?;
        let found = segments(&files);
        clear_away(&disk, &files, &found);
        let shared = Arc::new(Files::new(disk));
        let mut store =
            Self { shared, settings, notes, segments: Vec::new(), end: 0, is_closed: false };
        for segment in found {
            let disk = &store.shared.disk;
            if let Some(known) = believe(disk, &segment, &files, notes, &mut recovery, each) {
                store.adopt(&segment, known, true, false)?;
                continue;
            }
            let damages = recovery.damages;
            let scanned = scan(disk, &segment, &mut recovery, &mut |seen| {
                if let Seen::Record(position, record) = seen {
                    each(position, Finding::Record(record));
                }
            })?;
            let is_good = recovery.damages == damages;
            store.adopt(&segment, scanned, false, is_good)?;
        }
        Ok((store, recovery))
    }

    fn adopt(
        &mut self,
        segment: &Found,
        scanned: Scanned,
        is_indexed: bool,
        wants_index: bool,
    ) -> Result<(), StoreError> {
        let disk = &self.shared.disk;
        self.end = self.end.max(scanned.end);
        if segment.is_last && scanned.is_headless && scanned.end == segment.start {
            // It was being made.
            disk.remove(&segment.name).map_err(StoreError::of("remove", &segment.name))?;
            disk.sync_directory().map_err(StoreError::of(SYNC, "the folder"))?;
            return Ok(());
        }
        let file = disk.open(&segment.name).map_err(StoreError::of("open", &segment.name))?;
        let len = HEADER_BYTES as u64 + scanned.end - segment.start;
        if segment.is_last && segment.len > len {
            disk.truncate(&file, len).map_err(StoreError::of("truncate", &segment.name))?;
            disk.sync(&file).map_err(StoreError::of(SYNC, &segment.name))?;
        }
        let open = match is_indexed {
            true => OpenSegment::unproved(segment.start, file),
            false => OpenSegment::proved(segment.start, file),
        };
        if !segment.is_last {
            open.seal(segment.len, wants_index);
        }
        self.shared.push(open);
        self.segments.push(Segment {
            start: segment.start,
            bytes: scanned.end - segment.start,
            last_stored_ms: scanned.last_stored_ms,
        });
        Ok(())
    }

    /// The position of the first byte that is kept.
    #[must_use]
    pub fn start(&self) -> u64 {
        self.segments.first().map_or(self.end, |segment| segment.start)
    }

    /// Where the next group goes.
    #[must_use]
    pub const fn end(&self) -> u64 {
        self.end
    }

    /// All segments, in order.
    #[must_use]
    pub fn segments(&self) -> Vec<Segment> {
        self.segments.clone()
    }

    /// How many segments there are.
    #[must_use]
    pub const fn segment_count(&self) -> usize {
        self.segments.len()
    }

    /// Writes a group, whose messages have these sizes and lie one behind the other in `parts`;
    /// returns where the next one goes.
    ///
    /// # Errors
    ///
    /// [`StoreError`]; nothing of the group is there then.
    pub fn append(
        &mut self,
        position: u64,
        parts: &[Bytes],
        sizes: &[u32],
    ) -> Result<u64, StoreError> {
        if self.is_closed {
            return Err(StoreError::Closed);
        }
        if position != self.end {
            return Err(StoreError::Position { end: self.end, group: position });
        }
        let is_full = |segment: &Segment| segment.bytes >= self.settings.segment_bytes;
        // Nothing goes behind what had a successor once.
        let is_sealed = self.shared.last().is_some_and(|segment| segment.is_sealed());
        if is_sealed || self.segments.last().is_none_or(is_full) {
            self.roll()?;
        }
        let trailer = Trailer::of(position, parts, sizes).to_bytes();
        let mut slices: Vec<IoSlice<'_>> = parts.iter().map(|part| IoSlice::new(part)).collect();
        slices.push(IoSlice::new(&trailer));
        let (Some(open), Some(segment)) = (self.shared.last(), self.segments.last_mut()) else {
            return Err(StoreError::Closed);
        };
        let name = segment_name(segment.start);
        let disk = &self.shared.disk;
        if let Err(error) = disk.append(&open.file, &mut slices) {
            // A part of it may be there: what comes next must not lie behind it.
            let len = HEADER_BYTES as u64 + segment.bytes;
            self.is_closed = disk.truncate(&open.file, len).is_err();
            return Err(StoreError::of("append to", &name)(error));
        }
        let bytes: u64 = sizes.iter().map(|size| u64::from(*size)).sum();
        segment.bytes += bytes + trailer_bytes(sizes.len()) as u64;
        segment.last_stored_ms = last_stored_ms(parts, sizes).unwrap_or(segment.last_stored_ms);
        self.end = segment.start + segment.bytes;
        Ok(self.end)
    }

    /// Ends the last segment, and begins another one.
    fn roll(&mut self) -> Result<(), StoreError> {
        if !self.segments.is_empty() {
            // Nobody syncs it any more.
            self.sync()?;
        }
        let disk = &self.shared.disk;
        let name = segment_name(self.end);
        let file = disk.create(&name).map_err(StoreError::of("create", &name))?;
        let header = header(self.end);
        let made = disk
            .append(&file, &mut [IoSlice::new(&header)])
            .and_then(|()| disk.sync(&file))
            .and_then(|()| disk.sync_directory());
        if let Err(error) = made {
            // It has nothing that anybody relies on.
            self.is_closed = disk.remove(&name).is_err();
            return Err(StoreError::of("begin", &name)(error));
        }
        if let (Some(open), Some(segment)) = (self.shared.last(), self.segments.last())
            && !open.is_sealed()
        {
            open.seal(HEADER_BYTES as u64 + segment.bytes, true);
        }
        self.shared.push(OpenSegment::proved(self.end, file));
        self.segments.push(Segment { start: self.end, bytes: 0, last_stored_ms: 0 });
        Ok(())
    }

    /// Ends when everything that was appended is safe.
    ///
    /// # Errors
    ///
    /// [`StoreError`]; the store takes nothing any more then, because nobody knows what is safe.
    pub fn sync(&mut self) -> Result<(), StoreError> {
        if self.is_closed {
            return Err(StoreError::Closed);
        }
        let Some(open) = self.shared.last() else {
            return Ok(());
        };
        self.shared.disk.sync(&open.file).map_err(|error| {
            self.is_closed = true;
            StoreError::of(SYNC, "the last segment")(error)
        })
    }

    /// Removes segments that lie before this position as a whole, but for the last one; returns
    /// where the store begins then.
    ///
    /// # Errors
    ///
    /// [`StoreError`]; some of them may be gone.
    pub fn remove_before(&mut self, position: u64) -> Result<u64, StoreError> {
        let mut any = false;
        while let [first, second, ..] = self.segments[..]
            && second.start <= position
        {
            let name = segment_name(first.start);
            self.shared.disk.remove(&name).map_err(StoreError::of("remove", &name))?;
            self.segments.remove(0);
            self.shared.forget(first.start);
            // Where it stays it is removed when the store is opened again.
            let _ = self.shared.disk.remove(&index_name(first.start));
            any = true;
        }
        if any {
            let synced = self.shared.disk.sync_directory();
            synced.map_err(StoreError::of("remove", "old segments"))?;
        }
        Ok(self.start())
    }

    /// Reads while others write.
    #[must_use]
    pub fn reader(&self) -> StoreReader<D> {
        StoreReader::new(Arc::clone(&self.shared))
    }

    /// Writes index files while others write; there is to be one at a time.
    #[must_use]
    pub fn indexer(&self) -> Indexer<D> {
        Indexer::new(Arc::clone(&self.shared), self.notes)
    }
}

fn last_stored_ms(parts: &[Bytes], sizes: &[u32]) -> Option<u64> {
    let (part, size) = (parts.last()?, *sizes.last()? as usize);
    stored_ms(part.get(part.len().checked_sub(size)?..)?)
}

impl<D: Disk> fmt::Debug for DiskStore<D> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DiskStore")
            .field("segments", &self.segments.len())
            .field("end", &self.end)
            .field("is_closed", &self.is_closed)
            .finish_non_exhaustive()
    }
}

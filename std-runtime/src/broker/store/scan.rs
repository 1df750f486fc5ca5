//! Finding out what is good: walking segments group by group, and finding back after damage.

use core::fmt;

use alloc::string::String;
use alloc::vec;
use alloc::vec::Vec;

use super::disk::Disk;
use super::error::StoreError;
use super::format::{
    HEADER_BYTES, HeaderKind, TRAILER_MAGIC, Trailer, VERSION, read_header, segment_start,
};

/// Bytes that are read at once.
const WINDOW_BYTES: usize = 1 << 20;
/// The longest message that is believed: longer than any frame.
const RECORD_BYTES_MAX: usize = 1 << 30;
/// Damages that are told one by one.
const DAMAGES_MAX: usize = 64;

/// A part of a store that is lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Damage {
    /// Where it begins.
    pub position: u64,
    /// How long it is.
    pub bytes: u64,
}

impl Damage {
    /// Where it ends.
    #[must_use]
    pub const fn end(&self) -> u64 {
        self.position.saturating_add(self.bytes)
    }
}

/// What was found when a store was opened, or verified.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Recovery {
    /// Files with messages.
    pub segments: usize,
    /// Groups that are whole.
    pub groups: u64,
    /// Messages that are good.
    pub records: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Bytes at the end that were never written whole: no message in them was acknowledged as safe.
    pub torn_bytes: u64,
    /// What was good once, the first of them; see [`damages`](Self::damages).
    pub damaged: Vec<Damage>,
    /// How many parts are damaged.
    pub damages: u64,
    /// How many bytes are damaged.
    pub damaged_bytes: u64,
    /// Messages among the good ones that are known by an index: they are proved before the first
    /// of their segment is read.
    pub records_by_index: u64,
    /// Index files that are good.
    pub indexes: usize,
    /// Segments before the last one that have no index: they were read whole.
    pub indexes_missing: usize,
    /// Index files that are torn, damaged, of another version or of something else: their segments
    /// were read whole.
    pub indexes_unusable: usize,
}

impl Recovery {
    /// Whether nothing is lost.
    #[must_use]
    pub const fn is_flawless(&self) -> bool {
        self.damages == 0
    }

    fn lose(&mut self, position: u64, end: u64) {
        if position >= end {
            return;
        }
        self.damages += 1;
        self.damaged_bytes += end - position;
        if self.damaged.len() < DAMAGES_MAX {
            self.damaged.push(Damage { position, bytes: end - position });
        }
    }
}

impl fmt::Display for Recovery {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { segments, groups, records, bytes, torn_bytes, .. } = self;
        write!(f, "{records} messages of {bytes} bytes are good, in {groups} groups and ")?;
        write!(f, "{segments} segments")?;
        if *torn_bytes > 0 {
            write!(f, "; {torn_bytes} bytes at the end were never written whole")?;
        }
        if self.records_by_index > 0 {
            write!(f, "; {} messages are known by their index", self.records_by_index)?;
        }
        if self.indexes + self.indexes_missing + self.indexes_unusable > 0 {
            let Self { indexes, indexes_missing, indexes_unusable, .. } = self;
            write!(f, "; index files: {indexes} good, {indexes_missing} missing, ")?;
            write!(f, "{indexes_unusable} unusable")?;
        }
        if self.damages > 0 {
            write!(f, "; LOST: {} bytes in {} places", self.damaged_bytes, self.damages)?;
            for Damage { position, bytes } in &self.damaged {
                write!(f, "\n  {bytes} bytes from position {position} on")?;
            }
        }
        Ok(())
    }
}

/// A file that has to be looked at.
pub(super) struct Found {
    pub(super) name: String,
    pub(super) start: u64,
    pub(super) len: u64,
    pub(super) is_last: bool,
}

/// All segments among these files, in order.
pub(super) fn segments(files: &[(String, u64)]) -> Vec<Found> {
    let mut found: Vec<Found> = files
        .iter()
        .filter_map(|(name, len)| {
            let start = segment_start(name)?;
            Some(Found { name: name.clone(), start, len: *len, is_last: false })
        })
        .collect();
    found.sort_by_key(|segment| segment.start);
    if let Some(last) = found.last_mut() {
        last.is_last = true;
    }
    found
}

/// How a segment ends.
#[derive(Clone, Copy, Debug)]
pub(super) struct Scanned {
    /// Behind the last good group.
    pub(super) end: u64,
    /// When the last good message was stored, in milliseconds since 1970.
    pub(super) last_stored_ms: u64,
    /// The header can't be believed.
    pub(super) is_headless: bool,
}

/// What a scan comes by.
pub(super) enum Seen<'a> {
    /// A good message, and its position.
    Record(u64, &'a [u8]),
    /// The end of a group.
    Trailer(&'a Trailer),
}

/// Walks a segment; calls `each` with each good message and each end of a group.
pub(super) fn scan<D: Disk>(
    disk: &D,
    segment: &Found,
    recovery: &mut Recovery,
    each: &mut dyn FnMut(Seen<'_>),
) -> Result<Scanned, StoreError> {
    let file = disk.open(&segment.name).map_err(StoreError::of("open", &segment.name))?;
    let mut window = Window { disk, file: &file, name: &segment.name, at: 0, bytes: Vec::new() };
    let header = read_header(window.get(0, HEADER_BYTES)?, segment.start);
    if let HeaderKind::Newer(found) = header {
        let file = segment.name.as_str().into();
        return Err(StoreError::Version { file, found, known: VERSION });
    }
    recovery.segments += 1;
    let is_headless = header == HeaderKind::Damaged;
    let data_bytes = segment.len.saturating_sub(HEADER_BYTES as u64);
    let mut scan = Scan { window, start: segment.start, end: segment.start + data_bytes };
    let mut position = segment.start;
    let mut scanned = Scanned { end: position, last_stored_ms: 0, is_headless };
    while position < scan.end {
        let found = match scan.group_at(position)? {
            Some(found) => Some(found),
            None => scan.find_group(position)?,
        };
        let Some((trailer, end)) = found else {
            // Nothing behind it can be proved.
            match segment.is_last {
                true => recovery.torn_bytes += scan.end - position,
                false => recovery.lose(position, scan.end),
            }
            return Ok(scanned);
        };
        recovery.lose(position, trailer.group);
        scan.deliver(&trailer, recovery, &mut scanned, each)?;
        each(Seen::Trailer(&trailer));
        recovery.groups += 1;
        (position, scanned.end) = (end, end);
    }
    Ok(scanned)
}

struct Scan<'d, D: Disk> {
    window: Window<'d, D>,
    start: u64,
    end: u64,
}

impl<D: Disk> Scan<'_, D> {
    fn get(&mut self, position: u64, len: usize) -> Result<&[u8], StoreError> {
        self.window.get(HEADER_BYTES as u64 + position - self.start, len)
    }

    /// The trailer of the group that begins here, and where it ends, if all lengths lead to it.
    fn group_at(&mut self, group: u64) -> Result<Option<(Trailer, u64)>, StoreError> {
        let mut position = group;
        while position < self.end {
            let head = self.get(position, 8)?;
            if let Some(len) = Trailer::len_of(head) {
                let trailer = self.trailer_at(position, len)?;
                let end = position + len as u64;
                return Ok(trailer.filter(|trailer| trailer.group == group).map(|t| (t, end)));
            }
            let size = head.first_chunk().map(|size| u32::from_be_bytes(*size) as usize);
            match size {
                Some(size) if (8..=RECORD_BYTES_MAX).contains(&size) => position += size as u64,
                _ => return Ok(None),
            }
        }
        Ok(None)
    }

    /// A whole trailer, whose messages end where it begins.
    fn trailer_at(&mut self, position: u64, len: usize) -> Result<Option<Trailer>, StoreError> {
        let trailer = Trailer::from_bytes(self.get(position, len)?);
        let start = self.start;
        Ok(trailer.filter(|trailer| {
            trailer.group >= start
                && trailer.group.checked_add(trailer.record_bytes()) == Some(position)
        }))
    }

    /// The next trailer behind this position, whose group does not begin before it, wherever that
    /// is.
    fn find_group(&mut self, from: u64) -> Result<Option<(Trailer, u64)>, StoreError> {
        let mut position = from;
        while position + 8 <= self.end {
            let len = usize::try_from(self.end - position).unwrap_or(usize::MAX);
            let bytes = self.get(position, len.min(WINDOW_BYTES))?;
            let Some(at) = bytes.windows(4).position(|bytes| bytes == TRAILER_MAGIC) else {
                // The magic may lie across the end of what was read.
                let Some(step) = bytes.len().checked_sub(3).filter(|step| *step > 0) else {
                    break;
                };
                position += step as u64;
                continue;
            };
            let Some(begin) = (position + at as u64).checked_sub(4).filter(|b| *b >= from) else {
                position += at as u64 + 1;
                continue;
            };
            if let Some(len) = Trailer::len_of(self.get(begin, 8)?)
                && let Some(trailer) = self.trailer_at(begin, len)?
                && trailer.group >= from
            {
                return Ok(Some((trailer, begin + len as u64)));
            }
            position = begin + 5;
        }
        Ok(None)
    }

    /// Hands out the messages of a group that are what they were.
    fn deliver(
        &mut self,
        trailer: &Trailer,
        recovery: &mut Recovery,
        scanned: &mut Scanned,
        each: &mut dyn FnMut(Seen<'_>),
    ) -> Result<(), StoreError> {
        let mut position = trailer.group;
        for record in &trailer.records {
            let size_bytes = record.size_bytes as usize;
            let bytes = self.get(position, size_bytes)?;
            if bytes.len() == size_bytes && crc32fast::hash(bytes) == record.crc {
                each(Seen::Record(position, bytes));
                recovery.records += 1;
                recovery.bytes += u64::from(record.size_bytes);
                scanned.last_stored_ms = stored_ms(bytes).unwrap_or(scanned.last_stored_ms);
            } else {
                recovery.lose(position, position + u64::from(record.size_bytes));
            }
            position += u64::from(record.size_bytes);
        }
        Ok(())
    }
}

/// When a message was stored, by its place in the layout.
pub(super) fn stored_ms(record: &[u8]) -> Option<u64> {
    // Behind the born host, which is longer with IPv6.
    let sys_flag = i32::from_be_bytes(*record.get(36..)?.first_chunk()?);
    let at = if sys_flag & 0x10 == 0 { 56 } else { 68 };
    u64::try_from(i64::from_be_bytes(*record.get(at..)?.first_chunk()?)).ok()
}

/// A file that is read in large pieces.
struct Window<'d, D: Disk> {
    disk: &'d D,
    file: &'d D::File,
    name: &'d str,
    at: u64,
    bytes: Vec<u8>,
}

impl<D: Disk> Window<'_, D> {
    /// `len` bytes from `at` on, or less at the end of the file.
    fn get(&mut self, at: u64, len: usize) -> Result<&[u8], StoreError> {
        let offset = at.checked_sub(self.at).and_then(|offset| usize::try_from(offset).ok());
        let is_there =
            offset.is_some_and(|o| o.checked_add(len).is_some_and(|e| e <= self.bytes.len()));
        let offset = if is_there { offset.unwrap_or(0) } else { 0 };
        if !is_there {
            let mut bytes = core::mem::take(&mut self.bytes);
            bytes.clear();
            bytes.resize(len.max(WINDOW_BYTES), 0);
            let read = self.disk.read_at(self.file, at, &mut bytes);
            let read = read.map_err(StoreError::of("read", self.name))?;
            bytes.truncate(read);
            (self.at, self.bytes) = (at, bytes);
        }
        let end = (offset + len).min(self.bytes.len());
        Ok(self.bytes.get(offset..end).unwrap_or_default())
    }
}

/// A vector of `len` bytes, for reads.
pub(super) fn room(len: usize) -> Vec<u8> {
    vec![0; len]
}

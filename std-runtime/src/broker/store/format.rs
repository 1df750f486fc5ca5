//! Headers of segments and trailers of groups, as bytes.

use alloc::string::String;
use alloc::vec::Vec;

use bytes::Bytes;
use crc32fast::Hasher;

/// The version of the format. Older ones are read, newer ones refused.
pub(super) const VERSION: u32 = 1;
/// Of a segment's header.
pub(super) const HEADER_BYTES: usize = 32;
/// What a trailer has where messages say which layout they have.
pub(super) const TRAILER_MAGIC: [u8; 4] = 0xdaa3_7470_u32.to_be_bytes();
/// Of a trailer, without what it says of each message.
const TRAILER_FIXED_BYTES: usize = 24;
/// The most messages that a group is believed to have.
const RECORDS_MAX: usize = 1 << 20;

const MAGIC: [u8; 8] = *b"TPSTORE\0";

/// Bytes that a group of so many messages takes on disk, besides those of the messages.
#[must_use]
pub const fn trailer_bytes(records: usize) -> usize {
    TRAILER_FIXED_BYTES + 8 * records
}

/// The name of the segment that begins at this position.
pub(super) fn segment_name(start: u64) -> String {
    alloc::format!("{start:020}")
}

/// Where a segment begins, by its name; `None` for other files.
pub(super) fn segment_start(name: &str) -> Option<u64> {
    let is_number = name.len() == 20 && name.bytes().all(|byte| byte.is_ascii_digit());
    if is_number { name.parse().ok() } else { None }
}

pub(super) fn header(start: u64) -> [u8; HEADER_BYTES] {
    let mut header = [0; HEADER_BYTES];
    let fields = [&MAGIC[..], &VERSION.to_be_bytes(), &[0; 4], &start.to_be_bytes()].concat();
    let crc = crc32fast::hash(&fields).to_be_bytes();
    for (to, from) in header.iter_mut().zip(fields.iter().chain(&crc)) {
        *to = *from;
    }
    header
}

/// What is known of a segment by its header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum HeaderKind {
    Good,
    /// Written by a later program.
    Newer(u32),
    Damaged,
}

pub(super) fn read_header(bytes: &[u8], start: u64) -> HeaderKind {
    // All of it, because what follows is found by its length.
    let whole = bytes.get(..HEADER_BYTES).and_then(|bytes| bytes.split_at_checked(24));
    let Some((head, rest)) = whole else {
        return HeaderKind::Damaged;
    };
    let Some((crc, _)) = rest.split_first_chunk() else {
        return HeaderKind::Damaged;
    };
    if u32::from_be_bytes(*crc) != crc32fast::hash(head) || !head.starts_with(&MAGIC) {
        return HeaderKind::Damaged;
    }
    let number = |range| head.get(range).and_then(|bytes: &[u8]| bytes.try_into().ok());
    match (number(8..12).map(u32::from_be_bytes), head.get(16..24)) {
        (Some(version), _) if version > VERSION => HeaderKind::Newer(version),
        (Some(_), Some(found)) if found == start.to_be_bytes() => HeaderKind::Good,
        _ => HeaderKind::Damaged,
    }
}

/// What a trailer says of one message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Record {
    pub(super) size_bytes: u32,
    pub(super) crc: u32,
}

/// A trailer that was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Trailer {
    /// Where the group begins.
    pub(super) group: u64,
    pub(super) records: Vec<Record>,
}

impl Trailer {
    /// The trailer of messages of these sizes, which lie one behind the other in `parts`.
    pub(super) fn of(group: u64, parts: &[Bytes], sizes: &[u32]) -> Self {
        let mut parts = parts.iter().map(|part| &part[..]);
        let mut part: &[u8] = parts.next().unwrap_or_default();
        let records = sizes.iter().map(|size_bytes| {
            let (mut hasher, mut left) = (Hasher::new(), *size_bytes as usize);
            while left > 0 {
                if part.is_empty() {
                    match parts.next() {
                        Some(next) => part = next,
                        None => break,
                    }
                }
                let (taken, rest) = part.split_at(left.min(part.len()));
                hasher.update(taken);
                (left, part) = (left - taken.len(), rest);
            }
            Record { size_bytes: *size_bytes, crc: hasher.finalize() }
        });
        Self { group, records: records.collect() }
    }

    pub(super) fn to_bytes(&self) -> Vec<u8> {
        let len = trailer_bytes(self.records.len());
        let mut bytes = Vec::with_capacity(len);
        // As many as fit into memory fit into 32 bits: groups are bounded.
        bytes.extend_from_slice(&(len as u32).to_be_bytes());
        bytes.extend_from_slice(&TRAILER_MAGIC);
        bytes.extend_from_slice(&self.group.to_be_bytes());
        bytes.extend_from_slice(&(self.records.len() as u32).to_be_bytes());
        for record in &self.records {
            bytes.extend_from_slice(&record.size_bytes.to_be_bytes());
            bytes.extend_from_slice(&record.crc.to_be_bytes());
        }
        bytes.extend_from_slice(&crc32fast::hash(&bytes).to_be_bytes());
        bytes
    }

    /// Its own checksum.
    pub(super) fn crc(&self) -> u32 {
        let bytes = self.to_bytes();
        bytes.last_chunk().map_or(0, |crc| u32::from_be_bytes(*crc))
    }

    /// The length that a trailer with these first bytes has, if it is one.
    pub(super) fn len_of(head: &[u8]) -> Option<usize> {
        let (len, rest) = head.split_first_chunk()?;
        let len = u32::from_be_bytes(*len) as usize;
        let records = len.checked_sub(TRAILER_FIXED_BYTES)? / 8;
        let is_sane = records <= RECORDS_MAX && trailer_bytes(records) == len;
        (is_sane && rest.starts_with(&TRAILER_MAGIC)).then_some(len)
    }

    /// Reads a whole trailer; `None` where anything is wrong with it.
    pub(super) fn from_bytes(bytes: &[u8]) -> Option<Self> {
        if Self::len_of(bytes)? != bytes.len() {
            return None;
        }
        let (body, crc) = bytes.split_last_chunk()?;
        if crc32fast::hash(body) != u32::from_be_bytes(*crc) {
            return None;
        }
        let (_, rest) = body.split_at_checked(8)?;
        let (group, rest) = rest.split_first_chunk()?;
        let (count, rest) = rest.split_first_chunk()?;
        let (pairs, behind) = rest.as_chunks::<8>();
        if pairs.len() != u32::from_be_bytes(*count) as usize || !behind.is_empty() {
            return None;
        }
        let records = pairs.iter().map(|[s0, s1, s2, s3, c0, c1, c2, c3]| Record {
            size_bytes: u32::from_be_bytes([*s0, *s1, *s2, *s3]),
            crc: u32::from_be_bytes([*c0, *c1, *c2, *c3]),
        });
        Some(Self { group: u64::from_be_bytes(*group), records: records.collect() })
    }

    /// Bytes of its messages.
    pub(super) fn record_bytes(&self) -> u64 {
        self.records.iter().map(|record| u64::from(record.size_bytes)).sum()
    }
}

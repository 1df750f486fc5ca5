//! Index files as bytes: what is known of a segment without reading it.
//!
//! Decides how an index lies on disk, and whether what was read is one, whole and of this segment.
//! What is kept of a message, its note, is up to whoever opens the store; when an index is written
//! and believed is decided by `indexing`.
//!
//! Only segments of which everything is good have one, so that their groups lie one behind the
//! other, and no position has to be kept.

use alloc::string::String;
use alloc::vec::Vec;

use crc32fast::Hasher;

use super::format::{HEADER_BYTES, Trailer, segment_name, segment_start, trailer_bytes};

/// The version of the format; others are not believed.
const VERSION: u32 = 1;
const MAGIC: [u8; 8] = *b"TPINDEX\0";
/// What stands before the groups.
pub(super) const INDEX_HEADER_BYTES: usize = 56;
const CRC_BYTES: usize = 4;
const SUFFIX: &str = ".index";
const NEW_SUFFIX: &str = ".index.new";

/// What is kept of each message in the index of its segment.
#[derive(Clone, Copy, Debug)]
pub struct Notes {
    /// The version of what is written: notes of other versions are not believed.
    pub version: u32,
    /// Appends the note of a message that is stored. It is not longer than the message, but for
    /// one byte.
    pub write: fn(record: &[u8], note: &mut Vec<u8>),
}

/// What is found of one message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Finding<'a> {
    /// The message as it is stored, proved by its checksum.
    Record(&'a [u8]),
    /// What an index says of it. It is proved before it is read.
    Note {
        /// The length of the message.
        size_bytes: u32,
        /// As it was written by [`Notes::write`].
        note: &'a [u8],
    },
}

/// The name of the index of the segment that begins here.
pub(super) fn index_name(start: u64) -> String {
    alloc::format!("{}{SUFFIX}", segment_name(start))
}

/// The name under which it is written.
pub(super) fn new_index_name(start: u64) -> String {
    alloc::format!("{}{NEW_SUFFIX}", segment_name(start))
}

/// Where the segment of an index begins, by the name of the index; `None` for other files.
pub(super) fn index_start(name: &str) -> Option<u64> {
    segment_start(name.strip_suffix(SUFFIX)?)
}

/// The same for those that were being written.
pub(super) fn new_index_start(name: &str) -> Option<u64> {
    segment_start(name.strip_suffix(NEW_SUFFIX)?)
}

/// The longest index that a segment of this length can have.
pub(super) const fn index_bytes_max(segment_bytes: u64) -> u64 {
    segment_bytes.saturating_mul(2).saturating_add(INDEX_HEADER_BYTES as u64)
}

/// What stands at the front of an index, behind its magic.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct IndexHead {
    version: u32,
    notes_version: u32,
    /// Where the segment begins.
    start: u64,
    /// Of its messages and trailers.
    data_bytes: u64,
    pub(super) last_stored_ms: u64,
    groups: u64,
    /// Of the last trailer.
    last_crc: u32,
    /// Of the checksums of all trailers, one behind the other.
    trailers_crc: u32,
}

impl IndexHead {
    fn to_bytes(self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(INDEX_HEADER_BYTES);
        bytes.extend_from_slice(&MAGIC);
        bytes.extend_from_slice(&self.version.to_be_bytes());
        bytes.extend_from_slice(&self.notes_version.to_be_bytes());
        for number in [self.start, self.data_bytes, self.last_stored_ms, self.groups] {
            bytes.extend_from_slice(&number.to_be_bytes());
        }
        bytes.extend_from_slice(&self.last_crc.to_be_bytes());
        bytes.extend_from_slice(&self.trailers_crc.to_be_bytes());
        bytes
    }

    /// The head, and what stands behind it.
    fn take(bytes: &[u8]) -> Option<(Self, &[u8])> {
        let mut rest = bytes.strip_prefix(&MAGIC)?;
        let head = Self {
            version: take_u32(&mut rest)?,
            notes_version: take_u32(&mut rest)?,
            start: take_u64(&mut rest)?,
            data_bytes: take_u64(&mut rest)?,
            last_stored_ms: take_u64(&mut rest)?,
            groups: take_u64(&mut rest)?,
            last_crc: take_u32(&mut rest)?,
            trailers_crc: take_u32(&mut rest)?,
        };
        Some((head, rest))
    }
}

fn take_u32(rest: &mut &[u8]) -> Option<u32> {
    let (number, behind) = rest.split_first_chunk()?;
    *rest = behind;
    Some(u32::from_be_bytes(*number))
}

fn take_u64(rest: &mut &[u8]) -> Option<u64> {
    let (number, behind) = rest.split_first_chunk()?;
    *rest = behind;
    Some(u64::from_be_bytes(*number))
}

fn take_bytes<'a>(rest: &mut &'a [u8], len: u32) -> Option<&'a [u8]> {
    let (bytes, behind) = rest.split_at_checked(len as usize)?;
    *rest = behind;
    Some(bytes)
}

/// What all trailers of a segment are known by.
#[derive(Clone, Debug, Default)]
pub(super) struct Seal {
    groups: u64,
    hasher: Hasher,
    last_crc: u32,
}

impl Seal {
    pub(super) fn take(&mut self, trailer: &Trailer) {
        self.groups += 1;
        self.last_crc = trailer.crc();
        self.hasher.update(&self.last_crc.to_be_bytes());
    }

    /// Whether an index was written for these trailers.
    pub(super) fn fits(&self, index: &Index<'_>) -> bool {
        let Self { groups, hasher, last_crc } = self;
        let Index { head, .. } = index;
        (*groups, *last_crc) == (head.groups, head.last_crc)
            && hasher.clone().finalize() == head.trailers_crc
    }
}

/// An index that is being made.
pub(super) struct IndexWriter {
    notes: Notes,
    bytes: Vec<u8>,
    /// Where the number of messages of the open group stands.
    group_at: usize,
    records: u32,
    seal: Seal,
}

impl IndexWriter {
    pub(super) fn new(notes: Notes) -> Self {
        let mut bytes = IndexHead::default().to_bytes();
        let group_at = bytes.len();
        bytes.extend_from_slice(&[0; 4]);
        Self { notes, bytes, group_at, records: 0, seal: Seal::default() }
    }

    fn put(&mut self, at: usize, bytes: &[u8]) {
        let room = self.bytes.get_mut(at..).unwrap_or_default();
        room.iter_mut().zip(bytes).for_each(|(to, from)| *to = *from);
    }

    /// The next message of the open group.
    pub(super) fn record(&mut self, record: &[u8]) {
        // As long as trailers can say, and notes as messages.
        self.bytes.extend_from_slice(&(record.len() as u32).to_be_bytes());
        let at = self.bytes.len();
        self.bytes.extend_from_slice(&[0; 4]);
        (self.notes.write)(record, &mut self.bytes);
        let len = (self.bytes.len() - at - 4) as u32;
        self.put(at, &len.to_be_bytes());
        self.records += 1;
    }

    /// The open group ends.
    pub(super) fn group(&mut self, trailer: &Trailer) {
        self.seal.take(trailer);
        self.put(self.group_at, &self.records.to_be_bytes());
        (self.group_at, self.records) = (self.bytes.len(), 0);
        self.bytes.extend_from_slice(&[0; 4]);
    }

    /// The whole file.
    pub(super) fn finish(mut self, start: u64, data_bytes: u64, last_stored_ms: u64) -> Vec<u8> {
        self.bytes.truncate(self.group_at);
        let head = IndexHead {
            version: VERSION,
            notes_version: self.notes.version,
            start,
            data_bytes,
            last_stored_ms,
            groups: self.seal.groups,
            last_crc: self.seal.last_crc,
            trailers_crc: self.seal.hasher.clone().finalize(),
        };
        self.put(0, &head.to_bytes());
        let crc = crc32fast::hash(&self.bytes);
        self.bytes.extend_from_slice(&crc.to_be_bytes());
        self.bytes
    }
}

/// An index that was read, and is whole.
#[derive(Clone, Copy, Debug)]
pub(super) struct Index<'a> {
    pub(super) head: IndexHead,
    groups: &'a [u8],
    /// Messages, and their bytes.
    pub(super) records: u64,
    pub(super) record_bytes: u64,
    /// Where the last trailer is, and how long it is.
    last: (u64, usize),
}

impl<'a> Index<'a> {
    /// Reads the index of a segment that begins at `start` and whose file has `len` bytes; `None`
    /// where anything is wrong with it.
    pub(super) fn from_bytes(bytes: &'a [u8], start: u64, len: u64) -> Option<Self> {
        let (body, crc) = bytes.split_last_chunk::<CRC_BYTES>()?;
        if crc32fast::hash(body) != u32::from_be_bytes(*crc) {
            return None;
        }
        let (head, groups) = IndexHead::take(body)?;
        let data_bytes = len.checked_sub(HEADER_BYTES as u64)?;
        if (head.version, head.start, head.data_bytes) != (VERSION, start, data_bytes) {
            return None;
        }
        let mut index = Self { head, groups, records: 0, record_bytes: 0, last: (0, 0) };
        let (mut known, mut count) = (index, 0);
        let end = index.walk(&mut |step| match step {
            Step::Record { size_bytes, .. } => {
                known.records += 1;
                known.record_bytes += u64::from(size_bytes);
            }
            Step::Trailer { position, len } => {
                count += 1;
                known.last = (position, len);
            }
        })?;
        index = known;
        let is_whole = end == start.checked_add(data_bytes)? && count == head.groups && count > 0;
        is_whole.then_some(index)
    }

    /// Whether it is of this version of notes.
    pub(super) const fn has_notes_of(&self, notes: Notes) -> bool {
        self.head.notes_version == notes.version
    }

    pub(super) const fn groups(&self) -> u64 {
        self.head.groups
    }

    /// The position and the length of the last trailer.
    pub(super) const fn last_trailer(&self) -> (u64, usize) {
        self.last
    }

    /// Whether these bytes are the last trailer.
    pub(super) fn ends_with(&self, trailer: &[u8]) -> bool {
        Trailer::from_bytes(trailer).is_some_and(|trailer| trailer.crc() == self.head.last_crc)
    }

    /// Hands out all notes, with the positions and lengths of their messages.
    pub(super) fn for_each(&self, each: &mut dyn FnMut(u64, Finding<'_>)) {
        self.walk(&mut |step| {
            if let Step::Record { position, size_bytes, note } = step {
                each(position, Finding::Note { size_bytes, note });
            }
        });
    }

    /// Where the last group ends; `None` where it is not whole.
    fn walk(&self, each: &mut dyn FnMut(Step<'a>)) -> Option<u64> {
        let (mut rest, mut position) = (self.groups, self.head.start);
        while !rest.is_empty() {
            let records = take_u32(&mut rest)?;
            for _ in 0..records {
                let size_bytes = take_u32(&mut rest)?;
                let len = take_u32(&mut rest)?;
                let note = take_bytes(&mut rest, len)?;
                each(Step::Record { position, size_bytes, note });
                position = position.checked_add(size_bytes.into())?;
            }
            let len = trailer_bytes(records as usize);
            each(Step::Trailer { position, len });
            position = position.checked_add(len as u64)?;
        }
        Some(position)
    }
}

enum Step<'a> {
    Record { position: u64, size_bytes: u32, note: &'a [u8] },
    Trailer { position: u64, len: usize },
}

//! The log's newest part, in memory: all messages of all queues, one behind the other.
//!
//! Decides which position a message gets and which memory it is in. Parts that are read or written
//! to disk are shared slices of the block they were appended to, so that nothing is copied twice.
//! What goes to disk goes in groups, in order; the store puts a trailer behind each, whose room is
//! left here.

use alloc::collections::VecDeque;
use alloc::vec::Vec;

use bytes::{Bytes, BytesMut};

use crate::broker::store::trailer_bytes;

/// Memory is taken in blocks of so many bytes.
const BLOCK_BYTES: usize = 1 << 20;

/// Messages that are to be written in one go.
#[derive(Debug)]
pub struct Group {
    /// Where the first of them is.
    pub position: u64,
    /// Their bytes, in order.
    pub parts: Vec<Bytes>,
    /// Of each message, in bytes.
    pub sizes: Vec<u32>,
    /// Where the log goes on behind them, and behind the trailer.
    pub end: u64,
}

/// Where a piece of the log is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Range {
    /// Its first byte.
    pub position: u64,
    /// In bytes.
    pub size_bytes: u32,
}

impl Range {
    pub(super) const fn end(&self) -> u64 {
        self.position + self.size_bytes as u64
    }
}

#[derive(Debug)]
struct Block {
    position: u64,
    bytes: Bytes,
}

impl Block {
    fn end(&self) -> u64 {
        self.position + self.bytes.len() as u64
    }
}

#[derive(Debug)]
pub(super) struct Log {
    blocks: VecDeque<Block>,
    hot_bytes: usize,
    tail: BytesMut,
    tail_position: u64,
    /// Smallest position that is anywhere.
    start: u64,
    /// Sizes of messages that were not handed out to be written; only with a disk.
    unwritten: Option<Vec<u32>>,
    unwritten_position: u64,
    /// Handed out or not, in bytes.
    pub(super) unwritten_bytes: usize,
}

impl Log {
    pub(super) fn new(position: u64, with_disk: bool) -> Self {
        Self {
            blocks: VecDeque::new(),
            hot_bytes: 0,
            tail: BytesMut::new(),
            tail_position: position,
            start: position,
            unwritten: with_disk.then(Vec::new),
            unwritten_position: position,
            unwritten_bytes: 0,
        }
    }

    /// With a disk that has everything from `start` to `end`.
    pub(super) fn on_disk(start: u64, end: u64) -> Self {
        Self { start, ..Self::new(end, true) }
    }

    /// Where the next message goes.
    pub(super) fn end(&self) -> u64 {
        self.tail_position + self.tail.len() as u64
    }

    pub(super) const fn start(&self) -> u64 {
        self.start
    }

    pub(super) const fn has_disk(&self) -> bool {
        self.unwritten.is_some()
    }

    /// Bytes in memory.
    pub(super) fn hot_bytes(&self) -> usize {
        self.hot_bytes + self.tail.len()
    }

    /// Whether what is at this position is in memory.
    pub(super) fn is_hot(&self, position: u64) -> bool {
        let first = self.blocks.front().map_or(self.tail_position, |block| block.position);
        (first..self.end()).contains(&position)
    }

    /// Memory for a message of this size, all zero; its position is [`end`](Self::end) before.
    pub(super) fn append(&mut self, size_bytes: usize) -> &mut [u8] {
        let len = self.tail.len();
        if self.tail.capacity() - len < size_bytes {
            self.seal();
            self.tail = BytesMut::with_capacity(BLOCK_BYTES.max(size_bytes));
        }
        if let Some(sizes) = &mut self.unwritten {
            sizes.push(u32::try_from(size_bytes).unwrap_or(u32::MAX));
            self.unwritten_bytes += size_bytes;
        }
        let start = self.tail.len();
        self.tail.resize(start + size_bytes, 0);
        self.tail.get_mut(start..).unwrap_or_default()
    }

    /// Takes back the last message that was appended.
    pub(super) fn take_back(&mut self, size_bytes: usize) {
        let len = self.tail.len().saturating_sub(size_bytes);
        self.tail.truncate(len);
        if let Some(sizes) = &mut self.unwritten
            && sizes.pop().is_some()
        {
            self.unwritten_bytes -= size_bytes;
        }
    }

    /// Makes what is in the open block a part that can be shared.
    fn seal(&mut self) {
        if self.tail.is_empty() {
            return;
        }
        let bytes = self.tail.split().freeze();
        let position = self.tail_position;
        self.tail_position += bytes.len() as u64;
        self.hot_bytes += bytes.len();
        self.blocks.push_back(Block { position, bytes });
    }

    /// Appends slices with the bytes of `range` to `out`; false where they are not in memory.
    pub(super) fn read(&mut self, range: Range, out: &mut Vec<Bytes>) -> bool {
        if range.end() > self.tail_position {
            self.seal();
        }
        let Some(first) = self.blocks.front() else {
            return false;
        };
        if range.position < first.position || range.end() > self.end() {
            return false;
        }
        let mut index = self.blocks.partition_point(|block| block.end() <= range.position);
        let (mut position, end) = (range.position, range.end());
        while position < end {
            let Some(block) = self.blocks.get(index) else {
                return false;
            };
            let from = usize::try_from(position - block.position).unwrap_or(usize::MAX);
            let to = usize::try_from(end.min(block.end()) - block.position).unwrap_or(usize::MAX);
            out.push(block.bytes.slice(from..to));
            position = block.position + to as u64;
            index += 1;
        }
        true
    }

    /// What is to be written next, all of it; nothing without a disk.
    pub(super) fn take_group(&mut self) -> Option<Group> {
        if self.unwritten.as_ref().is_none_or(Vec::is_empty) {
            return None;
        }
        self.seal();
        let sizes = self.unwritten.as_mut().map(core::mem::take).unwrap_or_default();
        let position = self.unwritten_position;
        let first = self.blocks.partition_point(|block| block.end() <= position);
        let parts = self.blocks.range(first..).map(|block| block.bytes.clone()).collect();
        // Room for what the store writes behind the messages.
        self.tail_position += trailer_bytes(sizes.len()) as u64;
        self.unwritten_position = self.tail_position;
        Some(Group { position, parts, sizes, end: self.tail_position })
    }

    /// Whether [`take_group`](Self::take_group) has something.
    pub(super) fn has_group(&self) -> bool {
        self.unwritten.as_ref().is_some_and(|sizes| !sizes.is_empty())
    }

    /// Forgets everything from this position on, which could not be written.
    pub(super) fn cut(&mut self, position: u64) {
        self.seal();
        while self.blocks.back().is_some_and(|block| block.position >= position) {
            let gone = self.blocks.pop_back().map_or(0, |block| block.bytes.len());
            self.hot_bytes -= gone;
        }
        if let Some(sizes) = &mut self.unwritten {
            sizes.clear();
        }
        self.unwritten_bytes = 0;
        self.unwritten_position = position;
        self.tail_position = position;
    }

    /// Lets go of the oldest blocks until at most `bytes_max` are in memory, but of nothing that
    /// lies at `written` or behind. Without a disk they are gone, and the log starts later.
    pub(super) fn shrink(&mut self, bytes_max: usize, written: u64) {
        while self.hot_bytes() > bytes_max {
            match self.blocks.front() {
                Some(block) if block.end() <= written => {}
                _ => break,
            }
            let gone = self.blocks.pop_front().map_or(0, |block| block.bytes.len());
            self.hot_bytes -= gone;
        }
        if !self.has_disk() {
            self.start = self.blocks.front().map_or(self.tail_position, |block| block.position);
        }
    }

    /// Everything before this position is gone from the disk.
    pub(super) fn begin_at(&mut self, position: u64) {
        self.start = self.start.max(position);
        while self.blocks.front().is_some_and(|block| block.end() <= position) {
            let gone = self.blocks.pop_front().map_or(0, |block| block.bytes.len());
            self.hot_bytes -= gone;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn put(log: &mut Log, bytes: &[u8]) -> Range {
        let position = log.end();
        log.append(bytes.len()).copy_from_slice(bytes);
        Range { position, size_bytes: bytes.len() as u32 }
    }

    fn read(log: &mut Log, range: Range) -> Option<Vec<u8>> {
        let mut parts = Vec::new();
        log.read(range, &mut parts).then(|| parts.concat())
    }

    #[test]
    fn what_was_read_stays_as_it_was() {
        let mut log = Log::new(100, false);
        let first = put(&mut log, b"first");
        let mut parts = Vec::new();
        assert!(log.read(first, &mut parts));
        let second = put(&mut log, b"second");
        assert_eq!((first.position, second.position, log.end()), (100, 105, 111));
        assert_eq!(parts.concat(), b"first");
        let both = Range { position: 100, size_bytes: 11 };
        assert_eq!(read(&mut log, both).as_deref(), Some(&b"firstsecond"[..]));
        assert_eq!(read(&mut log, Range { position: 99, size_bytes: 2 }), None);
        assert_eq!(read(&mut log, Range { position: 110, size_bytes: 2 }), None);
    }

    #[test]
    fn memory_is_bounded_and_the_start_moves() {
        let mut log = Log::new(0, false);
        let piece = alloc::vec![7; BLOCK_BYTES / 2];
        let first = put(&mut log, &piece);
        for _ in 0..7 {
            put(&mut log, &piece);
        }
        log.shrink(2 * BLOCK_BYTES, u64::MAX);
        assert!(log.hot_bytes() <= 2 * BLOCK_BYTES && log.start() > first.position);
        assert_eq!(read(&mut log, first), None);
    }

    #[test]
    fn groups_leave_room_for_their_trailers() {
        let mut log = Log::new(0, true);
        put(&mut log, b"one");
        put(&mut log, b"two");
        assert!(log.has_group());
        let group = log.take_group().unwrap();
        assert_eq!((group.position, group.parts.concat()), (0, b"onetwo".to_vec()));
        assert_eq!(group.sizes, [3, 3]);
        assert_eq!(group.end, 6 + trailer_bytes(2) as u64);
        assert!(log.take_group().is_none());
        let third = put(&mut log, b"three");
        assert_eq!(third.position, group.end);
        assert_eq!(read(&mut log, third).as_deref(), Some(&b"three"[..]));
        log.cut(group.end);
        assert_eq!((log.end(), log.has_group()), (group.end, false));
        assert_eq!(put(&mut log, b"again").position, group.end);
        assert_eq!(log.take_group().unwrap().parts.concat(), b"again");
    }
}

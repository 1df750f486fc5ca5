//! Memory that is written front to back, and counted beyond its end.

use core::fmt;

use super::EncodeError;

/// Writes what has room and counts everything, so that a first run without memory tells the length.
#[derive(Debug)]
pub(in crate::rocketmq::wire) struct Output<'m> {
    memory: &'m mut [u8],
    len: usize,
}

impl<'m> Output<'m> {
    pub(in crate::rocketmq::wire) const fn new(memory: &'m mut [u8]) -> Self {
        Self { memory, len: 0 }
    }

    /// How much was written, or would have been.
    pub(in crate::rocketmq::wire) const fn len(&self) -> usize {
        self.len
    }

    pub(in crate::rocketmq::wire) fn finish(self) -> Result<usize, EncodeError> {
        let (needed_bytes, room_bytes) = (self.len, self.memory.len());
        if needed_bytes > room_bytes {
            return Err(EncodeError::NoRoom { needed_bytes, room_bytes });
        }
        Ok(needed_bytes)
    }

    #[inline]
    pub(in crate::rocketmq::wire) fn put(&mut self, bytes: &[u8]) {
        let end = self.len.saturating_add(bytes.len());
        if let Some(room) = self.memory.get_mut(self.len..end) {
            room.copy_from_slice(bytes);
        }
        self.len = end;
    }

    /// Overwrites what was written at `at`, where that has room.
    pub(in crate::rocketmq::wire) fn patch(&mut self, at: usize, bytes: &[u8]) {
        if let Some(room) = self.memory.get_mut(at..at.saturating_add(bytes.len())) {
            room.copy_from_slice(bytes);
        }
    }
}

impl fmt::Write for Output<'_> {
    #[inline]
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.put(text.as_bytes());
        Ok(())
    }
}

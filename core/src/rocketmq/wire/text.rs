//! Text into the caller's memory: where identifiers, names and handles are written without a heap.
//!
//! The module decides that a text is written whole or refused; what is written is up to others.

use core::fmt;

/// A [`fmt::Write`] over a slice.
///
/// ```
/// use core::fmt::Write;
/// use turbopump_core::rocketmq::wire::{names::RetryTopic, text::TextBuffer};
///
/// let mut memory = [0; 32];
/// let mut text = TextBuffer::new(&mut memory);
/// write!(text, "{}", RetryTopic("billing"))?;
/// assert_eq!(text.as_str(), "%RETRY%billing");
/// # Ok::<(), core::fmt::Error>(())
/// ```
#[derive(Debug)]
pub struct TextBuffer<'b> {
    memory: &'b mut [u8],
    len: usize,
}

impl<'b> TextBuffer<'b> {
    /// An empty text with room for as many bytes as `memory` has.
    #[must_use]
    pub const fn new(memory: &'b mut [u8]) -> Self {
        Self { memory, len: 0 }
    }

    /// What was written so far.
    #[must_use]
    pub fn as_str(&self) -> &str {
        core::str::from_utf8(self.as_bytes()).unwrap_or_default()
    }

    /// What was written so far, as bytes.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        self.memory.get(..self.len).unwrap_or_default()
    }

    /// Forgets what was written.
    pub const fn clear(&mut self) {
        self.len = 0;
    }
}

impl fmt::Write for TextBuffer<'_> {
    /// Fails when the piece has no room; what was written before stays.
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let end = self.len.saturating_add(text.len());
        let room = self.memory.get_mut(self.len..end).ok_or(fmt::Error)?;
        room.copy_from_slice(text.as_bytes());
        self.len = end;
        Ok(())
    }
}

#[cfg(test)]
#[allow(clippy::indexing_slicing, clippy::arithmetic_side_effects)]
mod tests {
    use core::fmt::Write;

    use super::TextBuffer;

    #[test]
    fn what_has_no_room_is_refused_whole() {
        let mut memory = [0; 4];
        let mut text = TextBuffer::new(&mut memory);
        assert!(text.write_str("abc").is_ok());
        assert!(text.write_str("de").is_err());
        assert!(text.write_str("d").is_ok());
        assert_eq!(text.as_str(), "abcd");
        text.clear();
        assert_eq!(text.as_bytes(), b"");
    }
}

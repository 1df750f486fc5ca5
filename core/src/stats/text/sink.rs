//! Sinks for those who have no growing string.

use core::fmt;

/// A sink that keeps nothing but the length: how large a buffer the same text needs.
///
/// ```
/// use turbopump_core::stats::{Source, VisitError, text};
///
/// # fn page(sources: &[&dyn Source]) -> Result<(), VisitError> {
/// let mut length = text::TextLength::new();
/// text::write_prometheus(sources, &[], &mut length)?;
/// let mut storage = vec![0; length.bytes()];
/// text::write_prometheus(sources, &[], &mut text::TextBuffer::new(&mut storage))?;
/// # Ok(())
/// # }
/// # page(&[]).unwrap();
/// ```
#[derive(Clone, Copy, Debug, Default)]
pub struct TextLength(usize);

impl TextLength {
    /// Of no text yet.
    #[must_use]
    pub const fn new() -> Self {
        Self(0)
    }

    /// Bytes written so far.
    #[must_use]
    pub const fn bytes(&self) -> usize {
        self.0
    }
}

impl fmt::Write for TextLength {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.0 = self.0.saturating_add(text.len());
        Ok(())
    }
}

/// A sink over the caller's bytes.
///
/// A piece that doesn't fit any more is refused with [`fmt::Error`] and nothing of it is kept, so
/// the text always ends where a piece ended.
#[derive(Debug)]
pub struct TextBuffer<'b> {
    storage: &'b mut [u8],
    used: usize,
}

impl<'b> TextBuffer<'b> {
    /// An empty text in `storage`.
    #[must_use]
    pub const fn new(storage: &'b mut [u8]) -> Self {
        Self { storage, used: 0 }
    }

    /// The text so far.
    #[must_use]
    pub fn as_str(&self) -> &str {
        // Only whole strings are ever copied in, so the alternative is never taken.
        core::str::from_utf8(&self.storage[..self.used]).unwrap_or_default()
    }
}

impl fmt::Write for TextBuffer<'_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let free = &mut self.storage[self.used..];
        let target = free.get_mut(..text.len()).ok_or(fmt::Error)?;
        target.copy_from_slice(text.as_bytes());
        self.used += text.len();
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::{TextBuffer, TextLength};
    use core::fmt::Write;

    #[test]
    fn what_does_not_fit_is_refused_whole() {
        let mut storage = [0; 5];
        let mut buffer = TextBuffer::new(&mut storage);
        assert!(buffer.write_str("abc").is_ok());
        assert!(buffer.write_str("def").is_err());
        assert_eq!(buffer.as_str(), "abc");
        assert!(buffer.write_str("dé").is_err());
        assert!(buffer.write_str("é").is_ok());
        assert_eq!(buffer.as_str(), "abcé");
    }

    #[test]
    fn the_length_is_in_bytes() {
        let mut length = TextLength::new();
        length.write_str("aé").unwrap();
        assert_eq!(length.bytes(), 3);
    }
}

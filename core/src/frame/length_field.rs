//! The usual header: an integer at a fixed place says how long the frame is.

use super::{FrameError, Header, LengthFieldError};

/// What the integer of a [`LengthField`] counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Counts {
    /// What follows the length field ("exclusive").
    AfterField,
    /// What follows a header of that many bytes. A frame is never shorter than that header.
    AfterHeader(usize),
    /// The whole frame, from its first byte ("inclusive").
    WholeFrame,
    /// The whole frame less that many bytes: the frame has as many bytes as the value plus this
    /// number, which may be negative.
    Adjusted(i64),
}

/// A header whose length is an integer of 1 to 8 bytes at a fixed offset.
///
/// Made by [`LengthField::builder`], or by a preset such as [`LengthField::big_endian_u32`]. All
/// of it can be done in a `const`:
///
/// ```
/// use turbopump_core::frame::{Counts, LengthField, decode};
///
/// /// Two bytes of magic, then a length that counts the whole frame.
/// const HEADER: LengthField = match LengthField::builder(1_024)
///     .offset(2)
///     .width(2)
///     .little_endian()
///     .counts(Counts::WholeFrame)
///     .build()
/// {
///     Ok(header) => header,
///     Err(_) => panic!("the numbers above are possible"),
/// };
///
/// let mut frames = decode(&HEADER, b"MQ\x06\x00hiMQ\x04\x00");
/// assert_eq!(frames.next(), Some(Ok(&b"MQ\x06\x00hi"[..])));
/// assert_eq!(frames.next(), Some(Ok(&b"MQ\x04\x00"[..])));
/// assert_eq!(frames.next(), None);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LengthField {
    offset: usize,
    prefix_bytes: usize,
    /// 64 less the width in bits.
    shift: u32,
    little_endian: bool,
    signed: bool,
    /// Legal values are `value_min..=value_min + value_span`, negative ones never: so one
    /// subtraction and one comparison check a length against both limits and its sign.
    value_min: u64,
    value_span: u64,
    /// Frame length less value, modulo 2^64: enough wherever the value is legal.
    adjustment: u64,
    frame_bytes_min: usize,
    frame_bytes_max: usize,
}

impl LengthField {
    /// Starts with 4 bytes at offset 0, big-endian, unsigned, counting what follows them.
    /// `frame_bytes_max` limits the whole frame, header included.
    pub const fn builder(frame_bytes_max: usize) -> LengthFieldBuilder {
        LengthFieldBuilder {
            offset: 0,
            width: 4,
            little_endian: false,
            signed: false,
            counts: Counts::AfterField,
            header_bytes: 0,
            frame_bytes_max,
        }
    }

    /// 4 bytes, big-endian, that count what follows them: as RocketMQ does, and tokio-util's
    /// `LengthDelimitedCodec` unless told otherwise.
    ///
    /// # Errors
    ///
    /// As [`LengthFieldBuilder::build`].
    pub const fn big_endian_u32(frame_bytes_max: usize) -> Result<Self, LengthFieldError> {
        Self::builder(frame_bytes_max).build()
    }

    /// 2 bytes, big-endian, that count what follows them.
    ///
    /// # Errors
    ///
    /// As [`LengthFieldBuilder::build`].
    pub const fn big_endian_u16(frame_bytes_max: usize) -> Result<Self, LengthFieldError> {
        Self::builder(frame_bytes_max).width(2).build()
    }

    /// 4 bytes, little-endian, that count what follows them.
    ///
    /// # Errors
    ///
    /// As [`LengthFieldBuilder::build`].
    pub const fn little_endian_u32(frame_bytes_max: usize) -> Result<Self, LengthFieldError> {
        Self::builder(frame_bytes_max).little_endian().build()
    }

    /// The shortest legal frame in bytes.
    #[must_use]
    pub const fn frame_bytes_min(&self) -> usize {
        self.frame_bytes_min
    }

    #[inline]
    fn read(&self, window: &[u8]) -> Option<u64> {
        let field = window.get(self.offset..)?;
        let Some(eight) = field.first_chunk() else {
            return self.read_at_the_end(field);
        };
        // The field is at the front of the eight bytes; shifting drops what follows it.
        Some(if self.little_endian {
            (u64::from_le_bytes(*eight) << self.shift) >> self.shift
        } else {
            u64::from_be_bytes(*eight) >> self.shift
        })
    }

    /// Fewer than eight bytes are left, so the field can't be read together with its neighbours.
    // Kept out of line, because it would push the usual path's values out of the registers.
    #[inline(never)]
    fn read_at_the_end(&self, field: &[u8]) -> Option<u64> {
        let field = field.get(..self.width_bytes())?.iter();
        let append = |value: u64, byte: &u8| (value << 8) | u64::from(*byte);
        Some(if self.little_endian { field.rev().fold(0, append) } else { field.fold(0, append) })
    }

    const fn width_bytes(&self) -> usize {
        self.prefix_bytes.saturating_sub(self.offset)
    }

    #[inline]
    const fn is_legal(&self, value: u64) -> bool {
        value.wrapping_sub(self.value_min) <= self.value_span
    }

    /// Says what is wrong with a value that is not legal.
    #[cold]
    fn refuse(&self, value: u64) -> FrameError {
        let signed = ((value << self.shift) as i64) >> self.shift;
        if self.signed && signed < 0 {
            return FrameError::Negative { at: 0, value: signed };
        }
        // The smallest legal value stands for the shortest frame; 128 bits hold the sum exactly.
        let beyond = i128::from(value).saturating_sub(i128::from(self.value_min));
        self.refuse_frame(beyond.saturating_add(self.frame_bytes_min as i128))
    }

    #[cold]
    fn refuse_frame(&self, frame_bytes: i128) -> FrameError {
        let Self { frame_bytes_min, frame_bytes_max, .. } = *self;
        if frame_bytes > frame_bytes_max as i128 {
            let frame_bytes = u64::try_from(frame_bytes).unwrap_or(u64::MAX);
            return FrameError::Oversize { at: 0, frame_bytes, frame_bytes_max };
        }
        let frame_bytes = i64::try_from(frame_bytes).unwrap_or(i64::MIN);
        FrameError::TooShort { at: 0, frame_bytes, frame_bytes_min }
    }
}

impl Header for LengthField {
    #[inline]
    fn prefix_bytes(&self, _window: &[u8]) -> usize {
        self.prefix_bytes
    }

    #[inline]
    fn frame_bytes(&self, window: &[u8]) -> Result<usize, FrameError> {
        let Some(value) = self.read(window) else {
            return Err(self.refuse_frame(window.len() as i128));
        };
        if !self.is_legal(value) {
            return Err(self.refuse(value));
        }
        // A legal value gives a length of at most `frame_bytes_max`, so nothing is cut off.
        Ok(value.wrapping_add(self.adjustment) as usize)
    }

    #[inline]
    fn frame_bytes_max(&self) -> usize {
        self.frame_bytes_max
    }

    #[inline]
    fn check_frame_bytes(&self, frame_bytes: usize) -> Result<(), FrameError> {
        if frame_bytes < self.frame_bytes_min || frame_bytes > self.frame_bytes_max {
            return Err(self.refuse_frame(frame_bytes as i128));
        }
        Ok(())
    }

    #[inline]
    fn write_length(&self, frame_bytes: usize, header: &mut [u8]) -> Result<(), FrameError> {
        self.check_frame_bytes(frame_bytes)?;
        let header_bytes = header.len();
        let Some(field) = header.get_mut(self.offset..self.prefix_bytes) else {
            return Err(self.refuse_frame(header_bytes as i128));
        };
        let value = (frame_bytes as u64).wrapping_sub(self.adjustment);
        let eight = if self.little_endian {
            value.to_le_bytes()
        } else {
            (value << self.shift).to_be_bytes()
        };
        // The usual width is one store.
        if let (Ok(four), Some(first)) =
            (<&mut [u8; 4]>::try_from(&mut *field), eight.first_chunk())
        {
            *four = *first;
            return Ok(());
        }
        for (to, from) in field.iter_mut().zip(eight) {
            *to = from;
        }
        Ok(())
    }
}

/// Builds a [`LengthField`]; made by [`LengthField::builder`].
#[derive(Clone, Copy, Debug)]
#[must_use = "a builder does nothing until `build` is called"]
pub struct LengthFieldBuilder {
    offset: usize,
    width: usize,
    little_endian: bool,
    signed: bool,
    counts: Counts,
    header_bytes: usize,
    frame_bytes_max: usize,
}

impl LengthFieldBuilder {
    /// The field starts `bytes` after the start of the frame.
    pub const fn offset(mut self, bytes: usize) -> Self {
        self.offset = bytes;
        self
    }

    /// The field has that many bytes, 1 to 8.
    pub const fn width(mut self, bytes: usize) -> Self {
        self.width = bytes;
        self
    }

    /// The field's first byte is the least significant.
    pub const fn little_endian(mut self) -> Self {
        self.little_endian = true;
        self
    }

    /// The field's first byte is the most significant.
    pub const fn big_endian(mut self) -> Self {
        self.little_endian = false;
        self
    }

    /// The field is a two's complement number; those below zero are refused.
    pub const fn signed(mut self) -> Self {
        self.signed = true;
        self
    }

    /// What the field counts.
    pub const fn counts(mut self, counts: Counts) -> Self {
        self.counts = counts;
        self
    }

    /// The header has that many bytes, so that a shorter frame is refused. Without this a header
    /// ends where its length field does, or where [`Counts::AfterHeader`] says.
    pub const fn header_bytes(mut self, bytes: usize) -> Self {
        self.header_bytes = bytes;
        self
    }

    /// Checks that the numbers fit together.
    ///
    /// # Errors
    ///
    /// A width other than 1 to 8, a field that would lie beyond memory, a header that ends before
    /// its field, a limit below the shortest frame or above what the field can express.
    pub const fn build(self) -> Result<LengthField, LengthFieldError> {
        let Self { offset, width, little_endian, signed, counts, frame_bytes_max, .. } = self;
        if width == 0 || width > 8 {
            return Err(LengthFieldError::Width { width_bytes: width });
        }
        let Some(prefix_bytes) = offset.checked_add(width) else {
            return Err(LengthFieldError::Offset { offset_bytes: offset });
        };
        let header_bytes = match (self.header_bytes, counts) {
            (0, Counts::AfterHeader(bytes)) if bytes > prefix_bytes => bytes,
            (0, _) => prefix_bytes,
            (bytes, _) => bytes,
        };
        if header_bytes < prefix_bytes {
            let field_end_bytes = prefix_bytes;
            return Err(LengthFieldError::Header { header_bytes, field_end_bytes });
        }
        let shift = 64_u32.saturating_sub((width as u32).saturating_mul(8));
        let field_max = u64::MAX >> shift.saturating_add(signed as u32);
        // 128 bits hold every sum below exactly: each operand has 64 bits at most.
        let adjustment = match counts {
            Counts::AfterField => prefix_bytes as i128,
            Counts::AfterHeader(bytes) => bytes as i128,
            Counts::WholeFrame => 0,
            Counts::Adjusted(bytes) => bytes as i128,
        };
        let frame_min = max(header_bytes as i128, adjustment);
        if (frame_bytes_max as i128) < frame_min {
            let frame_bytes_min = saturate(frame_min);
            return Err(LengthFieldError::MaximumTooLow { frame_bytes_max, frame_bytes_min });
        }
        let expressible = adjustment.saturating_add(field_max as i128);
        if (frame_bytes_max as i128) > expressible {
            let expressible_bytes = saturate(expressible);
            return Err(LengthFieldError::MaximumTooHigh { frame_bytes_max, expressible_bytes });
        }
        // Both lie in 0..=field_max after the two checks above, so they fit into 64 bits.
        let value_min = frame_min.saturating_sub(adjustment) as u64;
        let value_max = (frame_bytes_max as i128).saturating_sub(adjustment) as u64;
        Ok(LengthField {
            offset,
            prefix_bytes,
            shift,
            little_endian,
            signed,
            value_min,
            value_span: value_max.saturating_sub(value_min),
            adjustment: adjustment as u64,
            frame_bytes_min: saturate(frame_min) as usize,
            frame_bytes_max,
        })
    }
}

const fn max(left: i128, right: i128) -> i128 {
    if left > right { left } else { right }
}

/// As 64 bits, with what is out of range moved to the next end.
const fn saturate(number: i128) -> u64 {
    if number < 0 {
        0
    } else if number > u64::MAX as i128 {
        u64::MAX
    } else {
        number as u64
    }
}

#[cfg(test)]
#[allow(clippy::indexing_slicing, clippy::arithmetic_side_effects)]
mod tests;

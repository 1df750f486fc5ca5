//! Whether compressing a body is worth it.

use super::{Compress, CompressError};

/// Which bodies are sent compressed: those of a certain length, when they shrink.
///
/// ```
/// # #[cfg(feature = "alloc")] {
/// use turbopump_core::compress::{Deflate, Encoded, Format, PlainReason, Policy};
///
/// let policy = Policy::default();
/// let mut deflate = Deflate::new(Format::Zlib, 5)?;
/// let mut room = [0; 2_048];
///
/// let short = policy.encode(&mut deflate, &[7; 100], &mut room)?;
/// assert_eq!(short, Encoded::Plain(PlainReason::BelowThreshold));
///
/// let Encoded::Compressed(len) = policy.encode(&mut deflate, &[7; 2_000], &mut room)? else {
///     panic!("2,000 equal bytes shrink");
/// };
/// assert!(len < 50);
/// # }
/// # Ok::<(), turbopump_core::compress::CompressError>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Policy {
    threshold_bytes: usize,
}

impl Policy {
    /// Bodies below `threshold_bytes` are sent plain.
    #[must_use]
    pub const fn new(threshold_bytes: usize) -> Self {
        Self { threshold_bytes }
    }

    /// A policy that never compresses.
    #[must_use]
    pub const fn never() -> Self {
        Self::new(usize::MAX)
    }

    /// The length in bytes from which on bodies are compressed.
    #[must_use]
    pub const fn threshold_bytes(&self) -> usize {
        self.threshold_bytes
    }

    /// Compresses `body` into `output`, unless it is short or does not shrink.
    ///
    /// `output` needs no more room than `body` has. With less, a body is also sent plain when its
    /// compressed form doesn't fit.
    ///
    /// # Errors
    ///
    /// Those of the compressor, except [`CompressError::OutputLimit`], which means that the body
    /// does not shrink.
    pub fn encode<C: Compress + ?Sized>(
        &self,
        compressor: &mut C,
        body: &[u8],
        output: &mut [u8],
    ) -> Result<Encoded, CompressError> {
        if body.len() < self.threshold_bytes {
            return Ok(Encoded::Plain(PlainReason::BelowThreshold));
        }
        // One byte less than the body: a compressor stops where it would no longer pay.
        let worth_bytes = body.len().saturating_sub(1).min(output.len());
        let output = output.get_mut(..worth_bytes).unwrap_or_default();
        match compressor.compress(body, output) {
            Ok(len) => Ok(Encoded::Compressed(len)),
            Err(CompressError::OutputLimit { .. }) => {
                Ok(Encoded::Plain(PlainReason::DoesNotShrink))
            }
            Err(error) => Err(error),
        }
    }
}

impl Default for Policy {
    /// From 1,024 bytes on.
    fn default() -> Self {
        Self::new(1_024)
    }
}

/// How a body is to be sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
// A body is sent in one way or the other: no third case can be added later.
#[allow(clippy::exhaustive_enums)]
pub enum Encoded {
    /// As it is; the output holds nothing of use.
    Plain(PlainReason),
    /// As that many bytes of the output.
    Compressed(usize),
}

/// Why a body is sent as it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum PlainReason {
    /// It is too short to be worth it.
    BelowThreshold,
    /// Compressed it would have as many bytes or more.
    DoesNotShrink,
}

#[cfg(test)]
#[allow(clippy::indexing_slicing, clippy::arithmetic_side_effects)]
mod tests {
    use super::{Encoded, PlainReason, Policy};
    use crate::compress::{Compress, CompressError, Format};

    /// Makes a given number of bytes of anything.
    struct Makes(usize);

    impl Compress for Makes {
        fn format(&self) -> Format {
            Format::Other(0)
        }

        fn compress(&mut self, _: &[u8], output: &mut [u8]) -> Result<usize, CompressError> {
            let limit_bytes = output.len();
            if self.0 == usize::MAX {
                return Err(CompressError::Failed { reason: "test" });
            }
            output.get(..self.0).map(<[u8]>::len).ok_or(CompressError::OutputLimit { limit_bytes })
        }
    }

    #[test]
    fn the_threshold_and_one_byte_less_are_exact() {
        let policy = Policy::new(10);
        let mut output = [0; 32];
        let mut encode = |len: usize, makes| {
            policy.encode(&mut Makes(makes), &[0; 32][..len], &mut output).unwrap()
        };
        assert_eq!(encode(9, 1), Encoded::Plain(PlainReason::BelowThreshold));
        assert_eq!(encode(10, 1), Encoded::Compressed(1));
        assert_eq!(encode(10, 9), Encoded::Compressed(9));
        assert_eq!(encode(10, 10), Encoded::Plain(PlainReason::DoesNotShrink));
    }

    #[test]
    fn an_empty_body_and_short_output_are_sent_plain() {
        let plain = Ok(Encoded::Plain(PlainReason::DoesNotShrink));
        assert_eq!(Policy::new(0).encode(&mut Makes(1), &[], &mut [0; 4]), plain);
        assert_eq!(Policy::new(0).encode(&mut Makes(5), &[0; 100], &mut [0; 4]), plain);
    }

    #[test]
    fn other_errors_are_passed_on() {
        let failed = Policy::new(0).encode(&mut Makes(usize::MAX), &[0; 9], &mut [0; 9]);
        assert_eq!(failed, Err(CompressError::Failed { reason: "test" }));
        let never = Policy::never().encode(&mut Makes(usize::MAX), &[0; 9], &mut [0; 9]);
        assert_eq!(never, Ok(Encoded::Plain(PlainReason::BelowThreshold)));
        assert_eq!(Policy::default().threshold_bytes(), 1_024);
    }
}

//! CRC-32, in one place for all who need it: gzip here, message bodies in protocols.
//!
//! The module decides which implementation is used. By default it has a table of 1 KiB; with the
//! feature `crc32fast` it uses SIMD instructions where there are any.

/// A CRC-32 (IEEE 802.3; "CRC-32/ISO-HDLC" in catalogues) over bytes that come in pieces.
///
/// ```
/// use turbopump_core::checksum::{Crc32, crc32};
///
/// let mut crc = Crc32::new();
/// crc.update(b"1234");
/// crc.update(b"56789");
/// assert_eq!(crc.value(), 0xcbf4_3926);
/// assert_eq!(crc32(b"123456789"), 0xcbf4_3926);
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Crc32 {
    value: u32,
}

impl Crc32 {
    /// The checksum of no bytes.
    #[must_use]
    pub const fn new() -> Self {
        Self { value: 0 }
    }

    /// Continues the checksum with `bytes`.
    #[cfg(not(feature = "crc32fast"))]
    #[inline]
    pub fn update(&mut self, bytes: &[u8]) {
        // The crate starts from the register, which holds the complement with its bits reversed.
        let mut digest = TABLE.digest_with_initial((!self.value).reverse_bits());
        digest.update(bytes);
        self.value = digest.finalize();
    }

    /// Continues the checksum with `bytes`.
    #[cfg(feature = "crc32fast")]
    #[inline]
    pub fn update(&mut self, bytes: &[u8]) {
        let mut hasher = crc32fast::Hasher::new_with_initial(self.value);
        hasher.update(bytes);
        self.value = hasher.finalize();
    }

    /// The checksum of all bytes so far.
    #[must_use]
    pub const fn value(self) -> u32 {
        self.value
    }
}

/// The CRC-32 of `bytes`.
#[inline]
#[must_use]
pub fn crc32(bytes: &[u8]) -> u32 {
    let mut crc = Crc32::new();
    crc.update(bytes);
    crc.value()
}

#[cfg(not(feature = "crc32fast"))]
static TABLE: crc::Crc<u32> = crc::Crc::<u32>::new(&crc::CRC_32_ISO_HDLC);

#[cfg(test)]
mod tests {
    use super::{Crc32, crc32};

    #[test]
    fn known_values() {
        assert_eq!(crc32(b""), 0);
        assert_eq!(crc32(b"a"), 0xe8b7_be43);
        assert_eq!(crc32(b"The quick brown fox jumps over the lazy dog"), 0x414f_a339);
    }

    #[test]
    fn any_split_gives_the_same_value() {
        let bytes: [u8; 64] = core::array::from_fn(|index| (index * 37) as u8);
        for cut in 0..=bytes.len() {
            let mut crc = Crc32::new();
            let (left, right) = bytes.split_at(cut);
            crc.update(left);
            crc.update(right);
            assert_eq!(crc.value(), crc32(&bytes));
        }
    }
}

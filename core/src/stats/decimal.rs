//! Integers as decimal text, shifted by powers of ten, without floating point.
//!
//! A duration of 1,500 microseconds is 0.0015 seconds. Dividing binary floats can print it as
//! 0.0015000000000000001; moving the decimal point of the integer cannot.

use core::fmt;

/// The longest text: a sign, 20 digits, a leading zero and a point, or an exponent of four.
const TEXT_BYTES_MAX: usize = 28;

/// The most places a point can be moved: 10^18 is the largest power that fits an `i64`.
pub(crate) const DECIMALS_MAX: u8 = 18;

/// From this power of ten on, and below 10^-4, bucket bounds are written with an exponent.
const EXPONENT_FROM: i32 = 6;

/// An integer as decimal text in a buffer of its own: for label values and other text that must
/// not be allocated.
///
/// ```
/// use turbopump_core::stats::Decimal;
///
/// assert_eq!(Decimal::new(65_536).as_str(), "65536");
/// assert_eq!(Decimal::scaled(1_500, 6).as_str(), "0.0015");
/// ```
#[derive(Clone, Copy)]
pub struct Decimal {
    text: [u8; TEXT_BYTES_MAX],
    start: usize,
}

impl Decimal {
    /// The digits of `value`.
    #[must_use]
    pub const fn new(value: u64) -> Self {
        Self::scaled(value, 0)
    }

    /// The digits of `value` with a sign where it is negative.
    #[must_use]
    pub const fn signed(value: i64) -> Self {
        Self::signed_scaled(value, 0)
    }

    /// `value` divided by 10 to the power of `decimals`, exactly, without trailing zeros.
    ///
    /// `decimals` above 18 counts as 18.
    #[must_use]
    pub const fn scaled(value: u64, decimals: u8) -> Self {
        let mut decimal = Self { text: [b'0'; TEXT_BYTES_MAX], start: TEXT_BYTES_MAX };
        let (mut rest, mut decimals) = (value, limited(decimals));
        while decimals > 0 && rest % 10 == 0 {
            rest /= 10;
            decimals -= 1;
        }
        let mut written = 0;
        loop {
            if written == decimals && written > 0 {
                decimal.prepend(b'.');
            }
            decimal.prepend(b'0' + (rest % 10) as u8);
            rest /= 10;
            written += 1;
            if rest == 0 && written > decimals {
                return decimal;
            }
        }
    }

    /// [`Decimal::scaled`] for signed values.
    #[must_use]
    pub const fn signed_scaled(value: i64, decimals: u8) -> Self {
        let mut decimal = Self::scaled(value.unsigned_abs(), decimals);
        if value < 0 {
            decimal.prepend(b'-');
        }
        decimal
    }

    /// A bucket bound as OpenMetrics wants label values that are numbers: like Go's `%g`, with
    /// `.0` appended where neither point nor exponent shows that it is a float.
    pub(crate) const fn canonical(value: u64, decimals: u8) -> Self {
        let decimals = limited(decimals) as i32;
        let (mut digits, mut exponent) = (value, -decimals);
        while digits != 0 && digits % 10 == 0 {
            digits /= 10;
            exponent += 1;
        }
        let leading = exponent + if digits == 0 { 0 } else { digits.ilog10() as i32 };
        if digits != 0 && (leading < -4 || leading >= EXPONENT_FROM) {
            return Self::scientific(digits, leading);
        }
        let fixed = Self::scaled(value, decimals as u8);
        if digits == 0 || exponent >= 0 { fixed.with_point() } else { fixed }
    }

    /// `digits` with the point after the first one, times ten to the power of `exponent`.
    const fn scientific(digits: u64, exponent: i32) -> Self {
        let mut text = Self { text: [b'0'; TEXT_BYTES_MAX], start: TEXT_BYTES_MAX };
        let size = exponent.unsigned_abs();
        text.prepend(b'0' + (size % 10) as u8);
        text.prepend(b'0' + (size / 10 % 10) as u8);
        text.prepend(if exponent < 0 { b'-' } else { b'+' });
        text.prepend(b'e');
        let mut rest = digits;
        while rest >= 10 {
            text.prepend(b'0' + (rest % 10) as u8);
            rest /= 10;
        }
        if digits >= 10 {
            text.prepend(b'.');
        }
        text.prepend(b'0' + rest as u8);
        text
    }

    /// The same with `.0` behind it.
    const fn with_point(self) -> Self {
        let mut moved = Self { text: [b'0'; TEXT_BYTES_MAX], start: TEXT_BYTES_MAX };
        moved.prepend(b'0');
        moved.prepend(b'.');
        let mut index = TEXT_BYTES_MAX;
        while index > self.start {
            index -= 1;
            moved.prepend(self.text[index]);
        }
        moved
    }

    const fn prepend(&mut self, byte: u8) {
        self.start -= 1;
        self.text[self.start] = byte;
    }

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        // Only ASCII is ever written, so the alternative is never taken.
        core::str::from_utf8(&self.text[self.start..]).unwrap_or_default()
    }
}

impl fmt::Display for Decimal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl fmt::Debug for Decimal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

const fn limited(decimals: u8) -> u8 {
    if decimals > DECIMALS_MAX { DECIMALS_MAX } else { decimals }
}

/// `value` divided by 10 to the power of `decimals`, as a float.
pub(crate) fn scaled_float(value: f64, decimals: u8) -> f64 {
    // Both operands are exact up to 2^53, so the quotient is the float nearest to the true value.
    value / 10_u64.pow(u32::from(limited(decimals))) as f64
}

/// Writes a float so that reading it gives the same bits: fixed where that is short, else with an
/// exponent. NaN and the infinities are written as Prometheus spells them.
pub(crate) fn write_float<W: fmt::Write + ?Sized>(sink: &mut W, value: f64) -> fmt::Result {
    if value.is_nan() {
        return sink.write_str("NaN");
    }
    if value.is_infinite() {
        return sink.write_str(if value > 0.0 { "+Inf" } else { "-Inf" });
    }
    let size = value.abs();
    if size == 0.0 || (1e-5..1e17).contains(&size) {
        write!(sink, "{value}")
    } else {
        write!(sink, "{value:e}")
    }
}

#[cfg(test)]
mod tests {
    extern crate alloc;

    use super::{Decimal, write_float};
    use alloc::string::String;

    #[test]
    fn the_point_moves_without_rounding() {
        for (value, decimals, text) in [
            (0, 0, "0"),
            (0, 6, "0"),
            (1, 6, "0.000001"),
            (1_500, 6, "0.0015"),
            (1_000_000, 6, "1"),
            (12_345_678, 6, "12.345678"),
            (100, 0, "100"),
            (u64::MAX, 0, "18446744073709551615"),
            (u64::MAX, 6, "18446744073709.551615"),
            (u64::MAX, 18, "18.446744073709551615"),
            (1, 18, "0.000000000000000001"),
            (1, 200, "0.000000000000000001"),
        ] {
            assert_eq!(Decimal::scaled(value, decimals).as_str(), text);
        }
        assert_eq!(Decimal::signed(i64::MIN).as_str(), "-9223372036854775808");
        assert_eq!(Decimal::signed_scaled(i64::MIN, 18).as_str(), "-9.223372036854775808");
        assert_eq!(Decimal::signed_scaled(-20, 1).as_str(), "-2");
    }

    #[test]
    fn bounds_are_written_as_the_openmetrics_specification_lists_them() {
        for (value, decimals, text) in [
            (0, 3, "0.0"),
            (1, 3, "0.001"),
            (2, 3, "0.002"),
            (10, 3, "0.01"),
            (100, 3, "0.1"),
            (900, 3, "0.9"),
            (950, 3, "0.95"),
            (999, 3, "0.999"),
            (1_000, 3, "1.0"),
            (1_700, 3, "1.7"),
            (10_000, 3, "10.0"),
            (1, 10, "1e-10"),
            (1, 9, "1e-09"),
            (1, 5, "1e-05"),
            (1, 4, "0.0001"),
            (100_000, 0, "100000.0"),
            (1_000_000, 0, "1e+06"),
            (10_000_000_000, 0, "1e+10"),
            (1_048_576, 0, "1.048576e+06"),
            (16, 6, "1.6e-05"),
            (u64::MAX, 0, "1.8446744073709551615e+19"),
        ] {
            assert_eq!(Decimal::canonical(value, decimals).as_str(), text);
        }
    }

    #[test]
    fn floats_survive_a_round_trip() {
        for value in [0.0, -0.0, 0.1, 1.0 / 3.0, 1e-5, 9e-6, 1e16, 1e17, 5e-324, f64::MAX, -2.5e300]
        {
            let mut text = String::new();
            write_float(&mut text, value).unwrap();
            assert_eq!(text.parse::<f64>().unwrap().to_bits(), value.to_bits(), "{text}");
            assert!(text.len() <= 24, "{text}");
        }
        for (value, expected) in
            [(f64::NAN, "NaN"), (f64::INFINITY, "+Inf"), (f64::NEG_INFINITY, "-Inf")]
        {
            let mut text = String::new();
            write_float(&mut text, value).unwrap();
            assert_eq!(text, expected);
        }
    }
}

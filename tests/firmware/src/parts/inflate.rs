//! Inflating zlib and gzip, with the state in memory that never crosses the heap.

use core::mem::MaybeUninit;

use turbopump_core::compress::{Format, InflateError, InflateState, inflate};

use crate::check::{Checks, check};

const TEXT: &[u8] = b"one, two, three, one, two, three, one, two, three, four";
const ZLIB: &[u8] = b"\x78\xda\xcb\xcf\x4b\xd5\x51\x28\x29\xcf\x07\x12\x19\x45\xa9\x40\x76\x3e\
    \x41\x81\xb4\xfc\xd2\x22\x00\x03\x14\x12\x85";
const GZIP: &[u8] = b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x02\x03\xcb\xcf\x4b\xd5\x51\x28\x29\xcf\
    \x07\x12\x19\x45\xa9\x40\x76\x3e\x41\x81\xb4\xfc\xd2\x22\x00\xfd\x4a\xd8\xef\x37\x00\x00\x00";

#[inline(never)]
pub(crate) fn run(checks: &mut Checks) {
    let mut slot = MaybeUninit::uninit();
    let state = InflateState::new_in(&mut slot);
    let mut output = [0; TEXT.len()];
    for (format, compressed) in [(Format::Zlib, ZLIB), (Format::Gzip, GZIP)] {
        output.fill(0);
        check!(checks, inflate(format, state, compressed, &mut output) == Ok(TEXT.len()));
        check!(checks, output == TEXT);
        let cut = &compressed[..compressed.len() - 1];
        check!(
            checks,
            matches!(
                inflate(format, state, cut, &mut output),
                Err(InflateError::Truncated { .. })
            )
        );
        let short = &mut output[..TEXT.len() - 1];
        check!(
            checks,
            matches!(
                inflate(format, state, compressed, short),
                Err(InflateError::OutputLimit { .. })
            )
        );
    }
    let mut damaged = [0; GZIP.len()];
    damaged.copy_from_slice(GZIP);
    damaged[GZIP.len() - 8] ^= 1;
    check!(
        checks,
        matches!(
            inflate(Format::Gzip, state, &damaged, &mut output),
            Err(InflateError::Checksum { .. })
        )
    );
}

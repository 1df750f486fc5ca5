//! LZ4 frames, by `lz4_flex`: the frame format, not the bare block.

use std::io::{ErrorKind, Read, Write};

use lz4_flex::frame::{BlockMode, FrameDecoder, FrameEncoder, FrameInfo};
use turbopump_core::compress::{CompressError, InflateError};

pub(super) fn restore(input: &[u8], output: &mut [u8]) -> Result<usize, InflateError> {
    let position = |rest: &[u8]| (input.len() - rest.len()) as u64;
    let mut decoder = FrameDecoder::new(input);
    let mut len = 0;
    // One byte more than there is room for tells whether the limit is exceeded.
    let mut beyond = [0];
    loop {
        let room = &mut output[len..];
        let is_full = room.is_empty();
        let read = decoder.read(if is_full { &mut beyond } else { room });
        let at = position(decoder.get_ref());
        match read {
            Ok(0) => break,
            Ok(_) if is_full => {
                return Err(InflateError::OutputLimit { at, limit_bytes: output.len() });
            }
            Ok(count) => len += count,
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(_) => return Err(damaged(decoder.get_ref(), at)),
        }
    }
    check_end(input, decoder.get_ref())?;
    Ok(len)
}

/// The decoder takes the end of its input for the end of a frame where a block would begin, so
/// that the end mark has to be looked for: four zeros, and a checksum if the header says so.
fn check_end(input: &[u8], rest: &[u8]) -> Result<(), InflateError> {
    let consumed = input.len() - rest.len();
    let Some(flags) = input.get(4).filter(|_| consumed >= HEADER_BYTES_MIN) else {
        return Err(InflateError::Truncated { at: consumed as u64 });
    };
    if !rest.is_empty() {
        return Err(InflateError::Trailing { at: consumed as u64 });
    }
    let checksum_bytes = if flags & HAS_CONTENT_CHECKSUM == 0 { 0 } else { 4 };
    let frame = &input[..consumed - checksum_bytes];
    match frame.ends_with(&[0; 4]) {
        true => Ok(()),
        false => Err(InflateError::Truncated { at: consumed as u64 }),
    }
}

pub(super) fn compress(input: &[u8], output: &mut [u8]) -> Result<usize, CompressError> {
    let limit_bytes = output.len();
    let limit = |_| CompressError::OutputLimit { limit_bytes };
    let info = FrameInfo::new().block_mode(BlockMode::Independent);
    let mut encoder = FrameEncoder::with_frame_info(info, output);
    encoder.write_all(input).map_err(limit)?;
    let rest = encoder.finish().map_err(|_| CompressError::OutputLimit { limit_bytes })?;
    Ok(limit_bytes - rest.len())
}

/// What a decoder gave up at: the end, or something wrong.
fn damaged(rest: &[u8], at: u64) -> InflateError {
    if rest.is_empty() { InflateError::Truncated { at } } else { InflateError::Corrupt { at } }
}

const HEADER_BYTES_MIN: usize = 7;
const HAS_CONTENT_CHECKSUM: u8 = 0x04;

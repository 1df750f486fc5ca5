//! zstd frames, by `ruzstd`: no C.

use core::fmt;
use std::io::Read;

use ruzstd::decoding::{BlockDecodingStrategy, FrameDecoder};
use ruzstd::encoding::{CompressionLevel, compress_to_vec};
use turbopump_core::compress::{CompressError, InflateError};

/// A decoder that keeps its tables from body to body.
pub(super) struct Decoder {
    frames: FrameDecoder,
}

impl Decoder {
    pub(super) fn new() -> Self {
        Self { frames: FrameDecoder::new() }
    }

    pub(super) fn restore(
        &mut self,
        input: &[u8],
        output: &mut [u8],
    ) -> Result<usize, InflateError> {
        let limit_bytes = output.len();
        let mut rest = input;
        let frames = &mut self.frames;
        frames.set_max_window_size((limit_bytes as u64).max(WINDOW_BYTES_MAX));
        if frames.reset(&mut rest).is_err() {
            return Err(damaged(input, rest));
        }
        if frames.content_size() > limit_bytes as u64 {
            return Err(InflateError::OutputLimit { at: position(input, rest), limit_bytes });
        }
        let mut len = 0;
        loop {
            let step = BlockDecodingStrategy::UptoBytes(STEP_BYTES);
            if frames.decode_blocks(&mut rest, step).is_err() {
                return Err(damaged(input, rest));
            }
            match frames.read(&mut output[len..]) {
                Ok(count) => len += count,
                Err(_) => return Err(damaged(input, rest)),
            }
            if frames.can_collect() > 0 {
                return Err(InflateError::OutputLimit { at: position(input, rest), limit_bytes });
            }
            if frames.is_finished() {
                break;
            }
        }
        let at = position(input, rest);
        match (frames.get_checksum_from_data(), frames.get_calculated_checksum()) {
            (Some(expected), Some(found)) if expected != found => {
                Err(InflateError::Checksum { at, expected, found })
            }
            _ if !rest.is_empty() => Err(InflateError::Trailing { at }),
            _ => Ok(len),
        }
    }
}

impl fmt::Debug for Decoder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Decoder").finish_non_exhaustive()
    }
}

pub(super) fn compress(input: &[u8], output: &mut [u8]) -> Result<usize, CompressError> {
    let limit_bytes = output.len();
    let compressed = compress_to_vec(input, CompressionLevel::Fastest);
    let room = output.get_mut(..compressed.len());
    room.ok_or(CompressError::OutputLimit { limit_bytes })?.copy_from_slice(&compressed);
    Ok(compressed.len())
}

fn position(input: &[u8], rest: &[u8]) -> u64 {
    (input.len() - rest.len()) as u64
}

/// What the decoder gave up at: the end, or something wrong.
fn damaged(input: &[u8], rest: &[u8]) -> InflateError {
    let at = position(input, rest);
    if rest.is_empty() { InflateError::Truncated { at } } else { InflateError::Corrupt { at } }
}

/// What RFC 8878 recommends to support.
const WINDOW_BYTES_MAX: u64 = 8 << 20;

const STEP_BYTES: usize = 1 << 16;

//! Inflating: in one go, in pieces and by another implementation must agree.
//!
//! An input is the format, the room for the output in two bytes, a list of piece lengths, then the
//! compressed stream.

use std::io::Read;

use flate2::read::{DeflateDecoder, MultiGzDecoder, ZlibDecoder};
use turbopump_core::compress::{Decompress, Format, Inflate, InflateError, InflateState, inflate};
use turbopump_std::compress::ZlibRsInflate;

use crate::Parameters;

const LARGE_ROOM_BYTES: usize = 1 << 16;

type Restored = Result<Vec<u8>, InflateError>;

/// Runs the target.
pub fn run(data: &[u8]) {
    let mut parameters = Parameters { data };
    let format = [Format::Raw, Format::Zlib, Format::Gzip][usize::from(parameters.byte() % 3)];
    let room = usize::from(u16::from_le_bytes([parameters.byte(), parameters.byte()]));
    let pieces = parameters.list();
    let input = parameters.data;

    // A state that was used for something else must make no difference.
    let mut used = InflateState::new_boxed();
    let _ = in_one_go(format, &mut used, &input[input.len() / 2..], room);
    let restored = in_one_go(format, &mut used, input, room);
    assert_eq!(in_pieces(format, input, room, pieces), restored);

    // More room never changes the result, except that it may be enough.
    let large = in_one_go(format, &mut used, input, LARGE_ROOM_BYTES);
    match (&restored, &large) {
        (Ok(restored), Ok(large)) => assert_eq!(restored, large),
        (Err(InflateError::OutputLimit { limit_bytes, .. }), large) => {
            assert_eq!(*limit_bytes, room);
            assert!(large.as_ref().map_or(true, |large| large.len() > room));
        }
        (restored, large) => assert_eq!(restored, large),
    }

    if let Ok(large) = &large {
        assert_eq!(&by_flate2(format, input), large, "accepted here, refused or different there");
    }
    let mut output = vec![0; LARGE_ROOM_BYTES];
    let zlib_rs =
        ZlibRsInflate::new(format).expect("a known format").decompress(input, &mut output);
    if let Ok(len) = zlib_rs {
        assert_eq!(Ok(&output[..len]), large.as_deref(), "accepted by zlib-rs");
    }
}

fn in_one_go(format: Format, state: &mut InflateState, input: &[u8], room: usize) -> Restored {
    let mut output = vec![0; room];
    let len = inflate(format, state, input, &mut output)?;
    output.truncate(len);
    Ok(output)
}

fn in_pieces(format: Format, input: &[u8], room: usize, pieces: &[u8]) -> Restored {
    let mut machine = Inflate::new(format, InflateState::new_boxed())?;
    let mut output = vec![0; room];
    let mut rest = input;
    let default = [0];
    let pieces = if pieces.is_empty() { &default } else { pieces };
    for piece in pieces.iter().cycle() {
        let (now, later) = rest.split_at((usize::from(*piece) + 1).min(rest.len()));
        let progress = match machine.update(now, &mut output) {
            Ok(progress) => progress,
            Err(error) => {
                assert_eq!(machine.finish(), Err(error));
                return Err(error);
            }
        };
        if progress.consumed < now.len() {
            assert!(progress.done);
            let at = input.len() - rest.len() + progress.consumed;
            return Err(InflateError::Trailing { at: at as u64 });
        }
        rest = later;
        if rest.is_empty() {
            break;
        }
    }
    output.truncate(machine.finish()?);
    Ok(output)
}

fn by_flate2(format: Format, input: &[u8]) -> Vec<u8> {
    let mut output = Vec::new();
    match format {
        Format::Raw => DeflateDecoder::new(input).read_to_end(&mut output),
        Format::Zlib => ZlibDecoder::new(input).read_to_end(&mut output),
        _ => MultiGzDecoder::new(input).read_to_end(&mut output),
    }
    .expect("accepted here");
    output
}

extern crate alloc;

use alloc::vec;
use alloc::vec::Vec;
use core::mem::MaybeUninit;

use super::{Inflate, InflateState, inflate};
use crate::checksum::crc32;
use crate::compress::{Format, HeaderProblem, InflateError, gzip};

const TEXT: &[u8] = b"hello hello hello hello\n";
/// `TEXT` as raw deflate and its Adler-32, by zlib at level 9.
const RAW: &[u8] = b"\xcb\x48\xcd\xc9\xc9\x57\xc8\x40\x27\xb9\x00";
const ADLER: &[u8] = b"\x70\xbe\x08\xbb";

fn zlib() -> Vec<u8> {
    [&[0x78, 0xda], RAW, ADLER].concat()
}

fn gzip() -> Vec<u8> {
    let trailer = gzip::trailer(crc32(TEXT), TEXT.len() as u32);
    [&gzip::HEADER, RAW, &trailer[..]].concat()
}

/// One-shot, then in pieces of every length: all must agree.
fn check(format: Format, input: &[u8], room: usize) -> Result<Vec<u8>, InflateError> {
    let mut slot = MaybeUninit::uninit();
    let state = InflateState::new_in(&mut slot);
    let mut output = vec![0; room];
    let expected = inflate(format, state, input, &mut output).map(|len| output[..len].to_vec());
    for piece in 1..=input.len() {
        let mut machine = Inflate::new(format, &mut *state).unwrap();
        let mut output = vec![0; room];
        let mut result = Ok(());
        for (index, bytes) in input.chunks(piece).enumerate() {
            match machine.update(bytes, &mut output) {
                Ok(progress) if progress.consumed < bytes.len() => {
                    let at = (index * piece + progress.consumed) as u64;
                    result = Err(InflateError::Trailing { at });
                    break;
                }
                Ok(_) => {}
                Err(error) => {
                    assert_eq!(machine.update(bytes, &mut output), Err(error));
                    assert_eq!(machine.finish(), Err(error));
                    result = Err(error);
                    break;
                }
            }
        }
        let result = result.and_then(|()| machine.finish()).map(|len| output[..len].to_vec());
        assert_eq!(result, expected, "in pieces of {piece}");
    }
    expected
}

#[test]
fn each_format_fills_an_output_of_just_its_length() {
    let expected = Ok(TEXT.to_vec());
    assert_eq!(check(Format::Raw, RAW, TEXT.len()), expected);
    assert_eq!(check(Format::Zlib, &zlib(), TEXT.len()), expected);
    assert_eq!(check(Format::Gzip, &gzip(), TEXT.len()), expected);
    assert_eq!(check(Format::Gzip, &gzip(), 1_000), expected);
}

#[test]
fn no_output_at_all_is_enough_for_nothing() {
    let empty = b"\x78\x9c\x03\x00\x00\x00\x00\x01";
    assert_eq!(check(Format::Zlib, empty, 0), Ok(Vec::new()));
    assert_eq!(check(Format::Raw, b"\x03\x00", 0), Ok(Vec::new()));
}

#[test]
fn one_byte_less_room_is_the_limit() {
    for (format, input) in [(Format::Raw, RAW), (Format::Zlib, &zlib()), (Format::Gzip, &gzip())] {
        for room in 0..TEXT.len() {
            let refused = check(format, input, room);
            let is_limit = matches!(
                refused,
                Err(InflateError::OutputLimit { limit_bytes, .. }) if limit_bytes == room
            );
            assert!(is_limit, "{format} into {room} bytes: {refused:?}");
        }
    }
}

#[test]
fn every_truncation_is_noticed() {
    for (format, input) in [(Format::Raw, RAW), (Format::Zlib, &zlib()), (Format::Gzip, &gzip())] {
        for len in 0..input.len() {
            let refused = check(format, &input[..len], TEXT.len());
            assert_eq!(refused, Err(InflateError::Truncated { at: len as u64 }), "{format}");
        }
    }
}

#[test]
fn what_follows_is_refused_unless_it_is_a_gzip_member() {
    let trailing = |at: usize| Err(InflateError::Trailing { at: at as u64 });
    let with_zero = |input: &[u8]| [input, &[0]].concat();
    assert_eq!(check(Format::Raw, &with_zero(RAW), 100), trailing(RAW.len()));
    assert_eq!(check(Format::Zlib, &with_zero(&zlib()), 100), trailing(zlib().len()));
    assert_eq!(check(Format::Gzip, &with_zero(&gzip()), 100), trailing(gzip().len()));
    let almost = [&gzip()[..], &[0x1f, 0x8c]].concat();
    assert_eq!(check(Format::Gzip, &almost, 100), trailing(gzip().len()));

    let two = [gzip(), gzip()].concat();
    assert_eq!(check(Format::Gzip, &two, 2 * TEXT.len()), Ok([TEXT, TEXT].concat()));
    let at = two.len() as u64 - 1;
    let torn = check(Format::Gzip, &two[..two.len() - 1], 100);
    assert_eq!(torn, Err(InflateError::Truncated { at }));
}

#[test]
fn a_member_cannot_refer_back_to_the_one_before() {
    // Fixed tables, a match of three bytes one back, end: legal only behind other output.
    let member = [&gzip::HEADER[..], b"\x03\x02\x00", &gzip::trailer(0, 3)].concat();
    let refused = check(Format::Gzip, &[gzip(), member].concat(), 100);
    assert!(matches!(refused, Err(InflateError::Corrupt { .. })), "{refused:?}");
}

#[test]
fn checksums_and_lengths_are_compared() {
    let mut bad = zlib();
    *bad.last_mut().unwrap() ^= 1;
    let (at, found) = (bad.len() as u64, 0x70be_08bb);
    let expected = found ^ 1;
    let refused = check(Format::Zlib, &bad, 100);
    assert_eq!(refused, Err(InflateError::Checksum { at, expected, found }));

    let len = gzip().len();
    let mut bad = gzip();
    bad[len - 8] ^= 1;
    let (at, found) = (len as u64, crc32(TEXT));
    let expected = found ^ 1;
    let refused = check(Format::Gzip, &bad, 100);
    assert_eq!(refused, Err(InflateError::Checksum { at, expected, found }));

    let mut bad = gzip();
    bad[len - 4] ^= 1;
    let (found, expected) = (TEXT.len() as u32, TEXT.len() as u32 ^ 1);
    let refused = check(Format::Gzip, &bad, 100);
    assert_eq!(refused, Err(InflateError::Length { at, expected, found }));
}

#[test]
fn headers_are_refused_where_they_are_wrong() {
    let refused = |format, input: &[u8]| match check(format, input, 100) {
        Err(InflateError::Header { at, problem }) => Some((at, problem)),
        _ => None,
    };
    for header in [[0x78, 0xdb], [0x79, 0x9c], [0x88, 0x1c], [0x78, 0xbb], [0, 0]] {
        let input = [&header, RAW, ADLER].concat();
        let not_zlib = refused(Format::Zlib, &input).map(|(_, problem)| problem);
        assert_eq!(not_zlib, Some(HeaderProblem::NotZlib), "{header:x?}");
    }
    assert_eq!(refused(Format::Gzip, &zlib()), Some((0, HeaderProblem::NotGzip)));
    let mut second = [gzip(), gzip()].concat();
    let at = gzip().len() + 2;
    second[at] = 9;
    let method = HeaderProblem::Method { method: 9 };
    assert_eq!(refused(Format::Gzip, &second), Some((at as u64, method)));
}

#[test]
fn a_block_of_the_reserved_type_is_corrupt() {
    let refused = check(Format::Raw, &[7, 0, 0], 100);
    assert!(matches!(refused, Err(InflateError::Corrupt { .. })), "{refused:?}");
}

#[test]
fn the_output_may_grow_but_not_shrink_below_what_was_written() {
    let mut machine = Inflate::new(Format::Raw, InflateState::new()).unwrap();
    let mut output = [0; TEXT.len()];
    machine.update(&RAW[..5], &mut output[..10]).unwrap();
    assert!(machine.written() > 0);
    let progress = machine.update(&RAW[5..], &mut output).unwrap();
    assert!(progress.done && progress.consumed == RAW.len() - 5);
    assert_eq!((machine.finish(), &output[..]), (Ok(TEXT.len()), TEXT));

    machine.reset();
    machine.update(&RAW[..5], &mut output).unwrap();
    let refused = machine.update(&RAW[5..], &mut output[..1]);
    assert_eq!(refused, Err(InflateError::OutputLimit { at: 5, limit_bytes: 1 }));
}

#[test]
fn unknown_formats_are_refused() {
    let format = Format::Other(7);
    let refused = Inflate::new(format, InflateState::new()).unwrap_err();
    assert_eq!(refused, InflateError::Unsupported { format });
}

#[test]
fn the_state_has_the_size_that_is_documented() {
    if cfg!(target_pointer_width = "64") {
        assert_eq!(size_of::<InflateState>(), 10_504);
    }
    assert!(size_of::<InflateState>() <= 10_504);
    assert!(size_of::<Inflate<&mut InflateState>>() <= 160);
}

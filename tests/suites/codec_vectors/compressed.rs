//! Compressed bodies: whoever compressed them, whatever happened to them.

use serde_json::Value;
use turbopump_core::compress::InflateError;
use turbopump_core::rocketmq::wire::message::{Compression, SysFlag};
use turbopump_std::rocketmq::{BodyCodec, BodyError};

use crate::{Check, Checker, bytes, same, small};

/// The kinds that are checked here.
pub(crate) const KINDS: &[(&str, Checker)] =
    &[("compress", compressed), ("message-v1", in_message), ("message-v2", in_message)];

const ALL: [Compression; 3] = [Compression::Zlib, Compression::Lz4, Compression::Zstd];

fn compressed(input: &Value, output: &Value) -> Check {
    restored(input, &bytes(output, "hex"))
}

fn in_message(input: &Value, _: &Value) -> Check {
    if input["wireBodyHex"].is_null() {
        return Ok(());
    }
    restored(input, &bytes(input, "wireBodyHex"))
}

fn restored(input: &Value, wire: &[u8]) -> Check {
    let flag = SysFlag(small(input, "sysFlag"));
    let body = bytes(input, "bodyHex");
    let mut codec = BodyCodec::new();
    let mut output = vec![0; body.len()];
    same("the length", codec.restore(flag, wire, &mut output), Ok(body.len()))?;
    same("the body", &output, &body)?;
    // And what is written here can be read again.
    let compression = flag.compression().expect("a known type").expect("compressed");
    let mut again = vec![0; body.len() + 64];
    let len = codec.compress(compression, &body, &mut again).expect("room enough");
    output.fill(0);
    same("the length again", codec.restore(flag, &again[..len], &mut output), Ok(body.len()))?;
    same("the body again", output, body)
}

fn body() -> Vec<u8> {
    (0..3_000_u32).flat_map(|number| format!("{};", number * number % 977).into_bytes()).collect()
}

fn flag(compression: Compression) -> SysFlag {
    SysFlag::default().with_compression(Some(compression))
}

fn compress(compression: Compression, body: &[u8]) -> Vec<u8> {
    let mut output = vec![0; body.len() + 1_024];
    let len = BodyCodec::new().compress(compression, body, &mut output).unwrap();
    output.truncate(len);
    output
}

#[test]
fn a_cut_body_is_refused_wherever_it_is_cut() {
    let body = body();
    let mut output = vec![0; body.len()];
    let mut codec = BodyCodec::new();
    for compression in ALL {
        let wire = compress(compression, &body);
        for len in 0..wire.len() {
            let found = codec.restore(flag(compression), &wire[..len], &mut output);
            assert!(matches!(found, Err(BodyError::Restore(_))), "{compression:?} {len} {found:?}");
        }
        let found = codec.restore(flag(compression), &wire, &mut output);
        assert_eq!(found, Ok(body.len()));
    }
}

#[test]
fn a_bomb_ends_at_the_limit() {
    let body = vec![0; 10_000_000];
    let mut output = vec![0; 100_000];
    for compression in ALL {
        let wire = compress(compression, &body);
        assert!(wire.len() < 100_000, "{compression:?} has {} bytes", wire.len());
        let found = BodyCodec::new().restore(flag(compression), &wire, &mut output);
        let limit = |error| matches!(error, InflateError::OutputLimit { limit_bytes: 100_000, .. });
        assert!(matches!(found, Err(BodyError::Restore(error)) if limit(error)), "{found:?}");
    }
    let found = BodyCodec::new().restore(SysFlag(0), &body, &mut output);
    assert!(matches!(found, Err(BodyError::Restore(InflateError::OutputLimit { .. }))));
}

#[test]
fn bytes_behind_a_body_and_unknown_types_are_refused() {
    let body = body();
    let mut output = vec![0; body.len() + 16];
    let mut codec = BodyCodec::new();
    for compression in ALL {
        let mut wire = compress(compression, &body);
        wire.extend(b"more");
        let found = codec.restore(flag(compression), &wire, &mut output);
        assert!(matches!(found, Err(BodyError::Restore(_))), "{compression:?} {found:?}");
    }
    let found = codec.restore(SysFlag(0x701), &body, &mut output);
    assert!(matches!(found, Err(BodyError::Unknown(unknown)) if unknown.number == 7));
    assert_eq!(codec.restore(SysFlag(0x700), &body, &mut output), Ok(body.len()), "plain");
    assert_eq!(&output[..body.len()], body);
}

#[test]
fn damage_never_panics_and_leaves_nothing_behind() {
    let body = body();
    let mut output = vec![0; body.len()];
    let mut codec = BodyCodec::new();
    for compression in ALL {
        let wire = compress(compression, &body);
        for at in 0..wire.len() {
            let mut damaged = wire.clone();
            damaged[at] ^= 0x55;
            let _ = codec.restore(flag(compression), &damaged, &mut output);
        }
        // What went wrong before makes no difference.
        assert_eq!(codec.restore(flag(compression), &wire, &mut output), Ok(body.len()));
        assert_eq!(output, body);
    }
}

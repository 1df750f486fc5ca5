//! Frames by hand, and one end of a connection to feed them to.

use core::task::Poll;

use turbopump_core::link::Machine;
use turbopump_core::stream::{
    Flags, FrameKind, HEADER_BYTES, Header, Role, StreamConfig, StreamKey,
};
use turbopump_core::time::Now;

use crate::world::{End, drain, end, pool};

pub(crate) const SECOND_US: u64 = 1_000_000;

pub(crate) fn config(change: impl FnOnce(&mut StreamConfig)) -> StreamConfig {
    let mut config = StreamConfig::default();
    config.streams_max = 8;
    config.keep_alive_us = None;
    change(&mut config);
    config
}

pub(crate) fn server(change: impl FnOnce(&mut StreamConfig)) -> End {
    end(&config(change), Role::Server, &pool(), Now::default())
}

pub(crate) fn header(kind: FrameKind, flags: Flags, stream: u32, length: u32) -> Vec<u8> {
    Header { kind, flags, stream, length }.encode().to_vec()
}

pub(crate) fn data(flags: Flags, stream: u32, data: &[u8]) -> Vec<u8> {
    let mut frame = header(FrameKind::Data, flags, stream, data.len() as u32);
    frame.extend_from_slice(data);
    frame
}

pub(crate) fn window(flags: Flags, stream: u32, delta: u32) -> Vec<u8> {
    header(FrameKind::WindowUpdate, flags, stream, delta)
}

pub(crate) fn feed(end: &mut End, bytes: &[u8]) {
    let received = end.handle_bytes(Now::default(), bytes).expect("errors come later");
    assert_eq!(received.consumed, bytes.len());
}

/// The headers of what an end writes, and the data behind them.
pub(crate) fn frames(wire: &[u8]) -> Vec<(Header, Vec<u8>)> {
    let mut rest = wire;
    let mut frames = Vec::new();
    while let Some((bytes, behind)) = rest.split_first_chunk::<HEADER_BYTES>() {
        let header = Header::decode(bytes).expect("it is ours");
        let len = if header.kind == FrameKind::Data { header.length as usize } else { 0 };
        let (data, behind) = behind.split_at(len);
        frames.push((header, data.to_vec()));
        rest = behind;
    }
    assert!(rest.is_empty());
    frames
}

pub(crate) fn headers(end: &mut End) -> Vec<Header> {
    frames(&drain(end, Now::default())).into_iter().map(|(header, _)| header).collect()
}

pub(crate) fn only(end: &mut End) -> Header {
    let headers = headers(end);
    assert_eq!(headers.len(), 1, "{headers:?}");
    headers[0]
}

pub(crate) fn accepted(end: &mut End) -> StreamKey {
    let Poll::Ready(Ok(key)) = end.accept() else { panic!("a stream waits") };
    key
}

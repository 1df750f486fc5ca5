//! The protocol, one rule at a time.

use core::task::Poll;

use turbopump_core::frame::FrameError;
use turbopump_core::link::{Chunks, CloseReason, Machine};
use turbopump_core::stream::{
    Flags, FrameKind, HEADER_BYTES, Header, INITIAL_WINDOW_BYTES, Role, StreamError,
};
use turbopump_core::time::{Instant, Now};

use crate::frames::{
    SECOND_US, accepted, config, data, feed, frames, header, headers, only, server, window,
};
use crate::world::{bytes_at, drain, end, pool};

#[test]
fn syn_and_ack_travel_with_the_first_data() {
    let pool = pool();
    let config = config(|_| ());
    let mut client = end(&config, Role::Client, &pool, Now::default());
    let mut server = end(&config, Role::Server, &pool, Now::default());
    let key = client.open().unwrap();
    assert_eq!(client.write(key, b"hello"), Poll::Ready(Ok(5)));
    let wire = drain(&mut client, Now::default());
    assert_eq!(wire, b"\x00\x00\x00\x01\x00\x00\x00\x01\x00\x00\x00\x05hello");
    feed(&mut server, &wire);
    let theirs = accepted(&mut server);
    assert_eq!((theirs.id(), key.id()), (1, 1));
    assert_eq!(server.write(theirs, b"hi"), Poll::Ready(Ok(2)));
    server.finish(theirs).unwrap();
    let wire = drain(&mut server, Now::default());
    let headers: Vec<Header> = frames(&wire).into_iter().map(|(header, _)| header).collect();
    assert_eq!(headers[0].flags, Flags::ACK);
    assert_eq!(headers[1].flags, Flags::FIN);
    assert_eq!(client.status().unacknowledged, 1);
    feed(&mut client, &wire);
    assert_eq!(client.status().unacknowledged, 0);
}

#[test]
fn a_stream_that_is_opened_and_not_written_is_announced() {
    let mut client = end(&config(|_| ()), Role::Client, &pool(), Now::default());
    client.open().unwrap();
    client.open().unwrap();
    let headers = headers(&mut client);
    let ids: Vec<u32> = headers.iter().map(|header| header.stream).collect();
    assert_eq!(ids, [1, 3]);
    assert!(headers.iter().all(|header| {
        header.kind == FrameKind::WindowUpdate && header.flags == Flags::SYN && header.length == 0
    }));
}

#[test]
fn a_wider_window_is_granted_as_a_stream_begins() {
    let wide = config(|config| {
        config.window_bytes = 1_000_000;
        config.receive_budget_bytes = 8_000_000;
    });
    let mut client = end(&wide, Role::Client, &pool(), Now::default());
    client.open().unwrap();
    let header = only(&mut client);
    assert_eq!((header.flags, header.length), (Flags::SYN, 1_000_000 - INITIAL_WINDOW_BYTES));

    let mut server = end(&wide, Role::Server, &pool(), Now::default());
    feed(&mut server, &window(Flags::SYN, 1, 0));
    accepted(&mut server);
    let header = only(&mut server);
    assert_eq!((header.flags, header.length), (Flags::ACK, 1_000_000 - INITIAL_WINDOW_BYTES));
}

/// hashicorp/yamux loses data that comes in the frame that ends a stream.
#[test]
fn a_window_is_renewed_by_halves_as_it_is_read() {
    let mut server = server(|_| ());
    feed(&mut server, &window(Flags::SYN, 1, 0));
    let key = accepted(&mut server);
    assert_eq!(only(&mut server).flags, Flags::ACK);
    let half = INITIAL_WINDOW_BYTES as usize / 2;
    let bytes = bytes_at(1, true, 0, half * 2);
    feed(&mut server, &data(Flags::NONE, 1, &bytes));
    let mut into = vec![0; half - 1];
    assert_eq!(server.read(key, &mut into), Poll::Ready(Ok(half - 1)));
    assert!(headers(&mut server).is_empty());
    assert_eq!(server.read(key, &mut [0]), Poll::Ready(Ok(1)));
    let header = only(&mut server);
    assert_eq!((header.kind, header.length), (FrameKind::WindowUpdate, half as u32));
    // It is full again: one byte more breaks the rule.
    feed(&mut server, &data(Flags::NONE, 1, &bytes[..half]));
    assert_eq!(server.poll_close(), None);
    feed(&mut server, &data(Flags::NONE, 1, b"x"));
    assert!(matches!(server.poll_close(), Some(CloseReason::Frame(_))));
}

#[test]
fn a_stalled_stream_blocks_no_other() {
    let mut server = server(|_| ());
    for id in [1, 3] {
        feed(&mut server, &window(Flags::SYN, id, 0));
    }
    let (stalled, lively) = (accepted(&mut server), accepted(&mut server));
    let mut written = 0;
    // The whole window and all buffers behind it.
    while let Poll::Ready(taken) = server.write(stalled, &[7; 50_000]) {
        written += taken.unwrap();
        drain(&mut server, Now::default());
    }
    assert_eq!(written, INITIAL_WINDOW_BYTES as usize + 4 * 16_384);
    assert_eq!(server.write(lively, b"alive"), Poll::Ready(Ok(5)));
    let header = only(&mut server);
    assert_eq!((header.stream, header.length), (3, 5));
    feed(&mut server, &window(Flags::NONE, 1, 10));
    let header = only(&mut server);
    assert_eq!((header.stream, header.length), (1, 10));
}

#[test]
fn streams_take_turns_of_one_frame() {
    let mut server = server(|_| ());
    for id in [1, 3, 5] {
        feed(&mut server, &window(Flags::SYN, id, 0));
    }
    let keys = [accepted(&mut server), accepted(&mut server), accepted(&mut server)];
    headers(&mut server);
    for key in keys {
        assert_eq!(server.write(key, &[1; 60_000]), Poll::Ready(Ok(60_000)));
    }
    let frames = headers(&mut server);
    assert!(frames.iter().all(|frame| frame.length as usize <= 16_384));
    // However long they are: between two frames of one stream there is one of each other that has
    // something left.
    let streams: Vec<u32> = frames.iter().map(|frame| frame.stream).collect();
    for (at, pair) in streams.windows(3).enumerate().skip(1).take(6) {
        assert_eq!(alloc::collections::BTreeSet::from_iter(pair).len(), 3, "{at}: {streams:?}");
    }
}

#[test]
fn many_small_frames_share_one_write() {
    let mut client = end(&config(|_| ()), Role::Client, &pool(), Now::default());
    for _ in 0..8 {
        let key = client.open().unwrap();
        assert_eq!(client.write(key, &[0; 100]), Poll::Ready(Ok(100)));
    }
    let mut chunks = Chunks::new();
    client.poll_transmit(Now::default(), &mut chunks);
    assert_eq!((chunks.len(), chunks.bytes()), (1, 8 * 112));
}

#[test]
fn whole_buffers_are_written_as_they_are() {
    let pool = pool();
    let mut client = end(&config(|_| ()), Role::Client, &pool, Now::default());
    let key = client.open().unwrap();
    let mut lease = pool.acquire(16_384).unwrap();
    lease.extend_from_slice(&[9; 16_384]).unwrap();
    let chunk = lease.freeze();
    let address = chunk.as_ptr();
    client.write_chunk(key, chunk).unwrap();
    let mut chunks = Chunks::new();
    client.poll_transmit(Now::default(), &mut chunks);
    let pieces: Vec<&[u8]> = chunks.iter().collect();
    assert_eq!(pieces.len(), 2);
    assert_eq!((pieces[0].len(), pieces[1].as_ptr()), (HEADER_BYTES, address));
}

#[test]
fn what_breaks_the_protocol_ends_the_connection_and_says_where() {
    let syn = window(Flags::SYN, 1, 0);
    let too_much = header(FrameKind::Data, Flags::NONE, 1, INITIAL_WINDOW_BYTES + 1);
    let cases: [(&str, Vec<u8>, u64); 7] = [
        ("version", [&syn[..], b"\x01\0\0\0\0\0\0\x01\0\0\0\0"].concat(), 12),
        ("kind", [&syn[..], b"\x00\x09\0\0\0\0\0\x01\0\0\0\0"].concat(), 13),
        ("stream 0", [syn.clone(), data(Flags::NONE, 0, b"x")].concat(), 16),
        ("parity", [syn.clone(), window(Flags::SYN, 2, 0)].concat(), 16),
        ("open twice", [syn.clone(), syn.clone()].concat(), 16),
        ("beyond the window", [syn.clone(), too_much].concat(), 20),
        ("opened with too much", header(FrameKind::Data, Flags::SYN, 1, u32::MAX), 8),
    ];
    for (name, bytes, expected) in cases {
        let mut server = server(|_| ());
        feed(&mut server, &bytes);
        feed(&mut server, b"whatever follows");
        let header = *headers(&mut server).last().expect("the peer is told");
        assert_eq!((header.kind, header.length), (FrameKind::GoAway, 1), "{name}");
        let Some(CloseReason::Frame(error)) = server.poll_close() else {
            panic!("{name}: {:?}", server.poll_close())
        };
        assert!(matches!(error, FrameError::Malformed { .. }), "{name}");
        assert_eq!(error.at(), expected, "{name}: {error}");
        assert_eq!(server.poll_timeout(), None);
    }
}

#[test]
fn what_concerns_one_stream_costs_that_stream() {
    let after_fin = [data(Flags::FIN, 1, b"end"), data(Flags::NONE, 1, b"more")].concat();
    let overflow = window(Flags::NONE, 1, u32::MAX);
    for bytes in [after_fin, overflow] {
        let mut server = server(|_| ());
        feed(&mut server, &window(Flags::SYN, 1, 0));
        let key = accepted(&mut server);
        assert_eq!(only(&mut server).flags, Flags::ACK);
        feed(&mut server, &bytes);
        assert_eq!(only(&mut server).flags, Flags::RST);
        assert_eq!(server.read(key, &mut [0]), Poll::Ready(Err(StreamError::Violation)));
        assert_eq!(server.poll_close(), None);
    }
}

#[test]
fn frames_for_streams_that_are_gone_are_no_mistake() {
    let mut server = server(|_| ());
    feed(&mut server, &data(Flags::NONE, 77, b"late"));
    feed(&mut server, &window(Flags::NONE, 77, 5));
    feed(&mut server, &window(Flags::RST, 77, 0));
    feed(&mut server, &data(Flags::SYN.with(Flags::FIN), 1, b"still in step"));
    let key = accepted(&mut server);
    assert_eq!(server.read(key, &mut [0; 32]), Poll::Ready(Ok(13)));
    assert_eq!(server.counters().data_bytes_dropped, 4);
}

#[test]
fn unknown_flags_mean_nothing() {
    let mut server = server(|_| ());
    feed(&mut server, &data(Flags::from_bits(0xfff1), 1, b"x"));
    let key = accepted(&mut server);
    assert_eq!(server.read(key, &mut [0; 2]), Poll::Ready(Ok(1)));
    assert_eq!(server.poll_close(), None);
}

#[test]
fn pings_are_answered_and_measure_the_round_trip() {
    let mut server = server(|_| ());
    feed(&mut server, &header(FrameKind::Ping, Flags::SYN, 0, 0xdead_beef));
    let pong = only(&mut server);
    assert_eq!((pong.kind, pong.flags, pong.length), (FrameKind::Ping, Flags::ACK, 0xdead_beef));

    let config = config(|config| config.keep_alive_us = Some(SECOND_US));
    let mut client = end(&config, Role::Client, &pool(), Now::default());
    let at = |us| Now::new(Instant::from_us(us), 0);
    assert_eq!(client.poll_timeout(), Some(Instant::from_us(SECOND_US)));
    client.handle_timeout(at(SECOND_US));
    let ping = frames(&drain(&mut client, at(SECOND_US)))[0].0;
    assert_eq!((ping.kind, ping.flags), (FrameKind::Ping, Flags::SYN));
    let wrong = header(FrameKind::Ping, Flags::ACK, 0, ping.length.wrapping_add(1));
    client.handle_bytes(at(SECOND_US + 100), &wrong).unwrap();
    assert_eq!(client.status().round_trip_us, None);
    let right = header(FrameKind::Ping, Flags::ACK, 0, ping.length);
    client.handle_bytes(at(SECOND_US + 300), &right).unwrap();
    assert_eq!(client.status().round_trip_us, Some(300));
    assert_eq!(client.status().round_trip_smoothed_us, Some(300));
}

//! The protocol, one rule at a time.

use core::task::Poll;

use turbopump_core::frame::FrameError;
use turbopump_core::link::{Chunks, CloseReason, Machine};
use turbopump_core::pool::ClassLayout;
use turbopump_core::stream::{
    ConfigError, Flags, FrameKind, GoAwayReason, HEADER_BYTES, Header, INITIAL_WINDOW_BYTES,
    OpenRefused, Role, StreamConfig, StreamError, StreamEvent, StreamStorage, Streams,
};
use turbopump_core::time::{Instant, Now};

use crate::world::{End, World, bytes_at, drain, end, pool, pool_of};

const SECOND_US: u64 = 1_000_000;

fn config(change: impl FnOnce(&mut StreamConfig)) -> StreamConfig {
    let mut config = StreamConfig::default();
    config.streams_max = 8;
    config.keep_alive_us = None;
    change(&mut config);
    config
}

fn server(change: impl FnOnce(&mut StreamConfig)) -> End {
    end(&config(change), Role::Server, &pool(), Now::default())
}

fn header(kind: FrameKind, flags: Flags, stream: u32, length: u32) -> Vec<u8> {
    Header { kind, flags, stream, length }.encode().to_vec()
}

fn data(flags: Flags, stream: u32, data: &[u8]) -> Vec<u8> {
    let mut frame = header(FrameKind::Data, flags, stream, data.len() as u32);
    frame.extend_from_slice(data);
    frame
}

fn window(flags: Flags, stream: u32, delta: u32) -> Vec<u8> {
    header(FrameKind::WindowUpdate, flags, stream, delta)
}

fn feed(end: &mut End, bytes: &[u8]) {
    let received = end.handle_bytes(Now::default(), bytes).expect("errors come later");
    assert_eq!(received.consumed, bytes.len());
}

/// The headers of what an end writes, and the data behind them.
fn frames(wire: &[u8]) -> Vec<(Header, Vec<u8>)> {
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

fn headers(end: &mut End) -> Vec<Header> {
    frames(&drain(end, Now::default())).into_iter().map(|(header, _)| header).collect()
}

fn only(end: &mut End) -> Header {
    let headers = headers(end);
    assert_eq!(headers.len(), 1, "{headers:?}");
    headers[0]
}

fn accepted(end: &mut End) -> turbopump_core::stream::StreamKey {
    let Poll::Ready(Ok(key)) = end.accept() else { panic!("a stream waits") };
    key
}

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
fn the_end_of_a_stream_is_a_frame_of_its_own() {
    for len in [1, 1_000, 16_384, 70_000] {
        let mut client = end(&config(|_| ()), Role::Client, &pool(), Now::default());
        let (first, second) = (client.open().unwrap(), client.open().unwrap());
        for key in [first, second] {
            let taken = client.write(key, &vec![1; len]);
            assert!(matches!(taken, Poll::Ready(Ok(taken)) if taken > 0));
            client.finish(key).unwrap();
        }
        let headers = headers(&mut client);
        let ends = headers.iter().filter(|header| header.flags.has(Flags::FIN));
        let ends: Vec<_> = ends.map(|header| (header.kind, header.stream)).collect();
        assert_eq!(ends, [(FrameKind::WindowUpdate, 1), (FrameKind::WindowUpdate, 3)]);
    }
}

#[test]
fn half_closed_streams_go_on_in_the_other_direction() {
    let config = config(|_| ());
    let mut world = World::new([&config, &config]);
    world.sides[0].open();
    world.sides[0].write(0, 1_000, false);
    world.sides[0].finish(0);
    world.settle();
    world.sides[1].accept();
    assert_eq!(world.sides[1].read(0, 5_000, false), 1_000);
    assert_eq!(world.sides[1].read(0, 1, false), 0);
    assert!(world.sides[1].users[0].end_seen);
    world.sides[1].write(0, 100_000, false);
    world.settle();
    let mut read = 0;
    while !world.sides[0].users[0].read_blocked {
        read += world.sides[0].read(0, 3_000, false);
    }
    assert!(read >= 60_000);
    world.sides[1].finish(0);
    world.settle();
    world.sides[0].release(0);
    world.sides[1].release(0);
    world.settle();
    assert!(world.sides.iter().all(|side| side.machine.status().streams == 0));
}

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
fn reset_ends_both_directions_and_drops_what_was_unread() {
    let config = config(|_| ());
    let mut world = World::new([&config, &config]);
    world.sides[0].open();
    world.sides[0].write(0, 1_000, false);
    world.settle();
    world.sides[1].accept();
    assert_eq!(world.sides[1].machine.status().unread_bytes, 1_000);
    world.sides[1].read(0, 400, false);
    world.sides[0].reset(0);
    world.settle();
    let key = world.sides[1].users[0].key;
    let machine = &mut world.sides[1].machine;
    assert_eq!(machine.read(key, &mut [0]), Poll::Ready(Err(StreamError::Reset)));
    assert_eq!(machine.write(key, b"x"), Poll::Ready(Err(StreamError::Reset)));
    assert_eq!(machine.status().unread_bytes, 0);
    let key = world.sides[0].users[0].key;
    let machine = &mut world.sides[0].machine;
    assert_eq!(machine.read(key, &mut [0]), Poll::Ready(Err(StreamError::Aborted)));
}

#[test]
fn too_many_streams_are_refused() {
    let client = config(|_| ());
    let server = config(|config| config.accept_backlog = 2);
    let mut world = World::new([&client, &server]);
    for _ in 0..3 {
        world.sides[0].open();
    }
    world.settle();
    let status = |world: &World| world.sides[1].machine.status();
    assert_eq!(status(&world).waiting, 2);
    assert_eq!(world.sides[1].machine.counters().refused, 1);
    let key = world.sides[0].users[2].key;
    let refused = world.sides[0].machine.read(key, &mut [0]);
    assert_eq!(refused, Poll::Ready(Err(StreamError::Refused)));
    // The place is free again for another one.
    world.sides[0].release(2);
    assert!(world.sides[1].accept());
    world.sides[0].open();
    world.settle();
    assert_eq!(status(&world).waiting, 2);
}

#[test]
fn own_streams_are_limited_until_the_peer_accepts_them() {
    let client = config(|config| config.unacknowledged_max = 1);
    let server = config(|_| ());
    let mut world = World::new([&client, &server]);
    assert!(world.sides[0].open());
    let refused = world.sides[0].machine.open();
    assert_eq!(refused, Err(OpenRefused::Unacknowledged { unacknowledged_max: 1 }));
    world.transmit(0, 1);
    world.receive(1, usize::MAX);
    world.sides[1].accept();
    world.transmit(1, 1);
    let now = world.now;
    let wire: Vec<u8> = world.wires[0].drain(..).collect();
    world.sides[0].machine.handle_bytes(now, &wire).unwrap();
    assert_eq!(world.sides[0].machine.poll_event(), Some(StreamEvent::Open));
    assert_eq!(world.sides[0].machine.poll_event(), None);
    assert!(world.sides[0].open());
}

#[test]
fn all_places_in_use_refuse_either_side() {
    let config = config(|config| config.streams_max = 1);
    let mut world = World::new([&config, &config]);
    assert!(world.sides[0].open());
    assert_eq!(world.sides[0].machine.open(), Err(OpenRefused::Streams { streams_max: 1 }));
    world.sides[1].open();
    world.settle();
    assert_eq!(world.sides[0].machine.counters().refused, 1);
    assert_eq!(world.sides[1].machine.counters().refused, 1);
}

#[test]
fn a_peer_that_opens_faster_than_it_can_be_refused_is_cut_off() {
    let mut server = server(|config| {
        config.accept_backlog = 0;
        config.refusals_max = 4;
    });
    for id in [1, 3, 5, 7] {
        feed(&mut server, &window(Flags::SYN, id, 0));
    }
    assert_eq!(server.poll_close(), None);
    let refused: Vec<Flags> = headers(&mut server).iter().map(|header| header.flags).collect();
    assert_eq!(refused, [Flags::RST; 4]);
    for id in [1, 3, 5, 7, 9] {
        feed(&mut server, &window(Flags::SYN, id, 0));
    }
    assert!(matches!(server.poll_close(), Some(CloseReason::Frame(_))));
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
fn going_away_lets_streams_end_and_refuses_more() {
    let config = config(|_| ());
    let mut world = World::new([&config, &config]);
    world.sides[0].open();
    world.sides[0].write(0, 10, false);
    world.settle();
    world.sides[1].accept();
    world.sides[1].machine.go_away(GoAwayReason::Normal);
    world.settle();
    assert_eq!(world.sides[1].closed, None, "a stream is open");
    let refused = world.sides[0].machine.open();
    assert_eq!(refused, Err(OpenRefused::GoAway(GoAwayReason::Normal)));
    assert_eq!(world.sides[0].read(0, 5, false), 0);
    assert_eq!(world.sides[1].read(0, 50, false), 10);
    for side in [0, 1] {
        world.sides[side].finish(0);
    }
    world.settle();
    for side in [0, 1] {
        world.sides[side].release(0);
    }
    world.settle();
    assert_eq!(world.sides[1].closed, Some(CloseReason::Local));
    assert_eq!(world.sides[0].closed, Some(CloseReason::Peer));
}

#[test]
fn streams_that_come_after_going_away_are_refused() {
    let mut server = server(|_| ());
    server.go_away(GoAwayReason::Normal);
    feed(&mut server, &data(Flags::SYN, 1, b"too late"));
    let headers = headers(&mut server);
    assert_eq!(headers.len(), 2);
    assert!(headers.iter().any(|header| header.flags == Flags::RST && header.stream == 1));
    assert!(headers.iter().any(|header| header.kind == FrameKind::GoAway && header.length == 0));
}

#[test]
fn a_peer_that_failed_ends_the_connection() {
    for (code, reason) in [(1, GoAwayReason::ProtocolError), (2, GoAwayReason::InternalError)] {
        let mut server = server(|_| ());
        feed(&mut server, &data(Flags::SYN, 1, b"last words"));
        feed(&mut server, &header(FrameKind::GoAway, Flags::NONE, 0, code));
        assert_eq!(server.poll_close(), Some(CloseReason::Peer));
        assert_eq!(server.status().go_away_received, Some(reason));
        // What had arrived can still be read.
        let key = accepted(&mut server);
        assert_eq!(server.read(key, &mut [0; 32]), Poll::Ready(Ok(10)));
        let lost = StreamError::Closed(CloseReason::Peer);
        assert_eq!(server.read(key, &mut [0; 32]), Poll::Ready(Err(lost)));
        assert_eq!(server.accept(), Poll::Ready(Err(CloseReason::Peer)));
    }
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

#[test]
fn a_peer_that_is_silent_after_a_ping_is_gone() {
    let config = config(|config| {
        config.keep_alive_us = Some(30 * SECOND_US);
        config.keep_alive_timeout_us = 10 * SECOND_US;
    });
    let mut client = end(&config, Role::Client, &pool(), Now::default());
    let key = client.open().unwrap();
    let at = |us| Now::new(Instant::from_us(us), 0);
    client.handle_timeout(at(30 * SECOND_US));
    drain(&mut client, at(30 * SECOND_US));
    // Anything is a sign of life, even half a header.
    client.handle_bytes(at(35 * SECOND_US), &[0]).unwrap();
    assert_eq!(client.poll_timeout(), Some(Instant::from_us(45 * SECOND_US)));
    client.handle_timeout(at(45 * SECOND_US - 1));
    assert_eq!(client.poll_close(), None);
    client.handle_timeout(at(45 * SECOND_US));
    assert_eq!(client.poll_close(), Some(CloseReason::Idle));
    let lost = StreamError::Closed(CloseReason::Idle);
    assert_eq!(client.read(key, &mut [0]), Poll::Ready(Err(lost)));
}

#[test]
fn a_flood_of_pings_is_not_answered_in_full() {
    let mut server = server(|_| ());
    let flood = header(FrameKind::Ping, Flags::SYN, 0, 1).repeat(1_000);
    feed(&mut server, &flood);
    assert_eq!(headers(&mut server).len(), 8);
    assert_eq!(server.counters().pings_dropped, 992);
}

#[test]
fn a_released_stream_waits_for_the_peer_for_a_while() {
    let config = config(|config| config.linger_us = SECOND_US);
    let mut world = World::new([&config, &config]);
    world.sides[0].open();
    world.sides[0].write(0, 50_000, false);
    world.sides[0].finish(0);
    world.sides[0].release(0);
    world.settle();
    world.sides[1].accept();
    let mut read = 0;
    while !world.sides[1].users[0].end_seen {
        read += world.sides[1].read(0, 9_000, false);
    }
    assert_eq!(read, 50_000, "it was all sent");
    assert_eq!(world.sides[0].machine.status().streams, 1);
    world.advance(SECOND_US);
    world.settle();
    assert_eq!(world.sides[0].machine.status().streams, 0);
    let key = world.sides[1].users[0].key;
    assert_eq!(world.sides[1].machine.write(key, b"x"), Poll::Ready(Err(StreamError::Reset)));
}

#[test]
fn beyond_the_budget_no_stream_is_admitted_and_no_window_renewed() {
    // Half of it is one window.
    let mut server = server(|config| config.receive_budget_bytes = 524_288);
    let whole = bytes_at(1, true, 0, INITIAL_WINDOW_BYTES as usize);
    // The third is idle, but may be sent a whole window at any time.
    feed(&mut server, &window(Flags::SYN, 9, 0));
    accepted(&mut server);
    feed(&mut server, &data(Flags::SYN, 1, &whole));
    feed(&mut server, &data(Flags::SYN, 3, &whole[..1]));
    let (first, second) = (accepted(&mut server), accepted(&mut server));
    headers(&mut server);
    feed(&mut server, &window(Flags::SYN, 5, 0));
    assert_eq!(only(&mut server).flags, Flags::RST);
    let unread_bytes = INITIAL_WINDOW_BYTES as usize + 1;
    assert_eq!(server.open(), Err(OpenRefused::Budget { unread_bytes }));

    // The second one's window is not renewed, as long as the first is not read.
    feed(&mut server, &data(Flags::NONE, 3, &whole[..200_000]));
    let mut into = vec![0; 200_001];
    assert_eq!(server.read(second, &mut into), Poll::Ready(Ok(200_001)));
    assert_eq!(server.status().unread_bytes, INITIAL_WINDOW_BYTES as usize);
    let renewed = only(&mut server);
    assert_eq!((renewed.stream, renewed.length), (3, 200_001));
    feed(&mut server, &data(Flags::NONE, 3, &whole[..200_000]));
    assert_eq!(server.read(second, &mut into[..150_000]), Poll::Ready(Ok(150_000)));
    assert!(headers(&mut server).is_empty(), "more than half of the budget is unread");
    assert_eq!(server.read(first, &mut into), Poll::Ready(Ok(200_001)));
    let renewed: Vec<u32> = headers(&mut server).iter().map(|header| header.stream).collect();
    assert_eq!(renewed.len(), 2, "the one that was read, and the one that waited");
    while let Some(event) = server.poll_event() {
        assert_eq!(event, StreamEvent::Open);
    }
    assert!(server.open().is_ok());
}

#[test]
fn beyond_all_of_the_budget_the_stream_with_most_unread_is_reset() {
    let mut server = server(|config| config.receive_budget_bytes = 300_000);
    let whole = bytes_at(1, true, 0, INITIAL_WINDOW_BYTES as usize);
    feed(&mut server, &data(Flags::SYN, 1, &whole[..100_000]));
    feed(&mut server, &data(Flags::SYN, 3, &whole[..1_000]));
    let (hog, modest) = (accepted(&mut server), accepted(&mut server));
    headers(&mut server);
    feed(&mut server, &data(Flags::NONE, 1, &whole[..150_000]));
    feed(&mut server, &data(Flags::NONE, 3, &whole[..60_000]));
    assert_eq!(server.read(hog, &mut [0]), Poll::Ready(Err(StreamError::Overrun)));
    assert_eq!(server.read(modest, &mut [0; 1_000]), Poll::Ready(Ok(1_000)));
    assert_eq!(server.status().unread_bytes, 60_000);
    assert!(headers(&mut server).iter().any(|h| h.flags == Flags::RST && h.stream == 1));
    assert_eq!(server.counters().overruns, 1);
}

#[test]
fn a_pool_without_buffers_costs_the_stream_and_delays_writers() {
    let pool = pool_of(&[ClassLayout::new(16_384, 3)]);
    let config = config(|_| ());
    let mut server = end(&config, Role::Server, &pool, Now::default());
    let bytes = bytes_at(1, true, 0, 60_000);
    feed(&mut server, &window(Flags::SYN, 3, 0));
    feed(&mut server, &window(Flags::SYN, 1, 0));
    let (lively, poor) = (accepted(&mut server), accepted(&mut server));
    feed(&mut server, &data(Flags::NONE, 1, &bytes));
    assert_eq!(server.read(poor, &mut [0]), Poll::Ready(Err(StreamError::Overrun)));

    let taken: Vec<_> = (0..3).map(|_| pool.acquire(1).unwrap()).collect();
    assert_eq!(server.write(lively, b"later"), Poll::Pending);
    let mut chunks = Chunks::new();
    server.poll_transmit(Now::default(), &mut chunks);
    assert!(chunks.is_empty());
    let again = server.poll_timeout().expect("it tries again");
    assert_eq!(again, Instant::from_us(1_000));
    drop(taken);
    server.handle_timeout(Now::new(again, 0));
    let event = server.poll_event();
    assert!(matches!(event, Some(StreamEvent::Stream { key, .. }) if key == lively), "{event:?}");
    assert_eq!(server.write(lively, b"later"), Poll::Ready(Ok(5)));
    assert!(headers(&mut server).len() >= 2);
}

#[test]
fn a_lost_connection_ends_everything_but_what_had_arrived() {
    let config = config(|_| ());
    let mut world = World::new([&config, &config]);
    world.sides[0].open();
    world.sides[0].open();
    world.sides[0].write(0, 500, false);
    world.sides[0].finish(0);
    world.settle();
    world.sides[1].accept();
    world.sides[1].write(0, 70_000, false);
    let machine = &mut world.sides[1].machine;
    machine.handle_closed(world.now, CloseReason::Read);
    let key = world.sides[1].users[0].key;
    let machine = &mut world.sides[1].machine;
    assert_eq!(machine.read(key, &mut [0; 900]), Poll::Ready(Ok(500)));
    assert_eq!(machine.read(key, &mut [0; 900]), Poll::Ready(Ok(0)), "it had finished");
    let lost = StreamError::Closed(CloseReason::Read);
    assert_eq!(machine.write(key, b"x"), Poll::Ready(Err(lost)));
    assert_eq!(machine.flush(key), Poll::Ready(Err(lost)));
    assert_eq!(machine.accept(), Poll::Ready(Err(CloseReason::Read)));
    assert_eq!(machine.open(), Err(OpenRefused::Closed(CloseReason::Read)));
    machine.release(key);
    assert_eq!(machine.status().unread_bytes, 0);
    assert_eq!(world.sides[1].pool.stats().in_use, 0);
}

#[test]
fn closing_says_goodbye_first() {
    let mut client = end(&config(|_| ()), Role::Client, &pool(), Now::default());
    let key = client.open().unwrap();
    assert_eq!(client.write(key, b"x"), Poll::Ready(Ok(1)));
    client.close();
    let headers = headers(&mut client);
    assert_eq!(headers.last().map(|header| header.kind), Some(FrameKind::GoAway));
    assert_eq!(client.poll_close(), Some(CloseReason::Local));
}

#[test]
fn impossible_limits_are_named() {
    let check = |change: fn(&mut StreamConfig)| config(change).check();
    assert!(matches!(
        check(|config| config.streams_max = 0),
        Err(ConfigError::Streams { streams_max: 0, .. })
    ));
    assert!(matches!(
        check(|config| config.window_bytes = 1),
        Err(ConfigError::Window { window_bytes: 1 })
    ));
    assert!(matches!(
        check(|config| config.segment_bytes = 1_023),
        Err(ConfigError::Segment { segment_bytes: 1_023, min: 1_024, .. })
    ));
    assert!(matches!(
        check(|config| config.receive_budget_bytes = 5),
        Err(ConfigError::Budget { receive_budget_bytes: 5, .. })
    ));
    let small = config(|config| config.streams_max = 4);
    let large = config(|config| config.streams_max = 5);
    let storage = StreamStorage::on_heap(&small);
    let refused = Streams::new(large, Role::Client, storage, pool(), Now::default(), 1).err();
    assert_eq!(refused, Some(ConfigError::Storage { piece: "places", len: 4, needed: 5 }));
}

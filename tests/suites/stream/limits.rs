//! What is limited, and what is done to those who go beyond.

use core::task::Poll;

use turbopump_core::link::{Chunks, CloseReason, Machine};
use turbopump_core::pool::ClassLayout;
use turbopump_core::stream::{
    ConfigError, Flags, FrameKind, INITIAL_WINDOW_BYTES, OpenRefused, Role, StreamConfig,
    StreamError, StreamEvent, StreamStorage, Streams,
};
use turbopump_core::time::{Instant, Now};

use crate::frames::{accepted, config, data, feed, header, headers, only, server, window};
use crate::world::{World, bytes_at, end, pool, pool_of};

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
fn a_flood_of_pings_is_not_answered_in_full() {
    let mut server = server(|_| ());
    let flood = header(FrameKind::Ping, Flags::SYN, 0, 1).repeat(1_000);
    feed(&mut server, &flood);
    assert_eq!(headers(&mut server).len(), 8);
    assert_eq!(server.counters().pings_dropped, 992);
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

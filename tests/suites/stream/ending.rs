//! How streams and their connection end.

use core::task::Poll;

use turbopump_core::link::{CloseReason, Machine};
use turbopump_core::stream::{Flags, FrameKind, GoAwayReason, OpenRefused, Role, StreamError};
use turbopump_core::time::{Instant, Now};

use crate::frames::{SECOND_US, accepted, config, data, feed, header, headers, server, window};
use crate::world::{End, World, drain, end, pool};

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

/// Two ends that say goodbye race: one closes the transport while the other still writes.
#[test]
fn a_connection_that_breaks_when_nothing_is_left_on_it_has_ended_well() {
    fn closed_after(act: fn(&mut End), reason: CloseReason) -> Option<CloseReason> {
        let mut server = server(|_| ());
        feed(&mut server, &data(Flags::SYN, 1, b"question"));
        act(&mut server);
        server.handle_closed(Now::default(), reason);
        server.closed()
    }
    fn refuse(server: &mut End) {
        let key = accepted(server);
        server.release(key);
    }
    fn told(server: &mut End) {
        feed(server, &header(FrameKind::GoAway, Flags::NONE, 0, 0));
    }
    for reason in [CloseReason::Read, CloseReason::Write] {
        // The peer may not have been told of the reset.
        let local = |server: &mut End| {
            refuse(server);
            server.go_away(GoAwayReason::Normal);
            told(server);
        };
        assert_eq!(closed_after(local, reason), Some(CloseReason::Local));
        let peer = |server: &mut End| {
            refuse(server);
            told(server);
        };
        assert_eq!(closed_after(peer, reason), Some(CloseReason::Peer));

        let announced = |server: &mut End| {
            refuse(server);
            feed(server, &window(Flags::SYN, 3, 0));
            server.go_away(GoAwayReason::Normal);
        };
        assert_eq!(closed_after(announced, reason), Some(CloseReason::Local));

        // Without goodbye, or with something lost, it has not.
        assert_eq!(closed_after(refuse, reason), Some(reason));
        assert_eq!(closed_after(told, reason), Some(reason));
        let unsent = |server: &mut End| {
            let key = accepted(server);
            assert_eq!(server.write(key, b"answer"), Poll::Ready(Ok(6)));
            server.finish(key).unwrap();
            server.release(key);
            told(server);
        };
        assert_eq!(closed_after(unsent, reason), Some(reason));
    }
}

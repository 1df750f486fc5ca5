//! The drivers over transports that pend, cut everything to single bytes, stall and fail.
//!
//! A task is polled only when it was woken, and time passes only when nobody can do anything: a
//! lost wake-up stops the test, and so does a task that spins.

mod executor;
mod link;
mod pressure;
mod transport;

use std::cell::{Cell, RefCell};
use std::collections::HashSet;
use std::rc::Rc;

use turbopump_core::driver::blocking::{BlockingLink, Timed, TryRead, TryWrite, WhenReady};
use turbopump_core::driver::{LinkLimits, Plain, run_link};
use turbopump_core::frame::FrameError;
use turbopump_core::link::{CloseReason, Machine as _, NoAnswer, RequestConfig, SubmitRefused};
use turbopump_core::random::SplitMix64;
use turbopump_core::time::{Instant, Now};

use executor::Executor;
use link::{Buffers, HEAD, Link, buffers, echo, machine};
use transport::{Faults, Half, Pipe, Polled};

const WINDOW_BYTES: usize = 2_500;

/// Sizes at which bodies go ways of their own, small enough to be moved byte by byte.
fn config() -> RequestConfig {
    let mut config = RequestConfig::default();
    (config.batch_bytes, config.copy_bytes_max, config.window_bytes) = (4_096, 2_000, 2_000);
    config
}

/// A link that is driven over two pipes, and whom the peer has seen.
struct World {
    executor: Executor,
    buffers: Buffers,
    link: Link,
    outgoing: Pipe,
    incoming: Pipe,
    seen: Rc<RefCell<HashSet<u32>>>,
    closed: Rc<Cell<Option<(CloseReason, u64)>>>,
}

impl World {
    fn new(places: usize, outgoing: Faults, incoming: Faults) -> Self {
        Self::with_window(places, outgoing, incoming, WINDOW_BYTES)
    }

    fn with_window(places: usize, outgoing: Faults, incoming: Faults, window: usize) -> Self {
        let mut executor = Executor::new();
        let buffers = buffers();
        let link = Link::new(machine(&buffers, places, &config()));
        let (outgoing, incoming) = (Pipe::new(outgoing), Pipe::new(incoming));
        let closed = Rc::new(Cell::new(None));
        let (reader, writer) = (Half(incoming.clone()), Plain(Half(outgoing.clone())));
        let (shared, clock, ended) = (link.clone(), executor.clock(), closed.clone());
        executor.spawn(async move {
            let mut window = vec![0; window];
            let mut limits = LinkLimits::default();
            limits.write_timeout_us = 5_000_000;
            let link = &*shared.0;
            let reason = run_link(link, reader, writer, &mut window, &*clock, &limits).await;
            ended.set(Some((reason, clock.now_ms())));
        });
        Self { executor, buffers, link, outgoing, incoming, seen: Rc::default(), closed }
    }

    fn spawn_echo(&mut self) {
        let (reader, writer) = (Half(self.outgoing.clone()), Half(self.incoming.clone()));
        self.executor.spawn(echo(reader, writer, self.seen.clone()));
    }

    fn reason(&self) -> Option<CloseReason> {
        self.closed.get().map(|(reason, _)| reason)
    }

    /// Nothing is left behind.
    fn check_empty(self) {
        let shell = self.link.0.borrow();
        assert_eq!(shell.machine.free_places(), shell.machine.in_flight_max());
        assert_eq!(shell.machine.in_flight(), 0);
        drop(shell);
        drop(self.executor);
        drop(self.link);
        assert_eq!(self.buffers.stats().in_use, 0);
    }
}

/// Bodies of all sizes: none, small, whole batches, those of their own.
fn body(random: &mut SplitMix64) -> Vec<u8> {
    let len_max = [1, 50, 1_500, 9_000][random.below(4) as usize];
    let len = random.below(len_max) as usize;
    let first = random.next_u64() as u8;
    (0..len).map(|index| first.wrapping_add(index as u8)).collect()
}

#[test]
fn every_request_is_answered_whatever_the_transport_does() {
    for piece in [1, 1_000, usize::MAX] {
        for pend_every in [0, 1, 3] {
            for capacity in [64, 65_536] {
                let faults = Faults { piece, pend_every, capacity, ..Faults::default() };
                let mut world = World::new(4, faults, faults);
                world.spawn_echo();
                let left = Rc::new(Cell::new(6));
                for task in 0..6 {
                    let (link, left) = (world.link.clone(), left.clone());
                    world.executor.spawn(async move {
                        let mut random = SplitMix64::new(task);
                        for _ in 0..6 {
                            let body = body(&mut random);
                            let answer = link.request(&body, None).await.unwrap().unwrap();
                            assert!(answer[8..] == body, "{faults:?}");
                        }
                        left.set(left.get() - 1);
                        if left.get() == 0 {
                            link.close();
                        }
                    });
                }
                world.executor.run();
                assert_eq!(world.reason(), Some(CloseReason::Local), "{faults:?}");
                assert_eq!(world.closed.get().unwrap().1, 0, "no timer was needed");
                let counters = world.link.0.borrow().machine.counters();
                assert_eq!((counters.answered.get(), counters.late.get()), (36, 0));
                assert_eq!(counters.bytes_in, counters.bytes_out);
                world.check_empty();
            }
        }
    }
}

/// Runs requests until the link fails, and checks that nobody was told a lie.
fn run_until_failure(outgoing: Faults, incoming: Faults) -> CloseReason {
    let mut world = World::new(4, outgoing, incoming);
    world.spawn_echo();
    for task in 0..6 {
        let (link, seen) = (world.link.clone(), world.seen.clone());
        world.executor.spawn(async move {
            let mut random = SplitMix64::new(task);
            while let Some(outcome) = link.request(&body(&mut random), None).await {
                match outcome {
                    Ok(_) => {}
                    Err((Some(id), NoAnswer::Closed { maybe_sent: false, .. })) => {
                        assert!(!seen.borrow().contains(&id), "the peer has seen it");
                    }
                    Err((_, NoAnswer::Closed { maybe_sent: true, .. })) => {}
                    Err((_, error)) => panic!("{error}"),
                }
            }
        });
    }
    world.executor.run();
    let reason = world.reason().expect("the link ends");
    assert_eq!(world.link.0.borrow().machine.closed(), Some(reason));
    world.check_empty();
    reason
}

#[test]
fn a_transport_that_fails_after_any_number_of_bytes_ends_every_request_honestly() {
    for bytes in (0..60).chain((60..60_000).step_by(997)) {
        for piece in [7, usize::MAX] {
            let faults = Faults { piece, ..Faults::default() };
            let writing = Faults { fail_write_after: bytes, ..faults };
            assert_eq!(run_until_failure(writing, faults), CloseReason::Write);
            let reading = Faults { fail_read_after: bytes, ..faults };
            assert_eq!(run_until_failure(faults, reading), CloseReason::Read);
        }
    }
}

/// The link closes because of these bytes from the peer, and a request that waits is told why.
fn closed_by(bytes: &[u8], end: bool, window: usize) -> CloseReason {
    let mut world = World::with_window(4, Faults::default(), Faults::default(), window);
    let told = Rc::new(Cell::new(None));
    let (link, outcome) = (world.link.clone(), told.clone());
    world.executor.spawn(async move {
        let (_, error) = link.request(b"", None).await.unwrap().unwrap_err();
        outcome.set(Some(error));
    });
    while world.executor.turn() {}
    world.incoming.push(bytes);
    if end {
        world.incoming.close();
    }
    world.executor.run();
    let reason = world.reason().unwrap();
    assert!(matches!(told.get(), Some(NoAnswer::Closed { reason: told, .. }) if told == reason));
    world.check_empty();
    reason
}

#[test]
fn the_end_of_a_stream_and_bad_frames_are_told_apart() {
    // An answer to nobody is dropped.
    let frame = b"\0\0\0\x04\xff\xff\xff\xff";
    assert_eq!(closed_by(frame, true, 100), CloseReason::Peer);
    assert_eq!(closed_by(&frame[..7], true, 100), CloseReason::Read);
    let bad = closed_by(b"\0\0\0\x04\xff\xff\xff\xff\0\0\0\x03abcd", false, 100);
    let expected = FrameError::TooShort { at: 8, frame_bytes: 7, frame_bytes_min: 8 };
    assert_eq!(bad, CloseReason::Frame(expected));
    // It is within the machine's limit, but not within the window.
    let beyond = closed_by(&[&b"\0\0\0\x40\0\0\0\0"[..], &[0; 92]].concat(), false, 60);
    assert!(matches!(beyond, CloseReason::Frame(FrameError::Oversize { .. })), "{beyond:?}");
}

#[test]
fn requests_time_out_when_their_time_has_come_and_not_by_polling() {
    let mut world = World::new(8, Faults::default(), Faults::default());
    let clock = world.executor.clock();
    let done = Rc::new(RefCell::new(Vec::new()));
    for timeout_ms in [700, 20, 300] {
        let (link, clock, done) = (world.link.clone(), clock.clone(), done.clone());
        world.executor.spawn(async move {
            let outcome = link.request(b"nobody answers", Some(timeout_ms * 1_000)).await;
            let (_, error) = outcome.unwrap().unwrap_err();
            assert_eq!(error, NoAnswer::TimedOut { maybe_sent: true });
            done.borrow_mut().push((timeout_ms, clock.now_ms()));
            if timeout_ms == 700 {
                link.close();
            }
        });
    }
    world.executor.run();
    assert_eq!(*done.borrow(), [(20, 20), (300, 300), (700, 700)]);
    assert_eq!(world.reason(), Some(CloseReason::Local));
    assert!(world.executor.polls < 30, "{} polls", world.executor.polls);
    world.check_empty();
}

#[test]
fn a_peer_that_takes_nothing_is_given_up_and_requests_time_out_in_the_meantime() {
    let stuck = Faults { capacity: 10, ..Faults::default() };
    let mut world = World::new(4, stuck, Faults::default());
    let clock = world.executor.clock();
    let told = Rc::new(RefCell::new(Vec::new()));
    for timeout_ms in [100, 60_000] {
        let (link, clock, told) = (world.link.clone(), clock.clone(), told.clone());
        world.executor.spawn(async move {
            let outcome = link.request(&[0; 100], Some(timeout_ms * 1_000)).await;
            told.borrow_mut().push((clock.now_ms(), outcome.unwrap().unwrap_err().1));
        });
    }
    world.executor.run();
    let reason = CloseReason::WriteTimeout;
    assert_eq!(world.closed.get(), Some((reason, 5_000)));
    let maybe_sent = true;
    let timed_out = (100, NoAnswer::TimedOut { maybe_sent });
    assert_eq!(*told.borrow(), [timed_out, (5_000, NoAnswer::Closed { reason, maybe_sent })]);
    world.check_empty();
}

#[test]
fn a_peer_that_never_stops_sending_does_not_keep_the_writer_from_writing() {
    let mut world = World::new(4, Faults::default(), Faults::default());
    let noise = b"\0\0\0\x04\xff\xff\xff\xff".repeat(1_000);
    let (incoming, outgoing) = (world.incoming.clone(), world.outgoing.clone());
    let link = world.link.clone();
    world.executor.spawn(async move {
        let answered = link.request(b"x", None).await.unwrap();
        assert!(answered.is_ok());
        link.close();
    });
    // Feeds the reader whenever it has taken something, and answers only when it has seen all.
    world.executor.spawn(async move {
        let mut from_link = Half(outgoing);
        let mut request = [0; 9];
        let mut filled = 0;
        let mut reading = Box::pin(async {
            use embedded_io_async::Read;
            while filled < request.len() {
                filled += from_link.read(&mut request[filled..]).await.unwrap();
            }
        });
        let mut rounds = 0;
        std::future::poll_fn(|context| {
            incoming.push(&noise);
            rounds += 1;
            assert!(rounds < 100, "the request is not written");
            context.waker().wake_by_ref();
            reading.as_mut().poll(context)
        })
        .await;
        drop(reading);
        incoming.push(&request);
    });
    world.executor.run();
    assert_eq!(world.reason(), Some(CloseReason::Local));
    world.check_empty();
}

/// A super-loop with one link against the same peer.
fn super_loop<T>(faults: Faults, transport: impl FnOnce(Polled) -> T)
where
    T: TryRead + TryWrite,
{
    let buffers = buffers();
    let mut requests = machine(&buffers, 4, &config());
    let (outgoing, incoming) = (Pipe::new(faults), Pipe::new(faults));
    let mut window = vec![0; WINDOW_BYTES];
    let mut link = BlockingLink::new(&mut window, LinkLimits::default());
    let mut transport =
        transport(Polled { incoming: incoming.clone(), outgoing: outgoing.clone() });
    let (mut executor, seen) = (Executor::new(), Rc::default());
    executor.spawn(echo(Half(outgoing), Half(incoming), seen));
    let mut random = SplitMix64::new(1);
    let (mut sent, mut answered) = (Vec::new(), 0);
    let now = Now::default();
    let reason = loop {
        while sent.len() < 20 {
            let body = body(&mut random);
            match requests.submit(&HEAD, &body, None) {
                Ok(ticket) => sent.push((ticket, body)),
                Err(SubmitRefused::Full { .. } | SubmitRefused::Backlog { .. }) => break,
                Err(refused) => panic!("{refused}"),
            }
        }
        match link.turn(&mut requests, &mut transport, now) {
            Ok(turn) => assert_eq!(turn.until, requests.poll_timeout()),
            Err(reason) => break reason,
        }
        while let Some(ticket) = requests.poll_completed() {
            let answer = requests.take(ticket).unwrap().unwrap();
            let (_, body) = sent.iter().find(|(sent, _)| *sent == ticket).unwrap();
            assert!(answer[8..] == body[..]);
            answered += 1;
            if answered == 20 {
                requests.close();
            }
        }
        executor.turn();
    };
    assert_eq!((reason, answered), (CloseReason::Local, 20), "{faults:?}");
    assert_eq!(link.turn(&mut requests, &mut transport, now), Err(CloseReason::Local));
    assert_eq!(requests.closed(), Some(CloseReason::Local));
    drop(requests);
    drop(link);
    assert_eq!(buffers.stats().in_use, 0);
}

#[test]
fn a_super_loop_gets_its_answers_too() {
    for piece in [1, 100, usize::MAX] {
        for pend_every in [0, 1, 3] {
            let faults = Faults { piece, pend_every, ..Faults::default() };
            super_loop(faults, Timed);
            super_loop(faults, WhenReady);
        }
    }
}

#[test]
fn a_super_loop_gives_up_a_peer_that_takes_nothing() {
    let buffers = buffers();
    let mut requests = machine(&buffers, 4, &config());
    let stuck = Pipe::new(Faults { capacity: 3, ..Faults::default() });
    let mut transport = Timed(Polled { incoming: Pipe::default(), outgoing: stuck });
    let mut window = [0; 64];
    let mut link = BlockingLink::new(&mut window, LinkLimits::default());
    let at = |ms| Now::new(Instant::from_ms(ms), 0);

    let idle = link.turn(&mut requests, &mut transport, at(0)).unwrap();
    assert!(idle.is_idle() && idle.until.is_none());
    let ticket = requests.submit(&HEAD, b"", Some(50_000)).unwrap();
    let turn = link.turn(&mut requests, &mut transport, at(10)).unwrap();
    assert_eq!((turn.written, turn.until), (3, Some(Instant::from_ms(60))));
    let turn = link.turn(&mut requests, &mut transport, at(60)).unwrap();
    assert_eq!((turn.written, turn.until), (0, Some(Instant::from_ms(30_010))));
    assert!(matches!(requests.take(ticket), Some(Err(NoAnswer::TimedOut { maybe_sent: true }))));
    let end = link.turn(&mut requests, &mut transport, at(30_010));
    assert_eq!(end, Err(CloseReason::WriteTimeout));
}

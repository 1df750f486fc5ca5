extern crate alloc;

use alloc::string::ToString;
use alloc::vec;
use alloc::vec::Vec;

use super::{
    NoAnswer, RequestConfig, RequestStorage, Requests, RequestsRefused, SubmitRefused, Ticket,
};
use crate::frame::{FrameError, LengthField};
use crate::link::{Chunks, CloseReason, IdField, Machine, TimeoutRule};
use crate::pool::{ClassLayout, Heap, Layout, OwnedRef, Pool};
use crate::time::{Instant, Now};

type Buffers = OwnedRef<Pool<'static>>;
type Link = Requests<'static, IdField, Buffers>;

const HEAD: [u8; 9] = [0; 9];

fn pool(classes: &[ClassLayout]) -> Buffers {
    OwnedRef::new(Pool::new(&Layout::new(classes).unwrap(), Heap).unwrap())
}

fn large_pool() -> Buffers {
    pool(&[
        ClassLayout::new(64, 64),
        ClassLayout::new(4_096, 8),
        ClassLayout::new(65_536, 8),
        ClassLayout::new(262_144, 2),
    ])
}

fn protocol() -> IdField {
    IdField::big_endian(LengthField::big_endian_u32(1 << 20).unwrap(), 4).unsolicited_if(8, 1)
}

fn link_over(buffers: Buffers, places: usize, outgoing: usize) -> Link {
    let storage = RequestStorage::on_heap(places, outgoing, 2);
    Requests::new(protocol(), buffers, storage, &RequestConfig::default()).unwrap()
}

fn link() -> Link {
    link_over(large_pool(), 4, 4)
}

fn at(ms: u64) -> Now {
    Now::new(Instant::from_ms(ms), 0)
}

/// All that is to be written; says that it was.
fn written(link: &mut Link, now: Now) -> Vec<u8> {
    let mut bytes = Vec::new();
    loop {
        let mut chunks = Chunks::new();
        link.poll_transmit(now, &mut chunks);
        if chunks.is_empty() {
            return bytes;
        }
        bytes.extend(chunks.iter().flatten());
        link.handle_written(now, chunks.bytes());
    }
}

fn frame(flags: u8, id: u32, body: &[u8]) -> Vec<u8> {
    let mut frame = ((5 + body.len()) as u32).to_be_bytes().to_vec();
    frame.extend(id.to_be_bytes());
    frame.push(flags);
    frame.extend(body);
    frame
}

fn answer(link: &mut Link, now: Now, ticket: Ticket, body: &[u8]) {
    let frame = frame(0, ticket.id(), body);
    let received = link.handle_bytes(now, &frame).unwrap();
    assert_eq!((received.consumed, received.body.is_none()), (frame.len(), true));
}

#[test]
fn answers_find_their_requests_in_any_order() {
    let mut link = link();
    let tickets: Vec<_> =
        [b"a", b"b", b"c"].map(|body| link.submit(&HEAD, body, None).unwrap()).into();
    let expected: Vec<_> = (tickets.iter().zip([b"a", b"b", b"c"]))
        .flat_map(|(ticket, body)| frame(0, ticket.id(), body))
        .collect();
    assert_eq!(written(&mut link, at(0)), expected, "in the order of requests, in one batch");

    let answers = [2, 0].map(|index: usize| frame(0, tickets[index].id(), &[index as u8])).concat();
    let cut = answers.len() - 1;
    assert_eq!(link.handle_bytes(at(5), &answers[..cut]).unwrap().consumed, 10);
    assert_eq!(link.handle_bytes(at(7), &answers[10..]).unwrap().consumed, 10);
    assert_eq!(link.poll_completed(), Some(tickets[2]));
    assert_eq!(link.poll_completed(), Some(tickets[0]));
    assert_eq!(link.poll_completed(), None);
    assert!(link.take(tickets[1]).is_none());
    for index in [0_usize, 2] {
        assert_eq!(link.take(tickets[index]).unwrap().unwrap()[9..], [index as u8]);
        assert_eq!(link.take(tickets[index]).unwrap().unwrap_err(), NoAnswer::Unknown);
    }
    let counters = link.counters();
    assert_eq!((counters.sent.get(), counters.answered.get()), (3, 2));
    assert_eq!((counters.in_flight.get(), counters.in_flight.peak()), (1, 3));
    assert_eq!((counters.bytes_in.get(), counters.bytes_out.get()), (20, 30));
}

#[test]
fn time_runs_from_the_first_look_at_the_clock() {
    let mut link = link();
    let short = link.submit(&HEAD, b"", Some(2_500)).unwrap();
    assert_eq!(link.poll_timeout(), None);
    let _ = written(&mut link, at(100));
    let long = link.submit(&HEAD, b"", None).unwrap();
    assert_eq!(link.poll_timeout(), Some(Instant::from_ms(103)), "in whole milliseconds");

    link.handle_timeout(at(102));
    assert_eq!(link.poll_completed(), None);
    link.handle_timeout(at(103));
    assert_eq!(link.poll_completed(), Some(short));
    assert_eq!(link.poll_completed(), None);
    let timed_out = NoAnswer::TimedOut { maybe_sent: true };
    assert_eq!(link.take(short).unwrap().unwrap_err(), timed_out);

    assert_eq!(link.poll_timeout(), Some(Instant::from_ms(30_102)), "stamped at 102 ms");
    link.handle_timeout(at(30_102));
    let not_sent = NoAnswer::TimedOut { maybe_sent: false };
    assert_eq!(link.take(long).unwrap().unwrap_err(), not_sent);
    assert_eq!(link.poll_completed(), None, "taken without being named");
    assert_eq!(link.poll_timeout(), None);
    assert_eq!(link.counters().timed_out.get(), 2);
    assert_eq!(link.counters().in_flight.get(), 0);
}

#[test]
fn late_answers_are_counted_and_answer_nobody_else() {
    let mut link = link_over(large_pool(), 1, 2);
    let first = link.submit(&HEAD, b"", Some(1_000)).unwrap();
    let _ = written(&mut link, at(0));
    link.handle_timeout(at(1));
    assert!(link.take(first).unwrap().is_err());

    let second = link.submit(&HEAD, b"", None).unwrap();
    let _ = written(&mut link, at(1));
    assert_eq!(link.place_of(first), link.place_of(second));
    answer(&mut link, at(2), first, b"late");
    assert!(link.take(second).is_none());
    answer(&mut link, at(3), second, b"right");
    answer(&mut link, at(3), second, b"twice");
    assert_eq!(&link.take(second).unwrap().unwrap()[9..], b"right");
    let received = link.handle_bytes(at(3), &frame(0, 1, b"never asked")).unwrap();
    assert_eq!(received.consumed, 20);
    assert_eq!((link.counters().late.get(), link.counters().unknown.get()), (3, 0));

    let mut link = self::link();
    let _ = link.submit(&HEAD, b"", None).unwrap();
    assert_eq!(link.handle_bytes(at(0), &frame(0, 3, b"")).unwrap().consumed, 9);
    assert_eq!((link.counters().late.get(), link.counters().unknown.get()), (0, 1));
}

#[test]
fn an_answer_before_its_request_was_written_is_taken_for_what_it_is() {
    let mut link = link();
    let ticket = link.submit(&HEAD, b"", None).unwrap();
    answer(&mut link, at(0), ticket, b"clairvoyant");
    assert!(link.take(ticket).unwrap().is_ok());
    assert_eq!(written(&mut link, at(1)).len(), 9);
    assert_eq!(link.free_places(), 4);
}

#[test]
fn requests_can_be_given_up_at_any_time() {
    let mut link = link();
    let tickets: Vec<_> = (0..4).map(|_| link.submit(&HEAD, b"x", Some(5_000)).unwrap()).collect();
    // One that nobody has stamped, out of the middle of its list.
    link.abandon(tickets[1]);
    let _ = written(&mut link, at(0));
    link.abandon(tickets[0]);
    for index in [2_usize, 3] {
        answer(&mut link, at(1), tickets[index], b"");
    }
    link.abandon(tickets[3]);
    link.abandon(tickets[3]);
    assert_eq!(link.poll_completed(), Some(tickets[2]), "the other one is not named");
    assert_eq!(link.poll_completed(), None);
    link.abandon(tickets[2]);
    assert_eq!(link.free_places(), 4);
    assert_eq!(link.counters().abandoned.get(), 2);
    assert_eq!(link.counters().in_flight.get(), 0);
    answer(&mut link, at(1), tickets[0], b"");
    assert_eq!(link.counters().late.get(), 1);

    // All places work as before, and none is there twice.
    let again: Vec<_> = (0..4).map(|_| link.submit(&HEAD, b"x", None).unwrap()).collect();
    let mut places: Vec<_> = again.iter().map(|ticket| link.place_of(*ticket)).collect();
    places.sort_unstable();
    assert_eq!(places, [0, 1, 2, 3]);
    assert!(again.iter().all(|ticket| !tickets.contains(ticket)));
}

#[test]
fn closing_says_honestly_what_the_peer_may_have_seen() {
    let mut link = link();
    let written_whole = link.submit(&HEAD, b"", None).unwrap();
    let _ = written(&mut link, at(0));
    let not_written = link.submit(&HEAD, b"", None).unwrap();
    let answered = link.submit(&HEAD, b"", None).unwrap();
    answer(&mut link, at(0), answered, b"");
    let error = FrameError::Oversize { at: 3, frame_bytes: 9, frame_bytes_max: 8 };
    let reason = CloseReason::Frame(error);
    link.handle_closed(at(1), reason);

    let named: Vec<_> = core::iter::from_fn(|| link.poll_completed()).collect();
    assert_eq!(named, [answered, written_whole, not_written]);
    let outcome = |link: &mut Link, ticket| link.take(ticket).unwrap().unwrap_err();
    let closed = |maybe_sent| NoAnswer::Closed { reason, maybe_sent };
    assert_eq!(outcome(&mut link, written_whole), closed(true));
    assert_eq!(outcome(&mut link, not_written), closed(false));
    assert!(link.take(answered).unwrap().is_ok());
    assert_eq!(link.submit(&HEAD, b"", None), Err(SubmitRefused::Closed(reason)));
    assert!(written(&mut link, at(2)).is_empty());
    assert_eq!(link.poll_timeout(), None);
    assert_eq!((link.counters().closed.get(), link.counters().refused.get()), (2, 1));
    assert!(closed(false).to_string().contains("has not seen it"));
}

#[test]
fn a_body_of_its_own_is_seen_only_when_its_last_byte_is_handed_out() {
    let mut link = link();
    let large = link.submit(&HEAD, &vec![7; 100_000], None).unwrap();
    let behind = link.submit(&HEAD, b"", None).unwrap();
    let mut chunks = Chunks::new();
    link.poll_transmit(at(0), &mut chunks);
    assert_eq!(chunks.bytes(), 100_009);
    link.handle_closed(at(0), CloseReason::Write);
    let maybe_sent = |link: &mut Link, ticket| match link.take(ticket) {
        Some(Err(NoAnswer::Closed { maybe_sent, .. })) => maybe_sent,
        other => panic!("{other:?}"),
    };
    assert!(maybe_sent(&mut link, large));
    assert!(!maybe_sent(&mut link, behind));
}

#[test]
fn closing_from_this_side_waits_for_answers_and_writes() {
    let mut link = link();
    let ticket = link.submit(&HEAD, b"", None).unwrap();
    link.close();
    assert_eq!(link.submit(&HEAD, b"", None), Err(SubmitRefused::Closing));
    assert_eq!(link.send(&HEAD, b""), Err(SubmitRefused::Closing));
    assert_eq!(link.poll_close(), None);
    assert_eq!(written(&mut link, at(0)).len(), 9);
    assert_eq!(link.poll_close(), None);
    answer(&mut link, at(0), ticket, b"");
    assert_eq!(link.poll_close(), Some(CloseReason::Local));
}

#[test]
fn what_is_refused_leaves_no_trace() {
    let mut link = link_over(pool(&[ClassLayout::new(64, 3)]), 3, 2);
    let too_long = link.submit(&HEAD, &[0; 100], None);
    assert!(matches!(too_long, Err(SubmitRefused::NoBuffer(_))), "{too_long:?}");
    assert!(matches!(link.submit(&HEAD[..5], b"", None), Err(SubmitRefused::Frame(_))));
    let _ = link.submit(&HEAD, b"a", None).unwrap();
    assert!(matches!(link.submit(&HEAD[..5], b"", None), Err(SubmitRefused::Frame(_))));
    let _ = link.submit(&HEAD, b"b", None).unwrap();
    let _ = link.submit(&HEAD, b"c", None).unwrap();
    let full = SubmitRefused::Full { in_flight_max: 3 };
    assert_eq!(link.submit(&HEAD, b"d", None), Err(full));
    assert!(full.is_temporary());
    assert_eq!(written(&mut link, at(0)).len(), 30);
    assert_eq!(link.counters().refused.get(), 4);
    assert_eq!(link.counters().sent.get(), 3);
}

#[test]
fn a_peer_that_takes_nothing_fills_a_bounded_queue() {
    let buffers = pool(&[ClassLayout::new(64, 16)]);
    let mut link = link_over(buffers.clone(), 64, 4);
    let mut sent = Vec::new();
    let refused = loop {
        match link.submit(&HEAD, &[sent.len() as u8; 31], None) {
            Ok(ticket) => sent.push(ticket),
            Err(refused) => break refused,
        }
    };
    assert_eq!(refused, SubmitRefused::Backlog { queued_bytes: 200 });
    assert!(!link.has_room());
    let mut lease = buffers.acquire(10).unwrap();
    lease.extend_from_slice(b"0123456789").unwrap();
    let refused = link.submit_chunk(&HEAD, lease.freeze(), None).unwrap_err();
    assert_eq!(refused.body, b"0123456789");
    assert!(matches!(refused.reason, SubmitRefused::Backlog { queued_bytes: 200 }));
    drop(refused);

    let bytes = written(&mut link, at(0));
    let bodies: Vec<_> = bytes.chunks(40).map(|frame| usize::from(frame[9])).collect();
    assert_eq!(bodies, [0, 1, 2, 3, 4]);
    assert!(link.has_room());
    drop(link);
    assert_eq!(buffers.stats().in_use, 0);
}

#[test]
fn large_bodies_keep_their_place_and_are_not_copied_twice() {
    let buffers = large_pool();
    let mut link = link_over(buffers.clone(), 8, 8);
    let mut lease = buffers.acquire(70_000).unwrap();
    lease.extend_from_slice(&[9; 70_000]).unwrap();
    let body = lease.freeze();
    let address = body.as_ptr();
    let _ = link.submit(&HEAD, b"first", None).unwrap();
    let _ = link.submit_chunk(&HEAD, body, None).unwrap();
    let _ = link.submit(&HEAD, b"last", None).unwrap();

    let mut chunks = Chunks::new();
    link.poll_transmit(at(0), &mut chunks);
    let lens: Vec<_> = chunks.iter().map(<[u8]>::len).collect();
    assert_eq!(lens, [14 + 9, 70_000], "the last one comes with the next write");
    assert_eq!(chunks.iter().nth(1).unwrap().as_ptr(), address);
    link.handle_written(at(0), 70_023);
    chunks.clear();
    link.poll_transmit(at(0), &mut chunks);
    assert_eq!(chunks.iter().flatten().skip(9).copied().collect::<Vec<_>>(), b"last");
    assert_eq!(link.poll_close(), None);
}

#[test]
fn large_answers_go_straight_into_memory_of_their_own() {
    let mut link = link();
    let ticket = link.submit(&HEAD, b"", None).unwrap();
    let _ = written(&mut link, at(0));
    let frame = frame(0, ticket.id(), &[5; 50_000]);
    // Without its head nobody knows whose it is.
    let received = link.handle_bytes(at(0), &frame[..8]).unwrap();
    assert!(received.body.is_none() && received.consumed == 0);
    let received = link.handle_bytes(at(0), &frame[..1_000]).unwrap();
    assert_eq!(received.consumed, 0);
    let mut body = received.body.unwrap();
    assert_eq!(body.len(), frame.len());
    body.copy_from_slice(&frame);
    link.handle_body(at(3), body).unwrap();
    assert_eq!(link.poll_completed(), Some(ticket));
    assert_eq!(link.take(ticket).unwrap().unwrap()[..], frame[..]);
    assert_eq!(link.counters().bytes_in.get(), 50_009);
}

#[test]
fn large_answers_that_nobody_wants_are_skipped() {
    let mut link = link();
    let ticket = link.submit(&HEAD, b"", None).unwrap();
    let next = link.submit(&HEAD, b"", None).unwrap();
    let _ = written(&mut link, at(0));
    link.abandon(ticket);
    let mut bytes = frame(0, ticket.id(), &[5; 50_000]);
    bytes.extend(frame(0, next.id(), b"next"));
    for window in bytes.chunks(30_000) {
        let received = link.handle_bytes(at(0), window).unwrap();
        assert_eq!((received.consumed, received.body.is_none()), (window.len(), true));
    }
    assert_eq!(&link.take(next).unwrap().unwrap()[9..], b"next");
    assert_eq!(link.counters().late.get(), 1);
    assert_eq!(link.counters().bytes_in.get(), bytes.len() as u64);
}

#[test]
fn a_body_whose_request_went_away_while_it_came_is_late() {
    let mut link = link();
    let ticket = link.submit(&HEAD, b"", Some(1_000)).unwrap();
    let _ = written(&mut link, at(0));
    let frame = frame(0, ticket.id(), &[5; 50_000]);
    let body = link.handle_bytes(at(0), &frame[..9]).unwrap().body.unwrap();
    link.handle_timeout(at(1));
    link.handle_body(at(2), body).unwrap();
    assert!(matches!(link.take(ticket), Some(Err(NoAnswer::TimedOut { maybe_sent: true }))));
    assert_eq!(link.counters().late.get(), 1);
}

#[test]
fn answers_without_memory_are_dropped_and_said_to_be() {
    let mut link = link_over(pool(&[ClassLayout::new(64, 4)]), 4, 4);
    let tickets = [0; 2].map(|_| link.submit(&HEAD, b"", None).unwrap());
    let _ = written(&mut link, at(0));
    answer(&mut link, at(0), tickets[0], &[0; 100]);
    let large = frame(0, tickets[1].id(), &[0; 20_000]);
    assert_eq!(link.handle_bytes(at(0), &large).unwrap().consumed, large.len());
    for (ticket, answer_bytes) in tickets.into_iter().zip([109, 20_009]) {
        let error = link.take(ticket).unwrap().unwrap_err();
        assert_eq!(error, NoAnswer::NoBuffer { answer_bytes });
    }
    assert_eq!(link.counters().without_buffer.get(), 2);
    assert_eq!(link.counters().in_flight.get(), 0);
}

#[test]
fn what_the_peer_sends_of_its_own_accord_is_kept_up_to_a_bound() {
    let mut link = link();
    let frames: Vec<_> = (0..3).flat_map(|id| frame(1, id, b"asked")).collect();
    assert_eq!(link.handle_bytes(at(0), &frames).unwrap().consumed, frames.len());
    let kept: Vec<_> =
        core::iter::from_fn(|| link.poll_unsolicited()).map(|frame| frame[7]).collect();
    assert_eq!(kept, [0, 1]);
    let counters = link.counters();
    assert_eq!((counters.unsolicited.get(), counters.unsolicited_dropped.get()), (3, 1));

    link.send(&frame(0, 77, b""), b"answered").unwrap();
    assert_eq!(written(&mut link, at(0)), frame(0, 77, b"answered"), "the id stays");
}

#[test]
fn bad_frames_are_refused_where_they_are() {
    let mut link = link();
    let mut bytes = frame(1, 0, b"fine");
    bytes.extend([0, 0, 0, 1, 0]);
    let error = FrameError::TooShort { at: 13, frame_bytes: 5, frame_bytes_min: 9 };
    assert_eq!(link.handle_bytes(at(0), &bytes).unwrap_err(), error);
    let error = link.handle_bytes(at(0), &[0xff; 8]).unwrap_err();
    assert!(matches!(error, FrameError::Oversize { at: 0, .. }));
}

#[test]
fn latencies_set_the_time_out() {
    let storage = RequestStorage::on_heap(4, 4, 0);
    let config = RequestConfig { timeout: TimeoutRule::SMOOTHED, ..RequestConfig::default() };
    let mut link = Requests::new(protocol(), large_pool(), storage, &config).unwrap();
    assert_eq!(link.timeout_us(), 5_000_000);
    for round in 0..50 {
        let ticket = link.submit(&HEAD, b"", None).unwrap();
        let _ = written(&mut link, at(round * 100));
        answer(&mut link, at(round * 100 + 40), ticket, b"");
        assert!(link.take(ticket).unwrap().is_ok());
    }
    assert_eq!(link.timeout_us(), 120_000);
    let _ = link.submit(&HEAD, b"", None).unwrap();
    let _ = written(&mut link, at(10_000));
    assert!(link.poll_timeout() <= Some(Instant::from_ms(10_000)), "a lower bound, left behind");
    link.handle_timeout(at(10_000));
    assert_eq!(link.poll_timeout(), Some(Instant::from_ms(10_120)));
}

#[test]
fn storage_and_settings_are_checked() {
    let new = |places, outgoing, config: &RequestConfig| {
        let storage = RequestStorage::on_heap(places, outgoing, 0);
        Requests::new(protocol(), large_pool(), storage, config).err()
    };
    let mut config = RequestConfig::default();
    assert_eq!(new(1, 2, &config), None);
    for (places, outgoing) in [(0, 2), (1, 1), (65_537, 2)] {
        assert!(matches!(new(places, outgoing, &config), Some(RequestsRefused::Storage(_))));
    }
    config.timeout = TimeoutRule::Fixed { us: 0 };
    assert!(matches!(new(1, 2, &config), Some(RequestsRefused::Timeout(_))));
}

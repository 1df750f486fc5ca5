//! Rules one by one; the suite `connection_book` compares the books with a naive model.

extern crate alloc;

use alloc::vec::Vec;

use super::{
    Bookkeeping, Held, Outcome, Place, Placed, Retired, Rules, WaitCell, WaitRefused, Waiter,
};
use crate::time::Instant;

const PLACES: usize = 4;
const WAITERS: usize = 5;

fn rules() -> Rules {
    Rules {
        idle_min: 1,
        idle_us_max: 1_000,
        lifetime_us_max: 4_000,
        check_after_us: 100,
        wait_us_max: 2_000,
        backoff_us_min: 64,
        backoff_us_max: 1_024,
    }
}

fn book(rules: Rules, places: usize) -> Bookkeeping<'static> {
    let cells: Vec<_> = core::iter::repeat_n(WaitCell::FREE, places + WAITERS).collect();
    let places: Vec<_> = core::iter::repeat_n(Place::FREE, places).collect();
    Bookkeeping::new(rules, places.into_boxed_slice(), cells.into_boxed_slice(), 7)
}

fn dialed(book: &mut Bookkeeping<'_>, now: Instant) -> Placed {
    let token = book.poll_dial(now).unwrap();
    book.handle_dialed(now, token)
}

fn served(placed: Placed, expected: &Waiter) -> Held {
    let Placed::Served { waiter, held } = placed else { panic!("{placed:?}") };
    assert_eq!(waiter, expected.index());
    held
}

#[test]
fn a_failed_dial_is_followed_by_a_pause_that_doubles() {
    let mut book = book(Rules { idle_min: 1, ..rules() }, 1);
    let mut now = Instant::ZERO;
    for doublings in 0..8 {
        let token = book.poll_dial(now).unwrap();
        book.handle_dial_failed(now, token);
        assert!(book.is_failing());
        assert_eq!(book.poll_dial(now), None);
        let at = book.poll_timeout().unwrap();
        let us_max = (64 << doublings).min(1_024);
        assert!((us_max / 2..=us_max).contains(&at.us_since(now)), "{doublings}: {at:?}");
        now = at;
    }
    assert!(matches!(dialed(&mut book, now), Placed::Idle { .. }));
    assert!(!book.is_failing());
}

#[test]
fn dials_that_fail_together_count_as_one_failure() {
    let mut book = book(Rules { idle_min: 0, ..rules() }, PLACES);
    let waiters: Vec<_> =
        (0..PLACES).map(|_| book.wait(Instant::from_us(1_000)).unwrap()).collect();
    let now = Instant::from_us(1_000);
    let tokens: Vec<_> = core::iter::from_fn(|| book.poll_dial(now)).collect();
    assert_eq!(tokens.len(), PLACES);
    for token in tokens {
        assert_eq!(book.poll_failed(), None, "another dial may still succeed");
        book.handle_dial_failed(now, token);
    }
    let failed: Vec<_> = core::iter::from_fn(|| book.poll_failed()).collect();
    assert_eq!(failed, waiters.iter().map(Waiter::index).collect::<Vec<_>>());
    for waiter in waiters {
        assert_eq!(book.outcome(waiter), Outcome::Failed);
    }
    let _waiter = book.wait(now).unwrap();
    let pause_us = book.poll_timeout().unwrap().us_since(now);
    assert!((32..=64).contains(&pause_us), "as after the first: {pause_us}");
}

#[test]
fn waiters_do_not_fail_while_a_connection_is_in_use() {
    let mut book = book(Rules { idle_min: 0, ..rules() }, 2);
    let now = Instant::ZERO;
    let first = book.wait(Instant::ZERO).unwrap();
    let held = served(dialed(&mut book, now), &first);
    assert_eq!(held.place(), 0);
    let second = book.wait(Instant::ZERO).unwrap();
    let token = book.poll_dial(now).unwrap();
    book.handle_dial_failed(now, token);
    assert_eq!(book.poll_failed(), None);
    assert_eq!(book.outcome(first), Outcome::Served);
    let held = served(book.give_back(now, held), &second);
    assert_eq!(held.place(), 0);
}

#[test]
fn as_many_may_wait_however_many_were_served_before() {
    let mut book = book(Rules { idle_min: 0, ..rules() }, 2);
    let now = Instant::ZERO;
    let mut held = Vec::new();
    for _ in 0..2 {
        let waiter = book.wait(now).unwrap();
        held.push(served(dialed(&mut book, now), &waiter));
        assert_eq!(book.outcome(waiter), Outcome::Served);
    }
    let waiters: Vec<_> = (0..WAITERS).map(|_| book.wait(now).unwrap()).collect();
    let refused = WaitRefused::TooMany { waiting_max: WAITERS as u32 };
    assert_eq!(book.wait(now).unwrap_err(), refused);
    for (index, waiter) in waiters.into_iter().enumerate() {
        let first = held.remove(0);
        held.push(served(book.give_back(now, first), &waiter));
        // Who is served and gone at once leaves the cell when the connection is back.
        assert!(book.cancel(waiter), "{index}");
    }
    assert_eq!(book.counts().waiting, 0);
    for _ in 0..WAITERS {
        let _waiting = book.wait(now).unwrap();
    }
    assert_eq!(book.wait(now).unwrap_err(), refused);
}

#[test]
fn lifetimes_differ_and_end_when_a_connection_is_given_back() {
    let mut book = book(Rules { idle_min: 0, ..rules() }, PLACES);
    book.raise(9);
    while let Some(token) = book.poll_dial(Instant::ZERO) {
        let _ = book.handle_dialed(Instant::ZERO, token);
    }
    assert_eq!(book.counts().idle as usize, PLACES, "no more than there may be");
    let held: Vec<_> = (0..PLACES).map(|_| book.acquire(Instant::ZERO).unwrap()).collect();
    let early = Instant::from_us(3_000);
    let mut expired = 0;
    for held in held {
        // Between three quarters and the whole of 4,000.
        match book.give_back(early, held) {
            Placed::Idle { .. } => {}
            placed => panic!("{placed:?}"),
        }
    }
    let mut at = early;
    let mut times = Vec::new();
    while book.counts().idle > 0 && at.as_us() <= 4_000 {
        book.handle_timeout(at);
        while let Some((_, reason)) = book.poll_retired(at) {
            expired += u32::from(reason == Retired::Lifetime);
            times.push(at.as_us());
        }
        at = book.poll_timeout().unwrap_or(Instant::NEVER);
    }
    assert!(times.windows(2).any(|pair| pair[0] != pair[1]), "{times:?}");
    assert_eq!(expired, book.counts().closed(Retired::Lifetime) as u32);
    assert!(expired > 0);
}

#[test]
fn idle_connections_are_closed_down_to_the_minimum_oldest_first() {
    let mut book = book(Rules { lifetime_us_max: u64::MAX, ..rules() }, PLACES);
    book.raise(3);
    for us in 0..3 {
        let placed = dialed(&mut book, Instant::from_us(us));
        assert_eq!(placed, Placed::Idle { place: us as usize });
    }
    assert_eq!(book.poll_timeout(), Some(Instant::from_us(1_000)));
    let now = Instant::from_us(5_000);
    book.handle_timeout(now);
    let retired: Vec<_> = core::iter::from_fn(|| book.poll_retired(now)).collect();
    assert_eq!(retired, [(0, Retired::Idle), (1, Retired::Idle)]);
    assert_eq!(book.poll_timeout(), None, "the one that is left is kept for ever");
    assert_eq!(book.poll_dial(now), None);
}

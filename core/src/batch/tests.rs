//! What an accumulator does, one rule at a time.

extern crate std;

use alloc::vec::Vec;
use core::panic::AssertUnwindSafe;

use super::*;
use crate::stats::Distribution;
use crate::time::{Instant, Now};

type Batcher = Accumulator<'static, u32>;

fn at_ms(ms: u64) -> Now {
    Now::new(Instant::from_ms(ms), 0)
}

fn batcher(config: BatchConfig) -> Batcher {
    Accumulator::new(config, BatchStorage::on_heap(&config), 1).expect("a valid configuration")
}

/// Ten items a batch, 10 ms, at most 30 wait.
fn small() -> BatchConfig {
    BatchConfig { items_max: 10, waiting_max: 30, in_flight_max: 2, ..BatchConfig::default() }
}

fn push(batcher: &mut Batcher, now: Now, items: impl IntoIterator<Item = u32>) {
    for item in items {
        batcher.push(now, item, 1).expect("there is room");
    }
}

fn items(batch: &Batch<'_, u32>) -> Vec<u32> {
    batch.iter().copied().collect()
}

fn poll<T>(batcher: &mut Accumulator<'static, T>, now: Now) -> Option<Batch<'static, T>> {
    let mut batch = Batch::on_heap(batcher.config());
    batcher.poll_batch(now, &mut batch).expect("a new batch").then_some(batch)
}

/// Marks each item, settles the batch and returns what was settled.
fn settle(
    batcher: &mut Batcher,
    now: Now,
    mut batch: Batch<'static, u32>,
    outcome: impl Fn(u32) -> Outcome,
) -> Vec<(u32, Settled)> {
    let mut settled = Vec::new();
    batch.iter_mut().for_each(|mut entry| entry.set(outcome(*entry.item())));
    batcher.settle(now, &mut batch, |item, how| settled.push((item, how))).expect("its own batch");
    settled
}

fn closed(batcher: &Batcher) -> Vec<(Reason, u64)> {
    let counts = batcher.counters().closed.map(|counter| counter.get());
    Reason::ALL.into_iter().zip(counts).filter(|(_, count)| *count > 0).collect()
}

#[test]
fn a_full_batch_goes_at_once_and_the_rest_after_the_linger_time() {
    let mut batcher = batcher(small());
    push(&mut batcher, at_ms(0), 0..10);
    push(&mut batcher, at_ms(3), 10..13);
    let full = poll(&mut batcher, at_ms(3)).expect("ten items are there");
    assert_eq!(items(&full), (0..10).collect::<Vec<_>>());
    assert!(poll(&mut batcher, at_ms(3)).is_none());
    // The first of the three has waited since 3 ms.
    assert_eq!(batcher.poll_timeout(), Some(Instant::from_ms(13)));
    assert!(poll(&mut batcher, at_ms(12)).is_none());
    let rest = poll(&mut batcher, at_ms(13)).expect("10 ms are over");
    assert_eq!(items(&rest), [10, 11, 12]);
    assert_eq!(closed(&batcher), [(Reason::Items, 1), (Reason::Linger, 1)]);
    assert_eq!(settle(&mut batcher, at_ms(14), full, |_| Outcome::Done).len(), 10);
    assert_eq!(settle(&mut batcher, at_ms(15), rest, |_| Outcome::Done).len(), 3);
    assert!(batcher.is_drained());
    let counters = batcher.counters();
    assert_eq!((counters.items.get(), counters.batches.get()), (13, 2));
    assert_eq!((counters.succeeded.get(), counters.failed.get()), (13, 0));
    let linger_us = &counters.linger_us;
    assert_eq!((linger_us.count(), linger_us.sum()), (2, 3_000 + 10_000), "of the first items");
    assert!((counters.items_mean() - 6.5).abs() < f64::EPSILON);
}

#[test]
fn a_clock_that_steps_back_keeps_nobody_waiting() {
    let mut batcher = batcher(small());
    push(&mut batcher, at_ms(100), 0..10);
    // Threads that read the clock before they had the lock.
    push(&mut batcher, at_ms(99), 10..12);
    let full = poll(&mut batcher, at_ms(100)).expect("ten items are there");
    assert_eq!(batcher.poll_timeout(), Some(Instant::from_ms(110)), "as if pushed at 100 ms");
    let rest = poll(&mut batcher, at_ms(110)).expect("10 ms are over");
    assert_eq!(items(&rest), [10, 11]);
    for batch in [full, rest] {
        settle(&mut batcher, at_ms(110), batch, |_| Outcome::Done);
    }
}

#[test]
fn a_flush_takes_what_waits_then_and_no_more() {
    let mut batcher = batcher(small());
    push(&mut batcher, at_ms(0), 0..2);
    batcher.flush();
    let first = poll(&mut batcher, at_ms(0)).expect("was asked for");
    assert_eq!(items(&first), [0, 1]);
    push(&mut batcher, at_ms(0), 2..4);
    assert!(poll(&mut batcher, at_ms(0)).is_none(), "these came after the flush");
    assert_eq!(closed(&batcher), [(Reason::Flush, 1)]);
    settle(&mut batcher, at_ms(0), first, |_| Outcome::Done);
}

#[test]
fn an_item_that_is_one_too_many_bytes_opens_the_next_batch() {
    let config = BatchConfig { bytes_max: 100, item_bytes_max: 60, ..small() };
    let mut batcher = batcher(config);
    for (item, bytes) in [(0, 60), (1, 40), (2, 1)] {
        batcher.push(at_ms(0), item, bytes).expect("there is room");
    }
    let refused = batcher.push(at_ms(0), 3, 61).expect_err("too large by itself");
    assert_eq!(refused.item, 3);
    assert_eq!(refused.reason, Refusal::TooLarge { bytes: 61, max: 60 });
    let first = poll(&mut batcher, at_ms(0)).expect("closed by its bytes");
    assert_eq!((items(&first), first.bytes()), (alloc::vec![0, 1], 100));
    assert_eq!(closed(&batcher), [(Reason::Bytes, 1)]);
    assert!(poll(&mut batcher, at_ms(0)).is_none(), "the next one is neither full nor due");
    settle(&mut batcher, at_ms(0), first, |_| Outcome::Done);
}

#[test]
fn too_many_at_once_are_split_in_order() {
    let mut batcher = batcher(BatchConfig { bytes_max: 100, item_bytes_max: 60, ..small() });
    let mut all = (0..9).map(|item| (item, 30));
    assert_eq!(batcher.push_many(at_ms(0), &mut all).expect("there is room"), 9);
    batcher.shutdown();
    let mut batches = Vec::new();
    while let Some(batch) = poll(&mut batcher, at_ms(0)) {
        batches.push(items(&batch));
        settle(&mut batcher, at_ms(0), batch, |_| Outcome::Done);
    }
    assert_eq!(batches, [[0, 1, 2], [3, 4, 5], [6, 7, 8]]);
    let mut more = (9..12).map(|item| (item, 1));
    assert_eq!(batcher.push_many(at_ms(0), &mut more).expect("nothing is refused"), 0);
    assert_eq!(more.count(), 3, "it shuts down: the rest is still the caller's");
}

#[test]
fn many_at_once_stop_at_what_is_too_large_and_where_there_is_no_more_room() {
    let mut batcher = batcher(BatchConfig { item_bytes_max: 60, ..small() });
    push(&mut batcher, at_ms(0), 0..10);
    let batch = poll(&mut batcher, at_ms(0)).expect("ten items");
    // From here on the ring is passed round its end.
    let mut more = (10..99).map(|item| (item, if item == 25 { 61 } else { 1 }));
    let refused = batcher.push_many(at_ms(0), &mut more).expect_err("one is too large");
    assert_eq!((refused.pushed, refused.refused.item), (15, 25));
    assert_eq!(refused.refused.reason, Refusal::TooLarge { bytes: 61, max: 60 });
    assert_eq!(batcher.push_many(at_ms(0), &mut more).expect("small ones"), 15);
    assert_eq!((batcher.room(), more.next()), (0, Some((41, 1))));
    assert_eq!(settle(&mut batcher, at_ms(0), batch, |_| Outcome::Done).len(), 10);
    let mut handed_out = Vec::new();
    while let Some(batch) = poll(&mut batcher, at_ms(0)) {
        handed_out.extend(items(&batch));
        settle(&mut batcher, at_ms(0), batch, |_| Outcome::Done);
    }
    assert_eq!(handed_out, (10..25).chain(26..41).collect::<Vec<_>>());
}

#[test]
fn more_than_may_wait_is_given_back_until_a_batch_is_out() {
    let mut batcher = batcher(small());
    push(&mut batcher, at_ms(0), 0..30);
    let refused = batcher.push(at_ms(0), 30, 1).expect_err("thirty wait");
    assert_eq!((refused.item, refused.reason), (30, Refusal::Full { waiting: 30, max: 30 }));
    let batch = poll(&mut batcher, at_ms(0)).expect("ten items");
    push(&mut batcher, at_ms(0), 30..40);
    assert_eq!(batcher.waiting(), 30);
    assert_eq!(batcher.counters().refused.get(), 1);
    settle(&mut batcher, at_ms(0), batch, |_| Outcome::Done);
}

#[test]
fn items_of_many_bytes_wait_like_any_others() {
    let mut batcher = batcher(BatchConfig { bytes_max: 10, item_bytes_max: 10, ..small() });
    for item in 0..30 {
        batcher.push(at_ms(0), item, 10).expect("thirty may wait");
    }
    for item in 0..30 {
        let batch = poll(&mut batcher, at_ms(0)).expect("closed by its bytes");
        assert_eq!(items(&batch), [item]);
        settle(&mut batcher, at_ms(0), batch, |_| Outcome::Done);
    }
    assert_eq!(closed(&batcher), [(Reason::Bytes, 30)]);
}

#[test]
fn only_what_failed_is_tried_again_in_order_and_not_for_ever() {
    let mut batcher = batcher(small());
    push(&mut batcher, at_ms(0), 0..10);
    let outcome = |item| match item {
        3 | 7 => Outcome::Retry,
        5 => Outcome::Failed,
        _ => Outcome::Done,
    };
    let mut batch = poll(&mut batcher, at_ms(0)).expect("ten items");
    let mut settled = settle(&mut batcher, at_ms(0), batch, outcome);
    assert_eq!(settled.len(), 8);
    assert!(settled.contains(&(5, Settled::Failed)) && settled.contains(&(4, Settled::Done)));
    for attempt in 1..=3 {
        let due = Instant::from_ms(50 * attempt);
        assert_eq!(batcher.poll_timeout(), Some(due));
        assert!(poll(&mut batcher, at_ms(50 * attempt - 1)).is_none());
        batch = poll(&mut batcher, Now::new(due, 0)).expect("50 ms later");
        assert_eq!((items(&batch), batch.attempt()), (alloc::vec![3, 7], attempt as u32));
        settled = settle(&mut batcher, Now::new(due, 0), batch, outcome);
    }
    let exhausted = Settled::Exhausted { attempts: 4 };
    assert_eq!(settled, [(3, exhausted), (7, exhausted)]);
    assert!(batcher.is_drained());
    let counters = batcher.counters();
    assert_eq!((counters.succeeded.get(), counters.failed.get()), (7, 3));
    assert_eq!((counters.retried.get(), counters.batches.get()), (6, 1));
}

#[test]
fn deadlines_end_waiting_and_retrying() {
    let mut batcher = batcher(small());
    let now = at_ms(0);
    batcher.push_until(now, 0, 1, Instant::from_ms(5)).expect("there is room");
    batcher.push_until(now, 1, 1, Instant::from_ms(60)).expect("there is room");
    batcher.push_until(now, 2, 1, Instant::from_ms(61)).expect("there is room");
    let batch = poll(&mut batcher, at_ms(10)).expect("10 ms are over");
    assert_eq!(items(&batch), [1, 2], "the first has no time left");
    let settled = settle(&mut batcher, at_ms(10), batch, |_| Outcome::Retry);
    // 60 ms is when the next attempt would begin: too late for the one that ends there.
    let expired = |attempts| Settled::Expired { attempts };
    assert_eq!(settled, [(0, expired(0)), (1, expired(1))]);
    let batch = poll(&mut batcher, at_ms(61)).expect("polled late");
    assert!(batch.is_empty(), "nothing to work on, but to be settled");
    assert_eq!(settle(&mut batcher, at_ms(61), batch, |_| Outcome::Done), [(2, expired(1))]);
    assert_eq!(batcher.counters().expired.get(), 3);
}

#[test]
fn who_waits_behind_others_runs_out_of_time_in_time() {
    let mut batcher = batcher(BatchConfig { ordered: true, ..small() });
    // Around the end of the ring.
    push(&mut batcher, at_ms(0), 0..30);
    for first in [0, 10, 20] {
        let batch = poll(&mut batcher, at_ms(0)).expect("ten items");
        assert_eq!(items(&batch)[0], first);
        settle(&mut batcher, at_ms(0), batch, |_| Outcome::Done);
    }
    push(&mut batcher, at_ms(0), [30]);
    let out = poll(&mut batcher, at_ms(10)).expect("10 ms are over");
    assert_eq!(batcher.poll_expiry(), None, "nothing waits");
    for (item, until_ms) in [(0, 30), (1, 20), (2, 90), (3, 20), (4, 25)] {
        let until = Instant::from_ms(until_ms);
        batcher.push_until(at_ms(10 + u64::from(item)), item, 3, until).expect("there is room");
        if item == 2 {
            batcher.flush();
        }
    }
    push(&mut batcher, at_ms(15), [5]);
    assert_eq!(batcher.poll_timeout(), None, "only settling can bring a batch");
    assert_eq!(batcher.poll_expiry(), Some(Instant::from_ms(20)));
    let expire = |batcher: &mut Batcher, ms| {
        let mut expired = Vec::new();
        batcher.expire(at_ms(ms), |item, how| {
            assert_eq!(how, Settled::Expired { attempts: 0 });
            expired.push(item);
        });
        expired
    };
    assert_eq!(expire(&mut batcher, 19), []);
    assert_eq!(expire(&mut batcher, 20), [1, 3], "in order");
    assert_eq!((batcher.waiting(), batcher.room()), (4, 26));
    assert_eq!(batcher.poll_expiry(), Some(Instant::from_ms(25)));
    assert_eq!(expire(&mut batcher, 30), [0, 4]);
    assert_eq!(batcher.poll_expiry(), Some(Instant::from_ms(90)));
    settle(&mut batcher, at_ms(30), out, |_| Outcome::Done);
    // The one that is left of those that were to go at once goes at once, the other doesn't.
    let flushed = poll(&mut batcher, at_ms(13)).expect("was asked for");
    assert_eq!((items(&flushed), flushed.bytes()), (Vec::from([2, 5]), 3 + 1));
    settle(&mut batcher, at_ms(31), flushed, |_| Outcome::Done);
    assert!(batcher.is_drained());
    let counters = batcher.counters();
    assert_eq!((counters.expired.get(), counters.failed.get()), (4, 4));
    assert_eq!(counters.succeeded.get(), counters.items.get() - 4);
}

#[test]
fn in_order_means_one_after_the_other() {
    let mut batcher = batcher(BatchConfig { ordered: true, ..small() });
    push(&mut batcher, at_ms(0), 0..20);
    let batch = poll(&mut batcher, at_ms(0)).expect("ten items");
    assert!(poll(&mut batcher, at_ms(0)).is_none(), "the first batch is out");
    assert_eq!(batcher.poll_timeout(), None, "only settling it can change that");
    let settled = settle(&mut batcher, at_ms(0), batch, |item| {
        if item == 9 { Outcome::Retry } else { Outcome::Done }
    });
    assert_eq!(settled.len(), 9);
    assert!(poll(&mut batcher, at_ms(49)).is_none(), "one item is to be tried again first");
    let retried = poll(&mut batcher, at_ms(50)).expect("50 ms later");
    assert_eq!(items(&retried), [9]);
    settle(&mut batcher, at_ms(50), retried, |_| Outcome::Done);
    let next = poll(&mut batcher, at_ms(50)).expect("all earlier ones are settled");
    assert_eq!(items(&next)[0], 10);
    settle(&mut batcher, at_ms(50), next, |_| Outcome::Done);
}

#[test]
fn no_more_batches_are_out_than_may() {
    let mut batcher = batcher(small());
    push(&mut batcher, at_ms(0), 0..30);
    let first = poll(&mut batcher, at_ms(0)).expect("ten items");
    let second = poll(&mut batcher, at_ms(0)).expect("ten items");
    assert!(poll(&mut batcher, at_ms(0)).is_none(), "two may be out");
    settle(&mut batcher, at_ms(1), second, |_| Outcome::Done);
    let third = poll(&mut batcher, at_ms(1)).expect("ten items");
    assert_eq!(items(&third)[0], 20);
    for batch in [first, third] {
        settle(&mut batcher, at_ms(1), batch, |_| Outcome::Done);
    }
}

#[test]
fn the_size_follows_the_load() {
    let config = BatchConfig { size: SizePolicy::ByLoad(LoadRule::DEFAULT), ..Default::default() };
    let mut batcher = batcher(config);
    push(&mut batcher, at_ms(0), 0..250);
    assert_eq!(batcher.items_target(), 200, "a quarter full, idle processors");
    batcher.set_cpu_share(0.5);
    assert_eq!(batcher.items_target(), 100);
    batcher.set_cpu_share(0.9);
    let mut sizes = Vec::new();
    while let Some(batch) = poll(&mut batcher, at_ms(0)) {
        sizes.push(batch.len());
        settle(&mut batcher, at_ms(0), batch, |_| Outcome::Done);
    }
    assert_eq!(sizes, [50; 5]);
    push(&mut batcher, at_ms(0), 250..1_070);
    batcher.set_cpu_share(0.0);
    assert_eq!(batcher.items_target(), 50, "more than four fifths of what may wait");
}

#[test]
fn what_is_left_of_a_batch_lingers_from_its_own_push() {
    let config = BatchConfig { size: SizePolicy::ByLoad(LoadRule::DEFAULT), ..Default::default() };
    let mut batcher = batcher(config);
    batcher.set_cpu_share(0.9);
    push(&mut batcher, at_ms(0), 0..50);
    push(&mut batcher, at_ms(8), 50..53);
    let first = poll(&mut batcher, at_ms(8)).expect("fifty items");
    assert_eq!(first.len(), 50);
    assert_eq!(batcher.poll_timeout(), Some(Instant::from_ms(18)));
    let rest = poll(&mut batcher, at_ms(18)).expect("10 ms are over");
    assert_eq!(items(&rest), [50, 51, 52]);
    for batch in [first, rest] {
        settle(&mut batcher, at_ms(18), batch, |_| Outcome::Done);
    }
}

#[test]
fn shutting_down_hands_out_everything_and_giving_up_settles_the_rest() {
    let mut batcher = batcher(small());
    push(&mut batcher, at_ms(0), 0..25);
    batcher.shutdown();
    let refused = batcher.push(at_ms(0), 25, 1).expect_err("it shuts down");
    assert_eq!((refused.item, refused.reason), (25, Refusal::ShuttingDown));
    let first = poll(&mut batcher, at_ms(0)).expect("ten items");
    settle(
        &mut batcher,
        at_ms(0),
        first,
        |item| {
            if item == 0 { Outcome::Retry } else { Outcome::Done }
        },
    );
    let second = poll(&mut batcher, at_ms(0)).expect("ten more");
    let mut abandoned = Vec::new();
    assert_eq!(batcher.abandon(|item, how| abandoned.push((item, how))), 6);
    assert_eq!(abandoned[0], (0, Settled::Abandoned { attempts: 1 }));
    assert_eq!(abandoned[1], (20, Settled::Abandoned { attempts: 0 }));
    assert!(!batcher.is_drained(), "one batch is still out");
    assert_eq!(settle(&mut batcher, at_ms(1), second, |_| Outcome::Done).len(), 10);
    assert!(batcher.is_drained());
    assert_eq!(batcher.counters().succeeded.get() + batcher.counters().failed.get(), 25);
}

#[test]
fn what_comes_back_after_giving_up_is_not_tried_again() {
    let mut batcher = batcher(small());
    push(&mut batcher, at_ms(0), 0..10);
    let batch = poll(&mut batcher, at_ms(0)).expect("ten items");
    assert_eq!(batcher.abandon(|_, _| ()), 0);
    let settled = settle(&mut batcher, at_ms(0), batch, |item| match item {
        5 => Outcome::Retry,
        _ => Outcome::Done,
    });
    assert_eq!(settled.last(), Some(&(5, Settled::Abandoned { attempts: 1 })));
    assert!(batcher.is_drained());
    assert_eq!((batcher.counters().succeeded.get(), batcher.counters().failed.get()), (9, 1));
}

#[test]
fn a_batch_is_settled_once_and_where_it_came_from() {
    let (mut one, mut other) = (batcher(small()), batcher(small()));
    for batcher in [&mut one, &mut other] {
        push(batcher, at_ms(0), 0..20);
    }
    let mut batch = poll(&mut one, at_ms(0)).expect("ten items");
    let foreign = poll(&mut other, at_ms(0)).expect("ten items");
    let each = |_, _| unreachable!();
    assert_eq!(other.settle(at_ms(0), &mut batch, each), Err(SettleRefused));
    assert_eq!(one.poll_batch(at_ms(0), &mut batch), Err(PollRefused::Unsettled));
    assert_eq!(items(&batch).len(), 10, "nothing was lost by that");
    assert_eq!(one.settle(at_ms(0), &mut batch, |_, _| ()), Ok(()));
    assert_eq!(one.settle(at_ms(0), &mut batch, each), Err(SettleRefused));
    assert_eq!(one.poll_batch(at_ms(0), &mut batch), Ok(true), "the same room is used again");
    for (batcher, batch) in [(&mut one, batch), (&mut other, foreign)] {
        assert_eq!(settle(batcher, at_ms(0), batch, |_| Outcome::Done).len(), 10);
    }
    let mut small_cells = BatchCells::<u32, 9>::new();
    let refused = one.poll_batch(at_ms(0), &mut Batch::borrowed(&mut small_cells));
    assert_eq!(refused, Err(PollRefused::TooSmall { len: 9, needed: 10 }));
}

#[test]
fn a_batch_that_was_dropped_can_be_forgotten() {
    let mut batcher = batcher(BatchConfig { ordered: true, ..small() });
    push(&mut batcher, at_ms(0), 0..20);
    let batch = poll(&mut batcher, at_ms(0)).expect("ten items");
    let ticket = batch.ticket().expect("it is out");
    drop(batch);
    assert!(poll(&mut batcher, at_ms(0)).is_none(), "one after the other");
    assert!(batcher.forget(ticket));
    assert!(!batcher.forget(ticket), "once");
    assert_eq!(batcher.counters().lost.get(), 10);
    let mut batch = poll(&mut batcher, at_ms(0)).expect("ten more");
    assert!(!batcher.forget(ticket), "the same place, another batch");
    let ticket = batch.ticket().expect("it is out");
    assert!(batcher.forget(ticket) && batcher.is_drained());
    let refused = batcher.settle(at_ms(0), &mut batch, |_, _| unreachable!());
    assert_eq!(refused, Err(SettleRefused), "it turned up after all");
}

#[test]
fn a_batch_concluded_before_it_is_settled_ends_the_same() {
    let mut batcher = batcher(small());
    push(&mut batcher, at_ms(0), 0..10);
    let mut batch = poll(&mut batcher, at_ms(0)).expect("ten items");
    batch.iter_mut().filter(|entry| entry.item() % 2 == 0).for_each(|mut entry| {
        entry.set(Outcome::Retry);
    });
    let mut settled = Vec::new();
    batch.conclude(at_ms(1), |item, _| settled.push(item));
    assert_eq!((&settled[..], batch.len()), (&[1, 3, 5, 7, 9][..], 5));
    batch.conclude(at_ms(2), |_, _| unreachable!());
    batcher.settle(at_ms(2), &mut batch, |_, _| unreachable!()).expect("it is out");
    assert_eq!(batcher.poll_timeout(), Some(Instant::from_ms(51)), "as said at 1 ms");
    let batch = poll(&mut batcher, at_ms(51)).expect("50 ms later");
    assert_eq!(items(&batch), [0, 2, 4, 6, 8]);
    assert_eq!(settle(&mut batcher, at_ms(51), batch, |_| Outcome::Done).len(), 5);
    assert_eq!(batcher.counters().succeeded.get(), 10);
}

#[test]
fn concluding_goes_on_after_a_panic_where_it_was() {
    for is_marked in [false, true] {
        let mut batcher = batcher(small());
        push(&mut batcher, at_ms(0), 0..10);
        let mut batch = poll(&mut batcher, at_ms(0)).expect("ten items");
        if is_marked {
            batch.iter_mut().filter(|entry| entry.item() % 2 == 0).for_each(|mut entry| {
                entry.set(Outcome::Retry);
            });
        }
        let (mut settled, mut calls) = (Vec::new(), 0);
        loop {
            calls += 1;
            let conclude = AssertUnwindSafe(|| {
                batch.conclude(at_ms(1), |item, _| {
                    settled.push(item);
                    assert!(item % 3 > 0, "as users' functions do");
                });
            });
            if std::panic::catch_unwind(conclude).is_ok() {
                break;
            }
        }
        let is_settled = |item: &u32| !is_marked || item % 2 == 1;
        let all: Vec<u32> = (0..10).filter(is_settled).collect();
        assert_eq!(settled, all, "each once, in order");
        assert_eq!(calls, 1 + all.iter().filter(|item| *item % 3 == 0).count());
        let kept: Vec<u32> = (0..10).filter(|item| !is_settled(item)).collect();
        assert_eq!(items(&batch), kept);
        batcher.settle(at_ms(1), &mut batch, |_, _| unreachable!()).expect("it is out");
        assert_eq!(batcher.counters().succeeded.get(), all.len() as u64);
    }
}

#[test]
fn the_slack_is_what_can_be_pushed_before_a_batch_is_due() {
    let mut batcher = batcher(BatchConfig { linger_us: u64::MAX / 2, ..small() });
    let (items, bytes) = batcher.slack();
    assert_eq!((items, bytes), (9, batcher.config().bytes_max - 1));
    push(&mut batcher, at_ms(0), 0..items);
    assert_eq!((batcher.slack().0, poll(&mut batcher, at_ms(0)).is_none()), (0, true));
    push(&mut batcher, at_ms(0), items..items + 1);
    assert_eq!(batcher.slack(), (0, 0), "a batch is due");
    assert!(poll(&mut batcher, at_ms(0)).is_some());
    push(&mut batcher, at_ms(0), 0..1);
    batcher.flush();
    assert_eq!(batcher.slack(), (0, 0), "and now another");
    let size = SizePolicy::ByLoad(LoadRule::DEFAULT);
    let by_load = BatchConfig { size, ..BatchConfig::default() };
    let batcher: Batcher = Accumulator::new(by_load, BatchStorage::on_heap(&by_load), 1).unwrap();
    assert_eq!(batcher.slack(), (0, 0), "the more wait, the fewer make a batch");
}

#[test]
fn an_item_with_a_deadline_does_not_linger_until_it_is_too_late() {
    let mut batcher = batcher(small());
    push(&mut batcher, at_ms(0), 0..1);
    batcher.push_until(at_ms(0), 1, 1, Instant::from_ms(6)).expect("there is room");
    assert_eq!(batcher.poll_timeout(), Some(Instant::from_ms(3)), "half of the time");
    let batch = poll(&mut batcher, at_ms(3)).expect("urgent");
    assert_eq!(items(&batch), [0, 1]);
    push(&mut batcher, at_ms(3), 2..3);
    assert_eq!(batcher.poll_timeout(), Some(Instant::from_ms(13)), "not urgent any more");
    settle(&mut batcher, at_ms(3), batch, |_| Outcome::Done);
}

#[test]
fn items_that_wait_for_hours_are_due_all_the_same() {
    let mut batcher = batcher(BatchConfig { in_flight_max: 1, ..small() });
    let hours = |hours: u64| at_ms(hours * 3_600_000);
    push(&mut batcher, hours(5), 0..10);
    let first = poll(&mut batcher, hours(5)).expect("ten items");
    for hour in 5..9 {
        push(&mut batcher, hours(hour), [hour as u32]);
        assert!(poll(&mut batcher, hours(hour)).is_none(), "the first batch is out");
    }
    settle(&mut batcher, hours(9), first, |_| Outcome::Done);
    push(&mut batcher, hours(9), [9]);
    assert!(batcher.poll_timeout().is_some_and(|at| at <= hours(9).at));
    let batch = poll(&mut batcher, hours(9)).expect("it has waited long enough");
    assert_eq!(items(&batch), [5, 6, 7, 8, 9]);
    settle(&mut batcher, hours(9), batch, |_| Outcome::Done);
    push(&mut batcher, hours(9), [10]);
    assert_eq!(batcher.poll_timeout(), Some(hours(9).at.plus_us(10_000)));
}

#[test]
fn the_queue_being_full_closes_a_batch() {
    let mut batcher = batcher(BatchConfig { waiting_max: 3, ..small() });
    push(&mut batcher, at_ms(0), 0..3);
    let batch = poll(&mut batcher, at_ms(0)).expect("no more can come");
    assert_eq!(settle(&mut batcher, at_ms(0), batch, |_| Outcome::Done).len(), 3);
}

#[test]
fn storage_that_is_too_small_is_named() {
    let config = small();
    let mut cells = BatchCells::<u32, 51>::new();
    let mut places = [Place::new(); 2];
    let refused = Accumulator::new(config, BatchStorage::borrowed(&mut cells, &mut places), 1)
        .expect_err("one cell is missing");
    let missing = StorageTooSmall { part: "cells", len: 51, needed: 52 };
    assert_eq!(refused, NewRefused::Storage(missing));
    let mut cells = BatchCells::<u32, 52>::new();
    let storage = BatchStorage::borrowed(&mut cells, &mut places[..1]);
    let refused = Accumulator::new(config, storage, 1).expect_err("one place is missing");
    let missing = StorageTooSmall { part: "places", len: 1, needed: 2 };
    assert_eq!(refused, NewRefused::Storage(missing));
    let config = BatchConfig { items_max: 0, ..config };
    let refused = Accumulator::<u32>::new(config, BatchStorage::on_heap(&small()), 1);
    assert!(matches!(refused, Err(NewRefused::Config(ConfigError { field: "items_max", .. }))));
}

#[test]
fn it_is_as_large_as_documented() {
    assert!(size_of::<Batcher>() <= 2_500, "{}", size_of::<Batcher>());
}

#[test]
fn unsettled_items_are_dropped_with_the_accumulator() {
    use alloc::rc::Rc;
    let item = Rc::new(());
    let config = small();
    let mut batcher = Accumulator::new(config, BatchStorage::on_heap(&config), 1).expect("valid");
    for _ in 0..15 {
        batcher.push(at_ms(0), Rc::clone(&item), 1).expect("there is room");
    }
    let batch = poll(&mut batcher, at_ms(0));
    assert_eq!(Rc::strong_count(&item), 16);
    drop((batcher, batch));
    assert_eq!(Rc::strong_count(&item), 1);
}

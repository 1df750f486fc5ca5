//! The end of a client, in order: end consumers, take nothing more, send what waits, wait for
//! answers, close.

use core::future::Future;
use core::pin::Pin;
use core::sync::atomic::{AtomicBool, Ordering};
use core::time::Duration;
use std::sync::{Mutex, MutexGuard, PoisonError};

use alloc::boxed::Box;
use alloc::sync::{Arc, Weak};
use alloc::vec::Vec;

use turbopump_core::time::Clock;

use super::Inner;
use super::consumer::{ConsumerReport, Group};
use super::lanes::Lanes;
use crate::backend::Backend;
use crate::within::within;

/// What became of messages from the moment when a client was told to end.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct ShutdownReport {
    /// Messages that came to their end: sent, or known to have failed.
    pub completed: u64,
    /// Messages that were given up because the time was over. They may have been sent.
    pub abandoned: u64,
    /// What became of the consumers' messages, of all of them together.
    pub consumers: ConsumerReport,
    /// Whether everything ended in time.
    pub in_time: bool,
}

/// Who has messages that wait. Producers that are gone are forgotten.
#[derive(Default)]
pub(super) struct Closing {
    /// Nothing is tried any more.
    is_over: AtomicBool,
    producers: Mutex<Vec<Weak<dyn Drains>>>,
    consumers: Mutex<Vec<Weak<dyn Ends>>>,
}

/// A consumer.
trait Ends: Send + Sync {
    /// It ends by this time.
    fn begin_end(&self, within: Duration);

    /// What became of it.
    fn ended(&self) -> Pin<Box<dyn Future<Output = ConsumerReport> + Send + '_>>;
}

impl<B: Backend> Ends for Group<B> {
    fn begin_end(&self, within: Duration) {
        Self::begin_end(self, within);
    }

    fn ended(&self) -> Pin<Box<dyn Future<Output = ConsumerReport> + Send + '_>> {
        Box::pin(Self::ended(self))
    }
}

type Draining<'d> = Pin<Box<dyn Future<Output = ()> + Send + 'd>>;

/// Has what waits sent, and takes nothing in any more.
trait Drains: Send + Sync {
    fn drain(&self, within: Duration) -> Draining<'_>;
}

impl<B: Backend> Drains for Lanes<B> {
    fn drain(&self, within: Duration) -> Draining<'_> {
        Box::pin(async move {
            self.stop_within(within).await;
        })
    }
}

impl Closing {
    /// Whether nothing is tried again, because the client is closed.
    pub(super) fn is_over(&self) -> bool {
        self.is_over.load(Ordering::SeqCst)
    }

    fn consumers(&self) -> MutexGuard<'_, Vec<Weak<dyn Ends>>> {
        self.consumers.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn producers(&self) -> MutexGuard<'_, Vec<Weak<dyn Drains>>> {
        self.producers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// How long closing connections may take once the time is over.
const CLOSE_US: u64 = 20_000;

impl<B: Backend> Inner<B> {
    /// It is ended before everything else.
    pub(super) fn register_consumer(&self, group: &Arc<Group<B>>) {
        let mut consumers = self.closing.consumers();
        consumers.retain(|consumer| consumer.strong_count() > 0);
        let group: Weak<Group<B>> = Arc::downgrade(group);
        consumers.push(group);
    }

    /// Ends all consumers at once, by this time.
    async fn end_consumers(&self, within: Duration) -> ConsumerReport {
        let consumers: Vec<_> = self.closing.consumers().iter().filter_map(Weak::upgrade).collect();
        consumers.iter().for_each(|consumer| consumer.begin_end(within));
        let mut all = ConsumerReport { in_time: true, ..ConsumerReport::default() };
        for consumer in consumers {
            let report = consumer.ended().await;
            all.completed += report.completed;
            all.abandoned += report.abandoned;
            all.uncommitted += report.uncommitted;
            all.in_time &= report.in_time;
        }
        all
    }

    /// These are drained at the end.
    pub(super) fn register(&self, lanes: &Arc<Lanes<B>>) {
        let mut producers = self.closing.producers();
        producers.retain(|producer| producer.strong_count() > 0);
        let lanes: Weak<Lanes<B>> = Arc::downgrade(lanes);
        producers.push(lanes);
    }

    pub(super) async fn shutdown(&self, timeout: Duration) -> ShutdownReport {
        let us = u64::try_from(timeout.as_micros()).unwrap_or(u64::MAX);
        let until = self.clock.now().at.plus_us(us);
        // First, because handlers may send.
        let consumers = self.end_consumers(timeout).await;
        let before = self.budget.usage();
        self.budget.close();
        let producers: Vec<_> = self.closing.producers().iter().filter_map(Weak::upgrade).collect();
        for producer in producers {
            let left = Duration::from_micros(until.us_since(self.clock.now().at));
            producer.drain(left).await;
        }
        let drained = self.budget.drained();
        let in_time = match self.clock.system_instant(until) {
            Some(until) => within(&self.backend, until, drained).await.is_some(),
            None => {
                drained.await;
                true
            }
        };
        let after = self.budget.usage();
        self.closing.is_over.store(true, Ordering::SeqCst);
        self.groups.bell.end();
        if in_time {
            if let Some(until) = self.clock.system_instant(until) {
                self.unregister(until).await;
            }
            self.peers.close().await;
        } else {
            // Whatever is still asked ends with its connection.
            self.peers.abort();
            let soon = self.clock.now().at.plus_us(CLOSE_US);
            if let Some(soon) = self.clock.system_instant(soon) {
                within(&self.backend, soon, self.peers.close()).await;
            }
        }
        ShutdownReport {
            completed: after.returned.saturating_sub(before.returned),
            abandoned: after.messages as u64,
            consumers,
            in_time: in_time && consumers.in_time,
        }
    }
}

//! Numbers per label value, on the heap and behind a lock.
//!
//! The core's [`LabelTable`] decides which values have numbers of their own; here is the lock
//! around it, the clock, handles that need no looking up, and what a monitor is shown.

use core::fmt;
use core::sync::atomic::{AtomicU64, Ordering};
use core::time::Duration;
use std::sync::{Mutex, MutexGuard, PoisonError};

use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec::Vec;

use turbopump_core::backing::Backing;
use turbopump_core::descriptor;
use turbopump_core::stats::{
    Counter, Descriptor, Kind, LABEL_EXPIRY_US, LABEL_VALUES_MAX, LabelKey, LabelSlot, LabelTable,
    OTHER, Samples, Source, VisitError,
};
use turbopump_core::time::Clock;

use crate::clock::SystemClock;

/// Numbers of type `T` for each value of one label, such as a topic. A cheap handle.
///
/// At most 200 values, of at most 127 bytes each, have numbers of their own; what comes on top is
/// counted under `_other`, and as [`dropped`](Self::dropped). Values that nobody has used for ten
/// minutes are forgotten with their numbers. See [`LabelTable`], which decides that.
///
/// Room for 200 values is made at once; where `T` is large, `Box<T>` keeps that small.
///
/// ```
/// use turbopump_core::descriptor;
/// use turbopump_core::stats::{Counter, Descriptor, Kind, Samples, Source, VisitError, text};
/// use turbopump_std::labeled::Labeled;
///
/// static SENT: Descriptor = descriptor!(Kind::Counter, "app_sent_total", "Messages sent.");
/// static FAMILIES: [&Descriptor; 1] = [&SENT];
///
/// #[derive(Clone, Default)]
/// struct Sent(Counter);
///
/// impl Source for Sent {
///     fn families(&self) -> &'static [&'static Descriptor] {
///         &FAMILIES
///     }
///     fn visit(&self, samples: &mut Samples<'_>) -> Result<(), VisitError> {
///         samples.counter(&SENT, &[], self.0)
///     }
/// }
///
/// let sent = Labeled::<Sent>::new("topic");
/// let orders = sent.value("orders"); // to be kept by whoever counts often
/// orders.count(|sent| sent.0.increment());
///
/// let mut page = String::new();
/// text::write_prometheus(&[sent.stats()], &[], &mut page)?;
/// assert!(page.contains("app_sent_total{topic=\"orders\"} 1\n"));
/// # Ok::<(), VisitError>(())
/// ```
///
/// With a monitor it is registered as other sources are: `sources.register(&[], move ||
/// sent.stats())`, and `sources.register(&[("label", "topic")], move || sent.dropped())`.
pub struct Labeled<T: 'static> {
    shared: Arc<Shared<T>>,
}

struct Shared<T: 'static> {
    label: &'static str,
    clock: Box<dyn Clock + Send + Sync>,
    table: Mutex<LabelTable<'static, T>>,
}

impl<T: 'static> Shared<T> {
    fn lock(&self) -> MutexGuard<'_, LabelTable<'static, T>> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<T: 'static> Clone for Labeled<T> {
    fn clone(&self) -> Self {
        Self { shared: Arc::clone(&self.shared) }
    }
}

impl<T: Default + 'static> Labeled<T> {
    /// For values of this label; 200 of them, forgotten after ten minutes.
    #[must_use]
    pub fn new(label: &'static str) -> Self {
        Self::bounded(label, LABEL_VALUES_MAX, Duration::from_micros(LABEL_EXPIRY_US))
    }

    /// For so many values, each forgotten when nobody has used it for so long.
    #[must_use]
    pub fn bounded(label: &'static str, values_max: usize, expiry: Duration) -> Self {
        Self::with_clock(label, values_max, expiry, SystemClock::new())
    }

    /// As [`bounded`](Self::bounded), by a clock of the caller's: for tests.
    #[must_use]
    pub fn with_clock(
        label: &'static str,
        values_max: usize,
        expiry: Duration,
        clock: impl Clock + Send + Sync + 'static,
    ) -> Self {
        let slots: Backing<'static, _> = (0..values_max).map(|_| LabelSlot::new()).collect();
        let expiry_us = u64::try_from(expiry.as_micros()).unwrap_or(u64::MAX);
        let table = Mutex::new(LabelTable::new(slots, expiry_us));
        Self { shared: Arc::new(Shared { label, clock: Box::new(clock), table }) }
    }

    /// A value, to count for without looking it up each time. That alone does not make it known.
    #[must_use]
    pub fn value(&self, value: &str) -> LabeledValue<T> {
        let (shared, value) = (Arc::clone(&self.shared), value.into());
        LabeledValue { shared, value, key: AtomicU64::new(UNKNOWN) }
    }

    /// Changes the numbers of a value, which is looked up.
    pub fn count<R>(&self, value: &str, change: impl FnOnce(&mut T) -> R) -> R {
        let now = self.shared.clock.now().at;
        change(self.shared.lock().of(now, value))
    }

    /// All numbers of this moment.
    #[must_use]
    pub fn stats(&self) -> LabeledStats<T>
    where
        T: Clone,
    {
        let now = self.shared.clock.now().at;
        let mut table = self.shared.lock();
        table.expire(now);
        let values = table.iter(now).filter(|(value, _)| *value != OTHER);
        let values = values.map(|(value, numbers)| (value.into(), numbers.clone())).collect();
        let other_is_used = table.iter(now).any(|(value, _)| value == OTHER);
        let label = self.shared.label;
        LabeledStats { label, values, other: table.other().clone(), other_is_used }
    }

    /// How often a value had to be counted under `_other`: looked up without finding room. A
    /// [`LabeledValue`] that did not find room looks again when there may be some.
    #[must_use]
    pub fn dropped(&self) -> SeriesDropped {
        SeriesDropped(self.shared.lock().dropped())
    }
}

/// No key is like that: its value is looked up.
const UNKNOWN: u64 = (LABEL_NEVER << 32) | LABEL_NEVER;
const LABEL_NEVER: u64 = u32::MAX as u64 - 2;

/// One value of a [`Labeled`], which remembers where its numbers are.
pub struct LabeledValue<T: 'static> {
    shared: Arc<Shared<T>>,
    value: Box<str>,
    key: AtomicU64,
}

impl<T: Default + 'static> LabeledValue<T> {
    /// Changes the numbers of this value, under a lock that all values share: for what is counted
    /// once per batch or request, not per byte. `change` must not count for another value.
    pub fn count<R>(&self, change: impl FnOnce(&mut T) -> R) -> R {
        let now = self.shared.clock.now().at;
        let mut table = self.shared.lock();
        let mut key = LabelKey::from_bits(self.key.load(Ordering::Relaxed));
        if table.get_mut(now, key).is_none() {
            key = table.key(now, &self.value);
            self.key.store(key.to_bits(), Ordering::Relaxed);
        }
        match table.get_mut(now, key) {
            Some(numbers) => change(numbers),
            // Only where values expire at once.
            None => change(table.of(now, &self.value)),
        }
    }

    /// The value.
    #[must_use]
    pub fn value(&self) -> &str {
        &self.value
    }
}

/// The numbers of all values at one moment.
#[derive(Clone, Debug)]
pub struct LabeledStats<T> {
    label: &'static str,
    values: Vec<(Box<str>, T)>,
    other: T,
    other_is_used: bool,
}

impl<T> LabeledStats<T> {
    /// All values with their numbers; `_other` comes last.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &T)> {
        let own = self.values.iter().map(|(value, numbers)| (&**value, numbers));
        own.chain(self.other_is_used.then_some((OTHER, &self.other)))
    }
}

impl<T: Source> Source for LabeledStats<T> {
    fn families(&self) -> &'static [&'static Descriptor] {
        self.other.families()
    }

    fn visit(&self, samples: &mut Samples<'_>) -> Result<(), VisitError> {
        for (value, numbers) in self.iter() {
            numbers.visit(&mut samples.with_labels(&[(self.label, value)])?)?;
        }
        Ok(())
    }
}

static DROPPED: Descriptor = descriptor!(
    Kind::Counter,
    "turbopump_series_dropped_total",
    "Label values that were looked up without finding room, and counted under _other."
);
static FAMILIES: [&Descriptor; 1] = [&DROPPED];

/// How often values of a [`Labeled`] found no room.
#[derive(Clone, Copy, Debug, Default)]
pub struct SeriesDropped(Counter);

impl SeriesDropped {
    /// How often.
    #[must_use]
    pub const fn get(self) -> u64 {
        self.0.get()
    }
}

impl Source for SeriesDropped {
    fn families(&self) -> &'static [&'static Descriptor] {
        &FAMILIES
    }

    fn visit(&self, samples: &mut Samples<'_>) -> Result<(), VisitError> {
        samples.counter(&DROPPED, &[], self.0)
    }
}

impl<T: 'static> fmt::Debug for Labeled<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Labeled")
            .field("label", &self.shared.label)
            .field("table", &*self.shared.lock())
            .finish()
    }
}

impl<T: 'static> fmt::Debug for LabeledValue<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("LabeledValue").field(&self.shared.label).field(&self.value).finish()
    }
}

#[cfg(test)]
mod tests {
    use alloc::string::String;
    use std::thread;

    use turbopump_core::stats::text;
    use turbopump_core::time::{Instant, Now};

    use super::*;

    static USED: Descriptor = descriptor!(Kind::Counter, "t_used_total", "Uses.");
    static USED_FAMILIES: [&Descriptor; 1] = [&USED];

    #[derive(Clone, Default)]
    struct Used(Counter);

    impl Source for Used {
        fn families(&self) -> &'static [&'static Descriptor] {
            &USED_FAMILIES
        }

        fn visit(&self, samples: &mut Samples<'_>) -> Result<(), VisitError> {
            samples.counter(&USED, &[], self.0)
        }
    }

    #[derive(Clone, Default)]
    struct Moved(Arc<AtomicU64>);

    impl Clock for Moved {
        fn now(&self) -> Now {
            Now::new(Instant::from_us(self.0.load(Ordering::SeqCst)), 0)
        }
    }

    fn page(of: &Labeled<Used>) -> String {
        let mut page = String::new();
        text::write_prometheus(&[of.stats()], &[], &mut page).unwrap();
        text::write_prometheus(&[of.dropped()], &[("label", "peer")], &mut page).unwrap();
        page
    }

    #[test]
    fn what_found_no_room_finds_some_when_others_have_expired() {
        let clock = Moved::default();
        let of = Labeled::with_clock("peer", 1, Duration::from_secs(600), clock.clone());
        assert!(of.stats().iter().next().is_none());
        let [first, second] = ["a", "b"].map(|value| of.value(value));
        for value in [&first, &first, &second, &second] {
            value.count(|used: &mut Used| used.0.increment());
        }
        let shown = page(&of);
        assert!(shown.contains("t_used_total{peer=\"a\"} 2\n"), "{shown}");
        assert!(shown.contains("t_used_total{peer=\"_other\"} 2\n"), "{shown}");
        assert!(shown.contains("turbopump_series_dropped_total{label=\"peer\"} 1\n"), "{shown}");
        clock.0.store(600_000_000, Ordering::SeqCst);
        assert!(!page(&of).contains("peer=\"a\""));
        second.count(|used| used.0.increment());
        first.count(|used| used.0.increment());
        let shown = page(&of);
        assert!(shown.contains("t_used_total{peer=\"b\"} 1\n"), "{shown}");
        assert!(shown.contains("t_used_total{peer=\"_other\"} 3\n"), "{shown}");
        assert_eq!(of.dropped().get(), 2);
    }

    #[test]
    fn threads_lose_no_count() {
        let of = Labeled::<Used>::bounded("topic", 2, Duration::from_secs(600));
        let threads: [_; 4] = core::array::from_fn(|number| {
            let of = of.clone();
            thread::spawn(move || {
                let value = of.value(["a", "b", "c", "a"][number]);
                (0..1_000).for_each(|_| value.count(|used| used.0.increment()));
            })
        });
        for thread in threads {
            thread.join().unwrap();
        }
        let stats = of.stats();
        assert_eq!(stats.iter().map(|(_, used)| used.0.get()).sum::<u64>(), 4_000);
        assert_eq!(stats.iter().count(), 3, "two, and what is left");
    }
}

//! What batches are for: the function that works on them.

use super::accumulator::Accumulator;
use super::entry::Settled;
use super::error::PollRefused;
use super::work::Batch;
use crate::time::Clock;

/// Works on batches: sends, handles or stores what is in them.
///
/// Any `FnMut(&mut Batch<T>)` is one. Handles with threads and tasks call their sinks themselves;
/// [`run`] is for super-loops.
pub trait Sink<T> {
    /// Works on the items of `batch` and says what became of each; of those that it says nothing
    /// about, that they are done.
    fn process(&mut self, batch: &mut Batch<'_, T>);
}

impl<T, F: FnMut(&mut Batch<'_, T>)> Sink<T> for F {
    fn process(&mut self, batch: &mut Batch<'_, T>) {
        self(batch);
    }
}

/// Runs `sink` on every batch that is due, until there is none. `each` is told of every item that
/// is settled. Returns how many batches that were.
///
/// Bounded by what waits and by the time that passes meanwhile: a sink that takes longer than the
/// retry delay can keep this going as long as retries are left.
///
/// # Errors
///
/// [`PollRefused`] where `batch` is out, or too small for this accumulator.
///
/// ```
/// use turbopump_core::batch::{Accumulator, Batch, BatchConfig, BatchStorage, run};
/// use turbopump_core::time::{Clock, ManualClock};
/// # #[cfg(feature = "alloc")] {
/// let config = BatchConfig::default();
/// let clock = ManualClock::default();
/// let mut batcher = Accumulator::new(config, BatchStorage::on_heap(&config), 1)?;
/// let mut batch = Batch::on_heap(&config);
/// batcher.push(clock.now(), "an item", 7)?;
/// batcher.flush();
///
/// let mut seen = 0;
/// let mut count = |batch: &mut Batch<'_, &str>| seen += batch.len();
/// assert_eq!(run(&mut batcher, &clock, &mut batch, &mut count, |_, _| ())?, 1);
/// assert_eq!(seen, 1);
/// # }
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn run<T>(
    accumulator: &mut Accumulator<'_, T>,
    clock: &impl Clock,
    batch: &mut Batch<'_, T>,
    sink: &mut impl Sink<T>,
    mut each: impl FnMut(T, Settled),
) -> Result<usize, PollRefused> {
    let mut batches = 0;
    while accumulator.poll_batch(clock.now(), batch)? {
        if !batch.is_empty() {
            sink.process(batch);
        }
        // It is out, and came from here.
        let settled = accumulator.settle(clock.now(), batch, &mut each);
        debug_assert_eq!(settled, Ok(()));
        batches += 1;
    }
    Ok(batches)
}

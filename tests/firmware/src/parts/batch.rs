//! Batches closed by count and by linger, and retries; the clock is a number.

use turbopump_core::batch::{
    Accumulator, Batch, BatchCells, BatchConfig, BatchStorage, Outcome, Place, Settled,
};
use turbopump_core::time::Now;

use crate::check::{Checks, check, must};

const ITEMS: usize = 3;
/// Up to the next power of two for those that wait, and as many as a batch has for the retries.
const CELLS: usize = 4 + ITEMS;

#[inline(never)]
pub(crate) fn run(checks: &mut Checks) {
    let config = BatchConfig {
        items_max: ITEMS as u32,
        waiting_max: ITEMS as u32,
        in_flight_max: 1,
        ..BatchConfig::default()
    };
    check!(checks, config.cells_len() == CELLS && config.places_len() == 1);
    let mut cells = BatchCells::<u32, CELLS>::new();
    let mut places = [Place::new()];
    let mut room = BatchCells::<u32, ITEMS>::new();
    let storage = BatchStorage::borrowed(&mut cells, &mut places);
    let mut batcher = must(Accumulator::new(config, storage, 1));
    let mut batch = Batch::borrowed(&mut room);
    let mut now = Now::default();

    // Closed by count.
    for item in 0..3 {
        check!(checks, !must(batcher.poll_batch(now, &mut batch)));
        must(batcher.push(now, item, 4));
    }
    check!(checks, batcher.push(now, 9, 4).is_err_and(|refused| refused.item == 9));
    check!(checks, must(batcher.poll_batch(now, &mut batch)));
    check!(checks, batch.iter().copied().eq(0..3));
    for mut entry in &mut batch {
        match *entry.item() {
            1 => entry.set(Outcome::Retry),
            2 => entry.set(Outcome::Failed),
            _ => {}
        }
    }
    let mut settled = [None; 3];
    must(batcher.settle(now, &mut batch, |item, how| settled[item as usize] = Some(how)));
    check!(checks, settled == [Some(Settled::Done), None, Some(Settled::Failed)]);

    // What was to be retried comes again, when it is time.
    check!(checks, !must(batcher.poll_batch(now, &mut batch)));
    let Some(at) = batcher.poll_timeout() else { panic!("a retry has a time") };
    check!(checks, at.us_since(now.at) == 50_000);
    now.at = at;
    check!(checks, must(batcher.poll_batch(now, &mut batch)));
    check!(checks, batch.iter().copied().eq(1..2));
    must(batcher.settle(now, &mut batch, |item, how| settled[item as usize] = Some(how)));
    check!(checks, settled[1] == Some(Settled::Done));

    // Closed by linger.
    must(batcher.push(now, 0, 4));
    check!(checks, !must(batcher.poll_batch(now, &mut batch)));
    let Some(at) = batcher.poll_timeout() else { panic!("a batch that waits has a time") };
    check!(checks, at.us_since(now.at) == config.linger_us);
    now.at = at;
    check!(checks, must(batcher.poll_batch(now, &mut batch)));
    must(batcher.settle(now, &mut batch, |_, _| ()));
    check!(checks, batcher.is_drained());
    check!(checks, batcher.counters().retried.get() == 1);
}

//! Batches closed by count and by linger, and retries; the clock is a number.

use turbopump_core::batch::{
    Accumulator, BatchConfig, BatchStorage, Entry, Outcome, Place, Settled,
};
use turbopump_core::time::Now;

use crate::check::{Checks, check, must};

const BATCHES: usize = 4;
const ITEMS: usize = 3;

#[inline(never)]
pub(crate) fn run(checks: &mut Checks) {
    let config = BatchConfig {
        items_max: ITEMS as u32,
        waiting_max: ITEMS as u32,
        in_flight_max: 1,
        ..BatchConfig::default()
    };
    check!(checks, config.batches_len() == BATCHES);
    let mut entries = [const { None::<Entry<u32>> }; BATCHES * ITEMS];
    let mut places = [const { Place::new() }; BATCHES];
    let storage = BatchStorage::borrowed(&mut places, &mut entries);
    let mut batcher = must(Accumulator::new(config, storage, 1));
    let mut now = Now::default();

    // Closed by count.
    for item in 0..3 {
        check!(checks, batcher.poll_batch(now).is_none());
        must(batcher.push(now, item, 4));
    }
    check!(checks, batcher.push(now, 9, 4).is_err_and(|refused| refused.item == 9));
    let Some(mut batch) = batcher.poll_batch(now) else { panic!("three items make a batch") };
    check!(checks, batch.iter().map(|entry| *entry.item()).eq(0..3));
    for entry in &mut batch {
        match *entry.item() {
            1 => entry.set(Outcome::Retry),
            2 => entry.set(Outcome::Failed),
            _ => {}
        }
    }
    let mut settled = [None; 3];
    must(batcher.settle(now, batch, |item, how| settled[item as usize] = Some(how)));
    check!(checks, settled == [Some(Settled::Done), None, Some(Settled::Failed)]);

    // What was to be retried comes again, when it is time.
    check!(checks, batcher.poll_batch(now).is_none());
    let Some(at) = batcher.poll_timeout() else { panic!("a retry has a time") };
    check!(checks, at.us_since(now.at) == 50_000);
    now.at = at;
    let Some(batch) = batcher.poll_batch(now) else { panic!("it is time") };
    check!(checks, batch.iter().map(|entry| *entry.item()).eq(1..2));
    must(batcher.settle(now, batch, |item, how| settled[item as usize] = Some(how)));
    check!(checks, settled[1] == Some(Settled::Done));

    // Closed by linger.
    must(batcher.push(now, 0, 4));
    check!(checks, batcher.poll_batch(now).is_none());
    let Some(at) = batcher.poll_timeout() else { panic!("a batch that waits has a time") };
    check!(checks, at.us_since(now.at) == config.linger_us);
    now.at = at;
    let Some(batch) = batcher.poll_batch(now) else { panic!("it has waited long enough") };
    must(batcher.settle(now, batch, |_, _| ()));
    check!(checks, batcher.is_drained());
    check!(checks, batcher.counters().retried.get() == 1);
}

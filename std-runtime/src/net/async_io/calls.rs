//! Which worker is called when tasks are queued: enough of them, and none that is busy already.

use core::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use super::worker::TAKE_MAX;

/// Submitters queue first and look for workers then; workers say that they rest and look into the
/// queue then: one of both sees the other. Workers are bits.
#[derive(Debug, Default)]
pub(super) struct Calls {
    /// How many tasks are queued; changed under the table's lock.
    queued: AtomicUsize,
    /// Workers that wait and could take a task.
    available: AtomicU64,
    /// Workers that were called and have not come yet. Not a number, because one that comes by
    /// itself may be called again before it hears of the first call, and comes once for both.
    coming: AtomicU64,
}

impl Calls {
    pub(super) fn set_queued(&self, tasks: usize) {
        self.queued.store(tasks, Ordering::SeqCst);
    }

    pub(super) fn queued(&self) -> usize {
        self.queued.load(Ordering::SeqCst)
    }

    /// A worker that must be told to come, if tasks wait and too few are on their way.
    pub(super) fn pick(&self) -> Option<usize> {
        loop {
            let queued = self.queued();
            let coming = self.coming.load(Ordering::SeqCst).count_ones() as usize;
            // Half of what they take, so that no single one holds up many.
            if queued == 0 || (coming > 0 && queued <= coming * TAKE_MAX / 2) {
                return None;
            }
            let available = self.available.load(Ordering::SeqCst);
            if available == 0 {
                // All are at work, and will look into the queue before they wait.
                return None;
            }
            // The lowest, so that few workers stay warm when there is little to do.
            let bit = available & available.wrapping_neg();
            if self.available.fetch_and(!bit, Ordering::SeqCst) & bit != 0 {
                self.coming.fetch_or(bit, Ordering::SeqCst);
                return Some(bit.trailing_zeros() as usize);
            }
        }
    }

    /// A worker that was told to come has come.
    pub(super) fn arrived(&self, worker: usize) {
        self.coming.fetch_and(!(1 << worker), Ordering::SeqCst);
    }

    /// A worker begins to work.
    pub(super) fn busy(&self, worker: usize) {
        self.available.fetch_and(!(1 << worker), Ordering::SeqCst);
    }

    /// A worker is about to wait; false where there is something for it after all.
    pub(super) fn rest(&self, worker: usize, has_room: bool) -> bool {
        if !has_room {
            return true;
        }
        let bit = 1 << worker;
        self.available.fetch_or(bit, Ordering::SeqCst);
        self.queued() == 0 || self.available.fetch_and(!bit, Ordering::SeqCst) & bit == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn resting(workers: usize) -> Calls {
        let calls = Calls::default();
        (0..workers).for_each(|worker| assert!(calls.rest(worker, true)));
        calls
    }

    #[test]
    fn as_many_are_called_as_there_is_work_for() {
        let calls = resting(3);
        assert_eq!(calls.pick(), None);
        calls.set_queued(1);
        assert_eq!(calls.pick(), Some(0));
        assert_eq!(calls.pick(), None, "one comes already");
        calls.set_queued(TAKE_MAX / 2 + 1);
        assert_eq!(calls.pick(), Some(1));
        calls.set_queued(TAKE_MAX + 1);
        assert_eq!(calls.pick(), Some(2));
        calls.set_queued(100);
        assert_eq!(calls.pick(), None, "there are no more");
    }

    #[test]
    fn who_comes_by_itself_and_is_called_twice_comes_once() {
        let calls = resting(1);
        calls.set_queued(1);
        assert_eq!(calls.pick(), Some(0));
        // Before it hears of that it comes for another reason, and rests again.
        calls.busy(0);
        calls.set_queued(0);
        assert!(calls.rest(0, true));
        calls.set_queued(TAKE_MAX);
        assert_eq!(calls.pick(), Some(0));
        // It hears of both at once.
        calls.arrived(0);
        calls.busy(0);
        calls.set_queued(0);
        assert!(calls.rest(0, true));
        calls.set_queued(1);
        assert_eq!(calls.pick(), Some(0), "nobody is on the way");
    }

    #[test]
    fn who_finds_tasks_does_not_rest() {
        let calls = resting(1);
        calls.busy(0);
        calls.set_queued(1);
        assert!(!calls.rest(0, true));
        assert!(calls.rest(0, false), "it has no room");
        assert_eq!(calls.pick(), None);
    }
}

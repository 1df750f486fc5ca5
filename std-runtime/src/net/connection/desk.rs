//! Where who waits for a connection picks it up. Each waiter has a desk of their own, so that
//! picking up does not take the pool's lock, which many would wait for.

use core::mem;
use core::task::{Context, Waker};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Own cache lines: neighbours are used by other threads. Locked for a moment, by at most two.
#[repr(align(64))]
pub(super) struct Desk<T> {
    lies: Mutex<Lies<T>>,
}

/// What lies on a desk.
enum Lies<T> {
    Nothing,
    /// To be woken.
    Waker(Waker),
    Served(T),
    /// The wait is over otherwise: the books say how.
    Ended,
    /// Who waited is gone.
    Gone,
}

/// What a waiter finds.
pub(super) enum Found<T> {
    /// Will be woken.
    Nothing,
    Served(T),
    Ended,
}

impl<T> Desk<T> {
    pub(super) const fn new() -> Self {
        Self { lies: Mutex::new(Lies::Nothing) }
    }

    fn lock(&self) -> MutexGuard<'_, Lies<T>> {
        self.lies.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// For who waits: looks, and leaves the task's waker where nothing lies.
    #[inline]
    pub(super) fn find(&self, cx: &Context<'_>) -> Found<T> {
        let mut lies = self.lock();
        match &*lies {
            Lies::Waker(waker) if waker.will_wake(cx.waker()) => return Found::Nothing,
            Lies::Waker(_) | Lies::Nothing | Lies::Gone => {
                let before = mem::replace(&mut *lies, Lies::Waker(cx.waker().clone()));
                drop(lies);
                drop(before);
                return Found::Nothing;
            }
            Lies::Served(_) | Lies::Ended => {}
        }
        match mem::replace(&mut *lies, Lies::Nothing) {
            Lies::Served(served) => Found::Served(served),
            _ => Found::Ended,
        }
    }

    /// Passes a connection on; back it comes where nobody waits for it any more.
    #[inline]
    pub(super) fn serve(&self, served: T) -> Result<(), T> {
        let mut lies = self.lock();
        if matches!(&*lies, Lies::Gone) {
            *lies = Lies::Nothing;
            return Err(served);
        }
        let before = mem::replace(&mut *lies, Lies::Served(served));
        drop(lies);
        if let Lies::Waker(waker) = before {
            waker.wake();
        }
        Ok(())
    }

    /// Says that the wait has ended without a connection; returns whom to wake.
    pub(super) fn end(&self) -> Option<Waker> {
        match mem::replace(&mut *self.lock(), Lies::Ended) {
            Lies::Waker(waker) => Some(waker),
            _ => None,
        }
    }

    /// Clears the desk of somebody who is neither served nor waiting, for the next. What lay there
    /// is to be dropped without a lock.
    pub(super) fn clear(&self) -> impl Sized + use<T> {
        mem::replace(&mut *self.lock(), Lies::Nothing)
    }

    /// For who gives up after having been served: takes the connection, or has it sent back when it
    /// comes.
    pub(super) fn go(&self) -> Option<T> {
        let mut lies = self.lock();
        let left = if matches!(&*lies, Lies::Served(_)) { Lies::Nothing } else { Lies::Gone };
        let before = mem::replace(&mut *lies, left);
        drop(lies);
        match before {
            Lies::Served(served) => Some(served),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use core::sync::atomic::{AtomicUsize, Ordering};
    use core::task::{Context, Waker};

    use alloc::sync::Arc;
    use alloc::task::Wake;

    use super::{Desk, Found};

    #[derive(Default)]
    struct Bell(AtomicUsize);

    impl Wake for Bell {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn find(desk: &Desk<u32>, bell: &Arc<Bell>) -> Found<u32> {
        let waker = Waker::from(Arc::clone(bell));
        desk.find(&Context::from_waker(&waker))
    }

    #[test]
    fn who_waits_is_woken_once_and_finds_what_was_served() {
        let (desk, bell) = (Desk::new(), Arc::default());
        assert!(matches!(find(&desk, &bell), Found::Nothing));
        assert!(matches!(find(&desk, &bell), Found::Nothing), "polled again for no reason");
        assert_eq!(desk.serve(7), Ok(()));
        assert_eq!(bell.0.load(Ordering::Relaxed), 1);
        assert!(matches!(find(&desk, &bell), Found::Served(7)));
    }

    #[test]
    fn the_task_that_polled_last_is_woken() {
        let (desk, first, second) = (Desk::new(), Arc::default(), Arc::default());
        assert!(matches!(find(&desk, &first), Found::Nothing));
        assert!(matches!(find(&desk, &second), Found::Nothing));
        assert_eq!(desk.serve(7), Ok(()));
        let woken = [&first, &second].map(|bell: &Arc<Bell>| bell.0.load(Ordering::Relaxed));
        assert_eq!(woken, [0, 1]);
    }

    #[test]
    fn what_was_served_or_ended_before_the_first_look_is_found() {
        let (desk, bell) = (Desk::new(), Arc::default());
        assert_eq!(desk.serve(7), Ok(()));
        assert!(matches!(find(&desk, &bell), Found::Served(7)));
        assert!(desk.end().is_none());
        assert!(matches!(find(&desk, &bell), Found::Ended));
        assert!(matches!(find(&desk, &bell), Found::Nothing), "clean for the next");
    }

    #[test]
    fn an_end_wakes() {
        let (desk, bell) = (Desk::<u32>::new(), Arc::default());
        assert!(matches!(find(&desk, &bell), Found::Nothing));
        desk.end().expect("somebody waits").wake();
        assert_eq!(bell.0.load(Ordering::Relaxed), 1);
        drop(desk.clear());
        assert!(matches!(find(&desk, &bell), Found::Nothing), "clean for the next");
    }

    #[test]
    fn what_comes_after_the_waiter_has_gone_is_sent_back() {
        let (desk, bell) = (Desk::new(), Arc::default());
        assert!(matches!(find(&desk, &bell), Found::Nothing));
        assert_eq!(desk.go(), None);
        assert_eq!(desk.serve(7), Err(7));
        assert_eq!(bell.0.load(Ordering::Relaxed), 0, "nobody is there");
        assert_eq!(desk.serve(8), Ok(()), "clean for the next");
        assert_eq!(desk.go(), Some(8));
        assert!(matches!(find(&desk, &bell), Found::Nothing), "clean for the next");
    }
}

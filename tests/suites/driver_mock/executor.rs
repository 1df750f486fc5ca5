//! One thread, tasks that run only when they were woken, and a clock that jumps to the next timer.

use std::cell::{Cell, RefCell};
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Wake, Waker};

use turbopump_core::driver::AsyncClock;
use turbopump_core::time::{Clock, Instant, Now};

/// Polls after which a run is taken for one that spins.
const POLLS_MAX: usize = 2_000_000;

struct Flag(AtomicBool);

impl Wake for Flag {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// A clock that stands still as long as anybody has something to do.
#[derive(Default)]
pub(crate) struct VirtualClock {
    now_us: Cell<u64>,
    timers: RefCell<Vec<(Instant, Waker)>>,
}

impl VirtualClock {
    pub(crate) fn now_ms(&self) -> u64 {
        self.now_us.get() / 1_000
    }

    /// Jumps to the next timer; false where there is none.
    fn advance(&self) -> bool {
        let Some(next) = self.timers.borrow().iter().map(|(at, _)| *at).min() else {
            return false;
        };
        self.now_us.set(self.now_us.get().max(next.as_us()));
        self.timers.borrow_mut().retain(|(at, waker)| {
            let due = *at <= next;
            if due {
                waker.wake_by_ref();
            }
            !due
        });
        true
    }
}

impl Clock for VirtualClock {
    fn now(&self) -> Now {
        Now::new(Instant::from_us(self.now_us.get()), 0)
    }
}

impl AsyncClock for VirtualClock {
    async fn sleep_until(&self, at: Instant) {
        std::future::poll_fn(|context| {
            if self.now().at >= at {
                return Poll::Ready(());
            }
            self.timers.borrow_mut().push((at, context.waker().clone()));
            Poll::Pending
        })
        .await;
    }
}

type Task = Pin<Box<dyn Future<Output = ()>>>;

/// Runs tasks to their end. Panics where nobody can go on any more: a wake-up was lost.
pub(crate) struct Executor {
    tasks: Vec<(Task, Arc<Flag>)>,
    clock: Rc<VirtualClock>,
    pub(crate) polls: usize,
}

impl Executor {
    pub(crate) fn new() -> Self {
        Self { tasks: Vec::new(), clock: Rc::default(), polls: 0 }
    }

    pub(crate) fn clock(&self) -> Rc<VirtualClock> {
        self.clock.clone()
    }

    pub(crate) fn spawn(&mut self, task: impl Future<Output = ()> + 'static) {
        self.tasks.push((Box::pin(task), Arc::new(Flag(AtomicBool::new(true)))));
    }

    pub(crate) fn run(&mut self) {
        while !self.tasks.is_empty() {
            if !self.turn() {
                assert!(self.clock.advance(), "{} tasks wait for nothing", self.tasks.len());
            }
        }
    }

    /// Polls every task that was woken; false where none was.
    pub(crate) fn turn(&mut self) -> bool {
        let mut any = false;
        let polls = &mut self.polls;
        self.tasks.retain_mut(|(task, flag)| {
            if !flag.0.swap(false, Ordering::Relaxed) {
                return true;
            }
            any = true;
            *polls += 1;
            let waker = Waker::from(flag.clone());
            task.as_mut().poll(&mut Context::from_waker(&waker)).is_pending()
        });
        assert!(self.polls < POLLS_MAX, "tasks spin");
        any
    }
}

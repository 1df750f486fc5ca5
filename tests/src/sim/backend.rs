//! A backend that is a simulation: one thread, its own time, and a network of its own.
//!
//! Tasks that were woken run one at a time, in an order that the seed decides. When nobody has
//! anything to do, time jumps to the next timer. So a second takes no time, and one seed gives the
//! same run again.

use alloc::collections::BTreeMap;
use alloc::sync::Arc;
use alloc::task::Wake;
use core::future::Future;
use core::net::SocketAddr;
use core::pin::Pin;
use core::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use core::task::{Context, Poll, Waker};
use core::time::Duration;
use std::collections::VecDeque;
use std::io;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use turbopump_core::random::SplitMix64;
use turbopump_std::backend::{Backend, SocketOptions, TimeSource};

use super::net::{Connecting, Half, Listener, Net};

/// The backend; clones share a simulation.
#[derive(Clone)]
pub struct Sim {
    pub(super) shared: Arc<Shared>,
}

pub(super) struct Shared {
    base: Instant,
    now_us: Arc<AtomicU64>,
    state: Mutex<State>,
    woken: Arc<Woken>,
}

pub(super) struct State {
    pub(super) random: SplitMix64,
    tasks: Vec<Option<Task>>,
    free: Vec<usize>,
    /// By time, and by number among those of one time.
    timers: BTreeMap<(u64, u64), Waker>,
    next_timer: u64,
    pub(super) net: Net,
    trace: VecDeque<String>,
}

struct Task {
    future: Pin<Box<dyn Future<Output = ()> + Send>>,
    waker: Arc<TaskWaker>,
}

/// Tasks that have something to do.
#[derive(Default)]
struct Woken {
    tasks: Mutex<Vec<usize>>,
}

struct TaskWaker {
    task: usize,
    is_woken: AtomicBool,
    woken: Arc<Woken>,
}

impl Wake for TaskWaker {
    fn wake(self: Arc<Self>) {
        if !self.is_woken.swap(true, Ordering::SeqCst) {
            self.woken.tasks.lock().unwrap_or_else(PoisonError::into_inner).push(self.task);
        }
    }
}

/// Why a simulation did not come to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stuck {
    /// Nobody has anything to do, and no timer runs.
    Idle,
    /// Tasks run, and time does not go on.
    Spinning,
    /// It takes longer than it may.
    Late,
}

/// What there is at the moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Left {
    /// Tasks that have not ended.
    pub tasks: usize,
    /// Halves of connections.
    pub halves: usize,
    /// Timers.
    pub timers: usize,
}

/// Polls within one microsecond; more of them is spinning.
const POLLS_MAX: u64 = 200_000;
/// Steps that are remembered.
const TRACE_MAX: usize = 60;

impl Sim {
    /// A simulation with a seed.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        let state = State {
            random: SplitMix64::new(seed),
            tasks: Vec::new(),
            free: Vec::new(),
            timers: BTreeMap::new(),
            next_timer: 0,
            net: Net::default(),
            trace: VecDeque::new(),
        };
        let shared = Shared {
            base: Instant::now(),
            now_us: Arc::default(),
            state: Mutex::new(state),
            woken: Arc::default(),
        };
        Self { shared: Arc::new(shared) }
    }

    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        self.shared.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Microseconds since the beginning.
    #[must_use]
    pub fn now_us(&self) -> u64 {
        self.shared.now_us.load(Ordering::SeqCst)
    }

    /// A number below `bound`, by chance.
    #[must_use]
    pub fn below(&self, bound: u64) -> u64 {
        self.state().random.below(bound)
    }

    /// Waits.
    pub async fn sleep_us(&self, us: u64) {
        self.sleep_until(self.now() + Duration::from_micros(us)).await;
    }

    /// Remembers something for whoever looks into a failure.
    pub fn note(&self, what: impl FnOnce() -> String) {
        let at = self.now_us();
        let mut state = self.state();
        if state.trace.len() >= TRACE_MAX {
            state.trace.pop_front();
        }
        state.trace.push_back(format!("{:>10.3} ms  {}", at as f64 / 1e3, what()));
    }

    /// The last steps.
    #[must_use]
    pub fn trace(&self) -> Vec<String> {
        self.state().trace.iter().cloned().collect()
    }

    /// What there is at the moment.
    #[must_use]
    pub fn left(&self) -> Left {
        let state = self.state();
        let tasks = state.tasks.iter().flatten().count();
        Left { tasks, halves: state.net.halves(), timers: state.timers.len() }
    }

    /// Runs `main` to its end, and everything that was spawned meanwhile.
    ///
    /// # Errors
    ///
    /// [`Stuck`] where that does not come, or not within `us`.
    pub fn run<T>(&self, us: u64, main: impl Future<Output = T>) -> Result<T, Stuck> {
        let mut main = core::pin::pin!(main);
        let waker = self.waker_of(MAIN);
        Arc::clone(&waker).wake();
        let until = self.now_us().saturating_add(us);
        let mut polls = 0;
        loop {
            let Some(task) = self.pick() else {
                if !self.advance(until)? {
                    return Err(Stuck::Late);
                }
                polls = 0;
                continue;
            };
            polls += 1;
            if polls > POLLS_MAX {
                return Err(Stuck::Spinning);
            }
            if task == MAIN {
                waker.is_woken.store(false, Ordering::SeqCst);
                let waker = Waker::from(Arc::clone(&waker));
                if let Poll::Ready(output) = main.as_mut().poll(&mut Context::from_waker(&waker)) {
                    return Ok(output);
                }
            } else {
                self.poll_task(task);
            }
        }
    }

    /// Goes on until nobody has anything to do at this moment or within `us`.
    pub fn settle(&self, us: u64) {
        let _ = self.run(us, core::future::pending::<()>());
    }

    fn waker_of(&self, task: usize) -> Arc<TaskWaker> {
        let woken = Arc::clone(&self.shared.woken);
        Arc::new(TaskWaker { task, is_woken: AtomicBool::new(false), woken })
    }

    /// One of those that were woken, by chance.
    fn pick(&self) -> Option<usize> {
        let mut tasks = self.shared.woken.tasks.lock().unwrap_or_else(PoisonError::into_inner);
        match tasks.len() {
            0 => None,
            1 => tasks.pop(),
            many => Some(tasks.swap_remove(self.below(many as u64) as usize)),
        }
    }

    fn poll_task(&self, task: usize) {
        let Some(mut running) = self.state().tasks.get_mut(task).and_then(Option::take) else {
            return;
        };
        running.waker.is_woken.store(false, Ordering::SeqCst);
        let waker = Waker::from(Arc::clone(&running.waker));
        let polled = running.future.as_mut().poll(&mut Context::from_waker(&waker));
        if polled.is_pending() {
            self.state().tasks[task] = Some(running);
            return;
        }
        drop(running);
        self.state().free.push(task);
    }

    /// Jumps to the next timer; false where that is too far away.
    fn advance(&self, until: u64) -> Result<bool, Stuck> {
        let mut state = self.state();
        let Some((&(at, _), _)) = state.timers.first_key_value() else { return Err(Stuck::Idle) };
        if at > until {
            return Ok(false);
        }
        let now = at.max(self.now_us());
        self.shared.now_us.store(now, Ordering::SeqCst);
        let later = state.timers.split_off(&(now + 1, 0));
        let due = core::mem::replace(&mut state.timers, later);
        drop(state);
        due.into_values().for_each(Waker::wake);
        Ok(true)
    }

    fn us_of(&self, at: Instant) -> u64 {
        let us = at.saturating_duration_since(self.shared.base).as_micros();
        u64::try_from(us).unwrap_or(u64::MAX)
    }
}

/// The number of the future that is run.
const MAIN: usize = usize::MAX;

impl State {
    /// Wakes somebody at a time.
    pub(super) fn wake_at(&mut self, at_us: u64, waker: Waker) -> (u64, u64) {
        let key = (at_us, self.next_timer);
        self.next_timer += 1;
        self.timers.insert(key, waker);
        key
    }
}

/// A timer.
struct Sleep {
    sim: Sim,
    at_us: u64,
    key: Option<(u64, u64)>,
}

impl Future for Sleep {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let this = &mut *self;
        let mut state = this.sim.state();
        if let Some(key) = this.key.take() {
            state.timers.remove(&key);
        }
        if this.sim.now_us() >= this.at_us {
            return Poll::Ready(());
        }
        this.key = Some(state.wake_at(this.at_us, cx.waker().clone()));
        Poll::Pending
    }
}

impl Drop for Sleep {
    fn drop(&mut self) {
        if let Some(key) = self.key.take() {
            self.sim.state().timers.remove(&key);
        }
    }
}

impl Backend for Sim {
    type Reader = Half;
    type Writer = Half;
    type Listener = Listener;

    fn dial(
        &self,
        to: SocketAddr,
        _: &SocketOptions,
    ) -> impl Future<Output = io::Result<(Half, Half)>> + Send {
        Connecting::new(self.clone(), to)
    }

    async fn resolve(&self, _: &str, _: u16) -> io::Result<Box<[SocketAddr]>> {
        Err(io::ErrorKind::NotFound.into())
    }

    async fn listen(&self, at: SocketAddr) -> io::Result<Listener> {
        Listener::new(self.clone(), at)
    }

    fn local_address(listener: &Listener) -> io::Result<SocketAddr> {
        Ok(listener.address)
    }

    async fn accept(
        listener: &mut Listener,
        _: &SocketOptions,
    ) -> io::Result<(Half, Half, SocketAddr)> {
        core::future::poll_fn(|cx| listener.poll_accept(cx)).await
    }

    fn sleep_until(&self, at: Instant) -> impl Future<Output = ()> + Send {
        Sleep { sim: self.clone(), at_us: self.us_of(at), key: None }
    }

    fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        let mut state = self.state();
        let place = state.free.pop().unwrap_or(state.tasks.len());
        let waker = self.waker_of(place);
        let task = Task { future: Box::pin(task), waker: Arc::clone(&waker) };
        if place == state.tasks.len() {
            state.tasks.push(Some(task));
        } else {
            state.tasks[place] = Some(task);
        }
        drop(state);
        waker.wake();
    }

    async fn run_blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> T {
        work()
    }

    fn time_source(&self) -> Option<TimeSource> {
        let (base, now_us) = (self.shared.base, Arc::clone(&self.shared.now_us));
        Some(Arc::new(move || base + Duration::from_micros(now_us.load(Ordering::SeqCst))))
    }

    fn random_seed(&self) -> u64 {
        self.state().random.next_u64()
    }
}

//! What all consumers of a client may have under way, together.
//!
//! The core's [`Flow`] decides who may pull and how much; here queues get their places in it, and
//! who has waited is called when it is granted something.

use core::fmt;
use std::sync::{Mutex, MutexGuard, PoisonError};

use alloc::sync::Arc;
use alloc::vec::Vec;

use turbopump_core::backing::Backing;
use turbopump_core::rocketmq::consumer::{Flow, FlowCell, FlowLimits, Grant, Held};

use crate::bell::Bell;

/// Queues that all consumers of a client may have, together.
const QUEUES_MAX: usize = 4_096;

/// How long brokers wait for messages while queues wait for each other, in microseconds.
const SUSPEND_US_SCARCE: u64 = 1_000_000;

/// The budget of one client.
pub(in crate::client) struct SharedFlow {
    limits: FlowLimits,
    /// Made when the first queue needs it.
    state: Mutex<Option<State>>,
}

struct State {
    flow: Flow<'static>,
    places: Vec<Place>,
    free: Vec<usize>,
}

/// Of one queue.
#[derive(Default)]
struct Place {
    bell: Option<Arc<Bell>>,
    granted: Option<Grant>,
}

impl SharedFlow {
    pub(in crate::client) const fn new(limits: FlowLimits) -> Self {
        Self { limits, state: Mutex::new(None) }
    }

    fn state(&self) -> MutexGuard<'_, Option<State>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) const fn limits(&self) -> &FlowLimits {
        &self.limits
    }

    /// Messages that are under way, and their bytes; what pulls in flight may bring included.
    pub(super) fn look(&self) -> (u64, u64) {
        let state = self.state();
        let flow = state.as_ref().map(|state| &state.flow);
        flow.map_or((0, 0), |flow| (flow.messages(), flow.bytes()))
    }

    /// A place for a queue, whose bell is rung when it is granted what it has waited for; `None`
    /// where all places are taken, and for limits that no pull fits.
    pub(super) fn enter(self: &Arc<Self>, bell: &Arc<Bell>) -> Option<FlowPlace> {
        let mut state = self.state();
        if state.is_none() {
            let cells: Backing<'static, FlowCell> =
                (0..QUEUES_MAX).map(|_| FlowCell::default()).collect();
            let flow = Flow::new(self.limits, cells).ok()?;
            *state = Some(State { flow, places: Vec::new(), free: Vec::new() });
        }
        let inside = state.as_mut()?;
        let number = match inside.free.pop() {
            Some(number) => number,
            None if inside.places.len() < QUEUES_MAX => {
                inside.places.push(Place::default());
                inside.places.len() - 1
            }
            None => return None,
        };
        if let Some(place) = inside.places.get_mut(number) {
            *place = Place { bell: Some(Arc::clone(bell)), granted: None };
        }
        drop(state);
        Some(FlowPlace { flow: Arc::clone(self), number })
    }

    /// Does something that may leave room for others, and calls those who get it.
    fn change(&self, change: impl FnOnce(&mut State)) {
        let mut called: Vec<Arc<Bell>> = Vec::new();
        let mut state = self.state();
        if let Some(state) = state.as_mut() {
            change(state);
            while let Some((number, grant)) = state.flow.poll_granted() {
                let Some(place) = state.places.get_mut(number) else { break };
                place.granted = Some(grant);
                called.extend(place.bell.clone());
            }
        }
        drop(state);
        called.iter().for_each(|bell| bell.ring());
    }
}

impl fmt::Debug for SharedFlow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SharedFlow").field("limits", &self.limits).finish_non_exhaustive()
    }
}

/// The place of one queue; given back when it is dropped.
#[derive(Debug)]
pub(super) struct FlowPlace {
    flow: Arc<SharedFlow>,
    number: usize,
}

impl FlowPlace {
    pub(super) fn limits(&self) -> &FlowLimits {
        self.flow.limits()
    }

    /// How long a broker may wait for messages of this queue: while there are more queues than can
    /// pull at once, not so long that those that wait for their turn would starve.
    pub(super) fn suspend_us(&self, wanted_us: u64) -> u64 {
        let limits = self.flow.limits();
        let by_messages = u64::from(limits.messages_max / limits.pull_messages_max.max(1));
        let by_bytes = limits.bytes_max / u64::from(limits.pull_bytes_max.max(1));
        let state = self.flow.state();
        let queues = state.as_ref().map_or(0, |state| state.places.len() - state.free.len());
        match (queues as u64) > by_messages.min(by_bytes) {
            true => wanted_us.min(SUSPEND_US_SCARCE),
            false => wanted_us,
        }
    }

    /// What it has waited for, if that was granted.
    pub(super) fn take_granted(&self) -> Option<Grant> {
        let mut state = self.flow.state();
        state.as_mut()?.places.get_mut(self.number)?.granted.take()
    }

    /// Room for a pull of this queue, which spans so much; or why it has to wait.
    pub(super) fn reserve(&self, span: u64) -> Result<Grant, Held> {
        let mut state = self.flow.state();
        let Some(state) = state.as_mut() else { return Err(Held::Budget) };
        let granted = state.places.get_mut(self.number).and_then(|place| place.granted.take());
        if let Some(grant) = granted {
            return Ok(grant);
        }
        // The place is there.
        state.flow.reserve(self.number, span).unwrap_or(Err(Held::Budget))
    }

    /// A pull has brought so much.
    pub(super) fn pulled(&self, messages: u32, bytes: u64) {
        self.flow.change(|state| state.flow.handle_pulled(self.number, messages, bytes));
    }

    /// So much is settled.
    pub(super) fn settled(&self, messages: u32, bytes: u64) {
        self.flow.change(|state| state.flow.handle_settled(self.number, messages, bytes));
    }

    /// A pull has brought nothing, or is not sent.
    pub(super) fn cancel(&self) {
        self.flow.change(|state| {
            if let Some(place) = state.places.get_mut(self.number) {
                place.granted = None;
            }
            state.flow.cancel(self.number);
        });
    }

    /// Nothing of the queue is under way any more.
    pub(super) fn forget(&self) {
        self.flow.change(|state| {
            if let Some(place) = state.places.get_mut(self.number) {
                place.granted = None;
            }
            state.flow.forget(self.number);
        });
    }
}

impl Drop for FlowPlace {
    fn drop(&mut self) {
        self.flow.change(|state| {
            state.flow.forget(self.number);
            if let Some(place) = state.places.get_mut(self.number) {
                *place = Place::default();
                state.free.push(self.number);
            }
        });
    }
}

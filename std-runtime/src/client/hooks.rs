//! Functions of the user's that see each message before and after it is sent, and traces.

use core::fmt::Write;
use core::panic::AssertUnwindSafe;
use std::panic::catch_unwind;
use std::sync::{Mutex, PoisonError};

use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;

use turbopump_core::random::SplitMix64;

use super::completion::Outcome;
use super::message::{Message, TRACEPARENT};
use super::settings::ProducerConfig;

/// Sees each message of a producer.
///
/// ```
/// use std::sync::atomic::{AtomicU64, Ordering};
/// use turbopump_std::client::{Message, SendError, SendHook, SendReceipt};
///
/// #[derive(Default)]
/// struct Origin {
///     failed: AtomicU64,
/// }
///
/// impl SendHook for Origin {
///     fn before(&self, _group: &str, message: &mut Message) {
///         message.set_property("origin", "here");
///     }
///
///     fn after(&self, _group: &str, _: &Message, outcome: &Result<SendReceipt, SendError>) {
///         self.failed.fetch_add(outcome.is_err().into(), Ordering::Relaxed);
///     }
/// }
/// ```
pub trait SendHook: Send + Sync + 'static {
    /// A message is about to be sent, and may be changed.
    fn before(&self, group: &str, message: &mut Message) {
        let _ = (group, message);
    }

    /// A message was sent, or was not. Not called for messages that are sent without an answer. It
    /// is called where answers are handled, and should return soon; a panic ends only itself.
    fn after(&self, group: &str, message: &Message, outcome: &Outcome) {
        let _ = (group, message, outcome);
    }
}

pub(super) struct Hooks {
    hooks: Vec<Arc<dyn SendHook>>,
    /// Where traces are begun.
    traces: Option<Mutex<SplitMix64>>,
}

impl Hooks {
    pub(super) fn of(config: &ProducerConfig, seed: u64) -> Self {
        let traces = config.begins_traces.then(|| Mutex::new(SplitMix64::new(seed)));
        Self { hooks: config.hooks.clone(), traces }
    }

    pub(super) fn before(&self, group: &str, message: &mut Message) {
        if let Some(traces) = &self.traces
            && message.get_property(TRACEPARENT).is_none()
        {
            let mut random = traces.lock().unwrap_or_else(PoisonError::into_inner);
            let (high, low, span) = (random.next_u64(), random.next_u64(), random.next_u64());
            drop(random);
            let mut context = String::with_capacity(55);
            // Writing to a string can't fail. Neither id may be 0.
            let (low, span) = (low | 1, span | 1);
            let _ = write!(context, "00-{high:016x}{low:016x}-{span:016x}-01");
            message.set_property(TRACEPARENT, &context);
        }
        for hook in &self.hooks {
            hook.before(group, message);
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.hooks.is_empty()
    }

    pub(super) fn after(&self, group: &str, message: &Message, outcome: &Outcome) {
        for hook in &self.hooks {
            // Theirs alone.
            let _ = catch_unwind(AssertUnwindSafe(|| hook.after(group, message, outcome)));
        }
    }
}

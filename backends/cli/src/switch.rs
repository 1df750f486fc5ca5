//! A switch that is turned off once, and whoever waits for that.

use alloc::sync::Arc;
use core::future::poll_fn;
use core::pin::pin;
use core::task::{Context, Poll, Waker};
use std::sync::{Mutex, PoisonError};

#[derive(Debug, Default)]
pub(crate) struct Switch {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    is_off: bool,
    wakers: Vec<Waker>,
}

impl Switch {
    fn with<R>(&self, change: impl FnOnce(&mut State) -> R) -> R {
        change(&mut self.state.lock().unwrap_or_else(PoisonError::into_inner))
    }

    pub(crate) fn turn_off(&self) {
        let wakers = self.with(|state| {
            state.is_off = true;
            core::mem::take(&mut state.wakers)
        });
        wakers.into_iter().for_each(Waker::wake);
    }

    pub(crate) fn is_off(&self) -> bool {
        self.with(|state| state.is_off)
    }

    fn poll_off(&self, cx: &Context<'_>) -> Poll<()> {
        self.with(|state| {
            if state.is_off {
                return Poll::Ready(());
            }
            if !state.wakers.iter().any(|waker| waker.will_wake(cx.waker())) {
                state.wakers.push(cx.waker().clone());
            }
            Poll::Pending
        })
    }

    /// What `future` ends with, `None` where the switch is turned off before.
    pub(crate) async fn unless_off<T>(&self, future: impl Future<Output = T>) -> Option<T> {
        let mut future = pin!(future);
        poll_fn(|cx| {
            if self.poll_off(cx).is_ready() {
                return Poll::Ready(None);
            }
            future.as_mut().poll(cx).map(Some)
        })
        .await
    }
}

/// The first interruption turns the switch off, the second one ends the program.
pub(crate) fn stop_at_ctrl_c() -> Result<Arc<Switch>, ctrlc::Error> {
    let stop = Arc::new(Switch::default());
    let turned = Arc::clone(&stop);
    ctrlc::set_handler(move || {
        if turned.is_off() {
            std::process::exit(130);
        }
        eprintln!("\nturbopump: finishing what is under way; once more ends at once");
        turned.turn_off();
    })?;
    Ok(stop)
}

#[cfg(test)]
mod tests {
    use core::future::pending;

    use super::*;

    #[test]
    fn ends_what_never_ends() {
        let switch = Arc::new(Switch::default());
        assert_eq!(smol::block_on(switch.unless_off(async { 7 })), Some(7));
        let other = Arc::clone(&switch);
        let thread = std::thread::spawn(move || smol::block_on(other.unless_off(pending::<()>())));
        switch.turn_off();
        assert_eq!(thread.join().unwrap(), None);
        assert!(switch.is_off());
    }
}

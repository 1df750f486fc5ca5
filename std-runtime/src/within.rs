//! A time limit for any future.

use core::future::{Future, poll_fn};
use core::pin::pin;
use core::task::Poll;
use std::time::Instant;

use crate::backend::Backend;

/// What `future` gives, unless the time comes first. The future is asked before the time is.
pub(crate) async fn within<B: Backend, F: Future>(
    backend: &B,
    deadline: Instant,
    future: F,
) -> Option<F::Output> {
    let mut future = pin!(future);
    let mut sleep = pin!(backend.sleep_until(deadline));
    poll_fn(|cx| {
        if let Poll::Ready(output) = future.as_mut().poll(cx) {
            return Poll::Ready(Some(output));
        }
        sleep.as_mut().poll(cx).map(|()| None)
    })
    .await
}

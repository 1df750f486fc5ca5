//! A connection in memory that fragments and makes wait.

use alloc::collections::VecDeque;
use alloc::sync::Arc;
use core::pin::Pin;
use core::task::{Context, Poll, Waker};
use std::io;
use std::sync::Mutex;

use futures_io::{AsyncRead, AsyncWrite};

/// How a pipe carries bytes.
#[derive(Clone, Copy)]
pub(crate) struct Habits {
    /// The most that one read or write moves.
    pub(crate) fragment: usize,
    /// The most that is under way.
    pub(crate) capacity: usize,
    /// Whether every other call has to wait.
    pub(crate) hesitates: bool,
}

pub(crate) const SMOOTH: Habits =
    Habits { fragment: usize::MAX, capacity: 65_536, hesitates: false };
pub(crate) const SINGLE_BYTES: Habits = Habits { fragment: 1, capacity: 65_536, hesitates: true };

struct State {
    habits: Habits,
    bytes: VecDeque<u8>,
    closed: bool,
    reader: Option<Waker>,
    writer: Option<Waker>,
}

pub(crate) struct PipeReader(Arc<Mutex<State>>, bool);
pub(crate) struct PipeWriter(Arc<Mutex<State>>, bool);

/// The two ends of a connection.
pub(crate) fn connection(habits: Habits) -> ((PipeReader, PipeWriter), (PipeReader, PipeWriter)) {
    let (near_reader, far_writer) = pipe(habits);
    let (far_reader, near_writer) = pipe(habits);
    ((near_reader, near_writer), (far_reader, far_writer))
}

fn pipe(habits: Habits) -> (PipeReader, PipeWriter) {
    let state = State { habits, bytes: VecDeque::new(), closed: false, reader: None, writer: None };
    let state = Arc::new(Mutex::new(state));
    (PipeReader(Arc::clone(&state), false), PipeWriter(state, false))
}

/// True every other time, after asking to be called again.
fn hesitates(habits: Habits, hesitated: &mut bool, cx: &Context<'_>) -> bool {
    *hesitated = habits.hesitates && !*hesitated;
    if *hesitated {
        cx.waker().wake_by_ref();
    }
    *hesitated
}

fn wake(waker: &mut Option<Waker>) {
    if let Some(waker) = waker.take() {
        waker.wake();
    }
}

impl AsyncRead for PipeReader {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        out: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        let state = Arc::clone(&self.0);
        let mut state = state.lock().unwrap();
        if hesitates(state.habits, &mut self.1, cx) {
            return Poll::Pending;
        }
        let count = out.len().min(state.bytes.len()).min(state.habits.fragment);
        if count == 0 && !state.closed {
            state.reader = Some(cx.waker().clone());
            return Poll::Pending;
        }
        for (slot, byte) in out.iter_mut().zip(state.bytes.drain(..count)) {
            *slot = byte;
        }
        wake(&mut state.writer);
        Poll::Ready(Ok(count))
    }
}

impl AsyncWrite for PipeWriter {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let state = Arc::clone(&self.0);
        let mut state = state.lock().unwrap();
        if hesitates(state.habits, &mut self.1, cx) {
            return Poll::Pending;
        }
        if state.closed {
            return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
        }
        let room = state.habits.capacity - state.bytes.len();
        let count = bytes.len().min(room).min(state.habits.fragment);
        if count == 0 {
            state.writer = Some(cx.waker().clone());
            return Poll::Pending;
        }
        state.bytes.extend(&bytes[..count]);
        wake(&mut state.reader);
        Poll::Ready(Ok(count))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_close(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        close(&self.0);
        Poll::Ready(Ok(()))
    }
}

fn close(state: &Mutex<State>) {
    let mut state = state.lock().unwrap();
    state.closed = true;
    wake(&mut state.reader);
    wake(&mut state.writer);
}

impl Drop for PipeReader {
    fn drop(&mut self) {
        close(&self.0);
    }
}

impl Drop for PipeWriter {
    fn drop(&mut self) {
        close(&self.0);
    }
}

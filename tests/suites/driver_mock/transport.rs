//! Transports that pend, cut everything to pieces and fail after so many bytes.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::future::poll_fn;
use std::rc::Rc;
use std::task::{Poll, Waker};

use embedded_io::{ErrorKind, ReadReady, WriteReady};
use embedded_io_async::{ErrorType, Read, Write};

/// How a direction misbehaves.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Faults {
    /// Bytes that are moved at once, at most.
    pub(crate) piece: usize,
    /// After so many calls that moved something, one is pending without reason; 0 for never.
    pub(crate) pend_every: usize,
    /// Bytes that the pipe holds.
    pub(crate) capacity: usize,
    /// Bytes after which writing fails.
    pub(crate) fail_write_after: usize,
    /// Bytes after which reading fails.
    pub(crate) fail_read_after: usize,
}

impl Default for Faults {
    fn default() -> Self {
        let never = usize::MAX;
        Self {
            piece: never,
            pend_every: 0,
            capacity: 65_536,
            fail_write_after: never,
            fail_read_after: never,
        }
    }
}

#[derive(Clone, Copy)]
enum End {
    Reading,
    Writing,
}

#[derive(Default)]
struct State {
    faults: Faults,
    bytes: VecDeque<u8>,
    written: usize,
    read: usize,
    /// Calls of each end: reading and writing.
    calls: [usize; 2],
    closed: bool,
    reader: Option<Waker>,
    writer: Option<Waker>,
}

impl State {
    /// Whether this call of an end is to be pending without reason.
    fn pends(&mut self, end: End) -> bool {
        let calls = &mut self.calls[end as usize];
        *calls += 1;
        let every = self.faults.pend_every;
        every > 0 && calls.is_multiple_of(every + 1)
    }

    /// `None` where it would have to wait.
    fn read(&mut self, into: &mut [u8]) -> Result<Option<usize>, ErrorKind> {
        if self.read >= self.faults.fail_read_after {
            return Err(ErrorKind::ConnectionReset);
        }
        let left = self.faults.fail_read_after - self.read;
        let len = into.len().min(self.bytes.len()).min(self.faults.piece).min(left);
        if len == 0 && !self.closed && !into.is_empty() {
            return Ok(None);
        }
        for (to, from) in into.iter_mut().zip(self.bytes.drain(..len)) {
            *to = from;
        }
        self.read += len;
        self.writer.take().into_iter().for_each(Waker::wake);
        Ok(Some(len))
    }

    fn write(&mut self, bytes: &[u8]) -> Result<Option<usize>, ErrorKind> {
        if self.written >= self.faults.fail_write_after || self.closed {
            return Err(ErrorKind::BrokenPipe);
        }
        let left = self.faults.fail_write_after - self.written;
        let room = self.faults.capacity - self.bytes.len();
        let len = bytes.len().min(room).min(self.faults.piece).min(left);
        if len == 0 && !bytes.is_empty() {
            return Ok(None);
        }
        self.bytes.extend(&bytes[..len]);
        self.written += len;
        self.reader.take().into_iter().for_each(Waker::wake);
        Ok(Some(len))
    }
}

/// One direction of a connection.
#[derive(Clone, Default)]
pub(crate) struct Pipe(Rc<RefCell<State>>);

impl Pipe {
    pub(crate) fn new(faults: Faults) -> Self {
        Self(Rc::new(RefCell::new(State { faults, ..State::default() })))
    }

    pub(crate) fn push(&self, bytes: &[u8]) {
        assert_eq!(self.0.borrow_mut().write(bytes), Ok(Some(bytes.len())));
    }

    pub(crate) fn close(&self) {
        let mut state = self.0.borrow_mut();
        state.closed = true;
        state.reader.take().into_iter().for_each(Waker::wake);
        state.writer.take().into_iter().for_each(Waker::wake);
    }
}

/// Closes its direction when it is dropped, as a socket does.
pub(crate) struct Half(pub(crate) Pipe);

impl Drop for Half {
    fn drop(&mut self) {
        self.0.close();
    }
}

impl ErrorType for Half {
    type Error = ErrorKind;
}

impl Read for Half {
    async fn read(&mut self, into: &mut [u8]) -> Result<usize, ErrorKind> {
        poll_fn(|context| {
            let mut state = self.0.0.borrow_mut();
            if state.pends(End::Reading) {
                context.waker().wake_by_ref();
                return Poll::Pending;
            }
            match state.read(into) {
                Ok(None) => {
                    state.reader = Some(context.waker().clone());
                    Poll::Pending
                }
                Ok(Some(len)) => Poll::Ready(Ok(len)),
                Err(error) => Poll::Ready(Err(error)),
            }
        })
        .await
    }
}

impl Write for Half {
    async fn write(&mut self, bytes: &[u8]) -> Result<usize, ErrorKind> {
        poll_fn(|context| {
            let mut state = self.0.0.borrow_mut();
            if state.pends(End::Writing) {
                context.waker().wake_by_ref();
                return Poll::Pending;
            }
            match state.write(bytes) {
                Ok(None) => {
                    state.writer = Some(context.waker().clone());
                    Poll::Pending
                }
                Ok(Some(len)) => Poll::Ready(Ok(len)),
                Err(error) => Poll::Ready(Err(error)),
            }
        })
        .await
    }

    async fn flush(&mut self) -> Result<(), ErrorKind> {
        Ok(())
    }
}

/// Both directions for a super-loop. Calls end at once with `TimedOut` where nothing happens.
pub(crate) struct Polled {
    pub(crate) incoming: Pipe,
    pub(crate) outgoing: Pipe,
}

impl ErrorType for Polled {
    type Error = ErrorKind;
}

impl embedded_io::Read for Polled {
    fn read(&mut self, into: &mut [u8]) -> Result<usize, ErrorKind> {
        let mut state = self.incoming.0.borrow_mut();
        if state.pends(End::Reading) {
            return Err(ErrorKind::Interrupted);
        }
        state.read(into)?.ok_or(ErrorKind::TimedOut)
    }
}

impl embedded_io::Write for Polled {
    fn write(&mut self, bytes: &[u8]) -> Result<usize, ErrorKind> {
        let mut state = self.outgoing.0.borrow_mut();
        if state.pends(End::Writing) {
            return Err(ErrorKind::Interrupted);
        }
        state.write(bytes)?.ok_or(ErrorKind::TimedOut)
    }

    fn flush(&mut self) -> Result<(), ErrorKind> {
        if self.outgoing.0.borrow_mut().pends(End::Writing) {
            Err(ErrorKind::TimedOut)
        } else {
            Ok(())
        }
    }
}

impl ReadReady for Polled {
    fn read_ready(&mut self) -> Result<bool, ErrorKind> {
        let state = self.incoming.0.borrow();
        Ok(state.closed || !state.bytes.is_empty() || state.read >= state.faults.fail_read_after)
    }
}

impl WriteReady for Polled {
    fn write_ready(&mut self) -> Result<bool, ErrorKind> {
        let state = self.outgoing.0.borrow();
        Ok(state.bytes.len() < state.faults.capacity)
    }
}

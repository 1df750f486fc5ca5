//! The same machines for super-loops: no tasks, no wakers, one call per turn.
//!
//! A super-loop calls [`BlockingLink::turn`] for each of its links, gives commands to the machines
//! and takes their outcomes in between, and sleeps, if it wants, until the earliest time that the
//! turns named. A turn never waits for the peer: [`TryRead`] and [`TryWrite`] do what can be done
//! at once. `embedded-io` has no error for "nothing there yet", so there are two ways to get them:
//!
//! - [`WhenReady`] asks `ReadReady` and `WriteReady` first.
//! - [`Timed`] just tries, for transports whose calls end by themselves after a short time (or at
//!   once) with `TimedOut` or `Interrupted`. Use it where the answer to "are you ready?" can't be
//!   trusted: some transports know only after they have tried.

use embedded_io::{Error, ErrorKind, ErrorType, Read, ReadReady, Write, WriteReady};

use super::run::{LinkLimits, beyond_window, end_of_stream};
use crate::link::{Chunks, CloseReason, Machine};
use crate::time::{Instant, Now};

/// Reads per turn, so that a peer that never stops sending can't hold the loop up.
const READS_MAX: u32 = 8;

/// Reads what is there.
pub trait TryRead: ErrorType {
    /// Reads into `buffer` what can be had without waiting; `None` where that is nothing, 0 where
    /// the peer has ended the stream.
    ///
    /// # Errors
    ///
    /// What the transport says; the link is closed then.
    fn try_read(&mut self, buffer: &mut [u8]) -> Result<Option<usize>, Self::Error>;
}

/// Writes what is taken.
pub trait TryWrite: ErrorType {
    /// Writes what of `bytes` is taken without waiting; `None` where that is nothing.
    ///
    /// # Errors
    ///
    /// What the transport says; the link is closed then.
    fn try_write(&mut self, bytes: &[u8]) -> Result<Option<usize>, Self::Error>;

    /// Sees to it that what was written is sent; false where that takes longer, and is to be tried
    /// again. Called when there is nothing more to write.
    ///
    /// # Errors
    ///
    /// What the transport says; the link is closed then.
    fn try_flush(&mut self) -> Result<bool, Self::Error>;
}

/// What a transport says at once: nothing yet, so much, or an error.
fn at_once<E: Error>(result: Result<usize, E>) -> Result<Option<usize>, E> {
    match result {
        Ok(bytes) => Ok(Some(bytes)),
        Err(error) if is_nothing_yet(&error) => Ok(None),
        Err(error) => Err(error),
    }
}

fn flushed<E: Error>(result: Result<(), E>) -> Result<bool, E> {
    match result {
        Ok(()) => Ok(true),
        Err(error) if is_nothing_yet(&error) => Ok(false),
        Err(error) => Err(error),
    }
}

fn is_nothing_yet(error: &impl Error) -> bool {
    matches!(error.kind(), ErrorKind::TimedOut | ErrorKind::Interrupted)
}

/// A transport that is asked whether it is ready before it is read or written.
#[derive(Debug)]
pub struct WhenReady<T>(pub T);

impl<T: ErrorType> ErrorType for WhenReady<T> {
    type Error = T::Error;
}

impl<T: Read + ReadReady> TryRead for WhenReady<T> {
    fn try_read(&mut self, buffer: &mut [u8]) -> Result<Option<usize>, T::Error> {
        if self.0.read_ready()? { at_once(self.0.read(buffer)) } else { Ok(None) }
    }
}

impl<T: Write + WriteReady> TryWrite for WhenReady<T> {
    fn try_write(&mut self, bytes: &[u8]) -> Result<Option<usize>, T::Error> {
        if self.0.write_ready()? { at_once(self.0.write(bytes)) } else { Ok(None) }
    }

    fn try_flush(&mut self) -> Result<bool, T::Error> {
        flushed(self.0.flush())
    }
}

/// A transport whose calls end by themselves, with `TimedOut` or `Interrupted` where nothing
/// happened.
#[derive(Debug)]
pub struct Timed<T>(pub T);

impl<T: ErrorType> ErrorType for Timed<T> {
    type Error = T::Error;
}

impl<T: Read> TryRead for Timed<T> {
    fn try_read(&mut self, buffer: &mut [u8]) -> Result<Option<usize>, T::Error> {
        at_once(self.0.read(buffer))
    }
}

impl<T: Write> TryWrite for Timed<T> {
    fn try_write(&mut self, bytes: &[u8]) -> Result<Option<usize>, T::Error> {
        at_once(self.0.write(bytes))
    }

    fn try_flush(&mut self) -> Result<bool, T::Error> {
        flushed(self.0.flush())
    }
}

/// What a turn has done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Turn {
    /// Bytes that were read.
    pub read: usize,
    /// Bytes that were written.
    pub written: usize,
    /// When the next turn is due even if the transport has nothing to say; `None` for never.
    pub until: Option<Instant>,
}

impl Turn {
    /// True where the transport neither gave nor took a byte: the loop may sleep.
    #[must_use]
    pub const fn is_idle(&self) -> bool {
        self.read == 0 && self.written == 0
    }
}

/// One link of a super-loop.
///
/// As [`run_link`](super::run_link), one turn at a time. The machine stays with the caller.
pub struct BlockingLink<'w, M: Machine> {
    window: &'w mut [u8],
    /// What was read and not taken is `window[..end]`.
    end: usize,
    /// Whether something whole may be in the window that the machine did not take.
    is_left: bool,
    /// A body that is being read, and how much of it is there.
    body: Option<(M::Body, usize)>,
    chunks: Chunks<M::Chunk>,
    limits: LinkLimits,
    /// When the transport has to have taken something.
    write_deadline: Option<Instant>,
    unflushed: bool,
    closed: Option<CloseReason>,
}

impl<'w, M: Machine> BlockingLink<'w, M> {
    /// A link that reads into `window`, which limits the frames as with
    /// [`run_link`](super::run_link).
    #[must_use]
    pub fn new(window: &'w mut [u8], limits: LinkLimits) -> Self {
        Self {
            window,
            end: 0,
            is_left: false,
            body: None,
            chunks: Chunks::new(),
            limits,
            write_deadline: None,
            unflushed: false,
            closed: None,
        }
    }

    /// Reads and writes what can be read and written at once, and runs the machine's timers.
    ///
    /// # Errors
    ///
    /// Why the link is closed. The machine was told; further turns give the same reason. The caller
    /// closes the transport.
    pub fn turn<T>(
        &mut self,
        machine: &mut M,
        transport: &mut T,
        now: Now,
    ) -> Result<Turn, CloseReason>
    where
        T: TryRead + TryWrite,
    {
        if let Some(reason) = self.closed {
            return Err(reason);
        }
        self.turn_open(machine, transport, now).inspect_err(|&reason| {
            self.closed = Some(reason);
            (self.body, self.end) = (None, 0);
            self.chunks.clear();
            machine.handle_closed(now, reason);
        })
    }

    fn turn_open<T>(
        &mut self,
        machine: &mut M,
        transport: &mut T,
        now: Now,
    ) -> Result<Turn, CloseReason>
    where
        T: TryRead + TryWrite,
    {
        let read = self.read(machine, transport, now)?;
        if machine.poll_timeout().is_some_and(|at| at <= now.at) {
            machine.handle_timeout(now);
        }
        let written = self.write(machine, transport, now)?;
        if self.chunks.is_empty()
            && let Some(reason) = machine.poll_close()
        {
            return Err(reason);
        }
        let until = machine.poll_timeout().into_iter().chain(self.write_deadline).min();
        Ok(Turn { read, written, until })
    }

    fn read<T: TryRead>(
        &mut self,
        machine: &mut M,
        transport: &mut T,
        now: Now,
    ) -> Result<usize, CloseReason> {
        let mut read = 0;
        for _ in 0..READS_MAX {
            // A body that was claimed is read to its end.
            if self.body.is_none() && !machine.takes_bytes() {
                break;
            }
            // What was not taken at the last time is offered again before more is read.
            if core::mem::take(&mut self.is_left) {
                self.handle(machine, now)?;
                continue;
            }
            let room = match &mut self.body {
                Some((body, filled)) => body.as_mut().get_mut(*filled..).unwrap_or_default(),
                None => self.window.get_mut(self.end..).unwrap_or_default(),
            };
            let room_bytes = room.len();
            let bytes = match transport.try_read(room) {
                Ok(None) => break,
                Ok(Some(0)) if self.body.is_some() => return Err(CloseReason::Read),
                Ok(Some(0)) => return Err(end_of_stream(self.end)),
                Ok(Some(bytes)) => bytes.min(room_bytes),
                Err(_) => return Err(CloseReason::Read),
            };
            read += bytes;
            match &mut self.body {
                Some((_, filled)) => *filled += bytes,
                None => self.end += bytes,
            }
            self.handle(machine, now)?;
        }
        Ok(read)
    }

    /// Gives the machine what is complete.
    fn handle(&mut self, machine: &mut M, now: Now) -> Result<(), CloseReason> {
        let mut start = 0;
        loop {
            if let Some((mut body, filled)) = self.body.take() {
                let pending = self.window.get(start..self.end).unwrap_or_default();
                let rest = body.as_mut().get_mut(filled..).unwrap_or_default();
                let missing = rest.len();
                let taken = missing.min(pending.len());
                for (to, from) in rest.iter_mut().zip(pending) {
                    *to = *from;
                }
                start += taken;
                if taken < missing {
                    self.body = Some((body, filled + taken));
                    break;
                }
                machine.handle_body(now, body).map_err(CloseReason::Frame)?;
            }
            let pending = self.window.get(start..self.end).unwrap_or_default();
            if pending.is_empty() {
                break;
            }
            let received = machine.handle_bytes(now, pending).map_err(CloseReason::Frame)?;
            start += received.consumed.min(pending.len());
            let Some(body) = received.body else {
                break;
            };
            self.body = Some((body, 0));
        }
        self.window.copy_within(start..self.end, 0);
        self.end -= start;
        self.is_left = self.body.is_none() && self.end > 0 && !machine.takes_bytes();
        if self.body.is_none() && !self.is_left && self.end == self.window.len() {
            return Err(CloseReason::Frame(beyond_window(self.end)));
        }
        Ok(())
    }

    fn write<T: TryWrite>(
        &mut self,
        machine: &mut M,
        transport: &mut T,
        now: Now,
    ) -> Result<usize, CloseReason> {
        let mut written = 0;
        loop {
            if self.chunks.is_empty() {
                machine.poll_transmit(now, &mut self.chunks);
            }
            let Some(piece) = self.chunks.iter().next() else {
                self.write_deadline = None;
                break;
            };
            match transport.try_write(piece) {
                Ok(None) => {
                    self.await_room(now)?;
                    break;
                }
                Ok(Some(0)) | Err(_) => return Err(CloseReason::Write),
                Ok(Some(bytes)) => {
                    let bytes = self.chunks.advance(bytes);
                    machine.handle_written(now, bytes);
                    written += bytes;
                    (self.write_deadline, self.unflushed) = (None, true);
                }
            }
            // What was handed out once is enough for one turn.
            if self.chunks.is_empty() && written >= crate::link::TRANSMIT_BYTES {
                break;
            }
        }
        if self.chunks.is_empty() && self.unflushed {
            self.unflushed = !transport.try_flush().map_err(|_| CloseReason::Write)?;
        }
        Ok(written)
    }

    /// The transport takes nothing now: it has until the deadline.
    fn await_room(&mut self, now: Now) -> Result<(), CloseReason> {
        match self.write_deadline {
            Some(at) if at <= now.at => return Err(CloseReason::WriteTimeout),
            Some(_) => {}
            None => self.write_deadline = self.limits.write_deadline(now),
        }
        Ok(())
    }
}

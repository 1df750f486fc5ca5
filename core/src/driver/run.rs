//! One link from its start to its end: two loops in one task.

use core::future::{Future, poll_fn};
use core::pin::{Pin, pin};
use core::sync::atomic::{AtomicBool, Ordering};
use core::task::{Context, Poll};

use embedded_io_async::Read;

use super::alarm::Alarm;
use super::io::LinkWrite;
use super::shell::{AsyncClock, Shared, Shell, Wakes, step};
use crate::frame::FrameError;
use crate::link::{CHUNKS_MAX, Chunks, CloseReason, Machine};
use crate::time::{Clock, Instant, Now};

/// Reads after which the reader lets the writer and other tasks have their turn, even if there is
/// more to read.
const READS_MAX: u32 = 8;

/// What a driver bears before it gives a link up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct LinkLimits {
    /// The transport has to take at least one byte within this time, in microseconds; 0 for no
    /// limit. 30 seconds.
    pub write_timeout_us: u64,
}

impl Default for LinkLimits {
    fn default() -> Self {
        Self { write_timeout_us: 30_000_000 }
    }
}

impl LinkLimits {
    pub(super) fn write_deadline(&self, now: Now) -> Option<Instant> {
        (self.write_timeout_us > 0).then(|| now.at.plus_us(self.write_timeout_us))
    }
}

/// Drives one established link until it closes, and says why it did; its machine was told.
///
/// Reading goes into `window`, as much at a time as it holds, and straight into the bodies that the
/// machine claims. A frame that is neither claimed nor fits closes the link: the window's length is
/// the longest frame for machines that claim nothing. Writing hands the machine's chunks to the
/// transport, as many as there are in one call.
///
/// Two loops run in one task, so that neither waits for the other, and neither cancels a read or a
/// write as long as the link lives.
///
/// # Cancel safety
///
/// Dropping the future gives the link up: what was being written is cut short. The machine is not
/// told then; see [`CloseReason::Abandoned`].
pub async fn run_link<L, S, R, W, C>(
    shared: &S,
    mut reader: R,
    mut writer: W,
    window: &mut [u8],
    clock: &C,
    limits: &LinkLimits,
) -> CloseReason
where
    L: Shell,
    S: Shared<L>,
    R: Read,
    W: LinkWrite,
    C: AsyncClock,
{
    let reason = {
        // One task has both loops; atomic, so that the task may move between threads.
        let rests = AtomicBool::new(false);
        let mut reading = pin!(read_loop::<L, S, R, C>(shared, &mut reader, window, clock, &rests));
        let mut writing = pin!(write_loop::<L, S, W, C>(shared, &mut writer, clock, limits));
        poll_fn(|context| {
            loop {
                if let Poll::Ready(reason) = reading.as_mut().poll(context) {
                    return Poll::Ready(reason);
                }
                if let Poll::Ready(reason) = writing.as_mut().poll(context) {
                    return Poll::Ready(reason);
                }
                // What was just written may be what the reader waits for.
                if !(rests.load(Ordering::Relaxed) && takes_bytes(shared)) {
                    return Poll::Pending;
                }
            }
        })
        .await
    };
    let now = clock.now();
    step(shared, &mut Wakes::new(), |shell: &mut L| shell.machine().handle_closed(now, reason));
    if reason == CloseReason::Local {
        close(&mut writer, clock, limits).await;
    }
    reason
}

/// Says goodbye, but does not wait for it longer than for any other write.
async fn close<W: LinkWrite, C: AsyncClock>(writer: &mut W, clock: &C, limits: &LinkLimits) {
    let mut closing = pin!(writer.close());
    let mut sleeping = pin!(None);
    let mut alarm = Alarm::new(clock, |at| clock.sleep_until(at), sleeping.as_mut());
    let until = limits.write_deadline(clock.now());
    poll_fn(|context| match closing.as_mut().poll(context) {
        // It was the last thing to do with this transport, whatever it says.
        Poll::Ready(_) => Poll::Ready(()),
        Poll::Pending => alarm.poll(context, until, clock.now().at),
    })
    .await;
}

async fn read_loop<L, S, R, C>(
    shared: &S,
    reader: &mut R,
    window: &mut [u8],
    clock: &C,
    rests: &AtomicBool,
) -> CloseReason
where
    L: Shell,
    S: Shared<L>,
    R: Read,
    C: AsyncClock,
{
    // What was read and not taken is `window[start..end]`.
    let (mut start, mut end, mut reads, mut takes) = (0, 0, 0, true);
    let wakes = &mut Wakes::new();
    loop {
        let mut filled = false;
        if !takes {
            rest_until_bytes_are_taken(shared, rests).await;
        }
        // What was not taken then is offered again before more is read.
        if takes || start == end {
            window.copy_within(start..end, 0);
            (start, end) = (0, end - start);
            let room = window.get_mut(end..).unwrap_or_default();
            match read_some(reader, room, end).await {
                Ok(bytes) => (filled, end) = (bytes == room.len(), end + bytes),
                Err(reason) => return reason,
            }
        }
        takes = true;
        while start < end {
            let pending = window.get(start..end).unwrap_or_default();
            let now = clock.now();
            let received = step(shared, wakes, |shell: &mut L| {
                let machine = shell.machine();
                let received = machine.handle_bytes(now, pending);
                takes = machine.takes_bytes();
                received
            });
            let received = match received {
                Ok(received) => received,
                Err(error) => return CloseReason::Frame(error),
            };
            start += received.consumed.min(pending.len());
            let Some(mut body) = received.body else {
                break;
            };
            match read_body(reader, body.as_mut(), window.get(start..end).unwrap_or_default()).await
            {
                Ok(taken) => start += taken,
                Err(reason) => return reason,
            }
            takes = match give_body(shared, wakes, clock.now(), body) {
                Ok(takes) => takes,
                Err(error) => return CloseReason::Frame(error),
            };
        }
        if takes && start == 0 && end == window.len() {
            return CloseReason::Frame(beyond_window(end));
        }
        // A read that filled the window has probably left something: the transport would not wait.
        reads += 1;
        if filled || reads >= READS_MAX {
            reads = 0;
            yield_now().await;
        }
    }
}

/// Reads once, behind so many bytes that were not taken.
async fn read_some<R: Read>(
    reader: &mut R,
    room: &mut [u8],
    pending_bytes: usize,
) -> Result<usize, CloseReason> {
    match reader.read(room).await {
        Ok(0) => Err(end_of_stream(pending_bytes)),
        Ok(bytes) => Ok(bytes.min(room.len())),
        Err(_) => Err(CloseReason::Read),
    }
}

fn takes_bytes<L: Shell, S: Shared<L>>(shared: &S) -> bool {
    shared.with(|shell| shell.machine().takes_bytes())
}

/// Says that the reader rests, for as long as it does. Whoever polls it looks again once something
/// was written.
async fn rest_until_bytes_are_taken<L: Shell, S: Shared<L>>(shared: &S, rests: &AtomicBool) {
    poll_fn(|_| {
        let takes = takes_bytes(shared);
        rests.store(!takes, Ordering::Relaxed);
        if takes { Poll::Ready(()) } else { Poll::Pending }
    })
    .await;
}

/// Gives a claimed body back, full; returns whether more is to be read.
fn give_body<L: Shell, S: Shared<L>>(
    shared: &S,
    wakes: &mut Wakes,
    now: Now,
    body: <L::Machine as Machine>::Body,
) -> Result<bool, FrameError> {
    step(shared, wakes, |shell: &mut L| {
        let machine = shell.machine();
        machine.handle_body(now, body)?;
        Ok(machine.takes_bytes())
    })
}

/// Fills a claimed body, first with what was read already; returns how much that was.
async fn read_body<R: Read>(
    reader: &mut R,
    body: &mut [u8],
    pending: &[u8],
) -> Result<usize, CloseReason> {
    let taken = pending.len().min(body.len());
    let (front, mut rest) = body.split_at_mut(taken);
    front.copy_from_slice(pending.get(..taken).unwrap_or_default());
    while !rest.is_empty() {
        match reader.read(rest).await {
            Ok(0) | Err(_) => return Err(CloseReason::Read),
            Ok(bytes) => rest = rest.get_mut(bytes..).unwrap_or_default(),
        }
    }
    Ok(taken)
}

/// The peer has ended the stream with so many bytes of a frame.
pub(super) const fn end_of_stream(pending_bytes: usize) -> CloseReason {
    if pending_bytes == 0 { CloseReason::Peer } else { CloseReason::Read }
}

#[cold]
pub(super) const fn beyond_window(window_bytes: usize) -> FrameError {
    let frame_bytes = (window_bytes as u64).saturating_add(1);
    FrameError::Oversize { at: 0, frame_bytes, frame_bytes_max: window_bytes }
}

async fn write_loop<L, S, W, C>(
    shared: &S,
    writer: &mut W,
    clock: &C,
    limits: &LinkLimits,
) -> CloseReason
where
    L: Shell,
    S: Shared<L>,
    W: LinkWrite,
    C: AsyncClock,
{
    let mut chunks = Chunks::new();
    let wakes = &mut Wakes::new();
    let mut sleeping = pin!(None);
    let mut alarm = Alarm::new(clock, |at| clock.sleep_until(at), sleeping.as_mut());
    loop {
        let next = poll_fn(|context| poll_next(shared, wakes, &mut chunks, &mut alarm, context));
        if let Some(reason) = next.await {
            return reason;
        }
        while !chunks.is_empty() {
            let written = {
                let pieces = Pieces::of(&chunks);
                let writing = pin!(writer.write_chunks(pieces.as_slice()));
                in_time(shared, wakes, writing, &mut alarm, limits).await
            };
            let bytes = match written {
                Some(Ok(bytes)) if bytes > 0 => chunks.advance(bytes),
                Some(_) => return CloseReason::Write,
                None => return CloseReason::WriteTimeout,
            };
            // Under the same lock comes what has been queued in the meantime.
            let now = clock.now();
            step(shared, wakes, |shell: &mut L| {
                let machine = shell.machine();
                machine.handle_written(now, bytes);
                if chunks.is_empty() {
                    machine.poll_transmit(now, &mut chunks);
                }
            });
        }
        let flushing = pin!(writer.flush());
        match in_time(shared, wakes, flushing, &mut alarm, limits).await {
            Some(Ok(())) => {}
            Some(Err(_)) => return CloseReason::Write,
            None => return CloseReason::WriteTimeout,
        }
    }
}

/// What the machine wants next.
enum Next {
    Write,
    Close(CloseReason),
    Wait(Option<Instant>),
}

/// Waits for something to write, which is in `chunks` then, or for a reason to close the link.
fn poll_next<L, S, C, M, F>(
    shared: &S,
    wakes: &mut Wakes,
    chunks: &mut Chunks<<L::Machine as Machine>::Chunk>,
    alarm: &mut Alarm<'_, C, M, F>,
    context: &mut Context<'_>,
) -> Poll<Option<CloseReason>>
where
    L: Shell,
    S: Shared<L>,
    C: Clock,
    M: FnMut(Instant) -> F,
    F: Future<Output = ()>,
{
    loop {
        let now = alarm.now();
        let next = step(shared, wakes, |shell: &mut L| {
            let machine = shell.machine();
            handle_timeout(machine, now);
            machine.poll_transmit(now, chunks);
            if !chunks.is_empty() {
                return Next::Write;
            }
            if let Some(reason) = machine.poll_close() {
                return Next::Close(reason);
            }
            let until = machine.poll_timeout();
            shell.driver().set(context);
            Next::Wait(until)
        });
        match next {
            Next::Write => return Poll::Ready(None),
            Next::Close(reason) => return Poll::Ready(Some(reason)),
            Next::Wait(until) => match alarm.poll(context, until, now.at) {
                Poll::Ready(()) => {}
                Poll::Pending => return Poll::Pending,
            },
        }
    }
}

/// Does something with the transport; `None` where that takes too long. The machine's own timers
/// run in the meantime.
async fn in_time<L, S, C, M, F, T>(
    shared: &S,
    wakes: &mut Wakes,
    mut doing: Pin<&mut T>,
    alarm: &mut Alarm<'_, C, M, F>,
    limits: &LinkLimits,
) -> Option<T::Output>
where
    L: Shell,
    S: Shared<L>,
    C: Clock,
    M: FnMut(Instant) -> F,
    F: Future<Output = ()>,
    T: Future,
{
    let mut deadline = None;
    poll_fn(|context| {
        if let Poll::Ready(done) = doing.as_mut().poll(context) {
            return Poll::Ready(Some(done));
        }
        loop {
            let now = alarm.now();
            let deadline = *deadline.get_or_insert_with(|| limits.write_deadline(now));
            if deadline.is_some_and(|at| at <= now.at) {
                return Poll::Ready(None);
            }
            let until = step(shared, wakes, |shell: &mut L| {
                let machine = shell.machine();
                handle_timeout(machine, now);
                machine.poll_timeout()
            });
            let until = until.into_iter().chain(deadline).min();
            if alarm.poll(context, until, now.at).is_pending() {
                return Poll::Pending;
            }
        }
    })
    .await
}

fn handle_timeout<M: Machine>(machine: &mut M, now: Now) {
    if machine.poll_timeout().is_some_and(|at| at <= now.at) {
        machine.handle_timeout(now);
    }
}

/// What is left of chunks, as the transport takes it.
struct Pieces<'c> {
    pieces: [&'c [u8]; CHUNKS_MAX],
    len: usize,
}

impl<'c> Pieces<'c> {
    fn of<C: AsRef<[u8]>>(chunks: &'c Chunks<C>) -> Self {
        let mut pieces: [&[u8]; CHUNKS_MAX] = [&[]; CHUNKS_MAX];
        let mut len = 0;
        for (place, piece) in pieces.iter_mut().zip(chunks.iter()) {
            *place = piece;
            len += 1;
        }
        Self { pieces, len }
    }

    fn as_slice(&self) -> &[&'c [u8]] {
        self.pieces.get(..self.len).unwrap_or_default()
    }
}

/// Lets other tasks run, and the other loop.
async fn yield_now() {
    let mut yielded = false;
    poll_fn(|context| {
        if yielded {
            return Poll::Ready(());
        }
        yielded = true;
        context.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}

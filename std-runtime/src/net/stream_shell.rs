//! The lock's side of streams: the machine, and who waits for what.

use core::fmt;
use core::future::poll_fn;
use core::task::{Context, Poll, Waker};

use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec::Vec;

use turbopump_core::driver::{Shared, Shell, WakerSlot, Wakes};
use turbopump_core::link::CloseReason;
use turbopump_core::stream::{StreamError, StreamEvent, StreamKey, Streams};

use super::link::Locked;
use super::stream::OpenError;
use crate::memory::{BufferPool, Chunk};
use crate::turns::Turns;

/// What the lock of a link with streams protects.
pub(super) struct StreamShell {
    pub(super) machine: Streams<'static, BufferPool>,
    driver: WakerSlot,
    /// By place: who waits to read, and to write.
    readers: Box<[WakerSlot]>,
    writers: Box<[WakerSlot]>,
    opening: Turns,
    accepting: Turns,
    /// Who waits for the end.
    closing: Vec<Waker>,
    /// Handles; without any no more streams are wanted.
    pub(super) handles: usize,
}

impl StreamShell {
    pub(super) fn new(machine: Streams<'static, BufferPool>, waiting_max: usize) -> Self {
        let places = machine.config().streams_max;
        let slots = || (0..places).map(|_| WakerSlot::new()).collect();
        Self {
            machine,
            driver: WakerSlot::new(),
            readers: slots(),
            writers: slots(),
            opening: Turns::new(waiting_max),
            // One for each task that accepts.
            accepting: Turns::new(usize::MAX),
            closing: Vec::new(),
            handles: 1,
        }
    }

    pub(super) fn poll_closed(&mut self, context: &Context<'_>) -> Poll<CloseReason> {
        if let Some(reason) = self.machine.closed() {
            return Poll::Ready(reason);
        }
        if !self.closing.iter().any(|waker| waker.will_wake(context.waker())) {
            self.closing.push(context.waker().clone());
        }
        Poll::Pending
    }

    fn reader(&mut self, key: StreamKey, context: &Context<'_>) {
        if let Some(slot) = self.readers.get_mut(key.place()) {
            slot.set(context);
        }
    }

    fn writer(&mut self, key: StreamKey, context: &Context<'_>) {
        if let Some(slot) = self.writers.get_mut(key.place()) {
            slot.set(context);
        }
    }
}

impl Shell for StreamShell {
    type Machine = Streams<'static, BufferPool>;

    #[inline]
    fn machine(&mut self) -> &mut Self::Machine {
        &mut self.machine
    }

    #[inline]
    fn driver(&mut self) -> &mut WakerSlot {
        &mut self.driver
    }

    #[inline]
    fn collect(&mut self, wakes: &mut Wakes) {
        while !wakes.is_full() {
            let Some(event) = self.machine.poll_event() else {
                break;
            };
            match event {
                StreamEvent::Stream { key, readable, writable } => {
                    let slots = [(readable, &mut self.readers), (writable, &mut self.writers)];
                    for (_, slots) in slots.into_iter().filter(|(can_go_on, _)| *can_go_on) {
                        if let Some(waker) = slots.get_mut(key.place()).and_then(WakerSlot::take) {
                            wakes.push(waker);
                        }
                    }
                }
                StreamEvent::Open => self.opening.first().into_iter().for_each(|w| wakes.push(w)),
                StreamEvent::Accept => {
                    self.accepting.first().into_iter().for_each(|w| wakes.push(w));
                }
                _ => {}
            }
        }
        while self.machine.closed().is_some()
            && !wakes.is_full()
            && let Some(waker) = self.closing.pop()
        {
            wakes.push(waker);
        }
    }
}

/// Calls `act` with the shell, then wakes the driver if it has to write, and those who can go on.
#[inline]
pub(super) fn act<O>(shared: &Locked<StreamShell>, act: impl FnOnce(&mut StreamShell) -> O) -> O {
    let (outcome, driver, has_events) = shared.with(|shell| {
        let outcome = act(shell);
        let driver = if shell.machine.wants_transmit() { shell.driver.take() } else { None };
        (outcome, driver, shell.machine.has_events())
    });
    if let Some(driver) = driver {
        driver.wake();
    }
    if has_events {
        wake_others(shared);
    }
    outcome
}

/// A command has let somebody else go on; it seldom does.
#[cold]
fn wake_others(shared: &Locked<StreamShell>) {
    let mut wakes = Wakes::new();
    loop {
        shared.with(|shell| shell.collect(&mut wakes));
        let again = wakes.is_full();
        wakes.wake();
        if !again {
            return;
        }
    }
}

/// Who has a stream's key: releases the stream when it goes.
pub(super) struct Owner {
    shell: Arc<Locked<StreamShell>>,
    pub(super) key: StreamKey,
}

impl Owner {
    pub(super) const fn new(shell: Arc<Locked<StreamShell>>, key: StreamKey) -> Self {
        Self { shell, key }
    }

    #[inline]
    pub(super) fn poll_read(
        &self,
        context: &Context<'_>,
        into: &mut [u8],
    ) -> Poll<Result<usize, StreamError>> {
        act(&self.shell, |shell| {
            let read = shell.machine.read(self.key, into);
            if read.is_pending() {
                shell.reader(self.key, context);
            }
            read
        })
    }

    pub(super) async fn read_chunk(&self) -> Result<Option<Chunk>, StreamError> {
        poll_fn(|context| {
            act(&self.shell, |shell| {
                let read = shell.machine.read_chunk(self.key);
                if read.is_pending() {
                    shell.reader(self.key, context);
                }
                read
            })
        })
        .await
    }

    #[inline]
    pub(super) fn poll_write(
        &self,
        context: &Context<'_>,
        data: &[u8],
    ) -> Poll<Result<usize, StreamError>> {
        act(&self.shell, |shell| {
            let written = shell.machine.write(self.key, data);
            if written.is_pending() {
                shell.writer(self.key, context);
            }
            written
        })
    }

    pub(super) async fn write_chunk(&self, chunk: Chunk) -> Result<(), StreamError> {
        let mut left = Some(chunk);
        poll_fn(|context| self.poll_write_chunk(context, &mut left)).await
    }

    fn poll_write_chunk(
        &self,
        context: &Context<'_>,
        left: &mut Option<Chunk>,
    ) -> Poll<Result<(), StreamError>> {
        let Some(chunk) = left.take() else {
            return Poll::Ready(Ok(()));
        };
        act(&self.shell, |shell| match shell.machine.write_chunk(self.key, chunk) {
            Ok(()) => Poll::Ready(Ok(())),
            Err((_, Some(error))) => Poll::Ready(Err(error)),
            Err((chunk, None)) => {
                *left = Some(chunk);
                shell.writer(self.key, context);
                Poll::Pending
            }
        })
    }

    pub(super) fn poll_flush(&self, context: &Context<'_>) -> Poll<Result<(), StreamError>> {
        act(&self.shell, |shell| {
            let flushed = shell.machine.flush(self.key);
            if flushed.is_pending() {
                shell.writer(self.key, context);
            }
            flushed
        })
    }

    pub(super) fn poll_close(&self, context: &Context<'_>) -> Poll<Result<(), StreamError>> {
        act(&self.shell, |shell| {
            shell.machine.finish(self.key)?;
            let flushed = shell.machine.flush(self.key);
            if flushed.is_pending() {
                shell.writer(self.key, context);
            }
            flushed
        })
    }

    pub(super) fn reset(&self) {
        act(&self.shell, |shell| shell.machine.reset(self.key));
    }
}

impl fmt::Debug for Owner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "stream {}", self.key.id())
    }
}

impl Drop for Owner {
    fn drop(&mut self) {
        // The wakers are dropped without the lock.
        let _wakers = act(&self.shell, |shell| {
            shell.machine.release(self.key);
            let place = self.key.place();
            [&mut shell.readers, &mut shell.writers]
                .map(|slots| slots.get_mut(place).and_then(WakerSlot::take))
        });
    }
}

/// Waits to open a stream or to accept one, and gives up the turn when dropped.
pub(super) struct Turn<'l> {
    shell: &'l Locked<StreamShell>,
    turns: fn(&mut StreamShell) -> &mut Turns,
    number: Option<u64>,
}

impl<'l> Turn<'l> {
    pub(super) fn opening(shell: &'l Locked<StreamShell>) -> Self {
        Self { shell, turns: |shell| &mut shell.opening, number: None }
    }

    pub(super) fn accepting(shell: &'l Locked<StreamShell>) -> Self {
        Self { shell, turns: |shell| &mut shell.accepting, number: None }
    }

    pub(super) fn poll_open(
        &mut self,
        context: &Context<'_>,
    ) -> Poll<Result<StreamKey, OpenError>> {
        let Self { shell, number, .. } = self;
        let opened = act(shell, |shell| {
            if shell.opening.is_turn(*number) {
                match shell.machine.open() {
                    Err(refused) if refused.is_transient() => {}
                    done => return Poll::Ready(done.map_err(OpenError::from)),
                }
            }
            if shell.opening.wait(number, context.waker()) {
                return Poll::Pending;
            }
            let waiting_max = shell.opening.len_max;
            Poll::Ready(Err(OpenError::QueueFull { waiting_max }))
        });
        if opened.is_ready() {
            self.leave();
        }
        opened
    }

    pub(super) fn poll_accept(
        &mut self,
        context: &Context<'_>,
    ) -> Poll<Result<StreamKey, CloseReason>> {
        let Self { shell, number, .. } = self;
        let accepted = act(shell, |shell| {
            if shell.accepting.is_turn(*number) {
                let accepted = shell.machine.accept();
                if accepted.is_ready() {
                    return accepted;
                }
            }
            shell.accepting.wait(number, context.waker());
            Poll::Pending
        });
        if accepted.is_ready() {
            self.leave();
        }
        accepted
    }

    fn leave(&mut self) {
        let number = self.number.take();
        if number.is_some() {
            let next = self.shell.with(|shell| (self.turns)(shell).leave(number));
            if let Some(next) = next {
                next.wake();
            }
        }
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        self.leave();
    }
}

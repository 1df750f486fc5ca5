//! A machine that takes no more bytes while too much waits to be written.

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::rc::Rc;
use std::task::Poll;

use embedded_io_async::Read;
use turbopump_core::driver::blocking::{BlockingLink, TryRead, TryWrite};
use turbopump_core::driver::{Bare, LinkLimits, LinkWrite, Plain, run_link};
use turbopump_core::frame::FrameError;
use turbopump_core::link::{Chunks, CloseReason, Machine, Received};
use turbopump_core::time::{Instant, Now};

use crate::executor::Executor;
use crate::transport::{Faults, Half, Pipe};

/// Bytes that may wait before nothing more is taken.
const WAITING_MAX: usize = 1_000;
/// Bytes of an answer to one byte.
const ANSWER_BYTES: usize = 100;

/// Answers each byte with many, and takes no more of what was read than it may answer.
#[derive(Default)]
struct Talker {
    waiting: usize,
    most: usize,
    taken: usize,
}

impl Machine for Talker {
    type Body = [u8; 0];
    type Chunk = Vec<u8>;

    fn handle_bytes(&mut self, _now: Now, window: &[u8]) -> Result<Received<[u8; 0]>, FrameError> {
        let mut taken = 0;
        while taken < window.len() && self.takes_bytes() {
            taken += 1;
            self.waiting += ANSWER_BYTES;
        }
        self.taken += taken;
        self.most = self.most.max(self.waiting);
        Ok(Received::bytes(taken))
    }

    fn takes_bytes(&self) -> bool {
        self.waiting <= WAITING_MAX
    }

    fn handle_body(&mut self, _now: Now, _body: [u8; 0]) -> Result<(), FrameError> {
        Ok(())
    }

    fn poll_transmit(&mut self, _now: Now, out: &mut Chunks<Vec<u8>>) {
        let bytes = self.waiting.min(64);
        self.waiting -= bytes;
        out.push(vec![b'x'; bytes]).unwrap();
    }

    fn handle_written(&mut self, _now: Now, _bytes: usize) {}

    fn handle_timeout(&mut self, _now: Now) {}

    fn poll_timeout(&self) -> Option<Instant> {
        None
    }

    fn poll_close(&self) -> Option<CloseReason> {
        None
    }

    fn handle_closed(&mut self, _now: Now, _reason: CloseReason) {}
}

/// A peer that sends all the time and reads only later has no more than that waiting for it; in the
/// end it gets everything.
#[test]
fn who_does_not_read_is_not_served_any_further() {
    for window in [1, 8, 64] {
        let faults = Faults { capacity: 256, ..Faults::default() };
        let mut executor = Executor::new();
        let (outgoing, incoming) = (Pipe::new(faults), Pipe::new(faults));
        let shared = Rc::new(RefCell::new(Bare::new(Talker::default())));
        let (link, clock) = (shared.clone(), executor.clock());
        let (reader, writer) = (Half(incoming.clone()), Plain(Half(outgoing.clone())));
        executor.spawn(async move {
            let limits = LinkLimits::default();
            let mut window = vec![0; window];
            run_link(&*link, reader, writer, &mut window, &*clock, &limits).await;
        });
        let sent = Rc::new(Cell::new(0));
        let (mut sender, counted) = (Plain(Half(incoming)), sent.clone());
        let got = Rc::new(Cell::new(0));
        let counting = got.clone();
        executor.spawn(async move {
            while counted.get() < 500 {
                counted.set(counted.get() + sender.write_chunks(&[b"y"]).await.unwrap());
            }
            // The stream ends when everything has come back.
            poll_fn(|context| {
                context.waker().wake_by_ref();
                if counting.get() < 500 * ANSWER_BYTES { Poll::Pending } else { Poll::Ready(()) }
            })
            .await;
        });
        // Nobody reads: the sender gets stuck.
        for _ in 0..10_000 {
            executor.turn();
        }
        assert!(sent.get() < 500, "{} bytes were taken", sent.get());
        let taken = shared.borrow().machine.taken;
        let (mut from_link, counting) = (Half(outgoing), got.clone());
        executor.spawn(async move {
            let mut memory = [0; 512];
            while counting.get() < 500 * ANSWER_BYTES {
                counting.set(counting.get() + from_link.read(&mut memory).await.unwrap());
            }
        });
        executor.run();
        assert_eq!((sent.get(), got.get()), (500, 500 * ANSWER_BYTES));
        let talker = &shared.borrow().machine;
        assert!(taken < 500 && talker.taken == 500);
        let most = WAITING_MAX + ANSWER_BYTES;
        assert!(talker.most <= most, "{} bytes waited, at most {most} may", talker.most);
    }
}

/// A transport whose peer has sent something, and takes what it is told.
struct Line {
    incoming: Vec<u8>,
    takes: usize,
    got: usize,
}

impl embedded_io::ErrorType for Line {
    type Error = embedded_io::ErrorKind;
}

impl TryRead for Line {
    fn try_read(&mut self, buffer: &mut [u8]) -> Result<Option<usize>, embedded_io::ErrorKind> {
        let len = buffer.len().min(self.incoming.len());
        for (place, byte) in buffer.iter_mut().zip(self.incoming.drain(..len)) {
            *place = byte;
        }
        Ok((len > 0).then_some(len))
    }
}

impl TryWrite for Line {
    fn try_write(&mut self, bytes: &[u8]) -> Result<Option<usize>, embedded_io::ErrorKind> {
        let len = bytes.len().min(self.takes);
        (self.takes, self.got) = (self.takes - len, self.got + len);
        Ok((len > 0).then_some(len))
    }

    fn try_flush(&mut self) -> Result<bool, embedded_io::ErrorKind> {
        Ok(true)
    }
}

#[test]
fn a_super_loop_serves_who_does_not_read_no_further_either() {
    let mut talker = Talker::default();
    let mut line = Line { incoming: vec![b'y'; 500], takes: 0, got: 0 };
    let mut window = [0; 64];
    let mut link = BlockingLink::new(&mut window, LinkLimits::default());
    for turn in 0..2_000 {
        link.turn(&mut talker, &mut line, Now::new(Instant::from_ms(turn), 0)).unwrap();
        if turn >= 100 {
            line.takes += 64;
        } else {
            assert!(talker.taken < 500);
        }
    }
    assert_eq!((talker.taken, line.got), (500, 500 * ANSWER_BYTES));
    assert!(talker.most <= WAITING_MAX + ANSWER_BYTES);
}

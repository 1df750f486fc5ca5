//! Logical streams: whatever a peer sends and a user does meanwhile, limits hold, what is written
//! is well formed, and all buffers come back.
//!
//! An input is a list of steps. Most of what the peer sends is a frame with fields that may mean
//! something; the rest is the input's own bytes.

use std::cell::RefCell;
use std::task::Poll;

use turbopump_core::link::{Chunks, CloseReason, Machine};
use turbopump_core::pool::{ClassLayout, Heap, Layout, OwnedRef, Pool};
use turbopump_core::stream::{
    Flags, FrameKind, GoAwayReason, HEADER_BYTES, Header, Role, StreamConfig, StreamKey,
    StreamStorage, Streams,
};
use turbopump_core::time::{Instant, Now};

use crate::Parameters;

type Buffers = OwnedRef<Pool<'static>>;
type End = Streams<'static, Buffers>;

thread_local! {
    /// Made once: it is the costly part of a run.
    static POOL: RefCell<Option<Buffers>> = const { RefCell::new(None) };
}

fn pool() -> Buffers {
    POOL.with_borrow_mut(|pool| {
        let made = pool.get_or_insert_with(|| {
            let classes = [ClassLayout::new(256, 64), ClassLayout::new(1_024, 256)];
            let layout = Layout::new(&classes).expect("possible classes");
            OwnedRef::new(Pool::new(&layout, Heap).expect("enough storage"))
        });
        made.clone()
    })
}

struct Run {
    end: End,
    now: Now,
    keys: Vec<StreamKey>,
    /// What the peer sent and the machine did not take.
    window: Vec<u8>,
    /// What it wrote and is not checked yet.
    written: Vec<u8>,
    closed: bool,
}

/// Runs the target.
pub fn run(data: &[u8]) {
    let mut parameters = Parameters { data };
    let pool = pool();
    let mut config = StreamConfig::default();
    config.streams_max = 6;
    config.accept_backlog = 3;
    config.unacknowledged_max = 2;
    config.refusals_max = 5;
    config.segment_bytes = 1_024;
    config.receive_budget_bytes = 4_096 << (parameters.byte() % 9);
    let role = if parameters.byte() % 2 == 0 { Role::Client } else { Role::Server };
    let storage = StreamStorage::on_heap(&config);
    let now = Now::default();
    let end = Streams::new(config, role, storage, pool.clone(), now, 3).expect("possible limits");
    let mut run =
        Run { end, now, keys: Vec::new(), window: Vec::new(), written: Vec::new(), closed: false };
    while !parameters.data.is_empty() {
        run.step(&mut parameters);
        run.check();
    }
    run.finish();
    assert_eq!(pool.stats().in_use, 0, "all buffers are back");
}

impl Run {
    fn step(&mut self, parameters: &mut Parameters<'_>) {
        match parameters.byte() % 12 {
            0..=3 => self.send_frame(parameters),
            4 => {
                let bytes = parameters.list();
                self.receive(bytes);
            }
            5 => {
                if let Poll::Ready(Ok(key)) = self.end.accept() {
                    self.keys.push(key);
                }
            }
            6 => self.keys.extend(self.end.open().ok()),
            7 => self.advance(u64::from(parameters.byte()) << (parameters.byte() % 20)),
            8 => self.transmit(),
            9 => self.end.go_away(GoAwayReason::Normal),
            _ => self.use_stream(parameters),
        }
    }

    fn send_frame(&mut self, parameters: &mut Parameters<'_>) {
        let kind = match parameters.byte() % 8 {
            0..=3 => FrameKind::Data,
            4 | 5 => FrameKind::WindowUpdate,
            6 => FrameKind::Ping,
            _ => FrameKind::GoAway,
        };
        let flags = Flags::from_bits(u16::from(parameters.byte() & 15));
        let stream = u32::from(parameters.byte() % 16);
        let mut data = parameters.list().to_vec();
        let scale = parameters.byte();
        if scale % 4 == 0 {
            // Enough to fill windows and budgets.
            data = data.repeat(1 + usize::from(scale));
        }
        let is_data = kind == FrameKind::Data;
        let length = if is_data { data.len() as u32 } else { u32::from(scale) << (scale % 26) };
        let mut frame = Header { kind, flags, stream, length }.encode().to_vec();
        if is_data {
            frame.extend_from_slice(&data);
        }
        // One mutation in a while.
        let mutation = usize::from(parameters.byte());
        if let Some(byte) = frame.get_mut(mutation) {
            *byte ^= parameters.byte();
        }
        self.receive(&frame);
    }

    fn receive(&mut self, bytes: &[u8]) {
        if self.closed {
            return;
        }
        self.window.extend_from_slice(bytes);
        let received = self.end.handle_bytes(self.now, &self.window);
        let received = received.expect("errors come with the close reason");
        assert!(received.body.is_none());
        self.window.drain(..received.consumed);
        assert!(self.window.len() < HEADER_BYTES);
    }

    fn transmit(&mut self) {
        if self.closed {
            return;
        }
        loop {
            let mut chunks = Chunks::new();
            self.end.poll_transmit(self.now, &mut chunks);
            if chunks.is_empty() {
                break;
            }
            chunks.iter().for_each(|chunk| self.written.extend_from_slice(chunk));
            self.end.handle_written(self.now, chunks.bytes());
        }
        let mut rest = &self.written[..];
        while let Some((bytes, behind)) = rest.split_first_chunk::<HEADER_BYTES>() {
            let header = Header::decode(bytes).expect("what is written is well formed");
            let data = if header.kind == FrameKind::Data { header.length as usize } else { 0 };
            assert!(data <= 1_024);
            rest = &behind[data..];
        }
        assert!(rest.is_empty(), "frames are written whole");
        self.written.clear();
        if let Some(reason) = self.end.poll_close() {
            self.close(reason);
        }
    }

    fn advance(&mut self, us: u64) {
        self.now.at = self.now.at.plus_us(us);
        if !self.closed {
            self.end.handle_timeout(self.now);
            assert!(self.end.poll_timeout().is_none_or(|at: Instant| at > self.now.at));
        }
    }

    fn use_stream(&mut self, parameters: &mut Parameters<'_>) {
        if self.keys.is_empty() {
            return;
        }
        let which = usize::from(parameters.byte()) % self.keys.len();
        let key = self.keys[which];
        match parameters.byte() % 8 {
            0..=2 => {
                let mut into = vec![0; 1 + 16 * usize::from(parameters.byte())];
                let _ = self.end.read(key, &mut into);
            }
            3 => drop(self.end.read_chunk(key)),
            4 => {
                let data = parameters.list();
                let times = 1 + usize::from(parameters.byte() % 64);
                let _ = self.end.write(key, &data.repeat(times));
            }
            5 => drop(self.end.finish(key)),
            6 => self.end.reset(key),
            _ => {
                self.end.release(key);
                self.keys.swap_remove(which);
            }
        }
    }

    fn check(&mut self) {
        while self.end.poll_event().is_some() {}
        let (status, config) = (self.end.status(), self.end.config());
        assert!(status.streams <= config.streams_max);
        assert!(status.waiting <= config.accept_backlog);
        assert!(status.unacknowledged <= config.unacknowledged_max);
        assert!(status.unread_bytes <= config.receive_budget_bytes);
    }

    fn close(&mut self, reason: CloseReason) {
        self.end.handle_closed(self.now, reason);
        self.closed = true;
    }

    fn finish(mut self) {
        self.transmit();
        if !self.closed {
            self.close(CloseReason::Peer);
        }
        while let Poll::Ready(Ok(key)) = self.end.accept() {
            self.keys.push(key);
        }
        for key in self.keys {
            self.end.release(key);
        }
        let status = self.end.status();
        assert_eq!((status.streams, status.unread_bytes), (0, 0));
    }
}

//! A link with requests on one thread, and the peer at its other end.

use std::cell::RefCell;
use std::collections::HashSet;
use std::future::poll_fn;
use std::rc::Rc;
use std::task::{Poll, Waker};

use embedded_io_async::Read;
use turbopump_core::driver::{LinkWrite, Plain, Shell, WakerSlot, Wakes};
use turbopump_core::frame::{LengthField, Reader};
use turbopump_core::link::{
    Correlate, FrameKind, IdField, NoAnswer, RequestConfig, RequestStorage, Requests, SubmitRefused,
};
use turbopump_core::pool::{ClassLayout, Heap, Layout, Lease, OwnedRef, Pool};

use crate::transport::Half;

pub(crate) const HEAD: [u8; 8] = [0; 8];
pub(crate) const FRAME_BYTES_MAX: usize = 200_000;

pub(crate) type Buffers = OwnedRef<Pool<'static>>;
pub(crate) type Machine = Requests<'static, IdField, Buffers>;

pub(crate) fn protocol() -> IdField {
    IdField::big_endian(LengthField::big_endian_u32(FRAME_BYTES_MAX).unwrap(), 4)
}

pub(crate) fn buffers() -> Buffers {
    let classes = [
        ClassLayout::new(256, 128),
        ClassLayout::new(4_096, 128),
        ClassLayout::new(65_536, 64),
        ClassLayout::new(262_144, 64),
    ];
    OwnedRef::new(Pool::new(&Layout::new(&classes).unwrap(), Heap).unwrap())
}

pub(crate) fn machine(buffers: &Buffers, places: usize, config: &RequestConfig) -> Machine {
    let storage = RequestStorage::on_heap(places, 16, 4);
    Requests::new(protocol(), buffers.clone(), storage, config).unwrap()
}

/// The machine, and who waits for what.
pub(crate) struct TestShell {
    pub(crate) machine: Machine,
    driver: WakerSlot,
    waiting: Vec<Option<Waker>>,
    /// Who waits for a place.
    refused: Vec<Waker>,
}

impl Shell for TestShell {
    type Machine = Machine;

    fn machine(&mut self) -> &mut Machine {
        &mut self.machine
    }

    fn driver(&mut self) -> &mut WakerSlot {
        &mut self.driver
    }

    fn collect(&mut self, wakes: &mut Wakes) {
        while !wakes.is_full()
            && let Some(ticket) = self.machine.poll_completed()
        {
            let place = self.machine.place_of(ticket);
            self.waiting[place].take().into_iter().for_each(|waker| wakes.push(waker));
        }
        while !wakes.is_full()
            && (self.machine.has_room() || !self.machine.is_open())
            && let Some(waker) = self.refused.pop()
        {
            wakes.push(waker);
        }
    }
}

#[derive(Clone)]
pub(crate) struct Link(pub(crate) Rc<RefCell<TestShell>>);

/// What comes of a request: an answer, or an error and the id that the request had, if any.
pub(crate) type Outcome = Result<Lease<Buffers>, (Option<u32>, NoAnswer)>;

impl Link {
    pub(crate) fn new(machine: Machine) -> Self {
        let waiting = vec![None; machine.in_flight_max()];
        let (driver, refused) = (WakerSlot::new(), Vec::new());
        Self(Rc::new(RefCell::new(TestShell { machine, driver, waiting, refused })))
    }

    fn wake_driver(&self) {
        let driver = self.0.borrow_mut().driver.take();
        driver.into_iter().for_each(Waker::wake);
    }

    pub(crate) fn close(&self) {
        self.0.borrow_mut().machine.close();
        self.wake_driver();
    }

    /// A request with an outcome; `None` where the link took no more.
    pub(crate) async fn request(&self, body: &[u8], timeout_us: Option<u32>) -> Option<Outcome> {
        let submitted = poll_fn(|context| {
            let mut shell = self.0.borrow_mut();
            match shell.machine.submit(&HEAD, body, timeout_us) {
                Ok(ticket) => Poll::Ready(Some(ticket)),
                Err(SubmitRefused::Backlog { .. } | SubmitRefused::Full { .. }) => {
                    shell.refused.push(context.waker().clone());
                    Poll::Pending
                }
                Err(SubmitRefused::Closed(_) | SubmitRefused::Closing) => Poll::Ready(None),
                Err(refused) => panic!("{refused}"),
            }
        });
        let ticket = submitted.await?;
        self.wake_driver();
        let outcome = poll_fn(|context| {
            let mut shell = self.0.borrow_mut();
            if let Some(outcome) = shell.machine.take(ticket) {
                return Poll::Ready(outcome);
            }
            let place = shell.machine.place_of(ticket);
            shell.waiting[place] = Some(context.waker().clone());
            Poll::Pending
        });
        Some(outcome.await.map_err(|error| (Some(ticket.id()), error)))
    }
}

/// Answers every request with the request itself, in reversed order of what came with one read.
/// Whose whole frame it saw goes into `seen`.
pub(crate) async fn echo(mut reader: Half, writer: Half, seen: Rc<RefCell<HashSet<u32>>>) {
    let mut storage = vec![0; FRAME_BYTES_MAX];
    let mut frames = Reader::new(protocol(), &mut storage[..]).unwrap();
    let mut writer = Plain(writer);
    loop {
        let room = frames.receive_buffer_bulk().unwrap();
        let bytes = match reader.read(room).await {
            Ok(bytes) if bytes > 0 => bytes,
            _ => return,
        };
        frames.commit(bytes).unwrap();
        let whole: Vec<Vec<u8>> = frames.frames().map(|frame| frame.unwrap().to_vec()).collect();
        for frame in whole.into_iter().rev() {
            let FrameKind::Answer(id) = protocol().kind(&frame).unwrap() else { panic!() };
            seen.borrow_mut().insert(id);
            let mut rest = &frame[..];
            while !rest.is_empty() {
                match writer.write_chunks(&[rest]).await {
                    Ok(bytes) => rest = &rest[bytes..],
                    Err(_) => return,
                }
            }
        }
    }
}

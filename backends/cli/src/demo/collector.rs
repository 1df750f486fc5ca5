//! Whom the demo sends to: takes batches from connections and passes their messages on.

use alloc::sync::Arc;
use core::fmt;
use core::net::SocketAddr;
use core::sync::atomic::{AtomicU64, Ordering};
use std::io;
use std::sync::{Mutex, PoisonError};

use smol::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use turbopump::core::compress::{Decompress, Format};
use turbopump::core::frame::{FrameError, LengthField, Reader};
use turbopump::core::pool::AcquireRefused;
use turbopump::runtime::backend::{Backend, SocketOptions};
use turbopump::runtime::memory::{BufferPool, Chunk};
use turbopump::runtime::tasks::TaskKind;
use turbopump_std::compress::ZlibRsInflate;

use super::message::{self, ACCEPTED, BUSY, BatchHead, FRONT_BYTES, Malformed};
use crate::switch::Switch;

/// Where the messages of a lane go.
pub(crate) trait Deliver: Send + Sync + 'static {
    /// Ends when all of `batch`, which is whole messages, is in other hands.
    fn deliver(
        &self,
        lane: u16,
        batch: Chunk,
    ) -> impl Future<Output = Result<(), Malformed>> + Send;
}

static COLLECTOR: TaskKind = TaskKind::new("demo_collector");
static COLLECTOR_CONNECTION: TaskKind = TaskKind::new("demo_collector_connection");

/// Takes batches; listens between [`open`](Self::open) and turning the switch off.
pub(crate) struct Collector<D> {
    pub(crate) deliver: D,
    lanes: Box<[Lane]>,
    buffers: BufferPool,
    /// Batches that had come before.
    repeated: AtomicU64,
}

#[derive(Default)]
struct Lane(Mutex<LaneState>);

/// Which batches of a lane have come, so that none is passed on twice.
#[derive(Default)]
struct LaneState {
    /// Numbers below are done.
    done: u64,
    is_busy: bool,
}

/// What to do with a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verdict {
    Take,
    Repeated,
    Busy,
}

impl Lane {
    fn begin(&self, number: u64) -> Verdict {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if number < state.done {
            return Verdict::Repeated;
        }
        if state.is_busy {
            // Another connection has brought it and is at it.
            return Verdict::Busy;
        }
        state.is_busy = true;
        Verdict::Take
    }

    fn end(&self, number: u64, is_done: bool) {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        state.is_busy = false;
        if is_done {
            state.done = number + 1;
        }
    }
}

impl<D: Deliver> Collector<D> {
    pub(crate) fn new(deliver: D, lanes: u16, buffers: BufferPool) -> Arc<Self> {
        let lanes = (0..lanes).map(|_| Lane::default()).collect();
        Arc::new(Self { deliver, lanes, buffers, repeated: AtomicU64::new(0) })
    }

    pub(crate) fn repeated(&self) -> u64 {
        self.repeated.load(Ordering::Relaxed)
    }

    /// Listens until `switch` is turned off, which ends all connections too.
    pub(crate) async fn open<B: Backend>(
        self: &Arc<Self>,
        backend: &B,
        at: SocketAddr,
        switch: Arc<Switch>,
    ) -> io::Result<SocketAddr> {
        let mut listener = backend.listen(at).await?;
        let address = B::local_address(&listener)?;
        let (this, backend) = (Arc::clone(self), backend.clone());
        COLLECTOR.spawn(&backend.clone(), async move {
            let options = SocketOptions::default();
            while let Some(accepted) = switch.unless_off(B::accept(&mut listener, &options)).await {
                // An error concerns one connection that never was.
                let Ok((reader, writer, _)) = accepted else { continue };
                let (this, switch) = (Arc::clone(&this), Arc::clone(&switch));
                COLLECTOR_CONNECTION.spawn(&backend, async move {
                    if let Err(error) = this.serve(reader, writer, &switch).await {
                        eprintln!("turbopump: the collector ends a connection: {error}");
                    }
                });
            }
        });
        Ok(address)
    }

    async fn serve<R, W>(
        &self,
        mut reader: R,
        mut writer: W,
        switch: &Switch,
    ) -> Result<(), ServeError>
    where
        R: AsyncRead + Unpin + Send,
        W: AsyncWrite + Unpin + Send,
    {
        let length = message::length().map_err(|_| Malformed::LENGTH)?;
        let storage =
            vec![0; Reader::<LengthField>::bulk_len(message::FRAME_BYTES_MAX, READ_BYTES)];
        let mut frames =
            Reader::new(length, storage.into_boxed_slice()).map_err(|_| Malformed::LENGTH)?;
        let mut inflate = ZlibRsInflate::new(Format::Zlib).map_err(|_| Malformed::LENGTH)?;
        let mut answers = Vec::new();
        loop {
            while let Some(frame) = frames.next_frame()? {
                let status = self.take(frame, &mut inflate).await?;
                let front = frame.get(..FRONT_BYTES).ok_or(Malformed::LENGTH)?;
                let [_, _, _, _, id @ ..] = front else { return Err(Malformed::LENGTH.into()) };
                answers.extend_from_slice(&(1 + FRONT_BYTES as u32 - 4).to_be_bytes());
                answers.extend_from_slice(id);
                answers.push(status);
            }
            if !answers.is_empty() {
                let written = switch.unless_off(writer.write_all(&answers)).await;
                written.transpose()?;
                answers.clear();
            }
            let window = frames.receive_buffer_bulk()?;
            let read = switch.unless_off(reader.read(window)).await;
            let Some(read) = read else { return Ok(()) };
            match read? {
                0 => return Ok(frames.finish()?),
                len => frames.commit(len)?,
            }
        }
    }

    async fn take(&self, frame: &[u8], inflate: &mut ZlibRsInflate) -> Result<u8, ServeError> {
        let (head, rest) = BatchHead::parse(frame)?;
        let lane = self.lanes.get(usize::from(head.lane)).ok_or(Malformed::LANE)?;
        match lane.begin(head.number) {
            Verdict::Take => {}
            Verdict::Busy => return Ok(BUSY),
            Verdict::Repeated => {
                self.repeated.fetch_add(1, Ordering::Relaxed);
                return Ok(ACCEPTED);
            }
        }
        let result = self.pass_on(&head, rest, inflate).await;
        lane.end(head.number, result.is_ok());
        match result {
            Ok(()) => Ok(ACCEPTED),
            // Comes again when there is memory.
            Err(ServeError::Buffers(_)) => Ok(BUSY),
            Err(error) => Err(error),
        }
    }

    async fn pass_on(
        &self,
        head: &BatchHead,
        rest: &[u8],
        inflate: &mut ZlibRsInflate,
    ) -> Result<(), ServeError> {
        let len = head.plain_bytes as usize;
        let mut lease = self.buffers.acquire(len).map_err(ServeError::Buffers)?;
        if head.is_compressed {
            let room = lease.dirty_mut().get_mut(..len).ok_or(Malformed::LENGTH)?;
            let filled = inflate.decompress(rest, room).map_err(|_| Malformed::ZLIB)?;
            lease.commit(filled).map_err(|_| Malformed::LENGTH)?;
        } else {
            lease.extend_from_slice(rest).map_err(|_| Malformed::LENGTH)?;
        }
        if lease.len() != len {
            return Err(Malformed::LENGTH.into());
        }
        Ok(self.deliver.deliver(head.lane, lease.freeze()).await?)
    }
}

const READ_BYTES: usize = 1 << 18;

/// Why a connection was ended.
#[derive(Debug)]
enum ServeError {
    Io(io::Error),
    Frame(FrameError),
    Malformed(Malformed),
    Buffers(AcquireRefused),
}

impl From<io::Error> for ServeError {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

impl From<FrameError> for ServeError {
    fn from(error: FrameError) -> Self {
        Self::Frame(error)
    }
}

impl From<Malformed> for ServeError {
    fn from(error: Malformed) -> Self {
        Self::Malformed(error)
    }
}

impl fmt::Display for ServeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Io(error) => write!(f, "{error}"),
            Self::Frame(error) => write!(f, "{error}"),
            Self::Malformed(error) => write!(f, "{error}"),
            Self::Buffers(error) => write!(f, "{error}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_batch_is_taken_once_however_often_it_comes() {
        let lane = Lane::default();
        assert_eq!(lane.begin(0), Verdict::Take);
        assert_eq!(lane.begin(0), Verdict::Busy, "another connection is at it");
        lane.end(0, false);
        assert_eq!(lane.begin(0), Verdict::Take, "it failed");
        lane.end(0, true);
        assert_eq!(lane.begin(0), Verdict::Repeated);
        assert_eq!(lane.begin(4), Verdict::Take, "those between were given up");
    }
}

//! Compressed bodies, for two ends that both use them.
//!
//! A frame is one byte that says whether the body is compressed (0: plain, 1: gzip), the length of
//! what follows as four bytes, big-endian, and that many bytes.

mod progress;

use core::ops::{Deref, DerefMut};
use core::task::{Poll, ready};
use std::io::IoSlice;
use std::sync::{Mutex, MutexGuard, PoisonError};

use alloc::boxed::Box;
use alloc::vec::Vec;

use futures_io::AsyncWrite;
use turbopump_core::compress::{
    AdaptiveCompression, Deflate, Encoded, Format, InflateError, InflateState, Policy, inflate,
};

use super::error::ConnectionError;
use super::handle::Connection;
use super::settings::CompressionSettings;
use crate::backend::Backend;

pub use progress::CompressedWrite;

impl<B: Backend> Connection<B> {
    /// Writes a body for [`read_decompressed`](Self::read_decompressed) at the other end, and
    /// returns how many bytes that took on the wire.
    ///
    /// It is compressed from `compression.threshold_bytes` on, unless it does not shrink or
    /// compression has not paid lately. Compressing takes the executor's time: about 10 ms per MB.
    ///
    /// # Errors
    ///
    /// [`ConnectionError::TooLong`], before anything is written; else as [`write`](Self::write).
    ///
    /// # Cancel safety
    ///
    /// As [`write`](Self::write).
    pub async fn write_compressed(&mut self, body: &[u8]) -> Result<usize, ConnectionError> {
        let (shared, live) = self.parts();
        let bytes_max = shared.settings.compression.body_bytes_max;
        let Some(len) = u32::try_from(body.len()).ok().filter(|len| *len <= bytes_max) else {
            return Err(ConnectionError::TooLong { len: body.len() as u64, bytes_max });
        };
        if let Some(codec) = shared.codecs.compress(body) {
            let frame = &codec.wire[..];
            let mut written = 0;
            live.counts.compressed_plain_bytes += u64::from(len);
            live.counts.compressed_wire_bytes += frame.len() as u64;
            live.write_all(shared, frame.len(), |writer, cx| {
                let rest = frame.get(written..).unwrap_or_default();
                let taken = ready!(writer.poll_write(cx, rest))?;
                written += taken;
                Poll::Ready(Ok(taken))
            })
            .await?;
            return Ok(frame.len());
        }
        let head = head(PLAIN, len);
        let mut written = 0;
        live.write_all(shared, HEAD_BYTES + body.len(), |writer, cx| {
            let head = head.get(written..).unwrap_or_default();
            let rest = body.get(written.saturating_sub(HEAD_BYTES)..).unwrap_or_default();
            let slices = [IoSlice::new(head), IoSlice::new(rest)];
            let taken = ready!(writer.poll_write_vectored(cx, &slices))?;
            written += taken;
            Poll::Ready(Ok(taken))
        })
        .await?;
        Ok(HEAD_BYTES + body.len())
    }

    /// Reads a body that the other end has written by
    /// [`write_compressed`](Self::write_compressed), in place of what `into` holds, and returns its
    /// length.
    ///
    /// Memory is taken as bytes come, not as the peer announces them.
    ///
    /// # Errors
    ///
    /// Those of [`read_exact`](Self::read_exact); [`ConnectionError::TooLong`],
    /// [`ConnectionError::UnknownFrame`] and [`ConnectionError::Inflate`] for what the peer must
    /// not send. The connection is not used again.
    ///
    /// # Cancel safety
    ///
    /// As [`read_exact`](Self::read_exact).
    pub async fn read_decompressed(
        &mut self,
        into: &mut Vec<u8>,
    ) -> Result<usize, ConnectionError> {
        into.clear();
        let (shared, live) = self.parts();
        let bytes_max = shared.settings.compression.body_bytes_max;
        let mut head = [0; HEAD_BYTES];
        live.read_exact(shared, &mut head).await?;
        // Until the whole frame is there.
        live.is_cut = true;
        let [flag, length @ ..] = head;
        let len = u32::from_be_bytes(length);
        if flag > GZIP {
            return Err(ConnectionError::UnknownFrame { flag });
        }
        if len > bytes_max {
            return Err(ConnectionError::TooLong { len: len.into(), bytes_max });
        }
        let mut codec = (flag == GZIP).then(|| shared.codecs.take());
        let wire = match &mut codec {
            Some(codec) => &mut codec.wire,
            None => &mut *into,
        };
        wire.clear();
        let len = len as usize;
        while wire.len() < len {
            let filled = wire.len();
            let step = filled.max(STEP_BYTES).min(len - filled);
            wire.resize(filled + step, 0);
            let room = wire.get_mut(filled..).unwrap_or_default();
            live.read_exact(shared, room).await?;
        }
        if let Some(codec) = &mut codec {
            codec.inflate(into, bytes_max)?;
            live.counts.inflated_wire_bytes += (HEAD_BYTES + len) as u64;
            live.counts.inflated_plain_bytes += into.len() as u64;
        }
        live.is_cut = false;
        Ok(into.len())
    }
}

const fn head(flag: u8, len: u32) -> [u8; HEAD_BYTES] {
    let [a, b, c, d] = len.to_be_bytes();
    [flag, a, b, c, d]
}

/// The compressors of a pool, made when they are needed and used over and over.
pub(super) struct Codecs {
    settings: CompressionSettings,
    adaptive: Mutex<AdaptiveCompression>,
    idle: Mutex<Vec<Codec>>,
}

impl Codecs {
    pub(super) fn new(settings: &CompressionSettings) -> Self {
        Self {
            settings: settings.clone(),
            adaptive: Mutex::default(),
            idle: Mutex::new(Vec::with_capacity(IDLE_MAX)),
        }
    }

    /// A whole frame with the compressed body; `None` where it is to be sent plain.
    fn compress(&self, body: &[u8]) -> Option<Borrowed<'_>> {
        let settings = &self.settings;
        if !settings.enabled || body.len() < settings.threshold_bytes {
            return None;
        }
        if settings.adaptive && !lock(&self.adaptive).should_try() {
            return None;
        }
        let mut codec = self.take();
        let policy = Policy::new(settings.threshold_bytes);
        let len = codec.compress(&policy, settings.level, body);
        lock(&self.adaptive).observe(body.len(), len.unwrap_or(body.len()));
        len.map(|_| codec)
    }

    fn take(&self) -> Borrowed<'_> {
        let codec = lock(&self.idle).pop();
        Borrowed { codecs: self, codec: Some(codec.unwrap_or_default()) }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Both directions' states, each made when it is needed first, and a buffer for what is on the
/// wire.
#[derive(Default)]
pub(super) struct Codec {
    deflate: Option<Deflate>,
    inflate: Option<Box<InflateState>>,
    wire: Vec<u8>,
}

impl Codec {
    /// Puts a whole frame into `wire` and says how long the compressed body is.
    fn compress(&mut self, policy: &Policy, level: u8, body: &[u8]) -> Option<usize> {
        // The level was checked with the settings, so that making one cannot fail.
        let deflate = match &mut self.deflate {
            Some(deflate) => deflate,
            none => none.insert(Deflate::new(Format::Gzip, level).ok()?),
        };
        self.wire.resize(HEAD_BYTES + body.len(), 0);
        let (front, room) = self.wire.split_first_chunk_mut::<HEAD_BYTES>()?;
        match policy.encode(deflate, body, room) {
            Ok(Encoded::Compressed(len)) => {
                *front = head(GZIP, u32::try_from(len).ok()?);
                self.wire.truncate(HEAD_BYTES + len);
                Some(len)
            }
            Ok(Encoded::Plain(_)) | Err(_) => None,
        }
    }

    /// Inflates `wire` in place of what `into` holds.
    fn inflate(&mut self, into: &mut Vec<u8>, bytes_max: u32) -> Result<(), ConnectionError> {
        let state = self.inflate.get_or_insert_with(InflateState::new_boxed);
        // The last four bytes of gzip are the length. Whoever lies there is found out: with too
        // small a number the output ends early, and memory is bounded by what deflate can do.
        let announced = self.wire.last_chunk().map_or(0, |len| u32::from_le_bytes(*len));
        if announced > bytes_max {
            return Err(ConnectionError::TooLong { len: announced.into(), bytes_max });
        }
        let most = self.wire.len().saturating_mul(DEFLATE_RATIO_MAX);
        into.resize((announced as usize).min(most), 0);
        let inflated = inflate(Format::Gzip, state, &self.wire, into);
        let len = inflated.map_err(ConnectionError::Inflate)?;
        if len < into.len() {
            let at = self.wire.len() as u64;
            return Err(ConnectionError::Inflate(InflateError::Truncated { at }));
        }
        Ok(())
    }
}

/// A codec that goes back when it is dropped.
struct Borrowed<'c> {
    codecs: &'c Codecs,
    codec: Option<Codec>,
}

impl Deref for Borrowed<'_> {
    type Target = Codec;

    fn deref(&self) -> &Codec {
        match &self.codec {
            Some(codec) => codec,
            None => unreachable!("a codec is taken only when it is dropped"),
        }
    }
}

impl DerefMut for Borrowed<'_> {
    fn deref_mut(&mut self) -> &mut Codec {
        match &mut self.codec {
            Some(codec) => codec,
            None => unreachable!("a codec is taken only when it is dropped"),
        }
    }
}

impl Drop for Borrowed<'_> {
    fn drop(&mut self) {
        let Some(mut codec) = self.codec.take() else { return };
        codec.wire.clear();
        // One large body must not hold its memory for ever.
        codec.wire.shrink_to(KEPT_BYTES_MAX);
        let mut idle = lock(&self.codecs.idle);
        if idle.len() < IDLE_MAX {
            idle.push(codec);
        }
    }
}

const HEAD_BYTES: usize = 5;
const PLAIN: u8 = 0;
const GZIP: u8 = 1;
/// Memory for a body grows by as much as has come, and at least by this.
const STEP_BYTES: usize = 65_536;
/// More than deflate can make of one byte (1,032).
const DEFLATE_RATIO_MAX: usize = 1_040;
/// Codecs that wait for their next use: about 400 KiB each.
const IDLE_MAX: usize = 8;
const KEPT_BYTES_MAX: usize = 1 << 20;

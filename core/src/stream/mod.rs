//! Logical streams: many byte streams over one connection, without IO.
//!
//! Wire-compatible with yamux, so that the other end may be any other implementation of it: frames
//! of twelve bytes of header and up to 4 GiB of data, a window per stream, half close, reset,
//! pings and going away.
//!
//! [`Streams`] is a [`Machine`](crate::link::Machine): whoever drives it reads and writes. The
//! module decides what goes into frames and in whose turn, what the peer may send, and when a peer
//! is gone. It leaves to its user how to wait, to the [`StreamConfig`] how much there may be of
//! everything, and to a pool where the memory comes from.
//!
//! - No stream waits for another: a slow reader holds back its own stream only, by its window, and
//!   so does a slow peer. Streams with something to send take turns of one frame.
//! - Memory is bounded by a budget for all streams together; see [`StreamConfig`].
//! - Bytes are copied once each way, into buffers of the pool and out of them;
//!   [`Streams::read_chunk`] and [`Streams::write_chunk`] don't copy at all.
//! - A peer that breaks the protocol is told so, and the connection closed with a
//!   [`FrameError`](crate::frame::FrameError). What concerns one stream only, costs that stream
//!   only.
//!
//! ```
//! use core::task::Poll;
//!
//! use turbopump_core::link::{Chunks, Machine};
//! use turbopump_core::stream::{Role, StreamConfig, StreamStorage, Streams};
//! use turbopump_core::time::Now;
//!
//! # #[cfg(feature = "alloc")] {
//! # use turbopump_core::pool::{ClassLayout, Heap, Layout, OwnedRef, Pool};
//! # let classes = [ClassLayout::new(256, 64), ClassLayout::new(16_384, 64)];
//! # let pool = OwnedRef::new(Pool::new(&Layout::new(&classes)?, Heap)?);
//! let now = Now::default();
//! let config = StreamConfig::default();
//! let streams = |role| {
//!     let storage = StreamStorage::on_heap(&config);
//!     Streams::new(config.clone(), role, storage, pool.clone(), now, 7)
//! };
//! let (mut client, mut server) = (streams(Role::Client)?, streams(Role::Server)?);
//!
//! let key = client.open()?;
//! assert_eq!(client.write(key, b"hello"), Poll::Ready(Ok(5)));
//! client.finish(key)?;
//!
//! // What a driver does: from one end to the other.
//! let mut chunks = Chunks::new();
//! client.poll_transmit(now, &mut chunks);
//! let wire: Vec<u8> = chunks.iter().flatten().copied().collect();
//! server.handle_bytes(now, &wire)?;
//!
//! let Poll::Ready(accepted) = server.accept() else { panic!("the client opened one") };
//! let mut text = [0; 16];
//! assert_eq!(server.read(accepted?, &mut text), Poll::Ready(Ok(5)));
//! assert_eq!(&text[..5], b"hello");
//! assert_eq!(server.read(accepted?, &mut text), Poll::Ready(Ok(0)));
//! # }
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

// Lengths come from the network: every sum and every index has to say what happens out of range.
#![deny(clippy::indexing_slicing, clippy::arithmetic_side_effects)]

mod config;
mod counters;
mod end;
mod error;
mod event;
mod header;
mod index;
mod keep_alive;
mod ledger;
mod link;
mod machine;
mod place;
mod receive;
mod storage;
mod table;
mod transmit;

pub use config::{ConfigError, Role, StreamConfig};
pub use counters::{StreamCounters, StreamStatus};
pub use error::{OpenRefused, StreamError};
pub use event::{StreamEvent, StreamKey};
pub use header::{Flags, FrameKind, GoAwayReason, HEADER_BYTES, Header, INITIAL_WINDOW_BYTES};
pub use index::IndexEntry;
pub use link::NoBody;
pub use machine::Streams;
pub use place::{SEND_SEGMENTS, StreamPlace};
pub use storage::StreamStorage;

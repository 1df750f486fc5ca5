//! Where a frame ends: length-delimited framing for any header.
//!
//! The module decides how many bytes belong to the next frame, whether that length is legal, and
//! how many bytes are still missing. Reading and writing the bytes is the caller's business, and so
//! is everything inside a frame.
//!
//! - [`Header`] says what a protocol's header looks like; [`LengthField`] is the usual one, an
//!   integer at a fixed place.
//! - [`decode`] walks all complete frames of a window that the caller owns. It keeps no state and
//!   copies nothing: the fastest way.
//! - [`Reader`] owns a window over the caller's storage and is filled piece by piece, either with
//!   exactly what is missing or with as much as there is room for.
//! - [`Prepend`] is memory with room in front: a lease of a pool, or a slice as a [`FrameWriter`].
//!   [`seal`] puts a header and its length in front of a finished body without moving it.
//!
//! Every bad length is a [`FrameError`] that says where it was found; no input can panic.
//!
//! ```
//! use turbopump_core::frame::{FrameWriter, LengthField, Reader, seal};
//!
//! // Four bytes, big-endian, that count what follows them; no frame above 64 bytes.
//! let header = LengthField::big_endian_u32(64)?;
//!
//! let mut memory = [0; 64];
//! let mut writer = FrameWriter::new(&mut memory[..], 4)?;
//! writer.extend_from_slice(b"hello")?;
//! seal(&header, &mut writer, &[0; 4])?;
//! assert_eq!(writer.as_slice(), b"\0\0\0\x05hello");
//!
//! let mut storage = [0; 64];
//! let mut reader = Reader::new(header, &mut storage[..])?;
//! let mut wire = writer.as_slice();
//! while !wire.is_empty() {
//!     let window = reader.receive_buffer()?;
//!     let (now, later) = wire.split_at(window.len().min(wire.len()));
//!     window[..now.len()].copy_from_slice(now);
//!     reader.commit(now.len())?;
//!     wire = later;
//! }
//! assert_eq!(reader.next_frame()?, Some(&b"\0\0\0\x05hello"[..]));
//! assert_eq!(reader.next_frame()?, None);
//! reader.finish()?;
//! # Ok::<(), Box<dyn core::error::Error>>(())
//! ```

// Lengths come from the network: every sum and every index has to say what happens out of range.
#![deny(clippy::indexing_slicing, clippy::arithmetic_side_effects)]

mod decode;
mod error;
mod header;
mod lease;
mod length_field;
mod reader;
mod writer;

pub use decode::{Frames, Measured, decode, measure};
pub use error::{FrameError, LengthFieldError, NoHeadroom, NoRoom, SealError, StorageTooSmall};
pub use header::Header;
pub use length_field::{Counts, LengthField, LengthFieldBuilder};
pub use reader::{Reader, ReaderFrames};
pub use writer::{FrameWriter, Prepend, seal, seal_with};

//! Messages on disk: append-only segments, written in groups, proved by checksums.
//!
//! The module decides how messages lie on disk, what is proved good after a crash, and what is cut
//! off. What is written when, and what an acknowledgement means, is up to whoever calls; so is the
//! disk itself, behind the trait [`Disk`].
//!
//! A segment is a file that is named by the position of its first byte. It begins with a header,
//! and goes on with groups: messages one behind the other as they are stored and pulled, then a
//! trailer with the length and the CRC-32 of each of them, and of itself. The messages' own CRC
//! covers their bodies only, so that it would not show torn properties.
//!
//! | bytes | header of a segment | | bytes | trailer of a group of n messages |
//! | --- | --- | --- | --- | --- |
//! | 8 | `TPSTORE` and a zero | | 4 | its length |
//! | 4 | version of the format | | 4 | a number of its own, where messages have theirs |
//! | 4 | zero | | 8 | position of the group |
//! | 8 | position of the segment | | 4 | n |
//! | 4 | CRC-32 of the above | | 8 n | length and CRC-32 of each message |
//! | 4 | zero | | 4 | CRC-32 of the above |
//!
//! All numbers are big-endian, as in messages.

mod disk;
mod error;
mod files;
mod format;
mod scan;

pub use disk::{Disk, Folder};
pub use error::StoreError;
pub use files::{DiskStore, Segment, StoreReader, StoreSettings};
pub use format::trailer_bytes;
pub use scan::{Damage, Recovery, verify};

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
//! A segment that is followed by another one has an index beside it, in a file of its name with
//! `.index` behind it: what is known of its messages without reading them. It can be missing.
//!
//! | bytes | index of a segment | | bytes | for each group |
//! | --- | --- | --- | --- | --- |
//! | 8 | `TPINDEX` and a zero | | 4 | how many messages |
//! | 4 | version of the format | | | **for each of its messages** |
//! | 4 | version of the notes | | 4 | its length |
//! | 8 | position of the segment | | 4 | length of its note |
//! | 8 | bytes of the segment's groups | | n | its note |
//! | 8 | when its last message was stored | | | **behind the last group** |
//! | 8 | how many groups | | 4 | CRC-32 of the above |
//! | 4 | CRC-32 of the last trailer | | | |
//! | 4 | CRC-32 of those of all trailers | | | |
//!
//! All numbers are big-endian, as in messages.

mod disk;
mod error;
mod files;
mod format;
mod index;
mod indexing;
mod reader;
mod scan;

pub use disk::{Disk, Folder};
pub use error::StoreError;
pub use files::{DiskStore, Segment, StoreSettings};
pub use format::trailer_bytes;
pub use index::{Finding, Notes};
pub use indexing::{Indexer, verify};
pub use reader::StoreReader;
pub use scan::{Damage, Recovery};

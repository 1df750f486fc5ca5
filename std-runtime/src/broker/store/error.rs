//! Why a store can't do something.

use core::error::Error;
use core::fmt;
use std::io;

use alloc::boxed::Box;

/// Why a store can't be opened, written or read.
#[derive(Debug)]
#[non_exhaustive]
pub enum StoreError {
    /// The disk has refused.
    Disk {
        /// What was tried.
        operation: &'static str,
        /// With which file.
        file: Box<str>,
        /// What the operating system says.
        source: io::Error,
    },
    /// The store was written by a later program.
    Version {
        /// The file.
        file: Box<str>,
        /// Its version.
        found: u32,
        /// The latest one that this program knows.
        known: u32,
    },
    /// A group does not begin where the store ends: a mistake of the calling code.
    Position {
        /// Where the store ends.
        end: u64,
        /// Where the group begins.
        group: u64,
    },
    /// Something could not be synced, or not be taken back: nobody knows what is on disk. Start
    /// again, to find out.
    Closed,
    /// What was good once is damaged, and is lost.
    Damaged {
        /// Where the damaged part begins.
        position: u64,
    },
    /// Nothing is kept at this position any more, or yet.
    Gone {
        /// The position.
        position: u64,
    },
}

impl StoreError {
    pub(super) fn of(operation: &'static str, file: &str) -> impl FnOnce(io::Error) -> Self {
        let file = file.into();
        move |source| Self::Disk { operation, file, source }
    }

    /// Whether nothing can be written any more until the store is opened again.
    #[must_use]
    pub fn is_final(&self) -> bool {
        match self {
            Self::Closed => true,
            Self::Disk { operation, .. } => *operation == SYNC,
            _ => false,
        }
    }
}

/// The operation after whose failure nothing is certain.
pub(super) const SYNC: &str = "sync";

impl fmt::Display for StoreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Disk { operation, file, source } => {
                write!(f, "can't {operation} {file:?}: {source}")
            }
            Self::Version { file, found, known } => write!(
                f,
                "the store's file {file:?} has version {found} of the format, and this program \
                 knows versions up to {known}: use the program that has written it, or a later one"
            ),
            Self::Position { end, group } => {
                write!(f, "a group for position {group} comes where the store ends at {end}")
            }
            Self::Closed => f.write_str(
                "the store takes nothing since something could not be synced: free or repair the \
                 disk, then start again",
            ),
            Self::Damaged { position } => {
                write!(f, "what was stored at position {position} is damaged")
            }
            Self::Gone { position } => write!(f, "there is nothing at position {position}"),
        }
    }
}

impl Error for StoreError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::Disk { source, .. } => Some(source),
            _ => None,
        }
    }
}

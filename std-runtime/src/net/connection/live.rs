//! One open connection, wherever it is.

use core::net::SocketAddr;
use std::time::Instant;

use super::halves::{ReadHalf, WriteHalf};
use super::incoming::Incoming;
use super::status::IoCounts;
use crate::backend::Backend;

/// What belongs to a connection and stays with it when it changes hands.
pub(super) struct Live<B: Backend> {
    pub(super) incoming: Incoming<B::Reader>,
    pub(super) writer: WriteHalf<B::Writer>,
    pub(super) address: SocketAddr,
    /// A read or write has begun and not ended: where a message begins is unknown.
    pub(super) is_cut: bool,
    /// Its user waits for an answer.
    pub(super) in_exchange: bool,
    /// Something has failed.
    pub(super) is_broken: bool,
    /// When the last write ended, until something was read.
    pub(super) written_at: Option<Instant>,
    /// Since it was checked out.
    pub(super) counts: IoCounts,
}

impl<B: Backend> Live<B> {
    pub(super) fn new(
        reader: ReadHalf<B::Reader>,
        writer: WriteHalf<B::Writer>,
        address: SocketAddr,
    ) -> Self {
        Self {
            incoming: Incoming::new(reader),
            writer,
            address,
            is_cut: false,
            in_exchange: false,
            is_broken: false,
            written_at: None,
            counts: IoCounts::default(),
        }
    }

    pub(super) const fn can_be_used(&self) -> bool {
        !self.is_cut && !self.is_broken
    }

    pub(super) const fn can_be_reused(&self) -> bool {
        self.can_be_used() && !self.in_exchange
    }
}

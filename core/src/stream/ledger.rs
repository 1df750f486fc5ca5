//! The receive budget: who may promise what to the peer.

use super::header::INITIAL_WINDOW_BYTES;

/// Bytes of all streams that wait to be read, and those that the peer may still send.
#[derive(Debug)]
pub(super) struct Ledger {
    budget: usize,
    unread: usize,
    unread_max: usize,
    /// Unread bytes and credit together. Above the budget where that is less than what a peer may
    /// assume of new streams.
    committed: usize,
}

impl Ledger {
    pub(super) const fn new(budget: usize) -> Self {
        Self { budget, unread: 0, unread_max: 0, committed: 0 }
    }

    pub(super) const fn unread(&self) -> usize {
        self.unread
    }

    /// The most that ever waited to be read.
    pub(super) const fn unread_max(&self) -> usize {
        self.unread_max
    }

    /// True where the peer may be promised `bytes` more: they are covered, or at least half of the
    /// budget is free at this moment.
    pub(super) const fn may_grant(&self, bytes: u32) -> bool {
        self.committed.saturating_add(bytes as usize) <= self.budget || !self.is_spent()
    }

    /// True where one more stream may be admitted.
    pub(super) const fn may_admit(&self) -> bool {
        self.may_grant(INITIAL_WINDOW_BYTES)
    }

    /// True where more than half of the budget waits to be read.
    pub(super) const fn is_spent(&self) -> bool {
        self.unread > self.budget / 2
    }

    pub(super) const fn has_room(&self, bytes: usize) -> bool {
        self.unread.saturating_add(bytes) <= self.budget
    }

    pub(super) const fn granted(&mut self, bytes: u32) {
        self.committed = self.committed.saturating_add(bytes as usize);
    }

    /// Credit became unread bytes.
    pub(super) const fn arrived(&mut self, bytes: usize) {
        self.unread = self.unread.saturating_add(bytes);
        if self.unread > self.unread_max && self.has_room(0) {
            self.unread_max = self.unread;
        }
    }

    /// Unread bytes were read or dropped.
    pub(super) const fn left(&mut self, bytes: usize) {
        self.unread = self.unread.saturating_sub(bytes);
        self.committed = self.committed.saturating_sub(bytes);
    }

    /// Credit will not be used.
    pub(super) const fn revoked(&mut self, bytes: u32) {
        self.committed = self.committed.saturating_sub(bytes as usize);
    }
}

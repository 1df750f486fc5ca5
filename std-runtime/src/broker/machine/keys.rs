//! Finding messages by their keys: an index by hash, as long as the messages are there.
//!
//! Entries of one hash are chained from the newest to the oldest. Different keys may have the same
//! hash, so that who looks has to look at the messages.

use alloc::collections::VecDeque;
use alloc::vec;
use alloc::vec::Vec;

use super::log::Range;

/// No entry.
const NONE: u64 = u64::MAX;
const HEADS_MIN: usize = 1 << 10;

#[derive(Clone, Copy, Debug)]
struct Key {
    hash: i32,
    size_bytes: u32,
    position: u64,
    /// The number of the entry before in the same chain.
    before: u64,
}

#[derive(Debug, Default)]
pub(super) struct Keys {
    /// By hash: the number of the newest entry.
    heads: Vec<u64>,
    entries: VecDeque<Key>,
    /// The number of the first entry that is there.
    first: u64,
}

impl Keys {
    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }

    fn slot(&self, hash: i32) -> usize {
        // The number of heads is a power of two; hashes of Java differ in their low bits.
        hash as usize & self.heads.len().wrapping_sub(1)
    }

    pub(super) fn insert(&mut self, hash: i32, range: Range) {
        if self.entries.len() >= self.heads.len() {
            self.grow();
        }
        let number = self.first + self.entries.len() as u64;
        let slot = self.slot(hash);
        let Some(head) = self.heads.get_mut(slot) else {
            return;
        };
        let before = core::mem::replace(head, number);
        let Range { position, size_bytes } = range;
        self.entries.push_back(Key { hash, size_bytes, position, before });
    }

    #[cold]
    fn grow(&mut self) {
        let len = (self.heads.len() * 2).max(HEADS_MIN);
        self.heads = vec![NONE; len];
        let mut entries = core::mem::take(&mut self.entries);
        for (number, entry) in (self.first..).zip(&mut entries) {
            let slot = self.slot(entry.hash);
            if let Some(head) = self.heads.get_mut(slot) {
                entry.before = core::mem::replace(head, number);
            }
        }
        self.entries = entries;
    }

    fn get(&self, number: u64) -> Option<&Key> {
        self.entries.get(usize::try_from(number.checked_sub(self.first)?).ok()?)
    }

    /// Where messages with a key of this hash are, from the newest on.
    pub(super) fn find(&self, hash: i32) -> impl Iterator<Item = Range> {
        let mut number = self.heads.get(self.slot(hash)).copied().unwrap_or(NONE);
        core::iter::from_fn(move || {
            loop {
                // Those that are gone end the chain: all before them are gone, too.
                let key = *self.get(number)?;
                number = key.before;
                if key.hash == hash && key.size_bytes > 0 {
                    return Some(Range { position: key.position, size_bytes: key.size_bytes });
                }
            }
        })
    }

    /// What lies from this position on, before that one, is lost, and not found any more.
    pub(super) fn lose(&mut self, position: u64, end: u64) {
        let first = self
            .entries
            .partition_point(|key| key.position.saturating_add(key.size_bytes.into()) <= position);
        for key in self.entries.range_mut(first..).take_while(|key| key.position < end) {
            key.size_bytes = 0;
        }
    }

    /// Forgets messages before this position.
    pub(super) fn forget_before(&mut self, position: u64) {
        while self.entries.front().is_some_and(|key| key.position < position) {
            self.entries.pop_front();
            self.first += 1;
        }
    }

    /// Forgets messages from this position on.
    pub(super) fn forget_from(&mut self, position: u64) {
        while let Some(key) = self.entries.back()
            && key.position >= position
        {
            let (hash, before) = (key.hash, key.before);
            self.entries.pop_back();
            let slot = self.slot(hash);
            if let Some(head) = self.heads.get_mut(slot) {
                *head = before;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_found_until_they_are_forgotten() {
        let mut keys = Keys::default();
        assert_eq!(keys.find(3).count(), 0);
        for n in 0..5_000_u64 {
            keys.insert((n % 7) as i32 - 3, Range { position: n * 10, size_bytes: 10 });
        }
        let found = |keys: &Keys| keys.find(2).map(|range| range.position / 10).collect::<Vec<_>>();
        let all: Vec<u64> = (0..5_000).rev().filter(|n| n % 7 == 5).collect();
        assert_eq!(found(&keys), all);
        keys.forget_before(10_000);
        keys.forget_from(30_000);
        let left: Vec<u64> = all.into_iter().filter(|n| (1_000..3_000).contains(n)).collect();
        assert_eq!(found(&keys), left);
        assert_eq!(keys.len(), 2_000);
        keys.insert(2, Range { position: 30_000, size_bytes: 1 });
        assert_eq!(found(&keys).first(), Some(&3_000));
    }
}

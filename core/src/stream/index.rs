//! From a stream's number to its place: a hash table in the caller's storage.

use crate::backing::Backing;

/// One entry of the table that finds a stream by its number.
#[derive(Clone, Copy, Debug, Default)]
pub struct IndexEntry {
    /// 0 where the entry is free.
    id: u32,
    place: u32,
}

/// Entries for a number of streams: half of them stay free, so that searches are short.
pub(super) const fn entries_for(streams_max: usize) -> usize {
    streams_max.saturating_mul(2).next_power_of_two()
}

/// Linear probing. Numbers are scattered by a secret multiplier, so that a peer can't choose ones
/// that meet.
#[derive(Debug)]
pub(super) struct Index<'s> {
    entries: Backing<'s, IndexEntry>,
    mask: usize,
    multiplier: u64,
}

impl<'s> Index<'s> {
    /// `entries` are at least two, a power of two in use, more than there are streams.
    pub(super) fn new(mut entries: Backing<'s, IndexEntry>, used: usize, seed: u64) -> Self {
        entries.fill(IndexEntry::default());
        Self { entries, mask: used.saturating_sub(1), multiplier: seed | 1 }
    }

    fn home(&self, id: u32) -> usize {
        let mixed = u64::from(id).wrapping_mul(self.multiplier);
        ((mixed ^ (mixed >> 32)) as usize) & self.mask
    }

    const fn after(&self, at: usize) -> usize {
        at.wrapping_add(1) & self.mask
    }

    /// Where `id` is, or the free entry at which it would be looked for last.
    fn find(&self, id: u32) -> (usize, IndexEntry) {
        let mut at = self.home(id);
        loop {
            match self.entries.get(at) {
                Some(entry) if entry.id != 0 && entry.id != id => at = self.after(at),
                found => return (at, found.copied().unwrap_or_default()),
            }
        }
    }

    pub(super) fn get(&self, id: u32) -> Option<u32> {
        let (_, entry) = self.find(id);
        (entry.id != 0).then_some(entry.place)
    }

    pub(super) fn insert(&mut self, id: u32, place: u32) {
        let (at, _) = self.find(id);
        if let Some(entry) = self.entries.get_mut(at) {
            *entry = IndexEntry { id, place };
        }
    }

    /// Takes `id` out and moves up those behind that would not be found any more.
    pub(super) fn remove(&mut self, id: u32) {
        let (mut hole, entry) = self.find(id);
        if entry.id == 0 {
            return;
        }
        let mut at = hole;
        loop {
            at = self.after(at);
            let Some(entry) = self.entries.get(at).copied().filter(|entry| entry.id != 0) else {
                break;
            };
            // How far it is from home, beside how far the hole is from where it stands.
            let from_home = at.wrapping_sub(self.home(entry.id)) & self.mask;
            let from_hole = at.wrapping_sub(hole) & self.mask;
            if from_home >= from_hole {
                if let Some(free) = self.entries.get_mut(hole) {
                    *free = entry;
                }
                hole = at;
            }
        }
        if let Some(entry) = self.entries.get_mut(hole) {
            *entry = IndexEntry::default();
        }
    }
}

#[cfg(test)]
#[allow(clippy::indexing_slicing, clippy::arithmetic_side_effects)]
mod tests {
    use super::*;
    use crate::random::SplitMix64;

    /// Against a plain list, full to the brim and with numbers that meet.
    #[test]
    fn finds_what_was_put_in_and_nothing_else() {
        for seed in 0..20 {
            let mut entries = [IndexEntry::default(); entries_for(8)];
            let used = entries.len();
            // The multiplier 1 makes neighbours meet.
            let multiplier = if seed == 0 { 0 } else { seed };
            let mut index = Index::new(Backing::from(&mut entries[..]), used, multiplier);
            let mut random = SplitMix64::new(seed);
            let mut list = [0_u32; 8];
            for _ in 0..2_000 {
                let place = random.below(8) as usize;
                if list[place] != 0 {
                    index.remove(list[place]);
                    list[place] = 0;
                } else {
                    let id = (random.below(40) * 16 + 1) as u32;
                    if !list.contains(&id) {
                        index.insert(id, place as u32);
                        list[place] = id;
                    }
                }
                for id in (0..40).map(|id| id * 16 + 1) {
                    let place = list.iter().position(|listed| *listed == id);
                    assert_eq!(index.get(id), place.map(|place| place as u32), "seed {seed}");
                }
            }
        }
    }
}

//! Which series were seen with which value, so that increases are counted series by series.

use crate::stats::Labels;

/// Room for one series of one windowed term: 24 bytes of the caller's storage.
#[derive(Clone, Copy, Debug, Default)]
pub struct SeriesSlot {
    key: u64,
    last: u64,
    /// The number of the evaluation that saw it last; 0 where the slot is free.
    seen: u64,
}

/// What is known of a series that an evaluation sees.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Sighting {
    /// Never seen, or so long ago that its slot was needed.
    New,
    /// Seen by the evaluation before, with this value.
    Continuing { last: u64 },
    /// Seen by an earlier evaluation, with this value.
    Returning { last: u64 },
    /// There is no room for it.
    NoRoom,
}

/// A table of series with open addressing over the caller's storage.
///
/// Slots are never freed, only taken over, so that no probe sequence breaks. A search ends at a
/// free slot or after one round, so its length is bounded by the table's.
pub(super) struct SeriesTable<'t>(pub(super) &'t mut [SeriesSlot]);

impl SeriesTable<'_> {
    /// Notes that evaluation number `evaluation` (counted from 1) sees `value`.
    pub(super) fn see(&mut self, key: u64, value: u64, evaluation: u64) -> Sighting {
        let mut key = key;
        // Two sources without labels to tell them apart show the same series; the second is kept
        // apart by the order in which they come.
        for _ in 0..self.0.len() {
            match self.find(key, evaluation) {
                None => return Sighting::NoRoom,
                Some(slot) if slot.seen != 0 && slot.key == key => {
                    if slot.seen == evaluation {
                        key = mixed(key.wrapping_add(1));
                        continue;
                    }
                    let (last, seen) = (slot.last, slot.seen);
                    (slot.last, slot.seen) = (value, evaluation);
                    return if seen + 1 == evaluation {
                        Sighting::Continuing { last }
                    } else {
                        Sighting::Returning { last }
                    };
                }
                Some(slot) => {
                    *slot = SeriesSlot { key, last: value, seen: evaluation };
                    return Sighting::New;
                }
            }
        }
        Sighting::NoRoom
    }

    /// The slot of `key`, else a free one, else the one whose series has been gone for longest.
    fn find(&mut self, key: u64, evaluation: u64) -> Option<&mut SeriesSlot> {
        let length = self.0.len();
        let home = (key % length.max(1) as u64) as usize;
        let mut oldest: Option<usize> = None;
        for step in 0..length {
            let index = (home + step) % length;
            let slot = self.0[index];
            if slot.seen == 0 || slot.key == key {
                return self.0.get_mut(index);
            }
            // One that the last evaluation saw is likely to come yet in this one.
            let gone = slot.seen + 1 < evaluation;
            if gone && oldest.is_none_or(|oldest| slot.seen < self.0[oldest].seen) {
                oldest = Some(index);
            }
        }
        self.0.get_mut(oldest?)
    }
}

/// A key for the series of one term: the number of the term and all labels.
pub(super) fn series_key(term: usize, labels: &Labels<'_>) -> u64 {
    let mut hash = mixed(term as u64 + 1);
    for (name, value) in labels.iter() {
        for text in [name, value] {
            for &byte in text.as_bytes() {
                hash = (hash ^ u64::from(byte)).wrapping_mul(FNV_PRIME);
            }
            // No byte of UTF-8 is 255, so this separates.
            hash = (hash ^ 0xff).wrapping_mul(FNV_PRIME);
        }
    }
    mixed(hash)
}

/// The prime of the 64-bit FNV-1a hash (Fowler, Noll and Vo).
const FNV_PRIME: u64 = 0x0000_0100_0000_01b3;

/// Spreads a value over all bits, one to one (the finishing step of SplitMix64).
const fn mixed(value: u64) -> u64 {
    let value = (value ^ (value >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let value = (value ^ (value >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    value ^ (value >> 31)
}

#[cfg(test)]
mod tests {
    use super::{SeriesSlot, SeriesTable, Sighting, series_key};
    use crate::stats::Labels;

    #[test]
    fn a_series_is_recognised_until_its_slot_is_needed() {
        let mut storage = [SeriesSlot::default(); 2];
        let mut table = SeriesTable(&mut storage);
        assert_eq!(table.see(7, 100, 1), Sighting::New);
        assert_eq!(table.see(7, 110, 2), Sighting::Continuing { last: 100 });
        assert_eq!(table.see(7, 120, 5), Sighting::Returning { last: 110 });
        assert_eq!(table.see(8, 1, 5), Sighting::New);
        assert_eq!(table.see(9, 1, 5), Sighting::NoRoom);
        // In evaluation 6 both may still come; in 7 the one that was gone longest makes room.
        assert_eq!(table.see(9, 1, 6), Sighting::NoRoom);
        assert_eq!(table.see(8, 2, 6), Sighting::Continuing { last: 1 });
        assert_eq!(table.see(9, 1, 7), Sighting::New);
        assert_eq!(table.see(7, 130, 8), Sighting::New);
    }

    #[test]
    fn equal_series_are_kept_apart_by_their_order() {
        let mut storage = [SeriesSlot::default(); 4];
        let mut table = SeriesTable(&mut storage);
        for evaluation in 1..4 {
            let last = evaluation - 1;
            let expected = |offset: u64| match evaluation {
                1 => Sighting::New,
                _ => Sighting::Continuing { last: last + offset },
            };
            assert_eq!(table.see(7, evaluation, evaluation), expected(0));
            assert_eq!(table.see(7, evaluation + 1_000, evaluation), expected(1_000));
        }
    }

    #[test]
    fn an_empty_table_has_no_room() {
        assert_eq!(SeriesTable(&mut []).see(1, 1, 1), Sighting::NoRoom);
    }

    #[test]
    fn keys_differ_by_term_and_by_where_texts_end() {
        let key = |term, labels: &[(&str, &str)]| series_key(term, &Labels::new(labels).unwrap());
        let plain = key(0, &[("a", "bc")]);
        assert_ne!(plain, key(1, &[("a", "bc")]));
        assert_ne!(plain, key(0, &[("ab", "c")]));
        assert_ne!(plain, key(0, &[]));
        assert_eq!(plain, key(0, &[("a", "bc")]));
    }
}

//! Which messages were handled lately, by their unique ids.
//!
//! The window decides whether an id is one of the last so many that were put in. Ids are kept whole
//! and compared whole: what it calls known is. What is older is forgotten, so that a repeat may
//! still come: the window makes repeats rare, and handlers that may be called twice stay the rule.
//! An id is put in once its message is *done*: what is tried again has the same id.

use core::error::Error;
use core::fmt;

use crate::backing::Backing;
use crate::random::SplitMix64;

/// The id that a producer gives a message (`UNIQ_KEY`), decoded.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct UniqueId(
    /// Its bytes.
    pub [u8; 16],
);

impl UniqueId {
    /// From its text: 32 hexadecimal digits, of either case.
    ///
    /// # Errors
    ///
    /// [`NoUniqueId`] for any other text, also for the longer ids of producers with IPv6 addresses:
    /// such messages can't be told from others here.
    pub fn from_text(text: &str) -> Result<Self, NoUniqueId> {
        let digits = text.as_bytes();
        let mut id = [0; 16];
        if digits.len() != 32 {
            return Err(NoUniqueId { bytes: digits.len() });
        }
        for (byte, pair) in id.iter_mut().zip(digits.chunks_exact(2)) {
            for digit in pair {
                let value = char::from(*digit).to_digit(16);
                let value = value.and_then(|value| u8::try_from(value).ok());
                *byte = (*byte << 4) | value.ok_or(NoUniqueId { bytes: digits.len() })?;
            }
        }
        Ok(Self(id))
    }
}

/// Text that is no id of 16 bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct NoUniqueId {
    /// The length of the text.
    pub bytes: usize,
}

impl fmt::Display for NoUniqueId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "an id of {} characters is not made of 32 hexadecimal digits: deliver the message \
             without looking for repeats",
            self.bytes
        )
    }
}

impl Error for NoUniqueId {}

/// A place for one id.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SeenCell {
    id: UniqueId,
    /// The first id whose hash is this place's number, and the next of this id's; counted from 1, 0
    /// for none.
    first: u32,
    next: u32,
}

/// The ids of the last messages that were done, as many as there are cells.
///
/// ```
/// use turbopump_core::rocketmq::consumer::{Seen, SeenCell, UniqueId};
///
/// let mut memory = [SeenCell::default(); 100];
/// let mut seen = Seen::new(&mut memory[..], 7);
/// let id = UniqueId::from_text("0A141E28000018B4AAC216AC2C6F0001")?;
/// assert!(!seen.contains(&id));
/// assert!(seen.insert(id));
/// assert!(seen.contains(&id) && !seen.insert(id));
/// # Ok::<(), turbopump_core::rocketmq::consumer::NoUniqueId>(())
/// ```
#[derive(Debug)]
pub struct Seen<'s> {
    cells: Backing<'s, SeenCell>,
    len: usize,
    /// Where the next id goes: where the oldest is, once all places are used.
    at: usize,
    seed: u64,
}

impl<'s> Seen<'s> {
    /// Nothing is known yet. The seed should be random: whoever knows it can send ids that make
    /// looking them up slow.
    #[must_use]
    pub fn new(cells: impl Into<Backing<'s, SeenCell>>, seed: u64) -> Self {
        let mut cells = cells.into();
        cells.fill(SeenCell::default());
        Self { cells, len: 0, at: 0, seed }
    }

    /// Whether the id was put in and is not forgotten yet.
    #[must_use]
    pub fn contains(&self, id: &UniqueId) -> bool {
        let mut link = self.bucket(id).and_then(|bucket| self.cells.get(bucket)).map(|c| c.first);
        for _ in 0..self.len {
            let Some(cell) = link.and_then(index).and_then(|at| self.cells.get(at)) else { break };
            if cell.id == *id {
                return true;
            }
            link = Some(cell.next);
        }
        false
    }

    /// Puts an id in, in place of the oldest where all places are used. False, and nothing changes,
    /// where it is known already.
    pub fn insert(&mut self, id: UniqueId) -> bool {
        let at = self.at;
        let Some(link) = u32::try_from(at.saturating_add(1)).ok() else { return false };
        let Some(bucket) = self.bucket(&id).filter(|_| !self.contains(&id)) else { return false };
        if self.len == self.cells.len() {
            self.unlink(at, link);
        } else {
            self.len = self.len.saturating_add(1);
        }
        let Some(cell) = self.cells.get_mut(bucket) else { return false };
        let next = core::mem::replace(&mut cell.first, link);
        if let Some(cell) = self.cells.get_mut(at) {
            (cell.id, cell.next) = (id, next);
        }
        let following = at.saturating_add(1);
        self.at = if following < self.cells.len() { following } else { 0 };
        true
    }

    /// How many ids are known.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.len
    }

    /// Whether none is.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Takes the id in place `at` out of the chain that it is in.
    fn unlink(&mut self, at: usize, link: u32) {
        let Some(SeenCell { id, next, .. }) = self.cells.get(at).copied() else { return };
        let Some(bucket) = self.bucket(&id) else { return };
        let Some(head) = self.cells.get_mut(bucket) else { return };
        if head.first == link {
            head.first = next;
            return;
        }
        let mut before = head.first;
        for _ in 0..self.len {
            let Some(cell) = index(before).and_then(|at| self.cells.get_mut(at)) else { return };
            if cell.next == link {
                cell.next = next;
                return;
            }
            before = cell.next;
        }
    }

    /// `None` where there are no cells.
    fn bucket(&self, id: &UniqueId) -> Option<usize> {
        let UniqueId([a @ .., _, _, _, _, _, _, _, _]) = *id;
        let UniqueId([_, _, _, _, _, _, _, _, b @ ..]) = *id;
        let mixed = SplitMix64::new(self.seed ^ u64::from_le_bytes(a)).next_u64();
        let mut random = SplitMix64::new(mixed ^ u64::from_le_bytes(b));
        let count = u64::try_from(self.cells.len()).ok().filter(|count| *count > 0)?;
        usize::try_from(random.below(count)).ok()
    }
}

/// The place that a link means.
fn index(link: u32) -> Option<usize> {
    usize::try_from(link.checked_sub(1)?).ok()
}

#[cfg(test)]
mod tests {
    extern crate alloc;

    use super::*;

    fn id(number: u8) -> UniqueId {
        UniqueId([number; 16])
    }

    #[test]
    fn the_last_ones_are_known_and_the_oldest_forgotten() {
        for seed in 0..20 {
            let mut cells = [SeenCell::default(); 8];
            let mut seen = Seen::new(&mut cells[..], seed);
            for number in 0..200_u8 {
                assert!(seen.insert(id(number)) && !seen.insert(id(number)));
                for other in 0..=number {
                    let is_known = number - other < 8;
                    assert_eq!(seen.contains(&id(other)), is_known, "{other}, seed {seed}");
                }
            }
            assert_eq!(seen.len(), 8);
        }
    }

    #[test]
    fn no_other_id_is_taken_for_a_known_one() {
        let mut cells = [SeenCell::default(); 1];
        let mut seen = Seen::new(&mut cells[..], 1);
        let known = UniqueId([0xab; 16]);
        seen.insert(known);
        // In the same chain, and one bit apart.
        for bit in 0..128 {
            let flipped = u128::from_be_bytes(known.0) ^ 1_u128.rotate_left(bit);
            let other = UniqueId(flipped.to_be_bytes());
            assert!(!seen.contains(&other), "{bit}");
        }
        let mut none = Seen::new(&mut [][..], 1);
        assert!(!none.insert(known) && !none.contains(&known) && none.is_empty());
    }

    #[test]
    fn texts_are_read_in_either_case_and_refused_where_they_are_no_ids() {
        let expected = UniqueId::from_text("0A141E28000018B4AAC216AC2C6F00FF").unwrap();
        assert_eq!(UniqueId::from_text("0a141e28000018b4aac216ac2c6f00ff"), Ok(expected));
        assert_eq!((expected.0[0], expected.0[15]), (0x0a, 0xff));
        for text in
            ["", "0A", "0A141E28000018B4AAC216AC2C6F00FG", "0A141E28000018B4AAC216AC2C6F00é"]
        {
            assert_eq!(UniqueId::from_text(text), Err(NoUniqueId { bytes: text.len() }));
        }
        assert!(UniqueId::from_text(&alloc::string::String::from("A").repeat(56)).is_err());
    }
}

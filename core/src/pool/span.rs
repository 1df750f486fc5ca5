//! What a handle knows besides its slot, in one word of 64 bits: with the pointer to the slot that
//! makes a handle of two words, which is passed in registers.

/// Bits of a position within a slot.
const POSITION_BITS: u32 = 28;
/// Bits of a class.
const CLASS_BITS: u32 = 4;
/// Bits of a place.
const PLACE_BITS: u32 = 4;

/// Bytes that a slot may have, headroom included.
pub(super) const SLOT_BYTES_MAX: usize = (1 << POSITION_BITS) - 1;
/// Classes that can be told apart.
pub(super) const CLASSES: usize = 1 << CLASS_BITS;
/// Places that can be told apart.
pub(super) const PLACES: usize = 1 << PLACE_BITS;

/// Values that a tag can have.
pub(super) const TAGS: usize = CLASSES * PLACES;

const POSITION_MASK: u64 = (1 << POSITION_BITS) - 1;
const TAG_SHIFT: u32 = 2 * POSITION_BITS;
const _: () = assert!(CLASS_BITS + PLACE_BITS == u8::BITS && TAG_SHIFT + u8::BITS == u64::BITS);

/// A slot's class, and where in a thread's caches that of its pool is likely to be.
///
/// Handles carry it although the slot could tell: giving a slot back begins with these two, and
/// would otherwise wait for memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Tag(u8);

impl Tag {
    #[inline(always)]
    pub(super) fn new(class: usize, place: usize) -> Self {
        debug_assert!(class < CLASSES && place < PLACES);
        Self((place << CLASS_BITS | class) as u8)
    }

    #[inline(always)]
    pub(super) fn class(self) -> usize {
        usize::from(self.0) % CLASSES
    }

    /// Both in one number, below [`TAGS`].
    #[inline(always)]
    pub(super) fn number(self) -> usize {
        usize::from(self.0)
    }
}

/// A beginning and an end, in bytes from the start of a slot, and the slot's [`Tag`].
#[derive(Clone, Copy)]
pub(super) struct Span(u64);

impl Span {
    /// Nothing at all.
    pub(super) const NOTHING: Self = Self(0);

    #[inline(always)]
    pub(super) fn new(tag: Tag, start: u32, end: u32) -> Self {
        debug_assert!(start <= end && end as usize <= SLOT_BYTES_MAX);
        Self(u64::from(tag.0) << TAG_SHIFT | u64::from(end) << POSITION_BITS | u64::from(start))
    }

    /// The same slot, another part of it.
    #[inline(always)]
    pub(super) fn with(self, start: u32, end: u32) -> Self {
        Self::new(self.tag(), start, end)
    }

    #[inline(always)]
    pub(super) fn start(self) -> u32 {
        (self.0 & POSITION_MASK) as u32
    }

    #[inline(always)]
    pub(super) fn end(self) -> u32 {
        (self.0 >> POSITION_BITS & POSITION_MASK) as u32
    }

    #[inline(always)]
    pub(super) fn len(self) -> usize {
        (self.end() - self.start()) as usize
    }

    #[inline(always)]
    pub(super) fn tag(self) -> Tag {
        Tag((self.0 >> TAG_SHIFT) as u8)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_parts_come_back_at_their_limits() {
        let max = SLOT_BYTES_MAX as u32;
        for (start, end) in [(0, 0), (0, max), (max, max), (1, 2)] {
            for (class, place) in [(0, 0), (CLASSES - 1, PLACES - 1), (3, 7)] {
                let span = Span::new(Tag::new(class, place), start, end);
                assert_eq!((span.start(), span.end()), (start, end));
                assert_eq!(span.tag(), Tag::new(class, place));
                assert_eq!(span.tag().class(), class);
                assert!(span.tag().number() < TAGS);
                assert_eq!(span.len(), (end - start) as usize);
                assert_eq!(span.with(end, end).tag(), span.tag());
            }
        }
    }
}

//! How a pool's memory is divided: which sizes, how many of each, and how much storage that takes.

use core::fmt;

/// The size classes of a pool unless told otherwise, in bytes.
pub const CLASS_BYTES: [usize; 6] = [64, 256, 1_024, 4_096, 16_384, 65_536];

/// Larger classes that servers add: hot pulls reach 256 KiB, single messages 4 MiB.
pub const SERVER_CLASS_BYTES: [usize; 3] = [262_144, 1_048_576, 4_194_304];

/// Buffers of each class that are made ready before traffic starts, unless told otherwise.
pub const WARM_UP_COUNT: usize = 100;

/// Room in front of each buffer unless told otherwise: one cache line, so that bodies stay aligned.
pub const HEADROOM_BYTES: usize = 64;

/// Size classes a pool may have.
pub const CLASSES_MAX: usize = super::span::CLASSES;

/// Bytes that a buffer and its headroom may have together: 256 MiB, less one.
pub const BUFFER_BYTES_MAX: usize = super::span::SLOT_BYTES_MAX;

/// Slots a class may have.
pub const CLASS_SLOTS_MAX: usize = 1 << 24;

/// Where slots begin: at cache lines on hosts, at words on microcontrollers.
pub(super) const SLOT_ALIGN: usize = if cfg!(target_pointer_width = "64") { 64 } else { 8 };

/// One size class: buffers of `bytes`, `count` of them, each with `headroom` in front.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClassLayout {
    bytes: usize,
    headroom: usize,
    count: usize,
}

impl ClassLayout {
    /// `count` buffers of `bytes` each, with [`HEADROOM_BYTES`] in front of each.
    #[must_use]
    pub const fn new(bytes: usize, count: usize) -> Self {
        Self { bytes, headroom: HEADROOM_BYTES, count }
    }

    /// The same class with another headroom, in bytes: room for what is put in front of a body
    /// once that is complete, such as a frame's header.
    #[must_use]
    pub const fn with_headroom(self, headroom: usize) -> Self {
        Self { headroom, ..self }
    }

    /// Usable bytes of one buffer, headroom not counted.
    #[must_use]
    pub const fn bytes(&self) -> usize {
        self.bytes
    }

    /// Bytes in front of each buffer.
    #[must_use]
    pub const fn headroom(&self) -> usize {
        self.headroom
    }

    /// Buffers in this class.
    #[must_use]
    pub const fn count(&self) -> usize {
        self.count
    }

    /// Bytes from one slot to the next: headroom, buffer and what alignment adds.
    #[must_use]
    pub const fn stride(&self) -> usize {
        (self.headroom + self.bytes).next_multiple_of(SLOT_ALIGN)
    }
}

/// The size classes of a pool, smallest first, checked.
///
/// ```
/// use turbopump_core::pool::{ClassLayout, Layout};
///
/// const CLASSES: [ClassLayout; 2] =
///     [ClassLayout::new(64, 8).with_headroom(0), ClassLayout::new(512, 4).with_headroom(0)];
/// const LAYOUT: Layout<'static> = Layout::constant(&CLASSES);
/// assert_eq!(LAYOUT.classes_len(), 2);
/// assert_eq!(LAYOUT.slots_len(), 12);
/// assert!(LAYOUT.bytes_len() >= 8 * 64 + 4 * 512);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Layout<'a> {
    classes: &'a [ClassLayout],
}

impl<'a> Layout<'a> {
    /// Checks the classes.
    ///
    /// # Errors
    ///
    /// [`LayoutError`] names the class and what is wrong with it.
    pub const fn new(classes: &'a [ClassLayout]) -> Result<Self, LayoutError> {
        if classes.is_empty() || classes.len() > CLASSES_MAX {
            return Err(LayoutError::Classes { count: classes.len(), max: CLASSES_MAX });
        }
        let mut class = 0;
        let mut total: usize = SLOT_ALIGN;
        while class < classes.len() {
            let here = classes[class];
            if here.bytes == 0 || (class > 0 && here.bytes <= classes[class - 1].bytes) {
                return Err(LayoutError::NotAscending { class, bytes: here.bytes });
            }
            if here.count == 0 || here.count > CLASS_SLOTS_MAX {
                let max = CLASS_SLOTS_MAX;
                return Err(LayoutError::Slots { class, count: here.count, max });
            }
            let max = BUFFER_BYTES_MAX;
            if here.bytes > max || here.headroom > max || here.bytes + here.headroom > max {
                return Err(LayoutError::TooLarge { class, max });
            }
            total = match here.stride().checked_mul(here.count) {
                Some(bytes) if bytes <= isize::MAX as usize - total => total + bytes,
                _ => {
                    return Err(LayoutError::TooLarge { class, max: isize::MAX as usize });
                }
            };
            class += 1;
        }
        Ok(Self { classes })
    }

    /// As [`Layout::new`], for constants: a mistake is an error of the compiler.
    ///
    /// # Panics
    ///
    /// When called at run time with classes that [`Layout::new`] refuses.
    #[must_use]
    pub const fn constant(classes: &'a [ClassLayout]) -> Self {
        match Self::new(classes) {
            Ok(layout) => layout,
            Err(_) => {
                panic!("size classes must be 1 to 16, ascending, each with at least one slot")
            }
        }
    }

    /// The classes, smallest first.
    #[must_use]
    pub const fn classes(&self) -> &'a [ClassLayout] {
        self.classes
    }

    /// Number of size classes: how many [`Row`](super::Row)s the pool's storage holds.
    #[must_use]
    pub const fn classes_len(&self) -> usize {
        self.classes.len()
    }

    /// Number of slots of all classes: how many [`SlotState`](super::SlotState)s the pool's
    /// storage holds.
    #[must_use]
    pub const fn slots_len(&self) -> usize {
        let mut slots = 0;
        let mut class = 0;
        while class < self.classes.len() {
            slots += self.classes[class].count;
            class += 1;
        }
        slots
    }

    /// Bytes of memory for all slots, with what aligning the first of them may take.
    #[must_use]
    pub const fn bytes_len(&self) -> usize {
        let mut bytes = SLOT_ALIGN - 1;
        let mut class = 0;
        while class < self.classes.len() {
            bytes += self.classes[class].stride() * self.classes[class].count;
            class += 1;
        }
        bytes
    }
}

/// What is wrong with the size classes of a pool.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum LayoutError {
    /// No class, or more than a pool can have.
    Classes {
        /// Classes asked for.
        count: usize,
        /// Most that are possible: [`CLASSES_MAX`].
        max: usize,
    },
    /// A class is not larger than the one before it, or has no bytes.
    NotAscending {
        /// Which class, from 0.
        class: usize,
        /// Its size.
        bytes: usize,
    },
    /// A class has no slot, or more than it can have.
    Slots {
        /// Which class, from 0.
        class: usize,
        /// Slots asked for.
        count: usize,
        /// Most that are possible: [`CLASS_SLOTS_MAX`].
        max: usize,
    },
    /// A buffer with its headroom, or all slots together, exceed what can be addressed.
    TooLarge {
        /// Which class, from 0.
        class: usize,
        /// The limit that was exceeded, in bytes.
        max: usize,
    },
}

impl fmt::Display for LayoutError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::Classes { count, max } => {
                write!(f, "{count} size classes; give at least 1 and at most {max}")
            }
            Self::NotAscending { class, bytes } => write!(
                f,
                "size class {class} has {bytes} bytes; sizes must be above 0 and ascend strictly"
            ),
            Self::Slots { class, count, max } => {
                write!(f, "size class {class} has {count} slots; give at least 1 and at most {max}")
            }
            Self::TooLarge { class, max } => write!(
                f,
                "size class {class} exceeds {max} bytes; give it smaller or fewer buffers"
            ),
        }
    }
}

impl core::error::Error for LayoutError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_mistake_is_named() {
        assert_eq!(Layout::new(&[]), Err(LayoutError::Classes { count: 0, max: CLASSES_MAX }));
        let many = [ClassLayout::new(1, 1); CLASSES_MAX + 1];
        assert_eq!(Layout::new(&many), Err(LayoutError::Classes { count: 17, max: CLASSES_MAX }));
        let falling = [ClassLayout::new(64, 1), ClassLayout::new(64, 1)];
        assert_eq!(Layout::new(&falling), Err(LayoutError::NotAscending { class: 1, bytes: 64 }));
        let empty = [ClassLayout::new(64, 0)];
        let max = CLASS_SLOTS_MAX;
        assert_eq!(Layout::new(&empty), Err(LayoutError::Slots { class: 0, count: 0, max }));
        let huge = [ClassLayout::new(usize::MAX, 1)];
        assert!(matches!(Layout::new(&huge), Err(LayoutError::TooLarge { class: 0, .. })));
        let headroom = [ClassLayout::new(1, 1).with_headroom(usize::MAX)];
        assert!(matches!(Layout::new(&headroom), Err(LayoutError::TooLarge { class: 0, .. })));
    }

    #[test]
    fn strides_keep_slots_aligned() {
        for bytes in [1, 63, 64, 65, 1_000] {
            for headroom in [0, 1, 64, 100] {
                let class = ClassLayout::new(bytes, 1).with_headroom(headroom);
                assert!(class.stride() >= bytes + headroom);
                assert_eq!(class.stride() % SLOT_ALIGN, 0);
            }
        }
    }
}

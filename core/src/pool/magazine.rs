//! Free slots of one class that one thread keeps for itself.
//!
//! Taking a slot out of a magazine and putting it in touches no memory that another thread writes
//! and performs no atomic read-modify-write. The numbers are atomics all the same, so that others
//! can read them for the statistics.

use core::cell::UnsafeCell;
use core::ptr::{NonNull, null_mut};

use super::sealed;
use super::slot::SlotState;
use super::span::Span;
use super::table::Row;
use crate::sync::{AtomicBool, AtomicPtr, AtomicU32, AtomicUsize, Ordering};
use crate::sync::{add_unshared, array_of, const_unless_loom};

/// Slots that a magazine can hold at most.
///
/// With the counters in front of them this makes 512 bytes on 64-bit targets, so that finding the
/// magazine of a class takes a shift.
pub const MAGAZINE_SLOTS: usize = 54;

#[cfg(all(target_pointer_width = "64", not(loom)))]
const _: () = assert!(size_of::<Magazine>() == 512);

/// Free slots of one class, and what their owner counted.
///
/// Written by the one [`Cache`](super::Cache) that owns it, read by whoever wants the statistics.
#[repr(C)]
#[cfg_attr(target_pointer_width = "64", repr(align(64)))]
pub struct Magazine {
    /// Slots in it.
    len: AtomicU32,
    /// Slots it may hold.
    capacity: AtomicU32,
    /// Fewest slots in it since the last exchange with the pool.
    low: AtomicU32,
    owned: AtomicBool,
    /// Only the owner looks at it.
    note: UnsafeCell<Note>,
    /// Slots handed to users.
    acquired: AtomicUsize,
    /// Slots got from the pool.
    refilled: AtomicUsize,
    /// Slots given to the pool.
    flushed: AtomicUsize,
    /// Most slots handed out and not come back at once, up to the last exchange.
    peak: AtomicUsize,
    /// The address of the row of the class that it counts for.
    row: AtomicUsize,
    slots: [AtomicPtr<SlotState>; MAGAZINE_SLOTS],
}

/// A slot that is claimed, and has a reference paid for.
type Claim = NonNull<SlotState>;

/// What the owner of a magazine wants to know of its slots at once.
#[derive(Clone, Copy)]
pub(super) struct Note {
    /// Where their pool is; null where nobody owns the magazine.
    pub(super) home: *mut (),
    /// The body of a fresh lease on one of them.
    pub(super) fresh: Span,
}

/// What a magazine counted.
#[derive(Clone, Copy, Default)]
pub(super) struct Counted {
    pub(super) acquired: usize,
    pub(super) refilled: usize,
    pub(super) peak: usize,
    pub(super) parked: usize,
}

impl Magazine {
    const_unless_loom! {
        /// An empty magazine that nobody owns.
        #[must_use]
        pub fn new() -> Self {
            Self {
                len: AtomicU32::new(0),
                capacity: AtomicU32::new(0),
                low: AtomicU32::new(0),
                owned: AtomicBool::new(false),
                note: UnsafeCell::new(Note { home: null_mut(), fresh: Span::NOTHING }),
                acquired: AtomicUsize::new(0),
                refilled: AtomicUsize::new(0),
                flushed: AtomicUsize::new(0),
                peak: AtomicUsize::new(0),
                row: AtomicUsize::new(0),
                slots: array_of!(AtomicPtr::new(null_mut()); MAGAZINE_SLOTS),
            }
        }
    }

    /// Makes the caller the one who may write; false where somebody is that already.
    pub(super) fn own(&self) -> bool {
        !self.owned.swap(true, Ordering::Acquire)
    }

    /// The owner gives that up.
    ///
    /// # Safety
    ///
    /// The caller owns the magazine.
    pub(super) unsafe fn disown(&self) {
        // SAFETY: as for the caller.
        unsafe { self.set_note(Note { home: null_mut(), fresh: Span::NOTHING }) };
        self.owned.store(false, Ordering::Release);
    }

    pub(super) fn set_capacity(&self, capacity: u32) {
        let capacity = capacity.min(MAGAZINE_SLOTS as u32);
        self.capacity.store(capacity, Ordering::Relaxed);
    }

    /// Sets what [`Magazine::note`] returns.
    ///
    /// # Safety
    ///
    /// The caller owns the magazine.
    pub(super) unsafe fn set_note(&self, note: Note) {
        // SAFETY: only the owner reads or writes this, and it is not shared between threads.
        unsafe { *self.note.get() = note };
    }

    /// What the owner noted.
    ///
    /// # Safety
    ///
    /// The caller owns the magazine, or nobody does.
    #[inline(always)]
    pub(super) unsafe fn note(&self) -> Note {
        // SAFETY: as in `set_note`.
        unsafe { *self.note.get() }
    }

    pub(super) fn capacity(&self) -> u32 {
        self.capacity.load(Ordering::Relaxed)
    }

    pub(super) fn len(&self) -> u32 {
        self.len.load(Ordering::Relaxed)
    }

    /// Counts for the class of `row` from here on; anew, if it counted for another one before.
    /// Only the owner may do that, while the magazine is empty.
    pub(super) fn count_for(&self, row: &Row) {
        let address = core::ptr::from_ref(row) as usize;
        if self.row.swap(address, Ordering::Relaxed) != address {
            for counter in [&self.acquired, &self.refilled, &self.flushed, &self.peak] {
                counter.store(0, Ordering::Relaxed);
            }
            self.low.store(0, Ordering::Relaxed);
        }
    }

    /// What was counted, if it was for the class of `row`.
    pub(super) fn counted(&self, row: &Row) -> Option<Counted> {
        let address = core::ptr::from_ref(row) as usize;
        (self.row.load(Ordering::Relaxed) == address).then(|| Counted {
            acquired: self.acquired.load(Ordering::Relaxed),
            refilled: self.refilled.load(Ordering::Relaxed),
            peak: self.peak_now(),
            parked: self.len() as usize,
        })
    }

    fn peak_now(&self) -> usize {
        let got = self.refilled.load(Ordering::Relaxed);
        let low = self.low.load(Ordering::Relaxed) as usize;
        let kept = self.flushed.load(Ordering::Relaxed).wrapping_add(low);
        // Below zero where the thread returns what others acquired.
        got.saturating_sub(kept).max(self.peak.load(Ordering::Relaxed))
    }

    /// The place of slot number `at`.
    #[inline]
    fn at(&self, at: u32) -> &AtomicPtr<SlotState> {
        debug_assert!((at as usize) < MAGAZINE_SLOTS);
        // SAFETY: every caller passes less than `len` or `capacity`; `len` never exceeds
        // `capacity`, and `set_capacity` keeps that within the array.
        unsafe { self.slots.get_unchecked(at as usize) }
    }

    /// The slot that is at a place below `len`.
    #[inline]
    fn load(&self, at: u32) -> Claim {
        let slot = self.at(at).load(Ordering::Relaxed);
        // SAFETY: places below `len` hold what `push` stored, which is never null.
        unsafe { NonNull::new_unchecked(slot) }
    }

    /// Takes a slot out for a user.
    #[inline]
    pub(super) fn pop(&self) -> Option<Claim> {
        let len = self.len();
        // One comparison for two rare cases: nothing is left, or less than ever since the exchange.
        if len <= self.low.load(Ordering::Relaxed) && !self.lower(len) {
            return None;
        }
        self.len.store(len - 1, Ordering::Relaxed);
        add_unshared(&self.acquired, 1);
        Some(self.load(len - 1))
    }

    /// Notes that the length falls below `len`; false where it can't.
    #[cold]
    fn lower(&self, len: u32) -> bool {
        self.low.store(len.saturating_sub(1), Ordering::Relaxed);
        len > 0
    }

    /// Puts a slot in; false where the magazine is full.
    #[inline]
    pub(super) fn push(&self, claim: Claim) -> bool {
        let len = self.len();
        let room = len < self.capacity();
        if room {
            self.at(len).store(claim.as_ptr(), Ordering::Relaxed);
            self.len.store(len + 1, Ordering::Relaxed);
        }
        room
    }

    /// Takes in up to `count` slots from the pool, as long as `claim` has some, and one for a user,
    /// which is returned. Says how many it got in all.
    pub(super) fn refill(
        &self,
        count: u32,
        mut claim: impl FnMut() -> Option<Claim>,
    ) -> Option<(Claim, usize)> {
        let peak = self.peak_now();
        let taken = claim()?;
        let mut claimed = 1;
        for _ in 0..count.min(self.capacity() - self.len()) {
            let Some(claim) = claim() else { break };
            self.push(claim);
            claimed += 1;
        }
        add_unshared(&self.refilled, claimed);
        add_unshared(&self.acquired, 1);
        self.exchanged(peak);
        Some((taken, claimed))
    }

    /// Hands up to `count` slots to `release`, those first that have been here longest: the others
    /// were used last and are still in this core's cache. Returns how many.
    pub(super) fn give(&self, count: u32, mut release: impl FnMut(Claim)) -> usize {
        let peak = self.peak_now();
        let len = self.len();
        let given = len.min(count);
        for at in 0..given {
            release(self.load(at));
        }
        for at in given..len {
            self.at(at - given).store(self.load(at).as_ptr(), Ordering::Relaxed);
        }
        self.len.store(len - given, Ordering::Relaxed);
        add_unshared(&self.flushed, given as usize);
        self.exchanged(peak);
        given as usize
    }

    /// Counts a slot that went to the pool without having been in here.
    pub(super) fn passed_on(&self) {
        let peak = self.peak_now();
        add_unshared(&self.flushed, 1);
        self.exchanged(peak);
    }

    /// Begins counting the low mark anew, after slots came from or went to the pool.
    fn exchanged(&self, peak: usize) {
        self.peak.store(peak, Ordering::Relaxed);
        self.low.store(self.len(), Ordering::Relaxed);
    }
}

// SAFETY: everything but `note` is atomic, and that is for the owner only, who is one thread.
unsafe impl Sync for Magazine {}
// SAFETY: the slots belong to the owner, who gives them back before anybody else owns the magazine.
unsafe impl Send for Magazine {}

impl Default for Magazine {
    fn default() -> Self {
        Self::new()
    }
}

/// Where the magazines of a cache are: `&[Magazine]` or, with `alloc`, an `Arc<[Magazine]>`.
///
/// Implemented by this crate only: a cache relies on reaching the same magazines at every call.
pub trait MagazineSet: sealed::Stable {}

impl MagazineSet for &[Magazine] {}

impl sealed::Stable for &[Magazine] {
    #[inline]
    fn magazines(&self) -> &[Magazine] {
        self
    }
}

#[cfg(feature = "alloc")]
impl MagazineSet for alloc::sync::Arc<[Magazine]> {}

#[cfg(feature = "alloc")]
impl sealed::Stable for alloc::sync::Arc<[Magazine]> {
    #[inline]
    fn magazines(&self) -> &[Magazine] {
        self
    }
}

//! Who owns which slot: the lock-free heart of every pool here.
//!
//! Each slot has one word, `refs`, that is its whole state: free, claimed, or shared by so many
//! handles. Claiming is one compare-and-swap on that word; since the word says everything, there is
//! no ABA. Giving a slot back is a plain store, because only its owner can do it.
//!
//! Which slot to try first is *advice*: per class, a list of freed slots linked through `next`,
//! kept with plain loads and stores. One thread alone sees an exact stack. When threads race, a
//! slot may drop out of the list or stand in it although it is claimed: the compare-and-swap on
//! `refs` then fails, or a sweep over the class finds the slot and rebuilds the list. So a claim is
//! refused only after every slot of the class was seen taken.
//!
//! A slot that was never used is taken only when the list is empty, lowest first. So the number of
//! slots ever used is the high-water mark, and costs nothing to keep.

use core::ops::Range;
use core::ptr::NonNull;

use super::held::Held;
use super::layout::{ClassLayout, Layout};
use super::slot::SlotState;
use crate::sync::{AtomicU32, AtomicUsize, Ordering, const_unless_loom};

/// End of an advice list; otherwise the list holds index + 1.
pub(super) const NONE: u32 = 0;
/// Tries on the advice list before it is given up as stale.
const ADVICE_TRIES: usize = 4;

/// What a pool keeps for each size class, in storage of the caller's: an opaque value to make
/// arrays of.
#[cfg_attr(target_pointer_width = "64", repr(align(64)))]
pub struct Row {
    /// Usable bytes of a slot, without headroom.
    pub(super) bytes: u32,
    /// Bytes in front of them: where a body begins.
    pub(super) headroom: u32,
    /// Bytes from slot to slot.
    pub(super) stride: u32,
    /// Slots.
    pub(super) count: u32,
    /// Where the class's slots begin among all slots.
    first_slot: u32,
    pub(super) state: RowState,
}

/// What changes in a row: on a cache line of its own, so that readers of the rest never wait.
#[cfg_attr(target_pointer_width = "64", repr(align(64)))]
pub(super) struct RowState {
    top: AtomicU32,
    fresh: AtomicU32,
    /// Slots that caches may still reserve for themselves.
    parkable: AtomicU32,
    /// Requests that found no free slot in this class.
    pub(super) misses: AtomicUsize,
    /// Requests for a smaller class that this one served.
    pub(super) stepped_up: AtomicUsize,
}

impl Row {
    const_unless_loom! {
        /// A row without slots.
        #[must_use]
        pub fn new() -> Self {
            Self {
                bytes: 0,
                headroom: 0,
                stride: 0,
                count: 0,
                first_slot: 0,
                state: RowState {
                    top: AtomicU32::new(NONE),
                    fresh: AtomicU32::new(0),
                    parkable: AtomicU32::new(0),
                    misses: AtomicUsize::new(0),
                    stepped_up: AtomicUsize::new(0),
                },
            }
        }
    }

    fn describing(class: &ClassLayout, first_slot: u32) -> Self {
        let mut row = Self::new();
        row.bytes = class.bytes() as u32;
        row.headroom = class.headroom() as u32;
        row.stride = class.stride() as u32;
        row.count = class.count() as u32;
        row.first_slot = first_slot;
        // At most half of a class may lie idle in caches, whatever the number of threads.
        row.state.parkable = AtomicU32::new(row.count / 2);
        row
    }

    fn slots(&self) -> Range<usize> {
        let first = self.first_slot as usize;
        first..first + self.count as usize
    }
}

impl Default for Row {
    fn default() -> Self {
        Self::new()
    }
}

/// The rows and slots of one pool. Seen outside in sealed traits only.
#[allow(unnameable_types)]
pub struct SlotTable<'s> {
    rows: Held<'s, Row>,
    slots: Held<'s, SlotState>,
}

impl<'s> SlotTable<'s> {
    /// Takes storage that holds at least what `layout` says; what is over stays unused.
    ///
    /// # Safety
    ///
    /// All strides of the layout, one after the other from `memory` on, lie within memory that is
    /// the table's as long as the table lives.
    pub(super) unsafe fn new(
        layout: &Layout<'_>,
        mut rows: Held<'s, Row>,
        mut slots: Held<'s, SlotState>,
        mut memory: NonNull<u8>,
    ) -> Self {
        let mut first_slot = 0;
        for (number, class) in layout.classes().iter().enumerate() {
            let row = Row::describing(class, first_slot);
            for (index, slot) in slots.as_mut_slice()[row.slots()].iter_mut().enumerate() {
                *slot = SlotState::of(class, number as u32, index as u32, memory);
                // SAFETY: the caller says that this is at most one past the end of the memory.
                memory = unsafe { memory.add(class.stride()) };
            }
            first_slot += row.count;
            rows.as_mut_slice()[number] = row;
        }
        rows.truncate(layout.classes_len());
        slots.truncate(layout.slots_len());
        Self { rows, slots }
    }

    #[inline]
    pub(super) fn rows(&self) -> &[Row] {
        self.rows.as_slice()
    }

    #[inline]
    fn slots_of(&self, row: &Row) -> &[SlotState] {
        // `new` made the rows, so that each names slots that there are.
        self.slots.as_slice().get(row.slots()).unwrap_or_default()
    }

    /// Claims any free slot of the class; `None` after every slot of it was seen taken.
    #[inline]
    pub(super) fn claim(&self, class: usize) -> Option<NonNull<SlotState>> {
        let row = self.rows().get(class)?;
        let top = row.state.top.load(Ordering::Relaxed);
        if top != NONE
            && let Some(slot) = self.slots.as_slice().get((row.first_slot + top - 1) as usize)
        {
            let next = slot.next.load(Ordering::Relaxed);
            if slot.try_claim() {
                row.state.top.store(next, Ordering::Relaxed);
                return Some(NonNull::from(slot));
            }
        }
        self.claim_elsewhere(row, top).map(NonNull::from)
    }

    /// As [`SlotTable::claim`], where the advice `tried` was stale or there was none.
    #[cold]
    fn claim_elsewhere(&self, row: &Row, mut tried: u32) -> Option<&SlotState> {
        let slots = self.slots_of(row);
        for _ in 1..ADVICE_TRIES {
            let top = row.state.top.load(Ordering::Relaxed);
            if top == tried {
                break; // Stale advice, not a race.
            }
            let Some(slot) = slots.get(top.wrapping_sub(1) as usize) else { break };
            let next = slot.next.load(Ordering::Relaxed);
            if slot.try_claim() {
                row.state.top.store(next, Ordering::Relaxed);
                return Some(slot);
            }
            tried = top;
        }
        Self::claim_fresh(row, slots).or_else(|| Self::sweep(row, slots))
    }

    /// Claims the lowest slot that was never used.
    fn claim_fresh<'a>(row: &Row, slots: &'a [SlotState]) -> Option<&'a SlotState> {
        loop {
            let fresh = row.state.fresh.load(Ordering::Relaxed);
            let slot = slots.get(fresh as usize)?;
            let claimed = slot.try_claim();
            // Whoever sees the slot used moves the mark on, so nobody waits for anybody.
            let relaxed = Ordering::Relaxed;
            let _ = row.state.fresh.compare_exchange(fresh, fresh + 1, relaxed, relaxed);
            if claimed {
                return Some(slot);
            }
        }
    }

    /// Looks at every slot: claims the last free one and lists the others, lowest first.
    fn sweep<'a>(row: &Row, slots: &'a [SlotState]) -> Option<&'a SlotState> {
        let mut claimed = None;
        let mut top = NONE;
        for (index, slot) in slots.iter().enumerate().rev() {
            if !slot.is_free() {
                continue;
            }
            if claimed.is_none() && slot.try_claim() {
                claimed = Some(slot);
                continue;
            }
            slot.next.store(top, Ordering::Relaxed);
            top = index as u32 + 1;
        }
        if top != NONE {
            row.state.top.store(top, Ordering::Relaxed);
        }
        claimed
    }

    /// Gives a claimed slot back. Only the owner of the slot may call this, once.
    #[inline]
    pub(super) fn release(&self, slot: &SlotState) {
        // A slot of this table names a row of it.
        let Some(row) = self.rows().get(slot.class()) else { return };
        slot.next.store(row.state.top.load(Ordering::Relaxed), Ordering::Relaxed);
        let index = slot.index();
        slot.give_back();
        row.state.top.store(index + 1, Ordering::Relaxed);
    }

    /// Claims, one after the other, the free ones among the first `count` slots of the class, shows
    /// their memory to `visit` and gives them back. Returns how many. Leaves the advice as it is.
    pub(super) fn visit_free(
        &self,
        class: usize,
        count: usize,
        mut visit: impl FnMut(NonNull<u8>),
    ) -> usize {
        let Some(row) = self.rows().get(class) else { return 0 };
        let mut visited = 0;
        for slot in self.slots_of(row).iter().take(count) {
            if slot.try_take() {
                let _taken = Taken(slot);
                visit(slot.memory());
                visited += 1;
            }
        }
        visited
    }

    /// True where a claim of the class would probably succeed at this moment.
    pub(super) fn has_free(&self, class: usize) -> bool {
        let Some(row) = self.rows().get(class) else { return false };
        self.slots_of(row).iter().rev().any(SlotState::is_free)
    }

    /// Slots of the class that are claimed at this moment, by users and by caches.
    pub(super) fn claimed(&self, class: usize) -> usize {
        let Some(row) = self.rows().get(class) else { return 0 };
        self.slots_of(row).iter().filter(|slot| !slot.is_free()).count()
    }

    /// Claims of the class so far.
    pub(super) fn claims(&self, class: usize) -> usize {
        let Some(row) = self.rows().get(class) else { return 0 };
        self.slots_of(row).iter().map(SlotState::claims).fold(0, usize::wrapping_add)
    }

    /// Most slots of the class that were ever claimed at once.
    ///
    /// Exact where one thread claims; threads that race may raise it a little too far.
    pub(super) fn claimed_peak(&self, class: usize) -> usize {
        self.rows().get(class).map_or(0, |row| row.state.fresh.load(Ordering::Relaxed) as usize)
    }

    /// Sets slots aside for a cache: as many of `wanted` as the class can still spare.
    pub(super) fn reserve_parking(&self, class: usize, wanted: u32) -> u32 {
        let Some(row) = self.rows().get(class) else { return 0 };
        let mut left = row.state.parkable.load(Ordering::Relaxed);
        loop {
            let granted = wanted.min(left);
            let (rest, relaxed) = (left - granted, Ordering::Relaxed);
            match row.state.parkable.compare_exchange_weak(left, rest, relaxed, relaxed) {
                Ok(_) => return granted,
                Err(now) => left = now,
            }
        }
    }

    /// Gives back what [`SlotTable::reserve_parking`] granted.
    pub(super) fn return_parking(&self, class: usize, granted: u32) {
        let Some(row) = self.rows().get(class) else { return };
        row.state.parkable.fetch_add(granted, Ordering::Relaxed);
    }
}

/// Gives a slot back that is only looked at, also where that panics.
struct Taken<'a>(&'a SlotState);

impl Drop for Taken<'_> {
    fn drop(&mut self) {
        self.0.give_back();
    }
}

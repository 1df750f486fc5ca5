//! One slot: its state, and the token of whoever owns it.

use core::fmt;
use core::marker::PhantomData;
use core::mem::forget;
use core::ptr::{NonNull, null_mut};

use super::layout::ClassLayout;
use super::reference::{Home, PoolRef};
use super::sealed::Slots as _;
use super::span::Tag;
use super::table::NONE;
use crate::sync::{AtomicPtr, AtomicU32, AtomicUsize, Ordering};
use crate::sync::{add_unshared, const_unless_loom, fence};

/// Nobody has the slot.
const FREE: u32 = 0;
/// One owner has the slot: a lease, a magazine, or whoever holds its token.
const CLAIMED: u32 = 1;
/// One handle shares the slot; each further one adds 1.
const SHARED: u32 = 2;
/// So many handles that some must have been leaked: the slot is never given back.
const IMMORTAL: u32 = 1 << 31;
/// Where an immortal count is kept: far from both ends of its range.
const IMMORTAL_REST: u32 = 3 << 30;

/// What a pool keeps for each slot, in storage of the caller's: an opaque value to make arrays of.
///
/// On hosts it has a cache line of its own. Handles point here; what they read on the way of an
/// unshared buffer is never written, so that the line can be in the caches of all cores at once.
#[cfg_attr(target_pointer_width = "64", repr(align(64)))]
pub struct SlotState {
    refs: AtomicU32,
    /// The next slot in the advice list of the class.
    pub(super) next: AtomicU32,
    claims: AtomicUsize,
    /// Where the reference leads that the owner has paid for.
    home: AtomicPtr<()>,
    memory: NonNull<u8>,
    class: u32,
    index: u32,
    headroom: u32,
    limit: u32,
    #[cfg(loom)]
    witness: Witness,
}

impl SlotState {
    const_unless_loom! {
        /// A slot that belongs to no pool yet.
        #[must_use]
        pub fn new() -> Self {
            Self {
                refs: AtomicU32::new(FREE),
                next: AtomicU32::new(NONE),
                claims: AtomicUsize::new(0),
                home: AtomicPtr::new(null_mut()),
                memory: NonNull::dangling(),
                class: 0,
                index: 0,
                headroom: 0,
                limit: 0,
                #[cfg(loom)]
                witness: Witness::default(),
            }
        }
    }

    /// Slot number `index` of class number `class`, with its memory.
    pub(super) fn of(layout: &ClassLayout, class: u32, index: u32, memory: NonNull<u8>) -> Self {
        let mut slot = Self::new();
        slot.memory = memory;
        (slot.class, slot.index) = (class, index);
        slot.headroom = layout.headroom() as u32;
        slot.limit = (layout.headroom() + layout.bytes()) as u32;
        slot
    }

    /// Where its memory begins.
    #[inline]
    pub(super) fn memory(&self) -> NonNull<u8> {
        self.memory
    }

    #[inline]
    pub(super) fn class(&self) -> usize {
        self.class as usize
    }

    #[inline]
    pub(super) fn index(&self) -> u32 {
        self.index
    }

    /// Where in the memory a body begins unless more room in front is asked for.
    #[inline]
    pub(super) fn headroom(&self) -> u32 {
        self.headroom
    }

    /// Where in the memory a body must end.
    #[inline]
    pub(super) fn limit(&self) -> u32 {
        self.limit
    }

    pub(super) fn claims(&self) -> usize {
        self.claims.load(Ordering::Relaxed)
    }

    #[inline]
    pub(super) fn is_free(&self) -> bool {
        self.refs.load(Ordering::Relaxed) == FREE
    }

    /// Acquire pairs with the release in [`SlotState::give_back`]: the last user's writes are over.
    #[inline]
    pub(super) fn try_take(&self) -> bool {
        let (acquire, relaxed) = (Ordering::Acquire, Ordering::Relaxed);
        self.refs.compare_exchange(FREE, CLAIMED, acquire, relaxed).is_ok()
    }

    /// As [`SlotState::try_take`], and counts it.
    #[inline]
    pub(super) fn try_claim(&self) -> bool {
        let claimed = self.try_take();
        if claimed {
            add_unshared(&self.claims, 1);
        }
        claimed
    }

    #[inline]
    pub(super) fn give_back(&self) {
        self.refs.store(FREE, Ordering::Release);
    }

    /// The owner turns itself into the one sharing handle.
    #[inline]
    pub(super) fn share(&self) {
        self.refs.store(SHARED, Ordering::Relaxed);
    }

    /// Another handle shares the slot; the caller holds one already.
    #[inline]
    pub(super) fn retain(&self) {
        if self.refs.fetch_add(1, Ordering::Relaxed) >= IMMORTAL {
            self.refs.store(IMMORTAL_REST, Ordering::Relaxed);
        }
    }

    /// A handle stops sharing. True where it was the last: the caller then owns the slot.
    #[inline]
    pub(super) fn release_share(&self) -> bool {
        // A sole handle can't be cloned by anyone else meanwhile: no read-modify-write is needed.
        if self.try_own() {
            return true;
        }
        if self.refs.load(Ordering::Relaxed) >= IMMORTAL {
            return false;
        }
        let last = self.refs.fetch_sub(1, Ordering::Release) == SHARED;
        if last {
            fence(Ordering::Acquire);
        }
        last
    }

    /// The sole handle becomes the owner; false where there are others.
    #[inline]
    pub(super) fn try_own(&self) -> bool {
        let sole = self.refs.load(Ordering::Acquire) == SHARED;
        if sole {
            self.refs.store(CLAIMED, Ordering::Relaxed);
        }
        sole
    }

    /// Notes where the reference leads that the slot's owner has paid for.
    #[inline]
    pub(super) fn set_home(&self, address: NonNull<()>) {
        self.home.store(address.as_ptr(), Ordering::Relaxed);
    }

    /// What was noted.
    #[inline]
    pub(super) fn home(&self) -> NonNull<()> {
        let address = self.home.load(Ordering::Relaxed);
        debug_assert!(!address.is_null(), "whoever claims a slot notes its home");
        // SAFETY: handles, tokens and magazines are made of slots whose home was noted.
        unsafe { NonNull::new_unchecked(address) }
    }

    /// Tells the model checker that the slot's memory is read here.
    #[cfg(loom)]
    pub(super) fn witness_read(&self) {
        self.witness.0.with(|_| ());
    }

    /// Tells the model checker that the slot's memory is written here.
    #[cfg(loom)]
    pub(super) fn witness_write(&self) {
        self.witness.0.with_mut(|_| ());
    }
}

impl Default for SlotState {
    fn default() -> Self {
        Self::new()
    }
}

// SAFETY: the pointer is to memory that only the slot's owner uses.
unsafe impl Send for SlotState {}
// SAFETY: as above; all that changes is atomic.
unsafe impl Sync for SlotState {}

/// Stands for a slot's memory under loom, which can't see plain memory accesses.
#[cfg(loom)]
#[derive(Default)]
struct Witness(loom::cell::UnsafeCell<()>);

/// A slot that has an owner but no user: what caches keep.
///
/// Holds its pool alive. Dropping it gives the slot back to the pool.
pub struct Slot<H: Home> {
    state: NonNull<SlotState>,
    tag: Tag,
    /// Paid for, with the address in the state.
    home: PhantomData<H>,
}

impl<H: Home> Slot<H> {
    /// A token for a slot that is claimed, and has a reference paid for, once.
    #[inline(always)]
    pub(super) fn new(state: NonNull<SlotState>, tag: Tag) -> Self {
        Self { state, tag, home: PhantomData }
    }

    /// The slot; claim and reference pass to the caller.
    #[inline(always)]
    pub(super) fn into_state(self) -> NonNull<SlotState> {
        let state = self.state;
        forget(self);
        state
    }

    #[inline(always)]
    pub(super) fn tag(&self) -> Tag {
        self.tag
    }

    /// The slot, as magazines hold it.
    #[inline(always)]
    pub(super) fn raw(&self) -> NonNull<SlotState> {
        self.state
    }

    #[inline]
    pub(super) fn state(&self) -> &SlotState {
        // SAFETY: the state is part of the pool, which the reference that is paid for keeps alive.
        unsafe { self.state.as_ref() }
    }

    /// Gives the slot back to its pool.
    #[inline]
    pub fn release(self) {
        drop(self);
    }

    /// The pool.
    #[inline]
    #[must_use]
    pub fn pool(&self) -> &H::Pool {
        // SAFETY: the address was noted for this type, and the reference is paid for.
        unsafe { H::target(self.state().home()) }
    }

    /// A reference to the pool.
    #[must_use]
    pub fn home(&self) -> H {
        // SAFETY: as in `pool`.
        unsafe { H::another(self.state().home()) }
    }

    /// The slot's class, counted from the smallest.
    #[inline]
    #[must_use]
    pub fn class(&self) -> usize {
        self.tag.class()
    }
}

impl<R: PoolRef> Slot<R> {
    /// Passes the slot to the pool's recycler, as the last handle does.
    #[inline(always)]
    pub(super) fn recycle(self) {
        R::recycle(self);
    }
}

impl<H: Home> Drop for Slot<H> {
    #[inline]
    fn drop(&mut self) {
        let home = self.state().home();
        self.pool().table().release(self.state());
        // SAFETY: the address was noted for this type; the claim is over, and with it the use of
        // the reference. The state is not touched any more: it may be gone with the pool.
        unsafe { H::refund(home, 1) };
    }
}

impl<H: Home> fmt::Debug for Slot<H> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Slot").field("class", &self.class()).finish_non_exhaustive()
    }
}

// SAFETY: a slot is exclusive access to memory that is not looked at, and a reference to its pool.
unsafe impl<H: Home + Send> Send for Slot<H> {}
// SAFETY: `&Slot` gives a reference to the pool only.
unsafe impl<H: Home + Sync> Sync for Slot<H> {}

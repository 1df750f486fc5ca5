//! One thread's share of a pool, so that it rarely meets the others.

use core::cell::Cell;
use core::fmt;
use core::marker::PhantomData;
use core::ptr::NonNull;

use super::buffers::{AcquireRefused, BufferSource, Buffers, Request};
use super::lease::Lease;
use super::magazine::{MAGAZINE_SLOTS, Magazine, MagazineSet, Note};
use super::reference::{Home, PoolRef};
use super::sealed::Slots as _;
use super::slot::{Slot, SlotState};
use super::span::{Span, Tag};

/// One cache asks for this fraction of a class's slots. All caches together get half of them: up to
/// four get what they ask for, further ones less or nothing.
const CACHE_SHARE: u32 = 8;

/// One thread's free slots of a pool: one [`Magazine`](super::Magazine) per size class.
///
/// Made over magazines of the caller's: `&[Magazine]` or, with `alloc`, an `Arc<[Magazine]>`, which
/// others may hold as well in order to read the counters. When a magazine is empty or full, half of
/// it is exchanged with the pool; so a cache never refuses what the pool has. All caches together
/// keep at most half of a class's slots.
///
/// Dropping the cache gives all slots back. What was counted stays in the magazines, and belongs to
/// the pool's statistics as long as they serve no other pool: see
/// [`Pool::class_stats_with`](super::Pool::class_stats_with).
///
/// ```
/// use turbopump_core::pool::{
///     BorrowedRef, BufferSource, Cache, ClassLayout, Layout, Magazine, Memory, Pool,
/// };
/// # const CLASSES: [ClassLayout; 1] = [ClassLayout::new(64, 16)];
/// # const LAYOUT: Layout<'static> = Layout::constant(&CLASSES);
/// # let mut memory = Memory::<1, 16, { LAYOUT.bytes_len() }>::new();
/// # let pool = Pool::new(&LAYOUT, &mut memory)?;
/// let magazines = [Magazine::new()];
/// let cache = Cache::new(BorrowedRef::new(&pool), &magazines[..])?;
/// let mut lease = cache.acquire(20)?;
/// lease.extend_from_slice(b"from the cache")?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct Cache<R: PoolRef, M: MagazineSet> {
    home: R,
    magazines: M,
    /// Where in a [`LocalCaches`](super::LocalCaches) it is.
    place: usize,
    /// Magazines have one writer: the cache may move to another thread, but not be shared.
    not_sync: PhantomData<Cell<()>>,
}

impl<R: PoolRef, M: MagazineSet> Cache<R, M> {
    /// A cache in front of `home`.
    ///
    /// # Errors
    ///
    /// [`CacheRefused`] where there is not one magazine per class, or another cache owns one.
    pub fn new(home: R, magazines: M) -> Result<Self, CacheRefused> {
        let table = home.pool().table();
        let (all, needed) = (magazines.magazines(), table.rows().len());
        if all.len() != needed {
            return Err(CacheRefused::Magazines { len: all.len(), needed });
        }
        if let Some(class) = all.iter().position(|magazine| !magazine.own()) {
            // SAFETY: those up to there were just owned.
            all.iter().take(class).for_each(|magazine| unsafe { magazine.disown() });
            return Err(CacheRefused::Owned { class });
        }
        for (class, magazine) in all.iter().enumerate() {
            let row = &table.rows()[class];
            magazine.count_for(row);
            let wanted = (row.count / CACHE_SHARE).min(MAGAZINE_SLOTS as u32);
            magazine.set_capacity(table.reserve_parking(class, wanted));
        }
        let mut cache = Self { home, magazines, place: 0, not_sync: PhantomData };
        cache.set_place(0);
        Ok(cache)
    }

    /// The pool's reference.
    #[inline]
    #[must_use]
    pub fn home(&self) -> &R {
        &self.home
    }

    /// Notes where it is kept, and what leases on its slots look like.
    pub(super) fn set_place(&mut self, place: usize) {
        self.place = place;
        for (class, magazine) in self.magazines.magazines().iter().enumerate() {
            let headroom = self.home.pool().table().rows()[class].headroom;
            let fresh = Span::new(Tag::new(class, place), headroom, headroom);
            let note = Note { home: self.home.address().as_ptr(), fresh };
            // SAFETY: the cache owns its magazines.
            unsafe { magazine.set_note(note) };
        }
    }

    /// The magazines.
    pub(super) fn magazines(&self) -> &[Magazine] {
        self.magazines.magazines()
    }

    /// A fresh lease on a slot of `class`, for pools of buffers.
    #[inline]
    pub(super) fn lease(&self, class: usize) -> Option<Lease<R>>
    where
        R: Home<Pool: Buffers>,
    {
        self.take(class).map(Lease::fresh)
    }

    /// A free slot of `class`, from the magazine or the pool.
    #[inline]
    pub fn take(&self, class: usize) -> Option<Slot<R>> {
        match self.magazines.magazines().get(class)?.pop() {
            // What is in a magazine was paid for when it came in.
            Some(slot) => Some(self.slot(slot, class)),
            None => self.take_from_pool(class),
        }
    }

    /// The token for a slot that is claimed, and has a reference paid for.
    #[inline(always)]
    fn slot(&self, slot: NonNull<SlotState>, class: usize) -> Slot<R> {
        Slot::new(slot, Tag::new(class, self.place))
    }

    /// Fills half of the magazine and takes one slot more.
    #[cold]
    fn take_from_pool(&self, class: usize) -> Option<Slot<R>> {
        let magazine = self.magazines.magazines().get(class)?;
        let half = magazine.capacity().div_ceil(2);
        let (table, address) = (self.home.pool().table(), self.home.address());
        let (slot, claimed) = magazine.refill(half, || {
            let slot = table.claim(class)?;
            // SAFETY: the slot is part of the pool that `home` refers to.
            unsafe { slot.as_ref() }.set_home(address);
            Some(slot)
        })?;
        self.home.pay(claimed);
        Some(self.slot(slot, class))
    }

    /// Keeps a slot that nobody uses any more.
    ///
    /// # Errors
    ///
    /// The slot, where it belongs to another pool.
    pub fn put(&self, slot: Slot<R>) -> Result<(), Slot<R>> {
        if slot.state().home() == self.home.address() { self.keep(slot) } else { Err(slot) }
    }

    /// As [`Cache::put`], for a slot of this pool.
    pub(super) fn keep(&self, slot: Slot<R>) -> Result<(), Slot<R>> {
        let Some(magazine) = self.magazines.magazines().get(slot.class()) else { return Err(slot) };
        // The reference stays paid for.
        let slot = slot.into_state();
        if !magazine.push(slot) {
            self.make_room(magazine, slot);
        }
        Ok(())
    }

    /// Gives half of a full magazine to the pool, and keeps `claim` or passes it on.
    #[cold]
    fn make_room(&self, magazine: &Magazine, slot: NonNull<SlotState>) {
        let half = magazine.capacity().div_ceil(2);
        let mut given = magazine.give(half, |slot| self.release(slot));
        if !magazine.push(slot) {
            self.release(slot);
            magazine.passed_on();
            given += 1;
        }
        self.refund(given);
    }

    /// Gives all free slots back to the pool.
    pub fn flush(&self) {
        let release = |slot| self.release(slot);
        let given = self.magazines.magazines().iter().map(|all| all.give(u32::MAX, release)).sum();
        self.refund(given);
    }

    /// Gives a slot that was in a magazine to the pool, but not its reference.
    fn release(&self, slot: NonNull<SlotState>) {
        // SAFETY: the slot is part of the pool that `home` refers to.
        self.home.pool().table().release(unsafe { slot.as_ref() });
    }

    fn refund(&self, count: usize) {
        // SAFETY: so many slots went to the pool, each with its reference unused; `home` is another
        // one, so that the pool stays.
        unsafe { R::refund(self.home.address(), count) };
    }
}

impl<R, M> BufferSource for Cache<R, M>
where
    R: PoolRef + Home<Pool: Buffers>,
    M: MagazineSet,
{
    type Ref = R;

    #[inline]
    fn acquire_with(&self, request: Request) -> Result<Lease<R>, AcquireRefused> {
        let pool = self.home.pool().buffers();
        let class = pool.class_of(request)?;
        let lease = match self.lease(class) {
            Some(lease) => lease,
            None => pool.miss(request, class, |class| self.lease(class))?,
        };
        Ok(lease.with_headroom(request))
    }
}

impl<R: PoolRef, M: MagazineSet> Drop for Cache<R, M> {
    fn drop(&mut self) {
        self.flush();
        let table = self.home.pool().table();
        for (class, magazine) in self.magazines.magazines().iter().enumerate() {
            table.return_parking(class, magazine.capacity());
            magazine.set_capacity(0);
            // SAFETY: the cache owned it until here.
            unsafe { magazine.disown() };
        }
    }
}

impl<R: PoolRef, M: MagazineSet> fmt::Debug for Cache<R, M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let parked = self.magazines.magazines().iter().map(|magazine| magazine.len());
        f.debug_struct("Cache").field("parked", &parked.sum::<u32>()).finish_non_exhaustive()
    }
}

/// Why there is no cache.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum CacheRefused {
    /// Not one magazine per class.
    Magazines {
        /// Magazines that were given.
        len: usize,
        /// Classes of the pool.
        needed: usize,
    },
    /// Another cache owns a magazine.
    Owned {
        /// Which one, from 0.
        class: usize,
    },
}

impl fmt::Display for CacheRefused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::Magazines { len, needed } => {
                write!(f, "{len} magazines for a pool of {needed} classes; give one per class")
            }
            Self::Owned { class } => {
                write!(f, "magazine {class} belongs to another cache; give each its own")
            }
        }
    }
}

impl core::error::Error for CacheRefused {}

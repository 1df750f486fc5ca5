//! What only this crate may promise: memory safety rests on these traits, so that nobody else can
//! implement them, nor the public ones that ask for them.
#![allow(unnameable_types)]

use core::ptr::NonNull;

use super::magazine::Magazine;
use super::table::SlotTable;

/// Of a pool: its table is always the same one.
pub trait Slots {
    /// The slots.
    fn table(&self) -> &SlotTable<'_>;
}

/// Of a reference to a pool: the pool lives as long as the reference does.
///
/// Handles don't hold a reference but have one *paid* for: it is counted, and its address stands in
/// the slot. That is what makes a handle two words.
pub trait Reference: Sized {
    /// What is referred to.
    type Target;

    /// Pays for `count` references.
    fn pay(&self, count: usize);

    /// Where the references that were paid for lead.
    fn address(&self) -> NonNull<()>;

    /// What is at such an address.
    ///
    /// # Safety
    ///
    /// `address` came from [`Reference::address`] of this type, and a reference that is paid for
    /// exists as long as the result is used.
    unsafe fn target<'a>(address: NonNull<()>) -> &'a Self::Target;

    /// A reference to what is at such an address.
    ///
    /// # Safety
    ///
    /// As for [`Reference::target`]; the reference that is paid for exists until this returns.
    unsafe fn another(address: NonNull<()>) -> Self;

    /// Takes back `count` references, which may end the life of the pool.
    ///
    /// # Safety
    ///
    /// `address` came from [`Reference::address`] of this type, so many references were paid for
    /// there, and nobody uses them any more.
    unsafe fn refund(address: NonNull<()>, count: usize);
}

/// Of a pool of values: the memory of a slot is an `Option` of the item, and stays it.
pub trait Values {
    /// What is pooled.
    type Item;

    /// Makes the value of a slot that has none. The slot is the caller's.
    fn fill(&self, value: &mut Option<Self::Item>);

    /// Cleans a value before it goes back.
    fn reset(&self, item: &mut Self::Item);
}

/// Of a set of magazines: it is always the same one.
pub trait Stable {
    /// The magazines.
    fn magazines(&self) -> &[Magazine];
}

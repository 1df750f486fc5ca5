//! A pool of values in memory on the stack.

use turbopump_core::pool::{Functions, ObjectMemory, ObjectPool};

use crate::check::{Checks, check, must};

#[inline(never)]
pub(crate) fn run(checks: &mut Checks) {
    let mut memory = ObjectMemory::<[u16; 4], 2>::new();
    let manage = Functions::new(|| [1; 4], |values: &mut [u16; 4]| *values = [2; 4]);
    let pool = must(ObjectPool::new(&mut memory, manage));
    check!(checks, pool.count() == 2);

    let mut first = must(pool.get());
    check!(checks, *first == [1; 4]);
    first[0] = 9;
    let second = must(pool.get());
    check!(checks, pool.get().is_err_and(|refused| refused.count == 2));
    drop(first);
    let again = must(pool.get());
    check!(checks, *again == [2; 4]);
    drop((second, again));
    check!(checks, pool.stats().in_use == 0 && pool.stats().misses == 1);
}

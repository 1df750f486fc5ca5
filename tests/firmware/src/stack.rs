//! How deep the stack has been: it is painted at start, and what lost its paint was in use.
#![allow(unsafe_code)]

use cortex_m_rt::STACK_PAINT_VALUE;

unsafe extern "C" {
    static mut __sheap: u32;
    static mut _stack_start: u32;
}

/// Bytes of stack that have been in use, and bytes that there are.
pub(crate) fn usage() -> (usize, usize) {
    let (mut word, top) = (&raw const __sheap, &raw const _stack_start);
    let room = top as usize - word as usize;
    // SAFETY: the memory between the two symbols is the stack; all of it was written at start, and
    // the part that this function runs on ends the loop at the latest.
    while word < top && unsafe { word.read_volatile() } == STACK_PAINT_VALUE {
        word = word.wrapping_add(1);
    }
    (top as usize - word as usize, room)
}

//! The kit that the suites share.

extern crate alloc;

pub mod effort;
pub mod mock;
pub mod threads;

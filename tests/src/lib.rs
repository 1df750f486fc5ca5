//! The kit that the suites share.

pub mod effort;

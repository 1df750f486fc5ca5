//! What all backends of Turbopump share.
#![no_std]

// Explicit, so that nobody leans on the std prelude by accident and the core's style carries over.
extern crate std;

#[cfg(feature = "zlib-rs")]
pub mod compress;

//! Turbopump.
pub use turbopump_core as core;

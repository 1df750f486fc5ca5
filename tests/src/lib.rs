//! The kit that the suites share.

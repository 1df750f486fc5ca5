//! Connections: what is built over any backend's halves.

#[cfg(feature = "tls")]
pub mod tls;

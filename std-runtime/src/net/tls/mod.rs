//! TLS over the halves of any backend's connections.
//!
//! This module decides who is trusted and how bytes are encrypted; it leaves to its callers which
//! connections are encrypted at all. It is written once, over [`futures_io`]'s traits:
//! [`TlsClient`] and [`TlsServer`] turn a reader and a writer into a [`TlsReader`] and a
//! [`TlsWriter`], which are such halves again.
//!
//! | want | take |
//! | --- | --- |
//! | to connect | [`TlsClient`] of [`ClientSettings`]: own CAs, an identity, an explicit name |
//! | to accept | [`TlsServer`] of [`ServerSettings`]: an identity, whom to ask for theirs |
//! | new certificates without a restart | [`TlsClient::reload`], [`TlsServer::reload`] |
//! | why it failed | [`TlsError`], in an [`io::Error`](std::io::Error) by [`TlsError::of`] |
//!
//! Peers are verified unless somebody calls
//! [`ClientSettings::dangerous_accept_any_certificate`], which is logged as a warning.
//!
//! # Cryptography
//!
//! The primitives come from a [`CryptoProvider`], an argument. The feature `tls-ring` brings one
//! that is taken by default; `ring` needs a C compiler to build, as does `aws-lc-rs`. Builds with
//! the feature `tls` alone need none, and take a provider such as `rustls-graviola` or
//! `rustls-rustcrypto` by [`TlsClient::with_provider`].
//!
//! # The two halves
//!
//! They share one TLS session under a lock that is held while bytes are encrypted or decrypted,
//! never while the transport is waited for: a peer that takes no bytes does not stop this side from
//! reading. Each half has one buffer of a record's size, made once.
//!
//! A write is done when its bytes are encrypted; whoever waits for an answer flushes. Answers of
//! the session itself, such as an alert after a broken record, leave with the next write, flush or
//! close.

mod client;
mod dangerous;
mod error;
mod halves;
mod handshake;
mod material;
mod server;

pub use rustls::crypto::CryptoProvider;

pub use self::client::{ClientSettings, TlsClient};
pub use self::error::{CertificateFault, TlsError};
pub use self::halves::{TlsReader, TlsWriter};
pub use self::material::{Identity, Material};
pub use self::server::{ServerSettings, TlsServer};

/// The provider that is taken where none is given.
#[cfg(feature = "tls-ring")]
fn default_provider() -> alloc::sync::Arc<CryptoProvider> {
    alloc::sync::Arc::new(rustls::crypto::ring::default_provider())
}

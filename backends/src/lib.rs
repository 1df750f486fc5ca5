//! Turbopump on a runtime: tokio or smol.
//!
//! Everything is written once, generically, in `turbopump-std`; this crate adds what is specific to
//! a runtime, and names that save the type parameter. Each runtime has a module and a feature of
//! its own. The features only add, so that a program may use both; none is on by default, because
//! nobody's runtime is guessed.
//!
//! | feature | adds |
//! | --- | --- |
//! | `tokio` | [`tokio`]: connections on tokio's runtimes |
//! | `smol` | [`smol`]: connections on smol's executors; brings no tokio |
//! | `tls` | TLS on either, with a given cryptography: `runtime::net::tls` |
//! | `tls-ring` | the cryptography of `ring` as the default; needs a C compiler |
//! | `tls-webpki-roots` | the CAs that browsers trust |
#![no_std]
#![cfg_attr(docsrs, feature(doc_cfg))]

extern crate alloc;
extern crate std;

pub use turbopump_core as core;
pub use turbopump_std as runtime;

#[cfg(feature = "smol")]
pub mod smol;
#[cfg(any(feature = "smol", feature = "tokio"))]
mod socket;
#[cfg(feature = "tokio")]
pub mod tokio;

/// The examples of the README, and of the pages behind it.
#[cfg(all(doctest, feature = "smol", feature = "tokio"))]
mod pages {
    #[doc = include_str!("../../README.md")]
    struct Readme;
    #[doc = include_str!("../../docs/batching.md")]
    struct Batching;
    #[doc = include_str!("../../docs/framing.md")]
    struct Framing;
    #[doc = include_str!("../../docs/memory.md")]
    struct Memory;
}

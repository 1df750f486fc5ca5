//! The kit that the suites share.

extern crate alloc;

pub mod certificates;
pub mod classes;
pub mod device;
pub mod disk;
pub mod effort;
pub mod mock;
pub mod named;
pub mod sim;
pub mod threads;

/// One test per story and runtime: tokio multi-thread, tokio current-thread, smol.
///
/// A story is an async function of the calling module that takes a backend. The calling crate has
/// `tokio`, `smol` and `turbopump` with both features.
#[macro_export]
macro_rules! on_every_runtime {
    ($($story:ident),* $(,)?) => {
        mod tokio_multi_thread {
            $(#[test]
            fn $story() {
                let runtime = tokio::runtime::Builder::new_multi_thread()
                    .worker_threads(2)
                    .enable_all()
                    .build()
                    .unwrap();
                let backend = turbopump::tokio::Backend::on(runtime.handle().clone());
                runtime.block_on(super::$story(backend));
            })*
        }
        mod tokio_current_thread {
            $(#[test]
            fn $story() {
                let runtime =
                    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
                let backend = turbopump::tokio::Backend::on(runtime.handle().clone());
                runtime.block_on(super::$story(backend));
            })*
        }
        mod smol_global {
            $(#[test]
            fn $story() {
                smol::block_on(super::$story(turbopump::smol::Backend::new()));
            })*
        }
    };
}

/// As [`on_every_runtime`], and on the backend of threads.
#[macro_export]
macro_rules! on_every_backend {
    ($($story:ident),* $(,)?) => {
        $crate::on_every_runtime![$($story),*];
        mod threads {
            use $crate::threads::{Threads, block_on};

            $(#[test]
            fn $story() {
                block_on(super::$story(Threads));
            })*
        }
    };
}

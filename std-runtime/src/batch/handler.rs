//! What users give: the function that works on batches.

use core::future::Future;

use turbopump_core::batch::{Batch, Settled};

/// Works on batches of items, one call per attempt.
///
/// Each item is done unless its entry says otherwise
/// ([`Entry::set`](turbopump_core::batch::Entry::set)): failed for good, or to be tried again,
/// alone and in order with the others of its batch that are. A call that panics counts as one that
/// says "again" of every item.
///
/// ```
/// use turbopump_core::batch::{Batch, Outcome, Settled};
/// use turbopump_std::batch::BatchHandler;
///
/// struct Printer;
///
/// impl BatchHandler<String> for Printer {
///     async fn handle(&self, batch: &mut Batch<'static, String>) {
///         for mut entry in batch {
///             if entry.item().is_empty() {
///                 entry.set(Outcome::Failed);
///             }
///         }
///     }
///
///     fn settled(&self, item: String, how: Settled) {
///         println!("{item:?}: {how:?}");
///     }
/// }
/// ```
pub trait BatchHandler<T>: Send + Sync + 'static {
    /// Works on one batch. Several calls may be under way at once, as many as there are workers.
    fn handle(&self, batch: &mut Batch<'static, T>) -> impl Future<Output = ()> + Send;

    /// Is told of each item that is settled, once, in order within a batch. Drops it by default.
    ///
    /// It is called between batches and should return soon.
    fn settled(&self, item: T, how: Settled) {
        let _ = how;
        drop(item);
    }
}

/// A handler from a function that doesn't wait.
///
/// ```
/// use turbopump_core::batch::Outcome;
/// use turbopump_std::batch::handler_fn;
///
/// let handler = handler_fn(|batch: &mut turbopump_core::batch::Batch<'static, u32>| {
///     for mut entry in batch {
///         if entry.item() % 2 == 1 {
///             entry.set(Outcome::Retry);
///         }
///     }
/// });
/// # let _: &dyn Fn() = &|| drop(&handler);
/// ```
pub const fn handler_fn<T, F>(work: F) -> HandlerFn<F>
where
    F: Fn(&mut Batch<'static, T>) + Send + Sync + 'static,
{
    HandlerFn(work)
}

/// Made by [`handler_fn`].
#[derive(Debug)]
pub struct HandlerFn<F>(F);

impl<T, F> BatchHandler<T> for HandlerFn<F>
where
    T: Send,
    F: Fn(&mut Batch<'static, T>) + Send + Sync + 'static,
{
    async fn handle(&self, batch: &mut Batch<'static, T>) {
        (self.0)(batch);
    }
}

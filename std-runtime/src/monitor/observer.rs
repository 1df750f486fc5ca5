//! Who sees every collection.

use alloc::sync::Arc;

use super::sources::Snapshot;

/// Sees the numbers at every collection: alerts, exports, whoever keeps a history.
///
/// It is called on the monitor's task, one observer after the other, and should return soon; what
/// takes longer belongs into a task of its own.
pub trait Observer: Send + Sync + 'static {
    /// New numbers are there.
    fn observe(&self, snapshot: &Arc<Snapshot>);
}

impl<F: Fn(&Arc<Snapshot>) + Send + Sync + 'static> Observer for F {
    fn observe(&self, snapshot: &Arc<Snapshot>) {
        self(snapshot);
    }
}

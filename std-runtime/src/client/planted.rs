//! Bugs on purpose: what the simulation has to find. Nothing of it is in a build without the
//! feature `planted-bugs`.

use core::future::poll_fn;
use core::task::Poll;

/// One of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
#[allow(missing_docs, reason = "their names say what is wrong")]
#[cfg_attr(not(feature = "planted-bugs"), allow(unreachable_pub))]
pub enum PlantedBug {
    LostOutcome,
    SwappedOutcomes,
    DeadlineIgnored,
    PermitLeaked,
    BufferLeaked,
    ConnectionLeftOpen,
    OrderedTogether,
    OtherQueueOnRetry,
    DoubtHidden,
    SpinningPause,
    BodyCutOnRetry,
    BusyTaken,
    ClosedConnectionKept,
}

#[cfg(feature = "planted-bugs")]
impl PlantedBug {
    /// All of them.
    pub const ALL: [Self; 13] = [
        Self::LostOutcome,
        Self::SwappedOutcomes,
        Self::DeadlineIgnored,
        Self::PermitLeaked,
        Self::BufferLeaked,
        Self::ConnectionLeftOpen,
        Self::OrderedTogether,
        Self::OtherQueueOnRetry,
        Self::DoubtHidden,
        Self::SpinningPause,
        Self::BodyCutOnRetry,
        Self::BusyTaken,
        Self::ClosedConnectionKept,
    ];
}

/// Lets others run, and comes back at once.
pub(super) async fn spin() {
    let mut has_waited = false;
    poll_fn(|cx| {
        cx.waker().wake_by_ref();
        if core::mem::replace(&mut has_waited, true) { Poll::Ready(()) } else { Poll::Pending }
    })
    .await;
}

/// Which bug a client has: none, where there are none.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Planted {
    #[cfg(feature = "planted-bugs")]
    bug: Option<PlantedBug>,
}

impl Planted {
    #[cfg_attr(
        not(feature = "planted-bugs"),
        allow(clippy::missing_const_for_fn, unused_variables)
    )]
    pub(super) fn of(config: &super::ClientConfig) -> Self {
        Self {
            #[cfg(feature = "planted-bugs")]
            bug: config.planted_bug,
        }
    }

    #[cfg(feature = "planted-bugs")]
    pub(super) fn is(self, bug: PlantedBug) -> bool {
        self.bug == Some(bug)
    }

    #[cfg(not(feature = "planted-bugs"))]
    #[allow(clippy::unused_self)]
    #[inline(always)]
    pub(super) const fn is(self, _: PlantedBug) -> bool {
        false
    }
}

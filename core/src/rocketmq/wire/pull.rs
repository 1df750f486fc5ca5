//! The flags of a pull request: what the broker is to do besides looking for messages.

/// The system flag of a pull request. Bits that are not known here are kept.
///
/// ```
/// use turbopump_core::rocketmq::wire::pull::PullFlags;
///
/// let flags = PullFlags::default().with(PullFlags::COMMIT_OFFSET | PullFlags::SUSPEND);
/// assert_eq!(flags.0, 3);
/// assert_eq!(flags.without(PullFlags::COMMIT_OFFSET).0, 2);
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct PullFlags(
    /// The bits as they are on the wire.
    pub i32,
);

impl PullFlags {
    /// The request carries an offset to be committed; not for slaves.
    pub const COMMIT_OFFSET: i32 = 1;
    /// The broker may wait for messages.
    pub const SUSPEND: i32 = 2;
    /// The request carries a subscription.
    pub const SUBSCRIPTION: i32 = 4;
    /// Obsolete.
    pub const CLASS_FILTER: i32 = 8;
    /// The request is a lite pull.
    pub const LITE_PULL: i32 = 16;

    /// With all bits of `mask` set.
    #[must_use]
    pub const fn with(self, mask: i32) -> Self {
        Self(self.0 | mask)
    }

    /// With all bits of `mask` cleared.
    #[must_use]
    pub const fn without(self, mask: i32) -> Self {
        Self(self.0 & !mask)
    }

    /// Whether all bits of `mask` are set.
    #[must_use]
    pub const fn has(self, mask: i32) -> bool {
        self.0 & mask == mask
    }
}

//! What goes wrong in a simulation, and how often it has.

/// Something that goes wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FaultKind {
    /// Bytes take their time.
    Delay,
    /// Bytes come in pieces, down to one.
    Fragment,
    /// A connection brings nothing for a while.
    Stall,
    /// A connection is cut.
    Reset,
    /// A connection swallows everything.
    HalfOpen,
    /// Nobody is let in.
    RefusedDial,
    /// A server can't be reached, and nobody says so.
    Partition,
    /// A server is away, and comes back with all that it had.
    Restart,
    /// A broker has too much to do.
    Busy,
    /// A broker has taken a message, and its answer is lost.
    LostAnswer,
}

impl FaultKind {
    /// All of them.
    pub const ALL: [Self; 10] = [
        Self::Delay,
        Self::Fragment,
        Self::Stall,
        Self::Reset,
        Self::HalfOpen,
        Self::RefusedDial,
        Self::Partition,
        Self::Restart,
        Self::Busy,
        Self::LostAnswer,
    ];

    /// Those that happen at a moment: all but the first two.
    pub const STRIKES: &'static [Self] = Self::ALL.split_at(2).1;
}

/// How often each kind has hit somebody.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FaultCounts([u64; FaultKind::ALL.len()]);

impl FaultCounts {
    /// Once more.
    pub fn add(&mut self, kind: FaultKind) {
        if let Some(count) = self.0.get_mut(kind as usize) {
            *count += 1;
        }
    }

    /// How often.
    #[must_use]
    pub fn get(&self, kind: FaultKind) -> u64 {
        self.0.get(kind as usize).copied().unwrap_or(0)
    }
}

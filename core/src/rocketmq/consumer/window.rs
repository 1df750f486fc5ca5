//! The messages that were handed out of one queue, and the offset that follows from them.
//!
//! The window decides which offset may be committed: that of the first message that is not settled,
//! or the next one of the queue where all are. So a crash repeats messages and never skips one, and
//! the offset never goes back but by [`reset`](Window::reset). Handling messages and telling the
//! broker is left to the caller.

use core::error::Error;
use core::fmt;

use super::Epoch;
use crate::backing::Backing;

/// A place for one message.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct WindowCell {
    offset: i64,
    bytes: u32,
    is_settled: bool,
}

/// The messages of one queue that are not settled yet, in storage of a bounded length.
///
/// Settled messages behind one that is not keep their places; so a single slow message stops the
/// queue at last, where [`span`](Self::span) has not done so before.
///
/// ```
/// use turbopump_core::rocketmq::consumer::{Epoch, Window, WindowCell};
///
/// let mut memory = [WindowCell::default(); 8];
/// let mut window = Window::new(&mut memory[..]);
/// let epoch = Epoch(1);
/// window.reset(epoch, 10);
/// window.extend(epoch, [(10, 100), (11, 100), (15, 100)].into_iter(), 16)?;
/// window.settle(epoch, 15)?;
/// window.settle(epoch, 10)?;
/// assert_eq!(window.commit_offset(), 11);
/// window.settle(epoch, 11)?;
/// assert_eq!(window.commit_offset(), 16);
/// # Ok::<(), Box<dyn core::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct Window<'s> {
    cells: Backing<'s, WindowCell>,
    epoch: Epoch,
    /// The first place that is in use: its message is not settled, unless there is none.
    head: usize,
    /// Places in use.
    len: usize,
    unsettled: usize,
    bytes: u64,
    next_offset: i64,
    /// What the broker is known to have; `None` for what was never told.
    committed: Option<i64>,
}

/// What became of a batch.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Extended {
    /// Messages that are in the window now.
    pub messages: usize,
    /// Their bytes.
    pub bytes: u64,
    /// Messages before the expected offset, which were left out: brokers answer with whole inner
    /// batches. The caller must not hand them out.
    pub skipped: usize,
}

impl<'s> Window<'s> {
    /// A window for as many messages as there are cells. It takes none before
    /// [`reset`](Self::reset) says where the queue begins.
    #[must_use]
    pub fn new(cells: impl Into<Backing<'s, WindowCell>>) -> Self {
        Self {
            cells: cells.into(),
            epoch: Epoch::default(),
            head: 0,
            len: 0,
            unsettled: 0,
            bytes: 0,
            next_offset: 0,
            committed: None,
        }
    }

    /// Forgets all messages and begins at `offset`, under a new epoch: the queue was taken, or its
    /// offset was reset. This alone moves the commit offset back. An offset below 0 counts as 0.
    pub fn reset(&mut self, epoch: Epoch, offset: i64) {
        (self.head, self.len, self.unsettled, self.bytes) = (0, 0, 0, 0);
        self.epoch = epoch;
        self.next_offset = offset.max(0);
        self.committed = None;
    }

    /// Takes in what a pull brought: offsets and bytes of messages, offsets ascending, gaps
    /// allowed, and where the next pull begins. All or nothing.
    ///
    /// # Errors
    ///
    /// [`ExtendRefused`], and then nothing has changed.
    pub fn extend(
        &mut self,
        epoch: Epoch,
        messages: impl Iterator<Item = (i64, u32)> + Clone,
        next_offset: i64,
    ) -> Result<Extended, ExtendRefused> {
        if epoch != self.epoch {
            return Err(ExtendRefused::Stale { found: epoch, current: self.epoch });
        }
        let mut extended = Extended::default();
        let mut last = None;
        for (offset, bytes) in messages.clone() {
            if last.is_some_and(|last| last >= offset) {
                return Err(ExtendRefused::Unsorted { offset });
            }
            last = Some(offset);
            if offset < self.next_offset {
                extended.skipped = extended.skipped.saturating_add(1);
            } else {
                extended.messages = extended.messages.saturating_add(1);
                extended.bytes = extended.bytes.saturating_add(bytes.into());
            }
        }
        if extended.messages > self.room() {
            return Err(ExtendRefused::Full { messages: extended.messages, room: self.room() });
        }
        for (offset, bytes) in messages.skip(extended.skipped) {
            let at = self.place(self.len);
            if let Some(cell) = self.cells.get_mut(at) {
                *cell = WindowCell { offset, bytes, is_settled: false };
                self.len = self.len.saturating_add(1);
            }
        }
        self.unsettled = self.unsettled.saturating_add(extended.messages);
        self.bytes = self.bytes.saturating_add(extended.bytes);
        let behind = last.map_or(0, |last| last.saturating_add(1));
        self.next_offset = self.next_offset.max(next_offset).max(behind);
        Ok(extended)
    }

    /// The message at `offset` needs no more care: it was handled, or is stored elsewhere to be
    /// tried again. Returns its bytes.
    ///
    /// # Errors
    ///
    /// [`SettleRefused`], and then nothing has changed.
    pub fn settle(&mut self, epoch: Epoch, offset: i64) -> Result<u32, SettleRefused> {
        if epoch != self.epoch {
            return Err(SettleRefused::Stale { found: epoch, current: self.epoch });
        }
        let at = self.find(offset).ok_or(SettleRefused::Unknown { offset })?;
        let cell = self.cells.get_mut(at).filter(|cell| !cell.is_settled);
        let cell = cell.ok_or(SettleRefused::Unknown { offset })?;
        cell.is_settled = true;
        let bytes = cell.bytes;
        self.unsettled = self.unsettled.saturating_sub(1);
        self.bytes = self.bytes.saturating_sub(bytes.into());
        while self.len > 0 && self.cells.get(self.head).is_some_and(|cell| cell.is_settled) {
            self.head = self.place(1);
            self.len = self.len.saturating_sub(1);
        }
        Ok(bytes)
    }

    /// The offset that may be committed: the next message that a successor has to handle.
    #[must_use]
    pub fn commit_offset(&self) -> i64 {
        self.first().map_or(self.next_offset, |cell| cell.offset)
    }

    /// What is to be committed, unless the broker is known to have it.
    #[must_use]
    pub fn poll_commit(&self) -> Option<i64> {
        Some(self.commit_offset()).filter(|offset| Some(*offset) != self.committed)
    }

    /// The broker has the offset. An answer of an earlier epoch, or one that comes behind that to a
    /// later request, changes nothing.
    pub fn handle_committed(&mut self, epoch: Epoch, offset: i64) {
        if epoch == self.epoch && offset <= self.commit_offset() {
            self.committed = self.committed.max(Some(offset));
        }
    }

    /// Where the queue goes on behind everything that was pulled.
    #[must_use]
    pub const fn next_offset(&self) -> i64 {
        self.next_offset
    }

    /// The epoch under which messages are taken in and settled.
    #[must_use]
    pub const fn epoch(&self) -> Epoch {
        self.epoch
    }

    /// Messages that are not settled.
    #[must_use]
    pub const fn messages(&self) -> usize {
        self.unsettled
    }

    /// Their bytes.
    #[must_use]
    pub const fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Messages that can be taken in now.
    #[must_use]
    pub fn room(&self) -> usize {
        self.cells.len().saturating_sub(self.len)
    }

    /// The largest offset in the window minus the smallest that is not settled; 0 where all are.
    #[must_use]
    pub fn span(&self) -> u64 {
        let last = self.len.checked_sub(1).and_then(|last| self.cells.get(self.place(last)));
        match (self.first(), last) {
            (Some(first), Some(last)) => last.offset.abs_diff(first.offset),
            _ => 0,
        }
    }

    /// Offsets that are not settled, in order: what a shutdown reports as abandoned.
    pub fn unsettled(&self) -> impl Iterator<Item = i64> + '_ {
        let used = (0..self.len).filter_map(|index| self.cells.get(self.place(index)));
        used.filter(|cell| !cell.is_settled).map(|cell| cell.offset)
    }

    fn first(&self) -> Option<&WindowCell> {
        self.cells.get(self.head).filter(|_| self.len > 0)
    }

    /// The place that is `index` behind the first.
    fn place(&self, index: usize) -> usize {
        let at = self.head.saturating_add(index);
        if at < self.cells.len() { at } else { at.saturating_sub(self.cells.len()) }
    }

    /// By halves: offsets ascend.
    fn find(&self, offset: i64) -> Option<usize> {
        let (mut from, mut to) = (0, self.len);
        while from < to {
            let middle = from.midpoint(to);
            let at = self.place(middle);
            let cell = self.cells.get(at)?;
            match cell.offset.cmp(&offset) {
                core::cmp::Ordering::Equal => return Some(at),
                core::cmp::Ordering::Less => from = middle.saturating_add(1),
                core::cmp::Ordering::Greater => to = middle,
            }
        }
        None
    }
}

/// Why a batch was not taken in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ExtendRefused {
    /// It was pulled under another epoch: drop it.
    Stale {
        /// The epoch of the pull.
        found: Epoch,
        /// That of the window.
        current: Epoch,
    },
    /// There are too many messages.
    Full {
        /// The messages of the batch.
        messages: usize,
        /// Those that can be taken in.
        room: usize,
    },
    /// Offsets don't ascend: the broker's answer is damaged.
    Unsorted {
        /// The first that is not above the one before.
        offset: i64,
    },
}

impl fmt::Display for ExtendRefused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Stale { found, current } => write!(
                f,
                "a batch was pulled under epoch {}, the queue is at {}: drop it",
                found.0, current.0
            ),
            Self::Full { messages, room } => write!(
                f,
                "{messages} messages came and there is room for {room}: ask for no more than there \
                 is room for, and pull again from the same offset when messages are settled"
            ),
            Self::Unsorted { offset } => write!(
                f,
                "offset {offset} is not above the one before it: the answer is damaged, pull again"
            ),
        }
    }
}

impl Error for ExtendRefused {}

/// Why a message was not settled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum SettleRefused {
    /// It was handed out under another epoch; somebody else may have the queue by now.
    Stale {
        /// The epoch of the message.
        found: Epoch,
        /// That of the window.
        current: Epoch,
    },
    /// There is no such message in the window, or it was settled before.
    Unknown {
        /// The offset.
        offset: i64,
    },
}

impl fmt::Display for SettleRefused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Stale { found, current } => write!(
                f,
                "a result of epoch {} came when the queue was at {}: ignore it, the message is \
                 delivered again",
                found.0, current.0
            ),
            Self::Unknown { offset } => {
                write!(f, "no message at offset {offset} waits: settle each message once")
            }
        }
    }
}

impl Error for SettleRefused {}

#[cfg(test)]
mod tests {
    use super::*;

    const ONE: Epoch = Epoch(1);

    fn filled(cells: &mut [WindowCell]) -> Window<'_> {
        let mut window = Window::new(cells);
        window.reset(ONE, 100);
        let messages = [(100, 1), (101, 2), (105, 4), (106, 8)];
        let extended = window.extend(ONE, messages.into_iter(), 110).unwrap();
        assert_eq!(extended, Extended { messages: 4, bytes: 15, skipped: 0 });
        window
    }

    #[test]
    fn only_what_is_settled_without_a_gap_is_committed() {
        let mut cells = [WindowCell::default(); 4];
        let mut window = filled(&mut cells);
        let mut commits = [0; 4];
        for (commit, offset) in commits.iter_mut().zip([106, 101, 100, 105]) {
            window.settle(ONE, offset).unwrap();
            *commit = window.commit_offset();
        }
        assert_eq!(commits, [100, 100, 105, 110], "at last the end of the pull, gap included");
        assert_eq!((window.messages(), window.bytes(), window.span()), (0, 0, 0));
    }

    #[test]
    fn what_is_full_or_damaged_or_late_is_refused_and_changes_nothing() {
        let mut cells = [WindowCell::default(); 4];
        let mut window = filled(&mut cells);
        assert_eq!((window.room(), window.span()), (0, 6));
        let full = window.extend(ONE, [(110, 1)].into_iter(), 111);
        assert_eq!(full, Err(ExtendRefused::Full { messages: 1, room: 0 }));
        // Settled behind one that is not: no room yet.
        window.settle(ONE, 106).unwrap();
        assert_eq!(window.room(), 0);
        window.settle(ONE, 100).unwrap();
        assert_eq!((window.room(), window.messages(), window.bytes()), (1, 2, 6));
        let unsorted = window.extend(ONE, [(111, 1), (111, 1)].into_iter(), 112);
        assert_eq!(unsorted, Err(ExtendRefused::Unsorted { offset: 111 }));
        let stale = window.extend(Epoch(0), [(111, 1)].into_iter(), 112);
        assert_eq!(stale, Err(ExtendRefused::Stale { found: Epoch(0), current: ONE }));
        let stale = window.settle(Epoch(2), 101);
        assert_eq!(stale, Err(SettleRefused::Stale { found: Epoch(2), current: ONE }));
        for offset in [100, 102, 106, 999] {
            assert_eq!(window.settle(ONE, offset), Err(SettleRefused::Unknown { offset }));
        }
        assert_eq!((window.commit_offset(), window.next_offset()), (101, 110));
        assert!(window.unsettled().eq([101, 105]));
    }

    #[test]
    fn inner_batches_may_begin_before_what_was_asked_for() {
        let mut cells = [WindowCell::default(); 4];
        let mut window = Window::new(&mut cells[..]);
        window.reset(ONE, 7);
        let extended = window.extend(ONE, [(5, 1), (6, 1), (7, 1)].into_iter(), 8).unwrap();
        assert_eq!((extended.messages, extended.skipped), (1, 2));
        assert_eq!(window.settle(ONE, 7), Ok(1));
        assert_eq!(window.commit_offset(), 8);
    }

    #[test]
    fn a_commit_is_told_once_and_only_a_reset_goes_back() {
        let mut cells = [WindowCell::default(); 4];
        let mut window = filled(&mut cells);
        assert_eq!(window.poll_commit(), Some(100));
        window.handle_committed(ONE, 100);
        assert_eq!(window.poll_commit(), None);
        window.settle(ONE, 100).unwrap();
        assert_eq!(window.poll_commit(), Some(101));
        // Of an earlier epoch, or of nobody here.
        window.handle_committed(Epoch(0), 101);
        window.handle_committed(ONE, 500);
        assert_eq!(window.poll_commit(), Some(101));
        // A batch without messages moves on where the filter let nothing through.
        window.extend(ONE, [].into_iter(), 90).unwrap();
        assert_eq!(window.next_offset(), 110);
        window.reset(Epoch(2), 20);
        assert_eq!((window.commit_offset(), window.poll_commit()), (20, Some(20)));
        assert!(window.settle(ONE, 101).is_err());
        window.reset(Epoch(3), -1);
        assert_eq!(window.commit_offset(), 0, "never below");
    }
}

//! Who waits for something that one after the other can have.

use core::task::Waker;

use alloc::collections::VecDeque;

/// Who waits for something that is given to one at a time, first come, first served.
pub(crate) struct Turns {
    waiting: VecDeque<(u64, Waker)>,
    next: u64,
    pub(crate) len_max: usize,
}

impl Turns {
    pub(crate) fn new(len_max: usize) -> Self {
        Self { waiting: VecDeque::new(), next: 0, len_max }
    }

    /// Whose turn it is.
    pub(crate) fn first(&self) -> Option<Waker> {
        self.waiting.front().map(|(_, waker)| waker.clone())
    }

    /// Whether it is the turn of somebody with this number, or of somebody who just comes.
    pub(crate) fn is_turn(&self, number: Option<u64>) -> bool {
        self.waiting.front().map(|(first, _)| *first) == number
    }

    /// Waits for its turn; false where too many do.
    pub(crate) fn wait(&mut self, number: &mut Option<u64>, waker: &Waker) -> bool {
        match *number {
            Some(number) => {
                let place = self.waiting.binary_search_by_key(&number, |(number, _)| *number);
                let known = place.ok().and_then(|place| self.waiting.get_mut(place));
                if let Some((_, known)) = known
                    && !known.will_wake(waker)
                {
                    *known = waker.clone();
                }
                true
            }
            None if self.waiting.len() >= self.len_max => false,
            None => {
                self.waiting.push_back((self.next, waker.clone()));
                *number = Some(self.next);
                self.next += 1;
                true
            }
        }
    }

    /// Waits no longer; returns whose turn it is because of that.
    pub(crate) fn leave(&mut self, number: Option<u64>) -> Option<Waker> {
        let number = number?;
        let was_first = self.is_turn(Some(number));
        if let Ok(place) = self.waiting.binary_search_by_key(&number, |(number, _)| *number) {
            self.waiting.remove(place);
        }
        if was_first { self.first() } else { None }
    }
}

//! Senders that wait for room: first come, first served, without going in single file.

use core::task::Waker;

use alloc::collections::VecDeque;

/// Those who wait. When there is room, the first are granted a place each; what is left is for
/// whoever comes, so that nobody has to be woken for each item while there is room for all.
pub(super) struct Line {
    waiting: VecDeque<Waiting>,
    next: u64,
    /// How many of the first have been granted a place,
    granted: usize,
    /// and how many of them have been woken for it.
    woken: usize,
}

/// Whom to wake once the lock is released: a few at a time.
#[derive(Default)]
pub(super) struct WakeList {
    wakers: [Option<Waker>; 8],
    len: usize,
}

impl WakeList {
    fn place(&mut self) -> Option<&mut Option<Waker>> {
        let place = self.wakers.get_mut(self.len)?;
        self.len += 1;
        Some(place)
    }

    #[inline]
    pub(super) fn wake_all(&mut self) {
        for waker in self.wakers.iter_mut().take(self.len) {
            if let Some(waker) = waker.take() {
                waker.wake();
            }
        }
        self.len = 0;
    }
}

struct Waiting {
    number: u64,
    waker: Waker,
}

impl Line {
    pub(super) const fn new() -> Self {
        Self { waiting: VecDeque::new(), next: 0, granted: 0, woken: 0 }
    }

    /// Places that are promised to others, for somebody who has none promised; `None` where others
    /// wait who have none, either.
    #[inline]
    pub(super) fn promised(&self) -> Option<usize> {
        (self.waiting.len() == self.granted).then_some(self.granted)
    }

    pub(super) fn is_granted(&self, number: u64) -> bool {
        self.place(number).is_some_and(|place| place < self.granted)
    }

    fn place(&self, number: u64) -> Option<usize> {
        self.waiting.binary_search_by_key(&number, |waiting| waiting.number).ok()
    }

    #[inline]
    pub(super) fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    pub(super) fn len(&self) -> usize {
        self.waiting.len()
    }

    /// Goes to the end of the line, or stays where it is.
    pub(super) fn wait(&mut self, number: &mut Option<u64>, waker: &Waker) {
        match number.and_then(|number| self.place(number)) {
            Some(place) => {
                if let Some(known) = self.waiting.get_mut(place)
                    && !known.waker.will_wake(waker)
                {
                    known.waker = waker.clone();
                }
                // It could not use what it was granted: there was room, but not enough of it.
                if place < self.granted {
                    self.granted = place;
                    self.woken = self.woken.min(place);
                }
            }
            None => {
                self.waiting.push_back(Waiting { number: self.next, waker: waker.clone() });
                *number = Some(self.next);
                self.next += 1;
            }
        }
    }

    /// There are so many places: promises them to the first, and says whom to wake, as far as there
    /// is room for that; true where there are more.
    #[inline]
    pub(super) fn grant(&mut self, room: usize, wakers: &mut WakeList) -> bool {
        self.granted = self.granted.max(room.min(self.waiting.len()));
        while self.woken < self.granted {
            let Some(place) = wakers.place() else { return true };
            *place = self.waiting.get(self.woken).map(|waiting| waiting.waker.clone());
            self.woken += 1;
        }
        false
    }

    /// Waits no longer. What was promised is free.
    pub(super) fn leave(&mut self, number: Option<u64>) {
        let Some(place) = number.and_then(|number| self.place(number)) else { return };
        self.waiting.remove(place);
        if place < self.granted {
            self.granted -= 1;
        }
        if place < self.woken {
            self.woken -= 1;
        }
    }

    /// Nobody will get anything any more: everybody is told.
    pub(super) fn dismiss(&mut self) -> impl Iterator<Item = Waker> + use<'_> {
        self.granted = self.waiting.len();
        self.woken = self.granted;
        self.waiting.iter().map(|waiting| waiting.waker.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(waiting: usize) -> (Line, alloc::vec::Vec<Option<u64>>) {
        let mut line = Line::new();
        let numbers = (0..waiting).map(|_| {
            let mut number = None;
            line.wait(&mut number, Waker::noop());
            number
        });
        let numbers = numbers.collect();
        (line, numbers)
    }

    /// How many are woken.
    fn grant(line: &mut Line, room: usize) -> usize {
        let mut woken = 0;
        loop {
            let mut wakers = WakeList::default();
            let is_more = line.grant(room, &mut wakers);
            woken += wakers.len;
            if !is_more {
                return woken;
            }
        }
    }

    #[test]
    fn places_are_promised_in_order_and_the_rest_is_for_anybody() {
        let (mut line, numbers) = line(3);
        assert_eq!(line.promised(), None, "others wait");
        assert_eq!(grant(&mut line, 2), 2);
        let granted = |line: &Line| numbers.iter().map(|n| line.is_granted(n.unwrap())).collect();
        let first_two: alloc::vec::Vec<bool> = granted(&line);
        assert_eq!(first_two, [true, true, false]);
        assert_eq!(line.promised(), None, "the third still waits");
        line.leave(numbers[0]);
        line.leave(numbers[1]);
        assert_eq!(grant(&mut line, 100), 1);
        assert_eq!(line.promised(), Some(1));
        line.leave(numbers[2]);
        assert_eq!((line.promised(), grant(&mut line, 100)), (Some(0), 0));
    }

    #[test]
    fn who_gives_up_leaves_the_place_to_the_next() {
        let (mut line, numbers) = line(3);
        assert_eq!(grant(&mut line, 1), 1);
        line.leave(numbers[0]);
        assert!(!line.is_granted(numbers[1].unwrap()));
        assert_eq!(grant(&mut line, 1), 1);
        assert!(line.is_granted(numbers[1].unwrap()));
        line.leave(numbers[2]);
        assert_eq!((line.len(), line.promised()), (1, Some(1)));
    }

    #[test]
    fn who_cannot_use_the_place_keeps_the_turn() {
        let (mut line, mut numbers) = line(2);
        assert_eq!(grant(&mut line, 2), 2);
        line.wait(&mut numbers[0], Waker::noop());
        assert!(numbers.iter().all(|number| !line.is_granted(number.unwrap())));
        assert_eq!(grant(&mut line, 1), 1, "woken again");
        assert!(line.is_granted(numbers[0].unwrap()) && !line.is_granted(numbers[1].unwrap()));
    }

    #[test]
    fn many_are_woken_a_few_at_a_time() {
        let (mut line, _numbers) = line(100);
        assert_eq!(grant(&mut line, 77), 77);
        assert_eq!(grant(&mut line, 200), 23);
    }
}

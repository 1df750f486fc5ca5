//! Lists and stacks of indices, linked in the items of one slice.

/// The end of a list.
pub(super) const NONE: u32 = u32::MAX;

/// Where an item's neighbours are. An item is in one list at most.
#[derive(Clone, Copy, Debug)]
pub(super) struct Links {
    /// Towards the back.
    next: u32,
    /// Towards the front.
    previous: u32,
}

impl Links {
    pub(super) const fn none() -> Self {
        Self { next: NONE, previous: NONE }
    }
}

pub(super) trait Linked {
    fn links(&self) -> Links;
    fn links_mut(&mut self) -> &mut Links;
}

/// Doubly linked: items can be taken out anywhere.
#[derive(Clone, Copy, Debug)]
pub(super) struct List {
    front: u32,
    back: u32,
    len: u32,
}

impl List {
    pub(super) const fn new() -> Self {
        Self { front: NONE, back: NONE, len: 0 }
    }

    pub(super) const fn len(&self) -> u32 {
        self.len
    }

    pub(super) const fn front(&self) -> u32 {
        self.front
    }

    pub(super) const fn back(&self) -> u32 {
        self.back
    }

    pub(super) fn push_front<T: Linked>(&mut self, items: &mut [T], index: u32) {
        *items[index as usize].links_mut() = Links { next: self.front, previous: NONE };
        match self.front {
            NONE => self.back = index,
            front => items[front as usize].links_mut().previous = index,
        }
        self.front = index;
        self.len += 1;
    }

    pub(super) fn push_back<T: Linked>(&mut self, items: &mut [T], index: u32) {
        *items[index as usize].links_mut() = Links { next: NONE, previous: self.back };
        match self.back {
            NONE => self.front = index,
            back => items[back as usize].links_mut().next = index,
        }
        self.back = index;
        self.len += 1;
    }

    pub(super) fn pop_front<T: Linked>(&mut self, items: &mut [T]) -> Option<u32> {
        let index = self.front;
        if index == NONE {
            return None;
        }
        self.front = items[index as usize].links().next;
        match self.front {
            NONE => self.back = NONE,
            front => items[front as usize].links_mut().previous = NONE,
        }
        self.len -= 1;
        Some(index)
    }

    /// Takes out an item, which must be in this list.
    pub(super) fn remove<T: Linked>(&mut self, items: &mut [T], index: u32) {
        let Links { next, previous } = items[index as usize].links();
        match previous {
            NONE => self.front = next,
            previous => items[previous as usize].links_mut().next = next,
        }
        match next {
            NONE => self.back = previous,
            next => items[next as usize].links_mut().previous = previous,
        }
        self.len -= 1;
    }

    /// The neighbour towards the front.
    pub(super) fn before<T: Linked>(items: &[T], index: u32) -> u32 {
        items[index as usize].links().previous
    }

    /// All indices from the back to the front.
    pub(super) fn indices_from_back<T: Linked>(&self, items: &[T]) -> impl Iterator<Item = u32> {
        let mut index = self.back;
        core::iter::from_fn(move || {
            let this = index;
            (this != NONE).then(|| {
                index = Self::before(items, this);
                this
            })
        })
    }
}

/// Singly linked: touches the one item only.
#[derive(Clone, Copy, Debug)]
pub(super) struct Stack {
    top: u32,
}

impl Stack {
    /// A stack of all items, the first on top.
    pub(super) fn of_all<T: Linked>(items: &mut [T]) -> Self {
        let mut stack = Self { top: NONE };
        for index in (0..items.len() as u32).rev() {
            stack.push(items, index);
        }
        stack
    }

    pub(super) const fn is_empty(&self) -> bool {
        self.top == NONE
    }

    #[inline]
    pub(super) fn push<T: Linked>(&mut self, items: &mut [T], index: u32) {
        items[index as usize].links_mut().next = self.top;
        self.top = index;
    }

    #[inline]
    pub(super) fn pop<T: Linked>(&mut self, items: &mut [T]) -> Option<u32> {
        let index = self.top;
        if index == NONE {
            return None;
        }
        self.top = items[index as usize].links().next;
        Some(index)
    }
}

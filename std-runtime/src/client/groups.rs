//! The producer groups of a client: what heartbeats say, and who answers for transactions.

use std::sync::{Mutex, MutexGuard, PoisonError};

use alloc::boxed::Box;
use alloc::collections::BTreeMap;
use alloc::sync::Arc;
use alloc::vec::Vec;

use super::transaction::Checks;
use crate::bell::Bell;

/// By the name that brokers know.
pub(super) struct Groups {
    groups: Mutex<BTreeMap<Box<str>, Group>>,
    /// Rung when brokers are to be told something.
    pub(super) bell: Arc<Bell>,
}

#[derive(Default)]
struct Group {
    producers: usize,
    /// The newest is asked; the others are when it is gone.
    listeners: Vec<(u64, Arc<dyn Checks>)>,
    next: u64,
}

impl Groups {
    pub(super) fn new() -> Self {
        Self { groups: Mutex::default(), bell: Arc::default() }
    }

    fn groups(&self) -> MutexGuard<'_, BTreeMap<Box<str>, Group>> {
        self.groups.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn names(&self) -> Vec<Box<str>> {
        self.groups().keys().cloned().collect()
    }

    /// One more producer. Brokers learn of a group that is new.
    pub(super) fn join(&self, group: &str) {
        let mut groups = self.groups();
        if let Some(known) = groups.get_mut(group) {
            known.producers += 1;
            return;
        }
        groups.insert(group.into(), Group { producers: 1, ..Group::default() });
        drop(groups);
        self.bell.ring();
    }

    /// One less. A group without any is not named any more.
    pub(super) fn leave(&self, group: &str) {
        let mut groups = self.groups();
        if let Some(known) = groups.get_mut(group) {
            known.producers -= 1;
            if known.producers == 0 {
                groups.remove(group);
            }
        }
    }

    /// From now on this one is asked what became of transactions; returns its number.
    pub(super) fn listen(&self, group: &str, listener: Arc<dyn Checks>) -> u64 {
        let mut groups = self.groups();
        let known = groups.entry(group.into()).or_default();
        let number = known.next;
        known.next += 1;
        known.listeners.push((number, listener));
        number
    }

    /// This one is not asked any more.
    pub(super) fn forget(&self, group: &str, number: u64) {
        if let Some(known) = self.groups().get_mut(group) {
            known.listeners.retain(|(other, _)| *other != number);
        }
    }

    pub(super) fn listener(&self, group: &str) -> Option<Arc<dyn Checks>> {
        self.groups().get(group)?.listeners.last().map(|(_, listener)| Arc::clone(listener))
    }
}

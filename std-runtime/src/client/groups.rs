//! The groups of a client: what heartbeats say, who answers for transactions, and which consumer is
//! meant where a broker asks for a group.

use std::sync::{Mutex, MutexGuard, PoisonError};

use alloc::boxed::Box;
use alloc::collections::BTreeMap;
use alloc::format;
use alloc::sync::{Arc, Weak};
use alloc::vec::Vec;

use super::consumer::{Asked, Description};
use super::transaction::Checks;
use crate::bell::Bell;

/// By the name that brokers know.
pub(super) struct Groups {
    groups: Mutex<BTreeMap<Box<str>, Group>>,
    /// One for each group: a client has one id, and is one member.
    consumers: Mutex<BTreeMap<Box<str>, Consuming>>,
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

/// A consumer of this client's.
struct Consuming {
    description: Arc<Description>,
    asked: Weak<dyn Asked>,
}

impl Groups {
    pub(super) fn new() -> Self {
        Self { groups: Mutex::default(), consumers: Mutex::default(), bell: Arc::default() }
    }

    fn consumers(&self) -> MutexGuard<'_, BTreeMap<Box<str>, Consuming>> {
        self.consumers.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// One more consumer; false where the group has one already. Brokers learn of it.
    pub(super) fn consume(&self, description: Arc<Description>, asked: Weak<dyn Asked>) -> bool {
        let mut consumers = self.consumers();
        if consumers.contains_key(&description.group) {
            return false;
        }
        let group = description.group.clone();
        consumers.insert(group, Consuming { description, asked });
        drop(consumers);
        self.bell.ring();
        true
    }

    /// The consumer of a group is gone.
    pub(super) fn consume_no_more(&self, group: &str) {
        self.consumers().remove(group);
    }

    /// What heartbeats say of consumers.
    pub(super) fn descriptions(&self) -> Vec<Arc<Description>> {
        self.consumers().values().map(|consuming| Arc::clone(&consuming.description)).collect()
    }

    /// Who is meant where a broker asks for a group.
    pub(super) fn asked(&self, group: &str) -> Option<Arc<dyn Asked>> {
        self.consumers().get(group)?.asked.upgrade()
    }

    /// By what is known whether a broker has heard of everything: names of producers' groups, and
    /// those of consumers with what their subscriptions were made at.
    pub(super) fn tokens(&self) -> Vec<Box<str>> {
        let mut tokens = self.names();
        let consumers = self.consumers();
        let of_consumer = consumers.iter().map(|(group, consuming)| {
            // No name of a group has these.
            format!("\n{group}\n{}", consuming.description.version_ms).into_boxed_str()
        });
        tokens.extend(of_consumer);
        tokens
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

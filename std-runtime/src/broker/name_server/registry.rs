//! Which brokers there are, and which topics they have.
//!
//! Decides what a registration changes, and what goes with a broker. Reading registrations is left
//! to `registration`, writing routes to `route`.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::string::String;
use alloc::vec::Vec;

use turbopump_core::rocketmq::wire::body::{DataVersion, MASTER_ID, PERM_WRITE};
use turbopump_core::rocketmq::wire::header::response_code;
use turbopump_core::time::Instant;

use super::route::{Named, Queues};
use crate::broker::answers::Refusal;
use crate::broker::sessions::SessionId;

/// Who registers.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Who {
    pub(super) cluster: String,
    pub(super) name: String,
    pub(super) address: String,
    pub(super) id: i64,
}

/// A registration, taken apart.
#[derive(Debug)]
pub(super) struct Registration {
    pub(super) who: Who,
    pub(super) ha_address: String,
    pub(super) timeout_us: u64,
    /// Whether slaves act for their master; `None` from brokers that know nothing of it.
    pub(super) acts: Option<bool>,
    pub(super) version: DataVersion,
    pub(super) topics: Vec<(String, Queues)>,
}

/// What a slave is told of its master.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Master {
    pub(super) address: Option<String>,
    pub(super) ha_address: Option<String>,
}

#[derive(Debug)]
struct Live {
    name: String,
    id: i64,
    session: SessionId,
    ha_address: String,
    timeout_us: u64,
    until: Instant,
    version: DataVersion,
}

/// A broker by its cluster and its address.
type Key = (String, String);

#[derive(Debug, Default)]
pub(super) struct Registry {
    brokers: BTreeMap<String, Named>,
    live: BTreeMap<Key, Live>,
    /// When to look at whom.
    expiries: BTreeSet<(Instant, Key)>,
    topics: BTreeMap<String, BTreeMap<String, Queues>>,
    routes: usize,
}

impl Registry {
    // --- Getters

    /// All brokers by name.
    pub(super) fn brokers(&self) -> Vec<(&str, &Named)> {
        self.brokers.iter().map(|(name, named)| (&**name, named)).collect()
    }

    pub(super) fn broker(&self, name: &str) -> Option<&Named> {
        self.brokers.get(name)
    }

    /// All topics by name.
    pub(super) fn topics(&self) -> impl Iterator<Item = &str> {
        self.topics.keys().map(|name| &**name)
    }

    /// Topics of brokers of this cluster.
    pub(super) fn topics_of(&self, cluster: &str) -> impl Iterator<Item = &str> {
        let is_of = move |name: &String| {
            self.brokers.get(name).is_some_and(|named| named.cluster == cluster)
        };
        let topics = self.topics.iter();
        topics.filter(move |(_, rows)| rows.keys().any(is_of)).map(|(name, _)| &**name)
    }

    /// The brokers that have a topic, by name.
    pub(super) fn route(&self, topic: &str) -> Vec<(&str, &Named, Queues)> {
        let rows = self.topics.get(topic).into_iter().flatten();
        rows.filter_map(|(name, queues)| Some((&**name, self.brokers.get(name)?, *queues)))
            .collect()
    }

    /// What a broker has said last about the version of its topics.
    pub(super) fn version_of(&self, cluster: &str, address: &str) -> Option<DataVersion> {
        self.live.get(&(cluster.into(), address.into())).map(|live| live.version)
    }

    /// Brokers, masters and slaves.
    pub(super) fn len(&self) -> usize {
        self.live.len()
    }

    /// Topics of each broker, one by one.
    pub(super) const fn routes(&self) -> usize {
        self.routes
    }

    /// When [`expire`](Self::expire) has something to look at.
    pub(super) fn next(&self) -> Option<Instant> {
        self.expiries.first().map(|(at, _)| *at)
    }

    // --- Registration

    /// Takes a registration; returns what a slave is told.
    pub(super) fn register(
        &mut self,
        now: Instant,
        session: SessionId,
        registration: Registration,
        brokers_max: usize,
        routes_max: usize,
    ) -> Result<Master, Refusal> {
        let Registration { who, acts, version, .. } = &registration;
        let key = (who.cluster.clone(), who.address.clone());
        self.check_limits(&registration, &key, brokers_max, routes_max)?;
        let named = self.brokers.get(&who.name);
        let holder = named.and_then(|named| named.addresses.get(&who.id)).cloned();
        if let Some(holder) = holder.as_ref().filter(|holder| **holder != who.address)
            && let Some(live) = self.live.get(&(who.cluster.clone(), holder.clone()))
            && live.version.state_version > version.state_version
        {
            let remark = alloc::format!("{holder} is broker {} of {} already", who.id, who.name);
            return Err(failed(&remark));
        }
        if holder.is_none() && registration.topics.len() == 1 {
            let remark = alloc::format!(
                "broker {} of {} is not registered yet: register all topics first, not one",
                who.id,
                who.name
            );
            return Err(failed(&remark));
        }
        let is_first = holder.is_none_or(|holder| holder.is_empty());
        let is_changed = self.live.get(&key).is_none_or(|live| live.version != *version);
        // Otherwise nothing would ever take the other name away.
        if self.live.get(&key).is_some_and(|live| live.name != who.name) {
            self.remove(&key.0, &key.1);
        }
        let named = self.brokers.entry(who.name.clone()).or_default();
        named.cluster.clone_from(&who.cluster);
        named.acts = acts.unwrap_or(false);
        // A slave that becomes the master has one number only.
        named.addresses.retain(|id, address| *id == who.id || *address != who.address);
        named.addresses.insert(who.id, who.address.clone());
        let is_prime = acts.is_some() && named.addresses.keys().next() == Some(&who.id);
        let (is_master, acts) = (who.id == MASTER_ID, named.acts);
        if is_master || is_prime {
            for (topic, queues) in &registration.topics {
                let mut queues = *queues;
                if !is_master && acts {
                    queues.perm &= !PERM_WRITE;
                }
                self.set_route(topic, &who.name, queues, is_first || is_changed);
            }
        }
        let master = self.master_for(&who.name, who.id);
        self.set_live(now, session, key, registration);
        Ok(master)
    }

    fn check_limits(
        &self,
        registration: &Registration,
        key: &Key,
        brokers_max: usize,
        routes_max: usize,
    ) -> Result<(), Refusal> {
        if !self.live.contains_key(key) && self.live.len() >= brokers_max {
            return Err(failed(&alloc::format!("there are {brokers_max} brokers already")));
        }
        let name = &*registration.who.name;
        let is_new = |(topic, _): &&(String, Queues)| {
            self.topics.get(topic).is_none_or(|rows| !rows.contains_key(name))
        };
        let routes = self.routes + registration.topics.iter().filter(is_new).count();
        if routes > routes_max {
            let remark = alloc::format!("{routes} topics of brokers are more than {routes_max}");
            return Err(failed(&remark));
        }
        Ok(())
    }

    /// What is there stays, unless it `is_changed`: write permission may have been taken from it.
    fn set_route(&mut self, topic: &str, name: &str, queues: Queues, is_changed: bool) {
        let rows = self.topics.entry(topic.into()).or_default();
        match rows.get_mut(name) {
            Some(row) if is_changed => *row = queues,
            Some(_) => {}
            None => {
                rows.insert(name.into(), queues);
                self.routes += 1;
            }
        }
    }

    fn master_for(&self, name: &str, id: i64) -> Master {
        let named = self.brokers.get(name).filter(|_| id != MASTER_ID);
        let Some(named) = named else {
            return Master::default();
        };
        let address = named.addresses.get(&MASTER_ID).cloned();
        let ha_address = address.as_ref().and_then(|address| {
            let live = self.live.get(&(named.cluster.clone(), address.clone()))?;
            Some(live.ha_address.clone())
        });
        Master { address, ha_address }
    }

    fn set_live(&mut self, now: Instant, session: SessionId, key: Key, of: Registration) {
        let until = now.plus_us(of.timeout_us);
        let live = Live {
            name: of.who.name,
            id: of.who.id,
            session,
            ha_address: of.ha_address,
            timeout_us: of.timeout_us,
            until,
            version: of.version,
        };
        if let Some(old) = self.live.insert(key.clone(), live) {
            self.expiries.remove(&(old.until, key.clone()));
        }
        self.expiries.insert((until, key));
    }

    /// A broker is still there.
    pub(super) fn refresh(&mut self, now: Instant, cluster: &str, address: &str) {
        let key = (cluster.into(), address.into());
        if let Some(live) = self.live.get_mut(&key) {
            let old = live.until;
            live.until = now.plus_us(live.timeout_us);
            let until = live.until;
            self.expiries.remove(&(old, key.clone()));
            self.expiries.insert((until, key));
        }
    }

    // --- What goes

    /// A broker is gone.
    pub(super) fn remove(&mut self, cluster: &str, address: &str) {
        let key = (cluster.into(), address.into());
        let Some(live) = self.live.remove(&key) else {
            return;
        };
        self.expiries.remove(&(live.until, key));
        let Some(named) = self.brokers.get_mut(&live.name) else {
            return;
        };
        if named.addresses.get(&live.id).is_some_and(|holder| holder == address) {
            named.addresses.remove(&live.id);
        }
        if named.addresses.is_empty() {
            self.brokers.remove(&live.name);
            self.remove_routes(&live.name);
        } else if named.acts && !named.addresses.contains_key(&MASTER_ID) {
            // Slaves act for it: they can be read, and that is all.
            self.change_perm(&live.name, |perm| perm & !PERM_WRITE);
        }
    }

    fn remove_routes(&mut self, name: &str) {
        let mut removed = 0;
        self.topics.retain(|_, rows| {
            removed += usize::from(rows.remove(name).is_some());
            !rows.is_empty()
        });
        self.routes -= removed;
    }

    /// Brokers that were registered by this connection are gone; returns how many.
    pub(super) fn remove_session(&mut self, session: SessionId) -> usize {
        let is_of = |(key, live): (&Key, &Live)| (live.session == session).then(|| key.clone());
        let gone: Vec<Key> = self.live.iter().filter_map(is_of).collect();
        gone.iter().for_each(|(cluster, address)| self.remove(cluster, address));
        gone.len()
    }

    /// Brokers that were not heard of for too long are gone; returns how many.
    pub(super) fn expire(&mut self, now: Instant) -> usize {
        let mut gone = 0;
        while let Some((at, (cluster, address))) = self.expiries.first().cloned()
            && at <= now
        {
            self.expiries.pop_first();
            self.remove(&cluster, &address);
            gone += 1;
        }
        gone
    }

    /// A topic is gone, from the brokers of a cluster or from all.
    pub(super) fn remove_topic(&mut self, topic: &str, cluster: Option<&str>) {
        let Some(rows) = self.topics.get_mut(topic) else {
            return;
        };
        let before = rows.len();
        let brokers = &self.brokers;
        rows.retain(|name, _| {
            let of = brokers.get(name).map(|named| &*named.cluster);
            cluster.is_some_and(|cluster| of != Some(cluster))
        });
        self.routes -= before - rows.len();
        if rows.is_empty() {
            self.topics.remove(topic);
        }
    }

    // --- Changes by administrators

    /// Brokers are to have this topic; those that nobody knows make it wrong.
    pub(super) fn add_topic(
        &mut self,
        topic: &str,
        rows: &[(String, Queues)],
        routes_max: usize,
    ) -> Result<(), Refusal> {
        if let Some((name, _)) = rows.iter().find(|(name, _)| !self.brokers.contains_key(name)) {
            return Err(failed(&alloc::format!("there is no broker {name}")));
        }
        if self.routes + rows.len() > routes_max {
            return Err(failed(&alloc::format!(
                "there are {routes_max} topics of brokers already"
            )));
        }
        rows.iter().for_each(|(name, queues)| self.set_route(topic, name, *queues, true));
        Ok(())
    }

    /// Changes the permissions of all topics of a broker; returns how many there are.
    pub(super) fn change_perm(&mut self, name: &str, change: impl Fn(i32) -> i32) -> usize {
        let rows = self.topics.values_mut().filter_map(|rows| rows.get_mut(name));
        rows.map(|row| row.perm = change(row.perm)).count()
    }
}

pub(super) fn failed(reason: &str) -> Refusal {
    Refusal::new(response_code::SYSTEM_ERROR, alloc::format!("register broker failed: {reason}"))
}

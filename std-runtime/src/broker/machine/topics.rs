//! Which topics there are, and which queues they have.
//!
//! Places of topics that were deleted are used again under another generation, so that what still
//! refers to the old topic finds nothing instead of the new one.

use std::collections::HashMap;

use alloc::boxed::Box;
use alloc::string::String;
use alloc::vec::Vec;

use turbopump_core::rocketmq::wire::body::{PERM_READ, PERM_WRITE};
use turbopump_core::rocketmq::wire::names::{DEAD_LETTER_PREFIX, RETRY_PREFIX};

use super::queue::Queue;

/// The bit of a topic's permissions that lets new topics be made after it.
pub(super) const PERM_INHERIT: i32 = 1;
/// The longest name of a topic, in bytes.
pub(super) const TOPIC_BYTES_MAX: usize = 127;
/// The longest name of a retry or dead-letter topic, in bytes.
pub(super) const GROUP_TOPIC_BYTES_MAX: usize = 255;

/// The topic after which new ones are made.
pub(super) const DEFAULT_TOPIC: &str = "TBW102";
/// Where messages wait for their delay, a queue per level.
pub(super) const SCHEDULE_TOPIC: &str = "SCHEDULE_TOPIC_XXXX";
/// Where messages wait for a time of their own.
pub(super) const TIMER_TOPIC: &str = "rmq_sys_wheel_timer";
/// Where messages wait for the end of their transaction.
pub(super) const HALF_TOPIC: &str = "RMQ_SYS_TRANS_HALF_TOPIC";
/// What became of them.
pub(super) const OPERATION_TOPIC: &str = "RMQ_SYS_TRANS_OP_HALF_TOPIC";
/// Where those end that nobody knew anything of.
pub(super) const GIVEN_UP_TOPIC: &str = "TRANS_CHECK_MAX_TIME_TOPIC";
/// What this broker has to remember besides messages.
pub(super) const STATE_TOPIC: &str = "rmq_sys_turbopump_state";

/// The place of a topic.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct TopicId {
    place: u32,
    generation: u32,
}

/// A queue of a topic.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct QueueId {
    pub(super) topic: TopicId,
    pub(super) queue: u32,
}

/// What is set for a topic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct TopicSettings {
    pub(super) read_queues: u32,
    pub(super) write_queues: u32,
    pub(super) perm: i32,
    pub(super) sys_flag: i32,
    pub(super) is_ordered: bool,
    /// `SINGLE_TAG` or `MULTI_TAG`.
    pub(super) filter_type: String,
}

impl TopicSettings {
    pub(super) fn with_queues(queues: u32, perm: i32) -> Self {
        Self {
            read_queues: queues,
            write_queues: queues,
            perm,
            sys_flag: 0,
            is_ordered: false,
            filter_type: "SINGLE_TAG".into(),
        }
    }
}

#[derive(Debug)]
pub(super) struct Topic {
    pub(super) name: Box<str>,
    pub(super) settings: TopicSettings,
    pub(super) queues: Vec<Queue>,
    /// Belongs to the broker; clients are not told of it.
    pub(super) is_internal: bool,
}

impl Topic {
    pub(super) const fn is_readable(&self) -> bool {
        self.settings.perm & PERM_READ != 0
    }

    pub(super) const fn is_writable(&self) -> bool {
        self.settings.perm & PERM_WRITE != 0
    }

    /// Ids below this are known to clients.
    pub(super) fn queue_ids(&self) -> u32 {
        self.settings.read_queues.max(self.settings.write_queues)
    }
}

#[derive(Debug)]
struct Place {
    generation: u32,
    topic: Option<Topic>,
}

#[derive(Debug, Default)]
pub(super) struct Topics {
    by_name: HashMap<Box<str>, TopicId>,
    places: Vec<Place>,
    free: Vec<u32>,
    /// Counts changes, as clients and name servers want to know.
    pub(super) version: u64,
}

impl Topics {
    pub(super) fn find(&self, name: &str) -> Option<TopicId> {
        self.by_name.get(name).copied()
    }

    pub(super) fn get(&self, id: TopicId) -> Option<&Topic> {
        let place = self.places.get(id.place as usize)?;
        if place.generation == id.generation { place.topic.as_ref() } else { None }
    }

    pub(super) fn get_mut(&mut self, id: TopicId) -> Option<&mut Topic> {
        let place = self.places.get_mut(id.place as usize)?;
        if place.generation == id.generation { place.topic.as_mut() } else { None }
    }

    pub(super) fn by_name(&self, name: &str) -> Option<&Topic> {
        self.get(self.find(name)?)
    }

    pub(super) fn queue(&self, id: QueueId) -> Option<&Queue> {
        self.get(id.topic)?.queues.get(id.queue as usize)
    }

    pub(super) fn queue_mut(&mut self, id: QueueId) -> Option<&mut Queue> {
        self.get_mut(id.topic)?.queues.get_mut(id.queue as usize)
    }

    pub(super) fn len(&self) -> usize {
        self.by_name.len()
    }

    /// All of them, by place.
    pub(super) fn iter(&self) -> impl Iterator<Item = (TopicId, &Topic)> {
        (0..).zip(&self.places).filter_map(|(number, place)| {
            let id = TopicId { place: number, generation: place.generation };
            Some((id, place.topic.as_ref()?))
        })
    }

    /// All of them, by place.
    pub(super) fn iter_mut(&mut self) -> impl Iterator<Item = (TopicId, &mut Topic)> {
        (0..).zip(&mut self.places).filter_map(|(number, place)| {
            let id = TopicId { place: number, generation: place.generation };
            Some((id, place.topic.as_mut()?))
        })
    }

    /// Makes a topic, or changes the one of that name; its queues stay, even those that are no
    /// longer told of. Returns it, and whether anything is different.
    pub(super) fn put(&mut self, name: &str, settings: TopicSettings) -> (TopicId, bool) {
        let id = match self.find(name) {
            Some(id) => id,
            None => {
                let id = self.place(Topic {
                    name: name.into(),
                    // Differs from what comes next.
                    settings: TopicSettings { perm: -1, ..settings.clone() },
                    queues: Vec::new(),
                    is_internal: false,
                });
                self.by_name.insert(name.into(), id);
                id
            }
        };
        let Some(topic) = self.get_mut(id) else {
            return (id, false);
        };
        let is_new = topic.settings != settings;
        topic.settings = settings;
        let queues = topic.queue_ids() as usize;
        while topic.queues.len() < queues {
            topic.queues.push(Queue::default());
        }
        if is_new {
            self.version += 1;
        }
        (id, is_new)
    }

    fn place(&mut self, topic: Topic) -> TopicId {
        if let Some(number) = self.free.pop()
            && let Some(place) = self.places.get_mut(number as usize)
        {
            place.topic = Some(topic);
            return TopicId { place: number, generation: place.generation };
        }
        let number = u32::try_from(self.places.len()).unwrap_or(u32::MAX);
        self.places.push(Place { generation: 0, topic: Some(topic) });
        TopicId { place: number, generation: 0 }
    }

    /// Takes a topic away, with the index of its messages.
    pub(super) fn remove(&mut self, name: &str) -> Option<Topic> {
        let id = self.by_name.remove(name)?;
        self.version += 1;
        let place = self.places.get_mut(id.place as usize)?;
        place.generation = place.generation.wrapping_add(1);
        self.free.push(id.place);
        place.topic.take()
    }
}

/// What is wrong with the name of a topic.
pub(super) fn check_name(name: &str) -> Result<(), &'static str> {
    let is_of_group = name.starts_with(RETRY_PREFIX) || name.starts_with(DEAD_LETTER_PREFIX);
    let bytes_max = if is_of_group { GROUP_TOPIC_BYTES_MAX } else { TOPIC_BYTES_MAX };
    if name.is_empty() {
        return Err("is empty");
    }
    if name.len() > bytes_max {
        return Err("is longer than 127 bytes");
    }
    let is_legal = |c: char| c.is_ascii_alphanumeric() || matches!(c, '%' | '_' | '-' | '|' | '+');
    if !name.chars().all(is_legal) {
        return Err("has other characters than letters, digits, %, _, - and |");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_topic_that_comes_again_is_another_one() {
        let mut topics = Topics::default();
        let (first, is_new) = topics.put("Orders", TopicSettings::with_queues(4, 6));
        assert!(is_new && topics.by_name("Orders").is_some_and(|topic| topic.queues.len() == 4));
        assert_eq!(topics.put("Orders", TopicSettings::with_queues(4, 6)), (first, false));
        assert_eq!(topics.put("Orders", TopicSettings::with_queues(2, 6)), (first, true));
        assert_eq!(topics.get(first).map(|topic| topic.queues.len()), Some(4));
        topics.remove("Orders");
        assert!(topics.get(first).is_none() && topics.find("Orders").is_none());
        let (second, _) = topics.put("Orders", TopicSettings::with_queues(1, 6));
        assert_ne!(second, first);
        assert_eq!(topics.iter().map(|(id, _)| id).collect::<Vec<_>>(), [second]);
    }

    #[test]
    fn names_are_checked() {
        assert_eq!(check_name("%RETRY%a-b_c|d"), Ok(()));
        assert!(check_name("").is_err() && check_name("a b").is_err() && check_name("ü").is_err());
        assert!(check_name(&"a".repeat(128)).is_err());
        assert!(check_name(&alloc::format!("{RETRY_PREFIX}{}", "a".repeat(120))).is_ok());
    }
}

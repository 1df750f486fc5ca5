//! The broker's numbers at one moment, and the names under which they are known.

use alloc::string::String;
use alloc::vec::Vec;

use turbopump_core::descriptor;
use turbopump_core::stats::{Descriptor, Kind, Samples, Source, VisitError};

use super::{Broker, Counts};

/// Topics, and groups with a topic, that are shown by name; the others are shown as `_other`.
pub const SERIES_MAX: usize = 200;
/// The name of what is not shown by its own.
const OTHER: &str = "_other";

/// What a broker is like at one moment: a [`Source`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct BrokerStats {
    /// Counts since it was started.
    pub counts: Counts,
    /// Connections that are open.
    pub connections: usize,
    /// Topics, the broker's own included.
    pub topics: usize,
    /// Consumer groups.
    pub groups: usize,
    /// Pulls that wait for messages.
    pub waiting_pulls: usize,
    /// Messages that wait for a time of their own.
    pub timed_messages: usize,
    /// Reads from disk that are under way.
    pub reads_pending: usize,
    /// Messages that can be pulled.
    pub messages: u64,
    /// Bytes of messages in memory.
    pub memory_bytes: usize,
    /// Bytes of messages that are kept, on disk or in memory.
    pub log_bytes: u64,
    /// Bytes that wait to be written to disk.
    pub unwritten_bytes: usize,
    /// Entries of the index by key.
    pub keys: usize,
    /// Whether messages can be stored.
    pub is_writable: bool,
    /// Messages that were ever in a topic's queues, by topic.
    pub topic_messages: Vec<(String, u64)>,
    /// Messages that a group has not consumed, by group and topic.
    pub group_lags: Vec<(String, String, u64)>,
}

impl Broker {
    /// What it is like now.
    #[must_use]
    pub fn stats(&self) -> BrokerStats {
        let queues = || self.topics.iter().flat_map(|(_, topic)| &topic.queues);
        BrokerStats {
            counts: self.counts,
            connections: self.sessions.len(),
            topics: self.topics.len(),
            groups: self.groups.len(),
            waiting_pulls: self.pulls.len(),
            timed_messages: self.timed.len(),
            reads_pending: self.reads.len(),
            messages: queues().map(|queue| queue.max() - queue.min()).sum(),
            memory_bytes: self.log.hot_bytes(),
            log_bytes: self.log.end() - self.log.start(),
            unwritten_bytes: self.log.unwritten_bytes,
            keys: self.keys.len(),
            is_writable: self.closed_store.is_none(),
            topic_messages: self.topic_messages(),
            group_lags: self.group_lags(),
        }
    }

    fn topic_messages(&self) -> Vec<(String, u64)> {
        let mut shown: Vec<(String, u64)> = Vec::new();
        let mut other = None;
        for (_, topic) in self.topics.iter() {
            let messages = topic.queues.iter().map(super::queue::Queue::max).sum();
            if messages == 0 {
                continue;
            }
            if shown.len() < SERIES_MAX {
                shown.push(((*topic.name).into(), messages));
            } else {
                *other.get_or_insert(0) += messages;
            }
        }
        shown.extend(other.map(|messages| (OTHER.into(), messages)));
        shown
    }

    fn group_lags(&self) -> Vec<(String, String, u64)> {
        let mut shown: Vec<(String, String, u64)> = Vec::new();
        let mut other = None;
        for (name, group) in self.groups.iter() {
            let mut last = None;
            // Offsets are in the order of topics.
            for (id, offset) in &group.offsets {
                let (Some(topic), Some(queue)) =
                    (self.topics.get(id.topic), self.topics.queue(*id))
                else {
                    continue;
                };
                let lag = queue.max().saturating_sub((*offset).max(queue.min()));
                if last == Some(id.topic) {
                    let sum = shown.last_mut().map(|(_, _, sum)| sum).or(other.as_mut());
                    sum.into_iter().for_each(|sum| *sum += lag);
                } else if shown.len() < SERIES_MAX {
                    shown.push((name.into(), (*topic.name).into(), lag));
                } else {
                    *other.get_or_insert(0) += lag;
                }
                last = Some(id.topic);
            }
        }
        shown.extend(other.map(|lag| (OTHER.into(), OTHER.into(), lag)));
        shown
    }
}

macro_rules! families {
    ($($name:ident $kind:ident $wire:literal $help:literal;)*) => {
        $(static $name: Descriptor = descriptor!(Kind::$kind, $wire, $help);)*
        static FAMILIES: &[&Descriptor] = &[$(&$name),*];
    };
}

families! {
    OPENED Counter "turbopump_broker_connections_opened_total" "Connections that were accepted.";
    REFUSED Counter "turbopump_broker_connections_refused_total"
        "Connections that were closed at once, because there were too many.";
    INSECURE Counter "turbopump_broker_connections_insecure_total"
        "Connections that were closed because of TLS.";
    CONNECTIONS Gauge "turbopump_broker_connections" "Connections that are open.";
    FRAMES Counter "turbopump_broker_frames_total" "Frames that were handled.";
    MALFORMED Counter "turbopump_broker_frames_malformed_total"
        "Connections that were closed because of what they sent.";
    REQUESTS Counter "turbopump_broker_requests_total" "Requests, by what became of them.";
    STORED Counter "turbopump_broker_messages_stored_total"
        "Messages that were stored, the broker's own included.";
    SENT Counter "turbopump_broker_messages_sent_total" "Messages that clients have sent.";
    SENT_BYTES Counter "turbopump_broker_sent_bytes_total" "Bytes of sent messages, as stored.";
    PULLED Counter "turbopump_broker_messages_pulled_total" "Messages that were pulled.";
    PULLED_BYTES Counter "turbopump_broker_pulled_bytes_total" "Bytes of pulled messages.";
    EXPIRED Counter "turbopump_broker_messages_expired_total"
        "Messages that went away by age, size or number.";
    RETRIED Counter "turbopump_broker_messages_retried_total"
        "Messages that consumers have sent back.";
    DEAD Counter "turbopump_broker_messages_dead_total"
        "Messages that went to a dead-letter topic.";
    DELAYED Counter "turbopump_broker_messages_delayed_total" "Messages whose delay is over.";
    TIMED Counter "turbopump_broker_messages_timed_total"
        "Messages with a time of their own, by what became of them.";
    TRANSACTIONS Counter "turbopump_broker_transactions_total"
        "Transactions, by what became of them.";
    REGISTRATIONS Counter "turbopump_broker_registrations_total"
        "Times that a name server came to know this broker, or did not any more, by outcome.";
    FAILURES Counter "turbopump_broker_store_failures_total"
        "Groups of messages that could not be written, and reads that failed, by operation.";
    WRITABLE Gauge "turbopump_broker_store_writable" "1 while messages can be stored.";
    TOPICS Gauge "turbopump_broker_topics" "Topics, the broker's own included.";
    GROUPS Gauge "turbopump_broker_groups" "Consumer groups.";
    WAITING Gauge "turbopump_broker_waiting_pulls" "Pulls that wait for messages.";
    TIMERS Gauge "turbopump_broker_timed_messages"
        "Messages that wait for a time of their own.";
    READS Gauge "turbopump_broker_reads_pending" "Reads from disk that are under way.";
    MESSAGES Gauge "turbopump_broker_messages" "Messages that can be pulled.";
    MEMORY Gauge "turbopump_broker_memory_bytes" "Bytes of messages in memory.";
    LOG Gauge "turbopump_broker_log_bytes" "Bytes of messages that are kept.";
    UNWRITTEN Gauge "turbopump_broker_unwritten_bytes" "Bytes that wait to be written to disk.";
    KEYS Gauge "turbopump_broker_keys" "Entries of the index by key.";
    TOPIC Counter "turbopump_broker_topic_messages_total"
        "Messages that were put into a topic, by topic.";
    LAG Gauge "turbopump_broker_group_lag_messages"
        "Messages that a group has not consumed, by group and topic.";
}

impl Source for BrokerStats {
    fn families(&self) -> &'static [&'static Descriptor] {
        FAMILIES
    }

    fn visit(&self, samples: &mut Samples<'_>) -> Result<(), VisitError> {
        let counts = &self.counts;
        for (descriptor, value) in [
            (&OPENED, counts.connections_opened),
            (&REFUSED, counts.connections_refused),
            (&INSECURE, counts.connections_insecure),
            (&FRAMES, counts.frames),
            (&MALFORMED, counts.frames_malformed),
            (&STORED, counts.messages_stored),
            (&SENT, counts.messages_sent),
            (&SENT_BYTES, counts.bytes_sent),
            (&PULLED, counts.messages_pulled),
            (&PULLED_BYTES, counts.bytes_pulled),
            (&EXPIRED, counts.messages_expired),
            (&RETRIED, counts.messages_retried),
            (&DEAD, counts.messages_dead),
            (&DELAYED, counts.messages_delayed),
        ] {
            samples.counter(descriptor, &[], value)?;
        }
        self.visit_outcomes(samples)?;
        for (descriptor, value) in [
            (&CONNECTIONS, self.connections as u64),
            (&WRITABLE, u64::from(self.is_writable)),
            (&TOPICS, self.topics as u64),
            (&GROUPS, self.groups as u64),
            (&WAITING, self.waiting_pulls as u64),
            (&TIMERS, self.timed_messages as u64),
            (&READS, self.reads_pending as u64),
            (&MESSAGES, self.messages),
            (&MEMORY, self.memory_bytes as u64),
            (&LOG, self.log_bytes),
            (&UNWRITTEN, self.unwritten_bytes as u64),
            (&KEYS, self.keys as u64),
        ] {
            samples.gauge(descriptor, &[], value)?;
        }
        for (topic, messages) in &self.topic_messages {
            samples.counter(&TOPIC, &[("topic", topic)], *messages)?;
        }
        for (group, topic, lag) in &self.group_lags {
            samples.gauge(&LAG, &[("group", group), ("topic", topic)], *lag)?;
        }
        Ok(())
    }
}

impl BrokerStats {
    /// What is counted by what became of it.
    fn visit_outcomes(&self, samples: &mut Samples<'_>) -> Result<(), VisitError> {
        let counts = &self.counts;
        for (outcome, value) in [
            ("granted", counts.requests_granted),
            ("refused", counts.requests_refused),
            ("unknown", counts.requests_unknown),
            ("unsigned", counts.requests_unsigned),
        ] {
            samples.counter(&REQUESTS, &[("outcome", outcome)], value)?;
        }
        for (outcome, value) in [
            ("delivered", counts.messages_timed),
            ("dropped", counts.messages_timed_dropped),
            ("recalled", counts.messages_recalled),
        ] {
            samples.counter(&TIMED, &[("outcome", outcome)], value)?;
        }
        for (outcome, value) in [
            ("committed", counts.transactions_committed),
            ("rolled_back", counts.transactions_rolled_back),
            ("checked", counts.transactions_checked),
        ] {
            samples.counter(&TRANSACTIONS, &[("outcome", outcome)], value)?;
        }
        for (outcome, value) in
            [("registered", counts.registrations), ("failed", counts.registration_failures)]
        {
            samples.counter(&REGISTRATIONS, &[("outcome", outcome)], value)?;
        }
        for (operation, value) in [("write", counts.store_failures), ("read", counts.read_failures)]
        {
            samples.counter(&FAILURES, &[("operation", operation)], value)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use alloc::format;

    use crate::broker::machine::kit::Kit;

    #[test]
    fn numbers_are_what_happened() {
        let mut kit = Kit::new();
        let client = kit.connect();
        for n in 0..3 {
            kit.produce(client, "Orders", 0, &format!("{n}"), &[("KEYS", "a")]);
        }
        kit.pull(client, "billing", "Orders", 0, 1);
        let stats = kit.broker.stats();
        assert_eq!((stats.counts.messages_sent, stats.counts.messages_pulled), (3, 2));
        assert_eq!((stats.connections, stats.messages, stats.keys), (1, 3, 6));
        assert_eq!(stats.topic_messages, [("Orders".into(), 3)]);
        assert!(stats.memory_bytes > 300 && stats.log_bytes == stats.memory_bytes as u64);
    }
}

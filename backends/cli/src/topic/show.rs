//! How topics are shown: tables for people, JSON for scripts.

use core::fmt::Write;

use serde::Serialize;

use turbopump::runtime::client::{TopicBroker, TopicDescription, TopicQueue};

use crate::tables::{moment, number, table};

/// A topic, as scripts get it.
#[derive(Debug, Serialize)]
pub(crate) struct Described<'t> {
    topic: &'t str,
    order: Option<&'t str>,
    brokers: Vec<DescribedBroker<'t>>,
}

#[derive(Debug, Serialize)]
struct DescribedBroker<'t> {
    broker: &'t str,
    cluster: Option<&'t str>,
    address: Option<&'t str>,
    permission: String,
    read_queues: i32,
    write_queues: i32,
    queues: Vec<DescribedQueue>,
    /// Why its queues are not known.
    error: Option<String>,
}

#[derive(Debug, Serialize)]
struct DescribedQueue {
    queue: i32,
    min_offset: i64,
    max_offset: i64,
    updated_unix_ms: Option<i64>,
}

impl<'t> Described<'t> {
    pub(crate) fn new(topic: &'t TopicDescription) -> Self {
        let brokers = topic.brokers.iter().map(|at| DescribedBroker {
            broker: &at.broker,
            cluster: at.cluster.as_deref(),
            address: at.address.as_deref(),
            permission: at.permission.to_string(),
            read_queues: at.read_queues,
            write_queues: at.write_queues,
            queues: queues(at).iter().map(DescribedQueue::new).collect(),
            error: at.queues.as_ref().err().map(ToString::to_string),
        });
        let (topic, order) = (&topic.name, topic.order.as_deref());
        Self { topic, order, brokers: brokers.collect() }
    }
}

impl DescribedQueue {
    const fn new(queue: &TopicQueue) -> Self {
        Self {
            queue: queue.queue,
            min_offset: queue.min_offset,
            max_offset: queue.max_offset,
            updated_unix_ms: queue.updated_unix_ms,
        }
    }
}

fn queues(broker: &TopicBroker) -> &[TopicQueue] {
    broker.queues.as_deref().unwrap_or_default()
}

/// A topic, as people read it: its brokers, then its queues.
pub(crate) fn describe(topic: &TopicDescription) -> String {
    let all = || topic.brokers.iter().flat_map(queues);
    let brokers = number(topic.brokers.len(), "broker");
    let queues_found = number(all().count(), "queue");
    let messages = number(all().map(TopicQueue::messages).sum::<i64>(), "message");
    let mut text = format!("topic {}: {brokers}, {queues_found}, {messages} kept\n", topic.name);
    if let Some(order) = &topic.order {
        // Writing to a string can't fail.
        let _ = writeln!(text, "order {order}");
    }
    text.push('\n');
    let mut rows =
        vec![["BROKER", "CLUSTER", "ADDRESS", "PERM", "READ", "WRITE"].map(String::from)];
    rows.extend(topic.brokers.iter().map(|at| {
        let or_none = |value: &Option<String>| value.clone().unwrap_or_else(|| "-".into());
        [
            at.broker.clone(),
            or_none(&at.cluster),
            or_none(&at.address),
            at.permission.to_string(),
            at.read_queues.to_string(),
            at.write_queues.to_string(),
        ]
    }));
    table(&mut text, &rows, 4);
    let mut rows =
        vec![["BROKER", "LAST UPDATE", "QUEUE", "MIN", "MAX", "MESSAGES"].map(String::from)];
    for at in &topic.brokers {
        rows.extend(queues(at).iter().map(|queue| {
            [
                at.broker.clone(),
                queue.updated_unix_ms.map_or_else(|| "never".into(), moment),
                queue.queue.to_string(),
                queue.min_offset.to_string(),
                queue.max_offset.to_string(),
                queue.messages().to_string(),
            ]
        }));
    }
    if rows.len() > 1 {
        text.push('\n');
        table(&mut text, &rows, 2);
    }
    text.trim_end().into()
}

//! How topics are shown: tables for people, JSON for scripts.

use core::fmt::{Display, Write};
use core::time::Duration;
use std::time::SystemTime;

use serde::Serialize;

use turbopump::runtime::client::{TopicBroker, TopicDescription, TopicQueue};

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

fn number(count: impl Display, what: &str) -> String {
    let count = count.to_string();
    let ending = if count == "1" { "" } else { "s" };
    format!("{count} {what}{ending}")
}

/// Rows of columns as wide as needed: texts on the left, numbers, from a column on, on the right.
fn table<const COLUMNS: usize>(text: &mut String, rows: &[[String; COLUMNS]], numbers_from: usize) {
    let mut widths = [0; COLUMNS];
    for row in rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = cell.chars().count().max(*width);
        }
    }
    for row in rows {
        let mut line = String::new();
        for (column, (width, cell)) in widths.iter().zip(row).enumerate() {
            let gap = if column == 0 { "" } else { "  " };
            // Writing to a string can't fail.
            let _ = match column < numbers_from {
                true => write!(line, "{gap}{cell:width$}"),
                false => write!(line, "{gap}{cell:>width$}"),
            };
        }
        text.push_str(line.trim_end());
        text.push('\n');
    }
}

/// A time in UTC, to the second.
fn moment(unix_ms: i64) -> String {
    let since = Duration::from_millis(u64::try_from(unix_ms).unwrap_or(0));
    match SystemTime::UNIX_EPOCH.checked_add(since) {
        // Years of more than four digits have no text.
        Some(at) if since < Duration::from_secs(253_402_300_800) => {
            humantime::format_rfc3339_seconds(at).to_string()
        }
        _ => unix_ms.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables_are_as_wide_as_needed() {
        let mut text = String::new();
        let rows = [["NAME", "N"], ["a", "10"], ["longer", "7"]];
        table(&mut text, &rows.map(|row| row.map(String::from)), 1);
        assert_eq!(text, "NAME     N\na       10\nlonger   7\n");
    }

    #[test]
    fn times_are_written_whatever_they_are() {
        assert_eq!(moment(1_700_000_000_000), "2023-11-14T22:13:20Z");
        assert_eq!(moment(i64::MAX), i64::MAX.to_string());
    }
}

//! How groups are shown: tables for people, JSON for scripts.

use serde::Serialize;

use turbopump::runtime::client::{GroupMember, GroupProgress, GroupQueue};

use crate::tables::{moment, number, table};

/// How far a group is, as scripts get it.
#[derive(Debug, Serialize)]
pub(crate) struct Shown<'g> {
    group: &'g str,
    lag: i64,
    members: Vec<ShownMember<'g>>,
    queues: Vec<ShownQueue<'g>>,
}

#[derive(Debug, Serialize)]
struct ShownMember<'g> {
    client_id: &'g str,
    address: &'g str,
    language: Option<&'g str>,
}

#[derive(Debug, Serialize)]
struct ShownQueue<'g> {
    topic: &'g str,
    broker: &'g str,
    queue: i32,
    committed: i64,
    max_offset: i64,
    lag: i64,
    handled_unix_ms: Option<i64>,
}

impl<'g> Shown<'g> {
    pub(crate) fn new(progress: &'g GroupProgress) -> Self {
        Self {
            group: &progress.name,
            lag: progress.lag(),
            members: progress.members.iter().map(ShownMember::new).collect(),
            queues: progress.queues.iter().map(ShownQueue::new).collect(),
        }
    }
}

impl<'g> ShownMember<'g> {
    fn new(member: &'g GroupMember) -> Self {
        Self {
            client_id: &member.client_id,
            address: &member.address,
            language: member.language.as_deref(),
        }
    }
}

impl<'g> ShownQueue<'g> {
    fn new(queue: &'g GroupQueue) -> Self {
        Self {
            topic: &queue.topic,
            broker: &queue.broker,
            queue: queue.queue,
            committed: queue.committed,
            max_offset: queue.max_offset,
            lag: queue.lag(),
            handled_unix_ms: queue.handled_unix_ms,
        }
    }
}

/// The same, as people read it: its members, then its queues.
pub(crate) fn progress(progress: &GroupProgress) -> String {
    let (name, lag) = (&progress.name, number(progress.lag(), "message"));
    let members = number(progress.members.len(), "member");
    let queues = number(progress.queues.len(), "queue");
    let mut text = format!("group {name}: {lag} behind in {queues}, {members}\n");
    if !progress.members.is_empty() {
        let mut rows = vec![["MEMBER", "ADDRESS", "LANGUAGE"].map(String::from)];
        rows.extend(progress.members.iter().map(|member| {
            let language = member.language.clone().unwrap_or_else(|| "-".into());
            [member.client_id.clone(), member.address.clone(), language]
        }));
        text.push('\n');
        table(&mut text, &rows, 3);
    }
    if !progress.queues.is_empty() {
        let columns = ["TOPIC", "BROKER", "HANDLED UP TO", "QUEUE", "COMMITTED", "MAX", "LAG"];
        let mut rows = vec![columns.map(String::from)];
        rows.extend(progress.queues.iter().map(|queue| {
            [
                queue.topic.clone(),
                queue.broker.clone(),
                queue.handled_unix_ms.map_or_else(|| "-".into(), moment),
                queue.queue.to_string(),
                queue.committed.to_string(),
                queue.max_offset.to_string(),
                queue.lag().to_string(),
            ]
        }));
        text.push('\n');
        table(&mut text, &rows, 3);
    }
    text.trim_end().into()
}

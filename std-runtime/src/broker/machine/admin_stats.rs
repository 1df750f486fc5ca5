//! How much there is, and how far groups are: what administrators ask about topics, groups and the
//! broker.

use alloc::collections::BTreeSet;
use alloc::string::String;
use alloc::vec::Vec;

use turbopump_core::rocketmq::wire::body::{
    ConsumeStats, KvTable, MessageQueue, OffsetWrapper, TopicOffset, TopicStatsTable,
};
use turbopump_core::rocketmq::wire::command::{
    Command, GetConsumeStatsRequestHeader, GetTopicStatsInfoRequestHeader,
};
use turbopump_core::rocketmq::wire::frame::Frame;
use turbopump_core::rocketmq::wire::header::{VERSION, response_code};
use turbopump_core::rocketmq::wire::json::{Dialect, Text};
use turbopump_core::time::Now;

use super::Broker;
use super::answer::{Outcome, Refusal, plain};
use super::figures::Figures;
use super::groups::Group;
use super::send::no_topic;
use super::sessions::Request;
use super::topics::{QueueId, Topic, TopicId};
use crate::broker::answers::Reply;
use crate::broker::name_server::requests::topic_list;

/// Messages of so many milliseconds count for the rate of a topic.
const RATE_MS: u64 = 60_000;

impl Broker {
    /// Request 202.
    pub(super) fn handle_topic_stats(
        &mut self,
        now: Now,
        request: Request,
        frame: &Frame<'_>,
    ) -> Outcome {
        let header = GetTopicStatsInfoRequestHeader::decode(&frame.ext)?;
        let name = plain(header.topic);
        let topic = self.topics.by_name(&name).filter(|topic| !topic.is_internal);
        let topic = topic.ok_or_else(|| no_topic(&name))?;
        let mut table = Vec::new();
        let mut fresh = 0;
        let since_ms = now.unix_ms.saturating_sub(RATE_MS);
        for (number, queue) in (0..).zip(topic.queues.iter().take(topic.queue_ids() as usize)) {
            fresh += queue.max().saturating_sub(queue.at_time(since_ms));
            let offset = TopicOffset {
                last_update_timestamp: queue.last_stored_ms().unwrap_or(0) as i64,
                max_offset: queue.max() as i64,
                min_offset: queue.min() as i64,
            };
            table.push((self.queue_named(topic, number), offset));
        }
        let stats = TopicStatsTable {
            offset_table: (&*table).into(),
            topic_put_tps: fresh as f64 / (RATE_MS / 1_000) as f64,
        };
        let reply = Reply::json(&stats, Dialect::Fastjson);
        self.give(request, &reply);
        Ok(())
    }

    fn queue_named<'a>(&'a self, topic: &'a Topic, queue_id: i32) -> MessageQueue<'a> {
        MessageQueue {
            broker_name: Text::plain(&self.config.broker_name),
            queue_id,
            topic: Text::plain(&topic.name),
        }
    }

    /// Request 208: of one topic, of several, or of all that the group has consumed some of.
    pub(super) fn handle_consume_stats(&mut self, request: Request, frame: &Frame<'_>) -> Outcome {
        let header = GetConsumeStatsRequestHeader::decode(&frame.ext)?;
        let name = plain(header.consumer_group);
        let topic = header.topic.map(plain).filter(|topic| !topic.is_empty());
        let list = header.topic_list.map(plain).filter(|list| !list.is_empty());
        let none = Group::default();
        let group = self.groups.get(&name).unwrap_or(&none);
        let topics: Vec<TopicId> = if let Some(topic) = topic {
            self.topics.find(&topic).into_iter().collect()
        } else if let Some(list) = list {
            let names = list.split(';').map(str::trim).collect::<BTreeSet<_>>();
            names.into_iter().filter_map(|topic| self.topics.find(topic)).collect()
        } else {
            let topics = group.offsets.keys().map(|queue| queue.topic);
            topics.collect::<BTreeSet<_>>().into_iter().collect()
        };
        let mut table = Vec::new();
        for id in topics {
            if let Some(topic) = self.topics.get(id).filter(|topic| !topic.is_internal)
                && is_consumed(group, &topic.name)
            {
                self.add_stats(id, topic, group, &mut table);
            }
        }
        // Nothing counts what each group gets, so there is no rate to be told.
        let stats = ConsumeStats { consume_tps: 0.0, offset_table: (&*table).into() };
        let reply = Reply::json(&stats, Dialect::Fastjson);
        self.give(request, &reply);
        Ok(())
    }

    fn add_stats<'a>(
        &'a self,
        id: TopicId,
        topic: &'a Topic,
        group: &Group,
        table: &mut Vec<(MessageQueue<'a>, OffsetWrapper)>,
    ) {
        let queues = topic.queues.iter().take(topic.settings.read_queues as usize);
        for (number, queue) in (0_u32..).zip(queues) {
            let consumed = group.offsets.get(&QueueId { topic: id, queue: number });
            let consumed = consumed.copied().unwrap_or(0);
            let last = consumed.checked_sub(1).and_then(|offset| queue.get(offset));
            let offsets = OffsetWrapper {
                broker_offset: queue.max() as i64,
                consumer_offset: consumed as i64,
                last_timestamp: last.map_or(0, |entry| entry.stored_ms as i64),
                pull_offset: consumed as i64,
            };
            let number = i32::try_from(number).unwrap_or(i32::MAX);
            table.push((self.queue_named(topic, number), offsets));
        }
    }

    /// Request 305.
    pub(super) fn handle_system_topics(&mut self, request: Request) -> Outcome {
        let mut names = self.topic_names();
        names.retain(|name| self.is_system_topic(name));
        let address = alloc::format!("{}", self.host);
        let reply = topic_list(names.into_iter(), Some(&address));
        self.give(request, &reply);
        Ok(())
    }

    /// Request 28.
    pub(super) fn handle_runtime_info(&mut self, now: Now, request: Request) -> Outcome {
        let mut facts = self.runtime_info(now);
        facts.sort_unstable();
        let table: Vec<(Text<'_>, Text<'_>)> =
            facts.iter().map(|(name, value)| (Text::plain(name), Text::plain(value))).collect();
        let reply = Reply::json(&KvTable { table: (&*table).into() }, Dialect::Fastjson);
        self.give(request, &reply);
        Ok(())
    }

    /// What mqadmin's clusterList and brokerStatus read. There are no pools of threads, and no
    /// wheel behind which timers could fall: nothing waits there.
    fn runtime_info(&self, now: Now) -> Vec<(&'static str, String)> {
        let text = |value: u64| alloc::format!("{value}");
        let (put_tps, got_tps) = self.figures.rates(now, &self.counts);
        let totals = Figures::totals(&self.counts);
        let (started, counts) = (self.figures.started, &self.counts);
        let up_s = now.at.us_since(started.at) / 1_000_000;
        let mut facts = alloc::vec![
            ("brokerActive", text(u64::from(self.closed_store.is_none()))),
            ("brokerVersion", alloc::format!("{VERSION}")),
            ("brokerVersionDesc", "V5_3_3".into()),
            ("bootTimestamp", text(started.unix_ms)),
            (
                "runtime",
                alloc::format!(
                    "[ {} days, {} hours, {} minutes, {} seconds ]",
                    up_s / 86_400,
                    up_s / 3_600 % 24,
                    up_s / 60 % 60,
                    up_s % 60
                )
            ),
            ("putTps", put_tps),
            ("getTransferredTps", got_tps),
            ("putMessageTimesTotal", text(counts.messages_sent)),
            ("getMessageEntireTimesTotal", text(counts.messages_pulled)),
            ("msgPutTotalYesterdayMorning", text(self.figures.yesterday.put)),
            ("msgPutTotalTodayMorning", text(self.figures.today.put)),
            ("msgPutTotalTodayNow", text(totals.put)),
            ("msgGetTotalYesterdayMorning", text(self.figures.yesterday.got)),
            ("msgGetTotalTodayMorning", text(self.figures.today.got)),
            ("msgGetTotalTodayNow", text(totals.got)),
            ("sendThreadPoolQueueCapacity", "0".into()),
            ("pullThreadPoolQueueCapacity", "0".into()),
            ("earliestMessageTimeStamp", text(self.earliest_ms().unwrap_or(now.unix_ms))),
            ("commitLogMinOffset", text(self.log.start())),
            ("commitLogMaxOffset", text(self.log.end())),
            ("commitLogDiskRatio", alloc::format!("{:?}", self.store_ratio())),
            ("remainHowManyDataToFlush", alloc::format!("{} B", self.log.unwritten_bytes)),
            ("dispatchBehindBytes", "0".into()),
            ("pageCacheLockTimeMills", "0".into()),
            ("connections", text(self.sessions.len() as u64)),
            ("topics", text(self.topics.len() as u64)),
            ("consumerGroups", text(self.groups.len() as u64)),
            ("waitingPulls", text(self.pulls.len() as u64)),
        ];
        facts.push(("timerCongestNum", text(self.timed.len() as u64)));
        facts.extend(NOTHING_WAITS.map(|name| (name, "0".into())));
        facts.extend(["timerEnqueueTps", "timerDequeueTps"].map(|name| (name, "0.0".into())));
        facts
    }

    /// When the oldest message that there is was stored.
    fn earliest_ms(&self) -> Option<u64> {
        let topics = self.topics.iter().filter(|(_, topic)| !topic.is_internal);
        let queues = topics.flat_map(|(_, topic)| &topic.queues);
        queues.filter_map(super::queue::Queue::first_stored_ms).min()
    }

    /// How much of the room for messages is used: 0 to 1.
    fn store_ratio(&self) -> f64 {
        let limits = &self.config.limits;
        let (used, room) = if self.log.has_disk() {
            let used = self.log.end().saturating_sub(self.log.start());
            (used, self.config.retention.bytes_max)
        } else {
            (self.log.hot_bytes() as u64, limits.memory_bytes_max as u64)
        };
        (used as f64 / room.max(1) as f64).min(1.0)
    }
}

const NOTHING_WAITS: [&str; 8] = [
    "sendThreadPoolQueueSize",
    "pullThreadPoolQueueSize",
    "ackThreadPoolQueueSize",
    "sendThreadPoolQueueHeadWaitTimeMills",
    "pullThreadPoolQueueHeadWaitTimeMills",
    "ackThreadPoolQueueHeadWaitTimeMills",
    "timerReadBehind",
    "timerOffsetBehind",
];

/// A group that is there and no longer subscribes to a topic has nothing to do with it.
fn is_consumed(group: &Group, topic: &str) -> bool {
    group.subscriptions.is_empty() || group.subscription(topic).is_some()
}

/// What this broker does not do; `None` for requests that are none of these.
pub(super) fn not_done(code: i32) -> Option<Refusal> {
    use turbopump_core::rocketmq::wire::header::request_code as codes;

    let (response, what) = match code {
        codes::SEND_REPLY_MESSAGE | codes::SEND_REPLY_MESSAGE_V2 => {
            (response_code::REQUEST_CODE_NOT_SUPPORTED, "request-reply")
        }
        codes::POP_MESSAGE
        | codes::ACK_MESSAGE
        | codes::BATCH_ACK_MESSAGE
        | codes::PEEK_MESSAGE
        | codes::CHANGE_MESSAGE_INVISIBLETIME
        | codes::NOTIFICATION
        | codes::POLLING_INFO
        | codes::POP_ROLLBACK => (response_code::REQUEST_CODE_NOT_SUPPORTED, "pop consumption"),
        codes::REGISTER_BROKER
        | codes::UNREGISTER_BROKER
        | codes::BROKER_HEARTBEAT
        | codes::REGISTER_TOPIC_IN_NAMESRV
        | codes::QUERY_DATA_VERSION => (
            response_code::REQUEST_CODE_NOT_SUPPORTED,
            "registration of other brokers: start a name server that stands apart",
        ),
        codes::UPDATE_AND_CREATE_STATIC_TOPIC => {
            (response_code::REQUEST_CODE_NOT_SUPPORTED, "static topics")
        }
        codes::AUTH_CREATE_USER..=codes::AUTH_LIST_ACL => (
            response_code::REQUEST_CODE_NOT_SUPPORTED,
            "changes of users: they are set when it is started",
        ),
        _ => return None,
    };
    let remark = alloc::format!(" request type {code} not supported: this broker does no {what}");
    Some(Refusal::new(response, remark))
}

#[cfg(test)]
mod tests {
    use turbopump_core::rocketmq::wire::header::{Absent, request_code as code};

    use super::*;
    use crate::broker::machine::kit::Kit;

    #[test]
    fn stats_have_the_shapes_of_the_golden_vectors() {
        let mut kit = Kit::new();
        let client = kit.connect();
        let fields = [("topic", "Orders")];
        assert_eq!(kit.ask(client, code::GET_TOPIC_STATS_INFO, &fields, &[]).code, 17);
        for body in ["a", "b", "c"] {
            kit.produce(client, "Orders", 0, body, &[]);
            kit.advance_ms(1_000);
        }
        kit.ask(client, code::UPDATE_AND_CREATE_TOPIC, &ONE_QUEUE, &[]);
        let got = kit.ask(client, code::GET_TOPIC_STATS_INFO, &fields, &[]);
        let json = concat!(
            r#"{"offsetTable":{{"brokerName":"broker-a","queueId":0,"topic":"Orders"}:"#,
            r#"{"lastUpdateTimestamp":1700000002000,"maxOffset":3,"minOffset":0}},"#,
            r#""topicPutTps":0.05}"#
        );
        assert_eq!(got.text(), json);

        let topic = kit.broker.topics.find("Orders").unwrap();
        kit.broker.groups.make("billing").commit(QueueId { topic, queue: 0 }, 2);
        let json = concat!(
            r#"{"consumeTps":0.0,"offsetTable":{{"brokerName":"broker-a","queueId":0,"#,
            r#""topic":"Orders"}:{"brokerOffset":3,"consumerOffset":2,"#,
            r#""lastTimestamp":1700000001000,"pullOffset":2}}}"#
        );
        let code = code::GET_CONSUME_STATS;
        let group = ("consumerGroup", "billing");
        assert_eq!(kit.ask(client, code, &[group], &[]).text(), json);
        assert_eq!(kit.ask(client, code, &[group, ("topic", "Orders")], &[]).text(), json);
        let list = [group, ("topicList", "None; Orders;")];
        assert_eq!(kit.ask(client, code, &list, &[]).text(), json);
        let nothing = r#"{"consumeTps":0.0,"offsetTable":{}}"#;
        assert_eq!(kit.ask(client, code, &[group, ("topic", "x")], &[]).text(), nothing);
        assert_eq!(kit.ask(client, code, &[("consumerGroup", "x")], &[]).text(), nothing);
    }

    const ONE_QUEUE: [(&str, &str); 7] = [
        ("topic", "Orders"),
        ("defaultTopic", "TBW102"),
        ("readQueueNums", "1"),
        ("writeQueueNums", "1"),
        ("perm", "6"),
        ("topicFilterType", "SINGLE_TAG"),
        ("order", "false"),
    ];

    #[test]
    fn runtime_info_has_what_mqadmin_reads() {
        let mut kit = Kit::new();
        let client = kit.connect();
        for _ in 0..20 {
            kit.produce(client, "Orders", 0, "x", &[]);
        }
        kit.advance_ms(10_000);
        let got = kit.ask(client, code::GET_BROKER_RUNTIME_INFO, &Absent, &[]);
        let facts: serde_json::Value = serde_json::from_slice(&got.body).unwrap();
        let fact = |name: &str| facts["table"][name].as_str().unwrap_or_else(|| panic!("{name}"));
        // 20 in 10 seconds, and there were not more seconds yet.
        assert_eq!((fact("putTps"), fact("getTransferredTps")), ("2.0 2.0 2.0", "0.0 0.0 0.0"));
        assert_eq!(fact("earliestMessageTimeStamp"), "1700000000000");
        assert_eq!((fact("brokerActive"), fact("brokerVersionDesc")), ("1", "V5_3_3"));
        for name in NOTHING_WAITS.iter().chain(&[
            "pageCacheLockTimeMills",
            "timerDequeueTps",
            "timerCongestNum",
        ]) {
            assert_eq!(fact(name).parse(), Ok(0.0), "{name}");
        }
        assert!(fact("commitLogDiskRatio").parse::<f64>().unwrap() < 1e-3);
        assert_eq!(fact("msgPutTotalTodayNow"), "20");
        let got = kit.ask(client, code::GET_SYSTEM_TOPIC_LIST_FROM_BROKER, &Absent, &[]);
        assert!(got.text().contains("TBW102") && !got.text().contains("Orders"), "{got:?}");
        assert!(got.text().starts_with(r#"{"brokerAddr":"127.0.0.1:10911","#), "{got:?}");
    }

    /// Requests without fields and body are answered, whatever they ask for.
    #[test]
    fn empty_requests_are_refused_or_granted() {
        let mut kit = Kit::new();
        let client = kit.connect();
        let codes = (0..1_100).chain(3_000..3_020).chain(200_050..200_060).chain([200_151]);
        for code in codes {
            for body in [&b""[..], b"{", b"\xff\xff", b"[1]", b"{}"] {
                kit.send(client, code, 0, &Absent, body);
                for got in kit.take(client) {
                    assert!(got.code == 0 || !got.remark.is_empty(), "{code}: {got:?}");
                }
            }
        }
        for code in [324, 325, 200_050, 200_051, 200_151, 200_053, 103, 904, 3_001] {
            let got = kit.ask(client, code, &Absent, &[]);
            assert!(got.remark.contains("this broker does no"), "{code}: {got:?}");
        }
    }
}

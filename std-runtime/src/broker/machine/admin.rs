//! Topics, as administrators make, change, list and delete them.
//!
//! Decides what may be changed, and what else goes with a topic. That it is remembered before it is
//! confirmed is left to `state`.

use alloc::string::String;
use alloc::vec::Vec;

use turbopump_core::rocketmq::wire::body::{
    Body, CreateTopicListRequestBody, TopicConfig, TopicConfigSerializeWrapper, TopicFilterType,
};
use turbopump_core::rocketmq::wire::command::{
    Command, CreateTopicRequestHeader, DeleteTopicRequestHeader, GetAllTopicConfigRequestHeader,
    GetTopicConfigRequestHeader,
};
use turbopump_core::rocketmq::wire::frame::Frame;
use turbopump_core::rocketmq::wire::header::{Absent, response_code};
use turbopump_core::rocketmq::wire::json::{Dialect, Text};
use turbopump_core::time::Now;

use super::Broker;
use super::answer::{Outcome, Refusal, plain};
use super::append::{Receipt, unavailable};
use super::registration::topic_config;
use super::send::no_topic;
use super::sessions::Request;
use super::topics::{TopicId, TopicSettings, check_name};
use crate::broker::answers::Reply;

/// All bits that permissions can have.
const PERM_BITS: i32 = 7;
/// Attributes that say what this broker does anyway.
const ATTRIBUTES: [(&str, &str); 3] =
    [("message.type", "NORMAL"), ("queue.type", "SimpleCQ"), ("cleanup.policy", "DELETE")];

impl Broker {
    /// Request 17.
    pub(super) fn handle_create_topic(
        &mut self,
        now: Now,
        request: Request,
        frame: &Frame<'_>,
    ) -> Outcome {
        let header = CreateTopicRequestHeader::decode(&frame.ext)?;
        let name = plain(header.topic);
        if let Some(attributes) = header.attributes {
            check_attribute_text(&plain(attributes))?;
        }
        let filter = plain(header.topic_filter_type);
        let filter = TopicFilterType::from_name(&filter)
            .ok_or_else(|| invalid(alloc::format!("{filter} is no topicFilterType")))?;
        let settings = TopicSettings {
            read_queues: queues("readQueueNums", header.read_queue_nums)?,
            write_queues: queues("writeQueueNums", header.write_queue_nums)?,
            perm: header.perm,
            sys_flag: header.topic_sys_flag.unwrap_or(0),
            is_ordered: header.order,
            filter_type: filter.name().into(),
        };
        self.change_topics(now, request, &[(name.into_owned(), settings)])
    }

    /// Request 18.
    pub(super) fn handle_create_topics(
        &mut self,
        now: Now,
        request: Request,
        frame: &Frame<'_>,
    ) -> Outcome {
        let list = CreateTopicListRequestBody::decode(frame.body)?.topic_config_list;
        let mut topics = Vec::new();
        for topic in list.iter() {
            let topic = topic?;
            for attribute in topic.attributes.iter() {
                let (name, value) = attribute?;
                check_attribute(&plain(name), &plain(value))?;
            }
            let settings = TopicSettings {
                read_queues: queues("readQueueNums", topic.read_queue_nums)?,
                write_queues: queues("writeQueueNums", topic.write_queue_nums)?,
                perm: topic.perm,
                sys_flag: topic.topic_sys_flag,
                is_ordered: topic.order,
                filter_type: topic.topic_filter_type.unwrap_or_default().name().into(),
            };
            topics.push((plain(topic.topic_name).into_owned(), settings));
        }
        self.change_topics(now, request, &topics)
    }

    /// Either all of them or none.
    fn change_topics(
        &mut self,
        now: Now,
        request: Request,
        topics: &[(String, TopicSettings)],
    ) -> Outcome {
        self.check_store()?;
        let mut names_new: Vec<&str> = Vec::new();
        for (name, settings) in topics {
            self.check_topic(name, settings)?;
            if self.topics.find(name).is_none() {
                names_new.push(name);
            }
        }
        names_new.sort_unstable();
        names_new.dedup();
        let topics_max = self.config.limits.topics_max;
        if self.topics.len() + names_new.len() > topics_max {
            let remark = alloc::format!("there can be {topics_max} topics; delete some");
            return Err(Refusal::new(response_code::SYSTEM_ERROR, remark));
        }
        for (name, settings) in topics {
            self.create_topic(name, settings.clone())?;
        }
        self.grant_once_remembered(now, request);
        Ok(())
    }

    fn check_topic(&self, name: &str, settings: &TopicSettings) -> Outcome {
        if let Err(reason) = check_name(name) {
            return Err(invalid(alloc::format!("the topic[{name}] {reason}")));
        }
        if self.is_system_topic(name) {
            return Err(is_system(name));
        }
        if settings.perm & !PERM_BITS != 0 {
            return Err(invalid(alloc::format!("perm is {}, not 0 to {PERM_BITS}", settings.perm)));
        }
        let queues_max = self.config.limits.queues_max;
        let queues = settings.read_queues.max(settings.write_queues);
        if queues > queues_max {
            let remark = alloc::format!("a topic can have {queues_max} queues, not {queues}");
            return Err(invalid(remark));
        }
        Ok(())
    }

    /// Request 215.
    pub(super) fn handle_delete_topic(
        &mut self,
        now: Now,
        request: Request,
        frame: &Frame<'_>,
    ) -> Outcome {
        let header = DeleteTopicRequestHeader::decode(&frame.ext)?;
        let name = plain(header.topic);
        if name.is_empty() {
            return Err(invalid("the specified topic is blank".into()));
        }
        if self.is_system_topic(&name) {
            return Err(is_system(&name));
        }
        self.check_store()?;
        self.delete_topic(now, &name);
        // At once: were a topic of that name made before, only that would be remembered.
        self.grant_once_remembered(now, request);
        Ok(())
    }

    /// Takes a topic away, with the offsets and locks of all groups. Messages of it that are not
    /// stored yet are confirmed to their producers as before.
    fn delete_topic(&mut self, now: Now, name: &str) {
        let Some(id) = self.topics.find(name) else {
            return;
        };
        let Some(topic) = self.topics.remove(name) else {
            return;
        };
        self.state.topic_deleted(name);
        self.forget_offsets(id);
        for queue in topic.queues {
            self.end_pulls_of(now, &queue.waiting);
        }
    }

    /// No group has anything to do with a topic any more.
    pub(super) fn forget_offsets(&mut self, id: TopicId) {
        for (_, group) in self.groups.iter_mut() {
            group.offsets.retain(|queue, _| queue.topic != id);
            group.resets.retain(|queue, _| queue.topic != id);
            group.locks.retain(|queue, _| queue.topic != id);
            group.changed.retain(|queue| queue.topic != id);
        }
    }

    /// Request 21; clients that ask for pages get pages.
    pub(super) fn handle_all_topics(&mut self, request: Request, frame: &Frame<'_>) -> Outcome {
        let header = GetAllTopicConfigRequestHeader::decode(&frame.ext)?;
        let topics = self.topics_by_name();
        let (total, page) = page(topics.len(), header.topic_seq, header.max_topic_num);
        let table: Vec<(Text<'_>, TopicConfig<'_>)> = topics
            .get(page)
            .unwrap_or_default()
            .iter()
            .map(|topic| (Text::plain(&topic.name), topic_config(topic)))
            .collect();
        let wrapper = TopicConfigSerializeWrapper {
            data_version: Some(self.topics_version()),
            topic_config_table: (&*table).into(),
        };
        let mut reply = Reply::json(&wrapper, Dialect::Fastjson);
        reply.fields.push(("totalTopicNum", total));
        self.give(request, &reply);
        Ok(())
    }

    /// Request 351.
    pub(super) fn handle_topic_config(&mut self, request: Request, frame: &Frame<'_>) -> Outcome {
        let header = GetTopicConfigRequestHeader::decode(&frame.ext)?;
        let name = plain(header.topic);
        let topic = self.topics.by_name(&name).filter(|topic| !topic.is_internal);
        let topic = topic.ok_or_else(|| no_topic(&name))?;
        let reply = Reply::json(&topic_config(topic), Dialect::Fastjson);
        self.give(request, &reply);
        Ok(())
    }

    /// Grants a request that has changed something, once that is remembered.
    pub(super) fn grant_once_remembered(&mut self, now: Now, request: Request) {
        let answer = self.prepare_answer(request, response_code::SUCCESS, &Absent);
        self.answer_once_remembered(Receipt { request, answer });
        self.remember(now, false);
    }

    /// Nothing may be changed that could not be remembered.
    pub(super) fn check_store(&self) -> Outcome {
        self.closed_store.as_ref().map_or(Ok(()), |reason| Err(unavailable(reason)))
    }
}

/// How many there are, as a text, and which of them are asked for: all, unless it says where to
/// begin.
pub(super) fn page(
    total: usize,
    first: Option<i32>,
    count_max: Option<i32>,
) -> (String, core::ops::Range<usize>) {
    let text = alloc::format!("{total}");
    let Some(first) = first.and_then(|first| usize::try_from(first).ok()) else {
        return (text, 0..total);
    };
    let count = count_max.and_then(|count| usize::try_from(count).ok()).filter(|count| *count > 0);
    let first = first.min(total);
    (text, first..first.saturating_add(count.unwrap_or(total)).min(total))
}

pub(super) fn invalid(remark: String) -> Refusal {
    Refusal::new(response_code::INVALID_PARAMETER, remark)
}

fn is_system(name: &str) -> Refusal {
    invalid(alloc::format!("the topic[{name}] is conflict with system topic"))
}

pub(super) fn queues(field: &str, count: i32) -> Result<u32, Refusal> {
    u32::try_from(count).map_err(|_| invalid(alloc::format!("{field} is {count}, below 0")))
}

/// Attributes are `+name=value` to be set and `-name` to be taken away, between commas.
fn check_attribute_text(text: &str) -> Outcome {
    for attribute in text.split(',').map(str::trim) {
        if let Some((name, value)) = attribute.split_once('=') {
            check_attribute(name.trim_start_matches('+'), value)?;
        }
    }
    Ok(())
}

/// This broker keeps no attributes: only those may be set that change nothing.
fn check_attribute(name: &str, value: &str) -> Outcome {
    let name = name.trim_start_matches('+');
    if ATTRIBUTES.contains(&(name, value)) {
        return Ok(());
    }
    let remark = alloc::format!("this broker does not do the attribute {name}={value} of topics");
    Err(invalid(remark))
}

#[cfg(test)]
mod tests {
    use turbopump_core::rocketmq::wire::header::request_code as code;

    use super::*;
    use crate::broker::BrokerConfig;
    use crate::broker::machine::SessionId;
    use crate::broker::machine::kit::{Got, Kit};
    use crate::broker::machine::topics::QueueId;

    fn create(kit: &mut Kit, client: SessionId, name: &str, queues: &str, perm: &str) -> Got {
        let fields = [
            ("topic", name),
            ("defaultTopic", "TBW102"),
            ("readQueueNums", queues),
            ("writeQueueNums", queues),
            ("perm", perm),
            ("topicFilterType", "SINGLE_TAG"),
            ("topicSysFlag", "0"),
            ("order", "false"),
        ];
        kit.ask(client, code::UPDATE_AND_CREATE_TOPIC, &fields, &[])
    }

    fn delete(kit: &mut Kit, client: SessionId, name: &str) -> Got {
        kit.ask(client, code::DELETE_TOPIC_IN_BROKER, &[("topic", name)], &[])
    }

    fn config(kit: &mut Kit, client: SessionId, name: &str) -> Got {
        kit.ask(client, code::GET_TOPIC_CONFIG, &[("topic", name), ("lo", "true")], &[])
    }

    #[test]
    fn topics_are_made_changed_and_listed() {
        let mut kit = Kit::new();
        let client = kit.connect();
        assert_eq!(config(&mut kit, client, "Orders").code, 17);
        assert_eq!(create(&mut kit, client, "Orders", "8", "6").code, 0);
        let json = concat!(
            r#"{"attributes":{},"order":false,"perm":6,"readQueueNums":8,"#,
            r#""topicFilterType":"SINGLE_TAG","topicName":"Orders","topicSysFlag":0,"#,
            r#""writeQueueNums":8}"#
        );
        assert_eq!(config(&mut kit, client, "Orders").text(), json);
        let got = kit.ask(client, code::GET_ALL_TOPIC_CONFIG, &Absent, &[]);
        assert!(got.text().starts_with(r#"{"dataVersion":{"counter":"#), "{got:?}");
        assert!(got.text().contains(&alloc::format!(r#""Orders":{json}"#)), "{got:?}");
        let page = [("topicSeq", "1"), ("maxTopicNum", "2")];
        let paged = kit.ask(client, code::GET_ALL_TOPIC_CONFIG, &page, &[]);
        assert_eq!(paged.text().matches("topicName").count(), 2);
        assert_eq!(paged.field("totalTopicNum"), got.field("totalTopicNum"));
        assert_eq!(create(&mut kit, client, "Orders", "2", "4").code, 0);
        assert!(config(&mut kit, client, "Orders").text().contains("\"perm\":4"));
        assert_eq!(kit.produce(client, "Orders", 0, "x", &[]).code, 16);
        let list = alloc::format!(r#"{{"topicConfigList":[{json},{{"topicName":"More"}}]}}"#);
        let got = kit.ask(client, code::UPDATE_AND_CREATE_TOPIC_LIST, &Absent, list.as_bytes());
        assert_eq!(got.code, 0, "{got:?}");
        assert!(config(&mut kit, client, "More").text().contains("\"readQueueNums\":16"));
    }

    #[test]
    fn what_makes_no_sense_is_refused() {
        let limits =
            crate::broker::BrokerLimits { queues_max: 64, topics_max: 14, ..Default::default() };
        let mut kit = Kit::with(BrokerConfig { limits, ..BrokerConfig::default() }, false);
        let client = kit.connect();
        for (name, queues, perm) in [
            ("TBW102", "4", "6"),
            ("DefaultCluster", "4", "6"),
            ("rmq_sys_x", "4", "6"),
            ("a b", "4", "6"),
            ("Orders", "65", "6"),
            ("Orders", "-1", "6"),
            ("Orders", "4", "8"),
            ("Orders", "4", "-1"),
        ] {
            let got = create(&mut kit, client, name, queues, perm);
            assert_eq!(got.code, 29, "{name} {queues} {perm}: {got:?}");
        }
        for name in ["TBW102", "broker-a", "rmq_sys_turbopump_state", ""] {
            assert_ne!(delete(&mut kit, client, name).code, 0, "{name}");
        }
        let free = 14 - kit.broker.topics.len();
        for n in 0..free {
            assert_eq!(create(&mut kit, client, &alloc::format!("T{n}"), "1", "6").code, 0);
        }
        assert_eq!(create(&mut kit, client, "One-more", "1", "6").code, 1);
        // Either all or none.
        assert_eq!(delete(&mut kit, client, "T0").code, 0);
        let list = br#"{"topicConfigList":[{"topicName":"A"},{"topicName":"B"}]}"#;
        let got = kit.ask(client, code::UPDATE_AND_CREATE_TOPIC_LIST, &Absent, list);
        assert_eq!((got.code, config(&mut kit, client, "A").code), (1, 17));
    }

    #[test]
    fn a_deleted_topic_takes_pulls_and_offsets_along() {
        let mut kit = Kit::new();
        let (client, waiting) = (kit.connect(), kit.connect());
        kit.produce(client, "Orders", 0, "x", &[]);
        let fields = [
            ("consumerGroup", "billing"),
            ("topic", "Orders"),
            ("queueId", "0"),
            ("queueOffset", "1"),
            ("maxMsgNums", "32"),
            ("sysFlag", "6"),
            ("commitOffset", "0"),
            ("suspendTimeoutMillis", "15000"),
            ("subscription", "*"),
            ("subVersion", "0"),
            ("expressionType", "TAG"),
        ];
        kit.send(waiting, code::PULL_MESSAGE, 0, &fields, &[]);
        assert_eq!(kit.take(waiting), []);
        let topic = kit.broker.topics.find("Orders").unwrap();
        kit.broker.groups.make("billing").commit(QueueId { topic, queue: 0 }, 1);
        assert_eq!(delete(&mut kit, client, "Orders").code, 0);
        let got = kit.take(waiting);
        assert_eq!(got.iter().map(|got| got.code).collect::<Vec<_>>(), [17]);
        let group = kit.broker.groups.get("billing").unwrap();
        assert!(group.offsets.is_empty() && group.changed.is_empty());
        assert_eq!(kit.pull(client, "billing", "Orders", 0, 0).code, 17);
        assert_eq!(delete(&mut kit, client, "Orders").code, 0);
        // The same name is another topic.
        kit.produce(client, "Orders", 0, "y", &[]);
        assert_eq!(kit.pull(client, "billing", "Orders", 0, 0).bodies(), ["y"]);
        kit.advance_ms(20_000);
        assert_eq!(kit.take(waiting), []);
    }

    /// Stores everything that is to be stored.
    fn store(kit: &mut Kit) -> Vec<u8> {
        let mut bytes = Vec::new();
        while let Some(group) = kit.broker.poll_group() {
            group.parts.iter().for_each(|part| bytes.extend_from_slice(part));
            kit.broker.handle_stored(kit.now, group.end);
        }
        bytes
    }

    #[test]
    fn deletion_is_remembered_before_it_is_confirmed() {
        let mut kit = Kit::with(BrokerConfig::default(), true);
        kit.is_slow = true;
        let client = kit.connect();
        store(&mut kit);
        kit.send(client, code::DELETE_TOPIC_IN_BROKER, 0, &[("topic", "Nothing")], &[]);
        assert_eq!(kit.take(client), []);
        store(&mut kit);
        assert_eq!(kit.take(client).len(), 1);
        // A message that is not stored yet when its topic goes, and one of the next topic.
        let send = |kit: &mut Kit, body: &[u8]| {
            let fields = [
                ("a", "p"),
                ("b", "Orders"),
                ("c", "TBW102"),
                ("d", "1"),
                ("e", "0"),
                ("f", "0"),
                ("g", "1"),
                ("h", "0"),
            ];
            kit.send(client, code::SEND_MESSAGE_V2, 0, &fields, body)
        };
        send(&mut kit, b"old");
        kit.send(client, code::DELETE_TOPIC_IN_BROKER, 0, &[("topic", "Orders")], &[]);
        send(&mut kit, b"new");
        assert_eq!(kit.take(client), []);
        let bytes = store(&mut kit);
        let codes: Vec<i32> = kit.take(client).iter().map(|got| got.code).collect();
        assert_eq!(codes, [0, 0, 0]);
        // The deletion stands between both in the log.
        let at = |text: &str| {
            let text = text.as_bytes();
            bytes.windows(text.len()).position(|window| window == text).unwrap()
        };
        assert!(at("old") < at("deleted_topics") && at("deleted_topics") < at("new"));
        assert_eq!(kit.pull(client, "g", "Orders", 0, 0).bodies(), ["new"]);
        // What can't be stored is refused, and nothing is confirmed.
        send(&mut kit, b"lost");
        kit.send(client, code::DELETE_TOPIC_IN_BROKER, 0, &[("topic", "Orders")], &[]);
        kit.broker.handle_store_failed(kit.now, "no space", true);
        let codes: Vec<i32> = kit.take(client).iter().map(|got| got.code).collect();
        assert_eq!(codes, [14, 14]);
        assert_eq!(delete(&mut kit, client, "More").code, 14);
    }

    /// A broker that finds these groups of records on disk.
    fn recovered(groups: &[crate::broker::machine::Group]) -> Kit {
        let mut kit = Kit::with(BrokerConfig::default(), true);
        for group in groups {
            let mut position = group.position;
            let bytes: Vec<u8> = group.parts.iter().flat_map(|part| part.to_vec()).collect();
            let mut rest = &bytes[..];
            for size in &group.sizes {
                let (record, behind) = rest.split_at(*size as usize);
                assert!(kit.broker.recover(position, record));
                position += u64::from(*size);
                rest = behind;
            }
        }
        let end = groups.last().map_or(0, |group| group.end);
        kit.broker.handle_recovered(kit.now, 0, end);
        kit
    }

    #[test]
    fn a_deletion_that_was_lost_is_remembered_later() {
        let mut kit = Kit::with(BrokerConfig::default(), true);
        kit.is_slow = true;
        let client = kit.connect();
        let mut disk = Vec::new();
        let write = |kit: &mut Kit, disk: &mut Vec<_>| {
            while let Some(group) = kit.broker.poll_group() {
                kit.broker.handle_stored(kit.now, group.end);
                disk.push(group);
            }
        };
        let body = br#"{"groupName":"g0"}"#;
        kit.send(client, code::UPDATE_AND_CREATE_SUBSCRIPTIONGROUP, 0, &Absent, body);
        kit.send(client, code::UPDATE_AND_CREATE_TOPIC_LIST, 0, &Absent, LIST);
        write(&mut kit, &mut disk);
        assert_eq!(kit.take(client).iter().filter(|got| got.code == 0).count(), 2);
        let found = recovered(&disk).broker;
        assert!(found.topics.find("A").is_some() && found.groups.get("g0").is_some());

        // The records of these are lost; one of the topics is there again.
        let delete = |kit: &mut Kit, code, field, name: &str| {
            kit.send(client, code, 0, &[(field, name)], &[]);
        };
        delete(&mut kit, code::DELETE_TOPIC_IN_BROKER, "topic", "A");
        delete(&mut kit, code::DELETE_TOPIC_IN_BROKER, "topic", "B");
        delete(&mut kit, code::DELETE_SUBSCRIPTIONGROUP, "groupName", "g0");
        let again = br#"{"topicConfigList":[{"topicName":"B","readQueueNums":3}]}"#;
        kit.send(client, code::UPDATE_AND_CREATE_TOPIC_LIST, 0, &Absent, again);
        assert!(kit.broker.poll_group().is_some());
        kit.broker.handle_store_failed(kit.now, "no space", false);
        assert_eq!(kit.take(client).iter().filter(|got| got.code == 14).count(), 4);
        assert!(!kit.broker.has_group(), "a disk that is full is not tried again at once");
        kit.advance_ms(10_000);
        write(&mut kit, &mut disk);
        let found = recovered(&disk).broker;
        assert!(found.topics.find("A").is_none() && found.groups.get("g0").is_none());
        let settings = found.topics.by_name("B").map(|topic| topic.settings.read_queues);
        assert_eq!(settings, Some(3));
    }

    const LIST: &[u8] = br#"{"topicConfigList":[{"topicName":"A"},{"topicName":"B"}]}"#;

    #[test]
    fn only_attributes_without_effect_are_taken() {
        assert_eq!(check_attribute_text("+message.type=NORMAL,-x"), Ok(()));
        assert_eq!(check_attribute_text(""), Ok(()));
        assert!(check_attribute_text("+message.type=FIFO").is_err());
        assert_eq!(page(10, Some(8), Some(5)).1, 8..10);
        assert_eq!(page(10, Some(80), Some(-1)).1, 10..10);
        assert_eq!(page(10, None, Some(5)).1, 0..10);
    }
}

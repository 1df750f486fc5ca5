//! Groups of consumers, as administrators make, change, list and delete them.

use alloc::collections::BTreeSet;
use alloc::string::String;
use alloc::vec::Vec;

use turbopump_core::rocketmq::wire::body::{
    Body, GroupList, GroupRetryPolicy, GroupRetryPolicyType, Map, SubscriptionGroupConfig,
    SubscriptionGroupList, SubscriptionGroupWrapper,
};
use turbopump_core::rocketmq::wire::command::{
    Command, DeleteSubscriptionGroupRequestHeader, GetAllSubscriptionGroupRequestHeader,
    GetSubscriptionGroupConfigRequestHeader, QueryTopicConsumeByWhoRequestHeader,
};
use turbopump_core::rocketmq::wire::frame::Frame;
use turbopump_core::rocketmq::wire::header::response_code;
use turbopump_core::rocketmq::wire::json::{Dialect, Text};
use turbopump_core::time::Now;

use super::Broker;
use super::admin::{invalid, page, queues};
use super::answer::{Outcome, Refusal, plain};
use super::groups::GroupSettings;
use super::sessions::Request;
use super::topics::check_name;
use crate::broker::answers::Reply;

impl Broker {
    /// Request 200.
    pub(super) fn handle_create_group(
        &mut self,
        now: Now,
        request: Request,
        frame: &Frame<'_>,
    ) -> Outcome {
        let config = SubscriptionGroupConfig::decode(frame.body)?;
        let group = self.group_of(&config)?;
        self.change_groups(now, request, &[group])
    }

    /// Request 225.
    pub(super) fn handle_create_groups(
        &mut self,
        now: Now,
        request: Request,
        frame: &Frame<'_>,
    ) -> Outcome {
        let list = SubscriptionGroupList::decode(frame.body)?.group_config_list;
        let mut groups = Vec::new();
        for config in list.iter() {
            groups.push(self.group_of(&config?)?);
        }
        self.change_groups(now, request, &groups)
    }

    fn group_of(
        &self,
        config: &SubscriptionGroupConfig<'_>,
    ) -> Result<(String, GroupSettings), Refusal> {
        let name = plain(config.group_name);
        if let Err(reason) = check_name(&name) {
            return Err(invalid(alloc::format!("the group[{name}] {reason}")));
        }
        let retry_queues = queues("retryQueueNums", config.retry_queue_nums)?;
        let queues_max = self.config.limits.queues_max;
        if retry_queues > queues_max {
            let remark = alloc::format!("retryQueueNums is {retry_queues}, above {queues_max}");
            return Err(invalid(remark));
        }
        let settings = GroupSettings {
            is_enabled: config.consume_enable,
            is_broadcast_enabled: config.consume_broadcast_enable,
            starts_at_min: config.consume_from_min_enable,
            retries_max: config.retry_max_times,
            retry_queues,
            notifies: config.notify_consumer_ids_changed_enable,
        };
        Ok((name.into_owned(), settings))
    }

    /// Either all of them or none.
    fn change_groups(
        &mut self,
        now: Now,
        request: Request,
        groups: &[(String, GroupSettings)],
    ) -> Outcome {
        self.check_store()?;
        let is_new = |(name, _): &&(String, GroupSettings)| self.groups.get(name).is_none();
        let names: BTreeSet<&str> = groups.iter().filter(is_new).map(|(name, _)| &**name).collect();
        let groups_max = self.config.limits.groups_max;
        if self.groups.len() + names.len() > groups_max {
            let remark = alloc::format!("there can be {groups_max} groups; delete some");
            return Err(Refusal::new(response_code::SYSTEM_ERROR, remark));
        }
        for (name, settings) in groups {
            let is_new = self.groups.get(name).is_none();
            let group = self.groups.make(name);
            if is_new || group.settings != *settings {
                group.settings = settings.clone();
                self.groups.version += u64::from(!is_new);
                self.state.group_changed(name);
            }
        }
        self.grant_once_remembered(now, request);
        Ok(())
    }

    /// Request 207. Its offsets go with a group, whether that is asked for or not.
    pub(super) fn handle_delete_group(
        &mut self,
        now: Now,
        request: Request,
        frame: &Frame<'_>,
    ) -> Outcome {
        let header = DeleteSubscriptionGroupRequestHeader::decode(&frame.ext)?;
        self.check_store()?;
        let name = plain(header.group_name);
        if self.groups.get(&name).is_some() {
            self.groups.remove(&name);
            self.state.group_deleted(&name);
        }
        // At once: were a group of that name made before, only that would be remembered.
        self.grant_once_remembered(now, request);
        Ok(())
    }

    /// Request 201; clients that ask for pages get pages.
    pub(super) fn handle_all_groups(&mut self, request: Request, frame: &Frame<'_>) -> Outcome {
        let header = GetAllSubscriptionGroupRequestHeader::decode(&frame.ext)?;
        let (total, page) = page(self.groups.len(), header.group_seq, header.max_group_num);
        let groups = self.groups.iter().skip(page.start).take(page.len());
        let table: Vec<(Text<'_>, SubscriptionGroupConfig<'_>)> = groups
            .map(|(name, group)| (Text::plain(name), group_config(name, &group.settings)))
            .collect();
        let wrapper = SubscriptionGroupWrapper {
            data_version: Some(self.groups_version()),
            forbidden_table: Map::default(),
            subscription_group_table: (&*table).into(),
        };
        let mut reply = Reply::json(&wrapper, Dialect::Fastjson);
        reply.fields.push(("totalGroupNum", total));
        self.give(request, &reply);
        Ok(())
    }

    /// Request 352.
    pub(super) fn handle_group_config(&mut self, request: Request, frame: &Frame<'_>) -> Outcome {
        let header = GetSubscriptionGroupConfigRequestHeader::decode(&frame.ext)?;
        let name = plain(header.group);
        let Some(group) = self.groups.get(&name) else {
            let remark = alloc::format!("No group in this broker. group: {name}");
            return Err(Refusal::new(response_code::SUBSCRIPTION_GROUP_NOT_EXIST, remark));
        };
        let reply = Reply::json(&group_config(&name, &group.settings), Dialect::Fastjson);
        self.give(request, &reply);
        Ok(())
    }

    /// Request 300: groups that subscribe to a topic, or have consumed some of it.
    pub(super) fn handle_consumed_by(&mut self, request: Request, frame: &Frame<'_>) -> Outcome {
        let header = QueryTopicConsumeByWhoRequestHeader::decode(&frame.ext)?;
        let topic = plain(header.topic);
        let id = self.topics.find(&topic);
        let groups = self.groups.iter().filter(|(_, group)| {
            let subscribes = !group.members.is_empty() && group.subscription(&topic).is_some();
            subscribes || group.offsets.keys().any(|queue| Some(queue.topic) == id)
        });
        let names: Vec<Text<'_>> = groups.map(|(name, _)| Text::plain(name)).collect();
        let reply = Reply::json(&GroupList { group_list: (&*names).into() }, Dialect::Fastjson);
        self.give(request, &reply);
        Ok(())
    }
}

/// A group, as administrators read it; what this broker does not keep is as by default.
fn group_config<'a>(name: &'a str, settings: &GroupSettings) -> SubscriptionGroupConfig<'a> {
    SubscriptionGroupConfig {
        attributes: Map::default(),
        broker_id: 0,
        consume_broadcast_enable: settings.is_broadcast_enabled,
        consume_enable: settings.is_enabled,
        consume_from_min_enable: settings.starts_at_min,
        consume_message_orderly: false,
        consume_timeout_minute: 15,
        group_name: Text::plain(name),
        group_retry_policy: Some(GroupRetryPolicy {
            customized_retry_policy: None,
            exponential_retry_policy: None,
            policy_type: Some(GroupRetryPolicyType::Customized),
        }),
        group_sys_flag: 0,
        notify_consumer_ids_changed_enable: settings.notifies,
        retry_max_times: settings.retries_max,
        retry_queue_nums: i32::try_from(settings.retry_queues).unwrap_or(i32::MAX),
        subscription_data_set: None,
        which_broker_when_consume_slowly: 1,
    }
}

#[cfg(test)]
mod tests {
    use turbopump_core::rocketmq::wire::header::{Absent, request_code as code};

    use super::*;
    use crate::broker::BrokerConfig;
    use crate::broker::machine::kit::Kit;
    use crate::broker::machine::topics::QueueId;

    #[test]
    fn groups_are_made_changed_listed_and_deleted() {
        let mut kit = Kit::new();
        let client = kit.connect();
        let group = [("group", "g0")];
        assert_eq!(kit.ask(client, code::GET_SUBSCRIPTIONGROUP_CONFIG, &group, &[]).code, 26);
        let code = code::UPDATE_AND_CREATE_SUBSCRIPTIONGROUP;
        assert_eq!(kit.ask(client, code, &Absent, br#"{"groupName":"g0"}"#).code, 0);
        // As the golden vector has it.
        let json = concat!(
            r#"{"attributes":{},"brokerId":0,"consumeBroadcastEnable":true,"consumeEnable":true,"#,
            r#""consumeFromMinEnable":true,"consumeMessageOrderly":false,"#,
            r#""consumeTimeoutMinute":15,"groupName":"g0","#,
            r#""groupRetryPolicy":{"type":"CUSTOMIZED"},"groupSysFlag":0,"#,
            r#""notifyConsumerIdsChangedEnable":true,"retryMaxTimes":16,"retryQueueNums":1,"#,
            r#""whichBrokerWhenConsumeSlowly":1}"#
        );
        let got = kit.ask(client, code::GET_SUBSCRIPTIONGROUP_CONFIG, &group, &[]);
        assert_eq!(got.text(), json);
        let disabled = br#"{"groupName":"g0","consumeEnable":false}"#;
        assert_eq!(kit.ask(client, code, &Absent, disabled).code, 0);
        kit.produce(client, "Orders", 0, "x", &[]);
        assert_eq!(kit.pull(client, "g0", "Orders", 0, 0).code, 16);
        let got = kit.ask(client, code::GET_ALL_SUBSCRIPTIONGROUP_CONFIG, &Absent, &[]);
        assert!(got.text().contains(r#""forbiddenTable":{},"subscriptionGroupTable":{"g0":{"#));
        assert_eq!(got.field("totalGroupNum"), "1");
        let fields = [("groupName", "g0"), ("cleanOffset", "true")];
        assert_eq!(kit.ask(client, code::DELETE_SUBSCRIPTIONGROUP, &fields, &[]).code, 0);
        assert_eq!(kit.ask(client, code::DELETE_SUBSCRIPTIONGROUP, &fields, &[]).code, 0);
        assert_eq!(kit.ask(client, code::GET_SUBSCRIPTIONGROUP_CONFIG, &group, &[]).code, 26);
    }

    #[test]
    fn groups_are_bounded_and_named_well() {
        let limits = crate::broker::BrokerLimits { groups_max: 2, ..Default::default() };
        let mut kit = Kit::with(BrokerConfig { limits, ..BrokerConfig::default() }, false);
        let client = kit.connect();
        let code = code::UPDATE_AND_CREATE_SUBSCRIPTIONGROUP_LIST;
        let list = |names: &[&str]| {
            let groups = names.iter().map(|name| alloc::format!(r#"{{"groupName":"{name}"}}"#));
            let groups = groups.collect::<Vec<_>>().join(",");
            alloc::format!(r#"{{"groupConfigList":[{groups}]}}"#).into_bytes()
        };
        assert_eq!(kit.ask(client, code, &Absent, &list(&["a", "b", "c"])).code, 1);
        assert_eq!(kit.broker.groups.len(), 0);
        assert_eq!(kit.ask(client, code, &Absent, &list(&["a", "b", "a"])).code, 0);
        assert_eq!(kit.ask(client, code, &Absent, &list(&["a b"])).code, 29);
        let wide = br#"{"groupName":"a","retryQueueNums":99999}"#;
        let one = code::UPDATE_AND_CREATE_SUBSCRIPTIONGROUP;
        assert_eq!(kit.ask(client, one, &Absent, wide).code, 29);
    }

    #[test]
    fn who_consumes_a_topic_is_found_by_offsets() {
        let mut kit = Kit::new();
        let client = kit.connect();
        kit.produce(client, "Orders", 0, "x", &[]);
        let topic = kit.broker.topics.find("Orders").unwrap();
        kit.broker.groups.make("idle");
        kit.broker.groups.make("billing").commit(QueueId { topic, queue: 0 }, 1);
        let topic = [("topic", "Orders")];
        let got = kit.ask(client, code::QUERY_TOPIC_CONSUME_BY_WHO, &topic, &[]);
        assert_eq!(got.text(), r#"{"groupList":["billing"]}"#);
    }
}

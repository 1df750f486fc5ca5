//! The broker's settings, as administrators read and change them.
//!
//! Decides which may be changed while the broker runs. What was changed holds after a restart on
//! the same disk, too, whatever it is started with.

use core::time::Duration;

use alloc::string::String;
use alloc::vec::Vec;

use turbopump_core::rocketmq::wire::body::Body;
use turbopump_core::rocketmq::wire::frame::Frame;
use turbopump_core::rocketmq::wire::header::response_code;
use turbopump_core::rocketmq::wire::json::Dialect;
use turbopump_core::time::Now;

use super::Broker;
use super::admin::invalid;
use super::answer::{Outcome, Refusal};
use super::sessions::Request;
use super::topics::{DEFAULT_TOPIC, TopicSettings};
use crate::broker::answers::Reply;
use crate::broker::config::BrokerConfig;
use crate::broker::properties;

/// A change that makes sense.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Change {
    AutoCreateTopics(bool),
    AutoCreateGroups(bool),
    DefaultTopicQueues(u32),
    TransactionTimeout(Duration),
    TransactionCheckInterval(Duration),
    TransactionChecks(u32),
    AgeMax(Duration),
    TimerDelayMax(Duration),
}

impl Change {
    /// What a setting is to be; `None` for those that can't be changed.
    fn of(name: &str, value: &str, queues_max: u32) -> Option<Result<Self, Refusal>> {
        let number = |max: u64| {
            let number = value.parse::<u64>().ok().filter(|number| (1..=max).contains(number));
            number.ok_or_else(|| invalid(alloc::format!("{name} is {value}, not 1 to {max}")))
        };
        let flag = || {
            let flag = value.to_ascii_lowercase().parse::<bool>();
            flag.map_err(|_| invalid(alloc::format!("{name} is {value}, not true or false")))
        };
        // Ten years, so that sums don't overflow.
        let ms = || number(315_360_000_000).map(Duration::from_millis);
        Some(match name {
            "autoCreateTopicEnable" => flag().map(Self::AutoCreateTopics),
            "autoCreateSubscriptionGroup" => flag().map(Self::AutoCreateGroups),
            "defaultTopicQueueNums" => number(u64::from(queues_max))
                .map(|count| Self::DefaultTopicQueues(u32::try_from(count).unwrap_or(u32::MAX))),
            "transactionTimeOut" => ms().map(Self::TransactionTimeout),
            "transactionCheckInterval" => ms().map(Self::TransactionCheckInterval),
            "transactionCheckMax" => number(1_000_000)
                .map(|count| Self::TransactionChecks(u32::try_from(count).unwrap_or(u32::MAX))),
            // Ten years, too.
            "timerMaxDelaySec" => {
                number(315_360_000).map(|time_s| Self::TimerDelayMax(Duration::from_secs(time_s)))
            }
            "fileReservedTime" => {
                number(87_600).map(|hours| Self::AgeMax(Duration::from_secs(hours * 3_600)))
            }
            _ => return None,
        })
    }
}

impl Broker {
    /// Request 25: all of it, or nothing.
    pub(super) fn handle_update_config(
        &mut self,
        now: Now,
        request: Request,
        frame: &Frame<'_>,
    ) -> Outcome {
        let Some(settings) = properties::read(frame.body).filter(|settings| !settings.is_empty())
        else {
            return Err(invalid("the body has no settings, as lines of name=value".into()));
        };
        self.check_store()?;
        let present = self.settings();
        let mut changes = Vec::new();
        for (name, value) in &settings {
            match Change::of(name, value, self.config.limits.queues_max) {
                // What is as it was is not remembered.
                Some(change) if present.iter().any(|(n, v)| n == name && v == value) => {
                    change?;
                }
                Some(change) => changes.push((name, value, change?)),
                // Tools send back everything that they have read.
                None if present.iter().any(|(n, v)| n == name && v == value) => {}
                None => {
                    let remark = alloc::format!(
                        "{name} can't be changed while this broker runs, or is no setting of it: \
                         start it with other settings"
                    );
                    return Err(Refusal::new(response_code::NO_PERMISSION, remark));
                }
            }
        }
        for (name, value, change) in changes {
            self.change_setting(change)?;
            self.administered.setting_changed(name, value);
        }
        self.grant_once_remembered(now, request);
        Ok(())
    }

    /// Sets what was set before the broker was started.
    pub(super) fn set(&mut self, name: &str, value: &str) -> Outcome {
        match Change::of(name, value, self.config.limits.queues_max) {
            Some(change) => self.change_setting(change?),
            None => Err(invalid(alloc::format!("{name} is no setting that can be changed"))),
        }
    }

    fn change_setting(&mut self, change: Change) -> Outcome {
        let config = &mut self.config;
        match change {
            Change::AutoCreateTopics(is_on) => config.auto_create_topics = is_on,
            Change::AutoCreateGroups(is_on) => config.auto_create_groups = is_on,
            Change::DefaultTopicQueues(count) => config.default_topic_queues = count,
            Change::TransactionTimeout(timeout) => config.transactions.timeout = timeout,
            Change::TransactionCheckInterval(time) => config.transactions.check_interval = time,
            Change::TransactionChecks(count) => config.transactions.checks_max = count,
            Change::AgeMax(age) => config.retention.age_max = age,
            Change::TimerDelayMax(delay) => config.timer_delay_max = delay,
        }
        if matches!(change, Change::AutoCreateTopics(_) | Change::DefaultTopicQueues(_)) {
            // New topics are made after this one.
            let perm = if self.config.auto_create_topics { 7 } else { 6 };
            let settings = TopicSettings::with_queues(self.config.default_topic_queues, perm);
            self.create_topic(DEFAULT_TOPIC, settings)?;
        }
        Ok(())
    }

    /// Request 26.
    pub(super) fn handle_config(&mut self, request: Request) -> Outcome {
        let settings = self.settings();
        let settings = settings.iter().map(|(name, value)| (*name, &**value));
        let body = properties::write(settings).into_bytes();
        let mut version = String::new();
        // Writing to a string can't fail.
        let _ = self.topics_version().write(Dialect::Fastjson, &mut version);
        let reply = Reply { body, ..Reply::field("version", version) };
        self.give(request, &reply);
        Ok(())
    }

    /// The settings, by the names that Apache's broker has for them. Secrets are none of them.
    fn settings(&self) -> Vec<(&'static str, String)> {
        let config = &self.config;
        let BrokerConfig { limits, transactions, .. } = config;
        let flag = |is_on: bool| String::from(if is_on { "true" } else { "false" });
        let ms = |time: Duration| alloc::format!("{}", time.as_millis());
        let delays: Vec<String> =
            config.delay_levels.iter().map(|delay| alloc::format!("{delay:?}")).collect();
        alloc::vec![
            ("aclEnable", flag(!config.users.is_empty())),
            ("autoCreateSubscriptionGroup", flag(config.auto_create_groups)),
            ("autoCreateTopicEnable", flag(config.auto_create_topics)),
            ("brokerClusterName", config.cluster_name.clone()),
            ("brokerIP1", alloc::format!("{}", self.host.ip())),
            ("brokerId", "0".into()),
            ("brokerName", config.broker_name.clone()),
            ("brokerPermission", "6".into()),
            ("brokerRole", "ASYNC_MASTER".into()),
            ("defaultTopicQueueNums", alloc::format!("{}", config.default_topic_queues)),
            ("enablePropertyFilter", flag(false)),
            ("fileReservedTime", {
                alloc::format!("{}", config.retention.age_max.as_secs() / 3_600)
            }),
            ("listenPort", alloc::format!("{}", self.host.port())),
            ("longPollingEnable", flag(true)),
            ("maxMessageSize", alloc::format!("{}", limits.message_bytes_max)),
            ("messageDelayLevel", delays.join(" ")),
            ("recallMessageEnable", flag(true)),
            ("rejectTransactionMessage", flag(false)),
            ("timerMaxDelaySec", alloc::format!("{}", config.timer_delay_max.as_secs())),
            ("timerPrecisionMs", "1".into()),
            ("timerWheelEnable", flag(true)),
            ("transactionCheckInterval", ms(transactions.check_interval)),
            ("transactionCheckMax", alloc::format!("{}", transactions.checks_max)),
            ("transactionTimeOut", ms(transactions.timeout)),
        ]
    }
}

#[cfg(test)]
mod tests {
    use turbopump_core::rocketmq::wire::acl::Credentials;
    use turbopump_core::rocketmq::wire::header::{Absent, request_code as code};

    use super::*;
    use crate::broker::User;
    use crate::broker::machine::kit::Kit;

    #[test]
    fn some_settings_can_be_changed_and_no_secret_be_read() {
        let mut config = BrokerConfig::default();
        let user = User { access_key: "key".into(), secret_key: "hidden".into() };
        config.users.push(user);
        let mut kit = Kit::with(config, false);
        let client = kit.connect();
        kit.credentials = Some(Credentials::new("key", "hidden"));
        let got = kit.ask(client, code::GET_BROKER_CONFIG, &Absent, &[]);
        assert!(got.text().contains("autoCreateTopicEnable=true\n"), "{got:?}");
        assert!(got.text().contains("messageDelayLevel=1s 5s 10s 30s 60s"), "{got:?}");
        assert!(!got.text().contains("hidden") && got.text().contains("aclEnable=true\n"));
        assert!(got.field("version").contains("\"counter\":"));
        // All of it sent back changes nothing.
        let same = kit.ask(client, code::UPDATE_BROKER_CONFIG, &Absent, &got.body);
        assert_eq!(same.code, 0, "{same:?}");

        let change = |kit: &mut Kit, text: &str| {
            kit.ask(client, code::UPDATE_BROKER_CONFIG, &Absent, text.as_bytes())
        };
        assert_eq!(change(&mut kit, "autoCreateTopicEnable=false\nlistenPort=1\n").code, 16);
        assert_eq!(kit.produce(client, "Orders", 0, "x", &[]).code, 0);
        assert_eq!(change(&mut kit, "autoCreateTopicEnable=false\n").code, 0);
        assert_eq!(kit.produce(client, "Bills", 0, "x", &[]).code, 17);
        assert_eq!(change(&mut kit, "autoCreateTopicEnable=TRUE\ndefaultTopicQueueNums=2").code, 0);
        assert_eq!(kit.produce(client, "Bills", 3, "x", &[]).code, 29);
        assert_eq!(kit.produce(client, "Bills", 1, "x", &[]).code, 0);
        assert_eq!(change(&mut kit, "transactionTimeOut=100\nfileReservedTime=2").code, 0);
        assert_eq!(kit.broker.config().transactions.timeout, Duration::from_millis(100));
        assert_eq!(kit.broker.config().retention.age_max, Duration::from_secs(7_200));
        for text in ["defaultTopicQueueNums=0", "transactionCheckMax=x", "autoCreateTopicEnable=1"]
        {
            assert_eq!(change(&mut kit, text).code, 29, "{text}");
        }
        assert_eq!(change(&mut kit, "nobodyKnows=1").code, 16);
    }
}

//! A route of RocketMQ, and the queues that follow from it.

use turbopump_core::rocketmq::wire::body::{Body, TopicRouteData};

use crate::check::{Checks, check, must};

const ROUTE: &[u8] = br#"{"brokerDatas":[{"brokerAddrs":{0:"10.0.0.5:10911"},"brokerName":"b"}],
    "queueDatas":[{"brokerName":"b","perm":6,"readQueueNums":2,"writeQueueNums":3}]}"#;

#[inline(never)]
pub(crate) fn run(checks: &mut Checks) {
    let route = must(TopicRouteData::decode(ROUTE));
    check!(checks, route.publish_queues().filter(Result::is_ok).count() == 3);
    check!(checks, route.subscribe_queues().filter(Result::is_ok).count() == 2);
    let broker = route.broker_datas.iter().next().unwrap_or_else(|| panic!("there is one"));
    check!(checks, must(must(broker).address(0)) == Some("10.0.0.5:10911".into()));
    check!(checks, TopicRouteData::decode(&ROUTE[..20]).is_err());
}

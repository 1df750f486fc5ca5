//! What dashboards ask of consumers, by way of the broker.

use std::time::Duration;

use turbopump::core::rocketmq::wire::body::{
    Body, ConsumeMessageDirectlyResult, ConsumeResult, ConsumerRunningInfo,
    GetConsumerListByGroupResponseBody,
};
use turbopump::core::rocketmq::wire::command::{
    ConsumeMessageDirectlyResultRequestHeader, GetConsumerListByGroupRequestHeader,
    GetConsumerRunningInfoRequestHeader,
};
use turbopump::core::rocketmq::wire::header::{ExtSource, request_code, response_code};
use turbopump::runtime::backend::{Backend, SocketOptions};
use turbopump::runtime::broker::EmbeddedBroker;
use turbopump::runtime::client::{Consumed, Message, ReceivedMessage};
use turbopump::runtime::memory::BufferPool;
use turbopump::runtime::net::RequestLinkConfig;
use turbopump::runtime::rocketmq::{Answer, RemotingLink};

use crate::{Got, client, consumer, eager, send, start, until};

turbopump_tests::on_every_runtime![
    it_says_how_it_is_doing,
    it_handles_a_message_at_somebody_s_wish,
];

async fn link<B: Backend>(backend: &B, broker: &EmbeddedBroker<B>) -> RemotingLink {
    let halves = backend.dial(broker.address(), &SocketOptions::default()).await.unwrap();
    let (buffers, settings) = (BufferPool::standard(), RequestLinkConfig::default());
    RemotingLink::over(backend, halves, buffers, &settings).unwrap()
}

async fn ask(link: &RemotingLink, code: i32, header: &impl ExtSource) -> Answer {
    let answer = link.ask(code, header, b"", Duration::from_secs(30)).await.unwrap();
    assert_eq!(answer.frame().unwrap().header.code, response_code::SUCCESS);
    answer
}

async fn only_member(link: &RemotingLink) -> String {
    let header = GetConsumerListByGroupRequestHeader {
        consumer_group: "group".into(),
        ..GetConsumerListByGroupRequestHeader::default()
    };
    let answer = ask(link, request_code::GET_CONSUMER_LIST_BY_GROUP, &header).await;
    let frame = answer.frame().unwrap();
    let body = GetConsumerListByGroupResponseBody::decode(frame.body).unwrap();
    body.consumer_id_list.iter().next().unwrap().unwrap().to_string()
}

async fn it_says_how_it_is_doing<B: Backend>(backend: B) {
    let broker = start(&backend).await;
    let client = client(&backend, &broker).await;
    send(&client.producer("producers"), "Orders", 0..20).await;
    let got = Got::default();
    let consumer = consumer(&client, "group", "Orders", &got).await;
    until(&backend, "all are done", || consumer.stats().done() == 20).await;
    let link = link(&backend, &broker).await;
    let member = only_member(&link).await;
    let header = GetConsumerRunningInfoRequestHeader {
        consumer_group: "group".into(),
        client_id: member.as_str().into(),
        jstack_enable: false,
        ..GetConsumerRunningInfoRequestHeader::default()
    };
    let answer = ask(&link, request_code::GET_CONSUMER_RUNNING_INFO, &header).await;
    let frame = answer.frame().unwrap();
    let info = ConsumerRunningInfo::decode(frame.body).unwrap();
    let queues: Vec<_> = info.mq_table.iter().map(Result::unwrap).collect();
    let orders = queues.iter().filter(|(queue, _)| queue.topic == "Orders");
    let (count, sum) =
        orders.fold((0, 0), |(count, sum), (_, info)| (count + 1, sum + info.commit_offset));
    assert_eq!((count, sum), (4, 20));
    let statuses: Vec<_> = info.status_table.iter().map(Result::unwrap).collect();
    let (_, status) = statuses.iter().find(|(topic, _)| *topic == "Orders").unwrap();
    assert!(status.consume_ok_tps > 0.0 && status.consume_failed_msgs == 0);
    let topics: Vec<_> = info
        .subscription_set
        .iter()
        .map(|subscription| subscription.unwrap().topic.to_string())
        .collect();
    assert_eq!(topics, ["Orders", "%RETRY%group"]);
}

async fn it_handles_a_message_at_somebody_s_wish<B: Backend>(backend: B) {
    let broker = start(&backend).await;
    let client = client(&backend, &broker).await;
    let mut ids = Vec::new();
    for body in ["good", "bad", "worse"] {
        let sent = client.producer("producers").send(Message::new("Orders", body)).await.unwrap();
        ids.push(sent.offset_message_id.unwrap().to_string());
    }
    let got = Got::default();
    let builder = client.consumer("group").with_config(eager()).subscribe("Orders", "*");
    let note = got.clone();
    let _consumer = builder
        .start(move |message: ReceivedMessage| {
            note.note(&message).unwrap();
            let is_worse = message.body().unwrap() == "worse";
            let is_bad = message.body().unwrap() == "bad";
            async move {
                assert!(!is_worse, "as planned");
                if is_bad { Err("as planned") } else { Ok(Consumed::Done) }
            }
        })
        .await
        .unwrap();
    until(&backend, "all came", || got.len() == 3).await;
    let link = link(&backend, &broker).await;
    let member = only_member(&link).await;
    let expected = [
        (ConsumeResult::Success, None),
        (ConsumeResult::Later, Some("as planned")),
        (ConsumeResult::ThrowException, Some("the handler has panicked")),
    ];
    for (id, (result, remark)) in ids.iter().zip(expected) {
        let header = ConsumeMessageDirectlyResultRequestHeader {
            consumer_group: "group".into(),
            client_id: Some(member.as_str().into()),
            msg_id: Some(id.as_str().into()),
            broker_name: Some("broker-a".into()),
            ..ConsumeMessageDirectlyResultRequestHeader::default()
        };
        let answer = ask(&link, request_code::CONSUME_MESSAGE_DIRECTLY, &header).await;
        let frame = answer.frame().unwrap();
        let body = ConsumeMessageDirectlyResult::decode(frame.body).unwrap();
        assert_eq!(body.consume_result, Some(result));
        assert_eq!(body.remark.map(|remark| remark.to_string()).as_deref(), remark);
    }
    assert_eq!(got.repeats().len(), 3);
}

//! Which queues a client is to consume, for clients that let the broker decide.
//!
//! Decides the shares among the members of a group at this broker, by the strategies that clients
//! use themselves.

use alloc::vec::Vec;

use turbopump_core::rocketmq::wire::body::{
    Body, MessageModel, MessageQueue, MessageQueueAssignment, MessageRequestMode,
    QueryAssignmentRequestBody, QueryAssignmentResponseBody, SetMessageRequestModeRequestBody,
};
use turbopump_core::rocketmq::wire::frame::Frame;
use turbopump_core::rocketmq::wire::header::response_code;
use turbopump_core::rocketmq::wire::json::{Dialect, Text};
use turbopump_core::rocketmq::wire::names::RETRY_PREFIX;
use turbopump_core::rocketmq::wire::rebalance::{
    HashRing, Queue, RingPoint, VIRTUAL_NODES, average, average_by_circle,
};

use super::Broker;
use super::admin::invalid;
use super::answer::{Outcome, Refusal, plain};
use super::sessions::Request;
use crate::broker::answers::Reply;

impl Broker {
    /// Request 400. Without a list in the answer the client keeps what it has.
    pub(super) fn handle_assignment(&mut self, request: Request, frame: &Frame<'_>) -> Outcome {
        let body = QueryAssignmentRequestBody::decode(frame.body)?;
        let (topic, group) = (plain(body.topic), plain(body.consumer_group));
        let strategy = body.strategy_name.map(plain);
        let is_shared = body.message_model != Some(MessageModel::Broadcasting);
        let clients = self.clients_of(&group);
        let settings = self.topics.by_name(&topic).filter(|topic| !topic.is_internal);
        let share = match settings {
            Some(topic) if !is_shared => Some((0..topic.settings.read_queues).collect()),
            Some(topic) if !clients.is_empty() => {
                let client = plain(body.client_id);
                let count = topic.settings.read_queues;
                let strategy = strategy.as_deref().unwrap_or("AVG");
                Some(self.share(&topic.name, count, &clients, &client, strategy)?)
            }
            _ => None,
        };
        let assignments: Option<Vec<_>> =
            share.map(|share| share.into_iter().map(|id| self.assigned(&topic, id)).collect());
        let response = QueryAssignmentResponseBody {
            message_queue_assignments: assignments.as_deref().map(Into::into),
        };
        let reply = Reply::json(&response, Dialect::Fastjson);
        self.give(request, &reply);
        Ok(())
    }

    /// The members of a group, as all of them sort them.
    fn clients_of(&self, group: &str) -> Vec<&str> {
        let members = self.groups.get(group).into_iter().flat_map(|group| &group.members);
        let mut clients: Vec<&str> = members.map(|member| &*member.client_id).collect();
        clients.sort_unstable();
        clients.dedup();
        clients
    }

    fn share(
        &self,
        topic: &str,
        count: u32,
        clients: &[&str],
        client: &str,
        strategy: &str,
    ) -> Result<Vec<u32>, Refusal> {
        let Some(index) = clients.iter().position(|other| *other == client) else {
            return Ok(Vec::new());
        };
        let queues = count as usize;
        let share: Vec<usize> = match strategy {
            "" | "AVG" => average(queues, clients.len(), index).collect(),
            "AVG_BY_CIRCLE" => average_by_circle(queues, clients.len(), index).collect(),
            "CONSISTENT_HASH" => {
                let broker_name = &*self.config.broker_name;
                let ids = 0..i32::try_from(count).unwrap_or(i32::MAX);
                let queues: Vec<Queue<'_>> =
                    ids.map(|queue_id| Queue { broker_name, queue_id }).collect();
                let points = clients.len().saturating_mul(VIRTUAL_NODES);
                let mut memory = alloc::vec![RingPoint::default(); points];
                let ring = HashRing::new(clients, VIRTUAL_NODES, &mut memory)
                    .map_err(|error| invalid(alloc::format!("{error}")))?;
                ring.share(topic, &queues, index).collect()
            }
            other => {
                let remark = alloc::format!(
                    "this broker does not share queues by {other}, but by AVG, AVG_BY_CIRCLE and \
                     CONSISTENT_HASH"
                );
                return Err(invalid(remark));
            }
        };
        Ok(share.into_iter().filter_map(|index| u32::try_from(index).ok()).collect())
    }

    fn assigned<'a>(&'a self, topic: &'a str, queue: u32) -> MessageQueueAssignment<'a> {
        let message_queue = MessageQueue {
            broker_name: Text::plain(&self.config.broker_name),
            queue_id: i32::try_from(queue).unwrap_or(i32::MAX),
            topic: Text::plain(topic),
        };
        let mode = Some(MessageRequestMode::Pull);
        MessageQueueAssignment { attachments: None, message_queue, mode }
    }

    /// Request 401: messages are pulled, and that is all.
    pub(super) fn handle_request_mode(&mut self, request: Request, frame: &Frame<'_>) -> Outcome {
        let body = SetMessageRequestModeRequestBody::decode(frame.body)?;
        if plain(body.topic).starts_with(RETRY_PREFIX) {
            let remark = "retry topic is not allowed to set mode";
            return Err(Refusal::new(response_code::NO_PERMISSION, remark));
        }
        if body.mode == Some(MessageRequestMode::Pop) {
            let remark = "this broker does no pop consumption: leave the mode at PULL";
            return Err(Refusal::new(response_code::REQUEST_CODE_NOT_SUPPORTED, remark));
        }
        self.give(request, &Reply::default());
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use alloc::string::String;

    use turbopump_core::rocketmq::wire::header::{Absent, request_code as code};

    use super::*;
    use crate::broker::machine::SessionId;
    use crate::broker::machine::groups::Member;
    use crate::broker::machine::kit::Kit;

    fn ask(kit: &mut Kit, session: SessionId, client: &str, strategy: &str, model: &str) -> String {
        let body = alloc::format!(
            concat!(
                r#"{{"clientId":"{}","consumerGroup":"g","messageModel":"{}","#,
                r#""strategyName":"{}","topic":"Orders"}}"#
            ),
            client,
            model,
            strategy
        );
        let got = kit.ask(session, code::QUERY_ASSIGNMENT, &Absent, body.as_bytes());
        if got.code == 0 { got.text().into() } else { got.remark }
    }

    fn queues(text: &str) -> Vec<i32> {
        let body = QueryAssignmentResponseBody::decode(text.as_bytes()).unwrap();
        let list = body.message_queue_assignments.unwrap();
        list.iter().map(|assignment| assignment.unwrap().message_queue.queue_id).collect()
    }

    #[test]
    fn queues_are_shared_among_members() {
        let mut kit = Kit::new();
        let session = kit.connect();
        assert_eq!(ask(&mut kit, session, "b", "AVG", "CLUSTERING"), "{}");
        kit.produce(session, "Orders", 0, "x", &[]);
        assert_eq!(ask(&mut kit, session, "b", "AVG", "CLUSTERING"), "{}");
        for client_id in ["b", "a", "c"] {
            let member = Member::new(session, client_id);
            kit.broker.groups.make("g").members.push(member);
        }
        let first = ask(&mut kit, session, "a", "AVG", "CLUSTERING");
        let queue = concat!(
            r#"{"messageQueue":{"brokerName":"broker-a","queueId":0,"topic":"Orders"},"#,
            r#""mode":"PULL"}"#
        );
        assert!(first.starts_with(&alloc::format!(r#"{{"messageQueueAssignments":[{queue}"#)));
        assert_eq!(queues(&first), [0, 1]);
        assert_eq!(queues(&ask(&mut kit, session, "b", "", "CLUSTERING")), [2]);
        assert_eq!(queues(&ask(&mut kit, session, "a", "AVG_BY_CIRCLE", "CLUSTERING")), [0, 3]);
        assert_eq!(queues(&ask(&mut kit, session, "a", "AVG", "BROADCASTING")), [0, 1, 2, 3]);
        assert_eq!(queues(&ask(&mut kit, session, "x", "AVG", "CLUSTERING")), [] as [i32; 0]);
        let mut all: Vec<i32> = ["a", "b", "c"]
            .into_iter()
            .flat_map(|id| queues(&ask(&mut kit, session, id, "CONSISTENT_HASH", "CLUSTERING")))
            .collect();
        all.sort_unstable();
        assert_eq!(all, [0, 1, 2, 3]);
        assert!(ask(&mut kit, session, "a", "MOON", "CLUSTERING").contains("MOON"));
    }

    #[test]
    fn modes_are_pull() {
        let mut kit = Kit::new();
        let session = kit.connect();
        for (mode, topic, expected) in
            [("PULL", "Orders", 0), ("POP", "Orders", 3), ("PULL", "%RETRY%g", 16)]
        {
            let body = alloc::format!(
                r#"{{"topic":"{topic}","consumerGroup":"g","mode":"{mode}","popShareQueueNum":0}}"#
            );
            let code = code::SET_MESSAGE_REQUEST_MODE;
            let got = kit.ask(session, code, &Absent, body.as_bytes());
            assert_eq!(got.code, expected, "{mode} {topic}");
        }
    }
}

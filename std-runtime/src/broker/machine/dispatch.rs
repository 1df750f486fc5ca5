//! Which request is handled where.

use turbopump_core::frame::FrameError;
use turbopump_core::rocketmq::wire::frame::Frame;
use turbopump_core::rocketmq::wire::header::{request_code, response_code};
use turbopump_core::time::Now;

use super::Broker;
use super::admin_stats::not_done;
use super::answer::{Outcome, Refusal};
use super::faults::Fate;
use super::sessions::{Request, SessionId};

const fn request_of(id: SessionId, frame: &Frame<'_>) -> Request {
    Request {
        session: id,
        code: frame.header.code,
        opaque: frame.header.opaque,
        serialization: frame.serialization,
        version: frame.header.version,
        is_oneway: frame.header.is_oneway(),
    }
}

impl Broker {
    /// One whole frame of a connection.
    pub(super) fn handle_frame(
        &mut self,
        now: Now,
        id: SessionId,
        bytes: &[u8],
    ) -> Result<(), FrameError> {
        let Ok(frame) = Frame::decode(bytes) else {
            let reason = "a RocketMQ header in JSON or binary form";
            return Err(FrameError::Malformed { at: 0, reason });
        };
        self.counts.frames += 1;
        let Some(session) = self.sessions.get_mut(id) else {
            return Ok(());
        };
        session.heard = now.at;
        session.version = frame.header.version;
        session.language = frame.header.language;
        if frame.header.is_response() {
            self.handle_response(id, &frame);
            return Ok(());
        }
        let request = request_of(id, &frame);
        if self.sessions.get(id).is_some_and(|session| session.is_mute) {
            return Ok(());
        }
        if let Err(refusal) = self.check_access(&frame) {
            self.refuse(request, &refusal);
            return Ok(());
        }
        self.write_journal(now, request, &frame);
        match self.fate_of(now, request, &frame, bytes) {
            Fate::Do => self.grant(now, request, &frame),
            Fate::DoWithoutAnswer => {
                self.grant(now, Request { is_oneway: true, ..request }, &frame);
            }
            Fate::Refuse(refusal) => self.refuse(request, &refusal),
            Fate::Nothing => {}
        }
        Ok(())
    }

    /// A request that was held back on purpose.
    pub(super) fn handle_held(&mut self, now: Now, id: SessionId, bytes: &[u8]) {
        if let Ok(frame) = Frame::decode(bytes)
            && self.sessions.get(id).is_some()
        {
            self.grant(now, request_of(id, &frame), &frame);
        }
    }

    fn grant(&mut self, now: Now, request: Request, frame: &Frame<'_>) {
        if let Err(refusal) = self.handle_request(now, request, frame) {
            self.refuse(request, &refusal);
        }
    }

    fn handle_request(&mut self, now: Now, request: Request, frame: &Frame<'_>) -> Outcome {
        match request.code {
            request_code::SEND_MESSAGE
            | request_code::SEND_MESSAGE_V2
            | request_code::SEND_BATCH_MESSAGE => self.handle_send(now, request, frame),
            request_code::PULL_MESSAGE | request_code::LITE_PULL_MESSAGE => {
                self.handle_pull(now, request, frame)
            }
            request_code::CONSUMER_SEND_MSG_BACK => self.handle_send_back(now, request, frame),
            request_code::RECALL_MESSAGE => self.handle_recall(now, request, frame),
            request_code::END_TRANSACTION => self.handle_end_transaction(now, request, frame),
            request_code::VIEW_MESSAGE_BY_ID => self.handle_view(now, request, frame),
            request_code::QUERY_MESSAGE => self.handle_query(now, request, frame),
            request_code::HEART_BEAT => self.handle_heartbeat(request, frame),
            request_code::UNREGISTER_CLIENT => self.handle_unregister(request, frame),
            request_code::GET_CONSUMER_LIST_BY_GROUP => self.handle_consumer_list(request, frame),
            request_code::CHECK_CLIENT_CONFIG => self.handle_check_client(request, frame),
            request_code::GET_CONSUMER_CONNECTION_LIST => self.handle_consumers(request, frame),
            request_code::GET_PRODUCER_CONNECTION_LIST => self.handle_producers(request, frame),
            request_code::GET_ALL_PRODUCER_INFO => self.handle_all_producers(now, request),
            request_code::QUERY_CONSUMER_OFFSET => self.handle_query_offset(request, frame),
            request_code::UPDATE_CONSUMER_OFFSET => self.handle_commit(request, frame),
            request_code::SEARCH_OFFSET_BY_TIMESTAMP => self.handle_search_offset(request, frame),
            request_code::GET_MAX_OFFSET => self.handle_max_offset(request, frame),
            request_code::GET_MIN_OFFSET => self.handle_min_offset(request, frame),
            request_code::GET_EARLIEST_MSG_STORETIME => self.handle_earliest_time(request, frame),
            request_code::INVOKE_BROKER_TO_RESET_OFFSET => self.handle_reset(request, frame),
            request_code::LOCK_BATCH_MQ => self.handle_lock(now, request, frame),
            request_code::UNLOCK_BATCH_MQ => self.handle_unlock(request, frame),
            request_code::GET_CONSUMER_RUNNING_INFO => {
                self.handle_running_info(now, request, frame)
            }
            request_code::CONSUME_MESSAGE_DIRECTLY => {
                self.handle_consume_directly(now, request, frame)
            }
            request_code::GET_ROUTEINFO_BY_TOPIC
            | request_code::GET_BROKER_CLUSTER_INFO
            | request_code::GET_ALL_TOPIC_LIST_FROM_NAMESERVER
            | request_code::GET_TOPICS_BY_CLUSTER
            | request_code::GET_SYSTEM_TOPIC_LIST_FROM_NS
            | request_code::DELETE_TOPIC_IN_NAMESRV
            | request_code::PUT_KV_CONFIG
            | request_code::GET_KV_CONFIG
            | request_code::DELETE_KV_CONFIG
            | request_code::GET_KVLIST_BY_NAMESPACE
            | request_code::WIPE_WRITE_PERM_OF_BROKER
            | request_code::ADD_WRITE_PERM_OF_BROKER
            | request_code::UPDATE_NAMESRV_CONFIG
            | request_code::GET_NAMESRV_CONFIG => self.handle_name_server(request, frame),
            code => self.handle_admin(now, request, frame).unwrap_or_else(|| {
                self.counts.requests_unknown += 1;
                let remark = alloc::format!(" request type {code} not supported");
                Err(Refusal::new(response_code::REQUEST_CODE_NOT_SUPPORTED, remark))
            }),
        }
    }

    /// What administrators ask, and what this broker does not do; `None` for anything else.
    fn handle_admin(&mut self, now: Now, request: Request, frame: &Frame<'_>) -> Option<Outcome> {
        Some(match request.code {
            request_code::UPDATE_AND_CREATE_TOPIC => self.handle_create_topic(now, request, frame),
            request_code::UPDATE_AND_CREATE_TOPIC_LIST => {
                self.handle_create_topics(now, request, frame)
            }
            request_code::DELETE_TOPIC_IN_BROKER => self.handle_delete_topic(now, request, frame),
            request_code::GET_ALL_TOPIC_CONFIG => self.handle_all_topics(request, frame),
            request_code::GET_TOPIC_CONFIG => self.handle_topic_config(request, frame),
            request_code::UPDATE_AND_CREATE_SUBSCRIPTIONGROUP => {
                self.handle_create_group(now, request, frame)
            }
            request_code::UPDATE_AND_CREATE_SUBSCRIPTIONGROUP_LIST => {
                self.handle_create_groups(now, request, frame)
            }
            request_code::DELETE_SUBSCRIPTIONGROUP => self.handle_delete_group(now, request, frame),
            request_code::GET_ALL_SUBSCRIPTIONGROUP_CONFIG => {
                self.handle_all_groups(request, frame)
            }
            request_code::GET_SUBSCRIPTIONGROUP_CONFIG => self.handle_group_config(request, frame),
            request_code::QUERY_TOPIC_CONSUME_BY_WHO => self.handle_consumed_by(request, frame),
            request_code::GET_TOPIC_STATS_INFO => self.handle_topic_stats(now, request, frame),
            request_code::GET_CONSUME_STATS => self.handle_consume_stats(request, frame),
            request_code::GET_SYSTEM_TOPIC_LIST_FROM_BROKER => self.handle_system_topics(request),
            request_code::GET_BROKER_RUNTIME_INFO => self.handle_runtime_info(now, request),
            request_code::UPDATE_BROKER_CONFIG => self.handle_update_config(now, request, frame),
            request_code::GET_BROKER_CONFIG => self.handle_config(request),
            request_code::QUERY_ASSIGNMENT => self.handle_assignment(request, frame),
            request_code::SET_MESSAGE_REQUEST_MODE => self.handle_request_mode(request, frame),
            code => Err(not_done(code)?),
        })
    }
}
